"""Numba kernels of the lookup prover: leaves and layers of the trees of fractions.

A layer of 2^(k + 1) nodes is kept as the four tables of its sumcheck, 2^k values each, in the order p0, q1, p1, q0:
numerators and denominators of the children (x, 0) and (x, 1). So the sumcheck's products are p0 q1 and p1 q0.
"""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from zkinfer.jit.compiling import device, intrinsic, kernel
from zkinfer.protocol.field.kernels.arithmetic import ext_mul, ext_mul_add, mul_lazy, reduce
from zkinfer.protocol.field.kernels.vector import LANES, Vector, load, splat, store, zeros
from zkinfer.protocol.sumcheck.kernels import expect_ext, load_ext
from zkinfer.typing import Floats

P0, Q1, P1, Q0 = 0, 3, 6, 9
"""The first of the three rows of each table of a layer."""

AHEAD = 16 * LANES
"""Places between what is computed and what is brought near meanwhile."""


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
def add_fractions(a: Any, b: Any, c: Any, d: Any) -> Any:
    """LANES nodes from their children a / c and b / d: numerators a d + b c, denominators c d."""
    n0, n1, n2 = ext_mul(a[0], a[1], a[2], d[0], d[1], d[2])
    n0, n1, n2 = ext_mul_add(n0, n1, n2, b[0], b[1], b[2], c[0], c[1], c[2])
    m0, m1, m2 = ext_mul(c[0], c[1], c[2], d[0], d[1], d[2])
    return n0, n1, n2, m0, m1, m2


@device
def node_at(child: Any, stride: Any, x: Any) -> Any:
    """LANES nodes of the layer above, from the tables below."""
    p0, p1 = load_ext(child, P0, stride, x), load_ext(child, P1, stride, x)
    return add_fractions(p0, p1, load_ext(child, Q0, stride, x), load_ext(child, Q1, stride, x))


@device
def expect_layer(flat: Any, stride: Any, x: Any) -> None:
    """LANES places of all four tables are going to be read or written."""
    for row in (P0, Q1, P1, Q0):
        expect_ext(flat, row, stride, x)


@device
def store_separated(flat: Any, even: Any, odd: Any, stride: Any, x: Any, a: Any, b: Any) -> None:
    """Of three pairs of Vectors, the even places to row `even` and the odd places to row `odd`."""
    for c in range(3):
        lo, hi = separate(a[c], b[c])
        store(flat, (even + c) * stride + x, lo)
        store(flat, (odd + c) * stride + x, hi)


@kernel
def next_layer(child: Floats, child_stride: int, out: Floats, stride: int, start: int, stop: int) -> None:
    """The layer above a layer: groups start .. stop - 1 of 2 LANES nodes each.

    Args:
        child, child_stride: the four tables below.
        out, stride: four tables of half as many values.
    """
    for group in range(start, stop):
        x = 2 * LANES * group
        expect_layer(child, child_stride, x + AHEAD)
        expect_layer(child, child_stride, x + AHEAD + LANES)
        expect_layer(out, stride, x // 2 + AHEAD)
        a = node_at(child, child_stride, x)
        b = node_at(child, child_stride, x + LANES)
        store_separated(out, P0, P1, stride, x // 2, (a[0], a[1], a[2]), (b[0], b[1], b[2]))
        store_separated(out, Q0, Q1, stride, x // 2, (a[3], a[4], a[5]), (b[3], b[4], b[5]))


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


@kernel
def count(places: Floats, rows: int, start: int, stop: int) -> Floats:
    """How often each row number occurs among places[start:stop]; at the end, how many of these are not row numbers."""
    counts: Floats = zeros(rows + 1)
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
