"""What the commands about batch jobs share: their group, the options that several of them take, and reading these."""

from pathlib import Path
from typing import Annotated

import typer

from zkinfer.cli.arrays import read_bytes
from zkinfer.cli.parameters import file_argument, file_option
from zkinfer.counts import counted
from zkinfer.errors import InvalidInputError
from zkinfer.files.location import Location
from zkinfer.jobs.job import ExecutorName

DIGEST_BYTES = 32

batch = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Prove any number of stored inferences, in jobs that survive any crash.",
    epilog="Exit codes: 0 complete; 1 to 4 as everywhere; 5 batches failed; 6 stopped by SIGTERM or Ctrl-C; "
    "7 complete, with items that no proof covers. After 4 to 6, and after any crash: zkinfer batch resume.",
)

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The job's folder.")]
Commitment = Annotated[Location, file_argument("COMMITMENT", "The model owner's commitment (.zkc).")]
Keys = Annotated[Path | None, typer.Option(help="Folder of the keys; by default where they were when the job began.")]
Inputs = Annotated[
    list[Location] | None,
    file_option(
        "--inputs",
        help="File of items: .npy, .npz, .parquet or .jsonl. Repeat the option for each further file.",
    ),
]
Executor = Annotated[
    ExecutorName | None,
    typer.Option(help="Where proofs are made: processes by default; for a resumed job, as before."),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Batches that are proven at once: 1 by default; for a resumed job, as before.")
]
Checkers = Annotated[int, typer.Option("--workers", min=1, help="Processes that check.")]
Circuit = Annotated[
    Location | None,
    file_option(
        help="Circuit file. The report then compares the outputs with those of its float model.",
    ),
]
Report = Annotated[
    bool | None, typer.Option("--report/--no-report", help="Write report.html at the end. This is the default.")
]
AllowDeadLetters = Annotated[
    bool,
    typer.Option(
        "--allow-dead-letters/--strict",
        help="Whether to exit with 0, and not with 7, if all but dead letters are proven.",
    ),
]
Receipt = Annotated[
    str | None,
    typer.Option(help="The published receipt, in hexadecimal. Default: the receipt is only printed."),
]
Challenge = Annotated[
    str,
    typer.Option(
        help="Drawn after the digest was published, by someone other than the operator: a verifier's nonce, or the "
        "value of a public beacon. Text, @file or hex:, at least 16 bytes."
    ),
]


def read_digest(option: str, text: str) -> bytes:
    """32 bytes in hexadecimal from the command line.

    Raises:
        InvalidInputError: they are not.
    """
    digest = read_bytes(option, f"hex:{text}", max_bytes=DIGEST_BYTES)
    if len(digest) != DIGEST_BYTES:
        raise InvalidInputError(
            f"{option} holds {counted(len(digest), 'byte')} and takes {DIGEST_BYTES}, in hexadecimal"
        )
    return digest


def read_challenge(text: str) -> bytes:
    """A challenge from the command line.

    Raises:
        InvalidInputError: see `read_bytes`.
    """
    from zkinfer.jobs.sample import MAX_CHALLENGE_BYTES

    return read_bytes("--challenge", text, max_bytes=MAX_CHALLENGE_BYTES)


def required(inputs: list[Location] | None) -> list[Location]:
    """The files of items.

    Raises:
        InvalidInputError: there are none.
    """
    if not inputs:
        raise InvalidInputError("there are no inputs: --inputs FILE, again for each further file")
    return inputs


def missed_row(rate: float, probability: float) -> tuple[str, str]:
    """What a sample is worth: how likely wrong outputs go unnoticed."""
    return f"{100 * rate:.4g}% wrong", f"missed with probability {probability:.3g}"
