"""What a proof tells of its statement: it names what differs, and is never trusted."""

import msgspec
import numpy as np
import pytest
from support.example_programs import mlp
from support.single_copies import openings_a_copy

from zkinfer.circuit.program import Einsum, Program, Scales, Tensor
from zkinfer.circuit.qformat import quantize
from zkinfer.errors import InvalidProofError, StatementError, VerificationError
from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.proof import OutputTensor, Proof
from zkinfer.files.statement import Statement
from zkinfer.native.keys import NativeKeys
from zkinfer.native.setup import setup
from zkinfer.protocol.pcs.levels import choose_levels
from zkinfer.verifier import verify

INTEGERS = np.array([[[-3, 11, 2]], [[15, -15, 0]]])
X = INTEGERS[:, 0] / 8
OTHER = np.where(X < 1, X + 0.125, X - 0.125)
CONTEXT = b"request 1"


@pytest.fixture(scope="module")
def keys() -> NativeKeys:
    example = mlp()
    return setup(example.program, example.weights, proofs=20, seed=bytes(32))


@pytest.fixture(scope="module")
def proof(keys: NativeKeys) -> Proof:
    return keys.prove([INTEGERS], CONTEXT)


def with_other_output(proof: Proof, stated: bytes) -> Proof:
    (claim,) = proof.output_tensors
    assert isinstance(claim, OutputTensor)
    integers = claim.integers()
    integers[1, 0] -= np.sign(integers[1, 0])
    changed = (OutputTensor.of(integers, claim.frac_bits),)
    return Proof(proof.backend, proof.commitment_digest, changed, proof.data, stated=stated)


def test_it_names_what_differs(keys: NativeKeys, proof: Proof) -> None:
    with pytest.raises(StatementError, match="the inputs differ"):
        verify(proof, keys.commitment, inputs=OTHER, context=CONTEXT)
    with pytest.raises(StatementError, match="the outputs differ"):
        verify(with_other_output(proof, proof.stated), keys.commitment, inputs=X, context=CONTEXT)
    with pytest.raises(StatementError, match="the context differs"):
        verify(proof, keys.commitment, inputs=X, context=b"request 2")
    verify(proof, keys.commitment, inputs=X, context=CONTEXT)


def test_a_liar_who_tells_what_the_verifier_wants_to_hear(keys: NativeKeys, proof: Proof) -> None:
    (claim,) = proof.output_tensors
    assert isinstance(claim, OutputTensor)
    inputs = (OTHER * 8).astype(np.int64).reshape(INTEGERS.shape)
    statement = Statement(keys.commitment, 2, (inputs,), (claim.integers().reshape(2, 1, -1),), CONTEXT)
    told = Proof(
        proof.backend, proof.commitment_digest, proof.output_tensors, proof.data, stated=b"".join(statement.parts())
    )
    with pytest.raises(InvalidProofError, match="does not show this statement"):
        verify(told, keys.commitment, inputs=OTHER, context=CONTEXT)


def test_who_tells_nothing_is_refused_by_the_argument(keys: NativeKeys, proof: Proof) -> None:
    with pytest.raises(InvalidProofError):
        verify(with_other_output(proof, b""), keys.commitment, inputs=X, context=CONTEXT)


def test_the_second_verifier_is_an_engine() -> None:
    """Also of proofs whose combinations are not sent."""
    example = mlp()
    with openings_a_copy():
        keys = setup(example.program, example.weights, proofs=30, seed=bytes(32))
    proof = keys.prove([INTEGERS], CONTEXT)
    assert choose_levels(2, keys.commitment.key_as(NativeVerifyingKey).opening.code.dimension)
    fast = verify(proof, keys.commitment, inputs=X, context=CONTEXT)
    slow = verify(proof, keys.commitment, inputs=X, context=CONTEXT, engine="slow")
    np.testing.assert_array_equal(fast.outputs, slow.outputs)
    assert fast.security_bits == pytest.approx(slow.security_bits)
    assert slow.engine == "reference"
    with pytest.raises(InvalidProofError):
        verify(with_other_output(proof, b""), keys.commitment, inputs=X, context=CONTEXT, engine="slow")


def test_features_are_stated_in_units_of_their_own() -> None:
    """A caller's numbers become integers by the published scales; one step of a small feature is another statement."""
    x = Tensor("x", (1, 2), 1, -64, 64, Scales(-1, (0, 20)))
    weight = np.array([[3, -2]])
    out = Tensor("y", (1, 1), 1, -320, 320)
    program = Program(1, (x,), (Tensor("w", (1, 2), 0, -3, 3),), (), (Einsum(out, "bi,oi->bo", (0, 1)),), (2,))
    keys = setup(program, [weight], proofs=2, seed=bytes(32))
    reals = np.array([[20.5, 25 * 2.0**-21]])
    proof = keys.prove([quantize(reals, x)[None]], CONTEXT)
    for engine in ("python", "reference"):
        result = verify(proof, keys.commitment, inputs=reals, context=CONTEXT, engine=engine)
        np.testing.assert_array_equal(result.outputs, [[(3 * 41 - 2 * 25) / 2]])
        for moved in ([[20.5, 26 * 2.0**-21]], [[21.0, 25 * 2.0**-21]], [[20.5, 25 * 2.0**-1]]):
            with pytest.raises(StatementError):
                verify(proof, keys.commitment, inputs=np.array(moved), context=CONTEXT, engine=engine)
    unscaled = msgspec.structs.replace(program, inputs=(msgspec.structs.replace(x, scales=None),))
    with pytest.raises(VerificationError):
        verify(proof, Commitment(unscaled, keys.commitment.key), inputs=reals, context=CONTEXT)
