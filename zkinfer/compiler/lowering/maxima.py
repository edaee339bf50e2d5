"""Maxima by pairwise comparison, exact on integers: max(a, b) = b + relu(a - b), one lookup a pair.

Claim. Every value that comes out is the largest of the integers that went in, and so lies within the same limits.
Interval analysis does not see that: to it, the sum reaches as far as a and the difference together. So the limits
are carried along, and a value whose proven interval would outgrow the tables is first clamped to them, by a lookup
that changes nothing.

The position of the maximum is carried as integers too: with `wins` the table of a - b >= 0, the position is
`position_b + wins * (position_a - position_b)`. The first operand of a pair comes first in the tensor.
"""

import itertools
import math
import string
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from zkinfer.circuit.bounds import Interval, round_outward
from zkinfer.circuit.steps import Pad, Slice, Step
from zkinfer.compiler.approx.functions import constant
from zkinfer.compiler.lowering.activation import Activation
from zkinfer.compiler.lowering.affine import IDENTITY, AffineMap
from zkinfer.compiler.lowering.builder import ProgramValue, Summand
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.lowering.precision import MAX_FRAC_BITS, Format
from zkinfer.compiler.lowering.tables import entries, integer_table
from zkinfer.errors import BoundsError

_ROUND_MAGNITUDES = [(c << e) - 1 for e in range(24) for c in range(4, 8)]
"""The magnitudes that published bounds are rounded to."""


@dataclass(frozen=True)
class Candidate:
    """One side of a comparison.

    Attributes:
        value: integers; within the contest's limits whatever their interval says.
        steps: which elements of it compete, and in which shape.
        position: of each element in its group, counted from the group's start; None where all are 0.
        size: how many elements each group has.
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
        reading: from the value's real number to the activation's; its scale is positive.
        limits: smallest and largest integer that can occur.
    """

    value: ProgramValue
    reading: AffineMap
    limits: Interval


def _table_entries(limits: Interval) -> int:
    """The largest table that comparing integers within the limits takes: of a difference, or to clamp a maximum."""
    lo, hi = limits
    reach = hi - lo
    return max(entries(round_outward((-reach, reach)), 0), entries(round_outward((lo, hi + reach)), 0))


def comparable(g: Emitter, a: Activation, *, fine: bool) -> Comparable:
    """The activation in integers that can be compared: as it is if it is narrow enough, else by one lookup.

    Args:
        g: emits the lookup.
        a: the activation.
        fine: spend all of `max_table_entries` on resolution, rather than `activation_bits`.
    """
    most = g.precision.max_table_entries
    if isinstance(a.pending, AffineMap) and a.pending.scale < 0:
        negative = g.builder.combine(g.label, [Summand(a.value, Fraction(-1))])
        a = g.activation(negative, AffineMap(-a.pending.scale, a.pending.offset), a.observed)
    # Limits end up in public tables, so they are the published ones, which say little about the weights.
    published = (a.value.tensor.lo, a.value.tensor.hi)
    if isinstance(a.pending, AffineMap) and a.pending.scale > 0 and _table_entries(published) <= most:
        return Comparable(a.value, a.pending, published)
    narrow = g.format(a)
    if not fine and _table_entries((narrow.lo, narrow.hi)) <= most:
        return Comparable(g.narrow(a), IDENTITY, (narrow.lo, narrow.hi))
    # Centred, so that what is looked up and compared is symmetric around zero.
    half = a.observed[1] / 2 - a.observed[0] / 2 or 1.0
    top = max(t for t in _ROUND_MAGNITUDES if _table_entries((-t, t)) <= most)
    frac_bits = min(math.floor(math.log2(top / half)), MAX_FRAC_BITS)
    middle = Fraction(round(math.ldexp(a.observed[0] / 2 + a.observed[1] / 2, frac_bits))) / Fraction(2) ** frac_bits
    reach = min(math.ceil(math.ldexp(half, frac_bits)), top)
    value = g.tabulated(g.affine(a, offset=-middle), Format(frac_bits, -reach, reach))
    return Comparable(value, AffineMap(offset=middle), (-reach, reach))


def clamped(g: Emitter, value: ProgramValue, limits: Interval) -> ProgramValue:
    """The value, unchanged, with an interval within the limits.

    Raises:
        BoundsError: its interval does not fit a table.
    """
    lo, hi = limits
    if lo <= value.interval[0] and value.interval[1] <= hi:
        return value
    bounds = (value.tensor.lo, value.tensor.hi)
    if entries(bounds, 0) > g.precision.max_table_entries:
        raise BoundsError(
            f"{g.label}: a maximum of values from {lo} to {hi} needs tables of {entries(bounds, 0)} entries; compile "
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
    """Comparisons between values of one format and common limits."""

    def __init__(self, g: Emitter, limits: Interval, *, positions: bool = False, last: bool = False) -> None:
        """
        Args:
            g: emits the nodes.
            limits: smallest and largest integer that can occur.
            positions: carry the position of the maximum.
            last: of equals, the last wins, not the first.
        """
        self._g, self._limits, self._positions, self._last = g, limits, positions, last

    def _compare(self, a: Candidate, b: Candidate) -> tuple[Candidate, Candidate, ProgramValue]:
        """Both sides, clamped if the table of their difference, or of the larger one, needs it; and the difference."""

        def difference() -> ProgramValue:
            minus = Summand(b.value, Fraction(-1), b.steps)
            return g.builder.combine(g.label, [Summand(a.value, Fraction(1), a.steps), minus])

        g = self._g
        d = difference()
        grown = round_outward((b.value.interval[0], b.value.interval[1] + max(d.interval[1], 0)))
        if max(entries((d.tensor.lo, d.tensor.hi), 0), entries(grown, 0)) > g.precision.max_table_entries:
            a = Candidate(clamped(g, a.value, self._limits), a.steps, a.position, a.size)
            b = Candidate(clamped(g, b.value, self._limits), b.steps, b.position, b.size)
            d = difference()
        return a, b, d

    def winner(self, a: Candidate, b: Candidate) -> Candidate:
        """Element by element the larger of two, `a` before `b` in the tensor."""
        g = self._g
        a, b, d = self._compare(a, b)
        bounds = (d.tensor.lo, d.tensor.hi)
        gain = g.builder.lookup(g.label, d, integer_table("relu", bounds, lambda i: np.maximum(i, 0)), 0, d.frac_bits)
        value = g.builder.combine(g.label, [Summand(b.value, Fraction(1), b.steps), Summand(gain)])
        if not self._positions:
            return Candidate(value)
        least = 1 if self._last else 0
        wins = g.builder.lookup(
            g.label, d, integer_table("step", bounds, lambda i: (i >= least).astype(np.int64)), 0, 0
        )
        return Candidate(value, (), self._position(a, b, wins), a.size + b.size)

    def _position(self, a: Candidate, b: Candidate, wins: ProgramValue) -> ProgramValue:
        """Where the winner is in the joined group: in b's part, after a's, or in a's where `wins` is 1."""
        g, size = self._g, Fraction(a.size)
        behind = [] if b.position is None else [Summand(b.position, Fraction(1), b.steps)]
        back = [summand._replace(coefficient=Fraction(-1)) for summand in behind]
        if a.position is not None:
            back.append(Summand(a.position, Fraction(1), a.steps))
        if back:
            letters = string.ascii_lowercase[: len(wins.shape)]
            distance = g.builder.combine(g.label, back, offset=-size)
            moved = Summand(g.builder.einsum(g.label, f"{letters},{letters}->{letters}", wins, distance))
        else:
            moved = Summand(wins, -size)
        return g.builder.combine(g.label, [*behind, moved], offset=size)

    def largest(self, candidates: Sequence[Candidate]) -> Candidate:
        """The largest of several values, in rounds."""
        field = list(candidates)
        while len(field) > 1:
            paired = [self.winner(field[i], field[i + 1]) for i in range(0, len(field) - 1, 2)]
            field = paired + field[len(paired) * 2 :]
        return field[0]

    def along(self, value: ProgramValue, axis: int) -> Candidate:
        """The largest element along an axis, which stays with size 1."""
        main = Candidate(value)
        odd: list[Candidate] = []
        while (n := main.value.shape[axis]) > 1:
            if n % 2:
                odd.append(self._part(main, Slice(axis, n - 1, 1, 1)))
            main = self.winner(self._part(main, Slice(axis, 0, n // 2, 2)), self._part(main, Slice(axis, 1, n // 2, 2)))
        while odd:
            # What was left over last comes first.
            last = odd.pop(0)
            if odd:
                odd[0] = self.winner(odd[0], last)
            else:
                main = self.winner(main, last)
        return main

    def _part(self, group: Candidate, step: Slice) -> Candidate:
        return Candidate(group.value, (*group.steps, step), group.position, group.size)


def max_along(g: Emitter, a: Activation, axis: int) -> Activation:
    """The maximum along an axis, which stays with size 1."""
    contest = comparable(g, a, fine=False)
    largest = PairwiseMaximum(g, contest.limits).along(contest.value, axis).value
    return g.activation(clamped(g, largest, contest.limits), contest.reading)


def max_pool(g: Emitter, a: Activation, windows: Sequence[Window]) -> Activation:
    """The maximum over sliding windows, one axis after the other; outside the tensor is lower than everything."""
    contest = comparable(g, a, fine=False)
    value, (low, high) = contest.value, contest.limits
    before, after = [0] * len(value.shape), [0] * len(value.shape)
    for window in windows:
        before[window.axis], after[window.axis] = window.before, window.after
    reading = contest.reading
    if any(before) or any(after):
        # Padding is with zeros, so zero has to be the least value.
        least = min(low, 0)
        offset = least * Fraction(2) ** -value.frac_bits
        value = g.builder.combine(g.label, [Summand(value)], offset=-offset)
        value = g.builder.combine(g.label, [Summand(value, steps=(Pad(tuple(before), tuple(after)),))])
        low, high, reading = 0, high - least, reading.compose(AffineMap(offset=offset))
    rounds = PairwiseMaximum(g, (low, high))
    for axis, size, stride, dilation, *_ in windows:
        count = (value.shape[axis] - (size - 1) * dilation - 1) // stride + 1
        places = [Candidate(value, (Slice(axis, k * dilation, count, stride),)) for k in range(size)]
        largest = rounds.largest(places)
        value = g.builder.combine(g.label, [Summand(largest.value, steps=largest.steps)])
    return g.activation(clamped(g, value, (low, high)), reading)


def max_pool_positions(g: Emitter, a: Activation, windows: Sequence[Window], order: Sequence[int]) -> Activation:
    """Where the maximum of each window lies: the number of the element within the whole tensor; of equals the first.

    Args:
        g: emits the nodes.
        a: the tensor.
        windows: one for each axis that is pooled.
        order: the axes from the one whose neighbours' numbers are furthest apart to the one where they differ by one.
    """
    contest = comparable(g, a, fine=False)
    value, (low, high) = contest.value, contest.limits
    # Padding is zero, and lower than every element.
    value = g.builder.combine(g.label, [Summand(value)], offset=(1 - low) * Fraction(2) ** -value.frac_bits)
    before, after = [0] * len(value.shape), [0] * len(value.shape)
    for window in windows:
        before[window.axis], after[window.axis] = window.before, window.after
    value = g.builder.combine(g.label, [Summand(value, steps=(Pad(tuple(before), tuple(after)),))])
    counts = {w.axis: (value.shape[w.axis] - (w.size - 1) * w.dilation - 1) // w.stride + 1 for w in windows}
    places = list(itertools.product(*(range(w.size) for w in windows)))
    candidates = [
        Candidate(
            value,
            tuple(Slice(w.axis, k * w.dilation, counts[w.axis], w.stride) for w, k in zip(windows, place, strict=True)),
        )
        for place in places
    ]
    winner = PairwiseMaximum(g, (0, high - low + 1), positions=True).largest(candidates)
    # The number of the first element of each window, and how much further the one at each place is.
    apart = {axis: math.prod(a.shape[i] for i in order[at + 1 :]) for at, axis in enumerate(order)}
    at = dict.fromkeys(range(len(a.shape)), 1) | {w.axis: w.stride for w in windows}
    grid = np.indices([counts.get(axis, n) for axis, n in enumerate(a.shape)])
    starts = sum(apart[axis] * (at[axis] * grid[axis] - before[axis]) for axis in apart)
    further = np.array([sum(k * w.dilation * apart[w.axis] for w, k in zip(windows, p, strict=True)) for p in places])
    first = g.builder.weight(f"{g.label}/windows", np.asarray(starts), 0)
    if winner.position is None:
        return g.activation(first, integral=True)
    bounds = (winner.position.tensor.lo, winner.position.tensor.hi)
    table = integer_table("place", bounds, lambda i: further[np.clip(i, 0, len(places) - 1)])
    distance = g.builder.lookup(g.label, winner.position, table, 0, 0)
    number = g.builder.combine(g.label, [Summand(first), Summand(distance)])
    return g.activation(number, observed=(0.0, float(math.prod(a.shape) - 1)), integral=True)


def argmax(g: Emitter, a: Activation, axis: int, *, last: bool) -> Activation:
    """The position of the maximum along an axis, which stays with size 1; of equals the first, or the last."""
    contest = comparable(g, a, fine=True)
    winner = PairwiseMaximum(g, contest.limits, positions=True, last=last).along(contest.value, axis)
    if winner.position is None:
        return g.apply(a, constant(0))
    return g.activation(winner.position, observed=(0.0, float(a.shape[axis] - 1)))
