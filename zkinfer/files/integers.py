"""How wide files write integers: signed, little-endian, each array in the narrowest type that holds it.

Where bytes count, they are packed bit by bit instead, in as many bits as their range takes.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from zkinfer.typing import IntArray

WIDTHS = (1, 2, 4, 8)
"""Bytes that an integer may take."""


def least_width(lo: int, hi: int) -> int:
    """The least of `WIDTHS` in which all integers from `lo` to `hi` fit, -2**63 <= lo <= hi < 2**63."""
    return next(width for width in WIDTHS if -1 << (8 * width - 1) <= lo and hi < 1 << (8 * width - 1))


def array_width(integers: npt.NDArray[np.signedinteger[Any]]) -> int:
    """The least of `WIDTHS` in which every element of an array of any shape fits; 1 where there are none."""
    return least_width(int(integers.min(initial=0)), int(integers.max(initial=0)))


_BLOCK = 1 << 16
"""Integers packed at a time: bounds the memory, and fills whole bytes."""


def bit_width(lo: int, hi: int) -> int:
    """The bits in which every distance from `lo` to an integer up to `hi` fits; 1 at least."""
    return max(1, (hi - lo).bit_length())


def pack_bits(integers: IntArray, lo: int, width: int) -> bytes:
    """The distances of integers from `lo` in `width` bits each, lowest bits and bytes first, then zero bits.

    Args:
        integers: of any shape; read row by row.
        lo: at most the least of them.
        width: from 1 to 64; no distance takes more.
    """
    distances = np.ascontiguousarray(integers, dtype="<i8").reshape(-1) - np.int64(lo)
    parts = []
    for start in range(0, len(distances), _BLOCK):
        octets = distances[start : start + _BLOCK].view(np.uint8).reshape(-1, 8)
        bits = np.unpackbits(octets, axis=1, count=width, bitorder="little")
        parts.append(np.packbits(bits.reshape(-1), bitorder="little").tobytes())
    return b"".join(parts)


def unpack_bits(data: bytes, count: int, lo: int, width: int) -> IntArray:
    """What `pack_bits` packed: int64 of shape (count,), modulo 2^64; `data` has the bytes that `packed_bytes` says."""
    result = np.zeros(count, dtype="<i8")
    for start, octets in _distances(data, count, width):
        result[start : start + len(octets)].view(np.uint8).reshape(-1, 8)[:, : octets.shape[1]] = octets
    result += np.int64(lo)
    return result.astype(np.int64, copy=False)


def packed_extremes(data: bytes, count: int, width: int) -> tuple[int, int]:
    """The least and the largest distance that `pack_bits` packed, below 2^63, in memory that depends on neither."""
    found: list[int] = []
    for _, octets in _distances(data, count, width):
        distances: npt.NDArray[Any] = octets
        if octets.shape[1] > 1:
            distances = np.zeros((len(octets), 8), dtype=np.uint8)
            distances[:, : octets.shape[1]] = octets
            distances = distances.view("<i8")
        found += [int(distances.min()), int(distances.max())]
    return min(found), max(found)


def _distances(data: bytes, count: int, width: int) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    """Block by block where it starts, and the bytes of each distance, the lowest first: shape (integers, bytes)."""
    each = packed_bytes(1, width)
    for start in range(0, count, _BLOCK):
        size = min(_BLOCK, count - start)
        octets = np.frombuffer(data, np.uint8, packed_bytes(size, width), start * width // 8)
        bits = np.unpackbits(octets, count=size * width, bitorder="little").reshape(size, width)
        if width > 1:
            whole = np.zeros((size, 8 * each), dtype=np.uint8)
            whole[:, :width] = bits
            bits = np.packbits(whole.reshape(-1), bitorder="little").reshape(size, each)
        yield start, bits


def packed_bytes(count: int, width: int) -> int:
    """Bytes that `count` packed integers take."""
    return -(-count * width // 8)
