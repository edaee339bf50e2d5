"""Interval arithmetic on mpmath numbers, rounded outward, at any precision.

The rules are those of `intervals`, for one interval at a time. It decides the cases that float64 cannot, and gives
reference values. Sums, products and quotients use mpmath's correct directed rounding. Other functions are assumed to
have an error of at most 8 units in the last place, which is far above that of mpmath.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import mpmath

Number = Any
"""An mpmath `mpf`."""

_GUARD_BITS = 4


class BigInterval(NamedTuple):
    """`lo <= hi`; either may be infinite."""

    lo: Number
    hi: Number


class BigArithmetic:
    """Interval arithmetic at `bits` of precision, in a context of its own (mpmath's global one is left alone)."""

    def __init__(self, bits: int) -> None:
        self.context: Any = mpmath.mp.clone()
        self.context.prec = bits
        self.bits = bits

    def constant(self, value: Fraction) -> BigInterval:
        """The rational number, exactly where it is dyadic and fits."""
        c = self.context
        numerator = c.make_mpf(mpmath.libmp.from_int(value.numerator))
        denominator = c.make_mpf(mpmath.libmp.from_int(value.denominator))
        return BigInterval(c.fdiv(numerator, denominator, rounding="f"), c.fdiv(numerator, denominator, rounding="c"))

    def pi(self) -> BigInterval:
        """The number pi."""
        value = +self.context.pi
        return self.around(value)

    def whole(self) -> BigInterval:
        """All real numbers."""
        return BigInterval(self.context.ninf, self.context.inf)

    def around(self, value: Number) -> BigInterval:
        """The interval of the true value, where `value` has an error of at most 8 units in the last place."""
        c = self.context
        slack = c.ldexp(abs(value), _GUARD_BITS - self.bits)
        return BigInterval(c.fsub(value, slack, rounding="f"), c.fadd(value, slack, rounding="c"))

    def add(self, a: BigInterval, b: BigInterval) -> BigInterval:
        """{x + y}."""
        c = self.context
        low, high = c.fadd(a.lo, b.lo, rounding="f"), c.fadd(a.hi, b.hi, rounding="c")
        return BigInterval(c.ninf if c.isnan(low) else low, c.inf if c.isnan(high) else high)

    def multiply(self, a: BigInterval, b: BigInterval) -> BigInterval:
        """{x * y}; infinite ends are never reached, so 0 * inf is 0."""
        c = self.context

        def corner(x: Number, y: Number, rounding: str) -> Number:
            return c.zero if x == 0 or y == 0 else c.fmul(x, y, rounding=rounding)

        corners = [(x, y) for x in {a.lo, a.hi} for y in {b.lo, b.hi}]
        return BigInterval(min(corner(x, y, "f") for x, y in corners), max(corner(x, y, "c") for x, y in corners))

    def divide(self, a: BigInterval, b: BigInterval) -> BigInterval:
        """{x / y, y != 0}; all real numbers where b is zero or has zero in its interior."""
        c = self.context
        if b.lo < 0 < b.hi or b.lo == b.hi == 0:
            return self.whole()

        def corner(x: Number, y: Number, upper: bool, rounding: str) -> Number:
            if x == 0 or c.isinf(y):
                return c.zero
            if y == 0:
                # The upper end of b is zero from below, the lower end from above.
                return c.inf if (x > 0) != upper else c.ninf
            return c.fdiv(x, y, rounding=rounding)

        corners = [(x, y, upper) for x in (a.lo, a.hi) for y, upper in ((b.lo, False), (b.hi, True))]
        return BigInterval(min(corner(*k, "f") for k in corners), max(corner(*k, "c") for k in corners))

    def minimum(self, a: BigInterval, b: BigInterval) -> BigInterval:
        """{min(x, y)}."""
        return BigInterval(min(a.lo, b.lo), min(a.hi, b.hi))

    def maximum(self, a: BigInterval, b: BigInterval) -> BigInterval:
        """{max(x, y)}."""
        return BigInterval(max(a.lo, b.lo), max(a.hi, b.hi))

    def absolute(self, a: BigInterval) -> BigInterval:
        """{|x|}."""
        return BigInterval(max(a.lo, -a.hi, self.context.zero), max(-a.lo, a.hi))

    def power(self, a: BigInterval, exponent: int) -> BigInterval:
        """{x ** exponent} for a positive exponent."""
        if exponent % 2 == 0:
            a = self.absolute(a)
        low, high = BigInterval(a.lo, a.lo), BigInterval(a.hi, a.hi)
        lowest, highest = low, high
        for _ in range(exponent - 1):
            lowest, highest = self.multiply(lowest, low), self.multiply(highest, high)
        return BigInterval(lowest.lo, highest.hi)

    def monotone(
        self, function: Callable[[Any, Number], Number], a: BigInterval, *, decreasing: bool = False
    ) -> BigInterval:
        """The range of a monotone function.

        Args:
            function: maps (context, x) to the value to within 8 units in the last place.
            a: the argument, within the closure of the function's domain.
            decreasing: whether the function decreases.
        """

        def at(x: Number) -> BigInterval:
            value = function(self.context, x)
            if self.context.isinf(value) or self.context.isinf(x):
                return BigInterval(value, value)
            return self.around(value)

        first, second = (a.hi, a.lo) if decreasing else (a.lo, a.hi)
        return BigInterval(at(first).lo, at(second).hi)
