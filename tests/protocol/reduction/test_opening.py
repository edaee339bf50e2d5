"""From claims on committed vectors to claims for openings, against a prover that knows every cell."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
from support.both_verifiers import cheap_boxes
from support.claim_programs import fused_weight
from support.linear_claims import Knowing, group_is_true, is_true
from support.native_prover import Case, make_case, small
from support.random_programs import random_inputs
from support.random_statements import knowing, random_case, reduce_knowing

from zkinfer.protocol.channel import AffineForm
from zkinfer.protocol.field.scalar import ONE, Ext, ext_add, ext_neg, ext_powers
from zkinfer.protocol.pcs.params import Code
from zkinfer.protocol.reduction import opening as under_test
from zkinfer.protocol.reduction.claims import CommittedClaim, CommittedTerm, OpeningClaims
from zkinfer.protocol.reduction.columns import COLUMNS_SUMCHECK
from zkinfer.protocol.reduction.opening import SPLIT_CHECK, WEIGHT_CHECK, plan_openings
from zkinfer.protocol.reduction.plan import INPUTS, WEIGHTS, WITNESS
from zkinfer.protocol.reduction.restriction import as_point

Claims = list[CommittedClaim]


def opened(case: Case, claims: Claims | None = None) -> tuple[OpeningClaims, Claims, Knowing]:
    """The openings that a case's own claims, or others, are reduced to."""
    party = knowing(case)
    found = reduce_knowing(case, case.publics, party)
    claims = found if claims is None else claims
    return opened_by(case, claims, party), claims, party


def opened_by(case: Case, claims: Claims, party: Knowing) -> OpeningClaims:
    codes = case.sizes.weights.code, case.sizes.header.opening.code
    return plan_openings(case.plan, claims, codes, party.channel, party.witness)


def groups_are_true(case: Case, openings: OpeningClaims, party: Knowing) -> bool:
    columns = case.sizes.weights.code.columns, case.sizes.header.opening.code.columns
    weights = [party.stacks[WEIGHTS].reshape(-1, columns[0])]
    witness = [party.stacks[matrix].reshape(-1, columns[1]) for matrix in range(INPUTS, WITNESS + 1)]
    by_matrix = [(weights, group) for group in openings.weights] + [(witness, group) for group in openings.witness]
    return all(group_is_true(matrices, group) for matrices, group in by_matrix)


def refused(case: Case, claims: Claims) -> bool:
    openings, _, party = opened(case, claims)
    return bool(party.false) or not groups_are_true(case, openings, party)


@pytest.fixture(params=[0, 8, 1 << 40], ids=["direct", "as built", "sumcheck alone"])
def direct_cells(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many cells a column point must have to be opened by itself: none, the real number, more than there are."""
    monkeypatch.setattr(under_test, "DIRECT_CELLS", request.param)
    cells: int = request.param
    return cells


@pytest.fixture
def many_boxes() -> Iterator[None]:
    """Small tensors have several boxes."""
    with cheap_boxes():
        yield


@pytest.mark.parametrize("seed", range(12))
def test_true_claims_become_true_groups(seed: int, direct_cells: int) -> None:
    case = random_case(seed)
    openings, claims, party = opened(case)
    assert all(is_true(case.plan, party.stacks, claim) for claim in claims)
    assert not party.false
    assert groups_are_true(case, openings, party)
    assert openings.weights or openings.witness
    assert len(openings.weights) <= 1
    assert len(openings.witness) <= 1


@pytest.mark.parametrize("seed", range(12))
def test_one_false_claim_is_not_lost_among_true_ones(seed: int, direct_cells: int) -> None:
    case = random_case(seed)
    _, claims, _ = opened(case)
    for number in range(0, len(claims), 5):
        lies = list(claims)
        lies[number] = dataclasses.replace(claims[number], value=claims[number].value + AffineForm(ONE))
        assert refused(case, lies), f"claim {number} of {len(claims)}"


def test_opposite_errors_do_not_cancel_under_the_challenge(direct_cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two claims of one kind, one too large and one too small: only where the challenge is one they cancel."""
    case = random_case(1)
    _, (claim, *_), _ = opened(case)
    lies = [
        CommittedClaim(claim.terms, claim.value + AffineForm(ONE)),
        CommittedClaim(claim.terms, claim.value + AffineForm(ext_neg(ONE))),
    ]
    assert refused(case, lies)
    monkeypatch.setattr(under_test, "ext_powers", lambda _, count: ext_powers(ONE, count))
    assert not refused(case, lies)


@pytest.mark.usefixtures("many_boxes")
def test_claims_are_split_between_direct_openings_and_the_sumcheck(monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim over boxes of a row at least and smaller ones: what each kind adds up to is sent."""
    monkeypatch.setattr(under_test, "DIRECT_CELLS", 0)
    split = 0
    for seed in range(20):
        case = random_case(seed)
        openings, _, party = opened(case)
        split += "parts of a claim" in party.asked
        assert not party.false
        assert groups_are_true(case, openings, party)
        assert len(openings.weights) <= 1
        assert len(openings.witness) <= 1
    assert split > 3


def test_rows_of_a_direct_opening_may_be_weighed_at_will(monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim on part of a weight that is several matrices: an eq table within rows, which is all that is needed."""
    monkeypatch.setattr(under_test, "DIRECT_CELLS", 0)
    built = fused_weight()
    inputs = random_inputs(np.random.default_rng(1), built.program, 2)
    case = make_case(built.program, built.weights, inputs, sizes=small(2))
    openings, claims, party = opened(case)
    assert not party.false
    assert groups_are_true(case, openings, party)
    (group,) = openings.weights
    assert np.count_nonzero(group.claims[0].rows.any(axis=0)) == 4
    assert as_point(group.claims[0].rows) is None
    (number,) = (i for i, claim in enumerate(claims) if claim.terms[0].matrix == WEIGHTS)
    lies = list(claims)
    lies[number] = dataclasses.replace(claims[number], value=claims[number].value + AffineForm(ONE))
    assert refused(case, lies)


@pytest.mark.usefixtures("many_boxes")
def test_any_number_of_column_points_becomes_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims at many points are joined, and a false one among them is not lost."""
    monkeypatch.setattr(under_test, "DIRECT_CELLS", 0)
    most = 0
    for seed in range(20):
        case = random_case(seed)
        openings, claims, party = opened(case)
        assert not party.false
        assert groups_are_true(case, openings, party)
        most = max(most, party.channel.places[COLUMNS_SUMCHECK] >> case.sizes.header.log_columns)
        lies = [dataclasses.replace(claims[-1], value=claims[-1].value + AffineForm(ONE))]
        assert refused(case, [*claims[:-1], *lies])
    assert most > 4


@pytest.mark.usefixtures("many_boxes")
@pytest.mark.parametrize("label", ["parts of a claim", "sums over units"])
def test_a_split_that_is_off_is_found(label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent of one part is missing in another: a sum over cells is false, or a group."""
    monkeypatch.setattr(under_test, "DIRECT_CELLS", 0)
    lies = 0

    def change(number: int, sent: str, values: list[Ext]) -> list[Ext]:
        return [ext_add(values[0], ONE), *values[1:]] if sent == label else values

    for seed in range(20):
        case = random_case(seed)
        party = knowing(case, change=change)
        openings = opened_by(case, reduce_knowing(case, case.publics, party), party)
        if label in party.asked:
            lies += 1
            assert party.false or not groups_are_true(case, openings, party)
    assert lies > 3


def test_the_weights_of_a_block_are_the_verifiers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sumcheck's second factor is public: the prover's value of it is compared with what the verifier computes."""
    case = random_case(0)
    weight_at = under_test.weight_at
    monkeypatch.setattr(under_test, "weight_at", lambda one, point: ext_add(weight_at(one, point), ONE))
    _, _, party = opened(case)
    assert set(party.false) == {WEIGHT_CHECK}


def test_a_claim_without_weight_must_be_zero() -> None:
    """A functional that is zero on every box: nothing can be opened, so the value is checked itself."""
    case = random_case(0)
    _, claims, _ = opened(case)
    (term,) = next(claim for claim in claims if claim.terms[0].functional is not None).terms
    assert term.functional is not None
    zero = tuple(np.zeros_like(factor) for factor in term.functional.factors)
    nothing = dataclasses.replace(term, functional=dataclasses.replace(term.functional, factors=zero))
    openings, _, party = opened(case, [CommittedClaim((nothing,), AffineForm((0, 0, 0)))])
    assert (openings.weights, openings.witness, party.false) == ([], [], [])
    _, _, party = opened(case, [CommittedClaim((nothing,), AffineForm(ONE))])
    assert party.false == [SPLIT_CHECK]


def test_sums_over_several_vectors_are_one_claim() -> None:
    """Terms on different matrices add up to one value: true together, and false if their sum is."""
    case = random_case(4)
    _, claims, _ = opened(case)
    terms: tuple[CommittedTerm, ...] = ()
    value = AffineForm((0, 0, 0))
    for claim in claims:
        terms, value = terms + claim.terms, value + claim.value
    assert len({term.matrix for term in terms}) > 1
    assert not refused(case, [CommittedClaim(terms, value)])
    assert refused(case, [CommittedClaim(terms, value + AffineForm(ONE))])


@pytest.mark.parametrize("log_columns", [0, 1, 3, 6])
def test_rows_of_any_length_hold_any_boxes(log_columns: int, direct_cells: int) -> None:
    """Rows of one cell, where every box has rows of its own; and rows longer than all boxes, where all share some."""
    case = random_case(5, log_columns)
    assert case.sizes.header.opening.code == Code(log_columns, 5, max(5, log_columns + 2))
    openings, _, party = opened(case)
    assert not party.false
    assert groups_are_true(case, openings, party)
