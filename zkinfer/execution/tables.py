"""Applying a table to an array: numba kernels, in one pass over memory.

The position in the table of `x` is floor((x + half) / 2^shift) - lo, half = 2^(shift - 1), or 0 at shift 0. The
quotient is computed as (x >> shift) + bit (shift - 1) of x: the same number, and it cannot overflow. The difference is
compared with the table's length as an unsigned number, which refuses both sides of the table in one comparison; for
bounds that fit int64 it wraps around for no x that lies outside. A position that is refused is read as 0 and counted,
so nothing is ever read or written out of bounds and the loop has no branch to predict.

Long arrays are divided among as many threads as `numba.get_num_threads()` says; the kernels release the interpreter
lock and share nothing that they write. `slow` is the oracle in plain Python.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import numba
import numpy as np

from zkinfer.circuit.table import MAX_SHIFT, Table
from zkinfer.errors import BoundsError, InvalidInputError
from zkinfer.typing import IntArray

PARALLEL_ELEMENTS = 1 << 19
"""The least number of elements that is worth starting a thread for."""
_INT64 = np.iinfo(np.int64)

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def _compiled(kernel: Kernel) -> Kernel:
    """Compiled on first use, kept on disk, and run without the interpreter lock."""
    return cast("Kernel", numba.njit(cache=True, nogil=True)(kernel))


@_compiled
def _position(x: np.int64, shift: int, lo: np.int64) -> np.uint64:
    half_bit = (x >> (shift - 1)) & 1 if shift > 0 else 0
    return np.uint64((x >> shift) + half_bit - lo)


@_compiled
def _lookup(x: IntArray, shift: int, lo: np.int64, values: IntArray, y: IntArray) -> int:
    """y = table of x; returns how many elements are outside the table (their y is meaningless)."""
    entries = np.uint64(values.size)
    outside = 0
    for j in range(x.size):
        position = _position(x[j], shift, lo)
        inside = position < entries
        k = position if inside else np.uint64(0)
        outside += not inside
        y[j] = values[k]
    return outside


@_compiled
def _lookup_histogram(x: IntArray, shift: int, lo: np.int64, values: IntArray, y: IntArray, counts: IntArray) -> int:
    """As `_lookup`, and adds to counts how often each entry was used."""
    entries = np.uint64(values.size)
    outside = 0
    for j in range(x.size):
        position = _position(x[j], shift, lo)
        inside = position < entries
        k = position if inside else np.uint64(0)
        outside += not inside
        y[j] = values[k]
        counts[k] += 1
    return outside


@_compiled
def _first_outside(x: IntArray, shift: int, lo: np.int64, entries: int) -> int:
    """Position of the first element outside the table, or -1."""
    for j in range(x.size):
        if _position(x[j], shift, lo) >= np.uint64(entries):
            return j
    return -1


def lookup(x: IntArray, table: Table, shift: int) -> IntArray:
    """`table[floor((x + half) / 2**shift)]`, element by element.

    Args:
        x: int64 array of any shape and strides.
        table: the table.
        shift: from 0 to `MAX_SHIFT`.

    Returns:
        int64 array of the shape of x.

    Raises:
        BoundsError: an element is outside the table; the message says how many, where the first, and its value.
        InvalidInputError: not an int64 array, or a shift out of range.
    """
    flat, lo = _checked(x, table, shift)
    y = np.empty_like(flat)
    outside = sum(_over_parts(_parts(flat.size), lambda part, _: _lookup(flat[part], shift, lo, table.array, y[part])))
    if outside:
        raise _outside_error(x.shape, flat, table, shift, outside)
    return y.reshape(x.shape)


def lookup_histogram(x: IntArray, table: Table, shift: int) -> tuple[IntArray, IntArray]:
    """As `lookup`, and how often each entry of the table was used.

    Returns:
        (y, multiplicities): int64 arrays of the shape of x and of shape (len(table.values),).
    """
    flat, lo = _checked(x, table, shift)
    y = np.empty_like(flat)
    parts = _parts(flat.size)
    counts = np.zeros((len(parts), len(table.values)), dtype=np.int64)
    outside = sum(
        _over_parts(parts, lambda part, k: _lookup_histogram(flat[part], shift, lo, table.array, y[part], counts[k]))
    )
    if outside:
        raise _outside_error(x.shape, flat, table, shift, outside)
    return y.reshape(x.shape), counts[0] if len(parts) == 1 else counts.sum(axis=0)


def _checked(x: IntArray, table: Table, shift: int) -> tuple[IntArray, np.int64]:
    """The elements in a row, and the table's first index, after checking that the kernels can take them."""
    if x.dtype != np.int64:
        raise InvalidInputError(f"table {table.name!r} is looked up with int64 arrays, got {x.dtype}")
    if not 0 <= shift <= MAX_SHIFT:
        raise InvalidInputError(f"table {table.name!r}: a shift is from 0 to {MAX_SHIFT}, got {shift}")
    if table.lo < _INT64.min or table.hi > _INT64.max:
        raise InvalidInputError(f"table {table.name!r} covers indices {table.lo} to {table.hi}, more than int64 holds")
    return np.ascontiguousarray(x).reshape(-1), np.int64(table.lo)


def _parts(size: int) -> list[slice]:
    """One slice for each thread, equal in length up to one element."""
    threads = min(numba.get_num_threads(), size // PARALLEL_ELEMENTS) if size >= 2 * PARALLEL_ELEMENTS else 1
    return [slice(size * k // threads, size * (k + 1) // threads) for k in range(threads)]


def _over_parts(parts: list[slice], work: Callable[[slice, int], int]) -> list[int]:
    """`work(part, number of the part)` of every part, the last one in the calling thread and the others beside it."""
    if len(parts) == 1:
        return [work(parts[0], 0)]
    last = len(parts) - 1
    with ThreadPoolExecutor(last) as pool:
        others = pool.map(work, parts[:last], range(last))
        result = work(parts[last], last)
        return [*others, result]


def _outside_error(shape: tuple[int, ...], flat: IntArray, table: Table, shift: int, outside: int) -> BoundsError:
    first = _first_outside(flat, shift, np.int64(table.lo), len(table.values))
    position = tuple(int(k) for k in np.unravel_index(first, shape)) if shape else ()
    return BoundsError(
        f"table {table.name!r} covers indices {table.lo} to {table.hi} after a shift by {shift}; {outside} of "
        f"{flat.size} elements are outside, the first at position {position}: {int(flat[first])}. "
        "Build the table for the bounds of what is looked up, or clamp first"
    )
