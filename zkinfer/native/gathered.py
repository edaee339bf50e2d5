"""The prover of gathered boxes: the sum over places of W(e) x(e), see `protocol.reduction.gather`.

With the places of its box among all places, the weights of a box are those of one point: eq(p, e), where p has the
box's own point and, for the bits that say where the box is, 0 or 1. So for the first k variables, of values a,

    sum over e of W(e) x(e)  =  sum over boxes b, and a, of g^b eq(p_b, a) y_b(a),

where y_b(a) is the value of x at a and the rest of p_b. The first k rounds need no more than these few numbers. Tables
are made once k challenges are known, of 2^k times fewer places: so of a large tensor they are never large.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from zkinfer.native.tensors import elements
from zkinfer.protocol.field import kernels
from zkinfer.protocol.field.scalar import (
    ONE,
    ZERO,
    Ext,
    eq_table,
    ext_add,
    ext_between,
    ext_dot,
    ext_mul,
    ext_sub,
)
from zkinfer.protocol.reduction.boxes import Box
from zkinfer.protocol.reduction.gather import Gathering
from zkinfer.protocol.sumcheck.params import Point, Polynomial
from zkinfer.protocol.sumcheck.prover import start
from zkinfer.protocol.sumcheck.rounds import ProductRounds
from zkinfer.protocol.sumcheck.tables import FactorTables
from zkinfer.protocol.sumcheck.witness import Joinable, Rounds
from zkinfer.typing import Array, Floats, IntArray

EARLY_VARIABLES = 3
"""k: tables then take six bytes for each place."""

LARGE_VARIABLES = 14
"""Of sums for which that is done; others have tables at once."""


def gathered_rounds(one: Gathering, array: Array) -> Rounds:
    """The sumcheck of a tensor's gathered boxes; the array is of integers or elements, of the tensor's shape."""
    if one.instance.variables < LARGE_VARIABLES:
        return start(one.instance, gathered_tables(one, array), None)
    return GatheredRounds(one, array, EARLY_VARIABLES)


class GatheredRounds:
    """The rounds of which the first have no tables.

    Args:
        one: what is summed.
        array: the tensor.
        early: how many rounds these are; at least one, and fewer than there are variables.
    """

    def __init__(self, one: Gathering, array: Array, early: int) -> None:
        self._early, self._bits, self._array = early, one.bits, array
        self._points = [whole_point(box, own, one.bits) for box, own in zip(one.cut.boxes, one.points, strict=True)]
        self._scales = list(one.coefficients)
        self._challenges: list[Ext] = []
        self._values: list[list[Ext]] = [[ZERO] * (1 << early) for _ in self._points]
        self._rest: Rounds | None = None
        for number, row in self._rows():
            for values, point in zip(self._values, self._points, strict=True):
                values[number] = kernels.mle(row, point[early:])

    def sums(self) -> Polynomial:
        """As a polynomial in the next variable."""
        if self._rest is not None:
            return self._rest.sums()
        total, bound = [ZERO] * 3, len(self._challenges)
        for point, scale, values in zip(self._points, self._scales, self._values, strict=True):
            weights, half = eq_table(point[bound + 1 : self._early]), len(values) // 2
            at0, at1 = (ext_mul(scale, ext_dot(weights, part)) for part in (values[:half], values[half:]))
            # (1 - p + (2 p - 1) X) (at0 + (at1 - at0) X)
            here, slope = ext_sub(ONE, point[bound]), ext_sub(at1, at0)
            rise = ext_sub(point[bound], here)
            share = ext_mul(here, at0), ext_add(ext_mul(here, slope), ext_mul(rise, at0)), ext_mul(rise, slope)
            total = [ext_add(one, other) for one, other in zip(total, share, strict=True)]
        return total

    def bind(self, challenge: Ext) -> None:
        """Sets that variable; after the last early round, makes the tables."""
        if self._rest is not None:
            self._rest.bind(challenge)
            return
        bound = len(self._challenges)
        self._challenges.append(challenge)
        for i, (point, values) in enumerate(zip(self._points, self._values, strict=True)):
            half = len(values) // 2
            self._scales[i] = ext_mul(self._scales[i], ext_between(ext_sub(ONE, point[bound]), point[bound], challenge))
            self._values[i] = [ext_between(values[j], values[half + j], challenge) for j in range(half)]
        if len(self._challenges) == self._early:
            self._rest = ProductRounds(self._tables(), None)

    def values(self) -> list[Ext]:
        """After the last round, the values of the weights and of the tensor."""
        assert self._rest is not None, "there are rounds left"
        return self._rest.values()

    def joinable(self) -> tuple[Joinable, Ext] | None:
        """See `witness.Rounds`."""
        return None if self._rest is None else self._rest.joinable()

    def _tables(self) -> FactorTables:
        """The weights and the tensor, with the early variables set."""
        tables = FactorTables(2, sum(self._bits) - self._early)
        weights, values = tables.factor(0), tables.factor(1)
        weights[:], values[:] = 0.0, 0.0
        for point, scale in zip(self._points, self._scales, strict=True):
            add_point(weights, point[self._early :], scale)
        row_weights = kernels.ext_from_ints(eq_table(self._challenges))
        for number, row in self._rows():
            kernels.row_combination(row[None], row_weights[:, number : number + 1], values)
        return tables

    def _rows(self) -> Iterator[tuple[int, Floats]]:
        """For each value of the early variables, unless all of it is padding, its number and the places that have it.

        A row is overwritten by the next.
        """
        row = np.empty(1 << (sum(self._bits) - self._early))
        for number in range(1 << self._early):
            inside, shape = _part(self._bits, self._early, number)
            part = self._array[inside]
            if part.size:
                if part.size < len(row):
                    row[:] = 0.0
                row.reshape(shape)[tuple(map(slice, part.shape))] = part
                yield number, row


def _part(bits: Sequence[int], early: int, number: int) -> tuple[tuple[slice, ...], list[int]]:
    """Where the first bits of a place's number are these: the place on each axis, and how many there are with padding.

    Args:
        bits: variables of each axis.
        early: how many first bits.
        number: that they make.
    """
    inside, shape = [], []
    for size in bits:
        known = min(size, early)
        early -= known
        first, left = (number >> early) % (1 << known), size - known
        inside.append(slice(first << left, (first + 1) << left))
        shape.append(1 << left)
    return tuple(inside), shape


def whole_point(box: Box, own: Point, bits: Sequence[int]) -> Point:
    """The point whose eq is, on the box, that of its own point, and zero elsewhere."""
    whole: list[Ext] = []
    for begin, count, size in zip(box.starts, box.variables, bits, strict=True):
        high = size - count
        whole += (((begin >> count) >> (high - 1 - i) & 1, 0, 0) for i in range(high))
        whole += own[:count]
        own = own[count:]
    return tuple(whole)


def add_point(table: Floats, point: Point, scale: Ext) -> None:
    """Adds scale * eq(point, place) to extension elements, shape (3, 2^variables)."""
    split = len(point) // 2
    rows, line = kernels.eq_table(point[:split], scale), kernels.eq_table(point[split:])
    used = np.flatnonzero(rows.any(axis=0))
    kernels.add_outer(table, np.ascontiguousarray(rows[:, used]), line, used * line.shape[1])


def gathered_tables(one: Gathering, array: Array) -> FactorTables:
    """The weights of gathered boxes and the integers that they are boxes of, every axis padded with zeros."""
    table = FactorTables(2, one.instance.variables, base={1})
    weights, values = table.factor(0), table.factor(1)
    weights[:] = 0.0
    values[:] = 0.0
    inside = tuple(map(slice, one.cut.shape))
    padded = [1 << bits for bits in one.bits]
    values.reshape(padded)[inside] = elements(array)
    for box, point, coefficient in zip(one.cut.boxes, one.points, one.coefficients, strict=True):
        split = box.total - box.variables[-1]
        rows, line = kernels.eq_table(point[:split], coefficient), kernels.eq_table(point[split:])
        kernels.add_outer(weights, rows, line, _first_places(box, padded))
    return table


def _first_places(box: Box, shape: Sequence[int]) -> IntArray:
    """In a tensor of this shape, row-major: the number of the first place of each row of a box along the last axis."""
    numbers = np.zeros(1, dtype=np.int64)
    for size, first, k in zip(shape[:-1], box.starts[:-1], box.variables[:-1], strict=True):
        numbers = (numbers[:, None] * size + np.arange(first, first + (1 << k))).reshape(-1)
    return numbers * shape[-1] + box.starts[-1]
