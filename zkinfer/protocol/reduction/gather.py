"""Claims on all boxes of a tensor, gathered to one claim.

The lookups leave, for each box b of a tensor x, the value of x on the box at the point r_b. With a challenge g,

    sum over b of g^b x|_b(r_b)  =  sum over e of W(e) x(e),     W(e) = sum over b of g^b [e in b] eq(r_b, e - start_b),

and a sumcheck over all places, every axis padded with zeros to a power of two, ends with the value of x at one point
rho. This is one functional, a product over the tensor's own axes, whatever their sizes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from zkinfer.protocol.field import modular
from zkinfer.protocol.field.params import DEGREE
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, eq, ext_add, ext_mul
from zkinfer.protocol.reduction.boxes import Box, Cut
from zkinfer.protocol.reduction.contraction import PRODUCT
from zkinfer.protocol.reduction.factors import outer
from zkinfer.protocol.reduction.functional import Functional, of_vectors
from zkinfer.protocol.sumcheck.params import Instance, Point
from zkinfer.typing import IntArray


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

    def functional(self, point: Point) -> Functional:
        """x at a point of the padded axes."""
        parts = zip(_by_axis(self.bits, point), self.cut.shape, strict=True)
        return of_vectors([modular.eq_table(part)[:, :size] for part, size in parts])

    def weight_at(self, point: Point) -> Ext:
        """The multilinear extension of W at a point, from the axes: linear in flattened ones, logarithmic in others."""
        by_axis = _by_axis(self.bits, point)
        axes = [by_axis[first:end] for first, end in self.cut.groups]
        tables = [
            None if end - first == 1 else self._flattened(axes[group], first, end)
            for group, (first, end) in enumerate(self.cut.groups)
        ]
        total = ZERO
        for box, own, coefficient in zip(self.cut.boxes, self.points, self.coefficients, strict=True):
            weight = coefficient
            for group, part in enumerate(_by_axis(box.variables, own)):
                table = tables[group]
                if table is None:
                    weight = ext_mul(weight, _aligned(box, group, part, axes[group][0]))
                else:
                    places = slice(box.starts[group], box.starts[group] + (1 << box.variables[group]))
                    weight = ext_mul(weight, modular.ext_dot(modular.eq_table(part), table[:, places]))
            total = ext_add(total, weight)
        return total

    def _flattened(self, points: Sequence[Point], first: int, end: int) -> IntArray:
        """The eq tables of some axes, multiplied out and flattened."""
        sizes = self.cut.shape[first:end]
        vectors = [modular.eq_table(point)[:, :size] for point, size in zip(points, sizes, strict=True)]
        return np.ascontiguousarray(outer(vectors).reshape(DEGREE, -1))


def _aligned(box: Box, group: int, own: Point, point: Point) -> Ext:
    """The sum over the piece of an axis of eq(own, its place in the piece) eq(point, its place on the axis)."""
    k = box.variables[group]
    high = len(point) - k
    bits: list[Ext] = [ONE if box.starts[group] >> k >> (high - 1 - j) & 1 else ZERO for j in range(high)]
    return eq([*bits, *own], point)


def _by_axis(bits: Sequence[int], point: Point) -> list[Point]:
    """The coordinates of each axis."""
    parts = []
    for count in bits:
        parts.append(point[:count])
        point = point[count:]
    return parts
