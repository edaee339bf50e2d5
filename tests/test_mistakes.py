"""Mistakes that new users make: each is answered by one line that says what to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.example_programs import mlp
from support.paths import ROOT

pytest.importorskip("numba")

import zkinfer as zk
from zkinfer import jobs
from zkinfer.errors import ZkinferError
from zkinfer.verifier import verify

X = np.array([[0.5, -0.25, 1.0]])
DIGITS = ROOT / "circuits" / "digits-mlp"
MODEL = DIGITS / "model.onnx"


class Bench:
    """A circuit, its keys, and a proof that is bound to a context."""

    def __init__(self, folder: Path) -> None:
        example = mlp()
        self.circuit = zk.Circuit(example.program, example.weights, (), b"")
        self.keys = zk.setup(self.circuit, folder=folder / "keys", proofs=2)
        self.proof = zk.prove(self.keys, X, context=b"request 1")
        self.outputs = np.asarray(self.proof.outputs)
        self.typical = np.load(DIGITS / "calibration.npy")

    def verify(self, inputs: Any = X, outputs: Any = None, context: bytes = b"request 1") -> Any:
        return verify(self.proof, self.keys.commitment, inputs, outputs, context)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"))


Mistake = Callable[[Bench], object]

MISTAKES: dict[str, tuple[Mistake, str]] = {
    "a model's name is misspelt": (
        lambda b: zk.compile("modle.onnx", b.typical),
        "check its name, and the folder",
    ),
    "a URL as a pathlib.Path": (lambda b: zk.compile(Path("s3://bucket/model.onnx"), b.typical), "hand in the text"),
    "keys in a store": (lambda b: zk.setup(b.circuit, folder="s3://bucket/keys"), "folder is a path of this machine"),
    "calibration data is a path": (lambda b: zk.compile(MODEL, DIGITS / "calibration.npy"), "numpy.load("),
    "calibration data is of another model": (lambda b: zk.compile(MODEL, b.typical[:, :5]), "shape (samples, 64)"),
    "there is no calibration data": (lambda b: zk.compile(MODEL, b.typical[:0]), "got no samples"),
    "a circuit's file in the place of a circuit": (
        lambda b: zk.setup("m.zkcircuit"),  # type: ignore[arg-type]
        "zk.Circuit.load('m.zkcircuit')",
    ),
    "keys are made where there are keys": (lambda b: zk.setup(b.circuit, folder=b.keys.folder), "another folder"),
    "an estimate of more than a proof covers": (lambda b: zk.estimate(b.circuit, samples=10**9), "at most 1,048,576"),
    "a model in the place of a circuit": (lambda b: zk.Circuit.load(MODEL), "zkinfer compile MODEL"),
    "verify in the wrong order, of files": (
        lambda b: verify(b.keys.commitment.to_bytes(), b.proof.to_bytes(), X),
        "verify(proof, commitment)",
    ),
    "inputs before the commitment": (
        lambda b: verify(b.proof, X, b.keys.commitment),  # type: ignore[arg-type]
        "verify(proof, commitment, inputs)",
    ),
    "inputs of more samples": (lambda b: b.verify(np.concatenate([X, X])), "hand in what it was made for"),
    "a folder in the place of a model": (lambda b: zk.compile(DIGITS, b.typical), "name a file"),
    "a job where there is none": (lambda b: jobs.status(DIGITS), "zkinfer batch run begins a job"),
    "the outcome of a job where there is none": (
        lambda b: jobs.verify_job(DIGITS, b.keys.commitment, DIGITS / "calibration.npy"),
        "holds no manifest.zkm",
    ),
    "a job of a table of text": (lambda b: jobs.run("job", b.keys, ROOT / "README.md"), "numpy.save"),
    "no inputs in an array": (lambda b: zk.prove(b.keys, X[:0]), "holds no samples"),
    "a backend that does not exist": (lambda b: zk.setup(b.circuit, backend="halo"), "choose one of: native, ezkl"),
    "pixels that were not scaled": (lambda b: zk.prove(b.keys, X * 255), "Rescale the data"),
    "numbers as text": (lambda b: zk.prove(b.keys, X.astype(str)), "convert it to float64"),
    "samples in a list": (lambda b: zk.prove(b.keys, [X, X]), "numpy.stack"),
    "a circuit proves": (lambda b: zk.prove(b.circuit, X), "zk.setup(circuit)"),  # type: ignore[arg-type]
    "keys by their folder": (lambda b: zk.prove("keys", X), "zk.Keys.load('keys')"),  # type: ignore[arg-type]
    "prove in the wrong order": (lambda b: zk.prove(X, b.keys), "prove(keys, x)"),  # type: ignore[arg-type]
    "a context of text": (lambda b: zk.prove(b.keys, X, context="request 1"), "text.encode()"),  # type: ignore[arg-type]
    "verify in the wrong order": (lambda b: verify(b.keys.commitment, b.proof, X), "verify(proof, commitment)"),  # type: ignore[arg-type]
    "keys in the place of a commitment": (lambda b: verify(b.proof, b.keys, X), "its .commitment"),  # type: ignore[arg-type]
    "a circuit in the place of a commitment": (
        lambda b: verify(b.proof, b.circuit, X),  # type: ignore[arg-type]
        "zk.setup(circuit).commitment",
    ),
    "there is no folder of keys": (lambda b: zk.Keys.load("nokeys"), "nokeys; `zkinfer setup` makes one"),
    "another folder in the place of keys": (lambda b: zk.Keys.load(DIGITS), "Name the folder that `zkinfer setup`"),
    "inputs of another model": (lambda b: zk.prove(b.keys, b.typical), "a circuit has the shapes that it was compiled"),
    "a file in the place of keys": (lambda b: zk.Keys.load(MODEL), "the order is `zkinfer prove KEYS INPUT`"),
    "compile in the wrong order": (lambda b: zk.compile(b.typical, MODEL), "wrong order: compile(model, calibration)"),
    "an array in the place of a model": (
        lambda b: zk.compile(b.typical, b.typical),
        "a torch module or a fitted estimator; got ndarray",
    ),
    "weights without their module": (
        lambda b: zk.compile({"weight": b.typical}, b.typical),
        "hand in the module: zkinfer.compile(module, samples)",
    ),
    "a commitment's file in the place of a circuit's": (
        lambda b: zk.Circuit.load(Path(str(b.keys.folder)) / "commitment.zkc"),
        "where 'circuit' is needed: a commitment holds no weights; name the circuit file",
    ),
    "inputs that are not numbers": (lambda b: zk.prove(b.keys, X * np.nan), "remove or replace them"),
    "inputs are forgotten": (
        lambda b: b.verify(None),
        "hand in its values (inputs=, on the command line --inputs FILE)",
    ),
    "the context is forgotten": (lambda b: b.verify(context=b""), "context="),
    "inputs of another request": (lambda b: b.verify(X / 2), "those that the model was run on"),
    "outputs of the float model": (lambda b: b.verify(outputs=b.outputs + 1e-4), "leave them out"),
    "outputs that were rounded": (lambda b: b.verify(outputs=b.outputs.round(3)), "decimals=3"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_line_says_what_to_do(bench: Bench, mistake: str) -> None:
    make, advice = MISTAKES[mistake]
    with pytest.raises(ZkinferError) as caught:
        make(bench)
    said = str(caught.value)
    assert advice in said, said
    assert "\n" not in said
    assert bench.keys.proofs_left == 1, "a mistake costs nothing of the budget"
