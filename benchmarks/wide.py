"""What blocks that are too wide for the machine would cost: predicted by the cost model, and not measured.

    python benchmarks/wide.py [--widths 16384]

A block is that of `overhead.py`, with 1,024 inferences in one proof. Its program is the widest that was measured, made
wider; nothing is compiled or proven. Proving time grows as the estimate does from that block to the wider one,
inference as the square of the width. The measured figures are those of docs/benchmarks.md.
"""

import argparse
import warnings
from typing import Any

import msgspec
import numpy as np
from measure import markdown_table
from overhead import block
from pictures import number, published, table_with

import zkinfer as zk
from zkinfer.circuit.program import Program
from zkinfer.circuit.table import Table
from zkinfer.native.cost import Counts, count, memory_bytes, seconds
from zkinfer.native.prove import header_for
from zkinfer.native.setup import key_sizes
from zkinfer.protocol.native_proof.shape import shape_of
from zkinfer.protocol.reduction.plan import make_plan

HEADER = ("width", "batch", "inference ms", "prove ms", "overhead", "memory GB")
BATCH, PROOFS = 1024, 64
SMALL = 320
"""Width of the block that is compiled: a number that is nothing else in its program."""


def program(width: int) -> Program:
    """The program of a block of this width, with the formats of a small one."""
    x = np.random.default_rng(0).standard_normal((64, SMALL), dtype=np.float32).clip(-4, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # how close it is makes no difference
        small = zk.compile(block(SMALL), x, precision="ezkl").program

    def wider(value: Any) -> Any:
        if isinstance(value, msgspec.Struct) and not isinstance(value, Table):
            return msgspec.structs.replace(value, **{k: wider(v) for k, v in msgspec.structs.asdict(value).items()})
        if isinstance(value, tuple):
            return tuple(wider(part) for part in value)
        return width if isinstance(value, int) and value == SMALL else value

    made: Program = wider(small)
    return made


def predicted(width: int) -> tuple[Counts, int]:
    """What is done for a proof of a block, and its bytes of memory."""
    made = program(width)
    plan, sizes = make_plan(made, BATCH), key_sizes(made, PROOFS)
    header = header_for(plan)
    shape = shape_of(plan, sizes.opening.code, header, sizes.log_copies)
    counts = count(plan, shape, header, sizes.opening, sizes.symbols)
    return counts, memory_bytes(plan, header, sizes.opening.code, 0)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=[16384])
    arguments = parser.parse_args()
    measured = table_with(published(), ["overhead", "int8 ms"])
    widest = max((row for row in measured if number(row["batch"]) == BATCH), key=lambda row: number(row["width"]))
    known = int(number(widest["width"]))
    counts, _ = predicted(known)
    rows = []
    for width in arguments.widths:
        wide, memory = predicted(width)
        inference = number(widest["inference ms"]) * (width / known) ** 2
        proving = number(widest["prove ms"]) * seconds(wide) / seconds(counts)
        rows.append(
            [
                f"{width}",
                f"{BATCH}",
                f"{inference:,.0f}",
                f"{proving:,.0f}",
                f"{proving / inference:.1f}",
                f"{memory / 1e9:.1f}",
            ]
        )
    print(markdown_table(HEADER, rows))


if __name__ == "__main__":
    main()
