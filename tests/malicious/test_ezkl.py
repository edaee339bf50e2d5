"""Cheating provers of the ezkl backend: honest but for one lie, and each refused.

What keeps a proof to the committed model is checked in two places: ezkl's constraints, which a lie about a hint
would break, and the standalone verifier, which rebuilds the statement. Both verifiers have to refuse.
"""

from collections.abc import Callable

import numpy as np
import pytest
from py_ecc.optimized_bn128 import curve_order
from support.example_programs import Example, mlp
from support.lying_ezkl_prover import Witness, claim, honest_inputs, lie

from zkinfer.circuit.evaluate import evaluate
from zkinfer.errors import (
    CommitmentMismatchError,
    InvalidProofError,
    MalformedProofError,
    StatementError,
    VerificationError,
)
from zkinfer.ezkl.instances import STATEMENT_WORDS
from zkinfer.ezkl.keys import EzklKeys
from zkinfer.ezkl.prove import prove
from zkinfer.ezkl.runner import EzklCallError
from zkinfer.ezkl.salting import felt, salt_from_seed
from zkinfer.ezkl.setup import setup
from zkinfer.ezkl.verifying_key import EzklVerifyingKey
from zkinfer.files.proof import Proof
from zkinfer.typing import FloatArray, IntArray
from zkinfer.verifier import verify

CONTEXT = b"request 7"


@pytest.fixture(scope="module")
def example() -> Example:
    return mlp()


@pytest.fixture(scope="module")
def keys(example: Example) -> EzklKeys:
    return setup(example.program, example.weights, proofs=32)


@pytest.fixture(scope="module")
def proof(keys: EzklKeys, example: Example) -> Proof:
    return prove(keys, [example.x], CONTEXT)


def outputs_of(keys: EzklKeys, x: IntArray) -> IntArray:
    outputs: IntArray = evaluate(keys.program, keys.weights, [x[None]])[keys.program.outputs[0]][0]
    return outputs


def real(keys: EzklKeys, x: IntArray) -> FloatArray:
    values: FloatArray = np.ldexp(x.astype(float), -keys.program.inputs[0].frac_bits)
    return values


def refused(keys: EzklKeys, proof: Proof, x: IntArray, context: bytes = CONTEXT) -> VerificationError:
    """Both verifiers refuse; the error of the one that needs no ezkl."""
    errors = []
    for engine in ("ezkl", "python"):
        with pytest.raises(VerificationError) as caught:
            verify(proof, keys.commitment, inputs=real(keys, x), context=context, engine=engine)
        errors.append(caught.value)
    return errors[-1]


def test_the_honest_proof_is_accepted(keys: EzklKeys, proof: Proof, example: Example) -> None:
    verify(proof, keys.commitment, inputs=real(keys, example.x), context=CONTEXT, engine="both")


def test_the_dishonest_prover_is_accepted_when_it_does_not_lie(keys: EzklKeys, example: Example) -> None:
    """So that what it is refused for below is the lie."""
    told = claim(keys, outputs_of(keys, example.x), lie(keys, *honest_inputs(keys, example.x, CONTEXT)))
    verify(told, keys.commitment, inputs=real(keys, example.x), context=CONTEXT, engine="both")


# The statement


def test_another_context(keys: EzklKeys, proof: Proof, example: Example) -> None:
    for context in (b"", b"request 8", CONTEXT + b"\0"):
        assert isinstance(refused(keys, proof, example.x, context), InvalidProofError)


def test_another_input(keys: EzklKeys, proof: Proof, example: Example) -> None:
    other = example.x.copy()
    other[0, 0] += 1 if other[0, 0] < example.program.inputs[0].hi else -1
    assert isinstance(refused(keys, proof, other), InvalidProofError)


def test_another_output(keys: EzklKeys, proof: Proof, example: Example) -> None:
    for change in (1, -1):
        changed = outputs_of(keys, example.x)
        changed[0, 1] += change
        assert isinstance(refused(keys, claim(keys, changed, proof.data), example.x), InvalidProofError)


def test_an_output_plus_the_field_order(keys: EzklKeys, proof: Proof, example: Example) -> None:
    """Equal modulo the order, so that a verifier that reduced claimed outputs would take it."""
    changed = outputs_of(keys, example.x).astype(object) + curve_order
    assert isinstance(refused(keys, claim(keys, changed, proof.data), example.x), MalformedProofError)


# The weights


@pytest.fixture(scope="module")
def thief(example: Example) -> EzklKeys:
    """Other weights in the same architecture: the same verifying key, another commitment."""
    return setup(example.program, [w // 2 for w in example.weights], proofs=32)


def test_other_weights_under_their_own_commitment(keys: EzklKeys, thief: EzklKeys, example: Example) -> None:
    stolen = prove(thief, [example.x], CONTEXT)
    assert isinstance(refused(keys, stolen, example.x), CommitmentMismatchError)


def test_other_weights_passed_off_as_the_published_ones(keys: EzklKeys, thief: EzklKeys, example: Example) -> None:
    weights, _ = honest_inputs(thief, example.x, CONTEXT)
    values = evaluate(thief.program, thief.weights, [example.x[None]])
    _, witness = honest_inputs(keys, example.x, CONTEXT)
    position = STATEMENT_WORDS + example.x.size
    for hint in keys.lowered.hints:
        witness[position : position + hint.size] = hint.compute(values[hint.source]).tolist()
        position += hint.size
    data = lie(keys, weights, witness)
    other = claim(keys, outputs_of(thief, example.x), data)
    assert isinstance(refused(keys, other, example.x), CommitmentMismatchError)
    points = b"".join(keys.commitment.key_as(EzklVerifyingKey).weight_points)
    swapped = claim(keys, outputs_of(thief, example.x), points + data[len(points) :])
    assert isinstance(refused(keys, swapped, example.x), InvalidProofError)


def test_one_weight_off_by_one(keys: EzklKeys, example: Example) -> None:
    changed = [w.copy() for w in example.weights]
    changed[2][0, 0] += 1 if changed[2][0, 0] < 7 else -1
    layout = keys.lowered.weights
    flat = [int(w) for array in changed for w in array.ravel()]
    weights = layout.fill(flat, salt_from_seed(keys.seed, layout.salt_count))
    outputs = evaluate(keys.program, changed, [example.x[None]])[keys.program.outputs[0]][0]
    data = lie(keys, weights, honest_inputs(keys, example.x, CONTEXT)[1])
    points = b"".join(keys.commitment.key_as(EzklVerifyingKey).weight_points)
    assert isinstance(refused(keys, claim(keys, outputs, data), example.x), CommitmentMismatchError)
    swapped = claim(keys, outputs, points + data[len(points) :])
    assert isinstance(refused(keys, swapped, example.x), InvalidProofError)


# The witness


def hint_position(keys: EzklKeys, example: Example) -> int:
    """Where the first hint's first element lies in the witness vector."""
    return STATEMENT_WORDS + example.x.size


@pytest.mark.parametrize("change", [1, -1])
def test_a_rounding_off_by_one(keys: EzklKeys, example: Example, change: int) -> None:
    """A quotient off by one leaves its remainder's table, above or below."""
    weights, witness = honest_inputs(keys, example.x, CONTEXT)
    witness[hint_position(keys, example)] += change
    with pytest.raises(EzklCallError):
        lie(keys, weights, witness)


def test_a_quotient_that_wraps_around_the_field(keys: EzklKeys, example: Example) -> None:
    """Modulo the order, any remainder in range has some quotient; the table's domain is what excludes it."""
    weights, witness = honest_inputs(keys, example.x, CONTEXT)
    hint = keys.lowered.hints[0]
    values = evaluate(keys.program, keys.weights, [example.x[None]])
    shifted = int(values[hint.source].ravel()[0]) + (1 << (hint.shift - 1)) - (hint.table_lo << hint.shift)
    honest = shifted % (1 << hint.shift)
    wrong = (honest + 1) % (1 << hint.shift)
    quotient = (shifted - wrong) * pow(1 << hint.shift, -1, curve_order) % curve_order
    assert (quotient * (1 << hint.shift) + wrong - shifted) % curve_order == 0
    witness[hint_position(keys, example)] = quotient
    with pytest.raises(EzklCallError):
        lie(keys, weights, witness)


def edited_output(position: int, change: int) -> Callable[[Witness], None]:
    def edit(witness: Witness) -> None:
        flat = witness["outputs"][-1]
        flat[position] = felt(int.from_bytes(bytes.fromhex(flat[position]), "little") + change)

    return edit


def test_a_lookup_off_by_one_in_the_witness_file(keys: EzklKeys, example: Example) -> None:
    """ezkl proves what its circuit computes, whatever the file says the outputs are."""
    lied = outputs_of(keys, example.x)
    lied[0, 0] += 1
    try:
        data = lie(keys, *honest_inputs(keys, example.x, CONTEXT), edit=edited_output(0, 1))
    except EzklCallError:
        return
    assert isinstance(refused(keys, claim(keys, lied, data), example.x), InvalidProofError)


def test_statement_words_of_another_request(keys: EzklKeys, example: Example) -> None:
    """The prover may feed any words into the graph, but they come out as instances."""
    data = lie(keys, *honest_inputs(keys, example.x, b"another request"))
    told = claim(keys, outputs_of(keys, example.x), data)
    assert isinstance(refused(keys, told, example.x), InvalidProofError)
    verify(told, keys.commitment, inputs=real(keys, example.x), context=b"another request")


def test_an_input_out_of_its_declared_bounds(keys: EzklKeys, proof: Proof) -> None:
    """The circuit would compute on it; the statement cannot be made."""
    tensor = keys.program.inputs[0]
    for value in (tensor.lo - 1, tensor.hi + 1):
        with pytest.raises(StatementError, match="takes values from"):
            verify(proof, keys.commitment, inputs=real(keys, np.full(tensor.shape, value)), context=CONTEXT)
