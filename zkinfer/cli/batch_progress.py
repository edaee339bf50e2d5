"""How a job shows what it does: a bar in a terminal, plain lines elsewhere."""

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.filesize import decimal
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from zkinfer.cli.console import err
from zkinfer.cli.failures import printable
from zkinfer.progress import duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zkinfer.jobs.runner import Observer
    from zkinfer.jobs.runner import Progress as JobProgress

LINE_SECONDS = 30.0
"""Between two lines of mere progress, where standard error is not a terminal."""


def summary(progress: "JobProgress") -> str:
    """Progress in one line: done, rate, remaining time, failures, memory."""
    counts = progress.counts
    rate = progress.items / progress.seconds if progress.seconds else 0.0
    text = f"{counts.done:,} of {counts.items:,} items, {rate:.3g}/s"
    if counts.done < counts.items:
        text += f", {duration((counts.items - counts.done) / rate) if rate else 'unknown time'} left"
    text += f", {counts.failed} failed, {counts.dead:,} dead letter{'s' * (counts.dead != 1)}"
    return f"{text}, {decimal(progress.memory)}" if progress.memory else text


@contextmanager
def shown_progress() -> "Iterator[Observer]":
    """An observer that shows progress on standard error."""
    if not err.is_terminal:
        yield _Lines()
        return
    columns = (SpinnerColumn(), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        yield _Bar(bar, bar.add_task("reading what there is", total=None))


class _Bar:
    """Updates a bar; events are printed above it."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar, self._task = bar, task

    def __call__(self, progress: "JobProgress") -> None:
        if progress.event:
            self._bar.console.print(printable(progress.event), style="yellow", markup=False)
        counts = progress.counts
        self._bar.update(self._task, total=counts.items, completed=counts.done, description=summary(progress))


class _Lines:
    """A line with the time for each event, and now and then for progress."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, progress: "JobProgress") -> None:
        if progress.event or time.monotonic() - self._last >= LINE_SECONDS:
            self._last = time.monotonic()
            moment = time.strftime("%Y-%m-%dT%H:%M:%S%z")
            text = f"{moment} {summary(progress)}" + (f": {progress.event}" if progress.event else "")
            err.print(printable(text), markup=False)
