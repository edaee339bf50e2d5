"""The functions that tables are built from, and the means to write more.

`X` is the identity. Other functions are made from it with `+ - * / **`, numbers, and the functions below, which are
expressions too: called with an expression they compose, called with an array they evaluate.

    half_gelu = 0.5 * gelu
    quick_gelu = X * sigmoid(1.702 * X)
    quick_gelu([-1.0, 0.0, 1.0])

A new activation function is one line at the end of this file.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from zkinfer.compiler.approx import primitives
from zkinfer.compiler.approx.custom import (
    Custom,
    Decreasing,
    Increasing,
    Lipschitz,
    Promise,
    check_promise,
    closed_domain,
)
from zkinfer.compiler.approx.expressions import (
    Applied,
    Function,
    FunctionLike,
    Maximum,
    Minimum,
    Pi,
    Variable,
    lift,
    raise_to,
)
from zkinfer.errors import InvalidInputError
from zkinfer.typing import FloatArray

__all__ = [
    "PI", "Decreasing", "Function", "Increasing", "Lipschitz", "X", "abs_", "acosh", "asinh", "atan", "ceil", "clip",
    "constant", "cos", "cosh", "custom", "elu", "erf", "exp", "floor", "gelu", "gelu_tanh", "hardsigmoid", "hardswish",
    "leaky_relu", "log", "maximum", "minimum", "mish", "power", "reciprocal", "relu", "round_half_even", "rsqrt",
    "selu", "sigmoid", "sign", "silu", "sin", "sinh", "softplus", "softsign", "sqrt", "step", "tanh",
]  # fmt: skip

X = Variable()
PI = Pi()


def constant(value: FunctionLike) -> Function:
    """The constant function of this value; a float means its exact value."""
    return lift(value)


def minimum(a: FunctionLike, b: FunctionLike) -> Function:
    """The smaller of two functions or numbers."""
    return Minimum(lift(a), lift(b))


def maximum(a: FunctionLike, b: FunctionLike) -> Function:
    """The larger of two functions or numbers."""
    return Maximum(lift(a), lift(b))


def clip(lo: float | None = None, hi: float | None = None) -> Function:
    """The identity clamped to bounds: ONNX's Clip. None or infinity means no bound.

    Raises:
        InvalidInputError: lo > hi.
    """
    low = None if lo is None or lo == -math.inf else lo
    high = None if hi is None or hi == math.inf else hi
    if low is not None and high is not None and low > high:
        raise InvalidInputError(f"clip needs lo <= hi, got {lo} and {hi}")
    result: Function = X if low is None else maximum(X, low)
    return result if high is None else minimum(result, high)


def power(exponent: float | Fraction) -> Function:
    """x ** exponent for a constant exponent; one that is not an integer is rounded to float64."""
    return raise_to(X, exponent)


def custom(
    name: str,
    function: Callable[[FloatArray], FloatArray],
    enclosure: Promise | None = None,
    domain: tuple[float, float] = (-math.inf, math.inf),
    exact: Callable[[Any], Any] | None = None,
) -> Function:
    """A user-defined function.

    Args:
        name: for display.
        function: vectorized: float64 array to array of the same shape, element by element, finite on the domain.
        enclosure: `Lipschitz(c)`, `Increasing()`, `Decreasing()`, or a function (lo, hi) -> (lo, hi) of arrays that
            bounds f over intervals. Errors that are proven with it hold if it holds. Without it, errors are measured.
        domain: closed where finite.
        exact: the same function of one mpmath `mpf`, at mpmath's working precision. With it, tables are the same on
            every machine, provided that `function` is within 8 units in the last place of it; without it, the function
            is by definition what `function` returns on the machine that builds the table.

    Raises:
        InvalidInputError: not callable, an empty domain, an enclosure of another kind.
    """
    if not callable(function):
        raise InvalidInputError(f"custom function {name!r} is not callable: {function!r}")
    check_promise(enclosure)
    return Applied(Custom(name, function, enclosure, closed_domain(*domain), exact), X).named(name)


exp = Applied(primitives.EXP, X).named("exp")
log = Applied(primitives.LOG, X).named("log")
erf = Applied(primitives.ERF, X).named("erf")
tanh = Applied(primitives.TANH, X).named("tanh")
sigmoid = Applied(primitives.SIGMOID, X).named("sigmoid")
softplus = Applied(primitives.SOFTPLUS, X).named("softplus")
sin = Applied(primitives.SIN, X).named("sin")
cos = Applied(primitives.COS, X).named("cos")
atan = Applied(primitives.ATAN, X).named("atan")
asinh = Applied(primitives.ASINH, X).named("asinh")
acosh = Applied(primitives.ACOSH, X).named("acosh")
sqrt = Applied(primitives.SQRT, X).named("sqrt")
rsqrt = Applied(primitives.RSQRT, X).named("rsqrt")
abs_ = Applied(primitives.ABS, X).named("abs")
floor = Applied(primitives.FLOOR, X).named("floor")
ceil = Applied(primitives.CEIL, X).named("ceil")
round_half_even = Applied(primitives.ROUND, X).named("round")
sign = Applied(primitives.SIGN, X).named("sign")
step = Applied(primitives.STEP, X).named("step")
"""1 where x >= 0, else 0."""


def leaky_relu(alpha: float = 0.01) -> Function:
    """x where x >= 0, else alpha * x."""
    sloped = alpha * X
    return (maximum(X, sloped) if alpha <= 1 else minimum(X, sloped)).named("leaky_relu")


def hardsigmoid(alpha: float | Fraction = 0.2, beta: float | Fraction = 0.5) -> Function:
    """max(0, min(1, alpha * x + beta)): ONNX's HardSigmoid with its default coefficients."""
    return clip(0, 1)(alpha * X + beta).named("hardsigmoid")


def elu(alpha: float = 1.0) -> Function:
    """x where x >= 0, else alpha * (e^x - 1)."""
    return (relu + alpha * (exp(minimum(X, 0)) - 1)).named("elu")


def selu(alpha: float = 1.6732632423543772, gamma: float = 1.0507009873554805) -> Function:
    """gamma * elu(alpha): ONNX's Selu with its default coefficients."""
    return (gamma * elu(alpha)).named("selu")


reciprocal = (1 / X).named("reciprocal")
relu = maximum(X, 0).named("relu")
gelu = (X * (1 + erf(X / sqrt(constant(2)))) / 2).named("gelu")
gelu_tanh = (X * (1 + tanh(sqrt(2 / PI) * (X + Fraction("0.044715") * X**3))) / 2).named("gelu_tanh")
silu = (X * sigmoid).named("silu")
hardswish = (X * clip(0, 6)(X + 3) / 6).named("hardswish")
softsign = (X / (1 + abs_)).named("softsign")
mish = (X * tanh(softplus)).named("mish")
sinh = ((exp - exp(-X)) / 2).named("sinh")
cosh = ((exp + exp(-X)) / 2).named("cosh")
