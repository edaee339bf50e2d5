"""Real functions of one real variable, as small expression trees.

`X` is the identity. Everything else is made from it with `+ - * /`, constants, and the ready-made functions below,
which are themselves trees: called with a tree they compose (`exp(-X)` is e^-x), called with an array they evaluate.

    gelu = 0.5 * X * (1 + erf(X / sqrt(constant(2))))

A tree is a mathematical function over the reals, not a program in float64: it can be evaluated in float64, enclosed
rigorously over intervals, and computed to any precision, and all three mean the same function.
"""

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, TypeVar, Union, overload

import mpmath
import numpy as np
import numpy.typing as npt

from zkinfer.approx import intervals, primitives
from zkinfer.approx.arithmetic import Arithmetic, BigRanges, Ranges, Slopes, Values
from zkinfer.approx.custom import Custom, Promise, check_enclosure_signature, closed_domain
from zkinfer.approx.domain import LINE, NEGATIVE, NOT_NEGATIVE, NOT_ZERO, NOWHERE, POSITIVE, Domain, Piece
from zkinfer.approx.intervals import FloatArray, Interval
from zkinfer.approx.multiprecision import BigInterval
from zkinfer.approx.primitives import Primitive
from zkinfer.errors import InvalidInputError, NotFiniteError, ToleranceError

T = TypeVar("T")
Operand = Union["Function", float, int, Fraction]

MAX_BITS = 1 << 13
"""Precision at which undecided questions are given up."""


class Function:
    """A real function of one real variable; immutable, hashable, equal to trees of the same form."""

    # numpy hands `np.float32(2) * X` over to us instead of looping over it.
    __array_ufunc__ = None

    def evaluate(self, arithmetic: Arithmetic[T], x: T) -> T:
        """The function of `x` in an arithmetic: see `zkinfer.approx.arithmetic`."""
        raise NotImplementedError

    def children(self) -> tuple["Function", ...]:
        """The operands of the outermost operation."""
        return ()

    @property
    def primitives(self) -> frozenset[Primitive]:
        """Every primitive in the tree."""
        return frozenset().union(*(child.primitives for child in self.children()))

    @property
    def name(self) -> str:
        """Short name for people."""
        return str(self)

    @property
    def proven(self) -> bool:
        """Whether `enclose` is rigorous; False if a user-defined function without a promise is in it."""
        return all(p.proven for p in self.primitives)

    @property
    def has_reference(self) -> bool:
        """Whether `exact` works: no user-defined function without a multiprecision reference is in it."""
        return not any(isinstance(p, Custom) and p.reference is None for p in self.primitives)

    @cached_property
    def domain(self) -> Domain:
        """Where the function is defined: a union of intervals with exact ends.

        Raises:
            InvalidInputError: it could not be worked out; `on` states it.
        """
        return _domain(self)

    @overload
    def __call__(self, x: "Function") -> "Function": ...
    @overload
    def __call__(self, x: npt.ArrayLike) -> FloatArray: ...
    def __call__(self, x: Any) -> Any:
        """Float64 values at an array of any shape (NaN where undefined), or the composition with a tree."""
        if isinstance(x, Function):
            return self.compose(x)
        array = np.asarray(x, dtype=np.float64)
        with np.errstate(all="ignore"):
            result = np.broadcast_to(self.evaluate(Values(), array), array.shape)
            return np.where(self.domain.contains(array), result, np.nan)

    def compose(self, inner: "Function") -> "Function":
        """The function `x -> self(inner(x))`."""
        return self.evaluate(_Trees(), inner)

    def point(self, x: npt.ArrayLike) -> Interval:
        """Rigorous float64 bounds of the function's values at points of its domain."""
        array = np.asarray(x, dtype=np.float64)
        with np.errstate(all="ignore"):
            result = self.evaluate(Ranges(), Interval(array, array))
        return Interval(np.broadcast_to(result.lo, array.shape), np.broadcast_to(result.hi, array.shape))

    def enclose(self, lo: npt.ArrayLike, hi: npt.ArrayLike) -> Interval:
        """Rigorous bounds over intervals: every f(x), lo <= x <= hi, x in the domain, lies within the result.

        Args:
            lo, hi: arrays of one shape, lo <= hi; may be infinite.

        Returns:
            Arrays (lo, hi) of that shape; infinite where no bound is known.

        Raises:
            InvalidInputError: an interval is inverted or the function has no enclosure (see `proven`).
            NotFiniteError: an end is NaN.
        """
        if not self.proven:
            raise InvalidInputError(f"{self.name}: without a promise there is no enclosure; give `custom` an enclosure")
        low, high = np.broadcast_arrays(np.asarray(lo, dtype=np.float64), np.asarray(hi, dtype=np.float64))
        if np.isnan(low).any() or np.isnan(high).any():
            raise NotFiniteError(f"{self.name}: an end of an interval is NaN")
        if (low > high).any():
            raise InvalidInputError(f"{self.name}: an interval is inverted, lo > hi")
        return self._enclose(Interval(low, high))

    def _enclose(self, x: Interval) -> Interval:
        with np.errstate(all="ignore"):
            slopes = Slopes()
            natural, slope = self.evaluate(slopes, slopes.variable(x))
            start, end = self.point(x.lo), self.point(x.hi)
            # Monotone on the interval: the range is known from its ends.
            rising, falling = slope.lo >= 0, slope.hi <= 0
            best = intervals.intersect(
                natural,
                Interval(
                    np.where(rising, start.lo, np.where(falling, end.lo, -np.inf)),
                    np.where(rising, end.hi, np.where(falling, start.hi, np.inf)),
                ),
            )
            # Mean value form: f(middle) + slope * (x - middle).
            middle = np.where(np.isfinite(x.lo) & np.isfinite(x.hi), x.lo + (x.hi - x.lo) / 2, np.nan)
            reach = Interval(np.nextafter(x.lo - middle, -np.inf), np.nextafter(x.hi - middle, np.inf))
            centred = intervals.add(self.point(middle), intervals.multiply(slope, reach))
            best = intervals.intersect(best, centred)
        return Interval(np.broadcast_to(best.lo, x.lo.shape), np.broadcast_to(best.hi, x.lo.shape))

    def enclose_exact(self, x: Fraction, bits: int) -> BigInterval:
        """Bounds of the value at one rational point, by interval arithmetic with `bits` of precision."""
        arithmetic = BigRanges(bits)
        return self.evaluate(arithmetic, arithmetic.constant(x))

    def exact(self, x: float | Fraction, bits: int = 128) -> Any:
        """The value at one point as an mpmath `mpf` with `bits` correct bits.

        Raises:
            InvalidInputError: x is outside the domain, or a user-defined function has no reference.
            ToleranceError: the precision is not reached with `MAX_BITS` of working precision.
        """
        point = Fraction(x)
        if point not in self.domain:
            raise InvalidInputError(f"{self.name} is not defined at {x}")
        working = bits + 32
        while working <= MAX_BITS + bits:
            low, high = self.enclose_exact(point, working)
            if low == high or high - low <= abs(low) * mpmath.ldexp(1, -bits):
                return mpmath.mp.make_mpf(((low + high) / 2)._mpf_)
            working *= 2
        raise ToleranceError(f"{self.name} at {x}: {bits} bits were not reached; is the value exactly zero?")

    def named(self, name: str) -> "Function":
        """The same function under a short name."""
        return Named(self, name)

    def on(self, lo: float | Fraction = -math.inf, hi: float | Fraction = math.inf) -> "Function":
        """The same function, stated by the caller to be defined on the closed interval from lo to hi and nowhere else."""
        return Restricted(self, closed_domain(lo, hi))

    def __add__(self, other: Operand) -> "Function":
        return _sum(self, lift(other))

    def __radd__(self, other: Operand) -> "Function":
        return _sum(lift(other), self)

    def __sub__(self, other: Operand) -> "Function":
        return _sum(self, -lift(other))

    def __rsub__(self, other: Operand) -> "Function":
        return _sum(lift(other), -self)

    def __mul__(self, other: Operand) -> "Function":
        return _product(self, lift(other))

    def __rmul__(self, other: Operand) -> "Function":
        return _product(lift(other), self)

    def __truediv__(self, other: Operand) -> "Function":
        return _quotient(self, lift(other))

    def __rtruediv__(self, other: Operand) -> "Function":
        return _quotient(lift(other), self)

    def __neg__(self) -> "Function":
        return _product(Constant(Fraction(-1)), self)

    def __pow__(self, exponent: float | Fraction) -> "Function":
        return power(exponent)(self)

    def __abs__(self) -> "Function":
        return abs_(self)


@dataclass(frozen=True)
class Variable(Function):
    """The identity, x."""

    def evaluate(self, arithmetic: Arithmetic[T], x: T) -> T:
        return x

    def __str__(self) -> str:
        return "x"


@dataclass(frozen=True)
class Constant(Function):
    """A rational constant; floats are taken at their exact value."""

    constant: Fraction

    def evaluate(self, arithmetic: Arithmetic[T], x: T) -> T:
        return arithmetic.constant(self.constant)

    def __str__(self) -> str:
        return str(self.constant) if self.constant.denominator < 100 else repr(float(self.constant))


@dataclass(frozen=True)
class Pi(Function):
    """The circle's constant."""

    def evaluate(self, arithmetic: Arithmetic[T], x: T) -> T:
        return arithmetic.pi()

    def __str__(self) -> str:
        return "pi"


@dataclass(frozen=True)
class _Binary(Function):
    left: Function
    right: Function

    def children(self) -> tuple[Function, ...]:
        return self.left, self.right


class Sum(_Binary):
    """left + right."""

    def evaluate(self, arithmetic: Arithmetic[T], x: T) -> T:
        return arithmetic.add(self.left.evaluate(arithmetic, x), self.right.evaluate(arithmetic, x))

    def __str__(self) -> str:
        return f"({self.left} + {self.right})"


class Product(_Binary):
    """left * right."""

    def evaluate(self, arithmetic: Arithmetic[T], x: T) -> T:
        return arithmetic.multiply(self.left.evaluate(arithmetic, x), self.right.evaluate(arithmetic, x))

    def __str__(self) -> str:
        return f"{self.left}*{self.right}"


class Quotient(_Binary):
    """left / right; undefined where right is zero."""

    def evaluate(self, arithmetic: Arithmetic[T], x: T) -> T:
        return arithmetic.divide(self.left.evaluate(arithmetic, x), self.right.evaluate(arithmetic, x))

    def __str__(self) -> str:
        return f"({self.left} / {self.right})"


class Minimum(_Binary):
    """The smaller of two."""

    def evaluate(self, arithmetic: Arithmetic[T], x: T) -> T:
        return arithmetic.minimum(self.left.evaluate(arithmetic, x), self.right.evaluate(arithmetic, x))

    def __str__(self) -> str:
        return f"min({self.left}, {self.right})"


class Maximum(_Binary):
    """The larger of two."""

    def evaluate(self, arithmetic: Arithmetic[T], x: T) -> T:
        return arithmetic.maximum(self.left.evaluate(arithmetic, x), self.right.evaluate(arithmetic, x))

    def __str__(self) -> str:
        return f"max({self.left}, {self.right})"


@dataclass(frozen=True)
class Power(Function):
    """A power with a positive integer exponent."""

    base: Function
    exponent: int

    def evaluate(self, arithmetic: Arithmetic[T], x: T) -> T:
        return arithmetic.power(self.base.evaluate(arithmetic, x), self.exponent)

    def children(self) -> tuple[Function, ...]:
        return (self.base,)

    def __str__(self) -> str:
        return f"{self.base}^{self.exponent}"


@dataclass(frozen=True)
class Applied(Function):
    """A primitive of an inner function."""

    primitive: Primitive
    argument: Function

    def evaluate(self, arithmetic: Arithmetic[T], x: T) -> T:
        return arithmetic.apply(self.primitive, self.argument.evaluate(arithmetic, x))

    def children(self) -> tuple[Function, ...]:
        return (self.argument,)

    @property
    def primitives(self) -> frozenset[Primitive]:
        return self.argument.primitives | {self.primitive}

    def __str__(self) -> str:
        return f"{self.primitive.name}({self.argument})"


@dataclass(frozen=True)
class Named(Function):
    """An expression with a short name."""

    inner: Function
    label: str

    def evaluate(self, arithmetic: Arithmetic[T], x: T) -> T:
        return self.inner.evaluate(arithmetic, x)

    def children(self) -> tuple[Function, ...]:
        return (self.inner,)

    @property
    def name(self) -> str:
        return self.label

    def __str__(self) -> str:
        return str(self.inner)


@dataclass(frozen=True)
class Restricted(Function):
    """An expression with a domain stated by the user."""

    inner: Function
    stated: Domain

    def evaluate(self, arithmetic: Arithmetic[T], x: T) -> T:
        return self.inner.evaluate(arithmetic, x)

    def children(self) -> tuple[Function, ...]:
        return (self.inner,)

    @property
    def name(self) -> str:
        return self.inner.name

    def __str__(self) -> str:
        return str(self.inner)


class _Trees:
    """The arithmetic in which evaluation is substitution."""

    def constant(self, value: Fraction) -> Function:
        return Constant(value)

    def pi(self) -> Function:
        return Pi()

    def add(self, a: Function, b: Function) -> Function:
        return _sum(a, b)

    def multiply(self, a: Function, b: Function) -> Function:
        return _product(a, b)

    def divide(self, a: Function, b: Function) -> Function:
        return _quotient(a, b)

    def minimum(self, a: Function, b: Function) -> Function:
        return minimum(a, b)

    def maximum(self, a: Function, b: Function) -> Function:
        return maximum(a, b)

    def power(self, a: Function, exponent: int) -> Function:
        return Power(a, exponent)

    def apply(self, primitive: Primitive, a: Function) -> Function:
        return Applied(primitive, a)


def lift(value: Operand) -> Function:
    """A number as a constant function; a function as it is.

    Raises:
        InvalidInputError: neither.
        NotFiniteError: NaN or infinity.
    """
    if isinstance(value, Function):
        return value
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, Fraction):
        return Constant(value)
    if isinstance(value, numbers.Integral | np.integer):
        return Constant(Fraction(int(value)))
    if isinstance(value, numbers.Real | np.floating):
        if not math.isfinite(value):
            raise NotFiniteError(f"{value} cannot be a constant of a function")
        return Constant(Fraction(float(value)))
    raise InvalidInputError(f"a function or a number is needed, got {type(value).__name__}")


def constant(value: Operand) -> Function:
    """The constant function of this value; a float means its exact value."""
    return lift(value)


def _sum(a: Function, b: Function) -> Function:
    match a, b:
        case Constant(constant=x), Constant(constant=y):
            return Constant(x + y)
        case Constant(constant=x), _ if x == 0:
            return b
        case _, Constant(constant=y) if y == 0:
            return a
    return Sum(a, b)


def _product(a: Function, b: Function) -> Function:
    match a, b:
        case Constant(constant=x), Constant(constant=y):
            return Constant(x * y)
        case Constant(constant=x), _ if x == 1:
            return b
        case _, Constant(constant=y):
            return _product(b, a)
        case Constant(constant=x), Product(left=Constant(constant=y), right=rest):
            return _product(Constant(x * y), rest)
    return Power(a, 2) if a == b else Product(a, b)


def _quotient(a: Function, b: Function) -> Function:
    match a, b:
        case _, Constant(constant=y) if y == 0:
            raise InvalidInputError(f"{a} is divided by zero")
        case Constant(constant=x), Constant(constant=y):
            return Constant(x / y)
        case _, Constant(constant=y) if y.denominator == 1 and abs(y.numerator).bit_count() == 1:
            return _product(Constant(1 / y), a)
    return Quotient(a, b)


def minimum(a: Operand, b: Operand) -> Function:
    """The smaller of two functions or numbers."""
    return Minimum(lift(a), lift(b))


def maximum(a: Operand, b: Operand) -> Function:
    """The larger of two functions or numbers."""
    return Maximum(lift(a), lift(b))


def clip(lo: float | None = None, hi: float | None = None) -> Function:
    """The identity held within bounds: ONNX's Clip. None or an infinity means no bound.

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
    """x ** exponent for a constant exponent. Exponents that are no integers are taken at their float64 value."""
    value = Fraction(exponent)
    if value.denominator == 1:
        n = int(value)
        if n == 0:
            return Constant(Fraction(1))
        whole: Function = X if abs(n) == 1 else Power(X, abs(n))
        return whole if n > 0 else 1 / whole
    if value == Fraction(1, 2):
        return sqrt
    if value == Fraction(-1, 2):
        return rsqrt
    return Applied(primitives.real_power(float(exponent)), X)


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


def custom(
    name: str,
    function: Callable[[FloatArray], FloatArray],
    enclosure: Promise | None = None,
    domain: tuple[float, float] = (-math.inf, math.inf),
    exact: Callable[[Any], Any] | None = None,
) -> Function:
    """A user-defined function.

    Args:
        name: for people.
        function: vectorized: float64 array to array of the same shape, finite on the domain.
        enclosure: `Lipschitz(c)`, `Increasing()`, `Decreasing()`, or a function (lo, hi) -> (lo, hi) of arrays that
            bounds f over intervals. Errors proven with it are as true as it is. Without it they are measured.
        domain: closed where finite.
        exact: the same function of an mpmath `mpf`, at mpmath's working precision. With it, tables are the same on
            every machine; without it, the function is whatever `function` returns on the machine that builds them.

    Raises:
        InvalidInputError: not callable, an empty domain, an enclosure of another kind.
    """
    if not callable(function):
        raise InvalidInputError(f"custom function {name!r} is not callable: {function!r}")
    check_enclosure_signature(enclosure)
    primitive = Custom(name, function, enclosure, closed_domain(*domain), exact)
    return Applied(primitive, X).named(name)


def _domain(function: Function) -> Domain:
    domain = LINE
    for child in function.children():
        domain &= child.domain
    match function:
        case Quotient(right=divisor):
            return domain & _preimage(divisor, NOT_ZERO)
        case Applied(primitive=primitive, argument=argument) if primitive.domain != LINE:
            return domain & _preimage(argument, primitive.domain)
        case Restricted(stated=stated):
            return stated
    return domain


def _preimage(function: Function, target: Domain) -> Domain:
    """Where the function's value lies in `target`.

    Raises:
        InvalidInputError: no rule applies.
    """
    match function:
        case Variable():
            return target
        case Named(inner=inner) | Restricted(inner=inner):
            return _preimage(inner, target)
        case Sum(left=inner, right=Constant(constant=c)) | Sum(left=Constant(constant=c), right=inner):
            return _preimage(inner, target.map_affine(Fraction(1), -c))
        case Product(left=Constant(constant=c), right=inner) if c:
            return _preimage(inner, target.map_affine(1 / c, Fraction(0)))
        case Quotient(left=inner, right=Constant(constant=c)):
            return _preimage(inner, target.map_affine(c, Fraction(0)))
        case Maximum(left=a, right=b) if target in (POSITIVE, NOT_NEGATIVE):
            return _preimage(a, target) | _preimage(b, target)
        case Minimum(left=a, right=b) if target in (POSITIVE, NOT_NEGATIVE):
            return _preimage(a, target) & _preimage(b, target)
        case Power(base=base, exponent=n) if n % 2 == 1 and target in (POSITIVE, NEGATIVE, NOT_NEGATIVE, NOT_ZERO):
            return _preimage(base, target)
        case Power(base=inner) | Applied(primitive=primitives.ABS, argument=inner) if target in (POSITIVE, NOT_ZERO):
            return _preimage(inner, NOT_ZERO)
        case Applied(primitive=p, argument=inner) if target == NOT_ZERO and p in _ROOT_AT_ZERO:
            return _preimage(inner, NOT_ZERO)
        case Applied(primitive=p, argument=inner) if target == POSITIVE and p in _ROOT_AT_ZERO:
            return _preimage(inner, POSITIVE)
        case Applied(primitive=p, argument=inner) if p == primitives.LOG and target in (NOT_ZERO, POSITIVE):
            return _preimage(inner, target.map_affine(Fraction(1), Fraction(1)))
    bounds = _bounds(function)
    if bounds is not None:
        if bounds & target == bounds:
            return LINE
        if not (bounds & target).pieces:
            return NOWHERE
    raise InvalidInputError(
        f"cannot work out where {function} lies in {target}; state the domain of the function with .on(lo, hi)"
    )


_ROOT_AT_ZERO = frozenset({primitives.SQRT, primitives.TANH, primitives.ERF})


def _bounds(function: Function) -> Domain | None:
    """An interval that contains every value of the function."""
    if not function.proven:
        return None
    with np.errstate(all="ignore"):
        line = intervals.everything()
        lo, hi = (float(end) for end in function.evaluate(Ranges(), line))
    # The range of exp and its like is open at zero: a positive function plus nothing else.
    included = not (lo == 0 and _positive(function))
    return Domain.of(
        Piece(
            Fraction(lo) if math.isfinite(lo) else None,
            Fraction(hi) if math.isfinite(hi) else None,
            lo_included=math.isfinite(lo) and included,
            hi_included=math.isfinite(hi),
        )
    )


def _positive(function: Function) -> bool:
    match function:
        case Named(inner=inner) | Restricted(inner=inner):
            return _positive(inner)
        case Applied(primitive=p):
            return p in (primitives.EXP, primitives.SIGMOID, primitives.SOFTPLUS, primitives.RSQRT)
    return False


X = Variable()
PI = Pi()
exp = Applied(primitives.EXP, X)
log = Applied(primitives.LOG, X)
erf = Applied(primitives.ERF, X)
tanh = Applied(primitives.TANH, X)
sigmoid = Applied(primitives.SIGMOID, X)
softplus = Applied(primitives.SOFTPLUS, X)
sqrt = Applied(primitives.SQRT, X)
rsqrt = Applied(primitives.RSQRT, X)
abs_ = Applied(primitives.ABS, X)
floor = Applied(primitives.FLOOR, X)
ceil = Applied(primitives.CEIL, X)
round_half_even = Applied(primitives.ROUND, X)
sign = Applied(primitives.SIGN, X)
step = Applied(primitives.STEP, X)
reciprocal = (1 / X).named("reciprocal")
relu = maximum(X, 0).named("relu")
gelu = (X * (1 + erf(X / sqrt(constant(2)))) / 2).named("gelu")
gelu_tanh = (X * (1 + tanh(sqrt(2 / PI) * (X + Fraction(44715, 10**6) * X**3))) / 2).named("gelu_tanh")
silu = (X * sigmoid).named("silu")
hardswish = (X * clip(0, 6)(X + 3) / 6).named("hardswish")
softsign = (X / (1 + abs_)).named("softsign")
mish = (X * tanh(softplus)).named("mish")
