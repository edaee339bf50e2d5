"""Expressions as graphs: each node counts once, however many paths lead to it, and depth is no limit."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.compiler.approx import functions
from zkinfer.compiler.approx.arithmetic import FloatArithmetic
from zkinfer.compiler.approx.expressions import Addition, Function, Multiplication
from zkinfer.compiler.approx.functions import X
from zkinfer.compiler.approx.primitives import Primitive
from zkinfer.errors import InvalidInputError
from zkinfer.typing import FloatArray

POINTS = np.linspace(-3, 3, 13)


class CountingArithmetic(FloatArithmetic):
    """Counts the operations of one evaluation."""

    def __init__(self) -> None:
        self.operations = 0

    def add(self, a: FloatArray, b: FloatArray) -> FloatArray:
        self.operations += 1
        return super().add(a, b)

    def multiply(self, a: FloatArray, b: FloatArray) -> FloatArray:
        self.operations += 1
        return super().multiply(a, b)

    def apply(self, primitive: Primitive, a: FloatArray) -> FloatArray:
        self.operations += 1
        return super().apply(primitive, a)


def reused(levels: int) -> Function:
    """`h = h * sigmoid(h)`, again and again: 2^levels paths lead to x."""
    h: Function = X
    for _ in range(levels):
        h = h * functions.sigmoid(h)
    return h


def deep(levels: int) -> Function:
    h: Function = X
    for k in range(levels):
        h = functions.tanh(h) if k % 2 else functions.relu(h)
    return h


@pytest.mark.parametrize("levels", [1, 10, 200])
def test_a_reused_expression_is_evaluated_once(levels: int) -> None:
    function, arithmetic, expected = reused(levels), CountingArithmetic(), POINTS
    # The first sigmoid is the ready-made one, which has a name around it.
    assert len(function.nodes) == 2 + 2 * levels
    found = function.evaluate(arithmetic, POINTS)
    assert arithmetic.operations == 2 * levels
    for _ in range(levels):
        expected = expected * (1 / (1 + np.exp(-expected)))
    np.testing.assert_array_equal(found, expected)


def test_equal_expressions_that_were_built_apart_count_once() -> None:
    a, b = reused(100), reused(100)
    assert a is not b
    assert a == b
    assert hash(a) == hash(b)
    assert a != reused(99)
    assert len((a + b).nodes) == len(a.nodes) + 1


@pytest.mark.parametrize("other", [X + 1, X * 2, functions.tanh, functions.exp.named("other"), functions.exp.on(0, 1)])
def test_other_expressions_are_not_equal(other: Function) -> None:
    assert len({X, X + 2, X * 3, functions.exp, other}) == 5
    assert other != "x"
    assert Addition(X, X * 3) != Multiplication(X, X * 3)


def test_depth_is_no_limit() -> None:
    """Python's own stack ends at a thousand calls."""
    function, arithmetic = deep(3000), CountingArithmetic()
    expected = POINTS
    for k in range(3000):
        expected = np.tanh(expected) if k % 2 else np.maximum(expected, 0)
    np.testing.assert_array_equal(function.evaluate(arithmetic, POINTS), expected)
    np.testing.assert_array_equal(function(POINTS), expected)
    assert hash(function) == hash(deep(3000))
    assert function == deep(3000)
    assert str(function).endswith("...")
    assert function.proven
    assert function.rational(Fraction(-1)) == 0


def test_a_formula_is_written_in_bounded_length() -> None:
    assert str(reused(2)) == "x*sigmoid(x)*sigmoid(x*sigmoid(x))"
    assert len(str(reused(60))) <= 512


@pytest.mark.parametrize("levels", [3, 40])
def test_where_a_reused_expression_is_defined(levels: int) -> None:
    """A quotient asks every factor below where it is zero, and each once."""
    h: Function = X - 1
    for _ in range(levels):
        h = h * functions.exp(h)
    assert Fraction(1) not in (1 / h).domain
    assert Fraction(2) in (1 / h).domain


def test_a_domain_that_cannot_be_worked_out_can_be_stated_around_a_reused_expression() -> None:
    unknown = functions.log(reused(3) - X)
    with pytest.raises(InvalidInputError, match="state the domain"):
        _ = (unknown * unknown + unknown).domain
    stated = unknown.on(2, 3)
    assert Fraction(5, 2) in (stated + functions.exp(stated)).domain


@given(st.lists(st.sampled_from(["add", "multiply", "tanh", "square", "share"]), max_size=12), st.floats(-2, 2))
def test_a_graph_is_the_function_that_its_steps_compute(steps: list[str], x: float) -> None:
    function: Function = X
    value = np.asarray(x)
    with np.errstate(all="ignore"):
        for step in steps:
            match step:
                case "add":
                    function, value = function + X, value + x
                case "multiply":
                    function, value = function * functions.tanh(X), value * np.tanh(x)
                case "tanh":
                    function, value = functions.tanh(function), np.tanh(value)
                case "square":
                    function, value = function * function, np.power(value, 2.0)
                case "share":
                    function, value = function + functions.tanh(function), value + np.tanh(value)
        np.testing.assert_allclose(function.evaluate(FloatArithmetic(), np.asarray(x)), value, rtol=1e-9, atol=1e-12)
