"""Proofs of work in kernels against the blake3 package."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba")

from blake3 import blake3

from zkinfer.protocol import transcript
from zkinfer.protocol.merkle.grinding import LONGEST_PREFIX, smallest_nonce
from zkinfer.protocol.transcript import Transcript


def zeros(key: bytes, prefix: bytes, nonce: int) -> int:
    """How many zero bits the output begins with, behind the digest."""
    word = int.from_bytes(blake3(prefix + nonce.to_bytes(8, "little"), key=key).digest(8, seek=32), "little")
    return 64 if word == 0 else (word & -word).bit_length() - 1


@given(key=st.binary(min_size=32, max_size=32), prefix=st.binary(max_size=LONGEST_PREFIX), bits=st.integers(0, 9))
def test_the_nonce_is_the_smallest_that_works(key: bytes, prefix: bytes, bits: int) -> None:
    found = smallest_nonce(key, prefix, bits)
    assert zeros(key, prefix, found) >= bits
    assert all(zeros(key, prefix, nonce) < bits for nonce in range(found))


@pytest.mark.parametrize("size", [0, 5, 6, 7, 20, 54, LONGEST_PREFIX])
def test_nonces_of_several_bytes_at_every_place(size: int) -> None:
    """With so many bits they are larger than a byte, and cross from one word into the next."""
    key, prefix = bytes(range(32)), bytes(range(size))
    found = smallest_nonce(key, prefix, 13)
    assert zeros(key, prefix, found) >= 13
    assert found == next(nonce for nonce in range(1 << 20) if zeros(key, prefix, nonce) >= 13)


@pytest.mark.parametrize("label", ["work", "a label that is so long that its frame takes more than one block"])
def test_transcripts_find_the_same_with_and_without_kernels(label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_kernels = Transcript(b"domain").solve(label, 6)
    monkeypatch.setattr(transcript, "find_spec", lambda name: None)
    assert Transcript(b"domain").solve(label, 6) == with_kernels
