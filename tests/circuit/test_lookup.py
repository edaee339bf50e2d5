"""Applying a table is what the definition says in Python's integers, also near the ends of int64."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from zkinfer.circuit.lookup import lookup
from zkinfer.circuit.table import MAX_SHIFT, Table
from zkinfer.errors import BoundsError, InvalidInputError
from zkinfer.typing import IntArray

SMALLEST, LARGEST = -(2**63), 2**63 - 1


def distinct(lo: int, hi: int) -> Table:
    """Distinct outputs, so that a wrong index shows."""
    return Table("distinct", lo, tuple(7 * i * i + 3 * i - 5 for i in range(lo, hi + 1)))


def assert_defined(x: IntArray, table: Table, shift: int) -> None:
    half = 2 ** (shift - 1) if shift else 0
    y = lookup(x, table, shift)
    assert y.dtype == np.int64
    assert y.shape == x.shape
    positions = [(element + half) // 2**shift - table.lo for element in x.ravel().tolist()]
    assert all(position >= 0 for position in positions)
    assert y.ravel().tolist() == [table.values[position] for position in positions]


@given(st.data())
def test_random_tables_shifts_and_arrays(data: st.DataObject) -> None:
    shift = data.draw(st.integers(0, MAX_SHIFT))
    lo = data.draw(st.integers(SMALLEST >> shift, LARGEST >> shift))
    hi = min(lo + data.draw(st.integers(0, 50)), LARGEST >> shift)
    half = 2 ** (shift - 1) if shift else 0
    first, last = max((lo << shift) - half, SMALLEST), min((hi << shift) + 2**shift - half - 1, LARGEST)
    shapes = hnp.array_shapes(min_dims=0, max_side=5)
    x = data.draw(hnp.arrays(np.int64, shapes, elements=st.integers(first, last)))
    assert_defined(x, Table("t", lo, tuple(range(hi - lo + 1))), shift)


@pytest.mark.parametrize("shift", [0, 1, 2, 5])
def test_every_value_of_the_domain(shift: int) -> None:
    half = 2 ** (shift - 1) if shift else 0
    assert_defined(np.arange((-8 << shift) - half, (7 << shift) + 2**shift - half), distinct(-8, 7), shift)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32])
def test_narrow_integers_do_not_wrap(dtype: type) -> None:
    top = np.iinfo(dtype).max
    assert lookup(np.array([top], dtype=dtype), Table("t", (top + 1) // 2, (5,)), 1).tolist() == [5]


@pytest.mark.parametrize("shift", [1, 2, 31, 61, 62])
@pytest.mark.parametrize("x", [SMALLEST, SMALLEST + 1, LARGEST - 1, LARGEST])
def test_x_plus_half_need_not_fit_int64(shift: int, x: int) -> None:
    assert_defined(np.array([x]), Table("t", (x + 2 ** (shift - 1)) >> shift, (42,)), shift)


@pytest.mark.parametrize("lo", [SMALLEST, -1, 0, LARGEST - 2])
@pytest.mark.parametrize("x", [SMALLEST, -2, 3, LARGEST])
def test_nothing_wraps_around_into_the_table(lo: int, x: int) -> None:
    table = Table("t", lo, (1, 2, 3))
    if lo <= x <= table.hi:
        assert_defined(np.array([x]), table, 0)
    else:
        with pytest.raises(BoundsError):
            lookup(np.array([x]), table, 0)


@pytest.mark.parametrize("lo", [SMALLEST - 1, LARGEST - 1, 2**70])
def test_tables_beyond_int64_are_refused(lo: int) -> None:
    with pytest.raises(InvalidInputError, match="more than int64 holds"):
        lookup(np.zeros(1, dtype=np.int64), Table("t", lo, (1, 2, 3)), 0)


@pytest.mark.parametrize("x", [-15, 18, SMALLEST, LARGEST])
def test_one_step_beyond_either_end_is_refused(x: int) -> None:
    """Behind a shift by 2, indices -3 to 4 are the values -14 to 17."""
    lookup(np.array([-14, 17]), distinct(-3, 4), 2)
    with pytest.raises(BoundsError):
        lookup(np.array([0, x, 0]), distinct(-3, 4), 2)


def test_the_message_says_how_many_where_and_what() -> None:
    x = np.zeros((10, 30), dtype=np.int64)
    x[4, 7], x[9, 29] = -99, 50
    with pytest.raises(
        BoundsError,
        match=r"'distinct' covers indices -3 to 4 after a shift by 2; 2 of 300 elements are outside, the first at "
        r"position \(4, 7\): -99\.",
    ):
        lookup(x, distinct(-3, 4), 2)
    with pytest.raises(BoundsError, match=r"1 of 12 elements are outside, the first at position \(3, 2\): 11"):
        lookup(np.arange(12).reshape(3, 4).T, distinct(0, 10), 0)
    with pytest.raises(BoundsError, match=r"first at position \(\): 9"):
        lookup(np.array(9), distinct(0, 3), 0)


@pytest.mark.parametrize("dtype", [np.uint64, np.float64, np.bool_, object])
def test_other_dtypes_are_refused(dtype: Any) -> None:
    with pytest.raises(InvalidInputError, match="looked up with signed integers"):
        lookup(np.zeros(3, dtype=dtype), distinct(0, 3), 0)


@pytest.mark.parametrize("shift", [-1, MAX_SHIFT + 1])
def test_shifts_out_of_range_are_refused(shift: int) -> None:
    with pytest.raises(InvalidInputError, match="a shift is from 0 to 62"):
        lookup(np.zeros(3, dtype=np.int64), distinct(0, 3), shift)
