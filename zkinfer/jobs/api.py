"""What can be done with a job: run, resume, status."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from zkinfer.arguments import as_path
from zkinfer.audits.sampling import check_rate
from zkinfer.circuit.samples import batch_of
from zkinfer.counts import counted
from zkinfer.errors import InvalidInputError, WrongKeyError
from zkinfer.files.artifact import writing
from zkinfer.jobs.executors import BatchExecutor, InlineExecutor, ProcessExecutor
from zkinfer.jobs.finalize import executed_job
from zkinfer.jobs.inputs import Inputs, PathLike, paths_of
from zkinfer.jobs.items import ItemShapes
from zkinfer.jobs.job import (
    STATE_FILE,
    WORKERS_LOG,
    ExecutorName,
    InputFile,
    Job,
    Options,
    SamplePolicy,
    check_options,
    describe_missing,
    holds_earlier_sample,
    manifest_file,
    proofs_folder,
)
from zkinfer.jobs.lock import is_worked_on, working_on
from zkinfer.jobs.runner import Observer, Outcome, Progress, Runner
from zkinfer.jobs.sample import picked
from zkinfer.jobs.state import JobCounts, State

if TYPE_CHECKING:
    from zkinfer.backend import Keys
    from zkinfer.native.keys import NativeKeys


def _ignore_progress(progress: Progress) -> None:
    """The observer where the caller gives none."""


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
    sample: SamplePolicy | None = None,
    observer: Observer = _ignore_progress,
    stopping: Callable[[], bool] = _never,
) -> Outcome:
    """Begin a job: prove all items of some files, and write proofs, outputs and a manifest into a folder.

    Under the policy of a sample nothing is proven yet: all items are executed, in this process, and committed to, and
    the job waits for the challenge that is handed to `resume`.

    Args:
        folder: of the job, which has none yet; made if need be.
        keys: proving keys, or their folder.
        inputs: a file of items or several, one after another: `.npy`, `.npz`, `.parquet` or `.jsonl`; paths or URLs.
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
        sample: prove only a sample of the batches; None proves all.
        observer: called with a `Progress` for everything that happens, inline from a thread beside the one that proves.
        stopping: asked now and then, likewise; once it gives True, the batches that are being proven are finished,
            nothing else is begun, and the job can be resumed.

    Raises:
        InvalidInputError: there is a job in the folder, or an argument or a file is not what is asked for.
        BudgetError: the keys cannot make as many proofs as the job needs.
        ResourceError: the disk is full, or workers cannot be started; the job can be resumed.
        MissingDependencyError: an optional package is not installed.
    """
    target, loaded = as_path("folder", folder), load_keys(keys)
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
        sample=sample,
    )
    check_options(options, loaded.backend, batch_of(loaded.program))
    paths = paths_of(inputs)
    files = tuple(InputFile.of(path) for path in paths)
    with closing(Inputs(paths, ItemShapes(loaded.program))) as opened:
        items = opened.length
    with writing(target):
        proofs_folder(target).mkdir(parents=True, exist_ok=True)
    with working_on(target):
        if (target / STATE_FILE).exists():
            raise InvalidInputError(
                f"{target} holds a job already: go on with zkinfer batch resume, or choose another folder"
            )
        if holds_earlier_sample(target):
            raise InvalidInputError(describe_missing(target))
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
    inputs: PathLike | Sequence[PathLike] | None = None,
    challenge: bytes | None = None,
    rate: float | None = None,
    executor: ExecutorName | None = None,
    workers: int | None = None,
    observer: Observer = _ignore_progress,
    stopping: Callable[[], bool] = _never,
) -> Outcome:
    """Go on with a job that ended before it was complete, however it ended; what failed is tried again.

    Args:
        folder: of the job.
        keys: the job's proving keys, or their folder; where they were when the job began, by default.
        inputs: of a sampled job that has committed to them, where they lie now; where they were, by default.
        challenge: picks the batches of a sampled job. It must be drawn after the digest of the commitment was
            published, and not by the operator. Further ones may follow; the last one counts.
        rate: of wrong outputs, for which the manifest of a sampled job states the probability that none is in the
            sample; by default the one that the sample was made large enough for.
        executor, workers: as in `run`; by default as before.
        observer, stopping: as in `run`.

    Raises:
        InvalidInputError: there is no job, its inputs changed since it began, or there is a challenge for a job that
            has none, has not committed to its outputs yet, or refuses this one.
        WrongKeyError: the keys are others than those of the job.
        BudgetError, ResourceError, MissingDependencyError: as in `run`.
    """
    target = as_path("folder", folder)
    with closing(State(target)) as state:
        job = state.job
    loaded = load_keys(job.keys if keys is None else keys)
    if loaded.commitment.digest != job.commitment:
        raise WrongKeyError(f"the job in {target} was begun with other keys than those in {loaded.folder}")
    chosen = executor or ("processes" if job.options.executor == "inline" and workers else job.options.executor)
    with working_on(target):
        if inputs is not None or challenge is not None or rate is not None:
            with closing(State(target)) as state:
                _choose_sample(target, state, loaded, inputs, challenge, rate)
        return _work(target, loaded, chosen, workers or job.options.workers, observer, stopping)


def _choose_sample(
    folder: Path,
    state: State,
    keys: "Keys",
    inputs: PathLike | Sequence[PathLike] | None,
    challenge: bytes | None,
    rate: float | None,
) -> None:
    """Let a challenge pick the batches of a sampled job. Its lock is held.

    Raises:
        InvalidInputError: see `resume`.
    """
    policy, sample = state.job.options.sample, state.sample
    if policy is None or sample is None:
        raise InvalidInputError(
            "inputs, challenge and rate are for sampled jobs that have committed to their outputs: this job has not"
        )
    if inputs is not None:
        paths = paths_of(inputs)
        files = tuple(InputFile.of(path) for path in paths)
        with closing(Inputs(paths, ItemShapes(keys.program))) as opened:
            if opened.length != state.job.items:
                raise InvalidInputError(
                    f"there are {opened.length:,} inputs; the job has {counted(state.job.items, 'item')}"
                )
        state.relocate(files)
    if rate is None:
        rate = sample.rate if challenge is None else policy.rate
    check_rate(rate)
    challenge = sample.challenge if challenge is None else challenge
    if (challenge, rate) != (sample.challenge, sample.rate):
        commitment = executed_job(state).commit()
        firsts = [commitment.batches[number].first for number in picked(commitment, challenge)]
        manifest_file(folder).unlink(missing_ok=True)  # the job is not complete any more
        state.recover()  # a proof that a crash left unrecorded is kept
        state.pick(challenge, rate, firsts)


@dataclass(frozen=True)
class Status:
    """What can be said of a job from outside.

    Attributes:
        job: what it is.
        counts: where it stands.
        running: a process works on it.
        complete: its manifest is written.
        awaits_challenge: it is sampled, has committed to its outputs, and nothing is to be proven yet.
    """

    job: Job
    counts: JobCounts
    running: bool
    complete: bool
    awaits_challenge: bool = False


def status(folder: PathLike) -> Status:
    """Where a job stands, whether or not a process works on it.

    Raises:
        InvalidInputError: there is no job.
    """
    target = as_path("folder", folder)
    with closing(State(target)) as state:
        sample = state.sample
        awaits = sample is not None and not sample.challenge
        return Status(state.job, state.counts(), is_worked_on(target), manifest_file(target).exists(), awaits)


def load_keys(keys: "Keys | PathLike") -> "Keys":
    """The keys, from their folder if need be."""
    from zkinfer.backend import Keys

    return Keys.load(keys) if isinstance(keys, (str, os.PathLike)) else keys


def _work(
    folder: Path, keys: "Keys", executor: ExecutorName, workers: int, observer: Observer, stopping: Callable[[], bool]
) -> Outcome:
    with closing(State(folder)) as state:
        if state.job.options.sample is not None and (waiting := _commit(folder, state, keys)) is not None:
            return waiting

    def work(chosen: BatchExecutor) -> Outcome:
        with closing(State(folder)) as state:
            return Runner(folder, state, keys, chosen, observer, stopping).run()

    if executor == "inline":
        inline = InlineExecutor(keys)
        return inline.serve(lambda: work(inline))
    with closing(_others(folder, keys, executor, workers)) as others:
        return work(others)


def _commit(folder: Path, state: State, keys: "Keys") -> Outcome | None:
    """Commit to all outputs of a sampled job, unless it has; None once there is a challenge."""
    from zkinfer.jobs.execution import execute_and_commit

    if state.sample is not None and state.sample.challenge:
        return None
    start = time.monotonic()
    committed = execute_and_commit(folder, state, cast("NativeKeys", keys))
    progress = Progress(state.counts(), 0, time.monotonic() - start, 0)
    return Outcome(progress, complete=False, stopped=False, committed=committed)


def _others(folder: Path, keys: "Keys", name: Literal["processes", "ray"], workers: int) -> BatchExecutor:
    if name == "processes":
        return ProcessExecutor(keys.folder, workers, folder / WORKERS_LOG)
    from zkinfer.jobs.cluster import RayExecutor

    return RayExecutor(keys, workers)
