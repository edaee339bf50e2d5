"""A long-lived commitment: a folder with the data, the tree over the copies, and the budget.

It is made once and opened in many proofs, by any number of processes at once. Each copy hides the data for some
openings, and is made again from the stream of randomness when its turn comes: in memory if it is small, or opened once;
else in a folder of its own, whose files are mapped, and which is removed when the next one is made.

    header.json   sizes, root, and the stream that veil, random symbols and salts come from
    data          the rows, without random symbols
    copies        where there are several: the tree over their roots
    budget        which openings were begun: see `files.budget`
    copy-N/       random symbols, leaves and tree of a copy that is large

All files are readable by their owner alone: whoever reads them knows the data. A copy of the folder has a copy of
the budget; two copies together show more columns than the random symbols hide, so never prove from copies or backups.
"""

import contextlib
import json
import math
import mmap
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

from zkinfer.counts import counted
from zkinfer.errors import ArtifactError, InvalidInputError, ResourceError, VerificationError, WrongKeyError
from zkinfer.files import budget
from zkinfer.files.artifact import building_folder
from zkinfer.files.budget import Budget
from zkinfer.files.reading import open_regular
from zkinfer.protocol.field import kernels
from zkinfer.protocol.merkle.paths import DIGEST_BYTES, hash_node
from zkinfer.protocol.merkle.tree import build_tree, prove_leaves
from zkinfer.protocol.pcs.copies import COPY_MASKS, ONLY, VEIL_ROWS, CopiesCommitment, Place
from zkinfer.protocol.pcs.copies_prover import with_link
from zkinfer.protocol.pcs.opening_check import DamagedMatrixError
from zkinfer.protocol.pcs.params import Code, MatrixCommitment
from zkinfer.protocol.pcs.prover import CommittedMatrix, DataArray, commit, large_tree, prepared
from zkinfer.protocol.randomness import Randomness
from zkinfer.typing import Array, ByteArray, Floats

HEADER, DATA, COPIES, BUDGET = "header.json", "data", "copies", "budget"
BLINDING, LEAVES, NODES = "blinding", "leaves", "nodes"
MAX_HEADER_BYTES = 1 << 16
VERSION = 3

STORED_BYTES = 1 << 20
"""Leaves of a copy that has a folder: fewer are made again within some milliseconds."""

_BLOCK_CELLS = 1 << 22
"""Cells of data that are converted at a time."""

_LEAVES_AT_A_TIME = 16

COPY_LABEL, VEIL_LABEL = b"copy", b"veil"
"""Of the streams of one copy, and of the veil of all. The veil is drawn for one commitment alone, as its link shows."""


@dataclass(frozen=True, eq=False)
class StoredLeaves:
    """Leaves in a mapped file, of which openings read few: implements `pcs.prover.Leaves`.

    Attributes:
        mapped: all of them, shape (leaves, bytes of a leaf).
    """

    mapped: Any

    def __getitem__(self, indices: Sequence[int], /) -> ByteArray:
        """Copies; around each the system maps more than was asked for, which is given back every few leaves."""
        found = np.empty((len(indices), self.mapped.shape[1]), dtype=np.uint8)
        for start in range(0, len(indices), _LEAVES_AT_A_TIME):
            part = slice(start, start + _LEAVES_AT_A_TIME)
            found[part] = self.mapped[indices[part]]
            self.mapped._mmap.madvise(mmap.MADV_DONTNEED)
        return found


@dataclass(frozen=True)
class Opened:
    """A copy that may be opened once.

    Attributes:
        matrix: with fresh leave to be opened.
        place: where it hangs.
    """

    matrix: CommittedMatrix
    place: Place


@dataclass(eq=False)
class StoredMatrix:
    """A matrix in a folder; it carries no masks, which every opening brings in a matrix of its own.

    Attributes:
        commitment: what is published of it.
        queries: columns that one opening may show.
        data: without the veil.
        stream: 32 secret bytes.
        tree: the nodes over the roots of all copies.
        counter: which openings were begun.
        reserved: openings of the first copy that the budget does not count: they are used before anyone else sees the
            folder.
    """

    folder: Path
    commitment: CopiesCommitment
    queries: int
    data: DataArray
    stream: bytes
    tree: ByteArray
    counter: Budget
    reserved: int = 0
    _current: tuple[int, CommittedMatrix] | None = field(default=None, init=False)

    @cached_property
    def _maker(self) -> "_Maker":
        return _Maker(self.folder, self.commitment, self.data, self.stream)

    @property
    def openings_a_copy(self) -> int:
        """As many as there are random symbols for the columns they show."""
        return self.commitment.code.blinding // self.queries

    def take(self) -> Opened:
        """Take one opening from the budget, durably, before it exists.

        Raises:
            BudgetError: no opening is left.
            ArtifactError, WrongKeyError, ResourceError: see `Budget.spend`.
        """
        number = self.counter.spend()
        return self._opened((number + self.reserved) // self.openings_a_copy)

    def take_reserved(self) -> Opened:
        """The first copy, for an opening that the budget does not count."""
        return self._opened(0)

    def _opened(self, number: int) -> Opened:
        if any(_is_cut_off(part) for part in (self.data, self.tree)):
            raise WrongKeyError(f"a file in {self.folder} was cut off since it was loaded: make the keys again")
        matrix = self.copy(number)
        place = ONLY
        if self.commitment.log_copies:
            place = Place(number, matrix.commitment.root + prove_leaves(self.tree, [number]))
            try:
                self.commitment.matrix(place)
            except VerificationError:
                raise _damaged(self.folder / COPIES) from None
        return Opened(replace(matrix, limit=self.queries), place)

    @contextlib.contextmanager
    def proving_from(self, number: int) -> Iterator[None]:
        """While a proof is made from a copy: what is found to be damaged ends it, and is not used again.

        Raises:
            WrongKeyError: the block found that what it read is not what was committed.
        """
        try:
            yield
        except (VerificationError, DamagedMatrixError) as error:
            self._current = None
            removed = self._maker.remove(number)
            advice = f"copy-{number} was removed, and the next proof makes it again" if removed else "load them again"
            raise WrongKeyError(
                f"the files in {self.folder} are damaged, and a proof from them would not verify ({error}). None was "
                f"made, but it is counted in the budget. {advice}; if proving fails again, make the keys again"
            ) from error

    def copy(self, number: int) -> CommittedMatrix:
        """A copy; the last one that was asked for is kept.

        Raises:
            ArtifactError: the folder holds other data, or another stream, than were committed to.
        """
        current = self._current
        if current is None or current[0] != number:
            current = number, self._made(number)
            self._current = current
        return current[1]

    def _made(self, number: int) -> CommittedMatrix:
        maker = self._maker
        root = self.tree[(1 << self.commitment.log_copies) + number].tobytes()
        matrix = maker.copy(number)
        if matrix.commitment.root != root and maker.remove(number):
            matrix = maker.copy(number)
        if matrix.commitment.root != root:
            raise ArtifactError(f"the files in {self.folder} do not belong together: make the commitment again")
        maker.remove_before(number)
        return matrix

    def verify_files(self) -> None:
        """Compute all hashes again: the tree over the copies, the first copy, and those that have a folder.

        Raises:
            ArtifactError, WrongKeyError: a file is damaged.
        """
        count, maker = 1 << self.commitment.log_copies, self._maker
        if not np.array_equal(_upper_tree(self.tree[count:]), self.tree):
            raise _damaged(self.folder)
        for number in {0, *maker.stored()}:
            made = maker.made(number)
            kept = maker.copy(number)
            same = [np.array_equal(a, b) for a, b in ((made.nodes, kept.nodes), (made.blinding, kept.blinding))]
            if isinstance(kept.leaves, StoredLeaves):
                same.append(np.array_equal(build_tree(kept.leaves.mapped), made.nodes))
            if not all(same) or made.commitment.root != self.tree[count + number].tobytes():
                raise _damaged(self.folder)


class _Maker:
    """Makes copies of a matrix.

    Args:
        folder: where large ones go.
        commitment: of which the sizes alone are used.
        data, stream: as of `StoredMatrix`.
    """

    def __init__(self, folder: Path, commitment: CopiesCommitment, data: DataArray, stream: bytes) -> None:
        self._folder, self._code, self._data, self._stream = folder, commitment.code, data, stream
        self._rows, self._masks = commitment.rows, commitment.masks
        self._leaf_bytes = MatrixCommitment(bytes(DIGEST_BYTES), commitment.rows, masks=0).leaf_bytes
        self.veil = np.zeros((0, self._code.columns))
        if commitment.log_copies:
            elements = Randomness(blake3(VEIL_LABEL, key=stream).digest()).elements(VEIL_ROWS, self._code.columns)
            self.veil = kernels.from_ints(elements)

    def randomness(self, number: int) -> Randomness:
        """What a copy's random symbols and salts come from."""
        return Randomness(blake3(COPY_LABEL + number.to_bytes(8, "little"), key=self._stream).digest())

    def made(self, number: int) -> CommittedMatrix:
        """A copy in memory, with its data if they are small: then nothing of it can change any more."""
        small = self._data.nbytes <= STORED_BYTES
        data = self._data.copy() if small else self._data
        made = commit(self._code, data, self._masks, self.randomness(number), self.veil)
        return replace(made, mapped=not small)

    def copy(self, number: int) -> CommittedMatrix:
        """A copy, in memory or mapped from its folder, which is made if it is not there."""
        if not self._is_large:
            return self.made(number)
        folder = _copy_folder(self._folder, number)
        with contextlib.suppress(FileNotFoundError):  # also where another process removes it just now
            return self._load(folder)
        with contextlib.suppress(InvalidInputError), building_folder(folder) as part:  # or makes it just now
            self._store(part, number)
        with contextlib.suppress(FileNotFoundError):
            return self._load(folder)
        # Another process has removed it, or a killed one has removed a part of it.
        return self.made(number)

    def root(self, number: int) -> bytes:
        """The root of a copy, of which nothing is kept."""
        if not self._is_large:
            return self.made(number).commitment.root
        randomness = self.randomness(number)
        blinding = np.empty((self._rows, self._code.blinding))
        randomness.fill(blinding, kernels.from_ints)
        nodes = large_tree(self._code, self._data, self.veil, blinding, randomness)
        root: bytes = nodes[1].tobytes()
        return root

    @property
    def _is_large(self) -> bool:
        """Whether a copy has a folder while it is opened."""
        return not self._masks and self._leaf_bytes * self._code.length > STORED_BYTES

    def stored(self) -> Iterator[int]:
        """The copies that have a folder."""
        for path in self._folder.glob("copy-*"):
            yield int(path.name.removeprefix("copy-"))

    def remove_before(self, number: int) -> None:
        """Remove folders of earlier copies. A process that still needs one makes it again."""
        for other in self.stored():
            if other < number:
                self.remove(other)

    def remove(self, number: int) -> bool:
        """Remove the folder of a copy; whether there was one."""
        folder = _copy_folder(self._folder, number)
        present = folder.exists()
        shutil.rmtree(folder, ignore_errors=True)
        return present

    def _sizes(self) -> dict[str, tuple[int, int]]:
        code = self._code
        return {
            BLINDING: (self._rows, code.blinding),
            LEAVES: (code.length, self._leaf_bytes),
            NODES: (2 * code.length, DIGEST_BYTES),
        }

    def _store(self, folder: Path, number: int) -> None:
        code, sizes, randomness = self._code, self._sizes(), self.randomness(number)
        blinding = _new(folder / BLINDING, np.dtype(np.float64), sizes[BLINDING])
        randomness.fill(blinding, kernels.from_ints)
        leaves = _new(folder / LEAVES, np.dtype(np.uint8), sizes[LEAVES])
        nodes = _new(folder / NODES, np.dtype(np.uint8), sizes[NODES])
        nodes[...] = large_tree(code, self._data, self.veil, blinding, randomness, leaves)
        for array in (blinding, leaves, nodes):
            _let_go(array)

    def _load(self, folder: Path) -> CommittedMatrix:
        sizes = self._sizes()
        try:
            blinding: Floats = _map(folder / BLINDING, np.dtype(np.float64), sizes[BLINDING])
            leaves = StoredLeaves(_map(folder / LEAVES, np.dtype(np.uint8), sizes[LEAVES]))
            nodes: ByteArray = _map(folder / NODES, np.dtype(np.uint8), sizes[NODES])
        except ValueError as error:
            raise ArtifactError(f"{folder} is not a copy of the matrix: {error}; remove that folder") from None
        commitment = MatrixCommitment(nodes[1].tobytes(), self._rows, masks=0)
        none = np.zeros((0, self._code.dimension))
        return CommittedMatrix(
            self._code, commitment, self._data, blinding, none, leaves, nodes, self.veil, mapped=True
        )


def _budget(code: Code, queries: int, copies: int, reserved: int, proofs: int | None) -> int:
    """For how many proofs there are random symbols, or so many as are asked for.

    Raises:
        InvalidInputError: there are too few.
    """
    openings = copies * (code.blinding // queries) - reserved
    proofs = openings if proofs is None else proofs
    if not 1 <= queries <= code.blinding or reserved > code.blinding // queries or not 1 <= proofs <= openings:
        raise InvalidInputError(
            f"{code.blinding:,} random symbols a row do not hide openings of {counted(queries, 'column')}"
        )
    return proofs


def keep(folder: Path, code: Code, data: Array) -> DataArray:
    """Make the folder and write the data there, as kernels read them: a block at a time, and then let go of them.

    Args:
        data: signed integers of any type, taken modulo P, or balanced float64, shape (rows, code.columns).

    Raises:
        FileExistsError: the folder exists.
        InvalidInputError: the data are not such an array.
        ResourceError: the folder cannot be written.
    """
    step = max(1, _BLOCK_CELLS // code.columns if data.dtype.kind == "i" else len(data))
    first = prepared(code, data[:step])
    folder.mkdir(mode=0o700)
    try:
        kept: DataArray = _new(folder / DATA, first.dtype, data.shape)
    except OSError as error:
        raise ResourceError(f"cannot store the commitment in {folder}: {error.strerror}") from error
    for start in range(0, len(data), step):
        kept[start : start + step] = prepared(code, data[start : start + step])
    _let_go(kept)
    return kept


def commit_kept(
    folder: Path,
    code: Code,
    kept: DataArray,
    queries: int,
    stream: bytes | None = None,
    *,
    copies: int = 1,
    proofs: int | None = None,
    reserved: int = 0,
) -> StoredMatrix:
    """Commit to a matrix that `keep` wrote into a new folder.

    Args:
        kept: what it gave, shape (rows, code.columns).
        queries: columns that each opening shows.
        stream: 32 secret bytes that all randomness comes from, never to be used for anything else; fresh by default.
        copies: how many; where the tree has room for more, zeros stand for the roots of the others.
        proofs: the budget; by default all openings of all copies, but those that are reserved.
        reserved: how many openings of the first copy the budget does not count.

    Raises:
        InvalidInputError: the random symbols do not hide so many openings.
        ResourceError: the folder cannot be written.
    """
    stream = os.urandom(DIGEST_BYTES) if stream is None else stream
    proofs, log_copies = _budget(code, queries, copies, reserved, proofs), (copies - 1).bit_length()
    try:
        sizes = _sizes(code, len(kept), queries, log_copies, bytes(DIGEST_BYTES))
        maker = _Maker(folder, sizes, kept, stream)
        # Of the first copy what the first proofs open is kept.
        roots = [maker.copy(0).commitment.root, *(maker.root(number) for number in range(1, copies))]
        roots += [bytes(DIGEST_BYTES)] * ((1 << log_copies) - copies)
        tree = _upper_tree(np.frombuffer(b"".join(roots), dtype=np.uint8).reshape(-1, DIGEST_BYTES))
        if log_copies:
            _write_durably(folder / COPIES, tree.tobytes())
        commitment = with_link(replace(sizes, root=tree[1].tobytes()), kept, maker.veil)
        budget.create(folder / BUDGET, commitment.root, proofs)
        header = {
            "version": VERSION,
            "code": [code.log_columns, code.blinding, code.log_length],
            "rows": len(kept),
            "dtype": kept.dtype.str,
            "queries": queries,
            "log_copies": log_copies,
            "proofs": proofs,
            "reserved": reserved,
            "root": commitment.root.hex(),
            "link": list(commitment.value),
            "nonce": commitment.nonce,
            "stream": stream.hex(),
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
        log_copies, root, (a, b, c) = int(header["log_copies"]), bytes.fromhex(header["root"]), header["link"]
        data = _map(folder / DATA, dtype, (rows, code.columns))
        if log_copies:
            tree: ByteArray = _map(folder / COPIES, np.dtype(np.uint8), (2 << log_copies, DIGEST_BYTES))
        else:
            tree = _upper_tree(np.frombuffer(root, dtype=np.uint8).reshape(1, DIGEST_BYTES))
        if tree[1].tobytes() != root:
            raise ArtifactError(f"the files in {folder} do not belong together: make the commitment again")
        queries, proofs, reserved = int(header["queries"]), int(header["proofs"]), int(header["reserved"])
        commitment = _sizes(code, rows, queries, log_copies, root)
        commitment = replace(commitment, value=(int(a), int(b), int(c)), nonce=int(header["nonce"]))
        if not 1 <= proofs + reserved <= code.blinding // queries << log_copies:
            raise ArtifactError(f"{folder} has too few random symbols for its budget: make the commitment again")
        stream = bytes.fromhex(header["stream"])
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError, InvalidInputError) as error:
        if isinstance(error, ArtifactError):
            raise
        raise ArtifactError(f"{folder} holds no commitment, or one that was not finished: {error}") from None
    counter = Budget(folder / BUDGET, root, proofs)
    return StoredMatrix(folder, commitment, queries, data, stream, tree, counter, reserved)


def _sizes(code: Code, rows: int, queries: int, log_copies: int, root: bytes) -> CopiesCommitment:
    """The commitment to rows of data, without its link."""
    if not log_copies:
        return CopiesCommitment(code, rows, 0, 0, root)
    masks = COPY_MASKS if code.blinding // queries == 1 else 0
    return CopiesCommitment(code, rows + VEIL_ROWS, masks, log_copies, root)


def _upper_tree(roots: ByteArray) -> ByteArray:
    """The nodes of the tree over the roots of copies, numbered as those of `build_tree`."""
    nodes = np.zeros((2 * len(roots), DIGEST_BYTES), dtype=np.uint8)
    nodes[len(roots) :] = roots
    for number in reversed(range(1, len(roots))):
        left, right = (nodes[child].tobytes() for child in (2 * number, 2 * number + 1))
        nodes[number] = np.frombuffer(hash_node(left, right), dtype=np.uint8)
    return nodes


def _copy_folder(folder: Path, number: int) -> Path:
    return folder / f"copy-{number}"


def _damaged(path: Path) -> WrongKeyError:
    return WrongKeyError(f"{path} is damaged or belongs to other keys; make the keys again")


def _new(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Any:
    """A new file of that size, zero, for its owner alone, mapped to be written."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, max(math.prod(shape) * dtype.itemsize, 1))
    finally:
        os.close(descriptor)
    return np.memmap(path, dtype=dtype, mode="r+", shape=shape)


def _let_go(array: Any) -> None:
    """Write a mapped array to its file, and give back the memory in which it was written."""
    array.flush()
    array._mmap.madvise(mmap.MADV_DONTNEED)


def _map(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Any:
    expected = max(math.prod(shape) * dtype.itemsize, 1)
    if path.stat().st_size != expected:
        raise ValueError(f"{path.name} has {counted(path.stat().st_size, 'byte')} instead of {expected:,}")
    return np.memmap(path, dtype=dtype, mode="r", shape=shape)


def _file_of(array: Any) -> mmap.mmap:
    """What a mapped array lies in."""
    file: mmap.mmap = array._mmap
    return file


def _is_cut_off(array: Any) -> bool:
    """Whether the file of a mapped array became shorter: reading it would end the process."""
    return isinstance(array, np.memmap) and bool(_file_of(array).size() < array.nbytes)


def _write_durably(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with contextlib.closing(os.fdopen(descriptor, "wb")) as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
