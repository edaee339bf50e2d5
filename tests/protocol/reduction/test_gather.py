"""Gathered boxes: one claim in place of many, which is true if and only if they are, up to chance."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.both_verifiers import cheap_boxes
from support.linear_claims import Knowing, KnowingWitness, gathered, is_true, value_of
from support.native_prover import Case, make_case
from support.plain_sumcheck import plain_witness
from support.random_contractions import random_ext
from support.random_statements import knowing, random_case, reduce_knowing
from support.two_layer_program import HIDDEN, INPUT, PROGRAM, SUMS, WEIGHTS

from zkinfer.native.gathered import gathered_tables
from zkinfer.protocol.field import kernels, scalar
from zkinfer.protocol.field.modular import to_exts
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_add, ext_inv, ext_mul, ext_neg, ext_powers, ext_scale
from zkinfer.protocol.lookup.protocol import ENTRY_DENOMINATOR_CHECK
from zkinfer.protocol.reduction import reduce as under_test
from zkinfer.protocol.reduction.boxes import cover
from zkinfer.protocol.reduction.claims import CommittedClaim
from zkinfer.protocol.reduction.functional import padded_eq
from zkinfer.protocol.reduction.gather import Gathering, is_gathered
from zkinfer.protocol.reduction.reduce import GATHER_CHECK
from zkinfer.protocol.sumcheck.params import Batch
from zkinfer.protocol.sumcheck.protocol import FINAL_CHECK
from zkinfer.protocol.sumcheck.witness import SumcheckWitness
from zkinfer.typing import IntArray

seeds = st.integers(0, 2**32 - 1)
shapes = st.lists(st.integers(1, 7), min_size=1, max_size=3).map(tuple)
prices = st.sampled_from([0, 3, 1 << 10])

SHIFT = 3
"""Of the first lookup of the program of two layers, whose source is `SUMS`."""


def gathering(seed: int, shape: tuple[int, ...]) -> Gathering:
    """All boxes of a tensor, at random points."""
    rng = np.random.default_rng(seed)
    cut = cover(shape)
    points = tuple(tuple(random_ext(rng) for _ in range(box.total)) for box in cut.boxes)
    return Gathering(0, cut, points, tuple(random_ext(rng) for _ in cut.boxes))


@given(seeds, shapes, prices)
def test_the_sum_is_that_of_the_boxes(seed: int, shape: tuple[int, ...], price: int) -> None:
    """Of boxes that reach behind the tensor, with zeros there."""
    array = np.random.default_rng(seed).integers(-1000, 1000, shape)
    with cheap_boxes(price):
        one = gathering(seed, shape)
    expected = ZERO
    for box, point, coefficient in zip(one.cut.boxes, one.points, one.coefficients, strict=True):
        elements = [(int(x) % P, 0, 0) for x in one.cut.take(array, box)]
        expected = ext_add(expected, ext_mul(coefficient, scalar.mle(elements, point)))
    assert scalar.ext_dot(*gathered(one, array)) == expected


@given(seeds, shapes, prices)
def test_weights_and_value_at_a_point_of_the_padded_axes(seed: int, shape: tuple[int, ...], price: int) -> None:
    rng = np.random.default_rng(seed)
    array = rng.integers(-1000, 1000, shape)
    with cheap_boxes(price):
        one = gathering(seed, shape)
    point = tuple(random_ext(rng) for _ in range(one.instance.variables))
    weights, values = gathered(one, array)
    assert one.weight_at(point) == scalar.mle(weights, point)
    functional = padded_eq(shape, point)
    assert value_of(functional, array) == scalar.mle(values, point)
    assert [factor.shape[1:] for factor in functional.factors] == [(n,) for n in shape], "a product over its own axes"


@given(seeds, shapes, prices, st.sampled_from([np.int8, np.int32, np.int64]))
def test_the_provers_tables(seed: int, shape: tuple[int, ...], price: int, dtype: type) -> None:
    array: IntArray = np.random.default_rng(seed).integers(-100, 100, shape).astype(dtype)
    with cheap_boxes(price):
        one = gathering(seed, shape)
    tables = gathered_tables(one, array)
    weights, values = gathered(one, array)
    assert to_exts(kernels.to_ints(tables.factor(0))) == weights
    assert [(int(x), 0, 0) for x in kernels.to_ints(tables.factor(1))] == values


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 64), False),
        ((2, 33, 65), True),
        ((129, 129, 129), True),
        ((5,) * 5, False),
    ],
    ids=str,
)
def test_which_boxes_are_gathered(shape: tuple[int, ...], expected: bool) -> None:
    """Several, if the padded axes do not have many times the places of the tensor."""
    with cheap_boxes():
        assert is_gathered(cover(shape)) == expected


# In the reduction


@pytest.fixture
def case() -> Case:
    """The program of two layers on three runs, each of its tensors of several boxes."""
    with cheap_boxes():
        return make_case(PROGRAM, WEIGHTS, [INPUT])


def reduced(case: Case, party: Knowing) -> list[CommittedClaim]:
    return reduce_knowing(case, case.publics, party)


@pytest.mark.parametrize("seed", range(20))
def test_a_true_statement_leaves_true_claims(seed: int) -> None:
    with cheap_boxes(seed % 3):
        random = random_case(seed)
    party = knowing(random)
    claims = reduced(random, party)
    assert not party.false
    assert all(is_true(random.plan, party.stacks, claim) for claim in claims)


def moved(case: Case, *changes: int) -> Knowing:
    """A party that says other indices of the first boxes of the first lookup than it looked up, by these changes."""
    site = next(site for site in case.plan.sites if site.value == HIDDEN)
    assert len(site.cut.boxes) >= len(changes) > 1
    assert case.plan.instance is not None
    order = [block for stack in case.plan.instance.entries for block in stack.blocks]
    lies = {order.index(numbers[0]): change for numbers, change in zip(site.blocks, changes, strict=False)}
    sent = 0

    def change(_: int, label: str, values: list[Ext]) -> Sequence[Ext]:
        nonlocal sent
        if label != "lookup block":
            return values
        lie = lies.get(sent, 0)
        sent += 1
        return [ext_add(values[0], (lie % P, 0, 0)), *values[1:]]

    return knowing(case, change=change)


def test_values_moved_from_one_box_to_another_do_not_cancel(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their sum stays the same: the powers of the challenge tell them apart, and nothing else does."""
    party = moved(case, 1, -1)
    reduced(case, party)
    assert party.false == [ENTRY_DENOMINATOR_CHECK, ENTRY_DENOMINATOR_CHECK, FINAL_CHECK]
    monkeypatch.setattr(under_test, "ext_powers", lambda _, count: ext_powers(ONE, count))
    party = moved(case, 1, -1)
    claims = reduced(case, party)
    assert party.false == [ENTRY_DENOMINATOR_CHECK, ENTRY_DENOMINATOR_CHECK]
    assert all(is_true(case.plan, party.stacks, claim) for claim in claims)


def test_weights_other_than_the_boxes_are_seen_by_their_check_alone(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prover whose false values are a true sum with weights of its own: all that it claims afterwards is true."""

    def lying(self: KnowingWitness, batch: Batch, gatherings: Sequence[Gathering]) -> SumcheckWitness:
        tables = [gathered(one, self.values[one.value]) for one in gatherings]
        number = next(i for i, one in enumerate(gatherings) if one.value == SUMS)
        weights, values = tables[number]
        first, second = (ext_scale(c, 1 << SHIFT) for c in gatherings[number].coefficients[:2])
        place = next(i for i, value in enumerate(values) if value != ZERO)
        error = ext_add(first, ext_neg(ext_scale(second, 5)))
        weights[place] = ext_add(weights[place], ext_mul(error, ext_inv(values[place])))
        return plain_witness(batch, tables)

    monkeypatch.setattr(KnowingWitness, "gather_sumcheck", lying)
    party = moved(case, 1, -5)
    claims = reduced(case, party)
    assert party.false == [ENTRY_DENOMINATOR_CHECK, ENTRY_DENOMINATOR_CHECK, GATHER_CHECK]
    assert all(is_true(case.plan, party.stacks, claim) for claim in claims)


def test_each_source_has_one_claim(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the number of its boxes; it is a product over the source's own axes."""
    routed: list[tuple[int, int]] = []
    honest = under_test._Reduction._route

    def route(self: object, value: int, functional: object, claimed: object) -> None:
        routed.append((value, len(functional.factors)))  # type: ignore[attr-defined]
        honest(self, value, functional, claimed)  # type: ignore[arg-type]

    monkeypatch.setattr(under_test._Reduction, "_route", route)
    reduced(case, knowing(case))
    boxes = {site.source: site.cut for site in case.plan.sites}
    assert all(len(cut.boxes) > 1 for cut in boxes.values())
    assert routed[: len(boxes)] == [(value, len(cut.shape)) for value, cut in boxes.items()]
