"""Keccak-256 against published digests, and the permutation against the standard library's SHA-3."""

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.ezkl.verifier.keccak import RATE_BYTES, keccak256, keccak_f


@pytest.mark.parametrize(
    ("message", "digest"),
    [
        (b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        (b"abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
        (
            b"The quick brown fox jumps over the lazy dog",
            "4d741b6f1eb29cb2a9b9911c82f56fa8d73b04959d3d9d222895df6c0b28aa15",
        ),
        (b"testing", "5f16f4c7f149ac4f9510d9cf8cf384038ad348b3bcdc01915f95de12df9d1b02"),
    ],
)
def test_published_digests(message: bytes, digest: str) -> None:
    assert keccak256(message).hex() == digest


def sha3_256(message: bytes) -> bytes:
    """FIPS 202's hash from the same permutation: only the padding differs from Keccak-256."""
    padding = bytearray(RATE_BYTES - len(message) % RATE_BYTES)
    padding[0] = 0x06
    padding[-1] |= 0x80
    padded, lanes = message + padding, [0] * 25
    for start in range(0, len(padded), RATE_BYTES):
        block = struct.unpack("<17Q", padded[start : start + RATE_BYTES])
        lanes = keccak_f([a ^ b for a, b in zip(lanes, [*block, *[0] * 8], strict=True)])
    return struct.pack("<4Q", *lanes[:4])


@given(st.binary(max_size=600))
def test_permutation_is_that_of_sha3(message: bytes) -> None:
    assert sha3_256(message) == hashlib.sha3_256(message).digest()


@pytest.mark.parametrize("length", [RATE_BYTES - 1, RATE_BYTES, RATE_BYTES + 1, 2 * RATE_BYTES - 1, 2 * RATE_BYTES])
def test_padding_at_the_block_boundary_is_injective(length: int) -> None:
    message = bytes(length)
    digests = {keccak256(m) for m in (message, message + b"\0", message + b"\1", message[1:])}
    assert len(digests) == 4
