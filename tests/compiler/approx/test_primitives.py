"""Primitives: the assumed float64 error is measured, enclosures and slopes hold."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.compiler.approx import primitives
from zkinfer.compiler.approx.arithmetic import BigIntervalArithmetic
from zkinfer.compiler.approx.intervals import IntervalArray
from zkinfer.compiler.approx.multiprecision import BigInterval
from zkinfer.compiler.approx.primitives import ASSUMED_ULPS, Monotone, Primitive, Wave
from zkinfer.typing import FloatArray

MONOTONE = [
    primitives.EXP,
    primitives.LOG,
    primitives.ERF,
    primitives.TANH,
    primitives.SIGMOID,
    primitives.SOFTPLUS,
    primitives.SQRT,
    primitives.RSQRT,
    primitives.ATAN,
    primitives.ASINH,
    primitives.ACOSH,
    primitives.real_power(1.5),
    primitives.real_power(0.3),
    primitives.real_power(-2.7),
]
STEPS = [primitives.FLOOR, primitives.CEIL, primitives.ROUND, primitives.SIGN, primitives.STEP]
WAVES = [primitives.SIN, primitives.COS]
ALL: list[Primitive] = [*MONOTONE, *WAVES, *STEPS, primitives.ABS]


def arguments(primitive: Primitive, count: int) -> FloatArray:
    """Points of the domain of all magnitudes, many of them near 0, 1 and integers."""
    rng = np.random.default_rng(5)
    x = np.concatenate(
        [
            rng.normal(0, 1, count),
            rng.uniform(-30, 30, count),
            rng.uniform(-700, 700, count),
            rng.choice([-1, 1], count) * 2.0 ** rng.uniform(-60, 9, count),
            1 + rng.normal(0, 1e-3, count),
            1 + rng.normal(0, 1e-10, count),
            rng.integers(-20, 20, count) / 2,
        ]
    )
    return x[primitive.domain.contains(x)]


class TestAssumedError:
    @pytest.mark.parametrize("primitive", [*MONOTONE, *WAVES], ids=lambda p: p.name)
    def test_float64_values_are_within_half_of_what_is_allowed_for(self, primitive: Monotone | Wave) -> None:
        x = arguments(primitive, 300)
        with np.errstate(all="ignore"):
            y = primitive.value(x)
        worst = 0.0
        with mpmath.workprec(200):
            for a, b in zip(x, y, strict=True):
                exact = primitive.reference(mpmath.mp, mpmath.mpf(float(a)))
                if exact and 2.0**-1021 < abs(exact) < 2.0**1023:
                    worst = max(worst, float(abs(mpmath.mpf(float(b)) / exact - 1)))
        assert worst <= ASSUMED_ULPS / 2 * 2.0**-52


class TestEnclosures:
    @pytest.mark.parametrize("primitive", ALL, ids=lambda p: p.name)
    def test_points(self, primitive: Primitive) -> None:
        x = arguments(primitive, 60)
        with np.errstate(all="ignore"):
            lo, hi = primitive.enclose(IntervalArray(x, x))
        arithmetic = BigIntervalArithmetic(120)
        for a, low, high in zip(x, lo, hi, strict=True):
            point = arithmetic.context.mpf(float(a))
            exact = primitive.enclose_big(arithmetic, BigInterval(point, point))
            assert low <= exact.lo
            assert exact.hi <= high

    @pytest.mark.parametrize("primitive", ALL, ids=lambda p: p.name)
    @given(st.floats(-40, 40), st.floats(1e-6, 20), st.floats(0, 1), st.floats(0, 1))
    def test_values_and_secants_over_intervals(
        self, primitive: Primitive, lo: float, width: float, s: float, t: float
    ) -> None:
        box = IntervalArray(np.array([lo]), np.array([lo + width]))
        u, v = (np.clip(lo + width * part, lo, lo + width) for part in (s, t))
        inside = primitive.domain.contains(np.array([u, v]))
        with np.errstate(all="ignore"):
            bounds, slope = primitive.enclose(box), primitive.slope(box)
            values = primitive.value(np.array([u, v]))
        for known, value in zip(inside, values, strict=True):
            if known and np.isfinite(value):
                slack = 1e-14 * abs(value) + 1e-300
                assert bounds.lo - slack <= value <= bounds.hi + slack
        if inside.all() and abs(u - v) > 1e-9 and np.isfinite(values).all():
            secant = (values[0] - values[1]) / (u - v)
            slack = 1e-14 * np.abs(values).max() / abs(u - v) + 1e-12 * abs(secant)
            assert slope.lo - slack <= secant <= slope.hi + slack

    @pytest.mark.parametrize("primitive", [*MONOTONE, *WAVES], ids=lambda p: p.name)
    def test_slopes_of_small_intervals_are_near_the_derivative(self, primitive: Monotone | Wave) -> None:
        x = np.array([0.3, 0.9, 1.7, 4.0])
        x = x[primitive.domain.contains(x)]
        with mpmath.workprec(100):
            derivative = [float(mpmath.diff(lambda a: primitive.reference(mpmath.mp, a), float(a))) for a in x]
        low, high = primitive.slope(IntervalArray(x, x + 1e-9))
        np.testing.assert_allclose(low, derivative, rtol=1e-7)
        np.testing.assert_allclose(high, derivative, rtol=1e-7)


class TestRationalValues:
    @pytest.mark.parametrize("primitive", [*MONOTONE, *WAVES], ids=lambda p: p.name)
    def test_they_agree_with_the_reference(self, primitive: Monotone | Wave) -> None:
        arithmetic = BigIntervalArithmetic(200)
        for x in [Fraction(n, 4) for n in range(-8, 65)]:
            value = primitive.rational(x) if x in primitive.domain else None
            if value is not None:
                exact, point = arithmetic.constant(value), arithmetic.constant(x)
                low, high = primitive.enclose_big(arithmetic, point)
                assert low <= exact.lo
                assert exact.hi <= high
                assert high - low < 2.0**-150

    def test_square_roots_of_squares_are_found(self) -> None:
        assert primitives.SQRT.rational(Fraction(9, 4)) == Fraction(3, 2)
        assert primitives.RSQRT.rational(Fraction(9, 4)) == Fraction(2, 3)
        assert primitives.SQRT.rational(Fraction(2)) is None


class TestWaves:
    @pytest.mark.parametrize("primitive", WAVES, ids=lambda p: p.name)
    @given(
        quarters=st.integers(-4000, 4000),
        reach=st.floats(1e-9, 9),
        before=st.floats(0, 1),
        bits=st.sampled_from([60, 200]),
    )
    def test_crests_and_troughs_within_an_interval_are_seen(
        self, primitive: Wave, quarters: int, reach: float, before: float, bits: int
    ) -> None:
        """Intervals around the multiples of pi / 2, at which a wave is 1, 0 or -1."""
        middle = quarters * np.pi / 2
        lo, hi = middle - before * reach, middle + (1 - before) * reach
        inside = primitive.value(np.linspace(lo, hi, 101))
        bounds = primitive.enclose(IntervalArray(np.array(lo), np.array(hi)))
        arithmetic = BigIntervalArithmetic(bits)
        big = primitive.enclose_big(arithmetic, BigInterval(*(arithmetic.context.mpf(float(x)) for x in (lo, hi))))
        for low, high in (bounds, big):
            assert -1 <= low <= inside.min() + 1e-15
            assert inside.max() - 1e-15 <= high <= 1
            # And no more than the wave itself, between the samples.
            assert float(high) - inside.max() <= (reach / 100) ** 2 + 1e-12
            assert inside.min() - float(low) <= (reach / 100) ** 2 + 1e-12

    @pytest.mark.parametrize("primitive", WAVES, ids=lambda p: p.name)
    def test_of_the_whole_line_everything_is_possible(self, primitive: Wave) -> None:
        with np.errstate(all="ignore"):
            low, high = primitive.enclose(IntervalArray(np.array(-np.inf), np.array(np.inf)))
        arithmetic = BigIntervalArithmetic(60)
        assert tuple(end.item() for end in (low, high)) == (-1.0, 1.0)
        assert tuple(primitive.enclose_big(arithmetic, arithmetic.whole())) == (-1, 1)
