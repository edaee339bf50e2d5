"""Fourier transforms as products with constant matrices of sines and cosines."""

import numpy as np
from onnx_ir import Value

from zkinfer.compiler.calibration.float_model import numpy_type, static_shape
from zkinfer.compiler.onnx.decomposition import decomposition
from zkinfer.compiler.onnx.subgraph import Subgraph, content_of
from zkinfer.typing import FloatArray

MAX_POINTS = 4096
"""The largest number of points of a transform: its matrix grows with the square."""


def _waves(samples: int, bins: int, length: int, *, inverse: bool) -> FloatArray:
    """The real and the imaginary part of each bin for each sample: (samples, bins, 2)."""
    # The reduction modulo the length keeps the angles as exact as possible.
    turns = np.outer(np.arange(samples), np.arange(bins)) % length / length * (1 if inverse else -1)
    return np.stack([np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)], axis=-1) / (length if inverse else 1)


@decomposition("DFT", 17, hint=f"supported are constant sizes of up to {MAX_POINTS} points")
def dft(s: Subgraph, x: Value, length: Value | None = None, axis: Value | None = None) -> list[Value] | None:
    """A DFT along one axis; None if a size is computed, or if it has more than `MAX_POINTS` points."""
    shape = static_shape(x)
    sizes = [None if value is None else content_of(value) for value in (length, axis)]
    if any(v is not None and c is None for v, c in zip((length, axis), sizes, strict=True)):
        return None
    half, inverse = bool(s.integer("onesided", 0)), bool(s.integer("inverse", 0))
    # Before operator set 20 the axis is an attribute, with another default.
    at = int(sizes[1].item()) if sizes[1] is not None else s.integer("axis", 1 if s.opset < 20 else -2)
    at %= len(shape)
    points = 2 * (shape[at] - 1) if half and inverse else shape[at]
    points = points if sizes[0] is None else int(sizes[0].item())
    if points > MAX_POINTS:
        return None
    within = points // 2 + 1 if half else points
    samples, bins = min(shape[at], within if inverse else points), points if inverse else within
    waves = _waves(samples, bins, points, inverse=inverse)
    if half and inverse:
        # The other bins are the conjugates of these, except for the first and, if their number is even, the last.
        twice = [1 if k == 0 or 2 * k == points else 2 for k in range(samples)]
        waves = waves * np.reshape(twice, (-1, 1, 1))
    if shape[-1] == 2:
        # (a + bi) * (c + di), with the parts of the sample as rows.
        turned = np.stack([-waves[..., 1], waves[..., 0]], axis=-1)
        waves = np.stack([waves, turned], axis=1)
    parts = 1 if half and inverse else 2
    matrix = waves[..., :parts].reshape(samples * shape[-1], bins * parts).astype(numpy_type(x))
    rank = len(shape)
    order = [*(i for i in range(rank - 1) if i != at), at, rank - 1]
    others = [shape[i] for i in order[:-2]]
    cut = s.slice("samples", x, at, 0, samples) if samples < shape[at] else x
    rows = s.reshape("rows", s.transpose("moved", cut, order), (*others, samples * shape[-1]))
    product = s.op("product", "MatMul", rows, s.constant("waves", matrix))
    result = s.reshape("parts", product, (*others, bins, parts))
    return [s.transpose("result", result, [order.index(i) for i in range(rank)])]


@decomposition(
    "STFT", 17, hint=f"supported are real signals, constant windows, and constant sizes of up to {MAX_POINTS} points"
)
def stft(
    s: Subgraph, signal: Value, step: Value, window: Value | None = None, length: Value | None = None
) -> list[Value] | None:
    """An STFT of real signals as a convolution; None if the window or a size is computed, or if it is too large."""
    stride, shape = content_of(step), static_shape(signal)
    weights = None if window is None else content_of(window)
    size = None if length is None else content_of(length)
    if stride is None or (weights is None) != (window is None) or (size is None) != (length is None):
        return None
    if (len(shape) == 3 and shape[2] != 1) or (size is None and weights is None):
        return None
    points = len(weights) if size is None and weights is not None else int(np.asarray(size).item())
    if points > MAX_POINTS:
        return None
    bins = points // 2 + 1 if s.integer("onesided", 1) else points
    waves = _waves(points, bins, points, inverse=False)
    kernels = (waves if weights is None else waves * weights.reshape(-1, 1, 1)).transpose(1, 2, 0)
    kernel = s.constant("waves", kernels.reshape(bins * 2, 1, points).astype(numpy_type(signal)))
    rows = s.reshape("rows", signal, (shape[0], 1, shape[1]))
    frames = (shape[1] - points) // int(stride.item()) + 1
    parts = s.op("product", "Conv", rows, kernel, strides=[int(stride.item())])
    return [s.transpose("result", s.reshape("parts", parts, (shape[0], bins, 2, frames)), (0, 3, 1, 2))]
