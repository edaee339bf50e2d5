"""Pooling: maxima by comparison, averages as exact sums."""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from zkinfer.compiler.lowering.activation import Activation, MaskedScores
from zkinfer.compiler.lowering.arithmetic import reshape, total
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.lowering.maxima import Window, finite, max_along, max_pool, max_pool_positions
from zkinfer.compiler.onnx.ops.windows import sliding_windows, windowed
from zkinfer.compiler.onnx.registry import operator
from zkinfer.typing import IntArray


@operator(12, 22)
def MaxPool(
    g: Emitter,
    X: Activation | MaskedScores,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    storage_order: int = 0,
    strides: Sequence[int] | None = None,
) -> tuple[Activation, ...]:
    along = sliding_windows(
        X.shape, kernel_shape, strides=strides, pads=pads, dilations=dilations, auto_pad=auto_pad, ceil_mode=ceil_mode
    )
    X = finite(g, X)
    largest = max_pool(g, X, along)
    if g.outputs == 1:
        return (largest,)
    spatial = range(2, len(X.shape))
    return largest, max_pool_positions(g, X, along, (0, 1, *(reversed(spatial) if storage_order else spatial)))


@operator(11, 19, 22)
def AveragePool(
    g: Emitter,
    X: Activation,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Activation:
    def along(ceil: int) -> list[Window]:
        return sliding_windows(
            X.shape, kernel_shape, strides=strides, pads=pads, dilations=dilations, auto_pad=auto_pad, ceil_mode=ceil
        )

    reaching, stated = along(ceil_mode), along(0)
    width = max(g.operand_bits, g.accumulator_bits - math.prod(kernel_shape).bit_length())
    x = windowed(g, X, reaching, width)
    sums = total(g, x, range(3, len(x.shape), 2), keepdims=False)
    counts = np.ones(())
    for window, margin in zip(reaching, stated, strict=True):
        counted = _counts(X.shape[window.axis], window, margin if count_include_pad else None)
        counts = counts[..., None] * counted
    common = math.lcm(*(int(n) for n in counts.ravel()))
    if (counts != common).any():
        # Windows at the border hold fewer elements: integer factors bring their sums to the common count, exactly.
        factors = g.builder.weight(f"{g.label}/counts", (common / counts).astype(np.int64), 0)
        letters = "abcdefgh"[: counts.ndim]
        sums = g.einsum(f"nm{letters},{letters}->nm{letters}", sums, factors, width=g.accumulator_bits)
    return g.affine(sums, Fraction(1, common))


def _counts(n: int, window: Window, margin: Window | None) -> IntArray:
    """How many elements of one axis, and of its stated padding where a margin is given, each window holds."""
    reach = (window.size - 1) * window.dilation
    last = n + window.before + window.after - 1 - reach
    starts = np.arange(0, last + 1, window.stride)
    places = starts[:, None] + window.dilation * np.arange(window.size)
    lo, hi = (0, n + margin.before + margin.after) if margin else (window.before, window.before + n)
    counts: IntArray = np.count_nonzero((lo <= places) & (places < hi), axis=1)
    return counts


@operator(1, 22)
def GlobalAveragePool(g: Emitter, X: Activation) -> Activation:
    axes = range(2, len(X.shape))
    return g.affine(total(g, X, axes, keepdims=True), Fraction(1, math.prod(X.shape[2:])))


@operator(1, 22)
def GlobalMaxPool(g: Emitter, X: Activation | MaskedScores) -> Activation:
    X = finite(g, X)
    batch, channels, *spatial = X.shape
    flat = reshape(g, X, (batch, channels, math.prod(spatial)))
    return reshape(g, max_along(g, flat, 2), (batch, channels, *(1 for _ in spatial)))
