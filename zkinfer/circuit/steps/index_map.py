"""Index maps: where each element of a re-indexed tensor comes from, in a form that fast code can follow.

There are four kinds. Whatever a fast path must know of a re-indexing step follows from its index map: `evaluate` below,
the executor's `execution.views.execute`, and the adjoint of a linear functional, `protocol.reduction.adjoint`. Each of
the three has one case a kind, so mypy reports a kind that one of them lacks.
"""

import math
from collections.abc import Mapping

import msgspec
import numpy as np

from zkinfer.typing import Array, IntArray

Shape = tuple[int, ...]

MAX_TENSOR_ELEMENTS = 1 << 31
"""Of a tensor of one run, also between two steps: what reads a large tensor back may need arrays of its size."""

MAX_RANK = 32
"""Most axes that a tensor has between steps; keeps hostile programs from making their own reading slow."""


class Regroup(msgspec.Struct, frozen=True):
    """The same elements in row-major order, on axes of these sizes."""

    sizes: Shape

    def shape_after(self, shape: Shape) -> Shape | None:
        """The shape that the map gives, or None if it does not fit a source of this shape."""
        sizes = self.sizes
        fits = len(sizes) <= MAX_RANK and all(n >= 0 for n in sizes) and math.prod(sizes) == math.prod(shape)
        return sizes if fits else None


class Permute(msgspec.Struct, frozen=True):
    """Axis `i` of the result is axis `axes[i]` of the source."""

    axes: tuple[int, ...]

    def shape_after(self, shape: Shape) -> Shape | None:
        """The shape that the map gives, or None if it does not fit a source of this shape."""
        return tuple(shape[a] for a in self.axes) if sorted(self.axes) == list(range(len(shape))) else None


class Embed(msgspec.Struct, frozen=True):
    """The source with zeros around it: `before[i]` and `after[i]` of them along axis `i`.

    The only kind whose result has elements that are not elements of the source.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]

    def shape_after(self, shape: Shape) -> Shape | None:
        """The shape that the map gives, or None if it does not fit a source of this shape."""
        fits = len(self.before) == len(self.after) == len(shape) and all(n >= 0 for n in (*self.before, *self.after))
        return tuple(b + n + a for b, n, a in zip(self.before, shape, self.after, strict=True)) if fits else None


class Strided(msgspec.Struct, frozen=True):
    """Index (i, j, ...) of one or more new axes comes from place `start + i * strides[0] + j * strides[1] + ...`.

    Strides may be zero, which repeats elements, or negative.
    """

    start: int
    sizes: Shape
    strides: tuple[int, ...]

    def fits(self, size: int) -> bool:
        """Whether all places are within an axis of this size."""
        if not self.sizes or len(self.sizes) != len(self.strides) or any(n < 0 for n in self.sizes):
            return False
        lowest = highest = self.start
        for n, stride in zip(self.sizes, self.strides, strict=True):
            if stride < 0:
                lowest += stride * (n - 1)
            else:
                highest += stride * (n - 1)
        return 0 in self.sizes or (lowest >= 0 and highest < size)

    def effective(self) -> tuple[int, tuple[int, ...]]:
        """Start and strides, with zero for those that have no effect, which a program may give any value."""
        start = 0 if 0 in self.sizes else self.start
        return start, tuple(stride if n > 1 else 0 for n, stride in zip(self.sizes, self.strides, strict=True))

    def places(self) -> IntArray:
        """The places, in an array of shape `sizes`."""
        start, strides = self.effective()
        places = np.array(start)
        for n, stride in zip(self.sizes, strides, strict=True):
            places = places[..., None] + stride * np.arange(n)
        return places


class Listed(msgspec.Struct, frozen=True):
    """Index i of one new axis comes from place `indices[i]`; places may repeat."""

    indices: tuple[int, ...]

    @property
    def sizes(self) -> Shape:
        """Sizes of the new axes, of which there is one."""
        return (len(self.indices),)

    def fits(self, size: int) -> bool:
        """Whether all places are within an axis of this size."""
        return not self.indices or (min(self.indices) >= 0 and max(self.indices) < size)

    def places(self) -> IntArray:
        """The places, in an array of shape `sizes`."""
        return np.array(self.indices, dtype=np.int64)


class Gather(msgspec.Struct, frozen=True):
    """Some axes of the source are replaced: each by the new axes of its map, in its position.

    Attributes:
        along: the maps, by axis of the source; axes that are not in it stay as they are.
    """

    along: Mapping[int, Strided | Listed]

    def shape_after(self, shape: Shape) -> Shape | None:
        """The shape that the map gives, or None if it does not fit a source of this shape."""
        for axis, places in self.along.items():
            if not 0 <= axis < len(shape) or not places.fits(shape[axis]):
                return None
        sizes: list[int] = []
        for axis, n in enumerate(shape):
            sizes.extend(self.along[axis].sizes if axis in self.along else (n,))
        return tuple(sizes)

    def from_last(self) -> list[tuple[int, Strided | Listed]]:
        """The axes and their maps, the last axis first: replacing an axis then renumbers none of those that follow."""
        return [(axis, self.along[axis]) for axis in sorted(self.along, reverse=True)]


IndexMap = Regroup | Permute | Embed | Gather


def evaluate(index_map: IndexMap, array: Array) -> Array:
    """The re-indexed array: the plain implementation, for the evaluator, for bounds, and to test the fast one against.

    Args:
        index_map: one that fits a source of shape `array.shape[1:]`.
        array: of any dtype; axis 0 numbers independent runs.

    Returns:
        An array of shape (runs, *index_map.shape_after(...)), of the same dtype; it may share the array's memory.
    """
    match index_map:
        case Regroup(sizes=sizes):
            return array.reshape(len(array), *sizes)
        case Permute(axes=axes):
            return array.transpose(0, *(1 + axis for axis in axes))
        case Embed(before=before, after=after):
            return np.pad(array, ((0, 0), *zip(before, after, strict=True)))
        case Gather():
            for axis, along in index_map.from_last():
                array = array.take(along.places(), axis=1 + axis)
            return array
