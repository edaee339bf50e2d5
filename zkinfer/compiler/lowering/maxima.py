"""Maxima by pairwise comparison, exact on integers: max(a, b) = b + relu(a - b), one lookup for each pair.

Claim. Every result is the largest of the integers compared, and so lies within the same limits as they do.

Interval analysis does not see this: it bounds the sum by the bounds of b and of the difference added up. The limits
are therefore passed along, and a value whose proven interval would outgrow the tables is first clamped to them, by a
lookup that changes no value.

The position of the maximum is computed in integers too: with `first` the table of a - b >= 0, the position is
`position_b + first * (position_a - position_b)`. The first operand of a pair comes first in the tensor.
"""

import itertools
import math
import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from zkinfer.circuit.bounds import Interval, round_outward
from zkinfer.circuit.steps import Pad, Slice, Step
from zkinfer.compiler.approx.functions import X, constant, maximum, minimum
from zkinfer.compiler.lowering.activation import Activation, MaskedScores, Operand
from zkinfer.compiler.lowering.affine import IDENTITY, AffineMap
from zkinfer.compiler.lowering.builder import ProgramValue, Summand
from zkinfer.compiler.lowering.emitter import Emitter, sampled_range
from zkinfer.compiler.lowering.precision import HEADROOM, HEADROOM_BITS, MAX_FRAC_BITS, Format, Range
from zkinfer.compiler.lowering.tables import entries, integer_table
from zkinfer.compiler.lowering.truth import times_truth
from zkinfer.counts import counted
from zkinfer.errors import BoundsError, CompileError

ROOM = 2.0
"""How many times as long as the calibrated range the range is in which comparisons of real numbers are exact."""

COARSER = 8
"""How much coarser integers that are compared for their order alone are beyond the calibrated range."""

_ROUND_MAGNITUDES = [(c << e) - 1 for e in range(24) for c in range(4, 8)]
"""The magnitudes that published bounds are rounded to."""


@dataclass(frozen=True)
class Candidate:
    """The maxima of some groups of elements: one side of a comparison.

    Attributes:
        value: integers, within the comparison's limits even where their interval is wider.
        steps: which elements of the value are compared, and in which shape.
        position: of each maximum in its group, counted from the group's start; None where all are 0.
        size: number of elements of each group.
    """

    value: ProgramValue
    steps: tuple[Step, ...] = ()
    position: ProgramValue | None = None
    size: int = 1


@dataclass(frozen=True)
class Comparable:
    """An activation as integers whose differences fit a table.

    Attributes:
        value: integers within `limits`.
        to_activation: maps the value's real number to the activation's; its scale is positive, except for a falling
            order, and it holds within the calibrated range alone where integers are `ranked`.
        limits: smallest and largest integer that can occur.
    """

    value: ProgramValue
    to_activation: AffineMap
    limits: Interval


def _table_entries(limits: Interval) -> int:
    """Entries of the largest table that a comparison needs: that of a difference, or one that clamps a maximum."""
    lo, hi = limits
    reach = hi - lo
    return max(entries(round_outward((-reach, reach)), 0), entries(round_outward((lo, hi + reach)), 0))


def _as_it_is(g: Emitter, a: Activation) -> Comparable | None:
    """The integers under an activation that rises with them, if their differences fit a table: none saturates."""
    # The limits appear in public tables: the published bounds reveal less about the weights than the exact ones.
    published = (a.value.tensor.lo, a.value.tensor.hi)
    if isinstance(a.pending, AffineMap) and a.pending.scale > 0 and _table_entries(published) <= _most(g):
        return Comparable(a.value, a.pending, published)
    return None


def _most(g: Emitter) -> int:
    return g.precision.max_table_entries


def comparable(g: Emitter, a: Activation, *, fine: bool) -> Comparable:
    """The activation as integers that can be compared: its own if they are narrow enough, else those of one lookup.

    Args:
        g: emits the lookup.
        a: the activation.
        fine: whether the resolution uses all of `max_table_entries`, rather than `activation_bits`, and the integers
            reach `ROOM` times as far as calibration data: where an operand saturates, an order is lost.
    """
    a = _rising(g, a)
    if (as_it_is := _as_it_is(g, a)) is not None:
        return as_it_is
    narrow = g.format(a)
    if not fine and _table_entries((narrow.lo, narrow.hi)) <= _most(g):
        return Comparable(g.narrow(a), IDENTITY, (narrow.lo, narrow.hi))
    headroom = HEADROOM if g.precision.activation_bits >= HEADROOM_BITS else 1.0
    room = ROOM if fine else headroom
    lo, hi = _with_room(a, room)
    # Centred: a range that is symmetric around zero gives the differences most room. But where it does not give them a
    # digit more, a range that stays where it is shares tables with others.
    half, top = hi / 2 - lo / 2 or 1.0, _largest_reach(g)
    frac_bits = min(math.floor(math.log2(top / half)), MAX_FRAC_BITS)
    fits = max(-lo, hi) <= math.ldexp(top, -frac_bits)
    middle = Fraction(0) if fits else _rounded(lo / 2 + hi / 2, frac_bits)
    # Limits that reach as far as tables do are those of other comparisons too, which then share their tables.
    reach = top if g.precision.relative else min(math.ceil(math.ldexp(half, frac_bits)), top)
    value = g.tabulated(g.affine(a, offset=-middle), Format(frac_bits, -reach, reach), room, index_units=True)
    reach >>= frac_bits - value.frac_bits
    return _seen(g, a.tensor, Comparable(value, AffineMap(offset=middle), (-reach, reach)))


def ranked(g: Emitter, a: Activation, *, rising: bool = True) -> Comparable:
    """As `comparable`, for its order alone: a unit is `COARSER` times as much beyond the calibrated range.

    The integers reach more than three times as far as calibration data, at the cost of a quarter of the levels.

    Args:
        g: emits the lookup.
        a: the activation.
        rising: whether the order is that of the activation, rather than the opposite.
    """
    tensor, sign = a.tensor, Fraction(1 if rising else -1)
    a = _rising(g, a if rising else g.affine(a, sign))
    if (as_it_is := _as_it_is(g, a)) is not None:
        return as_it_is
    half, top = a.observed[1] / 2 - a.observed[0] / 2 or 1.0, _largest_reach(g)
    frac_bits = min(math.floor(math.log2(0.75 * top / half)), MAX_FRAC_BITS)
    middle = _rounded(a.observed[0] / 2 + a.observed[1] / 2, frac_bits)
    inner = _rounded(half, frac_bits) or Fraction(2) ** -frac_bits
    beyond = (maximum(X - inner, 0) - maximum(-inner - X, 0)) * Fraction(1, COARSER)
    order = maximum(minimum(X, inner), -inner) + beyond
    lo, hi = (end - float(middle) for end in _with_room(a, COARSER))
    reach = min(math.ceil(math.ldexp(float(np.abs(order(np.array([lo, hi]))).max()), frac_bits)), top)
    value = g.tabulated(g.apply(g.affine(a, offset=-middle), order), Format(frac_bits, -reach, reach), COARSER)
    return _seen(g, tensor, Comparable(value, AffineMap(sign, sign * middle), (-reach, reach)))


def _rising(g: Emitter, a: Activation) -> Activation:
    """The same tensor as a function of a value with which it rises, if it falls with its own."""
    if not isinstance(a.pending, AffineMap) or a.pending.scale > 0:
        return a
    negative = g.builder.combine(g.label, [Summand(a.value, Fraction(-1))])
    return replace(a, value=negative, pending=AffineMap(-a.pending.scale, a.pending.offset))


def _with_room(a: Activation, times: float) -> Range:
    """A range so many times as long as the calibrated one, as far as the proven one reaches."""
    lo, hi = a.observed
    extra = (times - 1) * (hi - lo) / 2
    try:
        least, most = sampled_range(a.function, a.value.real_bounds)
    except CompileError:
        least, most = -math.inf, math.inf
    return min(lo, max(lo - extra, least)), max(hi, min(hi + extra, most))


def _largest_reach(g: Emitter) -> int:
    return max(t for t in _ROUND_MAGNITUDES if _table_entries((-t, t)) <= _most(g))


def _rounded(x: float, frac_bits: int) -> Fraction:
    return Fraction(round(math.ldexp(x, frac_bits))) / Fraction(2) ** frac_bits


def _seen(g: Emitter, tensor: int, integers: Comparable) -> Comparable:
    """The integers, noted as a form of the tensor, so that a report counts what saturates."""
    g.compared_forms.setdefault(tensor, (integers.value, integers.to_activation, integers.limits))
    return integers


def lowest_elsewhere(g: Emitter, integers: Comparable, kept: Operand) -> Comparable:
    """Integers that stay where the truth value, broadcast, is 1, and are the lowest of their limits elsewhere."""
    lowest = integers.limits[0] * Fraction(2) ** -integers.value.frac_bits
    above = times_truth(g, g.builder.combine(g.label, [Summand(integers.value)], offset=-lowest), kept)
    return replace(integers, value=g.builder.combine(g.label, [Summand(above)], offset=lowest))


def finite(g: Emitter, scores: Activation | MaskedScores) -> Activation:
    """Scores for a maximum: where they are masked, the lowest number that they can be."""
    if isinstance(scores, Activation):
        return scores
    integers = lowest_elsewhere(g, comparable(g, scores.scores, fine=True), scores.kept)
    return g.activation(integers.value, integers.to_activation, scores.scores.observed)


def clamped(g: Emitter, value: ProgramValue, limits: Interval) -> ProgramValue:
    """The value with a proven interval within the limits, where all its integers are known to lie.

    Raises:
        BoundsError: its interval does not fit a table.
    """
    lo, hi = limits
    if lo <= value.interval[0] and value.interval[1] <= hi:
        return value
    bounds = (value.tensor.lo, value.tensor.hi)
    if entries(bounds, 0) > g.precision.max_table_entries:
        raise BoundsError(
            f"{g.label}: a maximum of values from {lo} to {hi} needs tables of "
            f"{counted(entries(bounds, 0), 'entry', 'entries')}; compile "
            "with more max_table_entries or fewer activation_bits"
        )
    table = integer_table("clamp", bounds, lambda i: np.clip(i, lo, hi))
    return g.builder.lookup(g.label, value, table, 0, value.frac_bits)


class Window(NamedTuple):
    """A sliding window along one axis.

    Attributes:
        axis: the axis.
        size, stride, dilation: as in `circuit.steps.Windows`.
        before, after: padding of the axis.
    """

    axis: int
    size: int
    stride: int
    dilation: int
    before: int
    after: int


class PairwiseMaximum:
    """Maxima of values of one format and with common limits."""

    def __init__(self, g: Emitter, limits: Interval, *, positions: bool = False, last: bool = False) -> None:
        """
        Args:
            g: emits the nodes.
            limits: smallest and largest integer that can occur.
            positions: compute the position of each maximum too.
            last: the position of equal elements is that of the last one, not of the first.
        """
        self._g, self._limits, self._positions, self._last = g, limits, positions, last

    def largest(self, candidates: Sequence[Candidate]) -> Candidate:
        """The largest of several values, element by element; halves their number in each round."""
        left = list(candidates)
        while len(left) > 1:
            paired = [self.larger(left[i], left[i + 1]) for i in range(0, len(left) - 1, 2)]
            left = paired + left[len(paired) * 2 :]
        return left[0]

    def along(self, value: ProgramValue, axis: int) -> Candidate:
        """The largest element along an axis, which stays with size 1."""
        main = Candidate(value)
        odd: list[Candidate] = []
        while (n := main.value.shape[axis]) > 1:
            if n % 2:
                odd.append(_part(main, Slice(axis, n - 1, 1, 1)))
            main = self.larger(_part(main, Slice(axis, 0, n // 2, 2)), _part(main, Slice(axis, 1, n // 2, 2)))
        while odd:
            # The elements that were set aside first are the last of the tensor.
            last = odd.pop(0)
            if odd:
                odd[0] = self.larger(odd[0], last)
            else:
                main = self.larger(main, last)
        return main

    def windows(self, value: ProgramValue, window: Window) -> Candidate:
        """The largest element of each place of a sliding window; the tensor has its padding already.

        Windows that overlap share comparisons where that takes fewer: blocks of as many elements as the stride are
        compared once, then runs of blocks by doubling, and what is left is the first part of the block that follows.
        """
        axis, size, stride, dilation, *_ = window
        count = (value.shape[axis] - (size - 1) * dilation - 1) // stride + 1
        blocks, left = divmod(size, stride)
        shared = stride - 1 + (blocks - 1).bit_length() + (left > 0)
        if blocks == 0 or shared >= size - 1 or (dilation > 1 and stride > 1):
            return self._apart(value, axis, [k * dilation for k in range(size)], count, stride)
        if stride == 1:
            return self._runs(Candidate(value), axis, blocks, value.shape[axis], dilation)
        length = count + blocks - 1
        if not left:
            return self._runs(self._apart(value, axis, range(stride), length, stride), axis, blocks, length, 1)
        first = self._apart(value, axis, range(left), length + 1, stride)
        others = self._apart(value, axis, range(left, stride), length, stride)
        whole = self.larger(_part(first, Slice(axis, 0, length, 1)), others)
        runs = self._runs(whole, axis, blocks, length, 1)
        return self.larger(runs, _part(first, Slice(axis, blocks, count, 1)))

    def _apart(self, value: ProgramValue, axis: int, offsets: Sequence[int], count: int, stride: int) -> Candidate:
        """The largest of the elements at some offsets from each of `count` places, `stride` apart."""
        return self.largest([Candidate(value, (Slice(axis, offset, count, stride),)) for offset in offsets])

    def _runs(self, values: Candidate, axis: int, size: int, length: int, apart: int) -> Candidate:
        """The largest of each run of `size` elements along an axis of a length; neighbours in a run are `apart`."""
        reach = 1
        while reach < size:
            step = min(reach, size - reach)
            length -= step * apart
            parts = (_part(values, Slice(axis, start, length, 1)) for start in (0, step * apart))
            values = self.larger(*parts)
            reach += step
        return values

    def larger(self, a: Candidate, b: Candidate) -> Candidate:
        """The larger of two, element by element; the elements of `a` come before those of `b` in the tensor."""
        g = self._g
        a, b, difference = self._difference(a, b)
        bounds = (difference.tensor.lo, difference.tensor.hi)
        relu = integer_table("relu", bounds, lambda i: np.maximum(i, 0))
        excess = g.builder.lookup(g.label, difference, relu, 0, difference.frac_bits)
        value = g.builder.combine(g.label, [Summand(b.value, Fraction(1), b.steps), Summand(excess)])
        if not self._positions:
            return Candidate(value)
        least = 1 if self._last else 0
        step = integer_table("step", bounds, lambda i: (i >= least).astype(np.int64))
        first = g.builder.lookup(g.label, difference, step, 0, 0)
        return Candidate(value, (), self._position(a, b, first), a.size + b.size)

    def _difference(self, a: Candidate, b: Candidate) -> tuple[Candidate, Candidate, ProgramValue]:
        """Both sides and a - b; both are clamped first if a table of the difference or of the maximum needs it."""

        def difference() -> ProgramValue:
            minus = Summand(b.value, Fraction(-1), b.steps)
            return g.builder.combine(g.label, [Summand(a.value, Fraction(1), a.steps), minus])

        g = self._g
        d = difference()
        maximum = round_outward((b.value.interval[0], b.value.interval[1] + max(d.interval[1], 0)))
        if max(entries((d.tensor.lo, d.tensor.hi), 0), entries(maximum, 0)) > g.precision.max_table_entries:
            a = replace(a, value=clamped(g, a.value, self._limits))
            b = replace(b, value=clamped(g, b.value, self._limits))
            d = difference()
        return a, b, d

    def _position(self, a: Candidate, b: Candidate, first: ProgramValue) -> ProgramValue:
        """The position of the larger in the joined group: in a's part where `first` is 1, else in b's, after a's."""
        g, size = self._g, Fraction(a.size)
        in_b = [] if b.position is None else [Summand(b.position, Fraction(1), b.steps)]
        from_b_to_a = [summand._replace(coefficient=Fraction(-1)) for summand in in_b]
        if a.position is not None:
            from_b_to_a.append(Summand(a.position, Fraction(1), a.steps))
        if from_b_to_a:
            letters = string.ascii_lowercase[: len(first.shape)]
            distance = g.builder.combine(g.label, from_b_to_a, offset=-size)
            moved = Summand(g.builder.einsum(g.label, f"{letters},{letters}->{letters}", first, distance))
        else:
            moved = Summand(first, -size)
        return g.builder.combine(g.label, [*in_b, moved], offset=size)


def _part(group: Candidate, step: Slice) -> Candidate:
    return replace(group, steps=(*group.steps, step))


def max_along(g: Emitter, a: Activation, axis: int) -> Activation:
    """The maximum along an axis, which stays with size 1."""
    integers = comparable(g, a, fine=False)
    largest = PairwiseMaximum(g, integers.limits).along(integers.value, axis).value
    return g.activation(clamped(g, largest, integers.limits), integers.to_activation)


def _padding(windows: Sequence[Window], rank: int) -> Pad:
    sides = {window.axis: (window.before, window.after) for window in windows}
    before, after = zip(*(sides.get(axis, (0, 0)) for axis in range(rank)), strict=True)
    return Pad(before, after)


def max_pool(g: Emitter, a: Activation, windows: Sequence[Window]) -> Activation:
    """The maximum over sliding windows, one axis after the other; padding is below every element.

    An axis is padded when its turn comes: what is compared along another one has no padding to compare.

    Windows of 3 by 3 with stride 2 take six comparisons an output: two along the first axis for each of two columns,
    and two along the second. No other order takes fewer. A maximum serves several windows only if it is one of
    elements on a side that two of them share. A window's centre and the middles of its sides lie on no common side, so
    they are joined by four comparisons of its own. Its corners have to be joined to some side first, each by a
    comparison that serves two windows: two more for each window. Joined in any other way they take more.
    """
    integers = comparable(g, a, fine=False)
    value, (low, high), to_activation = integers.value, integers.limits, integers.to_activation
    if any(window.before or window.after for window in windows):
        # The padding is zero, so zero has to be the smallest value.
        least = min(low, 0)
        offset = least * Fraction(2) ** -value.frac_bits
        value = g.builder.combine(g.label, [Summand(value)], offset=-offset)
        low, high, to_activation = 0, high - least, to_activation.compose(AffineMap(offset=offset))
    maximum = PairwiseMaximum(g, (low, high))
    for window in windows:
        if window.before or window.after:
            pad = _padding([window], len(value.shape))
            value = g.builder.combine(g.label, [Summand(value, steps=(pad,))])
        largest = maximum.windows(value, window)
        value = g.builder.combine(g.label, [Summand(largest.value, steps=largest.steps)])
    return g.activation(clamped(g, value, (low, high)), to_activation)


def max_pool_positions(g: Emitter, a: Activation, windows: Sequence[Window], order: Sequence[int]) -> Activation:
    """The position of the maximum of each window as the number of an element of the whole tensor; the first of equals.

    Args:
        g: emits the nodes.
        a: the tensor.
        windows: one for each axis that is pooled.
        order: the axes by stride, the largest first: along the last one, numbers of neighbours differ by one.
    """
    integers = ranked(g, a)
    value, (low, high) = integers.value, integers.limits
    # The padding is zero, and below every element.
    value = g.builder.combine(g.label, [Summand(value)], offset=(1 - low) * Fraction(2) ** -value.frac_bits)
    pad = _padding(windows, len(value.shape))
    value = g.builder.combine(g.label, [Summand(value, steps=(pad,))])
    counts = {w.axis: (value.shape[w.axis] - (w.size - 1) * w.dilation - 1) // w.stride + 1 for w in windows}
    places = list(itertools.product(*(range(w.size) for w in windows)))
    candidates = [
        Candidate(
            value,
            tuple(Slice(w.axis, k * w.dilation, counts[w.axis], w.stride) for w, k in zip(windows, place, strict=True)),
        )
        for place in places
    ]
    largest = PairwiseMaximum(g, (0, high - low + 1), positions=True).largest(candidates)
    # The number of the first element of each window, and by how much the number at each place of a window is larger.
    apart = {axis: math.prod(a.shape[i] for i in order[at + 1 :]) for at, axis in enumerate(order)}
    stride = dict.fromkeys(range(len(a.shape)), 1) | {w.axis: w.stride for w in windows}
    grid = np.indices([counts.get(axis, n) for axis, n in enumerate(a.shape)])
    starts = sum(apart[axis] * (stride[axis] * grid[axis] - pad.before[axis]) for axis in apart)
    further = np.array([sum(k * w.dilation * apart[w.axis] for w, k in zip(windows, p, strict=True)) for p in places])
    first = g.builder.weight(f"{g.label}/windows", np.asarray(starts), 0)
    if largest.position is None:
        return g.activation(first, integral=True)
    bounds = (largest.position.tensor.lo, largest.position.tensor.hi)
    table = integer_table("place", bounds, lambda i: further[np.clip(i, 0, len(places) - 1)])
    distance = g.builder.lookup(g.label, largest.position, table, 0, 0)
    number = g.builder.combine(g.label, [Summand(first), Summand(distance)])
    return g.activation(number, observed=(0.0, float(math.prod(a.shape) - 1)), integral=True)


def argmax(g: Emitter, scores: Activation | MaskedScores, axis: int, *, last: bool, largest: bool = True) -> Activation:
    """The position of the maximum, or minimum, along an axis, which stays with size 1.

    Args:
        g: emits the nodes.
        scores: the tensor; masked scores are never the maximum, unless all are masked.
        axis: the axis.
        last: the position of equal elements is that of the last one, not of the first.
        largest: whether it is the maximum.
    """
    a = scores.scores if isinstance(scores, MaskedScores) else scores
    integers = ranked(g, a, rising=largest)
    if isinstance(scores, MaskedScores):
        integers = lowest_elsewhere(g, integers, scores.kept)
    found = PairwiseMaximum(g, integers.limits, positions=True, last=last).along(integers.value, axis)
    if found.position is None:
        return g.apply(a, constant(0))
    return g.activation(found.position, observed=(0.0, float(a.shape[axis] - 1)))
