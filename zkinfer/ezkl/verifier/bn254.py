"""The curve BN254 (alt_bn128), in plain integers: G1 arithmetic, and the pairing through py_ecc.

G1 is y^2 = x^3 + 3 over the field of `BASE_MODULUS` elements, of prime order `SCALAR_MODULUS`, so every point
on the curve is in the group. G2 has a cofactor, so its points need a subgroup check. Parameters: EIP-196, EIP-197.

An affine point is a pair (x, y) of canonical integers; the point at infinity is (0, 0), as in EIP-196. Nothing here
runs in constant time: a verifier holds no secrets.
"""

import sys
from collections.abc import Sequence
from functools import lru_cache

_recursion_limit = sys.getrecursionlimit()
from py_ecc.fields import optimized_bn128_FQ as FQ  # noqa: E402
from py_ecc.fields import optimized_bn128_FQ2 as FQ2  # noqa: E402
from py_ecc.fields import optimized_bn128_FQ12 as FQ12  # noqa: E402
from py_ecc.optimized_bn128 import b2, curve_order, field_modulus, is_inf, is_on_curve, multiply, pairing  # noqa: E402
from py_ecc.optimized_bn128 import final_exponentiate as _final_exponentiate  # noqa: E402

# py_ecc raises the interpreter's recursion limit when imported, which would turn a RecursionError elsewhere in the
# process into a crash. What is used of it here needs no deep recursion.
sys.setrecursionlimit(_recursion_limit)

BASE_MODULUS: int = field_modulus
SCALAR_MODULUS: int = curve_order

G1Point = tuple[int, int]
Jacobian = tuple[int, int, int]
"""(X, Y, Z) stands for the affine point (X / Z^2, Y / Z^3), and for infinity where Z is 0."""

INFINITY: G1Point = (0, 0)
GENERATOR: G1Point = (1, 2)
G2Point = tuple[int, int, int, int]
"""A G2 point as EIP-197 writes it: imaginary part of x, real part of x, imaginary part of y, real part of y."""

G2_GENERATOR: G2Point = (
    0x198E9393920D483A7260BFB731FB5D25F1AA493335A9E71297E485B7AEF312C2,
    0x1800DEEF121F1E76426A00665E5C4479674322D4F75EDADD46DEBD5CD992F6ED,
    0x090689D0585FF075EC9E99AD690C3395BC4B313370B38EF355ACDADCD122975B,
    0x12C85EA5DB8C6DEB4AAB71808DCB408FE3D1E7690C43D37B4CE6CC0166FA7DAA,
)

_P = BASE_MODULUS
_JACOBIAN_INFINITY: Jacobian = (1, 1, 0)
_WINDOW = 4


def is_canonical_point(x: int, y: int) -> bool:
    """Whether (x, y) is a finite point of the curve with both coordinates reduced."""
    return 0 <= x < _P and 0 <= y < _P and (y * y - x * x * x - 3) % _P == 0


def to_jacobian(point: G1Point) -> Jacobian:
    """The Jacobian form of an affine point."""
    return (*point, 1) if point != INFINITY else _JACOBIAN_INFINITY


def to_affine(point: Jacobian) -> G1Point:
    """The affine form, (0, 0) for infinity."""
    x, y, z = point
    if z == 0:
        return INFINITY
    inverse = pow(z, -1, _P)
    square = inverse * inverse % _P
    return x * square % _P, y * square * inverse % _P


def negate(point: G1Point) -> G1Point:
    """The inverse in the group."""
    return point[0], -point[1] % _P


def double(point: Jacobian) -> Jacobian:
    """2 * point (formulas dbl-2009-l for a = 0, Explicit-Formulas Database)."""
    x, y, z = point
    a = x * x % _P
    b = y * y % _P
    c = b * b % _P
    d = 2 * ((x + b) ** 2 - a - c) % _P
    e = 3 * a
    x3 = (e * e - 2 * d) % _P
    return x3, (e * (d - x3) - 8 * c) % _P, 2 * y * z % _P


def add(p: Jacobian, q: Jacobian) -> Jacobian:
    """p + q, complete: equal, opposite and infinite points included (formulas add-2007-bl)."""
    x1, y1, z1 = p
    x2, y2, z2 = q
    if z1 == 0:
        return q
    if z2 == 0:
        return p
    zz1, zz2 = z1 * z1 % _P, z2 * z2 % _P
    u1, u2 = x1 * zz2 % _P, x2 * zz1 % _P
    s1, s2 = y1 * z2 * zz2 % _P, y2 * z1 * zz1 % _P
    h, r = u2 - u1, 2 * (s2 - s1)
    if h % _P == 0:
        return double(p) if r % _P == 0 else _JACOBIAN_INFINITY
    i = 4 * h * h % _P
    j, v = h * i % _P, u1 * i % _P
    x3 = (r * r - j - 2 * v) % _P
    return x3, (r * (v - x3) - 2 * s1 * j) % _P, 2 * z1 * z2 * h % _P


def add_affine(p: Jacobian, q: G1Point) -> Jacobian:
    """p + q for an affine, finite q: `add` with fewer multiplications (formulas madd-2007-bl)."""
    x1, y1, z1 = p
    x2, y2 = q
    if z1 == 0:
        return x2, y2, 1
    zz = z1 * z1 % _P
    h, r = x2 * zz - x1, 2 * (y2 * z1 * zz - y1)
    if h % _P == 0:
        return double(p) if r % _P == 0 else _JACOBIAN_INFINITY
    hh = h * h % _P
    i = 4 * hh
    j, v = h * i % _P, x1 * i % _P
    x3 = (r * r - j - 2 * v) % _P
    return x3, (r * (v - x3) - 2 * y1 * j) % _P, 2 * z1 * h % _P


def scale(point: G1Point, scalar: int) -> G1Point:
    """scalar * point, for any integer scalar: a fixed window over the scalar's bits."""
    scalar %= SCALAR_MODULUS
    if scalar == 0 or point == INFINITY:
        return INFINITY
    multiples = [_JACOBIAN_INFINITY, to_jacobian(point)]
    for _ in range(2, 1 << _WINDOW):
        multiples.append(add_affine(multiples[-1], point))
    total = _JACOBIAN_INFINITY
    for position in range((scalar.bit_length() - 1) // _WINDOW * _WINDOW, -1, -_WINDOW):
        for _ in range(_WINDOW):
            total = double(total)
        total = add(total, multiples[scalar >> position & (1 << _WINDOW) - 1])
    return to_affine(total)


def _decode_g2(point: G2Point) -> tuple[FQ2, FQ2, FQ2]:
    x_imaginary, x_real, y_imaginary, y_real = point
    return FQ2([x_real, x_imaginary]), FQ2([y_real, y_imaginary]), FQ2.one()


def scale_g2(scalar: int) -> G2Point:
    """scalar * generator of G2, for a scalar that is not a multiple of the group's order."""
    x, y, z = multiply(_decode_g2(G2_GENERATOR), scalar % SCALAR_MODULUS)
    (x_real, x_imaginary), (y_real, y_imaginary) = (x / z).coeffs, (y / z).coeffs
    return int(x_imaginary), int(x_real), int(y_imaginary), int(y_real)


@lru_cache(maxsize=16)
def is_canonical_g2(point: G2Point) -> bool:
    """Whether the point is finite, reduced, on the twist and in the subgroup of order `SCALAR_MODULUS`."""
    if not all(0 <= c < _P for c in point) or not any(point):
        return False
    decoded = _decode_g2(point)
    return bool(is_on_curve(decoded, b2)) and bool(is_inf(multiply(decoded, SCALAR_MODULUS)))


def pairings_cancel(pairs: Sequence[tuple[G1Point, G2Point]]) -> bool:
    """Whether the product of e(p, q) over the pairs is 1.

    Args:
        pairs: canonical points of G1 (infinity allowed) and of G2 (`is_canonical_g2`).
    """
    product = FQ12.one()
    for (x, y), q in pairs:
        if (x, y) != INFINITY:
            p = (FQ(x), FQ(y), FQ.one())
            product = product * pairing(_decode_g2(q), p, final_exponentiate=False)
    return bool(_final_exponentiate(product) == FQ12.one())
