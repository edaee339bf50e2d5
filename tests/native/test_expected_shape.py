"""Shapes of proofs of many runs, expected from dry runs of few: near what they are, and made without their size."""

import math

import pytest
from support.example_programs import mlp

from zkinfer.circuit.program import Program
from zkinfer.native import expected_shape as module
from zkinfer.native.estimate import estimate
from zkinfer.native.expected_shape import DRY_RUNS, expected_shape
from zkinfer.native.prove import header_for
from zkinfer.native.setup import key_sizes
from zkinfer.protocol.native_proof.shape import Shape, shape_of
from zkinfer.protocol.pcs.params import Code
from zkinfer.protocol.reduction.plan import Plan, make_plan

EXAMPLE = mlp()
MOST = 1 << 20


def both(program: Program, runs: int) -> tuple[Shape, Shape]:
    """The shape that is expected, and the one that it is."""
    plan, sizes = make_plan(program, runs), key_sizes(program, 3)
    arguments = plan, sizes.opening.code, header_for(plan), sizes.log_copies
    return expected_shape(*arguments), shape_of(*arguments)


@pytest.mark.parametrize("runs", [1, 5, DRY_RUNS])
def test_few_runs_are_run_dry_as_they_are(runs: int) -> None:
    expected, own = both(EXAMPLE.program, runs)
    assert expected == own


@pytest.mark.parametrize("runs", [DRY_RUNS + 1, 3 * DRY_RUNS, 10_000, 1 << 15])
def test_many_runs_are_nearly_as_expected(runs: int) -> None:
    """Sums over cells alone may be fewer: what is long enough is opened without one."""
    expected, own = both(EXAMPLE.program, runs)
    assert (expected.weight_groups, expected.witness_groups) == (own.weight_groups, own.witness_groups)
    assert expected.contracted == pytest.approx(own.contracted, rel=0.1)
    assert len(expected.variables) == pytest.approx(len(own.variables), rel=0.35)
    bits = [-math.log2(math.fsum(term.error for term in shape.terms)) for shape in (expected, own)]
    assert bits[0] == pytest.approx(bits[1], abs=1)


@pytest.mark.parametrize("runs", [3 * DRY_RUNS, 1 << 15])
def test_estimates_are_nearly_those_of_whole_dry_runs(runs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where messages, whose number is right within a third (see above), are most of the work."""
    expected = estimate(EXAMPLE.program, EXAMPLE.weights, runs=runs, proofs=3)
    monkeypatch.setattr(module, "DRY_RUNS", runs)
    whole = estimate(EXAMPLE.program, EXAMPLE.weights, runs=runs, proofs=3)
    assert expected != whole
    assert expected.prove_seconds == pytest.approx(whole.prove_seconds, rel=0.35)
    assert expected.proof_bytes == pytest.approx(whole.proof_bytes, rel=0.1)


def test_no_estimate_runs_more_than_few_runs_dry(monkeypatch: pytest.MonkeyPatch) -> None:
    dry: list[int] = []

    def counted(plan: Plan, weights: Code, *arguments: object) -> Shape:
        dry.append(plan.runs)
        return shape_of(plan, weights, *arguments)

    monkeypatch.setattr(module, "shape_of", counted)
    found = [estimate(EXAMPLE.program, EXAMPLE.weights, runs=runs, proofs=3) for runs in (MOST // 2, MOST)]
    assert dry
    assert max(dry) <= DRY_RUNS
    assert found[1].prove_seconds == pytest.approx(2 * found[0].prove_seconds, rel=0.25)
    assert found[1].security_bits >= 127
