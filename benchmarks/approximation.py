"""ezkl's own quantization of a float model against zkinfer's tables, on the same prover.

    python benchmarks/approximation.py [CASE ...] [--repeats N] [--markdown FILE]

Both sides take their fastest configuration whose worst error against float32, over the samples, is within a tolerance:
for functions the one given, for models twice the worst error of zkinfer's defaults. How ezkl's is found is said in
`ezkl_float.py`. Its parameters are `polycommit`, as zkinfer's weights are, where there are any; a second line has them
`fixed`, which commits to nothing.

Both sides are then measured in turns, in fresh processes, and the medians are printed. Times are processor seconds:
on one thread, what an idle core takes, whoever else is at work. `setup` is all that makes keys: layout, keys, and on
zkinfer's side the commitment and the verifier's artefact. `prove` is from real inputs to a proof that ezkl has
verified once: witness, proof and check, the start of two processes included. `verify` is zkinfer's verifier in plain
Python on the one side, ezkl's own on the other.
"""

import argparse
import json
import statistics
import sys
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import ezkl_float
import numpy as np
from cases import Case, all_cases, select
from measure import MB, Stopwatch, float_outputs, limit_threads, markdown_table, provenance, recorded_usage
from rich.console import Console
from rich.table import Table

import zkinfer as zk
from zkinfer.errors import ZkinferError
from zkinfer.ezkl.keys import PROVING_KEY_FILE, VERIFYING_KEY_FILE, EzklKeys
from zkinfer.verifier import verify

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

FUNCTION_BITS = range(7, 14)
MODEL_BITS = (7, 8)
TABLE_ENTRIES = (496, 1008, 2032, 4080)
NAMES_OF_COLUMNS = {
    "k": "k",
    "cells": "cells",
    "setup": "setup s",
    "prove": "prove s",
    "wall": "by the clock s",
    "verify": "verify s",
    "peak": "peak MB",
    "proving_key": "pk MB",
    "verifying_key": "vk kB",
    "proof": "proof B",
    "max_error": "max error",
    "mean_error": "mean error",
}


@dataclass(frozen=True)
class Measurement:
    """One setup and one proof, or the medians of several.

    Attributes:
        k: the circuit has 2**k rows.
        cells: assignments in the main region.
        setup, prove, verify: processor seconds; wall: seconds of `prove` by the clock.
        peak: resident memory in MB, of the largest ezkl process.
        proving_key: MB; verifying_key: kB; proof: bytes.
        max_error, mean_error: absolute, against float32, over the case's samples.
    """

    k: int
    cells: int
    setup: float
    prove: float
    wall: float
    verify: float
    peak: float
    proving_key: float
    verifying_key: float
    proof: int
    max_error: float
    mean_error: float

    def row(self) -> list[str]:
        """The figures as text."""
        return [
            str(self.k),
            f"{self.cells:,}",
            f"{self.setup:.1f}",
            f"{self.prove:.2f}",
            f"{self.wall:.1f}",
            f"{self.verify:.2f}",
            f"{self.peak:.0f}",
            f"{self.proving_key:.0f}",
            f"{self.verifying_key:.0f}",
            f"{self.proof:,}",
            f"{self.max_error:.2g}",
            f"{self.mean_error:.2g}",
        ]


@dataclass(frozen=True)
class Line:
    """One side of one case."""

    case: str
    side: str
    configuration: str
    ratio: float
    median: Measurement


def median(measurements: list[Measurement]) -> Measurement:
    """Field by field; what is counted stays a whole number."""
    medians = {f.name: statistics.median(getattr(m, f.name) for m in measurements) for f in fields(Measurement)}
    return Measurement(**medians | {name: round(medians[name]) for name in ("k", "cells", "proof")})


def errors_of(circuit: zk.Circuit, case: Case) -> "npt.NDArray[np.float64]":
    """Absolute errors of the circuit on the case's samples."""
    outputs = np.asarray(circuit.run(case.samples, saturate=True))
    difference: npt.NDArray[np.float64] = np.abs(outputs - float_outputs(case.model, case.samples))
    return difference


def choose_circuit(case: Case, tolerance: float) -> tuple[zk.Circuit, str]:
    """The circuit that is predicted to prove fastest among those within the tolerance, and its settings in words.

    Raises:
        ValueError: no number of bits reaches the tolerance.
    """
    found = []
    for entries in TABLE_ENTRIES:
        for bits in MODEL_BITS if case.has_weights else FUNCTION_BITS:
            try:
                circuit = zk.compile(
                    case.model, case.calibration, precision="ezkl", activation_bits=bits, max_table_entries=entries
                )
            except ZkinferError:
                continue
            if errors_of(circuit, case).max() <= tolerance:
                seconds = zk.estimate(circuit, backend="ezkl").prove_seconds
                found.append((seconds, bits, circuit, f"{bits} bits, tables up to {entries}"))
                break
    if not found:
        raise ValueError(f"{case.name}: no number of bits reaches an error of {tolerance:.4g}")
    _, _, circuit, text = min(found, key=lambda entry: entry[:2])
    return circuit, text


def measure_zkinfer(circuit: zk.Circuit, case: Case) -> Measurement:
    """Set up, prove the first sample, verify."""
    error = errors_of(circuit, case)
    with recorded_usage() as usage:
        watch = Stopwatch()
        keys = zk.setup(circuit, backend="ezkl")
        setup_seconds = watch.processor
        watch = Stopwatch()
        proof = zk.prove(keys, case.samples[:1], saturate=True)
        prove_seconds, wall = watch.processor, watch.wall
    watch = Stopwatch()
    verify(proof, keys.commitment, inputs=case.samples[:1], saturate=True)
    verify_seconds = watch.processor
    assert isinstance(keys, EzklKeys)
    settings = json.loads(keys.commitment.key.settings)
    return Measurement(
        k=keys.commitment.key.srs.logrows,
        cells=settings["total_assignments"],
        setup=setup_seconds,
        prove=prove_seconds,
        wall=wall,
        verify=verify_seconds,
        peak=usage.peak_bytes / MB,
        proving_key=(keys.folder / PROVING_KEY_FILE).stat().st_size / MB,
        verifying_key=(keys.folder / VERIFYING_KEY_FILE).stat().st_size / 1000,
        proof=len(proof.data),
        max_error=float(error.max()),
        mean_error=float(error.mean()),
    )


def measure_ezkl(trial: ezkl_float.Trial, case: Case) -> Measurement:
    """The same for ezkl's own quantization."""
    proof = ezkl_float.prove_once(case, trial.configuration)
    return Measurement(
        k=trial.configuration.logrows,
        cells=proof.cells,
        setup=proof.setup,
        prove=proof.prove,
        wall=proof.wall,
        verify=proof.verify,
        peak=proof.peak_bytes / MB,
        proving_key=proof.proving_key / MB,
        verifying_key=proof.verifying_key / 1000,
        proof=proof.proof,
        max_error=float(trial.errors.max()),
        mean_error=float(trial.errors.mean()),
    )


def compare(case: Case, *, tolerance: float, repeats: int) -> list[Line]:
    """All sides of one case.

    Args:
        case: what to prove.
        tolerance: largest error of a function.
        repeats: measurements of each side, in turns, every second turn in the opposite order.
    """
    if case.has_weights:
        tolerance = 2 * float(errors_of(zk.compile(case.model, case.calibration, precision="ezkl"), case).max())
    circuit, text = choose_circuit(case, tolerance)
    trial = ezkl_float.best(case, tolerance)
    sides: dict[str, tuple[str, Callable[[], Measurement]]] = {
        "zkinfer": (text, lambda: measure_zkinfer(circuit, case)),
        "ezkl": (str(trial.configuration), lambda: measure_ezkl(trial, case)),
    }
    if case.has_weights:
        committed = replace(trial, configuration=replace(trial.configuration, visibility="polycommit"))
        sides["ezkl"] = (str(committed.configuration), lambda: measure_ezkl(committed, case))
        sides["ezkl, uncommitted"] = (str(trial.configuration), lambda: measure_ezkl(trial, case))
    measured: dict[str, list[Measurement]] = {side: [] for side in sides}
    for turn in range(repeats):
        for side in list(sides)[:: -1 if turn % 2 else 1]:
            measured[side].append(sides[side][1]())
            print(
                f"  {side}: setup {measured[side][-1].setup:.2f} s, prove {measured[side][-1].prove:.2f} s", flush=True
            )
    medians = {side: median(ms) for side, ms in measured.items()}
    ours = medians["zkinfer"].prove
    return [Line(case.name, side, sides[side][0], ours / m.prove, m) for side, m in medians.items()]


def rich_table(lines: list[Line]) -> Table:
    """For a terminal."""
    table = Table(title="ratio: zkinfer's proving time over this line's")
    for name in ("case", "side", "settings"):
        table.add_column(name, overflow="fold")
    for name in ("ratio", *NAMES_OF_COLUMNS.values()):
        table.add_column(name, justify="right")
    for line in lines:
        cells = [line.case, line.side, line.configuration, f"{line.ratio:.2f}", *line.median.row()]
        table.add_row(*cells, end_section=line is lines[-1] or lines[lines.index(line) + 1].case != line.case)
    return table


def markdown(lines: list[Line], command: str) -> str:
    """For the documentation: times and sizes, then settings and errors."""
    header = ["case", "side", "ratio", *NAMES_OF_COLUMNS.values()]
    rows = [[line.case, line.side, f"{line.ratio:.2f}", *line.median.row()] for line in lines]
    settings = [[line.case, line.side, line.configuration] for line in lines]
    tables = (markdown_table(header, rows, left=2), markdown_table(["case", "side", "settings"], settings, left=3))
    return "\n".join((provenance(command) + "\n", *tables))


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="names or shell patterns; all by default")
    parser.add_argument("--list", action="store_true", help="print the cases' names")
    parser.add_argument("--repeats", type=int, default=2, help="measurements of each side")
    parser.add_argument("--tolerance", type=float, default=0.01, help="largest error of a function")
    parser.add_argument("--threads", type=int, default=1, help="threads of each process")
    parser.add_argument("--markdown", type=Path, help="write the tables here too")
    parser.add_argument("--json", type=Path, help="append the lines here, as JSON")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(case.name for case in all_cases()))
        return 0
    cases = select(arguments.cases)
    if not cases:
        parser.error(f"no such case: {' '.join(arguments.cases)}; --list prints them")
    limit_threads(arguments.threads)
    lines: list[Line] = []
    for case in cases:
        print(case.name, flush=True)
        found = compare(case, tolerance=arguments.tolerance, repeats=arguments.repeats)
        lines += found
        if arguments.json:
            with arguments.json.open("a") as file:
                file.writelines(json.dumps(asdict(line)) + "\n" for line in found)
    Console(width=None if sys.stdout.isatty() else 240).print(rich_table(lines))
    command = " ".join(["python", "benchmarks/approximation.py", *sys.argv[1:]])
    if arguments.markdown:
        arguments.markdown.write_text(markdown(lines, command))
    return 0


if __name__ == "__main__":
    sys.exit(main())
