"""Re-indexing steps: the structured ways in which a `View` moves elements without touching them.

Each step is a small record that knows the shape it gives and how to apply itself to a numpy array. Structured
steps (rather than one list of indices) are what lets a prover move claims through a view cheaply.
"""

import math

import msgspec
import numpy as np

from zkinfer.errors import ShapeError
from zkinfer.typing import Array

Shape = tuple[int, ...]

MAX_RANK = 32
"""Most axes that a tensor has between steps; keeps hostile programs from making their own reading slow."""


class _Step(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    def shape(self, shape: Shape) -> Shape:
        """Shape after the step, given the shape before it.

        Raises:
            ShapeError: the step does not fit the shape.
        """
        raise NotImplementedError

    def apply(self, array: Array) -> Array:
        """The re-indexed array; any dtype, usually without a copy. `shape` must have accepted its shape."""
        raise NotImplementedError


def _require(condition: bool, step: _Step, shape: Shape) -> None:
    if not condition:
        raise ShapeError(f"{step!r} does not fit a tensor of shape {shape}")


class Reshape(_Step, frozen=True, tag="reshape"):
    """The same elements, row-major, in another shape."""

    sizes: Shape

    def shape(self, shape: Shape) -> Shape:
        _require(len(self.sizes) <= MAX_RANK and all(n >= 0 for n in self.sizes), self, shape)
        _require(math.prod(self.sizes) == math.prod(shape), self, shape)
        return self.sizes

    def apply(self, array: Array) -> Array:
        return array.reshape(self.sizes)


class Transpose(_Step, frozen=True, tag="transpose"):
    """Axis `i` of the result is axis `axes[i]` of the source."""

    axes: tuple[int, ...]

    def shape(self, shape: Shape) -> Shape:
        _require(sorted(self.axes) == list(range(len(shape))), self, shape)
        return tuple(shape[a] for a in self.axes)

    def apply(self, array: Array) -> Array:
        return array.transpose(self.axes)


class Slice(_Step, frozen=True, tag="slice"):
    """Along `axis`, the elements start, start + stride, ..., `count` of them; the stride may be negative."""

    axis: int
    start: int
    count: int
    stride: int

    def shape(self, shape: Shape) -> Shape:
        _require(0 <= self.axis < len(shape) and self.count >= 0 and self.stride != 0, self, shape)
        last = self.start + (self.count - 1) * self.stride
        n = shape[self.axis]
        _require(self.count == 0 or (0 <= self.start < n and 0 <= last < n), self, shape)
        return (*shape[: self.axis], self.count, *shape[self.axis + 1 :])

    def apply(self, array: Array) -> Array:
        index = self.start + self.stride * np.arange(self.count)
        return array.take(index, axis=self.axis)


class Pad(_Step, frozen=True, tag="pad"):
    """Zeros around: `before[i]` and `after[i]` of them along axis `i`."""

    before: tuple[int, ...]
    after: tuple[int, ...]

    def shape(self, shape: Shape) -> Shape:
        _require(len(self.before) == len(self.after) == len(shape), self, shape)
        _require(all(n >= 0 for n in (*self.before, *self.after)), self, shape)
        return tuple(b + n + a for b, n, a in zip(self.before, shape, self.after, strict=True))

    def apply(self, array: Array) -> Array:
        return np.pad(array, tuple(zip(self.before, self.after, strict=True)))


class Expand(_Step, frozen=True, tag="expand"):
    """Axes of size 1 repeated up to `sizes`, which has as many axes as the source."""

    sizes: Shape

    def shape(self, shape: Shape) -> Shape:
        _require(len(self.sizes) == len(shape), self, shape)
        _require(all(n in (1, m) and m >= 0 for n, m in zip(shape, self.sizes, strict=True)), self, shape)
        return self.sizes

    def apply(self, array: Array) -> Array:
        return np.broadcast_to(array, self.sizes)


class Windows(_Step, frozen=True, tag="windows"):
    """Axis `axis` of size n becomes two: the position of a sliding window, then the place within it."""

    axis: int
    size: int
    stride: int
    dilation: int

    def _count(self, n: int) -> int:
        return (n - (self.size - 1) * self.dilation - 1) // self.stride + 1

    def shape(self, shape: Shape) -> Shape:
        _require(0 <= self.axis < len(shape) and min(self.size, self.stride, self.dilation) >= 1, self, shape)
        count = self._count(shape[self.axis])
        _require(count >= 1, self, shape)
        return (*shape[: self.axis], count, self.size, *shape[self.axis + 1 :])

    def apply(self, array: Array) -> Array:
        positions = self.stride * np.arange(self._count(array.shape[self.axis]))
        index = positions[:, None] + self.dilation * np.arange(self.size)
        return array.take(index, axis=self.axis)


class Take(_Step, frozen=True, tag="take"):
    """Along `axis`, the elements at public `indices`, in that order, repeats allowed."""

    axis: int
    indices: tuple[int, ...]

    def shape(self, shape: Shape) -> Shape:
        _require(0 <= self.axis < len(shape), self, shape)
        _require(all(0 <= i < shape[self.axis] for i in self.indices), self, shape)
        return (*shape[: self.axis], len(self.indices), *shape[self.axis + 1 :])

    def apply(self, array: Array) -> Array:
        return array.take(np.array(self.indices, dtype=np.intp), axis=self.axis)


Step = Reshape | Transpose | Slice | Pad | Expand | Windows | Take


def apply_steps(steps: tuple[Step, ...], array: Array) -> Array:
    """All steps, in order."""
    for step in steps:
        array = step.apply(array)
    return array


def shape_after(steps: tuple[Step, ...], shape: Shape) -> Shape:
    """The shape that all steps, in order, give.

    Raises:
        ShapeError: a step does not fit.
    """
    for step in steps:
        shape = step.shape(shape)
        if len(shape) > MAX_RANK:
            raise ShapeError(f"the steps give a tensor of more than {MAX_RANK} axes")
    return shape
