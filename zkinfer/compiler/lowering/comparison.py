"""Truth values: comparisons by one lookup of a difference, and choices by a product with a truth value.

A truth value is an integer, 0 or 1. A comparison is exact on integers. On real numbers it is as exact as its operands:
numbers that are equal in fixed point compare as equal.
"""

from fractions import Fraction
from typing import Literal

import numpy as np

from zkinfer.compiler.approx.domain import LINE
from zkinfer.compiler.approx.functions import Function, X, constant, step
from zkinfer.compiler.lowering.activation import MASKED_BELOW, Activation, Constant, Operand
from zkinfer.compiler.lowering.affine import AffineMap
from zkinfer.compiler.lowering.arithmetic import add, broadcast, multiply, require_activation
from zkinfer.compiler.lowering.emitter import Emitter, fits
from zkinfer.compiler.lowering.tables import entries
from zkinfer.compiler.lowering.truth import opposite
from zkinfer.errors import UnsupportedOperatorError

Relation = Literal["<", "<=", "==", ">=", ">"]

_OF_DIFFERENCE: dict[Relation, Function] = {
    "<": 1 - step,
    "<=": step(-X),
    "==": step * step(-X),
    ">=": step,
    ">": 1 - step(-X),
}
"""For each relation, the function of a - b that is 1 where the relation holds, and else 0."""


def indicator(g: Emitter, a: Activation, function: Function) -> Activation:
    """A function of every element whose values are 0 and 1."""
    return g.apply(a, function, (0.0, 1.0), integral=True)


def is_integral(operand: Operand) -> bool:
    """Whether all elements are integers by their type or meaning."""
    return operand.integral if isinstance(operand, Activation) else operand.array.dtype.kind in "iub"


def compare(g: Emitter, a: Operand, b: Operand, relation: Relation) -> Activation:
    """Where `a relation b` holds, broadcast.

    Raises:
        UnsupportedOperatorError: real numbers compared for equality, or integers so far apart that no table has an
            entry for each of their differences.
    """
    if isinstance(a, Activation) and isinstance(b, Activation) and a.value is b.value and a.pending == b.pending:
        # As functions of one number, whose difference is zero, but not so for interval arithmetic.
        return indicator(g, a, constant(int("=" in relation)))
    integral = is_integral(a) and is_integral(b)
    if relation == "==" and not integral and not _is_mask(a, b) and not _is_exact(a, b):
        raise UnsupportedOperatorError(
            "it compares real numbers for equality, which rounding decides; compare with a tolerance instead, or with "
            "a number that the tensor's format holds exactly, such as zero"
        )
    d = require_activation(add(g, a, b, sign=-1))
    if relation == "==" and not integral:
        # Equal means: no integer is nearer to the number.
        scale = d.pending.scale if isinstance(d.pending, AffineMap) else Fraction(1)
        half = abs(scale) * Fraction(1, 2 << d.value.frac_bits)
        return indicator(g, d, step(X + half) * step(half - X))
    return indicator(g, require_exact(g, d) if integral else d, _OF_DIFFERENCE[relation])


def _is_mask(a: Operand, b: Operand) -> bool:
    """Whether a number is compared with a tensor that holds only two numbers on calibration data."""
    number, mask = (a, b) if isinstance(a, Constant) else (b, a)
    return isinstance(number, Constant) and number.uniform is not None and isinstance(mask, Activation) and mask.binary


def _is_exact(a: Operand, b: Operand) -> bool:
    """Whether a tensor is compared with one number that it can be exactly: rounding never takes it away from that."""
    number, x = (a, b) if isinstance(a, Constant) else (b, a)
    if not isinstance(number, Constant) or number.uniform is None or not isinstance(x, Activation):
        return False
    if not isinstance(x.pending, AffineMap):
        return number.uniform == 0
    if not x.pending.scale:
        return False
    place = (Fraction(number.uniform) - x.pending.offset) / x.pending.scale * Fraction(2) ** x.value.frac_bits
    return place.denominator == 1


def require_exact(g: Emitter, a: Activation) -> Activation:
    """The activation, if a table has an entry for each of its integers.

    Raises:
        UnsupportedOperatorError: no table has.
    """
    bounds = (a.value.tensor.lo, a.value.tensor.hi)
    if entries(bounds, 0) > g.precision.max_table_entries:
        raise UnsupportedOperatorError(
            f"it needs whole numbers exactly that can reach {bounds[0]} to {bounds[1]}; compile with "
            f"max_table_entries={entries(bounds, 0)} or more"
        )
    return a


def negated(g: Emitter, a: Activation) -> Activation:
    """1 - a, of truth values."""
    return g.affine(a, Fraction(-1), Fraction(1))


def either(g: Emitter, a: Operand, b: Operand) -> Activation:
    """a + b - a * b, of truth values: whether one of them holds, or both."""
    both = multiply(g, a, b)
    return _truth(g, add(g, require_activation(add(g, a, b)), both, sign=-1))


def differ(g: Emitter, a: Operand, b: Operand) -> Activation:
    """a + b - 2 * a * b, of truth values: whether exactly one of them holds."""
    both = g.affine(multiply(g, a, b), Fraction(2))
    return _truth(g, add(g, require_activation(add(g, a, b)), both, sign=-1))


def _truth(g: Emitter, a: Activation) -> Activation:
    """A sum that is always 0 or 1. A table that changes no value lets interval analysis prove that."""
    return g.narrowed(indicator(g, a, step(X - 1)))


def where(g: Emitter, condition: Operand, a: Operand, b: Operand) -> Activation:
    """`a` where the condition is 1 and `b` where it is 0, broadcast; see also `masking.chosen`."""
    shape = np.broadcast_shapes(condition.shape, a.shape, b.shape)
    if isinstance(condition, Constant) and condition.uniform is not None:
        return broadcast(g, require_activation(a if condition.uniform else b), shape)
    if isinstance(a, Constant) and isinstance(b, Constant):
        difference = Constant(a.name, np.asarray(a.reals - b.reals), trained=a.trained or b.trained)
        if isinstance(condition, Activation) and (_is_low(a) or _is_low(b)):
            condition = g.narrowed(condition)
        return require_activation(add(g, multiply(g, condition, difference), b))
    if (fused := _fused(g, condition, a, b)) is not None:
        return fused
    chosen, other = _kept(g, condition, a), _kept(g, opposite(g, condition), b)
    return broadcast(g, require_activation(add(g, chosen, other)), shape)


def _kept(g: Emitter, condition: Operand, a: Operand) -> Operand:
    """a times the condition."""
    if isinstance(condition, Constant) and isinstance(a, Constant):
        return Constant(a.name, condition.reals * a.reals, trained=a.trained)
    return multiply(g, condition, a)


def _is_low(constant: Constant) -> bool:
    uniform = constant.uniform
    return uniform is not None and uniform <= MASKED_BELOW


def _fused(g: Emitter, condition: Operand, a: Operand, b: Operand) -> Activation | None:
    """The choice as one pending function, if all operands are functions of one value that are defined everywhere."""
    if not isinstance(condition, Activation):
        return None
    functions = []
    for operand in (a, b):
        if isinstance(operand, Constant):
            if operand.number is None or np.broadcast_shapes(operand.shape, condition.shape) != condition.shape:
                return None
            functions.append(X * 0 + operand.number)
        elif operand.value is not condition.value or operand.function.domain != LINE:
            return None
        else:
            functions.append(operand.function)
    c = condition.function
    chosen = c * functions[0] + (1 - c) * functions[1]
    return g.fused(condition, chosen) if fits(chosen) else None
