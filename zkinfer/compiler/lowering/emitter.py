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
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from zkinfer.circuit.bounds import Interval, round_outward
from zkinfer.circuit.steps import Expand, Pad, Reshape, Step, shape_after
from zkinfer.compiler.approx.domain import Domain
from zkinfer.compiler.approx.forms import Form, form_of
from zkinfer.compiler.approx.functions import Function, X
from zkinfer.compiler.approx.homogeneous import is_homogeneous
from zkinfer.compiler.lowering.activation import Activation, Constant
from zkinfer.compiler.lowering.affine import IDENTITY, AffineMap, is_simple
from zkinfer.compiler.lowering.builder import Builder, ProgramValue, Summand
from zkinfer.compiler.lowering.channels import Channels, exponents_of
from zkinfer.compiler.lowering.observed import ObservedRanges
from zkinfer.compiler.lowering.precision import (
    HEADROOM,
    MIN_BITS,
    Format,
    Precision,
    Range,
    activation_format,
    input_format,
    weight_frac_bits,
)
from zkinfer.compiler.lowering.quantizing import is_whole, largest, quantized
from zkinfer.compiler.lowering.relative import EXPONENTS, Relative
from zkinfer.compiler.lowering.tables import fine_lookup, function_lookup, least_shift
from zkinfer.errors import BoundsError, CompileError, InvalidInputError
from zkinfer.typing import Array, FloatArray, IntArray

OPERAND_SLACK_BITS = 4
"""How many bits wider than an activation the operand of a product may be before a lookup pays off."""

MAX_POWERS_BITS = 46
"""Bits of a value times powers of two of its channels."""

MAX_SPREAD_LOSS = 3
"""So many bits fewer the format of a tensor may have where its channels have powers of two."""

MIN_SPREAD_GAIN = 3
"""Most channels gain at least so many bits where the format has fewer."""

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
        masking: whether minus infinity may be a result: all that read it take `MaskedScores`.
        result: range of the operator's first output on calibration data, where it was measured.
        builder: the program under construction.
        ranges: observed range of each value of the program.
        narrow_forms: the narrow form of each tensor that has one, by the tensor's number.
        spread_forms: of each tensor with outlier channels the narrow form times their powers of two, by the tensor's
            number; None where no table is fine enough for it.
        multiplied: of a value times powers of two, by its number and the axes of the powers, what was multiplied, and
            the exponents.
        compared_forms: of each tensor that is compared in a form of its own, the integers, what they stand for, and
            where they saturate; by the tensor's number.
        roundings: of a value, by its number, the roundings of affine functions of it that squares were made of.
        tensors: numbers for new tensors.
    """

    precision: Precision
    label: str = ""
    integer: bool = False
    outputs: int = 1
    masking: bool = False
    result: Range | None = None
    builder: Builder = field(default_factory=Builder)
    ranges: ObservedRanges = field(default_factory=ObservedRanges)
    narrow_forms: dict[int, ProgramValue] = field(default_factory=dict)
    spread_forms: dict[int, Activation | None] = field(default_factory=dict)
    multiplied: dict[tuple[int, tuple[int, ...]], tuple[ProgramValue, IntArray]] = field(default_factory=dict)
    roundings: dict[int, list[tuple[ProgramValue, AffineMap]]] = field(default_factory=dict)
    compared_forms: dict[int, tuple[ProgramValue, AffineMap, Interval]] = field(default_factory=dict)
    tensors: Iterator[int] = field(default_factory=itertools.count)

    def for_operator(
        self, label: str, *, integer: bool, outputs: int, masking: bool = False, result: Range | None = None
    ) -> "Emitter":
        """An emitter for another operator of the same model; see the class's attributes."""
        return replace(self, label=label, integer=integer, outputs=outputs, masking=masking, result=result)

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

    def weight(self, constant: Constant, array: Array | None = None) -> ProgramValue:
        """A weight at a power-of-two scale of its own, ties to even; integers and truth values are kept exactly.

        Args:
            constant: gives the name, and the contents unless `array` does.
            array: contents that were computed from the constant's.
        """
        numbers = constant.numbers if array is None else array
        if constant.array.dtype.kind in "iub" and is_whole(numbers):
            return self.weight_at(constant, numbers, 0)
        bits = self.precision.weight_bits_of(constant.name)
        return self.weight_at(constant, numbers, weight_frac_bits(largest(numbers), bits))

    def factors(self, constant: Constant, array: FloatArray) -> ProgramValue:
        """As `weight`, for factors of single elements: of uneven ones, the median has the bits that a weight has."""
        exponents = exponents_of(np.abs(array).ravel().tolist())
        if exponents is None or constant.array.dtype.kind in "iub":
            return self.weight(constant, array)
        bits = self.precision.weight_bits_of(constant.name) + int(np.median(exponents))
        return self.weight_at(constant, array, weight_frac_bits(float(np.abs(array).max()), bits))

    def scaled_weight(self, constant: Constant, array: Array | None = None) -> tuple[ProgramValue, Fraction]:
        """As `weight`, but quantized weights are the model's own integers; and the factor to multiply them by."""
        if constant.unit is None:
            return self.weight(constant, array), Fraction(1)
        numbers = constant.numbers if array is None else array
        return self._weight(constant, numbers, 0, unit=float(constant.unit)), constant.unit

    def weight_at(
        self, constant: Constant, array: Array, frac_bits: int, exponents: IntArray | None = None
    ) -> ProgramValue:
        """A weight at a given number of fraction bits, ties to even.

        Args:
            constant: names the weight.
            array: its contents, real numbers of any type.
            frac_bits: its format.
            exponents: of powers of two that the contents are multiplied by; they broadcast to the array.

        Raises:
            BoundsError: an integer leaves the range of exact arithmetic.
        """
        return self._weight(constant, array, frac_bits, exponents)

    def _weight(
        self,
        constant: Constant,
        array: Array,
        frac_bits: int,
        exponents: IntArray | None = None,
        unit: float = 1.0,
    ) -> ProgramValue:
        content = quantized(array, frac_bits if exponents is None else frac_bits + exponents, unit)
        if content is None:
            raise BoundsError(
                f"{constant.name} is too large beside what it is combined with: {frac_bits} fraction bits, and numbers "
                f"up to {largest(array):.3g}; compile with fewer bits"
            )
        secret = constant.trained and constant.uniform is not None
        return self.builder.weight(constant.name, content, frac_bits, secret=secret)

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

    def named(
        self,
        a: Activation,
        name: str,
        *,
        observed: Range | None = None,
        shared: bool = False,
        binary: bool = False,
        channels: Channels | None = None,
    ) -> Activation:
        """The same tensor under the name, and with the calibrated range, of a tensor of the model."""
        if isinstance(a.pending, AffineMap):
            if observed is None:
                self.ranges.add(a.value, _solved(a.pending, a.observed))
            else:
                self.ranges.replace(a.value, _solved(a.pending, observed))
        observed = a.observed if observed is None else observed
        return replace(a, label=name, observed=observed, shared=shared, binary=binary, channels=channels)

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
        if form_of(composed) is None and (resolved := self.resolved(a)) is not None:
            a = resolved
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

    def form(self, a: Activation) -> Form | None:
        """The pending function, if it is one that is computed with the same relative precision for all sizes.

        It is where the value adds up squares, or where a table has too few indices for the smallest observed.
        """
        form = None if isinstance(a.pending, AffineMap) else form_of(a.pending)
        if form is None or not (form.logarithm or form.exponent in EXPONENTS):
            return None
        return form if self.is_wide(a.value, form) else None

    def is_wide(self, value: ProgramValue, form: Form) -> bool:
        """Whether a table of a form of a value would be too coarse for the smallest that was observed."""
        if not self.precision.relative:
            return False
        if self.builder.adds_squares(value):
            return True
        shift = least_shift((value.tensor.lo, value.tensor.hi), self.precision.max_table_entries)
        smallest, largest = (float(form.scale) * end + float(form.shift) for end in self.ranges.of(value))
        half_step = float(form.scale) * math.ldexp(0.5, shift - value.frac_bits)
        fine = 2.0 ** -(3 * self.precision.activation_bits // 4)
        # Of an inverse, the smallest number makes the largest result, beside which the others are small.
        return (shift > 0 and half_step > smallest * fine) or (form.exponent < 0 and smallest < largest * fine)

    def resolved(self, a: Activation) -> Activation | None:
        """The activation as an affine function of a value, where `form` says so and the value can be computed."""
        form = self.form(a)
        if form is None:
            return None
        relative = Relative(self.builder, self.precision, a.label)
        x = relative.positive(a.value, form)
        if x is None:
            return None
        if form.logarithm:
            value, pending = relative.logarithm(x, form, self.format(a).frac_bits + OPERAND_SLACK_BITS)
        else:
            value, scale = relative.power(x, form)
            pending = AffineMap(scale)
        return self.named(self.activation(value, pending, a.observed), a.label, shared=a.shared)

    # Formats: from real tensors to integers.

    def tabulated(
        self, a: Activation, out: Format, room: float = HEADROOM, *, fine: bool = False, index_units: bool = False
    ) -> ProgramValue:
        """The activation in a given format: one lookup applies the pending function, see `tables.function_lookup`."""
        observed, fine = self.ranges.of(a.value), fine or a.channels is not None
        return function_lookup(
            *(self.builder, self.precision, a.label, a.value, a.function, observed, out, room),
            fine=fine,
            index_units=index_units,
        )

    def format(self, a: Activation) -> Format:
        """The format of an activation's narrow form; that of integers has no fraction bits."""
        narrow = activation_format(*a.observed, self.precision.activation_bits_of(a.label))
        if not a.integral or narrow.frac_bits < 0:
            return narrow
        lo = min(math.floor(a.observed[0]), -(-narrow.lo >> narrow.frac_bits))
        hi = max(math.ceil(a.observed[1]), narrow.hi >> narrow.frac_bits)
        return Format(0, *round_outward((lo, hi)))

    def narrow(self, a: Activation, *, fine: bool = False) -> ProgramValue:
        """The narrow form: integers of at most `activation_bits` from one lookup, which all readers of a tensor share.

        Args:
            a: the activation.
            fine: whether the lookup has the digits of the result, where one before it can bring that about.
        """
        if a.tensor not in self.narrow_forms:
            resolved = self.resolved(a) or a
            self.narrow_forms[a.tensor] = self.tabulated(resolved, self.format(a), fine=fine, index_units=True)
        return self.narrow_forms[a.tensor]

    def narrowed(self, a: Activation) -> Activation:
        """The narrow form as an activation with nothing pending."""
        return self.activation(self.rounded(a), observed=a.observed, integral=a.integral)

    def made_narrow(self, a: Activation) -> Activation:
        """As `narrowed`, under the activation's own name; itself if products take it as it is."""
        if self.as_it_is(a, self.operand_bits) is not None:
            return a
        narrow = replace(a, tensor=next(self.tensors), value=self.narrow(a), pending=IDENTITY)
        self.ranges.add(narrow.value, a.observed)
        self.narrow_forms[narrow.tensor] = narrow.value
        return narrow

    def rounded(self, a: Activation) -> ProgramValue:
        """The narrow form; of a tensor with outlier channels a wider one, in which each channel has its own digits."""
        spread = self.spread(a)
        if spread is None or a.channels is None:
            return self.narrow(a)
        undone = self.times_powers(spread, _along(a.channels, len(a.shape)), -a.channels.exponents)
        return self.narrow(a) if undone is None else undone.value

    def spread(self, a: Activation) -> Activation | None:
        """The narrow form of the tensor times the powers of two of its channels; None if it has none of these.

        Nor has it such a form where a function is pending that the powers do not pass through.
        """
        if a.channels is None or not is_homogeneous(a.function):
            return None
        if a.tensor not in self.spread_forms:
            self.spread_forms[a.tensor] = self._spread(a, a.channels)
        return self.spread_forms[a.tensor]

    def _spread(self, a: Activation, channels: Channels) -> Activation | None:
        multiplied = self.times_powers(a, _along(channels, len(a.shape)), channels.exponents)
        if multiplied is None:
            return None
        observed = _leading_to(a.function, channels.observed)
        bits = self.precision.activation_bits_of(a.label)
        loss = min(MAX_SPREAD_LOSS, max(int(np.median(channels.exponents)) - MIN_SPREAD_GAIN, 0))
        for digits in range(bits, max(bits - loss, MIN_BITS) - 1, -1):
            # What is clamped has a bit or two beyond what was observed, and a sign that the result may not have.
            out = activation_format(*channels.observed, digits)
            narrow = fine_lookup(self.builder, self.precision, a.label, multiplied.value, a.function, observed, out)
            if narrow is not None:
                return self.activation(narrow, observed=channels.observed)
        return None

    def times_powers(self, a: Activation, subscripts: str, exponents: IntArray) -> Activation | None:
        """An activation times powers of two, exact; None if the product has too many bits.

        Of a value that is such a product itself, both powers are one factor.

        Args:
            a: the activation, on which a factor at most is pending.
            subscripts: of the Einsum of its value and the powers.
            exponents: of the powers.
        """
        factors, _, out = subscripts.partition("->")
        axes = tuple(out.index(letter) for letter in factors.partition(",")[2])
        source, earlier = self.multiplied.get((a.value.number, axes), (a.value, np.zeros_like(exponents)))
        together = earlier + exponents
        frac_bits = max(int(-together.min()), 0)
        integers = np.left_shift(np.int64(1), together + frac_bits)
        weight = self.builder.weight(f"{self.label}/powers", integers, frac_bits)
        value = self.builder.einsum(self.label, subscripts, source, weight)
        if value.bits > MAX_POWERS_BITS or not self.builder.is_provable(value):
            return None
        self.multiplied[value.number, axes] = source, together
        return self._new(value, a.pending, a.observed)

    def operand(self, a: Activation, width: int | None = None) -> tuple[ProgramValue, Fraction]:
        """An activation as a value times a factor, fit to take part in a product.

        Args:
            a: the activation.
            width: bits up to which its value is taken as it is; `operand_bits` by default.
        """
        taken = self.as_it_is(a, self.operand_bits if width is None else width)
        return taken or (self.rounded(a), Fraction(1))

    def as_it_is(self, a: Activation, width: int) -> tuple[ProgramValue, Fraction] | None:
        """An activation as a value times a factor, without a lookup; None if it is wider, or something is pending."""
        if isinstance(a.pending, AffineMap):
            scale, offset = a.pending
            units = offset / scale * Fraction(2) ** a.value.frac_bits
            if units.denominator == 1:
                value = self.builder.combine(a.label, [Summand(a.value)], offset=offset / scale) if units else a.value
                if value.bits <= width:
                    return value, scale
        return None

    def spread_operand(self, a: Activation) -> Activation | None:
        """As `spread`, of an activation that would be made narrow to take part in a product; None of others."""
        return None if self.as_it_is(a, self.operand_bits) is not None else self.spread(a)

    def as_operand(self, a: Activation, width: int | None = None) -> Activation:
        """The activation as `operand` gives it: a value times a factor."""
        value, scale = self.operand(a, width)
        return self.activation(value, AffineMap(scale), a.observed, integral=a.integral)

    def output(self, a: Activation) -> ProgramValue:
        """An activation as an output of the program: an exact sum is not made narrow."""
        a = self.resolved(a) or a
        if not isinstance(a.pending, AffineMap) or not is_simple(a.pending.scale):
            return self.narrow(a, fine=True)
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


def _along(channels: Channels, rank: int) -> str:
    """The subscripts of a product with one number for each channel."""
    letters = string.ascii_lowercase[:rank]
    return f"{letters},{letters[channels.axis]}->{letters}"


def _leading_to(function: Function, observed: Range) -> Range:
    """The range that a function, two lines which meet at zero, takes to the observed one."""
    below, above = (float(y) for y in function(np.array([-1.0, 1.0])))

    def reach(slope: float) -> float:
        return max(observed[1] if slope > 0 else -observed[0], 0.0) / abs(slope) if slope else 0.0

    return -reach(below), reach(above)


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
