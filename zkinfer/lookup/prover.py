"""The prover of a lookup argument, with numba: the messages are those of `slow`, element for element.

Where all numerators are 1, as at the leaves of full stacks of entries, a layer's claim

    sum of eq (q0 + q1 + lambda q0 q1)  =  (sum of eq (1 + lambda q0) (1 + lambda q1)  -  1) / lambda

is one product instead of two, and the numerators are never stored. Other layers are the two products
(p0 + lambda q0) q1 + p1 q0.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from zkinfer.errors import InvalidInputError
from zkinfer.field.arrays import GRAIN, Floats, balance_ext, from_ints
from zkinfer.field.fold import mle
from zkinfer.field.params import P
from zkinfer.field.slow import ONE, ZERO, Ext, ext_add, ext_inv, ext_mul, ext_sub
from zkinfer.field.threads import split
from zkinfer.field.vector import LANES
from zkinfer.lookup import kernels
from zkinfer.lookup.params import LookupClaims, LookupInstance, Stack
from zkinfer.lookup.slow import send_roots
from zkinfer.lookup.tables import Table
from zkinfer.lookup.verifier import layer_batch
from zkinfer.sumcheck.channel import ProverChannel
from zkinfer.sumcheck.params import Claim, Point
from zkinfer.sumcheck.prover import prove_rounds
from zkinfer.sumcheck.rounds import ProductRounds
from zkinfer.sumcheck.slow import Polynomial
from zkinfer.sumcheck.tables import Tables, first_ext

Integers = npt.NDArray[np.int64]
Fraction = tuple[Ext, Ext]


class Layer:
    """The nodes of one layer of a tree, as the tables of its sumcheck; proving overwrites them.

    Attributes:
        tables: p0, q1, p1, q0; or q0, q1 if all numerators are 1.
    """

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.unit = tables.factors == 2

    def above(self) -> "Layer":
        """The layer of half as many nodes; this one has four nodes at least."""
        places = 1 << self.tables.variables
        out = Tables(4, self.tables.variables - 1)
        if places < 2 * LANES:
            nodes = [add(*self.children(x)) for x in range(places)]
            for k, (parity, part) in enumerate(((0, 0), (1, 1), (1, 0), (0, 1))):
                values = [fraction[part] for fraction in nodes[parity::2]]
                out.factor(k)[:] = from_ints(np.array(values, dtype=np.int64).T)
        else:
            child = (self.tables.flat, self.tables.stride, self.unit)
            grain = max(1, GRAIN // (2 * LANES))
            split(kernels.next_layer, places // (2 * LANES), grain, *child, out.flat, out.stride)
        return Layer(out)

    def children(self, x: int) -> tuple[Fraction, Fraction]:
        """The children (x, 0) and (x, 1)."""
        values = [first_ext(self.tables.factor(k)[:, x:]) for k in range(self.tables.factors)]
        if self.unit:
            return (ONE, values[0]), (ONE, values[1])
        p0, q1, p1, q0 = values
        return (p0, q0), (p1, q1)


def add(a: Fraction, b: Fraction) -> Fraction:
    """The sum of two fractions, numerator and denominator."""
    return ext_add(ext_mul(a[0], b[1]), ext_mul(b[0], a[1])), ext_mul(a[1], b[1])


class LayerRounds(ProductRounds):
    """The sumcheck of a layer: (p0 + lambda q0) q1 + p1 q0."""

    def __init__(self, layer: Layer, point: Point, lambda_: Ext, claim: Ext) -> None:
        _over_places(kernels.combine, layer.tables, lambda_)
        super().__init__(layer.tables, point, claim)
        self._lambda = lambda_

    def values(self) -> list[Ext]:
        combined, q1, p1, q0 = super().values()
        return [ext_sub(combined, ext_mul(self._lambda, q0)), p1, q0, q1]


class UnitLayerRounds(ProductRounds):
    """The sumcheck of a layer whose numerators are 1; lambda is not zero."""

    def __init__(self, layer: Layer, point: Point, lambda_: Ext, claim: Ext) -> None:
        _over_places(kernels.combine_unit, layer.tables, lambda_)
        super().__init__(layer.tables, point, ext_add(ONE, ext_mul(lambda_, claim)))
        self._inverse = ext_inv(lambda_)

    def sums(self) -> Polynomial:
        at0, linear, square = super().sums()
        return [ext_mul(self._inverse, c) for c in (ext_sub(at0, ONE), linear, square)]

    def values(self) -> list[Ext]:
        q0, q1 = (ext_mul(self._inverse, ext_sub(value, ONE)) for value in super().values())
        return [ONE, ONE, q0, q1]


def _over_places(kernel: Any, tables: Tables, lambda_: Ext) -> None:
    groups = -(-(1 << tables.variables) // LANES)
    split(kernel, groups, GRAIN // LANES, tables.flat, tables.stride, *balance_ext(lambda_))


def layer_rounds(layer: Layer, point: Point, lambda_: Ext, claim: Ext) -> ProductRounds:
    """The rounds of a layer's sumcheck."""
    if not layer.unit:
        return LayerRounds(layer, point, lambda_, claim)
    if lambda_ != ZERO:
        return UnitLayerRounds(layer, point, lambda_, claim)
    q0, q1 = layer.tables.factor(0), layer.tables.factor(1)
    ones = np.ones(q0.shape[1])
    return LayerRounds(Layer(Tables.of([ones, q1, ones, q0])), point, lambda_, claim)


class Tree:
    """A tree of fractions.

    Attributes:
        root: the sum of all leaves.
        layers: by depth; `layers[d]` is what the sumcheck over d variables is about.
    """

    def __init__(self, leaves: Layer | Fraction) -> None:
        self.layers: list[Layer] = []
        if isinstance(leaves, tuple):
            self.root = leaves
            return
        self.layers = [leaves]
        while self.layers[0].tables.variables:
            self.layers.insert(0, self.layers[0].above())
        self.root = add(*self.layers[0].children(0))


def leaves(
    stack: Stack, vectors: Sequence[tuple[Sequence[Floats], Sequence[Ext], Ext]], numerators: Sequence[Floats] | None
) -> Layer | Fraction:
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
    tables = Tables(2 if unit else 4, stack.variables - 1)
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
    return Layer(tables)


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
    tables: Tables,
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


def prove(
    instance: LookupInstance,
    blocks: Sequence[Sequence[Floats]],
    counts: Sequence[Floats],
    channel: ProverChannel,
) -> LookupClaims[Ext]:
    """Proves that every entry is a row of its table; the messages are those of `verifier`.

    Args:
        instance: the tables and the shape of the blocks.
        blocks: for each block its columns, base vectors of balanced float64.
        counts: what `multiplicities` gives.
        channel: commitments to blocks and counts must have been absorbed.

    Returns:
        What is left to prove: evaluations of columns and multiplicities.

    Raises:
        InvalidInputError: the shapes are not those of the instance.
        ZeroDenominatorError: alpha is a fingerprint.
    """
    check_shapes(instance, blocks)
    if [len(c) for c in counts] != [1 << table.variables for table in instance.tables]:
        raise InvalidInputError("multiplicities must have one number for each row of each table")
    channel.absorb("lookup", instance.description())
    alpha, gamma = channel.challenge("lookup alpha"), channel.challenge("lookup gamma")
    fingerprints = [instance.fingerprint_weights(gamma, table) for table in range(len(instance.tables))]
    entries = [
        (columns, fingerprints[block.table][0], ext_sub(alpha, fingerprints[block.table][1]))
        for block, columns in zip(instance.blocks, blocks, strict=True)
    ]
    rows = [
        (table_columns(table), weights, ext_sub(alpha, constant))
        for table, (weights, constant) in zip(instance.tables, fingerprints, strict=True)
    ]
    trees = [Tree(leaves(instance.entries, entries, None)), Tree(leaves(instance.rows, rows, counts))]
    send_roots([tree.root for tree in trees], channel)
    point = prove_trees((instance.entries, instance.rows), trees, channel)
    return send_values(instance, blocks, counts, point, channel)


def prove_trees(stacks: tuple[Stack, ...], trees: Sequence[Tree], channel: ProverChannel) -> Point:
    """From the roots to the leaves; the point at the end of which the leaves' fractions are left to prove."""
    n = max(stack.variables for stack in stacks)
    point: Point = ()
    fractions = [tree.root for tree in trees]
    for layer in range(n):
        active = [i for i, stack in enumerate(stacks) if layer >= n - stack.variables]
        depths = tuple(layer - (n - stacks[i].variables) for i in active)
        lambda_ = channel.challenge("lookup layer")
        batch = layer_batch(lambda_, point, depths)
        rounds = []
        for i, depth in zip(active, depths, strict=True):
            claim = ext_add(fractions[i][0], ext_mul(lambda_, fractions[i][1]))
            rounds.append(layer_rounds(trees[i].layers[depth], point[layer - depth :], lambda_, claim))
        reduced = prove_rounds(batch, rounds, channel)
        child = channel.challenge("lookup child")
        point = (*max((claim.point for claim in reduced), key=len), child)
        for i, left in zip(active, reduced, strict=True):
            p0, p1, q0, q1 = left.values
            fractions[i] = (_between(p0, p1, child), _between(q0, q1, child))
    return point


def _between(a: Ext, b: Ext, r: Ext) -> Ext:
    return ext_add(a, ext_mul(r, ext_sub(b, a)))


def send_values(
    instance: LookupInstance,
    blocks: Sequence[Sequence[Floats]],
    counts: Sequence[Floats],
    point: Point,
    channel: ProverChannel,
) -> LookupClaims[Ext]:
    """Sends the values of all columns and multiplicities at the end of the point."""
    block_claims = []
    for block, columns in zip(instance.blocks, blocks, strict=True):
        own = point[len(point) - block.variables :]
        values = tuple(mle(column, own) for column in columns)
        channel.send("lookup block", values)
        block_claims.append(Claim(own, values))
    owns = [point[len(point) - table.variables :] for table in instance.tables]
    values = tuple(mle(column, own) for column, own in zip(counts, owns, strict=True))
    channel.send("lookup multiplicities", values)
    claims = tuple(Claim(own, (value,)) for own, value in zip(owns, values, strict=True))
    return LookupClaims(tuple(block_claims), claims)


def check_shapes(instance: LookupInstance, blocks: Sequence[Sequence[Floats]]) -> None:
    """Raises InvalidInputError unless the blocks are base vectors of the shapes that the instance says."""
    shapes = [[column.shape for column in columns] for columns in blocks]
    expected = [[(1 << b.variables,)] * instance.tables[b.table].columns for b in instance.blocks]
    if shapes != expected:
        raise InvalidInputError(f"the blocks' columns must have the shapes {expected}, not {shapes}")


def table_columns(table: Table) -> list[Floats]:
    """A table's columns as base vectors."""
    return [from_ints(column) for column in table.column_values()]


def multiplicities(instance: LookupInstance, blocks: Sequence[Sequence[Floats]]) -> list[Floats]:
    """For each table, how often each row is looked up, as a base vector; of equal rows the first is counted.

    Args:
        instance: the tables and the shape of the blocks.
        blocks: for each block its columns, base vectors of balanced float64.

    Raises:
        InvalidInputError: a block has another shape than the instance says, or an entry is in no row of its table.
    """
    check_shapes(instance, blocks)
    tables = [table_columns(table) for table in instance.tables]
    counts = [np.zeros(len(columns[0])) for columns in tables]
    for number, (block, columns) in enumerate(zip(instance.blocks, blocks, strict=True)):
        rows = tables[block.table]
        places = _places(rows, columns)
        parts = split(kernels.count, len(places), GRAIN, places, len(rows[0]))
        counts[block.table] += np.sum([part[:-1] for part in parts], axis=0)
        if any(part[-1] for part in parts) or not _agree(rows[1:], columns[1:], places):
            raise InvalidInputError(_missing(number, block.table, rows, columns))
    return counts


def _places(rows: Sequence[Floats], columns: Sequence[Floats]) -> Floats:
    """For each entry the first row that equals it, if one does; otherwise anything, maybe no row number.

    Where the first column counts upwards, it gives the row; the other columns are left to compare.
    """
    if np.array_equal(rows[0], rows[0][0] + np.arange(len(rows[0]))):
        places: Floats = columns[0] - rows[0][0]
        return places
    distinct, first = np.unique(np.stack(rows, axis=1), axis=0, return_index=True)
    known = {tuple(row): float(place) for row, place in zip(distinct.tolist(), first, strict=True)}
    entries = zip(*(column.tolist() for column in columns), strict=True)
    return np.array([known.get(entry, -1.0) for entry in entries])


def _agree(rows: Sequence[Floats], columns: Sequence[Floats], places: Floats) -> bool:
    """Whether the rows at these places have these columns."""
    return all(
        all(split(kernels.agree, len(places), GRAIN, places, row_column, column))
        for row_column, column in zip(rows, columns, strict=True)
    )


def _missing(number: int, table: int, rows: Sequence[Floats], columns: Sequence[Floats]) -> str:
    """Which entry of a block is in no row."""
    known = set(zip(*(column.tolist() for column in rows), strict=True))
    for position, entry in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        if entry not in known:
            return f"entry {position} of block {number}, {tuple(map(int, entry))}, is not in table {table}"
    raise AssertionError("every entry is in a row")
