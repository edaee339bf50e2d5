"""`verify`: golden proofs are accepted, and any change of the statement or of the proof is refused by its name."""

import dataclasses
import importlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from zkinfer.errors import (
    CommitmentMismatchError,
    InvalidProofError,
    MalformedCommitmentError,
    MalformedProofError,
    StatementError,
    VerificationError,
    VerifierUnavailableError,
)
from zkinfer.ezkl.verifier import halo2
from zkinfer.files.commitment import Commitment
from zkinfer.files.proof import OutputTensor, PrivateTensor, Proof
from zkinfer.files.statement import MAX_CONTEXT_BYTES
from zkinfer.verifier import remembered

verifier = importlib.import_module("zkinfer.verifier.verify")
WORD = 32

# WitnessJudge.


def test_golden_proofs_still_verify(vector: Any) -> None:
    result = vector.verify()
    outputs = result.outputs if isinstance(result.outputs, tuple) else (result.outputs,)
    claimed = vector.proof.outputs if isinstance(vector.proof.outputs, tuple) else (vector.proof.outputs,)
    for proven, said in zip(outputs, claimed, strict=True):
        np.testing.assert_array_equal(proven, said)
    assert result.fingerprint == vector.fingerprint
    assert result.program_digest == vector.commitment.program_digest.hex()
    assert result.context == vector.context
    assert result.runs == 1
    assert result.input_commitments == (None,) * len(vector.inputs)
    assert result.engine == "python"
    assert result.seconds > 0


def test_outputs_are_those_of_the_model(dense: Any) -> None:
    """The golden model in floating point: relu of a matrix product, on the grid of 1/8, at most 40/8."""
    rng = np.random.default_rng(1)
    w, b = rng.integers(-7, 8, (6, 4)), rng.integers(-60, 60, (4,))
    x = np.asarray(dense.inputs[0]) * 8
    expected = np.clip(np.floor((x @ w + b + 4) / 8), 0, 40) / 8
    np.testing.assert_array_equal(dense.verify().outputs, expected)
    assert expected.any()


def test_files_bytes_and_objects_are_all_welcome(dense: Any, data: Path) -> None:
    proof, commitment = data / "dense.proof", data / "dense.zkc"
    assert dense.verify(proof=proof, commitment=str(commitment)).fingerprint == dense.fingerprint
    changes = {"proof": bytearray(proof.read_bytes()), "commitment": memoryview(commitment.read_bytes())}
    assert dense.verify(**changes).fingerprint == dense.fingerprint


def test_a_commitment_is_decoded_once_and_what_was_changed_is_another(
    dense: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes, and what stands in a file at the time, are compared in full with those that were decoded before."""
    decoded: list[bytes] = []
    from_payload = Commitment._decoded

    def counted(payload: bytes) -> Commitment:
        decoded.append(payload)
        return from_payload(payload)

    monkeypatch.setattr(Commitment, "_decoded", counted)
    right, other = (data / "dense.zkc").read_bytes(), (data / "product.zkc").read_bytes()
    remembered.forget()
    path = tmp_path / "model.zkc"
    path.write_bytes(right)
    for source in (right, bytearray(right), path):
        assert dense.verify(commitment=source).fingerprint == dense.fingerprint
    assert len(decoded) == 1
    own = Commitment.of(right)
    own.program, own.key = None, None  # type: ignore[assignment]
    assert dense.verify(commitment=right).fingerprint == dense.fingerprint
    path.write_bytes(other)
    with pytest.raises(CommitmentMismatchError):
        dense.verify(commitment=path)
    damaged = bytearray(right)
    for place in (len(right) // 2, -1):
        damaged[place] ^= 1
        for _ in range(2):
            with pytest.raises(MalformedCommitmentError):
                dense.verify(commitment=damaged)


def test_result_is_safe_to_hand_around(dense: Any) -> None:
    result = dense.verify()
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.engine = "none"
    assert not result.outputs.flags.writeable
    assert not result.inputs.flags.writeable


def test_result_says_what_it_rests_on(dense: Any) -> None:
    result = dense.verify()
    assert result.test_only
    assert "TEST ONLY" in repr(result)
    assert "about 100 bits" in result.security
    assert result.security_bits == 100
    assert "the inputs, the outputs" in result.public
    assert result.zero_knowledge.startswith("hidden: the weights")
    assert "TEST ONLY" not in repr(dataclasses.replace(result, test_only=False))


def test_inputs_of_the_result_are_the_grid_values(dense: Any) -> None:
    """A hundredth of the grid's step is rounded away: what was proven is in the result."""
    x = dense.inputs[0]
    result = dense.verify(inputs=x + 0.001)
    np.testing.assert_array_equal(result.inputs, x)


def test_stated_outputs_may_be_right(dense: Any, product: Any) -> None:
    assert dense.verify(outputs=dense.proof.outputs).fingerprint == dense.fingerprint
    assert product.verify(outputs=list(product.proof.outputs)).fingerprint == product.fingerprint


def test_saturated_inputs(dense: Any) -> None:
    """The golden input holds the largest value; what lies beyond it is the same input once clipped."""
    tensor = dense.commitment.program.inputs[0]
    top, x = tensor.hi / 2**tensor.frac_bits, dense.inputs[0].copy()
    bottom = tensor.lo / 2**tensor.frac_bits
    assert ((x == top) | (x == bottom)).any()
    beyond = np.where(x == top, 100.0, np.where(x == bottom, -100.0, x))
    with pytest.raises(StatementError, match="outside"):
        dense.verify(inputs=beyond)
    result = dense.verify(inputs=beyond, saturate=True)
    np.testing.assert_array_equal(result.inputs, x)
    assert result.clipped == (beyond != x).sum()
    assert f"inputs with {result.clipped} of {x.size} values clipped" in repr(result)
    assert dense.verify(inputs=x, saturate=True).clipped == 0
    assert "clipped" not in repr(dense.verify(inputs=x))


# The statement: one field at a time.


def test_another_input(dense: Any) -> None:
    with pytest.raises(InvalidProofError):
        dense.verify(inputs=-dense.inputs[0])


def test_another_output(dense: Any) -> None:
    with pytest.raises(InvalidProofError):
        dense.verify(proof=dense.bend_values(lambda v: v + np.array([1, 0, 0, 0])))


def test_inputs_in_another_order(product: Any) -> None:
    with pytest.raises(InvalidProofError):
        product.verify(inputs=product.inputs[::-1])


@pytest.mark.parametrize("context", [b"", b"golden vectoR", b"golden vector\0", b"golden"])
def test_proof_is_no_good_under_another_context(dense: Any, context: bytes) -> None:
    with pytest.raises(InvalidProofError):
        dense.verify(context=context)


@pytest.mark.parametrize("context", ["golden vector", 13, None, [1]])
def test_context_is_bytes(dense: Any, context: Any) -> None:
    with pytest.raises(StatementError, match="bytes are needed"):
        dense.verify(context=context)


def test_context_has_a_limit(dense: Any) -> None:
    with pytest.raises(StatementError, match="over the limit"):
        dense.verify(context=bytes(MAX_CONTEXT_BYTES + 1))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([np.zeros((1, 5))], "shape"),
        ([np.full((1, 6), np.nan)], "NaN"),
        ([np.full((1, 6), 2.0)], "outside"),
        ([np.zeros((1, 6))] * 2, "2 arrays"),
        ([], "0 arrays"),
        (None, "public in this proof"),
        (bytes(32), "public in this proof"),
    ],
)
def test_inputs_that_are_no_statement(dense: Any, inputs: Any, message: str) -> None:
    with pytest.raises(StatementError, match=message):
        dense.verify(inputs=inputs)


def test_stated_output_that_was_not_proven(dense: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused before any cryptography."""
    monkeypatch.setattr(halo2.EvmVerifier, "check", None)
    outputs = np.array(dense.proof.outputs)
    outputs[0, 2] += 0.125
    with pytest.raises(StatementError, match=r"at index \(0, 2\)"):
        dense.verify(outputs=outputs)


def test_digits_of_outputs_that_are_not_handed_in_are_refused(dense: Any) -> None:
    with pytest.raises(StatementError, match="hand them in"):
        dense.verify(decimals=2)


def test_claims_must_be_outputs_of_the_program(dense: Any, other_output: Any) -> None:
    for proof in (
        dense.bend_proof(outputs=(other_output,)),
        dense.bend_proof(outputs=()),
        dense.bend_output(frac_bits=2),
        dense.bend_output(shape=(4, 1)),
        dense.bend_values(lambda v: v + 10**6),
        dense.bend_output(values=b""),
        dense.bend_output(values=bytes(8)),
        dense.bend_proof(private_inputs=(None, None)),
    ):
        with pytest.raises(MalformedProofError, match=r"claim|speaks of 2 inputs"):
            dense.verify(proof=proof)


def test_ezkl_proofs_hide_no_inputs_and_outputs_and_are_of_one_run(dense: Any) -> None:
    hidden_input = (PrivateTensor((1, 6), bytes(32)),)
    hidden_output = (PrivateTensor((1, 4), bytes(32)),)
    several = OutputTensor.of(np.zeros((2, 4), dtype=np.int64), 3)
    for changes, inputs in (
        ({"private_inputs": hidden_input}, None),
        ({"outputs": hidden_output}, dense.inputs),
        ({"outputs": (several,)}, np.zeros((2, 6))),
    ):
        with pytest.raises(MalformedProofError, match="no proof of the ezkl backend"):
            dense.verify(proof=dense.bend_proof(**changes), inputs=inputs)


# The commitment.


def test_proof_for_another_commitment(dense: Any, product: Any, columns: Any) -> None:
    for mine, other in ((dense, product), (columns, dense)):
        with pytest.raises(CommitmentMismatchError, match="another commitment"):
            mine.verify(proof=other.proof)


def test_proof_readdressed_to_another_commitment(dense: Any) -> None:
    """Same key, other test-only label: everything fits but the statement's words."""
    relabelled = msgspec.structs.replace(dense.commitment.key.srs, digest=bytes(32))
    with pytest.raises(InvalidProofError):
        dense.verify_with(dense.bend_key(srs=relabelled))


def test_program_edited_under_the_same_key(dense: Any) -> None:
    """A renamed tensor leaves all sizes alone, but not the digest that the statement holds."""
    program = dense.commitment.program
    renamed = msgspec.structs.replace(program.inputs[0], label="y")
    commitment = dense.bend_program(msgspec.structs.replace(program, inputs=(renamed,)))
    with pytest.raises(InvalidProofError):
        dense.verify_with(commitment)


def test_wider_bounds_in_the_program(dense: Any) -> None:
    """An edited table changes the program's digest, hence the statement."""
    program = dense.commitment.program
    table = msgspec.structs.replace(program.tables[0], values=(1, *program.tables[0].values[1:]))
    with pytest.raises(InvalidProofError):
        dense.verify_with(dense.bend_program(msgspec.structs.replace(program, tables=(table,))))


def test_published_points_of_other_weights(dense: Any, columns: Any) -> None:
    other = dense.bend_key(weight_points=columns.points[:1])
    with pytest.raises(CommitmentMismatchError, match="other weights"):
        dense.verify_with(other)


def test_points_swapped_in_the_proof_too(dense: Any, columns: Any) -> None:
    """The commitment of other weights, put in front of the proof as `ezkl.swap_proof_commitments` does."""
    (point,) = columns.points[:1]
    other = dense.bend_key(weight_points=(point,))
    with pytest.raises(InvalidProofError):
        dense.verify(commitment=other, proof=dense.bend_proof(point + dense.proof.data[64:], commitment=other))


def test_points_in_another_order(columns: Any) -> None:
    first, second, third = columns.points
    swapped = columns.bend_key(weight_points=(second, first, third))
    with pytest.raises(CommitmentMismatchError, match="other weights"):
        columns.verify_with(swapped)
    data = second + first + columns.proof.data[128:]
    with pytest.raises(InvalidProofError):
        columns.verify(commitment=swapped, proof=columns.bend_proof(data, commitment=swapped))


def test_artifact_of_the_same_shape_from_another_key(dense: Any) -> None:
    """A constant of the key changed: the artifact is sound in itself, the proof is not one of it."""
    source = dense.commitment.key.artifact.decode()
    line = next(line for line in source.splitlines() if line.endswith("// fixed_comms[0].x"))
    y_line = next(line for line in source.splitlines() if line.endswith("// fixed_comms[0].y"))
    edited = source.replace(line, line.split(",")[0] + ", 1)").replace(y_line, y_line.split(",")[0] + ", 2)")
    with pytest.raises(InvalidProofError):
        dense.verify_with(dense.bend_key(artifact=edited.encode()))


def test_other_backend(dense: Any) -> None:
    with pytest.raises(CommitmentMismatchError, match="'native'"):
        dense.verify(proof=dense.bend_proof(backend="sumcheck"))


# The proof's length, and things that are not files.


def test_length_is_canonical(dense: Any) -> None:
    data = dense.proof.data
    for bent in (b"", data[:-1], data[:-32], data + b"\0", data + bytes(32), data * 2):
        with pytest.raises(MalformedProofError, match="truncated or extended"):
            dense.verify(proof=dense.bend_proof(bent))


@pytest.mark.parametrize("source", [None, 5, 1.5, [], {}, object()])
def test_things_that_are_no_file(dense: Any, source: Any) -> None:
    with pytest.raises(MalformedProofError, match="bytes or a path"):
        dense.verify(proof=source)
    with pytest.raises(MalformedCommitmentError, match="bytes or a path"):
        dense.verify(commitment=source)


def test_missing_files(dense: Any, tmp_path: Path) -> None:
    with pytest.raises(MalformedProofError, match="cannot read"):
        dense.verify(proof=tmp_path / "missing")
    with pytest.raises(MalformedCommitmentError, match="cannot read"):
        dense.verify(commitment=tmp_path / "missing")
    with pytest.raises(MalformedProofError, match="cannot read"):
        dense.verify(proof="nul\0byte")


@pytest.mark.parametrize("error", [MemoryError, RecursionError])
def test_exhausted_resources_say_nothing_about_the_proof(
    dense: Any, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def exhausted(*_: object) -> None:
        raise error

    monkeypatch.setattr(halo2.EvmVerifier, "check", exhausted)
    with pytest.raises(VerifierUnavailableError, match=f"{error.__name__}"):
        dense.verify()


def test_stack_that_is_nearly_used_up(dense: Any) -> None:
    """Called from deep inside a program: a named error or an answer, never RecursionError."""

    def deeper(levels: int) -> Any:
        return dense.verify() if levels == 0 else deeper(levels - 1)

    for levels in (800, 870, 920):
        try:
            deeper(levels)
        except VerifierUnavailableError:
            return
        except RecursionError:
            pytest.fail("RecursionError escaped")


def test_warnings_as_errors_do_not_escape(dense: Any) -> None:
    """Extreme formats overflow float64 on the way to real numbers; numpy warns, which may be an error somewhere."""
    program = dense.commitment.program
    extreme = msgspec.structs.replace(program.inputs[0], frac_bits=512)
    commitment = dense.bend_program(msgspec.structs.replace(program, inputs=(extreme,)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(StatementError, match="outside"):
            dense.verify_with(commitment, inputs=np.full((1, 6), 1e300))
        with pytest.raises(InvalidProofError):
            dense.verify_with(commitment, inputs=np.full((1, 6), 5e-324))


def test_engine_is_one_of_three(dense: Any) -> None:
    with pytest.raises(VerifierUnavailableError, match="no engine 'fast'"):
        dense.verify(engine="fast")


@pytest.mark.parametrize(
    "order",
    [
        ("commitment", "proof", MalformedCommitmentError),
        ("proof", "inputs", MalformedProofError),
    ],
)
def test_first_thing_wrong_is_the_one_named(dense: Any, order: tuple[str, str, type[Exception]]) -> None:
    first, second, error = order
    with pytest.raises(error):
        dense.verify(**{first: b"", second: b""})


def counting(function: Callable[..., Any], calls: list[str], name: str) -> Callable[..., Any]:
    """The function, with each call written down."""

    def counted(*arguments: Any) -> Any:
        calls.append(name)
        return function(*arguments)

    return counted


def test_cheap_checks_come_before_the_pairing(dense: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(halo2.EvmVerifier, "check", counting(halo2.EvmVerifier.check, calls, "check"))
    for changes in (
        {"context": "text"},
        {"inputs": [np.zeros((1, 5))]},
        {"proof": dense.bend_proof(dense.proof.data + b"\0")},
        {"proof": Proof("ezkl", bytes(32), dense.proof.output_tensors, dense.proof.data)},
    ):
        with pytest.raises(VerificationError):
            dense.verify(**changes)
    assert calls == []
    dense.verify()
    assert calls == ["check"]
