"""The arithmetics in which an expression tree can be evaluated.

`Function.evaluate(arithmetic, x)` walks the tree once and calls the operations below. Values, intervals, slopes and
multiprecision intervals are implementations of the same protocol, so that an expression is written once for all.
"""

from fractions import Fraction
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from zkinfer.compiler.approx import intervals
from zkinfer.compiler.approx.intervals import IntervalArray
from zkinfer.compiler.approx.multiprecision import BigArithmetic, BigInterval
from zkinfer.compiler.approx.primitives import Primitive
from zkinfer.typing import BoolArray, FloatArray

T = TypeVar("T")


class Arithmetic(Protocol[T]):
    """The operations that expression trees are made of."""

    def constant(self, value: Fraction) -> T: ...
    def pi(self) -> T: ...
    def add(self, a: T, b: T) -> T: ...
    def multiply(self, a: T, b: T) -> T: ...
    def divide(self, a: T, b: T) -> T: ...
    def minimum(self, a: T, b: T) -> T: ...
    def maximum(self, a: T, b: T) -> T: ...
    def power(self, a: T, exponent: int) -> T: ...
    def apply(self, primitive: Primitive, a: T) -> T: ...


class FloatArithmetic:
    """Float64 arrays, rounded to nearest at each operation."""

    def constant(self, value: Fraction) -> FloatArray:
        return np.asarray(float(value))

    def pi(self) -> FloatArray:
        return np.asarray(np.pi)

    def add(self, a: FloatArray, b: FloatArray) -> FloatArray:
        return a + b

    def multiply(self, a: FloatArray, b: FloatArray) -> FloatArray:
        return a * b

    def divide(self, a: FloatArray, b: FloatArray) -> FloatArray:
        # A quotient by zero is undefined, which NaN stands for.
        return np.where(b == 0, np.nan, a / b)

    def minimum(self, a: FloatArray, b: FloatArray) -> FloatArray:
        return np.minimum(a, b)

    def maximum(self, a: FloatArray, b: FloatArray) -> FloatArray:
        return np.maximum(a, b)

    def power(self, a: FloatArray, exponent: int) -> FloatArray:
        return np.power(a, float(exponent))

    def apply(self, primitive: Primitive, a: FloatArray) -> FloatArray:
        return primitive.value(a)


class IntervalArithmetic:
    """Float64 intervals: `zkinfer.compiler.approx.intervals`."""

    def constant(self, value: Fraction) -> IntervalArray:
        nearest = float(value)
        lo = nearest if Fraction(nearest) <= value else np.nextafter(nearest, -np.inf)
        hi = nearest if Fraction(nearest) >= value else np.nextafter(nearest, np.inf)
        if lo == hi:
            point = np.asarray(nearest)
            return IntervalArray(point, point)
        return intervals.constant(float(lo), float(hi))

    def pi(self) -> IntervalArray:
        # The float64 below pi, and its successor.
        return intervals.constant(np.pi, float(np.nextafter(np.pi, 4.0)))

    add, multiply = staticmethod(intervals.add), staticmethod(intervals.multiply)
    divide, power = staticmethod(intervals.divide), staticmethod(intervals.power)
    minimum, maximum = staticmethod(intervals.minimum), staticmethod(intervals.maximum)

    def apply(self, primitive: Primitive, a: IntervalArray) -> IntervalArray:
        return primitive.enclose(a)


class Slope(NamedTuple):
    """The range of a function over intervals, and of its secant slopes (f(u) - f(v)) / (u - v), u != v."""

    range: IntervalArray
    slope: IntervalArray


class SlopeArithmetic:
    """Ranges and secant slopes together. A secant slope needs no derivative, so that kinks and jumps are covered."""

    def __init__(self) -> None:
        self._ranges = IntervalArithmetic()

    def variable(self, x: IntervalArray) -> Slope:
        """The identity over the intervals."""
        one = np.asarray(1.0)
        return Slope(x, IntervalArray(one, one))

    def constant(self, value: Fraction) -> Slope:
        zero = np.asarray(0.0)
        return Slope(self._ranges.constant(value), IntervalArray(zero, zero))

    def pi(self) -> Slope:
        zero = np.asarray(0.0)
        return Slope(self._ranges.pi(), IntervalArray(zero, zero))

    def add(self, a: Slope, b: Slope) -> Slope:
        return Slope(intervals.add(a.range, b.range), intervals.add(a.slope, b.slope))

    def multiply(self, a: Slope, b: Slope) -> Slope:
        # a(u) b(u) - a(v) b(v) = a(u) (b(u) - b(v)) + b(v) (a(u) - a(v))
        slope = intervals.add(intervals.multiply(a.range, b.slope), intervals.multiply(b.range, a.slope))
        return Slope(intervals.multiply(a.range, b.range), slope)

    def divide(self, a: Slope, b: Slope) -> Slope:
        # a(u)/b(u) - a(v)/b(v) = (a(u) - a(v) - (a(v)/b(v)) (b(u) - b(v))) / b(u)
        quotient = intervals.divide(a.range, b.range)
        rest = intervals.subtract(a.slope, intervals.multiply(quotient, b.slope))
        slope = intervals.divide(rest, b.range)
        # Where the divisor's range contains zero, the factors of the quotient rule are unbounded.
        unknown = (b.range.lo <= 0) & (b.range.hi >= 0)
        return Slope(quotient, IntervalArray(np.where(unknown, -np.inf, slope.lo), np.where(unknown, np.inf, slope.hi)))

    def _choice(self, a: Slope, b: Slope, a_always: BoolArray, b_always: BoolArray, range_: IntervalArray) -> Slope:
        # max(u) - max(v) lies between a(u) - a(v) and b(u) - b(v), whichever of the two is the larger at u and at v.
        both = intervals.hull([a.slope, b.slope])
        lo = np.where(a_always, a.slope.lo, np.where(b_always, b.slope.lo, both.lo))
        hi = np.where(a_always, a.slope.hi, np.where(b_always, b.slope.hi, both.hi))
        return Slope(range_, IntervalArray(lo, hi))

    def minimum(self, a: Slope, b: Slope) -> Slope:
        x, y = a.range, b.range
        return self._choice(a, b, x.hi <= y.lo, y.hi <= x.lo, intervals.minimum(x, y))

    def maximum(self, a: Slope, b: Slope) -> Slope:
        x, y = a.range, b.range
        return self._choice(a, b, x.lo >= y.hi, y.lo >= x.hi, intervals.maximum(x, y))

    def power(self, a: Slope, exponent: int) -> Slope:
        if exponent == 1:
            return a
        # By the mean value theorem: exponent * x^(exponent - 1) somewhere in the range.
        scale = intervals.constant(float(exponent), float(exponent))
        inner = intervals.multiply(scale, intervals.power(a.range, exponent - 1))
        return Slope(intervals.power(a.range, exponent), intervals.multiply(inner, a.slope))

    def apply(self, primitive: Primitive, a: Slope) -> Slope:
        return Slope(primitive.enclose(a.range), intervals.multiply(primitive.slope(a.range), a.slope))


class RationalArithmetic:
    """Exact rational numbers; None where the value is undefined, irrational, or not known to be rational."""

    def constant(self, value: Fraction) -> Fraction | None:
        return value

    def pi(self) -> Fraction | None:
        return None

    def add(self, a: Fraction | None, b: Fraction | None) -> Fraction | None:
        return None if a is None or b is None else a + b

    def multiply(self, a: Fraction | None, b: Fraction | None) -> Fraction | None:
        return None if a is None or b is None else a * b

    def divide(self, a: Fraction | None, b: Fraction | None) -> Fraction | None:
        return None if a is None or b is None or b == 0 else a / b

    def minimum(self, a: Fraction | None, b: Fraction | None) -> Fraction | None:
        return None if a is None or b is None else min(a, b)

    def maximum(self, a: Fraction | None, b: Fraction | None) -> Fraction | None:
        return None if a is None or b is None else max(a, b)

    def power(self, a: Fraction | None, exponent: int) -> Fraction | None:
        return None if a is None else a**exponent

    def apply(self, primitive: Primitive, a: Fraction | None) -> Fraction | None:
        return primitive.rational(a) if a is not None and a in primitive.domain else None


class BigIntervalArithmetic(BigArithmetic):
    """Multiprecision intervals, with primitives."""

    def apply(self, primitive: Primitive, a: BigInterval) -> BigInterval:
        return primitive.enclose_big(self, a)
