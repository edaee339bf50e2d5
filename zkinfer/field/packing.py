"""Columns of a matrix of field elements as bytes: what the leaves of a commitment are made of."""

from typing import Any

import numpy as np
import numpy.typing as npt

from zkinfer.errors import ShapeError
from zkinfer.field.arrays import Floats
from zkinfer.field.compiling import kernel
from zkinfer.field.encoding import BASE_BYTES
from zkinfer.field.params import P
from zkinfer.field.threads import split
from zkinfer.field.vector import store_octets

TILE_COLUMNS = 256
"""Columns written together: a cache line of each row is read for eight of them, and is still there for the next."""


def write_columns(matrix: Floats, leaves: npt.NDArray[np.uint8], offset: int) -> None:
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
        raise ShapeError(f"{rows} elements from byte {offset} on do not fit into leaves of {leaves.shape[1]} bytes")
    if rows:
        split(_kernel, columns, TILE_COLUMNS, matrix.reshape(-1), rows, columns, leaves.reshape(-1), offset)


@kernel
def _kernel(flat: Any, rows: int, columns: int, octets: Any, offset: int, start: int, stop: int) -> None:
    width = octets.size // columns
    for tile in range(start, stop, TILE_COLUMNS):
        end = min(tile + TILE_COLUMNS, stop)
        for row in range(rows - 1):
            for j in range(tile, end):
                x = np.int64(flat[row * columns + j])
                # The eighth byte, a zero, is overwritten by the row that follows.
                store_octets(octets, j * width + offset + row * BASE_BYTES, x + (x >> 63 & P))
        for j in range(tile, end):
            x = np.int64(flat[(rows - 1) * columns + j])
            x += x >> 63 & P
            at = j * width + offset + (rows - 1) * BASE_BYTES
            for k in range(BASE_BYTES):
                octets[at + k] = x >> 8 * k & 255
