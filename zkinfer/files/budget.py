"""How many proofs a long-lived commitment may still serve, accounted for in a file.

A commitment to weights is opened again in every proof, and its randomness hides the weights for a fixed number of
openings; beyond it, every further one gives away equations about them.

    8 bytes   magic "zkbudget", or "zkgrants"
    32 bytes  what the budget belongs to: a digest of the commitment
    8 bytes   openings in all, little-endian
    1 byte    for each opening: 0, or 1 once it was begun, the first ones first

The file has its whole length from the beginning, so one that was cut off gives nothing back, and accounting for an
opening needs no space on the disk. The byte of an opening is set before the opening exists, under a lock and synced to
disk: a crash wastes at most one proof of the budget and never hands one out twice, and any number of processes share
the file safely. What no file can notice is its own past: a copy or a restored backup of it counts from where it was
copied, so neither may ever be used.

Openings are numbered from 0 on, and each number is given out once: what belongs to an opening, such as the copy of a
matrix that it shows, follows from its number. A file of the second magic gives out only numbers that were taken from
the true budget before, wherever they lie: in it all count as begun from the start (`create_empty`, `Budget.grant`).
"""

import contextlib
import fcntl
import os
import struct
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

from zkinfer.errors import ArtifactError, BudgetError, ResourceError, WrongKeyError

MAGIC, GRANTS_MAGIC = b"zkbudget", b"zkgrants"
_HEADER = struct.Struct("<8s32sQ")
_BEGUN = b"\x01"


def create(path: Path, owner: bytes, total: int) -> None:
    """A budget, unspent.

    Args:
        path: the file.
        owner: 32 bytes, a digest of what the budget belongs to.
        total: openings in all.

    Raises:
        FileExistsError: there is one already; it is left alone.
    """
    _write_new(path, _HEADER.pack(MAGIC, owner, total) + bytes(total))


def create_empty(path: Path, owner: bytes, total: int) -> None:
    """What stands for a budget elsewhere, and has nothing but what it is granted; otherwise as `create`."""
    _write_new(path, _HEADER.pack(GRANTS_MAGIC, owner, total) + _BEGUN * total)


def _write_new(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    sync_folder(path.parent)


class Budget:
    """The budget of one commitment, held: nothing is spent from a file that took its place.

    The descriptor that is held keeps the file alive, so that no other file can have its number. Each spending opens
    the path again, because locks of one descriptor would not keep the threads and forks of a process apart.

    Attributes:
        path: the file.
        owner: what it belongs to, 32 bytes.
        total: openings in all.
    """

    def __init__(self, path: Path, owner: bytes, total: int) -> None:
        """Open the file.

        Raises:
            ArtifactError: there is none, or it is not a whole budget of so many openings.
            WrongKeyError: it belongs to something else.
        """
        self.path, self.owner, self.total = path, owner, total
        self._held = _open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._held)
        self._count(self._held)

    @property
    def spent(self) -> int:
        """How many openings were begun.

        Raises:
            ArtifactError, WrongKeyError: the file is not there any more, or not as it was; see `spend`.
        """
        with self._opened(os.O_RDONLY) as descriptor:
            return self._count(descriptor)

    @property
    def left(self) -> int:
        """How many openings may still be begun; raises as `spent` does."""
        return self.total - self.spent

    def spend(self) -> int:
        """Take one opening, durably; returns its number.

        Raises:
            BudgetError: nothing is left.
            ArtifactError: the file is gone, cut off or damaged.
            WrongKeyError: another file took its place, or it belongs to another commitment by now.
            ResourceError: the file cannot be written; nothing may be opened.
        """
        with self._locked() as descriptor:
            number = self._read(descriptor).find(b"\0")
            if number < 0:
                raise BudgetError(
                    f"this commitment has served the {self.total:,} proofs that hide its data; "
                    "make a new one, with a larger number of proofs if need be, and publish it"
                )
            self._write(descriptor, number, _BEGUN)
        return number

    @contextlib.contextmanager
    def retiring(self) -> Iterator[None]:
        """Nothing is spent while the block runs, and when it ends without an error nothing is left.

        For moving a budget: the block copies it, and whoever still uses the old file then gets nothing from it.

        Raises:
            ArtifactError, WrongKeyError, ResourceError: see `spend`.
        """
        with self._locked() as descriptor:
            self._read(descriptor)
            yield
            self._write(descriptor, 0, _BEGUN * self.total)

    def grant(self, numbers: Sequence[int]) -> None:
        """Let these openings be begun, which were taken from the true budget that this one stands for.

        Only for a file of `create_empty`.
        """
        with self._locked() as descriptor:
            for number in numbers:
                self._write(descriptor, number, b"\0")

    @contextlib.contextmanager
    def _opened(self, flags: int) -> Iterator[int]:
        """The file at the path, which is the one that is held."""
        descriptor = _open(self.path, flags)
        try:
            if not self._is_held(descriptor):
                raise WrongKeyError(
                    f"{self.path} is not the budget that was loaded: its keys were renewed or restored since. "
                    "Load them again"
                )
            yield descriptor
        finally:
            os.close(descriptor)

    def _is_held(self, descriptor: int) -> bool:
        try:
            return os.path.sameopenfile(descriptor, self._held)
        except OSError:  # on a network file system: another machine removed it
            return False

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        with self._opened(os.O_RDWR) as descriptor:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except OSError as error:
                raise self._unwritable(error) from error
            yield descriptor

    def _count(self, descriptor: int) -> int:
        """How many openings were begun."""
        return self.total - self._read(descriptor).count(b"\0")

    def _read(self, descriptor: int) -> bytes:
        """A byte for each opening, of a file that has to be whole and of the owner."""
        data = os.pread(descriptor, _HEADER.size + self.total + 1, 0)
        if len(data) < _HEADER.size or data[: len(MAGIC)] not in (MAGIC, GRANTS_MAGIC):
            raise ArtifactError(
                f"{self.path} is not a budget of this version of zkinfer, or cut off: make the keys again"
            )
        magic, owner, total = _HEADER.unpack_from(data)
        if owner != self.owner:
            raise WrongKeyError(f"{self.path} belongs to other keys: they were renewed, or the folder mixes two")
        begun = data[_HEADER.size :]
        has_hole = magic == MAGIC and b"\0" in begun.rstrip(b"\0")
        if total != self.total or len(data) != _HEADER.size + total or has_hole:
            raise ArtifactError(
                f"{self.path} is cut off or damaged, and how many proofs were made is not known: make the keys again"
            )
        return begun

    def _write(self, descriptor: int, position: int, data: bytes) -> None:
        try:
            if os.pwrite(descriptor, data, _HEADER.size + position) != len(data):
                raise ResourceError(f"cannot account for a proof in {self.path}: not all was written")
            os.fsync(descriptor)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> ResourceError:
        return ResourceError(f"cannot account for a proof in {self.path}: {error.strerror}")


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise ArtifactError(f"the budget file {path} is missing: {error.strerror}; make the commitment again") from None
    except OSError as error:
        raise ResourceError(f"cannot account for a proof in {path}: {error.strerror}") from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
