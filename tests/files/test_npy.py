"""Arrays from files of strangers: their headers are bounded, and an array is as long as its header says."""

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.errors import InvalidInputError
from zkinfer.files.npy import MAX_HEADER_BYTES, map_npy, open_member, parse_npy
from zkinfer.typing import Array

ARRAYS: list[Array] = [
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype=np.int8).reshape(2, 3)),
    np.zeros((0, 4)),
    np.array(5.0),
    np.array([True, False]),
]


def written(array: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def with_header(header: bytes, version: int = 1, data: bytes = b"") -> bytes:
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(header)) + header + data


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
def test_arrays_are_read_and_mapped_as_they_were_written(array: Array, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(written(array))
    for found in (parse_npy(path.read_bytes(), "x"), map_npy(path)):
        assert found.dtype == array.dtype
        assert np.array_equal(found, array)
        assert not found.flags.writeable or not found.size


HOSTILE = {
    "another format": b"PK..",
    "cut off": written(np.zeros(9))[:-1],
    "extended": written(np.zeros(9)) + b"x",
    "a header of 4 GB": b"\x93NUMPY\2\0\xff\xff\xff\xff",
    "a header that is too long": with_header(b"(" * (MAX_HEADER_BYTES + 1), 2),
    "parentheses": with_header(b"(" * MAX_HEADER_BYTES),
    "minus signs": with_header(b"-" * (MAX_HEADER_BYTES - 1) + b"1"),
    "a huge number": with_header(b"{'descr': '<f8', 'fortran_order': False, 'shape': (0x" + b"f" * 9000 + b",)}"),
    "a negative size": with_header(b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -8)}", data=bytes(64)),
    "elements of no bytes": with_header(b"{'descr': '|S0', 'fortran_order': False, 'shape': (1000000000000,)}"),
    "text": written(np.array(["a"])),
    "objects": written(np.array([{}]), allow_pickle=True),
    "an unknown version": with_header(b"", 9),
    "a minor version": b"\x93NUMPY\1\1" + written(np.zeros(9))[8:],
    "cut off in its first bytes": written(np.zeros(9))[:9],
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_other_files_are_refused_by_name(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError):
        parse_npy(data, "x")
    path = tmp_path / "x.npy"
    path.write_bytes(data)
    with pytest.raises(InvalidInputError, match=r"x\.npy"):
        map_npy(path)


@given(st.binary(max_size=200))
def test_any_header_is_read_or_refused(header: bytes) -> None:
    try:
        parse_npy(with_header(header), "x")
    except InvalidInputError:
        return


@pytest.mark.parametrize("compression", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_archives_that_numpy_does_not_write_are_refused(compression: int) -> None:
    """The dictionary of an LZMA stream may take gigabytes, and its errors are of classes of its own."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr("x.npy", written(np.zeros(9)))
    with zipfile.ZipFile(stream) as archive, pytest.raises(InvalidInputError, match="another way than NumPy"):
        open_member(archive, archive.infolist()[0], "x")


def test_an_encrypted_member_is_refused() -> None:
    """Else zipfile asks for a password, with an error of its own."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("x.npy", written(np.zeros(9)))
    with zipfile.ZipFile(stream) as archive:
        member = archive.infolist()[0]
        member.flag_bits |= 1
        with pytest.raises(InvalidInputError, match="or encrypted"):
            open_member(archive, member, "x")


def test_a_member_that_its_bytes_cannot_make_is_refused() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", written(np.zeros(9)))
    with zipfile.ZipFile(stream) as archive:
        member = archive.infolist()[0]
        with open_member(archive, member, "x") as opened:
            assert np.array_equal(parse_npy(opened.read(), "x"), np.zeros(9))
        member.file_size = 1 << 40
        with pytest.raises(InvalidInputError, match="cannot hold"):
            open_member(archive, member, "x")
