"""Which functions a positive factor passes through."""

import numpy as np
import pytest

from zkinfer.compiler.approx.functions import Function, X, abs_, exp, maximum, minimum, relu, sqrt
from zkinfer.compiler.approx.homogeneous import is_homogeneous

LEAKY = maximum(X, 0) + minimum(X, 0) * 0.125


@pytest.mark.parametrize(
    "function", [X, X * 3, X / -4, relu, LEAKY, maximum(X, -X), abs_, relu(X * 2) - X, maximum(X, X * 0.5)]
)
def test_lines_that_meet_at_zero_are(function: Function) -> None:
    assert is_homogeneous(function)
    x = np.linspace(-3, 3, 25)
    assert np.array_equal(function(8 * x), 8 * function(x))


@pytest.mark.parametrize(
    "function",
    [X + 1, X * X, abs_ + 1, maximum(X, 1), minimum(relu, 6), sqrt(relu), exp, 1 / X, X - X + 2, X**3, relu(X - 1)],
)
def test_others_are_not(function: Function) -> None:
    assert not is_homogeneous(function)
