"""The trees of fractions of a lookup argument, and the sumchecks of their layers.

Where all numerators are 1, as at the leaves of full stacks of entries, a layer's claim

    sum of eq (q0 + q1 + lambda q0 q1)  =  (sum of eq (1 + lambda q0) (1 + lambda q1)  -  1) / lambda

is one product instead of two, and the numerators are never stored. Other layers are the two products
(p0 + lambda q0) q1 + p1 q0.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from zkinfer.jit.threads import split
from zkinfer.protocol.field.kernels.arrays import GRAIN, balance_ext, from_ints
from zkinfer.protocol.field.kernels.vector import LANES
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import (
    ONE,
    ZERO,
    Ext,
    ext_add,
    ext_between,
    ext_inv,
    ext_mul,
    ext_polynomial,
    ext_sub,
    quadratic,
)
from zkinfer.protocol.lookup import kernels
from zkinfer.protocol.lookup.params import Stack
from zkinfer.protocol.lookup.witness import Fraction
from zkinfer.protocol.sumcheck.params import Point, Polynomial
from zkinfer.protocol.sumcheck.rounds import (
    FEW_PLACES,
    EqTables,
    ProductRounds,
    add_parts,
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
    """A layer as the tables of its sumcheck, which proving overwrites.

    Attributes:
        tables: p0, q1, p1, q0; or q0, q1 if all numerators are 1.
    """

    def __init__(self, tables: FactorTables) -> None:
        self.tables = tables
        self.unit = tables.factors == 2

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
            child = (self.tables.flat, self.tables.stride, self.unit)
            grain = max(1, GRAIN // (2 * LANES))
            split(kernels.next_layer, places // (2 * LANES), grain, *child, out.flat, out.stride)
        return TableLayer(out)

    def children(self, x: int) -> tuple[Fraction, Fraction]:
        values = self.tables.values_at(x)
        if self.unit:
            return (ONE, values[0]), (ONE, values[1])
        p0, q1, p1, q0 = values
        return (p0, q0), (p1, q1)

    def rounds(self, point: Point, lambda_: Ext, claim: Ext) -> Rounds:
        if not self.unit:
            return LayerRounds(self.tables, point, lambda_, claim)
        if lambda_ != ZERO:
            _over_places(kernels.combine_unit, self.tables, lambda_)
            return UnitLayerRounds(self.tables, point, lambda_, unit_target(lambda_, claim))
        q0, q1 = self.tables.factor(0), self.tables.factor(1)
        ones = np.zeros_like(q0)
        ones[0] = 1.0
        return LayerRounds(FactorTables.of([ones, q1, ones, q0]), point, lambda_, claim)


class UnitColumn:
    """Leaves 1 / (constant - entry) for the entries of one column: nothing but the column is stored.

    1 + lambda q0 and 1 + lambda q1 are c - lambda * entry, so that the first polynomial follows from sums over base
    elements. Only then are tables made, of half the size.

    Args:
        column: base elements, 2^(variables + 1) of them, at least `SMALLEST`.
        constant: what entries are subtracted from.
    """

    SMALLEST = 8 * LANES

    def __init__(self, column: Floats, constant: Ext) -> None:
        self.column = column
        self.constant = constant

    @property
    def variables(self) -> int:
        return len(self.column).bit_length() - 2

    def above(self) -> TableLayer:
        out = FactorTables(4, self.variables - 1)
        groups = 1 << self.variables - 1
        constants = (*balance_ext(self.constant), *balance_ext(ext_mul(self.constant, self.constant)))
        split(kernels.unit_column_layer, groups // LANES, GRAIN // LANES, self.column, *constants, out.flat, out.stride)
        return TableLayer(out)

    def children(self, x: int) -> tuple[Fraction, Fraction]:
        a, b = (ext_sub(self.constant, (int(v) % P, 0, 0)) for v in self.column[2 * x : 2 * x + 2])
        return (ONE, a), (ONE, b)

    def rounds(self, point: Point, lambda_: Ext, claim: Ext) -> Rounds:
        if lambda_ == ZERO or point[0] == ZERO:
            return self._tables().rounds(point, lambda_, claim)
        return UnitColumnRounds(self, point, lambda_, claim)

    def _tables(self) -> TableLayer:
        tables = FactorTables(2, self.variables)
        _fill(tables, (0, 1), 0, len(self.column), [self.column], [ONE], self.constant)
        return TableLayer(tables)


def add(a: Fraction, b: Fraction) -> Fraction:
    """The sum of two fractions, numerator and denominator."""
    return ext_add(ext_mul(a[0], b[1]), ext_mul(b[0], a[1])), ext_mul(a[1], b[1])


class LayerRounds(ProductRounds):
    """The sumcheck of a layer: (p0 + lambda q0) q1 + p1 q0."""

    def __init__(self, tables: FactorTables, point: Point, lambda_: Ext, claim: Ext) -> None:
        super().__init__(tables, point, claim, mix=lambda_)
        self._lambda = lambda_

    def values(self) -> list[Ext]:
        first, q1, p1, q0 = super().values()
        p0 = first if self._mix is not None else ext_sub(first, ext_mul(self._lambda, q0))
        return [p0, p1, q0, q1]


def unit_target(lambda_: Ext, claim: Ext) -> Ext:
    """The sum of (1 + lambda q0) (1 + lambda q1), given that of q0 + q1 + lambda q0 q1; eq adds up to 1."""
    return ext_add(ONE, ext_mul(lambda_, claim))


class UnitLayerRounds(ProductRounds):
    """The sumcheck of a layer whose numerators are 1, on the tables 1 + lambda q0 and 1 + lambda q1."""

    def __init__(self, tables: FactorTables, point: Point, lambda_: Ext, target: Ext) -> None:
        super().__init__(tables, point, target)
        self._inverse = ext_inv(lambda_)

    def sums(self) -> Polynomial:
        at0, linear, square = super().sums()
        return [ext_mul(self._inverse, c) for c in (ext_sub(at0, ONE), linear, square)]

    def values(self) -> list[Ext]:
        q0, q1 = (ext_mul(self._inverse, ext_sub(value, ONE)) for value in super().values())
        return [ONE, ONE, q0, q1]


class UnitColumnRounds:
    """The sumcheck of a `UnitColumn`; lambda and the first coordinate of the point are not zero."""

    def __init__(self, layer: UnitColumn, point: Point, lambda_: Ext, claim: Ext) -> None:
        self._layer, self._point, self._lambda = layer, point, lambda_
        self._target = unit_target(lambda_, claim)
        self._shift = ext_add(ONE, ext_mul(lambda_, layer.constant))
        self._polynomial: Polynomial = []
        self._rest: UnitLayerRounds | None = None

    def sums(self) -> Polynomial:
        """First (c - lambda a) (c - lambda b) = c^2 - c lambda (a + b) + lambda^2 a b."""
        if self._rest is not None:
            return self._rest.sums()
        half = 1 << self._layer.variables - 1
        weights = EqTables(self._point).arguments(self._layer.variables - 1)
        block = weights[-1]
        parts = split(
            kernels.unit_column_sums, half // block, max(1, FEW_PLACES // block), self._layer.column, half, *weights
        )
        added, multiplied, square = add_parts(parts)
        c, by = self._shift, self._lambda
        at0 = ext_add(ext_mul(c, ext_sub(c, ext_mul(by, added))), ext_mul(ext_mul(by, by), multiplied))
        self._polynomial = quadratic(at0, ext_mul(ext_mul(by, by), square), self._target, self._point[0])
        inverse = ext_inv(by)
        return [ext_mul(inverse, v) for v in (ext_sub(at0, ONE), *self._polynomial[1:])]

    def bind(self, challenge: Ext) -> None:
        """After the first round: makes the tables."""
        if self._rest is not None:
            self._rest.bind(challenge)
            return
        tables = FactorTables(2, self._layer.variables - 1)
        by = self._lambda
        constants = (*balance_ext(self._shift), *balance_ext(by), *balance_ext(ext_mul(by, challenge)))
        groups = (1 << tables.variables) // LANES
        split(
            kernels.unit_column_fold, groups, GRAIN // LANES, self._layer.column, *constants, tables.flat, tables.stride
        )
        self._rest = UnitLayerRounds(tables, self._point[1:], by, ext_polynomial(self._polynomial, challenge))

    def values(self) -> list[Ext]:
        assert self._rest is not None
        return self._rest.values()


def _over_places(kernel: Any, tables: FactorTables, lambda_: Ext) -> None:
    groups = -(-(1 << tables.variables) // LANES)
    split(kernel, groups, GRAIN // LANES, tables.flat, tables.stride, *balance_ext(lambda_))


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
        """The sumcheck of the layer of 2^depth nodes."""
        numerator, denominator = self._fraction
        claim = ext_add(numerator, ext_mul(lambda_, denominator))
        self._rounds = self._layers[depth].rounds(point, lambda_, claim)
        return self._rounds

    def bind(self, child: Ext) -> None:
        """Joins the claims about both children of the layer's nodes."""
        assert self._rounds is not None
        p0, p1, q0, q1 = self._rounds.values()
        self._fraction = ext_between(p0, p1, child), ext_between(q0, q1, child)
        self._rounds = None


def leaves(
    stack: Stack, vectors: Sequence[tuple[Sequence[Floats], Sequence[Ext], Ext]], numerators: Sequence[Floats] | None
) -> TreeLayer | Fraction:
    """The leaves of a tree: numerator over (constant - sum of weight * column) for every element of every vector.

    Args:
        stack: where vectors lie; the cells after them are 0 / 1.
        vectors: for each its columns, the columns' weights, and the constant.
        numerators: for each vector its numerators; None stands for 1.
    """
    unit = numerators is None and stack.filled == 1 << stack.variables
    if stack.variables == 0:
        columns, weights, constant = vectors[0]
        denominator = _denominator(weights, constant, [int(c[0]) for c in columns])
        return (ONE if numerators is None else (int(numerators[0][0]) % P, 0, 0)), denominator
    if unit and (column := _single_column(stack, vectors)) is not None:
        return UnitColumn(column, vectors[0][2])
    tables = FactorTables(2 if unit else 4, stack.variables - 1)
    even, odd = (0, 1) if unit else (3, 1)
    if stack.filled < 1 << stack.variables:
        for k, value in ((0, 0.0), (1, 1.0), (2, 0.0), (3, 1.0)):
            tables.factor(k)[:] = np.array([[value], [0.0], [0.0]])
    for i, (columns, weights, constant) in enumerate(vectors):
        offset, size = stack.offsets[i], 1 << stack.sizes[i]
        _fill(tables, (even, odd), offset, size, columns, weights, constant)
        if not unit:
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
    factors: tuple[int, int],
    offset: int,
    size: int,
    columns: Sequence[Floats],
    weights: Sequence[Ext],
    constant: Ext,
) -> None:
    """Writes a vector's denominators to the tables of even and of odd cells."""
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


def _single_column(stack: Stack, vectors: Sequence[tuple[Sequence[Floats], Sequence[Ext], Ext]]) -> Floats | None:
    """All vectors one after another, if they are columns of one kind and many: the first weight is always 1."""
    columns = [columns for columns, _, _ in vectors]
    alike = all(constant == vectors[0][2] for _, _, constant in vectors) and all(len(c) == 1 for c in columns)
    if not alike or stack.filled < UnitColumn.SMALLEST:
        return None
    if len(columns) == 1:
        return columns[0][0]
    return np.concatenate([columns[i][0] for i in np.argsort(stack.offsets)])
