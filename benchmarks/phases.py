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
from zkinfer.protocol.field.params import DEGREE
from zkinfer.protocol.merkle.paths import DIGEST_BYTES, SALT_BYTES
from zkinfer.protocol.native_proof.protocol import PADS
from zkinfer.protocol.native_proof.shape import shape_of
from zkinfer.protocol.pads.params import LEAF_BYTES
from zkinfer.protocol.pcs.levels import choose_levels
from zkinfer.protocol.pcs.params import Code
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


def coded(name: str, symbols: float, leaves: float, salt: int = SALT_BYTES) -> dict[str, Work]:
    """Of a commitment to a matrix: messages are read and codewords written; these are read again, and hashed, each
    leaf with its salt, and two digests for each inner node."""
    hashed = BASE_BYTES * symbols + (salt + 2 * DIGEST_BYTES) * leaves
    return {
        f"{name}: encoding": Work(moved=10 * symbols, fused=SYMBOL * symbols),
        f"{name}: tree": Work(moved=8 * symbols + 2 * DIGEST_BYTES * leaves, hashed=hashed),
    }


def opened(name: str, code: Code, groups: int, small: float, cells: float) -> dict[str, Work]:
    """Of an opening: rows of `small` small integers or `cells` field elements are combined, and the levels coded."""
    fused = (COMBINED_SMALL * small + COMBINED * cells) * (groups + 1)
    found = {f"{name}: combinations": Work(moved=(small + 8 * cells) * (groups + 1), fused=fused)}
    levels = choose_levels(groups + 1, code.dimension)
    symbols = sum(DEGREE * len(level.rows) * level.length for level in levels)
    transformed = DEGREE * (code.length + sum(level.length for level in levels[:-1])) if levels else 0
    found |= coded(name, symbols, sum(level.length for level in levels), salt=0)
    found[f"{name}: functionals"] = Work(moved=10 * transformed, fused=SYMBOL * transformed)
    return found


def work_of(keys: zk.Keys, runs: int) -> dict[str, Work]:
    """The phases of a proof of so many runs with public inputs and outputs, as far as they are counted."""
    program, key = keys.program, keys.commitment.key_as(NativeVerifyingKey)
    plan = make_plan(program, runs, (False,) * len(program.inputs), (False,) * len(program.outputs))
    header, sizes = header_for(plan), KeySizes(key.opening, key.proofs)
    shape = shape_of(plan, key.opening.code, header, key.log_copies)
    counts = cost.count(plan, shape, header, key.opening, sizes.symbols)
    assert plan.instance is not None
    weights = key.opening.code
    own_masks = bool(sizes.symbols[1])
    masks = 0 if own_masks else DEGREE * (shape.weight_groups + 1) * weights.length
    entries = plan.instance.lookups
    columns = sum(plan.instance.tables[b.table].columns << b.variables for b in plan.instance.blocks)
    elements = runs * sum(node.out.size for node in program.nodes if isinstance(node, Lookup))
    cells = sum(plan.layouts[m].rows(header.log_columns) << header.log_columns for m in range(INPUTS, WITNESS + 1))
    secret = plan.layouts[WEIGHTS].cells
    values = sum(weight.size for weight in program.weights) + counts.elements
    others = header.opening.code
    pads = LEAF_BYTES * PADS.sizes(len(shape.variables)).length
    return {
        "execution": Work(moved=secret + 4 * counts.elements, fused=counts.multiplications / 4),
        "witness": Work(moved=4 * elements + 16 * columns),
        **coded("commitment", counts.symbols - masks, others.length),
        "pads": Work(moved=18 * pads / BASE_BYTES, fused=SYMBOL * pads / BASE_BYTES, hashed=pads),
        **coded("masks of the weights", masks, 0 if own_masks else weights.length),
        "lookups": Work(
            moved=LOOKUP_BYTES * entries + 8 * READINGS * columns,
            fused=(EXTENSION * LOOKUP_PRODUCTS + LOOKUP_FRACTIONS) * entries,
        ),
        "contractions": Work(moved=values, fused=COMBINED_SMALL * values),
        "column points": Work(moved=secret + 8 * cells, fused=COMBINED_SMALL * secret + COMBINED * cells),
        **opened("opening of the weights", weights, shape.weight_groups, secret, 0),
        **opened("opening of the rest", others, shape.witness_groups, 0, cells),
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
        limit = limit if floors and floors[limit] else ""
        shown = (f"{1e3 * floors[limit]:.1f}", f"{spent / floors[limit]:.1f}") if limit else ("", "")
        lines.append((name, limit, f"{1e3 * spent:.1f}", *shown))
    rest = total - sum(seconds.values())
    return [*lines, ("no phase", "", f"{1e3 * rest:.1f}", "", ""), ("whole proof", "", f"{1e3 * total:.1f}", "", "")]
