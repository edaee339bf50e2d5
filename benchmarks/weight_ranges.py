"""How good the estimate of the proof about the weights is, and the constants behind it fitted again.

    python benchmarks/weight_ranges.py [--markdown FILE]

Proves that square matrices of weights lie within their bounds, as `zk.setup` does once, and prints what was estimated
beside what was measured, and the constants of `zkinfer/native/cost.py` that fit best (least squares of relative errors,
none negative), in picoseconds. The estimate is of seconds on two cores of an idle machine; measured is processor time,
of all threads, because others use the machine. So ordinary proofs of the same sizes are measured and estimated as well:
the ratio of their processor time to their estimate tells what the processor time of a second stands for.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from statistics import median

import numpy as np
from measure import limit_threads, markdown_table, provenance
from rich.console import Console
from rich.table import Table as Shown
from scipy.optimize import nnls

from zkinfer.circuit.program import Einsum, Lookup, Program, Tensor
from zkinfer.circuit.table import Table
from zkinfer.files.commitment import Commitment
from zkinfer.native.cost import RANGE_PICOSECONDS, Counts, seconds
from zkinfer.native.estimate import estimate, range_counts
from zkinfer.native.keys import NativeKeys
from zkinfer.native.setup import key_sizes, setup
from zkinfer.native.weight_ranges import prove_ranges
from zkinfer.protocol.reduction.weight_ranges import make_range_plan
from zkinfer.typing import IntArray

HEADER = ("weights", "up to", "limbs", "measured ms", "estimated", "estimate / measured", "refitted")
MATRICES = (
    (64, 100), (64, 100_000), (256, 7), (256, 127), (256, 30_000), (256, 1 << 20), (512, 127), (512, 1 << 20),
    (768, 1 << 30), (1024, 127), (1024, 30_000), (1024, 1 << 19), (1448, 127), (2048, 127), (2048, 1 << 18),
)  # fmt: skip
"""Width, and bound of the weights: small bounds are looked up as a whole, large ones limb by limb."""

ORDINARY = ((64, 1), (256, 64), (512, 256), (1024, 64), (1024, 512), (2048, 256))
"""Width and runs of ordinary proofs."""

FITTED = ("proof", "lookups", "symbols", "messages")
"""The other constants are those of all proofs."""

PROOFS = 100
REPEATS = 6


@dataclass(frozen=True)
class Point:
    """One measured proof about weights.

    Attributes:
        width, bound: of the matrix.
        limbs: of each distance from a bound; none where the weights themselves are looked up.
        counts: what the proof does.
        seconds: the least processor time of several.
    """

    width: int
    bound: int
    limbs: int
    counts: Counts
    seconds: float

    def row(self, second: float, refitted: Counts) -> list[str]:
        """As text, as in `HEADER`; `second` is the processor time that an estimated second stands for."""
        estimated, again = seconds(self.counts, RANGE_PICOSECONDS), seconds(self.counts, refitted)
        took = self.seconds / second
        size = f"{self.width} x {self.width}", f"{self.bound:,}", str(self.limbs or "-")
        return [*size, f"{1e3 * took:.0f}", f"{1e3 * estimated:.0f}", f"{estimated / took:.2f}", f"{again / took:.2f}"]


def product(width: int, bound: int) -> tuple[Program, list[IntArray]]:
    """One product with a square matrix of weights, and a table of its result."""
    weights = np.random.default_rng(width).integers(-bound, bound + 1, (width, width))
    most = 9 * bound * width
    shift = max(0, most.bit_length() - 12)
    top = (most >> shift) + 1
    table = Table("some", -top, tuple(max(i, 0) * i % 97 for i in range(-top, top + 1)))
    x, w = Tensor("x", (1, width), 0, -9, 9), Tensor("w", (width, width), 0, -bound, bound)
    nodes = (
        Einsum(Tensor("y", (1, width), 0, -most, most), "bi,oi->bo", (0, 1)),
        Lookup(Tensor("z", (1, width), 0, 0, 96), 2, 0, shift),
    )
    return Program(1, (x,), (w,), (table,), nodes, (3,)), [weights]


def least(work: Callable[[], object]) -> float:
    """The least processor time of several."""
    found = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


def ordinary_ratio(width: int, runs: int) -> float:
    """Processor time of an ordinary proof, in estimated seconds."""
    program, weights = product(width, 127)
    keys = setup(program, weights, proofs=PROOFS)
    x = np.random.default_rng(runs).integers(-9, 10, (runs, 1, width))
    took = least(lambda: keys.prove([x], b""))
    return took / estimate(program, weights, runs=runs, proofs=PROOFS).prove_seconds


def measure() -> Iterator[Point]:
    """All matrices."""
    for width, bound in MATRICES:
        program, weights = product(width, bound)
        keys = setup(program, weights, proofs=PROOFS)
        limbs = make_range_plan(program).limbs
        counts = range_counts(program, key_sizes(program, PROOFS))
        yield Point(width, bound, len(limbs[0].bits) if limbs else 0, counts, again(keys))


def again(keys: NativeKeys) -> float:
    """Processor time of the proof about the weights of keys, made again: it is the same each time."""
    bare = Commitment(keys.program, keys.commitment.key)
    return least(lambda: prove_ranges(bare, keys.matrix, keys.seed))


def fit(points: list[Point], second: float) -> Counts:
    """The constants that fit best: relative errors, squared, are least."""
    kept = replace(RANGE_PICOSECONDS, **dict.fromkeys(FITTED, 0))
    names = [field.name for field in fields(Counts)]
    columns = [names.index(name) for name in FITTED]
    took = np.array([p.seconds / second for p in points])
    matrix = np.array([[float(astuple(p.counts)[column]) for column in columns] for p in points])
    rest = np.array([seconds(p.counts, kept) for p in points])
    solution, _ = nnls(matrix / (1e12 * took)[:, None], 1 - rest / took)
    return replace(kept, **{name: round(float(v)) for name, v in zip(FITTED, solution, strict=True)})


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--markdown", type=Path, help="write the table here too")
    arguments = parser.parse_args()
    limit_threads(arguments.threads)
    ratios = [ordinary_ratio(width, runs) for width, runs in ORDINARY]
    second = median(ratios)
    print("processor seconds for each estimated second of ordinary proofs:", *(f"{ratio:.2f}" for ratio in ratios))
    points = []
    for point in measure():
        points.append(point)
        print(point.width, point.bound, f"{point.seconds:.3f} s", flush=True)
    fitted = fit(points, second)
    rows = [point.row(second, fitted) for point in points]
    table = Shown(title=f"The proof about the weights, {arguments.threads} threads")
    for name in HEADER:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*row)
    console = Console(width=140)
    console.print(table)
    for name in FITTED:
        console.print(f"    {name}={getattr(fitted, name)},")
    if arguments.markdown:
        text = markdown_table(HEADER, rows)
        arguments.markdown.write_text(provenance("python benchmarks/weight_ranges.py") + "\n\n" + text)


if __name__ == "__main__":
    main()
