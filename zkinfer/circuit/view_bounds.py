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


class Known(NamedTuple):
    """Where to look values and tables up by their numbers."""

    source: Callable[[int], Source]
    table: Callable[[int], Table]


def view_interval(node: View, known: Known) -> Interval:
    """Bounds of a View's result, and of each of its partial sums in absolute value.

    Raises:
        BoundsError: a value could reach `MAX_MAGNITUDE`.
    """
    bounds = [term_interval(term, known) for term in node.terms]
    magnitude = abs(node.offset) + sum(max(abs(lo), abs(hi)) for lo, hi in bounds)
    if magnitude >= MAX_MAGNITUDE:
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
    if len(terms) < 2:
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
    """Bounds of the sum of the terms, given what term `k` looks up; None if that is no lookup of other terms."""
    term = terms[k]
    lookup = known.source(term.source).node
    if not isinstance(lookup, Lookup) or term.steps or len(terms) < 2:
        return None
    rest = [(other, bound) for i, (other, bound) in enumerate(zip(terms, bounds, strict=True)) if i != k]
    looked_up = known.source(lookup.source)
    if isinstance(looked_up.node, View):
        inner, offset = looked_up.node.terms, looked_up.node.offset
    else:
        inner, offset = (Term(lookup.source, 1, ()),), 0
    multiples = _multiples([other for other, _ in rest], inner)
    if not multiples:
        return None

    table = known.table(lookup.table)
    cells = _Cells(looked_up.interval, lookup.shift)
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
        self.first, self.last = (self.lo + half) >> shift, (self.hi + half) >> shift
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
