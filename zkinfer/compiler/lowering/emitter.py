"""Emits the operators of a model into a program, and decides which tensor gets a format, and when.

Elementwise functions are put off. An `Activation` carries a value of the program and a function that is still
pending; an elementwise operator composes its own function onto it and emits nothing. An operator that needs integers,
such as a matrix product, makes the activation narrow first: one lookup applies the pending function, rescales, and
saturates at the ends of a format of `activation_bits`. That format follows from the range that calibration observed.

Affine functions are kept apart from all others. Exact integer arithmetic can move them past sums and products, so
that they are often never looked up.

The state of an emitter is the program under construction (`Builder`), the observed range of each value
(`ObservedRanges`), and the narrow form of each tensor that has one. The emitters of all operators of a model share it.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from zkinfer.circuit.bounds import round_outward
from zkinfer.circuit.steps import Expand, Pad, Reshape, Step, shape_after
from zkinfer.compiler.approx.domain import Domain
from zkinfer.compiler.approx.functions import Function, X
from zkinfer.compiler.lowering.activation import Activation, Constant
from zkinfer.compiler.lowering.affine import IDENTITY, AffineMap, is_simple
from zkinfer.compiler.lowering.builder import Builder, ProgramValue, Summand
from zkinfer.compiler.lowering.observed import ObservedRanges
from zkinfer.compiler.lowering.precision import (
    Format,
    Precision,
    Range,
    activation_format,
    input_format,
    weight_frac_bits,
)
from zkinfer.compiler.lowering.tables import function_lookup
from zkinfer.errors import CompileError, InvalidInputError
from zkinfer.typing import FloatArray

OPERAND_SLACK_BITS = 4
"""How many bits wider than an activation the operand of a product may be before a lookup pays off."""

MAX_FUSED_NODES = 40
"""Larger expressions are not fused further: a lookup takes their place. Their tables would take long to prove."""

_SAMPLES = 1025


def fits(function: Function) -> bool:
    """Whether an expression is small enough to wait for a later lookup."""
    return len(function.nodes) <= MAX_FUSED_NODES


def sampled_range(function: Function, over: Range) -> Range:
    """The range of a function over an interval, from samples.

    Raises:
        CompileError: the function is defined at none of the samples.
    """
    values = function(np.linspace(*over, _SAMPLES))
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise CompileError(f"{function.name} is not defined anywhere from {over[0]:.4g} to {over[1]:.4g}")
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


@dataclass(frozen=True, eq=False)
class Emitter:
    """Emits the arithmetic of one operator of a model; the emitters of other operators share its state.

    Attributes:
        precision: how many bits to spend.
        label: name given to the values that are emitted.
        integer: whether the operator's result has an integer type in the model, so that a division truncates.
        outputs: how many outputs of the operator have to be emitted: up to the last one that is read.
        builder: the program under construction.
        ranges: observed range of each value of the program.
        narrow_forms: the narrow form of each tensor that has one, by the tensor's number.
        tensors: numbers for new tensors.
    """

    precision: Precision
    label: str = ""
    integer: bool = False
    outputs: int = 1
    builder: Builder = field(default_factory=Builder)
    ranges: ObservedRanges = field(default_factory=ObservedRanges)
    narrow_forms: dict[int, ProgramValue] = field(default_factory=dict)
    tensors: Iterator[int] = field(default_factory=itertools.count)

    def for_operator(self, label: str, *, integer: bool, outputs: int) -> "Emitter":
        """An emitter for another operator of the same model; see the class's attributes."""
        return replace(self, label=label, integer=integer, outputs=outputs)

    @property
    def operand_bits(self) -> int:
        """Width up to which a value takes part in a product as it is."""
        return self.precision.activation_bits + OPERAND_SLACK_BITS

    @property
    def accumulator_bits(self) -> int:
        """Width up to which both the index and the remainder of a lookup fit tables of `max_table_entries`."""
        return 2 * (self.precision.max_table_entries.bit_length() - 1)

    # Inputs and weights.

    def input(self, label: str, shape: tuple[int, ...], observed: Range) -> Activation:
        """An input of the model with its range on calibration data."""
        frac_bits, lo, hi = input_format(*observed, self.precision.activation_bits_of(label))
        value = self.builder.input(label, shape, frac_bits, lo, hi)
        return self.named(self.activation(value), label, observed=observed)

    def integral_input(self, label: str, shape: tuple[int, ...], lo: int, hi: int) -> Activation:
        """An input of integers from `lo` to `hi`."""
        return self.named(self.activation(self.builder.input(label, shape, 0, lo, hi), integral=True), label)

    def weight(self, constant: Constant, array: FloatArray | None = None) -> ProgramValue:
        """A weight at a power-of-two scale of its own, ties to even; integers and truth values are kept exactly.

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

    def scaled_weight(self, constant: Constant, array: FloatArray | None = None) -> tuple[ProgramValue, Fraction]:
        """As `weight`, but quantized weights are the model's own integers; and the factor to multiply them by."""
        if constant.unit is None:
            return self.weight(constant, array), Fraction(1)
        reals = constant.reals if array is None else array
        return self.weight_at(constant, np.rint(reals / float(constant.unit)), 0), constant.unit

    def weight_at(self, constant: Constant, array: FloatArray, frac_bits: int) -> ProgramValue:
        """A weight at a given number of fraction bits, ties to even."""
        return self.builder.weight(constant.name, np.rint(np.ldexp(array, frac_bits)).astype(np.int64), frac_bits)

    # Activations from values.

    def activation(
        self,
        value: ProgramValue,
        pending: AffineMap = IDENTITY,
        observed: Range | None = None,
        *,
        integral: bool = False,
    ) -> Activation:
        """A new tensor, an affine function of a value.

        Args:
            value: the value.
            pending: the function.
            observed: range of the tensor; by default it follows from the value's.
            integral: whether every element is an integer by its meaning.
        """
        if observed is None:
            ends = [pending.at(x) for x in self.ranges.of(value)]
            observed = (min(ends), max(ends))
        self.ranges.add(value, _solved(pending, observed))
        return self._new(value, pending, observed, integral=integral)

    def _new(
        self, value: ProgramValue, pending: AffineMap | Function, observed: Range, *, integral: bool = False
    ) -> Activation:
        return Activation(next(self.tensors), value, pending, observed, self.label, integral=integral)

    def named(self, a: Activation, name: str, *, observed: Range | None = None, shared: bool = False) -> Activation:
        """The same tensor under the name, and with the calibrated range, of a tensor of the model."""
        if isinstance(a.pending, AffineMap):
            if observed is None:
                self.ranges.add(a.value, _solved(a.pending, a.observed))
            else:
                self.ranges.replace(a.value, _solved(a.pending, observed))
        return replace(a, label=name, observed=a.observed if observed is None else observed, shared=shared)

    # Elementwise functions, which emit nothing.

    def apply(
        self, a: Activation, function: Function, observed: Range | None = None, *, integral: bool = False
    ) -> Activation:
        """A function of every element.

        Where the domain of the composition with the pending function cannot be worked out, or the composition is too
        large, the activation is made narrow first, and the function applies to the result.
        """
        observed = sampled_range(function, a.observed) if observed is None else observed
        composed = function(a.function)
        if not (isinstance(a.pending, AffineMap) or fits(composed)) or _domain(composed) is None:
            a = self.narrowed(a)
            composed = function(a.function)
        return self._new(a.value, composed, observed, integral=integral)

    def affine(self, a: Activation, scale: Fraction = Fraction(1), offset: Fraction = Fraction(0)) -> Activation:
        """`scale * a + offset`."""
        integral = a.integral and scale.denominator == offset.denominator == 1
        if not scale or not isinstance(a.pending, AffineMap):
            return self.apply(a, X * scale + offset, integral=integral)
        outer = AffineMap(scale, offset)
        ends = [outer.at(y) for y in a.observed]
        return self._new(a.value, outer.compose(a.pending), (min(ends), max(ends)), integral=integral)

    def fused(self, a: Activation, function: Function) -> Activation:
        """A function of the value under `a`, which replaces the pending one."""
        return self._new(a.value, function, sampled_range(function, self.ranges.of(a.value)))

    def fused_pair(
        self, a: Activation, b: Activation, function: Callable[[Function, Function], Function]
    ) -> Activation | None:
        """A function of two activations; None unless both are functions of one value, and the result is not too large.

        One of them may be made narrow already, and the other be a function of its narrow form.
        """
        if self.narrow_forms.get(a.tensor) is b.value:
            a = self.narrowed(a)
        elif self.narrow_forms.get(b.tensor) is a.value:
            b = self.narrowed(b)
        if a.value is not b.value:
            return None
        combined = function(a.function, b.function)
        return self.fused(a, combined) if fits(combined) else None

    # Formats: from real tensors to integers.

    def tabulated(self, a: Activation, out: Format) -> ProgramValue:
        """The activation in a given format: one lookup applies the pending function."""
        observed = self.ranges.of(a.value)
        return function_lookup(self.builder, self.precision, a.label, a.value, a.function, observed, out)

    def format(self, a: Activation) -> Format:
        """The format of an activation's narrow form; that of integers has no fraction bits."""
        narrow = activation_format(*a.observed, self.precision.activation_bits_of(a.label))
        if not a.integral or narrow.frac_bits < 0:
            return narrow
        lo = min(math.floor(a.observed[0]), -(-narrow.lo >> narrow.frac_bits))
        hi = max(math.ceil(a.observed[1]), narrow.hi >> narrow.frac_bits)
        return Format(0, *round_outward((lo, hi)))

    def narrow(self, a: Activation) -> ProgramValue:
        """The narrow form: integers of `activation_bits` from one lookup, which all readers of the tensor share."""
        if a.tensor not in self.narrow_forms:
            self.narrow_forms[a.tensor] = self.tabulated(a, self.format(a))
        return self.narrow_forms[a.tensor]

    def narrowed(self, a: Activation) -> Activation:
        """The narrow form as an activation with nothing pending."""
        return self.activation(self.narrow(a), observed=a.observed, integral=a.integral)

    def operand(self, a: Activation, width: int | None = None) -> tuple[ProgramValue, Fraction]:
        """An activation as a value times a factor, fit to take part in a product.

        Args:
            a: the activation.
            width: bits up to which its value is taken as it is; `operand_bits` by default.
        """
        width = self.operand_bits if width is None else width
        if isinstance(a.pending, AffineMap):
            scale, offset = a.pending
            units = offset / scale * Fraction(2) ** a.value.frac_bits
            if units.denominator == 1:
                value = self.builder.combine(a.label, [Summand(a.value)], offset=offset / scale) if units else a.value
                if value.bits <= width:
                    return value, scale
        return self.narrow(a), Fraction(1)

    def as_operand(self, a: Activation, width: int | None = None) -> Activation:
        """The activation as `operand` gives it: a value times a factor."""
        value, scale = self.operand(a, width)
        return self.activation(value, AffineMap(scale), a.observed, integral=a.integral)

    def output(self, a: Activation) -> ProgramValue:
        """An activation as an output of the program: an exact sum is not made narrow."""
        if not isinstance(a.pending, AffineMap) or not is_simple(a.pending.scale):
            return self.narrow(a)
        scale, offset = a.pending
        rounds = (offset / scale * Fraction(2) ** a.value.frac_bits).denominator != 1
        extra_bits = OPERAND_SLACK_BITS if rounds else 0
        return self.builder.combine(a.label, [Summand(a.value, scale)], offset=offset, extra_bits=extra_bits)

    # Exact arithmetic; sums are in `linear`.

    def reindex(self, a: Activation, *steps: Step) -> Activation:
        """The elements of an activation moved, repeated, left out, or padded with zeros.

        What is pending waits, unless it would be looked up more often afterwards, or does not keep the padding zero.
        """
        pads = any(isinstance(step, Pad) for step in steps)
        repeats = math.prod(shape_after(steps, a.shape)) > math.prod(a.shape)
        if isinstance(a.pending, AffineMap):
            first = (pads and a.pending.offset != 0) or (repeats and a.value.bits > self.operand_bits)
        else:
            first = pads or repeats or a.shared
        source = self.as_operand(a) if first else a
        value = self.builder.combine(self.label, [Summand(source.value, steps=steps)])

        def after(observed: Range) -> Range:
            return (min(observed[0], 0.0), max(observed[1], 0.0)) if pads else observed

        self.ranges.add(value, after(self.ranges.of(source.value)))
        return self._new(value, source.pending, after(a.observed), integral=a.integral)

    def einsum(
        self, subscripts: str, a: Activation, *others: Activation | ProgramValue, width: int | None = None
    ) -> Activation:
        """An exact contraction of an activation alone, with a weight, or with another activation.

        An operand is made narrow if the product could otherwise leave the field for all that is public about weights.

        Args:
            subscripts: as in `circuit.program.Einsum`.
            a: first operand.
            others: at most one more.
            width: see `operand`.
        """
        factors = [a, *others]
        integral = all(x.integral if isinstance(x, Activation) else x.frac_bits == 0 for x in factors)
        operands = [self.operand(x, width) if isinstance(x, Activation) else (x, Fraction(1)) for x in factors]
        value = self.builder.einsum(self.label, subscripts, *(operand for operand, _ in operands))
        for k in sorted(range(len(operands)), key=lambda k: -self.builder.slack(operands[k][0])):
            factor = factors[k]
            if not self.builder.is_provable(value) and isinstance(factor, Activation):
                operands[k] = self.narrow(factor), Fraction(1)
                value = self.builder.einsum(self.label, subscripts, *(operand for operand, _ in operands))
        scale = math.prod((scale for _, scale in operands), start=Fraction(1))
        return self.activation(value, AffineMap(scale), integral=integral)


def _domain(function: Function) -> Domain | None:
    """Where the function is defined; None if that cannot be worked out."""
    try:
        return function.domain
    except InvalidInputError:
        return None


def _solved(pending: AffineMap, observed: Range) -> Range:
    """The range of the value under an affine function that has the observed range."""
    ends = [pending.solve(y) for y in observed]
    return min(ends), max(ends)
