"""Functions of the user's: any vectorized numpy callable, with or without a promise about its values."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np

from zkinfer.compiler.approx import intervals
from zkinfer.compiler.approx.domain import LINE, Domain, Segment
from zkinfer.compiler.approx.intervals import IntervalArray
from zkinfer.compiler.approx.multiprecision import BigArithmetic, BigInterval, Number
from zkinfer.compiler.approx.primitives import ASSUMED_ULPS, Primitive
from zkinfer.errors import InvalidInputError, NotFiniteError
from zkinfer.typing import FloatArray

Callback = Callable[[FloatArray], FloatArray]
IntervalFunction = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]


@dataclass(frozen=True)
class Lipschitz:
    """Promise: |f(u) - f(v)| <= constant * |u - v| everywhere on the domain."""

    constant: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.constant) and self.constant >= 0):
            raise InvalidInputError(f"a Lipschitz constant is a finite number >= 0, got {self.constant!r}")


@dataclass(frozen=True)
class Increasing:
    """Promise: u <= v implies f(u) <= f(v) on the domain."""


@dataclass(frozen=True)
class Decreasing:
    """Promise: u <= v implies f(u) >= f(v) on the domain."""


Promise = Lipschitz | Increasing | Decreasing | IntervalFunction


@dataclass(frozen=True)
class Custom(Primitive):
    """A user's function.

    Attributes:
        name: for display and in messages.
        function: float64 array to array of real numbers of the same shape, finite on the domain. Without `reference`
            its float64 values *are* the function; with it, they are within `ASSUMED_ULPS` of it.
        promise: bounds the function between points; an `IntervalFunction` bounds it over given intervals. None if there
            is not a promise.
        domain: one piece, closed where finite.
        reference: the same function of one mpmath number at mpmath's working precision; None if there is none.
    """

    name: str
    function: Callback
    promise: Promise | None = None
    domain: Domain = LINE
    reference: Callable[[Number], Number] | None = None

    @property
    def proven(self) -> bool:
        return self.promise is not None

    def _inside(self, x: FloatArray) -> FloatArray:
        """The nearest points of the domain, and any point of it in place of NaN and infinities."""
        segment = self.domain.segments[0]
        low = -math.inf if segment.lo is None else float(segment.lo)
        high = math.inf if segment.hi is None else float(segment.hi)
        return np.clip(np.where(np.isfinite(x), x, 0.0), low, high)

    def value(self, x: FloatArray) -> FloatArray:
        inside = self._inside(x)
        return np.where(inside == x, self._call(inside), np.nan)

    def _call(self, x: FloatArray) -> FloatArray:
        """The callable's values at points of the domain, checked.

        Raises:
            InvalidInputError: it fails on arrays, or does not return real numbers of the same shape.
            NotFiniteError: a value is NaN or infinite.
        """
        advice = (
            "it takes a float64 array and returns real numbers of the same shape (np.vectorize makes such a function)"
        )
        with np.errstate(all="ignore"):
            try:
                result = np.asarray(self.function(x.copy()))
            except Exception as error:
                raise InvalidInputError(
                    f"custom function {self.name!r} failed on an array of shape {x.shape}: {error}; {advice}"
                ) from error
        if result.shape != x.shape or result.dtype.kind not in "fiu":
            raise InvalidInputError(
                f"custom function {self.name!r} returned dtype {result.dtype} and shape {result.shape} for an array of "
                f"shape {x.shape}; {advice}"
            )
        values = result.astype(np.float64)
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            raise NotFiniteError(
                f"custom function {self.name!r} is {values.flat[bad[0]]} at {x.flat[bad[0]]}; give it the domain on "
                "which it is finite"
            )
        return values

    def _at(self, x: FloatArray) -> IntervalArray:
        values = self._call(x)
        point = IntervalArray(values, values)
        return point if self.reference is None else intervals.widen(point, ASSUMED_ULPS)

    def enclose(self, x: IntervalArray) -> IntervalArray:
        lo = self._inside(x.lo)
        start = self._at(lo)
        if x.lo is x.hi:
            return start
        hi = self._inside(x.hi)
        bounds = self._between(lo, hi, start)
        same, bounded = lo == hi, np.isfinite(x.lo) & np.isfinite(x.hi)
        low = np.where(same, start.lo, bounds.lo)
        high = np.where(same, start.hi, bounds.hi)
        return IntervalArray(np.where(bounded, low, -np.inf), np.where(bounded, high, np.inf))

    def _between(self, lo: FloatArray, hi: FloatArray, start: IntervalArray) -> IntervalArray:
        """Bounds over intervals of the domain, by the promise; `start` are the values at `lo`."""
        promise = self.promise
        if promise is None:
            return intervals.everything()
        if isinstance(promise, Lipschitz):
            # (f(lo) + f(hi)) / 2 would be tighter by a second call; the mean value form of `Function` does better.
            width = intervals.subtract(IntervalArray(hi, hi), IntervalArray(lo, lo)).hi
            reach = intervals.multiply(
                IntervalArray(width, width), intervals.constant(promise.constant, promise.constant)
            )
            return intervals.add(start, IntervalArray(-reach.hi, reach.hi))
        if isinstance(promise, Increasing):
            return IntervalArray(start.lo, self._at(hi).hi)
        if isinstance(promise, Decreasing):
            return IntervalArray(self._at(hi).lo, start.hi)
        low, high = (np.asarray(end, dtype=np.float64) for end in promise(lo.copy(), hi.copy()))
        if low.shape != lo.shape or high.shape != lo.shape or not (low <= high).all():
            raise InvalidInputError(
                f"the enclosure of custom function {self.name!r} must return arrays lo <= hi of shape {lo.shape}"
            )
        return IntervalArray(low, high)

    def slope(self, x: IntervalArray) -> IntervalArray:
        if isinstance(self.promise, Lipschitz):
            return intervals.constant(-self.promise.constant, self.promise.constant)
        if isinstance(self.promise, Increasing):
            return intervals.constant(0.0, np.inf)
        if isinstance(self.promise, Decreasing):
            return intervals.constant(-np.inf, 0.0)
        return intervals.everything()

    def enclose_big(self, arithmetic: BigArithmetic, x: BigInterval) -> BigInterval:
        """From the reference at the ends: arguments that are irrational or computed are intervals of a few units."""
        reference = self.reference
        if reference is None:
            raise InvalidInputError(f"custom function {self.name!r} has no multiprecision reference")

        def at(argument: Number) -> BigInterval:
            with mpmath.workprec(arithmetic.bits):
                value = mpmath.mpmathify(reference(mpmath.mp.make_mpf(argument._mpf_)))
            return arithmetic.around(arithmetic.context.make_mpf(value._mpf_))

        low, high = at(x.lo), at(x.hi)
        return BigInterval(min(low.lo, high.lo), max(low.hi, high.hi))

    def rational(self, x: Fraction) -> Fraction | None:
        return None


def check_promise(promise: Any) -> None:
    """Check that an argument is a promise.

    Raises:
        InvalidInputError: it is neither a promise object, nor callable, nor None.
    """
    if promise is not None and not isinstance(promise, Lipschitz | Increasing | Decreasing) and not callable(promise):
        raise InvalidInputError(
            "an enclosure is Lipschitz(constant), Increasing(), Decreasing() or a function (lo, hi) -> (lo, hi), "
            f"got {promise!r}"
        )


def closed_domain(lo: float | Fraction, hi: float | Fraction) -> Domain:
    """The closed interval from lo to hi, either of which may be infinite.

    Raises:
        InvalidInputError: it is empty, or an end is NaN.
    """
    if not lo < hi:
        raise InvalidInputError(f"a domain is a pair (lo, hi) with lo < hi, got ({lo}, {hi})")
    low = Fraction(lo) if math.isfinite(lo) else None
    high = Fraction(hi) if math.isfinite(hi) else None
    return Domain.of(Segment(low, high, lo_included=low is not None, hi_included=high is not None))
