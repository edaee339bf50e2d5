"""Files that a stranger may have made: regular ones alone, without waiting, and no memory but for what they hold."""

import os
import socket
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from zkinfer.errors import ArtifactError
from zkinfer.files.reading import START_BYTES, open_regular, read_bounded


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


NO_FILES: list[Callable[[Path], None]] = [Path.mkdir, make_pipe, make_socket, make_device]


def test_reading_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(10))
    assert read_bounded(path, max_bytes=10) == bytes(10)
    with pytest.raises(ArtifactError, match="larger than the 9 bytes"):
        read_bounded(path, max_bytes=9)


@pytest.mark.parametrize("make", NO_FILES)
def test_what_is_no_regular_file_is_refused_without_waiting(make: Callable[[Path], None], tmp_path: Path) -> None:
    """A pipe without a writer would keep a reader for ever, and a device never ends."""
    make(tmp_path / "x")
    with pytest.raises(OSError):  # noqa: PT011 -- a socket cannot be opened at all
        open_regular(tmp_path / "x")
    with pytest.raises(ArtifactError, match="cannot read"):
        read_bounded(tmp_path / "x", max_bytes=100)


def test_a_limit_of_gigabytes_reserves_none(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(1000))
    tracemalloc.start()
    try:
        assert len(read_bounded(path, max_bytes=1 << 36)) == 1000
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_what_is_not_wanted_is_not_read(tmp_path: Path) -> None:
    """A hole of gigabytes with some bytes before it."""
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.write(bytes(range(100)))
        file.truncate(1 << 33)
    tracemalloc.start()
    try:
        start = bytes(range(START_BYTES))
        assert read_bounded(path, max_bytes=1 << 34, wanted=lambda found: found != start) == start
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_what_is_wanted_is_read_from_its_first_byte(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(200)))
    assert read_bounded(path, max_bytes=200, wanted=lambda start: start == bytes(range(START_BYTES))) == bytes(
        range(200)
    )


@pytest.mark.parametrize("change", [1, -1])
def test_a_file_that_changes_while_it_is_read_is_refused(
    change: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(10))
    real = os.fstat

    def earlier(descriptor: int) -> os.stat_result:
        found = list(real(descriptor))
        found[6] += change
        return os.stat_result(found)

    monkeypatch.setattr(os, "fstat", earlier)
    with pytest.raises(ArtifactError, match="changed while it was read"):
        read_bounded(path, max_bytes=100)


@pytest.mark.parametrize("path", ["missing", ".", "nul\0byte"])
def test_unreadable_file_is_named(tmp_path: Path, path: str) -> None:
    with pytest.raises(ArtifactError, match="cannot read"):
        read_bounded(tmp_path / path, max_bytes=10)
