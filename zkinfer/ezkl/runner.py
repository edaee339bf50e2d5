"""Calling ezkl safely: a fresh process, a time limit, a memory limit, a private cache.

Whatever ezkl does (a panic, an abort over a 58 GB allocation, a hang at 0% CPU), the caller gets one named
exception within the limits, and no process stays behind.
"""

import ctypes
import functools
import importlib.metadata
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.filesize import decimal

from zkinfer.errors import MissingDependencyError, ProvingError, ResourceError
from zkinfer.extras import install
from zkinfer.ezkl.verifying_key import EZKL_VERSION
from zkinfer.progress import activity

WORKER = ("-P", "-m", "zkinfer.ezkl.worker")
POLL_SECONDS = 0.05
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
NO_NETWORK = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
"""ezkl would download reference strings and compilers; with a proxy that does not exist, it cannot."""


@dataclass(frozen=True)
class ProcessLimits:
    """What a guarded call may use.

    Attributes:
        seconds: wall-clock time.
        memory_bytes: resident memory of the worker; None for 90% of what is free when the call starts.
    """

    seconds: float = 3600.0
    memory_bytes: int | None = None


@dataclass(frozen=True)
class EzklCall:
    """One ezkl function with its arguments, all of them JSON."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] | None = None


@dataclass(frozen=True)
class WorkerOutcome:
    """What the calls returned, and their time and memory.

    Attributes:
        results: one for each call; None for a result that JSON cannot carry.
        seconds: wall-clock time of the whole worker.
        peak_bytes: largest resident memory seen.
    """

    results: list[Any]
    seconds: float
    peak_bytes: int


class EzklCallError(ProvingError):
    """ezkl refused a call.

    Attributes:
        call: the function's name.
        kind: the exception's type in the worker, or how the worker ended.
    """

    def __init__(self, call: str, kind: str, message: str) -> None:
        super().__init__(f"ezkl {call} failed ({kind}): {message}")
        self.call = call
        self.kind = kind


def require_ezkl() -> None:
    """Check that the one supported version of ezkl is installed.

    Raises:
        MissingDependencyError: it is absent, or another version.
    """
    try:
        version = importlib.metadata.version("ezkl")
    except importlib.metadata.PackageNotFoundError:
        raise MissingDependencyError(f"the ezkl backend needs ezkl: {install('ezkl')}") from None
    if version != EZKL_VERSION:
        raise MissingDependencyError(
            f"ezkl {version} is installed, but keys and proofs are made and checked with {EZKL_VERSION}: "
            f"pip install ezkl=={EZKL_VERSION}"
        )


def run(calls: Sequence[EzklCall], *, folder: Path, what: str, limits: ProcessLimits | None = None) -> WorkerOutcome:
    """Run ezkl calls, in order, in one fresh process whose working folder is `folder`.

    Args:
        calls: what to run; the first failure ends the run.
        folder: where relative paths point; ezkl's own cache lives in a private folder beside it.
        what: for the progress display ("making keys").
        limits: time and memory.

    Raises:
        MissingDependencyError: see `require_ezkl`.
        EzklCallError: a call failed, panicked, or the worker died.
        ResourceError: the time or memory limit was reached; the worker was killed.
    """
    require_ezkl()
    limits = limits or ProcessLimits()
    memory = limits.memory_bytes or int(psutil.virtual_memory().available * 0.9)
    request = json.dumps({"calls": [[c.name, list(c.args), c.kwargs or {}] for c in calls]})
    with tempfile.TemporaryDirectory(prefix="zkinfer-ezkl-") as cache, activity(what):
        read_end, write_end = os.pipe()
        started = time.monotonic()
        try:
            worker = subprocess.Popen(
                [sys.executable, *WORKER, str(write_end)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=(write_end,),
                cwd=folder,
                env={**os.environ, **NO_NETWORK, "EZKL_REPO_PATH": cache, "HOME": cache, "RUST_LOG": "error"},
                start_new_session=True,
                preexec_fn=functools.partial(_bind_to_parent, os.getpid()),
            )
        finally:
            os.close(write_end)
        return _supervise(worker, read_end, request, calls, started, limits.seconds, memory)


def _bind_to_parent(parent: int) -> None:
    """In the worker, before ezkl starts: write no core dump of the witness, and end when the caller ends."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the caller ended before the request above
            os._exit(1)


def _supervise(
    worker: subprocess.Popen[bytes],
    read_end: int,
    request: str,
    calls: Sequence[EzklCall],
    started: float,
    seconds: float,
    memory: int,
) -> WorkerOutcome:
    collected: dict[str, bytes] = {}
    assert worker.stdin is not None
    assert worker.stderr is not None
    readers = [
        _reader(lambda: os.fdopen(read_end, "rb"), collected, "answer"),
        _reader(lambda: worker.stderr, collected, "errors"),
    ]
    peak = 0
    try:
        try:
            worker.stdin.write(request.encode())
            worker.stdin.close()
        except BrokenPipeError:
            pass
        process = psutil.Process(worker.pid)
        while worker.poll() is None:
            try:
                peak = max(peak, process.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            if peak > memory:
                raise ResourceError(
                    f"ezkl {calls[-1].name} went over its memory limit of {decimal(memory)} and was stopped; "
                    "use a machine with more memory, a smaller batch or fewer bits"
                )
            if time.monotonic() - started > seconds:
                raise ResourceError(
                    f"ezkl {calls[-1].name} did not finish within {seconds:.0f} s and was stopped; raise the limit if "
                    "the estimate says that it needs longer"
                )
            time.sleep(POLL_SECONDS)
    finally:
        if worker.poll() is None:
            worker.kill()
        worker.wait()
        for reader in readers:
            reader.join(timeout=5)
    return _outcome(worker.returncode, collected, calls, time.monotonic() - started, peak)


def _reader(open_stream: Callable[[], Any], into: dict[str, bytes], key: str) -> threading.Thread:
    def read() -> None:
        with open_stream() as stream:
            into[key] = stream.read()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def _outcome(
    code: int, collected: dict[str, bytes], calls: Sequence[EzklCall], seconds: float, peak: int
) -> WorkerOutcome:
    try:
        answer = json.loads(collected.get("answer", b""))
    except ValueError:
        tail = collected.get("errors", b"").decode(errors="replace").strip().splitlines()[-3:]
        raise EzklCallError(
            calls[-1].name, f"worker ended with code {code}", " | ".join(tail) or "no message"
        ) from None
    if "failed" in answer:
        raise EzklCallError(answer["failed"], answer["error"], answer["message"])
    return WorkerOutcome(answer["results"], seconds, peak)
