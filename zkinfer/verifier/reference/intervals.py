"""Which integers each value of a program can be: docs/protocol/reduction.md, section 2, written out in plain Python.

Nothing here trusts what a program says of the results of its nodes. `zkinfer.circuit.derived_bounds` follows the same
text for the fast verifier.
"""

import itertools
import math

from zkinfer.circuit.program import Delay, Einsum, Lookup, Node, Program, Term, View
from zkinfer.errors import MalformedCommitmentError
from zkinfer.protocol.field.params import P
from zkinfer.verifier.reference.weights import Index, indices

Interval = tuple[int, int]
Factor = tuple[int, tuple[int, ...]]
"""Of a product: the number of a value, and for each of its axes the axis of the product that it runs along."""

MAX_FACTORS = 64
"""A product is looked into as long as it has at most this many factors, with those that are products themselves."""


class Intervals:
    """The intervals of all values of a program.

    Args:
        program: validated.

    Attributes:
        found: lowest and highest integer of each value, by number.

    Raises:
        MalformedCommitmentError: a value could be more than (P - 1) / 2 in absolute value.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.found: list[Interval] = []
        self._leaves = len(program.inputs) + len(program.weights)
        self._lookups: dict[int, list[Lookup]] = {}
        for node in program.nodes:
            if isinstance(node, Lookup):
                self._lookups.setdefault(node.source, []).append(node)
        for tensor in (*program.inputs, *program.weights):
            self._add((tensor.lo, tensor.hi))
        for node in program.nodes:
            match node:
                case Einsum():
                    self._add(self._einsum(node))
                case View():
                    self._add(self._view(node))
                case Lookup():
                    outputs = self._entries(node)
                    self._add((min(y for _, y, _ in outputs), max(y for _, y, _ in outputs)))
                case Delay(initial=initial, source=source):
                    lookup = self._node(source)
                    assert isinstance(lookup, Lookup)
                    reached = (*self.found[initial], *program.tables[lookup.table].values)
                    self._add((min(reached), max(reached)))

    def _add(self, interval: Interval) -> None:
        """Admit the next value, which then lies within the domains of the tables that it is looked up in."""
        _require_unique(interval)
        lo, hi = interval
        for node in self._lookups.get(len(self.found), ()):
            table, half = self.program.tables[node.table], (1 << node.shift) // 2
            domain = (table.lo << node.shift) - half, ((table.hi + 1) << node.shift) - half - 1
            _require_unique(domain)
            lo, hi = max(lo, domain[0]), min(hi, domain[1])
        if lo > hi:
            raise MalformedCommitmentError("a value is never within the table that it is looked up in")
        self.found.append((lo, hi))

    def _node(self, value: int) -> Node | None:
        return self.program.nodes[value - self._leaves] if value >= self._leaves else None

    def _einsum(self, node: Einsum) -> Interval:
        left, _, out = node.subscripts.partition("->")
        sizes = {
            letter: size
            for letters, value in zip(left.split(","), node.operands, strict=True)
            for letter, size in zip(letters, self.program.tensor(value).shape, strict=True)
        }
        summands = math.prod(size for letter, size in sizes.items() if letter not in out)
        products = [math.prod(ends) for ends in itertools.product(*(self.found[value] for value in node.operands))]
        lo, hi = summands * min(products), summands * max(products)
        if _is_sum_of_squares(node):
            lo = max(lo, 0)
        if _is_product(node):
            for low, high in self._normalized(node):
                lo, hi = max(lo, low), min(hi, high)
        return lo, hi

    def _factors(self, node: Einsum, axes: tuple[int, ...]) -> list[Factor] | None:
        """What a product is made of, none of them a product. `axes`: where those of the node's result run along.

        None if it has too many factors, those counted too that are products.
        """
        found: list[Factor] = []
        waiting, visited = [(node, axes)], 0
        while waiting:
            product, along = waiting.pop()
            left, _, out = product.subscripts.partition("->")
            for value, letters in zip(product.operands, left.split(","), strict=True):
                visited += 1
                own = tuple(along[out.index(letter)] for letter in letters)
                made = self._node(value)
                if isinstance(made, Einsum) and _is_product(made):
                    waiting.append((made, own))
                else:
                    found.append((value, own))
            if visited > MAX_FACTORS:
                return None
        return found

    def _normalized(self, node: Einsum) -> list[Interval]:
        """Bounds of a product of Lookups of w and of numbers that w holds as well, one entry of the table at a time."""
        factors = self._factors(node, tuple(range(len(node.out.shape))))
        if factors is None:
            return []
        bounds = []
        for factor in sorted(set(factors)):
            lookup = self._node(factor[0])
            if isinstance(lookup, Lookup):
                others, k = [f for f in factors if f != factor], factors.count(factor)
                for p in self._powers(others, lookup.source, factor[1]):
                    ends = [_scaled(_rooted(cell, p), y**k) for _, y, cell in self._entries(lookup)]
                    bounds.append((min(a for a, _ in ends), max(b for _, b in ends)))
        return bounds

    def _powers(self, others: list[Factor], looked_up: int, axes: tuple[int, ...]) -> list[int]:
        """The p for which |product of the others|^p is at most |w|; 0 if that product is w."""
        made = self._node(looked_up)
        w: list[Factor] | None = [(looked_up, axes)]
        if isinstance(made, Einsum) and _is_product(made):
            w = self._factors(made, axes)
        if w is None:
            return []
        if sorted(others) == sorted(w):
            return [0]
        found = []
        for p in (1, 2):
            for c in sorted(set(others)):
                rest = [f for f in others if f != c] * p
                left = list(w)
                for f in rest:
                    if f in left:
                        left.remove(f)
                whole = len(left) == 1 and len(rest) + 1 == len(w) and others.count(c) == 1
                if whole and self._dominates(left[0], c, p):
                    found.append(p)
        return found

    def _dominates(self, large: Factor, small: Factor, p: int) -> bool:
        """Whether one factor adds up the other one's p-th powers, and perhaps more."""
        made = self._node(large[0])
        if isinstance(made, View):
            if len(made.terms) > 1 or made.terms[0].steps or made.terms[0].coefficient < 1 or made.offset < 0:
                return False
            made = self._node(made.terms[0].source)
        if not isinstance(made, Einsum) or set(made.operands) != {small[0]}:
            return False
        if not _is_sum_of_squares(made) if p == 2 else len(made.operands) > 1 or self.found[small[0]][0] < 0:
            return False
        left, _, out = made.subscripts.partition("->")
        own = left.split(",")[0]
        return set(out) <= set(own) and large[1] == tuple(small[1][own.index(letter)] for letter in out)

    def _entries(self, node: Lookup) -> list[tuple[int, int, Interval]]:
        """For each index that is reached: itself, the output, and the integers of the source that lead to it."""
        lo, hi = self.found[node.source]
        table, half = self.program.tables[node.table], (1 << node.shift) // 2
        first, last = (lo + half) >> node.shift, (hi + half) >> node.shift
        cells = (((i << node.shift) - half, ((i + 1) << node.shift) - half - 1) for i in range(first, last + 1))
        return [
            (i, table.values[i - table.lo], (max(lo, a), min(hi, b)))
            for i, (a, b) in zip(range(first, last + 1), cells, strict=True)
        ]

    def _term(self, term: Term) -> Interval:
        lo, hi = self.found[term.source]
        if not all(self._is_filled(term)):
            lo, hi = min(lo, 0), max(hi, 0)
        return _scaled((lo, hi), term.coefficient)

    def _is_filled(self, term: Term) -> list[bool]:
        """For each place of a term, row-major, whether it holds an element of its source, and not zero as padding."""
        if not term.steps:
            return [True]
        shapes = [self.program.tensor(term.source).shape]
        for step in term.steps:
            shapes.append(step.shape(shapes[-1]))
        found = []
        for place in indices(shapes[-1]):
            index: Index | None = place
            for step, before in zip(term.steps[::-1], shapes[-2::-1], strict=True):
                index = None if index is None else step.source_index(index, before)
            found.append(index is not None)
        return found

    def _view(self, node: View) -> Interval:
        candidates = [_sum([self._term(term) for term in node.terms])]
        if len(node.terms) > 1 and all(term.steps for term in node.terms) and self._is_concatenation(node):
            ends = [self._term(term) for term in node.terms]
            candidates.append((min(lo for lo, _ in ends), max(hi for _, hi in ends)))
        for number, term in enumerate(node.terms):
            inner = self._node(term.source)
            if isinstance(inner, Lookup) and not term.steps:
                others = [other for i, other in enumerate(node.terms) if i != number]
                candidates += self._given_lookup(term.coefficient, inner, others)
        lo, hi = max(lo for lo, _ in candidates), min(hi for _, hi in candidates)
        return lo + node.offset, hi + node.offset

    def _is_concatenation(self, node: View) -> bool:
        """Whether nowhere two terms are added, because all of them but one at most are padding there."""
        return all(sum(filled) < 2 for filled in zip(*map(self._is_filled, node.terms), strict=True))

    def _given_lookup(self, coefficient: int, lookup: Lookup, others: list[Term]) -> list[Interval]:
        """The sum of `coefficient * T(d)` and the other terms, one entry of T at a time; nothing if no term cancels."""
        summed = self._node(lookup.source)
        inner: tuple[Term, ...] = (Term(lookup.source, 1, ()),)
        offset = 0
        if isinstance(summed, View):
            inner, offset = summed.terms, summed.offset
        multiples = _multiples(others, inner)
        if not multiples:
            inner, offset = (Term(lookup.source, 1, ()),), 0
            multiples = _multiples(others, inner)
        # The others are q * (d - offset) plus what is left of them, for each of these q.
        left = {q: _sum([self._term(term) for term in _difference(others, q, inner)]) for q in multiples}
        if not left:
            return []
        least, most = _sum([self._term(term) for term in others])
        ends = []
        for _, y, d in self._entries(lookup):
            low, high = least, most
            for q, rest in left.items():
                a, b = _sum([_scaled((d[0] - offset, d[1] - offset), q), rest])
                low, high = max(low, a), min(high, b)
            ends.append((coefficient * y + low, coefficient * y + high))
        return [(min(a for a, _ in ends), max(b for _, b in ends))]


def _multiples(terms: list[Term], inner: tuple[Term, ...]) -> set[int]:
    """The integers q for which q times the inner terms cancels one of the terms."""
    own = {(term.source, term.steps): term.coefficient for term in inner}
    multiples = set()
    for term in terms:
        c = own.get((term.source, term.steps), 0)
        if c and term.coefficient % c == 0:
            multiples.add(term.coefficient // c)
    return multiples


def _is_product(node: Einsum) -> bool:
    """Whether it has two operands and adds nothing up."""
    left, _, out = node.subscripts.partition("->")
    return len(node.operands) == 2 and set(left) - {","} == set(out)


def _is_sum_of_squares(node: Einsum) -> bool:
    letters = node.subscripts.partition("->")[0].split(",")
    return len(node.operands) == 2 and len({*node.operands}) == len({*letters}) == 1


def _rooted(cell: Interval, p: int) -> Interval:
    """The numbers whose p-th power is at most as large as one in the cell, in absolute value; the cell itself for 0."""
    largest = max(map(abs, cell))
    root = math.isqrt(largest) if p == 2 else largest
    return cell if p == 0 else (-root, root)


def _require_unique(interval: Interval) -> None:
    if 2 * max(map(abs, interval)) >= P:
        raise MalformedCommitmentError("a value, or what a table takes, does not fit the field")


def _scaled(interval: Interval, factor: int) -> Interval:
    ends = factor * interval[0], factor * interval[1]
    return min(ends), max(ends)


def _sum(intervals: list[Interval]) -> Interval:
    return sum(lo for lo, _ in intervals), sum(hi for _, hi in intervals)


def _difference(terms: list[Term], q: int, inner: tuple[Term, ...]) -> list[Term]:
    """The terms minus q times the inner ones, equal ones added up."""
    coefficients: dict[Term, int] = {}
    for factor, summed in ((1, tuple(terms)), (-q, inner)):
        for term in summed:
            key = Term(term.source, 1, term.steps)
            coefficients[key] = coefficients.get(key, 0) + factor * term.coefficient
    return [Term(key.source, c, key.steps) for key, c in coefficients.items() if c]
