"""Numba kernels of the two lowest layers of a tree of entries, of which nothing but the columns is stored.

A leaf is 1 / (c - a - g b): a is the entry's first column, b its second if it has one, c and g are extension elements
that all entries of a run share. `constants` holds them and c^2, nine numbers: c, g, c^2. In place of a second column
that is not there, kernels get the first and do not read it.

Layer 0 are the leaves, layer 1 the sums of two. A place of layer 0 is a pair of entries, a place of layer 1 four; both
kernels of a round get the columns of two runs, of which the places x and x + half are places of the same numbers.
"""

from typing import Any

from zkinfer.jit.compiling import device, kernel
from zkinfer.protocol.field.kernels.arithmetic import ext_mul, ext_mul_add, mul, mul_lazy, reduce
from zkinfer.protocol.field.kernels.combine import sum_of_eight
from zkinfer.protocol.field.kernels.vector import LANES, copy, floats, load, splat, store, zeros
from zkinfer.protocol.lookup.kernels import (
    AHEAD,
    P0,
    P1,
    Q0,
    Q1,
    add_fractions,
    expect_layer,
    separate,
    store_separated,
)
from zkinfer.protocol.sumcheck.kernels import LOW_VARIABLES, accumulate, add_lanes, expect_ext, store_ext
from zkinfer.typing import Floats

BLOCK = 1 << LOW_VARIABLES
"""Places that are weighed together: runs have whole blocks of them."""

SUMS = 11
"""That `leaf_sums` returns: of one column four, of the other two and both six, and that of the weights."""


@device
def entries_at(column: Any, x: Any) -> Any:
    """Entries 2 x, 2 x + 2, ... and 2 x + 1, 2 x + 3, ..., LANES of each."""
    zero = splat(0.0)
    return separate(load(column, 2 * x, zero), load(column, 2 * x + LANES, zero))


@device
def second_at(column: Any, there: Any, x: Any) -> Any:
    """The same of a second column, which is zero where it is not there."""
    if there:
        return entries_at(column, x)
    return splat(0.0), splat(0.0)


@device
def leaf(a: Any, b: Any, k: Any) -> Any:
    """c - a - g b for LANES entries, balanced: every sum is below 1.7 P."""
    return reduce(k[0] - a - mul_lazy(b, k[3])), reduce(k[1] - mul_lazy(b, k[4])), reduce(k[2] - mul_lazy(b, k[5]))


@device
def node_at(first: Any, second: Any, wide: Any, x: Any, k: Any) -> Any:
    """The sums of LANES pairs of leaves: numerators, denominators.

    Of one column: 2 c - (a + b) over c^2 - c (a + b) + a b. The sum a + b is below P, every sum that is reduced below
    3 P.
    """
    a, b = entries_at(first, x)
    if wide:
        d, e = entries_at(second, x)
        q0, q1, q2 = leaf(a, d, k)
        r0, r1, r2 = leaf(b, e, k)
        m0, m1, m2 = ext_mul(q0, q1, q2, r0, r1, r2)
        return reduce(q0 + r0), reduce(q1 + r1), reduce(q2 + r2), m0, m1, m2
    both = a + b
    n0, n1, n2 = reduce(k[0] + k[0] - both), splat(reduce(k[1] + k[1])), splat(reduce(k[2] + k[2]))
    m0 = reduce(k[6] + mul_lazy(a, b) - mul_lazy(both, k[0]))
    return n0, n1, n2, m0, reduce(k[7] - mul_lazy(both, k[1])), reduce(k[8] - mul_lazy(both, k[2]))


@device
def place_at(first: Any, second: Any, wide: Any, x: Any, k: Any) -> Any:
    """p0, p1, q0, q1 of LANES places of layer 1: of each the three coordinates."""
    a = node_at(first, second, wide, 2 * x, k)
    b = node_at(first, second, wide, 2 * x + LANES, k)
    p0, s0 = separate(a[0], b[0])
    p1, s1 = separate(a[1], b[1])
    p2, s2 = separate(a[2], b[2])
    q0, t0 = separate(a[3], b[3])
    q1, t1 = separate(a[4], b[4])
    q2, t2 = separate(a[5], b[5])
    return (p0, p1, p2), (s0, s1, s2), (q0, q1, q2), (t0, t1, t2)


@kernel
def column_layer(
    first: Floats, second: Floats, wide: bool, constants: Floats, out: Floats, stride: int, at: int,
    start: int, stop: int,
) -> None:  # fmt: skip
    """Layer 2, from a run of entries: groups of 2 LANES nodes.

    Args:
        first, second, wide: the run's columns, and whether there is a second.
        constants: c, g and c^2.
        out, stride, at: the four tables of layer 2, and where in them the run begins.
    """
    k = constants
    for group in range(start, stop):
        x = 2 * LANES * group
        expect_layer(out, stride, at + x // 2 + AHEAD)
        p, s, q, t = place_at(first, second, wide, x, k)
        a = add_fractions(p, s, q, t)
        p, s, q, t = place_at(first, second, wide, x + LANES, k)
        b = add_fractions(p, s, q, t)
        store_separated(out, P0, P1, stride, at + x // 2, (a[0], a[1], a[2]), (b[0], b[1], b[2]))
        store_separated(out, Q0, Q1, stride, at + x // 2, (a[3], a[4], a[5]), (b[3], b[4], b[5]))


@device
def hold_sums(held: Any, row: Any, y: Any, a: Any, b: Any) -> None:
    """a + b and a b, balanced, to two rows: |a| and |b| are at most P."""
    store(held, row * BLOCK + y, reduce(a + b))
    store(held, (row + 1) * BLOCK + y, mul(a, b))


@device
def hold_second_sums(held: Any, row: Any, y: Any, a: Any, b: Any, d: Any, e: Any) -> None:
    """d + e, a e + b d and d e, balanced, to three rows: all are at most P."""
    store(held, row * BLOCK + y, reduce(d + e))
    store(held, (row + 1) * BLOCK + y, reduce(mul_lazy(a, e) + mul_lazy(b, d)))
    store(held, (row + 2) * BLOCK + y, mul(d, e))


@device
def eight(line: Any, at: Any) -> Any:
    """Eight Vectors, one after another, as two tuples of four."""
    z = splat(0.0)
    return (
        (load(line, at, z), load(line, at + LANES, z), load(line, at + 2 * LANES, z), load(line, at + 3 * LANES, z)),
        (
            load(line, at + 4 * LANES, z), load(line, at + 5 * LANES, z), load(line, at + 6 * LANES, z),
            load(line, at + 7 * LANES, z),
        ),
    )  # fmt: skip


@device
def weigh(held: Any, row: Any, w0: Any, w1: Any, w2: Any, low_at: Any) -> Any:
    """The sums, lane by lane, of a block of base elements times their weights; both balanced."""
    s0, s1, s2 = splat(0.0), splat(0.0), splat(0.0)
    for y in range(0, BLOCK, 8 * LANES):
        v, w = eight(held, row * BLOCK + y)
        c, d = eight(w0, low_at + y)
        s0 = sum_of_eight(s0, v, w, c, d)
        c, d = eight(w1, low_at + y)
        s1 = sum_of_eight(s1, v, w, c, d)
        c, d = eight(w2, low_at + y)
        s2 = sum_of_eight(s2, v, w, c, d)
    return s0, s1, s2


@kernel
def leaf_sums(
    first: Floats, second: Floats, wide: bool, far_first: Floats, far_second: Floats, far_wide: bool,
    low: Floats, low_at: int, high: Floats, high_at: int,
    start: int, stop: int,
) -> Floats:  # fmt: skip
    """Sums over the places x of eq(x) times products of base elements, of which the first round of layer 0 is made.

    The pair at x is (a, d), (b, e) in two columns; with far entries' values minus those as (A, D) and (B, E), the rows
    are 0: a + b, 1: a b, 2: A + B, 3: A B, 4: d + e, 5: a e + b d, 6: d e, 7: D + E, 8: A E + B D, 9: D E, 10: 1.
    Where neither run has a second column, 4 to 9 stay zero.

    Args:
        first, second, wide: the columns of a run, and whether there is a second.
        far_first, far_second, far_wide: of the run half of the places further on.
        low, low_at, high, high_at: as for `sumcheck.kernels.product_sums`, whose blocks are BLOCK places.
        start, stop: blocks to process.

    Returns:
        Shape (3 SUMS,): three coordinates of each sum, balanced.
    """
    w0, w1, w2 = low[0], low[1], low[2]
    held = floats((SUMS - 1) * BLOCK)
    out = zeros(3 * (SUMS - 1) * LANES)
    any_wide = wide or far_wide
    rows = SUMS - 1 if any_wide else 4
    total: Floats = zeros(3 * SUMS)
    for block in range(start, stop):
        for y in range(0, BLOCK, LANES):
            x = block * BLOCK + y
            a, b = entries_at(first, x)
            far_a, far_b = entries_at(far_first, x)
            hold_sums(held, 0, y, a, b)
            hold_sums(held, 2, y, far_a - a, far_b - b)
            if any_wide:
                d, e = second_at(second, wide, x)
                far_d, far_e = second_at(far_second, far_wide, x)
                hold_second_sums(held, 4, y, a, b, d, e)
                hold_second_sums(held, 7, y, far_a - a, far_b - b, far_d - d, far_e - e)
        u0, u1, u2 = high[0, high_at + block], high[1, high_at + block], high[2, high_at + block]
        for row in range(rows):
            s0, s1, s2 = weigh(held, row, w0, w1, w2, low_at)
            s0, s1, s2 = ext_mul(s0, s1, s2, u0, u1, u2)
            accumulate(out, row, s0, s1, s2)
        for c in range(3):
            total[3 * (SUMS - 1) + c] = reduce(total[3 * (SUMS - 1) + c] + high[c, high_at + block])
    copy(add_lanes(out, LANES), 0, total, 0, 3 * (SUMS - 1))
    return total


@device
def store_bound_leaf(flat: Any, row: Any, stride: Any, x: Any, a: Any, A: Any, d: Any, D: Any, k: Any) -> None:
    """k0 - k1 a - k2 A - k3 d - k4 D to three rows; |a|, |d| <= P / 2, |A|, |D| <= P: every sum is below 3.1 P."""
    for c in range(3):
        known = k[c] - mul_lazy(a, k[3 + c]) - mul_lazy(A, k[6 + c])
        store(flat, (row + c) * stride + x, reduce(known - mul_lazy(d, k[9 + c]) - mul_lazy(D, k[12 + c])))


@kernel
def leaf_fold(
    first: Floats, second: Floats, wide: bool, far_first: Floats, far_second: Floats, far_wide: bool,
    constants: Floats, flat: Floats, stride: int, at: int,
    start: int, stop: int,
) -> None:  # fmt: skip
    """The tables k0 - k1 a - k2 A - k3 d - k4 D of even and odd leaves, for groups of LANES places of a run.

    Args:
        first, second, wide, far_first, far_second, far_wide: as for `leaf_sums`; A and D are differences.
        constants: k0, ..., k4, fifteen numbers.
        flat, stride, at: the two tables, and where in them the run begins.
    """
    k = constants
    for x in range(LANES * start, LANES * stop, LANES):
        expect_ext(flat, 0, stride, at + x + AHEAD)
        expect_ext(flat, 3, stride, at + x + AHEAD)
        a, b = entries_at(first, x)
        far_a, far_b = entries_at(far_first, x)
        if wide or far_wide:
            d, e = second_at(second, wide, x)
            far_d, far_e = second_at(far_second, far_wide, x)
            store_bound_leaf(flat, 0, stride, at + x, a, far_a - a, d, far_d - d, k)
            store_bound_leaf(flat, 3, stride, at + x, b, far_b - b, e, far_e - e, k)
        else:
            for c in range(3):
                even = k[c] - mul_lazy(a, k[3 + c]) - mul_lazy(far_a - a, k[6 + c])
                odd = k[c] - mul_lazy(b, k[3 + c]) - mul_lazy(far_b - b, k[6 + c])
                store(flat, c * stride + at + x, reduce(even))
                store(flat, (3 + c) * stride + at + x, reduce(odd))


@device
def mixed(p: Any, q: Any, k: Any) -> Any:
    """p + k q."""
    return ext_mul_add(p[0], p[1], p[2], q[0], q[1], q[2], k[0], k[1], k[2])


@device
def less(a: Any, b: Any) -> Any:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


@device
def reduced(a: Any) -> Any:
    return reduce(a[0]), reduce(a[1]), reduce(a[2])


@device
def product_added(s: Any, a: Any, b: Any) -> Any:
    """s + a b."""
    return ext_mul_add(s[0], s[1], s[2], a[0], a[1], a[2], b[0], b[1], b[2])


@kernel
def node_sums(
    first: Floats, second: Floats, wide: bool, constants: Floats,
    far_first: Floats, far_second: Floats, far_wide: bool, far_constants: Floats, mix: Floats,
    low: Floats, low_at: int, high: Floats, high_at: int,
    start: int, stop: int,
) -> Floats:  # fmt: skip
    """The first round of layer 1: with F = (p0 + l q0) q1 + p1 q0, sums of eq(x) F(0) and of eq(x) times the
    coefficient of X^2.

    Args:
        first, second, wide, constants: the columns and constants of a run, as for `column_layer`.
        far_...: of the run half of the places further on.
        mix: l.
        low, low_at, high, high_at: as for `leaf_sums`.
        start, stop: blocks to process.

    Returns:
        Shape (6,): both sums, balanced.
    """
    w0, w1, w2 = low[0], low[1], low[2]
    out = zeros(6 * LANES)
    zero = (splat(0.0), splat(0.0), splat(0.0))
    for block in range(start, stop):
        f, g = zero, zero
        for y in range(0, BLOCK, LANES):
            x = block * BLOCK + y
            p0, p1, q0, q1 = place_at(first, second, wide, x, constants)
            p0 = mixed(p0, q0, mix)
            u = load(w0, low_at + y, zero[0]), load(w1, low_at + y, zero[0]), load(w2, low_at + y, zero[0])
            f = product_added(f, product_added(product_added(zero, p0, q1), p1, q0), u)
            s0, s1, t0, t1 = place_at(far_first, far_second, far_wide, x, far_constants)
            s0 = mixed(s0, t0, mix)
            h = product_added(zero, reduced(less(s0, p0)), less(t1, q1))
            g = product_added(g, product_added(h, reduced(less(s1, p1)), less(t0, q0)), u)
        u0, u1, u2 = high[0, high_at + block], high[1, high_at + block], high[2, high_at + block]
        a0, a1, a2 = ext_mul(f[0], f[1], f[2], u0, u1, u2)
        accumulate(out, 0, a0, a1, a2)
        a0, a1, a2 = ext_mul(g[0], g[1], g[2], u0, u1, u2)
        accumulate(out, 1, a0, a1, a2)
    sums: Floats = add_lanes(out, LANES)
    return sums


@kernel
def node_fold(
    first: Floats, second: Floats, wide: bool, constants: Floats,
    far_first: Floats, far_second: Floats, far_wide: bool, far_constants: Floats, mix: Floats, challenge: Floats,
    flat: Floats, stride: int, at: int,
    start: int, stop: int,
) -> None:  # fmt: skip
    """The four tables of layer 1 bound to a challenge, p0 + l q0 in place of p0, for groups of LANES places of a run.

    Args:
        first, ..., mix: as for `node_sums`.
        flat, stride, at: the tables, and where in them the run begins.
    """
    for x in range(LANES * start, LANES * stop, LANES):
        expect_layer(flat, stride, at + x + AHEAD)
        p0, p1, q0, q1 = place_at(first, second, wide, x, constants)
        s0, s1, t0, t1 = place_at(far_first, far_second, far_wide, x, far_constants)
        q0 = product_added(q0, less(t0, q0), challenge)
        store_ext(flat, Q0, stride, at + x, q0[0], q0[1], q0[2])
        p0 = mixed(product_added(p0, less(s0, p0), challenge), q0, mix)
        store_ext(flat, P0, stride, at + x, p0[0], p0[1], p0[2])
        p1 = product_added(p1, less(s1, p1), challenge)
        store_ext(flat, P1, stride, at + x, p1[0], p1[1], p1[2])
        q1 = product_added(q1, less(t1, q1), challenge)
        store_ext(flat, Q1, stride, at + x, q1[0], q1[1], q1[2])
