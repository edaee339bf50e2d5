"""Field elements as arrays: conversion, and arithmetic element by element.

A base vector is a float64 array of shape (n,). An extension vector is a float64 array of shape (3, n): row k holds the
coefficients of u^k. Entries are balanced: integers x with |x| <= (P - 1) / 2. Functions here expect that, and
return new arrays that obey it.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from zkinfer.errors import InvalidInputError, ShapeError
from zkinfer.jit.compiling import device, kernel
from zkinfer.jit.threads import split
from zkinfer.protocol.field.kernels import arithmetic
from zkinfer.protocol.field.kernels.arithmetic import HALF, MAGIC
from zkinfer.protocol.field.kernels.vector import LANES, load, splat, store
from zkinfer.protocol.field.params import DEGREE, P
from zkinfer.protocol.field.scalar import Ext
from zkinfer.typing import Array, Floats, IntArray

Scalars: TypeAlias = tuple[float, float, float]

_EXACT = 7 * P

GRAIN = 1 << 13
"""Elements below which another thread does not pay."""


def balance_int(value: int) -> float:
    """The balanced representative of any integer."""
    residue = value % P
    return float(residue - P if residue > P // 2 else residue)


def balance_ext(value: Ext) -> Scalars:
    """The balanced representatives of an extension element's coordinates."""
    return (balance_int(value[0]), balance_int(value[1]), balance_int(value[2]))


def from_ints(values: Sequence[int] | Array) -> Floats:
    """The field elements of integers: any Python integers, or an integer array of any shape and type."""
    array = np.asarray(values)
    if array.dtype.kind == "i":
        out = np.empty(array.shape)
        line = np.ascontiguousarray(array, dtype=np.int64).reshape(-1).view()
        line.flags.writeable = False  # one type for all arrays, so that the kernel is compiled once
        split(_from_ints_kernel, array.size, GRAIN, line, out.reshape(-1))
        return out
    if array.size and array.dtype.kind not in "uO":
        raise InvalidInputError(f"field elements are made from integers, not from {array.dtype}")
    flat = np.array([balance_int(int(v)) for v in array.ravel()], dtype=np.float64)
    return flat.reshape(array.shape)


def ext_from_ints(values: Sequence[Ext]) -> Floats:
    """The (3, n) array of n extension elements."""
    residues = np.array(values, dtype=np.int64).reshape(-1, DEGREE).T % P
    return np.ascontiguousarray(np.where(residues > P // 2, residues - P, residues), dtype=np.float64)


def to_ints(values: Floats) -> IntArray:
    """The canonical integers in [0, P), in an array of the same shape."""
    integers = values.astype(np.int64)
    integers += (integers < 0) * np.int64(P)
    return integers


def ext_to_ints(values: Floats) -> list[Ext]:
    """The extension elements of a (3, n) array, as tuples of canonical integers."""
    c0, c1, c2 = to_ints(values).tolist()
    return list(zip(c0, c1, c2, strict=True))


def is_balanced(values: Floats) -> bool:
    """Whether every entry is an integer of magnitude at most (P - 1) / 2; NaN and infinity are not."""
    line = np.ascontiguousarray(values, dtype=np.float64).reshape(-1)
    return not any(split(_unbalanced_kernel, line.size, GRAIN, line))


def base_line(values: Floats) -> Floats:
    """The array itself, once seen to be a contiguous float64 base vector.

    Raises:
        ShapeError: it is anything else.
    """
    if values.dtype != np.float64 or values.ndim != 1 or not values.flags.c_contiguous:
        raise ShapeError(f"a base vector is a contiguous float64 array (n,), not {values.dtype} {values.shape}")
    return values


def ext_lines(values: Floats) -> tuple[Floats, Floats, Floats]:
    """The three coordinates of an extension vector, each contiguous.

    Raises:
        ShapeError: it is not a float64 array of shape (3, n) with contiguous rows.
    """
    if values.dtype != np.float64 or values.ndim != 2 or len(values) != DEGREE:
        raise ShapeError(f"an extension vector is a float64 array (3, n), not {values.dtype} {values.shape}")
    if not values[0].flags.c_contiguous:
        raise ShapeError("the rows of an extension vector must be contiguous")
    return values[0], values[1], values[2]


def add(a: Floats, b: Floats) -> Floats:
    """a + b, for two arrays of one shape, base or extension."""
    return _elementwise(_add_kernel, a, b)


def sub(a: Floats, b: Floats) -> Floats:
    """a - b, for two arrays of one shape, base or extension."""
    return _elementwise(_sub_kernel, a, b)


def mul(a: Floats, b: Floats) -> Floats:
    """a b, for two arrays of base elements of one shape."""
    return _elementwise(_mul_kernel, a, b)


def neg(a: Floats) -> Floats:
    """-a, base or extension."""
    return -a


def ext_mul(a: Floats, b: Floats) -> Floats:
    """a b, for two extension vectors of one length."""
    a_lines, b_lines = ext_lines(a), ext_lines(b)
    _same_shape(a, b)
    out = np.empty_like(a, order="C")
    split(_ext_mul_kernel, a.shape[1], GRAIN, *a_lines, *b_lines, *out)
    return out


def ext_scale(a: Floats, b: Floats) -> Floats:
    """a b, for an extension vector a and a base vector b of one length."""
    lines, scale = ext_lines(a), base_line(b)
    _same_shape(lines[0], scale)
    out = np.empty_like(a, order="C")
    split(_ext_scale_kernel, a.shape[1], GRAIN, *lines, scale, *out)
    return out


def _same_shape(a: Floats, b: Floats) -> None:
    if a.shape != b.shape:
        raise ShapeError(f"arrays of shapes {a.shape} and {b.shape} do not go together")


def _elementwise(compiled: Any, a: Floats, b: Floats) -> Floats:
    _same_shape(a, b)
    out = np.empty(a.shape, dtype=np.float64)
    lines = base_line(np.ascontiguousarray(a).reshape(-1)), base_line(np.ascontiguousarray(b).reshape(-1))
    split(compiled, a.size, GRAIN, *lines, out.reshape(-1))
    return out


@kernel
def _unbalanced_kernel(values: Any, start: int, stop: int) -> int:
    """How many entries are not balanced; comparisons with NaN are false."""
    found = 0
    for i in range(start, stop):
        x = values[i]
        found += 1 - ((abs(x) <= HALF) & ((x + MAGIC) - MAGIC == x))
    return found


@kernel
def _from_ints_kernel(integers: Any, out: Any, start: int, stop: int) -> None:
    """Any int64. Within 7 P the float64 is exact and `reduce` takes it; beyond, the integer remainder comes first."""
    for i in range(start, stop):
        x = integers[i]
        if x > _EXACT or x < -_EXACT:
            x %= P
        out[i] = arithmetic.reduce(float(x))


# Each kernel below is its body, first on Vectors, then on the single numbers that are left. `like` says which.


@device
def _add_body(a: Any, b: Any, out: Any, i: Any, like: Any) -> None:
    store(out, i, arithmetic.reduce(load(a, i, like) + load(b, i, like)))


@device
def _sub_body(a: Any, b: Any, out: Any, i: Any, like: Any) -> None:
    store(out, i, arithmetic.reduce(load(a, i, like) - load(b, i, like)))


@device
def _mul_body(a: Any, b: Any, out: Any, i: Any, like: Any) -> None:
    store(out, i, arithmetic.mul(load(a, i, like), load(b, i, like)))


@kernel
def _add_kernel(a: Any, b: Any, out: Any, start: int, stop: int) -> None:
    full = stop - (stop - start) % LANES
    for i in range(start, full, LANES):
        _add_body(a, b, out, i, splat(0.0))
    for i in range(full, stop):
        _add_body(a, b, out, i, 0.0)


@kernel
def _sub_kernel(a: Any, b: Any, out: Any, start: int, stop: int) -> None:
    full = stop - (stop - start) % LANES
    for i in range(start, full, LANES):
        _sub_body(a, b, out, i, splat(0.0))
    for i in range(full, stop):
        _sub_body(a, b, out, i, 0.0)


@kernel
def _mul_kernel(a: Any, b: Any, out: Any, start: int, stop: int) -> None:
    full = stop - (stop - start) % LANES
    for i in range(start, full, LANES):
        _mul_body(a, b, out, i, splat(0.0))
    for i in range(full, stop):
        _mul_body(a, b, out, i, 0.0)


@device
def _ext_mul_body(
    a0: Any, a1: Any, a2: Any, b0: Any, b1: Any, b2: Any, c0: Any, c1: Any, c2: Any, i: Any, like: Any
) -> None:
    x0, x1, x2 = load(a0, i, like), load(a1, i, like), load(a2, i, like)
    y0, y1, y2 = load(b0, i, like), load(b1, i, like), load(b2, i, like)
    z0, z1, z2 = arithmetic.ext_mul(x0, x1, x2, y0, y1, y2)
    store(c0, i, z0)
    store(c1, i, z1)
    store(c2, i, z2)


@kernel
def _ext_mul_kernel(
    a0: Any, a1: Any, a2: Any, b0: Any, b1: Any, b2: Any, c0: Any, c1: Any, c2: Any, start: int, stop: int
) -> None:
    full = stop - (stop - start) % LANES
    for i in range(start, full, LANES):
        _ext_mul_body(a0, a1, a2, b0, b1, b2, c0, c1, c2, i, splat(0.0))
    for i in range(full, stop):
        _ext_mul_body(a0, a1, a2, b0, b1, b2, c0, c1, c2, i, 0.0)


@device
def _ext_scale_body(a0: Any, a1: Any, a2: Any, b: Any, c0: Any, c1: Any, c2: Any, i: Any, like: Any) -> None:
    y = load(b, i, like)
    store(c0, i, arithmetic.mul(load(a0, i, like), y))
    store(c1, i, arithmetic.mul(load(a1, i, like), y))
    store(c2, i, arithmetic.mul(load(a2, i, like), y))


@kernel
def _ext_scale_kernel(a0: Any, a1: Any, a2: Any, b: Any, c0: Any, c1: Any, c2: Any, start: int, stop: int) -> None:
    full = stop - (stop - start) % LANES
    for i in range(start, full, LANES):
        _ext_scale_body(a0, a1, a2, b, c0, c1, c2, i, splat(0.0))
    for i in range(full, stop):
        _ext_scale_body(a0, a1, a2, b, c0, c1, c2, i, 0.0)
