"""The witness of a lookup argument in plain Python: the oracle of the kernels, message for message."""

import random
from collections.abc import Sequence

from support.plain_sumcheck import PlainRounds

from zkinfer.errors import InvalidInputError
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import (
    ONE,
    ZERO,
    Ext,
    ext_add,
    ext_from_base,
    ext_mul,
    ext_sub,
    mle,
)
from zkinfer.protocol.lookup.params import EntryStack, LookupInstance, Stack, fingerprint
from zkinfer.protocol.lookup.protocol import layer_batch
from zkinfer.protocol.lookup.witness import Fraction
from zkinfer.protocol.sumcheck.params import Point

Column = Sequence[int]
Fractions = tuple[list[Ext], list[Ext]]
"""Numerators and denominators of a tree's layer."""


def multiplicities(instance: LookupInstance, blocks: Sequence[Sequence[Column]]) -> list[list[int]]:
    """For each table, how often each row is looked up; a row that occurs twice is counted at its first place.

    Args:
        instance: the tables and the shape of the blocks.
        blocks: for each block its columns of canonical elements.

    Raises:
        InvalidInputError: a block has another shape than the instance says, or an entry is in no row of its table.
    """
    check_shapes(instance, blocks)
    counts = [[0] * (1 << table.variables) for table in instance.tables]
    places: list[dict[tuple[int, ...], int]] = []
    for table in instance.tables:
        rows = list(zip(*(column.tolist() for column in table.column_values()), strict=True))
        places.append({row: i for i, row in reversed(list(enumerate(rows)))})
    for number, (block, columns) in enumerate(zip(instance.blocks, blocks, strict=True)):
        for position, entry in enumerate(zip(*columns, strict=True)):
            place = places[block.table].get(tuple(entry))
            if place is None:
                raise InvalidInputError(f"entry {position} of block {number}, {entry}, is not in table {block.table}")
            counts[block.table][place] += 1
    return counts


def random_blocks(instance: LookupInstance, seed: int) -> list[list[list[int]]]:
    """For each block its columns, every entry a row of the block's table."""
    rng = random.Random(seed)
    rows = [list(zip(*(c.tolist() for c in table.column_values()), strict=True)) for table in instance.tables]
    chosen = [[rng.choice(rows[b.table]) for _ in range(1 << b.variables)] for b in instance.blocks]
    return [[list(column) for column in zip(*entries, strict=True)] for entries in chosen]


def check_shapes(instance: LookupInstance, blocks: Sequence[Sequence[Column]]) -> None:
    """Raises InvalidInputError unless the blocks are of the shapes that the instance says."""
    if len(blocks) != len(instance.blocks):
        raise InvalidInputError(f"the lookup has {len(instance.blocks)} blocks, not {len(blocks)}")
    for number, (block, columns) in enumerate(zip(instance.blocks, blocks, strict=True)):
        if len(columns) != instance.tables[block.table].columns:
            raise InvalidInputError(f"block {number} needs the columns of table {block.table}, not {len(columns)}")
        if any(len(column) != 1 << block.variables for column in columns):
            raise InvalidInputError(f"the columns of block {number} must have 2^{block.variables} entries")


def check_counts(instance: LookupInstance, counts: Sequence[Column]) -> None:
    """Raises InvalidInputError unless the multiplicities fit the tables and are canonical: at least 0 and below P."""
    if [len(c) for c in counts] != [1 << table.variables for table in instance.tables]:
        raise InvalidInputError("multiplicities must have one number for each row of each table")
    if any(not 0 <= int(m) < P for c in counts for m in c):
        raise InvalidInputError("a multiplicity is not in [0, P)")


class PlainWitness:
    """Entries and multiplicities as integers; implements `witness.LookupWitness`.

    Args:
        instance: the tables and the shape of the blocks.
        blocks: for each block its columns of canonical elements.
        counts: what `multiplicities` gives.

    Raises:
        InvalidInputError: the shapes are not those of the instance, or a multiplicity is not canonical.
    """

    def __init__(self, instance: LookupInstance, blocks: Sequence[Sequence[Column]], counts: Sequence[Column]) -> None:
        check_shapes(instance, blocks)
        check_counts(instance, counts)
        self._instance, self._blocks, self._counts = instance, blocks, counts

    def trees(self, alpha: Ext, gamma: Ext) -> list["PlainTree"]:
        """The trees of all stacks."""
        instance = self._instance
        leaves = [entry_leaves(instance, entries, self._blocks, alpha, gamma) for entries in instance.entries]
        return [PlainTree(tree(one)) for one in (*leaves, row_leaves(instance, self._counts, alpha, gamma))]

    def block_values(self, number: int, point: Point) -> list[Ext]:
        """For each column of a block the value of its multilinear extension."""
        return [mle([ext_from_base(int(v)) for v in column], point) for column in self._blocks[number]]

    def multiplicity_value(self, table: int, point: Point) -> Ext:
        """The value of the multilinear extension of a table's multiplicities."""
        return mle([ext_from_base(int(m)) for m in self._counts[table]], point)


class PlainTree:
    """A tree as the list of its layers, the root first; implements `witness.FractionTree`."""

    def __init__(self, layers: Sequence[Fractions]) -> None:
        self._layers = layers

    @property
    def root(self) -> Fraction:
        """The sum of all leaves."""
        numerators, denominators = self._layers[0]
        return numerators[0], denominators[0]

    def rounds(self, depth: int, point: Point, lambda_: Ext) -> PlainRounds:
        """The sumcheck of the layer of 2^depth nodes."""
        p, q = self._layers[depth + 1]
        (instance,) = layer_batch(lambda_, point, (depth,)).instances
        return PlainRounds(instance, (p[::2], p[1::2], q[::2], q[1::2]), point)

    def bind(self, child: Ext) -> None:
        """Nothing depends on it: every layer is stored."""


def entry_leaves(
    instance: LookupInstance, entries: EntryStack, blocks: Sequence[Sequence[Column]], alpha: Ext, gamma: Ext
) -> Fractions:
    """1 / (alpha - f(e)) for every entry e of a stack, and 0 / 1 after the last."""
    fractions = neutral(entries.stack)
    for number, offset in zip(entries.blocks, entries.stack.offsets, strict=True):
        weights, constant = instance.fingerprint_weights(gamma, instance.blocks[number].table)
        for i, entry in enumerate(zip(*blocks[number], strict=True)):
            fractions[0][offset + i] = ONE
            row = fingerprint([ext_from_base(int(v)) for v in entry], weights, constant)
            fractions[1][offset + i] = ext_sub(alpha, row)
    return fractions


def row_leaves(instance: LookupInstance, counts: Sequence[Column], alpha: Ext, gamma: Ext) -> Fractions:
    """m(t) / (alpha - f(t)) for every row t, and 0 / 1 after the last."""
    stack = instance.rows
    fractions = neutral(stack)
    for number, (table, offset) in enumerate(zip(instance.tables, stack.offsets, strict=True)):
        weights, constant = instance.fingerprint_weights(gamma, number)
        for i, entry in enumerate(zip(*(column.tolist() for column in table.column_values()), strict=True)):
            fractions[0][offset + i] = ext_from_base(int(counts[number][i]))
            row = fingerprint([ext_from_base(v) for v in entry], weights, constant)
            fractions[1][offset + i] = ext_sub(alpha, row)
    return fractions


def neutral(stack: Stack) -> Fractions:
    """The fraction 0 / 1 in every cell."""
    return [ZERO] * (1 << stack.variables), [ONE] * (1 << stack.variables)


def tree(leaves: Fractions) -> list[Fractions]:
    """All layers, the root first."""
    layers = [leaves]
    while len(layers[0][0]) > 1:
        p, q = layers[0]
        pairs = range(0, len(p), 2)
        numerators = [ext_add(ext_mul(p[i], q[i + 1]), ext_mul(p[i + 1], q[i])) for i in pairs]
        layers.insert(0, (numerators, [ext_mul(q[i], q[i + 1]) for i in pairs]))
    return layers
