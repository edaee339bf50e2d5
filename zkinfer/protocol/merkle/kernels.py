"""BLAKE3, keyed, of many short messages of one length: LANES of them at a time, each in a lane of its own.

A message of one chunk is a chain of compressions of blocks of 64 bytes, each of which waits for the one before it, so
that one message alone uses a fraction of the processor. Here each word of the state is a vector of words, one of each
message; the compression, given as LLVM instructions, is as many packed additions, exclusive ors and rotations. What is
saved besides is a call from Python for each message, which for short ones takes longer than the hash. `columns` hashes
longer messages, which are not yet bytes.

Needs numba.
"""

import sys
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils

from zkinfer.errors import ShapeError
from zkinfer.jit.compiling import intrinsic, kernel
from zkinfer.jit.threads import split
from zkinfer.protocol.merkle.compression import (
    BLOCK_BYTES,
    CHUNK_BYTES,
    CHUNK_END,
    CHUNK_START,
    DIGEST_WORDS,
    KEYED_HASH,
    LANES,
    PACKED,
    ROOT,
    WORD,
    Lines,
    compressed,
)
from zkinfer.typing import ByteArray

AVAILABLE = sys.byteorder == "little"
"""Whether this machine's words are BLAKE3's."""

MAX_BYTES = CHUNK_BYTES
"""The longest message."""

GRAIN = 128 * LANES
"""Messages below which another thread does not pay."""

Octets = ByteArray


def hash_messages(messages: Octets, key: bytes, digests: Octets) -> None:
    """Writes the keyed hash of each message.

    Args:
        messages: contiguous, shape (count, bytes of a message), MAX_BYTES at most.
        key: 32 bytes.
        digests: contiguous, shape (count, 32): where to write; no memory of the messages'.

    Raises:
        ShapeError: an array is not as it should be.
    """
    if messages.ndim != 2 or messages.dtype != np.uint8 or not messages.flags.c_contiguous:
        raise ShapeError(f"messages are a contiguous uint8 array (count, size), not {messages.dtype} {messages.shape}")
    count, size = messages.shape
    if size > MAX_BYTES:
        raise ShapeError(f"a message has at most {MAX_BYTES} bytes, not {size}")
    if digests.shape != (count, 4 * DIGEST_WORDS) or digests.dtype != np.uint8 or not digests.flags.c_contiguous:
        raise ShapeError(f"digests are a contiguous uint8 array ({count}, 32), not {digests.dtype} {digests.shape}")
    octets = np.asarray(messages).reshape(-1)[:]
    # To numba an array that may be written to is another type: so there is one kernel to compile.
    octets.flags.writeable = False
    split(_hash_kernel, count, GRAIN, octets, size, np.frombuffer(key, "<u4"), digests.reshape(-1).view("<u4"))


@kernel
def _hash_kernel(octets: Any, size: int, key: Any, digests: Any, start: int, stop: int) -> None:
    chaining = np.empty(DIGEST_WORDS * LANES, dtype=np.uint32)
    copies = np.zeros(LANES * BLOCK_BYTES, dtype=np.uint8)
    blocks = max(1, (size + BLOCK_BYTES - 1) // BLOCK_BYTES)
    for first in range(start, stop, LANES):
        present = min(LANES, stop - first)
        for word in range(DIGEST_WORDS):
            chaining[word * LANES : (word + 1) * LANES] = key[word]
        for block in range(blocks):
            at = first * size + block * BLOCK_BYTES
            length = min(BLOCK_BYTES, size - block * BLOCK_BYTES)
            flags = KEYED_HASH
            if block == 0:
                flags |= CHUNK_START
            if block == blocks - 1:
                flags |= CHUNK_END | ROOT
            if present == LANES and length == BLOCK_BYTES:
                _compress(octets, at, size, length, flags, chaining)
            else:
                # A block that ends early is filled up with zeros; lanes without a message hash what was there before.
                for lane in range(present):
                    for i in range(BLOCK_BYTES):
                        octet = octets[at + lane * size + i] if i < length else 0
                        copies[lane * BLOCK_BYTES + i] = octet
                _compress(copies, 0, BLOCK_BYTES, length, flags, chaining)
        for lane in range(present):
            for word in range(DIGEST_WORDS):
                digests[(first + lane) * DIGEST_WORDS + word] = chaining[word * LANES + lane]


@intrinsic
def _compress(typingctx: Any, octets: Any, at: Any, stride: Any, length: Any, flags: Any, chaining: Any) -> Any:
    """Compresses a block of each of LANES messages.

    Args:
        octets: uint8; the block of lane i is the 64 bytes from at + i * stride on.
        length, flags: the words that the compression takes, the same in all lanes.
        chaining: DIGEST_WORDS * LANES words, those of all lanes together; replaced by what the compression leaves.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
        pointer = cgutils.create_struct_proxy(octets)(context, builder, value=values[0]).data
        state = cgutils.create_struct_proxy(chaining)(context, builder, value=values[5]).data
        rows, place = [], values[1]
        for _ in range(LANES):
            row = builder.bitcast(builder.gep(pointer, [place]), PACKED.as_pointer())
            rows.append(builder.load(row, align=1))
            place = builder.add(place, values[2])
        state = builder.bitcast(state, PACKED.as_pointer())
        places = [builder.gep(state, [WORD(word)]) for word in range(DIGEST_WORDS)]
        before = [builder.load(place, align=4) for place in places]
        last = [WORD(0), *(builder.trunc(value, WORD) for value in values[3:5])]
        after = compressed(builder, before, _transposed(builder, rows), last)
        for word, place in zip(after, places, strict=True):
            builder.store(word, place, align=4)
        return context.get_dummy_value()

    number = types.int64
    return types.void(octets, number, number, number, number, chaining), generate


def _transposed(builder: ir.IRBuilder, rows: Lines) -> Lines:
    """The columns of a square of words: blocks of size 1, 2, 4 and 8 off the diagonal are exchanged."""
    lines = list(rows)
    for size in (1, 2, 4, 8):
        upper = [lane if not lane & size else LANES + (lane ^ size) for lane in range(LANES)]
        lower = [lane | size if not lane & size else LANES + lane for lane in range(LANES)]
        for i in (i for i in range(LANES) if not i & size):
            a, b = lines[i], lines[i | size]
            for line, lanes in ((i, upper), (i | size, lower)):
                lines[line] = builder.shuffle_vector(a, b, ir.Constant(PACKED, lanes))
    return lines
