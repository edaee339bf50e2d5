"""How a tensor of any shape is cut into vectors of 2^k elements.

An axis of size d is cut into powers of two, the largest first (11 = 8 + 2 + 1), a tensor into the products of its axes'
pieces: its boxes. A box is a tensor of 2^k elements, in row-major order a multilinear polynomial in k variables, the
bits of the first axis first.

Weights are cut as they are (`cut`): neighbouring axes that would give too many boxes are flattened into one before.
What a proof commits to by itself is covered (`cover`): axes are lengthened where that spares boxes, and the places
behind the tensor hold what the caller says.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate, pairwise, product
from typing import Any

import numpy as np

from zkinfer.errors import InvalidInputError, ShapeError
from zkinfer.protocol.field.scalar import ONE, Ext, ext_mul, ext_sub, threshold_at
from zkinfer.typing import Array

DEFAULT_LIMIT = 64
"""Boxes of a tensor, at most, as long as flattening axes other than that of runs can keep to it."""

BOX_PLACES, BOX_SHARE = 1 << 10, 1 << 9
"""What a box costs beside its places: about that of so many places, and at least such a part of the tensor's."""


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

    @property
    def places(self) -> tuple[slice, ...]:
        """The box's places on each group of axes."""
        return tuple(slice(start, start + (1 << k)) for start, k in zip(self.starts, self.variables, strict=True))


@dataclass(frozen=True)
class Cut:
    """A shape, its axes in groups, and the boxes that these give.

    Attributes:
        shape: sizes of the tensor's axes.
        groups: half-open ranges of consecutive axes, each flattened in row-major order; together all axes.
        boxes: disjoint; in order of decreasing `total`, equal ones in order of their starts. Together they are the
            whole tensor, and what lies behind it on axes that are lengthened. Each has an element of the tensor.
    """

    shape: tuple[int, ...]
    groups: tuple[tuple[int, int], ...]
    boxes: tuple[Box, ...]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The size of each group: the product of its axes' sizes."""
        return tuple(math.prod(self.shape[start:end]) for start, end in self.groups)

    def take(self, array: Array, box: Box, padding: int = 0) -> Array:
        """The elements of a box, row-major: shape (2^box.total,), a view where that needs no copy.

        Args:
            array: of shape `shape`, any dtype.
            box: one of `boxes`.
            padding: stands in the places behind the tensor, and is one of the array's dtype.

        Raises:
            ShapeError: the array has another shape.
        """
        if array.shape != self.shape:
            raise ShapeError(f"the tensor was cut as one of shape {self.shape}, the array has {array.shape}")
        taken: Array = array.reshape(self.sizes)[box.places]
        if taken.size != 1 << box.total:
            inside = taken
            taken = np.full([1 << k for k in box.variables], padding, dtype=array.dtype)
            taken[tuple(map(slice, inside.shape))] = inside
        return np.ascontiguousarray(taken).reshape(-1)

    def put(self, flat: Array, box: Box, array: Array) -> None:
        """Write the elements of a box, shape (2^box.total,), into an array of shape `shape`: the inverse of `take`.

        Raises:
            ShapeError: one of the two has another shape, or the array is not contiguous in row-major order.
        """
        if flat.shape != (1 << box.total,):
            raise ShapeError(f"the box has {1 << box.total} elements, got an array of shape {flat.shape}")
        if array.shape != self.shape or not array.flags.c_contiguous:
            raise ShapeError(f"a box is written into a row-major array of shape {self.shape}, got {array.shape}")
        places: Any = (*box.places, ...)
        inside = array.reshape(self.sizes)[places]
        inside[...] = flat.reshape([1 << k for k in box.variables])[tuple(map(slice, inside.shape))]

    def padding_at(self, box: Box, point: Sequence[Ext]) -> Ext:
        """The sum of eq(point, .) over the places of a box that lie behind the tensor.

        Args:
            box: one of `boxes`.
            point: box.total coordinates.
        """
        inside, used = ONE, 0
        for size, start, k in zip(self.sizes, box.starts, box.variables, strict=True):
            behind, _ = threshold_at(min(size - start, 1 << k), point[used : used + k])
            inside = ext_mul(inside, ext_sub(ONE, behind))
            used += k
        return ext_sub(ONE, inside)


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
    """How every prover and verifier cuts a weight of this shape.

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
    return Cut(shape, tuple(groups), _boxes([math.prod(shape[start:end]) for start, end in groups]))


@lru_cache(maxsize=4096)
def cover(shape: tuple[int, ...]) -> Cut:
    """How every prover and verifier covers a tensor of this shape that a proof commits to, axis by axis.

    An axis of d places may be lengthened to a multiple of a power of two, at most to the next power of two. Of all ways
    that takes which has the fewest places, a box counting as so many places as it costs; then the fewest boxes; then
    the shortest first axis, and so on.

    Raises:
        InvalidInputError: an axis has size 0.
    """
    if any(n < 1 for n in shape):
        raise InvalidInputError(f"a tensor of shape {shape} has no elements, so there is nothing to cover")
    # The best way for each number of boxes, axis after axis: what is best of the whole is best of its first axes.
    best: dict[int, tuple[int, tuple[int, ...]]] = {1: (1, ())}
    for size in shape:
        ways: dict[int, tuple[int, tuple[int, ...]]] = {}
        for boxes, (places, sizes) in best.items():
            for longer in _lengths(size):
                count, way = boxes * longer.bit_count(), (places * longer, (*sizes, longer))
                ways[count] = min(ways.get(count, way), way)
        best = ways
    price = max(BOX_PLACES, math.prod(shape) // BOX_SHARE)
    _, _, chosen = min((places + price * boxes, boxes, sizes) for boxes, (places, sizes) in best.items())
    return Cut(shape, tuple((axis, axis + 1) for axis in range(len(shape))), _boxes(chosen))


def _lengths(size: int) -> set[int]:
    """The lengths that an axis of a covered tensor may have."""
    return {-(-size >> k) << k for k in range((size - 1).bit_length() + 1)}


def _boxes(sizes: Sequence[int]) -> tuple[Box, ...]:
    """The products of the pieces of axes of these sizes."""
    parts = [pieces(size) for size in sizes]
    boxes = [Box(tuple(p.start for p in chosen), tuple(p.variables for p in chosen)) for chosen in product(*parts)]
    return tuple(sorted(boxes, key=lambda box: (-box.total, box.starts)))


def _count(shape: tuple[int, ...], group: tuple[int, int]) -> int:
    return math.prod(shape[slice(*group)]).bit_count()


def _flatten_two(shape: tuple[int, ...], groups: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The groups with two neighbours made one, by the rule of `cut`."""
    neighbours = list(pairwise(groups))[1:]
    lower = [(a, b) for a, b in neighbours if _count(shape, (a[0], b[1])) < _count(shape, a) * _count(shape, b)]
    first, second = (lower or neighbours)[-1]
    at = groups.index(first)
    return [*groups[:at], (first[0], second[1]), *groups[at + 2 :]]
