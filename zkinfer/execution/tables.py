"""Tables applied to arrays by kernels: what `circuit.lookup` defines, on narrow integers and several threads.

A Lookup of x reads entry floor((x + half) / 2^shift) - lo of its table, where half is 2^(shift - 1), or 0 at shift 0.
"""

from typing import Any

import numpy as np

from zkinfer.circuit.lookup import outside_error
from zkinfer.circuit.program import MAX_MAGNITUDE, rounding_half
from zkinfer.circuit.table import MAX_SHIFT, Table
from zkinfer.errors import InvalidInputError
from zkinfer.execution.narrow import GRAIN, check_flat, smallest_type
from zkinfer.jit.compiling import kernel
from zkinfer.jit.threads import split
from zkinfer.typing import Array

TILE = 1 << 12
"""Elements whose positions are checked, all at once, before the table is read for any of them."""


@kernel
def _apply_kernel(x: Any, shift: int, half: int, lo: int, entries: Any, out: Any, start: int, stop: int) -> bool:
    """out[i] = entries[((x[i] + half) >> shift) - lo]; stops and returns True where that is outside the table.

    A position is outside if it, or the last position less it, is negative. So the sign of the bitwise or of all these
    numbers says whether any position of a tile is outside, without a branch for each element.
    """
    last = entries.size - 1
    for first in range(start, stop, TILE):
        source, target = x[first : min(first + TILE, stop)], out[first : min(first + TILE, stop)]
        signs = 0
        for i in range(source.size):
            position = ((np.int64(source[i]) + half) >> shift) - lo
            signs |= position | (last - position)
        if signs < 0:
            return True
        for i in range(source.size):
            target[i] = entries[np.uint64(((np.int64(source[i]) + half) >> shift) - lo)]
    return False


@kernel
def _round_kernel(x: Any, shift: int, half: int, lo: int, hi: int, out: Any, start: int, stop: int) -> bool:
    """out[i] = (x[i] + half) >> shift; returns whether one of these is not from lo to hi."""
    source, target = x[start:stop], out[start:stop]
    signs = 0
    for i in range(source.size):
        index = int(np.int64(source[i]) + half) >> shift
        signs |= (index - lo) | (hi - index)
        target[i] = index
    return signs < 0


class AppliedTable:
    """A table, as the kernels read it: its entries in the smallest type that holds them.

    Attributes:
        table: the table.
        dtype: of its entries.

    Raises:
        InvalidInputError: it covers indices beyond plus or minus 2^62.
    """

    def __init__(self, table: Table) -> None:
        if table.lo < -MAX_MAGNITUDE or table.hi > MAX_MAGNITUDE:
            raise InvalidInputError(
                f"table {table.name!r} covers indices {table.lo} to {table.hi}; no value of a program gets there"
            )
        array = table.array
        self.table = table
        self.dtype = smallest_type(int(array.min()), int(array.max()))
        self._entries = array.astype(self.dtype)
        self._is_identity = bool(np.array_equal(array, np.arange(table.lo, table.hi + 1)))

    def __call__(self, x: Array, shift: int) -> Array:
        """The looked-up elements, of `dtype`, and of the shape and the order in memory of x.

        Args:
            x: of a signed integer type, of any shape and strides; |x| < 2^62.
            shift: from 0 to `MAX_SHIFT`.

        Raises:
            BoundsError: an element is outside the table; the message is that of `circuit.lookup.lookup`.
        """
        order = sorted(range(x.ndim), key=lambda axis: -x.strides[axis])
        in_order = x if x.flags.c_contiguous else np.ascontiguousarray(x.transpose(order))
        out = np.empty(in_order.shape, dtype=self.dtype)
        if not self._applied(in_order.reshape(-1), shift, out.reshape(-1)):
            raise outside_error(x, self.table, shift)
        return out if in_order is x else out.transpose(np.argsort(order))

    def apply(self, x: Array, shift: int, out: Array) -> None:
        """out = table[floor((x + half) / 2**shift)].

        Args:
            x: flat, contiguous, of a signed integer type; |x| < 2^62.
            shift: from 0 to `MAX_SHIFT`.
            out: as long as x, flat, contiguous, of `dtype`, a wider integer type or float64.

        Raises:
            BoundsError: an element is outside the table; `out` is not all written then.
        """
        if not self._applied(x, shift, out):
            raise outside_error(x, self.table, shift)

    def _applied(self, x: Array, shift: int, out: Array) -> bool:
        """Whether all elements were inside the table, so that `out` is written."""
        check_flat(x, (out,))
        if not 0 <= shift <= MAX_SHIFT:
            raise InvalidInputError(f"a shift is from 0 to {MAX_SHIFT}, got {shift}")
        half, lo, hi = rounding_half(shift), self.table.lo, self.table.hi
        if self._is_identity:
            return not any(split(_round_kernel, x.size, GRAIN, x, shift, half, lo, hi, out))
        return not any(split(_apply_kernel, x.size, GRAIN, x, shift, half, lo, self._entries, out))
