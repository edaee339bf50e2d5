"""The integer program: the public part of a circuit.

A `Program` is everything about a model but its weights: the tensors that flow, with their Q-formats and
bounds, the kinds of node, and the lookup tables. Values are numbered: inputs first, then weights, then
one value a node in order of execution, so a node can only name values that exist before it.

One kind of node may name a later value: a `Delay`, which puts what one step computed into the step that follows.
`circuit.regions` says which nodes belong to such a recurrence, and why it determines every value.

Plain data, light enough for a verifier.
"""

import math

import msgspec

from zkinfer.circuit.steps import Pad, Slice, Step
from zkinfer.circuit.table import Table

PROGRAM_VERSION = 1
MAX_MAGNITUDE = 1 << 62
"""Every value, and every partial sum of an Einsum in absolute value, stays strictly below this: int64 holds it.

The fields of proof systems have limits of their own, see `circuit.derived_bounds`."""


class Scales(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Powers of two along one axis of a tensor, which are taken before its format.

    Attributes:
        axis: counted from the end, so that leading axes of runs do not move it; never the first axis.
        exponents: one for each place along the axis; the smallest is zero, and another is not.
    """

    axis: int
    exponents: tuple[int, ...]


class Tensor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An integer tensor in fixed point: the real number is `integer / 2**frac_bits`.

    Attributes:
        label: where it comes from in the model, for people.
        shape: sizes, the batch first where there is one.
        frac_bits: binary digits after the point; may be negative.
        lo, hi: inclusive bounds on every element. For inputs they are part of the statement; for everything
            else they are proven by interval analysis when the circuit is compiled, and published rounded outward.
        scales: of inputs alone, whose features may have units of their own. The real number at place j along their axis
            is `integer / 2**(frac_bits + exponents[j])`. None where all of the tensor has one format.
    """

    label: str
    shape: tuple[int, ...]
    frac_bits: int
    lo: int
    hi: int
    scales: Scales | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def magnitude(self) -> int:
        """Largest absolute value that the bounds admit."""
        return max(abs(self.lo), abs(self.hi))


class Einsum(msgspec.Struct, frozen=True, array_like=True, tag="einsum", forbid_unknown_fields=True):
    """Exact integer contraction of one or two tensors.

    `subscripts` is numpy's explicit form ("bi,oi->bo"): lower-case letters, no ellipsis, no letter twice in one
    operand, every output letter in some operand. Letters missing from the output are summed.
    """

    out: Tensor
    subscripts: str
    operands: tuple[int, ...]


class Term(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """`coefficient * steps(source)`: one re-indexed tensor in a `View`'s sum."""

    source: int
    coefficient: int
    steps: tuple[Step, ...]


class View(msgspec.Struct, frozen=True, array_like=True, tag="view", forbid_unknown_fields=True):
    """Public re-indexing and integer-linear combination: the sum of the terms plus `offset` everywhere."""

    out: Tensor
    terms: tuple[Term, ...]
    offset: int = 0


class Lookup(msgspec.Struct, frozen=True, array_like=True, tag="lookup", forbid_unknown_fields=True):
    """Every element `x` becomes `table[floor((x + half) / 2**shift)]`, where half is 2**(shift-1), or 0 at shift 0."""

    out: Tensor
    source: int
    table: int
    shift: int


class Delay(msgspec.Struct, frozen=True, array_like=True, tag="delay", forbid_unknown_fields=True):
    """Along the first axis, which is that of time: `initial`, and then what `source` was one step before.

    Attributes:
        out: at step 0 it is `initial`; at step t it is step t - 1 of `source`.
        initial: an earlier value, of shape (1, *rest).
        source: a later value, the result of a Lookup, of shape (steps, *rest).
    """

    out: Tensor
    initial: int
    source: int

    def terms(self) -> tuple["Term", ...]:
        """The terms of the View that this would be if `source` were an earlier value."""
        (steps, *rest) = self.out.shape
        none = (0,) * len(rest)
        if steps == 1:
            return (Term(self.initial, 1, ()),)
        first = Term(self.initial, 1, (Pad((0, *none), (steps - 1, *none)),))
        others = Term(self.source, 1, (Slice(0, 0, steps - 1, 1), Pad((1, *none), (0, *none))))
        return (first, others)


Node = Einsum | View | Lookup | Delay


class Program(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The public part of a circuit.

    Attributes:
        version: `PROGRAM_VERSION`.
        inputs: values 0, 1, ...
        weights: the next values: their shapes and formats, not their contents.
        tables: referred to by position.
        nodes: each makes one value.
        outputs: the values that the program returns.
    """

    version: int
    inputs: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]
    tables: tuple[Table, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]

    def tensor(self, value: int) -> Tensor:
        """The tensor of a value's number."""
        leaves = len(self.inputs) + len(self.weights)
        if value < len(self.inputs):
            return self.inputs[value]
        if value < leaves:
            return self.weights[value - len(self.inputs)]
        return self.nodes[value - leaves].out

    @property
    def num_values(self) -> int:
        """How many values there are: inputs, weights and nodes."""
        return len(self.inputs) + len(self.weights) + len(self.nodes)

    @property
    def output_tensors(self) -> tuple[Tensor, ...]:
        """The tensors that the program returns."""
        return tuple(self.tensor(value) for value in self.outputs)


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape as people write it: 1 x 28 x 28."""
    return " x ".join(map(str, shape)) or "scalar"


def node_sources(node: Node) -> tuple[int, ...]:
    """The values that a node reads, in the order in which it names them. Of a Delay the last one is a later value."""
    match node:
        case Einsum(operands=operands):
            return operands
        case View(terms=terms):
            return tuple(term.source for term in terms)
        case Lookup(source=source):
            return (source,)
        case Delay(initial=initial, source=source):
            return initial, source


def rounding_half(shift: int) -> int:
    """What is added before a shift, so that it rounds to nearest, ties upward."""
    return 1 << (shift - 1) if shift else 0
