"""The proof file: one encoding, and claims that are outputs at all."""

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.paths import EZKL_VECTORS

from zkinfer.errors import InvalidInputError, MalformedProofError
from zkinfer.files.artifact import unwrap, wrap
from zkinfer.files.kinds import PROOF as KIND
from zkinfer.files.proof import MAX_CLAIMED, OutputTensor, PrivateTensor, Proof, check_claimed

FILE = (EZKL_VECTORS / "dense.proof").read_bytes()
PROOF = Proof.from_bytes(FILE)
PAYLOAD = unwrap(FILE, KIND.tag, KIND.version, max_bytes=KIND.max_bytes)


def rewrap(payload: bytes) -> bytes:
    """A file whose envelope is in order, whatever its payload is."""
    return wrap(KIND.tag, KIND.version, payload)


def encode(*members: Any) -> bytes:
    """A payload from loose members."""
    return msgspec.msgpack.encode(members)


def with_output(*output: Any) -> bytes:
    """The proof's file with one claimed output, from loose members."""
    return rewrap(encode("ezkl", PROOF.commitment_digest, [], [output], PROOF.data, b""))


def bits(distances: list[int], width: int) -> bytes:
    """Distances from the least integer, as a claim holds them."""
    whole = sum(distance << (width * place) for place, distance in enumerate(distances))
    return whole.to_bytes(-(-len(distances) * width // 8), "little")


def test_file_round_trip(tmp_path: Path) -> None:
    PROOF.save(tmp_path / "answer.proof")
    assert (tmp_path / "answer.proof").read_bytes() == FILE
    again = Proof.load(tmp_path / "answer.proof")
    assert again.data == PROOF.data
    assert again.output_tensors == PROOF.output_tensors
    assert again.commitment_digest == PROOF.commitment_digest
    assert again.backend == "ezkl"


def test_outputs_are_real_numbers() -> None:
    proof = Proof("ezkl", bytes(32), (OutputTensor.of(np.array([[1, -2], [3, 0]]), 1),), b"")
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


def test_hidden_tensors_have_no_numbers(tmp_path: Path) -> None:
    hidden = PrivateTensor((5, 2), bytes(range(32)))
    proof = Proof("sumcheck", bytes(32), (hidden,), b"data", (None, hidden))
    assert proof.outputs is None
    proof.save(tmp_path / "hidden.proof")
    again = Proof.load(tmp_path / "hidden.proof")
    assert again.output_tensors == (hidden,)
    assert again.private_inputs == (None, hidden)
    both = Proof("sumcheck", bytes(32), (hidden, OutputTensor.of(np.array([3]), 0)), b"")
    first, second = both.outputs if isinstance(both.outputs, tuple) else (both.outputs, None)
    assert first is None
    assert second is not None
    assert second.tolist() == [3]


def test_reading_a_proof_takes_memory_as_its_file_does() -> None:
    """Outputs of one bit each are 64 times as long in int64, and nobody has said yet that there are so many."""
    count = 1 << 23
    claimed = OutputTensor((count,), 0, 0, 1, b"\1" + bytes(count // 8 - 1))
    file = Proof("native", bytes(32), (claimed,), b"").to_bytes()
    tracemalloc.start()
    try:
        proof = Proof.of(file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert proof.output_tensors == (claimed,)
    assert peak < 6 * len(file)


@given(st.lists(st.integers(1 - 2**62, 2**62 - 1), min_size=1, max_size=20))
def test_integers_take_as_many_bits_as_their_range(values: list[int]) -> None:
    lo, hi = min(values), max(values)
    width = max(1, (hi - lo).bit_length())
    tensor = OutputTensor.of(np.array(values), 0)
    assert tensor == OutputTensor((len(values),), 0, lo, width, bits([value - lo for value in values], width))
    assert tensor.integers().tolist() == values
    assert tensor.integers().dtype == np.int64


@given(st.lists(st.integers(0, 200), min_size=1, max_size=9), st.integers(1, 12), st.integers(0, 3))
def test_one_claim_has_one_encoding(values: list[int], width: int, below: int) -> None:
    """From another integer on, or in more bits, the same integers are refused."""
    lo = min(values) - below
    distances = [value - lo for value in values]
    if max(distances) >> width:
        return
    content = with_output("public", [len(values)], 0, lo, width, bits(distances, width))
    if OutputTensor.of(np.array(values), 0) == OutputTensor((len(values),), 0, lo, width, bits(distances, width)):
        assert Proof.from_bytes(content).output_tensors == (OutputTensor.of(np.array(values), 0),)
    else:
        with pytest.raises(MalformedProofError, match="as shortly as it can be"):
            Proof.from_bytes(content)


def test_claim_of_a_transposed_array_is_row_major() -> None:
    assert OutputTensor.of(np.arange(6).reshape(2, 3).T, 0).values == bits([0, 3, 1, 4, 2, 5], 3)


INTEGERS = st.integers(-(2**63), 2**64 - 1)


@given(
    st.lists(INTEGERS | st.integers(-1, 4), max_size=4),
    INTEGERS | st.integers(-9, 9),
    INTEGERS,
    INTEGERS | st.integers(1, 64),
    st.binary(max_size=24),
)
def test_claims_are_outputs_or_refused_by_name(
    shape: list[int], frac_bits: int, lo: int, width: int, values: bytes
) -> None:
    try:
        proof = Proof.from_bytes(with_output("public", shape, frac_bits, lo, width, values))
    except MalformedProofError:
        return
    assert isinstance(proof.outputs, np.ndarray)
    assert proof.outputs.shape == tuple(shape)
    assert np.isfinite(proof.outputs).all()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (("public", [2], 0, 0, 8, b"\1"), "1 bytes hold no claimed output of shape"),
        (("public", [2], 0, 0, 8, b"\1" * 3), "3 bytes hold no claimed output of shape"),
        (("public", [1], 0, 0, 0, b""), "0 bytes hold no claimed output of shape"),
        (("public", [1], 0, 0, -8, b""), "0 bytes hold no claimed output of shape"),
        (("public", [1], 0, 0, 64, b"\1" * 8), "8 bytes hold no claimed output of shape"),
        (("public", [0], 0, 0, 8, b""), "shape that no tensor has"),
        (("public", [-1, -1], 0, 0, 8, b"\1"), "shape that no tensor has"),
        (("public", [1] * 18, 0, 0, 8, b"\1"), "shape that no tensor has"),
        (("public", [2**63, 2**63, 4], 0, 0, 8, b"\1"), "can be claimed"),
        (("public", [1 << 26, 2], 0, 0, 1, bytes(1 << 24)), "can be claimed"),
        (("public", [1], 513, 0, 8, b"\0"), "513 fraction bits"),
        (("public", [1], -513, 0, 8, b"\0"), "-513 fraction bits"),
        (("public", [1], 0, 2**62, 1, b"\0"), "larger than any value"),
        (("public", [1], 0, -(2**62), 1, b"\0"), "larger than any value"),
        (("public", [2], 0, 0, 63, bits([0, 2**62], 63)), "larger than any value"),
        (("public", [2], 0, 2**62 - 1, 63, bits([0, 2**63 - 1], 63)), "larger than any value"),
        (("public", [2], 0, 0, 1, b"\6"), "as shortly as it can be"),
        (("public", [2], 0, 0, 2, b"\4"), "as shortly as it can be"),
        (("public", [2], 0, 0, 2, b"\x0d"), "as shortly as it can be"),
        (("private", [0], bytes(32)), "shape that no tensor has"),
        (("private", [1], bytes(31)), "hidden tensor has 32 bytes"),
        (("private", [1], bytes(32), 0), "does not have the form of a proof"),
        (("secret", [1], bytes(32)), "does not have the form of a proof"),
    ],
)
def test_impossible_claim_is_named(output: tuple[Any, ...], message: str) -> None:
    with pytest.raises(MalformedProofError, match=message):
        Proof.from_bytes(with_output(*output))


@pytest.mark.parametrize(
    ("private_inputs", "message"),
    [
        ([None], "hides none"),
        ([None, None], "hides none"),
        ([["private", [1], bytes(31)]], "hidden tensor has 32 bytes"),
        ([["private", [-1], bytes(32)]], "shape that no tensor has"),
        ([["public", [1], 0, 0, 1, b"\0"]], "does not have the form of a proof"),
    ],
)
def test_impossible_hidden_input_is_named(private_inputs: list[Any], message: str) -> None:
    with pytest.raises(MalformedProofError, match=message):
        Proof.from_bytes(rewrap(encode("sumcheck", bytes(32), private_inputs, [], b"", b"")))


@pytest.mark.parametrize(
    "output",
    [([1], 512, 2**62 - 1), ([1] * 17, -512, 1 - 2**62), ([], 0, 3)],
    ids=["small", "large", "scalar"],
)
def test_extreme_claims_that_are_possible(output: tuple[Any, ...]) -> None:
    shape, frac_bits, value = output
    proof = Proof.from_bytes(with_output("public", shape, frac_bits, value, 1, b"\0"))
    assert isinstance(proof.outputs, np.ndarray)
    assert np.isfinite(proof.outputs).all()


def test_digest_has_32_bytes() -> None:
    with pytest.raises(MalformedProofError, match="digest has 32 bytes"):
        Proof.from_bytes(rewrap(encode("ezkl", bytes(31), [], [], b"", b"")))


def test_backend_is_text() -> None:
    with pytest.raises(MalformedProofError, match="does not have the form"):
        Proof.from_bytes(rewrap(PAYLOAD.replace(b"ezkl", b"ezk\xff", 1)))


def test_second_encoding_of_the_same_proof_is_refused() -> None:
    assert PAYLOAD[0] == 0x96
    with pytest.raises(MalformedProofError, match="canonical"):
        Proof.from_bytes(rewrap(b"\xdc\x00\x06" + PAYLOAD[1:]))


def test_further_members_are_refused() -> None:
    with pytest.raises(MalformedProofError):
        Proof.from_bytes(rewrap(encode("ezkl", bytes(32), [], [], b"", b"", 0)))


def test_declared_sizes_are_not_allocated() -> None:
    with pytest.raises(MalformedProofError):
        Proof.from_bytes(rewrap(encode("ezkl", bytes(32), []) + b"\xdd\xff\xff\xff\xff"))


def test_file_over_the_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PROOF.save(tmp_path / "answer.proof")
    monkeypatch.setattr(Proof, "KIND", replace(KIND, max_bytes=100))
    with pytest.raises(MalformedProofError, match="larger than"):
        Proof.load(tmp_path / "answer.proof")
    with pytest.raises(MalformedProofError, match="at most 100"):
        Proof.from_bytes(FILE)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MalformedProofError, match="cannot read"):
        Proof.load(tmp_path / "missing.proof")


@pytest.mark.parametrize("length", [1, 95, 97])
def test_what_it_was_made_for_is_told_in_three_digests_or_not_at_all(length: int) -> None:
    with pytest.raises(MalformedProofError, match="in 96 bytes or not at all"):
        Proof.from_bytes(rewrap(encode("sumcheck", bytes(32), [], [], b"", bytes(length))))
    assert Proof.from_bytes(rewrap(encode("sumcheck", bytes(32), [], [], b"", bytes(96)))).stated == bytes(96)


def test_proofs_are_equal_where_their_files_are() -> None:
    def proof(data: bytes = b"x", frac_bits: int = 0) -> Proof:
        return Proof("native", bytes(32), (OutputTensor.of(np.array([[1, 2]]), frac_bits),), data)

    first, same = proof(), Proof.from_bytes(proof().to_bytes())
    assert first == same
    assert len({first, same}) == 1
    for other in (proof(b"y"), proof(frac_bits=1), first.to_bytes(), None):
        assert first != other


def test_a_claim_of_nothing_or_too_much_is_none() -> None:
    """In memory too, where no file was read."""
    with pytest.raises(MalformedProofError, match="hold no claimed output"):
        OutputTensor((0,), 0, 0, 1, b"").integers()
    with pytest.raises(MalformedProofError, match="can be claimed"):
        OutputTensor((MAX_CLAIMED + 1,), 0, 0, 1, b"").integers()


HALF = ("public", (MAX_CLAIMED // 2,), 0, 0, 1, b"")


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (("public", (1,), 0, 0, 1, b"\0"), "can be claimed"),
        (("public", (-MAX_CLAIMED,), 0, 0, 1, b""), "no tensor has"),
    ],
)
def test_numbers_of_all_outputs_are_limited_before_any_is_read(last: tuple[Any, ...], message: str) -> None:
    """A byte of bits stands for 64 bytes of integers: outputs do not take what is allowed one after another."""
    payload = encode("ezkl", PROOF.commitment_digest, [], [HALF, HALF, last], PROOF.data, b"")
    with pytest.raises(MalformedProofError, match=message):
        Proof.from_bytes(rewrap(payload))


def test_more_numbers_than_a_file_may_claim_are_not_proven() -> None:
    check_claimed(MAX_CLAIMED)
    with pytest.raises(InvalidInputError, match="prove fewer samples at a time"):
        check_claimed(MAX_CLAIMED + 1)
