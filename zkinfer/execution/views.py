"""Views without copies: re-indexing as changes of strides, sums in place, modulo the width of the result.

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

from zkinfer.circuit.steps import Embed, Gather, IndexMap, Listed, Move, Permute, Regroup, Shape, Strided
from zkinfer.typing import Array

Values = Sequence[Array | None]


def execute(index_map: IndexMap, array: Array) -> Array:
    """What `circuit.steps.evaluate` computes, as a view of the array's memory wherever strides allow.

    Args:
        index_map: one that fits a source of shape `array.shape[1:]`.
        array: of any dtype; axis 0 numbers runs.

    Returns:
        An array that may share memory with the given one: do not write to it.
    """
    match index_map:
        case Regroup(sizes=sizes):
            return array.reshape(len(array), *sizes)
        case Permute(axes=axes):
            return array.transpose(0, *(axis + 1 for axis in axes))
        case Embed(before=before, after=after):
            sizes = (len(array), *(b + n + a for b, n, a in zip(before, array.shape[1:], after, strict=True)))
            padded = _zeros(sizes, array)
            inside = (slice(b, b + n) for b, n in zip(before, array.shape[1:], strict=True))
            padded[(slice(None), *inside)] = array
            return padded
        case Gather():
            for axis, along in index_map.from_last():
                if isinstance(along, Listed):
                    array = array.take(along.places(), axis=axis + 1)
                else:
                    array = _strided(array, axis + 1, along)
            return array


def execute_all(index_maps: Sequence[IndexMap], array: Array) -> Array:
    """All maps, in order: see `execute`."""
    for index_map in index_maps:
        array = execute(index_map, array)
    return array


def _strided(array: Array, axis: int, along: Strided) -> Array:
    """The axis replaced by the map's axes, as a view of the same memory. `shape_after` has checked the places."""
    start, steps = along.effective()
    before = (slice(None),) * axis
    if len(steps) == 1 and steps[0]:
        end = start + along.sizes[0] * steps[0]
        return array[(*before, slice(start, end if end >= 0 else None, steps[0]))]
    from_start = array[(*before, slice(start, None))]
    shape = (*array.shape[:axis], *along.sizes, *array.shape[axis + 1 :])
    new = (step * array.strides[axis] for step in steps)
    strides = (*array.strides[:axis], *new, *array.strides[axis + 1 :])
    return as_strided(from_start, shape, strides, writeable=False)


def _zeros(sizes: Shape, like: Array) -> Array:
    """Zeros in the type, and in the order in memory, of another array."""
    order = sorted(range(like.ndim), key=lambda axis: -like.strides[axis])
    return np.zeros([sizes[axis] for axis in order], dtype=like.dtype).transpose(np.argsort(order))


def copied_bytes(moves: Sequence[Move], itemsize: int) -> int:
    """Bytes that `execute_all` allocates for each run, at most: maps that may copy all do."""
    return sum(math.prod(move.after) * itemsize for move in moves if _may_copy(move.index_map))


def _may_copy(index_map: IndexMap) -> bool:
    match index_map:
        case Regroup() | Embed():
            return True
        case Permute():
            return False
        case Gather(along=along):
            return any(isinstance(places, Listed) for places in along.values())


@dataclass(frozen=True)
class MovedTerm:
    """`coefficient * values[source]`, re-indexed by all maps in order."""

    source: int
    coefficient: int
    index_maps: tuple[IndexMap, ...]

    @property
    def is_bijection(self) -> bool:
        """Whether every element of the source is in the result once, by the kinds of the maps."""
        return all(isinstance(index_map, Regroup | Permute) for index_map in self.index_maps)


@dataclass(frozen=True, eq=False)
class Alias:
    """A View of one term, only moved: mostly the source's memory in another order.

    Attributes:
        bytes_per_run: allocated at most.
    """

    source: int
    index_maps: tuple[IndexMap, ...]
    bytes_per_run: int

    def __call__(self, values: Values) -> Array:
        """The moved source."""
        source = values[self.source]
        assert source is not None
        return execute_all(self.index_maps, source)


@dataclass(frozen=True, eq=False)
class Combination:
    """A View in general: the sum of its terms and of what is known beforehand.

    Attributes:
        terms: what is computed in each run; one at least.
        constant: what weights and the offset add, of shape (1, ...); None where that is nothing.
        dtype: of the result.
        in_place: the first term's source may be overwritten: nobody else reads it, it has the result's dtype, the
            coefficient is 1 and the maps are a bijection.
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
        moved = execute_all(term.index_maps, source)
        if term.coefficient == 1:
            return moved
        factor = np.int64(term.coefficient).astype(self.dtype)
        return np.asarray(np.multiply(moved, factor, dtype=self.dtype, casting="unsafe"))
