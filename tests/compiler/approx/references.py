"""The ready-made functions written a second time, in mpmath alone: what the library is compared with."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
from mpmath import mpf

from zkinfer.compiler.approx import functions
from zkinfer.compiler.approx.functions import Function

BITS = 150
"""Working precision of the references."""

TIE_BITS = 2500
"""The same near ties: the tanh form of GELU at 25 differs from 25 by 2^-1670."""


def _gelu_tanh(x: Any) -> Any:
    inner = mpmath.sqrt(2 / mpmath.pi) * (x + mpf(44715) / 1000000 * x**3)
    return x * (1 + mpmath.tanh(inner)) / 2


REFERENCES: dict[str, tuple[Function, Callable[[Any], Any]]] = {
    "gelu": (functions.gelu, lambda x: x * mpmath.ncdf(x)),
    "gelu_tanh": (functions.gelu_tanh, _gelu_tanh),
    "silu": (functions.silu, lambda x: x / (1 + mpmath.exp(-x))),
    "tanh": (functions.tanh, lambda x: 1 - 2 / (mpmath.exp(2 * x) + 1)),
    "sigmoid": (functions.sigmoid, lambda x: (1 + mpmath.tanh(x / 2)) / 2),
    "exp": (functions.exp, lambda x: mpmath.e**x),
    "reciprocal": (functions.reciprocal, lambda x: 1 / x),
    "rsqrt": (functions.rsqrt, lambda x: 1 / mpmath.sqrt(x)),
    "sqrt": (functions.sqrt, lambda x: mpmath.sqrt(x)),
    "log": (functions.log, lambda x: mpmath.log(x)),
    "erf": (functions.erf, lambda x: 1 - mpmath.erfc(x)),
    "softplus": (functions.softplus, lambda x: mpmath.log(1 + mpmath.exp(x))),
    "relu": (functions.relu, lambda x: x if x > 0 else mpf(0)),
    "leaky_relu": (functions.leaky_relu(0.125), lambda x: x if x > 0 else x / 8),
    "hardswish": (functions.hardswish, lambda x: x * min(max(x + 3, mpf(0)), mpf(6)) / 6),
    "hardsigmoid": (functions.hardsigmoid(Fraction(1, 6)), lambda x: min(max(x / 6 + mpf(1) / 2, mpf(0)), mpf(1))),
    "softsign": (functions.softsign, lambda x: x / (1 + abs(x))),
    "mish": (functions.mish, lambda x: x * mpmath.tanh(mpmath.log(1 + mpmath.exp(x)))),
    "elu": (functions.elu(1.5), lambda x: x if x > 0 else mpf(1.5) * mpmath.expm1(x)),
    "sin": (functions.sin, lambda x: mpmath.sin(x)),
    "cos": (functions.cos, lambda x: mpmath.cos(x)),
    "atan": (functions.atan, lambda x: mpmath.asin(x / mpmath.sqrt(1 + x * x))),
    "sinh": (functions.sinh, lambda x: mpmath.sinh(x)),
    "cosh": (functions.cosh, lambda x: mpmath.cosh(x)),
    "asinh": (functions.asinh, lambda x: mpmath.asinh(x)),
    "acosh": (functions.acosh, lambda x: mpmath.acosh(x)),
    "abs": (functions.abs_, lambda x: abs(x)),
    "square": (functions.power(2), lambda x: x * x),
    "cube": (functions.power(3), lambda x: x * x * x),
    "inverse square": (functions.power(-2), lambda x: 1 / (x * x)),
    "power 1.75": (functions.power(1.75), lambda x: mpmath.sqrt(mpmath.sqrt(x**7))),
    "power -0.75": (functions.power(-0.75), lambda x: 1 / mpmath.sqrt(mpmath.sqrt(x**3))),
    "floor": (functions.floor, lambda x: mpmath.floor(x)),
    "ceil": (functions.ceil, lambda x: mpmath.ceil(x)),
    "round": (functions.round_half_even, lambda x: mpmath.nint(x)),
    "sign": (functions.sign, lambda x: mpmath.sign(x)),
    "step": (functions.step, lambda x: mpf(1) if x >= 0 else mpf(0)),
}
"""Name: the library's function, and the reference (of an mpf in the domain, at mpmath's working precision)."""

NAMES = sorted(REFERENCES)
JUMPS = {"floor", "ceil", "round", "sign", "step"}
"""Functions that are not continuous."""


def real(x: Fraction | float) -> Any:
    """The mpf of a dyadic number."""
    value = Fraction(x)
    return mpf(value.numerator) / value.denominator


def correctly_rounded(reference: Callable[[Any], Any], x: Fraction, frac_bits: int, lo: int, hi: int) -> int:
    """What the entry for the point x has to be."""
    for bits in (BITS, TIE_BITS):
        with mpmath.workprec(bits):
            scaled = mpmath.ldexp(reference(real(x)), frac_bits) + mpf(1) / 2
            if abs(scaled - mpmath.nint(scaled)) > mpf(2) ** -40:
                break
    return int(min(max(mpmath.floor(scaled), mpf(lo)), mpf(hi)))
