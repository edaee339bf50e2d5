"""Combinations of rows of int8, made of products of 16-bit numbers with 32-bit sums.

A balanced coordinate of a coefficient is cut into LIMBS limbs of LIMB_BITS bits of either sign. The entries of two rows
and the limbs of their coefficients are the pairs that one instruction multiplies and adds up, in LANES columns at once,
where float64 arithmetic takes four for as many products. Of UNIT columns all sums stay in registers while the rows go
by. Before that, BLOCK columns of the rows are put beside each other in pairs, so that memory is read a cache line after
another although rows are far apart.
"""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils

from zkinfer.jit.compiling import device, intrinsic, kernel, processor_features
from zkinfer.jit.pair_products import INT32, lane_numbers, pair_sums, spread
from zkinfer.jit.threads import split
from zkinfer.protocol.field.kernels.arithmetic import mul_lazy, reduce
from zkinfer.protocol.field.kernels.arrays import GRAIN, add
from zkinfer.protocol.field.kernels.vector import LANES as FLOATS
from zkinfer.protocol.field.kernels.vector import load, splat, store
from zkinfer.protocol.field.params import DEGREE
from zkinfer.typing import Array, Floats, IntArray

LIMB_BITS, LIMBS = 13, 4
"""A coordinate is at most 2^49: the first limbs are from -2^12 to 2^12 - 1, and the last is at most 2^10 + 1."""

SUMS = DEGREE * LIMBS

LANES, VECTORS = (16, 2) if "+avx512f" in processor_features() else (8, 1)
UNIT = LANES * VECTORS
"""Columns whose sums are in registers: 24 of 32, or 12 of 16 where these have 256 bits."""

BLOCK = 512
"""Columns that are put in pairs at a time: eight cache lines of a row. UNIT divides it."""

PAIRS = 256
"""Pairs of rows whose products are added up in 32 bits, 2^9 products of at most 2^12 2^7; with BLOCK columns they stay
in the second-level cache."""

_INT64 = ir.IntType(64)


def byte_row_combination(matrix: Array, used: IntArray, coefficients: Floats, out: Floats) -> None:
    """Adds sum_i coefficients[i] * matrix[used[i]] to `out`.

    Args:
        matrix: contiguous, int8, shape (rows, columns).
        used: numbers of rows.
        coefficients: balanced, shape (3, rows that are used).
        out: balanced, shape (3, columns), its rows contiguous.
    """
    columns = matrix.shape[1]
    whole = columns - columns % UNIT
    limbs = _limbs(coefficients)
    if whole:
        _run(matrix, used * columns, limbs, out[:, :whole])
    if whole < columns:
        ends, sums = np.zeros((len(used), UNIT), dtype=np.int8), np.zeros((DEGREE, UNIT))
        ends[:, : columns - whole] = matrix[used, whole:]
        _run(ends, UNIT * np.arange(len(used)), limbs, sums)
        out[:, whole:] = add(out[:, whole:], sums[:, : columns - whole])


def _run(matrix: Array, starts: IntArray, limbs: Array, out: Floats) -> None:
    """Of a multiple of UNIT columns, and rows that start there."""
    if len(starts) % 2:  # an even number of rows, the last of which has limbs that are zero
        starts = np.append(starts, starts[-1:])
    flat = matrix.reshape(-1).view()
    flat.flags.writeable = False  # one type for stored matrices and others, so that the kernel is compiled once
    grain = BLOCK * -(-GRAIN // (BLOCK * max(len(starts), 1)))
    split(_kernel, out.shape[1], grain, flat, starts, limbs, *out)


def _limbs(coefficients: Floats) -> Array:
    """For each pair of coefficients the pairs of their limbs, int16: those of one coordinate after another."""
    rest = coefficients.astype(np.int64)
    count = rest.shape[1]
    limbs = np.zeros((count + count % 2, DEGREE, LIMBS), dtype=np.int16)
    half, mask = 1 << (LIMB_BITS - 1), (1 << LIMB_BITS) - 1
    for k in range(LIMBS - 1):
        limb = (rest + half & mask) - half
        limbs[:count, :, k] = limb.T
        rest = rest - limb >> LIMB_BITS
    limbs[:count, :, LIMBS - 1] = rest.T
    return np.ascontiguousarray(limbs.reshape(-1, 2, SUMS).transpose(0, 2, 1)).reshape(-1)


@device
def _octets(count: Any) -> Any:
    return np.empty(count, dtype=np.int8)


@device
def _sums(count: Any) -> Any:
    return np.empty(count, dtype=np.int32)


@kernel
def _kernel(flat: Any, starts: Any, limbs: Any, out0: Any, out1: Any, out2: Any, start: int, stop: int) -> None:
    pairs = starts.size // 2
    together, sums = _octets(2 * BLOCK * min(pairs, PAIRS)), _sums(SUMS * UNIT)
    for block in range(start, stop, BLOCK):
        units = min(BLOCK, stop - block) // UNIT
        for first in range(0, pairs, PAIRS):
            count = min(PAIRS, pairs - first)
            for pair in range(count):
                row, other = starts[2 * (first + pair)] + block, starts[2 * (first + pair) + 1] + block
                for unit in range(units):
                    at = unit * UNIT
                    _put_pairs(flat, row + at, other + at, together, 2 * UNIT * (unit * count + pair))
            for unit in range(units):
                _add_products(together, 2 * UNIT * unit * count, count, limbs, 2 * SUMS * first, sums)
                for j in range(0, UNIT, FLOATS):
                    at = block + unit * UNIT + j
                    _join(sums, j, out0, at)
                    _join(sums, LIMBS * UNIT + j, out1, at)
                    _join(sums, 2 * LIMBS * UNIT + j, out2, at)


@device
def _join(sums: Any, j: Any, out: Any, at: Any) -> None:
    """out += the sums of the limbs, below 2^31, each times its power of two: |...| <= 0.5 P + 2^45 + 2 * 0.64 P."""
    like = splat(0.0)
    low = load(sums, j, like) + load(sums, j + UNIT, like) * 2.0**LIMB_BITS
    third, last = load(sums, j + 2 * UNIT, like), load(sums, j + 3 * UNIT, like)
    high = mul_lazy(third, 2.0 ** (2 * LIMB_BITS)) + mul_lazy(last, 2.0 ** (3 * LIMB_BITS))
    store(out, at, reduce(load(out, at, like) + low + high))


def _pointer(context: Any, builder: ir.IRBuilder, array: Any, value: ir.Value, at: ir.Value, kind: ir.Type) -> ir.Value:
    data = cgutils.create_struct_proxy(array)(context, builder, value=value).data
    return builder.bitcast(builder.gep(data, [at]), kind.as_pointer())


@intrinsic
def _put_pairs(typingctx: Any, flat: Any, row: Any, other: Any, together: Any, at: Any) -> Any:
    """Writes UNIT bytes from flat[row] and flat[other] on, in turns, to together[at] on."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
        line, pairs = (ir.VectorType(ir.IntType(8), count) for count in (UNIT, 2 * UNIT))
        first, second = (
            builder.load(_pointer(context, builder, flat, values[0], place, line), align=1) for place in values[1:3]
        )
        turns = lane_numbers(k // 2 + k % 2 * UNIT for k in range(2 * UNIT))
        target = _pointer(context, builder, together, values[3], values[4], pairs)
        builder.store(builder.shuffle_vector(first, second, turns), target, align=1)
        return context.get_dummy_value()

    number = types.int64
    return types.void(flat, number, number, together, number), generate


@intrinsic
def _add_products(typingctx: Any, together: Any, at: Any, count: Any, limbs: Any, first: Any, sums: Any) -> Any:
    """sums[UNIT k + c] = sum over `count` pairs, one at least, of both entries in column c times their limbs k.

    Args:
        together: int8; the pairs of a unit begin at `at`.
        limbs: int16; those of these pairs begin at `first`.
        sums: int32, of SUMS * UNIT numbers.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
        row, half = ir.VectorType(INT32, LANES), ir.VectorType(ir.IntType(8), 2 * LANES)
        long, short = ir.VectorType(INT32, 2 * LANES), ir.VectorType(ir.IntType(16), 2 * LANES)
        entries = _pointer(context, builder, together, values[0], values[1], half)
        factors = _pointer(context, builder, limbs, values[3], values[4], INT32)
        target = _pointer(context, builder, sums, values[5], _INT64(0), row)

        before, loop, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
        builder.branch(loop)
        builder.position_at_end(loop)
        pair = builder.phi(_INT64)
        totals = [[builder.phi(row) for _ in range(VECTORS)] for _ in range(SUMS)]
        here = builder.gep(entries, [builder.mul(pair, _INT64(VECTORS))])
        rights = [builder.sext(builder.load(builder.gep(here, [_INT64(v)]), align=1), long) for v in range(VECTORS)]
        own = builder.gep(factors, [builder.mul(pair, _INT64(SUMS))])
        added = []
        for k, total in enumerate(totals):
            both = spread(builder, builder.load(builder.gep(own, [_INT64(k)]), align=2), LANES)
            left = builder.sext(builder.bitcast(both, short), long)
            added.append([builder.add(t, pair_sums(builder, left, r)) for t, r in zip(total, rights, strict=True)])
        following = builder.add(pair, _INT64(1))
        builder.cbranch(builder.icmp_signed("<", following, values[2]), loop, after)
        pair.add_incoming(_INT64(0), before)
        pair.add_incoming(following, loop)
        for total, new in zip(totals, added, strict=True):
            for t, n in zip(total, new, strict=True):
                t.add_incoming(ir.Constant(row, [0] * LANES), before)
                t.add_incoming(n, loop)

        builder.position_at_end(after)
        for k, new in enumerate(added):
            for v, n in enumerate(new):
                builder.store(n, builder.gep(target, [_INT64(k * VECTORS + v)]), align=4)
        return context.get_dummy_value()

    number = types.int64
    return types.void(together, number, number, limbs, number, sums), generate
