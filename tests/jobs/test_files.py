"""Files of jobs that come from anyone: one content for what they hold, and no other."""

import msgspec
import pytest

from zkinfer.errors import MalformedProofError
from zkinfer.files.artifact import wrap
from zkinfer.jobs.files import decode, load


class Pair(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    number: int
    name: str


DECODER = msgspec.msgpack.Decoder(Pair)


def read(data: bytes) -> Pair:
    return decode(data, "pair", 1, DECODER, max_bytes=100, what="pair")


def test_what_was_written_is_read() -> None:
    assert read(wrap("pair", 1, msgspec.msgpack.encode(Pair(7, "x")))) == Pair(7, "x")


@pytest.mark.parametrize("payload", [b"\xdc\x00\x02\x07\xa1x", b"\x92\xcc\x07\xa1x", b"\x92\x07\xd9\x01x"])
def test_another_encoding_of_the_same_is_refused(payload: bytes) -> None:
    """A longer array header, number or text length: the same struct, in an envelope that is right."""
    assert DECODER.decode(payload) == Pair(7, "x")
    with pytest.raises(MalformedProofError, match="pair: not in canonical form"):
        read(wrap("pair", 1, payload))


@pytest.mark.parametrize("payload", [b"", b"\x93\x07\xa1x\xc0", b"\x92\xa1x\x07", b"\x92\x07\xa1\xff"])
def test_something_else_is_refused(payload: bytes) -> None:
    with pytest.raises(MalformedProofError, match=r"^pair: "):
        read(wrap("pair", 1, payload))


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(MalformedProofError, match="cannot read"):
        load(tmp_path / "none", read, max_bytes=100)
    (tmp_path / "large").write_bytes(bytes(1000))
    with pytest.raises(MalformedProofError):
        load(tmp_path / "large", read, max_bytes=100)
