"""How a tensor of any shape is cut into vectors of 2^k elements: no axis is ever padded.

An axis of size d is cut into powers of two, the largest first (11 = 8 + 2 + 1), a tensor into the products of its axes'
pieces: its boxes. A box is a tensor of 2^k elements, in row-major order a multilinear polynomial in k variables, the
bits of the first axis first. Neighbouring axes that would give too many boxes are flattened into one before.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate, pairwise, product

import numpy as np

from zkinfer.errors import InvalidInputError, ShapeError
from zkinfer.typing import Array

DEFAULT_LIMIT = 64
"""Boxes of a tensor, at most, as long as flattening axes other than that of runs can keep to it."""


@dataclass(frozen=True)
class AlignedPiece:
    """The places start, ..., start + 2^variables - 1 of an axis; start is a multiple of 2^variables."""

    start: int
    variables: int


@dataclass(frozen=True)
class Box:
    """The product of a piece of each group of axes.

    Attributes:
        starts: the first place of each piece.
        variables: piece i has 2^variables[i] places.
    """

    starts: tuple[int, ...]
    variables: tuple[int, ...]

    @property
    def total(self) -> int:
        """The box has 2^total elements."""
        return sum(self.variables)


@dataclass(frozen=True)
class Cut:
    """A shape, its axes in groups, and the boxes that these give.

    Attributes:
        shape: sizes of the tensor's axes.
        groups: half-open ranges of consecutive axes, each flattened in row-major order; together all axes.
        boxes: disjoint, together the whole tensor; in order of decreasing `total`, equal ones in order of their starts.
    """

    shape: tuple[int, ...]
    groups: tuple[tuple[int, int], ...]
    boxes: tuple[Box, ...]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The size of each group: the product of its axes' sizes."""
        return tuple(math.prod(self.shape[start:end]) for start, end in self.groups)

    def take(self, array: Array, box: Box) -> Array:
        """The elements of a box, row-major: shape (2^box.total,), a view where that needs no copy.

        Args:
            array: of shape `shape`, any dtype.
            box: one of `boxes`.

        Raises:
            ShapeError: the array has another shape.
        """
        if array.shape != self.shape:
            raise ShapeError(f"the tensor was cut as one of shape {self.shape}, the array has {array.shape}")
        taken: Array = np.ascontiguousarray(array.reshape(self.sizes)[_places(box)]).reshape(-1)
        return taken

    def put(self, flat: Array, box: Box, array: Array) -> None:
        """Write the elements of a box, shape (2^box.total,), into an array of shape `shape`: the inverse of `take`.

        Raises:
            ShapeError: one of the two has another shape, or the array is not contiguous in row-major order.
        """
        if flat.shape != (1 << box.total,):
            raise ShapeError(f"the box has {1 << box.total} elements, got an array of shape {flat.shape}")
        if array.shape != self.shape or not array.flags.c_contiguous:
            raise ShapeError(f"a box is written into a row-major array of shape {self.shape}, got {array.shape}")
        array.reshape(self.sizes)[_places(box)] = flat.reshape([1 << k for k in box.variables])


def _places(box: Box) -> tuple[slice, ...]:
    return tuple(slice(start, start + (1 << k)) for start, k in zip(box.starts, box.variables, strict=True))


def pieces(size: int) -> tuple[AlignedPiece, ...]:
    """An axis of `size` places, cut into powers of two, the largest first.

    Raises:
        InvalidInputError: the size is not positive.
    """
    if size < 1:
        raise InvalidInputError(f"an axis of size {size} has no pieces: sizes are positive")
    powers = [k for k in reversed(range(size.bit_length())) if size >> k & 1]
    starts = accumulate((1 << k for k in powers), initial=0)
    return tuple(AlignedPiece(start, k) for start, k in zip(starts, powers, strict=False))


@lru_cache(maxsize=4096)
def cut(shape: tuple[int, ...], limit: int = DEFAULT_LIMIT) -> Cut:
    """How every prover and verifier cuts a tensor of this shape.

    Each axis is a group of its own as long as there are at most `limit` boxes. While there are more, two neighbouring
    groups are flattened into one: the last two neighbours for which that lowers the number of boxes, or if there are
    none, the last two. (Flattening never gives more boxes: a * b is a sum of as many shifted copies of b as a has ones
    in binary.) Axis 0, that of runs, always stays alone: weights over a flattened group are no product, so they take an
    element for each of its places, and a proof may claim any number of runs. When all other axes are one group, the
    limit may be exceeded.

    Raises:
        InvalidInputError: an axis has size 0, or the limit is not positive.
    """
    if any(n < 1 for n in shape):
        raise InvalidInputError(f"a tensor of shape {shape} has no elements, so there is nothing to cut")
    if limit < 1:
        raise InvalidInputError(f"a tensor has at least one box: the limit cannot be {limit}")
    groups = [(axis, axis + 1) for axis in range(len(shape))]
    while len(groups) > 2 and math.prod(_count(shape, group) for group in groups) > limit:
        groups = _flatten_two(shape, groups)
    parts = [pieces(math.prod(shape[start:end])) for start, end in groups]
    boxes = [Box(tuple(p.start for p in chosen), tuple(p.variables for p in chosen)) for chosen in product(*parts)]
    return Cut(shape, tuple(groups), tuple(sorted(boxes, key=lambda box: (-box.total, box.starts))))


def _count(shape: tuple[int, ...], group: tuple[int, int]) -> int:
    return math.prod(shape[slice(*group)]).bit_count()


def _flatten_two(shape: tuple[int, ...], groups: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The groups with two neighbours made one, by the rule of `cut`."""
    neighbours = list(pairwise(groups))[1:]
    lower = [(a, b) for a, b in neighbours if _count(shape, (a[0], b[1])) < _count(shape, a) * _count(shape, b)]
    first, second = (lower or neighbours)[-1]
    at = groups.index(first)
    return [*groups[:at], (first[0], second[1]), *groups[at + 2 :]]
