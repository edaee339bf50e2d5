"""A long-lived commitment: a folder with the data, their random symbols, the codeword's columns and the budget.

It is made once and opened in many proofs, by any number of processes at once. An opening reads the data and the random
symbols once, to combine rows, and of the codeword only the columns that are drawn: files are mapped, not read.

All files are readable by their owner alone: whoever reads them knows the data. A copy of the folder has a copy of
the budget; two copies together show more columns than the random symbols hide, so never prove from copies or backups.
"""

import contextlib
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zkinfer.errors import ArtifactError, InvalidInputError, ProvingError, ResourceError
from zkinfer.files import budget
from zkinfer.files.budget import Budget
from zkinfer.files.reading import open_regular
from zkinfer.protocol.field import kernels
from zkinfer.protocol.merkle.paths import DIGEST_BYTES
from zkinfer.protocol.merkle.tree import build_tree
from zkinfer.protocol.pcs.params import Code, MatrixCommitment
from zkinfer.protocol.pcs.prover import DataArray, fill_leaves, prepared
from zkinfer.protocol.randomness import Randomness
from zkinfer.typing import Array, ByteArray, Floats

HEADER, DATA, BLINDING, LEAVES, NODES, BUDGET = "header.json", "data", "blinding", "leaves", "nodes", "budget"
MAX_HEADER_BYTES = 1 << 16
VERSION = 2


@dataclass(eq=False)
class StoredMatrix:
    """A matrix in a folder; it carries no masks, which every opening brings in a matrix of its own.

    Args:
        queries: columns that one opening may show.
        counter: which openings were begun.
        reserved: openings for which there are random symbols, and which the budget does not count: they are used before
            anyone else sees the folder.
    """

    folder: Path
    code: Code
    commitment: MatrixCommitment
    queries: int
    data: DataArray
    blinding: Floats
    leaves: ByteArray
    nodes: ByteArray
    counter: Budget
    reserved: int = 0

    @property
    def masks(self) -> Floats:
        """None: shape (0, dimension)."""
        return np.zeros((0, self.code.dimension))

    @property
    def budget(self) -> int:
        """Openings in all: as many as there are random symbols for the columns they show, less what is reserved."""
        return self.counter.total

    @property
    def remaining(self) -> int:
        """Openings left."""
        return self.counter.left

    def spend(self, queries: int) -> None:
        """Account for one opening, durably, before it exists.

        Raises:
            ProvingError: it would show more columns than this commitment was made for.
            BudgetError: no opening is left.
            ArtifactError, WrongKeyError, ResourceError: see `Budget.spend`.
        """
        if queries > self.queries:
            raise ProvingError(f"this commitment was made for {self.queries} columns an opening, not {queries}")
        self.counter.spend()


def create(
    folder: Path, code: Code, data: Array, queries: int, randomness: Randomness | None = None, *, reserved: int = 0
) -> StoredMatrix:
    """Commit to a matrix for `code.blinding // queries` proofs and store it in a new folder.

    Args:
        data: signed integers of any type, taken modulo P, or balanced float64, shape (rows, code.columns).
        queries: columns that each opening shows.
        reserved: how many openings the budget does not count.

    Raises:
        FileExistsError: the folder exists.
        InvalidInputError: the data are not such an array, or not even one opening can be hidden.
        ResourceError: the folder cannot be written.
    """
    randomness = randomness or Randomness()
    data = prepared(code, data)
    if not 1 <= queries * (reserved + 1) <= code.blinding:
        raise InvalidInputError(f"{code.blinding} random symbols a row do not hide openings of {queries} columns")
    folder.mkdir(mode=0o700)
    try:
        sizes = _sizes(code, len(data))
        stored = _new(folder / DATA, data.dtype, data.shape)
        stored[...] = data
        blinding = _new(folder / BLINDING, np.dtype(np.float64), sizes[BLINDING])
        blinding[...] = kernels.from_ints(randomness.elements(len(data), code.blinding))
        leaves = _new(folder / LEAVES, np.dtype(np.uint8), sizes[LEAVES])
        fill_leaves(code, leaves, data, blinding, randomness)
        nodes = _new(folder / NODES, np.dtype(np.uint8), sizes[NODES])
        nodes[...] = build_tree(leaves)
        for array in (stored, blinding, leaves, nodes):
            array.flush()
        budget.create(folder / BUDGET, nodes[1].tobytes(), code.blinding // queries - reserved)
        header = {
            "version": VERSION,
            "code": [code.log_columns, code.blinding, code.log_length],
            "rows": len(data),
            "dtype": data.dtype.str,
            "queries": queries,
            "reserved": reserved,
            "root": nodes[1].tobytes().hex(),
        }
        _write_durably(folder / HEADER, json.dumps(header).encode())
        budget.sync_folder(folder)
    except OSError as error:
        raise ResourceError(f"cannot store the commitment in {folder}: {error.strerror}") from error
    return load(folder)


def load(folder: Path) -> StoredMatrix:
    """A stored matrix, its files mapped and not yet read.

    Raises:
        ArtifactError: a file is missing, or has not the size that the header says.
        WrongKeyError: the budget is that of another commitment.
    """
    try:
        with open_regular(folder / HEADER) as file:
            header = json.loads(file.read(MAX_HEADER_BYTES))
        if header["version"] != VERSION:
            raise ArtifactError(f"{folder} is of another version of zkinfer: make the commitment again")
        code, rows, dtype = Code(*header["code"]), int(header["rows"]), np.dtype(header["dtype"])
        sizes = _sizes(code, rows)
        data = _map(folder / DATA, dtype, (rows, code.columns))
        blinding = _map(folder / BLINDING, np.dtype(np.float64), sizes[BLINDING])
        leaves = _map(folder / LEAVES, np.dtype(np.uint8), sizes[LEAVES])
        nodes = _map(folder / NODES, np.dtype(np.uint8), sizes[NODES])
        commitment = MatrixCommitment(bytes.fromhex(header["root"]), rows, masks=0)
        if nodes[1].tobytes() != commitment.root:
            raise ArtifactError(f"the files in {folder} do not belong together: make the commitment again")
        queries, reserved = int(header["queries"]), int(header.get("reserved", 0))
        openings = code.blinding // queries - reserved
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError, InvalidInputError) as error:
        if isinstance(error, ArtifactError):
            raise
        raise ArtifactError(f"{folder} holds no commitment, or one that was not finished: {error}") from None
    counter = Budget(folder / BUDGET, commitment.root, openings)
    return StoredMatrix(folder, code, commitment, queries, data, blinding, leaves, nodes, counter, reserved)


def _sizes(code: Code, rows: int) -> dict[str, tuple[int, int]]:
    leaf_bytes = MatrixCommitment(bytes(DIGEST_BYTES), rows, masks=0).leaf_bytes
    return {
        BLINDING: (rows, code.blinding),
        LEAVES: (code.length, leaf_bytes),
        NODES: (2 * code.length, DIGEST_BYTES),
    }


def _new(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Any:
    """A new file of that size, zero, for its owner alone, mapped to be written."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, max(math.prod(shape) * dtype.itemsize, 1))
    finally:
        os.close(descriptor)
    return np.memmap(path, dtype=dtype, mode="r+", shape=shape)


def _map(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Any:
    expected = max(math.prod(shape) * dtype.itemsize, 1)
    if path.stat().st_size != expected:
        raise ValueError(f"{path.name} has {path.stat().st_size} bytes instead of {expected}")
    return np.memmap(path, dtype=dtype, mode="r", shape=shape)


def _write_durably(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with contextlib.closing(os.fdopen(descriptor, "wb")) as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
