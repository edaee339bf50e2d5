"""The columns that a lookup argument commits to: outputs, indices, limbs of remainders, and how often rows are used.

A Lookup reads x and writes table[index], where x + half = index 2^shift + remainder, 0 <= remainder < 2^shift and half
is 2^(shift - 1), or 0 at shift 0. The remainder is cut into limbs, the least significant first.

Kernels run over flat contiguous arrays and are divided among threads. What they write is exact: field elements are
float64 integers, balanced because every value of a provable program is below half the modulus.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from zkinfer.circuit.program import rounding_half
from zkinfer.errors import InvalidInputError
from zkinfer.execution.narrow import GRAIN, check_flat
from zkinfer.execution.tables import AppliedTable
from zkinfer.jit.compiling import kernel
from zkinfer.jit.threads import split
from zkinfer.typing import Array, Floats

COUNTERS = 4
"""Counters for each number in all but long tables: a number that repeats does not wait for its own counter."""
LONG = 1 << 18
"""The least length of a table whose numbers have one counter each."""


@kernel
def _index_kernel(x: Any, shift: int, half: int, out: Any, start: int, stop: int) -> None:
    """out[i] = (x[i] + half) >> shift."""
    source, target = x[start:stop], out[start:stop]
    for i in range(source.size):
        target[i] = (np.int64(source[i]) + half) >> shift


@kernel
def _limb_kernel(x: Any, half: int, offset: int, mask: int, out: Any, start: int, stop: int) -> None:
    """out[i] = ((x[i] + half) >> offset) & mask."""
    source, target = x[start:stop], out[start:stop]
    for i in range(source.size):
        target[i] = ((np.int64(source[i]) + half) >> offset) & mask


@kernel
def _count_kernel(values: Any, lo: float, length: int, start: int, stop: int) -> Any:
    """counts[c, k] of all counters c add up to how often lo + k is in values[start:stop]; shape (counters, length + 1).

    The last place counts the values that are none of lo, lo + 1, ..., lo + length - 1: as unsigned numbers, their
    differences from lo are all at least `length`.
    """
    counters = COUNTERS if length < min(LONG, stop - start) else 1
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


def trace_lookup(
    x: Array,
    table: AppliedTable,
    shift: int,
    limb_bits: Sequence[int],
    out: Floats,
    index: Floats | None,
    limbs: Sequence[Floats],
) -> None:
    """Writes everything that a Lookup's argument commits to, for a part of its source.

    Args:
        x: the source: flat, contiguous, of a signed integer type; |x| < 2^62.
        table: the table.
        shift: the rounding shift in front of it.
        limb_bits: widths of the remainder's limbs, the least significant first; they add up to `shift`.
        out: gets table[index].
        index: gets floor((x + half) / 2**shift); None where that is not needed, as where it equals `out`.
        limbs: one for each width; get the limbs of x + half - index * 2**shift, each in [0, 2^width).

    All that is written is flat, contiguous, float64, and as long as x.

    Raises:
        BoundsError: an element is outside the table.
        InvalidInputError, ShapeError: the widths do not fit the shift, or an array is not of the form above.
    """
    if sum(limb_bits) != shift or len(limb_bits) != len(limbs) or min(limb_bits, default=1) < 1:
        raise InvalidInputError(f"limbs of {tuple(limb_bits)} bits in {len(limbs)} arrays are not a shift of {shift}")
    check_flat(x, (*limbs, *([] if index is None else [index])))
    table.apply(x, shift, out)
    half = rounding_half(shift)
    if index is not None:
        split(_index_kernel, x.size, GRAIN, x, shift, half, index)
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
    check_flat(values, (counts,), same_length=False)
    grain = max(GRAIN, COUNTERS * counts.size)
    parts = split(_count_kernel, values.size, grain, values, float(start), counts.size)
    total = sum(row for part in parts for row in part)
    if total[-1]:
        raise InvalidInputError(f"{int(total[-1]):,} values are not from {start:,} to {start + counts.size - 1}")
    counts += total[:-1]
