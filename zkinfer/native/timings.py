"""Where the time of a proof goes: named phases, shown as a spinner, or collected by whoever asks instead."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from zkinfer.progress import activity

Clock = Callable[[], float]
_collected: ContextVar[tuple[dict[str, float], Clock] | None] = ContextVar("phases", default=None)


@contextmanager
def phase(name: str) -> Iterator[None]:
    """A part of making a proof."""
    collecting = _collected.get()
    if collecting is None:
        with activity(f"proving: {name}"):
            yield
        return
    found, clock = collecting
    start = clock()
    yield
    found[name] = found.get(name, 0.0) + clock() - start


@contextmanager
def collected(clock: Clock = time.perf_counter) -> Iterator[dict[str, float]]:
    """The seconds of each phase of the proofs made inside, by name, in order, on this clock; complete at the end."""
    seconds: dict[str, float] = {}
    token = _collected.set((seconds, clock))
    try:
        yield seconds
    finally:
        _collected.reset(token)
