"""The proof budget of a commitment: how many proofs a key may make before its weights stop being hidden.

Every proof opens the weight commitment at one more random point. The salt behind the weights keeps any `budget`
such openings independent of the weights; beyond that, each one gives away an equation about them.

One byte is appended to the key folder's budget file for each proof, before the proof exists, under a lock and
synced to disk: a crash wastes at most one proof of the budget and never hands one out twice, and any number of
processes share the file safely.
"""

import fcntl
import os
from pathlib import Path

from zkinfer.errors import ArtifactError, BudgetError, ResourceError

BUDGET_FILE = "budget"


def create(folder: Path) -> None:
    """An unspent budget."""
    (folder / BUDGET_FILE).touch(mode=0o600, exist_ok=False)


def spent(folder: Path) -> int:
    """How many proofs were begun with these keys.

    Raises:
        ArtifactError: the key folder has no budget file.
    """
    try:
        return (folder / BUDGET_FILE).stat().st_size
    except OSError as error:
        raise ArtifactError(f"the key folder lacks its budget file: {error.strerror}; make the keys again") from None


def spend(folder: Path, budget: int) -> int:
    """Take one proof from the budget, durably; returns how many are left.

    Raises:
        BudgetError: nothing is left.
        ArtifactError: the key folder has no budget file.
        ResourceError: the file cannot be written; nothing was spent.
    """
    spent(folder)
    try:
        descriptor = os.open(folder / BUDGET_FILE, os.O_WRONLY | os.O_APPEND)
    except OSError as error:
        raise ResourceError(f"cannot account for a proof in {folder}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        used = os.fstat(descriptor).st_size
        if used >= budget:
            raise BudgetError(
                f"these keys have made the {budget} proofs that hide their weights; run setup again, "
                "with a larger number of proofs if need be, and publish the new commitment"
            )
        os.write(descriptor, b"\x01")
        os.fsync(descriptor)
    except OSError as error:
        raise ResourceError(f"cannot account for a proof in {folder}: {error.strerror}") from error
    finally:
        os.close(descriptor)
    return budget - used - 1
