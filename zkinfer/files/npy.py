"""Arrays in NumPy's formats, from files that a stranger may have made: the header alone decides, and it is bounded.

Arrays hold numbers; Python objects are never read. An array is exactly as long as its header says.
"""

import io
import math
import os
import zipfile
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from zkinfer.counts import counted
from zkinfer.errors import InvalidInputError
from zkinfer.files.reading import open_regular, reason
from zkinfer.typing import Array

MAGIC = b"\x93NUMPY"
MAX_HEADER_BYTES = 10_000
"""NumPy itself reads no longer header of an array that it does not trust."""

NUMBERS = "biuf"
"""Kinds of dtypes that are real numbers or truth values."""

MAX_INFLATION = 1100
"""Deflate makes at most 1,032 bytes of one."""


@dataclass(frozen=True)
class NpyHeader:
    """What the header of an array says.

    Attributes:
        shape: sizes of the axes.
        fortran: the first axis varies fastest.
        dtype: of numbers.
        offset: where in the file the elements begin.
    """

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    offset: int

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(stream: IO[bytes], where: str) -> NpyHeader:
    """The header at the beginning of a stream, which is then at the first element.

    Raises:
        InvalidInputError: it is none, it is too long, or no array of numbers has it.
        OSError, EOFError and what else the stream raises where it is damaged itself.
    """
    start = stream.read(len(MAGIC) + 4)
    if not start.startswith(MAGIC) or len(start) < len(MAGIC) + 4:
        raise InvalidInputError(f"{where}: not an array in NumPy's format; write one with numpy.save")
    version = start[len(MAGIC)], start[len(MAGIC) + 1]
    readers = {1: (2, np.lib.format.read_array_header_1_0), 2: (4, np.lib.format.read_array_header_2_0)}
    if version[0] not in readers or version[1]:
        raise InvalidInputError(f"{where}: an array in an unknown version of NumPy's format, {version[0]}.{version[1]}")
    width, parse = readers[version[0]]
    prefix = start[len(MAGIC) + 2 :] + stream.read(width - 2)
    length = int.from_bytes(prefix, "little")
    if length > MAX_HEADER_BYTES:
        raise InvalidInputError(f"{where}: the header of this array takes {counted(length, 'byte')}, more than any")
    try:
        shape, fortran, dtype = parse(io.BytesIO(prefix + stream.read(length)))
    except Exception as error:  # the header is a Python literal, and ways to get it wrong are many
        raise InvalidInputError(f"{where}: the header of this array is damaged: {error}") from None
    if dtype.hasobject:
        raise InvalidInputError(f"{where}: holds Python objects, which are never read; save an array of numbers")
    if dtype.kind not in NUMBERS:
        raise InvalidInputError(f"{where}: holds {str(dtype)[:40]}, which are not numbers")
    if any(not 0 <= n < 1 << 62 for n in shape):
        raise InvalidInputError(f"{where}: the header declares a shape that no array has")
    return NpyHeader(tuple(shape), bool(fortran), dtype, len(MAGIC) + 2 + width + length)


def check_length(header: NpyHeader, size: int, where: str) -> None:
    """Check that a file, or a member of an archive, of so many bytes holds the array of its header and no more.

    Raises:
        InvalidInputError: it does not.
    """
    if header.nbytes != size - header.offset:
        raise InvalidInputError(
            f"{where}: the header declares shape {header.shape} of {header.dtype}, which takes "
            f"{counted(header.nbytes, 'byte')}, "
            f"but {size - header.offset} follow: the file is cut off or was edited, or is still being written"
        )


def parse_npy(data: bytes, where: str) -> Array:
    """The array of a whole file's content, read-only.

    Raises:
        InvalidInputError: it is none, or not as long as its header says.
    """
    header = read_header(io.BytesIO(data), where)
    check_length(header, len(data), where)
    array = np.frombuffer(data, dtype=header.dtype, offset=header.offset)
    return array.reshape(header.shape, order="F" if header.fortran else "C")


def map_npy(path: str | os.PathLike[str]) -> Array:
    """The array of a file, mapped and not read; read-only. That of a file in a store is copied to this machine's disk.

    Raises:
        InvalidInputError: there is no such file, it is not an array of numbers, or not as long as its header says.
    """
    where = str(path)
    try:
        with open_regular(path) as file:
            header = read_header(file, where)
            check_length(header, os.fstat(file.fileno()).st_size, where)
            if not header.nbytes:
                return np.zeros(header.shape, dtype=header.dtype)
            order = "F" if header.fortran else "C"
            mapped: Array = np.memmap(file, header.dtype, "r", header.offset, header.shape, order)  # type: ignore[call-overload]
            return mapped
    except OSError as error:
        raise InvalidInputError(f"cannot read {where}: {reason(error)}") from None
    except ValueError as error:
        raise InvalidInputError(f"cannot read {where}: {error}") from None


def open_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, where: str) -> IO[bytes]:
    """An array within an `.npz` archive, which NumPy writes as it is or deflated.

    Raises:
        InvalidInputError: it is encrypted, compressed in another way, or said to be longer than its bytes can make it.
        OSError, zipfile.BadZipFile and what else the archive raises where it is damaged.
    """
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & 1:
        raise InvalidInputError(f"{where}: compressed in another way than NumPy does, or encrypted")
    if member.file_size > MAX_INFLATION * member.compress_size + MAX_HEADER_BYTES:
        raise InvalidInputError(
            f"{where}: {counted(member.compress_size, 'byte')} cannot hold an array of {member.file_size:,}"
        )
    return archive.open(member)
