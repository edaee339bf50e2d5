"""The demonstration: it comes out as it says, and its forgeries are forgeries."""

import io
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from rich.console import Console
from support.example_programs import mlp

import zkinfer as zk
from zkinfer.demo import run_demo
from zkinfer.demo.digits import Reference, run_float
from zkinfer.demo.forgeries import changed_answer, made_for, tampered_model
from zkinfer.demo.story import draw_digit
from zkinfer.demo.third_party import PROVER_PACKAGES, Attempt, ThirdParty
from zkinfer.errors import InvalidInputError, InvalidProofError, ProvingError
from zkinfer.files.native_key import DEFAULT_PROOFS
from zkinfer.files.proof import OutputTensor, Proof
from zkinfer.verifier import verify

CIRCUITS = Path(__file__).parent.parent.parent / "circuits"


@pytest.fixture
def proof() -> Proof:
    return Proof("sumcheck", bytes(32), (OutputTensor.of(np.array([[-5, 70, 9]]), 4),), b"proof")


def test_it_comes_out_as_it_says(tmp_path: Path) -> None:
    """Here the third party runs in this environment; `make demo` gives it one of its own."""
    console = Console(file=io.StringIO(), width=100)
    assert run_demo(CIRCUITS, tmp_path / "out", None, sample=1, console=console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.count("accepted") == 1
    assert text.count("refused") == 5
    # A wrong statement has other challenges. Seldom they ask for more columns than a proof has: its form is wrong then.
    assert text.count("(cryptographic check)") + text.count("(proof file)") == 5, "the proof refuses them, no digest"
    assert text.index("kernels are compiled") < text.index("making the keys"), "in a step of its own, first"
    assert [line.split()[-3:] for line in text.splitlines() if "digits in one proof" in line] == [["32", "1", "1"]]
    assert f"for {DEFAULT_PROOFS:,} proofs" in text
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "another-model.zkc",
        "another-model.zkp",
        "changed-answer.zkp",
        "changed-digits.npy",
        "changed-digits.zkp",
        "digits.npy",
        "ezkl.zkc",
        "ezkl.zkp",
        "for-another-model.zkp",
        "model.zkc",
        "one-digit.npy",
        "one-digit.zkp",
        "proof.zkp",
        "used-again.zkp",
    ]


def test_tampered_model_differs_in_one_weight_and_in_its_answer() -> None:
    reference = Reference.load(CIRCUITS / "digits-cnn")
    model = onnx.load(str(reference.model))
    changed = tampered_model(model, favoured=3)
    pairs = zip(model.graph.initializer, changed.graph.initializer, strict=True)
    differences = [np.sum(numpy_helper.to_array(a) != numpy_helper.to_array(b)) for a, b in pairs]
    assert sum(differences) == 1
    assert [n.op_type for n in changed.graph.node] == [n.op_type for n in model.graph.node]


def test_changed_answer_changes_the_claim_alone(proof: Proof) -> None:
    forged = changed_answer(proof, favoured=2)
    assert np.asarray(forged.outputs).argmax() == 2
    assert (forged.data, forged.commitment_digest) == (proof.data, proof.commitment_digest)


def test_digests_of_a_forgery_are_those_of_an_honest_proof() -> None:
    """Made for its own statement again, a proof is the same; for another one only digests change."""
    example = mlp()
    keys = zk.setup(zk.Circuit(example.program, example.weights, (), b""), proofs=2)
    x = np.array([[0.5, -0.25, 1.0]])
    honest = zk.prove(keys, x, context=b"1")
    assert made_for(honest, keys.commitment, x, b"1") == honest
    forged = made_for(honest, keys.commitment, x, b"2")
    assert (forged.data, forged.outputs.tolist()) == (honest.data, honest.outputs.tolist())  # type: ignore[union-attr]
    with pytest.raises(InvalidProofError):
        verify(forged, keys.commitment, x, context=b"2")


def test_missing_reference_model_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="in a clone of the repository"):
        run_demo(tmp_path, tmp_path / "out", None)


def test_sample_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="samples 0 to 359"):
        run_demo(CIRCUITS, tmp_path / "out", None, sample=360)


def test_third_party_without_a_verdict_is_an_error(tmp_path: Path) -> None:
    """Files that are not there are no refusal of a proof."""
    with pytest.raises(ProvingError, match="ended with code 3"):
        ThirdParty(Path(sys.executable), tmp_path).verify(Attempt())


def test_third_party_sees_which_packages_there_are(tmp_path: Path) -> None:
    assert ThirdParty(Path(sys.executable), tmp_path).prover_packages() == list(PROVER_PACKAGES)


def test_float_model_reaches_the_accuracy_of_its_card() -> None:
    reference = Reference.load(CIRCUITS / "digits-cnn")
    outputs = run_float(reference.session(), reference.held_out)
    assert (outputs.argmax(axis=1) == reference.labels).mean() == pytest.approx(
        reference.card["accuracy"]["held_out"], abs=1e-4
    )


def test_a_drawn_digit_is_eight_lines_of_ink() -> None:
    image = np.zeros((1, 8, 8), dtype=np.float32)
    image[0, 0, 0] = 1
    lines = draw_digit(image).splitlines()
    assert len(lines) == 8
    assert lines[0].strip() == "@@"
    assert not "".join(lines[1:]).strip()
