"""Steps that follow one another."""

import math
from collections.abc import Sequence

import numpy as np

from zkinfer.circuit.steps.base import Move, ReindexingStep
from zkinfer.circuit.steps.index_map import MAX_RANK, MAX_TENSOR_ELEMENTS, Shape, evaluate
from zkinfer.counts import counted
from zkinfer.errors import ShapeError
from zkinfer.typing import Array


def moves(steps: Sequence[ReindexingStep], shape: Shape) -> list[Move]:
    """All steps, in order, on a source of this shape.

    Raises:
        ShapeError: a step does not fit, or what it gives has too many axes or elements.
    """
    found = []
    for step in steps:
        found.append(step.move(shape))
        shape = found[-1].after
        if len(shape) > MAX_RANK:
            raise ShapeError(f"the steps give a tensor of more than {MAX_RANK} axes")
        if math.prod(shape) > MAX_TENSOR_ELEMENTS:
            raise ShapeError(f"the steps give a tensor of more than {counted(MAX_TENSOR_ELEMENTS, 'element')}")
    return found


def shape_after(steps: Sequence[ReindexingStep], shape: Shape) -> Shape:
    """The shape that all steps, in order, give.

    Raises:
        ShapeError: a step does not fit.
    """
    found = moves(steps, shape)
    return found[-1].after if found else shape


def apply_to_runs(steps: Sequence[ReindexingStep], array: Array) -> Array:
    """All steps, in order, on an array of shape (runs, *sizes), of any dtype; they do not touch axis 0.

    Raises:
        ShapeError: a step does not fit.
    """
    for move in moves(steps, array.shape[1:]):
        array = evaluate(move.index_map, array)
    return array


def apply_steps(steps: Sequence[ReindexingStep], array: Array) -> Array:
    """All steps, in order, on one tensor, of any dtype.

    Raises:
        ShapeError: a step does not fit.
    """
    return np.asarray(apply_to_runs(steps, array[None])[0])
