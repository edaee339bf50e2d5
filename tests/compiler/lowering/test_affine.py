"""Affine maps, and the factors that integers carry out exactly."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.compiler.lowering.affine import AffineMap, is_simple


@given(*[st.fractions(-5, 5, max_denominator=9)] * 5)
def test_composes_and_inverts(a: Fraction, b: Fraction, c: Fraction, d: Fraction, x: Fraction) -> None:
    outer, inner = AffineMap(a or Fraction(1), b), AffineMap(c or Fraction(1), d)
    assert outer.compose(inner).exactly(x) == outer.exactly(inner.exactly(x))
    assert outer.solve(outer.at(float(x))) == pytest.approx(float(x), abs=1e-9)
    assert outer.tree(np.array([float(x)]))[0] == pytest.approx(outer.at(float(x)), abs=1e-9)


@pytest.mark.parametrize(
    ("factor", "simple"),
    [(1, True), (-3, True), (Fraction(7, 8), True), (63, True), (65, False), (Fraction(1, 3), False), (0.1, False)],
)
def test_simple_factors_are_small_integers_over_powers_of_two(factor: float, simple: bool) -> None:
    assert is_simple(Fraction(factor)) == simple
