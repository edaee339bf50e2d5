"""The narrowest width that holds integers, and integers packed bit by bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.files.integers import (
    WIDTHS,
    array_width,
    bit_width,
    least_width,
    pack_bits,
    packed_bytes,
    packed_extremes,
    unpack_bits,
)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_ends_of_a_width_fit_and_what_is_beyond_takes_the_next(width: int) -> None:
    lo, hi = -(1 << (8 * width - 1)), (1 << (8 * width - 1)) - 1
    assert least_width(lo, hi) == least_width(lo, 0) == least_width(0, hi) == width
    if width < WIDTHS[-1]:
        assert least_width(lo - 1, 0) == least_width(0, hi + 1) == 2 * width


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=9))
def test_an_array_survives_its_width_and_no_narrower_one(values: list[int]) -> None:
    array = np.array(values, dtype=np.int64)
    width = array_width(array)
    assert array.astype(f"<i{width}").astype(np.int64).tolist() == values
    if width > 1:
        assert array.astype(f"<i{width // 2}").astype(np.int64).tolist() != values


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=30))
def test_packed_integers_come_back(values: list[int]) -> None:
    lo, hi = min(values), max(values)
    width = bit_width(lo, hi)
    data = pack_bits(np.array(values), lo, width)
    assert len(data) == packed_bytes(len(values), width) == -(-len(values) * width // 8)
    assert unpack_bits(data, len(values), lo, width).tolist() == values


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=30))
def test_the_ends_of_packed_integers_are_found_without_unpacking_them(values: list[int]) -> None:
    width = bit_width(0, max(values))
    data = pack_bits(np.array(values), 0, width)
    assert packed_extremes(data, len(values), width) == (min(values), max(values))


@pytest.mark.parametrize("width", [1, 7, 8, 13, 63])
def test_many_packed_integers_come_back_in_the_bits_that_they_should_have(width: int) -> None:
    values = np.random.default_rng(width).integers(0, 1 << width, (1 << 16) + 5)
    data = pack_bits(values, 0, width)
    whole = sum(int(value) << (width * i) for i, value in enumerate(values[:64]))
    assert int.from_bytes(data[: 8 * width], "little") == whole
    assert (unpack_bits(data, len(values), 0, width) == values).all()
    assert packed_extremes(data, len(values), width) == (values.min(), values.max())


def test_bits_are_as_many_as_the_range_takes() -> None:
    assert [bit_width(0, hi) for hi in (0, 1, 2, 255, 256)] == [1, 1, 2, 8, 9]
    assert bit_width(-(2**63), 2**63 - 1) == 64
