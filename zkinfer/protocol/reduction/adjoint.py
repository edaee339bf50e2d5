"""Weights through one re-indexing step, backwards: from weights of the step's result to weights of its source.

For weights U of the result, the weights V of the source are those with  sum U * step(x) = sum V * x  for every x. All
tensors have an axis of runs in front, which steps do not touch.
"""

import numpy as np

from zkinfer.circuit.steps import Expand, Pad, Reshape, Slice, Step, Take, Transpose, Windows
from zkinfer.protocol.field import modular
from zkinfer.protocol.field.scalar import ONE, Ext
from zkinfer.protocol.reduction.factors import assemble, isolate, regroup, spans
from zkinfer.typing import IntArray


def adjoint(step: Step, factors: list[IntArray], shape: tuple[int, ...]) -> tuple[list[IntArray], Ext]:
    """The weights of the source as factors and a scale.

    Args:
        step: as in a program, its axes not counting that of runs.
        factors: of the result's weights, over (runs, *step.shape(shape)).
        shape: of the source, without the axis of runs.
    """
    match step:
        case Reshape():
            return regroup(factors, (factors[0].shape[1], *shape))
        case Transpose(axes=axes):
            order = (0, *(1 + axis for axis in axes))
            return assemble([(order[a:b], f) for (a, b), f in zip(spans(factors), factors, strict=True)]), ONE
        case Slice(axis=axis, start=start, count=count, stride=stride):
            return _scatter(factors, axis, 1, start + stride * np.arange(count), shape[axis]), ONE
        case Take(axis=axis, indices=indices):
            return _scatter(factors, axis, 1, np.array(indices, dtype=np.int64), shape[axis]), ONE
        case Windows(axis=axis, size=size, stride=stride, dilation=dilation):
            positions = stride * np.arange(step.shape(shape)[axis])
            places = positions[:, None] + dilation * np.arange(size)
            return _scatter(factors, axis, 2, places.ravel(), shape[axis]), ONE
        case Pad(before=before):
            return _crop(factors, before, shape), ONE
        case Expand(sizes=sizes):
            return _sum_repeated(factors, shape, sizes), ONE


def _scatter(factors: list[IntArray], axis: int, axes: int, places: IntArray, size: int) -> list[IntArray]:
    """`axes` axes of the result, in row-major order, came from these places of one axis of the source."""
    factors, at = isolate(factors, 1 + axis, 1 + axis + axes)
    local = 2 + axis - spans(factors)[at][0]
    array = factors[at]
    flat = array.reshape(*array.shape[:local], len(places), *array.shape[local + axes :])
    return [*factors[:at], modular.scatter_add(flat, local, places, size), *factors[at + 1 :]]


def _crop(factors: list[IntArray], before: tuple[int, ...], shape: tuple[int, ...]) -> list[IntArray]:
    """Zeros around the source have no weight."""
    kept = [slice(None), *(slice(b, b + n) for b, n in zip(before, shape, strict=True))]
    return [f[(slice(None), *kept[a:b])] for (a, b), f in zip(spans(factors), factors, strict=True)]


def _sum_repeated(factors: list[IntArray], shape: tuple[int, ...], sizes: tuple[int, ...]) -> list[IntArray]:
    """An element that was repeated has the sum of its copies' weights."""
    result = []
    for (start, end), factor in zip(spans(factors), factors, strict=True):
        for axis in range(max(start, 1), end):
            if shape[axis - 1] != sizes[axis - 1]:
                factor = modular.sum_axis(factor, 1 + axis - start)
        result.append(factor)
    return result
