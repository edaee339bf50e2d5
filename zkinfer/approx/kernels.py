"""Applying a table to an array."""

import numpy as np
import numpy.typing as npt

from zkinfer.approx.table import Table
from zkinfer.errors import BoundsError


def lookup(x: npt.NDArray[np.int64], table: Table, shift: int) -> npt.NDArray[np.int64]:
    """`table[floor((x + half) / 2**shift)]`, element by element."""
    half = (1 << (shift - 1)) if shift else 0
    index = ((x + half) >> shift) - table.lo
    if index.size and (index.min() < 0 or index.max() >= len(table.values)):
        raise BoundsError(f"table {table.name!r}: an index is outside {table.lo} to {table.hi}")
    return table.array[index]
