"""Interval arithmetic on float64 arrays, rounded outward.

An `Interval` holds arrays `lo <= hi`; the result of every operation contains every real result of operands within
the intervals given. Sums, products and quotients are rounded in the right direction by the error-free
transformations of Knuth (two-sum) and Dekker (two-product), so what float64 holds exactly stays a single point.
An infinite end means "unbounded": no operand ever is infinite, so 0 * inf is 0 here.
"""

from typing import NamedTuple

import numpy as np

from zkinfer.typing import BoolArray, FloatArray

INFINITY = np.float64(np.inf)
_SPLITTER = np.float64(2**27 + 1)
_SMALLEST_SAFE = np.float64(2.0**-900)
"""A product or quotient smaller than this could lose digits of its error term to underflow."""


class IntervalArray(NamedTuple):
    """Arrays (or numpy scalars) of one shape, `lo <= hi` element by element; points if both are the same object."""

    lo: FloatArray
    hi: FloatArray


def constant(lo: float, hi: float) -> IntervalArray:
    """One interval for all elements."""
    return IntervalArray(np.asarray(lo, dtype=np.float64), np.asarray(hi, dtype=np.float64))


def everything() -> IntervalArray:
    """All real numbers."""
    return constant(-np.inf, np.inf)


def _outward(value: FloatArray, error: FloatArray, trusted: BoolArray | bool = True) -> IntervalArray:
    """The interval around `value` that holds `value + error`, given only the sign of the error.

    An error term that is not finite (after an overflow), or not trusted, widens both ends.
    """
    known = np.isfinite(error) & trusted
    lo = np.where((error >= 0) & known, value, np.nextafter(value, -INFINITY))
    hi = np.where((error <= 0) & known, value, np.nextafter(value, INFINITY))
    return IntervalArray(lo, hi)


def add(a: IntervalArray, b: IntervalArray) -> IntervalArray:
    """{x + y}."""

    def one(x: FloatArray, y: FloatArray) -> IntervalArray:
        total = x + y
        part = total - x
        return _outward(total, (x - (total - part)) + (y - part))

    low = one(a.lo, b.lo)
    high = low if a.lo is a.hi and b.lo is b.hi else one(a.hi, b.hi)
    # inf - inf: nothing is known.
    return IntervalArray(np.where(np.isnan(low.lo), -INFINITY, low.lo), np.where(np.isnan(high.hi), INFINITY, high.hi))


def negate(a: IntervalArray) -> IntervalArray:
    """{-x}."""
    lo = np.negative(a.hi)
    return IntervalArray(lo, lo if a.lo is a.hi else np.negative(a.lo))


def subtract(a: IntervalArray, b: IntervalArray) -> IntervalArray:
    """{x - y}."""
    return add(a, negate(b))


def _split(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    scaled = _SPLITTER * x
    high = scaled - (scaled - x)
    return high, x - high


def _product_error(x: FloatArray, y: FloatArray, product: FloatArray) -> FloatArray:
    x_high, x_low = _split(x)
    y_high, y_low = _split(y)
    return ((x_high * y_high - product) + x_high * y_low + x_low * y_high) + x_low * y_low


def _product(x: FloatArray, y: FloatArray) -> IntervalArray:
    product = x * y
    result = _outward(product, _product_error(x, y, product), np.abs(product) > _SMALLEST_SAFE)
    zero = (x == 0) | (y == 0)
    return IntervalArray(np.where(zero, 0.0, result.lo), np.where(zero, 0.0, result.hi))


def _quotient(x: FloatArray, y: FloatArray) -> IntervalArray:
    quotient = x / y
    product = quotient * y
    remainder = (x - product) - _product_error(quotient, y, product)
    safe = (np.abs(quotient) > _SMALLEST_SAFE) & (np.abs(product) > _SMALLEST_SAFE)
    result = _outward(quotient, remainder * np.sign(y), safe)
    zero = (x == 0) | np.isinf(y)
    return IntervalArray(np.where(zero, 0.0, result.lo), np.where(zero, 0.0, result.hi))


def _corners(a: IntervalArray, b: IntervalArray) -> list[tuple[FloatArray, FloatArray]]:
    lefts = [a.lo] if a.lo is a.hi else [a.lo, a.hi]
    rights = [b.lo] if b.lo is b.hi else [b.lo, b.hi]
    return [(x, y) for x in lefts for y in rights]


def hull(parts: list[IntervalArray]) -> IntervalArray:
    """The smallest intervals that contain all of the parts."""
    lo, hi = parts[0]
    for part in parts[1:]:
        lo, hi = np.minimum(lo, part.lo), np.maximum(hi, part.hi)
    return IntervalArray(lo, hi)


def multiply(a: IntervalArray, b: IntervalArray) -> IntervalArray:
    """{x * y}."""
    return hull([_product(x, y) for x, y in _corners(a, b)])


def divide(a: IntervalArray, b: IntervalArray) -> IntervalArray:
    """{x / y, y != 0}; all real numbers where b is zero or has zero in its interior."""
    # An end of b that is zero is approached from inside b: the sign of the zero gives the quotient its sign.
    lo = np.where(b.lo == 0, 0.0, b.lo)
    hi = lo if b.lo is b.hi else np.where(b.hi == 0, -0.0, b.hi)
    result = hull([_quotient(x, y) for x, y in _corners(a, IntervalArray(lo, hi))])
    unknown = ((b.lo < 0) & (b.hi > 0)) | ((b.lo == 0) & (b.hi == 0))
    return IntervalArray(np.where(unknown, -INFINITY, result.lo), np.where(unknown, INFINITY, result.hi))


def minimum(a: IntervalArray, b: IntervalArray) -> IntervalArray:
    """{min(x, y)}."""
    return IntervalArray(np.minimum(a.lo, b.lo), np.minimum(a.hi, b.hi))


def maximum(a: IntervalArray, b: IntervalArray) -> IntervalArray:
    """{max(x, y)}."""
    return IntervalArray(np.maximum(a.lo, b.lo), np.maximum(a.hi, b.hi))


def absolute(a: IntervalArray) -> IntervalArray:
    """{|x|}."""
    lo = np.maximum(np.maximum(a.lo, -a.hi), 0.0)
    return IntervalArray(lo, lo if a.lo is a.hi else np.maximum(-a.lo, a.hi))


def power(a: IntervalArray, exponent: int) -> IntervalArray:
    """{x ** exponent} for a positive exponent."""
    if exponent == 1:
        return a
    magnitude = absolute(a)
    if exponent % 2 == 0:
        result = magnitude
        for _ in range(exponent - 1):
            result = multiply_positive(result, magnitude)
        return result
    # Odd powers increase, so that each end is raised by itself, with its sign.
    ends = [IntervalArray(end, end) for end in ([a.lo] if a.lo is a.hi else [a.lo, a.hi])]
    raised = []
    for end in ends:
        size = absolute(end)
        total = size
        for _ in range(exponent - 1):
            total = multiply_positive(total, size)
        negative = end.lo < 0
        raised.append(IntervalArray(np.where(negative, -total.hi, total.lo), np.where(negative, -total.lo, total.hi)))
    return IntervalArray(raised[0].lo, raised[-1].hi)


def multiply_positive(a: IntervalArray, b: IntervalArray) -> IntervalArray:
    """{x * y} of intervals without negative numbers: two corners instead of four."""
    low = _product(a.lo, b.lo)
    return low if a.lo is a.hi and b.lo is b.hi else IntervalArray(low.lo, _product(a.hi, b.hi).hi)


def intersect(a: IntervalArray, b: IntervalArray) -> IntervalArray:
    """The intersection of two intervals that contain the same number; NaN ends of `b` are ignored."""
    return IntervalArray(np.fmax(a.lo, b.lo), np.fmin(a.hi, b.hi))


def widen(a: IntervalArray, ulps: int) -> IntervalArray:
    """The interval after an error of `ulps` units in the last place (or a result lost to underflow) at each end."""
    slack = ulps * 2.0**-52
    lo = a.lo - np.abs(a.lo) * slack - 2.0**-1021
    hi = a.hi + np.abs(a.hi) * slack + 2.0**-1021
    # A value that overflowed may be as small as the largest float in absolute value.
    lo = np.where(a.lo == INFINITY, np.finfo(np.float64).max, lo)
    hi = np.where(a.hi == -INFINITY, np.finfo(np.float64).min, hi)
    return IntervalArray(lo, hi)
