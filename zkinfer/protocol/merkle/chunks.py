"""The binary tree over the chunks of a message, of LANES messages at once, with BLAKE3's keyed hash.

A message's chunks are the leaves of a tree whose left subtrees are complete. Chaining values wait on a stack, that of
the chunk at work on top. They are merged as chunks come, in front of chunk number c as many times as 2 divides c, and
all that is left at the end. So two values that are merged are always neighbours: together they are the block of their
parent. `keys` are the words of the key, each LANES times.

O'Connor, Aumasson, Neves and Wilcox-O'Hearn 2020, section 2. Needs numba.
"""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils

from zkinfer.jit.compiling import device, intrinsic, routine
from zkinfer.protocol.merkle.compression import (
    BLOCK_BYTES,
    CHUNK_BYTES,
    CHUNK_END,
    CHUNK_START,
    DIGEST,
    DIGEST_WORDS,
    KEYED_HASH,
    LANES,
    PACKED,
    PARENT,
    ROOT,
    WORD,
    compressed,
    lines,
    turned,
)

CHUNK_BLOCKS = CHUNK_BYTES // BLOCK_BYTES

STATE = DIGEST_WORDS * LANES
"""Words of the chaining values of all lanes: word w of lane i is the (w * LANES + i)-th."""

STACK = 33 * STATE
"""Words of a stack: one state for each bit of a chunk's number, and the present one."""


@device
def empty_words(count: Any) -> Any:
    """Memory for so many words."""
    return np.empty(count, dtype=np.uint32)


@device
def spread_key(key: Any) -> Any:
    """The words of the key, each LANES times."""
    keys = empty_words(STATE)
    for word in range(DIGEST_WORDS):
        for lane in range(LANES):
            keys[word * LANES + lane] = key[word]
    return keys


@device
def block_flags(block: Any, blocks: Any) -> Any:
    """The flags of a block of a message of so many blocks."""
    flags = KEYED_HASH
    if block % CHUNK_BLOCKS == 0:
        flags |= CHUNK_START
    if block % CHUNK_BLOCKS == CHUNK_BLOCKS - 1 or block == blocks - 1:
        flags |= CHUNK_END
    if block == blocks - 1 and blocks <= CHUNK_BLOCKS:
        flags |= ROOT
    return flags


@device
def begin_chunk(stacks: Any, base: Any, depth: Any, keys: Any, chunk: Any) -> Any:
    """Merges what the chunk before made complete; the next one's chaining value is the key.

    Args:
        stacks, base: the stack is STACK words from `base` on.
        depth: of the chunk before; 0 if there is none.

    Returns:
        The depth of the chunk: its state begins at base + depth * STATE.
    """
    if chunk:
        while chunk % 2 == 0:
            depth -= 1
            merge(stacks, base + depth * STATE, keys, KEYED_HASH | PARENT)
            chunk //= 2
        depth += 1
    for i in range(STATE):
        stacks[base + depth * STATE + i] = keys[i]
    return depth


@device
def finish(stacks: Any, base: Any, depth: Any, keys: Any) -> None:
    """Merges all that waits, from the last chunk on: the digests are the first state."""
    for place in range(depth - 1, -1, -1):
        merge(stacks, base + place * STATE, keys, KEYED_HASH | PARENT | (0 if place else ROOT))


@routine
def merge(stacks: Any, place: Any, keys: Any, flags: Any) -> None:
    """Replaces two neighbouring states, from `place` on, by their parent's."""
    _merge_lanes(stacks, place, keys, flags)


@intrinsic
def _merge_lanes(typingctx: Any, stacks: Any, place: Any, keys: Any, flags: Any) -> Any:
    """See `merge`."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
        states = cgutils.create_struct_proxy(stacks)(context, builder, value=values[0]).data
        key = cgutils.create_struct_proxy(keys)(context, builder, value=values[2]).data
        number = ir.IntType(64)
        before = lines(builder, key, number(0), number(LANES), DIGEST_WORDS, PACKED)
        places = lines(builder, states, values[1], number(LANES), 2 * DIGEST_WORDS, PACKED)
        after = compressed(
            builder,
            [builder.load(line, align=4) for line in before],
            [builder.load(line, align=4) for line in places],
            [WORD(0), WORD(BLOCK_BYTES), builder.trunc(values[3], WORD)],
        )
        for word, line in zip(after, places, strict=False):
            builder.store(word, line, align=4)
        return context.get_dummy_value()

    return types.void(stacks, types.int64, keys, types.int64), generate


@intrinsic
def write_digests(typingctx: Any, states: Any, at: Any, digests: Any, place: Any) -> Any:
    """Writes the digests of all lanes, one after another.

    Args:
        states: from `at` on, the state that `finish` leaves.
        digests: uint32; the first digest begins at `place`.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
        source, target = (
            cgutils.create_struct_proxy(signature.args[k])(context, builder, value=values[k]).data for k in (0, 2)
        )
        number = ir.IntType(64)
        words = [
            builder.load(line, align=4)
            for line in lines(builder, source, values[1], number(LANES), DIGEST_WORDS, PACKED)
        ]
        places = lines(builder, target, values[3], number(DIGEST_WORDS), LANES, DIGEST)
        for i, both in enumerate(turned(builder, words)):
            for half, place in enumerate((places[i], places[i + DIGEST_WORDS])):
                taken = [half * DIGEST_WORDS + k for k in range(DIGEST_WORDS)]
                builder.store(builder.shuffle_vector(both, both, ir.Constant(DIGEST, taken)), place, align=4)
        return context.get_dummy_value()

    return types.void(states, types.int64, digests, types.int64), generate
