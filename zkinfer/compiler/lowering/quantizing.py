"""Real weights as integers, block by block.

A model has weights of hundreds of megabytes. What is computed of one on the way to its integers is computed of a part
of it at a time, so that beside the weight as the model stores it there are only its integers, in the narrowest type
that holds them. Arithmetic is in float64, whatever type the model stores.
"""

import numpy as np

from zkinfer.circuit.block_sums import Index, blocks
from zkinfer.circuit.program import MAX_MAGNITUDE
from zkinfer.execution.narrow import smallest_type
from zkinfer.typing import Array, FloatArray, IntArray

_BLOCK = 1 << 17
"""Elements that are float64 at a time: they stay in the caches."""


def largest(array: Array) -> float:
    """The largest absolute value of real numbers of any type; 0 of nothing."""
    return max(float(array.max(initial=0)), -float(array.min(initial=0)))


def largest_along(array: Array, axes: tuple[int, ...]) -> FloatArray:
    """The largest absolute values along some axes, which have elements: float64."""
    most, least = (end.astype(np.float64) for end in (array.max(axis=axes), array.min(axis=axes)))
    return np.asarray(np.maximum(most, -least))


def is_finite(array: Array) -> bool:
    """Whether no element is NaN or infinite."""
    return array.dtype.kind in "iub" or all(bool(np.isfinite(array[index]).all()) for index in blocks(array.shape))


def is_whole(array: Array) -> bool:
    """Whether every element is a whole number."""
    return array.dtype.kind in "iub" or all(
        bool((array[index] == np.rint(array[index])).all()) for index in blocks(array.shape)
    )


def quantized(array: Array, frac_bits: int | IntArray, unit: float = 1.0) -> Array | None:
    """The integers nearest to `array / unit * 2**frac_bits`, ties to even; None if one leaves exact arithmetic.

    Args:
        array: real numbers of any type, all finite.
        frac_bits: one number, or integers that broadcast to the array.
        unit: positive.

    Returns:
        The integers in the narrowest signed type that holds them, in C order.
    """
    bits = np.broadcast_to(frac_bits, array.shape)

    def scaled(index: Index) -> FloatArray:
        # With one unit the whole quotient is rounded first: quantized weights are multiples of it.
        part = array[index].astype(np.float64)
        with np.errstate(over="ignore"):
            block = np.ldexp(part if unit == 1.0 else np.rint(part / unit), bits[index])
        return np.asarray(np.rint(block))

    lo = hi = 0.0
    for index in blocks(array.shape, _BLOCK):
        block = scaled(index)
        lo, hi = min(lo, float(block.min(initial=0.0))), max(hi, float(block.max(initial=0.0)))
    if max(hi, -lo) >= MAX_MAGNITUDE:
        return None
    integers = np.empty(array.shape, dtype=smallest_type(int(lo), int(hi)))
    for index in blocks(array.shape, _BLOCK):
        integers[index] = scaled(index)
    return integers
