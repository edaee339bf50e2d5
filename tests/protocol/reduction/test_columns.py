"""Claims at several column points become one: true ones a true one, and false ones are found."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.channels import Change, public_claim, unchanged
from support.linear_claims import KnowingChannel, group_is_true
from support.opening_prover import exts, random_ext, row_vector, value_of
from support.plain_sumcheck import plain_witness

from zkinfer.protocol.field import scalar
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, Ext, ext_add, ext_neg
from zkinfer.protocol.pcs.claims import ClaimGroup
from zkinfer.protocol.reduction import columns as under_test
from zkinfer.protocol.reduction.columns import COLUMNS_SUMCHECK, join_columns
from zkinfer.protocol.sumcheck import protocol as sumcheck
from zkinfer.protocol.sumcheck.params import Batch
from zkinfer.protocol.sumcheck.protocol import FINAL_CHECK
from zkinfer.protocol.sumcheck.witness import SumcheckWitness
from zkinfer.typing import IntArray

VARIABLES, ROWS = 2, 3


def matrix(seed: int) -> list[list[int]]:
    rng = random.Random(seed)
    return [[rng.randrange(P) for _ in range(1 << VARIABLES)] for _ in range(ROWS)]


def claims(seed: int, count: int, errors: Sequence[Ext] = ()) -> list[ClaimGroup]:
    """Groups of one claim each about the matrix; to the first values errors are added."""
    rng, rows = random.Random(seed + 1), matrix(seed)
    groups = []
    for number in range(count):
        point = tuple(random_ext(rng) for _ in range(VARIABLES))
        vector = [random_ext(rng) for _ in range(ROWS)]
        value = value_of([rows], vector, point)
        value = ext_add(value, errors[number]) if number < len(errors) else value
        groups.append(ClaimGroup(point, (public_claim(row_vector(vector), value),)))
    return groups


def joined(seed: int, groups: Sequence[ClaimGroup], change: Change = unchanged) -> tuple[KnowingChannel, bool]:
    """The channel, and whether what is left is true."""
    channel, rows = KnowingChannel(seed, change), matrix(seed)

    def make(batch: Batch, vectors: Sequence[IntArray]) -> SumcheckWitness:
        return plain_witness(batch, [(scalar.row_combination(rows, exts(vector)),) for vector in vectors])

    (left,) = join_columns(groups, channel, make)
    return channel, group_is_true([np.array(rows)], left)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 100), st.integers(1, 5))
def test_true_claims_become_a_true_one(seed: int, count: int) -> None:
    channel, true = joined(seed, claims(seed, count))
    assert true
    assert not channel.false
    assert channel.places[COLUMNS_SUMCHECK] == (count << VARIABLES if count > 1 else 0)
    assert len(channel.terms) == (3 if count > 1 else 0)


def test_nothing_is_left_of_nothing() -> None:
    assert join_columns([], KnowingChannel(0)) == []


@pytest.mark.parametrize("number", range(3))
def test_a_false_claim_is_found(number: int) -> None:
    errors = [(0, 0, 0)] * number + [ONE]
    channel, _ = joined(3, claims(3, 3, errors))
    assert channel.false == [FINAL_CHECK]


def test_opposite_errors_do_not_cancel_under_the_challenge(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = claims(4, 2, [ONE, ext_neg(ONE)])
    assert joined(4, groups)[0].false
    monkeypatch.setattr(sumcheck, "ext_powers", lambda _, count: [ONE] * count)
    assert not joined(4, groups)[0].false


@pytest.mark.parametrize("number", range(2))
def test_wrong_values_at_the_common_point_are_found(number: int) -> None:
    """By the end of the sumcheck, or, where that is silent, by the claim that is left."""
    seen: list[int] = []

    def change(_: int, label: str, values: list[Ext]) -> list[Ext]:
        if label != "sumcheck evaluations":
            return values
        seen.append(0)
        return [ext_add(values[0], ONE)] if len(seen) - 1 == number else values

    channel, true = joined(5, claims(5, 2), change)
    assert channel.false == [FINAL_CHECK]
    assert not true


def test_values_at_the_common_point_are_joined_by_a_challenge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opposite errors of two values, which the sumcheck's end may be made to miss, leave a false claim."""

    def change(_: int, label: str, values: list[Ext]) -> list[Ext]:
        if label != "sumcheck evaluations":
            return values
        signs.append(ext_neg(signs[-1]))
        return [ext_add(values[0], signs[-1])]

    signs = [ONE]
    assert not joined(6, claims(6, 2), change)[1]
    monkeypatch.setattr(under_test, "ext_powers", lambda _, count: [ONE] * count)
    signs = [ONE]
    assert joined(6, claims(6, 2), change)[1]
