"""ezkl's own verifier as the second opinion: both say the same, and whatever goes wrong with it has a name."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zkinfer.errors import (
    CommitmentMismatchError,
    InvalidProofError,
    MalformedCommitmentError,
    MalformedProofError,
    UnusableStatementError,
    VerificationError,
    VerifierUnavailableError,
)
from zkinfer.ezkl.verifier import engine as ezkl_engine
from zkinfer.ezkl.verifier import halo2
from zkinfer.ezkl.verifier.bn254 import SCALAR_MODULUS

WORD = 32


def refusals(vector: Any, **changes: Any) -> set[type[VerificationError]]:
    """The errors with which each engine refuses."""
    found = set()
    for engine in ("python", "ezkl"):
        with pytest.raises(VerificationError) as caught:
            vector.verify(engine=engine, **changes)
        found.add(type(caught.value))
    return found


def altered(data: bytes, index: int) -> bytes:
    word = int.from_bytes(data[WORD * index : WORD * (index + 1)], "big") ^ 1
    return data[: WORD * index] + word.to_bytes(WORD, "big") + data[WORD * (index + 1) :]


@pytest.mark.parametrize("engine", ["ezkl", "both"])
def test_golden_proofs_are_accepted(vector: Any, engine: str) -> None:
    result = vector.verify(engine=engine)
    assert result.engine == engine
    assert result.fingerprint == vector.fingerprint


@pytest.mark.parametrize("index", [2, 21, 40, 59, 70, -4, -3, -1])
def test_both_refuse_an_altered_word(dense: Any, index: int) -> None:
    count = len(dense.proof.data) // WORD
    proof = dense.bend_proof(altered(dense.proof.data, index % count))
    assert refusals(dense, proof=proof) == {InvalidProofError}


def test_both_refuse_a_second_encoding(dense: Any) -> None:
    data = dense.proof.data
    for index in (70, 80):
        value = int.from_bytes(data[WORD * index : WORD * (index + 1)], "big") + SCALAR_MODULUS
        bent = data[: WORD * index] + value.to_bytes(WORD, "big") + data[WORD * (index + 1) :]
        assert refusals(dense, proof=dense.bend_proof(bent)) == {InvalidProofError}


def test_both_refuse_another_statement(dense: Any, product: Any) -> None:
    assert refusals(dense, inputs=-dense.inputs[0]) == {InvalidProofError}
    assert refusals(dense, context=b"other") == {InvalidProofError}
    assert refusals(dense, proof=dense.bend_values(lambda v: v + np.array([1, 0, 0, 0]))) == {InvalidProofError}
    assert refusals(product, inputs=product.inputs[::-1]) == {InvalidProofError}


def test_both_refuse_what_needs_no_cryptography(dense: Any, columns: Any) -> None:
    assert refusals(dense, proof=dense.bend_proof(dense.proof.data + bytes(32))) == {MalformedProofError}
    assert refusals(dense, proof=columns.proof) == {CommitmentMismatchError}
    assert refusals(dense, inputs=np.zeros((1, 5))) == {UnusableStatementError}
    other = dense.bend_key(weight_points=columns.points[:1])
    assert refusals(dense, commitment=other, proof=dense.bend_proof(commitment=other)) == {CommitmentMismatchError}


def test_both_refuse_swapped_weight_points(dense: Any, columns: Any) -> None:
    (point,) = columns.points[:1]
    other = dense.bend_key(weight_points=(point,))
    proof = dense.bend_proof(point + dense.proof.data[64:], commitment=other)
    assert refusals(dense, commitment=other, proof=proof) == {InvalidProofError}


def test_refusal_of_both_together(dense: Any) -> None:
    with pytest.raises(InvalidProofError, match="does not show this statement"):
        dense.verify(engine="both", context=b"other")


def accept(*_: object) -> None:
    """A verifier that accepts everything."""


def refuse(*_: object) -> None:
    raise InvalidProofError("no")


@pytest.mark.parametrize(("python", "ezkl"), [(accept, refuse), (refuse, accept)])
def test_disagreement_is_a_refusal(dense: Any, monkeypatch: pytest.MonkeyPatch, python: Any, ezkl: Any) -> None:
    monkeypatch.setattr(halo2.EvmVerifier, "check", python)
    monkeypatch.setattr(ezkl_engine, "check", ezkl)
    with pytest.raises(InvalidProofError, match="disagree"):
        dense.verify(engine="both")


def test_each_engine_is_asked_alone(dense: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halo2.EvmVerifier, "check", refuse)
    dense.verify(engine="ezkl")
    with pytest.raises(InvalidProofError):
        dense.verify(engine="python")


# What can go wrong with ezkl itself.


def child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str) -> None:
    """Another program in the place of the one that asks ezkl."""
    script = tmp_path / "child.py"
    script.write_text(f"import json, os, sys, time\nos.chdir(sys.argv[1])\n{code}\n")
    monkeypatch.setattr(ezkl_engine, "_CHILD", script)


def answer(outcome: str, message: str = "", version: str = "23.0.5") -> str:
    text = json.dumps({"outcome": outcome, "message": message, "version": version})
    return f"open('outcome.json', 'w').write({text!r})"


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        (answer("absent", "No module named 'ezkl'", ""), VerifierUnavailableError, "not installed here"),
        (answer("accepted", version="23.0.4"), VerifierUnavailableError, "ezkl 23.0.4 is installed"),
        (answer("refused", "[halo2] no"), InvalidProofError, "ezkl refuses the proof"),
        (answer("refused", "[pfsys] failed to load vk"), MalformedCommitmentError, "cannot use the commitment's key"),
        (answer("nonsense"), MalformedCommitmentError, "cannot use"),
        ("os.abort()", VerifierUnavailableError, "without an answer"),
        ("sys.exit(3)", VerifierUnavailableError, "without an answer"),
        ("open('outcome.json', 'w').write('{')", VerifierUnavailableError, "without an answer"),
        (
            "open('outcome.json', 'wb').write(b'{\"outcome\": \"' + bytes([255]) + b'\"}')",
            VerifierUnavailableError,
            "without an answer",
        ),
        ("open('outcome.json', 'w').write('[' * 100000)", VerifierUnavailableError, "without an answer"),
        ("raise MemoryError", VerifierUnavailableError, "without an answer"),
        (answer("refused", "[halo2] \x1b[2J" + "x" * 10_000), InvalidProofError, r"refuses the proof: \[halo2\] \\x1b"),
    ],
)
def test_every_outcome_has_a_name(
    dense: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, error: type[Exception], message: str
) -> None:
    child(monkeypatch, tmp_path, code)
    with pytest.raises(error, match=message):
        dense.verify(engine="ezkl")


def test_hanging_ezkl_is_ended(dense: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    child(monkeypatch, tmp_path, "time.sleep(60)")
    monkeypatch.setattr(ezkl_engine, "TIMEOUT_SECONDS", 0.5)
    with pytest.raises(VerifierUnavailableError, match="did not answer within"):
        dense.verify(engine="ezkl")


def test_full_disk_has_a_name(dense: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(VerifierUnavailableError, match="No space left"):
        dense.verify(engine="ezkl")


def test_environment_of_the_caller_does_not_reach_ezkl(
    dense: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its cache is read by name, and a poisoned one changes what it does."""
    seen = tmp_path / "seen.json"
    code = f"json.dump([dict(os.environ), os.getcwd(), os.listdir('.')], open({str(seen)!r}, 'w'))\n"
    child(monkeypatch, tmp_path, code + answer("accepted"))
    monkeypatch.setenv("EZKL_REPO_PATH", "/poisoned")
    monkeypatch.setenv("EZKL_OTHER", "1")
    dense.verify(engine="ezkl")
    environment, folder, files = json.loads(seen.read_text())
    assert environment["EZKL_REPO_PATH"] == folder == environment["HOME"]
    assert "EZKL_OTHER" not in environment
    assert sorted(files) == ["proof.json", "settings.json", "srs", "vk"]
    assert not Path(folder).exists(), "nothing is left behind"


@pytest.mark.parametrize("key", [b"", b"\0" * 100, b"\xff" * 5000])
def test_unreadable_key(dense: Any, key: bytes) -> None:
    """A verifying key that ezkl cannot load: a matter of the commitment, or of ezkl, not of the proof."""
    commitment = dense.bend_key(verifying_key=key)
    with pytest.raises((MalformedCommitmentError, VerifierUnavailableError)):
        dense.verify_with(commitment, engine="ezkl")


def test_key_of_another_circuit(dense: Any, product: Any) -> None:
    commitment = dense.bend_key(verifying_key=product.commitment.key.verifying_key)
    with pytest.raises(VerificationError):
        dense.verify_with(commitment, engine="ezkl")


def test_child_says_when_ezkl_is_absent(tmp_path: Path) -> None:
    """The real child program, in an interpreter that has no packages at all."""
    source = str(Path(ezkl_engine.__file__).with_name("child.py"))
    subprocess.run([sys.executable, "-I", "-S", source, str(tmp_path)], check=True)
    assert json.loads((tmp_path / "outcome.json").read_text())["outcome"] == "absent"


def test_child_limits_its_own_memory(tmp_path: Path) -> None:
    code = "import resource, child as c; c.limit(); print(resource.getrlimit(resource.RLIMIT_AS)[0])"
    folder = str(Path(ezkl_engine.__file__).parent)
    shown = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=folder)
    assert int(shown) == 16 << 30


def test_string_for_ezkl_holds_the_points_of_the_real_one(dense: Any) -> None:
    from zkinfer.ezkl.srs import forgeable_srs

    real = forgeable_srs(dense.commitment.key.srs.logrows).read_bytes()
    small = ezkl_engine.smallest_srs(halo2.load(dense.commitment.key.artifact).negated_s_g2)
    assert small[-256:] == real[-256:]
    assert small[4:68] == real[4:68]
    assert len(small) == 128 * 2 + 260
