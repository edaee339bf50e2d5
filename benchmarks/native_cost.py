"""How good the native backend's estimates are, and the constants behind them fitted again.

    python benchmarks/native_cost.py [--markdown FILE]

Proves reference circuits and MLP blocks in several batches, prints what was estimated beside what was measured, and the
constants of `zkinfer/native/cost.py` that fit this machine best (least squares of relative errors, none
negative), in picoseconds.
"""

import argparse
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
from cases import CIRCUITS, reference_case
from measure import Stopwatch, limit_threads, markdown_table, provenance
from overhead import block
from rich.console import Console
from rich.table import Table
from scipy.optimize import nnls

import zkinfer as zk
from zkinfer.native.cost import PICOSECONDS, Counts, seconds
from zkinfer.native.estimate import NativeEstimate

HEADER = (
    "circuit",
    "batch",
    "keys for",
    "prove ms",
    "estimated",
    "ratio",
    "refitted",
    "proof kB",
    "estimated",
    "ratio",
)
REFERENCES = ("digits-mlp", "digits-cnn", "digits-gelu", "breast-cancer")
REFERENCE_BATCHES = (1, 32, 256)
BUDGETS = (1000, 4000)
"""Of the first reference circuit at batch 1, beside `PROOFS`: a proof commits to masks as long as the rows."""

PROOFS = 64
BLOCKS = ((256, 1), (256, 64), (256, 1024), (1024, 1), (1024, 64), (1024, 1024), (2048, 1), (2048, 256))
REPEATS = 4

PULL = 0.1
"""How far off its present value a constant may be, in relative errors of a point: what the points cannot tell stays."""


@dataclass(frozen=True)
class Point:
    """One measured proof.

    Attributes:
        proofs: budget of its keys.
        seconds: of the processor, the least of several.
        size: bytes.
    """

    name: str
    batch: int
    proofs: int
    estimate: NativeEstimate
    seconds: float
    size: int

    def row(self, refitted: Counts) -> list[str]:
        """As text, as in `HEADER`."""
        expected = self.estimate
        again = seconds(expected.counts, refitted)
        return [
            self.name,
            str(self.batch),
            f"{self.proofs:,}",
            f"{1e3 * self.seconds:.0f}",
            f"{1e3 * expected.prove_seconds:.0f}",
            f"{self.seconds / expected.prove_seconds:.2f}",
            f"{self.seconds / again:.2f}",
            f"{self.size / 1e3:,.0f}",
            f"{expected.proof_bytes / 1e3:,.0f}",
            f"{self.size / expected.proof_bytes:.2f}",
        ]


def cases() -> Iterator[tuple[str, zk.Circuit, npt.NDArray[np.float32], tuple[int, ...]]]:
    """Circuits, samples and batches."""
    for name in REFERENCES:
        case = reference_case(name)
        yield (
            name,
            zk.compile(CIRCUITS / name / "model.onnx", case.calibration, precision="ezkl"),
            case.samples,
            REFERENCE_BATCHES,
        )
    for width in sorted({width for width, _ in BLOCKS}):
        rng = np.random.default_rng(width)
        x = rng.standard_normal((64, width), dtype=np.float32).clip(-4, 4)
        batches = tuple(batch for own, batch in BLOCKS if own == width)
        yield f"block {width}", zk.compile(block(width), x, precision="ezkl"), x, batches


def measure() -> Iterator[Point]:
    """All cases."""
    for number, (name, circuit, samples, batches) in enumerate(cases()):
        budgets = (PROOFS, *BUDGETS) if number == 0 else (PROOFS,)
        for proofs in budgets:
            keys = zk.setup(circuit, proofs=proofs)
            for batch in batches if proofs == PROOFS else batches[:1]:
                yield measured(name, circuit, keys, np.resize(samples, (batch, *samples.shape[1:])), proofs)


def measured(name: str, circuit: zk.Circuit, keys: zk.Keys, x: npt.NDArray[np.float32], proofs: int) -> Point:
    """The best of a few proofs."""
    estimate = zk.estimate(circuit, samples=len(x), proofs=proofs)
    assert isinstance(estimate, NativeEstimate)
    best, size = float("inf"), 0
    for _ in range(REPEATS):
        watch = Stopwatch()
        proof = zk.prove(keys, x, saturate=True)
        best, size = min(best, watch.processor), len(proof.to_bytes())
    return Point(name, len(x), proofs, estimate, best, size)


def fit(points: list[Point]) -> Counts:
    """The constants that fit best: relative errors, squared, are least; those of counts that do not differ stay."""
    matrix = np.array([[float(v) for v in astuple(p.estimate.counts)] for p in points])
    matrix /= np.array([1e12 * p.seconds for p in points])[:, None]
    known = np.diag([PULL / getattr(PICOSECONDS, field.name) for field in fields(Counts)])
    stay = np.full(len(known), PULL)
    solution, _ = nnls(np.concatenate([matrix, known]), np.concatenate([np.ones(len(points)), stay]))
    return Counts(*(round(float(v)) for v in solution))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--markdown", type=Path, help="write the table here too")
    arguments = parser.parse_args()
    limit_threads(arguments.threads)
    points = []
    for point in measure():
        points.append(point)
        print(
            point.name,
            point.batch,
            f"{point.seconds:.3f} s",
            f"estimated {point.estimate.prove_seconds:.3f} s",
            flush=True,
        )
    fitted = fit(points)
    table = Table(title=f"Estimates, {arguments.threads} threads")
    for name in HEADER:
        table.add_column(name, justify="right")
    for point in points:
        table.add_row(*point.row(fitted))
    console = Console(width=140)
    console.print(table)
    for field in fields(Counts):
        console.print(f"    {field.name}={getattr(fitted, field.name)},")
    if arguments.markdown:
        text = markdown_table(HEADER, [point.row(fitted) for point in points])
        arguments.markdown.write_text(provenance("python benchmarks/native_cost.py") + "\n\n" + text)


if __name__ == "__main__":
    main()
