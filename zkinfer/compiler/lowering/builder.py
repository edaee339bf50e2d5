"""A program under construction: integers alone, every value with its proven bounds.

Nodes are emitted in order, each as a `ProgramValue` that later nodes may read. Equal weights, tables and nodes exist
once. Nodes that no output depends on are not part of the finished program.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import msgspec
import numpy as np
from blake3 import blake3

from zkinfer.circuit.bounds import (
    Interval,
    contraction_interval,
    interval_of,
    lookup_interval,
    round_outward,
    weight_interval,
)
from zkinfer.circuit.derived_bounds import magnitude, table_domain, within
from zkinfer.circuit.product_bounds import is_sum_of_squares
from zkinfer.circuit.program import (
    MAX_MAGNITUDE,
    PROGRAM_VERSION,
    Delay,
    Einsum,
    Lookup,
    Node,
    Program,
    Scales,
    Tensor,
    Term,
    View,
    node_sources,
    rounding_half,
)
from zkinfer.circuit.regions import keeps_time
from zkinfer.circuit.steps import Expand, Reshape, Slice, Step, shape_after
from zkinfer.circuit.table import Table
from zkinfer.circuit.validate import einsum_shape
from zkinfer.circuit.view_bounds import Known, Source, view_interval
from zkinfer.compiler.lowering.result import Saturation
from zkinfer.errors import BoundsError
from zkinfer.execution.narrow import smallest_type
from zkinfer.protocol.field.params import P
from zkinfer.typing import Array, BoolArray, FloatArray

MAX_STEPS = 64
"""The most steps that terms take over from the Views that they read."""


@dataclass(frozen=True, eq=False)
class ProgramValue:
    """A value of the program under construction.

    Attributes:
        number: order of emission, over inputs, weights and nodes alike; not its number in the program.
        tensor: shape, format, and bounds as they are published.
        interval: the exact proven bounds, which depend on the contents of weights.
        content: the integers of a weight; None of other values.
    """

    number: int
    tensor: Tensor
    interval: Interval
    content: Array | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return self.tensor.shape

    @property
    def frac_bits(self) -> int:
        """Binary digits after the point."""
        return self.tensor.frac_bits

    @property
    def real_bounds(self) -> tuple[float, float]:
        """The exact proven bounds as real numbers."""
        lo, hi = self.interval
        return math.ldexp(lo, -self.frac_bits), math.ldexp(hi, -self.frac_bits)

    @property
    def bits(self) -> int:
        """Bits of the largest magnitude within the bounds, without a sign bit."""
        return max(-self.interval[0], self.interval[1], 0).bit_length()


class Summand(NamedTuple):
    """`coefficient * steps(value)` in real numbers; the coefficient is an integer over a power of two."""

    value: ProgramValue
    coefficient: Fraction = Fraction(1)
    steps: tuple[Step, ...] = ()


class Built(NamedTuple):
    """A finished program.

    Attributes:
        program: public part.
        weights: contents of its weights, in order, each in the narrowest signed type that holds it.
        numbers: from `Value.number` to the value's number in the program, for values that are in it.
        saturations: of its lookups.
    """

    program: Program
    weights: tuple[Array, ...]
    numbers: dict[int, int]
    saturations: tuple[Saturation, ...] = ()


def is_dyadic(x: Fraction) -> bool:
    """Whether the denominator is a power of two."""
    return x.denominator & (x.denominator - 1) == 0


class Builder:
    """Emits nodes with their proven bounds, and shares equal ones.

    Of every value two intervals are kept: the proven one, which the contents of weights make tight, and the one that
    follows from what is public (`circuit.derived_bounds`), which a verifier has to find below half of the field.

    Args:
        known: contents of weights of another program, narrow and read-only: weights that are equal share their memory.
    """

    def __init__(self, known: Sequence[Array] = ()) -> None:
        self._known_weights = {_identity(content): content for content in known}
        self._values: list[ProgramValue] = []
        self._inputs: list[int] = []
        self._weights: dict[tuple[int, str | None, tuple[int, ...], bytes], ProgramValue] = {}
        self._secrets: set[int] = set()
        self._tables: list[Table] = []
        self._positions: dict[tuple[int, Sequence[int]], int] = {}
        self._nodes: dict[int, Node] = {}
        self._shared: dict[Node, ProgramValue] = {}
        self._saturations: dict[int, Saturation] = {}
        self._recurrences: list[list[int]] = []
        # The initial value of each Delay of which it is not known yet what it delays, and what depends on these.
        self._open: dict[int, int] = {}
        self._recurrent: set[int] = set()
        self._known = Known(self._source, self._table)
        self._derived: list[Interval] = []
        self._public = Known(self._public_source, self._table, limit=None, shown=True)

    def _append(
        self, tensor: Tensor, interval: Interval, derived: Interval, content: Array | None = None
    ) -> ProgramValue:
        value = ProgramValue(len(self._values), tensor, interval, content)
        self._values.append(value)
        self._derived.append(derived)
        return value

    def input(
        self, label: str, shape: tuple[int, ...], frac_bits: int, lo: int, hi: int, scales: Scales | None = None
    ) -> ProgramValue:
        """A new input of the program, with its bounds."""
        value = self._append(Tensor(label, shape, frac_bits, lo, hi, scales), (lo, hi), (lo, hi))
        self._inputs.append(value.number)
        return value

    def weight(self, label: str, content: Array, frac_bits: int, *, secret: bool = False) -> ProgramValue:
        """A weight; the existing one if there is one with the same contents, shape and format.

        Args:
            label: name in the model.
            content: signed integers; kept in the narrowest type that holds them.
            frac_bits: format.
            secret: whether its bounds, and those of what is computed from it, tell its magnitude to the next power of
                two alone, and not its sign: of one number, other bounds would tell more.
        """
        interval = weight_interval(content)
        content = np.asarray(content, dtype=smallest_type(*interval), order="C").view()
        content.setflags(write=False)
        identity = _identity(content)
        content = self._known_weights.get(identity, content)
        # The key holds a digest, because the contents would be in memory a second time.
        # That two secrets are equal is not told either.
        name = label if secret else None
        key = (frac_bits, name, *identity)
        if key not in self._weights:
            if secret:
                reach = 1 << max(-interval[0], interval[1], 1).bit_length()
                interval = (1 - reach, reach - 1)
            lo, hi = round_outward(interval)
            self._weights[key] = self._append(
                Tensor(label, content.shape, frac_bits, lo, hi), interval, (lo, hi), content
            )
            if secret:
                self._secrets.add(self._weights[key].number)
        return self._weights[key]

    def _emit(self, node: Node, interval: Interval) -> ProgramValue:
        lo, hi = round_outward(interval)
        label = node.out.label
        anonymous = msgspec.structs.replace(node, out=msgspec.structs.replace(node.out, label="", lo=lo, hi=hi))
        if anonymous not in self._shared:
            out = msgspec.structs.replace(anonymous.out, label=label)
            value = self._append(out, interval, interval_of(node, self._public))
            self._nodes[value.number] = msgspec.structs.replace(anonymous, out=out)
            self._shared[anonymous] = value
            if not self._recurrent.isdisjoint(node_sources(node)):
                self._recurrent.add(value.number)
        return self._shared[anonymous]

    def einsum(self, label: str, subscripts: str, *operands: ProgramValue) -> ProgramValue:
        """An exact contraction of one or two values; fraction bits add up.

        Raises:
            ShapeError: the subscripts do not fit.
            BoundsError: a sum could leave the range of exact arithmetic.
        """
        shapes = [value.shape for value in operands]
        shape = einsum_shape(subscripts, shapes)
        with _named(label):
            interval = contraction_interval(subscripts, [v.number for v in operands], self._known)
        out = Tensor(label, shape, sum(v.frac_bits for v in operands), *interval)
        return self._emit(Einsum(out, subscripts, tuple(v.number for v in operands)), interval)

    def combine(
        self, label: str, summands: Sequence[Summand], *, offset: Fraction = Fraction(0), extra_bits: int = 0
    ) -> ProgramValue:
        """The sum of the summands, plus an offset everywhere.

        Formats are aligned by integer coefficients, so that the sum is exact. Its format is the coarsest that holds
        it, plus `extra_bits`; the offset is rounded to that format, ties to even.

        Raises:
            ValueError: a coefficient is zero, or not an integer over a power of two.
            ShapeError: the summands have different shapes, or a step does not fit.
            BoundsError: a sum could leave the range of exact arithmetic.
        """
        if not all(s.coefficient and is_dyadic(s.coefficient) for s in summands):
            raise ValueError(f"{label}: every coefficient is an integer over a power of two, and not zero")
        frac_bits = max(s.value.frac_bits - exponent(s.coefficient) for s in summands) + extra_bits
        recurrent = any(s.value.number in self._recurrent for s in summands)
        terms, sources = [], []
        for value, coefficient, steps in summands:
            factor = coefficient * Fraction(2) ** (frac_bits - value.frac_bits)
            _require_exact(label, factor, "the formats of its terms are too far apart")
            term, source = self._flattened(value, factor.numerator, steps)
            if recurrent and source.number not in self._recurrent:
                term, source = self._in_time(label, term, source)
            terms.append(term)
            sources.append(source)
        rounded = round(offset * Fraction(2) ** frac_bits)
        _require_exact(label, Fraction(rounded), f"the constant {float(offset):.6g} is too large beside its terms")
        if terms == [Term(sources[0].number, 1, ())] and not rounded and sources[0].frac_bits == frac_bits:
            return sources[0]
        shape = shape_after(terms[0].steps, sources[0].shape)
        node = View(Tensor(label, shape, frac_bits, 0, 0), tuple(terms), rounded)
        return self._emit(node, view_interval(node, self._known))

    def zeros(self, label: str, shape: tuple[int, ...], frac_bits: int) -> ProgramValue:
        """A value that is zero everywhere, whatever inputs and weights are."""
        source = self._values[self._inputs[0]]
        steps = (Reshape((source.tensor.size,)), Slice(0, 0, 1, 1), Reshape((1,) * len(shape)), Expand(shape))
        node = View(Tensor(label, shape, frac_bits, 0, 0), (Term(source.number, 0, steps),))
        return self._emit(node, view_interval(node, self._known))

    def delay(self, label: str, initial: ProgramValue, steps: int, interval: Interval) -> ProgramValue:
        """The state of a recurrence before each of its steps; `close` says afterwards what the steps make of it.

        Until every Delay is closed, what depends on one of them has to be pointwise in time, see `circuit.regions`.

        Args:
            label: names the result.
            initial: the state before the first step, of shape (1, ...), in the format of the state.
            steps: how many there are.
            interval: bounds of the state after each step.
        """
        lo, hi = _joined(initial.interval, interval)
        out = Tensor(label, (steps, *initial.shape[1:]), initial.frac_bits, *round_outward((lo, hi)))
        value = self._append(out, (lo, hi), _joined(self._derived[initial.number], interval))
        if not self._open:
            self._recurrences.append([])
        self._recurrences[-1].append(value.number)
        self._open[value.number] = initial.number
        self._recurrent.add(value.number)
        return value

    def close(self, delay: ProgramValue, source: ProgramValue) -> None:
        """Say what a Delay delays: the result of a lookup that depends on it, or on another one that is open.

        Raises:
            ValueError: it is not that, or it has another shape or format, or can leave the interval of the Delay.
        """
        node = self._nodes.get(source.number)
        if not isinstance(node, Lookup) or source.number not in self._recurrent:
            raise ValueError(f"{source.tensor.label}: a recurrence delays the result of a lookup within it")
        within_interval = _joined(delay.interval, self._table(node.table).range) == delay.interval
        if (source.shape, source.frac_bits) != (delay.shape, delay.frac_bits) or not within_interval:
            raise ValueError(f"{source.tensor.label}: the state of a recurrence has one shape and one format")
        self._nodes[delay.number] = Delay(delay.tensor, self._open.pop(delay.number), source.number)
        if not self._open:
            self._recurrent.clear()

    def within(self, delay: ProgramValue, value: ProgramValue) -> ProgramValue:
        """A value as one of the recurrence of an open Delay, of whose shape it is, although it depends on no state."""
        if value.number in self._recurrent:
            return value
        label = value.tensor.label
        term, source = self._in_time(label, Term(value.number, 1, ()), value)
        node = View(Tensor(label, value.shape, value.frac_bits, 0, 0), (term, Term(delay.number, 0, ())))
        assert source is value
        return self._emit(node, view_interval(node, self._known))

    def _in_time(self, label: str, term: Term, source: ProgramValue) -> tuple[Term, ProgramValue]:
        """A term of a recurrence and the value from before it that it reads: of that, only steps of time move."""
        steps = self._values[next(iter(self._open))].shape[0]
        if keeps_time(term.steps, source.shape, steps):
            return term, source
        shape = shape_after(term.steps, source.shape)
        view = View(Tensor(label, shape, source.frac_bits, 0, 0), (Term(source.number, 1, term.steps),))
        value = self._emit(view, view_interval(view, self._known))
        return Term(value.number, term.coefficient, ()), value

    def node(self, value: ProgramValue) -> Node | None:
        """What computes a value, with the numbers of the values under construction; None of inputs and weights."""
        return self._nodes.get(value.number)

    def value(self, number: int) -> ProgramValue:
        """A value by its number under construction."""
        return self._values[number]

    def reshaped(self, value: ProgramValue) -> ProgramValue:
        """The value that this one is, in another shape."""
        node = self.node(value)
        if not isinstance(node, View) or node.offset or len(node.terms) > 1 or node.terms[0].coefficient != 1:
            return value
        if not all(isinstance(step, Reshape) for step in node.terms[0].steps):
            return value
        return self.value(node.terms[0].source)

    def adds_squares(self, value: ProgramValue) -> bool:
        """Whether the value is a sum of squares of elements of another."""
        node = self.node(self.reshaped(value))
        return isinstance(node, Einsum) and is_sum_of_squares(node.subscripts, node.operands)

    def _source(self, number: int) -> Source:
        value = self._values[number]
        content = None if number in self._secrets else value.content
        return Source(value.shape, value.interval, content, self._nodes.get(number))

    def _public_source(self, number: int) -> Source:
        return Source(self._values[number].shape, self._derived[number], None, self._nodes.get(number))

    def is_given(self, value: ProgramValue) -> bool:
        """Whether the value has elements of inputs as they were handed in, moved or chosen by a weight at most."""
        node = self._nodes.get(value.number)
        match node:
            case View():
                return not node.offset and all(self.is_given(self._values[term.source]) for term in node.terms)
            case Einsum(operands=(source, weight)):
                return _chooses(self._values[weight].content) and self.is_given(self._values[source])
        return value.number in self._inputs

    def is_provable(self, value: ProgramValue) -> bool:
        """Whether the value stays below half of the field's order, for all that is public about the weights."""
        return magnitude(self._derived[value.number]) <= P // 2

    def public_bits(self, value: ProgramValue) -> int:
        """Bits of the largest magnitude that the value could have, for all that is public about the weights."""
        return magnitude(self._derived[value.number]).bit_length()

    def slack(self, value: ProgramValue) -> int:
        """How many bits more the value could have, for all that is public, than its published bounds say."""
        return magnitude(self._derived[value.number]).bit_length() - value.tensor.magnitude.bit_length()

    def _table(self, position: int) -> Table:
        return self._tables[position]

    def _flattened(self, value: ProgramValue, coefficient: int, steps: tuple[Step, ...]) -> tuple[Term, ProgramValue]:
        """A term and the value that it reads; a View of one term and no offset is replaced by what it reads.

        Each View of a long chain would have all steps before it: those of `MAX_STEPS` steps are read as they are.
        """
        node = self._nodes.get(value.number)
        if isinstance(node, View) and len(node.terms) == 1 and not node.offset:
            inner = node.terms[0]
            if len(inner.steps) + len(steps) > MAX_STEPS:
                return Term(value.number, coefficient, steps), value
            coefficient, steps, value = coefficient * inner.coefficient, inner.steps + steps, self._values[inner.source]
        return Term(value.number, coefficient, steps), value

    def lookup(
        self,
        label: str,
        source: ProgramValue,
        table: Table,
        shift: int,
        frac_bits: int,
        saturated: Sequence[Interval] = (),
    ) -> ProgramValue:
        """Every element of the source through a table, after a rounding shift.

        Args:
            label: names the result.
            source: the value that is looked up.
            table: what each index becomes.
            shift: of the source's integers.
            frac_bits: format of the result.
            saturated: runs of indices, in order, whose entry is an end of a format in place of a number beyond it.

        Raises:
            BoundsError: the table does not cover what the source can reach.
        """
        with _named(label):
            lookup_interval(table, (source.tensor.lo, source.tensor.hi), shift)
            interval = lookup_interval(table, source.interval, shift)
        position = self._positions.setdefault((table.lo, table.values), len(self._tables))
        if position == len(self._tables):
            self._tables.append(table)
        self._derived[source.number] = within(self._derived[source.number], table_domain(table, shift))
        out = Tensor(label, source.shape, frac_bits, *interval)
        value = self._emit(Lookup(out, source.number, position, shift), interval)
        self._saturate(value, saturated)
        return value

    def limit(self, value: ProgramValue, inside: Callable[[FloatArray], BoolArray]) -> None:
        """Say that a lookup saturates, too, where its table clamps what it looks up to a range of its own.

        Args:
            value: the result of a lookup.
            inside: for the real numbers that indices stand for, whether they are in that range.
        """
        node = self._nodes[value.number]
        assert isinstance(node, Lookup)
        table, step = self._table(node.table), node.shift - self._values[node.source].frac_bits
        indices = np.arange(table.lo, table.hi + 1)
        outside = ~inside(np.ldexp(indices.astype(np.float64), step))
        edges = np.flatnonzero(np.diff(np.concatenate([[False], outside, [False]]).astype(np.int8)))
        self._saturate(value, [(table.lo + int(a), table.lo + int(b) - 1) for a, b in edges.reshape(-1, 2)])

    def _saturate(self, value: ProgramValue, indices: Sequence[Interval]) -> None:
        """Add runs of indices to those at which a lookup saturates."""
        node = self._nodes.get(value.number)
        if not indices or not isinstance(node, Lookup):
            return
        half = rounding_half(node.shift)
        ends = (((first << node.shift) - half, (last + 1 << node.shift) - half - 1) for first, last in indices)
        runs = [(max(lo, -MAX_MAGNITUDE), min(hi, MAX_MAGNITUDE)) for lo, hi in ends]
        if value.number in self._saturations:
            runs += self._saturations[value.number].runs
        self._saturations[value.number] = Saturation(value.number, node.source, _merged(runs))

    def finish(self, outputs: Sequence[ProgramValue]) -> Built:
        """The program that computes these outputs: every input, and the weights and nodes that the outputs need."""
        assert not self._open
        needed = self._needed(outputs)
        made = self._ordered(sorted(number for number in self._nodes if number in needed))
        weights = [w for w in self._weights.values() if w.number in needed]
        nodes = [self._nodes[number] for number in made]
        order = [*self._inputs, *(w.number for w in weights), *made]
        numbers = {number: position for position, number in enumerate(order)}
        kept = sorted({node.table for node in nodes if isinstance(node, Lookup)})
        program = Program(
            version=PROGRAM_VERSION,
            inputs=tuple(self._values[number].tensor for number in self._inputs),
            weights=tuple(w.tensor for w in weights),
            tables=tuple(self._tables[position] for position in kept),
            nodes=tuple(_renumbered(node, numbers, {old: new for new, old in enumerate(kept)}) for node in nodes),
            outputs=tuple(numbers[value.number] for value in outputs),
        )
        saturations = tuple(
            Saturation(numbers[s.value], numbers[s.source], s.runs)
            for number, s in sorted(self._saturations.items())
            if number in needed
        )
        return Built(program, tuple(w.content for w in weights if w.content is not None), numbers, saturations)

    def _needed(self, outputs: Sequence[ProgramValue]) -> set[int]:
        """The numbers of all that outputs depend on."""
        needed, waiting = set[int](), [value.number for value in outputs]
        while waiting:
            number = waiting.pop()
            if number not in needed:
                needed.add(number)
                if number in self._nodes:
                    waiting += node_sources(self._nodes[number])
        return needed

    def _ordered(self, numbers: list[int]) -> list[int]:
        """The nodes of a program, so that those of each recurrence follow one another, from its Delays on."""
        known = set(numbers)
        for recurrence in self._recurrences:
            delays = {number: self._nodes[number] for number in recurrence if number in known}
            sources = {node.source for node in delays.values() if isinstance(node, Delay)}
            if delays:
                start, end = bisect_left(numbers, min(delays)), bisect_right(numbers, max(sources))
                numbers[start:end] = self._parted(numbers[start:end], delays, sources)
        return numbers

    def _parted(self, numbers: Sequence[int], delays: Collection[int], sources: Collection[int]) -> list[int]:
        """The nodes between the first Delay of a recurrence and the last Lookup that one of its Delays names.

        Those of the recurrence depend on a Delay, and such a Lookup depends on them. Others do not depend on a Delay,
        and come before them, or do, and come after them.
        """
        after, before = set(delays), set(sources)
        for number in numbers:
            if not after.isdisjoint(node_sources(self._nodes[number])):
                after.add(number)
        for number in reversed(numbers):
            if number in before and number not in delays:
                before.update(node_sources(self._nodes[number]))
        inside = (after & before) | set(delays)
        return [
            *(number for number in numbers if number not in after),
            *(number for number in numbers if number in inside),
            *(number for number in numbers if number in after and number not in inside),
        ]


def _identity(content: Array) -> tuple[tuple[int, ...], bytes]:
    """Shape and digest of integers in the narrowest type that holds them."""
    return content.shape, blake3(content.reshape(-1).view(np.uint8).data).digest()


def _joined(a: Interval, b: Interval) -> Interval:
    """The least interval that holds both."""
    return min(a[0], b[0]), max(a[1], b[1])


def _merged(runs: Sequence[Interval]) -> tuple[Interval, ...]:
    """Disjoint runs, in order, that hold the same integers."""
    merged: list[Interval] = []
    for lo, hi in sorted(runs):
        if merged and lo <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(hi, merged[-1][1]))
        else:
            merged.append((lo, hi))
    return tuple(merged)


def _chooses(content: Array | None) -> bool:
    """Whether each row of a matrix has a one and else zeros."""
    if content is None or content.ndim != 2:
        return False
    return bool(((content == 0) | (content == 1)).all() and (content.sum(axis=1) == 1).all())


def _renumbered(node: Node, values: Mapping[int, int], tables: Mapping[int, int]) -> Node:
    match node:
        case Einsum(operands=operands):
            return msgspec.structs.replace(node, operands=tuple(values[v] for v in operands))
        case View(terms=terms):
            moved = tuple(msgspec.structs.replace(term, source=values[term.source]) for term in terms)
            return msgspec.structs.replace(node, terms=moved)
        case Lookup(source=source, table=table):
            return msgspec.structs.replace(node, source=values[source], table=tables[table])
        case Delay(initial=initial, source=source):
            return msgspec.structs.replace(node, initial=values[initial], source=values[source])


def exponent(x: Fraction) -> int:
    """The largest `e` such that `x / 2**e` is an integer; `x` is not zero and its denominator is a power of two."""
    numerator, denominator = x.numerator, x.denominator
    return (numerator & -numerator).bit_length() - denominator.bit_length()


def _require_exact(label: str, factor: Fraction, otherwise: str) -> None:
    if abs(factor) >= MAX_MAGNITUDE:
        raise BoundsError(f"{label}: {otherwise}; compile with fewer bits")


@contextmanager
def _named(label: str) -> Iterator[None]:
    """Put the name of the tensor in front of the message of a BoundsError."""
    try:
        yield
    except BoundsError as error:
        raise BoundsError(f"{label}: {error}") from None
