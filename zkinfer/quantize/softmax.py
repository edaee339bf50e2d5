"""Softmax: exponentials over their sum, in formats that keep the error near one unit of the output.

    p_i = e_i / s,        e_i = exp(x_i - m),        s = sum_j e_j.

The reference point m can be any number. Where the calibrated range of x is short, its upper end serves, and the
exponential fuses with whatever is pending on x. Otherwise m is the maximum, so that the largest e is exactly 1 and
s lies between 1 and n.

Error. The reciprocal of s is tabulated at steps of about n / entries. Half a step costs p at most
`p * n / (2 * entries * s)`, which is `n / (2 * entries)` where p is close to 1, and is what limits the accuracy: with
2032 entries and 8 bits, one unit at n = 16. Where m is the upper end of a range of length r, the worst case is
`exp(r) / (8 * entries)`, at p = 1/2.
"""

import math
import string
from fractions import Fraction

from zkinfer.approx.functions import X, clip, exp, log, maximum, minimum
from zkinfer.circuit.steps import Expand
from zkinfer.quantize.arithmetic import total
from zkinfer.quantize.builder import Summand, Value
from zkinfer.quantize.lazy import Activation, Affine, Emitter, Part, broadcast_steps
from zkinfer.quantize.precision import Format
from zkinfer.quantize.tables import entries
from zkinfer.quantize.tournament import Contest, clamped, comparable


def softmax(g: Emitter, x: Activation, axis: int) -> Activation:
    """Softmax along an axis; the product with the reciprocal stays wide until something needs it narrow."""
    n = x.shape[axis]
    if _range_is_short(g, x):
        least = n * math.exp(x.seen[0] - x.seen[1])
        powers = _powers(g, g.apply(x, clip(*x.seen) - Fraction(x.seen[1])), n, least)
    else:
        least = 1.0
        powers = _powers(g, _below_maximum(g, x, axis), n, least)
    sums = total(g, g.exact(powers), [axis], keepdims=False)
    digits = g.precision.activation_bits + 1
    inverse = g.apply(sums, 1 / maximum(X, least))
    inverses = g.table(inverse, Format(digits, 0, math.ceil(math.ldexp(1 / least, digits))))
    letters = string.ascii_lowercase[: len(x.shape)]
    value = g.builder.einsum(g.label, f"{letters},{letters.replace(letters[axis], '')}->{letters}", powers, inverses)
    return g.exact(value, seen=(0.0, 1.0))


def log_softmax(g: Emitter, x: Activation, axis: int) -> Activation:
    """The logarithm of softmax: x - m - log(s)."""
    below = _below_maximum(g, x, axis)
    powers = _powers(g, below, x.shape[axis], 1.0)
    sums = total(g, g.exact(powers), [axis], keepdims=True)
    logarithm = g.apply(sums, log(maximum(X, 1)), seen=(0.0, math.log(x.shape[axis]) or 1.0))
    return g.sum([Part(below), Part(logarithm, Fraction(-1), broadcast_steps(sums.shape, x.shape))])


def _range_is_short(g: Emitter, x: Activation) -> bool:
    """Whether the upper end of the calibrated range is close enough to every maximum: see the module's text."""
    span = x.seen[1] - x.seen[0]
    half_unit = 2.0 ** -(g.precision.activation_bits + 1)
    return span < 16 and math.exp(span) <= 8 * g.precision.max_table_entries * half_unit


def _below_maximum(g: Emitter, x: Activation, axis: int) -> Activation:
    """x minus its maximum along the axis."""
    contest = comparable(g, x, fine=True)
    largest = Contest(g, contest.limits).along(contest.value, axis).value

    def difference(subtrahend: Value) -> Value:
        minus = Summand(subtrahend, Fraction(-1), (Expand(x.shape),))
        return g.builder.combine(g.label, [Summand(contest.value), minus])

    d = difference(largest)
    if entries((d.tensor.lo, d.tensor.hi), 0) > g.precision.max_table_entries:
        d = difference(clamped(g, largest, contest.limits))
    return g.exact(d, Affine(contest.reading.scale), (x.seen[0] - x.seen[1], 0.0))


def _powers(g: Emitter, x: Activation, n: int, least: float) -> Value:
    """exp(min(x, 0)), with a few more digits than the output: more of them where many, or small ones, are summed."""
    digits = g.precision.activation_bits + 3
    digits += max(0, math.ceil(math.log2(n)) - 4) + max(0, math.ceil(-math.log2(least)))
    smallest = math.floor(math.ldexp(least / n, digits)) if least != 1.0 else 0
    return g.table(g.apply(x, exp(minimum(X, 0))), Format(digits, smallest, 1 << digits))
