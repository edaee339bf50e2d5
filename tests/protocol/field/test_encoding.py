"""One element, one encoding; nothing else is accepted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.errors import MalformedProofError
from zkinfer.protocol.field.encoding import (
    BASE_BYTES,
    EXT_BYTES,
    decode_array,
    decode_base,
    decode_ext,
    encode_array,
    encode_base,
    encode_ext,
)
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import Ext

EDGES = [0, 1, 255, 256, P // 2, P - 1]
base = st.one_of(st.sampled_from(EDGES), st.integers(0, P - 1))
ext = st.tuples(base, base, base)


@given(st.lists(base))
def test_base_elements_come_back(values: list[int]) -> None:
    data = encode_base(values)
    assert len(data) == BASE_BYTES * len(values)
    assert decode_base(data, len(values)) == values


@given(st.lists(ext))
def test_extension_elements_come_back(values: list[Ext]) -> None:
    data = encode_ext(values)
    assert len(data) == EXT_BYTES * len(values)
    assert decode_ext(data, len(values)) == values


@given(st.lists(base, min_size=6, max_size=6))
def test_arrays_have_the_same_bytes_as_lists(values: list[int]) -> None:
    array = np.array(values, dtype=np.int64).reshape(2, 3)
    encoded = encode_array(array)
    assert encoded.shape == (2, 3 * BASE_BYTES)
    assert encoded.tobytes() == encode_base(values)
    assert np.array_equal(decode_array(encoded.tobytes(), (2, 3)), array)


def test_golden_bytes() -> None:
    assert encode_base([1]).hex() == "01000000000000"
    assert encode_ext([(P - 1, 0, 258)]).hex() == "00000000f3ff03" + "00" * 7 + "02010000000000"


@pytest.mark.parametrize("value", [P, P + 1, 2**56 - 1])
def test_integers_from_p_on_are_refused(value: int) -> None:
    data = value.to_bytes(BASE_BYTES, "little")
    with pytest.raises(MalformedProofError, match="canonical"):
        decode_base(data, 1)
    with pytest.raises(MalformedProofError, match="canonical"):
        decode_array(data, (1,))
    with pytest.raises(MalformedProofError, match="canonical"):
        decode_ext(bytes(BASE_BYTES) + data + bytes(BASE_BYTES), 1)


@pytest.mark.parametrize("length", [0, 1, BASE_BYTES - 1, BASE_BYTES + 1, 2 * BASE_BYTES])
def test_other_lengths_are_refused(length: int) -> None:
    data = bytes(length)
    with pytest.raises(MalformedProofError, match="bytes"):
        decode_base(data, 1)
    with pytest.raises(MalformedProofError, match="bytes"):
        decode_array(data, (1,))
    with pytest.raises(MalformedProofError, match="bytes"):
        decode_ext(data, 1)


def test_an_enormous_count_is_refused_before_anything_is_allocated() -> None:
    with pytest.raises(MalformedProofError):
        decode_array(b"", (2**40, 2**40))


@pytest.mark.parametrize("value", [-1, P, 2**60])
def test_only_canonical_elements_are_encoded(value: int) -> None:
    with pytest.raises(ValueError, match="field element"):
        encode_base([value])
    with pytest.raises(ValueError, match="field element"):
        encode_array(np.array([value], dtype=np.int64))


def test_float_arrays_are_not_encoded() -> None:
    with pytest.raises(ValueError, match="int64"):
        encode_array(np.zeros(3))  # type: ignore[arg-type]


@given(st.binary(max_size=4 * BASE_BYTES), st.integers(0, 4))
def test_whatever_decodes_encodes_to_the_same_bytes(data: bytes, count: int) -> None:
    try:
        values = decode_base(data, count)
    except MalformedProofError:
        return
    assert encode_base(values) == data
