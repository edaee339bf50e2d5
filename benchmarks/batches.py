"""What one inference costs in a batch: the digits network, one proof for 1, 2, 4 and 8 inputs.

    python benchmarks/batches.py [--markdown FILE]

Times are processor seconds on one thread; memory is that of the largest ezkl process. The overhead is proving time for
one inference over what onnxruntime takes for it on one thread.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from cases import CIRCUITS, reference_case
from measure import MB, Stopwatch, float_seconds, limit_threads, markdown_table, provenance, recorded_usage
from rich.console import Console
from rich.table import Table

import zkinfer as zk
from zkinfer.verifier import verify

MODEL = "digits-cnn"
HEADER = ("batch", "k", "setup s", "prove s", "per inference s", "verify s", "peak MB", "proof B", "overhead")


@dataclass(frozen=True)
class Measurement:
    """One batch size.

    Attributes:
        batch: inputs in one proof.
        logrows: k.
        setup, prove, verify: processor seconds.
        peak: MB.
        proof: bytes.
        overhead: proving time for one inference over onnxruntime's.
    """

    batch: int
    logrows: int
    setup: float
    prove: float
    verify: float
    peak: float
    proof: int
    overhead: float

    @property
    def each(self) -> float:
        """Proving seconds for one inference."""
        return self.prove / self.batch

    def row(self) -> list[str]:
        """The figures as text, as in `HEADER`."""
        seconds = [f"{value:.2f}" for value in (self.setup, self.prove, self.each, self.verify)]
        return [
            str(self.batch),
            str(self.logrows),
            *seconds,
            f"{self.peak:.0f}",
            f"{self.proof:,}",
            f"{self.overhead:,.0f}",
        ]


def measure(batch: int) -> Measurement:
    """Compile, set up, prove and verify one batch."""
    case = reference_case(MODEL)
    circuit = zk.compile(CIRCUITS / MODEL / "model.onnx", case.calibration, batch=batch, precision="ezkl")
    inputs = case.samples[:batch]
    circuit.run(inputs, saturate=True)
    with recorded_usage() as usage:
        watch = Stopwatch()
        keys = zk.setup(circuit, backend="ezkl")
        setup_seconds = watch.processor
        watch = Stopwatch()
        proof = zk.prove(keys, inputs, saturate=True)
        prove_seconds = watch.processor
    watch = Stopwatch()
    verify(proof, keys.commitment, inputs=inputs, saturate=True)
    return Measurement(
        batch=batch,
        logrows=keys.commitment.key.srs.logrows,
        setup=setup_seconds,
        prove=prove_seconds,
        verify=watch.processor,
        peak=usage.peak_bytes / MB,
        proof=len(proof.data),
        overhead=prove_seconds / batch / float_seconds(case.model, inputs[0]),
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--markdown", type=Path, help="write the table here too")
    arguments = parser.parse_args()
    limit_threads(1)
    measurements = []
    for batch in arguments.batches:
        measurements.append(measure(batch))
        print(measurements[-1], flush=True)
    table = Table(title=MODEL)
    for name in HEADER:
        table.add_column(name, justify="right")
    for m in measurements:
        table.add_row(*m.row())
    Console(width=120).print(table)
    if arguments.markdown:
        text = markdown_table(HEADER, [m.row() for m in measurements])
        arguments.markdown.write_text(provenance("python benchmarks/batches.py") + "\n\n" + text)


if __name__ == "__main__":
    main()
