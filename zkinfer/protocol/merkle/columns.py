"""The leaves of a matrix of codewords, hashed without being written out as bytes.

A leaf is a salt and the elements of a column, 7 bytes each; its BLAKE3, keyed, may take many chunks. LANES columns
stand side by side in the codewords already, so eight elements of each are put together to fourteen words in registers,
with no transposition, and the words are compressed lane by lane. Of the codewords, TILE columns of STAGE rows are read
at a time, and their words stay in the second-level cache until they are hashed. Only opened columns become bytes.

Needs numba.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils

from zkinfer.counts import counted
from zkinfer.errors import ShapeError
from zkinfer.jit.compiling import intrinsic, kernel, routine
from zkinfer.jit.threads import split
from zkinfer.protocol.field import kernels
from zkinfer.protocol.field.encoding import BASE_BYTES
from zkinfer.protocol.field.kernels.vector import copy, zeros
from zkinfer.protocol.field.params import P
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
from zkinfer.protocol.merkle.compression import (
    BLOCK_BYTES,
    CHUNK_BYTES,
    DIGEST,
    DIGEST_WORDS,
    LANES,
    PACKED,
    WORD,
    compressed,
    lines,
    turned,
)
from zkinfer.protocol.merkle.paths import SALT_BYTES
from zkinfer.typing import ByteArray, Floats

TILE = 256
"""Columns whose words are held at a time."""

GROUP = 8
"""Rows whose elements are whole words together."""

_GROUP_WORDS = GROUP * BASE_BYTES // 4

STAGE = 64
"""Rows whose words are held at a time: they make whole blocks."""

_STAGE_BLOCKS = STAGE * BASE_BYTES // BLOCK_BYTES
_BLOCK_WORDS = BLOCK_BYTES // 4

_SALT_WORDS = SALT_BYTES // 4
"""As many as a digest has, which `turned` relies on."""

Words: TypeAlias = npt.NDArray[np.uint32]


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
    if codewords.ndim != 2:
        raise ShapeError(f"codewords are an array (rows, columns), not {codewords.shape}")
    count = codewords.shape[1]
    _check_salts(count, salts)
    if digests.shape != (count, 4 * DIGEST_WORDS) or digests.dtype != np.uint8:
        raise ShapeError(f"digests are a uint8 array ({count}, 32), not {digests.dtype} {digests.shape}")
    in_place = sys.byteorder == "little" and not count % LANES and digests.flags.c_contiguous
    words = digests.reshape(-1).view(np.uint32) if in_place else _digest_words(count)
    state = _State.of_all(len(codewords), salts, words)
    state.absorb(codewords, key)
    if not in_place:
        digests[...] = state.digests


class ColumnHasher:
    """Hashes leaves whose rows come some at a time, so that not all of them are in memory.

    What is kept of a leaf is its unfinished block, and a chaining value for each level of the tree over its chunks.

    Args:
        rows: of a leaf in all.
        salts: shape (leaves, SALT_BYTES), or (leaves, 0).
        key: 32 bytes.

    Raises:
        ShapeError: the salts are not such an array.
    """

    def __init__(self, rows: int, salts: ByteArray, key: bytes) -> None:
        _check_salts(len(salts), salts)
        self._state, self._key = _State.of_some(rows, salts), key

    def absorb(self, codewords: Floats) -> None:
        """The next rows.

        Args:
            codewords: balanced, contiguous, shape (rows, leaves); a multiple of `GROUP` rows unless they are the last.

        Raises:
            ShapeError: they are not such rows, or too many.
        """
        self._state.absorb(codewords, self._key)

    @property
    def digests(self) -> ByteArray:
        """The hash of each leaf, shape (leaves, 32).

        Raises:
            ShapeError: rows are missing.
        """
        if self._state.done != self._state.rows:
            raise ShapeError(f"leaves of {counted(self._state.rows, 'row')}, of which {self._state.done} came")
        return self._state.digests


@dataclass(eq=False)
class _State:
    """How far the hash of some leaves is.

    Attributes:
        rows, leaves: in all.
        salt_words: of a leaf.
        salts: their words, leaf by leaf, as many leaves as LANES divides.
        held: words that are no block yet, for each the leaves' in one line; nothing if all rows come at once.
        stacks: for each LANES leaves the chaining values; nothing if all rows come at once.
        words: of the digests, leaf by leaf.
        done: rows that came.
    """

    rows: int
    leaves: int
    salt_words: int
    salts: Words
    held: Words
    stacks: Words
    words: Words
    done: int = 0

    @staticmethod
    def of_all(rows: int, salts: ByteArray, words: Words) -> "_State":
        """Before all rows, which come at once."""
        none = np.empty(0, dtype=np.uint32)
        return _State(rows, len(salts), salts.shape[1] // 4, _salt_words(salts), none, none, words)

    @staticmethod
    def of_some(rows: int, salts: ByteArray) -> "_State":
        """Before the first of several pieces."""
        leaves, words = len(salts), salts.shape[1] // 4
        lanes = leaves + -leaves % LANES
        held = np.zeros(_BLOCK_WORDS * lanes, dtype=np.uint32)
        chunks = -(-(4 * words + BASE_BYTES * rows) // CHUNK_BYTES)
        states = max(1, chunks - 1).bit_length() + 1
        stacks = np.empty(lanes // LANES * states * STATE, dtype=np.uint32)
        return _State(rows, leaves, words, _salt_words(salts), held, stacks, _digest_words(leaves))

    def absorb(self, codewords: Floats, key: bytes) -> None:
        """The next rows, of all leaves."""
        if codewords.ndim != 2 or codewords.dtype != np.float64 or not codewords.flags.c_contiguous:
            raise ShapeError(f"codewords are a contiguous float64 array (rows, columns), not {codewords.shape}")
        count, last = len(codewords), self.done + len(codewords) == self.rows
        if codewords.shape[1] != self.leaves or self.done + count > self.rows or (count % GROUP and not last):
            raise ShapeError(f"{self.leaves} leaves have rows {self.done} to {self.rows} left, not {codewords.shape}")
        columns = len(self.words) // DIGEST_WORDS
        if columns != self.leaves:  # columns of zeros fill up the last lanes
            codewords = np.concatenate([codewords, np.zeros((count, columns - self.leaves))], axis=1)
        words = self.salt_words + self.done // GROUP * _GROUP_WORDS
        block, held = divmod(words, _BLOCK_WORDS)
        depth = (max(block - 1, 0) // CHUNK_BLOCKS).bit_count()
        place = (self.done, self.rows, self.salt_words, block, held, depth)
        key_words = np.frombuffer(key, "<u4").astype(np.uint32)
        arrays = (self.salts, self.held, self.stacks, key_words, self.words)
        split(_kernel, columns, TILE, codewords.reshape(-1), count, columns, *place, *arrays)
        self.done += count

    @property
    def digests(self) -> ByteArray:
        """Of all leaves, once all rows came."""
        words = self.words.reshape(-1, DIGEST_WORDS)[: self.leaves]
        octets: ByteArray = words.astype("<u4", copy=False).view(np.uint8)
        return octets


def _check_salts(count: int, salts: ByteArray) -> None:
    if salts.dtype != np.uint8 or salts.shape not in ((count, 0), (count, SALT_BYTES)):
        raise ShapeError(f"the salts of {count:,} columns are a uint8 array ({count}, {SALT_BYTES}), not {salts.shape}")


def _salt_words(salts: ByteArray) -> Words:
    """Of all leaves, one after another, and of the zeros that fill up the last lanes."""
    count, size = salts.shape
    if count % LANES:
        salts = np.concatenate([salts, np.zeros((-count % LANES, size), dtype=np.uint8)])
    words: Words = np.ascontiguousarray(salts).reshape(-1).view("<u4").astype(np.uint32, copy=False).view()
    # To numba an array that may be written to is another type: so there is one kernel to compile.
    words.flags.writeable = False
    return words


def _digest_words(leaves: int) -> Words:
    return np.empty((leaves + -leaves % LANES) * DIGEST_WORDS, dtype=np.uint32)


@kernel
def _kernel(
    flat: Any,
    rows: int,
    columns: int,
    done: int,
    total: int,
    salt_words: int,
    first_block: int,
    carried: int,
    first_depth: int,
    salts: Any,
    held: Any,
    stacks: Any,
    key: Any,
    digests: Any,
    start: int,
    stop: int,
) -> None:
    size = 4 * salt_words + BASE_BYTES * total
    blocks = max(1, (size + BLOCK_BYTES - 1) // BLOCK_BYTES)
    finished = done + rows == total
    # Word w of column j of the tile is at w * TILE + j: the words that were left over, then those of a stage.
    words = empty_words((_STAGE_BLOCKS + 1) * _BLOCK_WORDS * TILE)
    last = zeros(GROUP * TILE)
    # Each group of LANES columns has a stack of its own; all are as deep.
    kept, keys = stacks.size > 0, spread_key(key)
    pitch = stacks.size // (columns // LANES) if kept else STACK
    own = stacks if kept else empty_words(TILE // LANES * STACK)
    for tile in range(start, stop, TILE):
        present = min(TILE, stop - tile)
        origin = tile // LANES * pitch if kept else 0
        if not done:
            for column in range(0, present if salt_words else 0, LANES):
                _put_salts(salts, (tile + column) * _SALT_WORDS, words, column, TILE)
        else:
            for word in range(carried):
                copy(held, word * columns + tile, words, word * TILE, present)
        block, row, depth, left = first_block, 0, first_depth, carried
        while row < rows or (finished and block < blocks):
            ahead, count = min(STAGE, rows - row), left
            for first in range(row, row + ahead - GROUP + 1, GROUP):
                for column in range(0, present, LANES):
                    _put_words(flat, first * columns + tile + column, columns, words, count * TILE + column)
                count += _GROUP_WORDS
            row += ahead
            if ahead % GROUP:
                # Rows of `last` that are behind the codewords' were zero from the beginning: this comes once in a tile.
                for k in range(ahead % GROUP):
                    copy(flat, (row - ahead % GROUP + k) * columns + tile, last, k * TILE, present)
                for column in range(0, present, LANES):
                    _put_words(last, column, TILE, words, count * TILE + column)
                count += _GROUP_WORDS
            whole = blocks - block if finished and row == rows else count // _BLOCK_WORDS
            if whole * _BLOCK_WORDS > count:
                words[count * TILE : whole * _BLOCK_WORDS * TILE] = 0
            reached = depth
            for lanes in range(0, present, LANES):
                base, reached = origin + lanes // LANES * pitch, depth
                for number in range(whole):
                    here = block + number
                    chunk = here // CHUNK_BLOCKS
                    if here % CHUNK_BLOCKS == 0:
                        reached = begin_chunk(own, base, reached, keys, chunk)
                    length, flags = min(BLOCK_BYTES, size - here * BLOCK_BYTES), block_flags(here, blocks)
                    at, state = number * _BLOCK_WORDS * TILE + lanes, base + reached * STATE
                    _compress(words, at, TILE, own, state, chunk, length, flags)
                if block + whole == blocks:
                    finish(own, base, reached, keys)
            depth = reached
            left = count - whole * _BLOCK_WORDS
            if whole and left > 0:
                copy(words, whole * _BLOCK_WORDS * TILE, words, 0, left * TILE)
            block += whole
        if not finished:
            for word in range(left):
                copy(words, word * TILE, held, word * columns + tile, present)
            continue
        for column in range(0, present, LANES):
            write_digests(own, origin + column // LANES * pitch, digests, (tile + column) * DIGEST_WORDS)


@routine
def _compress(
    words: Any, at: Any, pitch: Any, chaining: Any, state: Any, counter: Any, length: Any, flags: Any
) -> None:
    """Compresses a block of each of LANES messages.

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
def _put_salts(typingctx: Any, salts: Any, at: Any, words: Any, place: Any, pitch: Any) -> Any:
    """Writes the words of the salts of LANES columns, `pitch` places from one word to the next.

    Args:
        salts: uint32; the first salt begins at `at`.
        words: uint32; the first words begin at `place`.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
        source, target = (
            cgutils.create_struct_proxy(signature.args[k])(context, builder, value=values[k]).data for k in (0, 2)
        )
        salt = ir.IntType(64)(_SALT_WORDS)
        rows = [builder.load(line, align=4) for line in lines(builder, source, values[1], salt, LANES, DIGEST)]
        both = ir.Constant(PACKED, list(range(LANES)))
        pairs = [builder.shuffle_vector(rows[i], rows[i + _SALT_WORDS], both) for i in range(_SALT_WORDS)]
        places = lines(builder, target, values[3], values[4], _SALT_WORDS, PACKED)
        for word, line in zip(turned(builder, pairs), places, strict=True):
            builder.store(word, line, align=4)
        return context.get_dummy_value()

    number = types.int64
    return types.void(salts, number, words, number, number), generate


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
            for line in lines(builder, data, values[1], values[2], GROUP, packed_floats)
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
