"""Working on a job until nothing is left to prove: lease, prove, announce, write, record.

However a process ends, `resume` goes on from what is recorded. A failure that may pass is tried again, later each time;
one that concerns a single batch fails that batch and leaves the others alone; one that concerns every batch (no budget,
a full disk) stops the job, which can be resumed.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

from blake3 import blake3

from zkinfer.errors import BudgetError, InvalidInputError, ProvingError, ResourceError, WrongKeyError
from zkinfer.files.artifact import ReservedFile, writing
from zkinfer.jobs.batch_checker import read_items
from zkinfer.jobs.executors import BatchExecutor
from zkinfer.jobs.finalize import complete, write_dead_letters
from zkinfer.jobs.inputs import Inputs
from zkinfer.jobs.items import ItemShapes, as_runs
from zkinfer.jobs.job import check_inputs, manifest_file, proof_name, proofs_folder
from zkinfer.jobs.manifest import JobBatch, Manifest, item_digests
from zkinfer.jobs.outputs import OutputFiles
from zkinfer.jobs.sizing import Sizing
from zkinfer.jobs.state import Announcement, JobCounts, State
from zkinfer.jobs.work import Failed, Proven, Result, TensorData, Work
from zkinfer.typing import IntArray

if TYPE_CHECKING:
    from zkinfer.backend import Keys

P = ParamSpec("P")

LONGEST_PAUSE = 300.0
"""Seconds between two attempts at most."""

POLL_SECONDS = 0.5
"""How long a request to stop may go unnoticed while workers prove, and between two reports of progress."""

ROOM_FOR_RECORDS = 1 << 20
"""Bytes on the disk for what is recorded while a proof is made, reserved beside the proof."""

MOST_FAILING = 16
"""Batches that wait for another attempt, with their items in memory, before no further ones are begun."""


@dataclass(frozen=True)
class Progress:
    """Where a run of a job stands.

    Attributes:
        counts: of the job.
        items: proven by this run, dead letters included.
        seconds: since it began.
        memory: the most that any proving process took, in bytes; 0 before the first proof.
        event: what just happened, one line; empty where it is a proof like all others.
    """

    counts: JobCounts
    items: int
    seconds: float
    memory: int
    event: str = ""


Observer = Callable[[Progress], None]


@dataclass(frozen=True)
class Outcome:
    """How a run of a job ended.

    Attributes:
        progress: where it stood then.
        complete: every item that has to be proven is, or is a dead letter, and the manifest is written.
        stopped: it was asked to stop.
        committed: of a sampled job that waits for its challenge, what it committed to; its `digest` is to be
            published.
    """

    progress: Progress
    complete: bool
    stopped: bool
    committed: Manifest | None = None


@dataclass
class _Leased:
    """A batch in this process's hands; while it is being proven, with room on the disk for its proof."""

    work: Work
    stop: int
    integers: list[IntArray]
    dead: dict[int, str]
    room: ReservedFile | None = None


class Runner:
    """One run of a job."""

    def __init__(
        self,
        folder: Path,
        state: State,
        keys: "Keys",
        executor: BatchExecutor,
        observer: Observer,
        stopping: Callable[[], bool],
    ) -> None:
        """A run that has not begun.

        Args:
            folder: of the job; its lock is held.
            state: of the job.
            keys: of the job.
            executor: who proves.
            observer: is called for everything that happens.
            stopping: asked now and then; once true, what is being proven is finished and nothing else begun.
        """
        self._folder, self._state, self._keys, self._executor = folder, state, keys, executor
        self._observer, self._stopping = observer, stopping
        self._options = state.job.options
        self._sampled = state.job.options.sample is not None
        self._proving: dict[int, _Leased] = {}
        self._sizes: dict[int, int] = {}  # bytes to reserve, by the runs of a batch
        self._retries: list[tuple[float, _Leased]] = []  # when a batch that failed is due, and the batch
        self._failures: dict[int, int] = {}
        self._ahead: _Leased | None = None
        self._stopped = False
        self._fatal: BudgetError | InvalidInputError | ResourceError | WrongKeyError | None = None
        self._outputs: OutputFiles | None = None
        self._collected: set[int] = set()
        self._items = self._memory = 0
        self._began, self._reported = time.monotonic(), 0.0

    def run(self) -> Outcome:
        """Prove what is left; then, if nothing failed, write outputs and manifest.

        A sampled job has its challenge, so that what is left are batches that the challenge picks.

        Raises:
            BudgetError: the keys cannot make the proofs that are missing.
            ResourceError: the disk is full, or no worker can be started.
            InvalidInputError: an input file changed or is damaged.
            WrongKeyError: keys were renewed while the job was working.
        """
        self._state.recover()
        with ExitStack() as files:
            files.callback(self._give_all_back)
            if not self._options.private_outputs and not self._sampled:
                outputs = OutputFiles(self._folder, self._state.job.items, self._keys.program)
                self._outputs = files.enter_context(closing(outputs))
            while True:
                self._prove_what_is_left()
                write_dead_letters(self._folder, self._state)
                if self._fatal is not None:
                    raise self._fatal
                counts = self._state.counts()
                if counts.done < counts.items:
                    return Outcome(self._progress(), complete=False, stopped=self._halting)
                self._report("writing outputs and manifest")
                if complete(self._folder, self._state, self._keys.program, self._outputs, self._collected):
                    return Outcome(self._progress(), complete=True, stopped=False)
                self._report("proofs were damaged on disk: proving them again")

    def _prove_what_is_left(self) -> None:
        job, waiting = self._state.job, self._state.count_waiting()
        if not waiting and self._state.planned == job.items:
            return
        with writing(self._folder):
            manifest_file(self._folder).unlink(missing_ok=True)  # where proofs were lost: it is not complete any more
        check_inputs(job.inputs)
        sizing = Sizing(
            job.options.batch_size,
            self._keys.program,
            self._keys.backend,
            workers=self._executor.workers,
            items=job.items - self._state.planned,
            proofs=self._keys.proofs_left - waiting,
        )
        for items, seconds in self._state.fastest():
            sizing.record(items, seconds)
        with closing(Inputs([file.path for file in job.inputs], ItemShapes(self._keys.program))) as inputs:
            while True:
                self._submit(inputs, sizing, self._executor.places if sizing.settled else self._executor.workers)
                if self._halting:
                    for work in self._executor.withdraw():  # what no worker began to prove
                        self._give_back(self._proving.pop(work.first))
                        self._persistently(self._state.withdraw, work.first)
                if self._proving:
                    if sizing.settled and not self._halting:  # read the next batch while others are being proven
                        self._ahead = self._next(inputs, sizing)
                    proven = self._take(self._executor.results(POLL_SECONDS), sizing)
                    self._submit(inputs, sizing, self._executor.workers)  # no worker waits until they are written
                    for leased, proof in proven:
                        self._persistently(self._write, leased, proof)
                        self._items += leased.stop - proof.first
                    self._report()
                elif self._retries and not self._halting:
                    time.sleep(POLL_SECONDS if self._options.backoff else 0)
                else:
                    return

    @property
    def _halting(self) -> bool:
        self._stopped = self._stopped or self._stopping()
        return self._stopped or self._fatal is not None

    def _submit(self, inputs: Inputs, sizing: Sizing, most: int) -> None:
        """Hand in batches, until there are as many as that whose results were not taken."""
        while len(self._proving) < most and not self._halting:
            leased = self._due() or self._next(inputs, sizing)
            if leased is None:
                return
            try:
                self._persistently(self._reserve, leased)
            except ResourceError as error:  # what is being proven is finished first
                self._fatal = error
                return
            if leased is self._ahead:
                self._ahead = None
            self._proving[leased.work.first] = leased
            self._persistently(self._state.lease, leased.work.first, leased.stop, leased.dead)
            self._executor.submit(leased.work)

    def _reserve(self, leased: _Leased) -> None:
        """Take room for a batch's proof, so that no proof of the budget is spent that could not be kept."""
        runs = len(leased.work.inputs[0].integers())
        if runs not in self._sizes:
            hidden = {name: getattr(self._options, name) for name in ("private_inputs", "private_outputs")}
            self._sizes[runs] = ROOM_FOR_RECORDS
            with suppress(ProvingError, InvalidInputError):  # the proof will fail, and say why
                self._sizes[runs] += self._keys.proof_bytes(runs, **hidden)
        leased.room = ReservedFile(proofs_folder(self._folder) / proof_name(leased.work.first), self._sizes[runs])

    def _give_back(self, leased: _Leased) -> None:
        if leased.room is not None:
            leased.room.close()
            leased.room = None

    def _give_all_back(self) -> None:
        for leased in self._proving.values():
            self._give_back(leased)

    def _due(self) -> _Leased | None:
        """A batch that failed before, once it is time to try again."""
        for position, (due, _) in enumerate(self._retries):
            if due <= time.monotonic():
                return self._retries.pop(position)[1]
        return None

    def _next(self, inputs: Inputs, sizing: Sizing) -> _Leased | None:
        """The next batch with anything to prove: the one read ahead, one that an earlier run left, or a new one."""
        if self._ahead is not None:
            return self._ahead
        while len(self._retries) < MOST_FAILING:
            span = self._state.next_waiting()
            if span is None:
                first = self._state.planned
                if first == self._state.job.items:
                    return None
                span = first, min(self._state.job.items, first + sizing.size)
            try:
                leased = self._read(inputs, *span)
            except InvalidInputError as error:  # what is being proven is finished first
                self._fatal = error
                return None
            if leased.work.items:
                return leased
            self._persistently(self._state.lease, leased.work.first, leased.stop, leased.dead)
            self._persistently(self._state.finish, leased.work.first)
            self._items += leased.stop - leased.work.first
        return None

    def _read(self, inputs: Inputs, first: int, stop: int) -> _Leased:
        """Read a batch, and put aside what the circuit cannot take."""
        program, options = self._keys.program, self._options
        arrays, dead, _ = read_items(inputs, first, stop, program, options.saturate)
        if self._sampled and item_digests(arrays) != self._state.digests(first)[0]:
            raise InvalidInputError(f"items {first} to {stop - 1} changed since they were committed")
        items = len(arrays[0])
        work = Work(
            self._state.job.commitment,
            first,
            items,
            tuple(TensorData.of(runs) for runs in as_runs(arrays, program)) if items else (),
            options.context,
            options.private_inputs,
            options.private_outputs,
        )
        return _Leased(work, stop, arrays, dead)

    def _take(self, results: list[Result], sizing: Sizing) -> list[tuple[_Leased, Proven]]:
        """The proofs among some results; what failed is dealt with."""
        proven = []
        for result in results:
            leased = self._proving.pop(result.first)
            if isinstance(result, Proven) and not self._is_committed(result):
                result = Failed(result.first, "what is proven is not what was committed; was it another model?")
            if isinstance(result, Failed):
                self._give_back(leased)
                self._handle(result, leased)
                continue
            proven.append((leased, result))
            sizing.record(leased.stop - result.first, result.seconds)
            self._memory = max(self._memory, result.memory)
        return proven

    def _is_committed(self, proven: Proven) -> bool:
        """Whether the outputs are those that a sampled job committed to."""
        outputs = [tensor.integers() for tensor in proven.outputs]
        return not self._sampled or item_digests(outputs) == self._state.digests(proven.first)[1]

    def _write(self, leased: _Leased, proven: Proven) -> None:
        """Write a proof, announce it, let it appear, and record that it is there: in this order, whatever happens.

        It is written into the room that was reserved for it, which leaves some for the records.
        """
        first, outputs = proven.first, [tensor.integers() for tensor in proven.outputs]
        if self._sampled:
            digests = self._state.digests(first)
        else:
            inputs = b"" if self._options.private_inputs else item_digests(leased.integers)
            digests = inputs, item_digests(outputs) if outputs else b""
        digest: bytes = blake3(proven.proof).digest()
        assert leased.room is not None
        leased.room.fill(proven.proof)
        self._state.announce(first, digests, Announcement(digest, len(proven.proof), proven.seconds, proven.phases))
        name = proof_name(first)
        leased.room.publish()
        self._state.finish(first)
        if self._outputs is not None:
            dead = tuple(sorted(leased.dead))
            batch = JobBatch(first, leased.stop, dead, *digests, name, digest)
            self._outputs.write(batch, outputs)
        self._collected.add(first)
        self._give_back(leased)

    def _handle(self, failed: Failed, leased: _Leased) -> None:
        """A batch failed: stop the job, try it again later, or give it up."""
        first = failed.first
        span = f"items {first} to {leased.stop - 1}"
        failures = self._failures[first] = self._failures.get(first, 0) + 1
        if failed.no_budget or failed.bad_keys:
            self._fatal = (BudgetError if failed.no_budget else WrongKeyError)(failed.reason)
            self._persistently(self._state.release, first, failed.reason)
        elif failed.passes and failures <= self._options.retries:
            pause = self._pause(failures)
            self._retries.append((time.monotonic() + pause, leased))
            self._report(f"{span}: {failed.reason}; again in {pause:.0f} s ({failures} of {self._options.retries})")
        else:
            self._persistently(self._state.fail, first, failed.reason)
            self._report(f"{span} failed: {failed.reason}")

    def _pause(self, failures: int) -> float:
        return min(LONGEST_PAUSE, self._options.backoff * 2.0 ** (failures - 1))

    def _persistently(self, write: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Write something down; where the disk is full, again a little later, as often as a batch is retried.

        Raises:
            ResourceError: it stays full. Nothing that was recorded is lost.
        """
        for failures in range(1, self._options.retries + 1):
            try:
                return write(*args, **kwargs)
            except ResourceError as error:
                self._report(f"{error}; again in {self._pause(failures):.0f} s")
                time.sleep(self._pause(failures))
        return write(*args, **kwargs)

    def _progress(self, event: str = "") -> Progress:
        return Progress(self._state.counts(), self._items, time.monotonic() - self._began, self._memory, event)

    def _report(self, event: str = "") -> None:
        """Call the observer, for mere progress not too often."""
        if event or time.monotonic() - self._reported >= POLL_SECONDS:
            self._reported = time.monotonic()
            self._observer(self._progress(event))
