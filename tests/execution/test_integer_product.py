"""Products of 16-bit numbers are exact at every bound: where an axis is cut, an operand split, an offset taken."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from zkinfer.circuit.bounds import Interval
from zkinfer.execution.integer_product import IntegerProduct
from zkinfer.execution.narrow import smallest_type
from zkinfer.execution.operands import Letters, Operand, Reading
from zkinfer.typing import Array, IntArray


def prepared(left: Interval, right: IntArray, result: Interval, rows: int = 1) -> IntegerProduct:
    """The product "Zab,cb->Zac" with these weights; their own bounds are taken."""
    columns, inner = right.shape
    sizes = {"a": rows, "b": inner, "c": columns}
    weights = int(right.min()), int(right.max())
    operands = Operand(0, "Zab", sizes, left), Operand(1, "cb", sizes, weights, right)
    letters = Letters.of(*operands, "Zac")
    return IntegerProduct(Reading.of(operands[0], "Zabc"), operands[1], letters, result)


def largest(left: Interval, right: IntArray) -> Interval:
    """Bounds of the result: with the largest sum of absolute weights."""
    most = max(abs(left[0]), abs(left[1])) * int(np.abs(right).sum(axis=1).max())
    return -most, most


def assert_exact(product: IntegerProduct, left: IntArray, right: IntArray, interval: Interval) -> None:
    """For every type that the left operand may have; Python's integers, because int64 may wrap on the way."""
    expected = (left.astype(object) @ right.T.astype(object)).astype(np.int64)
    for dtype in (np.int8, np.int16, np.int32, np.int64):
        if np.dtype(dtype).itemsize >= smallest_type(*interval).itemsize:
            got = product([left.astype(dtype), None])
            assert got.dtype == product.dtype
            np.testing.assert_array_equal(got, expected)


@settings(max_examples=150, deadline=None)
@given(
    left_bits=st.integers(1, 31),
    right_bits=st.integers(1, 15),
    size=st.integers(1, 90),
    columns=st.integers(1, 20),
    runs=st.integers(0, 3),
    sign=st.sampled_from([-1, 0, 1]),
    seed=st.integers(0, 2**32),
)
def test_random_products(
    left_bits: int, right_bits: int, size: int, columns: int, runs: int, sign: int, seed: int
) -> None:
    """Bounds on either side of zero or on one side alone, elements mostly at their extremes."""
    rng = np.random.default_rng(seed)
    top = min((1 << left_bits) - 1, 2**31 - 2**16 - 1)
    interval = (-top if sign <= 0 else 0, top if sign >= 0 else 0)
    between = int(rng.integers(interval[0], interval[1] + 1))
    left = rng.choice([*interval, between], (runs, 2, size))
    weight = (1 << right_bits) - 1
    right = rng.choice([-weight - 1, -weight, 0, weight], (columns, size))
    product = prepared(interval, right, largest(interval, right), rows=2)
    assert_exact(product, left, right, interval)


@pytest.mark.parametrize(
    ("size", "dtype", "count"), [(2, np.int32, 1), (3, np.int64, 2), (7, np.int64, 2), (64, np.int64, 2)]
)
def test_right_operands_of_16_bits_are_two_of_8_where_int32_would_overflow(size: int, dtype: type, count: int) -> None:
    """Products of 2^15 - 1 by itself: two of them fit int32, three do not."""
    most = 2**15 - 1
    left, right = np.full((3, 2, size), most), np.full((5, size), -most)
    interval = (-most, most)
    product = prepared(interval, right, largest(interval, right), rows=2)
    assert (product.dtype, product.count) == (np.dtype(dtype), count)
    assert_exact(product, left, right, interval)


@pytest.mark.parametrize("weight", [-(2**15), -(2**15) + 127, -129, -128, -127, 127, 128, 2**15 - 129, 2**15 - 1])
@pytest.mark.parametrize("size", [5, 511, 513, 1200])
def test_both_parts_of_the_right_operand_at_their_limits(weight: int, size: int) -> None:
    """Low parts are from -128 to 127, high ones from -128 to 128; ranges end where sums reach 2^31."""
    interval = (-(2**15), 2**15 - 1)
    right = np.full((3, size), weight)
    right[1, ::2] = 2**15 - 1
    right[2, ::5] = -(2**15)
    left = np.full((2, 1, size), -(2**15))
    left[1] = np.where(right[1] < 0, interval[0], interval[1])
    product = prepared(interval, right, largest(interval, right))
    assert_exact(product, left, right, interval)


def test_an_axis_is_cut_where_the_sums_of_a_part_would_overflow() -> None:
    """Weights of 8 bits are not split: 2^15 times 127 times 600 is beyond 2^31, so the axis falls into two."""
    interval, right = (-(2**15), 2**15 - 1), np.full((4, 600), 127)
    product = prepared(interval, right, largest(interval, right))
    assert product.count == 2
    assert_exact(product, np.full((2, 1, 600), -(2**15)), right, interval)


def test_the_parts_may_be_cut_at_different_places() -> None:
    """High parts that are almost all zero are one range, low ones are several."""
    interval, right = (-(2**15), 2**15 - 1), np.full((4, 2000), 127)
    right[:, ::500] = 2**15 - 1
    product = prepared(interval, right, largest(interval, right))
    assert_exact(product, np.full((2, 1, 2000), -(2**15)), right, interval)
    assert_exact(product, np.random.default_rng(0).integers(-(2**15), 2**15, (3, 1, 2000)), right, interval)


def test_results_that_fit_int32_wrap_on_the_way() -> None:
    """Partial sums leave int32, the result is known to come back."""
    left, right = np.full((1, 1, 8), 2**15 - 1), np.full((1, 8), 2**15 - 1)
    right[:, 4:] *= -1
    product = prepared((2**15 - 1, 2**15 - 1), right, (0, 0))
    assert product.dtype == np.int32
    assert product([left.astype(np.int16), None]).tolist() == [[[0]]]


@pytest.mark.parametrize("lo", [0, -5000, 2**20, -(2**20)])
@pytest.mark.parametrize("size", [2, 9, 300])
@pytest.mark.parametrize("weight", [127, 2**15 - 1])
def test_bounds_that_span_16_bits_need_not_fit_int16(lo: int, size: int, weight: int) -> None:
    """Unsigned activations, those with few negative values, and those that are far from zero; sums of any width."""
    rng = np.random.default_rng(0)
    interval = lo, lo + 2**16 - 1
    left, right = rng.choice(interval, (3, 2, size)), rng.choice([-weight, weight], (5, size))
    result = largest(interval, right)
    product = prepared(interval, right, result, rows=2)
    assert product.dtype == (np.int32 if result[1] < 2**31 else np.int64)
    assert_exact(product, left, right, interval)


@pytest.mark.parametrize("size", [1, 2, 9, 300])
@pytest.mark.parametrize("magnitude", [2**15, 2**16 + 2**15 - 1, 2**16 + 2**15, 2**24 + 12345, 2**31 - 2**16 - 1])
@pytest.mark.parametrize("weight", [1, 127, 2**15 - 1])
def test_left_operands_of_more_than_16_bits_are_two_of_16(size: int, magnitude: int, weight: int) -> None:
    """Every carry from the low part to the high one, at the limits of both."""
    rng = np.random.default_rng(0)
    near = [-magnitude, magnitude, 2**15 - 1, 2**15, -(2**15), -(2**15) - 1, 0, magnitude - 1]
    left, right = rng.choice(near, (2, 8, size)), rng.choice([-weight, weight], (5, size))
    left[0, :, 0] = near
    interval = (-magnitude, magnitude)
    product = prepared(interval, right, largest(interval, right), rows=8)
    assert product.count % 2 == 0
    assert_exact(product, left, right, interval)


@pytest.mark.parametrize("weight", [100, 2**15 - 1])
@pytest.mark.parametrize("top", [100, 2**15 - 1, 2**20])
def test_windows_are_gathered_where_they_overlap(weight: int, top: int) -> None:
    """3 x 3 windows over images with their channels first or last in memory, in one product or in several."""
    rng = np.random.default_rng(0)
    sizes = {"c": 5, "p": 4, "q": 6, "h": 3, "w": 3, "o": 7}
    right = rng.integers(-weight, weight + 1, (7, 5, 3, 3))
    most = top * int(np.abs(right).sum(axis=(1, 2, 3)).max())
    left = Operand(0, "Zcpqhw", sizes, (-top, top))
    operand = Operand(1, "ochw", sizes, (-weight, weight), right)
    product = IntegerProduct(Reading.of(left, "Zopqchw"), operand, Letters.of(left, operand, "Zopq"), (-most, most))
    images: Array = rng.integers(-top, top + 1, (2, 6, 8, 5)).astype(smallest_type(-top, top))
    for stored in (images.transpose(0, 3, 1, 2), np.ascontiguousarray(images.transpose(0, 3, 1, 2))):
        windows = sliding_window_view(stored, (3, 3), (2, 3))
        expected = np.einsum("zcpqhw,ochw->zopq", windows.astype(np.int64), right)
        np.testing.assert_array_equal(product([windows, None]), expected)
