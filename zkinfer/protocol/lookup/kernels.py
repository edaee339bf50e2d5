"""Numba kernels of the lookup prover: leaves and layers of the trees of fractions.

A layer of 2^(k + 1) nodes is kept as the four tables of its sumcheck, 2^k values each, in the order p0, q1, p1, q0:
numerators and denominators of the children (x, 0) and (x, 1). So the sumcheck's products are p0 q1 and p1 q0.
"""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from zkinfer.jit.compiling import device, intrinsic, kernel
from zkinfer.protocol.field.kernels.arithmetic import ext_mul, ext_mul_add, mul_lazy, reduce
from zkinfer.protocol.field.kernels.vector import LANES, Vector, load, splat, store
from zkinfer.protocol.sumcheck.kernels import accumulate, add_lanes, add_scaled, load_ext, store_ext
from zkinfer.typing import Floats

P0, Q1, P1, Q0 = 0, 3, 6, 9
"""The first of the three rows of each table of a layer."""


@intrinsic
def separate(typingctx: Any, a: Any, b: Any) -> Any:
    """Of 2 LANES consecutive numbers, two Vectors, those at even places and those at odd places."""
    if not (isinstance(a, Vector) and isinstance(b, Vector)):
        return None

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
        halves = [
            builder.shuffle_vector(
                *values, ir.Constant(ir.VectorType(ir.IntType(32), LANES), list(range(parity, 2 * LANES, 2)))
            )
            for parity in (0, 1)
        ]
        return context.make_tuple(builder, signature.return_type, halves)

    return types.UniTuple(a, 2)(a, b), generate


@device
def add_fractions(child: Any, stride: Any, x: Any) -> Any:
    """LANES nodes from their children: numerators p0 q1 + p1 q0, denominators q0 q1."""
    a0, a1, a2 = load_ext(child, P0, stride, x)
    d0, d1, d2 = load_ext(child, Q1, stride, x)
    n0, n1, n2 = ext_mul(a0, a1, a2, d0, d1, d2)
    b0, b1, b2 = load_ext(child, P1, stride, x)
    c0, c1, c2 = load_ext(child, Q0, stride, x)
    n0, n1, n2 = ext_mul_add(n0, n1, n2, b0, b1, b2, c0, c1, c2)
    m0, m1, m2 = ext_mul(c0, c1, c2, d0, d1, d2)
    return n0, n1, n2, m0, m1, m2


@device
def add_unit_fractions(child: Any, stride: Any, x: Any) -> Any:
    """The same from two tables q0, q1, all numerators being 1."""
    c0, c1, c2 = load_ext(child, 0, stride, x)
    d0, d1, d2 = load_ext(child, 3, stride, x)
    m0, m1, m2 = ext_mul(c0, c1, c2, d0, d1, d2)
    return reduce(c0 + d0), reduce(c1 + d1), reduce(c2 + d2), m0, m1, m2


@device
def add_at(child: Any, stride: Any, x: Any, unit: Any) -> Any:
    if unit:
        return add_unit_fractions(child, stride, x)
    return add_fractions(child, stride, x)


@device
def store_separated(flat: Any, even: Any, odd: Any, stride: Any, x: Any, a: Any, b: Any) -> None:
    """Of three pairs of Vectors, the even places to row `even` and the odd places to row `odd`."""
    for c in range(3):
        lo, hi = separate(a[c], b[c])
        store(flat, (even + c) * stride + x, lo)
        store(flat, (odd + c) * stride + x, hi)


@kernel
def next_layer(child: Floats, child_stride: int, unit: bool, out: Floats, stride: int, start: int, stop: int) -> None:
    """The layer above a layer: groups start .. stop - 1 of 2 LANES nodes each.

    Args:
        child, child_stride: the tables below: four, or the two denominators if all numerators are 1 (`unit`).
        out, stride: four tables of half as many values.
    """
    for group in range(start, stop):
        x = 2 * LANES * group
        a = add_at(child, child_stride, x, unit)
        b = add_at(child, child_stride, x + LANES, unit)
        store_separated(out, P0, P1, stride, x // 2, (a[0], a[1], a[2]), (b[0], b[1], b[2]))
        store_separated(out, Q0, Q1, stride, x // 2, (a[3], a[4], a[5]), (b[3], b[4], b[5]))


@kernel
def combine_unit(flat: Floats, stride: int, l0: float, l1: float, l2: float, start: int, stop: int) -> None:
    """q = 1 + lambda q for both denominators, for groups of LANES places."""
    one, zero = splat(1.0), splat(0.0)
    for row in (0, 3):
        for x in range(LANES * start, LANES * stop, LANES):
            q0, q1, q2 = load_ext(flat, row, stride, x)
            v0, v1, v2 = ext_mul_add(one, zero, zero, q0, q1, q2, l0, l1, l2)
            store_ext(flat, row, stride, x, v0, v1, v2)


@kernel
def add_column(
    column: Floats, w0: float, w1: float, w2: float,
    flat: Floats, at_even: int, at_odd: int, stride: int,
    start: int, stop: int,
) -> None:  # fmt: skip
    """q -= w * column, for groups of 2 LANES entries, those at even places to one table and those at odd to another.

    Args:
        column: contiguous base elements, at least 2 LANES.
        w0, w1, w2: the column's weight in the fingerprint.
        flat, stride: the tables; the first coordinates of the block's first even and odd entries are at `at_even` and
            `at_odd`.
    """
    w = (w0, w1, w2)
    zero = splat(0.0)
    for group in range(start, stop):
        even, odd = separate(load(column, 2 * LANES * group, zero), load(column, 2 * LANES * group + LANES, zero))
        for c in range(3):
            i, j = at_even + c * stride + LANES * group, at_odd + c * stride + LANES * group
            store(flat, i, reduce(load(flat, i, zero) - mul_lazy(even, w[c])))
            store(flat, j, reduce(load(flat, j, zero) - mul_lazy(odd, w[c])))


@device
def entries_at(column: Any, x: Any) -> Any:
    """Entries 2 x, 2 x + 2, ... and 2 x + 1, 2 x + 3, ..., LANES of each."""
    zero = splat(0.0)
    return separate(load(column, 2 * x, zero), load(column, 2 * x + LANES, zero))


@device
def add_unit_entries(column: Any, x: Any, a0: Any, a1: Any, a2: Any, s0: Any, s1: Any, s2: Any) -> Any:
    """1 / (alpha - a) + 1 / (alpha - b) for LANES pairs: 2 alpha - (a + b) over alpha^2 - alpha (a + b) + a b.

    s is alpha^2. The sum a + b is at most P, every sum that is reduced below 3 P.
    """
    a, b = entries_at(column, x)
    both = a + b
    n0, n1, n2 = reduce(a0 + a0 - both), splat(reduce(a1 + a1)), splat(reduce(a2 + a2))
    m0 = reduce(s0 + mul_lazy(a, b) - mul_lazy(both, a0))
    return n0, n1, n2, m0, reduce(s1 - mul_lazy(both, a1)), reduce(s2 - mul_lazy(both, a2))


@kernel
def unit_column_layer(
    column: Floats, a0: float, a1: float, a2: float, s0: float, s1: float, s2: float, out: Floats, stride: int,
    start: int, stop: int,
) -> None:  # fmt: skip
    """The layer above the leaves 1 / (alpha - entry), for groups of 2 LANES nodes; s is alpha^2."""
    for group in range(start, stop):
        x = 2 * LANES * group
        a = add_unit_entries(column, x, a0, a1, a2, s0, s1, s2)
        b = add_unit_entries(column, x + LANES, a0, a1, a2, s0, s1, s2)
        store_separated(out, P0, P1, stride, x // 2, (a[0], a[1], a[2]), (b[0], b[1], b[2]))
        store_separated(out, Q0, Q1, stride, x // 2, (a[3], a[4], a[5]), (b[3], b[4], b[5]))


@kernel
def unit_column_sums(
    column: Floats, half: int, low: Floats, low_at: int, high: Floats, high_at: int, block: int, start: int, stop: int
) -> Floats:
    """Over the pairs (a, b) of entries at the places x < half, and (a', b') at x + half: sums of eq(x) times a + b, a b
    and (a' - a) (b' - b).

    Weights and blocks are those of `sumcheck.kernels.product_sums`; half and block are multiples of LANES.

    Returns:
        Shape (9,): the sums, balanced.
    """
    out = np.zeros(9 * LANES)
    w0, w1, w2 = low[0], low[1], low[2]
    zero = splat(0.0)
    for index in range(start, stop):
        c0, c1, c2 = zero, zero, zero
        d0, d1, d2 = zero, zero, zero
        e0, e1, e2 = zero, zero, zero
        for y in range(0, block, LANES):
            x = index * block + y
            a, b = entries_at(column, x)
            far_a, far_b = entries_at(column, x + half)
            u0, u1, u2 = load(w0, low_at + y, zero), load(w1, low_at + y, zero), load(w2, low_at + y, zero)
            c0, c1, c2 = add_scaled(c0, c1, c2, u0, u1, u2, a + b)
            d0, d1, d2 = add_scaled(d0, d1, d2, u0, u1, u2, mul_lazy(a, b))
            e0, e1, e2 = add_scaled(e0, e1, e2, u0, u1, u2, mul_lazy(far_a - a, far_b - b))
        u0, u1, u2 = high[0, high_at + index], high[1, high_at + index], high[2, high_at + index]
        c0, c1, c2 = ext_mul(c0, c1, c2, u0, u1, u2)
        d0, d1, d2 = ext_mul(d0, d1, d2, u0, u1, u2)
        e0, e1, e2 = ext_mul(e0, e1, e2, u0, u1, u2)
        accumulate(out, 0, c0, c1, c2)
        accumulate(out, 1, d0, d1, d2)
        accumulate(out, 2, e0, e1, e2)
    sums: Floats = add_lanes(out, LANES)
    return sums


@device
def store_bound(flat: Any, row: Any, stride: Any, x: Any, a: Any, far: Any, c: Any, m: Any, n: Any) -> None:
    """c - m a - n (far - a), where m = lambda and n = lambda r, to three rows."""
    gap = far - a
    for k in range(3):
        store(flat, (row + k) * stride + x, reduce(c[k] - mul_lazy(a, m[k]) - mul_lazy(gap, n[k])))


@kernel
def unit_column_fold(
    column: Floats, c0: float, c1: float, c2: float, m0: float, m1: float, m2: float,
    n0: float, n1: float, n2: float, flat: Floats, stride: int,
    start: int, stop: int,
) -> None:  # fmt: skip
    """The tables c - lambda * entry of even and odd entries, bound to r, for groups of LANES places."""
    half = len(column) // 4
    for x in range(LANES * start, LANES * stop, LANES):
        a, b = entries_at(column, x)
        far_a, far_b = entries_at(column, x + half)
        store_bound(flat, 0, stride, x, a, far_a, (c0, c1, c2), (m0, m1, m2), (n0, n1, n2))
        store_bound(flat, 3, stride, x, b, far_b, (c0, c1, c2), (m0, m1, m2), (n0, n1, n2))


@kernel
def count(places: Floats, rows: int, start: int, stop: int) -> Floats:
    """How often each row number occurs among places[start:stop]; at the end, how many of these are no row numbers."""
    counts = np.zeros(rows + 1)
    for i in range(start, stop):
        place = int(places[i]) if 0.0 <= places[i] < rows else rows
        counts[place] += 1.0
    return counts


@kernel
def agree(places: Floats, rows: Floats, column: Floats, start: int, stop: int) -> bool:
    """Whether rows[places[i]] = column[i] for all i in start .. stop - 1; the places are row numbers."""
    same = True
    for i in range(start, stop):
        same &= rows[int(places[i])] == column[i]
    return same
