"""Interval analysis of products: what is known of a product beyond the intervals of its factors.

Squares. A contraction of a value with itself, letter by letter, adds up squares and is not negative.

Normalization. Let `L = T[(w + half) >> s]` be a Lookup of w, and let a product hold L^k times other factors. Flattened
into factors that are not products themselves, it is

    y = c * F1^m1 * F2^m2 * ... * L^k,        w = w0 * F1^(p * m1) * F2^(p * m2) * ...

with integers p >= 1, k >= 1, and the same F at the same places. If `|c|^p <= w0` wherever they meet, then
`|c * F1^m1 * ...|^p <= |w|`, because both sides are multiplied by the same numbers. Given the index i that w is looked
up at, w lies in a known cell [a, b] of integers, so that

    |y| <= max over i of |T[i]|^k * floor(max(|a|, |b|)^(1/p)).

Where c is w0 itself and p = 1, the product is `w * L^k`, which lies between the smallest and the largest of
`T[i]^k * a` and `T[i]^k * b`: exactly so, if w reaches every integer of its interval.

That `|c|^p <= w0` follows from what computes w0: `q * V + r`, with integers q >= 1 and r >= 0, and V a sum over
squares of c (p = 2), or over a c that is not negative (p = 1).

A number is brought near a power of two in this way, whatever its size: T holds powers of two, the larger the smaller
the index. See `zkinfer.compiler.lowering.relative`.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from zkinfer.circuit.program import MAX_MAGNITUDE, Einsum, Lookup, View, rounding_half
from zkinfer.circuit.view_bounds import TERM_EFFORT, Interval, Known, lookup_indices
from zkinfer.typing import IntArray

MAX_FACTORS = 64
"""A product is looked into as long as it has at most this many factors, with those that are products themselves."""


class Factor(NamedTuple):
    """A factor of a product.

    Attributes:
        value: its number.
        axes: for each axis of the factor the axis of the product that it runs along.
    """

    value: int
    axes: tuple[int, ...]


def product_interval(subscripts: str, operands: Sequence[int], known: Known) -> Interval | None:
    """Bounds of an Einsum, by the rules of this module; None where they say nothing.

    Args:
        subscripts: as in `Einsum`.
        operands: numbers of the values.
        known: where to look up values and tables.
    """
    return _normalized(subscripts, operands, known) if _is_product(subscripts, operands) else None


def _is_product(subscripts: str, operands: Sequence[int]) -> bool:
    """Whether an Einsum multiplies two values and adds nothing up."""
    left, _, out = subscripts.partition("->")
    return len(operands) == 2 and set(left) - {","} == set(out)


def is_sum_of_squares(subscripts: str, operands: Sequence[int]) -> bool:
    """Whether an Einsum adds up squares, so that it is not negative."""
    letters = subscripts.partition("->")[0].split(",")
    return len(operands) == 2 and operands[0] == operands[1] and letters[0] == letters[1]


def _normalized(subscripts: str, operands: Sequence[int], known: Known) -> Interval | None:
    if not known.allows(TERM_EFFORT * MAX_FACTORS):
        return None
    factors = _factors(subscripts, operands, known)
    if factors is None:
        return None
    best: Interval | None = None
    for factor, times in factors.items():
        lookup = known.source(factor.value).node
        if not isinstance(lookup, Lookup):
            continue
        others = Counter({other: m for other, m in factors.items() if other != factor})
        if not known.allows(TERM_EFFORT * MAX_FACTORS):
            return None
        for root in _roots(others, lookup.source, factor.axes, known):
            bounds = _by_cells(lookup, times, root, known)
            if bounds is not None:
                best = bounds if best is None else (max(best[0], bounds[0]), min(best[1], bounds[1]))
    return best


def _factors(subscripts: str, operands: Sequence[int], known: Known) -> Counter[Factor] | None:
    """The factors of a product; None if there are too many."""
    left, _, out = subscripts.partition("->")
    found: Counter[Factor] = Counter()
    waiting = [
        Factor(value, tuple(map(out.index, names))) for value, names in zip(operands, left.split(","), strict=True)
    ]
    visited = 0
    while waiting:
        factor = waiting.pop()
        visited += 1
        if visited > MAX_FACTORS:
            return None
        node = known.source(factor.value).node
        if isinstance(node, Einsum) and _is_product(node.subscripts, node.operands):
            names, _, result = node.subscripts.partition("->")
            for value, own in zip(node.operands, names.split(","), strict=True):
                waiting.append(Factor(value, tuple(factor.axes[result.index(c)] for c in own)))
        else:
            found[factor] += 1
    return found


def _roots(others: Counter[Factor], looked_up: int, axes: tuple[int, ...], known: Known) -> list[int]:
    """Each p of the module's text that fits; 0 where the other factors are w itself.

    Args:
        others: the factors of a product, but for the Lookup.
        looked_up: the number of w.
        axes: the axes of the product that w runs along.
        known: where to look up values.
    """
    node = known.source(looked_up).node
    inner: Counter[Factor] | None = Counter({Factor(looked_up, tuple(range(len(axes)))): 1})
    if isinstance(node, Einsum) and _is_product(node.subscripts, node.operands):
        inner = _factors(node.subscripts, node.operands, known)
    if inner is None:
        return []
    w = Counter({Factor(f.value, tuple(axes[a] for a in f.axes)): m for f, m in inner.items()})
    if others == w:
        return [0]
    found = []
    for c in [factor for factor, m in others.items() if m == 1]:
        for p in (1, 2):
            rest = Counter({factor: p * m for factor, m in others.items() if factor != c})
            left = w - rest
            if rest - w or sum(left.values()) != 1:
                continue
            (w0,) = left
            if _dominates(w0, c, p, known):
                found.append(p)
    return found


def _dominates(w0: Factor, c: Factor, p: int, known: Known) -> bool:
    """Whether |c|^p is at most w0, element by element where they meet in a product."""
    node = known.source(w0.value).node
    if isinstance(node, View):
        (term, *more), offset = node.terms, node.offset
        if more or term.steps or term.coefficient < 1 or offset < 0:
            return False
        node = known.source(term.source).node
    if not isinstance(node, Einsum) or set(node.operands) != {c.value}:
        return False
    names, _, result = node.subscripts.partition("->")
    own = names.split(",")
    if p == 2:
        if not is_sum_of_squares(node.subscripts, node.operands):
            return False
    elif len(own) != 1 or known.source(c.value).interval[0] < 0:
        return False
    # Element j of w0 adds up the elements of c that meet it.
    return set(result) <= set(own[0]) and w0.axes == tuple(c.axes[own[0].index(letter)] for letter in result)


def _by_cells(lookup: Lookup, times: int, root: int, known: Known) -> Interval | None:
    """The worst of all indices, see the module's text; None if it exceeds what is computed here.

    Args:
        lookup: of w.
        times: how often the product holds it.
        root: see `_roots`.
        known: where to look up values and tables.
    """
    table, (lo, hi) = known.table(lookup.table), known.source(lookup.source).interval
    half = rounding_half(lookup.shift)
    first, last = lookup_indices((lo, hi), lookup.shift)
    first, last = max(first, table.lo), min(last, table.hi)
    if first > last or max(abs(lo), abs(hi), abs(first) << lookup.shift, abs(last) << lookup.shift) >= MAX_MAGNITUDE:
        return None
    if not known.allows(last - first + 1):
        return None
    start = (np.arange(first, last + 1) << lookup.shift) - half
    ends = np.maximum(start, lo), np.minimum(start + ((1 << lookup.shift) - 1), hi)
    outputs = table.array[first - table.lo : last - table.lo + 1]
    if not root:
        reach = ends
    else:
        magnitude = np.maximum(np.abs(ends[0]), np.abs(ends[1]))
        magnitude = magnitude if root == 1 else _integer_root(magnitude)
        reach = -magnitude, magnitude
    largest = np.maximum(np.abs(reach[0]), np.abs(reach[1])).astype(np.float64)
    with np.errstate(over="ignore"):
        powers = np.abs(outputs.astype(np.float64)) ** times
    if (powers >= MAX_MAGNITUDE / 2).any() or (powers * largest >= MAX_MAGNITUDE / 2).any():
        if not known.allows(TERM_EFFORT * len(outputs)):
            return None
        outputs, reach = outputs.astype(object), (reach[0].astype(object), reach[1].astype(object))
    factor = outputs**times
    products = factor * reach[0], factor * reach[1]
    return int(np.minimum(*products).min()), int(np.maximum(*products).max())


def _integer_root(x: IntArray) -> IntArray:
    """The largest integers whose squares are at most x, which is not negative and below 2^62."""
    root = np.sqrt(x.astype(np.float64)).astype(np.int64)
    root -= root * root > x
    root += (root + 1) * (root + 1) <= x
    return root
