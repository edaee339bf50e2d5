"""Functionals of the reference verifier against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.circuit.program import Term
from zkinfer.circuit.steps import Expand, Pad, Reshape, Slice, Step, Take, Transpose, Windows, apply_steps
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ZERO, Ext
from zkinfer.verifier.reference.elements import total
from zkinfer.verifier.reference.weights import Weights, boundaries, merged, product_of, pull_term

tensors = st.lists(st.integers(1, 4), min_size=2, max_size=3).map(tuple)


def elements(rng: np.random.Generator, count: int, below: int = P) -> tuple[Ext, ...]:
    return tuple((int(a), int(b), int(c)) for a, b, c in rng.integers(0, below, (count, 3)))


@given(tensors, st.integers(0, 2**32 - 1))
def test_merging_keeps_the_sum(shape: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    entries = [elements(rng, int(np.prod(shape)), 3) for _ in range(3)]
    terms = [Weights(shape, e) for e in (*entries, entries[0])]
    columns = zip(*(w.entries for w in merged(terms)), strict=True)
    expected = [total(column) for column in zip(*(w.entries for w in terms), strict=True)]
    assert [total(column) for column in columns] == expected


def test_merging_joins_products_that_differ_in_one_factor() -> None:
    rng = np.random.default_rng(0)
    first, second, common = (elements(rng, 3) for _ in range(3))
    terms = [product_of((3, 3), [table, common]) for table in (first, second)]
    assert len(merged(terms)) == 1


def test_merging_leaves_out_what_cancels() -> None:
    weights = product_of((2, 2), [elements(np.random.default_rng(1), 2)] * 2)
    assert merged([weights, weights.scaled((P - 1, 0, 0))]) == []
    assert merged([Weights((2,), (ZERO, ZERO))]) == []


def test_weights_can_be_cut_where_they_are_products_and_nowhere_else() -> None:
    rng = np.random.default_rng(2)
    tables = [elements(rng, n) for n in (2, 3, 2)]
    product = product_of((2, 3, 2), tables)
    assert boundaries(product) == {1, 2}
    last = (*product.entries[:-1], tables[0][0])
    assert boundaries(Weights(product.shape, last)) == set()


@pytest.mark.parametrize(
    "steps",
    [
        (Reshape((3, 2)), Transpose((1, 0))),
        (Slice(0, 1, 2, -1), Pad((1, 0), (0, 2))),
        (Windows(1, 2, 1, 1), Take(0, (1, 1, 0))),
        (Reshape((1, 6)), Expand((4, 6))),
    ],
    ids=str,
)
def test_a_functional_pulled_back_has_the_same_value(steps: tuple[Step, ...]) -> None:
    rng = np.random.default_rng(0)
    source = rng.integers(-9, 10, (2, 2, 3))
    result = np.stack([-3 * apply_steps(steps, run) for run in source])
    weights = Weights(result.shape, elements(rng, result.size))
    pulled = pull_term(weights, Term(0, -3, steps), source.shape)
    assert pulled.of(source.ravel().tolist()) == weights.of(result.ravel().tolist())
