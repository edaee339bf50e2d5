"""Which functions are powers and logarithms of an affine function."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.compiler.approx.forms import Form, form_of
from zkinfer.compiler.approx.functions import Function, X, exp, log, maximum, minimum, power, reciprocal, rsqrt, sqrt

FORMS = {
    "root": sqrt(X),
    "root of a mean": sqrt(X * Fraction(1, 384) + 1e-5),
    "inverse root": rsqrt(0.25 * X + 1),
    "reciprocal of a root": reciprocal(sqrt(X + 1)),
    "number over a root": 3 / sqrt(X + 1),
    "power": power(-0.5)(X + 2),
    "reciprocal": 1 / (2 * X + 3),
    "scaled root": 0.5 * sqrt(4 * X),
    "root of a square": sqrt((X + 1) ** 2),
    "logarithm": log(X + 1e-8),
    "logarithm of a root": 3 * log(sqrt(X)) + 2,
    "affine": 3 * (X + 2) - 1,
    "product": sqrt(X) * X,
    "clipped": 1 / maximum(sqrt(X), 1e-12),
    "clipped below zero": sqrt(maximum(X, -1)),
}
OTHERS = {
    "exponential": exp(X),
    "sum": sqrt(X) + 1,
    "of another": sqrt(exp(X)),
    "product with another": sqrt(X) * (X + 1),
    "smaller": minimum(sqrt(X), 3),
    "of a sum": sqrt(X * X + X),
    "constant": X / X,
}


def value(form: Form, x: float) -> float:
    u = float(form.scale) * x + float(form.shift)
    if form.logarithm:
        return float(float(form.factor) * np.log(u) + float(form.offset))
    return float(float(form.factor) * max(u, form.least) ** float(form.exponent))


@pytest.mark.parametrize("name", FORMS)
def test_the_form_is_the_function(name: str) -> None:
    function = FORMS[name]
    form = form_of(function)
    assert form is not None
    for x in (1e-9, 0.3, 1.0, 77.7):
        assert value(form, x) == pytest.approx(float(function(x)), rel=1e-9)


@pytest.mark.parametrize("name", OTHERS)
def test_other_functions_have_none(name: str) -> None:
    function: Function = OTHERS[name]
    form = form_of(function)
    assert form is None or not form.exponent


@given(st.floats(0.01, 100), st.floats(0, 10), st.floats(0.01, 100))
def test_where_a_maximum_holds_is_known(scale: float, shift: float, bound: float) -> None:
    """The form holds from `least` on, and is constant below."""
    form = form_of(1 / maximum(sqrt(scale * X + shift), bound))
    assert form is not None
    assert form.least == pytest.approx(bound**2)
    for x in (0.0, 0.5, 20.0):
        expected = 1 / max(np.sqrt(scale * x + shift), bound)
        assert value(form, x) == pytest.approx(expected, rel=1e-6)


def test_the_maximum_of_a_function_that_falls_has_no_form() -> None:
    assert form_of(maximum(rsqrt(X), 1)) is None
    assert form_of(maximum(-1 * sqrt(X), -1)) is None
