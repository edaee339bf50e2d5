"""Unions of intervals with exact ends."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.compiler.approx.domain import LINE, NEGATIVE, NOT_NEGATIVE, NOT_ZERO, NOWHERE, POSITIVE, Domain, Segment

ENDS = st.one_of(st.none(), st.integers(-4, 4).map(Fraction))


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    lo, hi = draw(ENDS), draw(ENDS)
    if lo is not None and hi is not None and lo > hi:
        lo, hi = hi, lo
    point = lo is not None and lo == hi
    return Segment(
        lo, hi, lo is not None and (point or draw(st.booleans())), hi is not None and (point or draw(st.booleans()))
    )


DOMAINS = st.lists(segments(), max_size=4).map(lambda ps: Domain.of(*ps))
PROBES = [Fraction(k, 2) for k in range(-11, 12)]


def members(domain: Domain) -> set[Fraction]:
    return {x for x in PROBES if x in domain}


@given(st.lists(segments(), max_size=5))
def test_a_union_has_the_points_of_its_pieces_in_disjoint_order(parts: list[Segment]) -> None:
    domain = Domain.of(*parts)
    assert members(domain) == {x for x in PROBES if any(x in part for part in parts)}
    for left, right in zip(domain.segments, domain.segments[1:], strict=False):
        assert not left.touches(right)


@given(DOMAINS, DOMAINS)
def test_intersection_and_union(a: Domain, b: Domain) -> None:
    assert members(a & b) == members(a) & members(b)
    assert members(a | b) == members(a) | members(b)


@given(DOMAINS)
def test_the_same_set_is_the_same_value(a: Domain) -> None:
    assert a & a == a
    assert a | a == a
    assert a & LINE == a
    assert a | NOWHERE == a
    assert a & NOWHERE == NOWHERE


@given(DOMAINS, st.sampled_from([Fraction(-2), Fraction(1, 2), Fraction(3)]), st.integers(-3, 3).map(Fraction))
def test_affine_maps(a: Domain, scale: Fraction, offset: Fraction) -> None:
    image = a.map_affine(scale, offset)
    for x in PROBES:
        assert (x in a) == (scale * x + offset in image)


@given(DOMAINS)
def test_membership_of_arrays(a: Domain) -> None:
    x = np.array([float(p) for p in PROBES])
    np.testing.assert_array_equal(a.contains(x), [p in a for p in PROBES])


def test_membership_is_exact_at_ends_that_float64_does_not_hold() -> None:
    above_third = Domain.of(Segment(lo=Fraction(1, 3)))
    near = np.float64(1 / 3)
    assert Fraction(float(near)) < Fraction(1, 3)
    x = np.array([near, np.nextafter(near, 1.0)])
    assert above_third.contains(x).tolist() == [False, True]
    assert above_third.map_affine(Fraction(-1), Fraction(0)).contains(-x).tolist() == [False, True]


def test_nan_and_infinities_belong_nowhere() -> None:
    assert not LINE.contains(np.array([np.nan, np.inf, -np.inf])).any()


def test_names() -> None:
    assert str(NOT_ZERO) == "(-inf, 0) or (0, inf)"
    assert str(NOT_NEGATIVE) == "[0, inf)"
    assert str(NOWHERE) == "nowhere"
    assert NEGATIVE | POSITIVE == NOT_ZERO
    assert NOT_NEGATIVE | NEGATIVE == LINE
