"""Tables that entries are looked up in, and the multilinear extensions of their columns.

A table is a list of rows of base-field elements. It is filled up to 2^k rows, k least, by repeating the last row, which
adds nothing to the set of rows: an entry that is none of the given rows is none of the table's. Row i of a structured
table follows from i by a rule that lets the verifier evaluate the columns' extensions in time logarithmic in the number
of rows; an explicit table is given row by row and evaluated in linear time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from zkinfer.errors import InvalidInputError
from zkinfer.protocol.field import modular
from zkinfer.protocol.field.encoding import encode_array, encode_base
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ZERO, Ext, ext_add, ext_scale, ext_sub, index_at, threshold_at
from zkinfer.protocol.sumcheck.params import Point
from zkinfer.typing import IntArray

MAX_TABLE_VARIABLES = 24


class LookupTable(Protocol):
    """What lookups need of a table."""

    @property
    def rows(self) -> int:
        """Rows that were given, at least 1; the last is repeated up to 2^k."""

    @property
    def variables(self) -> int:
        """k: the least for which 2^k is not below the number of rows."""

    @property
    def columns(self) -> int:
        """Elements in a row."""

    def column_values(self) -> list[IntArray]:
        """For each column its 2^k canonical elements, in row order, as int64."""

    def evaluate(self, point: Point) -> list[Ext]:
        """For each column the value of its multilinear extension."""

    def description(self) -> bytes:
        """Bytes that only this table has: what a transcript absorbs."""


@dataclass(frozen=True)
class RangeTable:
    """One column, the integers start, start + 1, ..., start + rows - 1 (modulo P)."""

    rows: int
    start: int = 0

    def __post_init__(self) -> None:
        _check_rows(self.rows)

    @property
    def variables(self) -> int:
        return (self.rows - 1).bit_length()

    @property
    def columns(self) -> int:
        return 1

    def column_values(self) -> list[IntArray]:
        return [(self.start % P + _row_numbers(self.rows)) % P]

    def evaluate(self, point: Point) -> list[Ext]:
        return [_inputs_at(self.rows, self.start, point)]

    def description(self) -> bytes:
        return b"range" + encode_base([self.rows, self.start % P])


@dataclass(frozen=True)
class AffinePiece:
    """For rows i >= first, up to the next piece, the output is offset + slope * i."""

    first: int
    offset: int
    slope: int


@dataclass(frozen=True)
class PiecewiseTable:
    """Two columns: start + i, and a piecewise affine function of i. Steps, ReLU, clamps and absolute values are such.

    Attributes:
        rows: i runs over [0, rows).
        start: the first input; modulo P, so that it may be negative.
        pieces: in increasing order of `first`, the first of them at 0. Cost to the verifier is linear in their number.
    """

    rows: int
    start: int
    pieces: tuple[AffinePiece, ...]

    def __post_init__(self) -> None:
        _check_rows(self.rows)
        firsts = [piece.first for piece in self.pieces]
        if not firsts or firsts[0] != 0 or firsts != sorted(set(firsts)) or firsts[-1] >= self.rows:
            raise InvalidInputError(f"pieces must begin at 0 and at increasing rows of the table, not at {firsts}")

    @property
    def variables(self) -> int:
        return (self.rows - 1).bit_length()

    @property
    def columns(self) -> int:
        return 2

    def column_values(self) -> list[IntArray]:
        numbers = _row_numbers(self.rows)
        piece = np.searchsorted([piece.first for piece in self.pieces], numbers, side="right") - 1
        offsets = np.array([piece.offset % P for piece in self.pieces], dtype=np.int64)
        slopes = np.array([piece.slope % P for piece in self.pieces], dtype=np.int64)
        outputs = (offsets[piece] + modular.mul(slopes[piece], numbers)) % P
        return [(self.start % P + numbers) % P, outputs]

    def evaluate(self, point: Point) -> list[Ext]:
        last = self.pieces[-1]
        repeated = AffinePiece(self.rows, last.offset + last.slope * (self.rows - 1), 0)
        output, offset, slope = ZERO, 0, 0
        for piece in (*self.pieces, repeated):
            indicator, weighted = threshold_at(piece.first, point)
            output = ext_add(output, ext_scale(indicator, (piece.offset - offset) % P))
            output = ext_add(output, ext_scale(weighted, (piece.slope - slope) % P))
            offset, slope = piece.offset, piece.slope
        return [_inputs_at(self.rows, self.start, point), output]

    def description(self) -> bytes:
        pieces = [v % P for piece in self.pieces for v in (piece.first, piece.offset, piece.slope)]
        return b"piecewise" + encode_base([self.rows, self.start % P, len(self.pieces), *pieces])


def step_table(rows: int, start: int, threshold: int) -> PiecewiseTable:
    """x -> [x >= threshold] for x in [start, start + rows); start < threshold < start + rows."""
    return PiecewiseTable(rows, start, (AffinePiece(0, 0, 0), AffinePiece(threshold - start, 1, 0)))


def affine_table(rows: int, start: int, slope: int, offset: int) -> PiecewiseTable:
    """x -> slope * x + offset for x in [start, start + rows)."""
    return PiecewiseTable(rows, start, (AffinePiece(0, offset + slope * start, slope),))


class ExplicitTable:
    """Any rows. Tables of the same rows in the same order are equal.

    Args:
        columns: for each column its elements, integers that fit int64 and are taken modulo P; all of one length, at
            least 1.
    """

    def __init__(self, columns: Sequence[npt.ArrayLike]) -> None:
        given = [np.asarray(column) for column in columns]
        if not given or given[0].size == 0 or any(c.ndim != 1 or len(c) != len(given[0]) for c in given):
            raise InvalidInputError("an explicit table needs columns of one length, and a row")
        if not all(np.can_cast(column.dtype, np.int64) for column in given):
            raise InvalidInputError("an explicit table holds integers that fit int64")
        _check_rows(len(given[0]))
        self.rows = len(given[0])
        fill = (0, (1 << self.variables) - self.rows)
        self._values = [np.pad(column.astype(np.int64) % P, fill, mode="edge") for column in given]
        for column in self._values:
            column.setflags(write=False)
        self._balanced = [_balanced(column) for column in self._values]

    @property
    def variables(self) -> int:
        return (self.rows - 1).bit_length()

    @property
    def columns(self) -> int:
        return len(self._values)

    def column_values(self) -> list[IntArray]:
        return list(self._values)

    def evaluate(self, point: Point) -> list[Ext]:
        split = len(point) // 2
        high, low = modular.eq_table(point[:split]), modular.eq_table(point[split:])
        shape = (1, high.shape[1], low.shape[1])
        lines = (modular.contract(high, column.reshape(shape))[:, 0] for column in self._balanced)
        return [modular.ext_dot(line, low) for line in lines]

    def description(self) -> bytes:
        return self._description

    @cached_property
    def _description(self) -> bytes:
        sizes = b"explicit" + encode_base([self.columns, self.rows])
        return b"".join((sizes, *(encode_array(column[: self.rows]).tobytes() for column in self._values)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ExplicitTable) and self.description() == other.description()

    def __hash__(self) -> int:
        return hash(self._description)


def _balanced(column: IntArray) -> npt.NDArray[np.signedinteger[Any]]:
    """The integers nearest to zero for canonical elements, in the shortest type: small ones are weighed fast."""
    nearest = np.where(column > P // 2, column - P, column)
    low, high = int(nearest.min()), int(nearest.max())
    kinds = (np.int8, np.int16, np.int32, np.int64)
    shortest = next(kind for kind in kinds if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
    return nearest.astype(shortest)


def _row_numbers(rows: int) -> IntArray:
    """0, 1, ..., rows - 1, the last repeated up to the next power of two."""
    return np.minimum(np.arange(1 << (rows - 1).bit_length(), dtype=np.int64), rows - 1)


def _inputs_at(rows: int, start: int, point: Point) -> Ext:
    """The multilinear extension of start + min(i, rows - 1), at a point."""
    beyond, weighted = threshold_at(rows, point)
    number = ext_add(ext_sub(index_at(point), weighted), ext_scale(beyond, rows - 1))
    return ext_add((start % P, 0, 0), number)


def _check_rows(rows: int) -> None:
    if not 1 <= rows <= 1 << MAX_TABLE_VARIABLES:
        raise InvalidInputError(f"a table has 1 to 2^{MAX_TABLE_VARIABLES} rows, not {rows}")
