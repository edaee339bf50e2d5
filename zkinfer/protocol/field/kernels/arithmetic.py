"""Elements of F_P and of its extension as float64 numbers: the operations that all kernels are made of.

Representation. A residue class modulo P is held as an integer in a float64. *Balanced* means |x| <= HALF = (P - 1) / 2:
each class has exactly one balanced representative. Arrays in memory are balanced; inside a kernel values may be larger
(*lazy*), within the bounds that each function states. The functions act on float64 numbers and on
`vector.Vector`s alike.

Facts used throughout, with eps = 2^-53 and 0.99995 * 2^50 < P < 2^50:

* Integers up to 2^53 > 8 P are exact, and so are their sums and differences within that range.
* For h = fl(a b), fma(a, b, -h) is the error of the product, exactly: at most half the spacing of numbers at h.
* INV = fl(1 / P) differs from 1 / P by the factor 1 + 0.554 eps at most (`test_arithmetic.py` checks it).
* For |y| <= 2^51, (y + MAGIC) - MAGIC with MAGIC = 1.5 * 2^52 is y rounded to an integer, because the sum lies in
  [2^52, 2^53], where the spacing is 1; with a fused multiply-add the product in y is not rounded beforehand.
  With MAGIC_EVEN = 2 MAGIC and |y| <= 2^52 it is y rounded to an even integer. LLVM keeps such
  sums as they are: no fast-math flag is set.

The technique of multiplying modulo a 50-bit prime with two fused multiply-adds is that of FLINT's `fft_small`; keeping
the high parts of several products in one binade, so that they add exactly, is Emmart's.
"""

from typing import Any

from zkinfer.jit.compiling import device
from zkinfer.protocol.field.kernels.vector import fma
from zkinfer.protocol.field.params import P

P_FLOAT = float(P)
HALF = float((P - 1) // 2)
INV = 1.0 / P
MAGIC = 1.5 * 2.0**52
MAGIC_EVEN = 1.5 * 2.0**53

ANCHOR = 1.5 * 2.0**103
"""Sums of products are accumulated on top of this: up to 2^102 to either side the spacing is 2^51."""


@device
def reduce(x: Any) -> Any:
    """x modulo P, balanced, for |x| <= 7 P.

    q = round(x INV) differs from x / P by at most 1/2 + 7 * 0.554 eps, so |x - q P| <= P / 2 + 0.49; an integer that
    close to P / 2 is at most (P - 1) / 2.
    """
    q = fma(x, INV, MAGIC) - MAGIC
    return fma(-q, P_FLOAT, x)


@device
def mul_lazy(a: Any, b: Any) -> Any:
    """a b modulo P for |a b| <= 2 P^2; the result is below 0.77 P, for |a b| <= P^2 below 0.64 P.

    With h = fl(a b) and |h| < 2^101, |q - h / P| <= 1/2 + 2 P * 0.554 eps <= 0.5 + 0.139, and the
    rounding error of h is at most 2^47 = P / 8. For |a b| <= P^2 both excesses halve. h - q P is an integer below 2^53,
    hence exact.
    """
    h = a * b
    low = fma(a, b, -h)
    q = fma(h, INV, MAGIC) - MAGIC
    return fma(-q, P_FLOAT, h) + low


@device
def mul(a: Any, b: Any) -> Any:
    """a b modulo P, balanced, for |a b| <= 2 P^2."""
    return reduce(mul_lazy(a, b))


@device
def sum_of_products(s: Any, x0: Any, y0: Any, x1: Any, y1: Any, x2: Any, y2: Any) -> Any:
    """s + x0 y0 + x1 y1 + x2 y2 modulo P, balanced, for |x0 y0| + |x1 y1| + |x2 y2| <= 4 P^2 and |s| <= 2.7 P.

    The high parts add up in t on top of ANCHOR. As 4 P^2 + 3 * 2^50 < 2^102, t stays between 2^103 and 2^104, where the
    spacing is 2^51: every t - t' is exact, and each fma(x, y, t' - t) is the exact rounding error of one step, at most
    2^50. Then h = t - ANCHOR is a multiple of 2^51, at most 2^102; q is an even integer within
    1 + 4 P * 0.554 eps <= 1.28 of h / P; and |h - q P + low| <= 1.28 P + 3 * 2^50 + |s| <= 7 P.
    """
    t0 = fma(x0, y0, ANCHOR)
    t1 = fma(x1, y1, t0)
    t2 = fma(x2, y2, t1)
    low = fma(x0, y0, ANCHOR - t0) + fma(x1, y1, t0 - t1) + fma(x2, y2, t1 - t2)
    h = t2 - ANCHOR
    q = fma(h, INV, MAGIC_EVEN) - MAGIC_EVEN
    # s comes last: in a loop that adds products to s, only this sum and its reduction wait for the previous round.
    return reduce((fma(-q, P_FLOAT, h) + low) + s)


@device
def ext_mul_add(s0: Any, s1: Any, s2: Any, a0: Any, a1: Any, a2: Any, b0: Any, b1: Any, b2: Any) -> Any:
    """s + a b in the extension, balanced, for |s_k| <= 2.7 P and |a_i| |b_j| <= 0.8 P^2 (all i, j).

    The first coordinate is the largest sum: a0 b0 + 2 a1 b2 + 2 a2 b1, at most 5 * 0.8 P^2. So one factor may
    be a difference of two balanced elements, or one may be any lazy value up to 1.6 P, if the other is balanced.
    """
    twice1 = b1 + b1
    twice2 = b2 + b2
    return (
        sum_of_products(s0, a0, b0, a1, twice2, a2, twice1),
        sum_of_products(s1, a0, b1, a1, b0, a2, twice2),
        sum_of_products(s2, a0, b2, a1, b1, a2, b0),
    )


@device
def ext_mul(a0: Any, a1: Any, a2: Any, b0: Any, b1: Any, b2: Any) -> Any:
    """a b in the extension, balanced, for |a_i| |b_j| <= 0.8 P^2 (all i, j)."""
    return ext_mul_add(0.0, 0.0, 0.0, a0, a1, a2, b0, b1, b2)


@device
def ext_scale(a0: Any, a1: Any, a2: Any, b: Any) -> Any:
    """a b for an extension element a and a base element b, balanced, for |a_i b| <= 2 P^2."""
    return mul(a0, b), mul(a1, b), mul(a2, b)
