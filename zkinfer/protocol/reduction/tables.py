"""From a program's table to what the lookup argument needs: a table of (index, output).

A lookup x -> table[(x + half) >> shift] is proven with the index, the output and the remainder's limbs. The pair
(index, output) is a row of the table exactly if the index is in [lo, hi] and the output is the table's; every limb is
in the range of its bits, see `circuit.limbs`. Prover and verifier derive both from the program, hence from nothing that
a prover sends.
"""

from functools import lru_cache

import numpy as np

from zkinfer.circuit.table import Table
from zkinfer.errors import BoundsError
from zkinfer.protocol.field.params import P
from zkinfer.protocol.lookup.tables import AffinePiece, ExplicitTable, PiecewiseTable, RangeTable
from zkinfer.protocol.lookup.tables import LookupTable as LookupTable
from zkinfer.typing import IntArray

MAX_PIECES = 8
"""Most affine pieces that are evaluated piece by piece; a function of more is given row by row."""

_CACHED_TABLES = 64
_LARGEST = P // 2
"""Integers from -(P // 2) to P // 2 are different field elements."""


@lru_cache(maxsize=_CACHED_TABLES)
def lookup_table(table: Table) -> tuple[LookupTable, bool]:
    """The table that entries are looked up in, and whether one column is index and output at once.

    Returns:
        A range over [lo, hi] and True if every output is its index. Otherwise a table of two columns, index and output,
        and False: piecewise affine where at most `MAX_PIECES` pieces do, else row by row.

    Raises:
        BoundsError: an index or output is larger than half of the field, where integers and elements part.
    """
    values, rows = table.array, len(table.values)
    if max(-table.lo, table.hi, -int(values.min()), int(values.max())) > _LARGEST:
        raise BoundsError(
            f"table {table.name!r} has an index or output beyond {_LARGEST}, half of the native prover's field; "
            "compile with fewer bits"
        )
    indices = np.arange(table.lo, table.hi + 1, dtype=np.int64)
    if np.array_equal(values, indices):
        return RangeTable(rows, table.lo), True
    pieces = _affine_pieces(values)
    if len(pieces) <= MAX_PIECES:
        return PiecewiseTable(rows, table.lo, tuple(pieces)), False
    return ExplicitTable((indices, values)), False


def _affine_pieces(values: IntArray) -> list[AffinePiece]:
    """The fewest affine pieces that make up the values, or the first `MAX_PIECES + 1` of them.

    Each piece is as long as it can be, which makes their number least: a part of an affine piece is affine, so no
    other division has its k-th piece end later.
    """
    rows = len(values)
    breaks = np.flatnonzero(np.diff(values, 2)) + 2  # rows that are not on the line through the two rows before
    pieces: list[AffinePiece] = []
    first = 0
    while first < rows and len(pieces) <= MAX_PIECES:
        following = breaks[np.searchsorted(breaks, first + 2) :]
        end = int(following[0]) if len(following) else rows
        slope = int(values[first + 1] - values[first]) if end - first > 1 else 0
        pieces.append(AffinePiece(first, int(values[first]) - slope * first, slope))
        first = end
    return pieces
