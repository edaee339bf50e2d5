"""The commands of the operator of a batch job: run, resume, status, and the two steps of a sampled job."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.filesize import decimal

from zkinfer.cli import batch_options as option
from zkinfer.cli import results
from zkinfer.cli.app import Context, Saturate, app
from zkinfer.cli.arrays import read_context
from zkinfer.cli.batch_options import batch, missed_row, read_challenge, required
from zkinfer.cli.console import facts, guarded, out
from zkinfer.cli.results import ExitCode
from zkinfer.errors import ArtifactError, InvalidInputError
from zkinfer.files.artifact import one_line
from zkinfer.files.location import Location
from zkinfer.files.reading import read_bounded
from zkinfer.jobs.job import DEAD_LETTERS_FILE, ExecutorName
from zkinfer.progress import duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from zkinfer.jobs.manifest import Manifest
    from zkinfer.jobs.runner import Outcome
    from zkinfer.jobs.state import JobCounts

MAX_JOB_FILE_BYTES = 1 << 20

UNPICKED = "not picked"

INCOMPLETE = "Incomplete: batches failed; zkinfer batch resume tries them again"

app.add_typer(batch, name="batch")


class JobFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a JOB.toml holds; paths are relative to its folder, files may be URLs, and the command line comes first."""

    output: str
    keys: str | None = None
    inputs: str | list[str] | None = None
    context: str = ""
    saturate: bool = False
    private_inputs: bool = False
    private_outputs: bool = False
    batch_size: int | None = None
    executor: ExecutorName = "processes"
    workers: int = 1
    retries: int = 3
    backoff: float = 1.0
    circuit: str | None = None
    report: bool = True

    def options(self) -> dict[str, Any]:
        """How the job is done, as `jobs.run` takes it."""
        own = ("output", "keys", "inputs", "circuit", "report")
        found = {name: value for name, value in msgspec.structs.asdict(self).items() if name not in own}
        return {**found, "context": read_context(self.context)}


def read_job(path: Path, given: dict[str, Any]) -> JobFile:
    """A job from a TOML file, its paths made absolute; or an empty one that is put into a folder.

    Args:
        given: fields that the command line sets; None where it does not.

    Raises:
        InvalidInputError: there is no such file, or it is not TOML, or holds what no job has.
    """
    changes = {name: value for name, value in given.items() if value is not None}
    if path.suffix != ".toml":
        return msgspec.structs.replace(JobFile(str(path)), **changes)
    try:
        job = msgspec.toml.decode(read_bounded(path, max_bytes=MAX_JOB_FILE_BYTES), type=JobFile)
    except (ArtifactError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"{path}: not the description of a job: {error}") from None
    inputs = [job.inputs] if isinstance(job.inputs, str) else job.inputs or []
    placed = {
        "output": str(path.parent / job.output),
        "keys": None if job.keys is None else str(path.parent / job.keys),
        "inputs": [_beside(path, name) for name in inputs],
        "circuit": None if job.circuit is None else _beside(path, job.circuit),
    }
    return msgspec.structs.replace(job, **{**placed, **changes})


def _beside(path: Path, name: str) -> str:
    """A file that a JOB.toml names: a URL, or a path relative to its folder."""
    named = Location(name)
    return str(named if named.path is None else path.parent / named.path)


class Stop:
    """Becomes true at the first SIGTERM or Ctrl-C; at the second Ctrl-C the process is interrupted.

    A context: when it ends, the process takes these signals as it did before.
    """

    def __init__(self) -> None:
        self._asked = False

    def __enter__(self) -> "Stop":
        self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: object) -> None:
        if self._asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._asked = True

    def __call__(self) -> bool:
        """Whether the process was asked to stop."""
        return self._asked


@batch.command("run")
@guarded
def run_job(
    job: Annotated[
        Path, typer.Argument(metavar="JOB", help="JOB.toml; or a folder for the job, with --keys and --inputs.")
    ],
    keys: Annotated[Path | None, typer.Option(help="Folder of the keys.")] = None,
    inputs: option.Inputs = None,
    context: Context = "",
    saturate: Saturate = False,
    private_inputs: Annotated[bool, typer.Option("--private-inputs", help="Hide the inputs.")] = False,
    private_outputs: Annotated[bool, typer.Option("--private-outputs", help="Hide the outputs.")] = False,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Items in one proof. Default: found by trying, so that an item is cheap.")
    ] = None,
    executor: option.Executor = None,
    workers: option.Workers = None,
    retries: Annotated[
        int | None, typer.Option(min=0, help="Further attempts at a failed batch; 3 by default.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="If the folder already holds a job, continue it.")] = False,
    circuit: option.Circuit = None,
    report: option.Report = None,
    allow_dead_letters: option.AllowDeadLetters = False,
) -> results.JobStanding | results.SampleCommitted:
    """Begin a job: prove all items of some files."""
    from zkinfer.jobs.api import run
    from zkinfer.jobs.job import STATE_FILE

    given = {
        "keys": keys,
        "inputs": inputs or None,
        "context": context or None,
        "saturate": saturate or None,
        "private_inputs": private_inputs or None,
        "private_outputs": private_outputs or None,
        "batch_size": batch_size,
        "executor": executor,
        "workers": workers,
        "retries": retries,
        "circuit": circuit,
        "report": report,
    }
    found = read_job(job, given)
    folder, circuit = Path(found.output), None if found.circuit is None else Location(found.circuit)
    if resume and (folder / STATE_FILE).exists():
        return _resume(
            folder, keys, executor, workers, circuit=circuit, report=found.report, allow_dead_letters=allow_dead_letters
        )
    if found.keys is None or not found.inputs:
        raise InvalidInputError("a job needs keys and inputs: --keys and --inputs, or keys and inputs in JOB.toml")
    where, files = found.keys, found.inputs
    return _work(
        folder,
        lambda observer, stop: run(folder, where, files, **found.options(), observer=observer, stopping=stop),
        circuit=circuit,
        report=found.report,
        allow_dead_letters=allow_dead_letters,
    )


@batch.command("resume")
@guarded
def resume_job(
    folder: option.Folder,
    keys: option.Keys = None,
    executor: option.Executor = None,
    workers: option.Workers = None,
    circuit: option.Circuit = None,
    report: option.Report = None,
    allow_dead_letters: option.AllowDeadLetters = False,
) -> results.JobStanding | results.SampleCommitted:
    """Continue a job, however it ended. Batches that failed are tried again."""
    return _resume(
        folder, keys, executor, workers, circuit=circuit, report=report, allow_dead_letters=allow_dead_letters
    )


@batch.command("commit-sample")
@guarded
def commit_sample(
    folder: option.Folder,
    keys: Annotated[Path, typer.Option(help="Folder of the keys.")],
    batch_size: Annotated[int, typer.Option(min=1, help="Items in one proof. Smaller batches show more.")],
    inputs: option.Inputs = None,
    rate: Annotated[float, typer.Option(help="Rate of wrong outputs that must not go unnoticed.")] = 0.01,
    confidence: Annotated[float, typer.Option(help="Probability with which such a rate is noticed.")] = 0.99,
    context: Context = "",
    saturate: Saturate = False,
) -> results.SampleCommitted:
    """Execute all items and commit to them, to prove only a sample later. It is not a proof of all items."""
    from zkinfer.jobs.sampled import commit_sample

    committed = commit_sample(
        folder,
        keys,
        required(inputs),
        batch_size=batch_size,
        rate=rate,
        confidence=confidence,
        context=read_context(context),
        saturate=saturate,
    )
    return _show_commitment(folder, committed, rate)


@batch.command("prove-sample")
@guarded
def prove_sample(
    folder: option.Folder,
    challenge: option.Challenge,
    keys: option.Keys = None,
    inputs: option.Inputs = None,
    rate: Annotated[
        float | None,
        typer.Option(help="Rate of wrong outputs that the manifest is about. Default: as committed."),
    ] = None,
    executor: option.Executor = None,
    workers: option.Workers = None,
    circuit: option.Circuit = None,
    report: option.Report = None,
    allow_dead_letters: option.AllowDeadLetters = False,
) -> results.JobStanding | results.SampleCommitted:
    """Prove the batches that a challenge picks. If it is killed, call it again, or zkinfer batch resume."""
    options = {"challenge": read_challenge(challenge), "rate": rate, "inputs": inputs or None}
    return _resume(
        folder,
        keys,
        executor,
        workers,
        circuit=circuit,
        report=report,
        allow_dead_letters=allow_dead_letters,
        **options,
    )


def _resume(
    folder: Path,
    keys: Path | None,
    executor: Any,
    workers: int | None,
    *,
    circuit: Location | None,
    report: bool | None,
    allow_dead_letters: bool,
    **sample: Any,
) -> results.JobStanding | results.SampleCommitted:
    from zkinfer.jobs.api import resume

    options = {**sample, "executor": executor, "workers": workers}
    return _work(
        folder,
        lambda observer, stop: resume(folder, keys, **options, observer=observer, stopping=stop),
        circuit=circuit,
        report=report is not False,
        allow_dead_letters=allow_dead_letters,
    )


def _work(
    folder: Path,
    work: "Callable[..., Outcome]",
    *,
    circuit: Location | None,
    report: bool,
    allow_dead_letters: bool,
) -> results.JobStanding | results.SampleCommitted:
    """Run a job with its progress shown, say and write what came of it, and end with its exit code."""
    from zkinfer.cli.batch_progress import shown_progress
    from zkinfer.jobs.job import manifest_file
    from zkinfer.jobs.manifest import Manifest
    from zkinfer.jobs.report import REPORT_FILE

    with shown_progress() as observer, Stop() as stop:
        outcome = work(observer, stop)
    if outcome.committed is not None:
        return _show_commitment(folder, outcome.committed, None)
    counts, progress = outcome.progress.counts, outcome.progress
    items, seconds = progress.items, progress.seconds
    rate = f", {items / seconds:.3g} a second" if items and seconds else ""
    rows = [
        *_rows(folder, counts),
        ("this run", f"{items:,} items in {duration(seconds)}{rate}"),
        ("memory", f"{decimal(progress.memory)} at most in a process that proves" if progress.memory else "no proof"),
    ]
    state, code = ("stopped", ExitCode.STOPPED) if outcome.stopped else ("incomplete", ExitCode.INCOMPLETE)
    title = "Stopped: go on with zkinfer batch resume" if outcome.stopped else INCOMPLETE
    manifest = Manifest.load(manifest_file(folder)) if outcome.complete else None
    if manifest is not None:
        state, code = "complete", ExitCode.DEAD_LETTERS if counts.dead and not allow_dead_letters else ExitCode.OK
        title = "Complete" if manifest.sample is None else "Sample proven, the other items are not"
        title = f"{title}: {proven_text(counts)}"
        rows += _receipt_rows(manifest)
    written = None
    if report and not outcome.stopped and (progress.items or circuit or not (folder / REPORT_FILE).exists()):
        written, said = _report(folder, circuit)
        rows.append(("report", said))
    out.print(facts(title, rows))
    return _job(folder, state, counts, manifest, code, written)


def proven_text(counts: "JobCounts", unpicked: str = UNPICKED) -> str:
    """How many items are proven, and how many are not and why: "827 proven, 1 not: 1 dead letter"."""
    others = {
        "dead letter" if counts.dead == 1 else "dead letters": counts.dead,
        "failed": counts.failed,
        unpicked: counts.executed - counts.executed_dead,
        "to be proven": counts.items - counts.done - counts.failed,
    }
    reasons = [f"{number:,} {name}" for name, number in others.items() if number]
    missing = sum(others.values())
    return f"{counts.proven:,} proven, {missing:,} not" + (f": {', '.join(reasons)}" if missing else "")


def _job(
    folder: Path,
    state: str,
    counts: "JobCounts",
    manifest: "Manifest | None",
    code: ExitCode = ExitCode.OK,
    report: str | None = None,
) -> results.JobStanding:
    """Where a job stands, as data."""
    from zkinfer.jobs.receipt import receipt_of

    return results.JobStanding(
        exit_code=code,
        folder=str(folder),
        state=state,
        items=counts.items + counts.executed,
        proven=counts.proven,
        dead=counts.dead,
        failed=counts.failed,
        executed=counts.executed,
        proofs=counts.batches_done,
        proof_bytes=counts.proof_bytes,
        receipt=None if manifest is None or not _is_proven(manifest) else receipt_of(manifest).hex(),
        digest=_digest(folder),
        report=report,
    )


def _digest(folder: Path) -> str | None:
    """What a sampled job publishes before its challenge, in hexadecimal; None of another job, or before it commits."""
    from zkinfer.jobs.job import SAMPLE_COMMITMENT_FILE
    from zkinfer.jobs.manifest import Manifest

    committed = folder / SAMPLE_COMMITMENT_FILE
    return Manifest.load(committed).digest.hex() if committed.exists() else None


def _is_proven(manifest: "Manifest") -> bool:
    """Whether the manifest is that of a job whose proofs are made, and not of a commitment before its challenge."""
    return manifest.sample is None or bool(manifest.sample.challenge)


def _receipt_rows(manifest: "Manifest") -> list[tuple[str, str]]:
    """The receipt of a complete job; of a sampled one also what it is worth."""
    from zkinfer.jobs.receipt import receipt_of

    rows = [("receipt", receipt_of(manifest).hex())]
    if (sample := manifest.sample) is not None:
        rows += [
            ("digest", manifest.digest.hex()),
            ("challenge", sample.challenge.hex()),
            ("proven", f"{manifest.proven:,} of {manifest.items:,} items, in {len(sample.openings):,} proofs"),
            missed_row(sample.rate, sample.miss_probability),
        ]
    return rows


def _show_commitment(folder: Path, committed: "Manifest", rate: float | None) -> results.SampleCommitted:
    """What a sampled job committed to, and what it would be worth if that rate of the outputs were wrong."""
    from zkinfer.jobs.sample import job_miss_probability

    assert committed.sample is not None
    dead = len(committed.dead_letters)
    rows = [
        ("digest", committed.digest.hex()),
        (
            "items",
            f"{committed.items:,} in {len(committed.batches):,} batches, {dead:,} dead letter{'s' * (dead != 1)}",
        ),
        ("to be proven", f"{committed.sample.size:,} batches, which the challenge picks"),
        *([] if rate is None else [missed_row(rate, job_miss_probability(committed, rate))]),
        ("next", "publish the digest, have a challenge drawn, then: zkinfer batch prove-sample"),
    ]
    out.print(facts("Committed: nothing is proven yet", rows))
    return results.SampleCommitted(
        folder=str(folder),
        digest=committed.digest.hex(),
        items=committed.items,
        batches=len(committed.batches),
        picked=committed.sample.size,
        dead=dead,
    )


def _report(folder: Path, circuit: Location | None) -> tuple[str | None, str]:
    """Write the report; returns its file, and that or why there is none in words; no job fails for it."""
    from zkinfer.cli.batch_report import write

    try:
        written = str(write(folder, circuit))
    except Exception as error:
        return None, f"none: {one_line(error)}"
    return written, written


def _rows(folder: Path, counts: "JobCounts", unpicked: str = UNPICKED) -> list[tuple[str, str]]:
    proofs = "none"
    if counts.batches_done:
        size, mean = decimal(counts.proof_bytes), duration(counts.prove_seconds / counts.batches_done)
        number = "1 batch" if counts.batches_done == 1 else f"{counts.batches_done:,} batches"
        proofs = f"{number}, {size} together, {mean} each"
    executed = f"{counts.executed:,} items, executed and committed to"
    done = (
        f"{counts.done:,} of {counts.items:,} done ({counts.share:.1%}){', dead letters included' * bool(counts.dead)}"
    )
    return [
        ("folder", str(folder)),
        *([("items", done)] if counts.items else []),
        *([(unpicked, executed)] if counts.executed else []),
        ("dead letters", f"{counts.dead:,}, which no proof covers: see {DEAD_LETTERS_FILE}" if counts.dead else "none"),
        ("failed", f"{counts.failed:,} items in {counts.batches_failed:,} batches" if counts.failed else "none"),
        ("proofs", proofs),
        ("repeated", f"{counts.retries:,} attempts beyond the first"),
    ]


@batch.command("status")
@guarded
def job_status(folder: option.Folder) -> results.JobStanding:
    """Print how far a job is, from any terminal."""
    from zkinfer.jobs.api import status
    from zkinfer.jobs.job import manifest_file
    from zkinfer.jobs.manifest import Manifest

    found = status(folder)
    manifest = Manifest.load(manifest_file(folder)) if found.complete else None
    state, title = "stopped", "not running: zkinfer batch resume"
    if found.complete:
        state = title = "complete"
    elif found.running:
        state = title = "running"
    elif found.awaits_challenge:
        state, title = "committed", "committed, and waiting for a challenge: zkinfer batch prove-sample"
    elif found.counts.failed and found.counts.done + found.counts.failed == found.counts.items:
        state = "incomplete"
    unpicked = "not yet picked" if found.awaits_challenge else UNPICKED
    rows = [*_rows(folder, found.counts, unpicked), ("being proven", f"{found.counts.batches_leased:,} batches")]
    if manifest is not None:
        rows += _receipt_rows(manifest)
    elif digest := _digest(folder):
        rows.append(("digest", digest))
    out.print(facts(f"Job: {title}; {proven_text(found.counts, unpicked)}", rows))
    return _job(folder, state, found.counts, manifest)
