"""`zkinfer inspect`: any file in words, without any prover package."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from zkinfer.circuit.program import PROGRAM_VERSION, Lookup, Program, Tensor
from zkinfer.circuit.table import Table
from zkinfer.cli import app, inspect_batch
from zkinfer.ezkl.verifying_key import EzklVerifyingKey, Srs
from zkinfer.files.artifact import wrap
from zkinfer.files.commitment import Commitment, fingerprint_of
from zkinfer.files.kinds import EARLIER, KEY_SECRET, ROTATION
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.proof import OutputTensor, PrivateTensor, Proof
from zkinfer.files.rotation import Rotation
from zkinfer.jobs.manifest import JobBatch, Manifest


@pytest.fixture
def commitment() -> Commitment:
    program = Program(
        version=PROGRAM_VERSION,
        inputs=(Tensor("pixels", (1, 3), 4, -16, 16),),
        weights=(),
        tables=(Table("relu", -16, tuple(max(0, i) for i in range(-16, 17))),),
        nodes=(Lookup(Tensor("activation", (1, 3), 4, 0, 16), source=0, table=0, shift=0),),
        outputs=(1,),
    )
    srs = Srs(logrows=8, digest=bytes(32), test_only=True)
    return Commitment(program, EzklVerifyingKey("23.0.5", b"{}", b"key", b"contract", srs, (), 0))


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def test_commitment(commitment: Commitment, tmp_path: Path) -> None:
    commitment.save(tmp_path / "model.zkc")
    code, text = run("inspect", str(tmp_path / "model.zkc"))
    assert code == 0
    assert commitment.fingerprint in text
    assert "TEST ONLY" in text
    assert "1 x 3, steps of 0.0625, from -1 to 1" in text
    assert "relu" in text
    assert commitment.program_digest.hex() in text
    assert "whoever guesses all weights can confirm the guess" in text


def test_commitment_with_salt_says_for_how_many_proofs(commitment: Commitment, tmp_path: Path) -> None:
    key = EzklVerifyingKey("23.0.5", b"{}", b"key", b"contract", Srs(8, bytes(32), False), (bytes(64),), 257)
    Commitment(commitment.program, key).save(tmp_path / "model.zkc")
    code, text = run("inspect", str(tmp_path / "model.zkc"))
    assert code == 0
    assert "256 proofs" in text
    assert "TEST ONLY" not in text


def test_proof_is_described_and_not_called_valid(commitment: Commitment, tmp_path: Path) -> None:
    Proof("ezkl", commitment.digest, (OutputTensor.of(np.array([[0, 1, 2]]), 4),), b"x" * 100).save(
        tmp_path / "proof.zkp"
    )
    code, text = run("inspect", str(tmp_path / "proof.zkp"))
    assert code == 0
    assert commitment.fingerprint in text
    assert "not checked here" in text


def test_native_commitment(commitment: Commitment, tmp_path: Path) -> None:
    weights = (Tensor("w", (3, 5), 0, -1, 1),)
    program = msgspec.structs.replace(commitment.program, weights=weights, outputs=(2,))
    key = NativeVerifyingKey(bytes(range(32)), 8, 2, 60, 8, 6, 0, 0, 10)
    Commitment(program, key).save(tmp_path / "model.zkc")
    code, text = run("inspect", str(tmp_path / "model.zkc"))
    assert code == 0
    assert bytes(range(32)).hex() in text
    assert "8 rows of 4 columns and 60 random symbols" in text
    assert "10 proofs" in text
    assert "hidden behind a Merkle root" in text
    assert "KZG" not in text


SHOWN = OutputTensor.of(np.array([[0, 1, 2]]), 4)
HIDDEN = PrivateTensor((7, 3), bytes(range(32)))


@pytest.mark.parametrize(
    ("inputs", "output", "message"),
    [
        ((), SHOWN, "Public in it: the outputs. Whoever checks it needs the inputs too."),
        ((HIDDEN,), SHOWN, "Public in it: the outputs. The inputs are hidden behind a salted commitment."),
        ((), HIDDEN, "The outputs are hidden behind a salted commitment. Whoever checks it needs the inputs."),
        ((HIDDEN,), HIDDEN, "Inputs and outputs are hidden behind salted commitments."),
    ],
)
def test_what_a_proof_reveals(
    tmp_path: Path, inputs: tuple[PrivateTensor, ...], output: OutputTensor | PrivateTensor, message: str
) -> None:
    Proof("sumcheck", bytes(32), (output,), b"x", inputs).save(tmp_path / "proof.zkp")
    code, text = run("inspect", str(tmp_path / "proof.zkp"))
    assert code == 0
    assert message in text
    assert "Not shown: the weights" in text
    assert text.count(HIDDEN.root.hex()) == (output is HIDDEN) + len(inputs)
    assert ("hidden input 0" in text) == bool(inputs)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a zkinfer file"),
        (b"something else entirely, and long enough to hold a header of ours", "not a zkinfer file"),
        (wrap("what", 1, b""), "unknown kind, 'what'"),
        (wrap("comm", 1, b"")[:20], "cut off within its header"),
    ],
)
def test_other_files_are_bad_input(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "file").write_bytes(content)
    code, text = run("inspect", str(tmp_path / "file"))
    assert code == 3
    assert message in text
    advice = "inspect reads .zkcircuit, .zkc, .zkp, .zkr, .zkm and .zki files and folders of keys"
    assert (advice in text) == ("unknown kind" not in message)


def test_a_model_is_to_be_compiled_first(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(bytes(100))
    code, text = run("inspect", str(tmp_path / "model.onnx"))
    assert (code, "of a model, zkinfer compile makes a .zkcircuit" in text) == (3, True)


@pytest.mark.parametrize("name", ["graph.png", "graph.PDF", "graph.jpg", "graph.jpeg"])
def test_no_graphviz_text_under_the_name_of_a_picture(commitment: Commitment, tmp_path: Path, name: str) -> None:
    commitment.save(tmp_path / "model.zkc")
    code, text = run("inspect", str(tmp_path / "model.zkc"), "--graph", str(tmp_path / name))
    assert code == 3
    assert "pictures are .svg; any other name gets Graphviz text" in text
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("change", [lambda d: d[:-1], lambda d: d + b"\0", lambda d: d[:-1] + bytes([d[-1] ^ 1])])
def test_damaged_commitment_is_refused(
    commitment: Commitment, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    (tmp_path / "model.zkc").write_bytes(change(commitment.to_bytes()))
    code, text = run("inspect", str(tmp_path / "model.zkc"))
    assert code == 1
    assert "REFUSED (commitment file)" in text


def test_secrets_are_named_and_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.zkk").write_bytes(wrap(KEY_SECRET.tag, KEY_SECRET.version, b"secret"))
    code, text = run("inspect", str(tmp_path / "secret.zkk"))
    assert code == 0
    assert f"{KEY_SECRET.name}, version {KEY_SECRET.version}" in text
    assert "It holds the weights, or the seed" in text


@pytest.mark.parametrize(
    ("name", "reason"), [("pipe", "cannot read"), ("folder", "is not a folder of keys"), ("none", "cannot read")]
)
def test_what_is_no_file_is_bad_input(name: str, reason: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    code, text = run("inspect", str(tmp_path / name))
    assert code == 3
    assert reason in text


def test_no_more_than_the_header_is_read_of_what_is_not_described(tmp_path: Path) -> None:
    """A file of secrets, or of an unknown kind, may have any size."""
    with (tmp_path / "secret.zkk").open("wb") as file:
        file.write(wrap(KEY_SECRET.tag, KEY_SECRET.version, b""))
        file.truncate(1 << 40)
    assert run("inspect", str(tmp_path / "secret.zkk"))[0] == 0


def test_a_short_manifest_of_many_items_is_described_without_counting_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, count = 1 << 24, 20
    batches = tuple(
        JobBatch(n * size, (n + 1) * size, (), b"", b"", f"{n:016}.proof", bytes([n]) * 32) for n in range(count)
    )
    shared = (bytes(32), bytes(32), b"", False, True, True)
    Manifest(*shared, 1, size, count * size, batches, ()).save(tmp_path / "manifest.zkm")
    monkeypatch.setattr(inspect_batch, "receipt_of", lambda _: pytest.fail("the items were counted"))
    code, text = run("inspect", str(tmp_path / "manifest.zkm"))
    assert code == 0
    assert f"{count * size:,}" in text
    assert f"for commitment {fingerprint_of(bytes(32))} items" in " ".join(text.split()), "as the owner publishes it"
    assert "minutes or more: shown with --all" in text
    monkeypatch.setattr(inspect_batch, "receipt_of", lambda _: bytes(range(32)))
    assert bytes(range(32)).hex() in run("inspect", str(tmp_path / "manifest.zkm"), "--all")[1]


def test_the_program_is_written_as_a_graph(commitment: Commitment, tmp_path: Path) -> None:
    commitment.save(tmp_path / "model.zkc")
    code, _ = run("inspect", str(tmp_path / "model.zkc"), "--graph", str(tmp_path / "model.dot"))
    assert code == 0
    assert (tmp_path / "model.dot").read_text().startswith("digraph program {")
    Rotation(bytes(32), bytes(32), b"", 0, 0, b"", 0, b"", b"proof").save(tmp_path / "model.zkr")
    code, text = run("inspect", str(tmp_path / "model.zkr"), "--graph", str(tmp_path / "model.dot"))
    assert code == 3
    assert "a rotation holds no program" in text


@pytest.mark.parametrize("tag", EARLIER)
def test_kinds_of_early_versions_are_named_and_not_read(tag: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(wrap(tag, 1, b"anything"))
    code, text = run("inspect", str(tmp_path / "file"))
    assert code == 0
    assert "an early version of zkinfer 0.1" in text


def test_rotation(tmp_path: Path) -> None:
    Rotation(bytes(32), bytes(range(32)), b"", 0, 0, b"", 0, b"", b"proof").save(tmp_path / "model.zkr")
    code, text = run("inspect", str(tmp_path / "model.zkr"))
    assert code == 0
    assert f"rotation, version {ROTATION.version}" in text
    assert bytes(range(32)).hex() in text


def test_labels_from_the_file_are_text_not_markup(commitment: Commitment, tmp_path: Path) -> None:
    """A stranger's label must not colour or hide anything in the terminal."""
    program = commitment.program
    (pixels,) = program.inputs
    named = Tensor("[red]pixels[/red]\x1b[31m", pixels.shape, pixels.frac_bits, pixels.lo, pixels.hi)
    hostile = Program(program.version, (named,), (), program.tables, program.nodes, program.outputs)
    Commitment(hostile, commitment.key).save(tmp_path / "model.zkc")
    code, text = run("inspect", str(tmp_path / "model.zkc"))
    assert code == 0
    assert "[red]pixels[/red]" in text
    assert "\x1b[31m" not in text
