"""Provers who lie about the time of a recurrence: what a step takes from the one before.

Each of them executes another recurrence than the program's, and is honest and consistent otherwise: all lookups are
right, and so are all products of what was executed. That a Delay is claimed of the committed states is what is left to
refuse the lie. Where the lie is a View of the states, verifiers that take the Delay for that View accept it.
"""

from collections.abc import Callable

import numpy as np
import pytest
from support.both_verifiers import ask_both, ask_reference, cheap_boxes, prove_and_verify
from support.model_comparison import build, compare
from support.native_prover import Case, Lie, make_case, prove, verify
from support.recurrent_programs import (
    CLAMP,
    LAST,
    PAST,
    PRODUCT,
    RECURRENT,
    START,
    STATE,
    SUM,
    R,
    recurrence,
    two_states,
)

from zkinfer.circuit.lookup import lookup
from zkinfer.circuit.program import Delay, Term
from zkinfer.circuit.qformat import quantize
from zkinfer.circuit.regions import find_regions
from zkinfer.circuit.steps import Expand, Pad, Slice
from zkinfer.compiler.lowering.precision import Precision
from zkinfer.errors import InvalidProofError, VerificationError
from zkinfer.typing import IntArray

STEPS = 5
Values = dict[int, IntArray]
Before = Callable[[Values, int], IntArray]
"""The state before a step, of shape (runs, batch, hidden), given those of earlier steps."""


def _case(private: bool = False) -> Case:
    program, weights, inputs = recurrence(STEPS)
    # Each state reads itself alone, and little of it: so there is also a state that is the one of its own past.
    weights[1] = np.eye(3, dtype=np.int64)
    return make_case(program, weights, inputs, (private,) * 2, (private,) * 2)


CASE = _case()


def _executed(before: Before) -> Lie:
    """An execution in which each step begins with another state."""

    def execution(values: Values) -> None:
        for t in range(STEPS):
            # As often as a state needs to agree with itself, if it is its own past.
            for _ in range(20):
                values[PAST][:, t] = before(values, t)
                values[RECURRENT][:, t] = values[PAST][:, t] @ values[R][0].T
                values[SUM][:, t] = values[PRODUCT][:, t] + values[RECURRENT][:, t] + 1
                values[STATE][:, t] = lookup(values[SUM][:, t], CLAMP, 2)
        values[LAST] = values[STATE][:, -1]

    return Lie(execution)


def honest(values: Values, t: int) -> IntArray:
    return values[STATE][:, t - 1] if t else values[START][:, 0]


def two_before(values: Values, t: int) -> IntArray:
    return values[STATE][:, t - 2] if t > 1 else values[START][:, 0]


def at_once(values: Values, t: int) -> IntArray:
    return values[STATE][:, t] if t else values[START][:, 0]


def of_the_other_run(values: Values, t: int) -> IntArray:
    return values[STATE][::-1, t - 1] if t else values[START][:, 0]


def of_the_other_sequence(values: Values, t: int) -> IntArray:
    return values[STATE][:, t - 1, ::-1] if t else values[START][:, 0]


def another_beginning(values: Values, t: int) -> IntArray:
    return values[STATE][:, t - 1] if t else np.full_like(values[START][:, 0], 7)


def no_memory(values: Values, t: int) -> IntArray:
    return np.zeros_like(values[START][:, 0]) if t else values[START][:, 0]


def _zeros(before: int, after: int) -> Pad:
    return Pad((before, 0, 0), (after, 0, 0))


LIES: dict[Before, tuple[Term, ...] | None] = {
    two_before: (
        Term(START, 1, (Expand((2, 2, 3)), _zeros(0, STEPS - 2))),
        Term(STATE, 1, (Slice(0, 0, STEPS - 2, 1), _zeros(2, 0))),
    ),
    at_once: (
        Term(START, 1, (_zeros(0, STEPS - 1),)),
        Term(STATE, 1, (Slice(0, 1, STEPS - 1, 1), _zeros(1, 0))),
    ),
    no_memory: (Term(START, 1, (_zeros(0, STEPS - 1),)),),
    of_the_other_run: None,
    of_the_other_sequence: None,
    another_beginning: None,
}


@pytest.mark.parametrize("private", [False, True])
def test_honest_recurrences_are_accepted(private: bool) -> None:
    prove_and_verify(_case(private))
    assert prove(CASE, _executed(honest)).failing == set()
    program, weights, inputs = two_states(6)
    case = make_case(program, weights, inputs, (private,), (private,) * 3)
    prove_and_verify(case)
    with cheap_boxes():
        prove_and_verify(make_case(program, weights, inputs, (private,), (private,) * 3))


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_layers_of_models_are_accepted(op: str, private: bool) -> None:
    """Both directions of a compiled layer, with and without hidden inputs and outputs."""
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    rng = np.random.default_rng(0)
    tensors = {"w": rng.normal(size=(2, 2 * gates, 3)), "r": rng.normal(size=(2, 2 * gates, 2))}
    body = f"""t = Transpose<perm=[1, 0, 2]>(x)
    y = {op}<hidden_size=2, direction="bidirectional">(t, w, r)
    z = Transpose<perm=[2, 0, 1, 3]>(y)"""
    model = build(body, {"x": [2, 3, 3]}, tensors, outputs=["z"])
    x = rng.normal(size=(16, 3, 3))
    lowered = compare(model, x, batch=2, precision=Precision(5, 5, 512)).lowered
    assert len(find_regions(lowered.program)) == 2
    integers = quantize(x[:4].reshape(2, 2, 3, 3), lowered.program.inputs[0])
    prove_and_verify(make_case(lowered.program, list(lowered.weights), [integers], (private,), (private,)))


@pytest.mark.parametrize("before", LIES)
def test_a_state_of_another_time_or_run_is_refused_by_both_verifiers(before: Before) -> None:
    attempt = prove(CASE, _executed(before))
    assert attempt.failing
    with pytest.raises(InvalidProofError):
        ask_both(CASE, attempt.proof, attempt.publics)


@pytest.mark.parametrize("before", [before for before, terms in LIES.items() if terms])
def test_it_is_the_delay_that_refuses_it(before: Before, monkeypatch: pytest.MonkeyPatch) -> None:
    terms = LIES[before]
    monkeypatch.setattr(Delay, "terms", lambda self: terms)
    attempt = prove(CASE, _executed(before))
    assert attempt.failing == set()
    verify(CASE, attempt.proof, attempt.publics)
    # The reference verifier has a definition of its own.
    with pytest.raises(VerificationError):
        ask_reference(CASE, attempt.proof, attempt.publics)
