"""Affine functions with rational coefficients, which exact integer arithmetic can move past sums and products."""

from fractions import Fraction
from typing import NamedTuple

from zkinfer.compiler.approx.functions import Function, X
from zkinfer.compiler.lowering.builder import is_dyadic

MAX_COEFFICIENT_BITS = 6
"""The odd part of a rational factor becomes an exact integer coefficient up to this width."""


class AffineMap(NamedTuple):
    """The function `scale * x + offset`; the scale is not zero."""

    scale: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)

    def compose(self, inner: "AffineMap") -> "AffineMap":
        """The function `x -> self(inner(x))`."""
        return AffineMap(self.scale * inner.scale, self.scale * inner.offset + self.offset)

    def exactly(self, x: Fraction) -> Fraction:
        """The value at a rational number."""
        return self.scale * x + self.offset

    def at(self, x: float) -> float:
        """The value at a real number, in float64."""
        return float(self.scale) * x + float(self.offset)

    def solve(self, y: float) -> float:
        """The real number at which the value is y, in float64."""
        return (y - float(self.offset)) / float(self.scale)

    @property
    def tree(self) -> Function:
        """The same function as an expression tree."""
        return X * self.scale + self.offset


IDENTITY = AffineMap()


def is_simple(factor: Fraction) -> bool:
    """Whether a multiplication by the factor is a shift of the binary point and a small integer coefficient."""
    numerator = abs(factor.numerator)
    odd = numerator // (numerator & -numerator) if numerator else 0
    return is_dyadic(factor) and odd.bit_length() <= MAX_COEFFICIENT_BITS
