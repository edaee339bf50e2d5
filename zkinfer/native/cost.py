"""What a native proof costs: counts of what is done, times constants fitted to measurements.

Time is that of processors, of all threads together: what one idle core takes. It depends on no other program as the
clock does; with several cores the clock shows less where kernels do most of the work.

`benchmarks/native_cost.py` measures a range of circuits, fits `PICOSECONDS` to them and prints how far off they are.
"""

import math
from dataclasses import dataclass, fields, replace

from zkinfer.circuit.program import Einsum, Program
from zkinfer.files.integers import bit_width, packed_bytes
from zkinfer.protocol.field.encoding import EXT_BYTES
from zkinfer.protocol.merkle.paths import DIGEST_BYTES
from zkinfer.protocol.native_proof.encoding import Header
from zkinfer.protocol.native_proof.protocol import PADS
from zkinfer.protocol.native_proof.shape import Shape
from zkinfer.protocol.pads.params import LEAF_BYTES, PadSizes
from zkinfer.protocol.pcs.params import Code, OpeningParameters, symbols_of
from zkinfer.protocol.pcs.sizes import expected_opening_bytes
from zkinfer.protocol.reduction.gather import is_gathered
from zkinfer.protocol.reduction.plan import INPUTS, WEIGHTS, WITNESS, Plan
from zkinfer.protocol.reduction.weight_ranges import AnyPlan
from zkinfer.protocol.transcript import NONCE_BYTES


@dataclass(frozen=True)
class Counts:
    """What is done for one proof.

    Attributes:
        proof: 1, for what every proof costs.
        multiplications: of the execution.
        elements: of all values over all runs.
        lookups: entries of the lookup argument.
        table_rows: rows of its tables.
        symbols: of all codewords that are made for the proof.
        leaves: of its Merkle trees.
        weights: cells of the weights' matrix, blinding included, times the combinations that are made of it.
        contracted, summed: places of sumchecks: of contractions; of committed cells and gathered boxes.
        messages: elements that are sent.
        nodes: of the program.
        boxes: of committed tensors.
    """

    proof: int
    multiplications: int
    elements: int
    lookups: int
    table_rows: int
    symbols: int
    leaves: int
    weights: int
    contracted: int
    summed: int
    messages: int
    nodes: int
    boxes: int


PICOSECONDS = Counts(
    proof=8_000_000_000,
    multiplications=40,
    elements=1_100,
    lookups=118_000,
    table_rows=90_000,
    symbols=5_000,
    leaves=225_000,
    weights=8_200,
    contracted=290_000,
    summed=8_000,
    messages=76_000_000,
    nodes=800_000_000,
    boxes=180_000_000,
)
"""For each of what is counted, on a core of the reference machine. What grows together cannot be told apart by fitting:
lookups carry most of what is done for a committed cell, leaves carry masks and the levels of the openings."""

RANGE_PICOSECONDS = replace(PICOSECONDS, lookups=42_000, symbols=10_500, leaves=0, messages=80_000_000)
"""The same for the proof about the weights, where most of what is looked up is committed already: lookups do not carry
a share of the commitment, and symbols carry limbs and multiplicities. `benchmarks/weight_ranges.py` fits them."""

COMMITTING_PICOSECONDS, COPYING_PICOSECONDS = 7_000, 1_500
"""For each byte of a matrix of weights: to encode, hash and write it, on the same machine; and without writing it."""

BYTES_A_MASK_SYMBOL = 220
"""Of memory, for each symbol of the weights' code: the masks' matrix with its tree, and what makes them."""


def count(
    plan: AnyPlan, shape: Shape, header: Header, weights: OpeningParameters, own: tuple[int, int] = (0, 0)
) -> Counts:
    """What proofs of a plan do.

    Args:
        plan, shape, header: of the proofs; the proof about the weights executes nothing.
        weights: how their matrix is opened.
        own: symbols of its columns beside those of the weights: of the veil, and of masks that it brings.
    """
    witness = header.opening
    rows = sum(layout.rows(header.log_columns) for layout in plan.layouts[INPUTS : WITNESS + 1])
    mask_rows = 3 * (shape.weight_groups + 1) if shape.weight_groups and not own[1] else 0
    witness_rows = rows + (3 * (shape.witness_groups + 1) if shape.witness_groups else 0)
    weight_rows = plan.layouts[WEIGHTS].rows(weights.code.log_columns) + sum(own)
    pads = PADS.sizes(len(shape.variables))
    return Counts(
        proof=1,
        multiplications=_executed(plan) if isinstance(plan, Plan) else 0,
        elements=_elements(plan) if isinstance(plan, Plan) else 0,
        lookups=sum(instance.lookups for instance in plan.instances),
        table_rows=sum(instance.rows.filled for instance in plan.instances),
        symbols=witness_rows * witness.code.length + mask_rows * weights.code.length,
        leaves=witness.code.length + (weights.code.length if mask_rows else 0) + pads.length,
        weights=(shape.weight_groups + 1) * weight_rows * weights.code.dimension if shape.weight_groups else 0,
        contracted=shape.contracted,
        summed=shape.summed,
        messages=len(shape.variables),
        nodes=len(plan.program.nodes) if isinstance(plan, Plan) else 0,
        boxes=sum(len(cut.boxes) for layout in plan.layouts for cut in layout.cuts),
    )


def seconds(counts: Counts, rates: Counts = PICOSECONDS) -> float:
    """What the counts cost."""
    return 1e-12 * float(sum(getattr(counts, field.name) * getattr(rates, field.name) for field in fields(Counts)))


def _executed(plan: Plan) -> int:
    """Multiplications of all runs."""
    program = plan.program
    return sum(plan.runs * _multiplications(program, n) for n in program.nodes if isinstance(n, Einsum))


def _elements(plan: Plan) -> int:
    """Of all values over all runs."""
    return sum(math.prod(plan.shape(value)) for value in range(plan.program.num_values) if plan.varies[value])


def _multiplications(program: Program, node: Einsum) -> int:
    terms = node.subscripts.partition("->")[0].split(",")
    shapes = (program.tensor(value).shape for value in node.operands)
    sizes = {c: n for names, shape in zip(terms, shapes, strict=True) for c, n in zip(names, shape, strict=True)}
    return math.prod(sizes.values())


def output_bytes(plan: Plan) -> int:
    """Bytes of the public outputs of all runs at most: numbers that use all of their bounds."""
    total = 0
    for value, private in zip(plan.program.outputs, plan.private_outputs, strict=True):
        tensor = plan.program.tensor(value)
        if not private:
            total += packed_bytes(plan.runs * tensor.size, bit_width(tensor.lo, tensor.hi))
    return total


def argument_bytes(
    plan: AnyPlan, shape: Shape, header: Header, weights: OpeningParameters, own: tuple[int, int] = (0, 0)
) -> int:
    """Bytes of an argument, nearly: drawn columns share as much of their paths as is expected."""
    pads = sum(variable is None for variable in shape.variables) - shape.weight_groups - shape.witness_groups
    total = EXT_BYTES * pads + _pad_proof_bytes(PADS.sizes(len(shape.variables)))
    rows = [layout.rows(header.log_columns) for layout in plan.layouts[INPUTS : WITNESS + 1]]
    if shape.witness_groups:
        masked = symbols_of(rows[-1], shape.witness_groups + 1)
        symbols = [*(r for r in rows[:-1] if r), masked]
        total += expected_opening_bytes(header.opening, symbols, shape.witness_groups)
    if shape.weight_groups:
        symbols = [plan.layouts[WEIGHTS].rows(weights.code.log_columns) + sum(own)]
        if not own[1]:
            symbols.append(symbols_of(0, shape.weight_groups + 1))
        total += expected_opening_bytes(weights, symbols, shape.weight_groups)
    return total


def _pad_proof_bytes(sizes: PadSizes) -> int:
    """Of the proof about the pads: a line, a word, and columns with paths that share their upper parts."""
    own = sizes.log_length - math.ceil(math.log2(sizes.queries))
    elements = EXT_BYTES * (2 + sizes.dimension) + 2 * NONCE_BYTES
    return elements + sizes.queries * (LEAF_BYTES + DIGEST_BYTES * (own + 1))


PROCESS_BYTES = 300_000_000
"""Of a process that has loaded the library and its kernels."""

BYTES_A_NODE = 60_000
"""Of the program, the plan and the claims of a proof, for each node."""

BRIEFLY = 1.75
"""Memory that lives briefly, over what is counted: fitted to the peaks that `benchmarks/shapes.py` prints."""


def memory_bytes(plan: Plan, header: Header, weights: Code, executing: int) -> int:
    """Most memory of a process that loads the keys and makes a proof, nearly.

    Args:
        weights: the code of their matrix.
        executing: bytes of `Executor.peak_bytes`.
    """
    layout = plan.layouts[WEIGHTS]
    keys = PROCESS_BYTES + 8 * (layout.cells + layout.rows(weights.log_columns) * weights.blinding)
    keys += BYTES_A_MASK_SYMBOL * weights.length + BYTES_A_NODE * len(plan.program.nodes)
    instance = plan.instance
    if instance is None:
        return keys + executing
    stack = 8 * sum(layout.rows(header.log_columns) for layout in plan.layouts[INPUTS:]) << header.log_columns
    indices = 8 * sum(1 << b.variables for b in instance.blocks if instance.tables[b.table].columns > 1)
    gathered = 40 * sum(
        1 << sum((size - 1).bit_length() for size in site.cut.shape) for site in plan.sites if is_gathered(site.cut)
    )
    # A fraction for every four entries and half of that again for each layer above; as much as the former once more
    # while one of the two lowest layers is bound, which are not stored.
    trees = 36 * instance.lookups + 96 * instance.rows.filled
    code = header.opening.code
    columns = 7 * (sum(layout.rows(code.log_columns) for layout in plan.layouts[INPUTS:]) + 9) * code.length
    return keys + int(BRIEFLY * (executing + stack + indices + max(trees, columns, gathered)))
