"""Narrow integers: the smallest type that holds an interval, and flat arrays copied into it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from zkinfer.errors import ShapeError
from zkinfer.jit.compiling import kernel
from zkinfer.jit.threads import split
from zkinfer.typing import Array

GRAIN = 1 << 15
"""Elements below which another thread does not pay."""

# Kernels take slices, rather than indices from start to stop: so the compiler knows that no index is negative, and
# computes several elements at once.


@kernel
def _narrow_kernel(x: Any, lo: int, hi: int, out: Any, start: int, stop: int) -> bool:
    """out[i] = x[i]; returns whether an element is not from lo to hi, which are at most 2^62 away from 0."""
    source, target = x[start:stop], out[start:stop]
    outside = False
    for i in range(source.size):
        element = int(np.int64(source[i]))
        outside |= (element < lo) | (element > hi)
        target[i] = element
    return outside


def narrow(x: Array, lo: int, hi: int, out: Array) -> bool:
    """Copies a flat contiguous array of signed integers to one of another type; whether all are from lo to hi."""
    check_flat(x, (out,))
    return not any(split(_narrow_kernel, x.size, GRAIN, x, lo, hi, out))


def smallest_type(lo: int, hi: int) -> np.dtype[Any]:
    """The smallest of int8, int16 and int32 that holds all integers from lo to hi; int64 where none does.

    What int64 does not hold either are sums of which only products with zero are taken: `bounds` admits no others. They
    may be known modulo 2^64.
    """
    bits = max(hi, -lo - 1).bit_length()
    return np.dtype(next((f"i{width}" for width in (1, 2, 4) if bits < 8 * width), "i8"))


def check_flat(x: Array, others: Sequence[Array], *, same_length: bool = True) -> None:
    """Kernels read and write without checks of their own, so every array they get is checked here.

    Raises:
        ShapeError: an array is not flat and contiguous, or not as long as x.
    """
    for array in (x, *others):
        if array.ndim != 1 or not array.flags.c_contiguous or (same_length and array.size != x.size):
            raise ShapeError(f"kernels take flat contiguous arrays of one length, got {array.dtype} {array.shape}")
