"""The oracle against the definitions: field axioms, and each polynomial by its formula."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.errors import InvalidInputError, ShapeError
from zkinfer.protocol.field import scalar
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext

EDGES = [0, 1, 2, P // 2, P // 2 + 1, P - 2, P - 1]
base = st.one_of(st.sampled_from(EDGES), st.integers(0, P - 1))
ext = st.tuples(base, base, base)


@given(base, base)
def test_base_arithmetic_is_integer_arithmetic_modulo_p(a: int, b: int) -> None:
    assert scalar.add(a, b) == (a + b) % P
    assert scalar.sub(a, b) == (a - b) % P
    assert scalar.mul(a, b) == (a * b) % P
    assert scalar.add(a, scalar.neg(a)) == 0
    assert scalar.pow(a, 3) == scalar.mul(a, scalar.mul(a, a))


def schoolbook(a: Ext, b: Ext) -> Ext:
    """The product of two polynomials in u, reduced by u^3 = 2."""
    c = [0] * 5
    for i, j in product(range(3), repeat=2):
        c[i + j] += a[i] * b[j]
    return ((c[0] + 2 * c[3]) % P, (c[1] + 2 * c[4]) % P, c[2] % P)


@given(ext, ext)
def test_extension_product_is_the_product_of_polynomials_reduced(a: Ext, b: Ext) -> None:
    assert scalar.ext_mul(a, b) == schoolbook(a, b)


@given(ext, ext, ext)
def test_extension_is_a_commutative_ring_with_negatives(a: Ext, b: Ext, c: Ext) -> None:
    assert scalar.ext_mul(a, scalar.ext_add(b, c)) == scalar.ext_add(scalar.ext_mul(a, b), scalar.ext_mul(a, c))
    assert scalar.ext_mul(a, scalar.ext_mul(b, c)) == scalar.ext_mul(scalar.ext_mul(a, b), c)
    assert scalar.ext_mul(a, ONE) == a
    assert scalar.ext_add(scalar.ext_sub(a, b), b) == a
    assert scalar.ext_add(a, scalar.ext_neg(a)) == ZERO


@given(ext, base)
def test_scaling_is_multiplication_by_an_embedded_base_element(a: Ext, s: int) -> None:
    assert scalar.ext_scale(a, s) == scalar.ext_mul(a, scalar.ext_from_base(s))


@given(base.filter(bool), ext.filter(lambda a: a != ZERO))
def test_inverses(a: int, e: Ext) -> None:
    assert scalar.mul(a, scalar.inv(a)) == 1
    assert scalar.ext_mul(e, scalar.ext_inv(e)) == ONE
    assert scalar.batch_inv([a, 1]) == [scalar.inv(a), 1]
    assert scalar.ext_batch_inv([e]) == [scalar.ext_inv(e)]


def test_zero_has_no_inverse() -> None:
    with pytest.raises(InvalidInputError):
        scalar.inv(0)
    with pytest.raises(InvalidInputError):
        scalar.ext_inv(ZERO)


@given(ext, st.integers(0, 20))
def test_extension_powers(a: Ext, exponent: int) -> None:
    expected = ONE
    for _ in range(exponent):
        expected = scalar.ext_mul(expected, a)
    assert scalar.ext_pow(a, exponent) == expected


@given(st.lists(ext, max_size=4))
def test_eq_table_lists_eq_at_every_vertex_with_the_first_variable_on_top(point: list[Ext]) -> None:
    vertices = list(product((ZERO, ONE), repeat=len(point)))
    assert scalar.eq_table(point) == [scalar.eq(point, vertex) for vertex in vertices]


def test_eq_is_one_on_the_diagonal_of_the_cube_and_zero_off_it() -> None:
    for a, b in product(product((ZERO, ONE), repeat=3), repeat=2):
        assert scalar.eq(a, b) == (ONE if a == b else ZERO)


@given(st.data(), st.integers(0, 4))
def test_mle_is_the_inner_product_with_the_eq_table(data: st.DataObject, n: int) -> None:
    values = data.draw(st.lists(ext, min_size=2**n, max_size=2**n))
    point = data.draw(st.lists(ext, min_size=n, max_size=n))
    assert scalar.mle(values, point) == scalar.ext_dot(values, scalar.eq_table(point))


def test_fold_binds_the_most_significant_variable() -> None:
    lo, hi = [(1, 0, 0), (2, 0, 0)], [(3, 0, 0), (4, 0, 0)]
    assert scalar.fold(lo + hi, ZERO) == lo
    assert scalar.fold(lo + hi, ONE) == hi


@pytest.mark.parametrize("values", [[], [ONE], [ONE] * 3])
def test_fold_refuses_odd_numbers_of_values(values: list[Ext]) -> None:
    with pytest.raises(ShapeError):
        scalar.fold(values, ONE)


def test_mle_refuses_a_point_of_another_dimension() -> None:
    with pytest.raises(ShapeError):
        scalar.mle([ONE] * 4, [ONE])


def test_inner_products_refuse_unequal_lengths() -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (Python's own, of zip)
        scalar.dot([1], [1, 2])
    with pytest.raises(ValueError):  # noqa: PT011 (Python's own, of zip)
        scalar.ext_dot([ONE], [])
    with pytest.raises(ValueError):  # noqa: PT011 (Python's own, of zip)
        scalar.ext_base_dot([ONE], [])


@given(st.data())
def test_row_combination_is_one_inner_product_a_column(data: st.DataObject) -> None:
    rows, columns = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    matrix = data.draw(
        st.lists(
            st.lists(st.integers(-(2**15), 2**15), min_size=columns, max_size=columns), min_size=rows, max_size=rows
        )
    )
    coefficients = data.draw(st.lists(ext, min_size=rows, max_size=rows))
    expected = [scalar.ext_base_dot(coefficients, [v % P for v in column]) for column in zip(*matrix, strict=True)]
    assert scalar.row_combination(matrix, coefficients) == expected


@given(st.lists(ext, max_size=5), ext)
def test_polynomials_are_sums_of_powers(coefficients: list[Ext], x: Ext) -> None:
    powers = [scalar.ext_pow(x, k) for k in range(len(coefficients))]
    assert scalar.ext_polynomial(coefficients, x) == scalar.ext_dot(coefficients, powers)


@given(st.data(), st.integers(0, 4))
def test_ntt_evaluates_at_the_powers_of_the_root(data: st.DataObject, log_n: int) -> None:
    n = 2**log_n
    values = data.draw(st.lists(base, min_size=n, max_size=n))
    w = scalar.root_of_unity(n)
    assert scalar.ntt(values) == [sum(v * pow(w, j * k, P) for j, v in enumerate(values)) % P for k in range(n)]
    assert scalar.intt(scalar.ntt(values)) == values


@pytest.mark.parametrize("n", [0, 3, 12, 2**33])
def test_there_is_no_root_of_another_order(n: int) -> None:
    with pytest.raises(ShapeError):
        scalar.root_of_unity(n)


def test_codewords_are_values_of_the_message_polynomial() -> None:
    message = [5, 7]
    w = scalar.root_of_unity(8)
    assert scalar.rs_encode(message) == [(5 + 7 * pow(w, k, P)) % P for k in range(8)]
    assert len(scalar.rs_encode(message, 8)) == 16


@given(st.lists(ext, max_size=5), st.lists(ext, max_size=5), ext)
def test_vectors_are_computed_element_by_element(a: list[Ext], b: list[Ext], r: Ext) -> None:
    shared = min(len(a), len(b))
    assert scalar.ext_scale_each(a, r) == [scalar.ext_mul(r, x) for x in a]
    assert scalar.ext_sub_each(a[:shared], b[:shared]) == [scalar.ext_sub(x, y) for x, y in zip(a, b, strict=False)]
    longest = max(len(a), len(b))
    left, right = ([*x, *[ZERO] * (longest - len(x))] for x in (a, b))
    expected = [scalar.ext_add(x, scalar.ext_mul(r, y)) for x, y in zip(left, right, strict=True)]
    assert scalar.ext_add_scaled(a, r, b) == expected


@given(ext, ext, ext, st.integers(0, 6))
def test_powers_lines_and_the_weights_of_a_round(a: Ext, b: Ext, r: Ext, count: int) -> None:
    assert scalar.ext_powers(a, count) == [scalar.ext_pow(a, k) for k in range(count)]
    assert scalar.ext_between(a, b, ZERO) == a
    assert scalar.ext_between(a, b, ONE) == b
    assert scalar.ext_between(a, b, r) == scalar.mle([a, b], [r])
    expected = [scalar.ext_sub(scalar.ext_pow(r, k), a) for k in range(1, count + 1)]
    assert scalar.round_weights(r, a, count) == expected


@given(ext, ext, ext, st.none() | ext.filter(lambda x: x != ZERO))
def test_a_quadratic_has_the_values_that_it_is_made_of(at0: Ext, square: Ext, target: Ext, here: Ext | None) -> None:
    polynomial = scalar.quadratic(at0, square, target, here)
    assert (polynomial[0], polynomial[2]) == (at0, square)
    at1 = scalar.ext_polynomial(polynomial, ONE)
    weights = (ONE, ONE) if here is None else (scalar.ext_sub(ONE, here), here)
    assert scalar.ext_dot(weights, [at0, at1]) == target
