"""Numba kernels of the sumcheck prover.

Tables of an instance live in one buffer of balanced float64 (see `field.kernels.arithmetic`): row 3 k + c has
coordinate c of factor k's values, and rows are `stride` numbers apart. Folding is in place: the values that are left
are always the first of each row. Where some factors are still base elements, `base_kernels` does the first round.

Vectors of LANES numbers are read and written also where fewer are left. What the other lanes then hold is finite and
balanced, goes nowhere, and is left out when lanes are added up; so every row has LANES or more numbers to spare.
"""

from typing import Any

from zkinfer.jit.compiling import device, kernel
from zkinfer.protocol.field.kernels.arithmetic import ext_mul, ext_mul_add, mul_lazy, reduce
from zkinfer.protocol.field.kernels.vector import LANES, load, prefetch, splat, store, zeros
from zkinfer.typing import Floats, IntArray

SPARE = 4 * LANES
"""Numbers beyond the values in every row."""

LARGE = 1 << 12
"""Places from which on a round's tables leave the cache, so that kernels say ahead what they are going to read."""

LOW_VARIABLES = 7
"""eq of the last LOW_VARIABLES coordinates is a table that stays in cache; the other coordinates weigh whole blocks."""


@device
def load_ext(flat: Any, row: Any, stride: Any, x: Any) -> Any:
    """The three coordinates of LANES extension elements."""
    at = row * stride + x
    return load(flat, at, splat(0.0)), load(flat, at + stride, splat(0.0)), load(flat, at + 2 * stride, splat(0.0))


@device
def store_ext(flat: Any, row: Any, stride: Any, x: Any, v0: Any, v1: Any, v2: Any) -> None:
    at = row * stride + x
    store(flat, at, v0)
    store(flat, at + stride, v1)
    store(flat, at + 2 * stride, v2)


@device
def expect_ext(flat: Any, row: Any, stride: Any, x: Any) -> None:
    """LANES extension elements are going to be read."""
    at = row * stride + x
    prefetch(flat, at)
    prefetch(flat, at + stride)
    prefetch(flat, at + 2 * stride)


@device
def fold_at(flat: Any, row: Any, stride: Any, x: Any, half: Any, r0: Any, r1: Any, r2: Any) -> Any:
    """lo + r (hi - lo) for LANES elements: the difference is below P, r and lo are balanced."""
    a0, a1, a2 = load_ext(flat, row, stride, x)
    b0, b1, b2 = load_ext(flat, row, stride, x + half)
    return ext_mul_add(a0, a1, a2, b0 - a0, b1 - a1, b2 - a2, r0, r1, r2)


@device
def fold_block(
    flat: Any, factors: Any, stride: Any, first: Any, block: Any, half: Any, r0: Any, r1: Any, r2: Any
) -> None:
    """Folds factors from 4 half to 2 half values, at a block of places and at the same places plus half.

    One factor after another: memory is read along a dozen lines at a time, as many as processors foresee, and the
    folded block is still in cache when it is read again.
    """
    far = half >= LARGE
    for k in range(factors):
        for x in range(first, first + block, LANES):
            if far:
                expect_ext(flat, 3 * k, stride, x + block)
                expect_ext(flat, 3 * k, stride, x + block + half)
                expect_ext(flat, 3 * k, stride, x + block + 2 * half)
                expect_ext(flat, 3 * k, stride, x + block + 3 * half)
            lo0, lo1, lo2 = fold_at(flat, 3 * k, stride, x, 2 * half, r0, r1, r2)
            hi0, hi1, hi2 = fold_at(flat, 3 * k, stride, x + half, 2 * half, r0, r1, r2)
            store_ext(flat, 3 * k, stride, x, lo0, lo1, lo2)
            store_ext(flat, 3 * k, stride, x + half, hi0, hi1, hi2)


@device
def mix_block(flat: Any, stride: Any, first: Any, block: Any, l0: Any, l1: Any, l2: Any) -> None:
    """Adds l times factor 3 to factor 0, at a block of values."""
    for x in range(first, first + block, LANES):
        a0, a1, a2 = load_ext(flat, 0, stride, x)
        b0, b1, b2 = load_ext(flat, 9, stride, x)
        v0, v1, v2 = ext_mul_add(a0, a1, a2, b0, b1, b2, l0, l1, l2)
        store_ext(flat, 0, stride, x, v0, v1, v2)


@kernel
def fold_last(flat: Floats, stride: int, factors: int, r0: float, r1: float, r2: float) -> None:
    """Folds two values of each factor to one."""
    for k in range(factors):
        row = 3 * k * stride
        a0, a1, a2 = flat[row], flat[row + stride], flat[row + 2 * stride]
        b0, b1, b2 = flat[row + 1], flat[row + stride + 1], flat[row + 2 * stride + 1]
        v0, v1, v2 = ext_mul_add(a0, a1, a2, b0 - a0, b1 - a1, b2 - a2, r0, r1, r2)
        flat[row], flat[row + stride], flat[row + 2 * stride] = v0, v1, v2


@kernel
def eq_suffixes(point: Floats, out: Floats) -> None:
    """eq tables of all suffixes of a point.

    Args:
        point: shape (3, n).
        out: shape (3, 2^(n + 1) + LANES); the table of the last m coordinates goes to columns 2^m .. 2^(m + 1) - 1.
    """
    out[0, 1], out[1, 1], out[2, 1] = 1.0, 0.0, 0.0
    e0, e1, e2 = out[0], out[1], out[2]
    for m in range(point.shape[1]):
        size = 1 << m
        x0, x1, x2 = point[0, -1 - m], point[1, -1 - m], point[2, -1 - m]
        if size >= LANES:
            for i in range(size, 2 * size, LANES):
                a0, a1, a2 = load(e0, i, splat(0.0)), load(e1, i, splat(0.0)), load(e2, i, splat(0.0))
                h0, h1, h2 = ext_mul(a0, a1, a2, x0, x1, x2)
                store(e0, i + size, reduce(a0 - h0))
                store(e1, i + size, reduce(a1 - h1))
                store(e2, i + size, reduce(a2 - h2))
                store(e0, i + 2 * size, h0)
                store(e1, i + 2 * size, h1)
                store(e2, i + 2 * size, h2)
        else:
            for i in range(size, 2 * size):
                h0, h1, h2 = ext_mul(e0[i], e1[i], e2[i], x0, x1, x2)
                e0[i + size], e1[i + size], e2[i + size] = reduce(e0[i] - h0), reduce(e1[i] - h1), reduce(e2[i] - h2)
                e0[i + 2 * size], e1[i + 2 * size], e2[i + 2 * size] = h0, h1, h2


@device
def accumulate(out: Any, row: Any, v0: Any, v1: Any, v2: Any) -> None:
    """Adds LANES elements to the lanes of three rows of a contiguous buffer; everything stays balanced."""
    at = 3 * row * LANES
    store(out, at, reduce(load(out, at, splat(0.0)) + v0))
    store(out, at + LANES, reduce(load(out, at + LANES, splat(0.0)) + v1))
    store(out, at + 2 * LANES, reduce(load(out, at + 2 * LANES, splat(0.0)) + v2))


@device
def add_scaled(s0: Any, s1: Any, s2: Any, u0: Any, u1: Any, u2: Any, v: Any) -> Any:
    """s + u v for a base element v, balanced, for |u_i v| <= P^2."""
    return reduce(s0 + mul_lazy(u0, v)), reduce(s1 + mul_lazy(u1, v)), reduce(s2 + mul_lazy(u2, v))


@device
def add_lanes(out: Any, lanes: Any) -> Any:
    """For each row its first `lanes` lanes added up, balanced."""
    sums = zeros(out.shape[0] // LANES)
    for row in range(sums.shape[0]):
        for lane in range(lanes):
            sums[row] = reduce(sums[row] + out[row * LANES + lane])
    return sums


@kernel
def product_sums(
    flat: Floats, stride: int, terms: int, ends: bool,
    mixing: bool, l0: float, l1: float, l2: float,
    half: int, folding: bool, r0: float, r1: float, r2: float,
    weighted: bool, low: Floats, low_at: int, high: Floats, high_at: int, block: int,
    start: int, stop: int,
) -> Floats:  # fmt: skip
    """One round of a sum of products of two: factors 0 and 1, 2 and 3, ...

    With F(X) the sum over the terms of the product of their two factors, at a place x < half of the remaining cube:
    sums of eq(x) F(0), of eq(x) times the coefficient of X^2, and, if asked, of eq(x) F(1).

    Args:
        flat, stride: the tables; every factor has 2 half values, or 4 half if `folding`.
        terms: the number of products.
        ends: whether F(1) is wanted too.
        mixing: first add l times factor 3 to factor 0; not when folding.
        l0, l1, l2: the extension element l.
        half: places to sum over; lo values are at x, hi values at x + half.
        folding: bind the round before to r first: memory is read once for both.
        weighted: eq weights, or 1.
        low, low_at, high, high_at: weight of place b * block + y is high[:, high_at + b] * low[:, low_at + y].
        block: elements in a block; a power of two.
        start, stop: blocks to process.

    Returns:
        Shape (9,): three coordinates for each of the three sums, balanced.
    """
    out = zeros(9 * LANES)
    w0, w1, w2 = low[0], low[1], low[2]
    zero = splat(0.0)
    far = half >= LARGE and not folding
    for b in range(start, stop):
        if folding:
            fold_block(flat, 2 * terms, stride, b * block, block, half, r0, r1, r2)
        if mixing:
            mix_block(flat, stride, b * block, block, l0, l1, l2)
            if half >= LANES:  # otherwise all values were in the first block's one step
                mix_block(flat, stride, b * block + half, block, l0, l1, l2)
        a0, a1, a2 = zero, zero, zero
        c0, c1, c2 = zero, zero, zero
        e0, e1, e2 = zero, zero, zero
        for y in range(0, block, LANES):
            x = b * block + y
            f0, f1, f2 = zero, zero, zero
            g0, g1, g2 = zero, zero, zero
            h0, h1, h2 = zero, zero, zero
            for t in range(terms):
                if far:
                    expect_ext(flat, 6 * t, stride, x + block)
                    expect_ext(flat, 6 * t + 3, stride, x + block)
                    expect_ext(flat, 6 * t, stride, x + block + half)
                    expect_ext(flat, 6 * t + 3, stride, x + block + half)
                p0, p1, p2 = load_ext(flat, 6 * t, stride, x)
                q0, q1, q2 = load_ext(flat, 6 * t + 3, stride, x)
                f0, f1, f2 = ext_mul_add(f0, f1, f2, p0, p1, p2, q0, q1, q2)
                s0, s1, s2 = load_ext(flat, 6 * t, stride, x + half)
                t0, t1, t2 = load_ext(flat, 6 * t + 3, stride, x + half)
                if ends:
                    h0, h1, h2 = ext_mul_add(h0, h1, h2, s0, s1, s2, t0, t1, t2)
                s0, s1, s2 = reduce(s0 - p0), reduce(s1 - p1), reduce(s2 - p2)
                g0, g1, g2 = ext_mul_add(g0, g1, g2, s0, s1, s2, t0 - q0, t1 - q1, t2 - q2)
            if weighted:
                u0, u1, u2 = (
                    load(w0, low_at + y, splat(0.0)),
                    load(w1, low_at + y, splat(0.0)),
                    load(w2, low_at + y, splat(0.0)),
                )
                a0, a1, a2 = ext_mul_add(a0, a1, a2, f0, f1, f2, u0, u1, u2)
                c0, c1, c2 = ext_mul_add(c0, c1, c2, g0, g1, g2, u0, u1, u2)
                if ends:
                    e0, e1, e2 = ext_mul_add(e0, e1, e2, h0, h1, h2, u0, u1, u2)
            else:
                a0, a1, a2 = reduce(a0 + f0), reduce(a1 + f1), reduce(a2 + f2)
                c0, c1, c2 = reduce(c0 + g0), reduce(c1 + g1), reduce(c2 + g2)
                if ends:
                    e0, e1, e2 = reduce(e0 + h0), reduce(e1 + h1), reduce(e2 + h2)
        if weighted:
            u0, u1, u2 = high[0, high_at + b], high[1, high_at + b], high[2, high_at + b]
            a0, a1, a2 = ext_mul(a0, a1, a2, u0, u1, u2)
            c0, c1, c2 = ext_mul(c0, c1, c2, u0, u1, u2)
            if ends:
                e0, e1, e2 = ext_mul(e0, e1, e2, u0, u1, u2)
        accumulate(out, 0, a0, a1, a2)
        accumulate(out, 1, c0, c1, c2)
        accumulate(out, 2, e0, e1, e2)
    sums: Floats = add_lanes(out, min(half, LANES))
    return sums


@kernel
def term_sums(
    flat: Floats, stride: int, factors: int, places: IntArray, coefficients: Floats,
    half: int, folding: bool, r0: float, r1: float, r2: float,
    weighted: bool, low: Floats, low_at: int, high: Floats, high_at: int, block: int,
    start: int, stop: int,
) -> Floats:  # fmt: skip
    """One round of any instance: sums of eq(x) F(X) at X = 0, 1, ..., degree.

    Args:
        places: shape (terms, degree), int64: the factors of each term, then -1.
        coefficients: shape (3, terms): of the terms.
        Others: as for `product_sums`; `factors` is the number of tables.

    Returns:
        Shape ((degree + 1) * 3,): the sums, balanced.
    """
    out = zeros((places.shape[1] + 1) * 3 * LANES)
    w0, w1, w2 = low[0], low[1], low[2]
    zero = splat(0.0)
    for b in range(start, stop):
        if folding:
            fold_block(flat, factors, stride, b * block, block, half, r0, r1, r2)
        for y in range(0, block, LANES):
            x = b * block + y
            for at in range(places.shape[1] + 1):
                f0, f1, f2 = zero, zero, zero
                for t in range(places.shape[0]):
                    v0, v1, v2 = splat(coefficients[0, t]), splat(coefficients[1, t]), splat(coefficients[2, t])
                    for j in range(places.shape[1]):
                        k = places[t, j]
                        if k >= 0:
                            p0, p1, p2 = load_ext(flat, 3 * k, stride, x)
                            q0, q1, q2 = load_ext(flat, 3 * k, stride, x + half)
                            q0, q1, q2 = reduce(q0 - p0), reduce(q1 - p1), reduce(q2 - p2)
                            for _ in range(at):
                                p0, p1, p2 = reduce(p0 + q0), reduce(p1 + q1), reduce(p2 + q2)
                            v0, v1, v2 = ext_mul(v0, v1, v2, p0, p1, p2)
                    f0, f1, f2 = reduce(f0 + v0), reduce(f1 + v1), reduce(f2 + v2)
                if weighted:
                    u0, u1, u2 = load(w0, low_at + y, zero), load(w1, low_at + y, zero), load(w2, low_at + y, zero)
                    f0, f1, f2 = ext_mul(f0, f1, f2, u0, u1, u2)
                    f0, f1, f2 = ext_mul(f0, f1, f2, high[0, high_at + b], high[1, high_at + b], high[2, high_at + b])
                accumulate(out, at, f0, f1, f2)
    sums: Floats = add_lanes(out, min(half, LANES))
    return sums
