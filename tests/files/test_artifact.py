"""The envelope: what is refused, and that files appear whole or not at all."""

import contextlib
import errno
import os
import stat
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.errors import ArtifactError, InvalidInputError, ResourceError
from zkinfer.files.artifact import (
    HEADER_BYTES,
    MAX_MESSAGE,
    ReservedFile,
    building_folder,
    one_line,
    unwrap,
    wrap,
    write_atomically,
)

LIMIT = 1000
FILE = wrap("test", 3, b"payload")


@given(st.binary(max_size=LIMIT), st.integers(0, 2**32 - 1))
def test_what_is_wrapped_comes_out_again(payload: bytes, version: int) -> None:
    assert unwrap(wrap("test", version, payload), "test", version, max_bytes=LIMIT) == payload


@given(st.integers(0, len(FILE) - 1), st.integers(1, 255))
def test_no_byte_can_change(position: int, flip: int) -> None:
    edited = bytearray(FILE)
    edited[position] ^= flip
    with pytest.raises(ArtifactError):
        unwrap(bytes(edited), "test", 3, max_bytes=LIMIT)


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ArtifactError):
        unwrap(data, "test", 3, max_bytes=LIMIT)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a zkinfer file"),
        (FILE[: HEADER_BYTES - 1], "cut off within its header"),
        (b"PK\3\4" + FILE[4:], "not a zkinfer file"),
        (FILE[:-1], "holds 6: truncated or extended"),
        (FILE + b"\0", "holds 8: truncated or extended"),
        (wrap("else", 3, b"payload"), "kind 'else' where 'test'"),
        (wrap("prof", 3, b"payload"), "kind 'proof' where 'test'"),
        (
            wrap("test", 4, b"payload"),
            "a newer version of zkinfer: it has file version 4, and this zkinfer reads version 3",
        ),
        (wrap("test", 3, bytes(LIMIT + 1)), "declares 1,001 bytes"),
        (FILE[:-1] + b"D", "checksum"),
    ],
)
def test_message_says_what_is_wrong(data: bytes, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        unwrap(data, "test", 3, max_bytes=LIMIT)


def test_length_is_bounded_before_it_is_believed() -> None:
    header = struct.pack("<8s4sIQ", b"zkinfer\0", b"test", 3, 2**63)
    with pytest.raises(ArtifactError, match="at most 1,000"):
        unwrap(header + bytes(32), "test", 3, max_bytes=LIMIT)


def test_checksum_covers_the_header() -> None:
    swapped = FILE[:12] + (4).to_bytes(4, "little") + FILE[16:]
    with pytest.raises(ArtifactError, match="checksum"):
        unwrap(swapped, "test", 4, max_bytes=LIMIT)


def test_writing_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"long old content")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(("private", "mode"), [(False, 0o644), (True, 0o600)])
def test_secrets_are_readable_by_their_owner_alone(tmp_path: Path, private: bool, mode: int) -> None:
    write_atomically(tmp_path / "file", b"x", private=private)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_failed_write_keeps_the_old_file_and_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class TestReservedFile:
    def test_has_its_space_before_its_content_and_appears_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"old")
        with ReservedFile(path, 100_000) as file:
            (part,) = set(tmp_path.iterdir()) - {path}
            assert part.stat().st_blocks * 512 >= 100_000
            file.fill(b"new")
            assert part.read_bytes() == b"new"
            assert path.read_bytes() == b"old"
            file.publish()
        assert path.read_bytes() == b"new"
        assert list(tmp_path.iterdir()) == [path]

    def test_nobody_knows_beforehand_where_it_is_written(self, tmp_path: Path) -> None:
        """Else a link that was planted there would be written through."""
        path, victim = tmp_path / "file", tmp_path / "victim"
        victim.write_bytes(b"kept")
        for name in (".file.part", ".file..part"):
            (tmp_path / name).symlink_to(victim)
        with ReservedFile(path, 100) as one, ReservedFile(path, 100) as other:
            parts = [p for p in tmp_path.glob(".file.*.part") if not p.is_symlink()]
            assert len({p.stat().st_ino for p in parts}) == 2
            one.fill(b"one")
            other.fill(b"other")
            one.publish()
            other.publish()
        assert path.read_bytes() == b"other"
        assert victim.read_bytes() == b"kept"

    def test_content_may_need_more_than_was_reserved(self, tmp_path: Path) -> None:
        with ReservedFile(tmp_path / "file", 10) as file:
            file.fill(bytes(1000))
            file.publish()
        assert (tmp_path / "file").read_bytes() == bytes(1000)

    def test_what_is_not_published_leaves_nothing(self, tmp_path: Path) -> None:
        with contextlib.suppress(RuntimeError), ReservedFile(tmp_path / "file", 10) as file:
            file.fill(b"new")
            raise RuntimeError
        assert list(tmp_path.iterdir()) == []

    def test_without_room_there_is_no_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "posix_fallocate", no_room)
        with pytest.raises(ResourceError, match="No space left"):
            ReservedFile(tmp_path / "file", 10)
        assert list(tmp_path.iterdir()) == []

    def test_each_step_may_be_tried_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with ReservedFile(tmp_path / "file", 10) as file:
            with monkeypatch.context() as patch:
                patch.setattr(os, "fsync", no_room)
                with pytest.raises(ResourceError, match="No space left"):
                    file.fill(b"new")
            file.fill(b"new")
            with monkeypatch.context() as patch:
                patch.setattr(Path, "replace", no_room)
                with pytest.raises(ResourceError, match="No space left"):
                    file.publish()
            file.publish()
        assert (tmp_path / "file").read_bytes() == b"new"

    def test_what_is_published_is_not_written_again(self, tmp_path: Path) -> None:
        with ReservedFile(tmp_path / "file") as file:
            file.fill(b"new")
            file.publish()
            (tmp_path / "file").write_bytes(b"newer")
            file.fill(b"new")
            file.publish()
        assert (tmp_path / "file").read_bytes() == b"newer"

    def test_a_folder_in_its_place_is_said_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(ResourceError, match="directory"):
            ReservedFile(tmp_path)


def test_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "keys"
    with building_folder(target) as part:
        (part / "file").write_bytes(b"x")
        assert not target.exists()
    assert (target / "file").read_bytes() == b"x"
    assert list(tmp_path.iterdir()) == [target]


def test_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with contextlib.suppress(RuntimeError), building_folder(tmp_path / "keys") as part:
        (part / "file").write_bytes(b"x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_folder_that_exists_is_kept(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="exists"), building_folder(tmp_path):
        pass
    assert tmp_path.exists()


def test_parts_of_killed_builders_are_removed_and_others_kept(tmp_path: Path) -> None:
    alive = tmp_path / f".keys.part-{os.getpid()}-x"
    for stale in (".keys.part-999999999-x", ".keys.part-what"):
        (tmp_path / stale).mkdir()
    alive.mkdir()
    with building_folder(tmp_path / "keys"):
        pass
    assert sorted(tmp_path.iterdir()) == sorted([alive, tmp_path / "keys"])


def test_a_name_with_wildcards_stands_for_itself(tmp_path: Path) -> None:
    """The parts of other builds, which `*` and `[]` would match, are left alone."""
    others = [tmp_path / f".{name}.part-999999999-x" for name in ("keys", "kept")]
    for other in others:
        other.mkdir()
    for name in ("k*", "ke[yp]s", "key?"):
        with building_folder(tmp_path / name):
            pass
    assert all(other.is_dir() for other in others)
    (tmp_path / ".k[1].part-999999999-x").mkdir()
    with building_folder(tmp_path / "k[1]"):
        pass
    assert not (tmp_path / ".k[1].part-999999999-x").exists()


@pytest.mark.parametrize("path", ["no/such/folder/file", "nul\0byte"])
def test_impossible_target_is_named(tmp_path: Path, path: str) -> None:
    with pytest.raises(ResourceError, match="cannot write"):
        write_atomically(tmp_path / path, b"x")


@given(st.text())
def test_quoted_text_is_safe_to_print(text: str) -> None:
    shown = one_line(ValueError(text))
    assert shown.isascii()
    assert shown == "" or shown.isprintable()
    assert len(shown) <= MAX_MESSAGE


def test_long_message_is_cut() -> None:
    assert one_line(ValueError("x" * 10_000)) == "x" * (MAX_MESSAGE - 3) + "..."
