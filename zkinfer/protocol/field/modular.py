"""Arithmetic modulo P on arrays, in numpy alone: all that the verifier of a commitment computes with.

Arrays hold canonical elements, int64 in [0, P). Extension vectors have shape (3, n): coordinate by coordinate.
"""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from zkinfer.protocol.field import scalar
from zkinfer.protocol.field.params import DEGREE, NONRESIDUE, P
from zkinfer.protocol.field.scalar import Ext
from zkinfer.typing import Floats, IntArray

_LIMB_BITS = 17
_LIMBS = 3
_MAX_EXACT_TERMS = 1 << 19
"""Terms of an inner product of limbs that are exact in float64: 2^19 * (2^17)^2 = 2^53."""

_LIMB_WEIGHTS = np.array([pow(2, _LIMB_BITS * i, P) for i in range(2 * _LIMBS - 1)])[:, None, None]

_EXACT_BITS = 53
_MATMUL_BLOCK = 1 << 14
_MATMUL_TERMS = 1 << 12
_ONE_THREAD = 1 << 18
"""Multiply-adds of a product of floats that OpenBLAS does on one thread. For more it wakes others, and waits for them:
on a busy machine that takes longer than all products of a verifier. They also go on spinning afterwards."""
_MIN_ROWS = 64
_LEAST_TILE = 16
_CONTRACT_BLOCK = 1 << 20
_MIN_TERMS = 64

_INVERSE = 1.0 / P

_FEW_PRODUCTS, _FEW_TERMS = 8, 48
"""Products of extension elements, one by one and added up, which Python makes sooner than numpy its calls."""

_PLAIN_VARIABLES = 3
"""Variables below which a table takes Python less time than numpy."""

_KEPT_VARIABLES = 10
"""Tables of eq of at most so many variables are kept, 24 KiB each."""

_HALF_BITS = 25
_MAX_INT64_TERMS = 1 << 13
"""Canonical elements whose sum int64 holds: 2^13 * 2^50 = 2^63."""


def mul(a: IntArray, b: IntArray) -> IntArray:
    """a * b mod P, element by element, with broadcasting.

    The quotient is estimated in floating point. Its error before rounding is below 2^50 * 3 * 2^-53 = 3/8 (three
    roundings of a quotient below 2^50), after rounding below 7/8 plus a hair, so that the remainder lies in (-P, P) and
    is exact although the products are reduced modulo 2^64.
    """
    remainder: IntArray = a * b
    remainder = remainder - np.rint(a * _INVERSE * b).astype(np.int64) * P
    return remainder + (remainder >> 63 & P)


def matmul(a: IntArray, b: IntArray) -> IntArray:
    """The matrix product mod P of shapes (m, k) and (k, n), by exact float64 products of 17-bit limbs."""
    result = np.zeros((a.shape[0], b.shape[1]), dtype=np.int64)
    for start in range(0, a.shape[1], _MATMUL_TERMS):
        part = slice(start, start + _MATMUL_TERMS)
        result = (result + _matmul_exact(a[:, part], b[part])) % P
    return result


def _matmul_exact(a: IntArray, b: IntArray) -> IntArray:
    """`matmul` for at most _MATMUL_TERMS terms, so many rows at a time that what they give stays in the caches."""
    right = _limbs(b)
    step = max(_MIN_ROWS, _MATMUL_BLOCK // max(b.shape[1], 1))
    return np.concatenate([_rows_exact(a[i : i + step], right) for i in range(0, max(len(a), 1), step)])


def _rows_exact(a: IntArray, right: Floats) -> IntArray:
    (m, k), n = a.shape, right.shape[2]
    products = _float_products(_limbs(a).reshape(_LIMBS * m, k), right).astype(np.int64).reshape(_LIMBS, _LIMBS, m, n)
    sums = np.zeros((2 * _LIMBS - 1, m, n), dtype=np.int64)
    for i, j in itertools.product(range(_LIMBS), repeat=2):
        sums[i + j] += products[i, j]
    result: IntArray = mul(sums % P, _LIMB_WEIGHTS).sum(axis=0) % P
    return result


def _float_products(a: Floats, b: Floats) -> Floats:
    """The products of a matrix (m, k) and each of some (limbs, k, n), k <= _MATMUL_TERMS, on one thread."""
    m, k, n = *a.shape, b.shape[2]
    rows = max(_LEAST_TILE, math.isqrt(_ONE_THREAD // max(k, 1)))
    columns = _ONE_THREAD // (rows * max(k, 1))
    result = np.empty((len(b), m, n))
    for i, j in itertools.product(range(0, m, rows), range(0, n, columns)):
        np.matmul(a[i : i + rows], b[:, :, j : j + columns], out=result[:, i : i + rows, j : j + columns])
    return result


def _limbs(a: IntArray) -> Floats:
    """Canonical elements in base 2^_LIMB_BITS, least significant digit first: shape (_LIMBS, *a.shape)."""
    limbs = np.empty((_LIMBS, *a.shape))
    mask = (1 << _LIMB_BITS) - 1
    for i in range(_LIMBS):
        limbs[i] = (a >> (_LIMB_BITS * i)) & mask
    return limbs


def contract(weights: IntArray, array: npt.NDArray[np.integer[Any]]) -> IntArray:
    """sum over j of weights[:, j] * array[i, j, k] mod P: shape (3, i, k), by exact float64 products of limbs.

    Args:
        weights: an extension vector (3, n).
        array: integers of any sign and of absolute value below 2^62, shape (i, n, k), any integer dtype.
    """
    before, count, after = array.shape
    step = min(max(_CONTRACT_BLOCK // max(before * after, 1), _MIN_TERMS), _MAX_EXACT_TERMS)
    result = np.zeros((DEGREE, before, after), dtype=np.int64)
    for start in range(0, count, step):
        part = slice(start, start + step)
        result = (result + _contract_exact(weights[:, part], array[:, part])) % P
    return result


def _contract_exact(weights: IntArray, array: npt.NDArray[np.integer[Any]]) -> IntArray:
    """`contract` for so many terms that sums of limbs' products stay within 2^53."""
    before, count, after = array.shape
    bits = _EXACT_BITS - _LIMB_BITS - (count - 1).bit_length()
    rows = _limbs(weights).reshape(_LIMBS * DEGREE, count)
    result = np.zeros((DEGREE, before, after), dtype=np.int64)
    for i, limb in enumerate(_signed_limbs(array, bits)):
        flat = limb.reshape(before, count) @ rows.T if after == 1 else rows @ limb
        sums = flat.reshape(before, _LIMBS, DEGREE, after).astype(np.int64) % P
        for j in range(_LIMBS):
            weight = pow(2, i * bits + j * _LIMB_BITS, P)
            result += mul(sums[:, j].transpose(1, 0, 2), np.array(weight))
        result %= P
    return result


def _signed_limbs(a: npt.NDArray[np.integer[Any]], bits: int) -> list[Floats]:
    """Integers in base 2^bits, least significant first: digits in [0, 2^bits), the last in [-2^bits, 2^bits]."""
    remaining = max(-int(a.min()), int(a.max())).bit_length() if a.size else 0
    if remaining <= bits:
        return [a.astype(np.float64)]
    rest = a.astype(np.int64)
    limbs = []
    while remaining > bits:
        limbs.append((rest & ((1 << bits) - 1)).astype(np.float64))
        rest >>= bits
        remaining -= bits
    return [*limbs, rest.astype(np.float64)]


def from_exts(values: Sequence[Ext]) -> IntArray:
    """Extension elements as an array of shape (3, n)."""
    return np.ascontiguousarray(np.array(values, dtype=np.int64).reshape(len(values), DEGREE).T)


def to_exts(values: IntArray) -> list[Ext]:
    """The extension elements of an array of shape (3, n)."""
    c0, c1, c2 = values.tolist()
    return list(zip(c0, c1, c2, strict=True))


def ext_mul(a: IntArray, b: IntArray) -> IntArray:
    """The products of extension arrays of shape (3, ...), element by element, with broadcasting after axis 0.

    With carried = NONRESIDUE * b, the products are the sum of a[0] * (b[0], b[1], b[2]),
    a[1] * (carried[2], b[0], b[1]) and a[2] * (carried[1], carried[2], b[0]).

    One estimate of the quotient by P serves the sum of three products, elements of a being below P and the others below
    2 P. It is off by six roundings, each of less than 6 * 2^50 * 2^-53, so the remainder lies between -6 P and 6 P and
    is exact although the products are reduced modulo 2^64.
    """
    if a.size <= DEGREE * _FEW_PRODUCTS and (b.shape == a.shape or (b.size == DEGREE and b.ndim <= a.ndim)):
        return _few_products(a, b)
    b = b.reshape(DEGREE, *(1,) * (a.ndim - b.ndim), *b.shape[1:])
    line = np.concatenate([NONRESIDUE * b[1:], b])
    scaled = a * _INVERSE
    exact = a[0] * line[2:] + a[1] * line[1:4] + a[2] * line[:3]
    quotient = scaled[0] * line[2:] + scaled[1] * line[1:4] + scaled[2] * line[:3]
    result: IntArray = (exact - np.rint(quotient).astype(np.int64) * P) % P
    return result


def _few_products(a: IntArray, b: IntArray) -> IntArray:
    """`ext_mul` for arrays of one shape, or a single element b with no more axes than a."""
    left, right = to_exts(a.reshape(DEGREE, -1)), to_exts(b.reshape(DEGREE, -1))
    products = [scalar.ext_mul(x, y) for x, y in zip(left, itertools.cycle(right), strict=False)]
    return from_exts(products).reshape(a.shape)


def sum_axis(a: IntArray, axis: int) -> IntArray:
    """The sums mod P along an axis, kept with size 1, of less than 2^38 elements each."""
    if a.shape[axis] <= _MAX_INT64_TERMS:
        return np.asarray(a.sum(axis=axis, keepdims=True) % P)
    low, high = _halves(a)
    return _from_halves(low.sum(axis=axis, keepdims=True), high.sum(axis=axis, keepdims=True))


def scatter_add(a: IntArray, axis: int, places: IntArray, size: int) -> IntArray:
    """Along an axis, element i of `a` added mod P to place places[i] of an axis of `size` zeros; places may repeat."""
    shape = list(a.shape)
    shape[axis] = size
    result = np.zeros(shape, dtype=np.int64)
    order = np.argsort(places, kind="stable")
    targets, starts = np.unique(places[order], return_index=True)
    along: tuple[slice | IntArray, ...] = (slice(None),) * axis
    if len(targets) == len(places):
        result[(*along, places)] = a
    else:
        low, high = (np.add.reduceat(half, starts, axis=axis) for half in _halves(a.take(order, axis=axis)))
        result[(*along, targets)] = _from_halves(low, high)
    return result


def _halves(a: IntArray) -> tuple[IntArray, IntArray]:
    """The lower 25 bits, and the rest, of canonical elements: either half can be summed 2^38 times in int64."""
    return a & ((1 << _HALF_BITS) - 1), a >> _HALF_BITS


def _from_halves(low: IntArray, high: IntArray) -> IntArray:
    result: IntArray = (low % P + mul(high % P, np.array(1 << _HALF_BITS))) % P
    return result


def ext_dot(a: IntArray, b: IntArray) -> Ext:
    """The inner product of two extension vectors of shape (3, n)."""
    return to_exts(ext_matvec(a[:, None], b))[0]


def ext_matvec(a: IntArray, b: IntArray) -> IntArray:
    """The product of an extension matrix (3, m, n) and an extension vector (3, n): shape (3, m)."""
    m, n = a.shape[1:]
    if m * n <= _FEW_TERMS:
        vector = to_exts(b)
        return from_exts([scalar.ext_dot(to_exts(a[:, row]), vector) for row in range(m)])
    c = matmul(a.reshape(DEGREE * m, n), b.T).reshape(DEGREE, m, DEGREE)
    rows = [
        c[0, :, 0] + NONRESIDUE * (c[1, :, 2] + c[2, :, 1]),
        c[0, :, 1] + c[1, :, 0] + NONRESIDUE * c[2, :, 2],
        c[0, :, 2] + c[1, :, 1] + c[2, :, 0],
    ]
    return np.stack(rows) % P


def eq_table(point: Sequence[Ext]) -> IntArray:
    """eq(point, b) for all b, as in `field.scalar`; shape (3, 2^len(point)), point[0] the most significant bit of b.

    Read-only: a protocol asks for the table of the same few coordinates many times, so small tables are kept.
    """
    return _kept_eq_table(tuple(point)) if len(point) <= _KEPT_VARIABLES else _eq_table(point)


@functools.lru_cache(maxsize=512)
def _kept_eq_table(point: tuple[Ext, ...]) -> IntArray:
    return _eq_table(point)


def _eq_table(point: Sequence[Ext]) -> IntArray:
    """Tables of a few variables are made in plain Python, then neighbours multiplied, each element of one with each of
    the other.
    """
    parts = [point[i : i + _PLAIN_VARIABLES] for i in range(0, max(len(point), 1), _PLAIN_VARIABLES)]
    tables = [from_exts(scalar.eq_table(part)) for part in parts]
    while len(tables) > 1:
        pairs = itertools.zip_longest(tables[::2], tables[1::2])
        tables = [
            high if low is None else ext_mul(high[:, :, None], low[:, None, :]).reshape(DEGREE, -1)
            for high, low in pairs
        ]
    tables[0].flags.writeable = False
    return tables[0]


def powers(points: IntArray, count: int) -> IntArray:
    """points^0, ..., points^(count - 1): shape (count, len(points))."""
    table = np.ones((1, len(points)), dtype=np.int64)
    step = points
    while len(table) < count:
        table = np.concatenate([table, mul(table, step[None])])
        step = mul(step, step)
    return table[:count]


def evaluate(polynomials: IntArray, points: IntArray) -> IntArray:
    """The values, shape (m, t), of polynomials given by their coefficients, shape (m, k <= 2^24), at t base points.

    Blocks of about sqrt(m k) coefficients are evaluated by a matrix product, then combined by the powers of the block:
    so a block's values are as many as the powers of a point in it.
    """
    count, k = polynomials.shape
    width = 1 << math.ceil(min(math.log2(k), math.log2(max(count, 1) * k) / 2))
    height = -(-k // width)
    blocks = np.zeros((count, height * width), dtype=np.int64)
    blocks[:, :k] = polynomials
    low = powers(points, width)
    values = matmul(blocks.reshape(count * height, width), low).reshape(count, height, len(points))
    high = powers(mul(low[-1], points), height)
    return sum_axis(mul(values, high[None]), 1)[:, 0]
