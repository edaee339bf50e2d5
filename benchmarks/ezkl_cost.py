"""The constants of zkinfer's cost model of ezkl, fitted to circuits that are proven for it.

    python benchmarks/ezkl_cost.py [--measurements FILE]

Each circuit (perceptrons of random weights, the reference convolutional network, functions alone, in several batch
sizes) is set up and proven at several k on one thread. Each cost is then fitted as `Rates` in
`zkinfer/ezkl/cost.py` has it, with the least squares of the relative errors and no negative constant. Times
are processor seconds. What is printed last can be pasted there.
"""

import argparse
import itertools
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
from cases import CIRCUITS, function_case, reference_case
from measure import MIB, Stopwatch, limit_threads, markdown_table, provenance
from rich.console import Console
from rich.table import Table as RichTable

import zkinfer as zk
from zkinfer.circuit.bounds import lookup_indices
from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.program import Program
from zkinfer.circuit.table import Table
from zkinfer.compiler.lowering.builder import Builder
from zkinfer.ezkl.cost import (
    KEY_MEGABYTES,
    PEAK_MEGABYTES,
    PROVING_SECONDS,
    SETUP_SECONDS,
    CircuitSize,
    Rates,
)
from zkinfer.ezkl.instances import STATEMENT_WORDS
from zkinfer.ezkl.keys import CIRCUIT_FILE, PROVING_KEY_FILE, SRS_FILE, VERIFYING_KEY_FILE
from zkinfer.ezkl.runner import EzklCall, run
from zkinfer.ezkl.salting import felt
from zkinfer.ezkl.settings import MODEL_FILE, SETTINGS_FILE, lay_out, minimum_logrows
from zkinfer.ezkl.srs import forgeable_srs
from zkinfer.typing import IntArray

SALT = 257
MAX_ENTRIES = 1900
LOGROWS_EACH = 3
"""Every circuit is measured at the least k that holds its tables, and at the next ones."""

PERCEPTRONS = (
    ((64, 32, 10), 1),
    ((64, 128, 10), 1),
    ((30, 64, 32, 2), 1),
    ((64, 32, 10), 16),
    ((128, 128, 10), 1),
)
"""Widths of the layers, and the batch size."""

NETWORK_BATCHES = (1, 2, 4)
FUNCTIONS = (("gelu", (256,)), ("gelu", (1024,)), ("softmax", (16, 10)))

COSTS: dict[str, Rates] = {
    "prove": PROVING_SECONDS,
    "setup": SETUP_SECONDS,
    "key": KEY_MEGABYTES,
    "peak": PEAK_MEGABYTES,
}


@dataclass(frozen=True)
class Workload:
    """A program with its weights."""

    name: str
    program: Program
    weights: tuple[IntArray, ...]


@dataclass(frozen=True)
class Measurement:
    """One circuit at one k.

    Attributes:
        name: of the workload.
        logrows: k.
        size: what the circuit takes.
        prove, setup: processor seconds; of proving with the witness, of compiling and making keys.
        key: MiB of circuit, proving key and verifying key.
        peak: MiB of resident memory, the larger of both steps.
    """

    name: str
    logrows: int
    size: CircuitSize
    prove: float
    setup: float
    key: float
    peak: float


def perceptron(widths: Sequence[int], batch: int) -> Workload:
    """Dense layers of random 6-bit weights with a ReLU table between them."""
    rng = np.random.default_rng(0)
    builder = Builder()
    value = builder.input("x", (batch, widths[0]), 4, -127, 127)
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        weight = builder.weight(f"weight{layer}", rng.integers(-20, 21, (outputs, inputs)), 5)
        value = builder.einsum(f"sum{layer}", "bi,oi->bo", value, weight)
        if layer < len(widths) - 2:
            bounds = value.tensor.lo, value.tensor.hi
            shift = next(s for s in range(1, 40) if (bounds[1] - bounds[0]) >> s < MAX_ENTRIES)
            lo, hi = lookup_indices(bounds, shift)
            relu = Table("relu", lo, tuple(min(127, max(0, i)) for i in range(lo, hi + 1)))
            value = builder.lookup(f"relu{layer}", value, relu, shift, 4)
    built = builder.finish([value])
    return Workload(f"perceptron {'-'.join(map(str, widths))}, batch {batch}", built.program, built.weights)


def workloads() -> Iterator[Workload]:
    """What is measured."""
    for widths, batch in PERCEPTRONS:
        yield perceptron(widths, batch)
    network = reference_case("digits-cnn")
    for batch in NETWORK_BATCHES:
        circuit = zk.compile(CIRCUITS / "digits-cnn" / "model.onnx", network.calibration, batch=batch, precision="ezkl")
        yield Workload(f"digits-cnn, batch {batch}", circuit.program, circuit.weights)
    for function, shape in FUNCTIONS:
        case = function_case(function, shape)
        circuit = zk.compile(case.model, case.calibration, precision="ezkl")
        yield Workload(case.name, circuit.program, circuit.weights)


def measure(workload: Workload, logrows: int) -> Measurement:
    """Lay out, make keys and prove once at this k, on inputs at random."""
    program, weights = workload.program, workload.weights
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="zkinfer-benchmark-") as name:
        folder = Path(name)
        lowered, settings = lay_out(program, SALT, logrows, folder)
        shutil.copyfile(forgeable_srs(logrows), folder / SRS_FILE)
        calls = [
            EzklCall("compile_circuit", (MODEL_FILE, CIRCUIT_FILE, SETTINGS_FILE)),
            EzklCall("setup", (CIRCUIT_FILE, VERIFYING_KEY_FILE, PROVING_KEY_FILE, SRS_FILE)),
        ]
        watch = Stopwatch()
        made = run(calls, folder=folder, what="making keys")
        setup_seconds = watch.processor
        inputs = [rng.integers(t.lo, t.hi + 1, (1, *t.shape)) for t in program.inputs]
        values = evaluate(program, weights, inputs)
        hints = [int(q) for hint in lowered.hints for q in hint.compute(values[hint.source])]
        flat = [int(x) for array in inputs for x in array.ravel()]
        vectors = [
            lowered.weights.fill([int(w) for a in weights for w in a.ravel()], (1,) * lowered.weights.salt_count),
            lowered.witness.fill([0] * STATEMENT_WORDS + flat + hints, (1,) * lowered.witness.salt_count),
        ]
        (folder / "input.json").write_text(json.dumps({"input_data": [[felt(v) for v in vec] for vec in vectors]}))
        witness = EzklCall("gen_witness", ("input.json", CIRCUIT_FILE, "witness.json", VERIFYING_KEY_FILE, SRS_FILE))
        run([witness], folder=folder, what="computing the witness")
        prove = EzklCall("prove", ("witness.json", CIRCUIT_FILE, PROVING_KEY_FILE, "proof"), {"srs_path": SRS_FILE})
        watch = Stopwatch()
        proven = run([prove], folder=folder, what="proving")
        prove_seconds = watch.processor
        files = (CIRCUIT_FILE, PROVING_KEY_FILE, VERIFYING_KEY_FILE)
        return Measurement(
            name=workload.name,
            logrows=logrows,
            size=settings.size,
            prove=prove_seconds,
            setup=setup_seconds,
            key=sum((folder / file).stat().st_size for file in files) / MIB,
            peak=max(made.peak_bytes, proven.peak_bytes) / MIB,
        )


def features(measurement: Measurement) -> list[float]:
    """What each constant of `Rates` is multiplied with: the prediction is linear in them."""
    units = np.eye(len(fields(Rates)))
    return [Rates(*unit).predict(measurement.size, measurement.logrows) for unit in units.tolist()]


def nonnegative_least_squares(
    matrix: npt.NDArray[np.float64], target: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The x >= 0 with the least |matrix x - target|, by coordinate descent (the problem is convex)."""
    gram, moment = matrix.T @ matrix, matrix.T @ target
    x = np.zeros(len(gram))
    for _ in range(20_000):
        for i in range(len(x)):
            if gram[i, i]:
                x[i] = max(0.0, x[i] + (moment[i] - gram[i] @ x) / gram[i, i])
    return x


def fit(measurements: Sequence[Measurement], cost: str) -> Rates:
    """The constants of one cost with the least squares of the relative errors."""
    target = np.array([getattr(m, cost) for m in measurements])
    relative = np.array([features(m) for m in measurements]) / target[:, None]
    return Rates(*(round(float(x), 3) for x in nonnegative_least_squares(relative, np.ones(len(target)))))


def ratios(measurements: Sequence[Measurement], cost: str, rates: Rates) -> list[float]:
    """Predicted over measured."""
    return [rates.predict(m.size, m.logrows) / getattr(m, cost) for m in measurements]


def rows(measurements: Sequence[Measurement]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: each cost as measured, and as the constants in the package predict it."""
    header = ["circuit", "k", "cells"] + [part for cost in COSTS for part in (cost, "predicted")]
    found = []
    for m in measurements:
        row = [m.name, str(m.logrows), f"{m.size.cells:,}"]
        for cost, rates in COSTS.items():
            row += [f"{getattr(m, cost):.2f}", f"{rates.predict(m.size, m.logrows):.2f}"]
        found.append(row)
    return header, found


def load(path: Path) -> list[Measurement]:
    """Measurements from a file of an earlier run."""
    found = []
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        entry["size"]["committed_cells"] = tuple(entry["size"]["committed_cells"])
        found.append(Measurement(**entry | {"size": CircuitSize(**entry["size"])}))
    return found


def collect(path: Path | None) -> list[Measurement]:
    """Measure every workload at several k; each measurement is appended to the file, and what it holds is kept."""
    found = load(path) if path and path.exists() else []
    done = {(m.name, m.logrows) for m in found}
    for workload in workloads():
        least = minimum_logrows(workload.program, SALT)
        for logrows in range(least, least + LOGROWS_EACH):
            if (workload.name, logrows) in done:
                continue
            found.append(measure(workload, logrows))
            last = found[-1]
            print(f"{last.name}, k {logrows}: setup {last.setup:.2f} s, prove {last.prove:.2f} s", flush=True)
            if path:
                with path.open("a") as file:
                    file.write(json.dumps(asdict(last)) + "\n")
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--measurements", type=Path, help="keep measurements here; those that it holds are not repeated"
    )
    parser.add_argument("--fit-only", action="store_true", help="measure nothing, fit to what the file holds")
    parser.add_argument("--markdown", type=Path, help="write the table here too")
    arguments = parser.parse_args()
    limit_threads(1)
    path = arguments.measurements
    measurements = load(path) if path and arguments.fit_only else collect(path)
    header, body = rows(measurements)
    table = RichTable(title="seconds and MiB, measured and predicted")
    for name in header:
        table.add_column(name, justify="left" if name == "circuit" else "right")
    for row in body:
        table.add_row(*row)
    Console(width=160).print(table)
    for cost, rates in COSTS.items():
        fitted = fit(measurements, cost)
        for label, candidate in (("as it is", rates), ("fitted", fitted)):
            seen = ratios(measurements, cost, candidate)
            values = ", ".join(str(value) for value in asdict(candidate).values())
            print(f"{cost:>6} {label:>9}: Rates({values}); predicted/measured {min(seen):.2f} to {max(seen):.2f}")
    if arguments.markdown:
        text = provenance("python benchmarks/ezkl_cost.py") + "\n\n" + markdown_table(header, body)
        arguments.markdown.write_text(text)


if __name__ == "__main__":
    main()
