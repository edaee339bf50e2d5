"""Proving on a Ray cluster: actors that load the keys from a copy on their machine, with budgets of their own.

Keys are shipped through Ray's object store, once to each machine, and lie there in a folder that only its user can
read; actors map them from it. A copy of a budget must never be spent (see `budget`), so no copy brings one: the machine
that leads the job takes proofs from the one true budget, durably, in blocks, and hands each block to one actor. What an
actor that dies had left of its block is lost, and never used twice.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from zkinfer import __version__
from zkinfer.errors import BudgetError, MissingDependencyError, ResourceError
from zkinfer.extras import install
from zkinfer.files import budget
from zkinfer.files.artifact import one_line
from zkinfer.jobs.executors import LOST, THREAD_VARIABLES, BatchExecutor
from zkinfer.jobs.processes import STOPPED_SECONDS, stop_signals_blocked
from zkinfer.jobs.work import Failed, Result, Work, prove_work

if TYPE_CHECKING:
    from zkinfer.backend import Keys

REMOVAL_SECONDS = 30
"""How long actors may take to remove the keys from their machines."""

CHUNK_BYTES = 64 << 20
LARGEST_BLOCK = 8
SCARCE = 16
"""Blocks for each worker that have to be left in the budget for them to be larger than one proof."""

HOPELESS = 3
"""Actors in a row that die before their first result."""

_decoder = msgspec.msgpack.Decoder(Result)


def block_size(left: int, workers: int) -> int:
    """How many proofs to hand to a worker at once, of those that are left in the budget."""
    return max(1, min(LARGEST_BLOCK, left // (SCARCE * workers)))


@dataclass(frozen=True)
class Shipment:
    """Keys on their way.

    Attributes:
        token: names this copy of them.
        version: of zkinfer that sends them.
        chunks: for each file, by its path in the folder, references to its content in the object store.
        budget_file: path of the budget in the folder, which is not among them.
        owner: what it belongs to.
        budget: how many proofs the commitment hides the weights for.
    """

    token: str
    version: str
    chunks: Mapping[str, list[Any]]
    budget_file: str
    owner: bytes
    budget: int


class ProvingActor:
    """What runs as an actor."""

    def __init__(self, shipment: Shipment) -> None:
        """Unpack the keys, unless another actor on this machine has, and load them.

        Raises:
            ResourceError: the disk is full; or this machine has another version of zkinfer.
        """
        from zkinfer.backend import Keys

        if shipment.version != __version__:
            raise ResourceError(f"a machine of the cluster has zkinfer {__version__}, the job {shipment.version}")
        self._node = node_folder(shipment.token)
        shared = unpack(shipment, self._node)
        budget_file = self._node / uuid.uuid4().hex / shipment.budget_file
        own = link_folder(shared, budget_file, shipment.budget_file)
        budget.create_empty(budget_file, shipment.owner, shipment.budget)
        self._keys = Keys.load(own)

    def place(self) -> tuple[str, int]:
        """The actor's machine and process id, once the keys are loaded."""
        return socket.gethostname(), os.getpid()

    def prove(self, work: bytes, granted: list[int]) -> bytes:
        """Prove a batch, with these proofs of the budget more to make; what `work` and a result are, as bytes."""
        if granted:
            self._keys.counter.grant(granted)
        return msgspec.msgpack.encode(prove_work(self._keys, msgspec.msgpack.decode(work, type=Work)))

    def remove(self) -> None:
        """Remove the keys from this machine."""
        shutil.rmtree(self._node, ignore_errors=True)


def node_folder(token: str) -> Path:
    """Where a copy of keys lies on each machine of a cluster."""
    return Path(tempfile.gettempdir()) / f"zkinfer-ray-{token}"


def unpack(shipment: Shipment, node: Path) -> Path:
    """The folder with the shipped files on this machine, which the first actor writes.

    Raises:
        ResourceError: the disk is full or not writable.
    """
    import ray

    shared = node / "keys"
    try:
        node.mkdir(mode=0o700, exist_ok=True)
        with (node / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if shared.exists():
                return shared
            part = Path(tempfile.mkdtemp(dir=node))
            for name, references in shipment.chunks.items():
                (part / name).parent.mkdir(parents=True, exist_ok=True)
                with (part / name).open("wb") as file:
                    for reference in references:
                        file.write(ray.get(reference))
            part.rename(shared)
    except OSError as error:
        raise ResourceError(f"cannot unpack the keys into {node}: {error}") from None
    return shared


def link_folder(shared: Path, budget_file: Path, relative: str) -> Path:
    """A folder with the same files, and room for a budget of its own."""
    own = Path(str(budget_file).removesuffix(relative))
    for path in shared.rglob("*"):
        target = own / path.relative_to(shared)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            os.link(path, target)
    budget_file.parent.mkdir(parents=True, exist_ok=True)
    return own


@contextlib.contextmanager
def handlers_kept() -> Iterator[None]:
    """What this process does at SIGTERM and Ctrl-C is as before after the block: Ray puts handlers that exit in place.

    Only the main thread can set handlers, in any other thread Ray sets none.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _pieces(path: Path) -> Iterator[bytes]:
    """A file's content, in order."""
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            yield piece


@dataclass
class _Actor:
    handle: Any
    place: Any  # a reference to where it runs
    allowance: int = 0
    work: Work | None = None
    answered: bool = False
    stopped: float = 0.0  # seconds of waiting for it


class RayExecutor(BatchExecutor):
    """Actors on the cluster that this process is connected to, that `RAY_ADDRESS` names, or else on this machine."""

    def __init__(self, keys: "Keys", workers: int) -> None:
        """Ship the keys and start the actors.

        Raises:
            MissingDependencyError: Ray is not installed.
            ResourceError: there is no cluster, or its machines cannot run the actors.
        """
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # else a cluster that starts here reports its size and its packages
        try:
            import ray
        except ModuleNotFoundError:
            raise MissingDependencyError(
                f"executor 'ray' needs ray, which is not installed: {install('ray')}"
            ) from None
        self._ray = ray
        self._ours = not ray.is_initialized()
        if self._ours:
            try:
                with stop_signals_blocked(), handlers_kept():
                    ray.init(include_dashboard=False, log_to_driver=False)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise ResourceError(f"cannot reach a Ray cluster: {one_line(error)}") from None
        self.workers = self.places = workers
        self._keys, self._dead_in_a_row = keys, 0
        self._unsent: list[Result] = []
        self._shipment = self._ship()
        self._running: dict[Any, _Actor] = {}
        self._actors = [self._start() for _ in range(workers)]
        try:
            self.pids()
        except ResourceError:
            self.close()
            raise

    @property
    def key_folder(self) -> Path:
        """Where the copy of the keys lies on each machine, until `close`."""
        return node_folder(self._shipment.token)

    def pids(self) -> list[int]:
        """The actors' process ids, once their keys are loaded.

        Raises:
            ResourceError: one cannot begin.
        """
        try:
            found = [pid for _, pid in self._ray.get([actor.place for actor in self._actors])]
        except self._ray.exceptions.RayError as error:
            raise ResourceError(f"a worker on the cluster could not begin: {one_line(error)}") from None
        return found

    def submit(self, work: Work) -> None:
        actor = max((actor for actor in self._actors if actor.work is None), key=lambda actor: actor.allowance)
        granted: list[int] = []
        if not actor.allowance:
            try:
                granted = self._take_block()
                actor.allowance = len(granted)
            except (BudgetError, ResourceError) as error:
                no_budget = isinstance(error, BudgetError)
                self._unsent.append(Failed(work.first, one_line(error), passes=not no_budget, no_budget=no_budget))
                return
        actor.work = work
        actor.allowance -= 1
        self._running[actor.handle.prove.remote(msgspec.msgpack.encode(work), granted)] = actor

    def _take_block(self) -> list[int]:
        """Take a block from the budget; returns the numbers of its proofs.

        Raises:
            BudgetError: nothing is left.
            ResourceError: it cannot be accounted for.
        """
        taken = [self._keys.counter.spend()]
        with contextlib.suppress(BudgetError, ResourceError):
            more = block_size(self._keys.counter.left, self.places) - 1
            taken.extend(self._keys.counter.spend() for _ in range(more))
        return taken

    def results(self, seconds: float) -> list[Result]:
        found, self._unsent = self._unsent, []
        if self._running and not found:
            ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
            found = [self._result(reference) for reference in ready]
            if not found:
                self._kill_stopped(seconds)
        return found

    def _kill_stopped(self, seconds: float) -> None:
        """Kill actors on this machine that were stopped for long: it shows when results are waited for again."""
        for actor in self._running.values():
            actor.stopped = actor.stopped + seconds if self._is_stopped(actor) else 0.0
            if actor.stopped >= STOPPED_SECONDS:
                self._ray.kill(actor.handle)

    def _is_stopped(self, actor: _Actor) -> bool:
        with contextlib.suppress(ImportError, self._ray.exceptions.RayError):
            import psutil

            located, _ = self._ray.wait([actor.place], timeout=0)
            machine, pid = self._ray.get(located[0]) if located else ("", 0)
            with contextlib.suppress(psutil.Error):
                return machine == socket.gethostname() and psutil.Process(pid).status() == psutil.STATUS_STOPPED
        return False

    def _result(self, reference: Any) -> Result:
        actor = self._running.pop(reference)
        assert actor.work is not None
        work, actor.work = actor.work, None
        try:
            result: Result = _decoder.decode(self._ray.get(reference))
        except self._ray.exceptions.RayError as error:
            self._replace(actor, error)
            return Failed(work.first, LOST, passes=True)
        actor.answered, self._dead_in_a_row = True, 0
        return result

    def _replace(self, actor: _Actor, error: Exception) -> None:
        """Start another actor in the place of a dead one, without what was left of its block.

        Raises:
            ResourceError: several in a row died before their first result.
        """
        self._dead_in_a_row += not actor.answered
        if self._dead_in_a_row == HOPELESS:
            raise ResourceError(f"{HOPELESS} workers in a row died before their first proof: {one_line(error)}")
        self._actors[self._actors.index(actor)] = self._start()

    def _ship(self) -> Shipment:
        """Put the files of the keys, all but the budget, into the object store."""
        folder, counter = self._keys.folder, self._keys.counter
        chunks: dict[str, list[Any]] = {}
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path != counter.path:
                chunks[str(path.relative_to(folder))] = [self._ray.put(piece) for piece in _pieces(path)]
        relative = str(counter.path.relative_to(folder))
        return Shipment(uuid.uuid4().hex, __version__, chunks, relative, counter.owner, counter.total)

    def _start(self) -> _Actor:
        processors = int(self._ray.cluster_resources().get("CPU", 1))
        threads = max(1, processors // self.places)
        variables = dict.fromkeys(THREAD_VARIABLES, str(threads))
        remote = self._ray.remote(num_cpus=threads, max_restarts=0, runtime_env={"env_vars": variables})(ProvingActor)
        handle = remote.remote(self._shipment)
        return _Actor(handle, handle.place.remote())

    def close(self) -> None:
        """See `BatchExecutor.close`: also removes the keys from the machines that the actors run on."""
        with contextlib.suppress(self._ray.exceptions.RayError):
            # Of all: one that still begins would unpack the keys again behind the others.
            removals = [actor.handle.remove.remote() for actor in self._actors if actor.work is None]
            if removals:
                self._ray.wait(removals, num_returns=len(removals), timeout=REMOVAL_SECONDS)
        for actor in self._actors:
            self._ray.kill(actor.handle)
        shutil.rmtree(self.key_folder, ignore_errors=True)  # on this machine, also where an actor is gone
        if self._ours:
            self._ray.shutdown()
