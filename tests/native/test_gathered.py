"""The rounds of gathered boxes that need no tables, against those of tables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.both_verifiers import cheap_boxes
from support.random_contractions import random_ext

from zkinfer.native import gathered
from zkinfer.native.gathered import GatheredRounds, gathered_rounds, gathered_tables, whole_point
from zkinfer.protocol.field import kernels, scalar
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ZERO, ext_add
from zkinfer.protocol.reduction.boxes import cover
from zkinfer.protocol.reduction.gather import Gathering
from zkinfer.protocol.sumcheck.params import Polynomial
from zkinfer.protocol.sumcheck.prover import start
from zkinfer.protocol.sumcheck.witness import Rounds
from zkinfer.typing import Array

seeds = st.integers(0, 2**32 - 1)
shapes = st.lists(st.integers(1, 7), min_size=1, max_size=4).map(tuple)
prices = st.sampled_from([0, 3])


def gathering(rng: np.random.Generator, shape: tuple[int, ...], price: int) -> Gathering:
    """The boxes of a tensor, at random points; the lower the price of a box, the more there are."""
    with cheap_boxes(price):
        cut = cover(shape)
    points = tuple(tuple(random_ext(rng) for _ in range(box.total)) for box in cut.boxes)
    return Gathering(0, cut, points, tuple(random_ext(rng) for _ in cut.boxes))


def messages(rounds: Rounds, variables: int) -> tuple[list[Polynomial], list[scalar.Ext]]:
    """All polynomials under challenges that are always the same, and the values at the end."""
    rng, found = np.random.default_rng(variables), []
    for _ in range(variables):
        found.append(rounds.sums())
        rounds.bind(random_ext(rng))
    return found, rounds.values()


@given(seeds, shapes, prices, st.integers(1, 5), st.sampled_from([np.int8, np.int16, np.int64]))
def test_rounds_without_tables_send_what_those_with_tables_send(
    seed: int, shape: tuple[int, ...], price: int, early: int, dtype: type
) -> None:
    """Also of boxes that reach behind the tensor, and of tensors that are views of others."""
    rng = np.random.default_rng(seed)
    one = gathering(rng, shape, price)
    variables = one.instance.variables
    array: Array = rng.integers(-100, 100, shape[::-1]).astype(dtype).T
    if dtype is np.int64:
        array = array * (P // 256)
    if early < variables:
        expected = messages(start(one.instance, gathered_tables(one, array), None), variables)
        assert messages(GatheredRounds(one, array, early), variables) == expected


@given(seeds, shapes, prices)
def test_the_weights_are_those_of_whole_points(seed: int, shape: tuple[int, ...], price: int) -> None:
    one = gathering(np.random.default_rng(seed), shape, price)
    expected = [ZERO] * (1 << one.instance.variables)
    for box, own, scale in zip(one.cut.boxes, one.points, one.coefficients, strict=True):
        weights = scalar.eq_table(whole_point(box, own, one.bits))
        expected = [
            ext_add(total, scalar.ext_mul(scale, weight)) for total, weight in zip(expected, weights, strict=True)
        ]
    found = gathered_tables(one, np.zeros(shape, dtype=np.int64)).factor(0)
    assert kernels.ext_to_ints(found) == expected


def test_large_tensors_are_proven_without_large_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    one, array = gathering(rng, (3, 5), 0), rng.integers(-9, 9, (3, 5))
    few = gathered_rounds(one, array)
    monkeypatch.setattr(gathered, "LARGE_VARIABLES", one.instance.variables)
    many = gathered_rounds(one, array)
    assert isinstance(many, GatheredRounds)
    assert not isinstance(few, GatheredRounds)
    assert messages(few, one.instance.variables) == messages(many, one.instance.variables)
