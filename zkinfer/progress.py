"""Time that work takes: progress in a terminal (standard error) or a notebook, notices, and durations in words."""

import html
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
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


_busy = ContextVar("busy", default=False)


@contextmanager
def activity(what: str) -> Iterator[None]:
    """A spinner with the elapsed time, for work that cannot be counted; appears after `PATIENCE_SECONDS`.

    Of one within another the outer one is shown.
    """
    if _busy.get() or not (_can_draw() or in_notebook()):
        yield
        return
    token = _busy.set(True)
    try:
        with _turning_in_notebook(what) if in_notebook() else _turning_in_terminal(what):
            yield
    finally:
        _busy.reset(token)


@contextmanager
def _turning_in_terminal(what: str) -> Iterator[None]:
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


class Turning:
    """A sentence with a spinner in a notebook, until another sentence takes its place. It may be used by any thread."""

    def __init__(self, text: str) -> None:
        self._handle = import_module("IPython.display").display(_shown(text, turning=True), raw=True, display_id=True)

    def replace(self, text: str, *, turning: bool = False) -> None:
        """Show another sentence, with or without the spinner; an empty one leaves nothing."""
        self._handle.update(_shown(text, turning=turning), raw=True)


_SPINNER = (
    '<svg width="14" height="14" viewBox="0 0 14 14" style="vertical-align:middle"><circle cx="7" cy="7" r="5" '
    'fill="none" stroke="#d9731a" stroke-width="2" stroke-dasharray="22 9"><animateTransform attributeName="transform" '
    'type="rotate" from="0 7 7" to="360 7 7" dur="1s" repeatCount="indefinite"/></circle></svg> '
)


def _shown(text: str, *, turning: bool) -> dict[str, str]:
    """A sentence as what a notebook displays."""
    spinner = _SPINNER if turning else ""
    return {"text/plain": text, "text/html": f"<span>{spinner}{html.escape(text)}</span>"}


@contextmanager
def _turning_in_notebook(what: str) -> Iterator[None]:
    began, turning = time.monotonic(), list[Turning]()
    timer = threading.Timer(PATIENCE_SECONDS, lambda: turning.append(Turning(what)))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        for shown in turning:
            shown.replace(f"{what}: {duration(time.monotonic() - began)}")


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    return "ipykernel" in sys.modules


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


def is_quiet() -> bool:
    """Whether no notice is to appear."""
    return _quiet.get()


def notice(text: str) -> None:
    """One line on standard error for a person who waits: in a terminal or a notebook, and nowhere else.

    Args:
        text: the line; there is none if it is empty.
    """
    if text and (sys.stderr.isatty() or in_notebook()) and not is_quiet():
        print(text, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """A duration in words, with three digits and a fitting unit: "1.34 ms", "12.5 s", "3.2 min"."""
    for limit, unit, name in ((1e-3, 1e-6, "us"), (1, 1e-3, "ms"), (120, 1, "s"), (7200, 60, "min")):
        if seconds < limit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds / 3600:.3g} h"
