"""Memory that a proof frees is kept for what comes next.

The C library hands large blocks back to the system as soon as they are freed, and the system clears every page before
it hands it out again: a third of the time of a large proof. Told to keep what it has, the process stays as large as its
largest proof made it, and pays for its pages once.
"""

import ctypes
import functools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ENVIRONMENT_VARIABLE = "ZKINFER_KEEP_MEMORY"
"""Set to 0, freed memory goes back to the system at once."""

# Names and numbers of mallopt's parameters in glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4


@functools.cache
def keep_freed_memory() -> bool:
    """From the first call on, keep what is freed, in this whole process; only where the C library is glibc.

    Returns:
        Whether it is kept.
    """
    mallopt = _mallopt()
    if os.environ.get(ENVIRONMENT_VARIABLE) == "0" or mallopt is None:
        return False
    never = -1
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, never))


@contextmanager
def returning_freed_memory() -> Iterator[None]:
    """Inside, blocks of a megabyte go back as soon as they are freed, unless this process keeps what is freed.

    By itself the C library comes to keep what is smaller than the largest block that was ever freed, up to 32 MiB. So
    it does afterwards.
    """
    mallopt = _mallopt()
    if mallopt is None or keep_freed_memory.cache_info().currsize:
        yield
        return
    mallopt(_M_MMAP_THRESHOLD, 1 << 20)
    try:
        yield
    finally:
        mallopt(_M_MMAP_THRESHOLD, 1 << 25)


def _mallopt() -> Any:
    """The function of glibc; None elsewhere."""
    return getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
