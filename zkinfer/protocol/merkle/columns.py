"""The leaves of a matrix of codewords, hashed without being written out as bytes.

A leaf is a salt and the elements of a column, 7 bytes each; its BLAKE3, keyed, may take many chunks. LANES columns
stand side by side in the codewords already, so eight elements of each are put together to fourteen words in registers,
with no transposition, and the words are compressed lane by lane. Of the codewords, TILE columns of STAGE rows are read
at a time, and their words stay in the second-level cache until they are hashed. Only opened columns become bytes.

Needs numba.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils

from zkinfer.errors import ShapeError
from zkinfer.jit.compiling import intrinsic, kernel
from zkinfer.jit.threads import split
from zkinfer.protocol.field import kernels
from zkinfer.protocol.field.encoding import BASE_BYTES
from zkinfer.protocol.field.kernels.vector import copy
from zkinfer.protocol.field.params import P
from zkinfer.protocol.merkle.chunks import CHUNK_BLOCKS, STACK, STATE, begin_chunk, block_flags, finish, spread_key
from zkinfer.protocol.merkle.compression import BLOCK_BYTES, DIGEST_WORDS, LANES, PACKED, WORD, compressed, lines
from zkinfer.protocol.merkle.paths import SALT_BYTES
from zkinfer.typing import ByteArray, Floats

TILE = 256
"""Columns whose words are held at a time."""

_GROUP = 8
_GROUP_WORDS = _GROUP * BASE_BYTES // 4

STAGE = 64
"""Rows whose words are held at a time: they make whole blocks."""

_STAGE_BLOCKS = STAGE * BASE_BYTES // BLOCK_BYTES
_BLOCK_WORDS = BLOCK_BYTES // 4
_SALT_WORDS = SALT_BYTES // 4


@dataclass(frozen=True, eq=False)
class SaltedColumns:
    """The leaves of a commitment, as codewords: column j with its salt is leaf j.

    Attributes:
        codewords: balanced, contiguous, shape (rows, leaves).
        salts: shape (leaves, SALT_BYTES), or (leaves, 0) for leaves without salt.
    """

    codewords: Floats
    salts: ByteArray

    def __len__(self) -> int:
        return len(self.salts)

    def __getitem__(self, indices: Sequence[int]) -> ByteArray:
        """The bytes of some leaves, shape (indices, bytes of a leaf)."""
        columns = np.ascontiguousarray(self.codewords[:, indices])
        salt_bytes = self.salts.shape[1]
        leaves = np.empty((columns.shape[1], salt_bytes + BASE_BYTES * len(columns)), dtype=np.uint8)
        leaves[:, :salt_bytes] = self.salts[indices]
        kernels.write_columns(columns, leaves, salt_bytes)
        return leaves


def hash_columns(columns: SaltedColumns, key: bytes, digests: ByteArray) -> None:
    """Writes the keyed hash of each leaf.

    Args:
        key: 32 bytes.
        digests: shape (leaves, 32).

    Raises:
        ShapeError: an array is not as it should be.
    """
    codewords, salts = columns.codewords, columns.salts
    if codewords.ndim != 2 or codewords.dtype != np.float64 or not codewords.flags.c_contiguous:
        raise ShapeError(f"codewords are a contiguous float64 array (rows, columns), not {codewords.shape}")
    rows, count = codewords.shape
    if salts.dtype != np.uint8 or salts.shape not in ((count, 0), (count, SALT_BYTES)):
        raise ShapeError(f"the salts of {count} columns are a uint8 array ({count}, {SALT_BYTES}), not {salts.shape}")
    if digests.shape != (count, 4 * DIGEST_WORDS) or digests.dtype != np.uint8:
        raise ShapeError(f"digests are a uint8 array ({count}, 32), not {digests.dtype} {digests.shape}")
    if count % LANES:
        # Columns of zeros fill up the last lanes.
        codewords = np.concatenate([codewords, np.zeros((rows, -count % LANES))], axis=1)
        salts = np.concatenate([salts, np.zeros((-count % LANES, salts.shape[1]), dtype=np.uint8)])
    salt_words, key_words = (np.frombuffer(octets, "<u4").astype(np.uint32) for octets in (salts.tobytes(), key))
    words = np.empty((len(salts), DIGEST_WORDS), dtype=np.uint32)
    split(_kernel, len(salts), TILE, codewords.reshape(-1), rows, len(salts), salt_words, key_words, words.reshape(-1))
    digests[...] = words[:count].astype("<u4").view(np.uint8)


@kernel
def _kernel(flat: Any, rows: int, columns: int, salts: Any, key: Any, digests: Any, start: int, stop: int) -> None:
    salt_words = salts.size // columns
    size = 4 * salt_words + BASE_BYTES * rows
    blocks = max(1, (size + BLOCK_BYTES - 1) // BLOCK_BYTES)
    # Word w of column j of the tile is at w * TILE + j: the words that were left over, then those of a stage.
    words = np.zeros((_STAGE_BLOCKS + 1) * _BLOCK_WORDS * TILE, dtype=np.uint32)
    last = np.zeros(_GROUP * TILE)
    # Each group of LANES columns has a stack of its own; all are as deep.
    stacks, keys = np.empty(TILE // LANES * STACK, dtype=np.uint32), spread_key(key)
    for tile in range(start, stop, TILE):
        present = min(TILE, stop - tile)
        for word in range(salt_words):
            for column in range(present):
                words[word * TILE + column] = salts[(tile + column) * salt_words + word]
        block, row, depth = 0, 0, 0
        while block < blocks:
            held, ahead = salt_words, min(STAGE, rows - row)
            for first in range(row, row + ahead - _GROUP + 1, _GROUP):
                for column in range(0, present, LANES):
                    _put_words(flat, first * columns + tile + column, columns, words, held * TILE + column)
                held += _GROUP_WORDS
            row += ahead
            if ahead % _GROUP:
                # Rows of `last` that are behind the codewords' were zero from the beginning: this comes once in a tile.
                for k in range(ahead % _GROUP):
                    copy(flat, (row - ahead % _GROUP + k) * columns + tile, last, k * TILE, present)
                for column in range(0, present, LANES):
                    _put_words(last, column, TILE, words, held * TILE + column)
                held += _GROUP_WORDS
            whole = _STAGE_BLOCKS if row < rows else blocks - block
            words[held * TILE : whole * _BLOCK_WORDS * TILE] = 0
            reached = depth
            for lanes in range(0, present, LANES):
                base, reached = lanes // LANES * STACK, depth
                for number in range(whole):
                    here = block + number
                    chunk = here // CHUNK_BLOCKS
                    if here % CHUNK_BLOCKS == 0:
                        reached = begin_chunk(stacks, base, reached, keys, chunk)
                    length, flags = min(BLOCK_BYTES, size - here * BLOCK_BYTES), block_flags(here, blocks)
                    at, state = number * _BLOCK_WORDS * TILE + lanes, base + reached * STATE
                    _compress(words, at, TILE, stacks, state, chunk, length, flags)
                if block + whole == blocks:
                    finish(stacks, base, reached, keys)
            depth = reached
            if row < rows:
                copy(words, _STAGE_BLOCKS * _BLOCK_WORDS * TILE, words, 0, salt_words * TILE)
            block += whole
        for column in range(present):
            state = column // LANES * STACK + column % LANES
            for word in range(DIGEST_WORDS):
                digests[(tile + column) * DIGEST_WORDS + word] = stacks[state + word * LANES]


@kernel
def _compress(
    words: Any, at: int, pitch: int, chaining: Any, state: int, counter: int, length: int, flags: int
) -> None:
    """Compresses a block of each of LANES messages; not inlined, so that it is compiled once.

    Args:
        words: uint32; word w of lane i is at + w * pitch + i.
        chaining: DIGEST_WORDS * LANES words from `state` on, replaced by what the compression leaves.
        counter, length, flags: the words that the compression takes, the same in all lanes.
    """
    _compress_lanes(words, at, pitch, chaining, state, counter, length, flags)


@intrinsic
def _compress_lanes(
    typingctx: Any, words: Any, at: Any, pitch: Any, chaining: Any, state: Any, counter: Any, length: Any, flags: Any
) -> Any:
    """See `_compress`."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
        data, states = (cgutils.create_struct_proxy(words)(context, builder, value=values[k]).data for k in (0, 3))
        block = [builder.load(line, align=4) for line in lines(builder, data, values[1], values[2], 16, PACKED)]
        places = lines(builder, states, values[4], ir.IntType(64)(LANES), DIGEST_WORDS, PACKED)
        before = [builder.load(place, align=4) for place in places]
        last = [builder.trunc(value, WORD) for value in values[5:]]
        for word, place in zip(compressed(builder, before, block, last), places, strict=True):
            builder.store(word, place, align=4)
        return context.get_dummy_value()

    number = types.int64
    return types.void(words, number, number, chaining, number, number, number, number), generate


@intrinsic
def _put_words(typingctx: Any, flat: Any, at: Any, pitch: Any, words: Any, place: Any) -> Any:
    """Writes the words of eight elements of each of LANES columns, TILE places from one word to the next.

    Args:
        flat: float64, balanced; element k of lane i is at + k * pitch + i.
        words: uint32; the first words begin at `place`.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
        data = cgutils.create_struct_proxy(flat)(context, builder, value=values[0]).data
        target = cgutils.create_struct_proxy(words)(context, builder, value=values[3]).data
        packed_floats = ir.VectorType(ir.DoubleType(), LANES)
        elements = [
            _canonical(builder, builder.load(line, align=8))
            for line in lines(builder, data, values[1], values[2], _GROUP, packed_floats)
        ]
        bits = 8 * BASE_BYTES
        places = lines(builder, target, values[4], ir.IntType(64)(TILE), _GROUP_WORDS, PACKED)
        for number, place in enumerate(places):
            first, offset = divmod(32 * number, bits)
            word = builder.lshr(elements[first], _long(offset))
            if offset + 32 > bits:
                word = builder.or_(word, builder.shl(elements[first + 1], _long(bits - offset)))
            builder.store(builder.trunc(word, PACKED), place, align=4)
        return context.get_dummy_value()

    number = types.int64
    return types.void(flat, number, number, words, number), generate


def _long(value: int) -> ir.Constant:
    return ir.Constant(ir.VectorType(ir.IntType(64), LANES), [value] * LANES)


def _canonical(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """The integers in [0, P) of balanced elements: added to 2^52, they are the low bits of the float64."""

    def packed(value: float) -> ir.Constant:
        return ir.Constant(x.type, [value] * LANES)

    negative = builder.fcmp_ordered("<", x, packed(0.0))
    least = builder.fadd(x, builder.select(negative, packed(float(P)), packed(0.0)))
    long = builder.bitcast(builder.fadd(least, packed(float(1 << 52))), _long(0).type)
    return builder.and_(long, _long((1 << 52) - 1))
