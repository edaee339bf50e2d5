"""The narrowest width that holds integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.files.integers import WIDTHS, array_width, least_width


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
