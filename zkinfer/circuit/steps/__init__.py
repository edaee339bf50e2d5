"""Re-indexing steps: the structured ways in which a `View` moves elements without changing them.

Adding a re-indexing step
-------------------------

A step is one file in this folder with its test, and its name in `Step` below. Before you add one, see whether steps
that exist can follow one another instead: `Reshape` to one axis, `Take`, `Reshape` is any re-indexing at all, though
at a cost that grows with the tensor.

The file has one class that derives from `ReindexingStep`:

* its fields, and a `tag` of its own, are its encoding in a program. They cannot change afterwards, because the
  digests of programs are computed from it;
* `source_index` is its definition: which element of the source an element of the result is, in plain Python. The
  reference verifier uses it and nothing else;
* `index_map` says the same as one of the four kinds of map in `index_map.py`, or refuses a shape.

Everything else follows from the index map, by one function each that has no case for any particular step:

| what | where |
|---|---|
| whether the step fits a shape, and the shape it gives | `ReindexingStep.move` |
| evaluation, and with it the bounds of weights and ezkl's graph | `index_map.evaluate` |
| bounds of other values: those of the source, and zero if the map is an `Embed` | `view_bounds.term_interval` |
| fast execution, mostly without a copy | `execution.views.execute` |
| the adjoint, which pulls a claim about the result back to the source | `protocol.reduction.adjoint` |

`tests/circuit/steps/test_every_step.py` goes through `STEPS` with random parameters, and fails where definition,
evaluation, execution, adjoint, bounds, encoding, ezkl's graph or the reference verifier disagree. The step's own test
shows what it means, and what it refuses.

Only a fifth kind of map touches other files: mypy then reports each `match` that lacks a case for it. Rules that make
bounds tighter for certain steps (`view_bounds`, `selector_bounds`) never apply to a step that they do not name.
"""

from typing import get_args

from zkinfer.circuit.steps.base import Index, Move, ReindexingStep
from zkinfer.circuit.steps.expand import Expand
from zkinfer.circuit.steps.index_map import (
    MAX_RANK,
    MAX_TENSOR_ELEMENTS,
    Embed,
    Gather,
    IndexMap,
    Listed,
    Permute,
    Regroup,
    Shape,
    Strided,
    evaluate,
)
from zkinfer.circuit.steps.pad import Pad
from zkinfer.circuit.steps.reshape import Reshape
from zkinfer.circuit.steps.sequence import apply_steps, apply_to_runs, moves, shape_after
from zkinfer.circuit.steps.slice import Slice
from zkinfer.circuit.steps.take import Take
from zkinfer.circuit.steps.transpose import Transpose
from zkinfer.circuit.steps.windows import Windows

Step = Reshape | Transpose | Slice | Pad | Expand | Windows | Take
"""Every step that a program may have, by its tag in the encoding."""

STEPS: tuple[type[Step], ...] = get_args(Step)
"""The classes in `Step`."""

__all__ = [
    "MAX_RANK", "MAX_TENSOR_ELEMENTS", "STEPS", "Embed", "Expand", "Gather", "Index", "IndexMap", "Listed", "Move",
    "Pad", "Permute", "Regroup", "ReindexingStep", "Reshape", "Shape", "Slice", "Step", "Strided", "Take",
    "Transpose", "Windows", "apply_steps", "apply_to_runs", "evaluate", "moves", "shape_after",
]  # fmt: skip
