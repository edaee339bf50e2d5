"""Operators along an axis: sums, means, maxima, softmax, and the position of the maximum."""

import math
import string
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

from zkinfer.circuit.steps import Transpose
from zkinfer.compiler.approx import functions
from zkinfer.compiler.lowering import maxima, selection, softmax, statistics
from zkinfer.compiler.lowering.activation import Activation, Constant, MaskedScores
from zkinfer.compiler.lowering.arithmetic import reshape, total
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.onnx.ops.arguments import axis_of, integers
from zkinfer.compiler.onnx.registry import Handler, operator


def _axes(rank: int, axes: Sequence[int] | None, noop_with_empty_axes: int) -> list[int]:
    """The axes to reduce, in order. If none are given: all axes, or no axis if the attribute says so."""
    if not axes:
        return [] if noop_with_empty_axes else list(range(rank))
    return sorted({axis_of(axis, rank) for axis in axes})


def _sum(g: Emitter, data: Activation, axes: Sequence[int] | None, keepdims: int, noop: int = 0) -> Activation:
    reduced = _axes(len(data.shape), axes, noop)
    squares = statistics.squares_total(g, data, reduced)
    if squares is not None:
        left = tuple(1 if i in reduced else n for i, n in enumerate(data.shape))
        return reshape(g, squares, left) if keepdims else squares
    return total(g, data, reduced, keepdims=bool(keepdims)) if reduced else data


def _mean(g: Emitter, data: Activation, axes: Sequence[int] | None, keepdims: int, noop: int = 0) -> Activation:
    count = math.prod(data.shape[axis] for axis in _axes(len(data.shape), axes, noop))
    return g.affine(_sum(g, data, axes, keepdims, noop), Fraction(1, count))


def _max(
    g: Emitter, data: Activation | MaskedScores, axes: Sequence[int] | None, keepdims: int, noop: int = 0
) -> Activation:
    data = maxima.finite(g, data)
    shape = data.shape
    reduced = _axes(len(shape), axes, noop)
    if not reduced:
        return data
    kept = [i for i in range(len(shape)) if i not in reduced]
    last = g.reindex(data, Transpose((*kept, *reduced)))
    flat = reshape(g, last, (*(shape[i] for i in kept), math.prod(shape[i] for i in reduced)))
    largest = maxima.max_along(g, flat, len(kept))
    left = tuple(1 if i in reduced else n for i, n in enumerate(shape) if keepdims or i not in reduced)
    return reshape(g, largest, left)


def _min(g: Emitter, data: Activation, axes: Sequence[int] | None, keepdims: int, noop: int = 0) -> Activation:
    return g.affine(_max(g, g.affine(data, Fraction(-1)), axes, keepdims, noop), Fraction(-1))


def _sum_square(g: Emitter, data: Activation, axes: Sequence[int] | None, keepdims: int, noop: int = 0) -> Activation:
    return _sum(g, g.apply(data, functions.power(2)), axes, keepdims, noop)


def _axes_attribute(reduce: Callable[..., Activation]) -> Handler:
    """Lowers a reduction whose axes are an attribute."""

    def handler(g: Emitter, data: Activation, *, axes: Sequence[int] | None = None, keepdims: int = 1) -> Activation:
        return reduce(g, data, axes, keepdims)

    return handler


def _of_masked_too(handler: Handler) -> Handler:
    """The handler of a reduction that takes masked scores as well."""
    handler.__annotations__["data"] = Activation | MaskedScores
    return handler


def _axes_input(reduce: Callable[..., Activation]) -> Handler:
    """Lowers a reduction whose axes are an input."""

    def handler(
        g: Emitter, data: Activation, axes: Constant | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
    ) -> Activation:
        return reduce(g, data, integers(axes), keepdims, noop_with_empty_axes)

    return handler


operator(13, name="ReduceSum")(_axes_input(_sum))
operator(13, name="ReduceMean")(_axes_attribute(_mean))
operator(18, name="ReduceMean")(_axes_input(_mean))
operator(13, name="ReduceMax")(_of_masked_too(_axes_attribute(_max)))
operator(18, 20, name="ReduceMax")(_of_masked_too(_axes_input(_max)))
operator(13, name="ReduceMin")(_axes_attribute(_min))
operator(18, 20, name="ReduceMin")(_axes_input(_min))
operator(13, name="ReduceSumSquare")(_axes_attribute(_sum_square))
operator(18, name="ReduceSumSquare")(_axes_input(_sum_square))


@operator(13)
def Softmax(g: Emitter, input: Activation | MaskedScores, *, axis: int = -1) -> Activation:
    return softmax.softmax(g, input, axis_of(axis, len(input.shape)))


@operator(13)
def Hardmax(g: Emitter, input: Activation | MaskedScores, *, axis: int = -1) -> Activation:
    axis = axis_of(axis, len(input.shape))
    position = maxima.argmax(g, input, axis, last=False)
    flat = reshape(g, position, input.shape[:axis] + input.shape[axis + 1 :])
    rank = len(input.shape)
    rows = selection.one_hot(g, flat, input.shape[axis])
    return g.reindex(rows, Transpose((*range(axis), rank - 1, *range(axis, rank - 1))))


@operator(13)
def LogSoftmax(g: Emitter, input: Activation, *, axis: int = -1) -> Activation:
    return softmax.log_softmax(g, input, axis_of(axis, len(input.shape)))


def _position(
    g: Emitter, data: Activation | MaskedScores, axis: int, keepdims: int, last: int, *, largest: bool
) -> Activation:
    axis = axis_of(axis, len(data.shape))
    position = maxima.argmax(g, data, axis, last=bool(last), largest=largest)
    return position if keepdims else reshape(g, position, data.shape[:axis] + data.shape[axis + 1 :])


@operator(13)
def ArgMax(
    g: Emitter, data: Activation | MaskedScores, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0
) -> Activation:
    return _position(g, data, axis, keepdims, select_last_index, largest=True)


@operator(13)
def ArgMin(g: Emitter, data: Activation, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Activation:
    return _position(g, data, axis, keepdims, select_last_index, largest=False)


@operator(11, 14)
def CumSum(g: Emitter, x: Activation, axis: Constant, *, exclusive: int = 0, reverse: int = 0) -> Activation:
    along = axis_of(axis.integers[0], len(x.shape))
    n = x.shape[along]
    # Element j is part of sum i: a matrix of zeros and ones.
    summed = np.tri(n, k=-1 if exclusive else 0, dtype=np.int64)
    part = g.builder.weight(f"{g.label}/parts", summed.T if reverse else summed, 0)
    letters = string.ascii_lowercase[: len(x.shape)]
    width = max(g.operand_bits, g.accumulator_bits - n.bit_length())
    return g.einsum(f"{letters},z{letters[along]}->{letters.replace(letters[along], 'z')}", x, part, width=width)
