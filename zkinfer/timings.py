"""Where the time of a proof goes: named phases, shown as a spinner, or collected by whoever asks instead."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from zkinfer.progress import activity

Clock = Callable[[], float]


@dataclass
class _Collecting:
    """What is found, on which clock, and the phases that are at work, each within the one before."""

    clock: Clock
    detailed: bool
    seconds: dict[str, float] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)


_collected: ContextVar[_Collecting | None] = ContextVar("phases", default=None)


@contextmanager
def phase(name: str) -> Iterator[None]:
    """A part of making a proof, or of a part."""
    collecting = _collected.get()
    if collecting is None:
        with activity(f"proving: {name}"):
            yield
        return
    seconds, within = collecting.seconds, collecting.open
    if within and not collecting.detailed:
        yield
        return
    if within:
        name = f"{within[0]}: {name}"
    seconds.setdefault(name, 0.0)
    within.append(name)
    start = collecting.clock()
    try:
        yield
    finally:
        spent = collecting.clock() - start
        within.pop()
        seconds[name] += spent
        if within:
            seconds[within[-1]] -= spent


@contextmanager
def collected(clock: Clock = time.perf_counter, *, detailed: bool = False) -> Iterator[dict[str, float]]:
    """The seconds of each phase of the proofs made inside, by name, in order, on this clock; complete at the end.

    Args:
        detailed: phases within another, "commitment: trees", are found too. Each second counts once, for the innermost
            phase.
    """
    collecting = _Collecting(clock, detailed)
    token = _collected.set(collecting)
    try:
        yield collecting.seconds
    finally:
        _collected.reset(token)
