"""Time that work takes: progress on standard error of a terminal, notices, and durations in words."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec

PATIENCE_SECONDS = 2.0
"""Work that ends sooner shows nothing."""


@contextmanager
def progress(what: str, total: float) -> Iterator[Callable[[float], None]]:
    """A progress bar, for work that can be counted.

    Args:
        what: what is being done ("calibrating").
        total: how much there is to do, in the unit that the caller advances by.

    Yields:
        A function to call with how much was done since the last call; the bar appears at the first call that comes
        after `PATIENCE_SECONDS`.
    """
    if not _can_draw():
        yield lambda amount: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(what, total=total)
    began, shown = time.monotonic(), False

    def advance(amount: float) -> None:
        nonlocal shown
        bar.advance(task, amount)
        if not shown and time.monotonic() - began > PATIENCE_SECONDS:
            bar.start()
            shown = True

    try:
        yield advance
    finally:
        if shown:
            bar.stop()


@contextmanager
def activity(what: str) -> Iterator[None]:
    """A spinner with the elapsed time, for work that cannot be counted; appears after `PATIENCE_SECONDS`."""
    if not _can_draw():
        yield
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    bar.add_task(what, total=None)
    timer = threading.Timer(PATIENCE_SECONDS, bar.start)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        bar.stop()


def _can_draw() -> bool:
    """Whether there is a terminal, and rich to draw on it, which a base install lacks."""
    return sys.stderr.isatty() and find_spec("rich") is not None


_quiet = ContextVar("quiet", default=False)


@contextmanager
def quiet() -> Iterator[None]:
    """No notice appears within."""
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def notice(text: str) -> None:
    """One line on standard error for a person who waits: in a terminal or a notebook, and nowhere else.

    Args:
        text: the line; there is none if it is empty.
    """
    if text and (sys.stderr.isatty() or "ipykernel" in sys.modules) and not _quiet.get():
        print(text, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """A duration in words, with three digits and a fitting unit: "1.34 ms", "12.5 s", "3.2 min"."""
    for limit, unit, name in ((1e-3, 1e-6, "us"), (1, 1e-3, "ms"), (120, 1, "s"), (7200, 60, "min")):
        if seconds < limit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds / 3600:.3g} h"
