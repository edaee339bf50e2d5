"""Memory that a proof frees is kept for what comes next.

The C library hands large blocks back to the system as soon as they are freed, and the system clears every page before
it hands it out again: a third of the time of a large proof. Told to keep what it has, the process stays as large as its
largest proof made it, and pays for its pages once.
"""

import ctypes
import functools
import os
import sys

ENVIRONMENT_VARIABLE = "ZKINFER_KEEP_MEMORY"
"""Set to 0, freed memory goes back to the system at once."""

# Names and numbers of mallopt's parameters in glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


@functools.cache
def keep_freed_memory() -> bool:
    """From the first call on, keep what is freed, in this whole process; only where the C library is glibc.

    Returns:
        Whether it is kept.
    """
    if os.environ.get(ENVIRONMENT_VARIABLE) == "0" or sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    never = -1
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, never))


def give_back_freed_memory() -> None:
    """Hand back to the system now what was freed so far, unless it is kept; only where the C library is glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None and not keep_freed_memory.cache_info().currsize:
        trim(ctypes.c_size_t(0))
