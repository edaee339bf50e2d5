"""Inner products, and combinations of the rows of a matrix.

Reductions run over lanes: every lane of every Vector has its own accumulator, so that no addition waits for the one
before, and all are added up at the end.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from zkinfer.errors import InvalidInputError, ShapeError
from zkinfer.jit.compiling import device, kernel
from zkinfer.jit.threads import split
from zkinfer.protocol.field.kernels.arithmetic import INV, MAGIC, P_FLOAT, ext_mul_add, mul_lazy, reduce
from zkinfer.protocol.field.kernels.arrays import GRAIN, base_line, ext_from_ints, ext_lines
from zkinfer.protocol.field.kernels.byte_rows import byte_row_combination
from zkinfer.protocol.field.kernels.vector import LANES, floats, fma, load, splat, store
from zkinfer.protocol.field.params import DEGREE, P
from zkinfer.protocol.field.scalar import Ext
from zkinfer.typing import Array, Floats, IntArray

COLUMN_BLOCK = 256
"""Columns of int16 combined at a time: their accumulators, 12 KiB, leave room in the first-level cache."""

WIDE_BLOCK = 512
"""Columns of field elements combined at a time."""

LIMB = 2.0**25
SMALL_ROWS = 4
"""Rows of int16 taken into registers together."""

PAIRED_ROWS = 2
"""Rows whose sums over columns are in registers together, six for each."""

WIDE_ROWS = 8
WIDE_ANCHOR = 1.5 * 2.0**102
"""Sums of WIDE_ROWS products of balanced elements, below 2^101, are accumulated on top of this, in steps of 2^50."""


def dot(a: Floats, b: Floats) -> int:
    """The inner product of two base vectors, as a canonical integer."""
    lines = base_line(a), base_line(b)
    _same_length(a.size, b.size)
    return int(sum(split(_dot_kernel, a.size, GRAIN, *lines))) % P


def ext_dot(a: Floats, b: Floats) -> Ext:
    """The inner product of two extension vectors."""
    lines = map(_flat, (*ext_lines(a), *ext_lines(b)))
    _same_length(a.shape[1], b.shape[1])
    return _total(split(_ext_dot_kernel, a.shape[1], GRAIN, *lines))


def ext_base_dot(a: Floats, b: Floats) -> Ext:
    """The inner product of an extension vector and a base vector."""
    lines = *ext_lines(a), base_line(b)
    _same_length(a.shape[1], b.size)
    return _total(split(ext_base_dot_kernel, b.size, GRAIN, *lines))


def row_combination(matrix: Array, coefficients: Floats | Sequence[Ext], out: Floats | None = None) -> Floats:
    """sum_i coefficients[i] * matrix[i].

    Args:
        matrix: (rows, columns), rows contiguous one after another: int8 or int16, or balanced float64. May be
            read-only or memory-mapped; it is read once, and rows with the coefficient zero not at all.
        coefficients: (3, rows) extension elements, or a list of them.
        out: (3, columns) extension elements to add to, instead of a new array.

    Returns:
        (3, columns) extension elements.
    """
    if not isinstance(coefficients, np.ndarray):
        coefficients = ext_from_ints(coefficients)
    ext_lines(coefficients)
    if matrix.ndim != 2 or matrix.shape[0] != coefficients.shape[1]:
        raise ShapeError(f"a matrix of shape {matrix.shape} has no combination by {coefficients.shape[1]} coefficients")
    if not matrix.flags.c_contiguous:
        raise ShapeError("the matrix must be contiguous, row after row")
    columns = matrix.shape[1]
    out = np.zeros((DEGREE, columns)) if out is None else out
    sums = ext_lines(out)
    if out.shape[1] != columns:
        raise ShapeError(f"rows of {columns} numbers are not added to an array of shape {out.shape}")
    used = np.flatnonzero(coefficients.any(axis=0))
    if len(used) < len(matrix):
        coefficients = np.ascontiguousarray(coefficients[:, used])
    if matrix.dtype == np.float64:
        starts, grouped = _starts(used, columns, WIDE_ROWS), _grouped(coefficients, WIDE_ROWS)
        split(_wide_kernel, columns, _grain(WIDE_BLOCK, len(used)), _flat(matrix), starts, grouped, *sums)
    elif matrix.dtype == np.int8:
        byte_row_combination(matrix, used, coefficients, out)
    elif matrix.dtype == np.int16:
        starts, grouped = _starts(used, columns, SMALL_ROWS), _grouped(_limbs(coefficients), SMALL_ROWS)
        known = _flat(matrix), starts, _exact_products(matrix), grouped
        split(_small_kernel, columns, _grain(COLUMN_BLOCK, len(used)), *known, *sums)
    else:
        raise InvalidInputError(f"no row combination of {matrix.dtype}: int8, int16 or float64")
    return out


def column_combination(matrix: Array, coefficients: Floats) -> Floats:
    """sum_j coefficients[j] * matrix[:, j].

    Args:
        matrix: (rows, columns) of int8 or int16, rows contiguous one after another. May be read-only.
        coefficients: (3, columns) extension elements.

    Returns:
        (3, rows) extension elements.
    """
    if matrix.ndim != 2 or matrix.shape[1] != coefficients.shape[1]:
        raise ShapeError(f"a matrix of shape {matrix.shape} has no combination by {coefficients.shape[1]} columns")
    if not matrix.flags.c_contiguous:
        raise ShapeError("the matrix must be contiguous, row after row")
    if matrix.dtype not in (np.int8, np.int16):
        raise InvalidInputError(f"no column combination of {matrix.dtype}: int8 or int16")
    rows, columns = matrix.shape
    out = np.zeros((DEGREE, rows))
    limbs = np.ascontiguousarray(_limbs(coefficients)).reshape(-1)
    grain = PAIRED_ROWS * -(-GRAIN // (PAIRED_ROWS * max(columns, 1)))
    split(_small_columns_kernel, rows, grain, _flat(matrix), columns, _exact_products(matrix), limbs, *out)
    return out


def _flat(matrix: Array) -> Array:
    """The entries row after row, read-only: one type for stored matrices and others, so kernels are compiled once."""
    flat = np.asarray(matrix).reshape(-1).view()
    flat.flags.writeable = False
    return flat


def _limbs(coefficients: Floats) -> Floats:
    """The upper and lower limbs of each coordinate: six lines of integers of at most 2^24."""
    limbs = np.empty((DEGREE, 2, coefficients.shape[1]))
    np.rint(coefficients / LIMB, out=limbs[:, 0])
    np.subtract(coefficients, LIMB * limbs[:, 0], out=limbs[:, 1])
    return limbs.reshape(2 * DEGREE, -1)


def _exact_products(matrix: Array) -> int:
    """|limb| <= 2^24 and |weight| <= 2^7 or 2^15: so many products add up to at most 2^52."""
    return 1 << (52 - 24 - (8 * matrix.dtype.itemsize - 1))


def _grain(block: int, rows: int) -> int:
    """Columns that are worth a thread of their own: whole blocks."""
    return block * -(-GRAIN // (block * max(rows, 1)))


def _starts(used: IntArray, columns: int, group: int) -> IntArray:
    """Where these rows start; what fills the last group up stands for the last row, and its coefficients are zero."""
    starts = used * columns
    return np.pad(starts, (0, -len(starts) % group), mode="edge") if len(starts) else starts


def _grouped(lines: Floats, group: int) -> Floats:
    """For each `group` columns, filled up with zeros, its entries line after line: a contiguous vector."""
    count, columns = lines.shape
    groups = -(-columns // group)
    padded = np.zeros((count, groups * group))
    padded[:, :columns] = lines
    return np.ascontiguousarray(padded.reshape(count, groups, group).transpose(1, 0, 2)).reshape(-1)


def _same_length(a: int, b: int) -> None:
    if a != b:
        raise ShapeError(f"no inner product of vectors of lengths {a} and {b}")


def _total(parts: list[tuple[float, float, float]]) -> Ext:
    c0, c1, c2 = (int(sum(part[k] for part in parts)) % P for k in range(DEGREE))
    return c0, c1, c2


@device
def _sum_lanes(x: Any) -> Any:
    """The sum of a Vector's balanced lanes, balanced."""
    lanes = floats(LANES)
    store(lanes, 0, x)
    total = 0.0
    for lane in lanes:
        total = reduce(total + lane)
    return total


@kernel
def _dot_kernel(a: Any, b: Any, start: int, stop: int) -> Any:
    full = stop - (stop - start) % LANES
    packed = splat(0.0)
    for i in range(start, full, LANES):
        packed = reduce(packed + mul_lazy(load(a, i, packed), load(b, i, packed)))
    total = _sum_lanes(packed)
    for i in range(full, stop):
        total = reduce(total + mul_lazy(a[i], b[i]))
    return total


@kernel
def _ext_dot_kernel(a0: Any, a1: Any, a2: Any, b0: Any, b1: Any, b2: Any, start: int, stop: int) -> Any:
    full = stop - (stop - start) % LANES
    zero = splat(0.0)
    s0, s1, s2 = zero, zero, zero
    for i in range(start, full, LANES):
        x0, x1, x2 = load(a0, i, zero), load(a1, i, zero), load(a2, i, zero)
        s0, s1, s2 = ext_mul_add(s0, s1, s2, x0, x1, x2, load(b0, i, zero), load(b1, i, zero), load(b2, i, zero))
    t0, t1, t2 = _sum_lanes(s0), _sum_lanes(s1), _sum_lanes(s2)
    for i in range(full, stop):
        t0, t1, t2 = ext_mul_add(t0, t1, t2, a0[i], a1[i], a2[i], b0[i], b1[i], b2[i])
    return t0, t1, t2


@kernel
def ext_base_dot_kernel(a0: Any, a1: Any, a2: Any, b: Any, start: int, stop: int) -> Any:
    full = stop - (stop - start) % LANES
    zero = splat(0.0)
    s0, s1, s2 = zero, zero, zero
    for i in range(start, full, LANES):
        y = load(b, i, zero)
        s0 = reduce(s0 + mul_lazy(load(a0, i, zero), y))
        s1 = reduce(s1 + mul_lazy(load(a1, i, zero), y))
        s2 = reduce(s2 + mul_lazy(load(a2, i, zero), y))
    t0, t1, t2 = _sum_lanes(s0), _sum_lanes(s1), _sum_lanes(s2)
    for i in range(full, stop):
        t0 = reduce(t0 + mul_lazy(a0[i], b[i]))
        t1 = reduce(t1 + mul_lazy(a1[i], b[i]))
        t2 = reduce(t2 + mul_lazy(a2[i], b[i]))
    return t0, t1, t2


# Small integers, but for rows of int8, which `byte_rows` combines. A balanced coefficient is c = 2^25 c' + c'' with
# |c'|, |c''| <= 2^24, so products with int8 or int16, and sums of `chunk` of them, at most 2^52, are exact float64
# numbers: one fused multiply-add a limb, nothing else.


@device
def _four(line: Any, at: Any) -> Any:
    return line[at], line[at + 1], line[at + 2], line[at + 3]


@device
def _limb_body(sums: Any, at: Any, w: Any, c: Any, like: Any) -> None:
    total = fma(w[1], c[1], fma(w[0], c[0], load(sums, at, like)))
    store(sums, at, fma(w[3], c[3], fma(w[2], c[2], total)))


@device
def _small_body(
    flat: Any, o: Any, sums: Any, j: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, like: Any
) -> None:
    """Adds four rows' products with the six limbs a to f to the six sums of the columns from j on."""
    w = load(flat, o[0] + j, like), load(flat, o[1] + j, like), load(flat, o[2] + j, like), load(flat, o[3] + j, like)
    _limb_body(sums, j, w, a, like)
    _limb_body(sums, j + COLUMN_BLOCK, w, b, like)
    _limb_body(sums, j + 2 * COLUMN_BLOCK, w, c, like)
    _limb_body(sums, j + 3 * COLUMN_BLOCK, w, d, like)
    _limb_body(sums, j + 4 * COLUMN_BLOCK, w, e, like)
    _limb_body(sums, j + 5 * COLUMN_BLOCK, w, f, like)


@device
def _join_limbs(sums: Any, high: Any, j: Any, out: Any, at: Any) -> None:
    """out += 2^25 * (sums of the upper limb) + (sums of the lower limb): |...| <= 0.5 P + 0.77 P + 2^52 <= 7 P."""
    upper = mul_lazy(sums[high + j], LIMB)
    out[at] = reduce(out[at] + upper + sums[high + COLUMN_BLOCK + j])


@kernel
def _small_kernel(
    flat: Any, starts: Any, chunk: int, limbs: Any, out0: Any, out1: Any, out2: Any, start: int, stop: int
) -> None:
    """Rows start at `starts`; `limbs` holds for each four the upper and lower limbs of each coordinate: 6 runs of 4."""
    sums = floats(6 * COLUMN_BLOCK)
    for block in range(start, stop, COLUMN_BLOCK):
        width = min(COLUMN_BLOCK, stop - block)
        full = width - width % LANES
        for first in range(0, starts.size, chunk):
            sums[:] = 0.0
            for row in range(first, min(first + chunk, starts.size), SMALL_ROWS):
                o0, o1, o2, o3 = _four(starts, row)
                o = (o0 + block, o1 + block, o2 + block, o3 + block)
                at = 6 * row
                a, b, c = _four(limbs, at), _four(limbs, at + 4), _four(limbs, at + 8)
                d, e, f = _four(limbs, at + 12), _four(limbs, at + 16), _four(limbs, at + 20)
                for j in range(0, full, LANES):
                    _small_body(flat, o, sums, j, a, b, c, d, e, f, splat(0.0))
                for j in range(full, width):
                    _small_body(flat, o, sums, j, a, b, c, d, e, f, 0.0)
            for j in range(width):
                _join_limbs(sums, 0, j, out0, block + j)
                _join_limbs(sums, 2 * COLUMN_BLOCK, j, out1, block + j)
                _join_limbs(sums, 4 * COLUMN_BLOCK, j, out2, block + j)


@device
def _sum_exact(x: Any) -> Any:
    """The sum of a Vector's lanes, integers of at most 2^52 together."""
    lanes = floats(LANES)
    store(lanes, 0, x)
    total = 0.0
    for lane in lanes:
        total += lane
    return total


@device
def _add_limbs(out: Any, row: Any, upper: Any, lower: Any) -> None:
    """As `_join_limbs`."""
    out[row] = reduce(out[row] + mul_lazy(upper, LIMB) + lower)


@device
def _row_sums(flat: Any, o: Any, limbs: Any, columns: Any, first: Any, last: Any) -> Any:
    """Six sums of the products of a row's entries with limbs."""
    s0, s1, s2, s3, s4, s5 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(first, last):
        w = float(flat[o + j])
        s0 += w * limbs[j]
        s1 += w * limbs[columns + j]
        s2 += w * limbs[2 * columns + j]
        s3 += w * limbs[3 * columns + j]
        s4 += w * limbs[4 * columns + j]
        s5 += w * limbs[5 * columns + j]
    return s0, s1, s2, s3, s4, s5


@kernel
def _small_columns_kernel(
    flat: Any, columns: int, chunk: int, limbs: Any, out0: Any, out1: Any, out2: Any, start: int, stop: int
) -> None:
    """`limbs` holds six lines, each as long as a row."""
    zero = splat(0.0)
    for row in range(start, stop, PAIRED_ROWS):
        other = min(row + 1, stop - 1)
        o, p = row * columns, other * columns
        for first in range(0, columns, chunk):
            last = min(first + chunk, columns)
            full = last - (last - first) % LANES
            a0, a1, a2, a3, a4, a5 = zero, zero, zero, zero, zero, zero
            b0, b1, b2, b3, b4, b5 = zero, zero, zero, zero, zero, zero
            for j in range(first, full, LANES):
                w, x = load(flat, o + j, zero), load(flat, p + j, zero)
                c, d, e = load(limbs, j, zero), load(limbs, columns + j, zero), load(limbs, 2 * columns + j, zero)
                a0, a1, a2 = fma(w, c, a0), fma(w, d, a1), fma(w, e, a2)
                b0, b1, b2 = fma(x, c, b0), fma(x, d, b1), fma(x, e, b2)
                at = 3 * columns + j
                c, d, e = load(limbs, at, zero), load(limbs, at + columns, zero), load(limbs, at + 2 * columns, zero)
                a3, a4, a5 = fma(w, c, a3), fma(w, d, a4), fma(w, e, a5)
                b3, b4, b5 = fma(x, c, b3), fma(x, d, b4), fma(x, e, b5)
            s0, s1, s2, s3, s4, s5 = _row_sums(flat, o, limbs, columns, full, last)
            _add_limbs(out0, row, _sum_exact(a0) + s0, _sum_exact(a1) + s1)
            _add_limbs(out1, row, _sum_exact(a2) + s2, _sum_exact(a3) + s3)
            _add_limbs(out2, row, _sum_exact(a4) + s4, _sum_exact(a5) + s5)
            if other > row:
                s0, s1, s2, s3, s4, s5 = _row_sums(flat, p, limbs, columns, full, last)
                _add_limbs(out0, other, _sum_exact(b0) + s0, _sum_exact(b1) + s1)
                _add_limbs(out1, other, _sum_exact(b2) + s2, _sum_exact(b3) + s3)
                _add_limbs(out2, other, _sum_exact(b4) + s4, _sum_exact(b5) + s5)


# Balanced entries: the high parts of WIDE_ROWS products add up exactly on top of WIDE_ANCHOR, as in
# arithmetic.sum_of_products, and are reduced once.


@device
def _wide_step(t: Any, low: Any, w: Any, c: Any) -> Any:
    """t + w c, rounded to a multiple of 2^50, and low plus what the rounding lost: at most 2^49."""
    after = fma(w, c, t)
    return after, low + fma(w, c, t - after)


@device
def sum_of_eight(s: Any, w: Any, x: Any, c: Any, d: Any) -> Any:
    """s plus the products of eight numbers w, x with eight numbers c, d, modulo P; all are balanced, and so is the sum.

    8 products of balanced elements are below 2 P^2, with roundings below 2^101: t keeps its spacing of 2^50. h / P is
    at most 2^51, q is within 0.64 of it, low is at most 2^52, and s is balanced: 0.64 P + 4.01 P + 0.5 P <= 7 P.
    """
    t0 = fma(w[0], c[0], WIDE_ANCHOR)
    low0 = fma(w[0], c[0], WIDE_ANCHOR - t0)
    t1, low1 = _wide_step(t0, low0, w[1], c[1])
    t2, low2 = _wide_step(t1, low1, w[2], c[2])
    t3, low3 = _wide_step(t2, low2, w[3], c[3])
    t4, low4 = _wide_step(t3, low3, x[0], d[0])
    t5, low5 = _wide_step(t4, low4, x[1], d[1])
    t6, low6 = _wide_step(t5, low5, x[2], d[2])
    t7, low7 = _wide_step(t6, low6, x[3], d[3])
    h = t7 - WIDE_ANCHOR
    q = fma(h, INV, MAGIC) - MAGIC
    return reduce((fma(-q, P_FLOAT, h) + low7) + s)


@device
def _wide_body(
    flat: Any, o: Any, p: Any, j: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any,
    out0: Any, out1: Any, out2: Any, like: Any,
) -> None:  # fmt: skip
    w = load(flat, o[0] + j, like), load(flat, o[1] + j, like), load(flat, o[2] + j, like), load(flat, o[3] + j, like)
    x = load(flat, p[0] + j, like), load(flat, p[1] + j, like), load(flat, p[2] + j, like), load(flat, p[3] + j, like)
    store(out0, j, sum_of_eight(load(out0, j, like), w, x, a, b))
    store(out1, j, sum_of_eight(load(out1, j, like), w, x, c, d))
    store(out2, j, sum_of_eight(load(out2, j, like), w, x, e, f))


@kernel
def _wide_kernel(
    flat: Any, starts: Any, coefficients: Any, out0: Any, out1: Any, out2: Any, start: int, stop: int
) -> None:
    """Rows start at `starts`; `coefficients` holds for each eight the three coordinates: 3 runs of 8 numbers."""
    for block in range(start, stop, WIDE_BLOCK):
        end = min(block + WIDE_BLOCK, stop)
        full = end - (end - block) % LANES
        for row in range(0, starts.size, WIDE_ROWS):
            o, p = _four(starts, row), _four(starts, row + 4)
            at = 3 * row
            a, b, c = _four(coefficients, at), _four(coefficients, at + 4), _four(coefficients, at + 8)
            d, e, f = _four(coefficients, at + 12), _four(coefficients, at + 16), _four(coefficients, at + 20)
            for j in range(block, full, LANES):
                _wide_body(flat, o, p, j, a, b, c, d, e, f, out0, out1, out2, splat(0.0))
            for j in range(full, end):
                _wide_body(flat, o, p, j, a, b, c, d, e, f, out0, out1, out2, 0.0)
