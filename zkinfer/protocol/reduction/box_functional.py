"""The part of a functional that lies on one box of a committed vector."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from zkinfer.protocol.field import modular
from zkinfer.protocol.field.modular import from_exts, to_exts
from zkinfer.protocol.field.scalar import ONE, Ext, eq, ext_mul
from zkinfer.protocol.field.selectors import Selectors
from zkinfer.protocol.reduction import factors
from zkinfer.protocol.reduction.boxes import Box
from zkinfer.protocol.reduction.restriction import AxisWeights
from zkinfer.protocol.sumcheck.params import Point
from zkinfer.typing import IntArray


@dataclass(frozen=True, eq=False)
class RowWeights:
    """Weights w (x) eq(z, .): those of row i are w_i eq(z, .).

    Attributes:
        point: z.
        scale: a factor of w.
        factors: over groups of the rows' variables: w is their product, times the scale.
    """

    point: Point
    scale: Ext
    factors: tuple[IntArray, ...]

    @cached_property
    def weights(self) -> IntArray:
        """w, canonical, of shape (3, rows)."""
        product = factors.outer(self.factors).reshape(3, -1) if self.factors else factors.ones(1)
        return _scaled(product, self.scale)


def rows_of_point(point: Point, columns: int, scale: Ext = ONE) -> RowWeights:
    """What `BoxFunctional.by_rows` gives for scale * eq of a point."""
    split = len(point) - columns
    return RowWeights(point[split:], scale, (modular.eq_table(point[:split]),))


@dataclass(frozen=True, eq=False)
class BoxFunctional:
    """Weights on a box: scale * eq of a point, or * the product of vectors over groups of its variables, row-major.

    Attributes:
        vector, number: of the committed vector and of the box in it.
        offset: the box's first cell in its matrix.
        box: its sizes.
        scale: a factor.
        known: the point, where it is known.
        vectors: elsewhere; of 2^k entries, whose k add up to the box's variables.
    """

    vector: int
    number: int
    offset: int
    box: Box
    scale: Ext = ONE
    known: Point | None = None
    vectors: tuple[AxisWeights, ...] = ()

    @property
    def variables(self) -> int:
        """The box has 2^variables cells."""
        return self.box.total

    def by_rows(self, columns: int) -> RowWeights | None:
        """The w and z for which the weights are w (x) eq(z, .): those of row i, of 2^columns cells, are w_i eq(z, .).

        Args:
            columns: at most `variables`.

        Returns:
            w and z, which are unique. None if there are none, or the weights are zero.
        """
        if self.known is not None:
            return rows_of_point(self.known, columns, self.scale)
        scale, left = self.scale, list(self.vectors)
        point: Point = ()
        while len(point) < columns:
            vector, wanted = left.pop(), columns - len(point)
            if vector.weights.shape[1] > 1 << wanted:
                halves = factors.rank_one(vector.weights.reshape(3, -1, 1 << wanted))
                if halves is None:
                    return None
                left.append(AxisWeights(halves[0]))
                vector = AxisWeights(halves[1])
            if vector.as_point is None:
                return None
            own_scale, own_point = vector.as_point
            scale, point = ext_mul(scale, own_scale), own_point + point
        longer = []
        for vector in left:
            if vector.weights.shape[1] > 1:
                longer.append(vector.weights)
            else:
                scale = ext_mul(scale, vector.first)
        return RowWeights(point, scale, tuple(longer))

    def evaluate(self, ends: "PointEnds") -> Ext:
        """The multilinear extension of the weights at the end of a point."""
        return ext_mul(self.scale, ends.eq(self.known) if self.known is not None else ends.of_product(self.vectors))


class PointEnds:
    """The ends of a point, at which many weights are evaluated: what they share is computed once.

    Args:
        point: the longest.
        parts: that will be evaluated. Vectors that meet the same coordinates are evaluated together.
    """

    def __init__(self, point: Point, parts: Iterable[BoxFunctional] = ()) -> None:
        self._point = point
        self._selectors: dict[int, Selectors] = {}
        self._eqs: dict[Point, Ext] = {}
        self._values: dict[tuple[AxisWeights, int], Ext] = {}
        self._products: dict[tuple[AxisWeights, ...], Ext] = {}
        alike: dict[tuple[int, int], dict[AxisWeights, None]] = {}
        for vectors in dict.fromkeys(part.vectors for part in parts):
            for vector, bits, behind in placed(vectors):
                alike.setdefault((bits, behind), {})[vector] = None
        for (bits, behind), found in alike.items():
            self._evaluate(list(found), bits, behind)

    def selector(self, variables: int, bits: int, number: int) -> Ext:
        """eq(the bits of a number; the first of the last `variables` coordinates)."""
        if variables not in self._selectors:
            self._selectors[variables] = Selectors(self._end(variables))
        return self._selectors[variables].at(bits, number)

    def eq(self, known: Point) -> Ext:
        """eq of a point and of as many last coordinates."""
        if known not in self._eqs:
            self._eqs[known] = eq(known, self._end(len(known)))
        return self._eqs[known]

    def of_product(self, vectors: tuple[AxisWeights, ...]) -> Ext:
        """The extension of a product of vectors, whose variables are the last ones."""
        if vectors not in self._products:
            value = ONE
            for vector, bits, behind in placed(vectors):
                value = ext_mul(value, self._of_vector(vector, bits, behind))
            self._products[vectors] = value
        return self._products[vectors]

    def _of_vector(self, vector: AxisWeights, bits: int, behind: int) -> Ext:
        """The extension of a vector at the last `bits` coordinates in front of the last `behind`."""
        if not bits:
            return vector.first
        if (vector, behind) not in self._values:
            self._evaluate([vector], bits, behind)
        return self._values[vector, behind]

    def _evaluate(self, vectors: Sequence[AxisWeights], bits: int, behind: int) -> None:
        if bits:
            table = modular.eq_table(self._end(bits + behind)[:bits])
            values = modular.ext_matvec(np.stack([vector.weights for vector in vectors], axis=1), table)
            self._values |= zip(((vector, behind) for vector in vectors), to_exts(values), strict=True)

    def _end(self, variables: int) -> Point:
        return self._point[len(self._point) - variables :]


def placed(vectors: Sequence[AxisWeights]) -> Iterator[tuple[AxisWeights, int, int]]:
    """Each vector, of how many variables it is, and how many are behind these."""
    behind = sum(vector.variables for vector in vectors)
    for vector in vectors:
        behind -= vector.variables
        yield vector, vector.variables, behind


def _scaled(table: IntArray, factor: Ext) -> IntArray:
    return table if factor == ONE else modular.ext_mul(table, from_exts([factor]))
