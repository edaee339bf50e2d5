"""Matrices that are committed to and stored, as setup does it with the weights."""

from pathlib import Path

from zkinfer.native.storage import StoredMatrix, commit_kept, keep
from zkinfer.protocol.pcs.params import Code
from zkinfer.typing import Array


def create(
    folder: Path,
    code: Code,
    data: Array,
    queries: int,
    *,
    copies: int = 1,
    proofs: int | None = None,
    reserved: int = 0,
) -> StoredMatrix:
    """A matrix in a new folder; `commit_kept` has the arguments."""
    kept = keep(folder, code, data)
    return commit_kept(folder, code, kept, queries, copies=copies, proofs=proofs, reserved=reserved)
