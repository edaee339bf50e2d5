"""Number-theoretic transforms of the rows of a matrix, and Reed-Solomon codewords made with them.

A row of N = n1 * n2 numbers is a matrix (n1, n2). With j = j1 n2 + j2 and k = k1 + n1 k2,

    out[k] = sum_{j2} w^(j2 k1) (w^n1)^(j2 k2) sum_{j1} (w^n2)^(j1 k1) values[j],

so the row's transform is: columns of length n1, a multiplication by w^(j2 k1), a transposition, columns of length n2.
A row is read and written twice, whatever its length, and everything between happens in blocks of BLOCK columns that
stay in the first-level cache, where all arithmetic is on packed columns with one root of unity for all. Columns are
transformed by Stockham's radix-4 steps (natural order in and out, from one buffer to another), with a radix-2 step last
if n1 is not a power of four. Short rows take a plain radix-2 loop.

Memory: the result, and two buffers of a row's length for each thread.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from zkinfer.errors import ShapeError
from zkinfer.jit.compiling import device, kernel
from zkinfer.jit.threads import split
from zkinfer.protocol.field import scalar
from zkinfer.protocol.field.kernels.arithmetic import mul, mul_lazy, reduce
from zkinfer.protocol.field.kernels.arrays import from_ints
from zkinfer.protocol.field.kernels.vector import LANES, copy, floats, load, splat, store, transpose, zeros
from zkinfer.protocol.field.params import BLOWUP, P
from zkinfer.protocol.field.scalar import root_of_unity
from zkinfer.typing import Floats, IntArray

BLOCK = 2 * LANES
"""Columns that are transformed together."""

SHORT = BLOCK * BLOCK
"""Rows below this length take the plain loop."""


_FEW_LENGTH = 1 << 8
"""Columns of so many numbers, a block of them, are in the first-level cache."""


def ntt(values: Floats) -> Floats:
    """out[k] = sum_j values[j] w^(j k) for w = scalar.root_of_unity(n), along the last axis of (n,) or (rows, n)."""
    return _transform(values, values.shape[-1], inverse=False)


def intt(values: Floats) -> Floats:
    """The inverse of `ntt`."""
    return _transform(values, values.shape[-1], inverse=True)


def rs_encode(messages: Floats, length: int | None = None, out: Floats | None = None) -> Floats:
    """Reed-Solomon codewords: the values, in the order of `ntt`, of the polynomials with these coefficients.

    Args:
        messages: (symbols,) or (rows, symbols).
        length: of a codeword, a power of two, at least `symbols`; by default BLOWUP * symbols.
        out: to write to instead of a new array; contiguous, of the result's shape.

    Returns:
        (length,) or (rows, length).
    """
    return _transform(messages, BLOWUP * messages.shape[-1] if length is None else length, inverse=False, out=out)


def rs_symbols(messages: Floats, length: int, places: IntArray) -> Floats:
    """Some symbols of the codewords that `rs_encode` makes of messages, without the others.

    The first half of a transform is computed, on columns of `_FEW_LENGTH`; of the second half, each symbol's sum.

    Args:
        messages: (rows, symbols).
        length: of a codeword.
        places: of the symbols.

    Returns:
        (rows, places).
    """
    if length < _FEW_LENGTH * BLOCK:
        return np.ascontiguousarray(rs_encode(messages, length)[:, places])
    rows, symbols = messages.shape
    if messages.dtype != np.float64 or not messages.flags.c_contiguous or not 1 <= symbols <= length:
        raise ShapeError(f"messages of a code of length {length} are contiguous float64 rows, not {messages.shape}")
    if len(places) and not 0 <= min(places) <= max(places) < length:
        raise ShapeError(f"a codeword of {length} symbols has no others")
    n2 = length // _FEW_LENGTH
    w = root_of_unity(length)
    powers = np.empty(len(places) * n2)
    _twists_kernel(from_ints([pow(w, int(k), P) for k in places]), 1.0, n2, powers)
    lines = np.asarray(places, dtype=np.int64) % _FEW_LENGTH
    out = np.empty((rows, len(places)))
    known = (messages.reshape(-1), symbols, _FEW_LENGTH, n2, _roots(_FEW_LENGTH, inverse=False), lines, powers)
    split(_symbols_kernel, rows, 1, *known, out.reshape(-1))
    return out


def _transform(values: Floats, n: int, inverse: bool, out: Floats | None = None) -> Floats:
    symbols = values.shape[-1]
    if values.dtype != np.float64 or values.ndim not in (1, 2) or not values.flags.c_contiguous:
        raise ShapeError(f"rows to transform are a contiguous float64 array, not {values.dtype} {values.shape}")
    if not 1 <= symbols <= n:
        raise ShapeError(f"{symbols} symbols do not make a codeword of {n}")
    flat = values.reshape(-1)
    rows = flat.size // symbols
    shape = (*values.shape[:-1], n)
    if out is None:
        out = np.empty(shape)
    elif out.shape != shape or out.dtype != np.float64 or not out.flags.c_contiguous:
        raise ShapeError(f"the result is a contiguous float64 array {shape}, not {out.dtype} {out.shape}")
    target = out.reshape(-1)
    if n < SHORT:
        split(_short_kernel, rows, max(1, SHORT // n), flat, symbols, n, _roots(n, inverse), _scale(n, inverse), target)
    else:
        n1 = 1 << (n.bit_length() // 2)
        n2 = n // n1
        tables = _roots(n1, inverse), _roots(n2, inverse), _twists(n1, n2, inverse)
        split(_rows_kernel, rows, 1, flat, symbols, n1, n2, *tables, target)
    return out


def _scale(n: int, inverse: bool) -> float:
    return float(from_ints([pow(n, -1, P) if inverse else 1])[0])


@lru_cache(maxsize=64)
def _roots(n: int, inverse: bool) -> Floats:
    """w^k for k < n, w the primitive n-th root of unity or its inverse."""
    w = root_of_unity(n)
    return _powers(scalar.inv(w) if inverse else w, n)


@lru_cache(maxsize=8)
def _twists(n1: int, n2: int, inverse: bool) -> Floats:
    """w^(j2 k1) at k1 n2 + j2; times 1 / (n1 n2) for the inverse."""
    w = root_of_unity(n1 * n2)
    w = scalar.inv(w) if inverse else w
    out = np.empty(n1 * n2)
    _twists_kernel(_powers(w, n1), _scale(n1 * n2, inverse), n2, out)
    return out


def _powers(w: int, n: int) -> Floats:
    out = np.empty(n)
    _powers_kernel(float(from_ints([w])[0]), out)
    return out


@kernel
def _powers_kernel(w: float, out: Any) -> None:
    power = 1.0
    for k in range(out.size):
        out[k] = power
        power = mul(power, w)


@kernel
def _twists_kernel(steps: Any, scale: float, n2: int, out: Any) -> None:
    for k1 in range(steps.size):
        power = scale
        for j2 in range(n2):
            out[k1 * n2 + j2] = power
            power = mul(power, steps[k1])


@kernel
def _short_kernel(flat: Any, symbols: int, n: int, roots: Any, scale: float, out: Any, start: int, stop: int) -> None:
    """Rows of n < SHORT numbers: Stockham's radix-2 steps on single numbers, all balanced."""
    x, y = floats(n), floats(n)
    for row in range(start, stop):
        copy(flat, row * symbols, x, 0, symbols)
        x[symbols:] = 0.0
        half, stride = n // 2, 1
        while half >= 1:
            for p in range(half):
                w = roots[p * stride]
                for q in range(stride):
                    a, b = x[q + stride * p], x[q + stride * (p + half)]
                    y[q + stride * 2 * p] = reduce(a + b)
                    y[q + stride * (2 * p + 1)] = mul(a - b, w)
            x, y = y, x
            half //= 2
            stride *= 2
        for k in range(n):
            out[row * n + k] = mul(x[k], scale)


# Bounds of the radix-4 steps. What a step reads is below 0.77 P: balanced, or a result of mul_lazy. Sums of two are
# then below 1.54 P, the rotated difference below 0.77 P again, and sums of four below 3.08 P. Roots are balanced, so
# every product that mul_lazy sees is below 4 P * P / 2 = 2 P^2, as it asks.


@device
def _butterfly(a: Any, b: Any, c: Any, d: Any, rotation: Any) -> Any:
    """The transform of four numbers: sums of a, b, c, d with powers of `rotation`, a primitive fourth root of unity."""
    even, odd = a + c, b + d
    difference = a - c
    rotated = mul_lazy(b - d, rotation)
    return even + odd, difference + rotated, even - odd, difference - rotated


@device
def _store_twisted(y: Any, at: Any, stride: Any, v: Any, w1: Any, w2: Any, w3: Any) -> None:
    store(y, at, reduce(v[0]))
    store(y, at + stride, mul_lazy(v[1], w1))
    store(y, at + 2 * stride, mul_lazy(v[2], w2))
    store(y, at + 3 * stride, mul_lazy(v[3], w3))


@device
def _first_step(line: Any, at: Any, pitch: Any, present: Any, n: Any, roots: Any, y: Any) -> None:
    """Reads BLOCK columns, `pitch` numbers from row to row, of which `present` rows exist and the others are zero."""
    zero = splat(0.0)
    quarter = n // 4
    rotation = roots[quarter]
    for p in range(quarter):
        w1, w2, w3 = roots[p], roots[2 * p], roots[3 * p]
        for q in range(0, BLOCK, LANES):
            source = at + p * pitch + q
            target = 4 * p * BLOCK + q
            if p + quarter >= present:
                a = load(line, source, zero) if p < present else zero
                store(y, target, a)
                store(y, target + BLOCK, mul_lazy(a, w1))
                store(y, target + 2 * BLOCK, mul_lazy(a, w2))
                store(y, target + 3 * BLOCK, mul_lazy(a, w3))
            else:
                a, b = load(line, source, zero), load(line, source + quarter * pitch, zero)
                c = load(line, source + 2 * quarter * pitch, zero) if p + 2 * quarter < present else zero
                d = load(line, source + 3 * quarter * pitch, zero) if p + 3 * quarter < present else zero
                _store_twisted(y, target, BLOCK, _butterfly(a, b, c, d, rotation), w1, w2, w3)


@device
def _middle_step(x: Any, y: Any, length: Any, stride: Any, n: Any, roots: Any) -> None:
    """One radix-4 step on transforms of `length`, of which n / length are interleaved, `stride` numbers apart."""
    zero = splat(0.0)
    quarter = length // 4
    step = n // length
    rotation = roots[n // 4]
    for p in range(quarter):
        w1, w2, w3 = roots[p * step], roots[2 * p * step], roots[3 * p * step]
        for q in range(0, stride, LANES):
            a, b = load(x, q + stride * p, zero), load(x, q + stride * (p + quarter), zero)
            c, d = load(x, q + stride * (p + 2 * quarter), zero), load(x, q + stride * (p + 3 * quarter), zero)
            _store_twisted(y, q + 4 * stride * p, stride, _butterfly(a, b, c, d, rotation), w1, w2, w3)


@device
def _last_step(x: Any, y: Any, length: Any, stride: Any, rotation: Any) -> None:
    """The step without roots, of length 4 or 2; results are not reduced: below 3.08 P."""
    zero = splat(0.0)
    for q in range(0, stride, LANES):
        a, b = load(x, q, zero), load(x, q + stride, zero)
        if length == 2:
            store(y, q, a + b)
            store(y, q + stride, a - b)
        else:
            c, d = load(x, q + 2 * stride, zero), load(x, q + 3 * stride, zero)
            v = _butterfly(a, b, c, d, rotation)
            store(y, q, v[0])
            store(y, q + stride, v[1])
            store(y, q + 2 * stride, v[2])
            store(y, q + 3 * stride, v[3])


@kernel
def _columns(line: Any, at: int, pitch: int, present: int, n: int, roots: Any, x: Any, y: Any) -> Any:
    """Transforms BLOCK columns of length n >= BLOCK; the buffer, x or y, with (n, BLOCK) results below 3.08 P."""
    _first_step(line, at, pitch, present, n, roots, x)
    length, stride = n // 4, 4 * BLOCK
    while length > 4:
        _middle_step(x, y, length, stride, n, roots)
        x, y = y, x
        length //= 4
        stride *= 4
    _last_step(x, y, length, stride, roots[n // 4])
    return y


@device
def _eight(buffer: Any, at: Any, twists: Any, twist: Any, pitch: Any) -> Any:
    """Eight rows of LANES numbers, BLOCK apart, times their twists, `pitch` apart."""
    zero = splat(0.0)
    return (
        mul_lazy(load(buffer, at, zero), load(twists, twist, zero)),
        mul_lazy(load(buffer, at + BLOCK, zero), load(twists, twist + pitch, zero)),
        mul_lazy(load(buffer, at + 2 * BLOCK, zero), load(twists, twist + 2 * pitch, zero)),
        mul_lazy(load(buffer, at + 3 * BLOCK, zero), load(twists, twist + 3 * pitch, zero)),
        mul_lazy(load(buffer, at + 4 * BLOCK, zero), load(twists, twist + 4 * pitch, zero)),
        mul_lazy(load(buffer, at + 5 * BLOCK, zero), load(twists, twist + 5 * pitch, zero)),
        mul_lazy(load(buffer, at + 6 * BLOCK, zero), load(twists, twist + 6 * pitch, zero)),
        mul_lazy(load(buffer, at + 7 * BLOCK, zero), load(twists, twist + 7 * pitch, zero)),
    )


@kernel
def _rows_kernel(
    flat: Any, symbols: int, n1: int, n2: int, roots1: Any, roots2: Any, twists: Any, out: Any, start: int, stop: int
) -> None:
    """Rows of `symbols` numbers, then zeros, to transforms of n1 * n2 numbers."""
    zero = splat(0.0)
    x, y = floats(n1 * BLOCK), floats(n1 * BLOCK)
    present = (symbols + n2 - 1) // n2
    # Rows of both buffers are a block longer than need be: at a distance of a power of two they would share few places
    # in the caches.
    pitch, turned_pitch = n2 + BLOCK, n1 + BLOCK
    line, turned = zeros(present * pitch), floats(n2 * turned_pitch)
    for row in range(start, stop):
        first = row * symbols
        for j1 in range(present):
            count = min(n2, symbols - j1 * n2)
            copy(flat, first + j1 * n2, line, j1 * pitch, count)
        for j in range(0, n2, BLOCK):
            done = _columns(line, j, pitch, present, n1, roots1, x, y)
            for k in range(0, n1, LANES):
                for q in range(0, BLOCK, LANES):
                    columns = transpose(_eight(done, k * BLOCK + q, twists, k * n2 + j + q, n2))
                    target = (j + q) * turned_pitch + k
                    store(turned, target, columns[0])
                    store(turned, target + turned_pitch, columns[1])
                    store(turned, target + 2 * turned_pitch, columns[2])
                    store(turned, target + 3 * turned_pitch, columns[3])
                    store(turned, target + 4 * turned_pitch, columns[4])
                    store(turned, target + 5 * turned_pitch, columns[5])
                    store(turned, target + 6 * turned_pitch, columns[6])
                    store(turned, target + 7 * turned_pitch, columns[7])
        for k in range(0, n1, BLOCK):
            done = _columns(turned, k, turned_pitch, n2, n2, roots2, x, y)
            target = row * n1 * n2 + k
            for j in range(n2):
                for q in range(0, BLOCK, LANES):
                    store(out, target + j * n1 + q, reduce(load(done, j * BLOCK + q, zero)))


@kernel
def _symbols_kernel(
    flat: Any, symbols: int, n1: int, n2: int, roots: Any, lines: Any, powers: Any, out: Any, start: int, stop: int
) -> None:
    """Of the transforms of rows of `symbols` numbers, then zeros, to n1 * n2 numbers, one at each of some places.

    Args:
        lines: int64; of each place, modulo n1.
        powers: w^(j2 place) at n2 i + j2, for the i-th place.
    """
    zero = splat(0.0)
    count = lines.size
    x, y = floats(n1 * BLOCK), floats(n1 * BLOCK)
    present = (symbols + n2 - 1) // n2
    pitch = n2 + BLOCK
    line, sums = zeros(present * pitch), floats(count * LANES)
    for row in range(start, stop):
        for j1 in range(present):
            copy(flat, row * symbols + j1 * n2, line, j1 * pitch, min(n2, symbols - j1 * n2))
        for i in range(count):
            store(sums, i * LANES, zero)
        for j in range(0, n2, BLOCK):
            done = _columns(line, j, pitch, present, n1, roots, x, y)
            for i in range(count):
                # What `_columns` leaves is below 3.08 P, powers are balanced: as `mul_lazy` asks.
                total = load(sums, i * LANES, zero)
                for q in range(0, BLOCK, LANES):
                    power = load(powers, i * n2 + j + q, zero)
                    total = total + mul_lazy(load(done, lines[i] * BLOCK + q, zero), power)
                store(sums, i * LANES, reduce(total))
        for i in range(count):
            found = 0.0
            for lane in range(LANES):
                found = reduce(found + sums[i * LANES + lane])
            out[row * count + i] = found
