"""The verifier's arithmetic against the oracle, at random and at the extremes."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.protocol.field import modular, scalar
from zkinfer.protocol.field.params import P
from zkinfer.protocol.pcs.params import MAX_LOG_LENGTH

EXTREMES = [0, 1, 2, P - 1, P - 2, P // 2, P // 2 + 1, (1 << 49) - 1, 1 << 49, (1 << 17) - 1, 1 << 34, (1 << 34) - 1]
elements = st.one_of(st.integers(0, P - 1), st.sampled_from(EXTREMES))


def random_array(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, P, shape)


def test_products_at_all_pairs_of_extremes() -> None:
    a = np.array(EXTREMES)
    products = modular.mul(a[:, None], a[None])
    assert products.tolist() == [[x * y % P for y in EXTREMES] for x in EXTREMES]


def test_products_whose_quotients_are_hard_to_round() -> None:
    """a * b just below, at and just above multiples of P and of P / 2."""
    rng = np.random.default_rng(1)
    a = rng.integers(1, P, 3000).tolist()
    b = [pow(x, -1, P) * d % P for x in a for d in (1, P - 1, P // 2, P // 2 + 1)]
    a = [x for x in a for _ in range(4)]
    assert modular.mul(np.array(a), np.array(b)).tolist() == [x * y % P for x, y in zip(a, b, strict=True)]


@given(st.lists(st.tuples(elements, elements), min_size=1, max_size=50))
def test_products(pairs: list[tuple[int, int]]) -> None:
    a, b = np.array(pairs).T
    assert modular.mul(a, b).tolist() == [x * y % P for x, y in pairs]


@pytest.mark.parametrize(("m", "k", "n"), [(1, 1, 1), (2, 5, 3), (4, 0, 2), (0, 3, 2), (3, 700, 2), (130, 2, 300)])
def test_matrix_products(m: int, k: int, n: int) -> None:
    a, b = random_array(2, m, k), random_array(3, k, n)
    expected = [[sum(int(x) * int(y) for x, y in zip(row, column, strict=True)) % P for column in b.T] for row in a]
    assert modular.matmul(a, b).reshape(m, n).tolist() == expected


@pytest.mark.parametrize("k", [(1 << 19) - 1, 1 << 19, (1 << 19) + 1, 3 << 19])
def test_the_longest_exact_inner_products(k: int) -> None:
    """Of the largest element whose two lower limbs are all ones."""
    largest = (P >> 34 << 34) - 1
    a = np.full((1, k), largest)
    assert modular.matmul(a, a.T).tolist() == [[k * largest * largest % P]]


def test_the_bound_on_exact_inner_products_is_tight() -> None:
    assert modular._MAX_EXACT_TERMS * (2**modular._LIMB_BITS) ** 2 <= 2**53
    assert 2 ** (modular._LIMB_BITS * modular._LIMBS) > P


@given(st.lists(st.tuples(*[elements] * 6), min_size=1, max_size=20))
def test_extension_vectors(coordinates: list[tuple[int, int, int, int, int, int]]) -> None:
    a, b = [c[:3] for c in coordinates], [c[3:] for c in coordinates]
    x, y = modular.from_exts(a), modular.from_exts(b)
    assert modular.to_exts(x) == a
    assert modular.to_exts(modular.ext_mul(x, y)) == [scalar.ext_mul(v, w) for v, w in zip(a, b, strict=True)]
    assert modular.ext_dot(x, y) == scalar.ext_dot(a, b)


@pytest.mark.parametrize(
    ("left", "right"),
    [((), (4,)), ((4,), ()), ((2, 4), (4,)), ((4,), (2, 4)), ((3, 4), (4,)), ((1, 4), (3, 1)), ((3, 2, 4), (1, 4))],
)
def test_extension_products_broadcast_all_axes_but_the_first(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    a, b = random_array(6, 3, *left), random_array(7, 3, *right)
    products = modular.ext_mul(a, b)
    shape = np.broadcast_shapes(left, right)
    assert products.shape == (3, *shape)
    whole = [np.stack([np.broadcast_to(row, shape) for row in array]).reshape(3, -1) for array in (a, b)]
    pairs = zip(*map(modular.to_exts, whole), strict=True)
    assert modular.to_exts(products.reshape(3, -1)) == [scalar.ext_mul(x, y) for x, y in pairs]


def test_products_of_extension_elements_at_all_pairs_of_extremes() -> None:
    """Coordinates at the ends of their range, with the shapes of an outer product."""
    ends = 0, 1, P // 2, P - 2, P - 1
    exts = list(product(ends, ends, ends))
    a = modular.from_exts(exts)
    products = modular.ext_mul(a[:, :, None], a[:, None])
    assert modular.to_exts(products.reshape(3, -1)) == [scalar.ext_mul(x, y) for x in exts for y in exts]


@given(st.integers(0, 4), st.integers(0, 9), st.integers(0, 2**32 - 1))
def test_products_of_extension_matrices_and_vectors(m: int, n: int, seed: int) -> None:
    a, b = random_array(seed, 3, m, n), random_array(seed + 1, 3, n)
    rows = [modular.to_exts(a[:, i]) for i in range(m)]
    assert modular.to_exts(modular.ext_matvec(a, b)) == [scalar.ext_dot(row, modular.to_exts(b)) for row in rows]


@pytest.mark.parametrize("n", [0, 1, 1 << 13, (1 << 13) + 1, 1 << 16])
@pytest.mark.parametrize("value", [P - 1, (1 << 25) - 1, 1])
def test_the_longest_sums(n: int, value: int) -> None:
    """Just fitting int64, and in two halves."""
    sums = modular.sum_axis(np.full((2, n, 1), value), 1)
    assert sums.tolist() == [[[n * value % P]]] * 2


def test_elements_are_summed_here_alone() -> None:
    """numpy's own sum of canonical elements is wrong beyond 2^13 of them; counts of lookups are not elements."""
    folder = Path(modular.__file__).parents[1]
    others = [path for path in folder.rglob("*.py") if "field" not in path.relative_to(folder).parts]
    others += [folder.parent / "native" / "tensors.py", folder.parent / "native" / "reduction_witness.py"]
    summing = {path.relative_to(folder.parent).as_posix() for path in others if ".sum(" in path.read_text()}
    assert summing == {"protocol/lookup/prover.py"}


@given(st.lists(st.integers(0, 5), max_size=20), st.integers(0, 1), st.integers(0, 2**32 - 1))
def test_scattered_elements_add_up(places: list[int], axis: int, seed: int) -> None:
    values = random_array(seed, len(places), 2)
    expected = np.zeros((6, 2), dtype=object)
    for place, row in zip(places, values, strict=True):
        expected[place] = (expected[place] + row) % P
    array = values if axis == 0 else values.T
    scattered = modular.scatter_add(array, axis, np.array(places, dtype=np.int64), 6)
    assert scattered.tolist() == (expected if axis == 0 else expected.T).tolist()


def test_very_many_elements_add_up_in_one_place() -> None:
    n = (1 << 13) + 3
    assert modular.scatter_add(np.full(n, P - 1), 0, np.zeros(n, dtype=np.int64), 2).tolist() == [-n % P, 0]


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 5, 3), (2, 5, 1), (3, 4, 2), (2, 0, 3), (0, 2, 2), (2, 1000, 2)], ids=str
)
@pytest.mark.parametrize("bits", [1, 7, 25, 26, 40, 50, 61])
def test_contraction_with_integers_of_either_sign(shape: tuple[int, int, int], bits: int) -> None:
    before, n, after = shape
    weights = random_array(6, 3, n)
    array = np.random.default_rng(7).integers(-(1 << bits), 1 << bits, shape, endpoint=True)
    expected = [
        scalar.ext_base_dot(modular.to_exts(weights), [int(x) for x in array[i, :, k]])
        for i in range(before)
        for k in range(after)
    ]
    assert modular.to_exts(modular.contract(weights, array).reshape(3, -1)) == expected


@pytest.mark.parametrize("value", [(1 << 17) - 1, -(1 << 17), 1 << 17, (1 << 34) - 1, -(1 << 34), (1 << 61) + 1])
@pytest.mark.parametrize("shape", [(1, (1 << 19) + 1, 1), (2, 1 << 14, 40)], ids=str)
def test_the_longest_contractions_are_exact(shape: tuple[int, int, int], value: int) -> None:
    """All terms of one sign, limbs of weights and integers as large as they get."""
    weight = (P >> 34 << 34) - 1
    contracted = modular.contract(np.full((3, shape[1]), weight), np.full(shape, value))
    assert set(contracted.ravel().tolist()) == {shape[1] * weight * value % P}


@given(st.lists(st.tuples(elements, elements, elements), max_size=8))
def test_eq_table(point: list[tuple[int, int, int]]) -> None:
    assert modular.to_exts(modular.eq_table(point)) == scalar.eq_table(point)


@pytest.mark.parametrize("variables", range(9, 14))
def test_eq_table_of_many_variables(variables: int) -> None:
    """Made from four tables and more, as many as can be paired at every step and not."""
    point = modular.to_exts(random_array(variables, 3, variables))
    assert modular.to_exts(modular.eq_table(point)) == scalar.eq_table(point)


def test_a_table_of_eq_that_is_kept_cannot_be_written() -> None:
    """The next who asks for it gets the same array."""
    point = modular.to_exts(random_array(2, 3, 2))
    table = modular.eq_table(point)
    assert modular.eq_table(tuple(point)) is table
    with pytest.raises(ValueError, match="read-only"):
        table[0, 0] = 1


@pytest.mark.parametrize("k", [1, 2, 3, 8, 9, 63, 100])
def test_evaluation_of_polynomials(k: int) -> None:
    polynomials, points = random_array(4, 3, k), random_array(5, 4)
    expected = [[sum(int(c) * pow(int(x), i, P) for i, c in enumerate(f)) % P for x in points] for f in polynomials]
    assert modular.evaluate(polynomials, points).tolist() == expected


def test_sums_over_the_blocks_of_the_longest_polynomials_do_not_overflow() -> None:
    assert (1 << MAX_LOG_LENGTH // 2) * P < 1 << 63


def test_evaluation_of_a_long_polynomial() -> None:
    """All coefficients P - 1 at 1: the value is -k."""
    k = (1 << 18) + 5
    assert modular.evaluate(np.full((1, k), P - 1), np.array([1])).tolist() == [[-k % P]]
