"""The witness of a lookup argument in kernels: it sends the same messages as plain Python would."""

from collections.abc import Sequence

import numpy as np

from zkinfer.errors import InvalidInputError
from zkinfer.jit.threads import split
from zkinfer.protocol.field.kernels.arrays import GRAIN, from_ints, is_balanced
from zkinfer.protocol.field.kernels.fold import mle
from zkinfer.protocol.field.scalar import Ext, ext_sub
from zkinfer.protocol.lookup import kernels
from zkinfer.protocol.lookup.columns import ColumnLeaves, Vectors, made_once_or_twice, runs_of
from zkinfer.protocol.lookup.params import LookupInstance, Stack
from zkinfer.protocol.lookup.tables import LookupTable
from zkinfer.protocol.lookup.trees import KernelTree, TreeLayer, single_leaf, table_leaves
from zkinfer.protocol.lookup.witness import Fraction
from zkinfer.protocol.sumcheck.params import Point
from zkinfer.typing import Floats


class KernelWitness:
    """Entries and multiplicities as base vectors; implements `witness.LookupWitness`.

    Args:
        instance: the tables and the shape of the blocks.
        blocks: for each block its columns, base vectors of balanced float64.
        counts: what `multiplicities` gives.

    Raises:
        InvalidInputError: the shapes are not those of the instance, or a multiplicity is out of range.
    """

    def __init__(self, instance: LookupInstance, blocks: Sequence[Sequence[Floats]], counts: Sequence[Floats]) -> None:
        check_shapes(instance, blocks)
        if [c.shape for c in counts] != [(1 << table.variables,) for table in instance.tables]:
            raise InvalidInputError("multiplicities must have one number for each row of each table")
        if not all(is_balanced(c) and c.min() >= 0 for c in counts):
            raise InvalidInputError("a multiplicity is negative, not an integer, or not below the modulus")
        self._instance, self._blocks, self._counts = instance, blocks, counts

    def trees(self, alpha: Ext, gamma: Ext) -> list[KernelTree]:
        """The trees of all stacks."""
        instance = self._instance
        fingerprints = [instance.fingerprint_weights(gamma, table) for table in range(len(instance.tables))]
        entries = [
            (columns, fingerprints[block.table][0], ext_sub(alpha, fingerprints[block.table][1]))
            for block, columns in zip(instance.blocks, self._blocks, strict=True)
        ]
        rows = [
            (table_columns(table), weights, ext_sub(alpha, constant))
            for table, (weights, constant) in zip(instance.tables, fingerprints, strict=True)
        ]
        trees = [KernelTree(leaves(part.stack, [entries[i] for i in part.blocks], None)) for part in instance.entries]
        return [*trees, KernelTree(leaves(instance.rows, rows, self._counts))]

    def block_values(self, number: int, point: Point) -> list[Ext]:
        """For each column of a block the value of its multilinear extension."""
        return [mle(column, point) for column in self._blocks[number]]

    def multiplicity_value(self, table: int, point: Point) -> Ext:
        """The value of the multilinear extension of a table's multiplicities."""
        return mle(self._counts[table], point)


def leaves(stack: Stack, vectors: Vectors, numerators: Sequence[Floats] | None) -> TreeLayer | Fraction:
    """The leaves of a tree, as `trees.table_leaves` describes them: as columns where that is possible."""
    if stack.variables == 0:
        return single_leaf(*vectors[0], 1 if numerators is None else int(numerators[0][0]))
    runs = None if numerators is not None else runs_of(stack, vectors)
    if runs is None:
        return made_once_or_twice(stack.variables - 1, lambda: table_leaves(stack, vectors, numerators))
    return ColumnLeaves(runs, stack.filled, lambda: table_leaves(stack, vectors, None))


def check_shapes(instance: LookupInstance, blocks: Sequence[Sequence[Floats]]) -> None:
    """Raises InvalidInputError unless the blocks are base vectors of the shapes that the instance says."""
    shapes = [[column.shape for column in columns] for columns in blocks]
    expected = [[(1 << b.variables,)] * instance.tables[b.table].columns for b in instance.blocks]
    if shapes != expected:
        raise InvalidInputError(f"the blocks' columns must have the shapes {expected}, not {shapes}")


def table_columns(table: LookupTable) -> list[Floats]:
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
        rows = [column[: instance.tables[block.table].rows] for column in tables[block.table]]
        places = _places(rows, columns)
        parts = split(kernels.count, len(places), GRAIN, places, len(rows[0]))
        counts[block.table][: len(rows[0])] += np.sum([part[:-1] for part in parts], axis=0)
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
