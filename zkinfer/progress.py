"""Showing that long work is under way: a spinner with the time, in a terminal and nowhere else."""

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def activity(what: str) -> Iterator[None]:
    """Show `what` and the elapsed time while the block runs; silent when standard error is not a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        progress.add_task(what, total=None)
        yield
