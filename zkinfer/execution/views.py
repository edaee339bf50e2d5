"""Views without copies: steps as changes of strides, sums in place, modulo the width of the result.

Integers of w bits add and multiply modulo 2^w, and what a View gives is known to fit its type. So every term may be
cut to that type first, whatever its own width and whatever sums are in between.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from zkinfer.circuit.steps import Expand, Pad, Reshape, Shape, Slice, Step, Take, Transpose, Windows
from zkinfer.typing import Array

Values = Sequence[Array | None]


def move(array: Array, steps: Sequence[Step]) -> Array:
    """All steps, in order, on an array with an axis of runs in front; a view of the array wherever strides allow."""
    for step in steps:
        array = _moved(array, step)
    return array


def _moved(array: Array, step: Step) -> Array:
    match step:
        case Reshape(sizes=sizes):
            return array.reshape(len(array), *sizes)
        case Transpose(axes=axes):
            return array.transpose(0, *(axis + 1 for axis in axes))
        case Slice(axis=axis, start=start, count=count, stride=stride):
            end = start + count * stride
            part = slice(start, end if end >= 0 else None, stride) if count else slice(0)
            return array[(slice(None),) * (axis + 1) + (part,)]
        case Pad(before=before, after=after):
            sizes = (len(array), *(b + n + a for b, n, a in zip(before, array.shape[1:], after, strict=True)))
            padded = _zeros(sizes, array)
            inside = (slice(b, b + n) for b, n in zip(before, array.shape[1:], strict=True))
            padded[(slice(None), *inside)] = array
            return padded
        case Expand(sizes=sizes):
            return np.broadcast_to(array, (len(array), *sizes))
        case Windows(axis=axis, stride=stride, dilation=dilation):
            shape, along = step.shape(array.shape[1:]), array.strides[axis + 1]
            strides = (*array.strides[: axis + 1], stride * along, dilation * along, *array.strides[axis + 2 :])
            return as_strided(array, (len(array), *shape), strides, writeable=False)
        case Take(axis=axis, indices=indices):
            return array.take(np.array(indices, dtype=np.intp), axis=axis + 1)


def _zeros(sizes: Shape, like: Array) -> Array:
    """Zeros in the type, and in the order in memory, of another array."""
    order = sorted(range(like.ndim), key=lambda axis: -like.strides[axis])
    return np.zeros([sizes[axis] for axis in order], dtype=like.dtype).transpose(np.argsort(order))


def copied_bytes(steps: Sequence[Step], shape: Shape, itemsize: int) -> int:
    """Bytes that `move` allocates for each run, at most, for a tensor of this shape: steps that may copy all do."""
    total = 0
    for step in steps:
        shape = step.shape(shape)
        if isinstance(step, Reshape | Pad | Take):
            total += math.prod(shape) * itemsize
    return total


@dataclass(frozen=True)
class MovedTerm:
    """`coefficient * steps(values[source])`."""

    source: int
    coefficient: int
    steps: tuple[Step, ...]

    @property
    def is_bijection(self) -> bool:
        """Whether every element of the source is in the result once, by the kinds of the steps."""
        return all(isinstance(step, Reshape | Transpose) for step in self.steps)


@dataclass(frozen=True, eq=False)
class Alias:
    """A View of one term, only moved: mostly the source's memory in another order.

    Attributes:
        bytes_per_run: allocated at most.
    """

    source: int
    steps: tuple[Step, ...]
    bytes_per_run: int

    def __call__(self, values: Values) -> Array:
        """The moved source."""
        source = values[self.source]
        assert source is not None
        return move(source, self.steps)


@dataclass(frozen=True, eq=False)
class Combination:
    """A View in general: the sum of its terms and of what is known beforehand.

    Attributes:
        terms: what is computed in each run; one at least.
        constant: what weights and the offset add, of shape (1, ...); None where that is nothing.
        dtype: of the result.
        in_place: the first term's source may be overwritten: nobody else reads it, it has the result's dtype, the
            coefficient is 1 and the steps are a bijection.
        bytes_per_run: allocated at most, beside the result.
    """

    terms: tuple[MovedTerm, ...]
    constant: Array | None
    dtype: np.dtype[Any]
    in_place: bool
    bytes_per_run: int

    def __call__(self, values: Values) -> Array:
        """The sum, of shape (runs, ...)."""
        total, owned = self._moved(values, self.terms[0]), self.in_place or self.terms[0].coefficient != 1
        others: Iterable[Array] = (self._moved(values, term) for term in self.terms[1:])
        if self.constant is not None:
            others = chain([self.constant], others)
        for other in others:
            out = total if owned else None
            total = np.asarray(np.add(total, other, out=out, dtype=self.dtype, casting="unsafe"))
            owned = True
        return total

    def _moved(self, values: Values, term: MovedTerm) -> Array:
        source = values[term.source]
        assert source is not None
        moved = move(source, term.steps)
        if term.coefficient == 1:
            return moved
        factor = np.int64(term.coefficient).astype(self.dtype)
        return np.asarray(np.multiply(moved, factor, dtype=self.dtype, casting="unsafe"))
