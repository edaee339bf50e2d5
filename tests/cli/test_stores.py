"""The commands with files in a store, from a model to a verified proof, and what stays on this machine."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.commands import as_json
from support.example_programs import mlp
from support.paths import CIRCUITS
from support.recording_keys import item_reals
from typer.testing import CliRunner

pytest.importorskip("fsspec")
pytest.importorskip("onnx")

from support.memory_store import memory_folder, names_in

import zkinfer as zk
from zkinfer.cli import app, parameters, results
from zkinfer.files.artifact import write_atomically

DIGITS = CIRCUITS / "digits-mlp"


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """In the memory of this process, which commands refuse to write to: here it outlives them."""
    with memory_folder() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(parameters, "PASSING", frozenset())
        yield folder


@pytest.fixture(scope="module")
def keys(store: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of keys for a circuit that came from the store, whose model did."""
    folder = tmp_path_factory.mktemp("keys") / "keys"
    for name in ("model.onnx", "calibration.npy"):
        write_atomically(f"{store}/{name}", (DIGITS / name).read_bytes())
    np.save(folder.parent / "x.npy", np.load(DIGITS / "held-out.npy")[:2])
    write_atomically(f"{store}/x.npy", (folder.parent / "x.npy").read_bytes())
    compiled = as_json(
        results.Compiled,
        *("compile", f"{store}/model.onnx", "--calibration", f"{store}/calibration.npy", "--plot", f"{store}/plot.png"),
        *("-o", f"{store}/model.zkcircuit", "--activation-bits", "8", "--weight-bits", "8"),
    )
    assert compiled.circuit == f"{store}/model.zkcircuit"
    made = as_json(
        results.KeysMade, "setup", compiled.circuit, "-o", folder, "--publish", f"{store}/model.zkc", "--proofs", "4"
    )
    assert made.commitment == f"{store}/model.zkc"
    return folder


def run(*words: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done.exit_code, done.output


def test_from_a_model_to_a_verified_proof(store: str, keys: Path) -> None:
    proof = f"{store}/proof.zkp"
    proven = as_json(results.ProofMade, "prove", keys, f"{store}/x.npy", "-o", proof)
    assert (proven.proof, proven.bytes) == (proof, len(zk.Proof.load(proof).to_bytes()))
    code, said = run("prove", keys, f"{store}/x.npy", "-o", proof)
    assert code == 3
    assert "--force" in said
    verified = as_json(results.Verified, "verify", proof, f"{store}/model.zkc", "--inputs", f"{store}/x.npy")
    assert verified.runs == 2
    assert as_json(results.Inspected, "inspect", proof).bytes == proven.bytes
    drawn = as_json(results.Inspected, "inspect", f"{store}/model.zkc", "--graph", f"{store}/model.svg")
    assert drawn.graph == f"{store}/model.svg"
    rotated = as_json(results.Rotated, "rotate", keys, "-o", keys.parent / "new", "--publish", f"{store}/step.zkr")
    assert rotated.rotation == f"{store}/step.zkr"
    renewed = f"{store}/renewed.zkp"
    as_json(results.ProofMade, "prove", keys.parent / "new", f"{store}/x.npy", "-o", renewed)
    words = ("verify", renewed, f"{store}/model.zkc", "--inputs", f"{store}/x.npy")
    assert as_json(results.Verified, *words, "--rotation", f"{store}/step.zkr").fingerprint == verified.fingerprint
    assert as_json(results.Written, "seed", keys, "-o", f"{store}/seed").bytes == 32
    audited = as_json(
        results.Audited,
        *("audit-commitment", f"{store}/model.zkcircuit", f"{store}/model.zkc", "--seed", f"@{store}/seed"),
    )
    assert audited.fingerprint == verified.fingerprint
    written = {"model.svg", "model.zkc", "model.zkcircuit", "plot.png", "proof.zkp", "renewed.zkp", "seed", "step.zkr"}
    assert {*names_in(store)} == {"calibration.npy", "model.onnx", "x.npy", *written}


def test_what_is_not_in_the_store_is_bad_input(store: str, keys: Path) -> None:
    code, said = run("verify", f"{store}/none.zkp", f"{store}/model.zkc", "--inputs", f"{store}/x.npy")
    assert (code, said.count("\n")) == (3, 1)
    assert f"cannot read {store}/none.zkp: No such file" in said


def test_a_proof_that_cannot_be_written_takes_nothing_from_the_budget(store: str, keys: Path) -> None:
    left = zk.Keys.load(keys).proofs_left
    code, said = run("prove", keys, f"{store}/x.npy", "-o", f"{store}/pro*f.zkp")
    assert (code, said.count("\n")) == (4, 1)
    assert "cannot write" in said
    assert zk.Keys.load(keys).proofs_left == left


@pytest.mark.parametrize(
    "words",
    [
        ("setup", "{store}/model.zkcircuit", "-o", "{store}/keys"),
        ("prove", "{store}/keys", "{store}/x.npy", "-o", "{store}/p.zkp"),
        ("rotate", "{keys}", "-o", "{store}/keys"),
        ("batch", "run", "{store}/job", "--keys", "{keys}", "--inputs", "{store}/x.npy"),
        ("batch", "verify", "{store}/job", "{store}/model.zkc", "--inputs", "{store}/x.npy"),
        ("batch", "status", "{store}/job"),
    ],
    ids=" ".join,
)
def test_folders_are_of_this_machine(store: str, keys: Path, words: tuple[str, ...]) -> None:
    left = zk.Keys.load(keys).proofs_left
    code, said = run(*(word.format(store=store, keys=keys) for word in words))
    assert (code, said.count("\n")) == (3, 1), said
    assert "is a path of this machine" in said
    assert zk.Keys.load(keys).proofs_left == left


def test_a_url_without_its_slashes_is_wrong_usage(store: str) -> None:
    assert run("inspect", "s3:/bucket/model.zkc")[0] == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_a_job_of_items_in_a_store(store: str, tmp_path: Path, workers: int) -> None:
    """The checkers with two workers are other processes, which see no memory of this one: a file:// URL there."""
    example = mlp()
    zk.setup(zk.Circuit(example.program, example.weights, (), b""), folder=tmp_path / "keys", proofs=4)
    np.save(tmp_path / "items.npy", item_reals(6))
    items = (tmp_path / "items.npy").as_uri() if workers > 1 else f"{store}/items.npy"
    write_atomically(items, (tmp_path / "items.npy").read_bytes())
    (tmp_path / "night.toml").write_text(
        f'keys = "keys"\ninputs = "{items}"\noutput = "night"\nbatch_size = 3\nexecutor = "inline"\nreport = false\n'
    )
    ran = as_json(results.JobStanding, "batch", "run", tmp_path / "night.toml")
    assert (ran.state, ran.proven) == ("complete", 6)
    checked = as_json(
        results.JobVerified,
        *("batch", "verify", tmp_path / "night", tmp_path / "keys" / "commitment.zkc", "--inputs", items),
        *("--workers", str(workers)),
    )
    assert checked.receipt == ran.receipt


def test_a_job_whose_items_in_a_store_change_is_not_resumed(store: str, tmp_path: Path) -> None:
    example = mlp()
    zk.setup(zk.Circuit(example.program, example.weights, (), b""), folder=tmp_path / "keys", proofs=4)
    np.save(tmp_path / "items.npy", item_reals(6))
    items, data = f"{store}/changing.npy", (tmp_path / "items.npy").read_bytes()
    write_atomically(items, data)
    from zkinfer import jobs

    outcome = jobs.run(tmp_path / "night", tmp_path / "keys", items, batch_size=3, stopping=lambda: True)
    assert outcome.stopped
    write_atomically(items, data)
    code, said = run("batch", "resume", tmp_path / "night", "--no-report")
    assert code == 3
    assert "changed since the job began" in said
