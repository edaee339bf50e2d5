"""Real functions of one real variable, as small immutable expression trees.

A tree is a mathematical function over the reals, not a program in float64: it can be evaluated in float64, enclosed
rigorously over intervals, and computed to any precision, and all of these mean the same function. The ready-made
functions, and how to write new ones, are in `functions`.

Equal subtrees count once: `h * sigmoid(h)` is a graph with one node more than two times h. Every walk visits each of
`Function.nodes` once, so that a function applied to itself again and again takes time in its nodes, not in its paths.
"""

import math
import numbers
from contextlib import suppress
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple, TypeVar, Union, overload

import mpmath
import numpy as np
import numpy.typing as npt

from zkinfer.compiler.approx import intervals, primitives
from zkinfer.compiler.approx.arithmetic import (
    Arithmetic,
    BigIntervalArithmetic,
    FloatArithmetic,
    IntervalArithmetic,
    RationalArithmetic,
    SlopeArithmetic,
)
from zkinfer.compiler.approx.custom import Custom, closed_domain
from zkinfer.compiler.approx.domain import LINE, NOT_NEGATIVE, NOT_ZERO, NOWHERE, POSITIVE, Domain, Segment
from zkinfer.compiler.approx.intervals import IntervalArray
from zkinfer.compiler.approx.primitives import Primitive
from zkinfer.errors import InvalidInputError, NotFiniteError, ToleranceError
from zkinfer.typing import FloatArray

T = TypeVar("T")
FunctionLike = Union["Function", float, int, Fraction]

MAX_BITS = 1 << 13
"""The largest working precision that is tried."""


_MAX_TEXT = 512
"""Formulas longer than this are cut."""


class Enclosure(NamedTuple):
    """Bounds over intervals, and bounds at three points of each: its ends and its middle.

    Points outside the domain have NaN.
    """

    bounds: IntervalArray
    start: IntervalArray
    middle: IntervalArray
    end: IntervalArray


class Function:
    """A real function of one real variable; immutable, hashable, equal to trees of the same form."""

    # With this, numpy leaves `np.float32(2) * X` to the operators of this class.
    __array_ufunc__ = None

    def evaluate(self, arithmetic: Arithmetic[T], x: T) -> T:
        """The function of `x` in an arithmetic: see `zkinfer.compiler.approx.arithmetic`; each node once."""
        values: list[T | None] = [None] * len(self.nodes)
        for place, (node, operands, done) in enumerate(self._schedule):
            values[place] = node._applied(arithmetic, x, *(values[k] for k in operands))  # type: ignore[misc]
            for k in done:
                values[k] = None
        return values[-1]  # type: ignore[return-value]

    @cached_property
    def _schedule(self) -> tuple[tuple["Function", tuple[int, ...], tuple[int, ...]], ...]:
        """For each of `nodes` the places of its operands, and those of the values that nothing needs after it.

        Values can be large arrays: none is kept longer than it is needed.
        """
        place = {node: k for k, node in enumerate(self.nodes)}
        last = {place[child]: k for k, node in enumerate(self.nodes) for child in node.children}
        return tuple(
            (node, operands, tuple(i for i in dict.fromkeys(operands) if last[i] == k))
            for k, node in enumerate(self.nodes)
            for operands in [tuple(place[child] for child in node.children)]
        )

    def _applied(self, arithmetic: Arithmetic[T], x: T, *operands: T) -> T:
        """The outermost operation, of the values of its operands."""
        raise NotImplementedError

    @property
    def children(self) -> tuple["Function", ...]:
        """The operands of the outermost operation."""
        return ()

    @cached_property
    def nodes(self) -> tuple["Function", ...]:
        """Every different subtree once, operands before what is made of them; the last is the function itself."""
        return tuple(dict.fromkeys(_below(self)))

    @cached_property
    def _own(self) -> tuple[object, ...]:
        """What the outermost operation is, without its operands."""
        parts = (getattr(self, field.name) for field in fields(self))  # type: ignore[arg-type]
        return (type(self), *(part for part in parts if not isinstance(part, Function)))

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        _settle(self, "_hash")
        return hash((self._own, tuple(child._hash for child in self.children)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Function):
            return NotImplemented
        waiting, compared = [(self, other)], set()
        while waiting:
            a, b = waiting.pop()
            if a is b or (id(a), id(b)) in compared:
                continue
            if a._hash != b._hash or a._own != b._own:
                return False
            compared.add((id(a), id(b)))
            waiting += zip(a.children, b.children, strict=True)
        return True

    @cached_property
    def primitives(self) -> frozenset[Primitive]:
        """Every primitive in the tree."""
        return frozenset(node.primitive for node in self.nodes if isinstance(node, Applied))

    @property
    def name(self) -> str:
        """For display: the short name if it has one, else the formula."""
        return str(self)

    @cached_property
    def proven(self) -> bool:
        """Whether it can be enclosed: it contains no user-defined function without a promise."""
        return all(p.proven for p in self.primitives)

    @cached_property
    def has_reference(self) -> bool:
        """Whether it can be computed to any precision: every user-defined function in it has a reference."""
        return not any(isinstance(p, Custom) and p.reference is None for p in self.primitives)

    @cached_property
    def domain(self) -> Domain:
        """Where the function is defined: a union of intervals with exact ends.

        Raises:
            InvalidInputError: it cannot be worked out; the caller can state it with `on`.
        """
        _settle(self, "domain")
        domain = self._own_domain()
        for child in self.children:
            domain &= child.domain
        return domain

    def _own_domain(self) -> Domain:
        """Where the outermost operation is defined, given that its operands are."""
        return LINE

    def preimage(self, target: Domain) -> Domain:
        """The set of points whose value, where defined, lies in `target`.

        Raises:
            InvalidInputError: it cannot be worked out.
        """
        if target not in self._preimages:
            self._preimages[target] = self._preimage(target)
        return self._preimages[target]

    @cached_property
    def _preimages(self) -> dict[Domain, Domain]:
        """Those that were worked out already."""
        return {}

    def _preimage(self, target: Domain) -> Domain:
        if self.proven:
            with np.errstate(all="ignore"):
                lo, hi = (float(end) for end in self.evaluate(IntervalArithmetic(), intervals.everything()))
            low, high = (Fraction(end) if math.isfinite(end) else None for end in (lo, hi))
            above_zero = lo == 0 and self._positive
            image = Domain.of(Segment(low, high, low is not None and not above_zero, high is not None))
            if image & target == image:
                return LINE
            if image & target == NOWHERE:
                return NOWHERE
        raise InvalidInputError(
            f"cannot work out where {self} lies in {target}; state the domain of what is around it with .on(lo, hi)"
        )

    @cached_property
    def _positive(self) -> bool:
        """Whether the value is known to be positive everywhere on the domain."""
        _settle(self, "_positive")
        return self._own_positive()

    def _own_positive(self) -> bool:
        """The same, of the outermost operation, by what is known of its operands."""
        return False

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    @cached_property
    def _text(self) -> str:
        _settle(self, "_text")
        text = self._written()
        return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 3]}..."

    def _written(self) -> str:
        """The formula, of the formulas of the operands."""
        raise NotImplementedError

    @overload
    def __call__(self, x: "Function") -> "Function": ...
    @overload
    def __call__(self, x: npt.ArrayLike) -> FloatArray: ...
    def __call__(self, x: Any) -> Any:
        """Float64 values at an array of any shape, NaN outside the domain; or the composition with a tree."""
        if isinstance(x, Function):
            return self.compose(x)
        array = np.asarray(x, dtype=np.float64)
        with np.errstate(all="ignore"):
            values = np.broadcast_to(self.evaluate(FloatArithmetic(), array), array.shape)
        return np.where(self.domain.contains(array), values, np.nan)

    def compose(self, inner: "Function") -> "Function":
        """The function `x -> self(inner(x))`."""
        return self if inner == Variable() else self.evaluate(_TreeArithmetic(), inner)

    def point(self, x: npt.ArrayLike) -> IntervalArray:
        """Rigorous float64 bounds of the values at an array of points; NaN outside the domain."""
        array = np.asarray(x, dtype=np.float64)
        with np.errstate(all="ignore"):
            lo, hi = self.evaluate(IntervalArithmetic(), IntervalArray(array, array))
        inside = self.domain.contains(array)
        return IntervalArray(np.where(inside, lo, np.nan), np.where(inside, hi, np.nan))

    def enclose(self, lo: npt.ArrayLike, hi: npt.ArrayLike) -> IntervalArray:
        """Rigorous bounds over intervals: every f(x), lo <= x <= hi, x in the domain, lies within the result.

        Args:
            lo, hi: arrays of one shape, lo <= hi; may be infinite.

        Returns:
            (lo, hi): arrays of that shape; infinite where no bound is known. For intervals outside the domain they have
            no meaning.

        Raises:
            InvalidInputError: an interval is inverted, or there is no enclosure (see `proven`).
            NotFiniteError: an end is NaN.
        """
        low, high = np.broadcast_arrays(np.asarray(lo, dtype=np.float64), np.asarray(hi, dtype=np.float64))
        if np.isnan(low).any() or np.isnan(high).any():
            raise NotFiniteError(f"{self.name}: an end of an interval is NaN")
        if (low > high).any():
            raise InvalidInputError(f"{self.name}: an interval is inverted, lo > hi")
        return self.enclose_and_sample(IntervalArray(low, high)).bounds

    def enclose_and_sample(self, x: IntervalArray) -> Enclosure:
        """As `enclose` for intervals that are in order, with the bounds at points, which it computes as well.

        Raises:
            InvalidInputError: there is no enclosure (see `proven`).
        """
        if not self.proven:
            raise InvalidInputError(f"{self.name} has no enclosure; make the custom functions in it with a promise")
        with np.errstate(all="ignore"):
            slopes = SlopeArithmetic()
            natural, slope = self.evaluate(slopes, slopes.variable(x))
            centre = np.where(np.isfinite(x.lo) & np.isfinite(x.hi), x.lo + (x.hi - x.lo) / 2, np.nan)
            start, middle, end = self.point(x.lo), self.point(centre), self.point(x.hi)
            # A function that is monotone over the interval is bounded by its ends. NaN bounds are ignored.
            rising, falling = slope.lo >= 0, slope.hi <= 0
            by_ends = IntervalArray(
                np.where(rising, start.lo, np.where(falling, end.lo, np.nan)),
                np.where(rising, end.hi, np.where(falling, start.hi, np.nan)),
            )
            # Mean value form: f(centre) + slope * (x - centre).
            reach = IntervalArray(np.nextafter(x.lo - centre, -np.inf), np.nextafter(x.hi - centre, np.inf))
            by_slope = intervals.add(middle, intervals.multiply(slope, reach))
            bounds = intervals.intersect(intervals.intersect(natural, by_ends), by_slope)
        shape = x.lo.shape
        return Enclosure(
            IntervalArray(np.broadcast_to(bounds.lo, shape), np.broadcast_to(bounds.hi, shape)), start, middle, end
        )

    def rational(self, x: Fraction) -> Fraction | None:
        """The exact value at a rational point; None if it may be irrational or undefined."""
        return self.evaluate(RationalArithmetic(), x)

    def exact(self, x: float | Fraction, bits: int = 128) -> Any:
        """The value at one point as an mpmath `mpf` with `bits` correct bits.

        Raises:
            InvalidInputError: x is outside the domain, or a user-defined function has no reference.
            ToleranceError: the precision is not reached with `MAX_BITS` more of working precision.
        """
        point = Fraction(x)
        if point not in self.domain:
            raise InvalidInputError(f"{self.name} is not defined at {x}")
        value = self.rational(point)
        if value is not None:
            with mpmath.workprec(bits + 8):
                return mpmath.mpf(value.numerator) / value.denominator
        working = bits + 32
        while working <= bits + MAX_BITS:
            arithmetic = BigIntervalArithmetic(working)
            low, high = self.evaluate(arithmetic, arithmetic.constant(point))
            if high - low <= arithmetic.context.ldexp(abs(low), -bits):
                return mpmath.mp.make_mpf(((low + high) / 2)._mpf_)
            working *= 2
        raise ToleranceError(
            f"{self.name} at {x}: no {bits} correct bits with {working // 2} bits; is it exactly zero?"
        )

    def named(self, name: str) -> "Function":
        """The same function under a short name."""
        return Named(self, name)

    def on(self, lo: float | Fraction = -math.inf, hi: float | Fraction = math.inf) -> "Function":
        """The same function on a closed interval only.

        Where the natural domain cannot be worked out, the caller states here that the function is defined there.
        """
        return Restricted(self, closed_domain(lo, hi))

    def __add__(self, other: FunctionLike) -> "Function":
        return add(self, lift(other))

    def __radd__(self, other: FunctionLike) -> "Function":
        return add(lift(other), self)

    def __sub__(self, other: FunctionLike) -> "Function":
        return add(self, -lift(other))

    def __rsub__(self, other: FunctionLike) -> "Function":
        return add(lift(other), -self)

    def __mul__(self, other: FunctionLike) -> "Function":
        return multiply(self, lift(other))

    def __rmul__(self, other: FunctionLike) -> "Function":
        return multiply(lift(other), self)

    def __truediv__(self, other: FunctionLike) -> "Function":
        return divide(self, lift(other))

    def __rtruediv__(self, other: FunctionLike) -> "Function":
        return divide(lift(other), self)

    def __neg__(self) -> "Function":
        return multiply(ConstantFunction(Fraction(-1)), self)

    def __pow__(self, exponent: float | Fraction) -> "Function":
        return raise_to(self, exponent)

    def __abs__(self) -> "Function":
        return Applied(primitives.ABS, self)


@dataclass(frozen=True, eq=False, repr=False)
class Variable(Function):
    """The identity, x."""

    def _applied(self, arithmetic: Arithmetic[T], x: T, *operands: T) -> T:
        return x

    def _preimage(self, target: Domain) -> Domain:
        return target

    def _written(self) -> str:
        return "x"


@dataclass(frozen=True, eq=False, repr=False)
class ConstantFunction(Function):
    """A rational constant; floats are taken at their exact value."""

    constant: Fraction

    def _applied(self, arithmetic: Arithmetic[T], x: T, *operands: T) -> T:
        return arithmetic.constant(self.constant)

    def _own_positive(self) -> bool:
        return self.constant > 0

    def _written(self) -> str:
        return str(self.constant) if self.constant.denominator < 100 else repr(float(self.constant))


@dataclass(frozen=True, eq=False, repr=False)
class Pi(Function):
    """The number pi."""

    def _applied(self, arithmetic: Arithmetic[T], x: T, *operands: T) -> T:
        return arithmetic.pi()

    def _written(self) -> str:
        return "pi"


@dataclass(frozen=True, eq=False, repr=False)
class _Binary(Function):
    left: Function
    right: Function

    @property
    def children(self) -> tuple[Function, ...]:
        return self.left, self.right

    def _own_positive(self) -> bool:
        return self.left._positive and self.right._positive


class Addition(_Binary):
    """left + right."""

    def _applied(self, arithmetic: Arithmetic[T], x: T, *operands: T) -> T:
        return arithmetic.add(*operands)

    def _preimage(self, target: Domain) -> Domain:
        for inner, other in ((self.left, self.right), (self.right, self.left)):
            if isinstance(other, ConstantFunction):
                return inner.preimage(target.map_affine(Fraction(1), -other.constant))
        return super()._preimage(target)

    def _written(self) -> str:
        return f"({self.left} + {self.right})"


class Multiplication(_Binary):
    """left * right."""

    def _applied(self, arithmetic: Arithmetic[T], x: T, *operands: T) -> T:
        return arithmetic.multiply(*operands)

    def _preimage(self, target: Domain) -> Domain:
        if isinstance(self.left, ConstantFunction) and self.left.constant:
            return self.right.preimage(target.map_affine(1 / self.left.constant, Fraction(0)))
        if target == NOT_ZERO:
            return self.left.preimage(target) & self.right.preimage(target)
        return super()._preimage(target)

    def _written(self) -> str:
        return f"{self.left}*{self.right}"


class Division(_Binary):
    """left / right; undefined where right is zero."""

    def _applied(self, arithmetic: Arithmetic[T], x: T, *operands: T) -> T:
        return arithmetic.divide(*operands)

    def _own_domain(self) -> Domain:
        return self.right.preimage(NOT_ZERO)

    def _preimage(self, target: Domain) -> Domain:
        if isinstance(self.right, ConstantFunction):
            return self.left.preimage(target.map_affine(self.right.constant, Fraction(0)))
        if target == NOT_ZERO:
            return self.left.preimage(target)
        return super()._preimage(target)

    def _written(self) -> str:
        return f"({self.left} / {self.right})"


class Minimum(_Binary):
    """The smaller of two."""

    def _applied(self, arithmetic: Arithmetic[T], x: T, *operands: T) -> T:
        return arithmetic.minimum(*operands)

    def _preimage(self, target: Domain) -> Domain:
        if target in (POSITIVE, NOT_NEGATIVE):
            return self.left.preimage(target) & self.right.preimage(target)
        return super()._preimage(target)

    def _written(self) -> str:
        return f"min({self.left}, {self.right})"


class Maximum(_Binary):
    """The larger of two."""

    def _applied(self, arithmetic: Arithmetic[T], x: T, *operands: T) -> T:
        return arithmetic.maximum(*operands)

    def _preimage(self, target: Domain) -> Domain:
        if target in (POSITIVE, NOT_NEGATIVE):
            return self.left.preimage(target) | self.right.preimage(target)
        return super()._preimage(target)

    def _own_positive(self) -> bool:
        return self.left._positive or self.right._positive

    def _written(self) -> str:
        return f"max({self.left}, {self.right})"


@dataclass(frozen=True, eq=False, repr=False)
class Power(Function):
    """A power with an integer exponent of at least 2."""

    base: Function
    exponent: int

    def _applied(self, arithmetic: Arithmetic[T], x: T, *operands: T) -> T:
        (base,) = operands
        return arithmetic.power(base, self.exponent)

    @property
    def children(self) -> tuple[Function, ...]:
        return (self.base,)

    def _preimage(self, target: Domain) -> Domain:
        odd = self.exponent % 2 == 1
        if target == NOT_ZERO or (target == POSITIVE and not odd):
            return self.base.preimage(NOT_ZERO)
        if target in (POSITIVE, NOT_NEGATIVE) and odd:
            return self.base.preimage(target)
        return super()._preimage(target)

    def _own_positive(self) -> bool:
        return self.base._positive

    def _written(self) -> str:
        return f"{self.base}^{self.exponent}"


@dataclass(frozen=True, eq=False, repr=False)
class Applied(Function):
    """A primitive of an inner function."""

    primitive: Primitive
    argument: Function

    def _applied(self, arithmetic: Arithmetic[T], x: T, *operands: T) -> T:
        return arithmetic.apply(self.primitive, *operands)

    @property
    def children(self) -> tuple[Function, ...]:
        return (self.argument,)

    def _own_domain(self) -> Domain:
        return LINE if self.primitive.domain == LINE else self.argument.preimage(self.primitive.domain)

    def _preimage(self, target: Domain) -> Domain:
        root = self.primitive.root
        if root is not None and target in (POSITIVE, NOT_ZERO):
            around = NOT_ZERO if target == POSITIVE and self.primitive == primitives.ABS else target
            return self.argument.preimage(around.map_affine(Fraction(1), root))
        return super()._preimage(target)

    def _own_positive(self) -> bool:
        return self.primitive.positive

    def _written(self) -> str:
        return f"{self.primitive.name}({self.argument})"


@dataclass(frozen=True, eq=False, repr=False)
class _Wrapper(Function):
    """An expression, of which something more is stated."""

    inner: Function

    def _applied(self, arithmetic: Arithmetic[T], x: T, *operands: T) -> T:
        return operands[0]

    @property
    def children(self) -> tuple[Function, ...]:
        return (self.inner,)

    def _preimage(self, target: Domain) -> Domain:
        return self.inner.preimage(target)

    def _own_positive(self) -> bool:
        return self.inner._positive

    def _written(self) -> str:
        return str(self.inner)


@dataclass(frozen=True, eq=False, repr=False)
class Named(_Wrapper):
    """An expression with a short name."""

    label: str

    @property
    def name(self) -> str:
        return self.label


@dataclass(frozen=True, eq=False, repr=False)
class Restricted(_Wrapper):
    """An expression on a domain that the caller states."""

    stated: Domain

    @cached_property
    def domain(self) -> Domain:
        try:
            return self.stated & self.inner.domain
        except InvalidInputError:
            return self.stated

    @property
    def name(self) -> str:
        return self.inner.name

    def compose(self, inner: Function) -> Function:
        if inner == Variable():
            return self
        return Restricted(self.inner.compose(inner), inner.preimage(self.stated))


def _below(root: Function, settled: str | None = None) -> list[Function]:
    """The nodes of a function, operands before what is made of them, without a deep recursion.

    Args:
        root: the function, which comes last.
        settled: leaves out nodes that have computed this property already, and what is below them.
    """
    found: dict[int, Function] = {}
    waiting = [root]
    while waiting:
        node = waiting[-1]
        missing = [
            child for child in node.children if id(child) not in found and not (settled and settled in vars(child))
        ]
        if missing:
            waiting += reversed(missing)
        else:
            found[id(waiting.pop())] = node
    return list(found.values())


def _settle(root: Function, name: str) -> None:
    """Compute a cached property of all nodes below, the lowest first, so that none has to reach far down for it."""
    for node in _below(root, name)[:-1]:
        # What cannot be worked out is an error where it is needed, and not under a domain that the caller states.
        with suppress(InvalidInputError):
            getattr(node, name)


def lift(value: FunctionLike) -> Function:
    """A number as a constant function, exactly; a function as it is.

    Raises:
        InvalidInputError: it is neither.
        NotFiniteError: NaN or infinity.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    match value:
        case Function():
            return value
        case Fraction():
            return ConstantFunction(value)
        case numbers.Integral():
            return ConstantFunction(Fraction(int(value)))
        case numbers.Real():
            if not math.isfinite(value):
                raise NotFiniteError(f"{value} cannot be a constant of a function")
            return ConstantFunction(Fraction(float(value)))
    raise InvalidInputError(f"a function or a number is needed, got {type(value).__name__}")


def add(a: Function, b: Function) -> Function:
    """a + b, constants folded."""
    match a, b:
        case ConstantFunction(constant=x), ConstantFunction(constant=y):
            return ConstantFunction(x + y)
        case ConstantFunction(constant=x), _ if x == 0:
            return b
        case _, ConstantFunction(constant=y) if y == 0:
            return a
    return Addition(a, b)


def multiply(a: Function, b: Function) -> Function:
    """a * b, constants folded and moved to the front."""
    match a, b:
        case ConstantFunction(constant=x), ConstantFunction(constant=y):
            return ConstantFunction(x * y)
        case ConstantFunction(constant=x), _ if x == 1:
            return b
        case _, ConstantFunction():
            return multiply(b, a)
        case ConstantFunction(constant=x), Multiplication(left=ConstantFunction(constant=y), right=rest):
            return multiply(ConstantFunction(x * y), rest)
    return Power(a, 2) if a == b else Multiplication(a, b)


def divide(a: Function, b: Function) -> Function:
    """a / b, constants folded.

    Raises:
        InvalidInputError: b is the constant zero.
    """
    match a, b:
        case _, ConstantFunction(constant=y) if y == 0:
            raise InvalidInputError(f"{a} is divided by zero")
        case ConstantFunction(constant=x), ConstantFunction(constant=y):
            return ConstantFunction(x / y)
        case _, ConstantFunction(constant=y) if y.denominator == 1 and abs(y.numerator).bit_count() == 1:
            return multiply(ConstantFunction(1 / y), a)
    return Division(a, b)


def raise_to(base: Function, exponent: float | Fraction) -> Function:
    """base ** exponent for a constant exponent; one that is not an integer is rounded to float64.

    Raises:
        NotFiniteError: the exponent is NaN or infinite.
        InvalidInputError: it is an integer above `MAX_EXPONENT` in absolute value, or not a number.
    """
    constant = lift(exponent)
    if not isinstance(constant, ConstantFunction):
        raise InvalidInputError("an exponent is a number")
    value = constant.constant
    if value.denominator == 1:
        n = int(value)
        if abs(n) > MAX_EXPONENT:
            raise InvalidInputError(f"an integer exponent is at most {MAX_EXPONENT} in absolute value, got {n}")
        if n == 0:
            return ConstantFunction(Fraction(1))
        whole = base if abs(n) == 1 else Power(base, abs(n))
        return whole if n > 0 else divide(ConstantFunction(Fraction(1)), whole)
    if value == Fraction(1, 2):
        return Applied(primitives.SQRT, base)
    if value == Fraction(-1, 2):
        return Applied(primitives.RSQRT, base)
    return Applied(primitives.real_power(float(value)), base)


MAX_EXPONENT = 64


class _TreeArithmetic:
    """The arithmetic of expression trees, in which evaluating a tree at another one substitutes it."""

    constant, pi = staticmethod(ConstantFunction), staticmethod(Pi)
    add, multiply, divide = staticmethod(add), staticmethod(multiply), staticmethod(divide)
    minimum, maximum = staticmethod(Minimum), staticmethod(Maximum)
    power, apply = staticmethod(raise_to), staticmethod(Applied)
