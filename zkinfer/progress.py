"""Progress bars: shown in a terminal for work that lasts over two seconds, never elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PATIENCE_SECONDS = 2.0
"""Work that ends sooner shows nothing."""


@contextmanager
def progress(what: str, total: float) -> Iterator[Callable[[float], None]]:
    """A progress bar on stderr.

    Args:
        what: what is being done ("calibrating").
        total: how much there is to do, in the unit that the caller advances by.

    Yields:
        A function to call with how much was done since the last call; the bar appears at the first call that comes
        after `PATIENCE_SECONDS`.
    """
    if not sys.stderr.isatty():
        yield lambda amount: None
        return
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
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
