"""Where the time of a proof goes: named phases, shown as a spinner, or collected by whoever asks instead."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from zkinfer.progress import activity

_collected: ContextVar[dict[str, float] | None] = ContextVar("phases", default=None)


@contextmanager
def phase(name: str) -> Iterator[None]:
    """A part of making a proof."""
    found = _collected.get()
    if found is None:
        with activity(f"proving: {name}"):
            yield
        return
    start = time.perf_counter()
    yield
    found[name] = found.get(name, 0.0) + time.perf_counter() - start


@contextmanager
def collected() -> Iterator[dict[str, float]]:
    """The seconds of each phase of the proofs made inside, by name, in order; complete at the end."""
    seconds: dict[str, float] = {}
    token = _collected.set(seconds)
    try:
        yield seconds
    finally:
        _collected.reset(token)
