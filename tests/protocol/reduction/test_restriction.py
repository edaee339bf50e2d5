"""Functionals on boxes: every weight written out, and which of them are those of a point."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.both_verifiers import cheap_boxes
from support.functionals import product_of, random_array, random_ext, random_functional, weights

from zkinfer.errors import ShapeError
from zkinfer.protocol.field import scalar
from zkinfer.protocol.field.modular import from_exts, to_exts
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext
from zkinfer.protocol.reduction.boxes import Cut, cover
from zkinfer.protocol.reduction.functional import Functional, eq_functional, of_vectors
from zkinfer.protocol.reduction.restriction import AxisWeights, Restriction, as_point
from zkinfer.typing import IntArray

Shape = tuple[int, ...]

seeds = st.integers(0, 2**32 - 1)
shapes = st.lists(st.integers(1, 5), max_size=4).map(tuple)
prices = st.sampled_from([0, 1, 1024])
scales = st.tuples(st.integers(1, P - 1), st.integers(0, P - 1), st.integers(0, P - 1))


def multiplied(vectors: Sequence[AxisWeights]) -> IntArray:
    """The product of the vectors of a box, over its axes."""
    return product_of([vector.weights for vector in vectors])


def covered(shape: Shape, price: int) -> Cut:
    """The cover of a tensor if a box costs so many places."""
    with cheap_boxes(price):
        return cover(shape)


def random_point(rng: np.random.Generator, variables: int) -> tuple[Ext, ...]:
    return tuple(random_ext(rng) for _ in range(variables))


@given(shapes, prices, seeds)
def test_weights_on_boxes_are_those_of_the_box_elements(shape: Shape, price: int, seed: int) -> None:
    functional = random_functional(np.random.default_rng(seed), shape)
    cutting = covered(shape, price)
    restricted = Restriction(functional, cutting)
    whole = np.array(weights(functional)).reshape(*shape, 3)
    for box in cutting.boxes:
        expected = [cutting.take(whole[..., c], box).tolist() for c in range(3)]
        assert restricted.dense(box).tolist() == expected
        vectors = restricted.vectors(box)
        if vectors is not None:
            assert [v.weights.shape for v in vectors] == [(3, 1 << k) for k in box.variables]
            scaled = [scalar.ext_mul(functional.scale, w) for w in to_exts(multiplied(vectors).reshape(3, -1))]
            assert from_exts(scaled).tolist() == expected


@given(shapes, prices, seeds)
def test_products_of_vectors_have_vectors_on_every_box(shape: Shape, price: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    functional = of_vectors([random_array(rng, n) for n in shape])
    cutting = covered(shape, price)
    restricted = Restriction(functional, cutting)
    assert all(restricted.vectors(box) is not None for box in cutting.boxes)


def test_weights_that_are_a_product_on_one_box_only() -> None:
    """The entry that spoils the product lies in the smaller box."""
    rng = np.random.default_rng(6)
    matrix = product_of([1 + rng.integers(0, P - 1, (3, 2)), 1 + rng.integers(0, P - 1, (3, 6))])
    matrix[0, 0, 5] ^= 1
    cutting = covered((2, 6), 0)
    large, small = cutting.boxes
    restricted = Restriction(Functional((2, 6), (matrix,)), cutting)
    assert restricted.vectors(large) is not None
    assert restricted.vectors(small) is None


@given(st.integers(1, 9), st.integers(0, 3), seeds)
def test_the_first_entries_of_an_eq_table_are_continued_behind_a_tensor(size: int, columns: int, seed: int) -> None:
    """On the tensor nothing changes, and all weights become those of one point."""
    rng = np.random.default_rng(seed)
    cutting = covered((size, 1 << columns), 1024)
    (box,) = cutting.boxes
    restricted = Restriction(eq_functional(cutting.shape, box, random_point(rng, box.total)), cutting)
    vectors, continued = restricted.vectors(box), restricted.vectors(box, extended=True)
    assert vectors is not None
    assert continued is not None
    assert np.array_equal(multiplied(continued)[:, :size], multiplied(vectors)[:, :size])
    assert all(vector.as_point is not None for vector in continued)


def test_other_weights_stay_zero_behind_a_tensor() -> None:
    cutting = covered((7,), 1024)
    (box,) = cutting.boxes
    for weight in (np.arange(7), 1 + np.arange(7), 1 - np.arange(7)):
        functional = of_vectors([np.stack([weight % P, 0 * weight, 0 * weight])])
        restricted = Restriction(functional, cutting)
        vectors, continued = restricted.vectors(box), restricted.vectors(box, extended=True)
        assert vectors is not None
        assert continued is not None
        assert np.array_equal(continued[0].weights, vectors[0].weights)
        assert not continued[0].weights[:, 7].any()


def test_boxes_of_another_shape_are_refused() -> None:
    functional = of_vectors([np.ones((3, 4), dtype=np.int64)] * 2)
    for cutting in (cover((4,)), cover((16,)), cover((2, 8))):
        with pytest.raises(ShapeError):
            Restriction(functional, cutting)


@given(scales, st.integers(0, 6), seeds)
def test_scaled_eq_tables_are_points(scale: Ext, variables: int, seed: int) -> None:
    point = random_point(np.random.default_rng(seed), variables)
    vector = from_exts([scalar.ext_mul(scale, e) for e in scalar.eq_table(point)])
    assert as_point(vector) == (scale, point)


@given(st.integers(0, 5), seeds)
def test_unit_vectors_are_points_of_zeros_and_ones(variables: int, seed: int) -> None:
    index = int(np.random.default_rng(seed).integers(1 << variables))
    vector = from_exts([ONE if i == index else ZERO for i in range(1 << variables)])
    bits = tuple(ONE if index >> (variables - 1 - j) & 1 else ZERO for j in range(variables))
    assert as_point(vector) == (ONE, bits)


@given(scales, st.integers(2, 6), seeds)
def test_an_eq_table_with_one_wrong_entry_is_no_point(scale: Ext, variables: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vector = from_exts([scalar.ext_mul(scale, e) for e in scalar.eq_table(random_point(rng, variables))])
    entry = rng.integers(1 << variables)
    vector[:, entry] = (vector[:, entry] + rng.integers(1, P, 3)) % P
    assert as_point(vector) is None


def test_vectors_that_sum_to_zero_are_no_points() -> None:
    assert as_point(np.zeros((3, 4), dtype=np.int64)) is None
    assert as_point(from_exts([ONE, (P - 1, 0, 0)])) is None


def test_lengths_that_are_no_power_of_two_are_refused() -> None:
    for length in (0, 3, 12):
        with pytest.raises(ShapeError):
            as_point(np.ones((3, length), dtype=np.int64))
