"""Tables applied by kernels give what `circuit.lookup` defines, and refuse what it refuses with the same words."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from zkinfer.circuit.lookup import lookup
from zkinfer.circuit.table import MAX_SHIFT, Table
from zkinfer.errors import BoundsError, InvalidInputError, ShapeError
from zkinfer.execution import tables as under_test
from zkinfer.execution.tables import AppliedTable
from zkinfer.jit.threads import threads
from zkinfer.typing import Array

LARGEST = 2**62 - 1
"""No value of a program is larger in magnitude."""


def distinct(lo: int, hi: int) -> Table:
    """Distinct outputs, so that a wrong index shows."""
    return Table("distinct", lo, tuple(7 * i * i + 3 * i - 5 for i in range(lo, hi + 1)))


def identity(lo: int, hi: int) -> Table:
    return Table("identity", lo, tuple(range(lo, hi + 1)))


def assert_same(x: Array, table: Table, shift: int) -> None:
    applied, expected = AppliedTable(table), lookup(x, table, shift)
    got = applied(x, shift)
    assert got.dtype == applied.dtype
    np.testing.assert_array_equal(got, expected)
    flat, out = np.ascontiguousarray(x).reshape(-1), np.full(x.size, np.nan)
    applied.apply(flat, shift, out)
    np.testing.assert_array_equal(out, expected.reshape(-1).astype(np.float64))


@pytest.mark.parametrize("make", [distinct, identity])
@pytest.mark.parametrize("shift", [0, 1, 2, 5])
@pytest.mark.parametrize("bounds", [(-8, 7), (0, 15), (-21, -3), (5, 5)])
@pytest.mark.parametrize("count", [1, 3])
def test_every_value_of_the_domain(
    make: Callable[[int, int], Table], shift: int, bounds: tuple[int, int], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "GRAIN", 16)
    monkeypatch.setattr(under_test, "TILE", 8)
    lo, hi = bounds
    half = 2 ** (shift - 1) if shift else 0
    x = np.arange((lo << shift) - half, (hi << shift) + 2**shift - half)
    with threads(count):
        for dtype in (np.int16, np.int32, np.int64):
            assert_same(x.astype(dtype), make(lo, hi), shift)


@given(st.data())
def test_random_tables_shifts_and_arrays(data: st.DataObject) -> None:
    shift = data.draw(st.integers(0, MAX_SHIFT))
    lo = data.draw(st.integers(-LARGEST >> shift, LARGEST >> shift))
    hi = min(lo + data.draw(st.integers(0, 50)), LARGEST >> shift)
    half = 2 ** (shift - 1) if shift else 0
    first, last = max((lo << shift) - half, -LARGEST), min((hi << shift) + 2**shift - half - 1, LARGEST)
    shapes = hnp.array_shapes(min_dims=0, max_side=5)
    x = data.draw(hnp.arrays(np.int64, shapes, elements=st.integers(first, last)))
    assert_same(x, Table("t", lo, tuple(range(hi - lo + 1))), shift)
    assert_same(x, identity(lo, hi), shift)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (2, 3, 4)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    assert_same(np.full(shape, 3, dtype=np.int64), distinct(-4, 4), 0)


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a.T,
        lambda a: a[::2, ::-3],
        lambda a: a[:, 1],
        lambda a: np.broadcast_to(a[0], (5, *a[0].shape)),
        np.asfortranarray,
    ],
    ids=["transposed", "strided", "column", "broadcast", "Fortran order"],
)
def test_any_strides(view: Callable[[Array], Array]) -> None:
    assert_same(view(np.arange(-60, 60).reshape(8, 15)), distinct(-60, 60), 0)


def test_the_order_in_memory_is_that_of_the_source() -> None:
    x = np.zeros((3, 4, 5), dtype=np.int8).transpose(2, 0, 1)
    assert AppliedTable(distinct(0, 0))(x, 0).strides == x.strides


def test_read_only_inputs_stay_as_they_are() -> None:
    x = np.arange(10)
    x.setflags(write=False)
    assert_same(x, distinct(0, 9), 0)
    assert_same(x, identity(0, 9), 0)
    np.testing.assert_array_equal(x, np.arange(10))


@pytest.mark.parametrize("make", [distinct, identity])
@pytest.mark.parametrize("x", [-15, 18, 2**40, -LARGEST, LARGEST])
@pytest.mark.parametrize("size", [3, 10_000])
def test_one_step_beyond_either_end_is_refused_in_the_words_of_the_definition(
    make: Callable[[int, int], Table], x: int, size: int
) -> None:
    """Behind a shift by 2, indices -3 to 4 are the values -14 to 17."""
    table, array = make(-3, 4), np.zeros((size, 2), dtype=np.int64)
    array[:, 0], array[:, 1] = -14, 17
    assert_same(array, table, 2)
    array[size // 2, 1] = array[-1, 0] = x
    for source in (array, array.T):
        with pytest.raises(BoundsError) as expected:
            lookup(source, table, 2)
        with pytest.raises(BoundsError) as found:
            AppliedTable(table)(source, 2)
        assert str(found.value) == str(expected.value)
    with pytest.raises(BoundsError, match=f"2 of {2 * size:,} elements are outside"):
        AppliedTable(table).apply(array.reshape(-1), 2, np.empty(2 * size))


def test_tables_beyond_every_value_are_refused() -> None:
    """Differences of their indices and of a value's could wrap around int64."""
    for lo in (2**62, -(2**62) - 1):
        with pytest.raises(InvalidInputError, match="no value of a program gets there"):
            AppliedTable(Table("far", lo, (1, 2)))


@pytest.mark.parametrize("shift", [-1, MAX_SHIFT + 1])
def test_shifts_out_of_range_are_refused(shift: int) -> None:
    with pytest.raises(InvalidInputError, match="a shift is from 0 to 62"):
        AppliedTable(distinct(0, 1))(np.zeros(1, dtype=np.int64), shift)


def test_results_of_another_form_are_refused() -> None:
    table, x = AppliedTable(distinct(0, 0)), np.zeros(4, dtype=np.int64)
    for out in (np.empty(3), np.empty((4, 1)), np.empty(8)[::2]):
        with pytest.raises(ShapeError, match="flat contiguous"):
            table.apply(x, 0, out)
