"""What every file has from its base: one encoding, a refusal of its own class, atomic writing, bounded reading."""

import stat
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.errors import (
    ArtifactError,
    MalformedCommitmentError,
    MalformedProofError,
    ResourceError,
    UnreadableCommitmentError,
)
from zkinfer.files.artifact import HEADER_BYTES, wrap
from zkinfer.files.file import File
from zkinfer.files.kinds import FileKind

KIND = FileKind("pair", 3, "pair", ".pair", 100)


class Pair(File, msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    KIND = KIND

    number: int
    name: str

    def _validate(self) -> None:
        if self.number < 0:
            raise MalformedProofError("pair: a negative number")


class Reversed(File):
    """A file whose constructor has another order than its encoding."""

    KIND = replace(KIND, private=True)
    REFUSAL = ArtifactError

    def __init__(self, name: str, number: int) -> None:
        self.name, self.number = name, number

    def _encoded(self) -> bytes:
        return msgspec.msgpack.encode([self.number, self.name])

    @classmethod
    def _decoded(cls, payload: bytes) -> "Reversed":
        number, name = msgspec.msgpack.decode(payload, type=tuple[int, str])
        if not name:
            raise ArtifactError("a pair without a name")
        return cls(name, number)


def rewrap(payload: bytes) -> bytes:
    """A file whose envelope is in order, whatever its payload is."""
    return wrap("pair", 3, payload)


@given(st.integers(0, 2**64 - 1), st.text(max_size=20))
def test_what_was_written_is_read(number: int, name: str) -> None:
    pair = Pair(number, name)
    assert Pair.from_bytes(pair.to_bytes()) == pair
    assert pair.to_bytes() == rewrap(msgspec.msgpack.encode([number, name]))


def test_a_class_may_have_an_encoding_of_its_own(tmp_path: Path) -> None:
    Reversed("x", 7).save(tmp_path / "x.pair")
    again = Reversed.load(tmp_path / "x.pair")
    assert (again.name, again.number) == ("x", 7)
    assert Pair.load(tmp_path / "x.pair") == Pair(7, "x")


@pytest.mark.parametrize("payload", [b"\xdc\x00\x02\x07\xa1x", b"\x92\xcc\x07\xa1x", b"\x92\x07\xd9\x01x"])
def test_another_encoding_of_the_same_is_refused(payload: bytes) -> None:
    """A longer array header, number or text length: the same value, in an envelope that is right."""
    assert msgspec.msgpack.decode(payload) == [7, "x"]
    for kind, refusal in ((Pair, MalformedProofError), (Reversed, ArtifactError)):
        with pytest.raises(refusal, match="pair: not in canonical form") as caught:
            kind.from_bytes(rewrap(payload))
        assert type(caught.value) is refusal


@pytest.mark.parametrize("payload", [b"", b"\x93\x07\xa1x\xc0", b"\x92\xa1x\x07", b"\x92\x07\xa1\xff"])
def test_something_else_is_refused(payload: bytes) -> None:
    with pytest.raises(MalformedProofError, match=r"^pair: ") as caught:
        Pair.from_bytes(rewrap(payload))
    assert type(caught.value) is MalformedProofError


def test_what_the_types_leave_open_is_checked() -> None:
    with pytest.raises(MalformedProofError, match="a negative number"):
        Pair.from_bytes(rewrap(b"\x92\xff\xa1x"))
    with pytest.raises(ArtifactError, match="pair: a pair without a name"):
        Reversed.from_bytes(rewrap(b"\x92\x07\xa0"))


def test_the_error_is_that_of_the_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of them: for a file of this kind that is damaged, and where there is none of this kind."""
    monkeypatch.setattr(Pair, "REFUSAL", MalformedCommitmentError)
    monkeypatch.setattr(Pair, "UNREADABLE", UnreadableCommitmentError)
    for data in (rewrap(b"\xc1"), rewrap(b"\x92\xcc\x07\xa1x")):
        with pytest.raises(MalformedCommitmentError) as damaged:
            Pair.from_bytes(data)
        assert not isinstance(damaged.value, UnreadableCommitmentError)
    for data in (b"", wrap("else", 3, b""), wrap("pair", 2, b"")):
        with pytest.raises(UnreadableCommitmentError):
            Pair.from_bytes(data)
    with pytest.raises(UnreadableCommitmentError, match="cannot read"):
        Pair.load(tmp_path / "none")


def test_a_caller_may_accept_less_than_the_kind_does(tmp_path: Path) -> None:
    pair = Pair(7, "x")
    data = pair.to_bytes()
    (tmp_path / "file").write_bytes(data)
    for source in (data, tmp_path / "file"):
        assert Pair.of(source, max_bytes=len(data)) == pair
        with pytest.raises(MalformedProofError, match="accepted"):
            Pair.of(source, max_bytes=1)


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MalformedProofError, match="cannot read"):
        Pair.load(tmp_path / "none")
    with pytest.raises(MalformedProofError, match="cannot read"):
        Pair.load(tmp_path)
    (tmp_path / "large").write_bytes(bytes(HEADER_BYTES + KIND.max_bytes + 1))
    with pytest.raises(MalformedProofError, match="larger than"):
        Pair.load(tmp_path / "large")
    with pytest.raises(MalformedProofError, match="at most 100"):
        Pair.from_bytes(rewrap(bytes(KIND.max_bytes + 1)))


def test_the_largest_file_is_read(tmp_path: Path) -> None:
    pair = Pair(7, "x" * (KIND.max_bytes - 4))
    assert len(pair.to_bytes()) == HEADER_BYTES + KIND.max_bytes
    pair.save(tmp_path / "pair")
    assert Pair.load(tmp_path / "pair") == pair


def test_secrets_are_for_their_owner_alone(tmp_path: Path) -> None:
    Pair(7, "x").save(tmp_path / "public")
    Reversed("x", 7).save(tmp_path / "private")
    assert stat.S_IMODE((tmp_path / "public").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    Pair(7, "x").save(tmp_path / "pair")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ResourceError, match="No space left"):
        Pair(8, "y").save(tmp_path / "pair")
    assert Pair.load(tmp_path / "pair") == Pair(7, "x")
    assert [path.name for path in tmp_path.iterdir()] == ["pair"]
