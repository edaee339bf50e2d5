"""Tensors of weights as products of factors, each over some consecutive axes.

A factor is an extension array of shape (3, sizes of its axes). Whatever can stay a product of small factors does: a
dense tensor of weights costs as much as the tensor that it weighs, a product of vectors next to nothing.
"""

import math
from collections import deque
from collections.abc import Sequence

import numpy as np

from zkinfer.protocol.field import modular
from zkinfer.protocol.field.modular import from_exts, to_exts
from zkinfer.protocol.field.params import DEGREE
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_inv, ext_mul
from zkinfer.typing import IntArray

Part = tuple[tuple[int, ...], IntArray]
"""Axes of the whole, in the order in which they are axes 1, 2, ... of the array."""

_PROBES = 16
_BLOCK = 1 << 15


def ones(axes: int) -> IntArray:
    """The factor over that many axes of size 1 whose only entry is one."""
    return from_exts([ONE]).reshape(DEGREE, *(1,) * axes)


def spans(factors: Sequence[IntArray]) -> list[tuple[int, int]]:
    """The half-open range of axes of each factor."""
    found, start = [], 0
    for factor in factors:
        end = start + factor.ndim - 1
        found.append((start, end))
        start = end
    return found


def outer(factors: Sequence[IntArray]) -> IntArray:
    """The factors, one or more, as one over all their axes."""
    result, *others = factors
    for other in others:
        left = result.reshape(*result.shape, *(1,) * (other.ndim - 1))
        result = modular.ext_mul(left, other.reshape(DEGREE, *(1,) * (result.ndim - 1), *other.shape[1:]))
    return result


def monic(factor: IntArray) -> tuple[IntArray, Ext] | None:
    """The factor over its first nonzero entry in row-major order, and that entry; None for zero."""
    flat = factor.reshape(DEGREE, -1)
    lead = to_exts(flat[:, :1])[0] if flat.size else ZERO
    if lead == ZERO:
        nonzero = flat.any(axis=0)
        if not nonzero.any():
            return None
        first = int(nonzero.argmax())
        lead = to_exts(flat[:, first : first + 1])[0]
    if lead == ONE:
        return factor, lead
    return modular.ext_mul(flat, from_exts([ext_inv(lead)])).reshape(factor.shape), lead


def is_zero(factor: IntArray) -> bool:
    """Whether all entries are zero."""
    return not (factor.size and factor.item(0)) and not factor.any()


def rank_one(matrix: IntArray) -> tuple[IntArray, IntArray] | None:
    """Vectors of shapes (3, m) and (3, n) whose outer product is the matrix of shape (3, m, n); None if there are none.

    The second is the first row with a nonzero entry, the first is one there; both are zero for the zero matrix. Exact:
    a sample of entries rejects most matrices that are not a product, all entries are compared in the end.
    """
    nonzero = (matrix != 0).any(axis=0)
    rows = nonzero.any(axis=1)
    if not rows.any():
        return np.zeros(matrix.shape[:2], dtype=np.int64), np.zeros((DEGREE, matrix.shape[2]), dtype=np.int64)
    row = int(rows.argmax())
    column = int(nonzero[row].argmax())
    right = np.ascontiguousarray(matrix[:, row])
    inverse = from_exts([ext_inv(to_exts(right[:, column : column + 1])[0])])
    left = modular.ext_mul(matrix[:, :, column], inverse)
    m, n = matrix.shape[1:]
    if min(m, n) > 1:
        down, across = -(-m // _PROBES), -(-n // _PROBES)
        if not _is_outer(matrix[:, ::down, ::across], left[:, ::down], right[:, ::across]):
            return None
        step = max(1, _BLOCK // n)
        if not all(_is_outer(matrix[:, i : i + step], left[:, i : i + step], right) for i in range(0, m, step)):
            return None
    return left, right


def _is_outer(matrix: IntArray, left: IntArray, right: IntArray) -> bool:
    return np.array_equal(matrix, outer([left, right]))


def split(factor: IntArray) -> list[IntArray]:
    """The factor as a product over as few axes each as possible: split between two axes wherever that is exact."""
    found = []
    axes = 1
    while axes < factor.ndim - 1:
        sizes = factor.shape[1:]
        halves = rank_one(factor.reshape(DEGREE, math.prod(sizes[:axes]), math.prod(sizes[axes:])))
        if halves is None:
            axes += 1
            continue
        found.append(halves[0].reshape(DEGREE, *sizes[:axes]))
        factor = halves[1].reshape(DEGREE, *sizes[axes:])
        axes = 1
    return [*found, factor]


def assemble(parts: Sequence[Part]) -> list[IntArray]:
    """Factors over consecutive axes, in order, from parts over any axes; together the parts have each axis once.

    A part whose axes are not consecutive is split where possible; parts that still interleave become one.
    """
    placed: list[Part] = []
    for axes, array in parts:
        order = sorted(range(len(axes)), key=lambda i: axes[i])
        axes, array = tuple(axes[i] for i in order), array.transpose(0, *(1 + i for i in order))
        consecutive = axes[-1] - axes[0] == len(axes) - 1
        pieces = [array] if consecutive else split(array)
        placed += [(axes[start:end], piece) for (start, end), piece in zip(spans(pieces), pieces, strict=True)]
    placed.sort(key=lambda part: part[0])
    groups: list[list[Part]] = []
    end = 0
    for part in placed:
        if not groups or part[0][0] >= end:
            groups.append([])
        groups[-1].append(part)
        end = max(end, part[0][-1] + 1)
    return [_interleaved(group) for group in groups]


def _interleaved(group: Sequence[Part]) -> IntArray:
    """The product of parts that together have consecutive axes, as one factor."""
    start = min(axes[0] for axes, _ in group)
    rank = sum(len(axes) for axes, _ in group)
    result, *others = (
        array.reshape(DEGREE, *_spread(rank, [a - start for a in axes], array.shape[1:])) for axes, array in group
    )
    for other in others:
        result = modular.ext_mul(result, other)
    return result


def _spread(rank: int, axes: Sequence[int], sizes: Sequence[int]) -> list[int]:
    shape = [1] * rank
    for axis, size in zip(axes, sizes, strict=True):
        shape[axis] = size
    return shape


def isolate(factors: Sequence[IntArray], start: int, end: int) -> tuple[list[IntArray], int]:
    """The same product with axes start, ..., end - 1 in one factor, made small by splitting, and its position."""
    if not any(a <= start and end <= b for a, b in spans(factors)):
        touched = [a < end and start < b for a, b in spans(factors)]
        factors = [g for f, t in zip(factors, touched, strict=True) for g in (split(f) if t else [f])]
    inside = [i for i, (a, b) in enumerate(spans(factors)) if a < end and start < b]
    first, last = inside[0], inside[-1] + 1
    return [*factors[:first], outer(factors[first:last]), *factors[last:]], first


def regroup(factors: Sequence[IntArray], sizes: Sequence[int]) -> tuple[list[IntArray], Ext]:
    """Factors over axes of these sizes, and a scale, with the same entries in row-major order.

    Factors are cut where an axis ends, if they are products there, and merged only where an axis spans several.
    """
    if 0 in sizes:
        return [np.zeros((DEGREE, n), dtype=np.int64) for n in sizes], ONE
    scale = ONE
    queue: deque[IntArray] = deque()
    for factor in (piece.reshape(DEGREE, -1) for f in factors for piece in split(f)):
        if factor.shape[1] == 1:
            scale = ext_mul(scale, to_exts(factor)[0])
        else:
            queue.append(factor)
    result: list[IntArray] = []
    axis = 0
    while axis < len(sizes):
        if sizes[axis] == 1:
            result.append(ones(1))
            axis += 1
            continue
        held, end = _gather(queue, sizes, axis)
        result += split(outer(held).reshape(DEGREE, *sizes[axis:end]))
        axis = end
    return result, scale


def _gather(queue: deque[IntArray], sizes: Sequence[int], start: int) -> tuple[list[IntArray], int]:
    """The first factors of the queue that together fill axes start, ..., end - 1, and end: as few axes as possible."""
    held = [queue.popleft()]
    filled, wanted, end = held[0].shape[1], sizes[start], start + 1
    while filled != wanted:
        if filled < wanted:
            held.append(queue.popleft())
            filled *= held[-1].shape[1]
            continue
        inner, rest = divmod(filled, wanted)
        halves = None
        if rest == 0 and held[-1].shape[1] % inner == 0:
            halves = rank_one(held[-1].reshape(DEGREE, -1, inner))
        if halves is not None:
            held[-1] = halves[0]
            queue.appendleft(halves[1])
            filled = wanted
        else:
            wanted *= sizes[end]
            end += 1
    return held, end
