"""Exact sums of activations, and of an activation and a weight."""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from zkinfer.circuit.bounds import round_outward
from zkinfer.circuit.steps import Step
from zkinfer.compiler.lowering.activation import Activation, Addend, Constant
from zkinfer.compiler.lowering.affine import AffineMap, is_simple
from zkinfer.compiler.lowering.builder import Summand, exponent
from zkinfer.compiler.lowering.emitter import OPERAND_SLACK_BITS, Emitter
from zkinfer.compiler.lowering.precision import Format, weight_frac_bits
from zkinfer.compiler.lowering.tables import least_shift
from zkinfer.typing import FloatArray

MAX_SUM_BITS = 48
"""Bits of the largest term of a sum in the finest of its terms' formats, beyond which the finest are rounded first."""


def add_all(g: Emitter, summands: Sequence[Addend]) -> Activation:
    """The sum of activations, exact.

    A summand is made narrow first if something nonlinear is pending on it, if its factor has too many digits beside
    the others (see `is_simple`), or if it outgrew its table (see `_outgrown`); and if the sum could leave the field for
    all that is public about weights.
    """
    affine = [s._replace(activation=g.narrowed(s.activation)) if _outgrown(g, s.activation) else s for s in summands]
    affine = _aligned(g, affine)
    total = _sum(g, affine)
    for k in sorted(range(len(affine)), key=lambda k: -g.builder.slack(affine[k].activation.value)):
        if not g.builder.is_provable(total.value):
            affine[k] = affine[k]._replace(activation=g.narrowed(affine[k].activation))
            total = _sum(g, affine)
    return total


def _sum(g: Emitter, affine: Sequence[Addend]) -> Activation:
    """The sum of activations on which nothing nonlinear is pending."""
    common = _scale(affine[0])
    if not all(is_simple(_scale(s) / common) for s in affine):
        affine = [s if is_simple(_scale(s)) else s._replace(activation=g.narrowed(s.activation)) for s in affine]
        common = Fraction(1)
    elif is_simple(common):
        common = Fraction(1)
    value = g.builder.combine(g.label, [Summand(s.activation.value, _scale(s) / common, s.steps) for s in affine])
    offset = Fraction(0)
    lo = hi = 0.0
    for activation, coefficient, _ in affine:
        assert isinstance(activation.pending, AffineMap)
        offset += coefficient * activation.pending.offset
        ends = [float(coefficient) * y for y in activation.observed]
        lo, hi = lo + min(ends), hi + max(ends)
    return g.activation(value, AffineMap(common, offset), (lo, hi))


def _aligned(g: Emitter, summands: Sequence[Addend]) -> list[Addend]:
    """The summands; those whose digits lie far below the largest of them are rounded, so that the sum stays exact."""

    def unit(s: Addend) -> int:
        """Fraction bits of the summand in the sum, to within one."""
        return s.activation.value.frac_bits - math.frexp(_scale(s))[1]

    tops = [s.activation.value.bits - unit(s) for s in summands]
    if max(tops) + max(unit(s) for s in summands) <= MAX_SUM_BITS:
        return list(summands)
    least = g.accumulator_bits - max(tops)
    return [
        s._replace(activation=_rounded(g, s.activation, least + math.frexp(s.coefficient)[1])) if unit(s) > least else s
        for s in summands
    ]


def _rounded(g: Emitter, a: Activation, frac_bits: int) -> Activation:
    """An activation rounded to so many fraction bits, by one lookup."""
    lo, hi = (math.ldexp(end, frac_bits) for end in a.observed)
    out = Format(frac_bits, *round_outward((min(math.floor(2 * lo), -1), max(math.ceil(2 * hi), 1))))
    return g.activation(g.tabulated(a, out), observed=a.observed)


def _scale(summand: Addend) -> Fraction:
    assert isinstance(summand.activation.pending, AffineMap)
    return summand.coefficient * summand.activation.pending.scale


def _outgrown(g: Emitter, a: Activation) -> bool:
    """Whether an activation has to be narrow before it is added to others.

    This is so if something nonlinear is pending. It is also so if several operators read the activation and its proven
    range is so much wider than the observed one that a table of it is no finer than its narrow form: otherwise the sums
    that run through a network of residual blocks would grow beyond any table.
    """
    if not isinstance(a.pending, AffineMap):
        return True
    if not a.shared or a.value.bits <= g.operand_bits:
        return False
    bounds = (a.value.tensor.lo, a.value.tensor.hi)
    shift = least_shift(bounds, g.precision.max_table_entries)
    index_step = abs(a.pending.scale) * Fraction(2) ** (shift - a.value.frac_bits)
    return index_step >= Fraction(2) ** -g.format(a).frac_bits


def add_weight(g: Emitter, a: Activation, constant: Constant, array: FloatArray, steps: Sequence[Step]) -> Activation:
    """An activation plus a weight, at the scale of the sum.

    Args:
        g: emits the sum.
        a: the activation.
        constant: names the weight.
        array: its contents.
        steps: give the weight the activation's shape.
    """
    if not isinstance(a.pending, AffineMap):
        a = g.narrowed(a)
    assert isinstance(a.pending, AffineMap)
    scale, offset = a.pending
    inner, outer = (scale, Fraction(1)) if is_simple(scale) else (Fraction(1), scale)
    scaled = array / float(outer)
    frac_bits = a.value.frac_bits - exponent(inner)
    if a.value.bits <= g.operand_bits:
        # A narrow value is coarse: the weight brings fraction bits of its own.
        bits = g.precision.weight_bits_of(constant.name)
        finest = weight_frac_bits(float(np.abs(scaled).max(initial=0.0)), bits)
        frac_bits = max(frac_bits, min(finest, frac_bits + OPERAND_SLACK_BITS))
    if math.frexp(float(np.abs(scaled).max(initial=0.0)))[1] + frac_bits > MAX_SUM_BITS:
        top = math.frexp(float(np.abs(array).max()))[1]
        return add_weight(g, _rounded(g, a, g.accumulator_bits - top), constant, array, steps)
    weight = g.weight_at(constant, scaled, frac_bits)
    value = g.builder.combine(g.label, [Summand(a.value, inner), Summand(weight, steps=tuple(steps))])
    if not g.builder.is_provable(value):
        narrowed = g.narrowed(a)
        if g.builder.slack(narrowed.value) < g.builder.slack(a.value):
            return add_weight(g, narrowed, constant, array, steps)
    ends = a.observed[0] + float(array.min(initial=0.0)), a.observed[1] + float(array.max(initial=0.0))
    return g.activation(value, AffineMap(outer, offset), ends)
