"""Operators that move elements: Views, which cost next to nothing to prove."""

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate
from typing import Literal

import numpy as np
import onnx_ir

from zkinfer.circuit import steps as views
from zkinfer.errors import UnsupportedOperatorError
from zkinfer.onnx.ops.arguments import axis_of, integers
from zkinfer.onnx.registry import operator
from zkinfer.quantize.arithmetic import reshape
from zkinfer.quantize.lazy import IDENTITY, Activation, Constant, Emitter, Operand, Part, broadcast_steps


@operator(13, 14, 16, 19, 21, 23, 24, 25)
def Identity(g: Emitter, input: Activation) -> Activation:
    return input


@operator(12, 13, 22)
def Dropout(
    g: Emitter,
    data: Activation,
    ratio: Constant | None = None,
    training_mode: Constant | None = None,
    *,
    seed: int = 0,
) -> Activation:
    if any(integers(training_mode) or ()):
        raise UnsupportedOperatorError("training_mode=1 is not supported; export the model in evaluation mode")
    return data


@operator(13, 19, 21, 23, 24, 25)
def Cast(g: Emitter, input: Activation, *, to: int, saturate: int = 1, round_mode: str = "up") -> Activation:
    dtype = onnx_ir.DataType(to)
    whole = input.pending == IDENTITY and input.value.frac_bits <= 0
    if not (dtype.is_floating_point() or (dtype.is_integer() and whole)) or dtype.bitwidth < 16:
        raise UnsupportedOperatorError(
            f"a cast to {dtype.name} is not supported; supported are casts between float types, and of integers to "
            "any wider type"
        )
    return input


@operator(13, 21, 23, 24, 25)
def Flatten(g: Emitter, input: Activation, *, axis: int = 1) -> Activation:
    rank = len(input.shape)
    at = rank if axis == rank else axis_of(axis, rank)
    return reshape(g, input, (math.prod(input.shape[:at]), math.prod(input.shape[at:])))


@operator(13, name="Reshape")
def Reshape_13(g: Emitter, data: Activation, shape: Constant) -> Activation:
    return _reshape(g, data, shape, 0)


@operator(14, 19, 21, 23, 24, 25)
def Reshape(g: Emitter, data: Activation, shape: Constant, *, allowzero: int = 0) -> Activation:
    return _reshape(g, data, shape, allowzero)


def _reshape(g: Emitter, data: Activation, shape: Constant, allowzero: int) -> Activation:
    sizes = list(integers(shape) or ())
    if not allowzero:
        sizes = [data.shape[i] if n == 0 else n for i, n in enumerate(sizes)]
    if -1 in sizes:
        known = -math.prod(sizes)
        sizes[sizes.index(-1)] = math.prod(data.shape) // known if known else 0
    return reshape(g, data, tuple(sizes))


@operator(13, 21, 23, 24, 25)
def Transpose(g: Emitter, data: Activation, *, perm: Sequence[int] | None = None) -> Activation:
    axes = tuple(perm) if perm is not None else tuple(reversed(range(len(data.shape))))
    return g.reindex(data, views.Transpose(axes))


@operator(13, 21, 23, 24, 25)
def Squeeze(g: Emitter, data: Activation, axes: Constant | None = None) -> Activation:
    rank = len(data.shape)
    given = integers(axes)
    dropped = [i for i, n in enumerate(data.shape) if n == 1] if given is None else [axis_of(a, rank) for a in given]
    return reshape(g, data, tuple(n for i, n in enumerate(data.shape) if i not in dropped))


@operator(13, 21, 23, 24, 25)
def Unsqueeze(g: Emitter, data: Activation, axes: Constant) -> Activation:
    given = integers(axes) or ()
    rank = len(data.shape) + len(given)
    added = [axis_of(axis, rank) for axis in given]
    sizes = iter(data.shape)
    return reshape(g, data, tuple(1 if i in added else next(sizes) for i in range(rank)))


@operator(13)
def Concat(g: Emitter, *inputs: Operand, axis: int) -> Activation:
    handles = [g.exact(g.weight(x)) if isinstance(x, Constant) else g.settled(x, g.accumulator_bits) for x in inputs]
    rank = len(handles[0].shape)
    axis = axis_of(axis, rank)
    ends = list(accumulate(handle.shape[axis] for handle in handles))
    parts = []
    for handle, end in zip(handles, ends, strict=True):
        before, after = [0] * rank, [0] * rank
        before[axis], after[axis] = end - handle.shape[axis], ends[-1] - end
        steps = (views.Pad(tuple(before), tuple(after)),) if any(before) or any(after) else ()
        parts.append(Part(handle, Fraction(1), steps))
    return g.sum(parts)


@operator(13)
def Slice(
    g: Emitter,
    data: Activation,
    starts: Constant,
    ends: Constant,
    axes: Constant | None = None,
    steps: Constant | None = None,
) -> Activation:
    first, last = integers(starts) or (), integers(ends) or ()
    along = integers(axes) or tuple(range(len(first)))
    strides = integers(steps) or (1,) * len(first)
    moves: list[views.Step] = []
    for start, end, axis, stride in zip(first, last, along, strides, strict=True):
        axis = axis_of(axis, len(data.shape))
        places = range(data.shape[axis])[start:end:stride]
        if not places:
            raise UnsupportedOperatorError(f"nothing is left of axis {axis}; empty tensors are not supported")
        moves.append(views.Slice(axis, places[0], len(places), stride))
    return g.reindex(data, *moves)


def _split(g: Emitter, data: Activation, axis: int, sizes: Sequence[int]) -> tuple[Activation, ...]:
    axis = axis_of(axis, len(data.shape))
    starts = accumulate(sizes, initial=0)
    return tuple(g.reindex(data, views.Slice(axis, start, n, 1)) for start, n in zip(starts, sizes, strict=False))


@operator(13, name="Split")
def Split_13(g: Emitter, input: Activation, split: Constant | None = None, *, axis: int = 0) -> tuple[Activation, ...]:
    sizes = integers(split)
    if sizes is None:
        raise UnsupportedOperatorError("its sizes are left out; export the model at opset 18, or state them")
    return _split(g, input, axis, sizes)


@operator(18)
def Split(
    g: Emitter, input: Activation, split: Constant | None = None, *, axis: int = 0, num_outputs: int | None = None
) -> tuple[Activation, ...]:
    sizes = integers(split)
    if sizes is None:
        if num_outputs is None:
            raise UnsupportedOperatorError("neither its sizes nor num_outputs is given")
        n = input.shape[axis_of(axis, len(input.shape))]
        each = -(-n // num_outputs)
        sizes = (*(each for _ in range(num_outputs - 1)), n - each * (num_outputs - 1))
    return _split(g, input, axis, sizes)


_PAD_MODES: dict[str, Literal["reflect", "edge", "wrap"]] = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}


@operator(13, 18, 19, 21, 23, 24, 25)
def Pad(
    g: Emitter,
    data: Activation,
    pads: Constant,
    constant_value: Constant | None = None,
    axes: Constant | None = None,
    *,
    mode: str = "constant",
) -> Activation:
    rank = len(data.shape)
    margins = integers(pads) or ()
    along = [axis_of(axis, rank) for axis in integers(axes) or range(rank)]
    before, after = [0] * rank, [0] * rank
    for i, axis in enumerate(along):
        before[axis], after[axis] = margins[i], margins[len(along) + i]
    if min(before + after, default=0) < 0:
        raise UnsupportedOperatorError(f"negative pads {margins} are not supported; use Slice")
    if mode == "constant":
        if constant_value is not None and constant_value.uniform != 0:
            raise UnsupportedOperatorError("it pads with a number that is not 0; only padding with 0 is supported")
        return g.reindex(data, views.Pad(tuple(before), tuple(after)))
    if mode not in _PAD_MODES:
        raise UnsupportedOperatorError(f"mode={mode!r} is not supported; supported: constant, {', '.join(_PAD_MODES)}")
    moves = []
    for axis, n in enumerate(data.shape):
        if before[axis] or after[axis]:
            index = np.pad(np.arange(n), (before[axis], after[axis]), mode=_PAD_MODES[mode])
            moves.append(views.Take(axis, tuple(index.tolist())))
    return g.reindex(data, *moves)


@operator(13)
def Expand(g: Emitter, input: Activation, shape: Constant) -> Activation:
    target = np.broadcast_shapes(input.shape, integers(shape) or ())
    return g.reindex(input, *broadcast_steps(input.shape, target))


@operator(13)
def Tile(g: Emitter, input: Activation, repeats: Constant) -> Activation:
    moves = [
        views.Take(axis, tuple(range(n)) * count)
        for axis, (n, count) in enumerate(zip(input.shape, integers(repeats) or (), strict=True))
        if count > 1
    ]
    return g.reindex(input, *moves)


@operator(13)
def Gather(g: Emitter, data: Operand, indices: Operand, *, axis: int = 0) -> Activation:
    if isinstance(data, Constant):
        raise UnsupportedOperatorError(
            "it looks up rows of a constant table at computed indices; look embeddings up outside the circuit and "
            "make them an input"
        )
    if isinstance(indices, Activation):
        raise UnsupportedOperatorError("its indices are computed; only constant indices are supported")
    axis = axis_of(axis, len(data.shape))
    taken = g.reindex(data, views.Take(axis, tuple(i % data.shape[axis] for i in indices.integers)))
    return reshape(g, taken, data.shape[:axis] + indices.shape + data.shape[axis + 1 :])
