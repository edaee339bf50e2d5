"""Which integers each value of a program can be: docs/protocol/reduction.md, section 2, written out in plain Python.

Nothing here trusts what a program says of the results of its nodes. `zkinfer.circuit.derived_bounds` follows the same
text for the fast verifier.
"""

import itertools
import math

from zkinfer.circuit.program import Einsum, Lookup, Program, Term, View
from zkinfer.errors import MalformedCommitmentError
from zkinfer.protocol.field.params import P
from zkinfer.verifier.reference.weights import Index, indices

Interval = tuple[int, int]


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

    def _add(self, interval: Interval) -> None:
        """Admit the next value, which then lies within the domains of the tables that it is looked up in."""
        _require_unique(interval)
        lo, hi = interval
        for node in self.program.nodes:
            if isinstance(node, Lookup) and node.source == len(self.found):
                table, half = self.program.tables[node.table], (1 << node.shift) // 2
                domain = (table.lo << node.shift) - half, ((table.hi + 1) << node.shift) - half - 1
                _require_unique(domain)
                lo, hi = max(lo, domain[0]), min(hi, domain[1])
        if lo > hi:
            raise MalformedCommitmentError("a value is never within the table that it is looked up in")
        self.found.append((lo, hi))

    def _node(self, value: int) -> Einsum | View | Lookup | None:
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
        return summands * min(products), summands * max(products)

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
        own = {(term.source, term.steps): term.coefficient for term in inner}
        multiples = set()
        for other in others:
            c = own.get((other.source, other.steps), 0)
            if c and other.coefficient % c == 0:
                multiples.add(other.coefficient // c)
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
