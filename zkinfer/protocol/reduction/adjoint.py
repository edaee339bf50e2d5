"""Weights through one index map, backwards: from weights of the map's result to weights of its source.

For weights U of the result, the weights V of the source are those with  sum U * map(x) = sum V * x  for every x. All
tensors have an axis of runs in front, which index maps do not touch.
"""

import math

from zkinfer.circuit.steps import Embed, Gather, IndexMap, Listed, Permute, Regroup, Shape, Strided
from zkinfer.protocol.field import modular
from zkinfer.protocol.field.scalar import ONE, Ext
from zkinfer.protocol.reduction.factors import assemble, isolate, regroup, spans
from zkinfer.typing import IntArray


def adjoint(index_map: IndexMap, factors: list[IntArray], shape: Shape) -> tuple[list[IntArray], Ext]:
    """The weights of the source as factors and a scale.

    Args:
        index_map: one that fits the source.
        factors: of the result's weights, over (runs, *index_map.shape_after(shape)).
        shape: of the source, without the axis of runs.
    """
    match index_map:
        case Regroup():
            return regroup(factors, (factors[0].shape[1], *shape))
        case Permute(axes=axes):
            order = (0, *(1 + axis for axis in axes))
            return assemble([(order[a:b], f) for (a, b), f in zip(spans(factors), factors, strict=True)]), ONE
        case Embed(before=before):
            # Zeros around the source have no weight.
            kept = [slice(None), *(slice(b, b + n) for b, n in zip(before, shape, strict=True))]
            return [f[(slice(None), *kept[a:b])] for (a, b), f in zip(spans(factors), factors, strict=True)], ONE
        case Gather():
            for axis, along in reversed(index_map.from_last()):
                factors = _scatter(factors, 1 + axis, along, shape[axis])
            return factors, ONE


def _scatter(factors: list[IntArray], axis: int, along: Strided | Listed, size: int) -> list[IntArray]:
    """An element has the sum of its copies' weights; the map's new axes, from `axis` on, become one of this size."""
    axes = len(along.sizes)
    factors, at = isolate(factors, axis, axis + axes)
    local = 1 + axis - spans(factors)[at][0]
    array = factors[at]
    flat = array.reshape(*array.shape[:local], math.prod(along.sizes), *array.shape[local + axes :])
    if size == 1:  # every element is a copy of the only one
        summed = modular.sum_axis(flat, local)
    else:
        summed = modular.scatter_add(flat, local, along.places().ravel(), size)
    return [*factors[:at], summed, *factors[at + 1 :]]
