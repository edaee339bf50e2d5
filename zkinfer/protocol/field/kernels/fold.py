"""Multilinear polynomials as arrays: fold, eq table, evaluation.

A polynomial in n variables is the array of its values on {0, 1}^n; index i has the bit of the first variable on top.
Memory: `fold` writes half of what it reads, into an array of the caller's if one is given, and then allocates nothing.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from zkinfer.errors import ShapeError
from zkinfer.jit.compiling import device, kernel
from zkinfer.jit.threads import split
from zkinfer.protocol.field import scalar
from zkinfer.protocol.field.kernels import arithmetic
from zkinfer.protocol.field.kernels.arrays import (
    GRAIN,
    add,
    balance_ext,
    base_line,
    ext_from_ints,
    ext_lines,
)
from zkinfer.protocol.field.kernels.combine import ext_base_dot_kernel, ext_dot, row_combination
from zkinfer.protocol.field.kernels.vector import LANES, load, splat, store
from zkinfer.protocol.field.params import DEGREE, P
from zkinfer.protocol.field.scalar import Ext
from zkinfer.typing import Floats, IntArray

ONE_CALL_VALUES = 1 << 14
"""Up to so many values are evaluated by one kernel: a call costs more than a thread would save."""


def fold(values: Floats, r: Ext, out: Floats | None = None) -> Floats:
    """Binds the first variable to r: out[i] = lo[i] + r (hi[i] - lo[i]), lo and hi the halves.

    Args:
        values: (n,) base or (3, n) extension elements, n even and positive.
        out: (3, n / 2), to write to instead of a new array; for extension values it may be their own lower half,
            `values[:, : n // 2]`.

    Returns:
        (3, n / 2) extension elements.
    """
    half = values.shape[-1] // 2
    if values.shape[-1] != 2 * half or not half:
        raise ShapeError(f"cannot fold {values.shape[-1]} values: their number must be even and positive")
    if out is None:
        out = np.empty((DEGREE, half))
    elif out.shape != (DEGREE, half):
        raise ShapeError(f"folding {2 * half} values gives shape (3, {half}), not {out.shape}")
    targets = ext_lines(out)
    challenge = balance_ext(r)
    if values.ndim == 1:
        line = base_line(values)
        split(_fold_base_kernel, half, GRAIN, line[:half], line[half:], *targets, *challenge)
        return out
    lines = ext_lines(values)
    lo, hi = (line[:half] for line in lines), (line[half:] for line in lines)
    split(_fold_kernel, half, GRAIN, *lo, *hi, *targets, *challenge)
    return out


def eq_table(point: Sequence[Ext], scale: Ext = scalar.ONE) -> Floats:
    """scale * eq(point, b) for all b in {0, 1}^n: shape (3, 2^n), the first coordinate on top of the index."""
    table = np.empty((DEGREE, 1 << len(point)))
    table[:, 0] = balance_ext(scale)
    # The last variable first: each further one goes on top, so that both halves are contiguous.
    coordinates = ext_from_ints(point[::-1])
    briefly = min(len(point), GRAIN.bit_length())
    _short_eq_kernel(*table, *coordinates[:, :briefly])
    for k in range(briefly, len(point)):
        size = 1 << k
        split(_eq_kernel, size, GRAIN, *table, *table[:, size:], *coordinates[:, k])
    return table


def add_outer(out: Floats, rows: Floats, line: Floats, starts: IntArray | None = None) -> None:
    """out[starts[i] + j] += rows[i] line[j]: to extension elements the products of (3, m) and (3, n).

    Args:
        out: extension elements, to which is added.
        rows, line: what is multiplied.
        starts: where each row's products begin, int64 of shape (m,), so that no two rows' overlap; by default they
            follow each other.

    Raises:
        ShapeError: the sizes do not go together, or products would be added behind the end.
    """
    count, width = rows.shape[1], line.shape[1]
    if starts is None:
        starts = np.arange(count, dtype=np.int64) * width
    if starts.shape != (count,) or int(starts.min(initial=0)) < 0:
        raise ShapeError(f"{count} rows begin at as many places, not at {starts.shape}")
    if int(starts.max(initial=0)) + width > out.shape[-1]:
        raise ShapeError(f"{count} times {width} products are not added to an array of shape {out.shape}")
    lines = *ext_lines(out), *ext_lines(rows), *ext_lines(line)
    split(_add_outer_kernel, count, max(1, GRAIN // width), *lines, starts)


@lru_cache(maxsize=64)
def _short_weights(point: tuple[Ext, ...]) -> Floats:
    """An eq table that is read only: columns of one size are evaluated at the same point, one after another."""
    table = eq_table(point)
    table.flags.writeable = False
    return table


def mle(values: Floats, point: Sequence[Ext]) -> Ext:
    """The multilinear polynomial with these 2^n values, base (2^n,) or extension (3, 2^n), at a point.

    Values are read once: eq(point, b) is a product of an eq over the high and one over the low variables, so the sum
    is a row combination of the values as a matrix, then one inner product.
    """
    if values.shape[-1] != 1 << len(point):
        raise ShapeError(f"{values.shape[-1]} values need a point of {values.shape[-1].bit_length() - 1} coordinates")
    high = len(point) // 2
    row_weights, column_weights = _short_weights(tuple(point[:high])), _short_weights(tuple(point[high:]))
    if values.ndim == 1 and values.size <= ONE_CALL_VALUES:
        c0, c1, c2 = _mle_kernel(base_line(values), *row_weights, *column_weights)
        return int(c0) % P, int(c1) % P, int(c2) % P
    lines = (base_line(values),) if values.ndim == 1 else ext_lines(values)
    shape = row_weights.shape[1], column_weights.shape[1]
    total = np.zeros((DEGREE, shape[1]))
    for line in reversed(lines):
        # Horner in u, with u^3 = 2: total = u * total + the combination of this coordinate.
        shifted = np.stack([add(total[2], total[2]), total[0], total[1]])
        total = add(shifted, row_combination(line.reshape(shape), row_weights))
    return ext_dot(total, column_weights)


@device
def _fold_body(
    lo0: Any, lo1: Any, lo2: Any, hi0: Any, hi1: Any, hi2: Any, out0: Any, out1: Any, out2: Any,
    r0: Any, r1: Any, r2: Any, i: Any, like: Any,
) -> None:  # fmt: skip
    x0, x1, x2 = load(lo0, i, like), load(lo1, i, like), load(lo2, i, like)
    d0, d1, d2 = load(hi0, i, like) - x0, load(hi1, i, like) - x1, load(hi2, i, like) - x2
    # |d_k| < P and |r_k| < P / 2: within the bounds of ext_mul_add.
    y0, y1, y2 = arithmetic.ext_mul_add(x0, x1, x2, d0, d1, d2, r0, r1, r2)
    store(out0, i, y0)
    store(out1, i, y1)
    store(out2, i, y2)


@kernel
def _fold_kernel(
    lo0: Any, lo1: Any, lo2: Any, hi0: Any, hi1: Any, hi2: Any, out0: Any, out1: Any, out2: Any,
    r0: float, r1: float, r2: float, start: int, stop: int,
) -> None:  # fmt: skip
    full = stop - (stop - start) % LANES
    for i in range(start, full, LANES):
        _fold_body(lo0, lo1, lo2, hi0, hi1, hi2, out0, out1, out2, r0, r1, r2, i, splat(0.0))
    for i in range(full, stop):
        _fold_body(lo0, lo1, lo2, hi0, hi1, hi2, out0, out1, out2, r0, r1, r2, i, 0.0)


@device
def _fold_base_body(
    lo: Any, hi: Any, out0: Any, out1: Any, out2: Any, r0: Any, r1: Any, r2: Any, i: Any, like: Any
) -> None:
    x = load(lo, i, like)
    d = load(hi, i, like) - x
    store(out0, i, arithmetic.reduce(x + arithmetic.mul_lazy(d, r0)))
    store(out1, i, arithmetic.mul(d, r1))
    store(out2, i, arithmetic.mul(d, r2))


@kernel
def _fold_base_kernel(
    lo: Any, hi: Any, out0: Any, out1: Any, out2: Any, r0: float, r1: float, r2: float, start: int, stop: int
) -> None:
    full = stop - (stop - start) % LANES
    for i in range(start, full, LANES):
        _fold_base_body(lo, hi, out0, out1, out2, r0, r1, r2, i, splat(0.0))
    for i in range(full, stop):
        _fold_base_body(lo, hi, out0, out1, out2, r0, r1, r2, i, 0.0)


@device
def _eq_body(
    lo0: Any, lo1: Any, lo2: Any, hi0: Any, hi1: Any, hi2: Any, x0: Any, x1: Any, x2: Any, i: Any, like: Any
) -> None:
    t0, t1, t2 = load(lo0, i, like), load(lo1, i, like), load(lo2, i, like)
    h0, h1, h2 = arithmetic.ext_mul(t0, t1, t2, x0, x1, x2)
    store(hi0, i, h0)
    store(hi1, i, h1)
    store(hi2, i, h2)
    store(lo0, i, arithmetic.reduce(t0 - h0))
    store(lo1, i, arithmetic.reduce(t1 - h1))
    store(lo2, i, arithmetic.reduce(t2 - h2))


@kernel
def _eq_kernel(
    lo0: Any, lo1: Any, lo2: Any, hi0: Any, hi1: Any, hi2: Any, x0: float, x1: float, x2: float, start: int, stop: int
) -> None:
    """hi[i] = x lo[i], then lo[i] = (1 - x) lo[i]."""
    full = stop - (stop - start) % LANES
    for i in range(start, full, LANES):
        _eq_body(lo0, lo1, lo2, hi0, hi1, hi2, x0, x1, x2, i, splat(0.0))
    for i in range(full, stop):
        _eq_body(lo0, lo1, lo2, hi0, hi1, hi2, x0, x1, x2, i, 0.0)


@kernel
def _short_eq_kernel(t0: Any, t1: Any, t2: Any, x0: Any, x1: Any, x2: Any) -> None:
    """The levels of a short table, one after another: a call for each would take longer than its work."""
    size = 1
    for k in range(x0.size):
        y0, y1, y2 = x0[k], x1[k], x2[k]
        hi0, hi1, hi2 = t0[size:], t1[size:], t2[size:]
        full = size - size % LANES
        for i in range(0, full, LANES):
            _eq_body(t0, t1, t2, hi0, hi1, hi2, y0, y1, y2, i, splat(0.0))
        for i in range(full, size):
            _eq_body(t0, t1, t2, hi0, hi1, hi2, y0, y1, y2, i, 0.0)
        size *= 2


@device
def _add_product(
    out0: Any, out1: Any, out2: Any, r0: Any, r1: Any, r2: Any, a0: Any, a1: Any, a2: Any, i: Any, like: Any
) -> None:
    x0, x1, x2 = load(out0, i, like), load(out1, i, like), load(out2, i, like)
    y0, y1, y2 = load(a0, i, like), load(a1, i, like), load(a2, i, like)
    z0, z1, z2 = arithmetic.ext_mul_add(x0, x1, x2, y0, y1, y2, r0, r1, r2)
    store(out0, i, z0)
    store(out1, i, z1)
    store(out2, i, z2)


@kernel
def _add_outer_kernel(
    out0: Any, out1: Any, out2: Any, rows0: Any, rows1: Any, rows2: Any, a0: Any, a1: Any, a2: Any,
    starts: Any, start: int, stop: int,
) -> None:  # fmt: skip
    """Of the rows from start to stop."""
    width = a0.size
    full = width - width % LANES
    for row in range(start, stop):
        r0, r1, r2 = rows0[row], rows1[row], rows2[row]
        at = starts[row]
        o0, o1, o2 = out0[at : at + width], out1[at : at + width], out2[at : at + width]
        for i in range(0, full, LANES):
            _add_product(o0, o1, o2, r0, r1, r2, a0, a1, a2, i, splat(0.0))
        for i in range(full, width):
            _add_product(o0, o1, o2, r0, r1, r2, a0, a1, a2, i, 0.0)


@kernel
def _mle_kernel(values: Any, r0: Any, r1: Any, r2: Any, a0: Any, a1: Any, a2: Any) -> Any:
    """sum over i, j of rows[i] line[j] values[i n + j]: of the lines first."""
    width = a0.size
    t0, t1, t2 = 0.0, 0.0, 0.0
    for row in range(r0.size):
        s0, s1, s2 = ext_base_dot_kernel(a0, a1, a2, values[row * width : (row + 1) * width], 0, width)
        t0, t1, t2 = arithmetic.ext_mul_add(t0, t1, t2, s0, s1, s2, r0[row], r1[row], r2[row])
    return t0, t1, t2
