"""BLAKE3, keyed, of many messages of one length: LANES of them at a time, each in a lane of its own.

A message of one chunk is a chain of compressions of blocks of 64 bytes, each of which waits for the one before it, so
that one message alone uses a fraction of the processor. Here each word of the state is a vector of words, one of each
message; the compression, given as LLVM instructions, is as many packed additions, exclusive ors and rotations. What is
saved besides is a call from Python for each message, which for short ones takes longer than the hash. The
chunks of a longer message are the leaves of a binary tree whose left subtrees are complete: they are merged as they
come, behind chunk number c, counted from 1, as many times as 2 divides c, and all that is left at the end. `columns`
hashes messages that are not yet bytes.

Needs numba.
"""

import sys
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils

from zkinfer.errors import ShapeError
from zkinfer.jit.compiling import device, intrinsic, kernel
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
    PARENT,
    ROOT,
    WORD,
    Lines,
    compressed,
)
from zkinfer.typing import ByteArray

AVAILABLE = sys.byteorder == "little"
"""Whether this machine's words are BLAKE3's."""

MAX_BYTES = 1 << 20
"""The longest message."""

GRAIN = 128 * LANES
"""Messages below which another thread does not pay."""

_CHUNK_BLOCKS = CHUNK_BYTES // BLOCK_BYTES

_STATE = DIGEST_WORDS * LANES
"""Words of the chaining values of all lanes."""

_PENDING_WORDS = 33 * _STATE
"""Of the chaining values that wait for their right siblings, one for each bit of a chunk's number, and the present."""

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
    pending = np.empty(_PENDING_WORDS, dtype=np.uint32)
    keys = _spread_key(key)
    copies = np.zeros(LANES * BLOCK_BYTES, dtype=np.uint8)
    blocks = max(1, (size + BLOCK_BYTES - 1) // BLOCK_BYTES)
    for first in range(start, stop, LANES):
        present = min(LANES, stop - first)
        depth = 0
        for block in range(blocks):
            if block % _CHUNK_BLOCKS == 0:
                depth = _begin_chunk(pending, depth, keys, block // _CHUNK_BLOCKS)
            at = first * size + block * BLOCK_BYTES
            length = min(BLOCK_BYTES, size - block * BLOCK_BYTES)
            flags, chunk = _block_flags(block, blocks), block // _CHUNK_BLOCKS
            if present == LANES and length == BLOCK_BYTES:
                _compress(octets, at, size, chunk, length, flags, pending, depth * _STATE)
            else:
                # A block that ends early is filled up with zeros; lanes without a message hash what was there before.
                for lane in range(present):
                    for i in range(BLOCK_BYTES):
                        octet = octets[at + lane * size + i] if i < length else 0
                        copies[lane * BLOCK_BYTES + i] = octet
                _compress(copies, 0, BLOCK_BYTES, chunk, length, flags, pending, depth * _STATE)
        _finish(pending, depth, keys)
        for lane in range(present):
            for word in range(DIGEST_WORDS):
                digests[(first + lane) * DIGEST_WORDS + word] = pending[word * LANES + lane]


@device
def _spread_key(key: Any) -> Any:
    """The words of the key, each LANES times."""
    keys = np.empty(_STATE, dtype=np.uint32)
    for word in range(DIGEST_WORDS):
        for lane in range(LANES):
            keys[word * LANES + lane] = key[word]
    return keys


@device
def _block_flags(block: Any, blocks: Any) -> Any:
    """The flags of a block of a message of so many blocks."""
    flags = KEYED_HASH
    if block % _CHUNK_BLOCKS == 0:
        flags |= CHUNK_START
    if block % _CHUNK_BLOCKS == _CHUNK_BLOCKS - 1 or block == blocks - 1:
        flags |= CHUNK_END
    if block == blocks - 1 and blocks <= _CHUNK_BLOCKS:
        flags |= ROOT
    return flags


@device
def _begin_chunk(pending: Any, depth: Any, keys: Any, chunk: Any) -> Any:
    """Merges what the chunk before made complete; the next one's chaining value is the key. Returns its place."""
    if chunk:
        while chunk % 2 == 0:
            depth -= 1
            _merge(pending, depth * _STATE, keys, KEYED_HASH | PARENT)
            chunk //= 2
        depth += 1
    for i in range(_STATE):
        pending[depth * _STATE + i] = keys[i]
    return depth


@device
def _finish(pending: Any, depth: Any, keys: Any) -> None:
    """Merges all that waits, from the last chunk on: the digests are the first chaining value."""
    for place in range(depth - 1, -1, -1):
        _merge(pending, place * _STATE, keys, KEYED_HASH | PARENT | (0 if place else ROOT))


@intrinsic
def _compress(
    typingctx: Any, octets: Any, at: Any, stride: Any, chunk: Any, length: Any, flags: Any, chaining: Any, place: Any
) -> Any:
    """Compresses a block of each of LANES messages.

    Args:
        octets: uint8; the block of lane i is the 64 bytes from at + i * stride on.
        chunk, length, flags: the words that the compression takes, the same in all lanes.
        chaining: from `place` on, DIGEST_WORDS * LANES words, those of all lanes together; replaced by what the
            compression leaves.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
        pointer = cgutils.create_struct_proxy(octets)(context, builder, value=values[0]).data
        rows, at = [], values[1]
        for _ in range(LANES):
            row = builder.bitcast(builder.gep(pointer, [at]), PACKED.as_pointer())
            rows.append(builder.load(row, align=1))
            at = builder.add(at, values[2])
        places = _lines(context, builder, chaining, values[6], values[7], DIGEST_WORDS)
        before = [builder.load(place, align=4) for place in places]
        last = [builder.trunc(value, WORD) for value in values[3:6]]
        after = compressed(builder, before, _transposed(builder, rows), last)
        for word, place in zip(after, places, strict=True):
            builder.store(word, place, align=4)
        return context.get_dummy_value()

    number = types.int64
    return types.void(octets, number, number, number, number, number, chaining, number), generate


@intrinsic
def _merge(typingctx: Any, chaining: Any, place: Any, keys: Any, flags: Any) -> Any:
    """Replaces two neighbouring chaining values of each lane, from `place` on, by their parent's."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
        places = _lines(context, builder, chaining, values[0], values[1], 2 * DIGEST_WORDS)
        key = _lines(context, builder, keys, values[2], ir.Constant(ir.IntType(64), 0), DIGEST_WORDS)
        before = [builder.load(place, align=4) for place in key]
        block = [builder.load(place, align=4) for place in places]
        last = [WORD(0), WORD(BLOCK_BYTES), builder.trunc(values[3], WORD)]
        after = compressed(builder, before, block, last)
        for word, place in zip(after, places[:DIGEST_WORDS], strict=True):
            builder.store(word, place, align=4)
        return context.get_dummy_value()

    return types.void(chaining, types.int64, keys, types.int64), generate


def _lines(context: Any, builder: ir.IRBuilder, kind: Any, array: ir.Value, at: ir.Value, count: int) -> Lines:
    """Where `count` packed words are in an array, from its element `at` on."""
    data = cgutils.create_struct_proxy(kind)(context, builder, value=array).data
    start = builder.bitcast(builder.gep(data, [at]), PACKED.as_pointer())
    return [builder.gep(start, [WORD(word)]) for word in range(count)]


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
