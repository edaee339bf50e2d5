"""Functions given by the user: any vectorized numpy callable, with or without a promise about it."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np

from zkinfer.approx import intervals
from zkinfer.approx.domain import LINE, Domain, Piece
from zkinfer.approx.intervals import FloatArray, Interval
from zkinfer.approx.multiprecision import BigArithmetic, BigInterval, Number
from zkinfer.approx.primitives import Primitive
from zkinfer.errors import InvalidInputError, NotFiniteError

Callback = Callable[[FloatArray], FloatArray]
IntervalFunction = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]


@dataclass(frozen=True)
class Lipschitz:
    """Promise: |f(u) - f(v)| <= constant * |u - v| everywhere on the domain."""

    constant: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.constant) and self.constant >= 0):
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
        name: for people, and in messages.
        function: float64 array to float64 array of the same shape. Without `reference`, its float64 values *are*
            the function; with it, they are within `primitives.ASSUMED_ULPS` of it.
        promise: what encloses it between points; None if nothing is known.
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

    def value(self, x: FloatArray) -> FloatArray:
        inside = self._clip(x)
        with np.errstate(all="ignore"):
            try:
                result = self.function(inside)
            except Exception as error:
                raise InvalidInputError(
                    f"custom function {self.name!r} failed on a float64 array of shape {inside.shape}: {error}; "
                    "it must take a numpy array and return one of the same shape (np.vectorize makes such a function)"
                ) from error
        array = np.asarray(result)
        if array.shape != inside.shape or array.dtype.kind not in "fiu":
            raise InvalidInputError(
                f"custom function {self.name!r} returned dtype {array.dtype}, shape {array.shape} for float64 of shape "
                f"{inside.shape}; it must return real numbers of the same shape (np.vectorize makes such a function)"
            )
        values = array.astype(np.float64)
        bad = ~np.isfinite(values)
        if bad.any():
            where = inside[bad].flat[0]
            raise NotFiniteError(
                f"custom function {self.name!r} is {values[bad].flat[0]} at {where!r}; state the domain it is finite on"
            )
        return np.where(inside == x, values, np.nan) if inside is not x else values

    def _clip(self, x: FloatArray) -> FloatArray:
        piece = self.domain.pieces[0]
        x = np.where(np.isfinite(x), x, np.clip(x, -1e300, 1e300)) if not np.all(np.isfinite(x)) else x
        if piece.lo is not None:
            x = np.maximum(x, float(piece.lo))
        if piece.hi is not None:
            x = np.minimum(x, float(piece.hi))
        return x

    def _at(self, x: FloatArray) -> Interval:
        values = self.value(x)
        point = Interval(values, values)
        return point if self.reference is None else intervals.widen(point, 8)

    def enclose(self, x: Interval) -> Interval:
        lo = self._clip(x.lo)
        if x.lo is x.hi:
            return self._at(lo)
        hi = self._clip(x.hi)
        match self.promise:
            case Lipschitz(constant=bound):
                middle = lo + (hi - lo) / 2
                radius = np.maximum(hi - middle, middle - lo)
                reach = intervals.multiply(Interval(radius, radius), intervals.constant(bound, bound)).hi
                reach = np.where(radius > 0, np.nextafter(reach, np.inf), 0.0)
                result = intervals.add(self._at(middle), Interval(-reach, reach))
            case Increasing():
                result = Interval(self._at(lo).lo, self._at(hi).hi)
            case Decreasing():
                result = Interval(self._at(hi).lo, self._at(lo).hi)
            case None:
                result = Interval(np.full(lo.shape, -np.inf), np.full(lo.shape, np.inf))
            case _:
                ends = self.promise(lo, hi)
                result = Interval(np.asarray(ends[0], dtype=np.float64), np.asarray(ends[1], dtype=np.float64))
        point = self._at(lo)
        same = lo == hi
        return Interval(np.where(same, point.lo, result.lo), np.where(same, point.hi, result.hi))

    def slope(self, x: Interval) -> Interval:
        match self.promise:
            case Lipschitz(constant=bound):
                return intervals.constant(-bound, bound)
            case Increasing():
                return intervals.constant(0.0, np.inf)
            case Decreasing():
                return intervals.constant(-np.inf, 0.0)
            case _:
                return intervals.everything()

    def enclose_big(self, arithmetic: BigArithmetic, x: BigInterval) -> BigInterval:
        if self.reference is None:
            raise InvalidInputError(f"custom function {self.name!r} has no multiprecision reference")
        c = arithmetic.context

        def at(argument: Number) -> BigInterval:
            with mpmath.workprec(arithmetic.bits):
                value = c.convert(self.reference(mpmath.mp.make_mpf(argument._mpf_)))
            return arithmetic.around(value)

        low, high = at(x.lo), at(x.hi)
        return BigInterval(min(low.lo, high.lo), max(low.hi, high.hi))


def check_enclosure_signature(promise: Any) -> None:
    """Refuse what is no promise.

    Raises:
        InvalidInputError: neither a promise object, nor callable, nor None.
    """
    if promise is not None and not isinstance(promise, Lipschitz | Increasing | Decreasing) and not callable(promise):
        raise InvalidInputError(
            f"an enclosure is Lipschitz(constant), Increasing(), Decreasing() or a function (lo, hi) -> (lo, hi), "
            f"got {promise!r}"
        )


@functools.cache
def closed_domain(lo: float, hi: float) -> Domain:
    """The closed interval from lo to hi, either of which may be infinite.

    Raises:
        InvalidInputError: it is empty, or an end is NaN.
    """
    if not lo < hi:
        raise InvalidInputError(f"a domain is a pair (lo, hi) with lo < hi, got ({lo}, {hi})")
    low = Fraction(lo) if np.isfinite(lo) else None
    high = Fraction(hi) if np.isfinite(hi) else None
    return Domain.of(Piece(low, high, lo_included=low is not None, hi_included=high is not None))
