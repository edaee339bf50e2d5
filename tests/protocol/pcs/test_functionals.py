"""Functionals as terms and element by element: the same weights, before and after folds."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.opening_prover import random_ext

from zkinfer.protocol.field import kernels, scalar
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import Ext
from zkinfer.protocol.pcs.folding_prover import FoldedVectors
from zkinfer.protocol.pcs.functionals import TensorSum


def plain_values(count: int, inner: int, coefficients: list[Ext], points: list[int], batch: Ext) -> list[Ext]:
    """For each element of each vector its weight, by the definition."""
    weights = []
    for vector in range(count):
        for i in range(1 << inner):
            total = scalar.ext_dot(coefficients, [(pow(x, i, P), 0, 0) for x in points])
            weights.append(scalar.ext_mul(scalar.ext_pow(batch, vector), total))
    return weights


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2), st.integers(1, 4), st.integers(0, 1000))
def test_terms_elements_and_the_definition_agree(outer: int, inner: int, seed: int) -> None:
    rng = random.Random(seed)
    indices, log_length = sorted(rng.sample(range(32), 3)), 5
    coefficients, batch, factor = [random_ext(rng) for _ in indices], random_ext(rng), random_ext(rng)
    point = [random_ext(rng) for _ in range(rng.randrange(inner + 1))]
    vector = rng.randrange(1 << outer)
    start, whole_point = rng.randrange(1, (1 << inner) + 1), [random_ext(rng) for _ in range(inner)]
    terms = TensorSum(outer, inner)
    dense = FoldedVectors(np.zeros((1 << outer, 3, 1 << inner)))
    for functionals in (terms, dense):
        functionals.add_values(coefficients, indices, log_length, batch)
        functionals.add_extension(vector, factor, point)
        functionals.add_spare(start, factor, whole_point, batch)

    root = scalar.root_of_unity(1 << log_length)
    expected = plain_values(1 << outer, inner, coefficients, [pow(root, j, P) for j in indices], batch)
    for i, weight in enumerate(scalar.eq_table(point)):
        place = (vector << inner) + i
        expected[place] = scalar.ext_add(expected[place], scalar.ext_mul(factor, weight))
    for number in range(1 << outer):
        by = scalar.ext_mul(factor, scalar.ext_pow(batch, number))
        for i, weight in list(enumerate(scalar.eq_table(whole_point)))[start:]:
            place = (number << inner) + i
            expected[place] = scalar.ext_add(expected[place], scalar.ext_mul(by, weight))
    assert [tuple(column) for column in terms.table().T.tolist()] == expected
    assert kernels.ext_to_ints(dense._weights) == expected

    for _ in range(rng.randrange(outer + inner + 1)):
        r = random_ext(rng)
        half = len(expected) // 2
        expected = [scalar.ext_between(a, b, r) for a, b in zip(expected[:half], expected[half:], strict=True)]
        terms.fold(r)
        dense.round_polynomial()
        dense.fold(r)
    dense.vector()
    assert [tuple(column) for column in terms.table().T.tolist()] == expected
    assert kernels.ext_to_ints(dense._weights) == expected


@pytest.mark.parametrize("element", [(0, 1, 0), (0, 0, 1)])
def test_elements_with_one_coordinate_beside_the_first_are_not_in_the_base_field(element: Ext) -> None:
    terms = TensorSum(0, 2)
    terms.add_extension(0, scalar.ONE, [element, element])
    assert [tuple(column) for column in terms.table().T.tolist()] == scalar.eq_table([element, element])
