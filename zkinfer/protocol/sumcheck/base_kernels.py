"""Numba kernels of the first round of instances some of whose factors have values in the base field.

Rows of the buffer are as in `kernels`, but a factor in the base field has one row instead of three. Products stay in
the base field as long as they can: a term's base factors are multiplied first, and a term without any other factor
meets the extension only in the weight. Binding the round's challenge makes tables of the extension, of half the size.
"""

from typing import Any

from zkinfer.jit.compiling import device, kernel
from zkinfer.protocol.field.kernels.arithmetic import ext_mul, ext_mul_add, ext_scale, mul, mul_lazy, reduce
from zkinfer.protocol.field.kernels.vector import LANES, load, splat, zeros
from zkinfer.protocol.sumcheck.kernels import accumulate, add_lanes, add_scaled, load_ext, store_ext
from zkinfer.typing import Floats, IntArray

Places = IntArray


@device
def line_at(flat: Any, row: Any, stride: Any, x: Any, half: Any, at: Any) -> Any:
    """lo + at (hi - lo) for LANES values of a row, balanced: the difference is at most P."""
    zero = splat(0.0)
    value = load(flat, row * stride + x, zero)
    if at > 0:
        gap = load(flat, row * stride + x + half, zero) - value
        for _ in range(at):
            value = reduce(value + gap)
    return value


@device
def ext_line_at(flat: Any, row: Any, stride: Any, x: Any, half: Any, at: Any) -> Any:
    return (
        line_at(flat, row, stride, x, half, at),
        line_at(flat, row + 1, stride, x, half, at),
        line_at(flat, row + 2, stride, x, half, at),
    )


@device
def base_product(flat: Any, stride: Any, base_rows: Any, scales: Any, t: Any, x: Any, half: Any, at: Any) -> Any:
    """The product of a term's scale and base factors."""
    product = splat(scales[t])
    for j in range(base_rows.shape[1]):
        if base_rows[t, j] >= 0:
            product = mul(product, line_at(flat, base_rows[t, j], stride, x, half, at))
    return product


@device
def ext_product(
    flat: Any, stride: Any, ext_rows: Any, coefficients: Any, t: Any, x: Any, half: Any, at: Any, scale: Any
) -> Any:
    """The product of a term's extension factors, of its coefficient if that is not a base element, and of `scale`."""
    e0, e1, e2 = splat(coefficients[0, t]), splat(coefficients[1, t]), splat(coefficients[2, t])
    first = 0
    if coefficients[1, t] == 0.0 and coefficients[2, t] == 0.0:
        e0, e1, e2 = ext_line_at(flat, ext_rows[t, 0], stride, x, half, at)
        first = 1
    e0, e1, e2 = ext_scale(e0, e1, e2, scale)
    for j in range(first, ext_rows.shape[1]):
        if ext_rows[t, j] >= 0:
            f0, f1, f2 = ext_line_at(flat, ext_rows[t, j], stride, x, half, at)
            e0, e1, e2 = ext_mul(e0, e1, e2, f0, f1, f2)
    return e0, e1, e2


@kernel
def first_product_sums(
    flat: Floats, stride: int, rows: Places, kinds: Places,
    half: int, weighted: bool, low: Floats, low_at: int, high: Floats, high_at: int, block: int,
    start: int, stop: int,
) -> Floats:  # fmt: skip
    """The first round of a sum of products of two: as `kernels.product_sums`, of which this returns the three sums.

    Args:
        rows: shape (terms, 2), int64: the first rows of both factors, a base factor before one of the extension.
        kinds: shape (terms,), int64: how many factors of each term are in the extension.
        Others: as there.
    """
    out = zeros(9 * LANES)
    w0, w1, w2 = low[0], low[1], low[2]
    zero = splat(0.0)
    extended = False
    for kind in kinds:  # what numpy's max takes to compile is a tenth of this kernel
        extended = extended or kind > 0
    for b in range(start, stop):
        a0, a1, a2 = zero, zero, zero
        c0, c1, c2 = zero, zero, zero
        e0, e1, e2 = zero, zero, zero
        for y in range(0, block, LANES):
            x = b * block + y
            f, g, h = zero, zero, zero
            f0, f1, f2 = zero, zero, zero
            g0, g1, g2 = zero, zero, zero
            h0, h1, h2 = zero, zero, zero
            for t in range(len(kinds)):
                i, j = rows[t, 0], rows[t, 1]
                if kinds[t] == 2:
                    p0, p1, p2 = load_ext(flat, i, stride, x)
                    q0, q1, q2 = load_ext(flat, j, stride, x)
                    s0, s1, s2 = load_ext(flat, i, stride, x + half)
                    t0, t1, t2 = load_ext(flat, j, stride, x + half)
                    f0, f1, f2 = ext_mul_add(f0, f1, f2, p0, p1, p2, q0, q1, q2)
                    h0, h1, h2 = ext_mul_add(h0, h1, h2, s0, s1, s2, t0, t1, t2)
                    s0, s1, s2 = reduce(s0 - p0), reduce(s1 - p1), reduce(s2 - p2)
                    g0, g1, g2 = ext_mul_add(g0, g1, g2, s0, s1, s2, t0 - q0, t1 - q1, t2 - q2)
                else:
                    p = load(flat, i * stride + x, zero)
                    s = load(flat, i * stride + x + half, zero)
                    if kinds[t] == 1:
                        q0, q1, q2 = load_ext(flat, j, stride, x)
                        t0, t1, t2 = load_ext(flat, j, stride, x + half)
                        f0, f1, f2 = add_scaled(f0, f1, f2, q0, q1, q2, p)
                        h0, h1, h2 = add_scaled(h0, h1, h2, t0, t1, t2, s)
                        g0, g1, g2 = add_scaled(g0, g1, g2, t0 - q0, t1 - q1, t2 - q2, s - p)
                    else:
                        q = load(flat, j * stride + x, zero)
                        d = load(flat, j * stride + x + half, zero)
                        f = reduce(f + mul_lazy(p, q))
                        h = reduce(h + mul_lazy(s, d))
                        g = reduce(g + mul_lazy(s - p, d - q))
            if weighted:
                u0, u1, u2 = load(w0, low_at + y, zero), load(w1, low_at + y, zero), load(w2, low_at + y, zero)
                a0, a1, a2 = add_scaled(a0, a1, a2, u0, u1, u2, f)
                c0, c1, c2 = add_scaled(c0, c1, c2, u0, u1, u2, g)
                e0, e1, e2 = add_scaled(e0, e1, e2, u0, u1, u2, h)
                if extended:
                    a0, a1, a2 = ext_mul_add(a0, a1, a2, f0, f1, f2, u0, u1, u2)
                    c0, c1, c2 = ext_mul_add(c0, c1, c2, g0, g1, g2, u0, u1, u2)
                    e0, e1, e2 = ext_mul_add(e0, e1, e2, h0, h1, h2, u0, u1, u2)
            else:
                a0, a1, a2 = reduce(a0 + f0 + f), reduce(a1 + f1), reduce(a2 + f2)
                c0, c1, c2 = reduce(c0 + g0 + g), reduce(c1 + g1), reduce(c2 + g2)
                e0, e1, e2 = reduce(e0 + h0 + h), reduce(e1 + h1), reduce(e2 + h2)
        if weighted:
            u0, u1, u2 = high[0, high_at + b], high[1, high_at + b], high[2, high_at + b]
            a0, a1, a2 = ext_mul(a0, a1, a2, u0, u1, u2)
            c0, c1, c2 = ext_mul(c0, c1, c2, u0, u1, u2)
            e0, e1, e2 = ext_mul(e0, e1, e2, u0, u1, u2)
        accumulate(out, 0, a0, a1, a2)
        accumulate(out, 1, c0, c1, c2)
        accumulate(out, 2, e0, e1, e2)
    sums: Floats = add_lanes(out, min(half, LANES))
    return sums


@kernel
def first_sums(
    flat: Floats, stride: int, base_rows: Places, ext_rows: Places, scales: Floats, coefficients: Floats,
    scalars: int, degree: int,
    half: int, weighted: bool, low: Floats, low_at: int, high: Floats, high_at: int, block: int,
    start: int, stop: int,
) -> Floats:  # fmt: skip
    """The first round: sums of eq(x) F(X) at X = 0, 1, ..., degree, F being the sum of the terms at a place x < half.

    Args:
        flat, stride: the tables; lo values are at x, hi values at x + half.
        base_rows, ext_rows: shape (terms, degree), int64: the (first) rows of each term's factors, then -1.
        scales: shape (terms,): a term's coefficient if it is in the base field, otherwise 1.
        coefficients: shape (3, terms): the terms' coefficients.
        scalars: the first so many terms have factors and coefficients in the base field alone, the others do not.
        Others: as for `kernels.product_sums`.

    Returns:
        Shape ((degree + 1) * 3,): the sums, balanced.
    """
    out = zeros((degree + 1) * 3 * LANES)
    w0, w1, w2 = low[0], low[1], low[2]
    zero = splat(0.0)
    for b in range(start, stop):
        for at in range(degree + 1):
            a0, a1, a2 = zero, zero, zero
            for y in range(0, block, LANES):
                x = b * block + y
                s = zero
                for t in range(scalars):
                    s = reduce(s + base_product(flat, stride, base_rows, scales, t, x, half, at))
                f0, f1, f2 = zero, zero, zero
                for t in range(scalars, base_rows.shape[0]):
                    v = base_product(flat, stride, base_rows, scales, t, x, half, at)
                    e0, e1, e2 = ext_product(flat, stride, ext_rows, coefficients, t, x, half, at, v)
                    f0, f1, f2 = reduce(f0 + e0), reduce(f1 + e1), reduce(f2 + e2)
                if weighted:
                    u0, u1, u2 = load(w0, low_at + y, zero), load(w1, low_at + y, zero), load(w2, low_at + y, zero)
                    a0, a1, a2 = add_scaled(a0, a1, a2, u0, u1, u2, s)
                    if scalars < base_rows.shape[0]:
                        a0, a1, a2 = ext_mul_add(a0, a1, a2, f0, f1, f2, u0, u1, u2)
                else:
                    a0, a1, a2 = reduce(a0 + f0 + s), reduce(a1 + f1), reduce(a2 + f2)
            if weighted:
                a0, a1, a2 = ext_mul(a0, a1, a2, high[0, high_at + b], high[1, high_at + b], high[2, high_at + b])
            accumulate(out, at, a0, a1, a2)
    sums: Floats = add_lanes(out, min(half, LANES))
    return sums


@kernel
def first_fold(
    flat: Floats, stride: int, rows: Places,
    half: int, r0: float, r1: float, r2: float, out: Floats, out_stride: int,
    start: int, stop: int,
) -> None:  # fmt: skip
    """Binds the first variable to r: lo + r (hi - lo) for every factor, for groups start .. stop - 1 of LANES places.

    Args:
        flat, stride: the tables.
        rows: the first row of each factor, then the number of rows.
        half: places that are left.
        r0, r1, r2: the challenge.
        out, out_stride: the tables that are left, three rows a factor.
    """
    zero = splat(0.0)
    for k in range(len(rows) - 1):
        row = rows[k]
        if rows[k + 1] - row == 1:
            for x in range(LANES * start, LANES * stop, LANES):
                lo = load(flat, row * stride + x, zero)
                gap = load(flat, row * stride + x + half, zero) - lo
                store_ext(out, 3 * k, out_stride, x, reduce(lo + mul_lazy(gap, r0)), mul(gap, r1), mul(gap, r2))
        else:
            for x in range(LANES * start, LANES * stop, LANES):
                a0, a1, a2 = load_ext(flat, row, stride, x)
                b0, b1, b2 = load_ext(flat, row, stride, x + half)
                v0, v1, v2 = ext_mul_add(a0, a1, a2, b0 - a0, b1 - a1, b2 - a2, r0, r1, r2)
                store_ext(out, 3 * k, out_stride, x, v0, v1, v2)
