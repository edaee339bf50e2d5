"""How a tensor of any shape is covered with vectors of 2^k elements.

An axis of size d is cut into powers of two, the largest first (11 = 8 + 2 + 1), a tensor into the products of its axes'
pieces: its boxes. A box is a tensor of 2^k elements, in row-major order a multilinear polynomial in k variables, the
bits of the first axis first. Axes are lengthened before where that spares boxes: what stands in the places behind the
tensor is for the caller to say.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate, product
from typing import Any

import numpy as np

from zkinfer.counts import counted
from zkinfer.errors import InvalidInputError, ShapeError
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_mul, ext_sub, threshold_at
from zkinfer.typing import Array

BOX_PLACES, BOX_SHARE = 1 << 10, 1 << 5
"""What a box costs beside its places: about that of so many places, and at least such a part of the tensor's."""


@dataclass(frozen=True)
class AlignedPiece:
    """The places start, ..., start + 2^variables - 1 of an axis; start is a multiple of 2^variables."""

    start: int
    variables: int


@dataclass(frozen=True)
class Box:
    """The product of a piece of each axis.

    Attributes:
        starts: the first place of each piece.
        variables: piece i has 2^variables[i] places.
    """

    starts: tuple[int, ...]
    variables: tuple[int, ...]

    @cached_property
    def total(self) -> int:
        """The box has 2^total elements."""
        return sum(self.variables)

    @cached_property
    def places(self) -> tuple[slice, ...]:
        """The box's places on each axis."""
        return tuple(slice(start, start + (1 << k)) for start, k in zip(self.starts, self.variables, strict=True))


@dataclass(frozen=True)
class Cut:
    """A shape, and the boxes that it is covered with.

    Attributes:
        shape: sizes of the tensor's axes.
        boxes: disjoint; in order of decreasing `total`, equal ones in order of their starts. Together they are the
            whole tensor, and what lies behind it on axes that are lengthened. Each has an element of the tensor.
    """

    shape: tuple[int, ...]
    boxes: tuple[Box, ...]

    @cached_property
    def lengthened(self) -> bool:
        """Whether boxes have places behind the tensor."""
        return sum(1 << box.total for box in self.boxes) > math.prod(self.shape)

    def inside(self, box: Box) -> tuple[int, ...]:
        """How many places of each of a box's pieces are the tensor's: at least one of each."""
        return tuple(min(d - start, 1 << k) for d, start, k in zip(self.shape, box.starts, box.variables, strict=True))

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
        taken: Array = array[box.places]
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
            raise ShapeError(f"the box has {counted(1 << box.total, 'element')}, got an array of shape {flat.shape}")
        if array.shape != self.shape or not array.flags.c_contiguous:
            raise ShapeError(f"a box is written into a row-major array of shape {self.shape}, got {array.shape}")
        places: Any = (*box.places, ...)
        inside = array[places]
        inside[...] = flat.reshape([1 << k for k in box.variables])[tuple(map(slice, inside.shape))]

    def padding_at(self, box: Box, point: Sequence[Ext]) -> Ext:
        """The sum of eq(point, .) over the places of a box that lie behind the tensor.

        Args:
            box: one of `boxes`.
            point: box.total coordinates.
        """
        sizes = self.inside(box)
        if math.prod(sizes) == 1 << box.total:
            return ZERO
        inside, used = ONE, 0
        for places, k in zip(sizes, box.variables, strict=True):
            behind, _ = threshold_at(places, point[used : used + k])
            inside = ext_mul(inside, ext_sub(ONE, behind))
            used += k
        return ext_sub(ONE, inside)


@lru_cache(maxsize=1024)
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
def cover(shape: tuple[int, ...]) -> Cut:
    """How every prover and verifier covers a tensor of this shape that is committed to, axis by axis.

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
    return Cut(shape, _boxes(chosen))


def _lengths(size: int) -> set[int]:
    """The lengths that an axis of a covered tensor may have."""
    return {-(-size >> k) << k for k in range((size - 1).bit_length() + 1)}


def _boxes(sizes: Sequence[int]) -> tuple[Box, ...]:
    """The products of the pieces of axes of these sizes."""
    parts = [pieces(size) for size in sizes]
    boxes = [Box(tuple(p.start for p in chosen), tuple(p.variables for p in chosen)) for chosen in product(*parts)]
    return tuple(sorted(boxes, key=lambda box: (-box.total, box.starts)))
