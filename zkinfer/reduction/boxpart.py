"""The part of a functional that lies on one box of a committed vector."""

from dataclasses import dataclass
from functools import cached_property

from zkinfer.field.slow import ONE, Ext, eq, ext_mul
from zkinfer.pcs import modular
from zkinfer.pcs.modular import IntArray
from zkinfer.reduction.boxes import Box
from zkinfer.reduction.functional import as_point
from zkinfer.sumcheck.params import Point


@dataclass(frozen=True, eq=False)
class BoxPart:
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

    @cached_property
    def point(self) -> tuple[Ext, Point] | None:
        """(s, z) if the weights are s * eq(z, .)."""
        if self.known is not None:
            return self.scale, self.known
        scale: Ext = self.scale
        point: Point = ()
        for vector in self.vectors:
            found = as_point(vector)
            if found is None:
                return None
            scale = ext_mul(scale, found[0])
            point += found[1]
        return scale, point

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
