"""The proof file: one encoding, and claims that are outputs at all."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.artifact import unwrap, wrap
from zkinfer.errors import MalformedProofError
from zkinfer.proof import MAX_PROOF_BYTES, PROOF_KIND, PROOF_VERSION, OutputTensor, Proof

FILE = (Path(__file__).parent / "verifier" / "data" / "dense.proof").read_bytes()
PROOF = Proof.from_bytes(FILE)
PAYLOAD = unwrap(FILE, PROOF_KIND, PROOF_VERSION, max_bytes=MAX_PROOF_BYTES)


def rewrap(payload: bytes) -> bytes:
    """A file whose envelope is in order, whatever its payload is."""
    return wrap(PROOF_KIND, PROOF_VERSION, payload)


def encode(*members: Any) -> bytes:
    """A payload from loose members."""
    return msgspec.msgpack.encode(members)


def with_output(*output: Any) -> bytes:
    """The proof's file with one claimed output, from loose members."""
    return rewrap(encode("ezkl", PROOF.commitment_digest, [output], PROOF.data))


def test_file_round_trip(tmp_path: Path) -> None:
    PROOF.save(tmp_path / "answer.proof")
    assert (tmp_path / "answer.proof").read_bytes() == FILE
    again = Proof.load(tmp_path / "answer.proof")
    assert again.data == PROOF.data
    assert again.output_tensors == PROOF.output_tensors
    assert again.commitment_digest == PROOF.commitment_digest
    assert again.backend == "ezkl"


def test_outputs_are_real_numbers() -> None:
    proof = Proof("ezkl", bytes(32), (OutputTensor((2, 2), 1, (1, -2, 3, 0)),), b"")
    assert isinstance(proof.outputs, np.ndarray)
    np.testing.assert_array_equal(proof.outputs, [[0.5, -1.0], [1.5, 0.0]])
    two = Proof("ezkl", bytes(32), proof.output_tensors * 2, b"")
    assert isinstance(two.outputs, tuple)
    assert len(two.outputs) == 2


def test_no_byte_of_the_file_can_change() -> None:
    for position in range(len(FILE)):
        edited = bytearray(FILE)
        edited[position] ^= 1
        with pytest.raises(MalformedProofError):
            Proof.from_bytes(bytes(edited))


@given(st.integers(0, len(FILE) - 1))
def test_truncated_file_is_refused(length: int) -> None:
    with pytest.raises(MalformedProofError):
        Proof.from_bytes(FILE[:length])


def test_extended_file_is_refused() -> None:
    with pytest.raises(MalformedProofError, match="truncated or extended"):
        Proof.from_bytes(FILE + b"\0")


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_by_name(data: bytes) -> None:
    with pytest.raises(MalformedProofError):
        Proof.from_bytes(data)


@given(st.binary(max_size=300))
def test_any_payload_is_refused_by_name(payload: bytes) -> None:
    with pytest.raises(MalformedProofError):
        Proof.from_bytes(rewrap(payload))


INTEGERS = st.integers(-(2**63), 2**64 - 1)


@given(st.lists(INTEGERS, max_size=4), INTEGERS, st.lists(INTEGERS, max_size=6))
def test_claims_are_outputs_or_refused_by_name(shape: list[int], frac_bits: int, values: list[int]) -> None:
    try:
        proof = Proof.from_bytes(with_output(shape, frac_bits, values))
    except MalformedProofError:
        return
    assert isinstance(proof.outputs, np.ndarray)
    assert proof.outputs.shape == tuple(shape)
    assert np.isfinite(proof.outputs).all()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (([2], 0, [1]), "1 values for shape"),
        (([], 0, []), "0 values for shape"),
        (([0], 0, []), "shape that no tensor has"),
        (([-1, -1], 0, [1]), "shape that no tensor has"),
        (([1] * 17, 0, [1]), "shape that no tensor has"),
        (([2**63, 2**63, 4], 0, [1]), "values for shape"),
        (([1], 513, [1]), "513 fraction bits"),
        (([1], -513, [1]), "-513 fraction bits"),
        (([1], 0, [2**62]), "larger than any value"),
        (([1], 0, [-(2**62)]), "larger than any value"),
    ],
)
def test_impossible_claim_is_named(output: tuple[Any, ...], message: str) -> None:
    with pytest.raises(MalformedProofError, match=message):
        Proof.from_bytes(with_output(*output))


@pytest.mark.parametrize("output", [([1], 512, [2**62 - 1]), ([1] * 16, -512, [1 - 2**62]), ([], 0, [3])])
def test_extreme_claims_that_are_possible(output: tuple[Any, ...]) -> None:
    assert np.isfinite(Proof.from_bytes(with_output(*output)).outputs).all()


def test_digest_has_32_bytes() -> None:
    with pytest.raises(MalformedProofError, match="digest has 32 bytes"):
        Proof.from_bytes(rewrap(encode("ezkl", bytes(31), [], b"")))


def test_backend_is_text() -> None:
    with pytest.raises(MalformedProofError, match="utf-8"):
        Proof.from_bytes(rewrap(PAYLOAD.replace(b"ezkl", b"ezk\xff", 1)))


def test_second_encoding_of_the_same_proof_is_refused() -> None:
    assert PAYLOAD[0] == 0x94
    with pytest.raises(MalformedProofError, match="canonical"):
        Proof.from_bytes(rewrap(b"\xdc\x00\x04" + PAYLOAD[1:]))


def test_further_members_are_refused() -> None:
    with pytest.raises(MalformedProofError):
        Proof.from_bytes(rewrap(encode("ezkl", bytes(32), [], b"", 0)))


def test_declared_sizes_are_not_allocated() -> None:
    with pytest.raises(MalformedProofError):
        Proof.from_bytes(rewrap(encode("ezkl", bytes(32))[:-1] + b"\xdd\xff\xff\xff\xff"))


def test_file_over_the_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PROOF.save(tmp_path / "answer.proof")
    monkeypatch.setattr("zkinfer.proof.MAX_PROOF_BYTES", 100)
    with pytest.raises(MalformedProofError, match="larger than"):
        Proof.load(tmp_path / "answer.proof")
    with pytest.raises(MalformedProofError, match="at most 100"):
        Proof.from_bytes(FILE)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MalformedProofError, match="cannot read"):
        Proof.load(tmp_path / "missing.proof")
