"""How every file that a stranger may have made is opened and read: regular files alone, without waiting, bounded."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from zkinfer.errors import ArtifactError


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading.

    A pipe, a socket or a device is opened without waiting for its other end, seen to be none, and closed. What is
    checked is what was opened: nobody can put another file in its place in between.

    Raises:
        OSError: there is no such file, it cannot be read, or it is no regular file; `strerror` says which.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except ValueError as error:  # a zero byte within the path
        raise OSError(errno.EINVAL, str(error)) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file, but a folder, a pipe, a socket or a device")
        return os.fdopen(descriptor, "rb")
    except OSError:
        os.close(descriptor)
        raise


def read_bounded(path: str | os.PathLike[str], *, max_bytes: int) -> bytes:
    """The bytes of a regular file. Memory is taken for as many as the file has, if these are at most `max_bytes`.

    Raises:
        ArtifactError: there is no such file, it cannot be read, is no regular file, is larger, or changed meanwhile.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(size + 1) if size <= max_bytes else b""
    except OSError as error:
        raise ArtifactError(f"cannot read {Path(path)}: {error.strerror or error}") from error
    if size > max_bytes:
        raise ArtifactError(f"{Path(path)} is larger than the {max_bytes} bytes that are accepted here: it has {size}")
    if len(data) != size:
        raise ArtifactError(f"{Path(path)} changed while it was read")
    return data
