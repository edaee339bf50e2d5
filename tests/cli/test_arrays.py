"""Arrays from files: what a stranger sends is read exactly or refused."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from zkinfer.cli import arrays
from zkinfer.cli.arrays import read_arrays, read_context
from zkinfer.errors import InvalidInputError

SHARED_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@SHARED_FOLDER
@given(
    hnp.arrays(st.sampled_from([np.float32, np.float64, np.int64, np.uint8]), hnp.array_shapes(min_dims=0, min_side=0))
)
def test_npy_round_trip(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "x.npy", array)
    read = read_arrays(tmp_path / "x.npy")
    np.testing.assert_array_equal(read, array)
    assert isinstance(read, np.ndarray)
    assert read.dtype == array.dtype


def test_column_major_arrays_keep_their_order(tmp_path: Path) -> None:
    array = np.asfortranarray(np.arange(6).reshape(2, 3))
    np.save(tmp_path / "x.npy", array)
    np.testing.assert_array_equal(read_arrays(tmp_path / "x.npy"), array)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_gives_arrays_by_name(tmp_path: Path, save) -> None:  # type: ignore[no-untyped-def]
    save(tmp_path / "x.npz", left=np.ones(2), right=np.zeros((1, 3)))
    read = read_arrays(tmp_path / "x.npz")
    assert isinstance(read, dict)
    assert {name: a.shape for name, a in read.items()} == {"left": (2,), "right": (1, 3)}


def refused(path: Path, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        read_arrays(path)


def test_python_objects_are_never_read(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    refused(tmp_path / "x.npy", "Python objects")


def test_missing_file(tmp_path: Path) -> None:
    refused(tmp_path / "none.npy", "cannot read")


@pytest.mark.parametrize("data", [b"", b"1,2,3\n", b"\x93NUM", b"\x80\x04K\x01."])
def test_another_format(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.npy").write_bytes(data)
    refused(tmp_path / "x.npy", "not a NumPy file")


@pytest.mark.parametrize("change", [lambda d: d[:-1], lambda d: d + b"\0"], ids=["cut off", "extended"])
def test_length_must_be_what_the_header_declares(tmp_path: Path, change) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "x.npy").write_bytes(change(npy(np.ones((2, 3)))))
    refused(tmp_path / "x.npy", "cut off or was edited")


def test_a_declared_size_allocates_nothing(tmp_path: Path) -> None:
    """The header claims 8 * 10**15 bytes."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (10**15,)})
    (tmp_path / "x.npy").write_bytes(stream.getvalue())
    refused(tmp_path / "x.npy", "cut off or was edited")


@SHARED_FOLDER
@given(st.binary(max_size=200))
def test_any_header_is_read_or_refused(tmp_path: Path, tail: bytes) -> None:
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00" + tail)
    with pytest.raises(InvalidInputError):
        read_arrays(tmp_path / "x.npy")


def test_unknown_version(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x09\x00" + b" " * 100)
    refused(tmp_path / "x.npy", "unknown version|damaged")


def test_size_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "MAX_ARRAY_BYTES", 100)
    np.save(tmp_path / "x.npy", np.ones(1))
    refused(tmp_path / "x.npy", "larger than the 100 bytes")


def test_archive_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "MAX_ARRAY_BYTES", 10_000)
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros(10_000))
    assert (tmp_path / "x.npz").stat().st_size < 10_000
    refused(tmp_path / "x.npz", "at most")


def test_damaged_archive(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", x=np.arange(1000))
    data = bytearray((tmp_path / "x.npz").read_bytes())
    data[len(data) // 3] ^= 0xFF
    (tmp_path / "x.npz").write_bytes(data)
    refused(tmp_path / "x.npz", r"x\.npz")


def test_archive_with_something_else_in_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", b"no array")
    refused(tmp_path / "x.npz", "not an array")


def test_context_as_text_file_or_hexadecimal(tmp_path: Path) -> None:
    (tmp_path / "nonce").write_bytes(b"\x00\xff")
    assert read_context("") == b""
    assert read_context("request 7") == b"request 7"
    assert read_context("hex:00ff") == b"\x00\xff"
    assert read_context(f"@{tmp_path / 'nonce'}") == b"\x00\xff"


@pytest.mark.parametrize("text", ["hex:0", "hex:zz", "@/no/such/file", "x" * 70_000])
def test_bad_context(text: str) -> None:
    with pytest.raises(InvalidInputError, match="--context"):
        read_context(text)


def test_json_holds_nested_lists_or_several_by_name(tmp_path: Path) -> None:
    (tmp_path / "y.json").write_text("[[1, 2.5], [3, -4e-2]]")
    np.testing.assert_array_equal(read_arrays(tmp_path / "y.json"), [[1, 2.5], [3, -0.04]])
    (tmp_path / "y.json").write_text('{"scores": [[1, 2]], "boxes": [[true]]}')
    assert {name: array.tolist() for name, array in dict(read_arrays(tmp_path / "y.json")).items()} == {
        "scores": [[1, 2]],
        "boxes": [[True]],
    }


@pytest.mark.parametrize("text", ["", "[1, 2", "[[1], [2, 3]]", '["a"]', "[null]", '{"x": {"y": 1}}', "[" * 10**5])
def test_json_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "y.json").write_text(text)
    refused(tmp_path / "y.json", "y.json")


def test_json_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "MAX_JSON_BYTES", 10)
    (tmp_path / "y.json").write_text("[1, 2, 3, 4]")
    refused(tmp_path / "y.json", "at most 10")
