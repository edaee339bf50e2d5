"""The command that runs a sample of a log again."""

import os
from collections.abc import Mapping
from typing import Annotated

import typer

import zkinfer
from zkinfer.cli import results
from zkinfer.cli.app import Saturate, app
from zkinfer.cli.arrays import read_arrays, read_seed
from zkinfer.cli.console import facts, guarded, out, print_table, show_failure
from zkinfer.cli.failures import failure
from zkinfer.cli.parameters import file_argument
from zkinfer.cli.results import ExitCode
from zkinfer.counts import counted
from zkinfer.errors import VerificationError
from zkinfer.files.location import Location
from zkinfer.files.npy import map_npy
from zkinfer.typing import Array


@app.command()
@guarded
def audit(
    circuit: Annotated[Location, file_argument("CIRCUIT", "Circuit file, which holds the weights.")],
    inputs: Annotated[
        Location,
        file_argument("INPUTS", "Logged inputs: .npy of any size, or .npz with an array for each input."),
    ],
    outputs: Annotated[
        Location,
        file_argument("OUTPUTS", "Logged outputs, as the circuit gives them: .npy or .npz."),
    ],
    rate: Annotated[float, typer.Option(help="Rate of wrong answers that must not go unnoticed.")] = 0.01,
    confidence: Annotated[float, typer.Option(help="Probability with which such a rate is noticed.")] = 0.99,
    sample: Annotated[
        int | None, typer.Option(help="How many to run again. Default: as many as --rate and --confidence need.")
    ] = None,
    seed: Annotated[
        str | None,
        typer.Option(help="32 bytes that choose the sample, as @file or hex:. The log's author must not know them."),
    ] = None,
    saturate: Saturate = False,
) -> results.LogAudited:
    """With the weights, run a random sample of a log again and compare bit for bit. Exits with 1 if any differs."""
    report = zkinfer.audit(
        zkinfer.Circuit.load(circuit),
        map_arrays(inputs),
        map_arrays(outputs),
        sample=sample,
        rate=rate,
        confidence=confidence,
        seed=None if seed is None else read_seed(seed),
        saturate=saturate,
    )
    rows = [
        ("circuit", report.circuit_digest),
        ("in the log", f"{counted(report.logged, 'inference')}"),
        ("run again", f"{report.rerun}, of which {report.rerun - len(report.differences)} agree bit for bit"),
        ("seed of the sample", report.seed.hex()),
        (f"if {percent(report.rate)} are wrong", f"missed with probability {report.miss_probability:.3g}"),
    ]
    if report.ok:
        shown = f"fewer than {percent(report.detectable_rate)} of the log are wrong"
        out.print(facts("AGREES", [*rows, (f"confidence {percent(report.confidence)}", shown)]))
    else:
        out.print(facts("DIFFERS", rows))
        print_table(report.table())
        try:
            report.raise_for_differences()
        except VerificationError as error:
            show_failure(failure(error))
    return results.LogAudited(
        exit_code=ExitCode.OK if report.ok else ExitCode.REFUSED,
        program_digest=report.circuit_digest,
        logged=report.logged,
        rerun=report.rerun,
        seed=report.seed.hex(),
        rate=report.rate,
        miss_probability=report.miss_probability,
        differences=[
            results.Differing(d.inference, d.output, list(d.index), d.expected, d.logged) for d in report.differences
        ],
    )


def percent(share: float) -> str:
    """A share of one in percent."""
    return f"{100 * share:.4g}%"


def map_arrays(path: str | os.PathLike[str]) -> Array | Mapping[str, Array]:
    """The array of a `.npy` file, mapped and not read; or the arrays of a `.npz` file, read, by name.

    Raises:
        InvalidInputError: no such file, not one of these, or not as long as its header says.
    """
    if Location(path).suffix == ".npz":
        return read_arrays(path)
    return map_npy(path)
