"""What the protocol relies on about the field, recomputed."""

from zkinfer.protocol.field.params import DEGREE, GENERATOR, NONRESIDUE, ROOT_OF_UNITY, TWO_ADICITY, P

PRIME_FACTORS = (2, 3, 23, 29, 131)
"""Of P - 1; all small enough to be seen to be prime."""


def test_the_factorization_of_the_group_order() -> None:
    assert P - 1 == 2**TWO_ADICITY * 3 * 23 * 29 * 131


def test_p_is_prime_because_an_element_has_order_p_minus_1() -> None:
    """Lucas: an element whose order modulo P is P - 1 exists only modulo a prime. It is the generator."""
    assert pow(GENERATOR, P - 1, P) == 1
    assert all(pow(GENERATOR, (P - 1) // q, P) != 1 for q in PRIME_FACTORS)


def test_u3_minus_2_is_irreducible_because_2_is_no_cube() -> None:
    assert DEGREE == 3
    assert (P - 1) % 3 == 0
    assert pow(NONRESIDUE, (P - 1) // 3, P) != 1


def test_the_root_of_unity_has_order_exactly_2_to_the_two_adicity() -> None:
    assert pow(GENERATOR, (P - 1) >> TWO_ADICITY, P) == ROOT_OF_UNITY
    assert pow(ROOT_OF_UNITY, 2 ** (TWO_ADICITY - 1), P) == P - 1


def test_elements_are_exact_in_float64_with_room_for_sums_of_eight() -> None:
    assert 2**49 < P < 2**50
    assert 8 * P <= 2**53
