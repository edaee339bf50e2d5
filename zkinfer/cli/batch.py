"""The commands about batch jobs: run, resume, status, verify, item."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer
from rich.filesize import decimal

from zkinfer.cli.app import Context, Saturate, app, array_text, warn_test_only
from zkinfer.cli.arrays import read_bytes, read_context
from zkinfer.cli.console import ExitCode, facts, guarded, out
from zkinfer.errors import InvalidInputError, StatementError
from zkinfer.files.artifact import one_line
from zkinfer.progress import duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from zkinfer.jobs.runner import Outcome
    from zkinfer.jobs.state import Counts

INCOMPLETE = 5
STOPPED = 6
DEAD_LETTERS = 7

DIGEST_BYTES = 32

batch = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Prove any number of stored inferences, in jobs that survive any crash.",
    epilog="Exit codes: 0 complete; 1 to 4 as everywhere; 5 batches failed; 6 stopped by SIGTERM or Ctrl-C; "
    "7 complete, with dead letters, where --strict is given. After 4 to 6, and after any crash: zkinfer batch resume.",
)
app.add_typer(batch, name="batch")

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The job's folder.")]
Inputs = Annotated[
    list[Path] | None,
    typer.Option("--inputs", help="File of items: .npy, .npz, .parquet or .jsonl; again for each further one."),
]
CircuitFile = Annotated[
    Path | None,
    typer.Option(help="Circuit file, for the report: its float model is run on the same inputs, to compare."),
]
Report = Annotated[bool, typer.Option("--report/--no-report", help="Write report.html at the end.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 7 where there are dead letters.")]


class JobFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a JOB.toml holds; paths are relative to its folder, and options of the command line come first."""

    output: str
    keys: str | None = None
    inputs: str | list[str] | None = None
    context: str = ""
    saturate: bool = False
    private_inputs: bool = False
    private_outputs: bool = False
    batch_size: int | None = None
    executor: Literal["inline", "processes", "ray"] = "processes"
    workers: int = 1
    retries: int = 3
    backoff: float = 1.0
    circuit: str | None = None
    report: bool = True


def read_job(path: Path) -> JobFile:
    """A job from a TOML file, its paths made absolute; or an empty one that goes into a folder.

    Raises:
        InvalidInputError: there is no such file, or it is not TOML, or holds what no job has.
    """
    if path.suffix != ".toml":
        return JobFile(str(path))
    try:
        job = msgspec.toml.decode(path.read_bytes(), type=JobFile)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path}: not the description of a job: {error}") from None
    inputs = [job.inputs] if isinstance(job.inputs, str) else job.inputs or []
    return msgspec.structs.replace(
        job,
        output=str(path.parent / job.output),
        keys=None if job.keys is None else str(path.parent / job.keys),
        inputs=[str(path.parent / name) for name in inputs],
        circuit=None if job.circuit is None else str(path.parent / job.circuit),
    )


class Stop:
    """Becomes true at the first SIGTERM or Ctrl-C; at the second Ctrl-C the process is interrupted."""

    def __init__(self) -> None:
        self._asked = False
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, self._ask)

    def _ask(self, number: int, frame: object) -> None:
        if self._asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._asked = True

    def __call__(self) -> bool:
        """Was it asked for?"""
        return self._asked


@batch.command("run")
@guarded
def run_job(
    job: Annotated[
        Path, typer.Argument(metavar="JOB", help="JOB.toml, or the folder that the job goes into, with the options.")
    ],
    keys: Annotated[Path | None, typer.Option(help="Folder of the keys.")] = None,
    inputs: Inputs = None,
    context: Context = "",
    saturate: Saturate = False,
    private_inputs: Annotated[bool, typer.Option("--private-inputs", help="Hide the inputs.")] = False,
    private_outputs: Annotated[bool, typer.Option("--private-outputs", help="Hide the outputs.")] = False,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Items a proof; by default, as many as make an item cheap.")
    ] = None,
    executor: Annotated[
        Literal["inline", "processes", "ray"] | None, typer.Option(help="Who proves; processes by default.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Batches that are proven at once; 1 by default.")] = None,
    retries: Annotated[int | None, typer.Option(min=0, help="Further attempts at a batch; 3 by default.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Where the folder holds the job, go on with it.")] = False,
    circuit: CircuitFile = None,
    report: Report = True,
    strict: Strict = False,
) -> None:
    """Begin a job: prove all items of some files."""
    from zkinfer.jobs.api import run
    from zkinfer.jobs.job import STATE_FILE

    told = read_job(job)
    where = keys or told.keys
    files = inputs or told.inputs
    circuit = circuit or (None if told.circuit is None else Path(told.circuit))
    report = report and told.report
    if resume and (Path(told.output) / STATE_FILE).exists():
        resume_job(Path(told.output), keys, executor, workers, circuit, report, strict)
        return
    if where is None or not files:
        raise InvalidInputError("a job needs keys and inputs: --keys and --inputs, or keys and inputs in JOB.toml")
    _work(
        Path(told.output),
        lambda observer, stop: run(
            told.output,
            where,
            files if isinstance(files, list) else [files],
            context=read_context(context or told.context),
            saturate=saturate or told.saturate,
            private_inputs=private_inputs or told.private_inputs,
            private_outputs=private_outputs or told.private_outputs,
            batch_size=batch_size or told.batch_size,
            executor=executor or told.executor,
            workers=workers or told.workers,
            retries=told.retries if retries is None else retries,
            backoff=told.backoff,
            observer=observer,
            stopping=stop,
        ),
        circuit=circuit,
        report=report,
        strict=strict,
    )


@batch.command("resume")
@guarded
def resume_job(
    folder: Folder,
    keys: Annotated[Path | None, typer.Option(help="Folder of the keys, where it was moved.")] = None,
    executor: Annotated[
        Literal["inline", "processes", "ray"] | None, typer.Option(help="Who proves; as before by default.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Batches at once; as before by default.")] = None,
    circuit: CircuitFile = None,
    report: Report = True,
    strict: Strict = False,
) -> None:
    """Go on with a job, however it ended; what failed is tried again. Says so if it is complete."""
    from zkinfer.jobs.api import resume

    _work(
        folder,
        lambda observer, stop: resume(
            folder, keys, executor=executor, workers=workers, observer=observer, stopping=stop
        ),
        circuit=circuit,
        report=report,
        strict=strict,
    )


def _work(folder: Path, work: "Callable[..., Outcome]", *, circuit: Path | None, report: bool, strict: bool) -> None:
    """Run a job with its progress shown, say and write what came of it, and end with its exit code."""
    from zkinfer.cli.batch_progress import shown
    from zkinfer.jobs.job import manifest_file
    from zkinfer.jobs.manifest import Manifest
    from zkinfer.jobs.receipt import receipt_of
    from zkinfer.jobs.report import REPORT_FILE

    with shown() as observer:
        outcome = work(observer, Stop())
    counts, progress = outcome.progress.counts, outcome.progress
    title = "Complete" if outcome.complete else "Stopped: go on with zkinfer batch resume" if outcome.stopped else ""
    rows = [
        *_rows(folder, counts),
        ("this run", _rate(progress.items, progress.seconds)),
        ("memory", f"{decimal(progress.memory)} at most in a process that proves" if progress.memory else "no proof"),
    ]
    if outcome.complete:
        rows.append(("receipt", receipt_of(Manifest.load(manifest_file(folder))).hex()))
    if report and not outcome.stopped and (progress.items or circuit or not (folder / REPORT_FILE).exists()):
        rows.append(("report", _report(folder, circuit)))
    out.print(facts(title or "Incomplete: batches failed; zkinfer batch resume tries them again", rows))
    if outcome.complete:
        code = DEAD_LETTERS if strict and counts.dead else ExitCode.OK
    else:
        code = STOPPED if outcome.stopped else INCOMPLETE
    if code:
        raise typer.Exit(code)


def _report(folder: Path, circuit: Path | None) -> str:
    """Write the report; returns its file, or why there is none, for which no job fails."""
    from zkinfer.cli.batch_report import write

    try:
        return str(write(folder, circuit))
    except Exception as error:
        return f"none: {one_line(error)}"


def _rate(items: int, seconds: float) -> str:
    rate = f", {items / seconds:.3g} a second" if items and seconds else ""
    return f"{items} items in {duration(seconds)}{rate}"


def _rows(folder: Path, counts: "Counts") -> list[tuple[str, str]]:
    share = counts.done / counts.items
    proofs = "none"
    if counts.batches_done:
        size, mean = decimal(counts.proof_bytes), duration(counts.prove_seconds / counts.batches_done)
        proofs = f"{counts.batches_done} batches, {size} together, {mean} each"
    return [
        ("folder", str(folder)),
        ("items", f"{counts.done} of {counts.items} done ({share:.1%})"),
        ("dead letters", str(counts.dead)),
        ("failed", f"{counts.failed} items in {counts.batches_failed} batches"),
        ("proofs", proofs),
        ("repeated", f"{counts.retries} attempts beyond the first"),
    ]


@batch.command("status")
@guarded
def job_status(folder: Folder) -> None:
    """Say where a job stands, from any terminal."""
    from zkinfer.jobs.api import status

    found = status(folder)
    state = "complete" if found.complete else "running" if found.running else "not running: zkinfer batch resume"
    rows = [*_rows(folder, found.counts), ("being proven", f"{found.counts.batches_leased} batches")]
    out.print(facts(f"Job: {state}", rows))


@batch.command("item")
@guarded
def hand_out(
    folder: Folder,
    number: Annotated[int, typer.Argument(min=0, metavar="ITEM", help="Number of the item, from 0.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to make, for whoever asks about the item.")],
    keys: Annotated[Path | None, typer.Option(help="Folder of the keys, where it was moved.")] = None,
) -> None:
    """Write what shows one item: its path to the receipt, its proof, and the inputs of its batch."""
    from zkinfer.files.key_folder import COMMITMENT_FILE
    from zkinfer.jobs.api import status
    from zkinfer.jobs.item_bundle import write_item_folder

    job = status(folder).job
    found = write_item_folder(folder, number, output, (keys or Path(job.keys)) / COMMITMENT_FILE)
    rows = [("item", f"{number} of {found.header.items}"), ("receipt", found.receipt().hex())]
    if found.item.dead:
        rows.append(("dead letter", found.item.reason))
    elif not found.header.private_inputs:
        rows.append(("shows", "the inputs of all items in the same proof, too"))
    out.print(facts(f"Wrote {output}", rows))


@batch.command("verify")
@guarded
def verify_folder(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Of the job; with --item, of that item.")],
    commitment: Annotated[Path, typer.Argument(help="The model owner's commitment (.zkc).")],
    inputs: Inputs = None,
    context: Context = "",
    saturate: Saturate = False,
    receipt: Annotated[
        str | None, typer.Option(help="The receipt that was published, hexadecimal; else it is only printed.")
    ] = None,
    item: Annotated[
        int | None, typer.Option(min=0, help="Check this item alone, in a folder made by zkinfer batch item.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that check.")] = 1,
) -> None:
    """Check a whole job, or one item, with your own inputs. Exits with 0 if all is valid, 1 if anything is refused."""
    if item is not None:
        if receipt is None:
            raise InvalidInputError("an item is checked against the receipt that was published: --receipt")
        _verify_item(folder, item, receipt, commitment, inputs, context, saturate=saturate)
        return
    from zkinfer.jobs.challenge import COMMITMENT_FILE, SAMPLED_FILE
    from zkinfer.jobs.verification import verify_job

    if any((folder / name).exists() for name in (COMMITMENT_FILE, SAMPLED_FILE)):
        raise StatementError(f"{folder} holds a sampled job, not a proof of all items; see zkinfer batch verify-sample")
    verified = verify_job(
        folder,
        commitment,
        inputs,
        receipt=None if receipt is None else read_digest("--receipt", receipt),
        context=read_context(context),
        saturate=saturate,
        workers=workers,
    )
    rows = [
        ("model", f"{verified.fingerprint}  (compare it with the fingerprint that the owner published)"),
        ("receipt", verified.receipt.hex()),
        ("items", f"{verified.proven} proven in {verified.proofs} proofs, {verified.dead} dead letters"),
        ("security", f"about {verified.security_bits:.0f} bits a proof"),
        ("checked in", duration(verified.seconds)),
    ]
    out.print(facts("VALID: this model gives these outputs for these items", rows))
    if verified.test_only:
        warn_test_only()


def _verify_item(
    folder: Path,
    item: int,
    receipt: str,
    commitment: Path,
    inputs: list[Path] | None,
    context: str,
    *,
    saturate: bool,
) -> None:
    from zkinfer.jobs.item_bundle import verify_item_folder

    if len(inputs or ()) > 1:
        raise InvalidInputError("the input of one item comes in one file: a single --inputs")
    verified = verify_item_folder(
        folder,
        item,
        read_digest("--receipt", receipt),
        commitment,
        inputs[0] if inputs else None,
        context=read_context(context),
        saturate=saturate,
    )
    rows = [
        ("model", f"{verified.fingerprint}  (compare it with the fingerprint that the owner published)"),
        ("receipt", receipt),
        ("item", f"{verified.index}, of a job of {verified.items}"),
        *(("output", array_text(array)) for array in verified.outputs),
        ("security", f"about {verified.security_bits:.0f} bits"),
        ("checked in", duration(verified.seconds)),
    ]
    out.print(facts("VALID: this model gives this output for this item", rows))
    if verified.test_only:
        warn_test_only()


def read_digest(option: str, text: str) -> bytes:
    """32 bytes in hexadecimal from the command line.

    Raises:
        InvalidInputError: they are not.
    """
    digest = read_bytes(option, f"hex:{text}", max_bytes=DIGEST_BYTES)
    if len(digest) != DIGEST_BYTES:
        raise InvalidInputError(f"{option} holds {len(digest)} bytes and takes {DIGEST_BYTES}, in hexadecimal")
    return digest


def required(inputs: list[Path] | None) -> list[Path]:
    """The files of items.

    Raises:
        InvalidInputError: there are none.
    """
    if not inputs:
        raise InvalidInputError("there are no inputs: --inputs FILE, again for each further file")
    return inputs
