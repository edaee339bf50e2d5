"""The envelope around every zkinfer file: what it is, which version, and whether it is whole.

    8 bytes   magic "zkinfer\\0"
    4 bytes   kind, ASCII, one of those in `kinds`
    4 bytes   version, little-endian
    8 bytes   length of the payload, little-endian
    32 bytes  BLAKE3 of everything before it and the payload, bound to this purpose
    payload

The checksum finds damage and careless edits; it proves nothing about who wrote the file.
"""

import contextlib
import errno
import glob
import os
import shutil
import struct
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from blake3 import blake3

from zkinfer.counts import counted
from zkinfer.errors import ArtifactError, InvalidInputError, ResourceError, WrongKindError
from zkinfer.files.kinds import KINDS
from zkinfer.files.location import Location
from zkinfer.files.stores import StoredFile

Buffer: TypeAlias = bytes | memoryview
"""Bytes, or a part of some."""

MAGIC = b"zkinfer\0"
CHECKSUM_CONTEXT = "zkinfer 2026 artifact checksum v1"
_HEADER = struct.Struct("<8s4sIQ")
HEADER_BYTES = _HEADER.size + 32
MAX_MESSAGE = 400


def _checksum(header: bytes, pieces: Iterable[Buffer]) -> bytes:
    hasher = blake3(derive_key_context=CHECKSUM_CONTEXT)
    hasher.update(header)
    for piece in pieces:
        hasher.update(piece)
    digest: bytes = hasher.digest()
    return digest


def wrap(kind: str, version: int, payload: bytes) -> bytes:
    """The payload in its envelope."""
    return b"".join(wrapped(kind, version, [payload]))


def wrapped(kind: str, version: int, pieces: Sequence[Buffer]) -> list[Buffer]:
    """The pieces of an envelope, for those of a payload; none is copied.

    Args:
        kind, version: as in the envelope.
        pieces: of single bytes each.
    """
    length = sum(len(memoryview(piece)) for piece in pieces)
    header = _HEADER.pack(MAGIC, kind.encode("ascii"), version, length)
    return [header, _checksum(header, pieces), *pieces]


def kind_and_version(data: bytes) -> tuple[str, int]:
    """What the header of a file says it is, before anything else of the file is checked.

    Raises:
        WrongKindError: not a zkinfer file.
    """
    if len(data) < HEADER_BYTES or data[: len(MAGIC)] != MAGIC:
        raise WrongKindError("not a zkinfer file, or cut off within its header")
    _, kind, version, _ = _HEADER.unpack_from(data)
    return kind.decode("ascii", "backslashreplace"), version


def unwrap(data: bytes, kind: str, version: int, *, max_bytes: int) -> bytes:
    """The payload of an envelope; see `opened`."""
    return bytes(opened(data, kind, version, max_bytes=max_bytes))


def opened(data: bytes, kind: str, version: int, *, max_bytes: int) -> memoryview:
    """The payload of an envelope of this kind and version, as a part of its bytes.

    Raises:
        WrongKindError: not a zkinfer file, or one of another kind or version.
        ArtifactError: truncated, extended, damaged, or over `max_bytes`.
    """
    found_kind, found_version = kind_and_version(data)
    if found_kind != kind:
        found, needed = (KINDS[tag].name if tag in KINDS else tag for tag in (found_kind, kind))
        raise WrongKindError(f"a zkinfer file of kind {found!r} where {needed!r} is needed")
    if found_version != version:
        age = "an older" if found_version < version else "a newer"
        raise WrongKindError(
            f"made by {age} version of zkinfer: it has file version {found_version}, and this zkinfer reads version "
            f"{version}; install the zkinfer that wrote it, or make the file again"
        )
    length = _HEADER.unpack_from(data)[-1]
    if length > max_bytes:
        raise ArtifactError(f"the file declares {counted(length, 'byte')}; at most {max_bytes:,} are accepted")
    payload = memoryview(data)[HEADER_BYTES:]
    if len(payload) != length:
        raise ArtifactError(
            f"the file should hold {counted(length, 'byte')} and holds {len(payload):,}: truncated or extended"
        )
    if data[_HEADER.size : HEADER_BYTES] != _checksum(data[: _HEADER.size], [payload]):
        raise ArtifactError("the file's checksum does not match: it was damaged or edited")
    return payload


@contextlib.contextmanager
def writing(what: str | os.PathLike[str]) -> Iterator[None]:
    """Let a full or unwritable disk be a ResourceError that names what could not be written."""
    try:
        yield
    except OSError as error:
        raise ResourceError(f"cannot write {what}: {error.strerror or error}") from error


@contextlib.contextmanager
def building_folder(target: Path) -> Iterator[Path]:
    """A folder under construction: renamed into place when the block ends, removed when it fails.

    A process that is killed leaves only a hidden ``.NAME.part-*`` folder, which the next build of NAME removes.

    Raises:
        InvalidInputError: `target` exists.
        ResourceError: the disk is full or not writable.
    """
    with writing(target):
        if target.exists():
            raise InvalidInputError(f"{target} exists, and nothing is replaced: choose another folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        for stale in target.parent.glob(f".{glob.escape(target.name)}.part-*"):
            if not _builder_is_alive(stale):
                shutil.rmtree(stale, ignore_errors=True)
        part = Path(tempfile.mkdtemp(prefix=f".{target.name}.part-{os.getpid()}-", dir=target.parent))
        try:
            yield part
            part.rename(target)
            _sync_directory(target.parent)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _builder_is_alive(part: Path) -> bool:
    """Is the process that builds this folder still running?"""
    try:
        os.kill(int(part.name.rpartition(".part-")[2].split("-")[0]), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


class ReservedFile:
    """Room on the disk for a file whose content will cost something that cannot be had twice, such as a proof.

    The file appears once it is whole. Until then a hidden one beside it holds the space, as a context: it is removed at
    the end if nothing took its place.
    """

    def __init__(self, path: str | os.PathLike[str], size: int = 0, *, private: bool = False) -> None:
        """Take the space.

        Args:
            path: of the file; replaced if it exists.
            size: bytes to reserve; content may be shorter, or longer if there is room.
            private: readable by its owner alone (mode 600), for weights and proving keys.

        Raises:
            ResourceError: the disk is full or not writable; nothing is left behind.
        """
        self._target = Path(path)
        self._part: Path | None = None
        with self._writing():
            if self._target.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            folder, prefix = self._target.parent, f".{self._target.name}."
            descriptor, name = tempfile.mkstemp(dir=folder, prefix=prefix, suffix=".part")
            self._part, self._file = Path(name), os.fdopen(descriptor, "wb")
            try:
                os.fchmod(descriptor, 0o600 if private else 0o644)
                if size:
                    os.posix_fallocate(descriptor, 0, size)
            except BaseException:
                self.close()
                raise

    def fill(self, *pieces: Buffer) -> None:
        """Write all content durably, and give back the space beyond it. May be tried again until it is published.

        Raises:
            ResourceError: the disk is full or not writable.
        """
        if self._part is None:
            return
        with self._writing():
            self._file.seek(0)
            for piece in pieces:
                self._file.write(piece)
            self._file.truncate()
            self._file.flush()
            os.fsync(self._file.fileno())

    def publish(self) -> None:
        """Let the file, which was filled, take its place. May be tried again.

        Raises:
            ResourceError: the folder is not writable, or not there any more.
        """
        with self._writing():
            if self._part is not None:
                self._part.replace(self._target)
                self._part = None
            _sync_directory(self._target.parent)

    def close(self) -> None:
        """Give the space back, unless the file has its place."""
        with contextlib.suppress(OSError):
            self._file.close()
        if self._part is not None:
            with contextlib.suppress(OSError):
                self._part.unlink()
            self._part = None

    def __enter__(self) -> "ReservedFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ResourceError(f"cannot write {self._target}: {reason}") from error


def reserve(path: str | os.PathLike[str], size: int = 0, *, private: bool = False) -> ReservedFile | StoredFile:
    """Begin a file whose content will cost something that cannot be had twice; in a store, without taking the space.

    Args:
        path, size, private: as of `ReservedFile`; the location may be in a store, which has no modes.

    Raises:
        ResourceError: the disk or the store cannot be written.
        ArtifactError, MissingDependencyError: it is not a location, or of a store whose package is not installed.
    """
    place = Location(path)
    return StoredFile(place.text) if place.path is None else ReservedFile(place.path, size, private=private)


def write_atomically(path: str | os.PathLike[str], *pieces: Buffer, private: bool = False) -> None:
    """Write a file so that a crash at any moment leaves the old file or the new one, never a part.

    Args:
        path: where to; replaced if it exists.
        pieces: the whole content, which is written piece by piece.
        private: readable by its owner alone (mode 600), for weights and proving keys.

    Raises:
        ResourceError: the disk is full or not writable; nothing is left behind.
        ArtifactError, MissingDependencyError: as of `reserve`.
    """
    with reserve(path, private=private) as file:
        file.fill(*pieces)
        file.publish()


def _sync_directory(folder: Path) -> None:
    """Make a rename in this folder durable, where the platform lets a folder be synced."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def one_line(error: Exception) -> str:
    """An error's message for people, safe to print even when it quotes a hostile file: one line, ASCII, short."""
    text = str(error).encode("ascii", "backslashreplace").decode("ascii")
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return text if len(text) <= MAX_MESSAGE else f"{text[: MAX_MESSAGE - 3]}..."
