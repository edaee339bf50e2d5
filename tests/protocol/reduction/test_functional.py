"""Functionals against their definition: every weight written out in Python integers."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.both_verifiers import cheap_boxes
from support.functionals import (
    entry_at,
    indices,
    product,
    product_of,
    random_array,
    random_ext,
    random_functional,
    random_groups,
    value_on,
    weights,
)
from support.steps import random_step

from zkinfer.circuit.steps import (
    STEPS,
    Expand,
    Pad,
    Reshape,
    Slice,
    Step,
    Take,
    Transpose,
    Windows,
    apply_to_runs,
    shape_after,
)
from zkinfer.errors import InvalidInputError, ShapeError
from zkinfer.protocol.field import scalar
from zkinfer.protocol.field.modular import from_exts, to_exts
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext
from zkinfer.protocol.reduction import functional as under_test
from zkinfer.protocol.reduction.boxes import Cut, cover
from zkinfer.protocol.reduction.functional import Functional
from zkinfer.typing import Array

Shape = tuple[int, ...]

seeds = st.integers(0, 2**32 - 1)
shapes = st.lists(st.integers(1, 5), max_size=4).map(tuple)
shapes_of_values = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)
"""With an axis of runs in front."""


prices = st.sampled_from([0, 1, 1024])


def covered(shape: Shape, price: int) -> Cut:
    """The cover of a tensor if a box costs so many places."""
    with cheap_boxes(price):
        return cover(shape)


def random_point(rng: np.random.Generator, variables: int) -> tuple[Ext, ...]:
    return tuple(random_ext(rng) for _ in range(variables))


def assert_canonical(functional: Functional) -> None:
    assert all(f.dtype == np.int64 and f.min() >= 0 and f.max() < P for f in functional.factors if f.size)
    assert all(0 <= c < P for c in functional.scale)


def test_factors_must_be_extension_arrays_over_the_axes_of_the_shape() -> None:
    vector = np.zeros((3, 4), dtype=np.int64)
    Functional((4, 4), (vector, vector))
    cases: list[tuple[Shape, tuple[Array, ...]]] = [
        ((4, 5), (vector, vector)),
        ((4,), (vector, vector)),
        ((4, 4), (vector,)),
        ((4,), (vector.astype(np.int32),)),
        ((4,), (vector[:2],)),
        ((), (vector[:, 0],)),
    ]
    for shape, factors in cases:
        with pytest.raises(ShapeError):
            Functional(shape, factors)


@given(shapes, seeds)
def test_a_product_of_vectors_has_one_factor_an_axis(shape: Shape, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = [random_array(rng, n) for n in shape]
    scale = random_ext(rng)
    functional = under_test.of_vectors(vectors, scale)
    assert functional.shape == shape
    assert weights(functional) == [scalar.ext_mul(scale, w) for w in to_exts(product_of(vectors).reshape(3, -1))]


@given(shapes, prices, seeds)
def test_the_extension_of_a_box_is_the_functional_of_eq_tables(shape: Shape, price: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cutting = covered(shape, price)
    array = rng.integers(-99, 99, shape)
    for box in cutting.boxes:
        point = random_point(rng, box.total)
        functional = under_test.eq_functional(cutting.shape, box, point)
        elements = [int(x) for x in cutting.take(array, box)]
        assert value_on(weights(functional), array) == scalar.ext_base_dot(scalar.eq_table(point), elements)


def test_a_point_has_a_coordinate_for_each_variable_of_the_box() -> None:
    cutting = cover((4, 2))
    with pytest.raises(ShapeError):
        under_test.eq_functional(cutting.shape, cutting.boxes[0], (ONE, ONE))


@given(shapes_of_values, st.integers(0, 4), seeds)
def test_pulling_back_through_steps_keeps_the_value(shape: Shape, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps: list[Step] = []
    for _ in range(count):
        kind = STEPS[int(rng.integers(len(STEPS)))]
        step = random_step(rng, kind, shape_after(steps, shape[1:]))
        steps += [] if step is None else [step]
    array = rng.integers(-99, 99, shape)
    moved = apply_to_runs(steps, array)
    functional = random_functional(rng, moved.shape)
    pulled = under_test.pull(functional, steps, shape)
    assert pulled.shape == shape
    assert_canonical(pulled)
    assert value_on(weights(pulled), array) == value_on(weights(functional), moved)


def test_a_source_of_weights_only_serves_all_runs() -> None:
    rng = np.random.default_rng(1)
    functional = random_functional(rng, (3, 6))
    pulled = under_test.pull(functional, [Reshape((6,))], (1, 2, 3))
    weight = rng.integers(-9, 9, (1, 2, 3))
    moved = np.broadcast_to(weight.reshape(1, 6), (3, 6))
    assert pulled.shape == (1, 2, 3)
    assert value_on(weights(pulled), weight) == value_on(weights(functional), moved)


@pytest.mark.parametrize(
    ("functional_shape", "steps", "source_shape"),
    [
        ((2, 6), [Reshape((6,))], (3, 2, 3)),
        ((1, 6), [Reshape((6,))], (2, 2, 3)),
        ((2, 5), [Reshape((6,))], (2, 2, 3)),
        ((2, 6), [Reshape((5,))], (2, 2, 3)),
        ((2, 2), [Slice(1, 0, 2, 1)], (2, 3)),
        ((2, 3, 2), [], (2, 2, 3)),
    ],
)
def test_steps_that_do_not_lead_from_source_to_functional_are_refused(
    functional_shape: Shape, steps: list[Step], source_shape: Shape
) -> None:
    functional = random_functional(np.random.default_rng(2), functional_shape)
    with pytest.raises(ShapeError):
        under_test.pull(functional, steps, source_shape)


def factor_axes(functional: Functional) -> list[Shape]:
    return [f.shape[1:] for f in functional.factors]


@pytest.mark.parametrize(
    ("steps", "source_shape"),
    [
        ([Transpose((1, 0, 2))], (2, 4, 3, 8)),
        ([Reshape((4, 3, 8))], (2, 2, 1, 2, 3, 8)),
        ([Reshape((4, 3, 8))], (2, 4, 24)),
        ([Slice(1, 0, 3, 2), Take(2, (1,) * 8), Pad((1, 0, 0), (1, 0, 0))], (2, 2, 5, 4)),
        ([Expand((4, 3, 8))], (2, 4, 1, 8)),
        ([Windows(1, 3, 1, 1), Slice(1, 0, 1, 1), Reshape((4, 3, 8))], (2, 4, 5, 8)),
    ],
)
def test_factors_stay_apart_where_the_step_allows(steps: list[Step], source_shape: Shape) -> None:
    """No factor has two axes that are more than one element long, but where an axis of the source spans two."""
    rng = np.random.default_rng(3)
    result_shape = (2, *shape_after(tuple(steps), source_shape[1:]))
    vectors = [
        product_of([random_array(rng, 2) + 1] * (n.bit_length() - 1)) if n in (4, 8) else random_array(rng, n)
        for n in result_shape
    ]
    functional = under_test.of_vectors([v.reshape(3, -1) for v in vectors])
    pulled = under_test.pull(functional, steps, source_shape)
    assert factor_axes(pulled) == [(n,) for n in source_shape]


def test_an_axis_that_ends_within_a_product_is_cut_there() -> None:
    """(4, 6) -> (8, 3): the first factor is one over (4, 2), so that only 2 * 3 entries are multiplied out."""
    rng = np.random.default_rng(4)
    first = product_of([random_array(rng, 4), random_array(rng, 2)]).reshape(3, 8)
    functional = under_test.of_vectors([random_array(rng, 1), first, random_array(rng, 3)])
    pulled = under_test.pull(functional, [Reshape((8, 3))], (1, 4, 6))
    assert factor_axes(pulled) == [(1,), (4,), (6,)]
    array = rng.integers(-9, 9, (1, 4, 6))
    assert value_on(weights(pulled), array) == value_on(weights(functional), array.reshape(1, 8, 3))


@given(shapes, seeds)
def test_splitting_keeps_every_weight(shape: Shape, seed: int) -> None:
    functional = random_functional(np.random.default_rng(seed), shape)
    assert weights(under_test.split(functional)) == weights(functional)


def test_products_split_into_vectors_and_other_factors_where_they_can() -> None:
    rng = np.random.default_rng(5)
    a, b, c = random_array(rng, 3), random_array(rng, 4), random_array(rng, 2)
    whole = Functional((3, 4, 2), (product_of([a, b, c]),))
    assert factor_axes(under_test.split(whole)) == [(3,), (4,), (2,)]
    joined = from_exts([scalar.ext_mul(x, y) for x in to_exts(random_array(rng, 12)) for y in to_exts(c)])
    assert factor_axes(under_test.split(Functional((3, 4, 2), (joined.reshape(3, 3, 4, 2),)))) == [(3, 4), (2,)]


@given(st.integers(2, 40), st.integers(2, 40), seeds)
def test_a_product_with_one_wrong_entry_does_not_split(m: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    nonzero = [1 + rng.integers(0, P - 1, (3, k)) for k in (m, n)]
    matrix = product_of(nonzero)
    matrix[rng.integers(3), rng.integers(m), rng.integers(n)] ^= 1
    near_miss = Functional((m, n), (matrix % P,))
    assert factor_axes(under_test.split(near_miss)) == [(m, n)]


def test_zero_splits_into_zeros() -> None:
    zero = under_test.split(Functional((2, 3), (np.zeros((3, 2, 3), dtype=np.int64),)))
    assert factor_axes(zero) == [(2,), (3,)]
    assert set(weights(zero)) == {ZERO}


@given(shapes, seeds)
def test_the_total_is_the_sum_of_all_weights(shape: Shape, seed: int) -> None:
    functional = random_functional(np.random.default_rng(seed), shape)
    assert under_test.total(functional) == value_on(weights(functional), np.ones(shape, dtype=np.int64))


dtypes = st.sampled_from([np.int8, np.uint8, np.int16, np.int32, np.int64])


@given(shapes, dtypes, seeds)
def test_evaluation_is_the_sum_of_weights_times_values(shape: Shape, dtype: type, seed: int) -> None:
    rng = np.random.default_rng(seed)
    functional = random_functional(rng, shape)
    limits = np.iinfo(dtype)
    bound = 1 << under_test.MAX_BITS
    array = rng.integers(max(limits.min, 1 - bound), min(limits.max, bound - 1), shape, dtype, endpoint=True)
    assert under_test.evaluate(functional, np.asarray(array)) == value_on(weights(functional), np.asarray(array))


@pytest.mark.parametrize("value", [(1 << 50) - 1, 1 - (1 << 50), P, -1])
@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1), (3, 7, 5)])
def test_evaluation_at_the_largest_values_and_weights(shape: Shape, value: int) -> None:
    """Limbs are as large as they get, and all sums add up in one direction."""
    if abs(value) >= 1 << 50:
        value = np.sign(value) * ((1 << 50) - 1)
    functional = under_test.of_vectors([np.full((3, n), P - 1) for n in shape])
    array = np.full(shape, value)
    weight = product([(P - 1,) * 3] * len(shape))
    assert under_test.evaluate(functional, array) == scalar.ext_scale(weight, int(value) * array.size % P)


@pytest.mark.parametrize("shape", [(0,), (2, 0, 3), (3, 0)])
def test_the_value_on_a_tensor_without_elements_is_zero(shape: Shape) -> None:
    functional = under_test.of_vectors([np.ones((3, n), dtype=np.int64) for n in shape])
    assert under_test.evaluate(functional, np.zeros(shape, dtype=np.int64)) == ZERO


def test_evaluation_refuses_what_it_cannot_do_exactly() -> None:
    functional = under_test.of_vectors([np.ones((3, 2), dtype=np.int64)])
    for array in (np.array([0, 1 << 50]), np.array([-(1 << 50), 0]), np.array([0.0, 1.0]), np.array([False, True])):
        with pytest.raises(InvalidInputError):
            under_test.evaluate(functional, array)
    with pytest.raises(ShapeError):
        under_test.evaluate(functional, np.array([[0, 1]]))


@given(st.permutations("abcd"), st.lists(st.integers(1, 3), min_size=4, max_size=4), seeds)
def test_parts_over_any_letters_are_arranged(letters: list[str], sizes: list[int], seed: int) -> None:
    """Parts come in any order, their letters too, and interleave."""
    rng = np.random.default_rng(seed)
    names, shape = "".join(letters), tuple(sizes)
    order = [int(i) for i in rng.permutation(4)]
    parts = []
    for places in random_groups(rng, tuple(order)):
        array = random_array(rng, *(sizes[i] for i in places))
        if rng.random() < 0.5:
            array = product_of([random_array(rng, sizes[i]) for i in places])
        parts.append(("".join(names[i] for i in places), array))
    scale = random_ext(rng)
    functional = under_test.arrange(shape, names, parts, scale)
    expected = []
    for index in indices(shape):
        at = dict(zip(names, index, strict=True))
        entries = [entry_at(array, tuple(at[c] for c in part)) for part, array in parts]
        expected.append(product([scale, *entries]))
    assert functional.shape == shape
    assert_canonical(functional)
    assert weights(functional) == expected


def test_a_part_without_letters_is_a_scale() -> None:
    functional = under_test.arrange((), "", [("", from_exts([(1, 2, 3)]))], (2, 0, 0))
    assert weights(functional) == [(2, 4, 6)]


def test_parts_that_interleave_only_as_products_stay_vectors() -> None:
    rng = np.random.default_rng(7)
    parts = [("ac", product_of([random_array(rng, 2), random_array(rng, 3)])), ("b", random_array(rng, 4))]
    assert factor_axes(under_test.arrange((2, 4, 3), "abc", parts)) == [(2,), (4,), (3,)]


@pytest.mark.parametrize("names", [["a"], ["ab", "b"], ["a", "b", "c"], ["a", "c"], ["aa", "b"]])
def test_parts_must_have_each_letter_once(names: list[str]) -> None:
    parts = [(n, np.ones((3, *(2 for _ in n)), dtype=np.int64)) for n in names]
    with pytest.raises(ShapeError):
        under_test.arrange((2, 2), "ab", parts)


def test_parts_must_have_the_sizes_of_their_axes() -> None:
    with pytest.raises(ShapeError):
        under_test.arrange((2, 3), "ab", [("ba", np.ones((3, 2, 3), dtype=np.int64))])


def summed(terms: Sequence[tuple[Ext, Functional]]) -> list[Ext]:
    """The weights of the sum, one by one."""
    columns = [[scalar.ext_mul(c, w) for w in weights(f)] for c, f in terms]
    result = [ZERO] * len(columns[0])
    for column in columns:
        result = [scalar.ext_add(a, b) for a, b in zip(result, column, strict=True)]
    return result


@given(shapes, st.integers(1, 6), seeds)
def test_merging_keeps_the_sum(shape: Shape, count: int, seed: int) -> None:
    """Factors are drawn from a few, times scalars, so that many terms agree in some."""
    rng = np.random.default_rng(seed)
    groups = random_groups(rng, shape)
    choices = [[random_array(rng, *sizes) for _ in range(2)] for sizes in groups]
    terms = [(random_ext(rng), random_functional(rng, shape))]
    for _ in range(count):
        factors = tuple(c[int(rng.integers(2))] for c in choices)
        terms.append((random_ext(rng), Functional(shape, factors, random_ext(rng))))
    merged = under_test.merged(terms)
    assert len(merged) <= len(terms)
    assert (summed([(ONE, f) for f in merged]) if merged else [ZERO] * math.prod(shape)) == summed(terms)
    again = under_test.merged(terms)
    assert [[f.tolist() for f in m.factors] for m in merged] == [[f.tolist() for f in m.factors] for m in again]


@given(shapes_of_values, st.integers(1, 4), seeds)
def test_what_merging_gives_depends_on_the_weights_alone(shape: Shape, count: int, seed: int) -> None:
    """The same weights as one dense factor each."""
    rng = np.random.default_rng(seed)
    terms = [(random_ext(rng), random_functional(rng, shape)) for _ in range(count)]
    terms.append((ONE, terms[0][1]))
    dense = [(c, Functional(shape, (from_exts(weights(f)).reshape(3, *shape),))) for c, f in terms]
    assert [weights(f) for f in under_test.merged(terms)] == [weights(f) for f in under_test.merged(dense)]


def test_terms_that_differ_in_one_factor_become_one() -> None:
    rng = np.random.default_rng(8)
    a, b, c = (random_array(rng, 3) for _ in range(3))
    doubled = a * 2 % P
    terms = [(ONE, under_test.of_vectors([a, b])), (random_ext(rng), under_test.of_vectors([doubled, c]))]
    assert len(under_test.merged(terms)) == 1


def test_four_terms_that_are_a_product_of_sums_become_one() -> None:
    rng = np.random.default_rng(9)
    (a, b), (c, d) = ([random_array(rng, n) for _ in range(2)] for n in (3, 4))
    terms = [(ONE, under_test.of_vectors([x, y])) for x in (a, b) for y in (c, d)]
    merged = under_test.merged(terms)
    assert len(merged) == 1
    assert weights(merged[0]) == summed(terms)


def test_terms_that_differ_in_two_factors_stay_two() -> None:
    rng = np.random.default_rng(10)
    terms = [(ONE, under_test.of_vectors([random_array(rng, 3), random_array(rng, 3)])) for _ in range(2)]
    assert len(under_test.merged(terms)) == 2


def test_terms_that_cancel_leave_nothing() -> None:
    functional = random_functional(np.random.default_rng(11), (2, 3))
    assert under_test.merged([(ONE, functional), ((P - 1, 0, 0), functional)]) == []
    assert under_test.merged([(ZERO, functional)]) == []
    assert under_test.merged([]) == []


def test_functionals_on_different_shapes_have_no_sum() -> None:
    terms = [(ONE, random_functional(np.random.default_rng(12), shape)) for shape in ((2, 3), (3, 2))]
    with pytest.raises(ShapeError, match="have no sum"):
        under_test.merged(terms)
