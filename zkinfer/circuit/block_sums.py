"""What is computed of large arrays block by block: nothing as large as the array is made on the way."""

import math
from collections.abc import Callable, Collection, Iterator
from types import EllipsisType
from typing import Any, TypeAlias

import numpy as np

from zkinfer.typing import Array

BLOCK = 1 << 20
"""Elements at a time: their copies stay near the caches."""


Index: TypeAlias = tuple[slice | EllipsisType, ...]
"""Of a block of an array."""


def blocks(shape: tuple[int, ...], size: int = BLOCK) -> Iterator[Index]:
    """What covers an array of this shape: blocks of about `size` elements, cut along its longest axis."""
    if not shape or 0 in shape:
        yield (...,)
        return
    axis = longest_axis(shape)
    step = max(1, size * shape[axis] // math.prod(shape))
    for start in range(0, shape[axis], step):
        yield (*(slice(None) for _ in shape[:axis]), slice(start, start + step))


def longest_axis(shape: tuple[int, ...]) -> int:
    """The longest axis of a shape that has one, the first of several."""
    return shape.index(max(shape))


def block_sum(array: Array, axes: Collection[int], of: Callable[[Array], Array], dtype: Any = np.int64) -> Array:
    """The sum of `of(array)` over some axes.

    Args:
        array: of integers, of any shape.
        axes: which are summed, all of them non-negative.
        of: elementwise; called with blocks of the array.
        dtype: what is summed in.
    """
    axes = tuple(axes)
    if array.ndim == 0 or array.size <= BLOCK:
        return np.asarray(of(array).sum(axis=axes, dtype=dtype))
    parts = [of(array[index]).sum(axis=axes, dtype=dtype) for index in blocks(array.shape, BLOCK)]
    cut = longest_axis(array.shape)
    if cut in axes:
        return np.asarray(np.sum(parts, axis=0, dtype=dtype))
    return np.concatenate(parts, axis=cut - sum(axis < cut for axis in axes))


def positive(block: Array) -> Array:
    """The elements above zero, and zero in the place of the others."""
    return np.maximum(block, 0)


def negated(block: Array) -> Array:
    """The magnitudes of elements below zero, and zero in the place of the others; int64."""
    return -np.minimum(block, 0, dtype=np.int64)


def magnitudes(block: Array) -> Array:
    """Absolute values, int64."""
    return np.abs(block.astype(np.int64))
