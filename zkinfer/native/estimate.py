"""What keys and proofs of the native backend will take, predicted before any is made."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.filesize import decimal
from rich.table import Table

from zkinfer.backend import PROOF_SIZES, Estimate, ProofSize
from zkinfer.circuit.program import Program
from zkinfer.execution.executor import Executor
from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.memory_limits import memory_limit
from zkinfer.native.cost import (
    RANGE_PICOSECONDS,
    Counts,
    argument_bytes,
    count,
    memory_bytes,
    output_bytes,
    seconds,
)
from zkinfer.native.expected_shape import expected_shape
from zkinfer.native.prove import header_for
from zkinfer.native.setup import KeySizes, committing_seconds, key_sizes, matrix_bytes
from zkinfer.native.witness import values_read
from zkinfer.progress import duration
from zkinfer.protocol.native_proof.encoding import Header
from zkinfer.protocol.native_proof.protocol import PADS, soundness
from zkinfer.protocol.native_proof.shape import Shape, shape_of
from zkinfer.protocol.reduction.plan import Plan, make_plan
from zkinfer.protocol.reduction.weight_ranges import make_range_plan
from zkinfer.terminal import LongName
from zkinfer.typing import IntArray

SMALL_BUDGET = 100
"""Proofs of keys whose setup is shown beside that of keys for more: a copy or a few of the weights of any model."""

NOTICED_SECONDS = 5
"""By which keys for few proofs have to be made sooner, to be mentioned."""

MARGIN = 1.25
"""Of the largest argument over the expected one: drawn columns may share less of their paths."""


IDENTITY, ROUNDING = "x", "rounding"
"""The name of a table that gives what it is given, and what a reader sees: it rounds, and holds values in bounds."""


@dataclass(frozen=True)
class LayerCost:
    """The lookups of one node.

    Attributes:
        label: of the tensor.
        elements: looked up in one proof.
        entries: of the lookup argument: the elements, the places that fill up their boxes, and the limbs of all
            remainders.
        table: its name.
        table_rows: its rows.
    """

    label: str
    elements: int
    entries: int
    table: str
    table_rows: int


@dataclass(frozen=True)
class OtherSize:
    """What another choice of the size of proofs would cost; attributes are as those of `NativeEstimate`."""

    proof_size: ProofSize
    setup_seconds: float
    prove_seconds: float
    proof_bytes: int


@dataclass(frozen=True)
class NativeEstimate(Estimate):
    """Predicted cost of the native backend on the reference machine; seconds are those of one core.

    Attributes:
        runs: of the program in one proof.
        proofs: budget of the keys.
        layers: every node that looks up.
        counts: what is done for a proof.
        setup_seconds: of committing to the weights, and of the proof about them.
        prove_seconds: execution included.
        small_setup_seconds: what setup would take of keys for `SMALL_BUDGET` proofs.
        range_seconds: of the proof, made once with the keys, that all weights lie within their bounds.
        memory_bytes: peak of a process that loads the keys and proves.
        disk_bytes: of the key folder.
        proof_size: what the keys are made for.
        proof_bytes: of a proof.
        other_sizes: for each other choice of what they are made for.
        security_bits: of a proof.
    """

    runs: int
    proofs: int
    layers: tuple[LayerCost, ...]
    counts: Counts
    setup_seconds: float
    small_setup_seconds: float
    prove_seconds: float
    range_seconds: float
    memory_bytes: int
    disk_bytes: int
    proof_size: ProofSize
    proof_bytes: int
    other_sizes: tuple[OtherSize, ...]
    security_bits: float

    @property
    def title(self) -> str:
        return (
            "Estimate for the native backend. Times are seconds of one idle core like those of docs/benchmarks.md.\n"
            "The first proof of a process takes longer than estimated: it also reads keys and kernels"
        )

    def rows(self) -> list[tuple[str, str]]:
        small = (f"with keys for {SMALL_BUDGET:,} proofs it would take", duration(self.small_setup_seconds))
        return [
            ("runs in one proof", f"{self.runs:,}"),
            ("proofs that the keys make", f"{self.proofs:,}"),
            ("setup, once", duration(self.setup_seconds)),
            ("of which the proof about the weights", duration(self.range_seconds)),
            *([small] if self.setup_seconds - self.small_setup_seconds > NOTICED_SECONDS else []),
            ("prove", duration(self.prove_seconds)),
            ("memory", _memory(self.memory_bytes)),
            ("proof", decimal(self.proof_bytes)),
            ("proof size", self.proof_size),
            *((f"with proof size {other.proof_size}", _in_words(other)) for other in self.other_sizes),
            ("keys on disk", decimal(self.disk_bytes)),
            ("security", f"{self.security_bits:.1f} bits"),
        ]

    def table(self) -> Table:
        """The lookups of each layer."""
        caption = "to prove: the numbers, what fills them up to powers of two, and the remainders of their rounding"
        table = Table(title="Numbers looked up in one proof", title_justify="left", caption=caption)
        table.add_column("layer")
        table.add_column("function")
        for name in ("numbers", "to prove", "rows of\nthe table"):
            table.add_column(name, justify="right", no_wrap=True)
        for layer in self.layers:
            function = ROUNDING if layer.table == IDENTITY else layer.table
            numbers = (f"{layer.elements:,}", f"{layer.entries:,}", f"{layer.table_rows:,}")
            table.add_row(LongName(layer.label), LongName(function), *numbers)
        return table


def _in_words(other: OtherSize) -> str:
    return f"{decimal(other.proof_bytes)}, prove {duration(other.prove_seconds)}, setup {duration(other.setup_seconds)}"


@dataclass(frozen=True)
class _Sizes:
    """All sizes that are chosen for proofs of a plan, and what follows from them."""

    plan: Plan
    proof_size: ProofSize
    keys: KeySizes
    header: Header
    shape: Shape

    @staticmethod
    def chosen(plan: Plan, proofs: int, proof_size: ProofSize) -> "_Sizes":
        keys, header = key_sizes(plan.program, proofs, proof_size), header_for(plan, proof_size)
        shape = expected_shape(plan, keys.opening.code, header, keys.log_copies)
        return _Sizes(plan, proof_size, keys, header, shape)

    @property
    def counts(self) -> Counts:
        return count(self.plan, self.shape, self.header, self.keys.opening, self.keys.symbols)

    @property
    def proof_bytes(self) -> int:
        argument = argument_bytes(self.plan, self.shape, self.header, self.keys.opening, self.keys.symbols)
        return argument + output_bytes(self.plan)

    @property
    def setup_seconds(self) -> float:
        return committing_seconds(self.plan.program, self.keys) + _range_proof(self.plan.program, self.keys)[0]

    @property
    def other(self) -> OtherSize:
        return OtherSize(self.proof_size, self.setup_seconds, seconds(self.counts), self.proof_bytes)


def estimate(
    program: Program,
    weights: Sequence[IntArray],
    *,
    runs: int = 1,
    proofs: int,
    proof_size: ProofSize = "balanced",
) -> NativeEstimate:
    """Predict what `setup` and `prove` take; this takes the same time and memory for any number of runs.

    Args:
        program, weights: the circuit's.
        runs: of the program that one proof covers.
        proofs: budget of the keys.
        proof_size: what they are made for.

    Raises:
        ProvingError: the program cannot be proven; InvalidInputError: no runs, or too many proofs.
    """
    plan = make_plan(program, runs)
    chosen = _Sizes.chosen(plan, proofs, proof_size)
    sizes, header, shape, counts = chosen.keys, chosen.header, chosen.shape, chosen.counts
    opening, groups = sizes.opening, (shape.weight_groups, shape.witness_groups)
    others = (_Sizes.chosen(plan, proofs, other).other for other in PROOF_SIZES if other != proof_size)
    executor = Executor(program, weights, keep=values_read(program))
    range_seconds, range_bytes = _range_proof(program, sizes)
    stored, small = matrix_bytes(program, sizes), key_sizes(program, SMALL_BUDGET, proof_size)
    return NativeEstimate(
        runs=runs,
        proofs=proofs,
        layers=_layers(plan),
        counts=counts,
        setup_seconds=committing_seconds(program, sizes) + range_seconds,
        small_setup_seconds=committing_seconds(program, small) + _range_proof(program, small)[0],
        prove_seconds=seconds(counts),
        range_seconds=range_seconds,
        memory_bytes=memory_bytes(plan, header, opening.code, executor.peak_bytes(runs)),
        disk_bytes=stored + range_bytes,
        proof_size=proof_size,
        proof_bytes=chosen.proof_bytes,
        other_sizes=tuple(others),
        security_bits=soundness(shape.terms, opening, header.opening, groups, PADS.sizes(len(shape.variables))).bits,
    )


def largest_proof(
    commitment: Commitment,
    runs: int,
    *,
    private_inputs: bool,
    private_outputs: bool,
    proof_size: ProofSize = "balanced",
) -> int:
    """Bytes that no proof of so many runs exceeds, and few proofs are far below: the estimate with a margin.

    Raises:
        ProvingError: the program cannot be proven for so many runs.
    """
    program, opening = commitment.program, commitment.key_as(NativeVerifyingKey).opening
    plan = make_plan(program, runs, (private_inputs,) * len(program.inputs), (private_outputs,) * len(program.outputs))
    header = header_for(plan, proof_size)
    sizes = KeySizes(opening, commitment.key_as(NativeVerifyingKey).proofs)
    shape = shape_of(plan, opening.code, header, sizes.log_copies)
    return int(MARGIN * argument_bytes(plan, shape, header, opening, sizes.symbols)) + output_bytes(plan)


def _memory(needed: int) -> str:
    """Bytes, and what the machine has if that is less."""
    present = memory_limit()
    return decimal(needed) if needed <= present else f"{decimal(needed)}, and this machine has {decimal(present)}"


def _range_proof(program: Program, sizes: KeySizes) -> tuple[float, int]:
    """Seconds and bytes of the proof about the weights, which the commitment carries."""
    if not program.weights:
        return 0.0, 0
    plan, opening = make_range_plan(program), sizes.opening
    header = header_for(plan)
    shape = shape_of(plan, opening.code, header, sizes.log_copies)
    size = argument_bytes(plan, shape, header, opening, sizes.symbols)
    return seconds(range_counts(program, sizes), RANGE_PICOSECONDS), size


def range_counts(program: Program, sizes: KeySizes) -> Counts:
    """What is done for the proof about a program's weights, of which there are some.

    Args:
        sizes: of their matrix.
    """
    plan, opening = make_range_plan(program), sizes.opening
    header = header_for(plan)
    shape = shape_of(plan, opening.code, header, sizes.log_copies)
    return count(plan, shape, header, opening, sizes.symbols)


def _layers(plan: Plan) -> tuple[LayerCost, ...]:
    found = []
    for site in plan.sites:
        if site.table is not None:
            table, out = plan.program.tables[site.table], plan.program.tensor(site.value)
            entries = (1 + len(site.limb_bits)) * sum(1 << box.total for box in site.cut.boxes)
            found.append(LayerCost(out.label, math.prod(site.cut.shape), entries, table.name, len(table.values)))
    return tuple(found)
