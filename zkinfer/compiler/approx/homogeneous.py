"""Functions that a positive factor passes through: `f(c * x) = c * f(x)` for all c > 0, such as Relu and Abs."""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from zkinfer.compiler.approx.expressions import Function
from zkinfer.compiler.approx.primitives import ABS, Primitive


@dataclass(frozen=True)
class _Part:
    """A part of a function: a number, or, where that is None, a function that a positive factor passes through."""

    number: Fraction | None = None


class _OtherFunctionError(Exception):
    """The factor does not pass through."""


@lru_cache(maxsize=1024)
def is_homogeneous(function: Function) -> bool:
    """Whether a positive factor of x is one of the result, as its formula shows."""
    try:
        return function.evaluate(_Homogeneity(), _Part()).number is None
    except _OtherFunctionError:
        return False


class _Homogeneity:
    """The arithmetic of such parts: see `zkinfer.compiler.approx.arithmetic`."""

    def constant(self, value: Fraction) -> _Part:
        return _Part(value)

    def pi(self) -> _Part:
        raise _OtherFunctionError

    def add(self, a: _Part, b: _Part) -> _Part:
        if a.number is not None and b.number is not None:
            return _Part(a.number + b.number)
        return self._with_zero(a, b)

    def multiply(self, a: _Part, b: _Part) -> _Part:
        if a.number is None and b.number is None:
            raise _OtherFunctionError
        return _Part(None if a.number is None or b.number is None else a.number * b.number)

    def divide(self, a: _Part, b: _Part) -> _Part:
        if not b.number:
            raise _OtherFunctionError
        return _Part(None if a.number is None else a.number / b.number)

    def minimum(self, a: _Part, b: _Part) -> _Part:
        if a.number is not None and b.number is not None:
            return _Part(min(a.number, b.number))
        return self._with_zero(a, b)

    def maximum(self, a: _Part, b: _Part) -> _Part:
        if a.number is not None and b.number is not None:
            return _Part(max(a.number, b.number))
        return self._with_zero(a, b)

    def power(self, a: _Part, exponent: int) -> _Part:
        if a.number is None or (not a.number and exponent < 0):
            raise _OtherFunctionError
        return _Part(a.number**exponent)

    def apply(self, primitive: Primitive, a: _Part) -> _Part:
        if primitive != ABS or a.number is not None:
            raise _OtherFunctionError
        return a

    def _with_zero(self, a: _Part, b: _Part) -> _Part:
        """Of two parts, one of which is not a number: the other is none either, or zero."""
        if a.number or b.number:
            raise _OtherFunctionError
        return _Part()
