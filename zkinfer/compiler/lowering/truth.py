"""Truth values in exact products: integers that are proven to be 0 or 1."""

from fractions import Fraction

import numpy as np

from zkinfer.compiler.approx.functions import clip
from zkinfer.compiler.lowering.activation import Activation, Constant, Operand
from zkinfer.compiler.lowering.affine import AffineMap
from zkinfer.compiler.lowering.arithmetic import hadamard, multiply, reshape
from zkinfer.compiler.lowering.builder import ProgramValue, Summand
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.lowering.precision import Format


def integral_value(g: Emitter, a: Activation, lo: int, hi: int) -> ProgramValue:
    """The integers of an integral activation, proven to lie within bounds, at which they saturate."""
    if isinstance(a.pending, AffineMap) and a.pending.scale == 1 and a.pending.offset.denominator == 1:
        value = g.builder.combine(a.label, [Summand(a.value)], offset=a.pending.offset)
        if value.frac_bits == 0 and lo <= value.interval[0] and value.interval[1] <= hi:
            return value
    return g.tabulated(g.apply(a, clip(lo, hi), (float(lo), float(hi)), integral=True), Format(0, lo, hi))


def times_truth(g: Emitter, value: ProgramValue, truth: Operand) -> ProgramValue:
    """A value where the truth value, broadcast, is 1; zero elsewhere."""
    (shape, kept_shape), subscripts = hadamard(value.shape, truth.shape)
    assert shape == value.shape
    if isinstance(truth, Constant):
        factor = g.builder.weight(truth.name, truth.array.astype(np.int64).reshape(kept_shape), 0)
    else:
        factor = integral_value(g, reshape(g, truth, kept_shape), 0, 1)
    return g.builder.einsum(g.label, subscripts, value, factor)


def opposite(g: Emitter, truth: Operand) -> Operand:
    """1 - truth."""
    if isinstance(truth, Constant):
        return Constant(f"{truth.name}/not", 1 - truth.array.astype(np.int64))
    return g.affine(truth, Fraction(-1), Fraction(1))


def both(g: Emitter, a: Operand, b: Operand) -> Operand:
    """a * b of truth values, broadcast."""
    if isinstance(a, Constant) and isinstance(b, Constant):
        return Constant(f"{a.name}/{b.name}", a.array.astype(np.int64) * b.array.astype(np.int64))
    return multiply(g, a, b)
