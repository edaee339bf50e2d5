"""Python's collector of cyclic garbage, which waits while a kernel is compiled.

Compiling makes some hundred thousand objects and keeps most of them until the kernel is done. The collector would go
through all of them again and again, a tenth of the time in all.
"""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_waiting = 0
_was_enabled = False


@contextmanager
def collector_waits() -> Iterator[None]:
    """In the context no garbage is collected by itself; one may be within another, and in another thread.

    Behind the last one the collector works again, unless it did not before the first.
    """
    global _waiting, _was_enabled
    with _lock:
        if not _waiting:
            _was_enabled = gc.isenabled()
            gc.disable()
        _waiting += 1
    try:
        yield
    finally:
        with _lock:
            _waiting -= 1
            if not _waiting and _was_enabled:
                gc.enable()
