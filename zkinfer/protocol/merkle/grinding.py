"""Proofs of work in kernels: LANES nonces are tried at a time. Needs numba.

A frame of one block is hashed, keyed, and what counts is the output behind the digest: see `transcript`.
"""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils

from zkinfer.jit.compiling import intrinsic, kernel
from zkinfer.protocol.merkle.chunks import STATE, empty_words, spread_key
from zkinfer.protocol.merkle.compression import (
    BLOCK_BYTES,
    CHUNK_END,
    CHUNK_START,
    DIGEST_WORDS,
    KEYED_HASH,
    LANES,
    PACKED,
    ROOT,
    WORD,
    extension,
    lines,
)

NONCE_BYTES = 8
LONGEST_PREFIX = BLOCK_BYTES - NONCE_BYTES

_WORDS = BLOCK_BYTES // 4
_FLAGS = CHUNK_START | CHUNK_END | ROOT | KEYED_HASH


def smallest_nonce(key: bytes, prefix: bytes, bits: int) -> int:
    """The smallest nonce for which the keyed hash of prefix || nonce, 8 bytes, little-endian, has, behind its first 32
    bytes, that many zero bits at the beginning, the lowest bit of each byte first.

    Args:
        key: 32 bytes.
        prefix: LONGEST_PREFIX bytes at most.
        bits: 64 at most; about 2^bits nonces are tried.
    """
    words = np.frombuffer(prefix.ljust(BLOCK_BYTES, b"\0"), "<u4").astype(np.uint32)
    mask = np.uint64((1 << bits) - 1)
    return int(_search(np.frombuffer(key, "<u4").astype(np.uint32), words, len(prefix), mask))


@kernel
def _search(key: Any, words: Any, size: int, mask: Any) -> int:
    keys, found = spread_key(key), empty_words(STATE)
    block = empty_words(_WORDS * LANES)
    for word in range(_WORDS):
        for lane in range(LANES):
            block[word * LANES + lane] = words[word]
    # The nonce lies in the words from the prefix's end on, the first and the last of which it may share.
    place, shift = size // 4, np.uint64(8 * (size % 4))
    low_mask = np.uint64(0xFFFFFFFF)
    first = 0
    while True:
        for lane in range(LANES):
            nonce = np.uint64(first + lane)
            block[place * LANES + lane] = words[place] | np.uint32((nonce << shift) & low_mask)
            block[(place + 1) * LANES + lane] = np.uint32((nonce >> (np.uint64(32) - shift)) & low_mask)
            if shift:
                block[(place + 2) * LANES + lane] = np.uint32(nonce >> (np.uint64(64) - shift))
        _extend(block, size + NONCE_BYTES, keys, found)
        for lane in range(LANES):
            output = np.uint64(found[lane]) | np.uint64(found[LANES + lane]) << np.uint64(32)
            if output & mask == 0:
                return first + lane
        first += LANES


@intrinsic
def _extend(typingctx: Any, block: Any, size: Any, keys: Any, found: Any) -> Any:
    """The output behind the digests of messages of one block, word by word of all lanes together."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
        number = ir.IntType(64)

        def packed(argument: int, count: int) -> list[ir.Value]:
            data = cgutils.create_struct_proxy(signature.args[argument])(context, builder, value=values[argument]).data
            return lines(builder, data, number(0), number(LANES), count, PACKED)

        message, key = (
            [builder.load(line, align=4) for line in packed(*one)] for one in ((0, _WORDS), (2, DIGEST_WORDS))
        )
        last = [WORD(0), builder.trunc(values[1], WORD), WORD(_FLAGS)]
        for word, place in zip(extension(builder, key, message, last), packed(3, DIGEST_WORDS), strict=True):
            builder.store(word, place, align=4)
        return context.get_dummy_value()

    return types.void(block, types.int64, keys, found), generate
