"""The witness of a run: outputs, remainders and multiplicities of all lookups, where matrix and lookup want them.

The vectors of one stack are the columns of the lookup argument and the rows of the witness matrix at once: filled in
place, never copied.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zkinfer.circuit.program import Einsum, Lookup, Program, node_sources
from zkinfer.execution.tables import AppliedTable
from zkinfer.native.kernels.columns import count, trace_lookup
from zkinfer.protocol.reduction.plan import INPUTS, OUTPUTS, WITNESS, LookupSite, Plan
from zkinfer.typing import Array, Floats


@dataclass(frozen=True)
class Witness:
    """What the prover commits to and looks up.

    Attributes:
        stacks: for each matrix but the weights' its cells: balanced float64, whole rows, zero behind the last vector.
        blocks: for each block of the lookup argument its columns.
        counts: for each table the multiplicities of its rows.
    """

    stacks: tuple[Floats, Floats, Floats]
    blocks: list[list[Floats]]
    counts: list[Floats]


def values_read(program: Program) -> set[int]:
    """The values that a prover reads: inputs, outputs, sources of Lookups, operands of Einsums of two operands."""
    read = {*range(len(program.inputs)), *program.outputs}
    for node in program.nodes:
        if isinstance(node, Lookup) or (isinstance(node, Einsum) and len(node.operands) == 2):
            read.update(node_sources(node))
    return read


def trace(plan: Plan, values: Mapping[int, Array], tables: Sequence[AppliedTable], log_columns: int) -> Witness:
    """The witness of an executed program.

    Args:
        values: those that are inputs, outputs, or looked up; shape (runs or 1, *shape).
        tables: of the program.
        log_columns: of the matrices.
    """
    stacks = [np.zeros(plan.layouts[m].rows(log_columns) << log_columns) for m in range(INPUTS, WITNESS + 1)]
    hidden_inputs = [values[v] for v, private in enumerate(plan.private_inputs) if private]
    hidden_outputs = [values[v] for v, p in zip(plan.program.outputs, plan.private_outputs, strict=True) if p]
    for matrix, tensors in ((INPUTS, hidden_inputs), (OUTPUTS, hidden_outputs)):
        plan.layouts[matrix].fill(tensors, stacks[matrix - INPUTS])
    blocks: list[list[Floats]] = [[] for _ in (plan.instance.blocks if plan.instance else ())]
    for site in plan.sites:
        _trace_site(plan, site, values[site.source], tables, stacks, blocks)
    counts = _multiplicities(plan, blocks)
    layout = plan.layouts[WITNESS]
    for vector, found in zip(plan.multiplicities, counts, strict=True):
        (offset,) = layout.offsets[vector]
        stacks[-1][offset : offset + len(found)] = found
    return Witness((stacks[0], stacks[1], stacks[2]), blocks, counts)


def _vectors(plan: Plan, stacks: Sequence[Floats], matrix: int, vector: int) -> list[Floats]:
    """The boxes of a committed vector, in its stack."""
    layout = plan.layouts[matrix]
    boxes = layout.cuts[vector].boxes
    return [
        stacks[matrix - INPUTS][offset : offset + (1 << box.total)]
        for box, offset in zip(boxes, layout.offsets[vector], strict=True)
    ]


def _multiplicities(plan: Plan, blocks: Sequence[Sequence[Floats]]) -> list[Floats]:
    """How often each row of each table is looked up; the first column of every table counts upwards."""
    if plan.instance is None:
        return []
    counts = [np.zeros(1 << table.variables) for table in plan.instance.tables]
    for block, columns in zip(plan.instance.blocks, blocks, strict=True):
        rows = plan.instance.tables[block.table].rows
        count(columns[0], plan.starts[block.table], counts[block.table][:rows])
    return counts


def _trace_site(
    plan: Plan,
    site: LookupSite,
    source: Array,
    tables: Sequence[AppliedTable],
    stacks: Sequence[Floats],
    blocks: list[list[Floats]],
) -> None:
    if site.out is None:
        for cells, numbers in zip(
            _vectors(plan, stacks, INPUTS, plan.committed[site.value][1]), site.blocks, strict=True
        ):
            blocks[numbers[0]] = [cells]
        return
    assert site.table is not None
    outs = _vectors(plan, stacks, WITNESS, site.out)
    limbs = [_vectors(plan, stacks, WITNESS, vector) for vector in site.limbs]
    if not np.iinfo(source.dtype).min <= site.padding <= np.iinfo(source.dtype).max:
        source = source.astype(np.int64)
    for number, (box, numbers) in enumerate(zip(site.cut.boxes, site.blocks, strict=True)):
        x, out = site.cut.take(source, box, site.padding), outs[number]
        index = None if site.identity else np.empty(len(out))
        pieces = [limb[number] for limb in limbs]
        trace_lookup(x, tables[site.table], site.shift, site.limb_bits, out, index, pieces)
        blocks[numbers[0]] = [out] if index is None else [index, out]
        for place, piece in zip(numbers[1:], pieces, strict=True):
            blocks[place] = [piece]
