"""How every file that a stranger may have made is opened and read: regular files alone, without waiting, bounded.

A file in a store is read likewise: as many bytes as the store says that it has, and no more.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from zkinfer.errors import ArtifactError
from zkinfer.files import stores
from zkinfer.files.location import Location

START_BYTES = 64
"""Of a file, that are looked at before all of it is read."""


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading.

    A pipe, a socket or a device is opened without waiting for its other end, seen to be none, and closed. What is
    checked is what was opened: nobody can put another file in its place in between. Of a file in a store, it is a copy
    on this machine's disk that is opened, and that ends with it.

    Raises:
        OSError: there is no such file, it cannot be read, or it is not a regular file; `strerror` says which.
        ArtifactError, MissingDependencyError: it is not a location, or of a store whose package is not installed.
    """
    place = Location(path)
    if place.path is None:
        return stores.fetch(place.text)
    try:
        descriptor = os.open(place.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except ValueError as error:  # a zero byte within the path
        raise OSError(errno.EINVAL, str(error)) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file, but a folder, a pipe or a device; name a file")
        return os.fdopen(descriptor, "rb")
    except OSError:
        os.close(descriptor)
        raise


def reason(error: OSError) -> str:
    """Why a file cannot be read, and what to do where it is not there."""
    advice = ": check its name, and the folder that you are in" if isinstance(error, FileNotFoundError) else ""
    return f"{error.strerror or error}{advice}"


def read_bounded(
    path: str | os.PathLike[str],
    *,
    max_bytes: int,
    wanted: Callable[[bytes], bool] | None = None,
    admit: Callable[[int], None] = lambda _: None,
) -> bytes:
    """The bytes of a regular file. Memory is taken for as many as the file has, if these are at most `max_bytes`.

    Args:
        path: of the file.
        max_bytes: a longer one is refused.
        wanted: is asked, with the first bytes, whether to read on: if not, these are returned, `START_BYTES` at most.
        admit: is told how many bytes there are before they are read; an error of its own ends the reading.

    Raises:
        ArtifactError: there is no such file, it cannot be read, is not a regular file, is larger, or changed meanwhile.
        MissingDependencyError: it is in a store whose package is not installed.
    """
    place = Location(path)
    with _readable(place):
        if place.path is None:
            size = _bounded(place, stores.size(place.text), max_bytes)
            admit(size)
            pieces = stores.pieces(place.text, size + 1)
            first = next(pieces, b"")
            if wanted is not None and not wanted(first[:START_BYTES]):
                return first[:START_BYTES]
            data = b"".join((first, *pieces))
        else:
            with open_regular(place) as file:
                size = _bounded(place, os.fstat(file.fileno()).st_size, max_bytes)
                admit(size)
                if wanted is not None:
                    start = file.read(START_BYTES)
                    if not wanted(start):
                        return start
                    file.seek(0)
                data = file.read(size + 1)
    if len(data) != size:
        raise ArtifactError(f"{place} changed while it was read")
    return data


def read_start(path: str | os.PathLike[str], count: int) -> tuple[bytes, int]:
    """The first bytes of a regular file, up to `count`, and how many it has; nothing else of it is read.

    Raises:
        ArtifactError: there is no such file, it cannot be read, or it is not a regular file.
        MissingDependencyError: it is in a store whose package is not installed.
    """
    place = Location(path)
    with _readable(place):
        if place.path is None:
            size = stores.size(place.text)
            return b"".join(stores.pieces(place.text, min(count, size))), size
        with open_regular(place) as file:
            return file.read(count), os.fstat(file.fileno()).st_size


def _bounded(place: Location, size: int, max_bytes: int) -> int:
    if size > max_bytes:
        raise ArtifactError(f"{place} is larger than the {max_bytes:,} bytes that are accepted here: it has {size:,}")
    return size


@contextmanager
def _readable(place: Location) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArtifactError(f"cannot read {place}: {reason(error)}") from error
