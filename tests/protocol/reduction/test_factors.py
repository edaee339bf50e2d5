"""Products of factors: split where they are products, merged where they must be, the same entries always."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.protocol.field import scalar
from zkinfer.protocol.field.modular import from_exts, to_exts
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, Ext
from zkinfer.protocol.reduction import factors as under_test
from zkinfer.typing import IntArray

seeds = st.integers(0, 2**32 - 1)


def random_array(seed: int, *sizes: int) -> IntArray:
    """Without zeros."""
    return np.random.default_rng(seed).integers(1, P, (3, *sizes))


def slow_outer(a: IntArray, b: IntArray) -> list[Ext]:
    """Entries of the outer product, row-major."""
    return [scalar.ext_mul(x, y) for x in to_exts(a.reshape(3, -1)) for y in to_exts(b.reshape(3, -1))]


def entries(factors: list[IntArray], scale: Ext = ONE) -> list[Ext]:
    """All entries of a product of factors, row-major."""
    whole = from_exts([scale])
    for factor in factors:
        whole = from_exts(slow_outer(whole, factor))
    return to_exts(whole)


def axes(factors: list[IntArray]) -> list[tuple[int, ...]]:
    return [f.shape[1:] for f in factors]


@given(st.lists(st.integers(1, 3), min_size=1, max_size=3), st.lists(st.integers(1, 3), max_size=2), seeds)
def test_outer_products(sizes: list[int], others: list[int], seed: int) -> None:
    a, b = random_array(seed, *sizes), random_array(seed + 1, *others, 2)
    product = under_test.outer([a, b])
    assert product.shape == (3, *sizes, *others, 2)
    assert to_exts(product.reshape(3, -1)) == slow_outer(a, b)


@given(st.integers(1, 40), st.integers(1, 40), seeds)
def test_a_matrix_of_rank_one_is_taken_apart(m: int, n: int, seed: int) -> None:
    matrix = under_test.outer([random_array(seed, m), random_array(seed + 1, n)])
    halves = under_test.rank_one(matrix)
    assert halves is not None
    assert under_test.outer(halves).tolist() == matrix.tolist()


def test_the_second_half_is_the_first_row_that_is_not_zero() -> None:
    matrix = np.zeros((3, 3, 2), dtype=np.int64)
    matrix[:, 1] = random_array(1, 2)
    left, right = under_test.rank_one(matrix) or pytest.fail("the matrix has rank one")
    assert to_exts(left) == [(0, 0, 0), ONE, (0, 0, 0)]
    assert right.tolist() == matrix[:, 1].tolist()


@pytest.mark.parametrize(("m", "n"), [(0, 3), (3, 0), (0, 0)])
def test_a_matrix_without_entries_is_a_product(m: int, n: int) -> None:
    left, right = under_test.rank_one(np.zeros((3, m, n), dtype=np.int64)) or pytest.fail("it has no rank")
    assert (left.shape, right.shape) == ((3, m), (3, n))


def test_the_zero_matrix_is_a_product_of_zeros() -> None:
    left, right = under_test.rank_one(np.zeros((3, 4, 5), dtype=np.int64)) or pytest.fail("zero has no rank")
    assert left.shape == (3, 4)
    assert right.shape == (3, 5)
    assert not left.any()
    assert not right.any()


@pytest.mark.parametrize("place", [(0, 0, 0), (2, 99, 299), (1, 50, 1), (0, 98, 298), (2, 1, 297)])
@pytest.mark.parametrize("change", [1, P - 1])
def test_any_single_entry_spoils_the_rank(place: tuple[int, int, int], change: int) -> None:
    """Also entries that are not in the sample that is compared first, and in the last rows."""
    matrix = under_test.outer([random_array(1, 100), random_array(2, 300)])
    matrix[place] = (matrix[place] + change) % P
    assert under_test.rank_one(matrix) is None


def test_a_matrix_of_rank_two_over_the_extension_may_look_like_rank_one_in_every_coordinate() -> None:
    """Each of the three coordinate matrices has rank one, the extension matrix has not."""
    coordinates = [np.outer([1, 0], [1, 0]), np.outer([0, 1], [0, 1]), np.zeros((2, 2), dtype=np.int64)]
    assert under_test.rank_one(np.stack(coordinates)) is None


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([(2,), (3,), (4,)], [(2,), (3,), (4,)]),
        ([(2, 3), (4,)], [(2, 3), (4,)]),
        ([(2,), (3, 4)], [(2,), (3, 4)]),
        ([(2, 3, 4)], [(2, 3, 4)]),
        ([(1, 2, 3, 1)], [(1,), (2, 3), (1,)]),
    ],
    ids=str,
)
def test_splitting_finds_every_place_where_the_factor_is_a_product(
    parts: list[tuple[int, ...]], expected: list[tuple[int, ...]]
) -> None:
    whole = under_test.outer([random_array(i, *sizes) for i, sizes in enumerate(parts)])
    pieces = under_test.split(whole)
    assert axes(pieces) == expected
    assert entries(pieces) == to_exts(whole.reshape(3, -1))


def test_an_axis_of_size_one_between_two_others_stays_with_them() -> None:
    assert axes(under_test.split(random_array(1, 2, 1, 3))) == [(2, 1, 3)]


def test_isolating_axes_leaves_the_others_alone() -> None:
    first = under_test.outer([random_array(1, 2), random_array(2, 3)])
    last = random_array(3, 4, 5)
    factors, at = under_test.isolate([first, last], 1, 3)
    assert axes(factors) == [(2,), (3, 4, 5)]
    assert at == 1
    assert entries(factors) == entries([first, last])


def test_axes_within_one_factor_are_isolated_already() -> None:
    factors, at = under_test.isolate([random_array(1, 2), random_array(2, 3, 4)], 1, 2)
    assert axes(factors) == [(2,), (3, 4)]
    assert at == 1


@given(st.lists(st.sampled_from([1, 2, 3, 4]), min_size=1, max_size=4), seeds)
def test_regrouping_keeps_all_entries(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    factors = [random_array(seed + i, n) for i, n in enumerate(sizes)]
    total = math.prod(sizes)
    divisors = [d for d in range(1, total + 1) if total % d == 0]
    first = int(rng.choice(divisors))
    second = int(rng.choice([d for d in divisors if (total // first) % d == 0]))
    regrouped, scale = under_test.regroup(factors, (first, 1, second, total // first // second))
    assert [n for a in axes(regrouped) for n in a] == [first, 1, second, total // first // second]
    assert entries(regrouped, scale) == entries(factors)


@pytest.mark.parametrize(
    ("factors", "sizes", "expected"),
    [
        ([(2,), (3,), (4,)], (2, 12), [(2,), (12,)]),
        ([(2,), (3,), (4,)], (6, 4), [(6,), (4,)]),
        ([(6,), (4,)], (6, 2, 2), [(6,), (2, 2)]),
        ([(6,), (4,)], (4, 6), [(4, 6)]),
        ([(2,), (1,), (4,)], (1, 2, 4, 1), [(1,), (2,), (4,), (1,)]),
        ([(1,)], (), []),
        ([(1,), (1,)], (1,), [(1,)]),
    ],
    ids=str,
)
def test_regrouping_merges_only_what_an_axis_spans(
    factors: list[tuple[int, ...]], sizes: tuple[int, ...], expected: list[tuple[int, ...]]
) -> None:
    arrays = [random_array(i, *s) for i, s in enumerate(factors)]
    regrouped, scale = under_test.regroup(arrays, sizes)
    assert axes(regrouped) == expected
    assert entries(regrouped, scale) == entries(arrays)


def test_parts_that_interleave_become_one_factor_and_others_stay() -> None:
    parts = [
        ((3, 0), random_array(1, 2, 3)),
        ((1,), random_array(2, 4)),
        ((2,), random_array(3, 5)),
        ((4,), random_array(4, 2)),
    ]
    assert axes(under_test.assemble(parts)) == [(3, 4, 5, 2), (2,)]
