"""Applying a table to an array, by the definition, in numpy."""

import numpy as np

from zkinfer.circuit.table import MAX_SHIFT, Table
from zkinfer.errors import BoundsError, InvalidInputError
from zkinfer.typing import Array, IntArray

_INT64 = np.iinfo(np.int64)


def rounded_shift(x: Array, shift: int) -> IntArray:
    """floor((x + half) / 2**shift) where half is 2**(shift - 1), or 0 at shift 0; int64.

    The quotient is computed as (x >> shift) + bit (shift - 1) of x: the same number, and no sum that leaves int64.

    Args:
        x: of a signed integer type.
        shift: from 0 to `MAX_SHIFT`.
    """
    wide = x.astype(np.int64)
    return (wide >> shift) + ((wide >> (shift - 1)) & 1) if shift else wide


def lookup(x: IntArray, table: Table, shift: int) -> IntArray:
    """`table[floor((x + half) / 2**shift)]`, element by element; half is 2**(shift - 1), or 0 at shift 0.

    Args:
        x: of a signed integer type, of any shape and strides.
        table: the table.
        shift: from 0 to `MAX_SHIFT`.

    Returns:
        int64 array of the shape of x.

    Raises:
        BoundsError: an element is outside the table; the message says how many, where the first, and its value.
        InvalidInputError: not an array of signed integers, a table beyond int64, or a shift out of range.
    """
    if x.dtype.kind != "i":
        raise InvalidInputError(f"table {table.name!r} is looked up with signed integers, got {x.dtype}")
    if not 0 <= shift <= MAX_SHIFT:
        raise InvalidInputError(f"table {table.name!r}: a shift is from 0 to {MAX_SHIFT}, got {shift}")
    if table.lo < _INT64.min or table.hi > _INT64.max:
        raise InvalidInputError(f"table {table.name!r} covers indices {table.lo} to {table.hi}, more than int64 holds")
    index = rounded_shift(x, shift)
    if ((index < table.lo) | (index > table.hi)).any():
        raise outside_error(x, table, shift)
    return table.array[index - table.lo]


def outside_error(x: Array, table: Table, shift: int) -> BoundsError:
    """The error for an array of which an element, at least one, is outside the table."""
    index = rounded_shift(x, shift)
    outside = (index < table.lo) | (index > table.hi)
    first = tuple(int(k) for k in np.argwhere(outside)[0])
    return BoundsError(
        f"table {table.name!r} covers indices {table.lo} to {table.hi} after a shift by {shift}; "
        f"{int(outside.sum()):,} of {x.size:,} elements are outside, the first at position {first}: "
        f"{int(x[first])}. Build the table for the bounds of what is looked up, or clamp first"
    )
