"""Rotation files: one encoding, nothing but what a commitment and a proof of equality need."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.paths import EZKL_VECTORS
from support.rotations import EXAMPLE, KEY

from zkinfer.errors import CommitmentMismatchError, MalformedProofError
from zkinfer.files.artifact import unwrap, wrap
from zkinfer.files.commitment import Commitment
from zkinfer.files.kinds import ROTATION as KIND
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.rotation import Rotation, renewed, rotation_context
from zkinfer.protocol.pcs.copies import Place

OLD = Commitment(EXAMPLE.program, KEY)
ROOT = bytes(range(32))
ROTATION = Rotation(OLD.digest, ROOT, b"", 0, 0, b"", 0, b"", b"proof")


def same(a: Rotation, b: Rotation) -> bool:
    return msgspec.structs.astuple(a) == msgspec.structs.astuple(b)


DIGESTS = st.binary(min_size=32, max_size=32)


@given(DIGESTS, DIGESTS, st.binary(max_size=30), st.integers(0, 2**20 - 1), st.binary(max_size=300))
def test_comes_back_from_its_bytes(old: bytes, root: bytes, short: bytes, number: int, data: bytes) -> None:
    rotation = Rotation(old, root, short, number, number, short, 2**20 - 1 - number, short, data)
    assert same(Rotation.from_bytes(rotation.to_bytes()), rotation)


def test_comes_back_from_its_file(tmp_path: Path) -> None:
    ROTATION.save(tmp_path / "model.zkr")
    assert same(Rotation.load(tmp_path / "model.zkr"), ROTATION)
    with pytest.raises(MalformedProofError, match="cannot read"):
        Rotation.load(tmp_path / "none.zkr")


def test_leads_to_the_old_commitment_with_another_root() -> None:
    new = ROTATION.apply(OLD)
    assert new.program == OLD.program
    assert new.key_as(NativeVerifyingKey) == msgspec.structs.replace(KEY, root=ROOT)
    assert new == renewed(OLD, ROOT)


def test_starts_from_one_commitment_alone() -> None:
    other = Commitment(EXAMPLE.program, msgspec.structs.replace(KEY, root=ROOT))
    with pytest.raises(CommitmentMismatchError, match="starts from another commitment"):
        ROTATION.apply(other)


def test_starts_from_no_commitment_of_another_backend() -> None:
    """Also where it names one."""
    other = Commitment.load(EZKL_VECTORS / "dense.zkc")
    with pytest.raises(CommitmentMismatchError, match="starts from another commitment"):
        msgspec.structs.replace(ROTATION, old_digest=other.digest).apply(other)


def test_the_context_names_both_and_the_copies_in_order() -> None:
    new = ROTATION.apply(OLD)
    places = Place(3, b"branch"), Place(1 << 8, b"")
    last = (3).to_bytes(8, "little") + b"branch" + (1 << 8).to_bytes(8, "little")
    assert rotation_context(OLD, new, places) == OLD.digest + new.digest + last


@given(st.data())
def test_any_edited_byte_is_noticed(data: st.DataObject) -> None:
    content = bytearray(ROTATION.to_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(MalformedProofError):
        Rotation.from_bytes(bytes(content))


@given(st.binary(max_size=200))
def test_any_bytes_whatever(content: bytes) -> None:
    for data in (content, wrap(KIND.tag, KIND.version, content), ROTATION.to_bytes() + content + b"\0"):
        with pytest.raises(MalformedProofError):
            Rotation.from_bytes(data)


@pytest.mark.parametrize(
    "fields",
    [
        (bytes(31), bytes(32), b"", 0, 0, b"", 0, b"", b""),
        (bytes(32), bytes(33), b"", 0, 0, b"", 0, b"", b""),
        (bytes(32), bytes(32), b"", 0, 1 << 20, b"", 0, b"", b""),
        (bytes(32), bytes(32), b"", 0, 0, b"", -1, b"", b""),
        (bytes(32), bytes(32), b"", 0, 0, b"", 0, b""),
        (bytes(32), bytes(32), b"", 0, 0, b"", 0, b"", b"", b""),
        (bytes(32), bytes(32), b"", 0, 0, b"", 0, b"", "text"),
    ],
)
def test_contents_that_are_no_rotation(fields: tuple[object, ...]) -> None:
    with pytest.raises(MalformedProofError, match="rotation: "):
        Rotation.from_bytes(wrap(KIND.tag, KIND.version, msgspec.msgpack.encode(fields)))


def test_another_encoding_of_the_same_content() -> None:
    """A byte string written with a longer length prefix than it needs."""
    payload = unwrap(ROTATION.to_bytes(), KIND.tag, KIND.version, max_bytes=1000)
    assert payload[-7:] == b"\xc4\x05proof"
    longer = payload[:-7] + b"\xc5\x00\x05proof"
    with pytest.raises(MalformedProofError, match="canonical"):
        Rotation.from_bytes(wrap(KIND.tag, KIND.version, longer))
