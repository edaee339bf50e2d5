"""Tables applied, and what a lookup argument commits to: outputs, indices, limbs of remainders, counts.

A Lookup reads x and writes table[index], where x + half = index 2^shift + remainder, 0 <= remainder < 2^shift and half
is 2^(shift - 1), or 0 at shift 0. The remainder is cut into limbs, the least significant first.

Kernels run over flat contiguous arrays and are divided among threads. What they write is exact: field elements are
float64 integers, balanced because every value of a provable program is below half the modulus.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from zkinfer.circuit.program import MAX_MAGNITUDE, rounding_half
from zkinfer.circuit.table import MAX_SHIFT, Table
from zkinfer.errors import BoundsError, InvalidInputError, ShapeError
from zkinfer.jit.compiling import kernel
from zkinfer.jit.threads import split
from zkinfer.typing import Array, Floats

GRAIN = 1 << 15
"""Elements below which another thread does not pay."""


TILE = 1 << 12
"""Elements whose positions are checked, all at once, before the table is read for any of them."""
COUNTERS = 4
"""Counters for each number in all but long tables: a number that repeats does not wait for its own counter."""
LONG = 1 << 18
"""The least length of a table whose numbers have one counter each."""

# Slices, rather than indices from start to stop, tell the compiler that no index is negative: it then packs the loops.


@kernel
def _apply_kernel(x: Any, shift: int, half: int, lo: int, entries: Any, out: Any, start: int, stop: int) -> bool:
    """out = entries[((x + half) >> shift) - lo]; returns at once, with True, if an element is outside the table."""
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
    """out = (x + half) >> shift; returns whether one is not from lo to hi."""
    source, target = x[start:stop], out[start:stop]
    signs = 0
    for i in range(source.size):
        index = int(np.int64(source[i]) + half) >> shift
        signs |= (index - lo) | (hi - index)
        target[i] = index
    return signs < 0


@kernel
def _shift_kernel(x: Any, shift: int, half: int, out: Any, start: int, stop: int) -> None:
    """out = (x + half) >> shift."""
    source, target = x[start:stop], out[start:stop]
    for i in range(source.size):
        target[i] = (np.int64(source[i]) + half) >> shift


@kernel
def _limb_kernel(x: Any, half: int, offset: int, mask: int, out: Any, start: int, stop: int) -> None:
    """out = ((x + half) >> offset) & mask."""
    source, target = x[start:stop], out[start:stop]
    for i in range(source.size):
        target[i] = ((np.int64(source[i]) + half) >> offset) & mask


@kernel
def _outside_kernel(x: Any, shift: int, half: int, lo: int, hi: int, start: int, stop: int) -> int:
    """How many elements are outside the table."""
    source = x[start:stop]
    outside = 0
    for i in range(source.size):
        index = (np.int64(source[i]) + half) >> shift
        outside += int(index < lo) + int(index > hi)
    return outside


@kernel
def _count_kernel(values: Any, lo: float, length: int, start: int, stop: int) -> Any:
    """How often lo, lo + 1, ... occur; in the last place how many numbers are none of these."""
    counters = COUNTERS if length < LONG else 1
    counts = np.zeros((counters, length + 1), dtype=np.int64)
    a, b, c, d = counts[0], counts[1 % counters], counts[2 % counters], counts[3 % counters]
    line, other = values[start:stop], np.uint64(length)
    packed = line.size - line.size % 4
    for i in range(0, packed, 4):
        a[min(np.uint64(np.int64(line[i] - lo)), other)] += 1
        b[min(np.uint64(np.int64(line[i + 1] - lo)), other)] += 1
        c[min(np.uint64(np.int64(line[i + 2] - lo)), other)] += 1
        d[min(np.uint64(np.int64(line[i + 3] - lo)), other)] += 1
    for i in range(packed, line.size):
        a[min(np.uint64(np.int64(line[i] - lo)), other)] += 1
    return counts


@kernel
def _narrow_kernel(x: Any, lo: int, hi: int, out: Any, start: int, stop: int) -> bool:
    """out = x; returns whether one is not from lo to hi, which are at most 2^62 away from 0."""
    source, target = x[start:stop], out[start:stop]
    outside = False
    for i in range(source.size):
        element = int(np.int64(source[i]))
        outside |= (element < lo) | (element > hi)
        target[i] = element
    return outside


def narrow(x: Array, lo: int, hi: int, out: Array) -> bool:
    """Copies a flat contiguous array of signed integers to one of another type; whether all are from lo to hi."""
    _check_lines(x, (out,))
    return not any(split(_narrow_kernel, x.size, GRAIN, x, lo, hi, out))


class AppliedTable:
    """A table, as the kernels read it: its entries in the smallest type that holds them.

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

    def apply(self, x: Array, shift: int, out: Array) -> None:
        """out = table[floor((x + half) / 2**shift)].

        Args:
            x: flat, contiguous, of a signed integer type; |x| < 2^62.
            shift: from 0 to `MAX_SHIFT`.
            out: as long as x, flat, contiguous, of `self.dtype`, a wider integer type or float64.

        Raises:
            BoundsError: an element is outside the table; `out` is not all written then.
        """
        _check_lines(x, (out,))
        half, lo, hi = _half(shift), self.table.lo, self.table.hi
        if self._is_identity:
            outside = split(_round_kernel, x.size, GRAIN, x, shift, half, lo, hi, out)
        else:
            outside = split(_apply_kernel, x.size, GRAIN, x, shift, half, lo, self._entries, out)
        if any(outside):
            number = sum(split(_outside_kernel, x.size, GRAIN, x, shift, half, lo, hi))
            raise BoundsError(
                f"table {self.table.name!r} covers indices {lo} to {hi} after a shift by {shift}; {number} of {x.size} "
                "elements are outside"
            )


def trace_lookup(
    x: Array,
    table: AppliedTable,
    shift: int,
    limb_bits: Sequence[int],
    out: Floats,
    index: Floats | None,
    limbs: Sequence[Floats],
) -> None:
    """Everything that a Lookup's argument commits to, for a piece of its source.

    Args:
        x: the source: flat, contiguous, of a signed integer type; |x| < 2^62.
        table: the table.
        shift: the rounding shift in front of it.
        limb_bits: widths of the remainder's limbs, the least significant first; they add up to `shift`.
        out: gets table[index].
        index: gets floor((x + half) / 2**shift); None where nobody asks, as where `out` is the same.
        limbs: one for each width; get the limbs of x + half - index * 2**shift, each in [0, 2^width).

    All that is written is flat, contiguous, float64, and as long as x.

    Raises:
        BoundsError: an element is outside the table.
        InvalidInputError, ShapeError: the widths do not fit the shift, or an array is not of the form above.
    """
    if sum(limb_bits) != shift or len(limb_bits) != len(limbs) or min(limb_bits, default=1) < 1:
        raise InvalidInputError(f"limbs of {tuple(limb_bits)} bits in {len(limbs)} arrays are not a shift of {shift}")
    _check_lines(x, (*limbs, *([] if index is None else [index])))
    table.apply(x, shift, out)
    half = _half(shift)
    if index is not None:
        split(_shift_kernel, x.size, GRAIN, x, shift, half, index)
    for offset, bits, limb in zip(accumulate(limb_bits, initial=0), limb_bits, limbs, strict=False):
        split(_limb_kernel, x.size, GRAIN, x, half, offset, (1 << bits) - 1, limb)


def count(values: Floats, start: int, counts: Floats) -> None:
    """Adds to counts[i] how often start + i is among the values.

    Args:
        values: integers, flat and contiguous.
        start: the number that counts[0] is about.
        counts: flat and contiguous; one for each number that may occur.

    Raises:
        InvalidInputError: a value is none of these numbers; nothing is added then.
        ShapeError: an array is not of the form above.
    """
    _check_lines(values, (counts,), same_length=False)
    grain = max(GRAIN, COUNTERS * counts.size)
    parts = split(_count_kernel, values.size, grain, values, float(start), counts.size)
    total = sum(part.sum(axis=0) for part in parts)
    if total[-1]:
        raise InvalidInputError(f"{int(total[-1])} values are not from {start} to {start + counts.size - 1}")
    counts += total[:-1]


def smallest_type(lo: int, hi: int) -> np.dtype[Any]:
    """The smallest of int8, int16, int32 and int64 that holds all from lo to hi, which int64 holds."""
    bits = max(hi, -lo - 1).bit_length()
    return np.dtype(next(f"i{width}" for width in (1, 2, 4, 8) if bits < 8 * width))


def _half(shift: int) -> int:
    if not 0 <= shift <= MAX_SHIFT:
        raise InvalidInputError(f"a shift is from 0 to {MAX_SHIFT}, got {shift}")
    return rounding_half(shift)


def _check_lines(x: Array, others: Sequence[Array], *, same_length: bool = True) -> None:
    for line in (x, *others):
        if line.ndim != 1 or not line.flags.c_contiguous or (same_length and line.size != x.size):
            raise ShapeError(f"lookups take flat contiguous arrays of one length, got {line.dtype} {line.shape}")
