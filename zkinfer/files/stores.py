"""Files in stores, by their URLs: s3://, gs://, memory:// and whatever else fsspec reaches.

Nothing of a store is trusted: a file's size is asked first, and however much comes, no more is taken. A file is written
under another name and then moved, so that what has its name is whole. What a store's package raises becomes an OSError
in one line.
"""

import contextlib
import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO

from zkinfer.errors import MissingDependencyError, ResourceError
from zkinfer.extras import requiring

PIECE_BYTES = 1 << 20
MAX_REASON = 300
MAGIC = "*?[]"
"""Characters that fsspec takes for patterns where it moves a file."""


@contextlib.contextmanager
def _asking() -> Iterator[None]:
    """Let what a store's package raises be an OSError whose `strerror` is a line."""
    try:
        yield
    except (MissingDependencyError, MemoryError):
        raise
    except Exception as error:  # each package has errors of its own
        number = (isinstance(error, OSError) and error.errno) or errno.EIO
        reason = (isinstance(error, OSError) and error.strerror) or f"{type(error).__name__}: {error}"
        if isinstance(error, FileNotFoundError):
            number, reason = errno.ENOENT, os.strerror(errno.ENOENT)
        raise OSError(number, " ".join(reason.split())[:MAX_REASON]) from error


def _reach(url: str) -> tuple[Any, str]:
    """The store's file system, and the file's name there.

    Raises:
        MissingDependencyError: fsspec, or what it needs for this kind of store, is not installed.
    """
    with requiring(f"a file in a store, such as {url},", "stores"):
        from fsspec.core import url_to_fs
    try:
        store, path = url_to_fs(url)
    except ImportError as error:
        raise MissingDependencyError(f"{url}: {error}: fsspec needs that package for such a store") from None
    except ValueError as error:
        raise OSError(errno.EINVAL, f"fsspec knows no such store: {error}") from None
    store.invalidate_cache()  # what it was told before may not be so any more
    return store, str(path)


def _description(store: Any, path: str) -> tuple[int, str]:
    """How many bytes a file has, by what the store says; and something that changes when the file does."""
    found = store.info(path)
    if found.get("type") != "file":
        raise OSError(errno.EISDIR, "it is not a file, but a folder")
    size = found.get("size")
    if not isinstance(size, int) or size < 0:
        raise OSError(errno.EINVAL, "the store does not say how many bytes it has")
    return size, str(store.ukey(path))


def exists(url: str) -> bool:
    """Whether the store has a file or a folder of that name; raises OSError where it cannot be asked."""
    with _asking():
        store, path = _reach(url)
        try:
            store.info(path)
        except FileNotFoundError:
            return False
        return True


def size(url: str) -> int:
    """How many bytes the store says that the file has; raises OSError where it cannot say that."""
    return describe(url)[0]


def describe(url: str) -> tuple[int, str]:
    """How many bytes the file has, and a text that changes when the file does.

    Raises:
        OSError: there is no such file, or the store cannot be asked.
        MissingDependencyError: a package is not installed.
    """
    with _asking():
        return _description(*_reach(url))


def pieces(url: str, most: int) -> Iterator[bytes]:
    """The first bytes of a file, up to `most`, in pieces of at most `PIECE_BYTES`.

    Raises:
        OSError, MissingDependencyError: as `describe`.
    """
    with _asking():
        store, path = _reach(url)
        with store.open(path, "rb") as file:
            while most > 0:
                piece = file.read(min(most, PIECE_BYTES))
                if not piece:
                    return
                if len(piece) > most:
                    raise OSError(errno.EIO, "the store sends more than was asked for")
                most -= len(piece)
                yield bytes(piece)


def fetch(url: str) -> BinaryIO:
    """A copy of the whole file on this machine's disk, which ends when it is closed.

    Raises:
        OSError: as `describe`; there is no room for it; or it has another size than the store says.
        MissingDependencyError: a package is not installed.
    """
    expected = size(url)
    if expected > shutil.disk_usage(tempfile.gettempdir()).free:
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} for a copy in {tempfile.gettempdir()}")
    file: Any = tempfile.TemporaryFile()  # noqa: SIM115 (whoever asked for it closes it)
    try:
        for piece in pieces(url, expected + 1):
            file.write(piece)
        if file.tell() != expected:
            raise OSError(errno.EIO, "it changed while it was read, or has not the size that the store says")
        file.seek(0)
    except BaseException:
        file.close()
        raise
    opened: BinaryIO = file
    return opened


class StoredFile:
    """A file in a store, written in steps as `artifact.ReservedFile` is.

    The part under another name shows that the store can be written, before anything is made that cannot be made twice.
    How much room there is, no store says; who may read the file is the store's to decide.
    """

    def __init__(self, url: str) -> None:
        """Begin the part.

        Raises:
            ResourceError: the store cannot be written.
            MissingDependencyError: a package is not installed.
        """
        self._url = url
        self._part = ""
        with self._writing():
            self._store, self._target = _reach(url)
            folder, slash, name = self._target.rpartition("/")
            if not name or url.endswith("/") or set(self._target) & set(MAGIC):
                raise OSError(errno.EINVAL, f"no file can have that name, with a slash at its end or one of {MAGIC}")
            if self._store.isdir(self._target):
                raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
            part = f"{folder}{slash}.{name}.{secrets.token_hex(8)}.part"
            self._store.pipe_file(part, b"")
            self._part = part

    def fill(self, *pieces: bytes | memoryview) -> None:
        """Write all content; may be tried again until it is published. Raises ResourceError."""
        with self._writing():
            self._store.pipe_file(self._part, b"".join(pieces))

    def publish(self) -> None:
        """Let the file, which was filled, take its place; may be tried again. Raises ResourceError."""
        if self._part:
            with self._writing():
                self._store.mv(self._part, self._target)
            self._part = ""

    def close(self) -> None:
        """Remove the part, unless the file has its place."""
        if self._part:
            with contextlib.suppress(Exception):  # a part that stays harms nothing
                self._store.rm_file(self._part)
            self._part = ""

    def __enter__(self) -> "StoredFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with _asking():
                yield
        except OSError as error:
            raise ResourceError(f"cannot write {self._url}: {error.strerror or error}") from error
