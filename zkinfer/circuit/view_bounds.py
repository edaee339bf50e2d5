"""Interval analysis of a View: how far a sum of re-indexed tensors can reach.

To the sum of its terms' intervals, two rules bring what intervals alone do not see.

Parts of a whole. Terms that are padded, and whose unpadded parts do not overlap, are nowhere added to each other:
their intervals are joined, not summed. A Concat is such a View.

What a lookup knows. Where a term looks up `d` and `d` is itself a sum, the other terms are bounded given d. With y the
sum of the View, T the table, R what y holds besides the lookup, and an integer q for which `S = R - q * d` cancels a
term,

    y = k * T(d) + R,     R in [R] and R in q * d + [S] for each q,

so y is bounded by the worst of these over all d, one table entry at a time. Two cases matter. In a maximum,
`b + relu(a - b)`, the rule gives `min(b, a - d) + relu(d)`: no more than the larger of both. In a remainder,
`x - 2**s * floor(x / 2**s)`, it gives 0 to 2**s - 1.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from zkinfer.circuit.program import MAX_MAGNITUDE, Lookup, Node, Term, View, rounding_half
from zkinfer.circuit.steps import Embed, Pad, Shape, apply_steps, moves, shape_after
from zkinfer.circuit.table import Table
from zkinfer.errors import BoundsError
from zkinfer.typing import IntArray

Interval = tuple[int, int]


class Source(NamedTuple):
    """What is known of a value that a term reads.

    Attributes:
        shape: sizes of its axes.
        interval: bounds on every element.
        content: the elements, of a weight; None for everything else.
        node: what computes it; None for inputs and weights.
    """

    shape: Shape
    interval: Interval
    content: IntArray | None = None
    node: Node | None = None


TERM_EFFORT = 64
"""Table entries that numpy looks at while Python looks at a term."""


class Effort:
    """Work that an analysis may still do on a program that a stranger wrote; a rule that would take more is left out.

    Args:
        units: table entries that rules may look at; a term counts as `TERM_EFFORT` of them.
    """

    def __init__(self, units: int) -> None:
        self._left = units

    def allows(self, units: int) -> bool:
        """Whether so much is left; then it is used up."""
        if units > self._left:
            return False
        self._left -= units
        return True


class Known(NamedTuple):
    """Where to look values and tables up by their numbers, and how far an analysis goes.

    Attributes:
        source: of a value's number.
        table: of a table's number.
        limit: a value or partial sum that could reach it is refused; None if the caller looks at intervals itself.
        effort: what rules that look at many entries may use in all; None for as much as they need.
        shown: whether a proof shows that what is looked up is in the table. Otherwise intervals have to.
    """

    source: Callable[[int], Source]
    table: Callable[[int], Table]
    limit: int | None = MAX_MAGNITUDE
    effort: Effort | None = None
    shown: bool = False

    def looked_up(self, interval: Interval, table: Table, shift: int) -> Interval:
        """What is known of elements that are looked up, before the shift."""
        return within(interval, table_domain(table, shift)) if self.shown else interval

    def allows(self, units: int) -> bool:
        """Whether a rule may do so much work."""
        return self.effort is None or self.effort.allows(units)


def lookup_indices(interval: Interval, shift: int) -> Interval:
    """The table indices that a value within the interval can reach."""
    half = rounding_half(shift)
    return (interval[0] + half) >> shift, (interval[1] + half) >> shift


def table_domain(table: Table, shift: int) -> Interval:
    """The integers that lead to an index of a table, after a rounding shift."""
    half = rounding_half(shift)
    return (table.lo << shift) - half, ((table.hi + 1) << shift) - half - 1


def within(interval: Interval, domain: Interval) -> Interval:
    """The integers of both.

    Raises:
        BoundsError: there are none.
    """
    lo, hi = max(interval[0], domain[0]), min(interval[1], domain[1])
    if lo > hi:
        raise BoundsError(
            f"it can be {interval[0]} to {interval[1]}, but is looked up in a table of {domain[0]} to {domain[1]}"
        )
    return lo, hi


def view_interval(node: View, known: Known) -> Interval:
    """Bounds of a View's result, and of each of its partial sums in absolute value.

    Raises:
        BoundsError: a value could reach the limit.
    """
    bounds = [term_interval(term, known) for term in node.terms]
    magnitude = abs(node.offset) + sum(max(abs(lo), abs(hi)) for lo, hi in bounds)
    if known.limit is not None and magnitude >= known.limit:
        raise BoundsError(f"{node.out.label}: a sum could reach {magnitude.bit_length()} bits; compile with fewer bits")
    joined = _joined(node.terms, bounds, known)
    lo, hi = joined if joined is not None else (sum(lo for lo, _ in bounds), sum(hi for _, hi in bounds))
    for k in range(len(node.terms)):
        given = _given_lookup(node.terms, bounds, k, known)
        if given is not None:
            lo, hi = max(lo, given[0]), min(hi, given[1])
    return lo + node.offset, hi + node.offset


def term_interval(term: Term, known: Known) -> Interval:
    """Bounds of one term: the interval of its source, re-indexed, times its coefficient."""
    source = known.source(term.source)
    a, b = source.interval
    if source.content is not None:
        moved = apply_steps(term.steps, source.content)
        if moved.size:
            a, b = int(moved.min()), int(moved.max())
    elif any(isinstance(move.index_map, Embed) for move in moves(term.steps, source.shape)):
        a, b = min(a, 0), max(b, 0)
    ends = term.coefficient * a, term.coefficient * b
    return min(ends), max(ends)


def _joined(terms: Sequence[Term], bounds: Sequence[Interval], known: Known) -> Interval | None:
    """The union of the terms' intervals, if they are padded parts that do not overlap; else None."""
    if len(terms) < 2 or not known.allows(TERM_EFFORT * len(terms) ** 2):
        return None
    parts = []
    for term in terms:
        last = term.steps[-1] if term.steps else None
        if not isinstance(last, Pad):
            return None
        sizes = shape_after(term.steps[:-1], known.source(term.source).shape)
        parts.append([(before, before + n) for before, n in zip(last.before, sizes, strict=True)])
    for one, other in itertools.combinations(parts, 2):
        if all(a < d and c < b for (a, b), (c, d) in zip(one, other, strict=True)):
            return None
    return min(lo for lo, _ in bounds), max(hi for _, hi in bounds)


def _given_lookup(terms: Sequence[Term], bounds: Sequence[Interval], k: int, known: Known) -> Interval | None:
    """Bounds of the sum of the terms, given what term `k` looks up; None if that is not a lookup of other terms."""
    term = terms[k]
    lookup = known.source(term.source).node
    if not isinstance(lookup, Lookup) or term.steps or len(terms) < 2:
        return None
    if sum(max(abs(lo), abs(hi)) for lo, hi in bounds) >= MAX_MAGNITUDE:
        return None
    rest = [(other, bound) for i, (other, bound) in enumerate(zip(terms, bounds, strict=True)) if i != k]
    looked_up = known.source(lookup.source)
    if isinstance(looked_up.node, View):
        inner, offset = looked_up.node.terms, looked_up.node.offset
    else:
        inner, offset = (Term(lookup.source, 1, ()),), 0
    effort = TERM_EFFORT * (len(terms) + len(inner))
    if not known.allows(effort):
        return None
    multiples = _multiples([other for other, _ in rest], inner)
    if not multiples:
        inner, offset = (Term(lookup.source, 1, ()),), 0
        multiples = _multiples([other for other, _ in rest], inner)
    table = known.table(lookup.table)
    interval = known.looked_up(looked_up.interval, table, lookup.shift)
    if max(abs(interval[0]), abs(interval[1])) >= MAX_MAGNITUDE:
        return None
    first, last = lookup_indices(interval, lookup.shift)
    if not multiples or not known.allows(len(multiples) * (effort + last - first + 1)):
        return None

    cells = _Cells(interval, lookup.shift)
    values = term.coefficient * table.array[cells.first - table.lo : cells.last - table.lo + 1]
    low = np.full(len(values), sum(lo for _, (lo, _) in rest))
    high = np.full(len(values), sum(hi for _, (_, hi) in rest))
    for q in multiples:
        lo, hi = _residual([other for other, _ in rest], inner, q, known)
        lo, hi = lo + q * -offset, hi + q * -offset
        if abs(q) * max(abs(cells.lo), abs(cells.hi)) + max(abs(lo), abs(hi)) >= MAX_MAGNITUDE:
            continue
        ends = q * cells.start, q * cells.end
        low = np.maximum(low, np.minimum(*ends) + lo)
        high = np.minimum(high, np.maximum(*ends) + hi)
    return int((values + low).min()), int((values + high).max())


class _Cells:
    """The integers within an interval, by the table index that each of them is looked up at.

    Attributes:
        lo, hi: the interval.
        first, last: the indices.
        start, end: the smallest and the largest integer of each index.
    """

    def __init__(self, interval: Interval, shift: int) -> None:
        self.lo, self.hi = interval
        half = rounding_half(shift)
        self.first, self.last = lookup_indices(interval, shift)
        start = (np.arange(self.first, self.last + 1) << shift) - half
        self.start = np.maximum(start, self.lo)
        self.end = np.minimum(start + ((1 << shift) - 1), self.hi)


def _multiples(terms: Sequence[Term], inner: Sequence[Term]) -> list[int]:
    """The integers q for which subtracting q times the inner terms cancels one of the terms."""
    coefficients = {(term.source, term.steps): term.coefficient for term in inner}
    shared = [(term.coefficient, coefficients.get((term.source, term.steps), 0)) for term in terms]
    return sorted({c // e for c, e in shared if e and c % e == 0})


def _residual(terms: Sequence[Term], inner: Sequence[Term], q: int, known: Known) -> Interval:
    """Bounds of the sum of the terms minus q times the sum of the inner ones."""
    coefficients: dict[Term, int] = {}
    for sign, summed in ((1, terms), (-q, inner)):
        for term in summed:
            key = Term(term.source, 1, term.steps)
            coefficients[key] = coefficients.get(key, 0) + sign * term.coefficient
    lo = hi = 0
    for key, coefficient in coefficients.items():
        if coefficient:
            a, b = term_interval(Term(key.source, coefficient, key.steps), known)
            lo, hi = lo + a, hi + b
    return lo, hi
