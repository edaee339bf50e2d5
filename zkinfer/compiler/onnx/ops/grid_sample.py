"""GridSample at constant positions: elements chosen by a View, and for interpolation one weighted sum of them.

Where positions are computed, a decomposition takes the operator apart.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from zkinfer.circuit.steps import Pad, Reshape, Step, Take, Transpose
from zkinfer.compiler.lowering.activation import Activation, Operand
from zkinfer.compiler.lowering.arithmetic import reshape
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.onnx.ops.resize import weighted
from zkinfer.compiler.onnx.registry import operator
from zkinfer.errors import UnsupportedOperatorError
from zkinfer.typing import Array, FloatArray, IntArray

CUBIC, NEAREST = ("bicubic", "cubic"), ("nearest",)
"""Names of the modes but linear interpolation; the cubic one was renamed in operator set 20."""

CUBIC_COEFFICIENT = -0.75
"""The slope at a distance of 1 of the standard's cubic kernel (Keys, Cubic Convolution Interpolation, 1981)."""

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
        kernel, reach = (_cubic, 2) if mode in CUBIC else (_linear, 1)
        found = [(below + k, kernel(np.abs(at - (below + k)))) for k in range(1 - reach, reach + 1)]
    taps = []
    for place, weight in found:
        index, exists = elements_at(place.astype(np.int64), size, padding, align_corners=align_corners)
        taps.append((index, np.where(exists, weight, 0.0)))
    return taps


def elements_at(
    index: IntArray, size: int, padding: str, *, align_corners: bool
) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """The elements that stand for indices, also for those beyond the ends, and where there is one and no zero."""
    exists = (index >= 0) & (index < size) | (padding != "zeros")
    if padding == "reflection":
        index = _reflected(index, size, align_corners=align_corners)
    return np.clip(index, 0, size - 1), exists


def _linear(distance: FloatArray) -> FloatArray:
    return 1 - distance


def _cubic(distance: FloatArray) -> FloatArray:
    """The weight at a distance of at most 2: a cubic up to 1, another from there on, each zero at 1."""
    a, near, far = CUBIC_COEFFICIENT, np.minimum(distance, 1), np.maximum(distance, 1)
    weights: FloatArray = ((a + 2) * near - (a + 3)) * near**2 + 1 + a * (far - 1) * (far - 2) ** 2
    return weights


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
