"""The list of kinds: each is read by its class, and refused with the error of that class, whatever the bytes are."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from zkinfer.cli.inspect import DESCRIPTIONS
from zkinfer.errors import (
    ArtifactError,
    MalformedCommitmentError,
    MalformedProofError,
    NothingCheckedError,
    WrongKindError,
    ZkinferError,
)
from zkinfer.files.artifact import HEADER_BYTES, MAGIC, wrap
from zkinfer.files.kinds import CIRCUIT, COMMITMENT, KEY_SECRET, KINDS, FileKind

READABLE = [kind for kind in KINDS.values() if kind.home]

REFUSALS: dict[str, type[ZkinferError]] = {CIRCUIT.tag: ArtifactError, COMMITMENT.tag: MalformedCommitmentError}
"""Where it is not MalformedProofError."""


class Exploit:
    """A pickle of it makes a folder where it is read."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, ("unpickled",)


def rewrap(kind: FileKind, payload: bytes) -> bytes:
    """A file of the kind whose envelope is in order, whatever its payload is."""
    return wrap(kind.tag, kind.version, payload)


def declared(kind: FileKind, length: int) -> bytes:
    """A header that declares so many bytes, of which none follow."""
    data = bytearray(rewrap(kind, b""))
    data[16:24] = length.to_bytes(8, "little")
    return bytes(data)


HOSTILE: dict[str, tuple[Callable[[FileKind], bytes], str]] = {
    "nothing": (lambda _: b"", "not a zkinfer file"),
    "half a header": (lambda k: rewrap(k, b"")[: HEADER_BYTES - 1], "cut off within its header"),
    "another magic": (lambda k: b"PK\3\4" + rewrap(k, b"")[4:], "not a zkinfer file"),
    "another kind": (lambda k: wrap("else", k.version, b""), "kind 'else' where '%s' is needed"),
    "a kind that is not ASCII": (lambda k: MAGIC + b"\xff\x1b[2" + rewrap(k, b"")[12:], "kind"),
    "the version before": (lambda k: wrap(k.tag, k.version - 1, b""), "made by an older version"),
    "the version after": (lambda k: wrap(k.tag, k.version + 1, b""), "made by a newer version"),
    "a payload cut short": (lambda k: rewrap(k, b"payload")[:-1], "holds 6: truncated or extended"),
    "a payload made longer": (lambda k: rewrap(k, b"payload") + b"\0", "holds 8: truncated or extended"),
    "more declared than allowed": (lambda k: declared(k, k.max_bytes + 1), "are accepted"),
    "as much declared as allowed": (lambda k: declared(k, k.max_bytes), "truncated or extended"),
    "an edited payload": (lambda k: rewrap(k, b"payload")[:-1] + b"D", "checksum does not match"),
    "an edited checksum": (lambda k: rewrap(k, b"")[:24] + bytes(32), "checksum does not match"),
    "no payload": (lambda k: rewrap(k, b""), "truncated"),
    "no MessagePack": (lambda k: rewrap(k, b"\xc1"), "."),
    "text": (lambda k: rewrap(k, b"\xa1x"), "."),
    "an array of nothing": (lambda k: rewrap(k, b"\x90"), "length"),
    "four billion members declared": (lambda k: rewrap(k, b"\xdd\xff\xff\xff\xff"), "."),
    "four billion bytes declared": (lambda k: rewrap(k, b"\x91\xc6\xff\xff\xff\xff"), "."),
    "a hundred thousand levels": (lambda k: rewrap(k, b"\x91" * 100_000), "."),
    "a pickle": (lambda k: rewrap(k, pickle.dumps(Exploit())), "."),
    "a pickle without an envelope": (lambda _: pickle.dumps(Exploit()).ljust(HEADER_BYTES), "not a zkinfer file"),
}


NOT_OF_THIS_KIND = {
    "nothing",
    "half a header",
    "another magic",
    "another kind",
    "a kind that is not ASCII",
    "the version before",
    "the version after",
    "a pickle without an envelope",
}
"""Of such files nothing is said to be refused."""


@pytest.mark.parametrize("kind", READABLE, ids=lambda kind: kind.name)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_by_the_kind_s_own_error(
    kind: FileKind, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through bytes and through a file; a refusal is one printable line."""
    monkeypatch.chdir(tmp_path)
    make, message = HOSTILE[name]
    data, refusal = make(kind), REFUSALS.get(kind.tag, MalformedProofError)
    Path("file").write_bytes(data)
    for read, argument in ((kind.load_class().from_bytes, data), (kind.load_class().load, "file")):
        with pytest.raises(refusal, match=message.replace("%s", kind.name)) as caught:
            read(argument)
        unreadable = isinstance(caught.value, (NothingCheckedError, WrongKindError))
        assert unreadable == (name in NOT_OF_THIS_KIND)
        assert str(caught.value).isprintable()
        assert str(caught.value).isascii()
    assert not Path("unpickled").exists()


@pytest.mark.parametrize("kind", READABLE, ids=lambda kind: kind.name)
def test_a_file_that_is_not_there_is_refused_by_the_kind_s_own_error(kind: FileKind, tmp_path: Path) -> None:
    with pytest.raises(ZkinferError, match="cannot read") as caught:
        kind.load_class().load(tmp_path / f"none{kind.suffix}")
    assert isinstance(caught.value, REFUSALS.get(kind.tag, MalformedProofError))
    assert isinstance(caught.value, (NothingCheckedError, WrongKindError))


@pytest.mark.parametrize("kind", READABLE, ids=lambda kind: kind.name)
def test_every_class_has_the_four_ways_of_a_file(kind: FileKind) -> None:
    for name in ("to_bytes", "from_bytes", "load"):
        assert callable(getattr(kind.load_class(), name))


def test_kinds_cannot_be_mistaken_for_each_other() -> None:
    assert all(len(kind.tag) == 4 and kind.tag.isascii() and kind.version >= 1 for kind in KINDS.values())
    assert len({kind.name for kind in KINDS.values()}) == len(KINDS)
    assert all(kind.suffix.startswith(".zk") for kind in KINDS.values())
    assert len({kind.suffix for kind in KINDS.values()}) == len(KINDS)


def test_the_command_line_describes_every_kind() -> None:
    assert {*DESCRIPTIONS, KEY_SECRET.tag} == {*KINDS}
    assert {KEY_SECRET.tag} == {kind.tag for kind in KINDS.values() if not kind.home}


def test_what_holds_secrets_is_private() -> None:
    assert {kind.tag for kind in KINDS.values() if kind.private} == {"circ", "pkey"}
