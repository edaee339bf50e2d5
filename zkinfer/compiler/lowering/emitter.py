"""Activations whose elementwise arithmetic is put off until a table does all of it at once.

An `Activation` is a value of the program and a real function of it that is still pending. Elementwise operators
only compose onto the function. Something that needs integers, such as a matrix product, makes the activation
narrow: one lookup, which applies the pending function, rescales and saturates. Affine functions are kept apart from
all others, because exact integer arithmetic can move them past sums and products and never look them up.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from zkinfer.circuit.bounds import round_outward
from zkinfer.circuit.steps import Expand, Pad, Reshape, Step, shape_after
from zkinfer.compiler.approx.domain import Domain
from zkinfer.compiler.approx.functions import Function, X
from zkinfer.compiler.lowering.builder import Builder, Summand, Value, exponent, is_dyadic
from zkinfer.compiler.lowering.precision import Format, Precision, activation_format, input_format, weight_frac_bits
from zkinfer.compiler.lowering.tables import Range, Tables, least_shift
from zkinfer.errors import CompileError, InvalidInputError, NotFiniteError
from zkinfer.typing import FloatArray, IntArray

OPERAND_SLACK_BITS = 4
"""How many bits wider than an activation the operand of a product may be before it is worth a lookup."""

MAX_COEFFICIENT_BITS = 6
"""Odd parts of rational factors up to this width are carried out exactly by integer coefficients."""

MASKED_BELOW = -1e4
"""A number this low, alone or added to a score, is a mask: a softmax makes zero of it."""

_SAMPLES = 1025


class Affine(NamedTuple):
    """The function `scale * x + offset`; the scale is not zero."""

    scale: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)

    def of(self, inner: "Affine") -> "Affine":
        """The composition `x -> self(inner(x))`."""
        return Affine(self.scale * inner.scale, self.scale * inner.offset + self.offset)

    def exactly(self, x: Fraction) -> Fraction:
        """The value at a rational number."""
        return self.scale * x + self.offset

    def at(self, x: float) -> float:
        """The value at a real number, in float64."""
        return float(self.scale) * x + float(self.offset)

    def solve(self, y: float) -> float:
        """The real number with the value y."""
        return (y - float(self.offset)) / float(self.scale)

    @property
    def tree(self) -> Function:
        """The same as an expression tree."""
        return X * self.scale + self.offset


IDENTITY = Affine()


@dataclass(frozen=True)
class Constant:
    """A tensor of the model that does not depend on its inputs.

    Attributes:
        name: in the model.
        array: contents, any numeric dtype.
        unit: what every element is a whole multiple of, where the model says so: the scale of quantized weights.
    """

    name: str
    array: npt.NDArray[np.generic]
    unit: Fraction | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return self.array.shape

    @property
    def reals(self) -> FloatArray:
        """The contents as float64.

        Raises:
            NotFiniteError: NaN or infinity.
        """
        reals = self.array.astype(np.float64)
        if not np.isfinite(reals).all():
            raise NotFiniteError(f"constant {self.name!r} holds NaN or infinity; correct the model's weights")
        return reals

    @property
    def integers(self) -> tuple[int, ...]:
        """The contents, flat, of a constant that holds integers, such as a shape or axes."""
        return tuple(int(x) for x in self.array.ravel())

    @property
    def uniform(self) -> Fraction | None:
        """The number that every element equals, exactly; None if they differ or there are none."""
        reals = self.reals
        return Fraction(float(reals.flat[0])) if reals.size and (reals == reals.flat[0]).all() else None


@dataclass(frozen=True, eq=False)
class Activation:
    """A real tensor: a pending function of a value of the program.

    Attributes:
        value: the value; its shape is the tensor's.
        pending: what is still to be applied to the value's real number.
        seen: range of the tensor, after the function, on calibration data.
        label: name in the model.
        shared: whether several operators read the tensor.
        whole: whether every element is a whole number by its meaning: an index, a truth value, a rounded number.
    """

    value: Value
    pending: Affine | Function
    seen: Range
    label: str
    shared: bool = False
    whole: bool = False
    made: list[Value] = field(default_factory=list, repr=False)
    """The narrow form, once it exists."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return self.value.shape

    @property
    def function(self) -> Function:
        """What is pending, as an expression tree."""
        return self.pending.tree if isinstance(self.pending, Affine) else self.pending


Operand = Activation | Constant
"""What an operator of a model takes."""


@dataclass(frozen=True, eq=False)
class Masked:
    """Scores of which some are minus infinity, on their way to a softmax.

    Attributes:
        scores: the scores, finite everywhere; what they are where they are masked does not matter.
        kept: 1 where a score counts and 0 where it is masked; broadcast to the scores by numpy's rules.
    """

    scores: Activation
    kept: Operand

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return self.scores.shape


class Part(NamedTuple):
    """`coefficient * steps(activation)`, a term of a sum."""

    activation: Activation
    coefficient: Fraction = Fraction(1)
    steps: tuple[Step, ...] = ()


def is_simple(factor: Fraction) -> bool:
    """Whether multiplying by the factor is moving the point and a small integer coefficient."""
    numerator = abs(factor.numerator)
    odd = numerator // (numerator & -numerator) if numerator else 0
    return is_dyadic(factor) and odd.bit_length() <= MAX_COEFFICIENT_BITS


def _domain(function: Function) -> Domain | None:
    """Where the function is defined; None if that cannot be worked out."""
    try:
        return function.domain
    except InvalidInputError:
        return None


def sampled_range(function: Function, seen: Range) -> Range:
    """The range of a function over an interval, from samples."""
    values = function(np.linspace(*seen, _SAMPLES))
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise CompileError(f"{function.name} is not defined anywhere from {seen[0]:.4g} to {seen[1]:.4g}")
    return float(finite.min()), float(finite.max())


def broadcast_steps(shape: tuple[int, ...], target: tuple[int, ...]) -> tuple[Step, ...]:
    """The steps that broadcast a tensor to a shape by numpy's rules."""
    steps: list[Step] = []
    if len(shape) < len(target):
        shape = (1,) * (len(target) - len(shape)) + shape
        steps.append(Reshape(shape))
    if shape != target:
        steps.append(Expand(target))
    return tuple(steps)


class Emitter:
    """Emits a model's arithmetic into a program.

    Attributes:
        builder: the program under construction.
        precision: how many bits to spend.
        label: name given to the values emitted next.
        integer: whether what is emitted next has an integer type in the model, so that a division truncates.
        outputs: how many outputs of the operator that is emitted next are read, or lie before one that is.
    """

    def __init__(self, precision: Precision) -> None:
        self.builder = Builder()
        self.precision = precision
        self.label = ""
        self.integer = False
        self.outputs = 1
        self._tables = Tables(self.builder, precision)
        self._seen: dict[int, Range] = {}

    @property
    def operand_bits(self) -> int:
        """Width up to which a value takes part in a product as it is."""
        return self.precision.activation_bits + OPERAND_SLACK_BITS

    @property
    def accumulator_bits(self) -> int:
        """Width up to which both the index and the remainder of a lookup fit tables of `max_table_entries`."""
        return 2 * (self.precision.max_table_entries.bit_length() - 1)

    # Leaves.

    def input(self, label: str, shape: tuple[int, ...], seen: Range) -> Activation:
        """An input of the model that ranges over `seen` on calibration data."""
        frac_bits, lo, hi = input_format(*seen, self.precision.activation_bits_of(label))
        return self.named(self.exact(self.builder.input(label, shape, frac_bits, lo, hi)), label, seen=seen)

    def whole_input(self, label: str, shape: tuple[int, ...], lo: int, hi: int) -> Activation:
        """An input of whole numbers from `lo` to `hi`."""
        return self.named(self.exact(self.builder.input(label, shape, 0, lo, hi), whole=True), label)

    def weight(self, constant: Constant, array: FloatArray | None = None) -> Value:
        """A weight at its own power-of-two scale, ties to even; integers and truth values stay what they are.

        Args:
            constant: gives the name, and the contents unless `array` does.
            array: contents that were computed from the constant's.
        """
        reals = constant.reals if array is None else array
        if constant.array.dtype.kind in "iub" and (reals == np.rint(reals)).all():
            return self.weight_at(constant, reals, 0)
        bits = self.precision.weight_bits_of(constant.name)
        frac_bits = weight_frac_bits(float(np.abs(reals).max(initial=0.0)), bits)
        return self.weight_at(constant, reals, frac_bits)

    def scaled_weight(self, constant: Constant, array: FloatArray | None = None) -> tuple[Value, Fraction]:
        """As `weight`, but quantized weights are the model's own integers; and the factor that belongs to them."""
        if constant.unit is None:
            return self.weight(constant, array), Fraction(1)
        reals = constant.reals if array is None else array
        return self.weight_at(constant, np.rint(reals / float(constant.unit)), 0), constant.unit

    def weight_at(self, constant: Constant, array: FloatArray, frac_bits: int) -> Value:
        """A weight at a given number of fraction bits, ties to even."""
        return self.builder.weight(constant.name, _rounded(array, frac_bits), frac_bits)

    # Handles.

    def exact(
        self, value: Value, pending: Affine = IDENTITY, seen: Range | None = None, *, whole: bool = False
    ) -> Activation:
        """A handle on a value; its range is by default what is proven, or known from before."""
        if seen is None:
            ends = [pending.at(x) for x in self.seen(value)]
            seen = (min(ends), max(ends))
        return self._noted(Activation(value, pending, seen, self.label, whole=whole))

    def _noted(self, a: Activation) -> Activation:
        if isinstance(a.pending, Affine):
            ends = [a.pending.solve(y) for y in a.seen]
            self._seen.setdefault(a.value.number, (min(ends), max(ends)))
        return a

    def seen(self, value: Value) -> Range:
        """Range of a value's real number on calibration data, or else the proven one."""
        return self._seen.get(value.number, value.real_bounds)

    def named(self, a: Activation, name: str, *, seen: Range | None = None, shared: bool = False) -> Activation:
        """The activation under the name, and with the calibrated range, of a tensor of the model."""
        named = replace(a, label=name, seen=a.seen if seen is None else seen, shared=shared)
        if isinstance(a.pending, Affine) and seen is not None:
            self._seen.pop(a.value.number, None)
        return self._noted(named)

    # Elementwise functions.

    def apply(self, a: Activation, function: Function, seen: Range | None = None, *, whole: bool = False) -> Activation:
        """A function of every element; nothing is emitted, unless it is unknown where the function is defined.

        Then what is pending is looked up first, and the function is of its result.
        """
        seen = sampled_range(function, a.seen) if seen is None else seen
        composed = function(a.function)
        if _domain(composed) is None:
            a = self.narrowed(a)
            composed = function(a.function)
        return Activation(a.value, composed, seen, self.label, whole=whole)

    def affine(self, a: Activation, scale: Fraction = Fraction(1), offset: Fraction = Fraction(0)) -> Activation:
        """`scale * a + offset`; nothing is emitted."""
        if not scale or not isinstance(a.pending, Affine):
            whole = a.whole and scale.denominator == offset.denominator == 1
            return self.apply(a, X * scale + offset, whole=whole)
        step = Affine(scale, offset)
        ends = [step.at(y) for y in a.seen]
        whole = a.whole and scale.denominator == offset.denominator == 1
        return Activation(a.value, step.of(a.pending), (min(ends), max(ends)), self.label, whole=whole)

    def fused(self, a: Activation, function: Function) -> Activation:
        """A function of the value under `a`, in place of what is pending; nothing is emitted."""
        return Activation(a.value, function, sampled_range(function, self.seen(a.value)), self.label)

    # Integers.

    def table(self, a: Activation, out: Format) -> Value:
        """What is pending, done by a table with the given output format."""
        return self._tables.lookup(a.label, a.value, a.function, self.seen(a.value), out)

    def format(self, a: Activation) -> Format:
        """The format in which an activation is narrow; of whole numbers, it has no digits after the point."""
        narrow = activation_format(*a.seen, self.precision.activation_bits_of(a.label))
        if not a.whole or narrow.frac_bits < 0:
            return narrow
        lo = min(math.floor(a.seen[0]), -(-narrow.lo >> narrow.frac_bits))
        hi = max(math.ceil(a.seen[1]), narrow.hi >> narrow.frac_bits)
        return Format(0, *round_outward((lo, hi)))

    def narrow(self, a: Activation) -> Value:
        """An activation as integers of `activation_bits`, from a table, whatever reads it sharing one."""
        if not a.made:
            a.made.append(self.table(a, self.format(a)))
        return a.made[0]

    def narrowed(self, a: Activation) -> Activation:
        """A handle on `narrow`, with nothing pending."""
        return self.exact(self.narrow(a), seen=a.seen, whole=a.whole)

    def operand(self, a: Activation, width: int | None = None) -> tuple[Value, Fraction]:
        """An activation as a value times a factor, fit to take part in a product.

        Args:
            a: the activation.
            width: bits up to which its value is taken as it is; `operand_bits` by default.
        """
        width = self.operand_bits if width is None else width
        if isinstance(a.pending, Affine):
            scale, offset = a.pending
            units = offset / scale * Fraction(2) ** a.value.frac_bits
            if units.denominator == 1:
                value = self.builder.combine(a.label, [Summand(a.value)], offset=offset / scale) if units else a.value
                if value.bits <= width:
                    return value, scale
        return self.narrow(a), Fraction(1)

    def settled(self, a: Activation, width: int | None = None) -> Activation:
        """The activation as `operand` gives it: a value times a factor."""
        value, scale = self.operand(a, width)
        return self.exact(value, Affine(scale), a.seen, whole=a.whole)

    def output(self, a: Activation) -> Value:
        """An activation as an output of the program: exact sums stay as wide as they are."""
        if not isinstance(a.pending, Affine) or not is_simple(a.pending.scale):
            return self.narrow(a)
        scale, offset = a.pending
        rounds = (offset / scale * Fraction(2) ** a.value.frac_bits).denominator != 1
        extra_bits = OPERAND_SLACK_BITS if rounds else 0
        return self.builder.combine(a.label, [Summand(a.value, scale)], offset=offset, extra_bits=extra_bits)

    # Linear arithmetic.

    def reindex(self, a: Activation, *steps: Step) -> Activation:
        """The elements of an activation, moved, repeated, left out or padded with zeros."""
        pads = any(isinstance(step, Pad) for step in steps)
        repeats = math.prod(shape_after(steps, a.shape)) > math.prod(a.shape)
        if isinstance(a.pending, Affine):
            first = (pads and a.pending.offset != 0) or (repeats and a.value.bits > self.operand_bits)
        else:
            first = pads or repeats or a.shared
        source = self.settled(a) if first else a
        value = self.builder.combine(self.label, [Summand(source.value, steps=steps)])
        lo, hi = self.seen(source.value)
        self._seen.setdefault(value.number, (min(lo, 0.0), max(hi, 0.0)) if pads else (lo, hi))
        seen = (min(a.seen[0], 0.0), max(a.seen[1], 0.0)) if pads else a.seen
        return Activation(value, source.pending, seen, self.label, whole=a.whole)

    def sum(self, parts: Sequence[Part]) -> Activation:
        """A sum of activations, exact; only nonlinear functions and factors of too many digits are looked up."""
        affine = [
            part._replace(activation=self.narrowed(part.activation)) if self._outgrown(part.activation) else part
            for part in parts
        ]
        common = _scale(affine[0])
        if not all(is_simple(_scale(part) / common) for part in affine):
            affine = [
                part if is_simple(_scale(part)) else part._replace(activation=self.narrowed(part.activation))
                for part in affine
            ]
            common = Fraction(1)
        elif is_simple(common):
            common = Fraction(1)
        value = self.builder.combine(
            self.label,
            [Summand(part.activation.value, _scale(part) / common, part.steps) for part in affine],
        )
        offset = Fraction(0)
        lo = hi = 0.0
        for part, c, _ in affine:
            assert isinstance(part.pending, Affine)
            offset += c * part.pending.offset
            ends = [float(c) * y for y in part.seen]
            lo, hi = lo + min(ends), hi + max(ends)
        return self.exact(value, Affine(common, offset), (lo, hi))

    def _outgrown(self, a: Activation) -> bool:
        """Whether an activation is better narrow before it is added to others.

        So it is if something nonlinear is pending. So it is too if several operators read it and its proven range is
        so much wider than the one seen that a table of it is no finer than the narrow form: the sums that run through
        a network of residual blocks would grow beyond any table.
        """
        if not isinstance(a.pending, Affine):
            return True
        if not a.shared or a.value.bits <= self.operand_bits:
            return False
        bounds = (a.value.tensor.lo, a.value.tensor.hi)
        step = abs(a.pending.scale) * Fraction(2) ** (
            least_shift(bounds, self.precision.max_table_entries) - a.value.frac_bits
        )
        return step >= Fraction(2) ** -self.format(a).frac_bits

    def add_constant(self, a: Activation, constant: Constant, array: FloatArray, steps: Sequence[Step]) -> Activation:
        """An activation plus a weight, at the scale of the sum.

        Args:
            a: the activation.
            constant: names the weight.
            array: its contents.
            steps: what makes the weight's shape the activation's.
        """
        if not isinstance(a.pending, Affine):
            a = self.narrowed(a)
        assert isinstance(a.pending, Affine)
        scale, offset = a.pending
        inner, outer = (scale, Fraction(1)) if is_simple(scale) else (Fraction(1), scale)
        scaled = array / float(outer)
        frac_bits = a.value.frac_bits - exponent(inner)
        if a.value.bits <= self.operand_bits:
            # Beside a narrow value, the weight brings digits of its own.
            bits = self.precision.weight_bits_of(constant.name)
            finest = weight_frac_bits(float(np.abs(scaled).max(initial=0.0)), bits)
            frac_bits = max(frac_bits, min(finest, frac_bits + OPERAND_SLACK_BITS))
        weight = self.weight_at(constant, scaled, frac_bits)
        value = self.builder.combine(self.label, [Summand(a.value, inner), Summand(weight, steps=tuple(steps))])
        ends = a.seen[0] + float(array.min(initial=0.0)), a.seen[1] + float(array.max(initial=0.0))
        return self.exact(value, Affine(outer, offset), ends)

    def einsum(
        self, subscripts: str, a: Activation, *others: Activation | Value, width: int | None = None
    ) -> Activation:
        """An exact contraction of an activation alone, with a weight, or with another activation.

        Args:
            subscripts: as in `circuit.program.Einsum`.
            a: first operand.
            others: at most one more.
            width: see `operand`.
        """
        value, scale = self.operand(a, width)
        operands, whole = [value], a.whole
        for other in others:
            if isinstance(other, Activation):
                whole = whole and other.whole
                other, factor = self.operand(other, width)
                scale *= factor
            else:
                whole = whole and other.frac_bits == 0
            operands.append(other)
        return self.exact(self.builder.einsum(self.label, subscripts, *operands), Affine(scale), whole=whole)


def _scale(part: Part) -> Fraction:
    assert isinstance(part.activation.pending, Affine)
    return part.coefficient * part.activation.pending.scale


def _rounded(array: FloatArray, frac_bits: int) -> IntArray:
    return np.rint(np.ldexp(array, frac_bits)).astype(np.int64)
