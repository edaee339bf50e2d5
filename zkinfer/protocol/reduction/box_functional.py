"""The part of a functional that lies on one box of a committed vector."""

from dataclasses import dataclass

from zkinfer.protocol.field import modular
from zkinfer.protocol.field.modular import from_exts
from zkinfer.protocol.field.scalar import ONE, Ext, eq, ext_mul
from zkinfer.protocol.reduction import factors
from zkinfer.protocol.reduction.boxes import Box
from zkinfer.protocol.reduction.functional import as_point
from zkinfer.protocol.sumcheck.params import Point
from zkinfer.typing import IntArray


@dataclass(frozen=True, eq=False)
class BoxFunctional:
    """Weights on a box: scale * eq of a point, or * the product of vectors over groups of its variables, row-major.

    Attributes:
        vector, number: of the committed vector and of the box in it.
        offset: the box's first cell in its matrix.
        box: its sizes.
        scale: a factor.
        known: the point, where it is known.
        vectors: elsewhere; shapes (3, 2^k), whose k add up to the box's variables.
    """

    vector: int
    number: int
    offset: int
    box: Box
    scale: Ext = ONE
    known: Point | None = None
    vectors: tuple[IntArray, ...] = ()

    @property
    def variables(self) -> int:
        """The box has 2^variables cells."""
        return self.box.total

    def by_rows(self, columns: int) -> tuple[IntArray, Point] | None:
        """The w and z for which the weights are w (x) eq(z, .): those of row i, of 2^columns cells, are w_i eq(z, .).

        Args:
            columns: at most `variables`.

        Returns:
            w, canonical, of shape (3, 2^(variables - columns)), and z; both are unique. None if there are none, or the
            weights are zero.
        """
        if self.known is not None:
            split = self.variables - columns
            return _scaled(modular.eq_table(self.known[:split]), self.scale), self.known[split:]
        scale, left = self.scale, list(self.vectors)
        point: Point = ()
        while len(point) < columns:
            vector, wanted = left.pop(), columns - len(point)
            if vector.shape[1] > 1 << wanted:
                halves = factors.rank_one(vector.reshape(3, -1, 1 << wanted))
                if halves is None:
                    return None
                left.append(halves[0])
                vector = halves[1]
            found = as_point(vector)
            if found is None:
                return None
            scale, point = ext_mul(scale, found[0]), found[1] + point
        rows = factors.outer([factors.ones(1), *left]).reshape(3, -1)
        return _scaled(rows, scale), point

    def evaluate(self, point: Point) -> Ext:
        """The multilinear extension of the weights at a point."""
        if self.known is not None:
            return ext_mul(self.scale, eq(self.known, point))
        value, used = self.scale, 0
        for vector in self.vectors:
            bits = vector.shape[1].bit_length() - 1
            value = ext_mul(value, modular.ext_dot(vector, modular.eq_table(point[used : used + bits])))
            used += bits
        return value


def _scaled(table: IntArray, factor: Ext) -> IntArray:
    return modular.ext_mul(table, from_exts([factor]))
