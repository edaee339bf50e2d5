"""Where batches are proven: in this process, or in others on this machine. `cluster` has another executor.

An executor is handed one batch for each free place and gives results in whatever order they come. A worker that dies
gives a result too: its batch failed, and may be tried again.
"""

import os
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, TYPE_CHECKING, TypeVar

import msgspec

from zkinfer.errors import ResourceError
from zkinfer.jobs.processes import STOPPED_SECONDS, Sender, is_stopped, start_process, stop_signals_blocked
from zkinfer.jobs.work import Failed, Result, Work, prove_work

if TYPE_CHECKING:
    from zkinfer.backend import Keys

T = TypeVar("T")

THREAD_VARIABLES = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
GRACE_SECONDS = 10.0
"""For a worker without work to end by itself."""

LOOK_SECONDS = 0.2
"""Between two looks whether it is stopped."""

LOST = "its worker died: killed, perhaps for memory, or crashed; see workers.log"


class BatchExecutor(ABC):
    """Where batches are proven.

    Attributes:
        workers: how many batches are proven at once.
        places: how many may be submitted beyond those whose results were taken; what exceeds the workers waits.
    """

    workers: int
    places: int

    @abstractmethod
    def submit(self, work: Work) -> None:
        """Hand in a batch; there is a free place."""

    @abstractmethod
    def results(self, seconds: float) -> list[Result]:
        """What came in, once there is any; empty when nothing came for so long.

        Raises:
            ResourceError: no worker can be started.
        """

    def withdraw(self) -> list[Work]:
        """Take back what was submitted and is not begun."""
        return []

    @abstractmethod
    def close(self) -> None:
        """Let the workers go; a batch that they work on is lost."""


class InlineExecutor(BatchExecutor):
    """This process proves, one batch at a time; what is proven is written beside it, in a thread: see `serve`.

    One more batch waits, so that proving goes on without a pause, in which it would lose the processor's caches.
    """

    workers = 1
    places = 2

    def __init__(self, keys: "Keys") -> None:
        self._keys = keys
        self._works: SimpleQueue[Work | None] = SimpleQueue()
        self._results: SimpleQueue[Result] = SimpleQueue()
        self._serving = True

    def serve(self, work: Callable[[], T]) -> T:
        """Run what uses this executor in a thread, and prove in the calling one, until that is done.

        It proves here since the allocator gives memory of other threads back to the system again and again.

        Returns:
            What `work` returns; what it raises is raised.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="zkinfer-batch") as pool:
            done = pool.submit(work)
            done.add_done_callback(lambda _: self._works.put(None))
            try:
                while (found := self._works.get()) is not None:
                    self._results.put(prove_work(self._keys, found))
            finally:
                self._serving = False
        return done.result()

    def submit(self, work: Work) -> None:
        self._works.put(work)

    def results(self, seconds: float) -> list[Result]:
        """See `BatchExecutor.results`.

        Raises:
            ResourceError: the thread that proves was interrupted.
        """
        with suppress(Empty):
            return [self._results.get(timeout=seconds)]
        if not self._serving:
            raise ResourceError("proving was interrupted")
        return []

    def withdraw(self) -> list[Work]:
        with suppress(Empty):
            return [work for work in (self._works.get_nowait(),) if work is not None]
        return []

    def close(self) -> None:
        """See `BatchExecutor.close`."""


@dataclass
class _Worker:
    process: "subprocess.Popen[bytes]"
    connection: Connection
    sender: Sender
    work: Work | None = None
    answered: bool = False
    stopped: float = 0.0  # seconds of waiting for it, in which this process was running itself


class ProcessExecutor(BatchExecutor):
    """Other processes on this machine: each loads the keys once, mapped, so that they share their memory.

    The processors are divided among them. A worker that dies is replaced, and so is one that was stopped for good.

    Args:
        keys: folder of the keys.
        workers: how many processes.
        log: file for what they print.
    """

    def __init__(self, keys: Path, workers: int, log: Path) -> None:
        self.workers = self.places = workers
        self._keys, self._log = keys, log
        self._workers = [self._start() for _ in range(workers)]

    @property
    def pids(self) -> list[int]:
        """The workers' process ids."""
        return [worker.process.pid for worker in self._workers]

    def submit(self, work: Work) -> None:
        worker = next(worker for worker in self._workers if worker.work is None)
        worker.work = work
        worker.sender.send(msgspec.msgpack.encode(work))

    def results(self, seconds: float) -> list[Result]:
        busy = {worker.connection: worker for worker in self._workers if worker.work is not None}
        found = [self._result(busy[ready]) for ready in wait(list(busy), seconds) if isinstance(ready, Connection)]
        if not found:
            for worker in busy.values():
                worker.stopped = worker.stopped + seconds if is_stopped(worker.process) else 0.0
                if worker.stopped >= STOPPED_SECONDS:
                    worker.process.kill()  # it shows when results are waited for again
        return found

    def _result(self, worker: _Worker) -> Result:
        assert worker.work is not None
        work, worker.work = worker.work, None
        try:
            result: Result = _decoder.decode(worker.connection.recv_bytes())
        except (EOFError, OSError, msgspec.MsgspecError):
            self._replace(worker)
            return Failed(work.first, LOST, passes=True)
        worker.answered = True
        return result

    def _replace(self, worker: _Worker) -> None:
        """Start another worker in the place of a dead one.

        Raises:
            ResourceError: it gave up before it had proven anything, as the next one would.
        """
        status = _end(worker)
        if status > 0 and not worker.answered:
            lines = self._log.read_text(errors="replace").strip().splitlines() or ["it printed nothing"]
            raise ResourceError(f"a worker could not begin: {lines[-1]}")
        self._workers[self._workers.index(worker)] = self._start()

    def _start(self) -> _Worker:
        threads = max(1, (os.cpu_count() or 1) // self.places)
        environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
        try:
            with _open_log(self._log) as log, stop_signals_blocked():
                process, connection = start_process("zkinfer.jobs.worker", [str(self._keys)], environment, log)
                return _Worker(process, connection, Sender(connection))
        except OSError as error:
            raise ResourceError(f"cannot start a worker: {error}") from error

    def close(self) -> None:
        for worker in self._workers:
            _end(worker)


_decoder = msgspec.msgpack.Decoder(Result)


def _open_log(path: Path) -> IO[bytes]:
    """The file for what workers print, to be continued: a pipe or link in its place is refused."""
    flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, 0o644), "ab")


def _end(worker: _Worker) -> int:
    """End a worker; returns how it ended: negative where a signal ended it."""
    if worker.work is not None:
        worker.process.kill()
        worker.process.wait()
    worker.sender.join()
    worker.connection.close()
    end = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < end and not is_stopped(worker.process):
        with suppress(subprocess.TimeoutExpired):
            return worker.process.wait(LOOK_SECONDS)
    worker.process.kill()
    return worker.process.wait()
