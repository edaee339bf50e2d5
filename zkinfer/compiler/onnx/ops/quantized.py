"""Quantized operators: the integers and the scales are the model's own.

Products of quantized tensors are exact. Rounding happens where the model rounds: in one lookup from the sum to the
integers of the result, which saturates as its type does.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import onnx_ir

from zkinfer.compiler.approx import functions
from zkinfer.compiler.approx.functions import X, clip, round_half_even
from zkinfer.compiler.lowering import arithmetic
from zkinfer.compiler.lowering.activation import Activation, Constant, Operand
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.lowering.precision import Format, weight_frac_bits
from zkinfer.compiler.onnx.ops.arguments import axis_of
from zkinfer.compiler.onnx.ops.linear import Conv, MatMul
from zkinfer.compiler.onnx.registry import add_hint, operator
from zkinfer.errors import UnsupportedOperatorError
from zkinfer.typing import FloatArray

DType = np.dtype[Any]

add_hint(
    "DynamicQuantizeLinear",
    "its scale depends on the data. Supported are those that MatMulInteger and ConvInteger with constant weights read, "
    "in their float meaning; otherwise quantize with scales from calibration",
)

_ONE = functions.constant(1)

_FACTOR_BITS = 16
"""Width of the factors from sums to integers, where they differ from channel to channel."""


def _limits(dtype: DType) -> tuple[int, int]:
    """The integers that a type holds.

    Raises:
        UnsupportedOperatorError: it holds floats, or fewer than 8 bits.
    """
    if dtype.kind not in "iu":
        raise UnsupportedOperatorError(f"quantization to {dtype.name} is not supported; use integers of 8 bits or more")
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def along(constant: Constant, axis: int, shape: Sequence[int], block: int = 0) -> FloatArray:
    """The scales or zero points of a tensor, broadcast to it by numpy's rules.

    Args:
        constant: one number, a list of them along an axis, or one for each block of elements along it.
        axis: counted from the front; not used for one number.
        shape: of the tensor.
        block: size of the blocks; 0 means none.
    """
    reals = constant.reals
    if block:
        return np.repeat(reals, block, axis=axis)[tuple(slice(n) for n in shape)]
    return reals if reals.size == 1 else reals.reshape([-1 if i == axis else 1 for i in range(len(shape))])


def _requantized(g: Emitter, x: Activation, factor: FloatArray, zero_point: FloatArray, dtype: DType) -> Activation:
    """`saturate(round(factor * x) + zero_point)`; the factor and the zero point are one number, or broadcast.

    Args:
        g: emits the lookup, and a second one if zero points differ.
        x: the tensor that is quantized.
        factor: the inverse of the scale.
        zero_point: integers.
        dtype: of the result.
    """
    lo, hi = _limits(dtype)
    if factor.size == 1:
        scaled, scale = x, functions.constant(Fraction(float(factor.ravel()[0])))
    else:
        scaled, scale = _times(g, x, factor), _ONE
    zeros = sorted({int(z) for z in zero_point.ravel()})
    if len(zeros) == 1:
        return _held(g, g.apply(scaled, round_half_even(X * scale) + zeros[0]), lo, hi)
    rounded = _held(g, g.apply(scaled, round_half_even(X * scale)), lo - zeros[-1], hi - zeros[0])
    moved = arithmetic.add(g, rounded, Constant(f"{g.label}/zero_point", zero_point.astype(np.int64)))
    return _held(g, arithmetic.require_activation(moved), lo, hi)


def _times(g: Emitter, x: Activation, factor: FloatArray) -> Activation:
    """x times constant factors, which have as many bits as a lookup of the product allows."""
    (shape_x, shape_f), subscripts = arithmetic.hadamard(x.shape, factor.shape)
    bits = max(g.precision.weight_bits, min(_FACTOR_BITS, g.accumulator_bits - x.value.bits))
    frac_bits = weight_frac_bits(float(np.abs(factor).max()), bits)
    weight = g.weight_at(Constant(f"{g.label}/factor", factor), factor.reshape(shape_f), frac_bits)
    return g.einsum(subscripts, arithmetic.reshape(g, x, shape_x), weight, width=g.accumulator_bits)


def _held(g: Emitter, x: Activation, lo: int, hi: int) -> Activation:
    """Integers clamped to limits, by a table."""
    limited = g.apply(x, clip(lo, hi), (float(lo), float(hi)), integral=True)
    return g.activation(g.tabulated(limited, Format(0, lo, hi)), integral=True)


@operator(13, 19, 21, 23, 24, 25)
def QuantizeLinear(
    g: Emitter,
    x: Activation,
    y_scale: Constant,
    y_zero_point: Constant | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    precision: int = 0,
    saturate: int = 1,
) -> Activation:
    at = axis_of(axis, len(x.shape)) if y_scale.reals.size > 1 else 0
    scale = along(y_scale, at, x.shape, block_size)
    if y_zero_point is not None:
        zeros, dtype = along(y_zero_point, at, x.shape, block_size), y_zero_point.array.dtype
    else:
        zeros, dtype = np.zeros(()), onnx_ir.DataType(output_dtype).numpy() if output_dtype else np.dtype(np.uint8)
    return _requantized(g, x, 1 / scale, zeros, dtype)


@operator(13, 19, 21, 23, 24, 25)
def DequantizeLinear(
    g: Emitter,
    x: Activation,
    x_scale: Constant,
    x_zero_point: Constant | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
) -> Activation:
    at = axis_of(axis, len(x.shape)) if x_scale.reals.size > 1 else 0
    centred = _centred(g, x, x_zero_point, at, block_size)
    if x_scale.uniform is not None:
        return g.affine(centred, x_scale.uniform)
    return arithmetic.multiply_weight(g, centred, x_scale, along(x_scale, at, x.shape, block_size))


def _centred(g: Emitter, x: Activation, zero_point: Constant | None, axis: int = 0, block: int = 0) -> Activation:
    """x minus its zero point."""
    if zero_point is None or not zero_point.reals.any():
        return x
    if zero_point.uniform is not None:
        return g.affine(x, offset=-zero_point.uniform)
    zeros = along(zero_point, axis, x.shape, block)
    return arithmetic.require_activation(arithmetic.add(g, x, Constant(zero_point.name, zeros), sign=-1))


def _centred_operand(g: Emitter, x: Operand, zero_point: Constant | None, axis: int = 0) -> Operand:
    """As `_centred`, also of weights, which remain integers."""
    if isinstance(x, Activation):
        return _centred(g, x, zero_point, axis)
    zeros = np.zeros(()) if zero_point is None else along(zero_point, axis, x.shape)
    return Constant(x.name, x.array.astype(np.int64) - zeros.astype(np.int64))


@operator(10)
def MatMulInteger(
    g: Emitter, A: Operand, B: Operand, a_zero_point: Constant | None = None, b_zero_point: Constant | None = None
) -> Activation:
    a = _centred_operand(g, A, a_zero_point, len(A.shape) - 2)
    return MatMul(g, a, _centred_operand(g, B, b_zero_point, len(B.shape) - 1))


@operator(10, 21)
def QLinearMatMul(
    g: Emitter,
    a: Operand,
    a_scale: Constant,
    a_zero_point: Constant,
    b: Operand,
    b_scale: Constant,
    b_zero_point: Constant,
    y_scale: Constant,
    y_zero_point: Constant,
) -> Activation:
    total = MatMulInteger(g, a, b, a_zero_point, b_zero_point)
    rank = len(total.shape)
    factor = along(a_scale, rank - 2, total.shape) * along(b_scale, rank - 1, total.shape) / y_scale.reals
    return _requantized(g, total, factor, y_zero_point.reals, y_zero_point.array.dtype)


@operator(10)
def ConvInteger(
    g: Emitter,
    x: Activation,
    w: Constant,
    x_zero_point: Constant | None = None,
    w_zero_point: Constant | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Activation:
    # The padding is the zero point, which is zero after the subtraction.
    centred = g.as_operand(_centred(g, x, x_zero_point))
    weight = _centred_operand(g, w, w_zero_point)
    assert isinstance(weight, Constant)
    return Conv(g, centred, weight, auto_pad=auto_pad, dilations=dilations, group=group, pads=pads, strides=strides)


@operator(10)
def QLinearConv(
    g: Emitter,
    x: Activation,
    x_scale: Constant,
    x_zero_point: Constant,
    w: Constant,
    w_scale: Constant,
    w_zero_point: Constant,
    y_scale: Constant,
    y_zero_point: Constant,
    B: Constant | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Activation:
    total = ConvInteger(
        g,
        x,
        w,
        x_zero_point,
        w_zero_point,
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        pads=pads,
        strides=strides,
    )
    rank = len(total.shape)
    if B is not None:
        bias = Constant(B.name, B.array.reshape(-1, *(1 for _ in range(rank - 2))))
        total = arithmetic.require_activation(arithmetic.add(g, total, bias))
    factor = x_scale.reals * along(w_scale, 1, total.shape) / y_scale.reals
    return _requantized(g, total, factor, y_zero_point.reals, y_zero_point.array.dtype)
