"""Both backends on the same digits models, in one run: proving, verifying, keys and proofs.

    python benchmarks/backends.py [--models digits-cnn] [--batches 1 32 256] [--markdown FILE]

The circuits are the same. ezkl proves them at the best settings found (docs/ezkl-backend.md), a single inference a
proof and a batch of 8; the native backend proves any number at once. Times are by the clock, the least of several;
`ratio` is ezkl's best proving time for one inference over the row's.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from cases import CIRCUITS, reference_case
from measure import float_seconds, limit_threads, markdown_table, provenance
from rich.console import Console
from rich.table import Table

import zkinfer as zk
from zkinfer.verifier import verify

HEADER = (
    "model",
    "backend",
    "batch",
    "setup s",
    "prove s",
    "for one, ms",
    "ratio",
    "over inference",
    "verify ms",
    "keys MB",
    "commitment kB",
    "proof kB",
)
EZKL_BATCHES = (1, 8)


@dataclass(frozen=True)
class Measurement:
    """One backend, one batch.

    Attributes:
        setup, prove, verify, inference: seconds; the last of the float model, for one input.
        keys, commitment, proof: bytes.
    """

    model: str
    backend: str
    batch: int
    setup: float
    prove: float
    verify: float
    inference: float
    keys: int
    commitment: int
    proof: int

    @property
    def each(self) -> float:
        """Proving seconds for one inference."""
        return self.prove / self.batch

    def row(self, best_ezkl: float) -> list[str]:
        """The figures as text, as in `HEADER`."""
        return [
            self.model,
            self.backend,
            str(self.batch),
            f"{self.setup:.2f}",
            f"{self.prove:.3f}",
            f"{1e3 * self.each:.2f}",
            f"{best_ezkl / self.each:,.1f}",
            f"{self.each / self.inference:,.0f}",
            f"{1e3 * self.verify:.0f}",
            f"{self.keys / 1e6:.1f}",
            f"{self.commitment / 1e3:.1f}",
            f"{self.proof / 1e3:,.0f}",
        ]


def least(run: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of some runs."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def measure(model: str, backend: str, batch: int, repeats: int) -> Measurement:
    """Compile, set up, prove and verify one batch."""
    case = reference_case(model)
    own = batch if backend == "ezkl" else 1
    circuit = zk.compile(CIRCUITS / model / "model.onnx", case.calibration, batch=own, precision="ezkl")
    x: npt.NDArray[np.float32] = np.resize(case.samples, (batch, *case.samples.shape[1:]))
    start = time.perf_counter()
    keys = zk.setup(circuit, backend=backend)
    setup = time.perf_counter() - start
    proof = zk.prove(keys, x, saturate=True)
    return Measurement(
        model=model,
        backend=backend,
        batch=batch,
        setup=setup,
        prove=least(lambda: zk.prove(keys, x, saturate=True), repeats),
        verify=least(lambda: verify(proof, keys.commitment, inputs=x, saturate=True), repeats),
        inference=float_seconds(case.model, case.samples[0]),
        keys=sum(path.stat().st_size for path in keys.folder.rglob("*") if path.is_file()),
        commitment=len(keys.commitment.to_bytes()),
        proof=len(proof.to_bytes()),
    )


def measure_model(model: str, batches: list[int]) -> Iterator[Measurement]:
    """One model on both backends."""
    for batch in EZKL_BATCHES:
        yield measure(model, "ezkl", batch, 2)
    for batch in batches:
        yield measure(model, "sumcheck", batch, 5)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["digits-mlp", "digits-cnn"])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32, 256])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--markdown", type=Path, help="write the table here too")
    arguments = parser.parse_args()
    limit_threads(arguments.threads)
    rows = []
    for model in arguments.models:
        found = []
        for one in measure_model(model, arguments.batches):
            found.append(one)
            print(one, flush=True)
        best = min(one.each for one in found if one.backend == "ezkl")
        rows += [one.row(best) for one in found]
    table = Table(title=f"Both backends, {arguments.threads} threads")
    for name in HEADER:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*row)
    Console(width=150).print(table)
    if arguments.markdown:
        arguments.markdown.write_text(
            provenance("python benchmarks/backends.py") + "\n\n" + markdown_table(HEADER, rows)
        )


if __name__ == "__main__":
    main()
