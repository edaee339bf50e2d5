"""The product of narrow integers is numpy's modulo 2^32, for all sizes and for the extremes of all types."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from zkinfer.execution import matmul as execute_matmul
from zkinfer.execution.matmul import Packed, multiply, multiply_gathered
from zkinfer.jit.threads import threads
from zkinfer.typing import Array

SMALL = (np.int8, np.int16)


def product(x: Array, right: Array) -> npt.NDArray[np.int32]:
    out = np.full((len(x), right.shape[1]), 77, dtype=np.int32)
    if x.shape[1] % 2:
        multiply_gathered(x, 1, Packed.of(right), out)
    else:
        multiply(x, Packed.of(right), out)
    return out


@settings(max_examples=100, deadline=None)
@given(
    rows=st.integers(0, 110),
    inner=st.integers(1, 40),
    columns=st.integers(1, 150),
    left=st.sampled_from(SMALL),
    right=st.sampled_from(SMALL),
    seed=st.integers(0, 2**32),
)
def test_products_of_all_sizes(rows: int, inner: int, columns: int, left: type, right: type, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(np.iinfo(left).min, np.iinfo(left).max, (rows, inner), endpoint=True)
    w = rng.integers(np.iinfo(right).min, np.iinfo(right).max, (inner, columns), endpoint=True)
    np.testing.assert_array_equal(product(x.astype(left), w.astype(right)), (x @ w).astype(np.int32))


@pytest.mark.parametrize("inner", [1, 2, 3, 64])
@pytest.mark.parametrize(("a", "b"), [(-(2**15), -(2**15)), (-(2**15), 2**15 - 1), (2**15 - 1, 2**15 - 1)])
def test_extremes_are_exact_modulo_2_to_the_32(inner: int, a: int, b: int) -> None:
    """Two products of -2^15 by itself are 2^31, which int32 does not hold: the sum wraps, it does not saturate."""
    got = product(np.full((7, inner), a, dtype=np.int16), np.full((inner, 17), b, dtype=np.int16))
    assert (got.astype(np.int64) - inner * a * b).tolist() == [[-((inner * a * b + 2**31) // 2**32) * 2**32] * 17] * 7


@settings(max_examples=100, deadline=None)
@given(
    size=st.integers(5, 12),
    window=st.integers(1, 3),
    step=st.sampled_from([1, 2, -1]),
    channels=st.integers(1, 20),
    last=st.booleans(),
    columns=st.integers(1, 70),
    seed=st.integers(0, 2**32),
)
def test_products_of_windows(
    size: int, window: int, step: int, channels: int, last: bool, columns: int, seed: int
) -> None:
    """Rows that overlap; the channels last in memory or not; every second place; backwards."""
    rng = np.random.default_rng(seed)
    shape = (3, size, size, channels) if last else (3, channels, size, size)
    images = rng.integers(-(2**15), 2**15, shape, dtype=np.int16)
    images = images if last else images.transpose(0, 2, 3, 1)
    windows = sliding_window_view(images[:, ::step, ::-1], (window, window), (1, 2)).transpose(0, 1, 2, 4, 5, 3)
    w = rng.integers(-128, 128, (window * window * channels, columns)).astype(np.int8)
    out = np.full((math.prod(windows.shape[:3]), columns), 77, dtype=np.int32)
    multiply_gathered(windows, 3, Packed.of(w), out)
    expected = windows.reshape(len(out), len(w)).astype(np.int64) @ w.astype(np.int64)
    np.testing.assert_array_equal(out, expected.astype(np.int32))


def test_nothing_is_written_beside_the_result() -> None:
    """The last panel is only partly filled: what follows in memory stays."""
    x, w = np.ones((5, 4), dtype=np.int16), np.ones((4, 67), dtype=np.int8)
    memory = np.full((7, 67), -1, dtype=np.int32)
    multiply(x, Packed.of(w), memory[1:6])
    assert (memory[1:6] == 4).all()
    assert (memory[[0, 6]] == -1).all()


def test_threads_divide_the_work_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.integers(-128, 128, (100, 30)).astype(np.int16), rng.integers(-128, 128, (30, 200)).astype(np.int8)
    monkeypatch.setattr(execute_matmul, "GRAIN", 1)
    for count in (1, 2, 5):
        with threads(count):
            np.testing.assert_array_equal(product(x, w), x.astype(np.int32) @ w.astype(np.int32))


def test_weights_stay_as_narrow_as_they_are() -> None:
    """A batch of one is bound by the memory that the weights take."""
    packed = Packed.of(np.ones((512, 640), dtype=np.int8))
    assert packed.panels.nbytes == 512 * 640
