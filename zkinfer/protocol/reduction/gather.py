"""Claims on all boxes of a tensor, gathered to one claim.

The lookups leave, for each box b of a tensor x, the value of x on the box at the point r_b. With a challenge g,

    sum over b of g^b x|_b(r_b)  =  sum over e of W(e) x(e),     W(e) = sum over b of g^b [e in b] eq(r_b, e - start_b),

and a sumcheck over all places, every axis padded with zeros to a power of two, ends with the value of x at one point
rho. This is one functional, a product over the tensor's own axes, whatever their sizes. Places of boxes behind the
tensor make no difference: x is zero there.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from zkinfer.protocol.field.scalar import ZERO, Ext, eq, ext_add, ext_mul
from zkinfer.protocol.field.selectors import Selectors
from zkinfer.protocol.reduction.boxes import Cut
from zkinfer.protocol.reduction.contraction import PRODUCT
from zkinfer.protocol.sumcheck.params import Instance, Point

MAX_PADDING = 8
"""The padded axes have at most so many times the places of the tensor. If three axes are padded they have fewer."""


def is_gathered(cut: Cut) -> bool:
    """Whether the claims on the boxes of a tensor are gathered: there are several, and not too many places."""
    places = math.prod(1 << (size - 1).bit_length() for size in cut.shape)
    return len(cut.boxes) > 1 and places <= MAX_PADDING * math.prod(cut.shape)


@dataclass(frozen=True, eq=False)
class Gathering:
    """The claims on the boxes of one tensor, combined.

    Attributes:
        value: whose boxes they are.
        cut: of it, its axis of runs included.
        points: for each box its point.
        coefficients: for each box what its value is multiplied with.
    """

    value: int
    cut: Cut
    points: tuple[Point, ...]
    coefficients: tuple[Ext, ...]

    @cached_property
    def bits(self) -> tuple[int, ...]:
        """Variables of each axis."""
        return tuple((size - 1).bit_length() for size in self.cut.shape)

    @property
    def instance(self) -> Instance:
        """The sumcheck of W times x."""
        return Instance(sum(self.bits), 2, PRODUCT)

    def weight_at(self, point: Point) -> Ext:
        """The multilinear extension of W at a point, box by box and axis by axis."""
        axes = [_Axis(part) for part in _by_axis(self.bits, point)]
        total = ZERO
        for box, own, coefficient in zip(self.cut.boxes, self.points, self.coefficients, strict=True):
            weight = coefficient
            for axis, start, part in zip(axes, box.starts, _by_axis(box.variables, own), strict=True):
                weight = ext_mul(weight, axis.weight(start, part))
            total = ext_add(total, weight)
        return total


class _Axis:
    """What pieces of an axis weigh at a point of it; boxes share most of that."""

    def __init__(self, point: Point) -> None:
        self._point = point
        self._selectors = Selectors(point)
        self._within: dict[Point, Ext] = {}

    def weight(self, start: int, own: Point) -> Ext:
        """The sum over the piece that starts there of eq(own, place in the piece) eq(the point, place on the axis)."""
        high = len(self._point) - len(own)
        if own not in self._within:
            self._within[own] = eq(own, self._point[high:])
        return ext_mul(self._selectors.at(high, start >> len(own)), self._within[own])


def _by_axis(bits: Sequence[int], point: Point) -> list[Point]:
    """The coordinates of each axis."""
    parts = []
    for count in bits:
        parts.append(point[:count])
        point = point[count:]
    return parts
