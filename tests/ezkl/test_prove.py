"""Proofs: exact against the evaluator, bound to their statement, and checked before they leave."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.claims import public
from support.example_programs import Example, everything, mlp
from support.random_programs import random_inputs, random_program

from zkinfer.circuit.evaluate import evaluate
from zkinfer.errors import BudgetError, InputRangeError, InvalidInputError, ProvingError, ResourceError, ShapeError
from zkinfer.execution.executor import execute
from zkinfer.ezkl import prove as prove_module
from zkinfer.ezkl.keys import EzklKeys
from zkinfer.ezkl.prove import ROOM_TO_PROVE, prove
from zkinfer.ezkl.setup import setup
from zkinfer.ezkl.verifying_key import EzklVerifyingKey
from zkinfer.files.proof import Proof
from zkinfer.files.statement import MAX_CONTEXT_BYTES
from zkinfer.typing import FloatArray, IntArray
from zkinfer.verifier import verify


def real_inputs(keys: EzklKeys, inputs: list[IntArray]) -> list[FloatArray]:
    return [np.ldexp(a.astype(float), -t.frac_bits) for a, t in zip(inputs, keys.program.inputs, strict=True)]


def check(keys: EzklKeys, inputs: list[IntArray], proof: Proof) -> None:
    """Exact against the evaluator, and accepted by both verifiers."""
    values = evaluate(keys.program, keys.weights, [a[None] for a in inputs])
    for tensor, number in zip(proof.output_tensors, keys.program.outputs, strict=True):
        assert public(tensor).integers().ravel().tolist() == values[number].ravel().tolist()
    verify(proof, keys.commitment, inputs=real_inputs(keys, inputs), engine="both")


def test_every_kind_of_node() -> None:
    example = everything()
    keys = setup(example.program, example.weights, proofs=2)
    inputs = [example.x, np.array([[0, 1], [2, 3]])]
    check(keys, inputs, prove(keys, inputs, b""))


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32 - 1))
def test_random_programs_are_proven_exactly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    program, weights, *_ = random_program(rng)
    keys = setup(program, weights, proofs=2)
    inputs = [a[0] for a in random_inputs(rng, program)]
    check(keys, inputs, prove(keys, inputs, b""))


def test_one_key_proves_many_inputs_at_the_extremes(keys: EzklKeys, example: Example) -> None:
    tensor = example.program.inputs[0]
    for x in (np.full(tensor.shape, tensor.lo), np.full(tensor.shape, tensor.hi), np.zeros(tensor.shape, dtype=int)):
        check(keys, [x], prove(keys, [x], b""))


def test_proofs_of_one_statement_differ(keys: EzklKeys, example: Example) -> None:
    """Fresh salt and blinding: two proofs share the weights' points and nothing else of their first words."""
    first, second = (prove(keys, [example.x], b"").data for _ in range(2))
    shared = 64 * len(keys.commitment.key_as(EzklVerifyingKey).weight_points)
    assert first[:shared] == second[:shared]
    assert all(first[i : i + 32] != second[i : i + 32] for i in range(shared, shared + 256, 32))


@pytest.mark.parametrize(
    ("x", "error"),
    [
        (np.zeros((1, 4), dtype=int), ShapeError),
        (np.zeros((2, 3), dtype=int), ShapeError),
        (np.full((1, 3), 16), InputRangeError),
        (np.full((1, 3), -(2**40)), InputRangeError),
    ],
)
def test_inputs_that_do_not_fit_cost_no_budget(keys: EzklKeys, x: IntArray, error: type[Exception]) -> None:
    left = keys.proofs_left
    with pytest.raises(error):
        prove(keys, [x], b"")
    assert keys.proofs_left == left


def test_a_context_that_is_too_long_is_refused(keys: EzklKeys, example: Example) -> None:
    with pytest.raises(InvalidInputError, match="context"):
        prove(keys, [example.x], bytes(MAX_CONTEXT_BYTES + 1))


def test_a_disagreement_about_outputs_stops_before_proving(
    keys: EzklKeys, example: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    def off_by_one(*arguments: object) -> list[IntArray]:
        values = execute(*arguments)  # type: ignore[arg-type]
        values[example.program.outputs[0]] += 1
        return values

    left = keys.proofs_left
    monkeypatch.setattr(prove_module, "execute", off_by_one)
    with pytest.raises(ProvingError, match="other outputs than zkinfer"):
        prove(keys, [example.x], b"")
    assert keys.proofs_left == left


def test_the_budget_is_spent_and_then_refused() -> None:
    example = mlp()
    keys = setup(example.program, example.weights, proofs=1)
    assert keys.proofs_left == 1
    prove(keys, [example.x], b"")
    assert keys.proofs_left == 0
    with pytest.raises(BudgetError, match="the 1 proofs that hide"):
        prove(keys, [example.x], b"")


def test_a_full_folder_for_temporary_files_takes_nothing_from_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ezkl writes its proof: it would fail when the proof was accounted for."""
    example = mlp()
    keys = setup(example.program, example.weights, proofs=1)
    monkeypatch.setattr("zkinfer.ezkl.prove.shutil.disk_usage", lambda _: SimpleNamespace(free=ROOM_TO_PROVE - 1))
    with pytest.raises(ResourceError, match=r"less than 16\.8 MB are free"):
        prove(keys, [example.x], b"")
    assert keys.proofs_left == 1
    assert keys.proof_bytes(1) > 1 << 16
