"""One process at a time works on a job."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zkinfer.errors import ResourceError
from zkinfer.jobs.job import LOCK_FILE

ATTEMPTS = 5
PAUSE_SECONDS = 0.05
"""A process that asks for a job's status holds its lock for a moment."""


@contextmanager
def working_on(folder: Path) -> Iterator[None]:
    """Hold a job's lock; the operating system gives it up when the process ends, however it ends.

    Raises:
        ResourceError: another process holds it, or it cannot be written.
    """
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_CREAT | os.O_RDONLY | os.O_NONBLOCK, 0o644)
    except OSError as error:
        raise ResourceError(f"cannot lock {folder}: {error.strerror}") from error
    try:
        for attempt in range(ATTEMPTS):
            if _try(descriptor):
                break
            time.sleep(PAUSE_SECONDS * (attempt + 1 < ATTEMPTS))
        else:
            raise ResourceError(f"another process works on the job in {folder}; see zkinfer batch status")
        yield
    finally:
        os.close(descriptor)


def is_worked_on(folder: Path) -> bool:
    """Does a process hold the job's lock?"""
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return not _try(descriptor)
    finally:
        os.close(descriptor)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
