"""The field in plain Python integers: the oracle of the fast kernels, and what a verifier computes with.

A base element is an `int` in [0, P). An extension element is a tuple (c0, c1, c2) of three base elements and means
c0 + c1 u + c2 u^2 with u^3 = 2. Functions expect canonical elements and return canonical elements. `P` is public, so
nothing here tries to take the same time for all values.
"""

import builtins
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TypeAlias

from zkinfer.counts import counted
from zkinfer.errors import InvalidInputError, ShapeError
from zkinfer.protocol.field.params import BLOWUP, NONRESIDUE, ROOT_OF_UNITY, TWO_ADICITY, P

Ext: TypeAlias = tuple[int, int, int]

ZERO: Ext = (0, 0, 0)
ONE: Ext = (1, 0, 0)


def add(a: int, b: int) -> int:
    return (a + b) % P


def sub(a: int, b: int) -> int:
    return (a - b) % P


def neg(a: int) -> int:
    return -a % P


def mul(a: int, b: int) -> int:
    return a * b % P


def inv(a: int) -> int:
    """The inverse of a nonzero element.

    Raises:
        InvalidInputError: zero has no inverse.
    """
    if a % P == 0:
        raise InvalidInputError("zero has no inverse")
    return builtins.pow(a, -1, P)


def pow(a: int, exponent: int) -> int:  # noqa: A001
    """a to a non-negative exponent; 0^0 = 1."""
    return builtins.pow(a, exponent, P)


def ext_from_base(a: int) -> Ext:
    return (a, 0, 0)


def ext_add(a: Ext, b: Ext) -> Ext:
    return ((a[0] + b[0]) % P, (a[1] + b[1]) % P, (a[2] + b[2]) % P)


def ext_sub(a: Ext, b: Ext) -> Ext:
    return ((a[0] - b[0]) % P, (a[1] - b[1]) % P, (a[2] - b[2]) % P)


def ext_neg(a: Ext) -> Ext:
    return (-a[0] % P, -a[1] % P, -a[2] % P)


def ext_scale(a: Ext, s: int) -> Ext:
    """a times the base element s."""
    return (a[0] * s % P, a[1] * s % P, a[2] * s % P)


def ext_mul(a: Ext, b: Ext) -> Ext:
    a0, a1, a2 = a
    b0, b1, b2 = b
    return (
        (a0 * b0 + NONRESIDUE * (a1 * b2 + a2 * b1)) % P,
        (a0 * b1 + a1 * b0 + NONRESIDUE * a2 * b2) % P,
        (a0 * b2 + a1 * b1 + a2 * b0) % P,
    )


def ext_inv(a: Ext) -> Ext:
    """The inverse of a nonzero element: its cofactors over its norm.

    Multiplication by a is the matrix ((a0, 2 a2, 2 a1), (a1, a0, 2 a2), (a2, a1, a0)). The inverse of a is the
    solution of that system for (1, 0, 0); its determinant is the norm of a to F_P, zero for a = 0 alone.

    Raises:
        InvalidInputError: zero has no inverse.
    """
    a0, a1, a2 = a
    cofactors = (
        a0 * a0 - NONRESIDUE * a1 * a2,
        NONRESIDUE * a2 * a2 - a0 * a1,
        a1 * a1 - a0 * a2,
    )
    norm = (a0 * cofactors[0] + NONRESIDUE * (a2 * cofactors[1] + a1 * cofactors[2])) % P
    scale = inv(norm)
    return (cofactors[0] * scale % P, cofactors[1] * scale % P, cofactors[2] * scale % P)


def ext_pow(a: Ext, exponent: int) -> Ext:
    """a to a non-negative exponent; 0^0 = 1."""
    result = ONE
    for bit in bin(exponent)[2:]:
        result = ext_mul(result, result)
        if bit == "1":
            result = ext_mul(result, a)
    return result


def ext_scale_each(values: Iterable[Ext], factor: Ext) -> list[Ext]:
    """factor times each of the values."""
    return [ext_mul(factor, value) for value in values]


def ext_sub_each(a: Sequence[Ext], b: Sequence[Ext]) -> list[Ext]:
    """a - b, for vectors of one length."""
    return [ext_sub(x, y) for x, y in zip(a, b, strict=True)]


def ext_add_scaled(a: Sequence[Ext], factor: Ext, b: Sequence[Ext]) -> list[Ext]:
    """a + factor * b, for vectors; the shorter one is continued with zeros."""
    pairs = zip_longest(a, b, fillvalue=ZERO)
    return [ext_add(x, ext_mul(factor, y)) for x, y in pairs]


def ext_between(a: Ext, b: Ext, r: Ext) -> Ext:
    """(1 - r) a + r b: the linear polynomial with the values a at 0 and b at 1, at r."""
    return ext_add(a, ext_mul(r, ext_sub(b, a)))


def ext_powers(base: Ext, count: int) -> list[Ext]:
    """1, base, base^2, ..., `count` of them."""
    result = [ONE] * count
    for i in range(1, count):
        result[i] = ext_mul(result[i - 1], base)
    return result


def round_weights(challenge: Ext, weight: Ext, degree: int) -> list[Ext]:
    """challenge^k - weight for k = 1, ..., degree: what a sumcheck's round weighs its message with."""
    return [ext_sub(power, weight) for power in ext_powers(challenge, degree + 1)[1:]]


def quadratic(at0: Ext, square: Ext, target: Ext, here: Ext | None) -> list[Ext]:
    """The polynomial g of degree 2 with w0 g(0) + w1 g(1) = target, the coefficient of X^0 first.

    Args:
        at0, square: g(0), and the coefficient of X^2.
        here: a coordinate of eq, not zero: the weights are 1 - here and here; or None for weights 1 and 1.
    """
    w0, inverse = (ONE, ONE) if here is None else (ext_sub(ONE, here), ext_inv(here))
    at1 = ext_mul(ext_sub(target, ext_mul(w0, at0)), inverse)
    return [at0, ext_sub(ext_sub(at1, at0), square), square]


def batch_inv(values: Sequence[int]) -> list[int]:
    """The inverses of nonzero base elements."""
    return [inv(v) for v in values]


def ext_batch_inv(values: Sequence[Ext]) -> list[Ext]:
    """The inverses of nonzero extension elements."""
    return [ext_inv(v) for v in values]


def dot(a: Sequence[int], b: Sequence[int]) -> int:
    """The inner product of two base vectors."""
    return sum(x * y for x, y in zip(a, b, strict=True)) % P


def ext_dot(a: Sequence[Ext], b: Sequence[Ext]) -> Ext:
    """The inner product of two extension vectors."""
    c0 = c1 = c2 = 0
    for (a0, a1, a2), (b0, b1, b2) in zip(a, b, strict=True):
        c0 += a0 * b0 + NONRESIDUE * (a1 * b2 + a2 * b1)
        c1 += a0 * b1 + a1 * b0 + NONRESIDUE * a2 * b2
        c2 += a0 * b2 + a1 * b1 + a2 * b0
    return (c0 % P, c1 % P, c2 % P)


def ext_base_dot(a: Sequence[Ext], b: Sequence[int]) -> Ext:
    """The inner product of an extension vector and a base vector."""
    total = ZERO
    for x, y in zip(a, b, strict=True):
        total = ext_add(total, ext_scale(x, y))
    return total


def row_combination(matrix: Sequence[Sequence[int]], coefficients: Sequence[Ext]) -> list[Ext]:
    """sum_i coefficients[i] * matrix[i], column by column; entries are any integers, taken modulo P."""
    columns = len(matrix[0]) if matrix else 0
    result = [ZERO] * columns
    for row, coefficient in zip(matrix, coefficients, strict=True):
        result = [ext_add(t, ext_scale(coefficient, v % P)) for t, v in zip(result, row, strict=True)]
    return result


def eq_table(point: Sequence[Ext]) -> list[Ext]:
    """eq(point, b) for all b in {0, 1}^n, in order of the integer b, whose most significant bit belongs to point[0].

    eq(x, b) = prod_j (x_j if b_j else 1 - x_j) is multilinear in x, 1 at b and 0 elsewhere on the cube.
    """
    table = [ONE]
    for x in point:
        table = [entry for t in table for hi in (ext_mul(t, x),) for entry in (ext_sub(t, hi), hi)]
    return table


def eq(a: Sequence[Ext], b: Sequence[Ext]) -> Ext:
    """prod_j (a_j b_j + (1 - a_j)(1 - b_j))."""
    result = ONE
    for x, y in zip(a, b, strict=True):
        result = ext_mul(result, _eq_term(x, y))
    return result


def _eq_term(x: Ext, y: Ext) -> Ext:
    """1 - x - y + 2 x y."""
    p0, p1, p2 = ext_mul(x, y)
    return ((1 - x[0] - y[0] + 2 * p0) % P, (2 * p1 - x[1] - y[1]) % P, (2 * p2 - x[2] - y[2]) % P)


def index_at(point: Sequence[Ext]) -> Ext:
    """The multilinear extension of the index i itself, its most significant bit first, at a point."""
    total = ZERO
    for r in point:
        total = ext_add(ext_add(total, total), r)
    return total


def threshold_at(threshold: int, point: Sequence[Ext]) -> tuple[Ext, Ext]:
    """The multilinear extensions, at a point of n coordinates, of [i >= threshold] and of i [i >= threshold].

    `threshold` is in [0, 2^n]. Built up from the least significant bit: with b the threshold's bit and r the
    coordinate of the same significance s, i >= threshold holds where r > b, or where r = b and it holds below.
    """
    if threshold == 1 << len(point):
        return ZERO, ZERO
    indicator, weighted, index = ONE, ZERO, ZERO
    for position, r in enumerate(reversed(point)):
        significance = 1 << position
        if threshold >> position & 1:
            weighted = ext_mul(r, ext_add(weighted, ext_scale(indicator, significance)))
            indicator = ext_mul(r, indicator)
        else:
            above = ext_add(index, (significance, 0, 0))
            weighted = ext_add(weighted, ext_mul(r, ext_sub(above, weighted)))
            indicator = ext_add(indicator, ext_mul(r, ext_sub(ONE, indicator)))
        index = ext_add(index, ext_scale(r, significance))
    return indicator, weighted


def fold(values: Sequence[Ext], r: Ext) -> list[Ext]:
    """Binds the first, most significant variable to r: out[i] = lo[i] + r (hi[i] - lo[i]), lo and hi the halves."""
    half = len(values) // 2
    if len(values) != 2 * half or not half:
        raise ShapeError(f"cannot fold {counted(len(values), 'value')}: their number must be even and positive")
    return [ext_add(lo, ext_mul(r, ext_sub(hi, lo))) for lo, hi in zip(values[:half], values[half:], strict=True)]


def mle(values: Sequence[Ext], point: Sequence[Ext]) -> Ext:
    """The multilinear polynomial with these 2^n values on the cube, at a point of n coordinates."""
    if len(values) != 1 << len(point):
        raise ShapeError(f"{len(values):,} values need a point of {len(values).bit_length() - 1} coordinates")
    table = list(values)
    for r in point:
        table = fold(table, r)
    return table[0]


def ext_polynomial(coefficients: Sequence[Ext], x: Ext) -> Ext:
    """sum_k coefficients[k] x^k."""
    result = ZERO
    for c in reversed(coefficients):
        result = ext_add(ext_mul(result, x), c)
    return result


def root_of_unity(n: int) -> int:
    """The primitive n-th root of unity that all transforms of length n use: ROOT_OF_UNITY^(2^32 / n).

    Raises:
        ShapeError: n is not a power of two, or larger than 2^32.
    """
    if n < 1 or n & (n - 1) or n > 1 << TWO_ADICITY:
        raise ShapeError(f"no transform of length {n}: it must be a power of two, at most 2^{TWO_ADICITY}")
    return builtins.pow(ROOT_OF_UNITY, (1 << TWO_ADICITY) // n, P)


def _transform(values: list[int], root: int) -> list[int]:
    """out[k] = sum_j values[j] root^(j k), by even and odd j."""
    n = len(values)
    if n == 1:
        return values
    even = _transform(values[::2], root * root % P)
    odd = _transform(values[1::2], root * root % P)
    twisted = []
    w = 1
    for v in odd:
        twisted.append(v * w % P)
        w = w * root % P
    return [(e + o) % P for e, o in zip(even, twisted, strict=True)] + [
        (e - o) % P for e, o in zip(even, twisted, strict=True)
    ]


def ntt(values: Sequence[int]) -> list[int]:
    """out[k] = sum_j values[j] w^(j k) for w = root_of_unity(n): values of a polynomial, given by its coefficients."""
    return _transform(list(values), root_of_unity(len(values)))


def intt(values: Sequence[int]) -> list[int]:
    """The inverse of `ntt`."""
    n = len(values)
    scale = builtins.pow(n, -1, P)
    return [v * scale % P for v in _transform(list(values), builtins.pow(root_of_unity(n), -1, P))]


def rs_encode(message: Sequence[int], blowup: int = BLOWUP) -> list[int]:
    """The Reed-Solomon codeword of a message: the values, at all n-th roots of unity in the order of `ntt`, of the
    polynomial whose coefficients are the message; n = blowup * len(message) is a power of two."""
    return ntt([*message, *([0] * ((blowup - 1) * len(message)))])
