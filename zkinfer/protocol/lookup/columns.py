"""The lowest layers of a tree of entries: of the two lowest nothing but the entries' columns is stored.

A layer's first round reads the columns and computes the fractions as it goes. Only the challenge of that round makes
tables, of half the size, and it does so piece by piece while the second round is summed: so the largest tables that a
tree has, those of the leaves and of the sums of two, are never in memory. The lowest tables that are stored, if they
are large, are made twice, so that they are not in memory beside the layers above them.
"""

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from zkinfer.jit.threads import split
from zkinfer.protocol.field.kernels.arrays import GRAIN, balance_ext
from zkinfer.protocol.field.kernels.vector import LANES
from zkinfer.protocol.field.params import DEGREE, P
from zkinfer.protocol.field.scalar import (
    ONE,
    ZERO,
    Ext,
    ext_add,
    ext_dot,
    ext_inv,
    ext_mul,
    ext_neg,
    ext_polynomial,
    ext_sub,
    quadratic,
)
from zkinfer.protocol.lookup import column_kernels, kernels
from zkinfer.protocol.lookup.column_kernels import BLOCK
from zkinfer.protocol.lookup.params import Stack
from zkinfer.protocol.lookup.trees import LayerRounds, TableLayer, TreeLayer, add
from zkinfer.protocol.lookup.witness import Fraction
from zkinfer.protocol.sumcheck.params import Point, Polynomial
from zkinfer.protocol.sumcheck.rounds import FEW_PLACES, EqTables, ProductRounds, add_parts
from zkinfer.protocol.sumcheck.tables import FactorTables
from zkinfer.protocol.sumcheck.witness import Joinable, Rounds
from zkinfer.typing import Floats

SHORTEST = 4 * BLOCK
"""Entries of the shortest run: whole blocks of the places of both layers."""

JOINED = 1 << 15
"""Entries below which neighbours in one table are copied into one run: calling kernels costs more than that."""

PIECE = 1 << 20
"""Entries of which layer 2 is made at a time, where it is not kept."""

_COLUMNS = 2
"""That the kernels know."""

FACTORS = 4
"""Of the sumcheck of a layer."""

LAYER_BYTES = FACTORS * DEGREE * 8
"""Of a layer's tables, for each place of its sumcheck."""

KEPT_BYTES = 1 << 28
"""The lowest tables of a tree are half of all. Of more bytes than this they are not kept while the layers above them
are proven."""

Vector = tuple[Sequence[Floats], Sequence[Ext], Ext]
"""Its columns, the columns' weights, and the constant that their sum is subtracted from."""

Vectors = Sequence[Vector]


@dataclass(frozen=True, eq=False)
class Run:
    """Neighbouring entries whose leaves are 1 / (constant - first - weight * second).

    Attributes:
        start: the first of them in the stack.
        first, second: base elements; where there is no second column, `second` is the first and `wide` false.
    """

    start: int
    first: Floats
    second: Floats
    wide: bool
    constant: Ext
    weight: Ext

    @property
    def columns(self) -> tuple[Floats, Floats, bool]:
        """As kernels take them."""
        return self.first, self.second, self.wide

    @property
    def constants(self) -> Floats:
        """As kernels take them."""
        return packed(self.constant, self.weight, ext_mul(self.constant, self.constant))

    def part(self, start: int, stop: int) -> "Run":
        """Some of the stack's entries, which are all of this run."""
        at = slice(start - self.start, stop - self.start)
        return replace(self, start=start, first=self.first[at], second=self.second[at])

    def denominator(self, entry: int) -> Ext:
        """Of an entry of the stack."""
        first, second = (int(column[entry - self.start]) % P for column in (self.first, self.second))
        known = ext_sub(self.constant, (first, 0, 0))
        return ext_sub(known, ext_mul(self.weight, (second, 0, 0))) if self.wide else known


def packed(*values: Ext) -> Floats:
    """The coordinates of some elements, one after another, balanced."""
    return np.array([c for value in values for c in balance_ext(value)])


def runs_of(stack: Stack, vectors: Vectors) -> list[Run] | None:
    """The runs of a full stack; None where the kernels cannot take it: vectors too short, or of too many columns."""
    sizes = [1 << k for k in stack.sizes]
    few = all(len(columns) <= _COLUMNS for columns, _, _ in vectors)
    if stack.filled != 1 << stack.variables or stack.filled < 2 * SHORTEST or min(sizes) < SHORTEST or not few:
        return None
    joined: list[list[int]] = []
    for i in sorted(range(len(sizes)), key=lambda i: stack.offsets[i]):
        if joined and sizes[joined[-1][0]] < JOINED and _alike(vectors[joined[-1][0]], vectors[i]):
            joined[-1].append(i)
        else:
            joined.append([i])
    return [_run(stack.offsets[numbers[0]], [vectors[i] for i in numbers]) for numbers in joined]


def _alike(one: Vector, other: Vector) -> bool:
    """Whether two vectors may be in one run."""
    return (len(one[0]) > 1, one[2]) == (len(other[0]) > 1, other[2])


def _run(start: int, vectors: Vectors) -> Run:
    """Vectors that lie one after another as one run."""
    columns, weights, constant = vectors[0]
    first, second = columns[0], columns[-1]
    if len(vectors) > 1:
        first, second = (np.concatenate([columns[at] for columns, _, _ in vectors]) for at in (0, -1))
    wide = len(columns) > 1
    return Run(start, first, second, wide, constant, weights[1] if wide else ZERO)


@dataclass(frozen=True)
class Meeting:
    """Entries of one run, and as many of one run half a stack further on."""

    near: Run
    far: Run


def meetings_of(runs: Sequence[Run], entries: int) -> list[Meeting]:
    """All entries of a stack, the first half beside the second."""
    half = entries // 2
    starts = [run.start for run in runs]
    cuts = sorted({start % half for start in starts} | {half})

    def part(start: int, stop: int) -> Run:
        at = np.searchsorted(starts, start, side="right") - 1
        return runs[int(at)].part(start, stop)

    return [Meeting(part(a, b), part(a + half, b + half)) for a, b in pairwise(cuts)]


class ColumnLeaves:
    """Layer 0 of a full stack: the leaves.

    Args:
        runs: the entries.
        tables: makes the leaves as tables, for the challenges, hardly ever drawn, that the shorter ways cannot take.
    """

    def __init__(self, runs: Sequence[Run], entries: int, tables: Callable[[], TableLayer]) -> None:
        self.runs, self.entries, self.tables = runs, entries, tables
        self.meetings = meetings_of(runs, entries)

    @property
    def variables(self) -> int:
        return self.entries.bit_length() - 2

    def above(self) -> TreeLayer:
        return ColumnNodes(self)

    def children(self, x: int) -> tuple[Fraction, Fraction]:
        a, b = (self._run(entry).denominator(entry) for entry in (2 * x, 2 * x + 1))
        return (ONE, a), (ONE, b)

    def rounds(self, point: Point, lambda_: Ext, claim: Ext) -> Rounds:
        if lambda_ == ZERO or point[0] == ZERO:
            return self.tables().rounds(point, lambda_, claim)
        return LeafRounds(self.meetings, self.variables, point, lambda_, claim)

    def _run(self, entry: int) -> Run:
        return next(run for run in reversed(self.runs) if run.start <= entry)


class ColumnNodes:
    """Layer 1 of a full stack: the sums of two leaves."""

    def __init__(self, leaves: ColumnLeaves) -> None:
        self._leaves = leaves

    @property
    def variables(self) -> int:
        return self._leaves.variables - 1

    def above(self) -> TreeLayer:
        return made_once_or_twice(self.variables - 1, self._sums, self._above_sums)

    def _sums(self) -> TableLayer:
        """Layer 2: the sums of four leaves."""
        out = FactorTables(FACTORS, self.variables - 1)
        self._write(0, self._leaves.entries, out)
        return TableLayer(out)

    def _above_sums(self) -> TableLayer:
        """Layer 3, from pieces of layer 2."""
        out, entries = FactorTables(FACTORS, self.variables - 2), min(PIECE, self._leaves.entries)
        piece = FactorTables(FACTORS, (entries // 8).bit_length() - 1)
        groups, grain = entries // 8 // (2 * LANES), max(1, GRAIN // (2 * LANES))
        for start in range(0, self._leaves.entries, entries):
            self._write(start, start + entries, piece)
            arguments = (piece.flat, piece.stride, out.flat[start // 16 :], out.stride)
            split(kernels.next_layer, groups, grain, *arguments)
        return TableLayer(out)

    def _write(self, start: int, stop: int, out: FactorTables) -> None:
        """The nodes of layer 2 that are made of these entries, from the first place of the tables on."""
        for run in self._leaves.runs:
            first, last = max(start, run.start), min(stop, run.start + len(run.first))
            if first < last:
                part = run.part(first, last)
                arguments = (*part.columns, part.constants, out.flat, out.stride, (first - start) // 8)
                grain = max(1, GRAIN // (8 * LANES))
                split(column_kernels.column_layer, (last - first) // (8 * LANES), grain, *arguments)

    def children(self, x: int) -> tuple[Fraction, Fraction]:
        return add(*self._leaves.children(2 * x)), add(*self._leaves.children(2 * x + 1))

    def rounds(self, point: Point, lambda_: Ext, claim: Ext) -> Rounds:
        if point[0] == ZERO:
            return self._leaves.tables().above().rounds(point, lambda_, claim)
        return NodeRounds(self._leaves.meetings, self.variables, point, lambda_, claim)


class RepeatedLayer:
    """A layer of tables that is made for the one above it, and again for its sumcheck, but not kept in between.

    Args:
        variables: of its sumcheck.
        make: makes the tables.
        above: makes the layer above it.
    """

    def __init__(self, variables: int, make: Callable[[], TableLayer], above: Callable[[], TreeLayer]) -> None:
        self.variables, self._make, self._above = variables, make, above

    def above(self) -> TreeLayer:
        return self._above()

    def children(self, x: int) -> tuple[Fraction, Fraction]:
        return self._make().children(x)

    def rounds(self, point: Point, lambda_: Ext, claim: Ext) -> Rounds:
        return self._make().rounds(point, lambda_, claim)


def made_once_or_twice(
    variables: int, make: Callable[[], TableLayer], above: Callable[[], TreeLayer] | None = None
) -> TreeLayer:
    """A layer of tables: a `RepeatedLayer` if they are large. What makes the layer above it needs its tables or not."""
    if LAYER_BYTES << variables <= KEPT_BYTES:
        return make()
    return RepeatedLayer(variables, make, above or (lambda: make().above()))


class ColumnRounds(ABC):
    """The sumcheck of a layer that is not stored. The first coordinate of the point is not zero.

    Args:
        meetings: the entries.
        variables: of the sumcheck.
        target: the sum of what `first` sums.
    """

    entries: int
    """For each place."""

    def __init__(self, meetings: Sequence[Meeting], variables: int, point: Point, target: Ext) -> None:
        self._meetings, self._variables, self._point, self._target = meetings, variables, point, target
        self._polynomial: Polynomial = []
        self._rest: ProductRounds | None = None

    @abstractmethod
    def first(self, meeting: Meeting, weights: tuple[Floats, int, Floats, int], blocks: int) -> tuple[Ext, Ext]:
        """Over the places of a meeting, the weighted sums of the polynomial's value at 0 and coefficient of X^2."""

    @abstractmethod
    def tables(self, challenge: Ext) -> tuple[FactorTables, Callable[..., Any], Callable[[Meeting], tuple[Any, ...]]]:
        """Tables to be filled, and how: a kernel, and its first arguments for each meeting."""

    @abstractmethod
    def after(self, tables: FactorTables, point: Point, target: Ext, fill: Callable[[int, int], None]) -> ProductRounds:
        """The other rounds."""

    def sums(self) -> Polynomial:
        if self._rest is not None:
            return self._rest.sums()
        low, low_at, high, high_at, _ = EqTables(self._point).arguments(self._variables - 1)
        values = []
        for meeting in self._meetings:
            block, size = (n // (self.entries * BLOCK) for n in (meeting.near.start, len(meeting.near.first)))
            values.append(self.first(meeting, (low, low_at, high, high_at + block), size))
        at0, square = (ext_dot(terms, [ONE] * len(values)) for terms in zip(*values, strict=True))
        self._polynomial = quadratic(at0, square, self._target, self._point[0])
        return self._polynomial

    def bind(self, challenge: Ext) -> None:
        """After the first round: prepares the tables, which the next round fills as it needs them."""
        if self._rest is not None:
            self._rest.bind(challenge)
            return
        tables, kernel, arguments = self.tables(challenge)
        known = [arguments(meeting) for meeting in self._meetings]
        starts = [meeting.near.start // self.entries for meeting in self._meetings]
        ends = [start + len(m.near.first) // self.entries for start, m in zip(starts, self._meetings, strict=True)]

        def fill(start: int, stop: int) -> None:
            """Asked for a few places at a time, of a few meetings."""
            for i in range(bisect_right(starts, start) - 1, bisect_left(starts, stop)):
                first, last = max(start, starts[i]) - starts[i], min(stop, ends[i]) - starts[i]
                kernel(*known[i], tables.flat, tables.stride, starts[i], first // LANES, last // LANES)

        self._rest = self.after(tables, self._point[1:], ext_polynomial(self._polynomial, challenge), fill)

    def values(self) -> list[Ext]:
        assert self._rest is not None
        return self._rest.values()

    def joinable(self) -> tuple[Joinable, Ext] | None:
        return None if self._rest is None else self._rest.joinable()


class LeafRounds(ColumnRounds):
    """The sumcheck of the leaves, all numerators being 1: lambda is not zero.

    The claim is (sum of eq (1 + lambda q0) (1 + lambda q1) - 1) / lambda: one product instead of two.
    """

    entries = 2

    def __init__(self, meetings: Sequence[Meeting], variables: int, point: Point, lambda_: Ext, claim: Ext) -> None:
        super().__init__(meetings, variables, point, ext_add(ONE, ext_mul(lambda_, claim)))
        self._lambda, self._inverse = lambda_, ext_inv(lambda_)

    def first(self, meeting: Meeting, weights: tuple[Floats, int, Floats, int], blocks: int) -> tuple[Ext, Ext]:
        """From sums over base elements: 1 + lambda q = s - lambda (a + g d), s = 1 + lambda c."""
        near, far = meeting.near, meeting.far
        grain = max(1, FEW_PLACES // BLOCK)
        found = add_parts(split(column_kernels.leaf_sums, blocks, grain, *near.columns, *far.columns, *weights))
        weight = far.weight if far.wide else near.weight
        weighed, by = ext_mul(weight, weight), self._lambda
        square = ext_mul(by, by)
        shift = ext_add(ONE, ext_mul(by, near.constant))
        linear = ext_add(found[0], ext_mul(weight, found[4]))
        product = ext_dot(found[1:2] + found[5:7], (ONE, weight, weighed))
        at0 = ext_dot((found[10], linear, product), (ext_mul(shift, shift), ext_neg(ext_mul(shift, by)), square))
        gap = ext_sub(far.constant, near.constant)
        linear = ext_add(found[2], ext_mul(weight, found[7]))
        product = ext_dot(found[3:4] + found[8:10], (ONE, weight, weighed))
        total = ext_dot((found[10], linear, product), (ext_mul(gap, gap), ext_neg(gap), ONE))
        return at0, ext_mul(square, total)

    def sums(self) -> Polynomial:
        at0, linear, square = super().sums()
        return [ext_mul(self._inverse, c) for c in (ext_sub(at0, ONE), linear, square)]

    def tables(self, challenge: Ext) -> tuple[FactorTables, Callable[..., Any], Callable[[Meeting], tuple[Any, ...]]]:
        by = self._lambda
        bound = ext_mul(by, challenge)

        def arguments(meeting: Meeting) -> tuple[Any, ...]:
            near, far = meeting.near, meeting.far
            weight = far.weight if far.wide else near.weight
            gap = ext_mul(bound, ext_sub(far.constant, near.constant))
            known = ext_add(ext_add(ONE, ext_mul(by, near.constant)), gap)
            constants = packed(known, by, bound, ext_mul(by, weight), ext_mul(bound, weight))
            return (*near.columns, *far.columns, constants)

        return FactorTables(2, self._variables - 1), column_kernels.leaf_fold, arguments

    def after(self, tables: FactorTables, point: Point, target: Ext, fill: Callable[[int, int], None]) -> ProductRounds:
        return ProductRounds(tables, point, target, fill=fill)

    def values(self) -> list[Ext]:
        q0, q1 = (ext_mul(self._inverse, ext_sub(value, ONE)) for value in super().values())
        return [ONE, ONE, q0, q1]

    def joinable(self) -> tuple[Joinable, Ext] | None:
        found = super().joinable()
        return None if found is None else (found[0], ext_mul(self._inverse, found[1]))


class NodeRounds(ColumnRounds):
    """The sumcheck of layer 1, (p0 + lambda q0) q1 + p1 q0, of fractions that are computed where they are needed."""

    entries = 4

    def __init__(self, meetings: Sequence[Meeting], variables: int, point: Point, lambda_: Ext, claim: Ext) -> None:
        super().__init__(meetings, variables, point, claim)
        self._lambda = lambda_

    def first(self, meeting: Meeting, weights: tuple[Floats, int, Floats, int], blocks: int) -> tuple[Ext, Ext]:
        grain = max(1, FEW_PLACES // BLOCK)
        arguments = (*self._runs(meeting), packed(self._lambda), *weights)
        at0, square = add_parts(split(column_kernels.node_sums, blocks, grain, *arguments))
        return at0, square

    def tables(self, challenge: Ext) -> tuple[FactorTables, Callable[..., Any], Callable[[Meeting], tuple[Any, ...]]]:
        def arguments(meeting: Meeting) -> tuple[Any, ...]:
            return (*self._runs(meeting), packed(self._lambda), packed(challenge))

        return FactorTables(FACTORS, self._variables - 1), column_kernels.node_fold, arguments

    def after(self, tables: FactorTables, point: Point, target: Ext, fill: Callable[[int, int], None]) -> ProductRounds:
        return LayerRounds(tables, point, self._lambda, target, fill=fill)

    def _runs(self, meeting: Meeting) -> Iterator[Any]:
        near, far = meeting.near, meeting.far
        yield from (*near.columns, near.constants, *far.columns, far.constants)
