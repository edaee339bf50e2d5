"""The witness of a run: outputs, remainders and multiplicities of all lookups, where the matrix and the lookup want them.

The vectors of one stack are the columns of the lookup argument and the rows of the witness matrix at once: filled in
place, never copied.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from zkinfer.circuit.program import rounding_half
from zkinfer.field import fast
from zkinfer.field.arrays import Floats
from zkinfer.lookup.prover import multiplicities
from zkinfer.reduction.plan import INPUTS, WITNESS, Plan, Site

Array = npt.NDArray[Any]


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


def trace(plan: Plan, values: Mapping[int, Array], log_columns: int) -> Witness:
    """The witness of values that `circuit.evaluate` would give.

    Args:
        values: those that are inputs, outputs, or looked up; shape (runs or 1, *shape).
        log_columns: of the matrices.
    """
    stacks = [np.zeros(plan.layouts[m].rows(log_columns) << log_columns) for m in range(INPUTS, WITNESS + 1)]
    hidden_inputs = [values[v] for v, private in enumerate(plan.private_inputs) if private]
    hidden_outputs = [values[v] for v, p in zip(plan.program.outputs, plan.private_outputs, strict=True) if p]
    for stack, layout, tensors in zip(stacks, plan.layouts[INPUTS:WITNESS], (hidden_inputs, hidden_outputs)):
        layout.fill(tensors, stack)
        stack[:] = fast.from_ints(stack.astype(np.int64))
    blocks: list[list[Floats]] = [[] for _ in (plan.instance.blocks if plan.instance else ())]
    for site in plan.sites:
        _trace_site(plan, site, values[site.source], stacks, blocks)
    counts = multiplicities(plan.instance, blocks) if plan.instance else []
    layout = plan.layouts[WITNESS]
    for vector, count in zip(plan.multiplicities, counts, strict=True):
        (offset,) = layout.offsets[vector]
        stacks[-1][offset : offset + len(count)] = count
    return Witness((stacks[0], stacks[1], stacks[2]), blocks, counts)


def _vectors(plan: Plan, stacks: Sequence[Floats], matrix: int, vector: int) -> list[Floats]:
    """The boxes of a committed vector, in its stack."""
    layout = plan.layouts[matrix]
    boxes = layout.cuts[vector].boxes
    return [
        stacks[matrix - INPUTS][offset : offset + (1 << box.total)]
        for box, offset in zip(boxes, layout.offsets[vector], strict=True)
    ]


def _trace_site(plan: Plan, site: Site, source: Array, stacks: Sequence[Floats], blocks: list[list[Floats]]) -> None:
    if site.out is None:
        for cells, numbers in zip(
            _vectors(plan, stacks, INPUTS, plan.committed[site.value][1]), site.blocks, strict=True
        ):
            blocks[numbers[0]] = [cells]
        return
    assert site.table is not None
    table = plan.program.tables[site.table]
    outs = _vectors(plan, stacks, WITNESS, site.out)
    limbs = [_vectors(plan, stacks, WITNESS, vector) for vector in site.limbs]
    for number, (box, numbers) in enumerate(zip(site.cut.boxes, site.blocks, strict=True)):
        x = site.cut.take(source, box).astype(np.int64) + rounding_half(site.shift)
        index = x >> site.shift
        rest = x - (index << site.shift)
        out = outs[number]
        out[:] = fast.from_ints(table.array[index - table.lo])
        blocks[numbers[0]] = [out] if site.identity else [fast.from_ints(index), out]
        for bits, place, limb in zip(site.limb_bits, numbers[1:], limbs, strict=True):
            limb[number][:] = rest & ((1 << bits) - 1)
            rest >>= bits
            blocks[place] = [limb[number]]
