"""What the benchmarks share: one proof measured, the machine described, tables as Markdown."""

import os
import platform
import resource
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import psutil
from runtime import onnxruntime

from zkinfer.ezkl import prove, runner, settings, setup

ROOT = Path(__file__).parent.parent
MB = 10**6
MIB = 2**20


@dataclass
class Usage:
    """What guarded ezkl processes took.

    Attributes:
        peak_bytes: largest resident memory of any of them.
    """

    peak_bytes: int = 0


@contextmanager
def recorded_usage() -> Iterator[Usage]:
    """Watches the ezkl processes that zkinfer starts meanwhile."""
    usage = Usage()

    def recording(*args: Any, **kwargs: Any) -> runner.WorkerOutcome:
        outcome = runner.run(*args, **kwargs)
        usage.peak_bytes = max(usage.peak_bytes, outcome.peak_bytes)
        return outcome

    with ExitStack() as stack:
        for module in (settings, setup, prove):
            stack.enter_context(mock.patch.object(module, "run", recording))
        yield usage


class Stopwatch:
    """Time since it was made.

    Processor time is that of this process and of the children that have ended: with one thread, what the wall clock
    shows on an idle core. On a shared machine it is what can be compared; the wall clock counts the others' work too.
    """

    def __init__(self) -> None:
        self._wall = time.perf_counter()
        self._processor = _processor_seconds()

    @property
    def wall(self) -> float:
        """Wall-clock seconds."""
        return time.perf_counter() - self._wall

    @property
    def processor(self) -> float:
        """Processor seconds, in user and in kernel mode."""
        return _processor_seconds() - self._processor


def _processor_seconds() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def limit_threads(threads: int) -> None:
    """Give every process that is started from here on so many threads."""
    os.environ["RAYON_NUM_THREADS"] = str(threads)


def float_outputs(model: bytes, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The first output of the float model for each sample; shape (samples, ...). The model takes one at a time."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: sample[None]})[0] for sample in samples]).astype(np.float64)


def float_seconds(model: bytes, sample: npt.NDArray[np.float32], runs: int = 1000) -> float:
    """Median seconds of one inference of the float model on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: sample[None]}
    times = []
    for _ in range(runs):
        watch = Stopwatch()
        session.run(None, feed)
        times.append(watch.wall)
    return float(np.median(times))


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]], *, left: int = 1) -> str:
    """A Markdown table whose first `left` columns are aligned left and the others right."""
    rules = ["---"] * left + ["---:"] * (len(header) - left)
    lines = [header, rules, *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def provenance(command: str) -> str:
    """Date, commit, machine and load, for the head of a published table."""
    git = ["git", "-C", str(ROOT)]
    commit = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True).stdout.strip()
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "zkinfer", "benchmarks"]).returncode
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"`{command}`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit}{' with changes' if changed else ''}, "
        f"{platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB, load average {os.getloadavg()[0]:.1f}, "
        f"{os.environ.get('RAYON_NUM_THREADS', 'all')} thread(s)"
    )
