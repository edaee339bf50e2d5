"""How many proofs a long-lived commitment may still serve, accounted for in a file.

A commitment to weights is opened again in every proof, and its randomness hides the weights for a fixed number of
openings; beyond it, every further one gives away equations about them.

One byte is appended to the file for each opening, before the opening exists, under a lock and synced to disk: a crash
wastes at most one proof of the budget and never hands one out twice, and any number of processes share the file
safely. What no file can notice is its own past: a copy or a restored backup of it counts from where it was copied, so
neither may ever be used.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from zkinfer.errors import ArtifactError, BudgetError, ResourceError


def create(path: Path) -> None:
    """An unspent budget.

    Raises:
        FileExistsError: there is one already; it is left alone.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(path.parent)


def spent(path: Path) -> int:
    """How many openings were begun.

    Raises:
        ArtifactError: there is no such file.
    """
    try:
        return path.stat().st_size
    except OSError as error:
        raise ArtifactError(f"the budget file {path} is missing: {error.strerror}; make the commitment again") from None


def spend(path: Path, budget: int) -> int:
    """Take one opening from the budget, durably; returns how many are left.

    Raises:
        BudgetError: nothing is left.
        ArtifactError: there is no such file.
        ResourceError: the file cannot be written; nothing may be opened.
    """
    descriptor = _open(path, f"cannot account for a proof in {path}")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        used = os.fstat(descriptor).st_size
        if used >= budget:
            raise BudgetError(
                f"this commitment has served the {budget} proofs that hide its data; "
                "make a new one, with a larger number of proofs if need be, and publish it"
            )
        if os.write(descriptor, b"\x01") != 1:
            raise ResourceError(f"cannot account for a proof in {path}: nothing was written")
        os.fsync(descriptor)
    except OSError as error:
        raise ResourceError(f"cannot account for a proof in {path}: {error.strerror}") from error
    finally:
        os.close(descriptor)
    return budget - used - 1


@contextlib.contextmanager
def retiring(path: Path, budget: int) -> Iterator[None]:
    """Nothing is spent while the block runs, and when it ends without an error nothing is left.

    For moving a budget: the block copies it, and whoever still uses the old file then gets nothing from it.

    Raises:
        ArtifactError: there is no such file.
        ResourceError: it cannot be written.
    """
    descriptor = _open(path, f"cannot retire the budget {path}")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.write(descriptor, b"\x01" * max(0, budget - os.fstat(descriptor).st_size))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open(path: Path, failure: str) -> int:
    spent(path)
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND)
    except OSError as error:
        raise ResourceError(f"{failure}: {error.strerror}") from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
