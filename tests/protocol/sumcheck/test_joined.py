"""Instances that go on as one sum where few values are left: the messages stay what they were."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.channels import prove_on_channel
from support.plain_sumcheck import plain_witness
from support.sumchecks import Table, element, make_example, sums_of

pytest.importorskip("numba")

import random

from zkinfer.protocol.channel import AffineForm
from zkinfer.protocol.field.kernels.arrays import ext_from_ints
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext
from zkinfer.protocol.sumcheck import kernels
from zkinfer.protocol.sumcheck.params import Batch, Claim, Instance, Monomial, Point
from zkinfer.protocol.sumcheck.protocol import run_sumcheck
from zkinfer.protocol.sumcheck.prover import kernel_witness
from zkinfer.protocol.sumcheck.tables import FactorTables
from zkinfer.protocol.sumcheck.witness import SumcheckWitness

LARGEST: Ext = (P // 2, P // 2 + 1, P // 2)
"""Of the largest balanced coordinates, of both signs."""


def products(count: int) -> tuple[Monomial, ...]:
    return tuple(Monomial(ONE, (2 * k, 2 * k + 1)) for k in range(count))


def messages(batch: Batch, claims: list[Ext], witness: SumcheckWitness) -> tuple[bytes, list[Claim]]:
    return prove_on_channel(lambda c: run_sumcheck(batch, [AffineForm(v) for v in claims], c, witness))


def both_ways(batch: Batch, factors: list[list[Table]], base: Sequence[int] = ()) -> SumcheckWitness:
    """The kernels' witness, once its messages were seen to be those of plain Python; some factors are base elements."""
    arrays = [[ext_from_ints(values) for values in tables] for tables in factors]
    tables = [FactorTables.of([a[0] if k in base else a for k, a in enumerate(one)]) for one in arrays]
    fast, claims = kernel_witness(batch, tables), sums_of(batch, factors)
    assert messages(batch, claims, fast) == messages(batch, claims, plain_witness(batch, factors))
    return fast


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    sizes=st.lists(st.tuples(st.integers(0, 6), st.integers(1, 2)), min_size=1, max_size=6),
    weighed=st.booleans(),
    base=st.booleans(),
    limit=st.integers(0, 6),
)
def test_joined_rounds_send_what_plain_python_sends(
    seed: int, sizes: list[tuple[int, int]], weighed: bool, base: bool, limit: int
) -> None:
    """Whatever the sizes, of which some join those that are joined already."""
    rng = random.Random(seed)
    instances = tuple(Instance(variables, 2 * terms, products(terms)) for variables, terms in sizes)
    factors = [[[element(rng) for _ in range(1 << v)] for _ in range(2 * terms)] for v, terms in sizes]
    if base:
        for tables in factors:
            tables[0] = [(a, 0, 0) for a, _, _ in tables[0]]
    variables = max(v for v, _ in sizes)
    point: Point | None = tuple(element(rng) for _ in range(variables)) if weighed else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zkinfer.protocol.sumcheck.witness.JOINED_VARIABLES", limit)
        both_ways(Batch(instances, point), factors, base=(0,) if base else ())


@pytest.mark.parametrize("point", [None, (ZERO,) * 4, (ONE, ZERO, LARGEST, ONE)])
def test_the_largest_elements_and_points_without_weight(point: Point | None) -> None:
    batch = Batch(tuple(Instance(v, 2, products(1)) for v in (4, 4, 3, 1)), point)
    both_ways(batch, [[[LARGEST] * (1 << one.variables)] * 2 for one in batch.instances])


def test_a_round_of_many_small_instances_is_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    whole = kernels.product_sums

    def counted(*arguments: Any) -> Any:
        calls.append(arguments)
        return whole(*arguments)

    monkeypatch.setattr(kernels, "product_sums", counted)
    rng = random.Random(0)
    batch = Batch(tuple(Instance(5, 2, products(1)) for _ in range(8)))
    both_ways(batch, [[[element(rng) for _ in range(32)] for _ in range(2)] for _ in range(8)])
    assert len(calls) == 8 + 4, "eight first rounds, and four of all eight"


def test_an_instance_whose_coefficient_is_zero_goes_on_alone() -> None:
    """Its factor could not be taken out of its values again."""
    rng = random.Random(1)
    batch = Batch(tuple(Instance(3, 2, products(1)) for _ in range(3)))
    factors = [[[element(rng) for _ in range(8)] for _ in range(2)] for _ in range(3)]
    coefficients, challenges = [ONE, ZERO, element(rng)], [element(rng) for _ in range(3)]
    fast = kernel_witness(batch, [FactorTables.of([ext_from_ints(f) for f in one]) for one in factors])
    plain = plain_witness(batch, factors)
    for number, challenge in enumerate(challenges):
        sent = [one.round_polynomial(coefficients, challenges[:number]) for one in (fast, plain)]
        assert sent[0] == sent[1]
        fast.bind(challenge)
        plain.bind(challenge)
    assert [fast.values(i) for i in range(3)] == [plain.values(i) for i in range(3)]


def test_other_sums_go_on_alone_beside_those_that_are_joined() -> None:
    """Terms of three factors, and instances with a point of their own."""
    rng = random.Random(2)
    other = make_example(3, [4], 3, "own")
    instances = (*(Instance(4, 2, products(1)) for _ in range(2)), *other.batch.instances)
    factors = [[[element(rng) for _ in range(16)] for _ in range(2)] for _ in range(2)]
    both_ways(Batch(instances), [*factors, *other.factors])
