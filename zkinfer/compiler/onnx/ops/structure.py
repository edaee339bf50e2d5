"""Operators that move elements: Views, whose proofs cost very little."""

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate
from typing import Literal

import numpy as np
import onnx_ir

from zkinfer.circuit import steps as views
from zkinfer.compiler.approx.functions import X
from zkinfer.compiler.lowering import comparison, masking
from zkinfer.compiler.lowering.activation import MASKED_BELOW, Activation, Alone, Constant, MaskedScores, Operand
from zkinfer.compiler.lowering.affine import IDENTITY
from zkinfer.compiler.lowering.arithmetic import concat, multiply_weight, reshape
from zkinfer.compiler.lowering.emitter import Emitter, broadcast_steps
from zkinfer.compiler.onnx.ops.arguments import axis_of, integers
from zkinfer.compiler.onnx.ops.elementwise import truncated
from zkinfer.compiler.onnx.registry import operator
from zkinfer.errors import UnsupportedOperatorError


@operator(13, 14, 16, 19, 21, 23, 24, 25)
def Identity(g: Emitter, input: Activation) -> Activation:
    return input


@operator(12, 13, 22)
def Dropout(
    g: Emitter, data: Activation, ratio: Constant | None = None, training_mode: Constant | None = None, *, seed: int = 0
) -> Activation:
    if any(integers(training_mode) or ()):
        raise UnsupportedOperatorError("training_mode=1 is not supported; export the model in evaluation mode")
    return data


@operator(13, 19, 21, 23, 24, 25)
def Cast(g: Emitter, input: Activation, *, to: int, saturate: int = 1, round_mode: str = "up") -> Activation:
    dtype = onnx_ir.DataType(to)
    if dtype is onnx_ir.DataType.BOOL:
        if not input.integral:
            raise UnsupportedOperatorError("real numbers become truth values; compare them with 0.0")
        if input.pending == IDENTITY and input.value.interval in ((0, 1), (0, 0)):
            return input
        zero = Constant(g.label, np.zeros((), dtype=np.int64))
        return comparison.negated(g, comparison.compare(g, input, zero, "=="))
    if dtype.bitwidth < (16 if dtype.is_floating_point() else 8) or not (dtype.is_floating_point() or g.integer):
        raise UnsupportedOperatorError(
            f"a cast to {dtype.name} is not supported; supported are floats from 16 bits on, bool, integers from 8 on"
        )
    return g.apply(input, truncated(X), integral=True) if g.integer and not input.integral else input


@operator(15, 19, 21, 23, 24, 25)
def CastLike(
    g: Emitter, input: Activation, target_type: Operand, *, saturate: int = 1, round_mode: str = "up"
) -> Activation:
    return g.apply(input, truncated(X), integral=True) if g.integer and not input.integral else input


@operator(13, 21, 23, 24, 25)
def Flatten(g: Emitter, input: Activation, *, axis: int = 1) -> Activation:
    rank = len(input.shape)
    at = rank if axis == rank else axis_of(axis, rank)
    return reshape(g, input, (math.prod(input.shape[:at]), math.prod(input.shape[at:])))


@operator(13, name="Reshape")
def Reshape_13(g: Emitter, data: Activation, shape: Constant) -> Activation:
    return Reshape(g, data, shape)


@operator(14, 19, 21, 23, 24, 25)
def Reshape(g: Emitter, data: Activation, shape: Constant, *, allowzero: int = 0) -> Activation:
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
    return concat(g, [x for x in inputs if math.prod(x.shape)], axis_of(axis, len(inputs[0].shape)))


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


@operator(13, name="Split")
def Split_13(
    g: Emitter, input: Activation, split: Constant | None = None, *, axis: int = 0
) -> tuple[Activation | Constant, ...]:
    # A Split without sizes is decomposed when the model is loaded.
    return Split(g, input, split, axis=axis)


@operator(18)
def Split(
    g: Emitter, input: Activation, split: Constant | None = None, *, axis: int = 0, num_outputs: int | None = None
) -> tuple[Activation | Constant, ...]:
    sizes, axis = integers(split), axis_of(axis, len(input.shape))
    if sizes is None:
        if num_outputs is None:
            raise UnsupportedOperatorError("neither its sizes nor num_outputs is given")
        n = input.shape[axis]
        each = -(-n // num_outputs)
        sizes = (*(each for _ in range(num_outputs - 1)), n - each * (num_outputs - 1))
    starts = accumulate(sizes, initial=0)

    def part(start: int, n: int) -> Activation | Constant:
        if not n:
            # Nothing reads it from here: its readers have a constant in its place.
            return Constant(g.label, np.zeros((*input.shape[:axis], 0, *input.shape[axis + 1 :])))
        return g.reindex(input, views.Slice(axis, start, n, 1))

    return tuple(part(start, n) for start, n in zip(starts, sizes, strict=False))


def _filler(constant: Constant) -> Fraction:
    filler = constant.published("filler")
    if filler is None or abs(filler) >= -MASKED_BELOW:
        raise UnsupportedOperatorError(
            f"it pads with {constant.name!r}, which is not one number of a magnitude below {-MASKED_BELOW:g}"
        )
    return filler


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
) -> Activation | MaskedScores:
    rank = len(data.shape)
    margins = integers(pads) or ()
    along = [axis_of(axis, rank) for axis in integers(axes) or range(rank)]
    before, after = [0] * rank, [0] * rank
    for i, axis in enumerate(along):
        before[axis], after[axis] = margins[i], margins[len(along) + i]
    # A negative pad removes elements.
    data = g.reindex(
        data,
        *(
            views.Slice(axis, max(-before[axis], 0), n + min(before[axis], 0) + min(after[axis], 0), 1)
            for axis, n in enumerate(data.shape)
            if before[axis] < 0 or after[axis] < 0
        ),
    )
    before, after = [max(n, 0) for n in before], [max(n, 0) for n in after]
    if mode == "constant":
        step = views.Pad(tuple(before), tuple(after))
        if g.masking and constant_value is not None and masking.is_low(g, constant_value, data):
            ones = np.ones(data.shape, dtype=np.int64)
            kept = np.pad(ones, list(zip(before, after, strict=True)))
            return MaskedScores(g.reindex(data, step), Constant(f"{g.label}/kept", kept), Alone.EQUAL)
        filler = Fraction(0) if constant_value is None else _filler(constant_value)
        padded = g.reindex(g.affine(data, offset=-filler), step)
        return g.affine(padded, offset=filler)
    if mode not in _PAD_MODES:
        raise UnsupportedOperatorError(f"mode={mode!r} is not supported; supported: constant, {', '.join(_PAD_MODES)}")
    moves = []
    for axis, n in enumerate(data.shape):
        if before[axis] or after[axis]:
            index = np.pad(np.arange(n), (before[axis], after[axis]), mode=_PAD_MODES[mode])
            moves.append(views.Take(axis, tuple(index.tolist())))
    return g.reindex(data, *moves)


@operator(18)
def CenterCropPad(
    g: Emitter, input_data: Activation, shape: Constant, *, axes: Sequence[int] | None = None
) -> Activation:
    rank = len(input_data.shape)
    along = range(rank) if axes is None else [axis_of(axis, rank) for axis in axes]
    before, after, moves = [0] * rank, [0] * rank, []
    for axis, size in zip(along, shape.integers, strict=True):
        n = input_data.shape[axis]
        if size < n:
            moves.append(views.Slice(axis, (n - size) // 2, size, 1))
        else:
            before[axis], after[axis] = (size - n) // 2, (size - n + 1) // 2
    return g.reindex(input_data, *moves, views.Pad(tuple(before), tuple(after)))


@operator(10)
def ReverseSequence(
    g: Emitter, input: Activation, sequence_lens: Constant, *, batch_axis: int = 1, time_axis: int = 0
) -> Activation:
    at = list(np.indices(input.shape))
    length = sequence_lens.array.astype(np.int64)[at[batch_axis]]
    at[time_axis] = np.where(at[time_axis] < length, length - 1 - at[time_axis], at[time_axis])
    places = np.ravel_multi_index(tuple(at), input.shape).ravel()
    flat = views.Reshape((places.size,)), views.Take(0, tuple(places.tolist())), views.Reshape(input.shape)
    return g.reindex(input, *flat)


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
def DepthToSpace(g: Emitter, input: Activation, *, blocksize: int, mode: str = "DCR") -> Activation:
    batch, channels, height, width = input.shape
    left = channels // blocksize**2
    if mode == "DCR":
        split, order = (batch, blocksize, blocksize, left, height, width), (0, 3, 4, 1, 5, 2)
    else:
        split, order = (batch, left, blocksize, blocksize, height, width), (0, 1, 4, 2, 5, 3)
    joined = (batch, left, height * blocksize, width * blocksize)
    return g.reindex(input, views.Reshape(split), views.Transpose(order), views.Reshape(joined))


@operator(13)
def SpaceToDepth(g: Emitter, input: Activation, *, blocksize: int) -> Activation:
    batch, channels, height, width = input.shape
    rows, columns = height // blocksize, width // blocksize
    return g.reindex(
        input,
        views.Reshape((batch, channels, rows, blocksize, columns, blocksize)),
        views.Transpose((0, 3, 5, 1, 2, 4)),
        views.Reshape((batch, channels * blocksize**2, rows, columns)),
    )


@operator(14)
def Trilu(g: Emitter, input: Activation, k: Constant | None = None, *, upper: int = 1) -> Activation:
    diagonal = 0 if k is None else k.integers[0]
    rows, columns = input.shape[-2:]
    kept = np.tri(rows, columns, diagonal - 1 if upper else diagonal, dtype=np.int64)
    kept = 1 - kept if upper else kept
    return multiply_weight(g, input, Constant(f"{g.label}/kept", kept), kept.astype(np.float64))
