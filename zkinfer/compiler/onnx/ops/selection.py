"""Elements chosen by position: constant positions are a View, computed ones a contraction with zeros and ones."""

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial

import numpy as np

from zkinfer.circuit.steps import Reshape, Slice, Take, Transpose
from zkinfer.compiler.lowering import arithmetic, selection
from zkinfer.compiler.lowering.activation import Activation, Constant, Operand
from zkinfer.compiler.lowering.arithmetic import require_activation, reshape
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.onnx.ops.arguments import axis_of
from zkinfer.compiler.onnx.registry import add_hint, operator
from zkinfer.counts import counted
from zkinfer.errors import UnsupportedOperatorError
from zkinfer.typing import Array, IntArray

add_hint(
    "NonMaxSuppression",
    "how many boxes it keeps depends on the data. Make the boxes and scores before it the outputs, for example with "
    "outputs=[...], and suppress outside the circuit: whoever checks the proof can do so from the proven boxes",
)

MAX_RANKED = 1024
"""TopK compares every pair of elements along its axis: axes up to this size."""


@operator(13)
def Gather(g: Emitter, data: Operand, indices: Operand, *, axis: int = 0) -> Activation:
    axis = axis_of(axis, len(data.shape))
    if isinstance(indices, Activation):
        if isinstance(data, Constant):
            return selection.take_rows(g, data, indices, axis)
        return selection.take(g, data, indices, axis)
    data = require_activation(data)
    taken = g.reindex(data, Take(axis, tuple(i % data.shape[axis] for i in indices.integers)))
    return reshape(g, taken, data.shape[:axis] + indices.shape + data.shape[axis + 1 :])


@operator(13)
def GatherElements(g: Emitter, data: Operand, indices: Operand, *, axis: int = 0) -> Activation:
    axis = axis_of(axis, len(data.shape))
    if isinstance(indices, Constant):
        data = require_activation(data)
        # Each element has a place of its own in the flat tensor.
        at = list(np.indices(indices.shape))
        at[axis] = indices.array.astype(np.int64) % data.shape[axis]
        flat = np.ravel_multi_index(tuple(at), data.shape)
        return g.reindex(
            data, Reshape((math.prod(data.shape),)), Take(0, tuple(flat.ravel().tolist())), Reshape(flat.shape)
        )
    if isinstance(data, Constant) and _is_one_row(data.array, axis):
        row = replace(data, array=np.moveaxis(data.array, axis, 0).reshape(data.shape[axis], -1)[:, 0])
        return selection.take_rows(g, row, indices, 0)
    others = [i for i in range(len(data.shape)) if i != axis and indices.shape[i] != data.shape[i]]
    if others:
        raise UnsupportedOperatorError(
            f"its computed indices have the shape {indices.shape}, of a tensor of shape {data.shape}; only axis {axis} "
            "may differ"
        )
    return selection.take_each(g, data, indices, axis)


def _is_one_row(array: Array, axis: int) -> bool:
    """Whether a tensor repeats one row along an axis, as a table that was expanded does."""
    rows = np.moveaxis(array, axis, -1)
    return bool((rows == rows[(0,) * (rows.ndim - 1)]).all())


@operator(13)
def GatherND(g: Emitter, data: Operand, indices: Operand, *, batch_dims: int = 0) -> Activation:
    *places, depth = indices.shape
    if isinstance(indices, Activation):
        return _nested(g, data, indices, batch_dims)
    data = require_activation(data)
    index = indices.array.astype(np.int64)
    sizes = data.shape[batch_dims : batch_dims + depth]
    # The batch axes and the indexed ones as one flat axis.
    at = [np.indices(tuple(places))[i] for i in range(batch_dims)]
    at += [index[..., i] % n for i, n in enumerate(sizes)]
    indexed, rest = data.shape[: batch_dims + depth], data.shape[batch_dims + depth :]
    flat = np.ravel_multi_index(tuple(at), indexed)
    return g.reindex(
        data,
        Reshape((math.prod(indexed), *rest)),
        Take(0, tuple(int(i) for i in flat.ravel())),
        Reshape((*places, *rest)),
    )


def _nested(g: Emitter, data: Operand, indices: Activation, batch_dims: int) -> Activation:
    """Slices at positions whose coordinates along the indexed axes lie side by side in the last axis."""
    *places, depth = indices.shape
    if not depth or not places:
        raise UnsupportedOperatorError(
            f"its computed indices have the shape {indices.shape}; supported are lists of positions"
        )
    last = len(places)
    flat = (math.prod(places[:batch_dims]), math.prod(places[batch_dims:])) if batch_dims else (math.prod(places),)
    columns = [g.reindex(indices, Slice(last, i, 1, 1), Reshape(flat)) for i in range(depth)]
    folded = (flat[:1] if batch_dims else ()) + data.shape[batch_dims:]
    data = replace(data, array=data.array.reshape(folded)) if isinstance(data, Constant) else reshape(g, data, folded)
    taken = selection.take_nested(g, data, columns, 1 if batch_dims else 0)
    return reshape(g, taken, (*places, *data.shape[min(batch_dims, 1) + depth :]))


@operator(13, 16, 18)
def ScatterElements(
    g: Emitter, data: Operand, indices: Constant, updates: Operand, *, axis: int = 0, reduction: str = "none"
) -> Activation:
    axis = axis_of(axis, len(data.shape))
    at = list(np.indices(indices.shape))
    at[axis] = indices.array.astype(np.int64) % data.shape[axis]
    places = np.ravel_multi_index(tuple(at), data.shape)
    return _scattered(g, data, places.ravel(), updates, reduction)


@operator(13, 16, 18)
def ScatterND(g: Emitter, data: Operand, indices: Constant, updates: Operand, *, reduction: str = "none") -> Activation:
    *_, depth = indices.shape
    index = indices.array.astype(np.int64)
    size = math.prod(data.shape[depth:])
    starts = np.ravel_multi_index(
        tuple(index[..., i] % n for i, n in enumerate(data.shape[:depth])), data.shape[:depth]
    )
    places = (starts[..., None] * size + np.arange(size)).ravel() if depth else np.arange(size)
    return _scattered(g, data, places, updates, reduction)


_REDUCTIONS: dict[str, Callable[[Emitter, Operand, Operand], Operand]] = {
    "none": lambda g, old, new: new,
    "add": arithmetic.add,
    "mul": arithmetic.multiply,
    "max": partial(arithmetic.extremum, largest=True),
    "min": partial(arithmetic.extremum, largest=False),
}


def _scattered(g: Emitter, data: Operand, places: IntArray, updates: Operand, reduction: str) -> Activation:
    """Data with updates at public places, given as numbers of elements; repeated places are updated in order.

    Raises:
        UnsupportedOperatorError: an unknown reduction, or constants alone at a place where they are combined.
    """
    if reduction not in _REDUCTIONS:
        raise UnsupportedOperatorError(f"reduction={reduction!r} is not supported; supported: {', '.join(_REDUCTIONS)}")
    count, shape = math.prod(data.shape), data.shape
    flat, new = _flat(g, data), _flat(g, updates)
    turns = _occurrences(places)
    for turn in range(int(turns.max(initial=-1)) + 1):
        chosen = np.flatnonzero(turns == turn)
        put = _REDUCTIONS[reduction](g, _taken(g, flat, places[chosen]), _taken(g, new, chosen))
        order = np.arange(count)
        order[places[chosen]] = count + np.arange(len(chosen))
        flat = _taken(g, arithmetic.concat(g, (flat, put), 0), order)
    return reshape(g, require_activation(flat), shape)


def _occurrences(places: IntArray) -> IntArray:
    """For each number, how often it occurs before."""
    order = np.argsort(places, kind="stable")
    _, counts = np.unique(places, return_counts=True)
    starts = np.cumsum(counts) - counts
    occurrences = np.empty(len(places), dtype=np.int64)
    occurrences[order] = np.arange(len(places)) - np.repeat(starts, counts)
    return occurrences


def _flat(g: Emitter, x: Operand) -> Operand:
    shape = (math.prod(x.shape),)
    return replace(x, array=x.array.reshape(shape)) if isinstance(x, Constant) else reshape(g, x, shape)


def _taken(g: Emitter, x: Operand, places: IntArray) -> Operand:
    """Elements of a flat tensor."""
    if isinstance(x, Constant):
        return replace(x, array=x.array[places])
    return g.reindex(x, Take(0, tuple(places.tolist())))


@operator(11)
def OneHot(g: Emitter, indices: Activation, depth: Constant, values: Constant, *, axis: int = -1) -> Activation:
    rank = len(indices.shape)
    at = axis_of(axis, rank + 1)
    rows = selection.one_hot(g, indices, depth.integers[0])
    off, on = (Fraction(float(x)) for x in values.reals.ravel())
    scaled = rows if off == 0 and on == 1 else g.affine(rows, on - off, off)
    order = (*range(at), rank, *range(at, rank))
    return scaled if at == rank else g.reindex(scaled, Transpose(order))


@operator(11, 24)
def TopK(
    g: Emitter, X: Activation, K: Constant, *, axis: int = -1, largest: int = 1, sorted: int = 1
) -> tuple[Activation, Activation]:
    axis = axis_of(axis, len(X.shape))
    if X.shape[axis] > MAX_RANKED:
        raise UnsupportedOperatorError(
            f"axis {axis} has {counted(X.shape[axis], 'element')}; up to {MAX_RANKED:,} are supported: use ArgMax, "
            "or return all scores and choose outside the circuit"
        )
    return selection.top(g, X, axis, K.integers[0], largest=bool(largest))
