"""Interval analysis of selectors: tensors of numbers that are not negative and add up to little along some axes.

A row of truth values `[i - j == 0]` for j = 0, 1, ... holds a single 1, whatever i is. A contraction with such a row
picks an element, so that its result reaches as far as one element and not as far as their sum.

A `Selector` is found from how a value is computed. The base case is a lookup of `v - c_j` along the last axis, with v
the same along that axis and c a weight: for every v within its bounds, the table's entries are added up. Outer products
multiply the totals. Slices, and joining the axes, keep them.

All of this follows from what weights contain. Without them, as for a verifier, every element of a row may be the
largest entry, which its interval says already: nothing is a selector then.
"""

from typing import NamedTuple

import numpy as np

from zkinfer.circuit.program import MAX_MAGNITUDE, Einsum, Lookup, View
from zkinfer.circuit.steps import Expand, Reshape, Shape, Slice, Step, apply_steps, shape_after
from zkinfer.circuit.view_bounds import Known, Source, term_interval

MAX_WORK = 1 << 24
"""Rows are added up for at most this many pairs of a place and a value."""

MAX_DEPTH = 16
"""Nodes that are followed from a value back to the lookups that it is made of."""


class Selector(NamedTuple):
    """What is known of a tensor whose elements are not negative.

    Attributes:
        axes: the axes along which elements are added up, all together.
        total: what their sum is at most.
    """

    axes: tuple[int, ...]
    total: int


def selector(value: Source, known: Known, depth: int = MAX_DEPTH) -> Selector | None:
    """The value as a selector, or None where it is not known to be one, which is decided by so many nodes at most."""
    if not depth:
        return None
    match value.node:
        case Lookup():
            return _of_lookup(value.node, known)
        case Einsum(subscripts=subscripts, operands=(first, second)):
            return _of_outer_product(subscripts, known.source(first), known.source(second), known, depth - 1)
        case View(terms=(term,), offset=0) if term.coefficient == 1:
            source = known.source(term.source)
            return _after(term.steps, source.shape, selector(source, known, depth - 1))
        case _:
            return None


def _of_lookup(node: Lookup, known: Known) -> Selector | None:
    distance = known.source(node.source).node
    table = known.table(node.table)
    if not isinstance(distance, View) or not any(known.source(t.source).content is not None for t in distance.terms):
        return None
    if node.shift or abs(distance.offset) >= MAX_MAGNITUDE:
        return None
    if not known.allows(len(table.values)) or table.array.min() < 0:
        return None
    shape = distance.out.shape
    places = np.full(shape[-1:], distance.offset, dtype=np.int64)
    lo = hi = 0
    for term in distance.terms:
        source = known.source(term.source)
        if source.content is not None:
            rows = apply_steps(term.steps, source.content).reshape(-1, *shape[-1:])
            if not rows.size or (rows != rows[0]).any():
                return None
            places = places + term.coefficient * rows[0].astype(np.int64)
        elif _is_repeated(term.steps, source.shape):
            a, b = term_interval(term, known)
            lo, hi = lo + a, hi + b
        else:
            return None
    work = (hi - lo + 1) * places.size
    if not places.size or work > MAX_WORK or not known.allows(work):
        return None
    lowest, highest = lo + int(places.min()) - table.lo, hi + int(places.max()) - table.lo
    if lowest < 0 or highest >= len(table.values):
        return None
    totals = np.zeros(hi - lo + 1, dtype=np.int64)
    for place in places:
        start = lo + int(place) - table.lo
        totals += table.array[start : start + len(totals)]
    return Selector((len(shape) - 1,), int(totals.max()))


def _is_repeated(steps: tuple[Step, ...], shape: Shape) -> bool:
    """Whether the steps end by repeating a tensor along its last axis."""
    before = shape_after(steps[:-1], shape)
    return bool(steps) and isinstance(steps[-1], Expand) and bool(before) and before[-1] == 1


def _of_outer_product(subscripts: str, first: Source, second: Source, known: Known, depth: int) -> Selector | None:
    left, _, out = subscripts.partition("->")
    letters = left.split(",")
    if set(letters[0] + letters[1]) != set(out):
        return None
    one = selector(first, known, depth)
    other = selector(second, known, depth) if one is not None else None
    if one is None or other is None:
        return None
    summed = [[names[axis] for axis in factor.axes] for names, factor in zip(letters, (one, other), strict=True)]
    if set(summed[0]) & set(letters[1]) or set(summed[1]) & set(letters[0]):
        return None
    return Selector(tuple(out.index(c) for c in summed[0] + summed[1]), one.total * other.total)


def _after(steps: tuple[Step, ...], shape: Shape, before: Selector | None) -> Selector | None:
    """A selector after steps that keep its axes, or that join them where they are the last."""
    for step in steps:
        if before is None:
            return None
        last = tuple(range(len(shape) - len(before.axes), len(shape)))
        if isinstance(step, Reshape) and sorted(before.axes) == list(last) and step.sizes[:-1] == shape[: last[0]]:
            before = Selector((len(step.sizes) - 1,), before.total)
        elif not isinstance(step, Slice):
            return None
        shape = step.shape(shape)
    return before
