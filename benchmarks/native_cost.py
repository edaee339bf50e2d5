"""How good the native backend's estimates are, and the constants behind them fitted again.

    python benchmarks/native_cost.py [PATTERN ...] [--markdown FILE] [--folder FOLDER]

Reference circuits, MLP blocks, convolutional and recurrent networks, small transformers and trees, in several batches.
Each is compiled in a process of its own, its keys are made in another, and each proof is made in one more, whose peak
of memory is the whole of what proving takes. What was estimated is printed beside what was measured, and the constants
of `zkinfer/native/cost.py` that fit this machine best (least squares of relative errors, none negative), in
picoseconds. Seconds are those of the processor, of all threads, the least of several proofs after a first one. With
--folder circuits are kept there, and not compiled again.
"""

import argparse
import fnmatch
import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import CIRCUITS, reference_case
from measure import limit_threads, markdown_table, provenance
from networks import NETWORKS
from overhead import block
from rich.console import Console
from rich.table import Table
from scipy.optimize import nnls
from shapes import CASES as SHAPES
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier

import zkinfer as zk
from zkinfer.native.cost import PICOSECONDS, Counts, seconds

RATIO = "estimate / measured"

HEADER = (
    "circuit", "batch", "keys for", "prove ms", "estimated", RATIO, "refitted", "memory MB", "estimated", RATIO,
    "proof kB", "estimated", RATIO,
)  # fmt: skip
"""*Refitted* is the ratio of time with the constants that the command fits."""

PROOFS = 64
BUDGETS = (1000, 4000)
"""Of the first reference circuit at batch 1, beside `PROOFS`: a proof commits to masks as long as the rows."""

REFERENCES = {"digits-mlp": (1, 256), "digits-cnn": (1, 256), "digits-gelu": (256,), "breast-cancer": (256,)}
BLOCKS = {256: (1, 1024), 1000: (1, 1024), 1024: (1, 1024), 2048: (1, 256), 4000: (1, 1024)}
SHAPED = ("even", "odd", "GRU, 100 steps")
ARCHITECTURES = {
    "LeNet-5": (64,), "MobileNetV3 block": (16,), "U-Net": (4,), "LSTM": (64,), "BERT": (1, 16), "GPT-2": (16,),
    "Llama": (1,), "ViT": (16,),
}  # fmt: skip

PULL = 0.1
"""How far off its present value a constant may be, in relative errors of a point: what the points cannot tell stays."""

SCRIPT = Path(__file__).parent / "shape_proofs.py"


@dataclass(frozen=True)
class Case:
    """A circuit.

    Attributes:
        compile: makes it, and the samples that are proven, repeated for large batches.
        batches: samples of one proof.
    """

    compile: Callable[[], tuple[zk.Circuit, np.ndarray]]
    batches: tuple[int, ...]


def _reference(name: str) -> tuple[zk.Circuit, np.ndarray]:
    case = reference_case(name)
    return zk.compile(CIRCUITS / name / "model.onnx", case.calibration, precision="ezkl"), case.samples


def _block(width: int) -> tuple[zk.Circuit, np.ndarray]:
    x = np.random.default_rng(width).standard_normal((64, width), dtype=np.float32).clip(-4, 4)
    return zk.compile(block(width), x, precision="ezkl"), x


def _shaped(name: str) -> tuple[zk.Circuit, np.ndarray]:
    case = SHAPES[name]
    x = case.inputs(4)
    torch.manual_seed(0)
    return zk.compile(case.network(), x), x


def _architecture(name: str) -> tuple[zk.Circuit, np.ndarray]:
    network = NETWORKS[name]
    x = network.inputs()
    return zk.compile(zk.export(network.module(), x[:1]), x), x


def _trees() -> tuple[zk.Circuit, np.ndarray]:
    x, y = load_breast_cancer(return_X_y=True)
    return zk.compile(RandomForestClassifier(100, max_depth=6, random_state=0).fit(x, y), x), x


CASES = {
    **{name: Case(partial(_reference, name), batches) for name, batches in REFERENCES.items()},
    **{f"block {width:,}": Case(partial(_block, width), batches) for width, batches in BLOCKS.items()},
    **{name: Case(partial(_shaped, name), (1,)) for name in SHAPED},
    **{name: Case(partial(_architecture, name), batches) for name, batches in ARCHITECTURES.items()},
    "100 trees": Case(_trees, (1, 256)),
}


@dataclass(frozen=True)
class Point:
    """One measured proof.

    Attributes:
        proofs: budget of its keys.
        counts: of the estimate.
        seconds, memory, size: measured: processor seconds, peak of the process, bytes of the proof.
        expected: the same as they were estimated.
    """

    name: str
    batch: int
    proofs: int
    counts: Counts
    seconds: float
    memory: int
    size: int
    expected: tuple[float, int, int]

    def row(self, refitted: Counts) -> list[str]:
        """As text, as in `HEADER`."""
        expected, memory, size = self.expected
        return [
            self.name,
            f"{self.batch:,}",
            f"{self.proofs:,}",
            f"{1e3 * self.seconds:,.0f}",
            f"{1e3 * expected:,.0f}",
            f"{expected / self.seconds:.2f}",
            f"{seconds(self.counts, refitted) / self.seconds:.2f}",
            f"{self.memory / 1e6:,.0f}",
            f"{memory / 1e6:,.0f}",
            f"{memory / self.memory:.2f}",
            f"{self.size / 1e3:,.0f}",
            f"{size / 1e3:,.0f}",
            f"{size / self.size:.2f}",
        ]


def compiled(name: str, folder: Path) -> None:
    """Writes a circuit and its samples to a folder, if they are not there."""
    if not (folder / "circuit.zkx").exists():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            circuit, samples = CASES[name].compile()
        np.save(folder / "samples.npy", samples)
        circuit.save(folder / "circuit.zkx")


def measure(name: str, folder: Path) -> Iterator[Point]:
    """All proofs of a case."""
    folder.mkdir(parents=True, exist_ok=True)
    _process(__file__, "--compile", name, "--folder", str(folder))
    samples = np.load(folder / "samples.npy")
    case = CASES[name]
    budgets = (PROOFS, *BUDGETS) if name == next(iter(CASES)) else (PROOFS,)
    for batch in case.batches:
        np.save(folder / "inputs.npy", np.resize(samples, (batch, *samples.shape[1:])))
        for proofs in budgets if batch == 1 else budgets[:1]:
            made = _process(str(SCRIPT), str(folder), "keys", str(proofs))
            _process(str(SCRIPT), str(folder), "warm")
            found = _process(str(SCRIPT), str(folder), "proofs")
            yield Point(
                name,
                batch,
                proofs,
                Counts(**made["counts"]),
                found["prove"],
                found["peak"],
                found["bytes"],
                tuple(made["expected"]),
            )


def _process(*arguments: str) -> dict[str, Any]:
    """What a script prints as JSON in its last line."""
    done = subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads((done.stdout.splitlines() or ["{}"])[-1])
    assert isinstance(found, dict)
    return found


def fit(points: list[Point]) -> Counts:
    """The constants that fit best: relative errors, squared, are least; those of counts that do not differ stay."""
    matrix = np.array([[float(v) for v in astuple(p.counts)] for p in points])
    matrix /= np.array([1e12 * p.seconds for p in points])[:, None]
    known = np.diag([PULL / getattr(PICOSECONDS, field.name) for field in fields(Counts)])
    stay = np.full(len(known), PULL)
    solution, _ = nnls(np.concatenate([matrix, known]), np.concatenate([np.ones(len(points)), stay]))
    return Counts(*(round(float(v)) for v in solution))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*", default=["*"], metavar="PATTERN", help="names or shell patterns")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--markdown", type=Path, help="write the table here too")
    parser.add_argument("--folder", type=Path, help="keep circuits here")
    parser.add_argument("--compile", choices=CASES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.compile:
        compiled(arguments.compile, arguments.folder)
        return
    limit_threads(arguments.threads)
    points: list[Point] = []
    with tempfile.TemporaryDirectory(prefix="zkinfer-cost-") as temporary:
        for name in CASES:
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in arguments.patterns):
                place = (arguments.folder or Path(temporary)) / name.replace(" ", "-").replace(",", "")
                for point in measure(name, place):
                    points.append(point)
                    print(*point.row(PICOSECONDS), sep=" | ", flush=True)
    fitted = fit(points)
    table = Table(title=f"Estimates, {arguments.threads} threads")
    for heading in HEADER:
        table.add_column(heading, justify="right")
    for point in points:
        table.add_row(*point.row(fitted))
    Console(width=160).print(table)
    for field in fields(Counts):
        print(f"    {field.name}={getattr(fitted, field.name)},")
    if arguments.markdown:
        text = markdown_table(HEADER, [point.row(fitted) for point in points])
        arguments.markdown.write_text(provenance("python benchmarks/native_cost.py") + "\n\n" + text)


if __name__ == "__main__":
    main()
