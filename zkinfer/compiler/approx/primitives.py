"""The elementary functions out of which `functions` builds everything else.

A primitive knows how to evaluate itself in every arithmetic: float64 values, float64 intervals, secant slopes and
mpmath intervals. A new primitive is one record in this file.

Error of the float64 values: numpy's and the C library's exp, log, tanh, ... are not correctly rounded and differ
between machines, by at most 4 units in the last place according to numpy's accuracy tests. `ASSUMED_ULPS` is twice as
much; a test measures each primitive against mpmath and fails above half of it.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from zkinfer.compiler.approx import intervals
from zkinfer.compiler.approx.domain import LINE, NOT_NEGATIVE, POSITIVE, Domain, Segment
from zkinfer.compiler.approx.intervals import IntervalArray
from zkinfer.compiler.approx.multiprecision import BigArithmetic, BigInterval, Number
from zkinfer.typing import BoolArray, FloatArray

ASSUMED_ULPS = 8
"""Assumed error of a transcendental primitive's float64 values, in units in the last place."""

_ONE = intervals.constant(1.0, 1.0)
_ZERO = intervals.constant(0.0, 0.0)


class Primitive:
    """A real function of one real variable, known by its name."""

    name: str
    domain: Domain
    root: Fraction | None = None
    """The only point where the value is zero; to the right of it the value is positive."""
    positive: bool = False
    """Whether the value is positive everywhere on the domain."""

    def value(self, x: FloatArray) -> FloatArray:
        """Float64 values; NaN outside the domain."""
        raise NotImplementedError

    def enclose(self, x: IntervalArray) -> IntervalArray:
        """Contains every value on the part of the intervals that lies in the domain."""
        raise NotImplementedError

    def slope(self, x: IntervalArray) -> IntervalArray:
        """Contains (p(u) - p(v)) / (u - v) for all u != v of the domain within the intervals."""
        raise NotImplementedError

    def enclose_big(self, arithmetic: BigArithmetic, x: BigInterval) -> BigInterval:
        """As `enclose`, at any precision."""
        raise NotImplementedError

    def rational(self, x: Fraction) -> Fraction | None:
        """The exact value at a rational point of the domain; None if it may be irrational."""
        raise NotImplementedError

    @property
    def proven(self) -> bool:
        """Whether `enclose` and `slope` hold by construction or by a promise of the user's."""
        return True


@dataclass(frozen=True)
class Monotone(Primitive):
    """A continuous monotone function on one interval: its range over an interval is known from the ends.

    Attributes:
        evaluate: float64 arrays to float64 arrays.
        reference: (mpmath context, x) to the value at the context's precision.
        derivative: contains the derivative over the intervals given, which lie in the domain's closure.
        lowest, highest: the closure of the range.
        rational_value: see `Primitive.rational`.
        decreasing: whether the function decreases.
        root, positive: see `Primitive`.
    """

    name: str
    evaluate: Callable[[FloatArray], FloatArray] = field(compare=False, repr=False)
    reference: Callable[[Any, Number], Number] = field(compare=False, repr=False)
    derivative: Callable[[IntervalArray], IntervalArray] = field(compare=False, repr=False)
    domain: Domain = LINE
    lowest: float = -math.inf
    highest: float = math.inf
    rational_value: Callable[[Fraction], Fraction | None] = field(default=lambda x: None, compare=False, repr=False)
    decreasing: bool = False
    root: Fraction | None = None
    positive: bool = False

    def value(self, x: FloatArray) -> FloatArray:
        return self.evaluate(x)

    def _clip(self, x: IntervalArray) -> IntervalArray:
        bottom = self.domain.segments[0].lo
        if bottom is None:
            return x
        edge = float(bottom)
        lo = np.maximum(x.lo, edge)
        return IntervalArray(lo, lo if x.lo is x.hi else np.maximum(x.hi, edge))

    def enclose(self, x: IntervalArray) -> IntervalArray:
        x = self._clip(x)
        low = self.evaluate(x.lo)
        high = low if x.lo is x.hi else self.evaluate(x.hi)
        ends = IntervalArray(high, low) if self.decreasing else IntervalArray(low, high)
        wide = intervals.widen(ends, ASSUMED_ULPS)
        return IntervalArray(np.maximum(wide.lo, self.lowest), np.minimum(wide.hi, self.highest))

    def slope(self, x: IntervalArray) -> IntervalArray:
        return self.derivative(self._clip(x))

    def enclose_big(self, arithmetic: BigArithmetic, x: BigInterval) -> BigInterval:
        bottom = self.domain.segments[0].lo
        if bottom is not None:
            edge = arithmetic.constant(bottom).lo
            x = BigInterval(max(x.lo, edge), max(x.hi, edge))
        result = arithmetic.monotone(self.reference, x, decreasing=self.decreasing)
        low, high = arithmetic.context.mpf(self.lowest), arithmetic.context.mpf(self.highest)
        return BigInterval(max(result.lo, low), min(result.hi, high))

    def rational(self, x: Fraction) -> Fraction | None:
        return self.rational_value(x)


@dataclass(frozen=True)
class Absolute(Primitive):
    """|x|."""

    name: str = "abs"
    domain: Domain = LINE
    root: Fraction | None = Fraction(0)

    def value(self, x: FloatArray) -> FloatArray:
        return np.abs(x)

    def enclose(self, x: IntervalArray) -> IntervalArray:
        return intervals.absolute(x)

    def slope(self, x: IntervalArray) -> IntervalArray:
        return IntervalArray(np.where(x.lo >= 0, 1.0, -1.0), np.where(x.hi <= 0, -1.0, 1.0))

    def enclose_big(self, arithmetic: BigArithmetic, x: BigInterval) -> BigInterval:
        return arithmetic.absolute(x)

    def rational(self, x: Fraction) -> Fraction | None:
        return abs(x)


@dataclass(frozen=True)
class StepFunction(Primitive):
    """A step function, constant between jumps, which never decreases; its float64 values are exact.

    Attributes:
        evaluate: float64 arrays to float64 arrays, exactly.
        reference: (mpmath context, x) to the value.
        exact: rational numbers to integers.
    """

    name: str
    evaluate: Callable[[FloatArray], FloatArray] = field(compare=False, repr=False)
    reference: Callable[[Any, Number], Number] = field(compare=False, repr=False)
    exact: Callable[[Fraction], int] = field(compare=False, repr=False)
    domain: Domain = LINE

    def value(self, x: FloatArray) -> FloatArray:
        return self.evaluate(x)

    def enclose(self, x: IntervalArray) -> IntervalArray:
        low = self.evaluate(x.lo)
        return IntervalArray(low, low if x.lo is x.hi else self.evaluate(x.hi))

    def slope(self, x: IntervalArray) -> IntervalArray:
        jump = self.evaluate(x.lo) != self.evaluate(x.hi)
        return IntervalArray(np.zeros(jump.shape), np.where(jump, np.inf, 0.0))

    def enclose_big(self, arithmetic: BigArithmetic, x: BigInterval) -> BigInterval:
        return BigInterval(*(self.reference(arithmetic.context, end) for end in x))

    def rational(self, x: Fraction) -> Fraction | None:
        return Fraction(self.exact(x))


@dataclass(frozen=True)
class Wave(Primitive):
    """The sine or the cosine: between -1 and 1, each of which it reaches once in every turn of 2 pi.

    Attributes:
        evaluate, reference: as in `Monotone`.
        crest: where it is 1, in turns.
        derivative: contains the derivative over the intervals given.
        at_zero: the value at 0; those at all other rational numbers are irrational (they are transcendental, by the
            Lindemann-Weierstrass theorem).
    """

    name: str
    evaluate: Callable[[FloatArray], FloatArray] = field(compare=False, repr=False)
    reference: Callable[[Any, Number], Number] = field(compare=False, repr=False)
    crest: Fraction
    derivative: Callable[[IntervalArray], IntervalArray] = field(compare=False, repr=False)
    at_zero: Fraction
    domain: Domain = LINE

    def value(self, x: FloatArray) -> FloatArray:
        return self.evaluate(x)

    def enclose(self, x: IntervalArray) -> IntervalArray:
        ends = [self.evaluate(x.lo)] if x.lo is x.hi else [self.evaluate(x.lo), self.evaluate(x.hi)]
        wide = intervals.widen(
            IntervalArray(np.minimum(ends[0], ends[-1]), np.maximum(ends[0], ends[-1])), ASSUMED_ULPS
        )
        return IntervalArray(
            np.where(self._reaches(x, float(self.crest) + 0.5), -1.0, np.maximum(wide.lo, -1.0)),
            np.where(self._reaches(x, float(self.crest)), 1.0, np.minimum(wide.hi, 1.0)),
        )

    def _reaches(self, x: IntervalArray, turns: float) -> BoolArray:
        """Whether the intervals may hold a point at so many turns, and any whole number of them more."""
        first, last = x.lo / (2 * math.pi) - turns, x.hi / (2 * math.pi) - turns
        # Errors of the division and of pi, and a few units more.
        slack = 8 * 2.0**-52 * (np.maximum(np.abs(first), np.abs(last)) + 1)
        within = np.ceil(first - slack) <= np.floor(last + slack)
        reached: BoolArray = within | ~np.isfinite(first) | ~np.isfinite(last)
        return reached

    def slope(self, x: IntervalArray) -> IntervalArray:
        return self.derivative(x)

    def enclose_big(self, arithmetic: BigArithmetic, x: BigInterval) -> BigInterval:
        c = arithmetic.context
        if c.isinf(x.lo) or c.isinf(x.hi):
            return BigInterval(-c.one, c.one)
        ends = [arithmetic.around(self.reference(c, end)) for end in x]

        def reaches(turns: Fraction) -> bool:
            first, last = (end / (2 * c.pi) - c.mpf(turns.numerator) / turns.denominator for end in x)
            slack = c.ldexp(max(abs(first), abs(last)) + 1, 8 - arithmetic.bits)
            return bool(c.ceil(first - slack) <= c.floor(last + slack))

        low = -c.one if reaches(self.crest + Fraction(1, 2)) else max(min(end.lo for end in ends), -c.one)
        high = c.one if reaches(self.crest) else min(max(end.hi for end in ends), c.one)
        return BigInterval(low, high)

    def rational(self, x: Fraction) -> Fraction | None:
        return self.at_zero if x == 0 else None


_erf = np.frompyfunc(math.erf, 1, 1)
"""numpy has no erf."""


def _erf_derivative(x: IntervalArray) -> IntervalArray:
    two_over_root_pi = intervals.widen(intervals.constant(2 / math.sqrt(math.pi), 2 / math.sqrt(math.pi)), 4)
    return intervals.multiply(two_over_root_pi, EXP.enclose(intervals.negate(intervals.power(x, 2))))


def _sigmoid_derivative(x: IntervalArray) -> IntervalArray:
    def at(end: FloatArray) -> IntervalArray:
        return intervals.multiply(SIGMOID.enclose(IntervalArray(end, end)), SIGMOID.enclose(IntervalArray(-end, -end)))

    # The derivative, s(x) s(-x), falls with |x|.
    nearest, farthest = intervals.absolute(x)
    return IntervalArray(at(farthest).lo, at(nearest).hi)


def _reciprocal(x: IntervalArray) -> IntervalArray:
    return intervals.divide(_ONE, x)


def _only(argument: int, value: Fraction) -> Callable[[Fraction], Fraction | None]:
    """The rational values of a function that has an irrational value at every rational point but one."""
    return lambda x: value if x == argument else None


def _rational_root(x: Fraction) -> Fraction | None:
    numerator, denominator = math.isqrt(x.numerator), math.isqrt(x.denominator)
    exact = numerator**2 == x.numerator and denominator**2 == x.denominator
    return Fraction(numerator, denominator) if exact else None


def _rational_inverse_root(x: Fraction) -> Fraction | None:
    root = _rational_root(x)
    return 1 / root if root else None


EXP: Monotone = Monotone(
    "exp",
    np.exp,
    lambda c, x: c.exp(x),
    lambda x: EXP.enclose(x),
    lowest=0.0,
    rational_value=_only(0, Fraction(1)),
    positive=True,
)
LOG = Monotone(
    "log", np.log, lambda c, x: c.ln(x), _reciprocal, POSITIVE, rational_value=_only(1, Fraction(0)), root=Fraction(1)
)
ERF = Monotone(
    "erf",
    lambda x: np.asarray(_erf(x), dtype=np.float64),
    lambda c, x: c.erf(x),
    _erf_derivative,
    lowest=-1.0,
    highest=1.0,
    rational_value=_only(0, Fraction(0)),
    root=Fraction(0),
)
TANH: Monotone = Monotone(
    "tanh",
    np.tanh,
    lambda c, x: c.tanh(x),
    lambda x: intervals.maximum(intervals.subtract(_ONE, intervals.power(TANH.enclose(x), 2)), _ZERO),
    lowest=-1.0,
    highest=1.0,
    rational_value=_only(0, Fraction(0)),
    root=Fraction(0),
)
SIGMOID = Monotone(
    "sigmoid",
    lambda x: np.asarray(1.0 / (1.0 + np.exp(-x))),
    lambda c, x: 1 / (1 + c.exp(-x)),
    _sigmoid_derivative,
    lowest=0.0,
    highest=1.0,
    rational_value=_only(0, Fraction(1, 2)),
    positive=True,
)
SOFTPLUS = Monotone(
    "softplus",
    lambda x: np.asarray(np.logaddexp(0.0, x)),
    lambda c, x: x if x == c.inf else c.log1p(c.exp(x)),
    lambda x: SIGMOID.enclose(x),
    lowest=0.0,
    positive=True,
)
SQRT: Monotone = Monotone(
    "sqrt",
    np.sqrt,
    lambda c, x: c.sqrt(x),
    lambda x: _reciprocal(intervals.multiply(intervals.constant(2.0, 2.0), SQRT.enclose(x))),
    NOT_NEGATIVE,
    lowest=0.0,
    rational_value=_rational_root,
    root=Fraction(0),
)
RSQRT: Monotone = Monotone(
    "rsqrt",
    lambda x: np.asarray(1.0 / np.sqrt(x)),
    lambda c, x: c.inf if x == 0 else 1 / c.sqrt(x),
    lambda x: intervals.multiply(intervals.constant(-0.5, -0.5), intervals.divide(RSQRT.enclose(x), x)),
    POSITIVE,
    lowest=0.0,
    rational_value=_rational_inverse_root,
    decreasing=True,
    positive=True,
)
ATAN = Monotone(
    "atan",
    np.arctan,
    lambda c, x: c.atan(x),
    lambda x: _reciprocal(intervals.add(_ONE, intervals.power(x, 2))),
    lowest=-math.nextafter(math.pi / 2, math.inf),
    highest=math.nextafter(math.pi / 2, math.inf),
    rational_value=_only(0, Fraction(0)),
    root=Fraction(0),
)
ASINH = Monotone(
    "asinh",
    np.arcsinh,
    lambda c, x: c.asinh(x),
    lambda x: RSQRT.enclose(intervals.add(_ONE, intervals.power(x, 2))),
    rational_value=_only(0, Fraction(0)),
    root=Fraction(0),
)
ACOSH = Monotone(
    "acosh",
    np.arccosh,
    lambda c, x: c.acosh(x),
    lambda x: RSQRT.enclose(intervals.subtract(intervals.power(x, 2), _ONE)),
    Domain.of(Segment(lo=Fraction(1), lo_included=True)),
    lowest=0.0,
    rational_value=_only(1, Fraction(0)),
    root=Fraction(1),
)
SIN: Wave = Wave("sin", np.sin, lambda c, x: c.sin(x), Fraction(1, 4), lambda x: COS.enclose(x), Fraction(0))
COS: Wave = Wave(
    "cos", np.cos, lambda c, x: c.cos(x), Fraction(0), lambda x: intervals.negate(SIN.enclose(x)), Fraction(1)
)
ABS = Absolute()
FLOOR = StepFunction("floor", np.floor, lambda c, x: c.floor(x), math.floor)
CEIL = StepFunction("ceil", np.ceil, lambda c, x: c.ceil(x), math.ceil)
ROUND = StepFunction("round", np.rint, lambda c, x: c.nint(x), round)
SIGN = StepFunction("sign", np.sign, lambda c, x: c.sign(x), lambda x: (x > 0) - (x < 0))
STEP = StepFunction("step", lambda x: np.where(x >= 0, 1.0, 0.0), lambda c, x: c.mpf(x >= 0), lambda x: int(x >= 0))


@functools.cache
def real_power(exponent: float) -> Monotone:
    """x ** exponent for a float64 exponent that is not an integer.

    It is defined for x >= 0; for x > 0 if the exponent is negative.
    """

    def derivative(x: IntervalArray) -> IntervalArray:
        scaled = intervals.multiply(intervals.constant(exponent, exponent), real_power(exponent).enclose(x))
        return intervals.divide(scaled, x)

    def reference(c: Any, x: Number) -> Number:
        return (c.zero if exponent > 0 else c.inf) if x == 0 else c.power(x, exponent)

    return Monotone(
        f"power[{exponent!r}]",
        lambda x: np.asarray(np.power(x, exponent)),
        reference,
        derivative,
        NOT_NEGATIVE if exponent > 0 else POSITIVE,
        lowest=0.0,
        decreasing=exponent < 0,
        root=Fraction(0) if exponent > 0 else None,
        positive=exponent < 0,
    )
