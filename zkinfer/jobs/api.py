"""The verbs of batch jobs: run, resume, status."""

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from zkinfer.circuit.samples import batch_of
from zkinfer.errors import InvalidInputError, WrongKeyError
from zkinfer.jobs.challenge import COMMITMENT_FILE
from zkinfer.jobs.executors import BatchExecutor, InlineExecutor, ProcessExecutor
from zkinfer.jobs.inputs import Inputs, PathLike, paths_of
from zkinfer.jobs.items import ItemShapes
from zkinfer.jobs.job import (
    STATE_FILE,
    WORKERS_LOG,
    ExecutorName,
    InputFile,
    Job,
    Options,
    check_options,
    manifest_file,
    proofs_folder,
)
from zkinfer.jobs.lock import is_worked_on, working_on
from zkinfer.jobs.runner import Observer, Outcome, Progress, Runner
from zkinfer.jobs.state import JobCounts, State

if TYPE_CHECKING:
    from zkinfer.backend import Keys


def _ignore_progress(progress: Progress) -> None:
    """The observer of those who do not ask for one."""


def _never() -> bool:
    return False


def run(
    folder: PathLike,
    keys: "Keys | PathLike",
    inputs: PathLike | Sequence[PathLike],
    *,
    context: bytes = b"",
    saturate: bool = False,
    private_inputs: bool = False,
    private_outputs: bool = False,
    batch_size: int | None = None,
    executor: ExecutorName | None = None,
    workers: int = 1,
    retries: int = 3,
    backoff: float = 1.0,
    observer: Observer = _ignore_progress,
    stopping: Callable[[], bool] = _never,
) -> Outcome:
    """Begin a job: prove all items of some files, and write proofs, outputs and a manifest into a folder.

    Args:
        folder: of the job, which has none yet; made if need be.
        keys: proving keys, or their folder.
        inputs: a file of items or several, one after another: `.npy`, `.npz`, `.parquet` or `.jsonl`.
        context: bytes that every proof is bound to.
        saturate: values beyond the calibrated range become the nearest bound. The verifier has to ask for the same.
            Otherwise such items are dead letters.
        private_inputs, private_outputs: hide them.
        batch_size: items a proof; by default as many as make an item cheap, see `sizing`.
        executor: "inline" proves in this process, "processes" in others on this machine, "ray" on a Ray cluster; by
            default inline for one worker, and processes for more.
        workers: how many batches are proven at once.
        retries: how often a batch is tried again after a failure that may pass.
        backoff: seconds before the first of them, doubled for each further one.
        observer: called with a `Progress` for everything that happens, inline from a thread beside the one that proves.
        stopping: asked now and then, likewise; once it gives True, the batches that are being proven are finished,
            nothing else is begun, and the job can be resumed.

    Raises:
        InvalidInputError: there is a job in the folder, or an argument or a file is not what is asked for.
        BudgetError: the keys cannot make as many proofs as the job needs.
        ResourceError: the disk is full, or workers cannot be started; the job can be resumed.
        MissingDependencyError: an optional package is not installed.
    """
    target, loaded = Path(folder), load_keys(keys)
    options = Options(
        context=context,
        saturate=saturate,
        private_inputs=private_inputs,
        private_outputs=private_outputs,
        batch_size=batch_size,
        executor=executor or ("inline" if workers == 1 else "processes"),
        workers=workers,
        retries=retries,
        backoff=backoff,
    )
    check_options(options, loaded.backend, batch_of(loaded.program))
    paths = paths_of(inputs)
    files = tuple(InputFile.of(path) for path in paths)
    with closing(Inputs(paths, ItemShapes(loaded.program))) as opened:
        items = opened.length
    proofs_folder(target).mkdir(parents=True, exist_ok=True)
    with working_on(target):
        if (target / STATE_FILE).exists():
            raise InvalidInputError(f"{target} holds a job already: resume it, or choose another folder")
        if (target / COMMITMENT_FILE).exists():
            raise InvalidInputError(f"{target} holds a sampled job: choose another folder")
        job = Job(
            keys=str(loaded.folder),
            commitment=loaded.commitment.digest,
            program=loaded.commitment.program_digest,
            circuit_batch=batch_of(loaded.program),
            inputs=files,
            items=items,
            options=options,
        )
        State.create(target, job)
        return _work(target, loaded, options.executor, workers, observer, stopping)


def resume(
    folder: PathLike,
    keys: "Keys | PathLike | None" = None,
    *,
    executor: ExecutorName | None = None,
    workers: int | None = None,
    observer: Observer = _ignore_progress,
    stopping: Callable[[], bool] = _never,
) -> Outcome:
    """Go on with a job that ended before it was complete, however it ended; what failed is tried again.

    Args:
        folder: of the job.
        keys: the job's proving keys, or their folder; where they were when the job began, by default.
        executor, workers: as in `run`; by default as before.
        observer, stopping: as in `run`.

    Raises:
        InvalidInputError: there is no job, or its inputs changed since it began.
        WrongKeyError: the keys are others than those of the job.
        BudgetError, ResourceError, MissingDependencyError: as in `run`.
    """
    target = Path(folder)
    with closing(State(target)) as state:
        job = state.job
    loaded = load_keys(job.keys if keys is None else keys)
    if loaded.commitment.digest != job.commitment:
        raise WrongKeyError(f"the job in {target} was begun with other keys than those in {loaded.folder}")
    chosen = executor or ("processes" if job.options.executor == "inline" and workers else job.options.executor)
    with working_on(target):
        return _work(target, loaded, chosen, workers or job.options.workers, observer, stopping)


@dataclass(frozen=True)
class Status:
    """What can be said of a job from outside.

    Attributes:
        job: what it is.
        counts: where it stands.
        running: a process works on it.
        complete: its manifest is written.
    """

    job: Job
    counts: JobCounts
    running: bool
    complete: bool


def status(folder: PathLike) -> Status:
    """Where a job stands, whoever works on it.

    Raises:
        InvalidInputError: there is no job.
    """
    target = Path(folder)
    with closing(State(target)) as state:
        return Status(state.job, state.counts(), is_worked_on(target), manifest_file(target).exists())


def load_keys(keys: "Keys | PathLike") -> "Keys":
    """The keys, from their folder if need be."""
    from zkinfer.backend import Keys

    return Keys.load(keys) if isinstance(keys, (str, os.PathLike)) else keys


def _work(
    folder: Path,
    keys: "Keys",
    executor: ExecutorName,
    workers: int,
    observer: Observer,
    stopping: Callable[[], bool],
) -> Outcome:
    def work(chosen: BatchExecutor) -> Outcome:
        with closing(State(folder)) as state:
            return Runner(folder, state, keys, chosen, observer, stopping).run()

    if executor == "inline":
        inline = InlineExecutor(keys)
        return inline.serve(lambda: work(inline))
    with closing(_others(folder, keys, executor, workers)) as others:
        return work(others)


def _others(folder: Path, keys: "Keys", name: Literal["processes", "ray"], workers: int) -> BatchExecutor:
    if name == "processes":
        return ProcessExecutor(keys.folder, workers, folder / WORKERS_LOG)
    from zkinfer.jobs.cluster import RayExecutor

    return RayExecutor(keys, workers)
