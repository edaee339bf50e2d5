"""Files in stores: read and written whole, bounded by what was asked for, and refused in one line."""

import os
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fsspec")

import fsspec
from support.example_programs import mlp
from support.lying_store import LyingStore
from support.memory_store import memory_folder, names_in

from zkinfer.errors import (
    ArtifactError,
    InvalidInputError,
    MissingDependencyError,
    ResourceError,
    UnreadableProofError,
    VerifierNotInstalledError,
)
from zkinfer.files import stores
from zkinfer.files.artifact import reserve, write_atomically
from zkinfer.files.location import Location
from zkinfer.files.npy import map_npy
from zkinfer.files.proof import Proof
from zkinfer.files.reading import open_regular, read_bounded, read_start
from zkinfer.verifier import verify


@pytest.fixture
def folder() -> Iterator[str]:
    with memory_folder() as folder:
        yield folder


@pytest.fixture
def lying() -> type[LyingStore]:
    LyingStore.handed_out = 0
    return LyingStore


def test_what_is_written_is_read(folder: str) -> None:
    place = Location(f"{folder}/a/file")
    assert not place.exists()
    for content in (b"", b"first", bytes(3 << 20)):  # replaced each time
        write_atomically(place, content, private=True)
        assert place.exists()
        assert place.size() == len(content)
        assert read_bounded(place, max_bytes=len(content)) == content
        assert read_start(place, 3) == (content[:3], len(content))
        with open_regular(place) as file:
            assert file.read() == content
            assert os.fstat(file.fileno()).st_size == len(content)
    assert names_in(folder) == ["file"], "no part is left"


def test_reading_is_bounded(folder: str) -> None:
    write_atomically(f"{folder}/file", bytes(10))
    with pytest.raises(ArtifactError, match="larger than the 9 bytes"):
        read_bounded(f"{folder}/file", max_bytes=9)


def test_what_is_not_there_is_named(folder: str) -> None:
    for name in ("none", ""):
        write_atomically(f"{folder}/there/file", b"")
        where = f"{folder}/{name or 'there'}"
        reason = "No such file" if name else "it is not a file"
        with pytest.raises(ArtifactError, match=f"cannot read {where}: {reason}"):
            read_bounded(where, max_bytes=10)
        with pytest.raises(OSError):  # noqa: PT011 -- as for other files
            open_regular(where)


class TestStoreThatLies:
    def test_more_than_it_says_is_not_taken(self, lying: type[LyingStore]) -> None:
        with pytest.raises(ArtifactError, match="changed while it was read"):
            read_bounded("lying://10/1000000000", max_bytes=100)
        assert lying.handed_out == 11
        with pytest.raises(OSError, match="not the size that the store says"):
            open_regular("lying://10/1000000000")
        assert lying.handed_out == 22

    def test_less_than_it_says_takes_no_memory(self, lying: type[LyingStore]) -> None:
        tracemalloc.start()
        try:
            with pytest.raises(ArtifactError, match="changed while it was read"):
                read_bounded(f"lying://{1 << 35}/1000", max_bytes=1 << 36)
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()

    def test_what_it_says_is_too_much_is_not_read(self, lying: type[LyingStore]) -> None:
        with pytest.raises(ArtifactError, match="larger than the 100 bytes"):
            read_bounded("lying://101/101", max_bytes=100)
        with pytest.raises(OSError, match="No space left"):
            open_regular(f"lying://{1 << 60}/10")
        assert lying.handed_out == 0

    @pytest.mark.parametrize("stated", ["-1", "unknown"])
    def test_without_a_size_nothing_is_read(self, stated: str, lying: type[LyingStore]) -> None:
        with pytest.raises(ArtifactError, match="does not say how many bytes"):
            read_bounded(f"lying://{stated}/10", max_bytes=100)
        assert lying.handed_out == 0

    def test_pieces_are_no_longer_than_asked(self, lying: type[LyingStore], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(LyingStore, "open", lambda *_: _Generous())
        with pytest.raises(OSError, match="more than was asked"):
            list(stores.pieces("lying://10/10", 10))

    def test_it_cannot_be_written(self, lying: type[LyingStore]) -> None:
        with pytest.raises(ResourceError, match="cannot write lying://1/1: "):
            write_atomically("lying://1/1", b"")


class _Generous:
    def __enter__(self) -> "_Generous":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def read(self, size: int) -> bytes:
        return bytes(size + 1)


def test_a_file_appears_whole_or_not_at_all(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(f"{folder}/file", b"before")
    with reserve(f"{folder}/file") as file:
        file.fill(b"after")
        assert read_bounded(f"{folder}/file", max_bytes=10) == b"before"
    assert names_in(folder) == ["file"], "what was not published is gone"
    store = type(fsspec.filesystem("memory"))

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("the store is full\nand says so in two lines")

    monkeypatch.setattr(store, "mv", full)
    with pytest.raises(ResourceError, match=f"^cannot write {folder}/file: RuntimeError: the store is full and says"):
        write_atomically(f"{folder}/file", b"after")
    assert read_bounded(f"{folder}/file", max_bytes=10) == b"before"
    assert names_in(folder) == ["file"]


@pytest.mark.parametrize("name", ["a*", "a?", "a[0]", ""])
def test_a_pattern_is_no_name_of_a_file_to_write(folder: str, name: str) -> None:
    with pytest.raises(ResourceError, match="no file can have that name"):
        write_atomically(f"{folder}/{name}", b"")


def test_a_folder_is_not_replaced(folder: str) -> None:
    write_atomically(f"{folder}/a/file", b"")
    with pytest.raises(ResourceError, match="Is a directory"):
        write_atomically(f"{folder}/a", b"")


def test_arrays_are_mapped_from_a_copy(folder: str, tmp_path: Path) -> None:
    array = np.arange(12.0).reshape(3, 4)
    np.save(tmp_path / "x.npy", array)
    data = (tmp_path / "x.npy").read_bytes()
    write_atomically(f"{folder}/x.npy", data)
    write_atomically(f"{folder}/cut.npy", data[:-1])
    mapped = map_npy(f"{folder}/x.npy")
    assert isinstance(mapped, np.memmap)
    assert np.array_equal(mapped, array)
    with pytest.raises(InvalidInputError, match="cut off"):
        map_npy(f"{folder}/cut.npy")


def test_verifying_from_a_store(folder: str) -> None:
    """Proof and commitment by their URLs."""
    pytest.importorskip("numba")
    import zkinfer as zk

    example = mlp()
    keys = zk.setup(zk.Circuit(example.program, example.weights, (), b""), proofs=2)
    x = np.array([[0.5, -0.25, 1.0]])
    keys.commitment.save(f"{folder}/model.zkc")
    proof = zk.prove(keys, x, save_as=f"{folder}/proof.zkp")
    assert Proof.load(f"{folder}/proof.zkp") == proof
    assert verify(f"{folder}/proof.zkp", Location(f"{folder}/model.zkc"), x).runs == 1
    with pytest.raises(UnreadableProofError, match="No such file"):
        verify(f"{folder}/none.zkp", f"{folder}/model.zkc", x)


def test_without_fsspec_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "fsspec"]:
        monkeypatch.setitem(sys.modules, name, None)
    said = r"a file in a store, such as s3://b/x, needs fsspec, which is not installed: pip install 'zkinfer\[stores\]'"
    with pytest.raises(MissingDependencyError, match=said):
        read_bounded("s3://b/x", max_bytes=1)
    with pytest.raises(MissingDependencyError, match=said):
        write_atomically("s3://b/x", b"")
    with pytest.raises(VerifierNotInstalledError, match=said):
        verify("s3://b/x", "s3://b/x", np.zeros(1))


def test_a_store_without_its_package_names_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(MissingDependencyError, match="s3fs"):
        read_bounded("s3://b/x", max_bytes=1)


def test_an_unknown_store_is_refused() -> None:
    with pytest.raises(ArtifactError, match="fsspec knows no such store"):
        read_bounded("nowhere://b/x", max_bytes=1)
