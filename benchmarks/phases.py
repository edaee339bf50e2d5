"""What each phase of a proof has to do at least, against what this machine can do: for `engine.py --proof`.

A phase has three floors: the bytes that it moves between memory and processor, the multiply-adds of its arithmetic, and
the bytes that it hashes, each over what the machine does of it in a second. The highest is the limit that it runs into.
The counts are those of the algorithms as they are written, and leave out what is small: a fused multiply-add or a
multiplication of eight float64 is one each. Products of 16-bit integers, 32 to an instruction where there are 8 of
float64, count a quarter. All times are processor times, which say more than the clock where other programs run.
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from overhead import block, samples

import zkinfer as zk
from zkinfer.circuit.program import Lookup
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.native import cost
from zkinfer.native.prove import header_for
from zkinfer.native.setup import KeySizes
from zkinfer.protocol.field.encoding import BASE_BYTES
from zkinfer.protocol.native_proof.protocol import PADS
from zkinfer.protocol.native_proof.shape import shape_of
from zkinfer.protocol.pads.params import LEAF_BYTES
from zkinfer.protocol.reduction.plan import INPUTS, WEIGHTS, WITNESS, make_plan
from zkinfer.timings import collected

EXTENSION = 30
"""Multiply-adds of a product of two extension elements: three coordinates of ten."""

SYMBOL = 28
"""Of a symbol of a codeword at rate 1/4, as `codewords at rate 1/4` of `engine.py` counts them."""

COMBINED_SMALL, COMBINED = 6, 7.5
"""Of an entry of a matrix whose rows are combined: of small integers, and of field elements."""

LOOKUP_PRODUCTS = 8.6
"""Products of extension elements for each entry of a lookup argument: 1.5 in the leaves' layer behind its first round,
2.9 in the layer of sums of two, 2.75 in all layers above, and 1.5 to make these."""

LOOKUP_FRACTIONS = 100
"""Multiply-adds for each entry by which the two lowest layers are computed from columns, three times."""

LOOKUP_BYTES = 230
"""Of tables of extension elements, for each entry: 36 behind the second round of each of the two lowest layers, 102 in
all layers above, and 56 to make them and to write the former."""

READINGS = 5
"""Of each column of a lookup."""


@dataclass(frozen=True)
class Machine:
    """What a processor of the machine does in a second: bytes moved, multiply-adds, bytes hashed."""

    moved: float
    fused: float
    hashed: float


@dataclass(frozen=True)
class Work:
    """The least that a phase has to do."""

    moved: float = 0
    fused: float = 0
    hashed: float = 0

    def floors(self, machine: Machine) -> dict[str, float]:
        """Seconds, by limit."""
        return {
            "bytes moved": self.moved / machine.moved,
            "multiply-adds": self.fused / machine.fused,
            "hash": self.hashed / machine.hashed,
        }


def coded(symbols: float) -> Work:
    """Of a commitment to a matrix: messages are read, codewords written and read again, and hashed."""
    return Work(moved=18 * symbols, fused=SYMBOL * symbols, hashed=BASE_BYTES * symbols)


def work_of(keys: zk.Keys, runs: int) -> dict[str, Work]:
    """The phases of a proof of so many runs with public inputs and outputs, as far as they are counted."""
    program, key = keys.program, keys.commitment.key_as(NativeVerifyingKey)
    plan = make_plan(program, runs, (False,) * len(program.inputs), (False,) * len(program.outputs))
    header, sizes = header_for(plan), KeySizes(key.opening, key.proofs)
    shape = shape_of(plan, key.opening.code, header, key.log_copies)
    counts = cost.count(plan, shape, header, key.opening, sizes.symbols)
    assert plan.instance is not None
    weights = key.opening.code
    masks = 0 if sizes.symbols[1] else 3 * (shape.weight_groups + 1) * weights.length
    entries = plan.instance.lookups
    columns = sum(plan.instance.tables[b.table].columns << b.variables for b in plan.instance.blocks)
    elements = runs * sum(node.out.size for node in program.nodes if isinstance(node, Lookup))
    cells = sum(plan.layouts[m].rows(header.log_columns) << header.log_columns for m in range(INPUTS, WITNESS + 1))
    secret = plan.layouts[WEIGHTS].cells
    values = sum(weight.size for weight in program.weights) + counts.elements
    pads = LEAF_BYTES * PADS.sizes(len(shape.variables)).length
    return {
        "execution": Work(moved=secret + 4 * counts.elements, fused=counts.multiplications / 4),
        "witness": Work(moved=4 * elements + 16 * columns),
        "commitment": coded(counts.symbols - masks),
        "pads": coded(pads / BASE_BYTES),
        "masks of the weights": coded(masks),
        "lookups": Work(
            moved=LOOKUP_BYTES * entries + 8 * READINGS * columns,
            fused=(EXTENSION * LOOKUP_PRODUCTS + LOOKUP_FRACTIONS) * entries,
        ),
        "contractions": Work(moved=values, fused=COMBINED_SMALL * values),
        "column points": Work(moved=secret + 8 * cells, fused=COMBINED_SMALL * secret + COMBINED * cells),
        "opening of the weights": Work(moved=secret, fused=COMBINED_SMALL * secret * (shape.weight_groups + 1)),
        "opening of the rest": Work(moved=8 * cells, fused=COMBINED * cells * (shape.witness_groups + 1)),
    }


def phases(width: int, batch: int, machine: Machine, repeats: int = 4) -> list[tuple[str, ...]]:
    """Proves the block of `overhead.py`; a line for each phase of the fastest proof, the header first.

    The columns are the limit, milliseconds of all processors together, those of the limit's floor, and how many times
    as long the phase takes. The last lines are what no phase names, and all.
    """
    ends = [np.full((1, width), end, np.float32) for end in (-4, 4)]
    circuit = zk.compile(block(width), np.concatenate([samples(width, min(batch, 64)), *ends]), precision="ezkl")
    x = samples(width, batch)
    best: tuple[float, dict[str, float]] | None = None
    with tempfile.TemporaryDirectory(prefix="zkinfer-phases-") as folder:
        keys = zk.setup(circuit, proofs=64, folder=Path(folder) / "keys")
        for _ in range(repeats):
            start = time.process_time()
            with collected(time.process_time, detailed=True) as found:
                zk.prove(keys, x, saturate=True)
            total = time.process_time() - start
            if best is None or total < best[0]:
                best = total, found
        work = work_of(keys, batch)
    assert best is not None
    total, seconds = best
    lines: list[tuple[str, ...]] = [("phase", "limit", "ms", "at the limit, ms", "times")]
    for name, spent in seconds.items():
        floors = work[name].floors(machine) if name in work else {}
        limit = max(floors, key=lambda name: floors[name], default="")
        shown = (f"{1e3 * floors[limit]:.1f}", f"{spent / floors[limit]:.1f}") if limit else ("", "")
        lines.append((name, limit, f"{1e3 * spent:.1f}", *shown))
    rest = total - sum(seconds.values())
    return [*lines, ("no phase", "", f"{1e3 * rest:.1f}", "", ""), ("whole proof", "", f"{1e3 * total:.1f}", "", "")]
