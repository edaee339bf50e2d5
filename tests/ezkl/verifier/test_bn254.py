"""Curve arithmetic against py_ecc, which was written independently, and the pairing's laws."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc import optimized_bn128 as reference

from zkinfer.ezkl.verifier import bn254
from zkinfer.ezkl.verifier.bn254 import (
    BASE_MODULUS,
    G2_GENERATOR,
    GENERATOR,
    INFINITY,
    SCALAR_MODULUS,
    G1Point,
    add,
    add_affine,
    double,
    is_canonical_g2,
    is_canonical_point,
    negate,
    pairings_cancel,
    scale,
    scale_g2,
    to_affine,
    to_jacobian,
)

P = BASE_MODULUS
SCALARS = st.integers(0, 2**256 - 1) | st.integers(0, 20) | st.integers(SCALAR_MODULUS - 20, SCALAR_MODULUS + 20)


def multiple(scalar: int) -> G1Point:
    """A multiple of the generator, by py_ecc."""
    point = reference.multiply(reference.G1, scalar % SCALAR_MODULUS)
    if reference.is_inf(point):
        return INFINITY
    x, y = reference.normalize(point)
    return int(x), int(y)


def rescaled(point: G1Point, z: int) -> tuple[int, int, int]:
    """The same point with another Z."""
    return point[0] * z * z % P, point[1] * z**3 % P, z


def test_parameters_are_those_of_the_standard() -> None:
    assert BASE_MODULUS == 21888242871839275222246405745257275088696311157297823662689037894645226208583
    assert SCALAR_MODULUS == 21888242871839275222246405745257275088548364400416034343698204186575808495617
    assert is_canonical_point(*GENERATOR)
    x, y = reference.normalize(reference.G2)
    assert tuple(int(c) for c in (x.coeffs[1], x.coeffs[0], y.coeffs[1], y.coeffs[0])) == G2_GENERATOR


@settings(max_examples=25)
@given(SCALARS)
def test_scaling_agrees_with_the_reference(scalar: int) -> None:
    assert scale(GENERATOR, scalar) == multiple(scalar)


@settings(max_examples=15)
@given(SCALARS, SCALARS, st.integers(1, P - 1), st.integers(1, P - 1))
def test_addition_agrees_with_the_reference(a: int, b: int, z1: int, z2: int) -> None:
    p, q, total = multiple(a), multiple(b), multiple(a + b)
    left = rescaled(p, z1) if p != INFINITY else (1, 1, 0)
    right = rescaled(q, z2) if q != INFINITY else (1, 1, 0)
    assert to_affine(add(left, right)) == total
    if q != INFINITY:
        assert to_affine(add_affine(left, q)) == total
    assert to_affine(double(left)) == multiple(2 * a)


@pytest.mark.parametrize(
    ("a", "b"), [(0, 0), (0, 5), (5, 0), (5, 5), (5, SCALAR_MODULUS - 5), (1, 1), (1, SCALAR_MODULUS - 1)]
)
def test_addition_is_complete(a: int, b: int) -> None:
    """Infinity, doubling and cancelling, where incomplete formulas fail."""
    p, q = to_jacobian(multiple(a)), to_jacobian(multiple(b))
    assert to_affine(add(p, q)) == multiple(a + b)
    if b:
        assert to_affine(add_affine(p, multiple(b))) == multiple(a + b)


def test_scaling_infinity() -> None:
    assert scale(INFINITY, 5) == INFINITY
    assert scale(GENERATOR, 0) == INFINITY
    assert scale(GENERATOR, SCALAR_MODULUS) == INFINITY
    assert negate(GENERATOR) == multiple(-1)


@pytest.mark.parametrize(
    "point", [(0, 0), (1, 1), (1 + P, 2), (1, 2 + P), (1, -2), (P, P), (-1, 2), (2**256 - 1, 2**256 - 1)]
)
def test_points_off_the_curve_or_not_reduced(point: G1Point) -> None:
    assert not is_canonical_point(*point)


def test_pairing_is_bilinear_and_not_degenerate() -> None:
    p, q = multiple(35), multiple(7)
    twist = bn254._decode_g2(G2_GENERATOR)
    x, y = reference.normalize(reference.multiply(twist, 5))
    five_g2 = int(x.coeffs[1]), int(x.coeffs[0]), int(y.coeffs[1]), int(y.coeffs[0])
    assert scale_g2(5) == five_g2
    assert pairings_cancel([(p, G2_GENERATOR), (negate(q), five_g2)])
    assert not pairings_cancel([(p, G2_GENERATOR), (q, five_g2)])
    assert not pairings_cancel([(p, G2_GENERATOR), (negate(multiple(8)), five_g2)])
    assert pairings_cancel([(INFINITY, G2_GENERATOR)])
    assert not pairings_cancel([(GENERATOR, G2_GENERATOR)])


def twist_point_outside_the_subgroup() -> tuple[int, int, int, int]:
    """A point on the twist that is not in G2: the first x = n with a square right-hand side."""
    fq2, half = reference.FQ2, (P + 1) // 4
    for n in range(1, 100):
        x = fq2([n, 1])
        square = x * x * x + reference.b2
        a, b = (int(c) for c in square.coeffs)
        norm = pow(a * a + b * b, half, P)
        for root in (norm, -norm % P):
            real = pow((a + root) * pow(2, -1, P), half, P)
            if real:
                y = fq2([real, b * pow(2 * real, -1, P)])
                if y * y == square:
                    return int(x.coeffs[1]), int(x.coeffs[0]), int(y.coeffs[1]), int(y.coeffs[0])
    raise AssertionError("no point found")


def test_g2_points() -> None:
    assert is_canonical_g2(G2_GENERATOR)
    outside = twist_point_outside_the_subgroup()
    assert reference.is_on_curve(bn254._decode_g2(outside), reference.b2)
    assert not is_canonical_g2(outside)
    assert not is_canonical_g2((0, 0, 0, 0))
    assert not is_canonical_g2((1, 2, 3, 4))
    x_1, x_2, y_1, y_2 = G2_GENERATOR
    assert not is_canonical_g2((x_1 + P, x_2, y_1, y_2))


def test_g2_point_of_an_isomorphic_curve() -> None:
    """Its order is that of the subgroup, since the addition law does not look at the curve's constant."""
    x_1, x_2, y_1, y_2 = G2_GENERATOR
    moved = (4 * x_1 % P, 4 * x_2 % P, 8 * y_1 % P, 8 * y_2 % P)
    assert reference.is_inf(reference.multiply(bn254._decode_g2(moved), SCALAR_MODULUS))
    assert not is_canonical_g2(moved)


def test_import_leaves_the_recursion_limit_alone() -> None:
    """py_ecc raises it to 100,000, at which deep recursion crashes instead of raising."""
    code = (
        "import sys; before = sys.getrecursionlimit(); import zkinfer.verifier; print(before, sys.getrecursionlimit())"
    )
    before, after = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert before == after


def test_pairing_needs_no_deep_recursion() -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(500)
    try:
        assert pairings_cancel([(GENERATOR, G2_GENERATOR), (negate(GENERATOR), G2_GENERATOR)])
    finally:
        sys.setrecursionlimit(limit)
