"""What one proof is made of, known before it is made: lookups, committed vectors, who is public.

Both sides make the plan from the program, the number of runs and which inputs and outputs are private.
"""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import ClassVar

from zkinfer.circuit.derived_bounds import derived_bounds
from zkinfer.circuit.limbs import MAX_LIMB_BITS, Limbs, limb_cuts
from zkinfer.circuit.program import Einsum, Lookup, Program, node_sources, rounding_half
from zkinfer.circuit.regions import varying
from zkinfer.errors import BoundsError, InvalidInputError, ProvingError
from zkinfer.protocol.field.params import P
from zkinfer.protocol.lookup.params import Block, LookupInstance
from zkinfer.protocol.lookup.tables import LookupTable, RangeTable
from zkinfer.protocol.reduction.boxes import Cut, cover
from zkinfer.protocol.reduction.layout import Layout, weight_layout
from zkinfer.protocol.reduction.tables import lookup_table

MAX_WEIGHT_RANGE = 1 << 48
"""The bounds of a weight are less than this apart: distances from both, of as many bits, add up in the field."""

MAX_HEIGHT = 32
"""Of products of products, without a Lookup between. Each level adds claims to those on all products below it, so a
check takes at most their number times the height."""

FREE_PULLED, PULLED_PER_SOURCE = 1 << 12, 16
"""Functionals are pulled back to at most so many sources, and so many more for each that the program's nodes name: a
sum of sums is gone through again for each product that reads one of them, so a chain of n would take n^2."""

WEIGHTS, INPUTS, OUTPUTS, WITNESS = range(4)
"""The matrices: weights are opened by themselves, the others together, in this order."""


@dataclass(frozen=True)
class LookupSite:
    """A Lookup node, or the range of a private input, in the lookup argument.

    Attributes:
        source: the value whose elements are looked up.
        table: the number of the table, in the program; None for the range of a private input.
        blocks: for each box of the cut, the number of the block of indices and then those of the limbs.
        identity: index and output are one.
        shift: of the node.
        limb_bits: of each limb of the remainder, the lowest first.
        cut: of the tensor, its axis of runs included.
        out: the number of the output's vector in the witness; None for a private input, which is its own.
        limbs: the numbers of the limbs' vectors.
        padding: what stands for the source in the places of the boxes behind the tensor.
    """

    value: int
    source: int
    table: int | None
    identity: bool
    shift: int
    limb_bits: tuple[int, ...]
    cut: Cut
    out: int | None
    limbs: tuple[int, ...]
    blocks: tuple[tuple[int, ...], ...]
    padding: int

    @property
    def limb_weights(self) -> tuple[int, ...]:
        """What each limb counts in the remainder."""
        return tuple(1 << s for s in accumulate((0, *self.limb_bits[:-1]))) if self.limb_bits else ()


@dataclass(frozen=True, eq=False)
class Plan:
    """All that both sides know before the first message.

    Attributes:
        program: the integer program.
        runs: independent runs that the proof covers.
        private_inputs, private_outputs: for each input and output whether it is hidden.
        sites: of the lookup argument.
        instance: the lookup argument, if there is anything to look up.
        layouts: by matrix; those of private inputs and outputs may hold nothing.
        committed: for committed values the matrix and the vector's number in it.
        multiplicities: for each table of the instance the vector's number in the witness.
        starts: for each table of the instance its first index: indices count upwards from it.
        varies: for each value whether it depends on an input.
        heights: for each value the Einsums of two operands on the longest way to it that meets no Lookup.
    """

    program: Program
    runs: int
    private_inputs: tuple[bool, ...]
    private_outputs: tuple[bool, ...]
    sites: tuple[LookupSite, ...]
    instance: LookupInstance | None
    layouts: tuple[Layout, Layout, Layout, Layout]
    committed: dict[int, tuple[int, int]]
    multiplicities: tuple[int, ...]
    starts: tuple[int, ...]
    varies: tuple[bool, ...]
    heights: tuple[int, ...]

    zeros_behind_weights: ClassVar[bool] = True
    """Behind weights on axes that are lengthened there are zeros: the commitment's own proof has shown it."""

    @property
    def instances(self) -> tuple[LookupInstance, ...]:
        """The lookup arguments: one, or none if there is nothing to look up."""
        return () if self.instance is None else (self.instance,)

    def shape(self, value: int) -> tuple[int, ...]:
        """Of a value over all runs: what is made of weights alone has one run, which serves all."""
        return (self.runs if self.varies[value] else 1, *self.program.tensor(value).shape)


@lru_cache(maxsize=16)
def check_program(program: Program) -> None:
    """Check that a program's integers are unique modulo the field's order, for all that is public about the weights.

    Raises:
        ProvingError: a value could leave the field, or a decomposition wrap around; names the tensor.
    """
    remedy = "compile with fewer bits for activations or weights"
    for tensor in program.weights:
        if tensor.hi - tensor.lo >= MAX_WEIGHT_RANGE:
            raise ProvingError(f"{tensor.label}: the range of a weight's bounds is below 2^48; {remedy}")
    for value in range(program.num_values):
        tensor = program.tensor(value)
        if 2 * tensor.magnitude >= P:
            bits = tensor.magnitude.bit_length()
            raise ProvingError(
                f"{tensor.label}: values of {bits} bits and a sign do not fit the field of {P.bit_length()}; {remedy}"
            )
    for value, height in enumerate(heights(program)):
        if height > MAX_HEIGHT:
            raise ProvingError(
                f"{program.tensor(value).label}: products of products, {height} deep, and at most {MAX_HEIGHT} are "
                "proven; put a function of the values, such as a rounding, between them"
            )
    try:
        derived_bounds(program, P // 2)
    except BoundsError as error:
        raise ProvingError(str(error)) from None


def most_pulled(program: Program) -> int:
    """To how many sources functionals may be pulled back in a proof, see `PULLED_PER_SOURCE`."""
    return FREE_PULLED + PULLED_PER_SOURCE * sum(len(node_sources(node)) for node in program.nodes)


def heights(program: Program) -> tuple[int, ...]:
    """For each value the levels below it: what reads another value through a contraction is higher than that value."""
    found = [0] * (len(program.inputs) + len(program.weights))
    for node in program.nodes:
        # What a Delay names later is committed, and so at the bottom.
        below = max((found[v] for v in node_sources(node) if v < len(found)), default=0)
        match node:
            case Einsum(operands=(_, _)):
                found.append(below + 1)
            case Lookup():
                found.append(0)
            case _:
                found.append(below)
    return tuple(found)


class _Builder:
    """Collects tables, blocks and witness vectors."""

    def __init__(self) -> None:
        self.tables: list[LookupTable] = []
        self.starts: list[int] = []
        self.blocks: list[Block] = []
        self.cuts: list[Cut] = []
        self._numbers: dict[object, int] = {}

    def table(self, key: object, table: LookupTable, start: int) -> int:
        if key not in self._numbers:
            self._numbers[key] = len(self.tables)
            self.tables.append(table)
            self.starts.append(start)
        return self._numbers[key]

    def block(self, table: int, variables: int) -> int:
        self.blocks.append(Block(table, variables))
        return len(self.blocks) - 1

    def vector(self, part: Cut) -> int:
        self.cuts.append(part)
        return len(self.cuts) - 1


@lru_cache(maxsize=16)
def make_plan(
    program: Program, runs: int, private_inputs: tuple[bool, ...] = (), private_outputs: tuple[bool, ...] = ()
) -> Plan:
    """The plan of a proof.

    Args:
        program: a validated program.
        runs: at least 1.
        private_inputs, private_outputs: for each input and output whether it is hidden; none when empty.

    Raises:
        ProvingError: the program does not fit the field, or the range of a private input is too large.
        InvalidInputError: no runs, or flags of the wrong number.
    """
    private_inputs = private_inputs or (False,) * len(program.inputs)
    private_outputs = private_outputs or (False,) * len(program.outputs)
    if runs < 1 or len(private_inputs) != len(program.inputs) or len(private_outputs) != len(program.outputs):
        raise InvalidInputError("a proof covers one run at least, and says of every input and output who may see it")
    check_program(program)
    varies = varying(program)
    builder = _Builder()
    sites, committed = [], {}
    inputs: list[Cut] = []
    outputs: list[Cut] = []
    for value, private in enumerate(private_inputs):
        if private:
            committed[value] = (INPUTS, len(inputs))
            part = cover((runs, *program.inputs[value].shape))
            inputs.append(part)
            sites.append(_input_site(builder, program, value, part))
    for value, private in zip(program.outputs, private_outputs, strict=True):
        if private:
            outputs.append(cover((runs if varies[value] else 1, *program.tensor(value).shape)))
    leaves = len(program.inputs) + len(program.weights)
    for i in range(len(program.weights)):
        committed[len(program.inputs) + i] = (WEIGHTS, i)
    lookups = [(leaves + i, node) for i, node in enumerate(program.nodes) if isinstance(node, Lookup)]
    elements: Counter[int] = Counter()
    for value, node in lookups:
        elements[node.shift] += node.out.size * (runs if varies[value] else 1)
    limbs = limb_cuts(elements)
    for value, node in lookups:
        part = cover((runs if varies[value] else 1, *node.out.shape))
        sites.append(_node_site(builder, program, value, node, part, limbs[node.shift]))
        out = sites[-1].out
        assert out is not None
        committed[value] = (WITNESS, out)
    instance = LookupInstance(tuple(builder.tables), tuple(builder.blocks)) if builder.blocks else None
    multiplicities = tuple(builder.vector(cover((1 << table.variables,))) for table in builder.tables)
    layouts = (weight_layout(program), Layout(tuple(inputs)), Layout(tuple(outputs)), Layout(tuple(builder.cuts)))
    return Plan(
        program,
        runs,
        private_inputs,
        private_outputs,
        tuple(sites),
        instance,
        layouts,
        committed,
        multiplicities,
        tuple(builder.starts),
        varies,
        heights(program),
    )


def _input_site(builder: _Builder, program: Program, value: int, part: Cut) -> LookupSite:
    tensor = program.inputs[value]
    rows = tensor.hi - tensor.lo + 1
    if rows > 1 << MAX_LIMB_BITS:
        raise ProvingError(
            f"{tensor.label}: a private input takes at most {MAX_LIMB_BITS} bits, not {rows.bit_length()}; "
            "compile with fewer bits for activations, or with fewer for this input alone (precision.tensors), or prove "
            "with public inputs"
        )
    number = builder.table(("range", tensor.lo, rows), RangeTable(rows, tensor.lo), tensor.lo)
    blocks = tuple((builder.block(number, box.total),) for box in part.boxes)
    return LookupSite(value, value, None, True, 0, (), part, None, (), blocks, 0)


def _node_site(builder: _Builder, program: Program, value: int, node: Lookup, part: Cut, bits: Limbs) -> LookupSite:
    table, identity = lookup_table(program.tables[node.table])
    number = builder.table(("table", node.table), table, program.tables[node.table].lo)
    ranges = [builder.table(("range", 0, 1 << b), RangeTable(1 << b), 0) for b in bits]
    # The source of the table's index that is nearest to zero, without a remainder.
    index = min(max(0, program.tables[node.table].lo), program.tables[node.table].hi)
    padding = (index << node.shift) - rounding_half(node.shift)
    out = builder.vector(part)
    limbs = tuple(builder.vector(part) for _ in bits)
    blocks = tuple(tuple(builder.block(t, box.total) for t in (number, *ranges)) for box in part.boxes)
    return LookupSite(value, node.source, node.table, identity, node.shift, bits, part, out, limbs, blocks, padding)
