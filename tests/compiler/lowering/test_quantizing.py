"""Weights that are quantized block by block are those that are quantized at once, in the narrowest type."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.compiler.lowering import quantizing
from zkinfer.compiler.lowering.quantizing import is_finite, is_whole, largest, largest_along, quantized
from zkinfer.typing import Array

TYPES = (np.float16, np.float32, np.float64, np.int8, np.uint8, np.int64, np.bool_)


@st.composite
def reals(draw: st.DrawFn) -> Array:
    """Numbers of any type and shape, some of them ties, in any order in memory."""
    shape = draw(st.lists(st.integers(0, 6), max_size=3))
    dtype = draw(st.sampled_from(TYPES))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    numbers = rng.integers(-100, 100, shape) / draw(st.sampled_from([1, 2, 8, 3]))
    array: Array = np.asarray(numbers).astype(dtype)
    return array.T if draw(st.booleans()) else array


@given(reals(), st.integers(-5, 30), st.integers(1, 9))
def test_it_is_the_formula(array: Array, frac_bits: int, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantizing, "_BLOCK", block)
        found = quantized(array, frac_bits)
    expected = np.rint(np.ldexp(array.astype(np.float64), frac_bits)).astype(np.int64)
    assert found is not None
    assert np.array_equal(found, expected)
    assert found.flags.c_contiguous
    narrow = [np.iinfo(t) for t in (np.int8, np.int16, np.int32, np.int64)]
    lo, hi = int(expected.min(initial=0)), int(expected.max(initial=0))
    assert found.dtype == next(t.dtype for t in narrow if t.min <= lo and hi <= t.max)


@given(reals(), st.integers(0, 12), st.integers(1, 9), st.data())
def test_rows_may_have_powers_of_two_of_their_own(array: Array, bits: int, block: int, data: st.DataObject) -> None:
    if not array.ndim:
        return
    exponents = data.draw(st.lists(st.integers(0, 9), min_size=len(array), max_size=len(array)))
    powers = np.array(exponents, dtype=np.int64).reshape(-1, *[1] * (array.ndim - 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantizing, "_BLOCK", block)
        found = quantized(array, bits + powers)
    assert np.array_equal(found, np.rint(np.ldexp(array.astype(np.float64), bits + powers)))  # type: ignore[arg-type]


@given(st.lists(st.integers(-128, 127), max_size=20), st.floats(1e-6, 1e3))
def test_multiples_of_a_unit_are_found_again(integers: list[int], unit: float) -> None:
    array = np.array(integers, dtype=np.float64) * unit
    assert np.array_equal(quantized(array, 0, unit), integers)  # type: ignore[arg-type]


def test_what_exact_arithmetic_does_not_hold_is_none() -> None:
    assert quantized(np.array([1.0, -2.0]), 60) is not None
    assert quantized(np.array([1.0, -2.0]), 61) is None
    assert quantized(np.array([1e300]), 900) is None


@given(reals())
def test_largest(array: Array) -> None:
    wide = np.abs(array.astype(np.float64))
    assert largest(array) == wide.max(initial=0.0)
    if array.ndim and array.size:
        assert np.array_equal(largest_along(array, (array.ndim - 1,)), wide.max(axis=-1))


def test_the_least_number_of_a_type_has_a_magnitude() -> None:
    assert largest(np.array([-128], dtype=np.int8)) == 128
    assert largest_along(np.array([[-128, 3]], dtype=np.int8), (1,)).tolist() == [128]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_number_in_any_block_is_not_finite(bad: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantizing, "_BLOCK", 4)
    for place in range(12):
        array = np.zeros(12, dtype=np.float32)
        assert is_finite(array)
        array[place] = bad
        assert not is_finite(array)


def test_one_number_in_any_block_is_not_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantizing, "_BLOCK", 4)
    for place in range(12):
        array = np.arange(12, dtype=np.float32)
        assert is_whole(array)
        array[place] += 0.5
        assert not is_whole(array)
    assert is_whole(np.arange(3))
