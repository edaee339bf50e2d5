"""The one function that a third party calls.

Steps, each with its own error: the commitment is well formed and consistent; the proof is well formed; it names this
commitment; it claims outputs that this program can have; the caller's inputs and outputs make a statement; the proof
has the one length that proofs of this key have, and begins with the published weight points; the statement's public
values are rebuilt from the caller's side; the cryptographic check accepts.
"""

import os
import time
from collections.abc import Sequence

import numpy as np

from zkinfer.circuit.program import Tensor
from zkinfer.circuit.qformat import dequantize
from zkinfer.commitment import Commitment
from zkinfer.errors import (
    CommitmentMismatchError,
    InvalidInputError,
    InvalidProofError,
    MalformedCommitmentError,
    MalformedProofError,
    StatementError,
    VerifierUnavailableError,
)
from zkinfer.proof import Proof
from zkinfer.statement import public_instances, statement_digest
from zkinfer.verifier import ezkl_engine
from zkinfer.verifier.bn254 import SCALAR_MODULUS
from zkinfer.verifier.claims import IntArray, Values, claimed_outputs, compare_outputs, quantized_inputs
from zkinfer.verifier.halo2 import Artifact
from zkinfer.verifier.key import check_key
from zkinfer.verifier.result import Engine, FloatArray, VerifiedInference

Source = bytes | bytearray | memoryview | str | os.PathLike[str]
ENGINES: tuple[Engine, ...] = ("python", "ezkl", "both")


def _commitment(source: Commitment | Source) -> Commitment:
    if isinstance(source, Commitment):
        return source
    if isinstance(source, (bytes, bytearray, memoryview)):
        return Commitment.from_bytes(bytes(source))
    if isinstance(source, (str, os.PathLike)):
        return Commitment.load(source)
    raise MalformedCommitmentError(f"a commitment, its bytes or a path is needed, got {type(source).__name__}")


def _proof(source: Proof | Source) -> Proof:
    if isinstance(source, Proof):
        return source
    if isinstance(source, (bytes, bytearray, memoryview)):
        return Proof.from_bytes(bytes(source))
    if isinstance(source, (str, os.PathLike)):
        return Proof.load(source)
    raise MalformedProofError(f"a proof, its bytes or a path is needed, got {type(source).__name__}")


def _check_origin(proof: Proof, commitment: Commitment) -> None:
    """The proof says that it was made for this commitment."""
    if proof.backend != commitment.backend:
        raise CommitmentMismatchError(
            f"the proof was made by backend {proof.backend[:20]!a}; this commitment checks {commitment.backend!r}"
        )
    if proof.commitment_digest != commitment.digest:
        raise CommitmentMismatchError(
            "the proof was made for another commitment (other weights, another circuit or another key) than "
            f"{commitment.fingerprint}; ask the sender which one"
        )


def _check_layout(proof: bytes, commitment: Commitment, artifact: Artifact) -> None:
    """The proof's bytes have the one possible length, and begin with the published weight points."""
    if len(proof) != artifact.proof_bytes:
        raise MalformedProofError(
            f"the proof holds {len(proof)} bytes where this commitment's proofs have {artifact.proof_bytes}: "
            "truncated or extended"
        )
    points = b"".join(commitment.key.weight_points)
    if proof[: len(points)] != points:
        raise CommitmentMismatchError("the proof commits to other weights than the published commitment")


def _run_engines(
    engine: Engine, commitment: Commitment, artifact: Artifact, instances: list[int], proof: bytes
) -> None:
    """Ask each verifier; an acceptance counts only where none refuses."""
    refusals: list[InvalidProofError] = []
    asked = ("python", "ezkl") if engine == "both" else (engine,)
    for name in asked:
        try:
            if name == "python":
                artifact.check(instances, proof, commitment.key.weight_points)
            else:
                ezkl_engine.check(commitment.key, artifact.negated_s_g2, instances, proof)
        except InvalidProofError as error:
            refusals.append(error)
    if len(refusals) not in (0, len(asked)):
        raise InvalidProofError(
            f"the two verifiers disagree, so the proof counts as invalid; please report it ({refusals[0]})"
        )
    if refusals:
        raise refusals[0]


def _floats(arrays: Sequence[IntArray], tensors: Sequence[Tensor]) -> FloatArray | tuple[FloatArray, ...]:
    """Real numbers, read-only: one array, or a tuple of several."""
    floats: list[FloatArray] = []
    for array, tensor in zip(arrays, tensors, strict=True):
        real = np.array(dequantize(array, tensor))
        real.setflags(write=False)
        floats.append(real)
    return floats[0] if len(floats) == 1 else tuple(floats)


def _verify(
    proof: Proof | Source,
    commitment: Commitment | Source,
    inputs: Values,
    outputs: Values | None,
    context: bytes,
    engine: Engine,
    saturate: bool,
) -> VerifiedInference:
    start = time.perf_counter()
    if engine not in ENGINES:
        raise VerifierUnavailableError(f"there is no engine {engine!r}; choose one of {', '.join(ENGINES)}")
    commitment = _commitment(commitment)
    artifact = check_key(commitment)
    proof = _proof(proof)
    _check_origin(proof, commitment)
    program = commitment.program
    claimed = claimed_outputs(proof.output_tensors, program)
    if outputs is not None:
        compare_outputs(outputs, claimed, program)
    integers = quantized_inputs(inputs, program, saturate=saturate)
    if not isinstance(context, (bytes, bytearray, memoryview)):
        raise StatementError(f"context: bytes are needed, got {type(context).__name__}")
    try:
        digest = statement_digest(commitment, bytes(context))
    except InvalidInputError as error:
        raise StatementError(f"context: {error}") from None
    _check_layout(proof.data, commitment, artifact)
    instances = [x % SCALAR_MODULUS for x in public_instances(digest, integers, claimed)]
    _run_engines(engine, commitment, artifact, instances, proof.data)
    return VerifiedInference(
        outputs=_floats(claimed, program.output_tensors),
        inputs=_floats(integers, program.inputs),
        fingerprint=commitment.fingerprint,
        program_digest=commitment.program_digest.hex(),
        context=bytes(context),
        engine=engine,
        test_only=commitment.key.srs.test_only,
        seconds=time.perf_counter() - start,
    )


def verify(
    proof: Proof | Source,
    commitment: Commitment | Source,
    inputs: Values,
    outputs: Values | None = None,
    context: bytes = b"",
    engine: Engine = "python",
    saturate: bool = False,
) -> VerifiedInference:
    """Check that the committed model maps these inputs to the proven outputs.

    The statement is built from the arguments, never from the proof. The commitment is what the caller trusts: take
    it from the model's owner, and compare its fingerprint over another channel.

    Args:
        proof: a proof, the content of a proof file, or a path.
        commitment: the published commitment, the content of a `.zkc` file, or a path.
        inputs: real numbers: one array of the program's input shape (a batch axis of size 1 may be left out), or a
            sequence or mapping of one array an input.
        outputs: the outputs that the caller was told, to be compared exactly; when None, the outputs that are proven
            are those in the result.
        context: the bytes that the proof must be bound to (a nonce or request id).
        engine: "python" needs nothing but zkinfer; "ezkl" asks ezkl; "both" demands that they agree.
        saturate: clip inputs beyond the circuit's bounds, as the prover did if it was told to, instead of refusing.

    Raises:
        MalformedCommitmentError: the commitment is no commitment, or contradicts itself.
        MalformedProofError: the proof is no proof of this commitment's form.
        CommitmentMismatchError: it was made for another commitment, or for other weights.
        StatementError: the inputs, outputs or context cannot be what was proven.
        InvalidProofError: the cryptographic check refuses it.
        VerifierUnavailableError: the engine asked for cannot run here, or there is too little memory to verify.
    """
    try:
        with np.errstate(all="ignore"):
            return _verify(proof, commitment, inputs, outputs, context, engine, saturate)
    except (MemoryError, RecursionError) as error:
        raise VerifierUnavailableError(
            f"not enough memory or stack to verify ({type(error).__name__}); nothing is said about the proof"
        ) from None
