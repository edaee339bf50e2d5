"""Softmax: exponentials over their sum, in formats that keep the error near one unit of the output.

    p_i = e_i / s,        e_i = c * exp(x_i - m),        s = sum_j e_j.

The reference point m and the factor c can be any numbers. If the calibrated range of x is short, m is its upper end,
with room for larger scores, and the exponential fuses with the function that is pending on x. Otherwise m is the
maximum, so that the largest e is exactly c, and s lies between c and n * c.

Error. Of short rows, the table of 1 / s limits the accuracy. Its index steps are at best n * c / entries; c is chosen
so that they are this small, and so that s = c, where one p is 1 and the others are 0, falls on an index. Half a step
changes p by at most `n / (2 * entries)`, where p is close to 1: with 2032 entries and 8 bits, about one unit at n = 16.
If m is the upper end of a range of length r, the worst case is `exp(r) / (8 * entries)`, at p = 1/2; n times that with
a mask. Long rows are divided by their sums with the same relative precision, however large the sum is: see `relative`.
"""

import math
import string
from bisect import bisect_right
from fractions import Fraction

from zkinfer.circuit.bounds import round_outward
from zkinfer.circuit.steps import Expand, Reshape
from zkinfer.compiler.approx.forms import Form
from zkinfer.compiler.approx.functions import X, clip, exp, log, maximum, minimum
from zkinfer.compiler.lowering import statistics
from zkinfer.compiler.lowering.activation import Activation, Addend, Alone, MaskedScores, Operand
from zkinfer.compiler.lowering.affine import AffineMap
from zkinfer.compiler.lowering.arithmetic import total
from zkinfer.compiler.lowering.builder import ProgramValue, Summand
from zkinfer.compiler.lowering.emitter import Emitter, broadcast_steps
from zkinfer.compiler.lowering.linear import add_all
from zkinfer.compiler.lowering.masking import or_all, without_kept
from zkinfer.compiler.lowering.maxima import PairwiseMaximum, clamped, comparable, lowest_elsewhere
from zkinfer.compiler.lowering.precision import Format, Range, frac_bits_for
from zkinfer.compiler.lowering.relative import FIELD_BITS
from zkinfer.compiler.lowering.tables import entries
from zkinfer.compiler.lowering.truth import times_truth


def softmax(g: Emitter, scores: Activation | MaskedScores, axis: int) -> Activation:
    """Softmax along an axis. The result is the exact product with the reciprocal, which is wide.

    Where a score is masked it is 0. Where all of a row are, see `MaskedScores.alone`.

    Args:
        g: emits the nodes.
        scores: the scores.
        axis: the axis.
    """
    x, kept, none = _unmasked(g, scores, axis)
    n = x.shape[axis]
    # With a mask, perhaps only one score counts.
    counting = n if kept is None else 1
    widened = _widened(x.observed)
    limits = _rounded_outward(*widened) if _range_is_short(g, widened, n // counting) else None
    if limits is not None:
        lo, hi = limits
        below, smallest = g.apply(x, clip(lo, hi) - Fraction(hi)), 2.0 ** math.floor((lo - hi) / math.log(2))
    else:
        below, smallest = _below_maximum(g, x, axis, kept), 0.0
    least = counting * smallest or 1.0
    powers = _powers(g, below, n, smallest, least)
    if limits is not None:
        lo, hi, score = *limits, x.function if below.value is x.value else X
        g.builder.limit(powers, lambda reals: (lo <= score(reals)) & (score(reals) <= hi))
    largest = powers.real_bounds[1]
    least *= largest
    if kept is not None:
        powers = times_truth(g, powers, kept)
        if _is_long(g, n):
            # A View: what is proven of a number and a sum of such is not proven of the factors of a product.
            whole = (Reshape((powers.tensor.size,)), Reshape(powers.shape))
            powers = g.builder.combine(g.label, [Summand(powers, steps=whole)])
    sums = _sum_of_powers(g, powers, axis)
    value = _shares(g, powers, sums, axis, (least, n * largest))
    if none is not None:
        share = Fraction(round(2.0**value.frac_bits / n), 1 << value.frac_bits)
        value = g.builder.combine(g.label, [Summand(value), Summand(none, share, broadcast_steps(none.shape, x.shape))])
    return g.activation(value, observed=(0.0, 1.0))


def _unmasked(
    g: Emitter, scores: Activation | MaskedScores, axis: int
) -> tuple[Activation, Operand | None, ProgramValue | None]:
    """Scores that are all finite; which of them count; and the rows in which none does, whose results are all alike."""
    if isinstance(scores, Activation):
        return scores, None, None
    x, kept = scores.scores, scores.kept
    none = without_kept(g, kept, x.shape, axis)
    match scores.alone:
        case Alone.SCORES if none is not None:
            return x, or_all(g, kept, none), None
        case Alone.ZERO:
            return x, kept, None
    return x, kept, none


def _is_long(g: Emitter, n: int) -> bool:
    """Whether a table of 1 / s would have too few indices for a sum of n numbers of which one is c."""
    return g.precision.relative and n > 2 * g.precision.max_table_entries >> 3 * g.precision.activation_bits // 4


def _sum_of_powers(g: Emitter, powers: ProgramValue, axis: int) -> Activation:
    """The sum along the axis; of a long row exactly of these powers, so that none is proven to be above the sum."""
    if not _is_long(g, powers.shape[axis]):
        return total(g, g.activation(powers), [axis], keepdims=False)
    letters = string.ascii_lowercase[: len(powers.shape)]
    return g.activation(g.builder.einsum(g.label, f"{letters}->{letters.replace(letters[axis], '')}", powers))


def _shares(g: Emitter, powers: ProgramValue, sums: Activation, axis: int, limits: Range) -> ProgramValue:
    """The powers over their sum along an axis, which lies within the limits, except where nothing counts."""
    least, most = limits
    if _is_long(g, powers.shape[axis]):
        smallest = math.floor(math.ldexp(least, sums.value.frac_bits))
        value, scale = statistics.share(g, powers, sums.value, Form(Fraction(1), exponent=Fraction(-1)), smallest)
        return g.builder.combine(g.label, [Summand(value, scale)])
    digits = g.precision.activation_bits + 1
    inverse = g.apply(sums, 1 / maximum(X, least), observed=(1 / most, 1 / least))
    inverses = g.tabulated(inverse, Format(digits, 0, math.ceil(math.ldexp(1 / least, digits))))
    letters = string.ascii_lowercase[: len(powers.shape)]
    return g.builder.einsum(g.label, f"{letters},{letters.replace(letters[axis], '')}->{letters}", powers, inverses)


def log_softmax(g: Emitter, x: Activation, axis: int) -> Activation:
    """The logarithm of softmax: x - m - log(s / c)."""
    n = x.shape[axis]
    below = _below_maximum(g, x, axis)
    powers = _powers(g, below, n, 0.0, 1.0)
    sums = total(g, g.activation(powers), [axis], keepdims=True)
    ratio = X / Fraction(powers.real_bounds[1])
    # That the sum is at least c is known to the table of a short row; of a long row it need not be known.
    logarithm = g.apply(sums, log(ratio if _is_long(g, n) else maximum(ratio, 1)), observed=(0.0, math.log(n)))
    return add_all(g, [Addend(below), Addend(logarithm, Fraction(-1), broadcast_steps(sums.shape, x.shape))])


def _rounded_outward(lo: float, hi: float) -> Range:
    """The range rounded outward to eight binary digits, so that it does not depend on the last bits of floats."""
    digits = frac_bits_for(max(abs(lo), abs(hi)), 8)
    return math.ldexp(math.floor(math.ldexp(lo, digits)), -digits), math.ldexp(
        math.ceil(math.ldexp(hi, digits)), -digits
    )


def _widened(observed: Range) -> Range:
    """The calibrated range with half its length added at either end, for scores beyond it."""
    half = observed[1] / 2 - observed[0] / 2
    return observed[0] - half, observed[1] + half


def _range_is_short(g: Emitter, scores: Range, times: int) -> bool:
    """Whether the upper end of the range is close enough to every maximum; see the module's docstring.

    Args:
        g: gives the precision.
        scores: the range of the scores.
        times: how many scores are summed for each score that surely counts.
    """
    span = scores[1] - scores[0]
    half_unit = 2.0 ** -(g.precision.activation_bits + 1)
    return span < 16 and times * math.exp(span) <= 8 * g.precision.max_table_entries * half_unit


def _below_maximum(g: Emitter, x: Activation, axis: int, kept: Operand | None = None) -> Activation:
    """x minus the maximum, along the axis, of the scores that are kept; any number for those that are not."""
    integers = comparable(g, x, fine=True)
    if kept is not None:
        # Masked scores raise no maximum.
        integers = lowest_elsewhere(g, integers, kept)
    largest = PairwiseMaximum(g, integers.limits).along(integers.value, axis).value

    def difference(subtrahend: ProgramValue) -> ProgramValue:
        minus = Summand(subtrahend, Fraction(-1), (Expand(x.shape),))
        return g.builder.combine(g.label, [Summand(integers.value), minus])

    d = difference(largest)
    if entries((d.tensor.lo, d.tensor.hi), 0) > g.precision.max_table_entries:
        d = difference(clamped(g, largest, integers.limits))
    return g.activation(d, AffineMap(integers.to_activation.scale), (x.observed[0] - x.observed[1], 0.0))


def _powers(g: Emitter, x: Activation, n: int, smallest: float, least: float) -> ProgramValue:
    """c * exp(min(x, 0)), between c * smallest and c; see the module's docstring for c.

    It has a few more fraction bits than the output, and still more of them if many numbers, or small ones, are summed.
    The sum is at least c * least.
    """
    digits = g.precision.activation_bits + 3
    digits += max(0, math.ceil(math.log2(n)) - 4) + max(0, math.ceil(-math.log2(least)))
    if _is_long(g, n):
        # The sum, at its size of even bits, is multiplied by a mantissa of four bits less than an index.
        digits = min(digits, FIELD_BITS - g.accumulator_bits // 2 + 1 - n.bit_length())
    most = g.precision.max_table_entries
    # c is `steps` index steps of the sum, a step being 2**shift units.
    fitting = bisect_right(range(1, most // n + 1), most, key=lambda m: entries(round_outward((0, n * m)), 0))
    steps = max(fitting, 1)
    shift = max(0, digits - steps.bit_length())
    top = steps << shift
    frac_bits = (top - 1).bit_length()
    powers = g.apply(x, exp(minimum(X, 0)) * Fraction(top, 1 << frac_bits))
    return g.tabulated(powers, Format(frac_bits, math.floor(smallest * top), top))
