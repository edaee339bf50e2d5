"""Functions of the form `factor * u**exponent` or `factor * log(u) + offset`, where u is affine in x.

Such a function of a number follows from the function of the number's mantissa and from its exponent.
`zkinfer.compiler.lowering.relative` computes it so.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

from zkinfer.compiler.approx import primitives
from zkinfer.compiler.approx.expressions import Function
from zkinfer.compiler.approx.primitives import Primitive

HALF = Fraction(1, 2)


@dataclass(frozen=True)
class Form:
    """`factor * (scale * x + shift)**exponent`, or `factor * log(scale * x + shift) + offset`.

    Attributes:
        factor, scale, shift, offset: see above; irrational numbers are rounded to float64.
        exponent: 0 of a constant, which is `factor`.
        logarithm: whether it is a logarithm; then the exponent is 1.
        least: the function has this form where `scale * x + shift` is at least this, and is constant below.
    """

    factor: Fraction
    scale: Fraction = Fraction(1)
    shift: Fraction = Fraction(0)
    exponent: Fraction = Fraction(0)
    logarithm: bool = False
    offset: Fraction = Fraction(0)
    least: float = 0.0

    @property
    def is_affine(self) -> bool:
        """Whether it is affine in x, and so can be added to other affine functions."""
        return not self.logarithm and self.exponent == 1


class _OtherFormError(Exception):
    """The function is of another form."""


@lru_cache(maxsize=1024)
def form_of(function: Function) -> Form | None:
    """The function's form; None if it is of another."""
    try:
        return function.evaluate(_FormArithmetic(), Form(Fraction(1), exponent=Fraction(1)))
    except _OtherFormError:
        return None


class _FormArithmetic:
    """The arithmetic of forms: see `zkinfer.compiler.approx.arithmetic`."""

    def constant(self, value: Fraction) -> Form:
        return Form(value)

    def pi(self) -> Form:
        raise _OtherFormError

    def add(self, a: Form, b: Form) -> Form:
        if not a.exponent:
            a, b = b, a
        if b.exponent or b.logarithm:
            raise _OtherFormError
        if not a.exponent:
            return Form(a.factor + b.factor)
        if a.logarithm:
            return replace(a, offset=a.offset + b.factor)
        if not a.is_affine or a.least:
            raise _OtherFormError
        return replace(a, shift=a.shift + b.factor)

    def multiply(self, a: Form, b: Form) -> Form:
        if not a.exponent:
            a, b = b, a
        if b.exponent:
            return self._merged(a, b)
        if not b.factor:
            raise _OtherFormError
        if a.is_affine and not a.least:
            return replace(a, scale=a.scale * b.factor, shift=a.shift * b.factor)
        return replace(a, factor=a.factor * b.factor, offset=a.offset * b.factor)

    def _merged(self, a: Form, b: Form) -> Form:
        """The product of two powers of the same number."""
        exponent = a.exponent + b.exponent
        if a.logarithm or b.logarithm or (a.scale, a.shift) != (b.scale, b.shift) or not exponent:
            raise _OtherFormError
        return _tidied(replace(a, factor=a.factor * b.factor, exponent=exponent, least=max(a.least, b.least)))

    def divide(self, a: Form, b: Form) -> Form:
        if b.logarithm or not b.factor:
            raise _OtherFormError
        return self.multiply(a, replace(b, factor=1 / b.factor, exponent=-b.exponent))

    def minimum(self, a: Form, b: Form) -> Form:
        raise _OtherFormError

    def maximum(self, a: Form, b: Form) -> Form:
        if not a.exponent:
            a, b = b, a
        rises = a.factor > 0 and a.exponent > 0 and not a.logarithm
        if b.exponent or not a.exponent or not rises:
            raise _OtherFormError
        if b.factor <= 0:
            return a
        return replace(a, least=max(a.least, float(b.factor / a.factor) ** float(1 / a.exponent)))

    def power(self, a: Form, exponent: int) -> Form:
        if not a.exponent or a.logarithm:
            raise _OtherFormError
        return _tidied(replace(a, factor=a.factor**exponent, exponent=a.exponent * exponent))

    def apply(self, primitive: Primitive, a: Form) -> Form:
        if not a.exponent or a.logarithm or a.factor <= 0:
            raise _OtherFormError
        root = Fraction(float(a.factor) ** 0.5) if a.factor != 1 else Fraction(1)
        if primitive == primitives.SQRT:
            return replace(a, factor=root, exponent=a.exponent * HALF)
        if primitive == primitives.RSQRT:
            return replace(a, factor=1 / root, exponent=-a.exponent * HALF)
        if primitive == primitives.LOG and a.factor == 1:
            return replace(a, factor=a.exponent, exponent=Fraction(1), logarithm=True)
        raise _OtherFormError


def _tidied(a: Form) -> Form:
    """The same function; the factor of an affine one is 1."""
    if not a.is_affine or a.least:
        return a
    return replace(a, factor=Fraction(1), scale=a.scale * a.factor, shift=a.shift * a.factor)
