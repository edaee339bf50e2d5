"""What a native proof costs: counts of what is done, times constants fitted to measurements.

Time is that of processors, of all threads together: what one idle core takes. It depends on no other program as the
clock does; with several cores the clock shows less where kernels do most of the work.

`benchmarks/native_cost.py` measures a range of circuits, fits `PICOSECONDS` to them and prints how far off they are.
"""

import math
from dataclasses import dataclass, fields

from zkinfer.circuit.program import Einsum, Program
from zkinfer.execution.narrow import smallest_type
from zkinfer.files.integers import bit_width, packed_bytes
from zkinfer.native.codewords import kept_codeword_bytes
from zkinfer.native.gathered import EARLY_VARIABLES, LARGE_VARIABLES
from zkinfer.native.witness import values_read
from zkinfer.protocol.field.encoding import EXT_BYTES
from zkinfer.protocol.field.params import DEGREE
from zkinfer.protocol.lookup.columns import KEPT_BYTES as KEPT_LAYER_BYTES
from zkinfer.protocol.lookup.columns import LAYER_BYTES
from zkinfer.protocol.lookup.params import Stack
from zkinfer.protocol.merkle.paths import DIGEST_BYTES, SALT_BYTES
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
        leaves: of its Merkle trees, but for those of the weights' masks.
        masked: leaves of the tree of these masks, which are as long as the weights' code.
        weights: cells of the weights' matrix, blinding included, times the combinations that are made of it.
        contracted, summed: places of sumchecks: of contractions; of committed cells and gathered boxes.
        messages: elements that are sent.
        nodes: of the program.
        boxes: of committed tensors.
        attempts: hashes until the work before challenges is done, where the prover chooses how much, as expected.
    """

    proof: int
    multiplications: int
    elements: int
    lookups: int
    table_rows: int
    symbols: int
    leaves: int
    masked: int
    weights: int
    contracted: int
    summed: int
    messages: int
    nodes: int
    boxes: int
    attempts: int


PICOSECONDS = Counts(
    proof=2_690_000_000,
    multiplications=8,
    elements=1_200,
    lookups=51_500,
    table_rows=93_200,
    symbols=3_670,
    leaves=644_000,
    masked=313_000,
    weights=49,
    contracted=277_000,
    summed=10_300,
    messages=58_900_000,
    nodes=107_000_000,
    boxes=93_800_000,
    attempts=13_200,
)
"""For each of what is counted, on a core of the reference machine. What grows together cannot be told apart by fitting:
lookups carry most of what is done for a committed cell, leaves carry the levels of the openings. Some are from what
blocks take, of which small networks show nothing: that of multiplications is what one of width 4,096 takes to execute,
and that of masked leaves the difference between proofs of two sizes of blocks of width 1,024 and 4,096."""

RANGE_PICOSECONDS = Counts(
    proof=8_000_000_000,
    multiplications=0,
    elements=0,
    lookups=42_000,
    table_rows=90_000,
    symbols=10_500,
    leaves=0,
    masked=0,
    weights=8_200,
    contracted=290_000,
    summed=8_000,
    messages=80_000_000,
    nodes=0,
    boxes=180_000_000,
    attempts=12_000,
)
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
        leaves=witness.code.length + pads.length,
        masked=weights.code.length if mask_rows else 0,
        weights=(shape.weight_groups + 1) * weight_rows * weights.code.dimension if shape.weight_groups else 0,
        contracted=shape.contracted,
        summed=shape.summed,
        messages=len(shape.variables),
        nodes=len(plan.program.nodes) if isinstance(plan, Plan) else 0,
        boxes=sum(len(cut.boxes) for layout in plan.layouts for cut in layout.cuts),
        attempts=(1 << header.lookup_grinding)
        + (_attempts(witness) if shape.witness_groups else 0)
        + (_attempts(weights) if shape.weight_groups else 0),
    )


def _attempts(parameters: OpeningParameters) -> int:
    return (1 << parameters.query_grinding) + (1 << parameters.weight_grinding)


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


PROCESS_BYTES = 165_000_000
"""Of a process that has loaded the library and its kernels, and proven something tiny."""

BYTES_A_NODE = 60_000
"""Of the program, the plan and the claims of a proof, for each node."""

SCATTERED = 1.05
"""Memory between what is alive, over what is alive: what was freed and is too small for what came next."""

BYTES_A_LEAF = SALT_BYTES + 2 * DIGEST_BYTES
"""Of memory, for each symbol of a codeword, until columns are opened: a salt, and the tree."""

BYTES_A_HASHED_LEAF = 400
"""Of memory, for each symbol of a codeword, while codewords are hashed that are not kept: what is unfinished of the
leaf's hash, and some rows."""

_FLOAT, _INTEGER = 8, 8
"""Bytes of a field element in memory, and of an integer that is not narrow."""

_EXT = DEGREE * _FLOAT


def cell_bytes(program: Program) -> int:
    """Bytes of a cell of the stored matrix of a program's weights."""
    largest = max((tensor.magnitude for tensor in program.weights), default=0)
    return 1 if largest < 1 << 7 else 2 if largest < 1 << 15 else _FLOAT


def memory_bytes(plan: Plan, header: Header, weights: Code, executing: int) -> int:
    """Most memory of a process that loads the keys and makes a proof: what is alive at the fullest moment.

    Args:
        weights: the code of their matrix.
        executing: bytes of `Executor.peak_bytes`, or 0 for what the execution leaves at its end alone.
    """
    program, layout = plan.program, plan.layouts[WEIGHTS]
    # The executor has all weights as they are and packed for its kernels.
    narrow = sum(tensor.size * smallest_type(tensor.lo, tensor.hi).itemsize for tensor in program.weights)
    process = PROCESS_BYTES + BYTES_A_NODE * len(program.nodes)
    rows = layout.rows(weights.log_columns)
    matrix = cell_bytes(program) * (rows << weights.log_columns) + _FLOAT * rows * weights.blinding
    resident = process + 2 * narrow + matrix + BYTES_A_MASK_SYMBOL * weights.length + _public_bytes(plan)
    proving = max(executing, _kept_bytes(plan) + _proving_bytes(plan, header))
    return int(SCATTERED * (resident + proving))


def _public_bytes(plan: Plan) -> int:
    """Inputs as they are handed in and as integers; inputs and outputs again in the statement."""
    program = plan.program
    inputs, outputs = (sum(t.size for t in tensors) for tensors in (program.inputs, program.output_tensors))
    return _INTEGER * plan.runs * (3 * inputs + outputs)


def _kept_bytes(plan: Plan) -> int:
    """What an execution leaves for the rest of the proof."""
    kept = {value: plan.program.tensor(value) for value in values_read(plan.program) if plan.varies[value]}
    return sum(math.prod(plan.shape(v)) * smallest_type(t.lo, t.hi).itemsize for v, t in kept.items())


def _proving_bytes(plan: Plan, header: Header) -> int:
    """Of a proof itself: cells, codewords, and the tables of the sumchecks that are alive at once."""
    if plan.instance is None:
        return 0
    code, instance = header.opening.code, plan.instance
    rows = sum(layout.rows(header.log_columns) for layout in plan.layouts[INPUTS:])
    cells = _FLOAT * rows << header.log_columns
    indices = _FLOAT * sum(1 << b.variables for b in instance.blocks if instance.tables[b.table].columns > 1)
    codewords = _FLOAT * (rows + 2 * DEGREE) * code.length
    kept = codewords if codewords <= kept_codeword_bytes() else 0
    hashed = codewords if kept else BYTES_A_HASHED_LEAF * code.length
    trees = sum(map(_tree_bytes, instance.stacks))
    always = cells + indices + BYTES_A_LEAF * code.length
    return always + max(hashed, kept + max(trees, _gathered_bytes(plan)))


def _tree_bytes(stack: Stack) -> int:
    """Of the layers of a tree that are in memory before the first is proven; later there are no more.

    All of them take twice what the lowest takes. A full stack of entries has none of its two lowest.
    """
    full = stack.filled == 1 << stack.variables
    lowest = LAYER_BYTES << max(0, stack.variables - (3 if full else 1))
    return lowest if lowest > KEPT_LAYER_BYTES else 2 * lowest


def _gathered_bytes(plan: Plan) -> int:
    """Of the tables of gathered boxes."""
    total = 0
    for site in plan.sites:
        if is_gathered(site.cut):
            variables = sum((size - 1).bit_length() for size in site.cut.shape)
            early = EARLY_VARIABLES if variables >= LARGE_VARIABLES else 0
            total += 2 * _EXT << variables >> early
    return total
