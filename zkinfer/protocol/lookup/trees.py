"""The trees of fractions of a lookup argument, and the sumchecks of their layers: (p0 + lambda q0) q1 + p1 q0.

The two lowest layers of full stacks of entries are in `columns`.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from zkinfer.jit.threads import split
from zkinfer.protocol.field.kernels.arrays import GRAIN, balance_ext, from_ints
from zkinfer.protocol.field.kernels.vector import LANES
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import (
    Ext,
    ext_add,
    ext_between,
    ext_mul,
    ext_sub,
)
from zkinfer.protocol.lookup import kernels
from zkinfer.protocol.lookup.params import Stack
from zkinfer.protocol.lookup.witness import Fraction
from zkinfer.protocol.sumcheck.params import Point
from zkinfer.protocol.sumcheck.rounds import (
    ProductRounds,
)
from zkinfer.protocol.sumcheck.tables import FactorTables
from zkinfer.protocol.sumcheck.witness import Rounds
from zkinfer.typing import Floats


class TreeLayer(Protocol):
    """The nodes of one layer of a tree."""

    @property
    def variables(self) -> int:
        """Of its sumcheck: there are 2^(variables + 1) nodes."""

    def above(self) -> "TreeLayer":
        """The layer of half as many nodes; this one has four nodes at least."""

    def children(self, x: int) -> tuple[Fraction, Fraction]:
        """The nodes (x, 0) and (x, 1)."""

    def rounds(self, point: Point, lambda_: Ext, claim: Ext) -> Rounds:
        """The sumcheck of p0 q1 + p1 q0 + lambda q0 q1, weighed by eq(point, x). The layer is used up."""


class TableLayer:
    """A layer as the tables of its sumcheck, p0, q1, p1, q0, which proving overwrites."""

    def __init__(self, tables: FactorTables) -> None:
        self.tables = tables

    @property
    def variables(self) -> int:
        return self.tables.variables

    def above(self) -> "TableLayer":
        places = 1 << self.tables.variables
        out = FactorTables(4, self.tables.variables - 1)
        if places < 2 * LANES:
            nodes = [add(*self.children(x)) for x in range(places)]
            for k, (parity, part) in enumerate(((0, 0), (1, 1), (1, 0), (0, 1))):
                values = [fraction[part] for fraction in nodes[parity::2]]
                out.factor(k)[:] = from_ints(np.array(values, dtype=np.int64).T)
        else:
            child, grain = (self.tables.flat, self.tables.stride), max(1, GRAIN // (2 * LANES))
            split(kernels.next_layer, places // (2 * LANES), grain, *child, out.flat, out.stride)
        return TableLayer(out)

    def children(self, x: int) -> tuple[Fraction, Fraction]:
        p0, q1, p1, q0 = self.tables.values_at(x)
        return (p0, q0), (p1, q1)

    def rounds(self, point: Point, lambda_: Ext, claim: Ext) -> Rounds:
        return LayerRounds(self.tables, point, lambda_, claim, mix=lambda_)


def add(a: Fraction, b: Fraction) -> Fraction:
    """The sum of two fractions, numerator and denominator."""
    return ext_add(ext_mul(a[0], b[1]), ext_mul(b[0], a[1])), ext_mul(a[1], b[1])


class LayerRounds(ProductRounds):
    """The sumcheck of a layer: (p0 + lambda q0) q1 + p1 q0.

    Args:
        tables: p0, q1, p1, q0; or, without `mix`, p0 + lambda q0 in place of p0.
        mix, fill: as for `ProductRounds`.
    """

    def __init__(
        self,
        tables: FactorTables,
        point: Point,
        lambda_: Ext,
        claim: Ext,
        *,
        mix: Ext | None = None,
        fill: Callable[[int, int], None] | None = None,
    ) -> None:
        super().__init__(tables, point, claim, mix, fill)
        self._lambda = lambda_

    def values(self) -> list[Ext]:
        first, q1, p1, q0 = super().values()
        p0 = first if self._mix is not None else ext_sub(first, ext_mul(self._lambda, q0))
        return [p0, p1, q0, q1]


class KernelTree:
    """A tree of fractions in kernels; implements `witness.FractionTree`.

    Attributes:
        root: the sum of all leaves.
    """

    def __init__(self, leaves: TreeLayer | Fraction) -> None:
        self._layers: list[TreeLayer] = []
        self._rounds: Rounds | None = None
        if isinstance(leaves, tuple):
            self.root = leaves
        else:
            self._layers = [leaves]
            while self._layers[0].variables:
                self._layers.insert(0, self._layers[0].above())
            self.root = add(*self._layers[0].children(0))
        self._fraction = self.root

    def rounds(self, depth: int, point: Point, lambda_: Ext) -> Rounds:
        """The sumcheck of the layer of 2^depth nodes: the uppermost that is left, which the tree then gives up."""
        layer = self._layers.pop(0)
        assert layer.variables == depth, "layers are asked for from the root down"
        numerator, denominator = self._fraction
        self._rounds = layer.rounds(point, lambda_, ext_add(numerator, ext_mul(lambda_, denominator)))
        return self._rounds

    def bind(self, child: Ext) -> None:
        """Joins the claims about both children of the layer's nodes."""
        assert self._rounds is not None
        p0, p1, q0, q1 = self._rounds.values()
        self._fraction = ext_between(p0, p1, child), ext_between(q0, q1, child)
        self._rounds = None


def single_leaf(columns: Sequence[Floats], weights: Sequence[Ext], constant: Ext, numerator: int) -> Fraction:
    """The leaf of a stack of one cell."""
    return (numerator % P, 0, 0), _denominator(weights, constant, [int(column[0]) for column in columns])


def table_leaves(
    stack: Stack, vectors: Sequence[tuple[Sequence[Floats], Sequence[Ext], Ext]], numerators: Sequence[Floats] | None
) -> TableLayer:
    """The leaves of a tree: numerator over (constant - sum of weight * column) for every element of every vector.

    Args:
        stack: where vectors lie, two cells at least; the cells after them are 0 / 1.
        vectors: for each its columns, the columns' weights, and the constant.
        numerators: for each vector its numerators; None stands for 1.
    """
    tables = FactorTables(4, stack.variables - 1)
    if stack.filled < 1 << stack.variables:
        for k, value in ((0, 0.0), (1, 1.0), (2, 0.0), (3, 1.0)):
            tables.factor(k)[:] = np.array([[value], [0.0], [0.0]])
    for i, (columns, weights, constant) in enumerate(vectors):
        offset, size = stack.offsets[i], 1 << stack.sizes[i]
        _fill(tables, offset, size, columns, weights, constant)
        ones = np.ones(size) if numerators is None else numerators[i]
        for k, parity in ((0, 0), (2, 1)):
            _cells(tables.factor(k), offset, size, parity)[0] = ones[_first(offset, parity) :: 2]
            _cells(tables.factor(k), offset, size, parity)[1:] = 0.0
    return TableLayer(tables)


def _first(offset: int, parity: int) -> int:
    """The first place of a vector at `offset` whose cell has this parity."""
    return (parity - offset) % 2


def _cells(table: Floats, offset: int, size: int, parity: int) -> Floats:
    """The part of a table of even or odd cells that belongs to the cells offset, ..., offset + size - 1."""
    first = offset + _first(offset, parity)
    return table[:, first // 2 : (offset + size + 1 - parity) // 2]


def _denominator(weights: Sequence[Ext], constant: Ext, row: Sequence[int]) -> Ext:
    for weight, value in zip(weights, row, strict=True):
        constant = ext_sub(constant, ext_mul(weight, (value % P, 0, 0)))
    return constant


def _fill(
    tables: FactorTables,
    offset: int,
    size: int,
    columns: Sequence[Floats],
    weights: Sequence[Ext],
    constant: Ext,
) -> None:
    """Writes a vector's denominators to the tables of even and of odd cells."""
    factors = (3, 1)
    if size < 2 * LANES:
        for place in range(size):
            denominator = _denominator(weights, constant, [int(column[place]) for column in columns])
            cell = offset + place
            tables.factor(factors[cell % 2])[:, cell // 2] = balance_ext(denominator)
        return
    for k in factors:
        tables.factor(k)[:, offset // 2 : (offset + size) // 2] = np.array(balance_ext(constant))[:, None]
    at_even, at_odd = (3 * k * tables.stride + offset // 2 for k in factors)
    for column, weight in zip(columns, weights, strict=True):
        w, buffer = balance_ext(weight), (tables.flat, at_even, at_odd, tables.stride)
        split(kernels.add_column, size // (2 * LANES), GRAIN // (2 * LANES), column, *w, *buffer)
