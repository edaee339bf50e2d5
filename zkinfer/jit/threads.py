"""How many threads the kernels use, and splitting a range of work among them.

Kernels release the interpreter's lock and do exact arithmetic, so results do not depend on the number of threads. By
default there are as many as processors that this process may run on; the environment variable ZKINFER_THREADS, read
on first use, or `set_threads` changes that.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from zkinfer.errors import InvalidInputError

ENVIRONMENT_VARIABLE = "ZKINFER_THREADS"

_threads: int | None = None
_pool: ThreadPoolExecutor | None = None


def get_threads() -> int:
    """The number of threads in use.

    Raises:
        InvalidInputError: the environment variable is not a positive integer.
    """
    global _threads
    if _threads is None:
        text = os.environ.get(ENVIRONMENT_VARIABLE, "")
        if text and not (text.isdecimal() and int(text) > 0):
            raise InvalidInputError(f"{ENVIRONMENT_VARIABLE}={text!r}: give a positive number of threads")
        _threads = int(text) if text else available_processors()
    return _threads


def set_threads(count: int) -> None:
    """From now on use so many threads; 1 means the calling thread alone.

    Raises:
        InvalidInputError: the count is not positive.
    """
    global _threads, _pool
    if count < 1:
        raise InvalidInputError(f"{count} threads: give a positive number")
    _threads = count
    if _pool is not None:
        _pool.shutdown()
        _pool = None


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Within the block, use so many threads."""
    before = get_threads()
    set_threads(count)
    try:
        yield
    finally:
        set_threads(before)


def split(kernel: Callable[..., Any], count: int, grain: int, *arguments: Any) -> list[Any]:
    """Calls kernel(*arguments, start, stop) on ranges that make up range(count), at once; the results in order.

    Every range but the last is a multiple of `grain`, which is the least work worth handing to a thread.
    """
    global _pool
    workers = get_threads()
    share = -(-count // (workers * grain)) * grain
    if workers == 1 or share >= count:
        return [kernel(*arguments, 0, count)]
    if _pool is None:
        _pool = ThreadPoolExecutor(workers, thread_name_prefix="zkinfer-field")
    ranges = [(start, min(start + share, count)) for start in range(0, count, share)]
    futures = [_pool.submit(kernel, *arguments, start, stop) for start, stop in ranges[1:]]
    first = kernel(*arguments, *ranges[0])
    return [first, *(future.result() for future in futures)]


def available_processors() -> int:
    """The processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _forget_pool() -> None:
    """A forked child has none of its parent's threads."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
