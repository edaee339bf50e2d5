"""Files of jobs that come from anyone: one content for what they hold, and no other."""

from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from zkinfer.errors import MalformedProofError
from zkinfer.files.artifact import wrap
from zkinfer.jobs.files import StoredFile


class Pair(StoredFile, msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    KIND: ClassVar = "pair"
    VERSION: ClassVar = 1
    MAX_BYTES: ClassVar = 100
    NAME: ClassVar = "pair"

    number: int
    name: str


def test_what_was_written_is_read() -> None:
    assert Pair.from_bytes(Pair(7, "x").to_bytes()) == Pair(7, "x")
    assert Pair(7, "x").to_bytes() == wrap("pair", 1, msgspec.msgpack.encode((7, "x")))


@pytest.mark.parametrize("payload", [b"\xdc\x00\x02\x07\xa1x", b"\x92\xcc\x07\xa1x", b"\x92\x07\xd9\x01x"])
def test_another_encoding_of_the_same_is_refused(payload: bytes) -> None:
    """A longer array header, number or text length: the same struct, in an envelope that is right."""
    assert msgspec.msgpack.decode(payload, type=Pair) == Pair(7, "x")
    with pytest.raises(MalformedProofError, match="pair: not in canonical form"):
        Pair.from_bytes(wrap("pair", 1, payload))


@pytest.mark.parametrize("payload", [b"", b"\x93\x07\xa1x\xc0", b"\x92\xa1x\x07", b"\x92\x07\xa1\xff"])
def test_something_else_is_refused(payload: bytes) -> None:
    with pytest.raises(MalformedProofError, match=r"^pair: "):
        Pair.from_bytes(wrap("pair", 1, payload))


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MalformedProofError, match="cannot read"):
        Pair.load(tmp_path / "none")
    (tmp_path / "large").write_bytes(bytes(1000))
    with pytest.raises(MalformedProofError, match="larger than"):
        Pair.load(tmp_path / "large")
