"""BLAKE3, keyed, of many messages of one length: LANES of them at a time, each in a lane of its own.

A message of one chunk is a chain of compressions of blocks of 64 bytes, each of which waits for the one before it, so
that one message alone uses a fraction of the processor. Here each word of the state is a vector of words, one of each
message; the compression, given as LLVM instructions, is as many packed additions, exclusive ors and rotations. What is
saved besides is a call from Python for each message, which for short ones takes longer than the hash. `chunks` makes
the tree of a longer message's chunks; `columns` hashes messages that are not yet bytes.

Needs numba.
"""

import sys
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils

from zkinfer.counts import counted
from zkinfer.errors import ShapeError
from zkinfer.jit.compiling import device, intrinsic, kernel
from zkinfer.jit.threads import split
from zkinfer.protocol.merkle.chunks import (
    CHUNK_BLOCKS,
    STACK,
    STATE,
    begin_chunk,
    block_flags,
    empty_words,
    finish,
    spread_key,
    write_digests,
)
from zkinfer.protocol.merkle.compression import BLOCK_BYTES, DIGEST_WORDS, LANES, PACKED, WORD, Lines, compressed, lines
from zkinfer.typing import ByteArray

AVAILABLE = sys.byteorder == "little"
"""Whether this machine's words are BLAKE3's."""

MAX_BYTES = 1 << 20
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
        raise ShapeError(f"a message has at most {counted(MAX_BYTES, 'byte')}, not {size:,}")
    if digests.shape != (count, 4 * DIGEST_WORDS) or digests.dtype != np.uint8 or not digests.flags.c_contiguous:
        raise ShapeError(f"digests are a contiguous uint8 array ({count}, 32), not {digests.dtype} {digests.shape}")
    octets = np.asarray(messages).reshape(-1)[:]
    # To numba an array that may be written to is another type: so there is one kernel to compile.
    octets.flags.writeable = False
    split(_hash_kernel, count, GRAIN, octets, size, np.frombuffer(key, "<u4"), digests.reshape(-1).view("<u4"))


@kernel
def _hash_kernel(octets: Any, size: int, key: Any, digests: Any, start: int, stop: int) -> None:
    stack = empty_words(STACK)
    keys = spread_key(key)
    copies = _zero_octets(LANES * BLOCK_BYTES)
    blocks = max(1, (size + BLOCK_BYTES - 1) // BLOCK_BYTES)
    for first in range(start, stop, LANES):
        present = min(LANES, stop - first)
        depth = 0
        for block in range(blocks):
            if block % CHUNK_BLOCKS == 0:
                depth = begin_chunk(stack, 0, depth, keys, block // CHUNK_BLOCKS)
            at = first * size + block * BLOCK_BYTES
            length = min(BLOCK_BYTES, size - block * BLOCK_BYTES)
            flags, chunk = block_flags(block, blocks), block // CHUNK_BLOCKS
            source, pitch = _address(octets, at), size
            if present < LANES or length < BLOCK_BYTES:
                # A block that ends early is filled up with zeros; lanes without a message hash what was there before.
                for lane in range(present):
                    for i in range(BLOCK_BYTES):
                        octet = octets[at + lane * size + i] if i < length else 0
                        copies[lane * BLOCK_BYTES + i] = octet
                source, pitch = _address(copies, 0), BLOCK_BYTES
            _compress(source, pitch, chunk, length, flags, stack, depth * STATE)
        finish(stack, 0, depth, keys)
        if present == LANES:
            write_digests(stack, 0, digests, first * DIGEST_WORDS)
        else:
            for lane in range(present):
                for word in range(DIGEST_WORDS):
                    digests[(first + lane) * DIGEST_WORDS + word] = stack[word * LANES + lane]


@device
def _zero_octets(count: Any) -> Any:
    octets = np.empty(count, dtype=np.uint8)
    for i in range(count):
        octets[i] = 0
    return octets


@intrinsic
def _address(typingctx: Any, octets: Any, at: Any) -> Any:
    """Where an octet is, as a number: so arrays that may be written to and others are read by one compression."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
        data = cgutils.create_struct_proxy(octets)(context, builder, value=values[0]).data
        return builder.ptrtoint(builder.gep(data, [values[1]]), ir.IntType(64))

    return types.int64(octets, types.int64), generate


@intrinsic
def _compress(
    typingctx: Any, source: Any, stride: Any, chunk: Any, length: Any, flags: Any, chaining: Any, place: Any
) -> Any:
    """Compresses a block of each of LANES messages.

    Args:
        source: an address; the block of lane i is the 64 bytes from source + i * stride on.
        chunk, length, flags: the words that the compression takes, the same in all lanes.
        chaining: from `place` on, DIGEST_WORDS * LANES words, those of all lanes together; replaced by what the
            compression leaves.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
        pointer = builder.inttoptr(values[0], ir.IntType(8).as_pointer())
        places = lines(builder, pointer, ir.IntType(64)(0), values[1], LANES, PACKED)
        rows = [builder.load(place, align=1) for place in places]
        states = cgutils.create_struct_proxy(chaining)(context, builder, value=values[5]).data
        places = lines(builder, states, values[6], ir.IntType(64)(LANES), DIGEST_WORDS, PACKED)
        before = [builder.load(place, align=4) for place in places]
        last = [builder.trunc(value, WORD) for value in values[2:5]]
        after = compressed(builder, before, _transposed(builder, rows), last)
        for word, place in zip(after, places, strict=True):
            builder.store(word, place, align=4)
        return context.get_dummy_value()

    number = types.int64
    return types.void(number, number, number, number, number, chaining, number), generate


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
