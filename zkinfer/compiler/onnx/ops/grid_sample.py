"""GridSample at constant positions: elements chosen by a View, and for linear interpolation one weighted sum of them.

Where positions are computed, a decomposition takes the operator apart.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np

from zkinfer.circuit.steps import Pad, Reshape, Step, Take, Transpose
from zkinfer.compiler.lowering.activation import Activation, Operand
from zkinfer.compiler.lowering.arithmetic import reshape
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.onnx.ops.resize import weighted
from zkinfer.compiler.onnx.registry import operator
from zkinfer.errors import UnsupportedOperatorError
from zkinfer.typing import Array, FloatArray, IntArray

LINEAR, NEAREST = ("bilinear", "linear"), ("nearest",)
"""Names of the modes; those of linear interpolation changed with operator set 20."""

PADDING = ("zeros", "border", "reflection")

_FARTHEST = 2.0**40
"""Positions beyond are taken for this one."""


@operator(16, 20, 22)
def GridSample(
    g: Emitter,
    X: Activation,
    grid: Operand,
    *,
    align_corners: int = 0,
    mode: str = "linear",
    padding_mode: str = "zeros",
) -> Activation:
    if mode not in LINEAR + NEAREST or padding_mode not in PADDING:
        raise UnsupportedOperatorError(
            f"mode={mode!r} with padding_mode={padding_mode!r} is not supported; the nearest form that is supported is "
            f"mode='linear' (bilinear before operator set 20), padded with {', '.join(PADDING)}"
        )
    if isinstance(grid, Activation):
        raise UnsupportedOperatorError(
            "its grid is computed, and the tensor is too large for that; sample fewer places, or make the grid of "
            "constants: then any size is supported"
        )
    batch, channels, *sizes = X.shape
    places = grid.shape[1:-1]
    # Coordinates are in the order of the axes from the last one on.
    at = [
        positions(grid.array[..., -1 - i].reshape(batch, -1), size, align_corners=bool(align_corners))
        for i, size in enumerate(sizes)
    ]
    taps = [_taps(x, n, mode, padding_mode, bool(align_corners)) for x, n in zip(at, sizes, strict=True)]
    index, weight = _corners(taps, sizes)
    flat = reshape(g, X, (batch, channels, math.prod(sizes)))
    if mode in NEAREST:
        taken = _taken(g, flat, np.where(weight > 0, index, -1))
        return reshape(g, taken, (batch, channels, *places))
    corners = _taken(g, flat, index)
    return reshape(g, weighted(g, "nckp,nkp->ncp", corners, f"{g.label}/weights", weight), (batch, channels, *places))


def positions(grid: Array, size: int, *, align_corners: bool) -> FloatArray:
    """Where coordinates from -1 to 1 lie among so many elements, in the arithmetic of single precision."""
    x = grid.astype(np.float32) + np.float32(1)
    at = x / np.float32(2) * np.float32(size - 1) if align_corners else (x * np.float32(size) - 1) / np.float32(2)
    return np.clip(at.astype(np.float64), -_FARTHEST, _FARTHEST)


def _taps(at: FloatArray, size: int, mode: str, padding: str, align_corners: bool) -> list[tuple[IntArray, FloatArray]]:
    """Along one axis, the elements that each position is made of, and their weights."""
    if mode in NEAREST:
        found = [(np.rint(at), np.ones_like(at))]
    else:
        below = np.floor(at)
        found = [(below, 1 - (at - below)), (below + 1, at - below)]
    taps = []
    for place, weight in found:
        index = place.astype(np.int64)
        if padding == "zeros":
            weight = np.where((index >= 0) & (index < size), weight, 0.0)
        elif padding == "reflection":
            index = _reflected(index, size, align_corners=align_corners)
        taps.append((np.clip(index, 0, size - 1), weight))
    return taps


def _reflected(index: IntArray, size: int, *, align_corners: bool) -> IntArray:
    """Indices mirrored at the centres of the outermost elements, or at their edges, as often as it takes."""
    last = 2 * (size - 1) if align_corners else 2 * size - 1
    folded = index % max(last + (not align_corners), 1)
    return np.minimum(folded, last - folded)


def _corners(taps: Sequence[list[tuple[IntArray, FloatArray]]], sizes: Sequence[int]) -> tuple[IntArray, FloatArray]:
    """Flat indices and weights of all combinations of the axes' elements: (batch, combinations, positions)."""
    indices, weights = [], []
    for chosen in itertools.product(*taps):
        indices.append(np.ravel_multi_index(tuple(index for index, _ in chosen), tuple(sizes)))
        weights.append(np.prod([weight for _, weight in chosen], axis=0))
    return np.stack(indices, axis=1), np.stack(weights, axis=1)


def _taken(g: Emitter, x: Activation, index: IntArray) -> Activation:
    """Elements of the last axis, for each sample at its own indices; -1 is a zero.

    Args:
        g: emits the nodes.
        x: of shape (batch, channels, elements).
        index: of shape (batch, ...).

    Returns:
        The shape is (batch, channels, ...).
    """
    batch, channels, n = x.shape
    flat = np.where(index < 0, batch * n, index + n * np.arange(batch).reshape(batch, *(1 for _ in index.shape[1:])))
    padded: list[Step] = [Pad((0, 0), (0, 1))] if (index < 0).any() else []
    return g.reindex(
        x,
        Transpose((1, 0, 2)),
        Reshape((channels, batch * n)),
        *padded,
        Take(1, tuple(flat.ravel().tolist())),
        Reshape((channels, batch, *index.shape[1:])),
        Transpose((1, 0, *range(2, index.ndim + 1))),
    )
