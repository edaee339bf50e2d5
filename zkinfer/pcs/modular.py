"""Arithmetic modulo P on arrays, in numpy alone: all that the verifier of a commitment computes with.

Arrays hold canonical elements, int64 in [0, P). Extension vectors have shape (3, n): coordinate by coordinate.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from zkinfer.field.params import DEGREE, NONRESIDUE, P
from zkinfer.field.slow import Ext

IntArray = npt.NDArray[np.int64]

_LIMB_BITS = 17
_LIMBS = 3
_MAX_EXACT_TERMS = 1 << 19
"""Terms of an inner product of limbs that are exact in float64: 2^19 * (2^17)^2 = 2^53."""

_INVERSE = 1.0 / P


def mul(a: IntArray, b: IntArray) -> IntArray:
    """a * b mod P, element by element, with broadcasting.

    The quotient is estimated in floating point. Its error before rounding is below 2^50 * 3 * 2^-53 = 3/8 (three
    roundings of a quotient below 2^50), after rounding below 7/8 plus a hair, so that the remainder lies in (-P, P) and
    is exact although the products are reduced modulo 2^64.
    """
    quotient = np.rint(a.astype(np.float64) * b.astype(np.float64) * _INVERSE).astype(np.int64)
    remainder: IntArray = a * b - quotient * P
    return remainder + P * (remainder < 0)


def matmul(a: IntArray, b: IntArray) -> IntArray:
    """The matrix product mod P of shapes (m, k) and (k, n), by exact float64 products of 17-bit limbs."""
    result = np.zeros((a.shape[0], b.shape[1]), dtype=np.int64)
    for start in range(0, a.shape[1], _MAX_EXACT_TERMS):
        part = slice(start, start + _MAX_EXACT_TERMS)
        result = (result + _matmul_exact(a[:, part], b[part])) % P
    return result


def _matmul_exact(a: IntArray, b: IntArray) -> IntArray:
    left, right = _limbs(a), _limbs(b)
    result = np.zeros((a.shape[0], b.shape[1]), dtype=np.int64)
    for weight in reversed(range(2 * _LIMBS - 1)):
        result = mul(result, np.array(1 << _LIMB_BITS))
        for i in range(max(0, weight - _LIMBS + 1), min(_LIMBS, weight + 1)):
            result += (left[i] @ right[weight - i]).astype(np.int64)
        result %= P
    return result


def _limbs(a: IntArray) -> list[npt.NDArray[np.float64]]:
    mask = (1 << _LIMB_BITS) - 1
    return [((a >> (_LIMB_BITS * i)) & mask).astype(np.float64) for i in range(_LIMBS)]


def from_exts(values: Sequence[Ext]) -> IntArray:
    """Extension elements as an array of shape (3, n)."""
    return np.ascontiguousarray(np.array(values, dtype=np.int64).reshape(len(values), DEGREE).T)


def to_exts(values: IntArray) -> list[Ext]:
    """The extension elements of an array of shape (3, n)."""
    return [(int(c0), int(c1), int(c2)) for c0, c1, c2 in values.T]


def ext_mul(a: IntArray, b: IntArray) -> IntArray:
    """The products of extension vectors of shape (3, n), or (3, 1) for one factor of all."""
    c = [
        (mul(a[0], b[0]) + NONRESIDUE * (mul(a[1], b[2]) + mul(a[2], b[1]))) % P,
        (mul(a[0], b[1]) + mul(a[1], b[0]) + NONRESIDUE * mul(a[2], b[2])) % P,
        (mul(a[0], b[2]) + mul(a[1], b[1]) + mul(a[2], b[0])) % P,
    ]
    return np.stack(c)


def ext_dot(a: IntArray, b: IntArray) -> Ext:
    """The inner product of two extension vectors of shape (3, n)."""
    c = [[int(v) for v in row] for row in matmul(a, b.T)]
    return (
        (c[0][0] + NONRESIDUE * (c[1][2] + c[2][1])) % P,
        (c[0][1] + c[1][0] + NONRESIDUE * c[2][2]) % P,
        (c[0][2] + c[1][1] + c[2][0]) % P,
    )


def eq_table(point: Sequence[Ext]) -> IntArray:
    """eq(point, b) for all b, as in `field.slow`; shape (3, 2^len(point)), point[0] the most significant bit of b."""
    table = from_exts([(1, 0, 0)])
    for x in point:
        high = ext_mul(table, from_exts([x]))
        table = np.stack([(table - high) % P, high], axis=2).reshape(DEGREE, -1)
    return table


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

    Blocks of about sqrt(k) coefficients are evaluated by a matrix product, then combined by the powers of the block.
    """
    count, k = polynomials.shape
    width = 1 << math.ceil(math.log2(k) / 2)
    height = -(-k // width)
    blocks = np.zeros((count, height * width), dtype=np.int64)
    blocks[:, :k] = polynomials
    low = powers(points, width)
    values = matmul(blocks.reshape(count * height, width), low).reshape(count, height, len(points))
    high = powers(mul(low[-1], points), height)
    result: IntArray = mul(values, high[None]).sum(axis=1) % P
    return result
