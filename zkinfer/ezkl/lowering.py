"""From a program to an integer ONNX graph that ezkl proves exactly.

Everything a prover may choose is a private graph input; everything public is echoed as a graph output; every
table and coefficient is a constant of the verifying key. Two graph inputs, each a flat vector:

* ``weights``: the model's weights, then salt. ezkl commits to it (KZG), and the commitment is the model's identity.
* ``witness``: statement words, inputs and hints, then salt. Committed too, a new commitment a proof.

A `Lookup` with a shift needs ``floor((x + half) / 2**shift)``, which no ezkl operation computes uniquely at an
acceptable price. So the quotient ``q`` comes in as a hint, and is pinned down by two table lookups:

    r = x + half - q * 2**shift,      r in the remainder table [0, 2**shift),      q in the table's domain.

Both ranges are far below the field's size, so exactly one ``q`` satisfies them, also for a dishonest prover. A lookup's
index columns are constants of the verifying key, which is what makes a table a range check.

Views are free: ezkl moves cells without new ones when a Gather's indices are constant.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from zkinfer.circuit.program import Delay, Einsum, Lookup, Program, Term, View, rounding_half
from zkinfer.circuit.regions import unroll
from zkinfer.circuit.steps import Step, apply_steps
from zkinfer.ezkl.graph import Graph
from zkinfer.ezkl.instances import STATEMENT_WORDS
from zkinfer.ezkl.salting import SaltedVector
from zkinfer.typing import IntArray

WITNESS_SALT = 4
"""Random field elements in each column of the witness vector, which is committed to and opened once: two suffice."""


@dataclass(frozen=True)
class Hint:
    """The quotients of one shifted lookup, offset so that they start at 0.

    Attributes:
        source: the value looked up, of the unrolled program.
        shift: binary digits dropped.
        table_lo: smallest index of the table; the hint is the index minus this.
        size: number of elements.
    """

    source: int
    shift: int
    table_lo: int
    size: int

    def compute(self, source: IntArray) -> IntArray:
        """The hint, flat, from the source's integers."""
        return ((source.ravel() + rounding_half(self.shift)) >> self.shift) - self.table_lo


@dataclass(frozen=True)
class LoweredProgram:
    """An ONNX graph and how to feed it.

    Attributes:
        model: serialized ONNX model.
        program: what the graph computes: the one that was lowered, its recurrences unrolled.
        hints: in the order in which the witness vector holds them.
        weights: layout of the weights vector.
        witness: layout of the witness vector.
    """

    model: bytes
    program: Program
    hints: tuple[Hint, ...]
    weights: SaltedVector
    witness: SaltedVector


def _index_map(steps: tuple[Step, ...], shape: tuple[int, ...]) -> IntArray:
    """For each element of the steps' result, in order, the flat position it comes from, or -1 for padding."""
    positions = np.arange(1, math.prod(shape) + 1, dtype=np.int64).reshape(shape)
    return apply_steps(steps, positions).ravel() - 1


class _Lowering:
    def __init__(self, program: Program, salt: int, logrows: int) -> None:
        self.program = program
        self.graph = Graph()
        self.values: list[str] = []
        self.uses = itertools.count()
        self.hints = [self._hint(node) for node in program.nodes if isinstance(node, Lookup) and node.shift]
        self.weight_sizes = [t.size for t in program.weights]
        self.witness_sizes = [STATEMENT_WORDS, *(t.size for t in program.inputs), *(h.size for h in self.hints)]
        self.weights = SaltedVector(sum(self.weight_sizes), salt, logrows)
        self.witness = SaltedVector(sum(self.witness_sizes), WITNESS_SALT, logrows)

    def run(self) -> LoweredProgram:
        program, graph = self.program, self.graph
        words, *rest = self._split("witness", self.witness, self.witness_sizes)
        flat_inputs, hint_names = rest[: len(program.inputs)], rest[len(program.inputs) :]
        flat_weights = self._split("weights", self.weights, self.weight_sizes)
        for name, tensor in zip((*flat_inputs, *flat_weights), (*program.inputs, *program.weights), strict=True):
            self.values.append(graph.shape(name, tensor.shape))
        self.quotients = self._multiples(hint_names)
        for node in program.nodes:
            match node:
                case Einsum():
                    self.values.append(self._einsum(node))
                case View():
                    self.values.append(self._view(node))
                case Lookup():
                    self.values.append(self._lookup(node))
                case Delay():
                    raise AssertionError("recurrences are unrolled before")
        return self._finish([words, *flat_inputs])

    def _hint(self, node: Lookup) -> Hint:
        return Hint(node.source, node.shift, self.program.tables[node.table].lo, node.out.size)

    def _multiples(self, names: list[str]) -> list[tuple[str, str]]:
        """Each hint, and the hint times 2**shift: one multiplication for all hints of a shift."""
        multiples: dict[int, str] = {}
        for shift in sorted({hint.shift for hint in self.hints}):
            group = [i for i, hint in enumerate(self.hints) if hint.shift == shift]
            together = (
                self.graph.op("Concat", *(names[i] for i in group), axis=0) if len(group) > 1 else names[group[0]]
            )
            scaled = self.graph.scale(together, 1 << shift, self.program.tensor(self.hints[group[0]].source).label)
            ends = np.cumsum([self.hints[i].size for i in group]).tolist()
            for i, end in zip(group, ends, strict=True):
                part = np.arange(end - self.hints[i].size, end)
                multiples[i] = self.graph.take(scaled, part) if len(group) > 1 else scaled
        return [(name, multiples[i]) for i, name in enumerate(names)]

    def _split(self, name: str, layout: SaltedVector, sizes: Sequence[int]) -> list[str]:
        """The flat tensors that a committed vector holds one after the other."""
        ends = np.cumsum(sizes).tolist()
        positions = layout.data_positions
        return [self.graph.take(name, positions[end - size : end]) for size, end in zip(sizes, ends, strict=True)]

    def _einsum(self, node: Einsum) -> str:
        left, out = node.subscripts.split("->")
        names = [self.values[v] for v in node.operands]
        if len(names) == 1:
            return self._sum_and_order(names[0], left, out)
        first, second = left.split(",")
        letters = [first, second]
        for i, (own, other) in enumerate(((first, second), (second, first))):
            kept = "".join(c for c in own if c in out or c in other)
            names[i] = self._sum_and_order(names[i], own, kept)
            letters[i] = kept
        if set(letters[0]) & set(letters[1]) - set(out):
            return self.graph.op("Einsum", *names, equation=f"{letters[0]},{letters[1]}->{out}")
        return self._product(names, letters, out)

    def _sum_and_order(self, name: str, letters: str, out: str) -> str:
        """Sum the letters that are not in `out`, and put the others in its order."""
        summed = [i for i, c in enumerate(letters) if c not in out]
        if summed:
            name = self.graph.op("ReduceSum", name, self.graph.integer(summed), keepdims=0)
            letters = "".join(c for c in letters if c in out)
        if letters != out:
            name = self.graph.op("Transpose", name, perm=[letters.index(c) for c in out])
        return name

    def _product(self, names: list[str], letters: list[str], out: str) -> str:
        """Element by element, each operand spread over the output's axes."""
        shaped = []
        for name, own in zip(names, letters, strict=True):
            ordered = self._sum_and_order(name, own, "".join(c for c in out if c in own))
            missing = [i for i, c in enumerate(out) if c not in own]
            axes = self.graph.integer(missing)
            shaped.append(self.graph.op("Unsqueeze", ordered, axes) if missing else ordered)
        return self.graph.op("Mul", *shaped)

    def _view(self, node: View) -> str:
        graph, total = self.graph, ""
        for term in sorted(node.terms, key=lambda term: term.coefficient < 0):
            name = graph.scale(self._moved(term), abs(term.coefficient), node.out.label)
            if total:
                total = graph.op("Sub" if term.coefficient < 0 else "Add", total, name)
            else:
                total = graph.op("Neg", name) if term.coefficient < 0 else name
        return graph.shape(graph.offset(total, node.offset, node.out.label), node.out.shape)

    def _moved(self, term: Term) -> str:
        """The elements that a term's steps pick, flat."""
        graph, tensor = self.graph, self.program.tensor(term.source)
        index = _index_map(term.steps, tensor.shape)
        name = graph.shape(self.values[term.source], [tensor.size])
        if (index < 0).any():
            name = graph.op("Pad", name, graph.integer([0, 1]))
            index = np.where(index < 0, tensor.size, index)
        return name if np.array_equal(index, np.arange(tensor.size)) else graph.take(name, index)

    def _lookup(self, node: Lookup) -> str:
        graph, table, label = self.graph, self.program.tables[node.table], node.out.label
        flat = graph.shape(self.values[node.source], [node.out.size])
        use = next(self.uses)
        if not node.shift:
            # Entries behind the table's end, one more each time, only make it differ from its other uses: no bound
            # that was proven reaches them, and what lies there is still a function of the index.
            entries = np.append(table.array, np.full(use, table.array[-1]))
            index = graph.offset(flat, -table.lo, label)
            return graph.shape(self._gather(graph.table(entries, label), index), node.out.shape)
        quotient, multiple = self.quotients.pop(0)
        shifted = graph.offset(flat, rounding_half(node.shift) - (table.lo << node.shift), label)
        # The remainder's table is constant, and taken off again, only to differ from its other uses.
        checked = self._gather(graph.table(np.full(1 << node.shift, use), label), graph.op("Sub", shifted, multiple))
        looked_up = self._gather(graph.table(table.array - use, label), quotient)
        return graph.shape(graph.op("Add", looked_up, checked), node.out.shape)

    def _gather(self, table: str, index: str) -> str:
        """A table lookup that also proves that the index is within the table (three cells an element)."""
        return self.graph.op("GatherElements", table, self.graph.op("Cast", index, to=TensorProto.INT64), axis=0)

    def _finish(self, public: list[str]) -> LoweredProgram:
        program, graph = self.program, self.graph
        sizes = (STATEMENT_WORDS, *(t.size for t in (*program.inputs, *program.output_tensors)))
        returned = [*public, *(self.values[value] for value in program.outputs)]
        echoes: list[str] = []
        for name, size in zip(returned, sizes, strict=True):
            flat = graph.shape(name, [size])
            # A value that is returned twice needs a node of its own the second time.
            echoes.append(graph.op("Neg", graph.op("Neg", flat)) if flat in echoes else flat)
        model = graph.model(
            inputs={"weights": self.weights.length, "witness": self.witness.length},
            outputs=dict(zip(echoes, sizes, strict=True)),
        )
        return LoweredProgram(model, program, tuple(self.hints), self.weights, self.witness)


def lower(program: Program, *, salt: int, logrows: int) -> LoweredProgram:
    """The integer ONNX graph of a program, the same bytes for the same program on every machine.

    Recurrences are unrolled.

    Args:
        program: a validated program.
        salt: random field elements in each committed column of weights.
        logrows: k, which gives the length of the columns of a committed vector.

    Raises:
        ResourceError: the salt does not fit a column, or a recurrence has too many steps.
        BoundsError: a constant is too large for the graph's float32 constants; the message names the tensor.
    """
    return _Lowering(unroll(program), salt, logrows).run()
