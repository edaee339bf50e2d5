"""Tables that entries are looked up in, and the multilinear extensions of their columns.

A table is a list of 2^k rows of base-field elements. Row i of a structured table follows from i by a rule that lets
the verifier evaluate the columns' extensions in time logarithmic in the number of rows; an explicit table is given
row by row and evaluated in linear time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from zkinfer.errors import InvalidInputError
from zkinfer.field.encoding import encode_base
from zkinfer.field.params import P
from zkinfer.field.slow import ONE, ZERO, Ext, eq_table, ext_add, ext_dot, ext_mul, ext_scale, ext_sub
from zkinfer.sumcheck.params import Point

MAX_TABLE_VARIABLES = 24

Integers: TypeAlias = npt.NDArray[np.int64]


class Table(Protocol):
    """What lookups need of a table."""

    @property
    def variables(self) -> int:
        """k: there are 2^k rows."""

    @property
    def columns(self) -> int:
        """Elements in a row."""

    def column_values(self) -> list[Integers]:
        """For each column its 2^k canonical elements, in row order, as int64."""

    def evaluate(self, point: Point) -> list[Ext]:
        """For each column the value of its multilinear extension."""

    def description(self) -> bytes:
        """Bytes that only this table has: what a transcript absorbs."""


def index_at(point: Sequence[Ext]) -> Ext:
    """The multilinear extension of i itself, at a point."""
    total = ZERO
    for r in point:
        total = ext_add(ext_add(total, total), r)
    return total


def from_threshold(threshold: int, point: Sequence[Ext]) -> tuple[Ext, Ext]:
    """The multilinear extensions, at a point of n coordinates, of [i >= threshold] and of i [i >= threshold].

    `threshold` is in [0, 2^n]. Built up from the least significant bit: with b the threshold's bit and r the
    coordinate of the same significance s, i >= threshold holds where r > b, or where r = b and it holds below.
    """
    if threshold == 1 << len(point):
        return ZERO, ZERO
    indicator, weighted, index = ONE, ZERO, ZERO
    for position, r in enumerate(reversed(point)):
        significance = 1 << position
        if threshold >> position & 1:
            weighted = ext_mul(r, ext_add(weighted, ext_scale(indicator, significance)))
            indicator = ext_mul(r, indicator)
        else:
            above = ext_add(index, (significance, 0, 0))
            weighted = ext_add(weighted, ext_mul(r, ext_sub(above, weighted)))
            indicator = ext_add(indicator, ext_mul(r, ext_sub(ONE, indicator)))
        index = ext_add(index, ext_scale(r, significance))
    return indicator, weighted


@dataclass(frozen=True)
class RangeTable:
    """One column, the integers start, start + 1, ..., start + 2^variables - 1 (modulo P)."""

    variables: int
    start: int = 0

    def __post_init__(self) -> None:
        _check_variables(self.variables)

    @property
    def columns(self) -> int:
        return 1

    def column_values(self) -> list[Integers]:
        return [_integers(self.variables, self.start)]

    def evaluate(self, point: Point) -> list[Ext]:
        return [ext_add((self.start % P, 0, 0), index_at(point))]

    def description(self) -> bytes:
        return b"range" + encode_base([self.variables, self.start % P])


@dataclass(frozen=True)
class Piece:
    """For rows i >= first, up to the next piece, the output is offset + slope * i."""

    first: int
    offset: int
    slope: int


@dataclass(frozen=True)
class PiecewiseTable:
    """Two columns: start + i, and a piecewise affine function of i. Steps, ReLU, clamps and absolute values are such.

    Attributes:
        variables: i runs over [0, 2^variables).
        start: the first input; modulo P, so that it may be negative.
        pieces: in increasing order of `first`, the first of them at 0. Cost to the verifier is linear in their number.
    """

    variables: int
    start: int
    pieces: tuple[Piece, ...]

    def __post_init__(self) -> None:
        _check_variables(self.variables)
        firsts = [piece.first for piece in self.pieces]
        if not firsts or firsts[0] != 0 or firsts != sorted(set(firsts)) or firsts[-1] >= 1 << self.variables:
            raise InvalidInputError(f"pieces must begin at 0 and at increasing rows of the table, not at {firsts}")

    @property
    def columns(self) -> int:
        return 2

    def column_values(self) -> list[Integers]:
        ends = [piece.first for piece in self.pieces[1:]] + [1 << self.variables]
        outputs = [
            (piece.offset + piece.slope * i) % P
            for piece, end in zip(self.pieces, ends, strict=True)
            for i in range(piece.first, end)
        ]
        return [_integers(self.variables, self.start), np.array(outputs, dtype=np.int64)]

    def evaluate(self, point: Point) -> list[Ext]:
        output, offset, slope = ZERO, 0, 0
        for piece in self.pieces:
            indicator, weighted = from_threshold(piece.first, point)
            output = ext_add(output, ext_scale(indicator, (piece.offset - offset) % P))
            output = ext_add(output, ext_scale(weighted, (piece.slope - slope) % P))
            offset, slope = piece.offset, piece.slope
        return [ext_add((self.start % P, 0, 0), index_at(point)), output]

    def description(self) -> bytes:
        pieces = [v % P for piece in self.pieces for v in (piece.first, piece.offset, piece.slope)]
        return b"piecewise" + encode_base([self.variables, self.start % P, len(self.pieces), *pieces])


def step_table(variables: int, start: int, threshold: int) -> PiecewiseTable:
    """x -> [x >= threshold] for x in [start, start + 2^variables); start < threshold < start + 2^variables."""
    return PiecewiseTable(variables, start, (Piece(0, 0, 0), Piece(threshold - start, 1, 0)))


def affine_table(variables: int, start: int, slope: int, offset: int) -> PiecewiseTable:
    """x -> slope * x + offset for x in [start, start + 2^variables)."""
    return PiecewiseTable(variables, start, (Piece(0, offset + slope * start, slope),))


@dataclass(frozen=True)
class ExplicitTable:
    """Any rows. Fewer than a power of two are filled up by repeating the last, which adds nothing to the set of rows.

    Attributes:
        given: for each column its elements as integers, modulo P; all of one length, at least 1.
    """

    given: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if not self.given or not self.given[0] or any(len(c) != len(self.given[0]) for c in self.given):
            raise InvalidInputError("an explicit table needs columns of one length, and a row")
        _check_variables(self.variables)

    @cached_property
    def variables(self) -> int:
        return (len(self.given[0]) - 1).bit_length()

    @property
    def columns(self) -> int:
        return len(self.given)

    def column_values(self) -> list[Integers]:
        fill = (0, (1 << self.variables) - len(self.given[0]))
        return [np.pad(np.array([v % P for v in c], dtype=np.int64), fill, mode="edge") for c in self.given]

    def evaluate(self, point: Point) -> list[Ext]:
        split = len(point) // 2
        high, low = eq_table(point[:split]), eq_table(point[split:])
        return [_evaluate_column(column.reshape(len(high), len(low)), high, low) for column in self.column_values()]

    def description(self) -> bytes:
        shape = encode_base([self.columns, len(self.given[0])])
        return b"explicit" + shape + encode_base(v % P for column in self.given for v in column)


def _integers(variables: int, start: int) -> Integers:
    """start, start + 1, ..., 2^variables of them, canonical."""
    integers: Integers = (start % P + np.arange(1 << variables, dtype=np.int64)) % P
    return integers


def _evaluate_column(matrix: Integers, high: Sequence[Ext], low: Sequence[Ext]) -> Ext:
    """sum over i, j of high[i] * matrix[i, j] * low[j]: Python integers throughout, reduced once at each stage."""
    combined = (np.array(high, dtype=object).T @ matrix.astype(object)) % P
    return ext_dot([(int(a), int(b), int(c)) for a, b, c in combined.T], low)


def _check_variables(variables: int) -> None:
    if not 0 <= variables <= MAX_TABLE_VARIABLES:
        raise InvalidInputError(f"a table has 2^0 to 2^{MAX_TABLE_VARIABLES} rows, not 2^{variables}")
