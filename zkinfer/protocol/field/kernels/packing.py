"""Columns of a matrix of field elements as bytes: what the leaves of a commitment are made of."""

from typing import Any

import numpy as np

from zkinfer.errors import ShapeError
from zkinfer.jit.compiling import device, kernel
from zkinfer.jit.threads import split
from zkinfer.protocol.field.encoding import BASE_BYTES
from zkinfer.protocol.field.kernels.vector import store_octets
from zkinfer.protocol.field.params import P
from zkinfer.typing import ByteArray, Floats

TILE_COLUMNS = 256
"""Columns written together, so that the cache lines at the end of each are still there for its next elements."""

ROWS = 8
"""Elements of a column written together: every column is another page of memory, and to change pages costs."""


def write_columns(matrix: Floats, leaves: ByteArray, offset: int) -> None:
    """Writes the canonical bytes of column j, top to bottom, to leaves[j, offset : offset + BASE_BYTES * rows].

    Args:
        matrix: (rows, columns) balanced base elements, contiguous.
        leaves: (columns, width), contiguous; the rest of it is left as it is.
        offset: with BASE_BYTES * rows, at most width.
    """
    if matrix.ndim != 2 or matrix.dtype != np.float64 or not matrix.flags.c_contiguous:
        raise ShapeError(f"the matrix must be a contiguous float64 array (rows, columns), not {matrix.shape}")
    rows, columns = matrix.shape
    if leaves.ndim != 2 or leaves.dtype != np.uint8 or not leaves.flags.c_contiguous or len(leaves) != columns:
        raise ShapeError(f"the leaves of {columns} columns must be a contiguous uint8 array, not {leaves.shape}")
    if offset < 0 or offset + BASE_BYTES * rows > leaves.shape[1]:
        raise ShapeError(f"{rows:,} elements from byte {offset:,} on do not fit into leaves of {leaves.shape[1]:,}")
    if rows:
        split(_kernel, columns, TILE_COLUMNS, matrix.reshape(-1), rows, columns, leaves.reshape(-1), offset)


@device
def _canonical(x: float) -> Any:
    """The integer in [0, P) of a balanced element."""
    integer = np.int64(x)
    return integer + (integer >> 63 & P)


@kernel
def _kernel(flat: Any, rows: int, columns: int, octets: Any, offset: int, start: int, stop: int) -> None:
    width = octets.size // columns
    grouped = (rows - 1) // ROWS * ROWS
    for tile in range(start, stop, TILE_COLUMNS):
        end = min(tile + TILE_COLUMNS, stop)
        # All but the last element of a column are written as eight bytes: the next overwrites the eighth, a zero.
        for row in range(0, grouped, ROWS):
            for j in range(tile, end):
                at = j * width + offset + row * BASE_BYTES
                for k in range(ROWS):
                    store_octets(octets, at + k * BASE_BYTES, _canonical(flat[(row + k) * columns + j]))
        for j in range(tile, end):
            at = j * width + offset
            for row in range(grouped, rows - 1):
                store_octets(octets, at + row * BASE_BYTES, _canonical(flat[row * columns + j]))
            x = _canonical(flat[(rows - 1) * columns + j])
            for k in range(BASE_BYTES):
                octets[at + (rows - 1) * BASE_BYTES + k] = x >> 8 * k & 255
