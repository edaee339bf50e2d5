"""Elements chosen by position: constant positions are a View, computed ones a contraction with zeros and ones."""

import math
from fractions import Fraction

import numpy as np

from zkinfer.circuit.steps import Reshape, Take, Transpose
from zkinfer.errors import UnsupportedOperatorError
from zkinfer.onnx.ops.arguments import axis_of
from zkinfer.onnx.registry import operator
from zkinfer.quantize import selection
from zkinfer.quantize.arithmetic import require_activation, reshape
from zkinfer.quantize.lazy import Activation, Constant, Emitter, Operand

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
    data = require_activation(data)
    axis = axis_of(axis, len(data.shape))
    if isinstance(indices, Constant):
        # Each element has a place of its own in the flat tensor.
        at = list(np.indices(indices.shape))
        at[axis] = indices.array.astype(np.int64) % data.shape[axis]
        flat = np.ravel_multi_index(tuple(at), data.shape)
        return g.reindex(
            data, Reshape((math.prod(data.shape),)), Take(0, tuple(flat.ravel().tolist())), Reshape(flat.shape)
        )
    others = [i for i in range(len(data.shape)) if i != axis and indices.shape[i] != data.shape[i]]
    if others:
        raise UnsupportedOperatorError(
            f"its computed indices have the shape {indices.shape}, of a tensor of shape {data.shape}; only axis {axis} "
            "may differ"
        )
    return selection.take_each(g, data, indices, axis)


@operator(13)
def GatherND(g: Emitter, data: Activation, indices: Constant, *, batch_dims: int = 0) -> Activation:
    *places, depth = indices.shape
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


@operator(11)
def OneHot(g: Emitter, indices: Activation, depth: Constant, values: Constant, *, axis: int = -1) -> Activation:
    rank = len(indices.shape)
    at = axis_of(axis, rank + 1)
    rows = selection.one_hot(g, indices, depth.integers[0])
    scaled = rows if values.integers == (0, 1) else _between(g, rows, values)
    order = (*range(at), rank, *range(at, rank))
    return scaled if at == rank else g.reindex(scaled, Transpose(order))


def _between(g: Emitter, rows: Activation, values: Constant) -> Activation:
    """off + rows * (on - off)."""
    off, on = (Fraction(float(x)) for x in values.reals.ravel())
    return g.affine(rows, on - off, off)


@operator(11, 24)
def TopK(
    g: Emitter, X: Activation, K: Constant, *, axis: int = -1, largest: int = 1, sorted: int = 1
) -> tuple[Activation, Activation]:
    axis = axis_of(axis, len(X.shape))
    if X.shape[axis] > MAX_RANKED:
        raise UnsupportedOperatorError(
            f"axis {axis} has {X.shape[axis]} elements; up to {MAX_RANKED} are supported: use ArgMax, or return all "
            "scores and choose outside the circuit"
        )
    return selection.top(g, X, axis, K.integers[0], largest=bool(largest))
