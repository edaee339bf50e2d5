"""Linear claims about tensors: sum over all indices of weights[index] * value[index], weights in the extension field.

The weights are a product of factors over consecutive axes. The multilinear extension of a box at a point is the case
where every axis has an eq table; pulling such a claim back through re-indexing and contractions gives others, and sizes
need not be powers of two anywhere.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from blake3 import blake3

from zkinfer.circuit.steps import Step, moves
from zkinfer.errors import InvalidInputError, ShapeError
from zkinfer.protocol.field import modular
from zkinfer.protocol.field.modular import from_exts, to_exts
from zkinfer.protocol.field.params import DEGREE, P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_add, ext_mul
from zkinfer.protocol.reduction import factors as products
from zkinfer.protocol.reduction.adjoint import adjoint
from zkinfer.protocol.reduction.boxes import Box
from zkinfer.protocol.sumcheck.params import Point
from zkinfer.typing import IntArray

_INT64 = np.dtype(np.int64)

MAX_BITS = 50
"""`evaluate` takes integers of absolute value below 2^MAX_BITS: about P, and no value of a program is larger."""


@dataclass(frozen=True, eq=False)
class Functional:
    """sum over index of scale * product over j of factors[j][index's part of j] * value[index].

    Attributes:
        shape: of the value; size of the axis of runs first.
        factors: canonical int64 arrays (3, sizes of some consecutive axes); the factors' axes in order are `shape`.
            The empty shape has none. Functionals share arrays: nobody writes to them.
        scale: a canonical extension element.

    Raises:
        ShapeError: the factors' axes are not those of `shape`, or a factor is not an extension array.
    """

    shape: tuple[int, ...]
    factors: tuple[IntArray, ...]
    scale: Ext = ONE

    def __post_init__(self) -> None:
        axes: tuple[int, ...] = ()
        for factor in self.factors:
            sizes = factor.shape[1:]
            if not sizes or factor.shape[0] != DEGREE or factor.dtype != _INT64:
                found = ", ".join(f"{f.dtype}{list(f.shape)}" for f in self.factors)
                raise ShapeError(f"factors are int64 arrays of shape (3, sizes of one axis or more), got {found}")
            axes += sizes
        if axes != self.shape:
            raise ShapeError(f"weights for a tensor of shape {self.shape} cannot have factors over axes {axes}")


def of_vectors(vectors: Sequence[IntArray], scale: Ext = ONE) -> Functional:
    """The product of one vector (3, n) for each axis, and a scale."""
    return Functional(tuple(v.shape[-1] for v in vectors), tuple(vectors), scale)


def scaled(functional: Functional, factor: Ext) -> Functional:
    """The functional times a factor."""
    if factor == ONE:
        return functional
    return Functional(functional.shape, functional.factors, ext_mul(factor, functional.scale))


def is_zero(functional: Functional) -> bool:
    """Whether all weights are zero."""
    return functional.scale == ZERO or any(map(products.is_zero, functional.factors))


def padded_eq(shape: tuple[int, ...], point: Point) -> Functional:
    """The multilinear extension of a tensor, each axis padded with zeros to a power of two, at a point.

    Args:
        shape: of the tensor.
        point: the coordinates of the first axis first.
    """
    vectors, used = [], 0
    for size in shape:
        bits = (size - 1).bit_length()
        vectors.append(modular.eq_table(point[used : used + bits])[:, :size])
        used += bits
    return of_vectors(vectors)


def eq_functional(shape: tuple[int, ...], box: Box, point: Point) -> Functional:
    """The multilinear extension of one box of a tensor, at a point, as a functional on the whole tensor.

    What lies behind the tensor counts as zero.

    Args:
        shape: of the tensor.
        box: one of a cut of the tensor.
        point: box.total coordinates, those of the first axis first.

    Raises:
        ShapeError: a wrong number of coordinates.
    """
    if len(point) != box.total:
        raise ShapeError(f"the box has {box.total} variables, the point {len(point)} coordinates")
    factors = []
    for size, start, k in zip(shape, box.starts, box.variables, strict=True):
        factor = np.zeros((DEGREE, size), dtype=np.int64)
        factor[:, start : start + (1 << k)] = modular.eq_table(point[:k])[:, : size - start]
        factors.append(factor)
        point = point[k:]
    return Functional(shape, tuple(factors))


def arrange(
    shape: tuple[int, ...], letters: str, parts: Sequence[tuple[str, IntArray]], scale: Ext = ONE
) -> Functional:
    """A functional on a tensor whose axes have letters, from parts over some letters each, in any order.

    Args:
        shape: of the tensor.
        letters: one for each axis.
        parts: letters, and the array (3, sizes of their axes); together each letter once.
        scale: multiplies all.

    Raises:
        ShapeError: the parts do not have each letter once, or other sizes.
    """
    if sorted(letters) != sorted("".join(names for names, _ in parts)) or len(set(letters)) != len(letters):
        raise ShapeError(f"parts over {[names for names, _ in parts]} do not have each axis of {letters!r} once")
    numbered = []
    for names, array in parts:
        if not names:
            scale = ext_mul(scale, to_exts(array.reshape(DEGREE, 1))[0])
            continue
        order = sorted(range(len(names)), key=lambda i: letters.index(names[i]))
        pieces = products.split(array.transpose(0, *(1 + i for i in order)))
        axes = tuple(letters.index(names[i]) for i in order)
        numbered += [(axes[a:b], piece) for (a, b), piece in zip(products.spans(pieces), pieces, strict=True)]
    return Functional(shape, tuple(products.assemble(numbered)), scale)


def pull(functional: Functional, steps: Sequence[Step], source_shape: tuple[int, ...]) -> Functional:
    """The functional on the source of a view's term that equals the given one on its result, for all sources.

    Args:
        functional: on a tensor of shape (runs, *sizes after the steps).
        steps: as in `circuit.program.Term`; they do not touch axis 0.
        source_shape: (runs, *sizes), or (1, *sizes) for a source that serves all runs.

    Raises:
        ShapeError: the steps do not lead from the source's shape to that of the functional.
    """
    runs, *sizes = source_shape
    path = moves(steps, tuple(sizes))
    after = path[-1].after if path else tuple(sizes)
    if functional.shape[1:] != after or runs not in (1, functional.shape[0]):
        raise ShapeError(f"the steps lead from {source_shape} to (runs, *{after}), not to {functional.shape}")
    factors, scale = list(functional.factors), functional.scale
    if runs != functional.shape[0]:
        factors[0] = modular.sum_axis(factors[0], 1)
    for move in reversed(path):
        factors, factor = adjoint(move.index_map, factors, move.before)
        scale = ext_mul(scale, factor)
    return Functional(source_shape, tuple(factors), scale)


def split(functional: Functional) -> Functional:
    """The same weights, every factor of several axes split between two axes wherever it is a product there."""
    return Functional(
        functional.shape, tuple(g for f in functional.factors for g in products.split(f)), functional.scale
    )


def total(functional: Functional) -> Ext:
    """The sum of all weights: the value on a tensor of ones."""
    result = functional.scale
    for factor in functional.factors:
        result = ext_mul(result, to_exts(modular.sum_axis(factor.reshape(DEGREE, -1), 1))[0])
    return result


def evaluate(functional: Functional, array: IntArray) -> Ext:
    """The value on a public tensor.

    Args:
        functional: on tensors of the array's shape.
        array: integers of absolute value below 2^50, any integer dtype.

    Raises:
        ShapeError: the array has another shape.
        InvalidInputError: a value is too large, or not an integer.
    """
    if array.shape != functional.shape:
        raise ShapeError(f"the functional is one on tensors of shape {functional.shape}, got {array.shape}")
    if not np.issubdtype(array.dtype, np.integer):
        raise InvalidInputError(f"a claim is about integers, got {array.dtype}")
    if array.size and max(-int(array.min()), int(array.max())) >= 1 << MAX_BITS:
        raise InvalidInputError(f"a claim is about integers of absolute value below 2^{MAX_BITS}")
    vectors = [f.reshape(DEGREE, -1) for f in functional.factors]
    if not vectors:
        return ext_mul(functional.scale, (int(array) % P, 0, 0))
    if not array.size:
        return ZERO
    sizes = [v.shape[1] for v in vectors]
    largest = max(range(len(sizes)), key=lambda j: sizes[j])
    before, after = math.prod(sizes[:largest]), math.prod(sizes[largest + 1 :])
    contracted = modular.contract(vectors.pop(largest), array.reshape(before, sizes[largest], after))
    for vector in reversed(vectors):
        contracted = modular.ext_matvec(contracted.reshape(DEGREE, -1, vector.shape[1]), vector)
    return ext_mul(functional.scale, to_exts(contracted.reshape(DEGREE, 1))[0])


def merged(terms: Sequence[tuple[Ext, Functional]]) -> list[Functional]:
    """The sum of coefficient * functional, for functionals on one shape, as few of them as are easily found.

    All are written as products over the same ranges of axes, the smallest that serve all of them. Two that agree in all
    factors but one, up to scaling, become one; again until there are no two such. What is zero is left out, so the list
    may be empty. The result depends on the weights and their order alone, not on the factors that they came in.

    Raises:
        ShapeError: the functionals are on different shapes.
    """
    if len({f.shape for _, f in terms}) > 1:
        raise ShapeError(f"functionals on shapes {sorted({f.shape for _, f in terms})} have no sum")
    shape = terms[0][1].shape if terms else ()
    if len(terms) == 1:
        one = scaled(terms[0][1], terms[0][0])
        return [] if is_zero(one) else [one]
    sums = [normal for c, f in terms if (normal := _normal(f.factors, ext_mul(c, f.scale))) is not None]
    if len(sums) > 1:
        sums = _alike(sums)
    while True:
        count = len(sums)
        for position in range(max(1, len(shape))):
            sums = _merged_at(position, sums)
        if len(sums) == count:
            return [Functional(shape, s.factors, s.scale) for s in sums]


@dataclass(frozen=True, eq=False)
class _Normal:
    """Nonzero weights whose factors have one as their first nonzero entry: equal up to scaling means equal."""

    factors: tuple[IntArray, ...]
    scale: Ext
    keys: tuple[bytes, ...]
    """A digest of each factor and its shape."""


def _normal(factors: Sequence[IntArray], scale: Ext) -> _Normal | None:
    """None for zero."""
    monic = []
    for factor in factors:
        normal = products.monic(factor)
        if normal is None:
            return None
        monic.append(normal[0])
        scale = ext_mul(scale, normal[1])
    keys = tuple(blake3(repr(f.shape).encode() + f.tobytes()).digest() for f in monic)
    return None if scale == ZERO else _Normal(tuple(monic), scale, keys)


def _alike(terms: Sequence[_Normal]) -> list[_Normal]:
    """The same weights as products over the same ranges of axes, the smallest over which all of them are products."""
    split = [[piece for factor in term.factors for piece in products.split(factor)] for term in terms]
    ends = set.intersection(*({end for _, end in products.spans(pieces)} for pieces in split))
    bounds = list(pairwise(sorted({0} | ends)))
    result = []
    for term, pieces in zip(terms, split, strict=True):
        placed = list(zip(products.spans(pieces), pieces, strict=True))
        joined = [products.outer([p for (a, b), p in placed if first <= a and b <= end]) for first, end in bounds]
        normal = _normal(joined, term.scale)
        assert normal is not None
        result.append(normal)
    return result


def _merged_at(position: int, terms: Sequence[_Normal]) -> list[_Normal]:
    """Terms that agree in all factors but the one at `position` become one, in the place of the first of them."""
    alike: dict[tuple[object, ...], list[_Normal]] = {}
    for term in terms:
        shapes = tuple(f.shape for f in term.factors)
        alike.setdefault((shapes, term.keys[:position], term.keys[position + 1 :]), []).append(term)
    result = [_sum_at(position, group) if len(group) > 1 else group[0] for group in alike.values()]
    return [term for term in result if term is not None]


def _sum_at(position: int, terms: Sequence[_Normal]) -> _Normal | None:
    """The sum of terms that agree in all factors but the one at `position`; None for zero."""
    factors, scale = list(terms[0].factors), ONE
    if position < len(factors):
        scales = (from_exts([t.scale]).reshape(DEGREE, *(1,) * (factors[position].ndim - 1)) for t in terms)
        scaled = [modular.ext_mul(t.factors[position], s) for t, s in zip(terms, scales, strict=True)]
        factors[position] = modular.sum_axis(np.stack(scaled), 0)[0]
    else:
        scale = functools.reduce(ext_add, (t.scale for t in terms))
    return _normal(factors, scale)
