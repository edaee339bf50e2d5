"""Interval arithmetic against exact rational arithmetic."""

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from zkinfer.compiler.approx import intervals
from zkinfer.compiler.approx.intervals import IntervalArray
from zkinfer.compiler.approx.multiprecision import BigArithmetic, BigInterval

FINITE = st.floats(allow_nan=False, allow_infinity=False)
SIMPLE = st.sampled_from([-3.0, -1.0, -0.5, -0.0, 0.0, 2.0**-1074, 0.25, 1.0, 3.0, 1e308])
NUMBERS = st.one_of(FINITE, SIMPLE)
PAIRS = st.tuples(NUMBERS, NUMBERS).map(sorted)


def interval(lo: float, hi: float) -> IntervalArray:
    return IntervalArray(np.array([lo]), np.array([hi]))


def contains(result: IntervalArray, exact: Fraction) -> bool:
    lo, hi = float(result.lo[0]), float(result.hi[0])
    above = lo == -math.inf or (lo != math.inf and Fraction(lo) <= exact)
    below = hi == math.inf or (hi != -math.inf and exact <= Fraction(hi))
    return above and below


def inner_points(lo: float, hi: float) -> list[Fraction]:
    a, b = Fraction(lo), Fraction(hi)
    return [a, b, (a + b) / 2, a + (b - a) / 3]


def is_float(x: Fraction) -> bool:
    try:
        return Fraction(float(x)) == x
    except OverflowError:
        return False


OPERATIONS: dict[str, tuple[Callable[..., Any], Callable[[Any, Any], Any]]] = {
    "add": (intervals.add, lambda x, y: x + y),
    "subtract": (intervals.subtract, lambda x, y: x - y),
    "multiply": (intervals.multiply, lambda x, y: x * y),
    "divide": (intervals.divide, lambda x, y: x / y),
    "minimum": (intervals.minimum, min),
    "maximum": (intervals.maximum, max),
}


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with np.errstate(all="ignore"):
        yield


class TestContainment:
    @pytest.mark.parametrize("name", OPERATIONS)
    @given(PAIRS, PAIRS)
    @example([0.0, 1.797693134862229e308], [215469982.0, 215469982.0])
    def test_every_result_lies_within(self, name: str, a: list[float], b: list[float]) -> None:
        operation, exact = OPERATIONS[name]
        result = operation(interval(*a), interval(*b))
        assert result.lo[0] <= result.hi[0]
        for x, y in itertools.product(inner_points(*a), inner_points(*b)):
            if name != "divide" or y != 0:
                assert contains(result, exact(x, y))

    @given(PAIRS, st.integers(1, 6))
    def test_powers(self, a: list[float], exponent: int) -> None:
        result = intervals.power(interval(*a), exponent)
        for x in inner_points(*a):
            assert contains(result, x**exponent)

    @given(PAIRS)
    def test_absolute_and_negate(self, a: list[float]) -> None:
        for x in inner_points(*a):
            assert contains(intervals.absolute(interval(*a)), abs(x))
            assert contains(intervals.negate(interval(*a)), -x)

    def test_an_even_power_of_an_interval_around_zero_is_not_negative(self) -> None:
        result = intervals.power(interval(-2.0, 3.0), 2)
        assert (result.lo[0], result.hi[0]) == (0.0, 9.0)
        assert intervals.multiply(interval(-2.0, 3.0), interval(-2.0, 3.0)).lo[0] == -6.0


class TestTightness:
    """Points stay points where float64 holds the result, and grow by one unit where it does not."""

    @pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide"])
    @given(NUMBERS, NUMBERS)
    def test_points(self, name: str, x: float, y: float) -> None:
        operation, exact = OPERATIONS[name]
        assume(name != "divide" or y != 0)
        a, b = np.array([x]), np.array([y])
        result = operation(IntervalArray(a, a), IntervalArray(b, b))
        truth = exact(Fraction(x), Fraction(y))
        # Far from overflow and underflow.
        assume(all(number == 0 or 2.0**-800 < abs(number) < 2.0**900 for number in (truth, x, y)))
        if is_float(truth):
            assert result.lo[0] == result.hi[0] == float(truth)
        else:
            assert result.hi[0] == np.nextafter(result.lo[0], np.inf)

    def test_thirds(self) -> None:
        third = intervals.divide(intervals.constant(1.0, 1.0), intervals.constant(3.0, 3.0))
        assert Fraction(float(third.lo)) < Fraction(1, 3) < Fraction(float(third.hi))
        one = intervals.multiply(third, intervals.constant(3.0, 3.0))
        assert one.lo < 1 < one.hi


class TestInfinities:
    def test_dividing_by_an_interval_around_zero_tells_nothing(self) -> None:
        result = intervals.divide(interval(1.0, 2.0), interval(-1.0, 1.0))
        assert (result.lo[0], result.hi[0]) == (-np.inf, np.inf)

    @pytest.mark.parametrize(
        ("divisor", "expected"),
        [((0.0, 2.0), (0.5, np.inf)), ((-2.0, 0.0), (-np.inf, -0.5)), ((-2.0, -0.0), (-np.inf, -0.5))],
    )
    def test_dividing_by_an_interval_that_ends_at_zero(
        self, divisor: tuple[float, float], expected: tuple[float, float]
    ) -> None:
        result = intervals.divide(interval(1.0, 1.0), interval(*divisor))
        assert (result.lo[0], result.hi[0]) == expected

    def test_zero_times_unbounded_is_zero(self) -> None:
        result = intervals.multiply(interval(0.0, 0.0), interval(-np.inf, np.inf))
        assert (result.lo[0], result.hi[0]) == (0.0, 0.0)

    def test_overflow_keeps_the_largest_float_as_lower_end(self) -> None:
        result = intervals.multiply(interval(1e200, 1e200), interval(1e200, 1e200))
        assert (result.lo[0], result.hi[0]) == (np.finfo(np.float64).max, np.inf)

    def test_the_difference_of_unbounded_intervals_is_unknown(self) -> None:
        result = intervals.subtract(interval(1.0, np.inf), interval(1.0, np.inf))
        assert (result.lo[0], result.hi[0]) == (-np.inf, np.inf)

    @pytest.mark.parametrize("value", [np.inf, -np.inf])
    def test_widening_an_overflow_reaches_back_to_the_floats(self, value: float) -> None:
        result = intervals.widen(interval(value, value), 8)
        assert result.lo[0] <= np.copysign(np.finfo(np.float64).max, value) <= result.hi[0]


class TestMultiprecision:
    """The mpmath intervals follow the same rules, at any precision."""

    @staticmethod
    def big(arithmetic: BigArithmetic, lo: Fraction, hi: Fraction) -> BigInterval:
        return BigInterval(arithmetic.constant(lo).lo, arithmetic.constant(hi).hi)

    @pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - {"subtract"}))
    @pytest.mark.parametrize("bits", [20, 200])
    @given(PAIRS, PAIRS)
    @example([0.0, 1.797693134862229e308], [215469982.0, 215469982.0])
    def test_every_result_lies_within(self, name: str, bits: int, a: list[float], b: list[float]) -> None:
        _, exact = OPERATIONS[name]
        arithmetic = BigArithmetic(bits)
        result = getattr(arithmetic, name)(*(self.big(arithmetic, *map(Fraction, pair)) for pair in (a, b)))
        wide = BigArithmetic(8000)
        for x, y in itertools.product(inner_points(*a), inner_points(*b)):
            if name != "divide" or y != 0:
                truth = wide.constant(exact(x, y))
                assert result.lo <= truth.hi
                assert truth.lo <= result.hi

    @given(st.fractions(), st.integers(2, 60))
    def test_constants_are_as_tight_as_the_precision_allows(self, x: Fraction, bits: int) -> None:
        low, high = BigArithmetic(bits).constant(x)
        wide = BigArithmetic(4000).constant(x)
        assert low <= wide.hi
        assert wide.lo <= high
        assert high - low <= abs(wide.hi) * 2.0 ** (1 - bits)

    @pytest.mark.parametrize(
        ("divisor", "expected"),
        [((0, 2), (0.5, math.inf)), ((-2, 0), (-math.inf, -0.5)), ((-1, 1), (-math.inf, math.inf))],
    )
    def test_division_by_zero(self, divisor: tuple[int, int], expected: tuple[float, float]) -> None:
        arithmetic = BigArithmetic(64)
        one = arithmetic.constant(Fraction(1))
        result = arithmetic.divide(one, self.big(arithmetic, *map(Fraction, divisor)))
        assert (float(result.lo), float(result.hi)) == expected

    @given(PAIRS, st.integers(1, 5))
    def test_powers(self, a: list[float], exponent: int) -> None:
        arithmetic = BigArithmetic(40)
        result = arithmetic.power(self.big(arithmetic, *map(Fraction, a)), exponent)
        for x in inner_points(*a):
            truth = BigArithmetic(8000).constant(x**exponent)
            assert result.lo <= truth.hi
            assert truth.lo <= result.hi

    def test_mpmaths_own_precision_is_left_alone(self) -> None:
        before = mpmath.mp.prec
        BigArithmetic(500).pi()
        assert mpmath.mp.prec == before
