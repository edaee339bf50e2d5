"""Functions as expressions: values, composition, domains, enclosures."""

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import mpmath
import numpy as np
import pytest
from compiler.approx.references import BITS, NAMES, REFERENCES, real
from hypothesis import given, settings
from hypothesis import strategies as st

from zkinfer.compiler.approx import functions, primitives
from zkinfer.compiler.approx.expressions import MAX_EXPONENT, Applied, ConstantFunction, Function, Variable
from zkinfer.compiler.approx.functions import (
    PI,
    Increasing,
    Lipschitz,
    X,
    abs_,
    clip,
    constant,
    custom,
    erf,
    exp,
    gelu,
    log,
    maximum,
    minimum,
    power,
    reciprocal,
    relu,
    rsqrt,
    sigmoid,
    silu,
    sqrt,
    tanh,
)
from zkinfer.compiler.approx.intervals import IntervalArray
from zkinfer.errors import InvalidInputError, NotFiniteError, ToleranceError

if TYPE_CHECKING:
    from collections.abc import Callable

GRID = [Fraction(k, 8) for k in range(-60, 61)]


def ends(interval: IntervalArray) -> tuple[float, float]:
    return interval.lo.item(), interval.hi.item()


class TestValues:
    @pytest.mark.parametrize("name", NAMES)
    def test_float64_values_bounds_and_exact_values_agree_with_mpmath(self, name: str) -> None:
        function, reference = REFERENCES[name]
        x = [p for p in GRID if p in function.domain]
        values = function([float(p) for p in x])
        low, high = function.point([float(p) for p in x])
        with mpmath.workprec(BITS):
            for point, value, lo, hi in zip(x, values, low, high, strict=True):
                expected = reference(real(point))
                assert abs(value - expected) <= 1e-14 * max(abs(expected), 1)
                assert lo <= expected <= hi
                assert hi - lo <= 1e-13 * max(abs(expected), 1)
                if expected:
                    assert abs(function.exact(point, 80) / expected - 1) < mpmath.mpf(2) ** -78

    def test_shapes_are_kept(self) -> None:
        assert gelu(np.zeros((2, 0, 3))).shape == (2, 0, 3)
        assert gelu(0.5).shape == ()
        assert constant(2)([1, 2, 3]).tolist() == [2.0, 2.0, 2.0]

    def test_outside_the_domain_values_are_nan(self) -> None:
        assert np.isnan(reciprocal([0.0, -0.0, np.inf, np.nan])).all()
        assert np.isnan(log([-1.0, 0.0])).all()
        assert np.isnan(exp.on(0, 1)([-0.1, 1.1])).all()
        low, high = log.point([-1.0, 2.0])
        assert np.isnan([low[0], high[0]]).all()
        assert low[1] < high[1]

    def test_exact_outside_the_domain_is_refused(self) -> None:
        with pytest.raises(InvalidInputError, match="log is not defined at 0"):
            log.exact(0)

    def test_exact_values_that_are_rational(self) -> None:
        assert log.exact(1) == 0
        assert sigmoid.exact(0) == 0.5
        assert sqrt.exact(Fraction(9, 4)) == 1.5

    def test_exact_gives_up_on_a_hidden_zero(self) -> None:
        with pytest.raises(ToleranceError, match="is it exactly zero"):
            (sqrt(constant(2)) * sqrt(constant(3)) - sqrt(constant(6)) + 0 * X).exact(1)


class TestBuilding:
    def test_the_chain_that_exporters_write_is_gelu(self) -> None:
        chain = 0.5 * X * (1 + erf(X / np.float64(math.sqrt(2))))
        x = np.linspace(-6, 6, 101)
        np.testing.assert_allclose(chain(x), gelu(x), atol=1e-14)

    def test_composition_is_substitution(self) -> None:
        assert exp(-X)([1.0]) == exp([-1.0])
        assert gelu(2 * X + 1)([0.5]) == gelu([2.0])
        assert silu(X) == silu
        assert X(silu) == silu
        assert exp.compose(log)([3.0]) == pytest.approx(3.0)

    def test_equal_trees_are_equal_and_hash_equally(self) -> None:
        one, other = X * sigmoid(2 * X) + 1, X * sigmoid(2 * X) + 1
        assert one == other
        assert hash(one) == hash(other)
        assert one != X * sigmoid(2 * X) + 2
        assert power(1.75) == power(1.75)

    def test_constants_fold(self) -> None:
        assert constant(2) * 3 + 1 == ConstantFunction(Fraction(7))
        assert 1 * X == X * 1 == X + 0 == 0 + X == X / 1 == X
        assert 2 * (3 * X) == 6 * X
        assert X * 0.5 == X / 2
        assert X * X == X**2
        assert power(0) == constant(1)
        assert power(0.5) == Applied(primitives.SQRT, Variable())

    @pytest.mark.parametrize("number", [2, 2.0, np.float32(2), np.int64(2), Fraction(2), np.array(2.0)])
    def test_numbers_of_all_kinds(self, number: Any) -> None:
        assert number * X == X * number == 2 * X
        assert (number - X)([5.0]) == -3
        assert (number / X)([4.0]) == 0.5
        assert isinstance(number * X, Function)

    def test_float_constants_are_taken_exactly(self) -> None:
        assert constant(0.1) == ConstantFunction(Fraction(0.1))
        assert constant(cast("float", np.float32(0.1))) == ConstantFunction(Fraction(float(np.float32(0.1))))

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, np.float32("nan")])
    def test_nan_and_infinity_are_no_constants(self, bad: float) -> None:
        makers: list[Callable[[], Function]] = [
            lambda: X + bad,
            lambda: bad * X,
            lambda: maximum(X, bad),
            lambda: power(bad),
        ]
        for make in makers:
            with pytest.raises(NotFiniteError):
                make()

    @pytest.mark.parametrize("bad", ["1", None, [1.0], np.zeros(2), 1j])
    def test_other_things_are_no_operands(self, bad: Any) -> None:
        with pytest.raises(InvalidInputError, match="a function or a number is needed"):
            X * bad

    def test_division_by_zero_is_refused(self) -> None:
        with pytest.raises(InvalidInputError, match="divided by zero"):
            X / 0

    def test_clip(self) -> None:
        assert clip(-1, 2)([-5, 0.5, 5]).tolist() == [-1, 0.5, 2]
        assert clip(hi=2)([-5, 5]).tolist() == [-5, 2]
        assert clip(-math.inf, math.inf) == clip() == X
        assert minimum(X, 3)([4.0]) == 3
        with pytest.raises(InvalidInputError, match="lo <= hi"):
            clip(1, 0)
        with pytest.raises(NotFiniteError):
            clip(math.nan, 1)

    @pytest.mark.parametrize("exponent", [-3, -1, 0, 1, 2, 7, 0.5, -0.5, 1.25, Fraction(5, 2)])
    def test_powers(self, exponent: float) -> None:
        x = np.array([0.3, 1.0, 2.5])
        np.testing.assert_allclose(power(exponent)(x), x ** float(exponent), rtol=1e-14)
        np.testing.assert_allclose((X**exponent)(x), x ** float(exponent), rtol=1e-14)

    def test_powers_out_of_range(self) -> None:
        with pytest.raises(InvalidInputError, match="at most 64"):
            power(MAX_EXPONENT + 1)
        with pytest.raises(InvalidInputError, match="an exponent is a number"):
            X**X  # type: ignore[operator]

    def test_leaky_relu_on_either_side_of_slope_one(self) -> None:
        for alpha in (0.1, 1.0, 3.0, -0.5):
            np.testing.assert_allclose(functions.leaky_relu(alpha)([-2.0, 2.0]), [-2 * alpha, 2.0])

    def test_names_and_formulas(self) -> None:
        assert gelu.name == "gelu"
        assert str(silu) == "x*sigmoid(x)"
        assert (X * tanh + PI / 3).name == "(x*tanh(x) + (pi / 3))"
        assert (X**2).named("square").name == "square"


class TestDomains:
    @pytest.mark.parametrize(
        ("function", "domain"),
        [
            (gelu, "(-inf, inf)"),
            (reciprocal, "(-inf, 0) or (0, inf)"),
            (1 / (3 * X - 2), "(-inf, 2/3) or (2/3, inf)"),
            (log, "(0, inf)"),
            (log(1 - 2 * X), "(-inf, 1/2)"),
            (log(X / 3 + 1), "(-3, inf)"),
            (sqrt, "[0, inf)"),
            (sqrt(-X), "(-inf, 0]"),
            (rsqrt(X + 0.25), "(-1/4, inf)"),
            (log(log), "(1, inf)"),
            (1 / log, "(0, 1) or (1, inf)"),
            (1 / abs_, "(-inf, 0) or (0, inf)"),
            (log(X**2), "(-inf, 0) or (0, inf)"),
            (log(X**3), "(0, inf)"),
            (power(-0.7), "(0, inf)"),
            (1 / tanh, "(-inf, 0) or (0, inf)"),
            (1 / (X * (X - 1)), "(-inf, 0) or (0, 1) or (1, inf)"),
            (1 / (1 + exp(-X)), "(-inf, inf)"),
            (1 / (1 + X**2), "(-inf, inf)"),
            (rsqrt(X**2 + 1e-5), "(-inf, inf)"),
            (log(exp + exp(-X)), "(-inf, inf)"),
            (log(clip(0.5, 2)), "(-inf, inf)"),
            (log(maximum(X, 0)), "(0, inf)"),
            (log(minimum(X, 1 - X)), "(0, 1)"),
            (sqrt(exp - 1).on(0, 9), "[0, 9]"),
            (sqrt.on(-1, 4), "[0, 4]"),
            (log(X).on(-1, 4)(X - 1), "(1, 5]"),
            (X * log + 1 / (X - 2), "(0, 2) or (2, inf)"),
            (custom("arcsine", np.arcsin, domain=(-1, 1))(2 * X), "[-1/2, 1/2]"),
            (1 / power(0.75)(2 * X + 1), "(-1/2, inf)"),
            (log(power(-0.75)(X - 1)), "(1, inf)"),
        ],
        ids=str,
    )
    def test_they_are_worked_out_exactly(self, function: Function, domain: str) -> None:
        assert str(function.domain) == domain

    @pytest.mark.parametrize("function", [sqrt(exp - 2), 1 / (exp + X), log(X**2 - 2), 1 / (gelu + 1)])
    def test_what_cannot_be_worked_out_asks_for_on(self, function: Function) -> None:
        with pytest.raises(InvalidInputError, match=r"with \.on\(lo, hi\)"):
            _ = function.domain
        assert str(function.on(2, 3).domain) == "[2, 3]"
        assert np.isfinite(function.on(2, 3)([2.5])).all()

    @pytest.mark.parametrize("ends", [(1, 1), (2, 1), (math.nan, 1), (math.inf, math.inf)])
    def test_empty_domains_are_refused(self, ends: tuple[float, float]) -> None:
        with pytest.raises(InvalidInputError, match="with lo < hi"):
            X.on(*ends)


class TestEnclosures:
    @pytest.mark.parametrize("name", NAMES)
    @settings(max_examples=60)
    @given(lo=st.floats(-20, 20), width=st.one_of(st.floats(0, 1e-3), st.floats(0, 10)), part=st.floats(0, 1))
    def test_they_contain_the_function(self, name: str, lo: float, width: float, part: float) -> None:
        function, reference = REFERENCES[name]
        bounds = function.enclose([lo], [lo + width])
        for x in (lo, min(lo + part * width, lo + width), lo + width):
            if Fraction(x) in function.domain:
                with mpmath.workprec(BITS):
                    exact = reference(real(x))
                    # The reference itself is rounded.
                    slack = max(abs(exact), 1) * mpmath.mpf(2) ** -100
                    assert bounds.lo[0] - slack <= exact <= bounds.hi[0] + slack

    @pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "silu", "mish", "hardswish", "softsign", "elu"])
    def test_products_are_enclosed_as_tightly_as_their_slope_allows(self, name: str) -> None:
        """Interval arithmetic alone would give up to twice the range where a product's factors move oppositely."""
        function, _ = REFERENCES[name]
        edges = np.linspace(-6, 6, 3001)
        lo, hi = function.enclose(edges[:-1], edges[1:])
        fine = function(np.linspace(edges[:-1], edges[1:], 65))
        assert ((hi - lo) <= 1.01 * (fine.max(axis=0) - fine.min(axis=0)) + 1e-5).all()

    def test_infinite_intervals(self) -> None:
        assert ends(sigmoid.enclose(-np.inf, np.inf)) == (0.0, 1.0)
        lo, hi = gelu.enclose([-np.inf, 0.0], [0.0, np.inf])
        assert lo[1] == 0
        assert hi[1] == np.inf
        assert tanh.enclose(-np.inf, 0.0).hi == pytest.approx(0, abs=1e-300)

    def test_poles_and_ends_of_the_domain(self) -> None:
        assert ends(reciprocal.enclose(-1.0, 1.0)) == (-np.inf, np.inf)
        assert ends(reciprocal.enclose(0.0, 2.0)) == (0.5, np.inf)
        low, high = log.enclose(-3.0, 1.0)
        assert low == -np.inf
        assert high == pytest.approx(0, abs=1e-300)
        low, high = (X * sqrt).enclose(-1.0, 1.0)
        assert low <= 0
        assert high >= 1

    def test_jumps(self) -> None:
        assert functions.floor.enclose([0.5, 0.5], [0.9, 1.5]).hi.tolist() == [0.0, 1.0]
        low, high = (X * functions.sign).enclose([-1.0], [2.0])
        assert low <= 0
        assert high >= 2

    @pytest.mark.parametrize(
        "promise", [Lipschitz(1.0), lambda lo, hi: (np.sin(lo) - (hi - lo), np.sin(lo) + (hi - lo))]
    )
    def test_of_custom_functions_with_a_promise(self, promise: Any) -> None:
        wave = custom("sine", np.sin, promise)
        lo, hi = wave.enclose([0.0, 1.0, -np.inf], [0.5, 1.0, 0.0])
        assert lo[0] <= 0
        assert hi[0] >= math.sin(0.5)
        assert lo[1] == hi[1] == math.sin(1.0)
        assert (lo[2], hi[2]) == (-np.inf, np.inf)

    def test_without_a_promise_there_is_none(self) -> None:
        function = X * custom("sine", np.sin) + 1
        assert not function.proven
        with pytest.raises(InvalidInputError, match="has no enclosure"):
            function.enclose(0, 1)

    def test_inverted_and_nan_intervals_are_refused(self) -> None:
        with pytest.raises(InvalidInputError, match="inverted"):
            gelu.enclose([0.0, 1.0], [1.0, 0.5])
        with pytest.raises(NotFiniteError, match="NaN"):
            gelu.enclose(math.nan, 1.0)


class TestCustom:
    def test_what_it_is_made_of_is_checked(self) -> None:
        with pytest.raises(InvalidInputError, match="is not callable"):
            custom("three", 3)  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError, match="an enclosure is"):
            custom("sine", np.sin, enclosure=1.0)  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError, match="lo < hi"):
            custom("sine", np.sin, domain=(1, 0))
        for bad in (-1.0, math.nan, math.inf):
            with pytest.raises(InvalidInputError, match="a Lipschitz constant is"):
                Lipschitz(bad)

    def test_exact_needs_a_reference(self) -> None:
        with pytest.raises(InvalidInputError, match="no multiprecision reference"):
            custom("sine", np.sin).exact(1)
        assert custom("sine", np.sin, exact=mpmath.sin).exact(1) == pytest.approx(math.sin(1))

    def test_outside_its_domain_it_is_never_called(self) -> None:
        def strict(x: Any) -> Any:
            assert (x >= 0).all()
            return np.sqrt(x)

        root = custom("root", strict, Increasing(), domain=(0, math.inf))
        assert np.isnan(root([-1.0, 4.0])).tolist() == [True, False]
        assert root.enclose(-1.0, 4.0).hi == 2
        assert relu.compose(root)([4.0]) == 2
