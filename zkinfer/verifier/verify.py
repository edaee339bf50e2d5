"""The one function that a third party calls.

Steps, each with its own error: the commitment and the proof are well formed; rotations lead from this commitment to
that of the proof, which is consistent; the proof names it; it claims outputs that this program can have, in some number
of runs; the caller's inputs, outputs and context make a statement; the backend's check accepts.
"""

import time
from collections.abc import Sequence

import numpy as np

from zkinfer.backend import Check, all_backends, find_backend
from zkinfer.circuit.program import Program, Tensor
from zkinfer.circuit.qformat import dequantize
from zkinfer.circuit.samples import batch_of, stacked_shape
from zkinfer.errors import (
    CommitmentMismatchError,
    InvalidInputError,
    MissingDependencyError,
    StatementError,
    UnusableStatementError,
    VerifierNotInstalledError,
    VerifierUnavailableError,
)
from zkinfer.files.commitment import Commitment
from zkinfer.files.file import Source
from zkinfer.files.proof import DIGEST_BYTES, STATED_BYTES, Proof
from zkinfer.files.statement import Shown, Statement
from zkinfer.typing import FloatArray
from zkinfer.verifier.claims import Values, check_runs, claimed_outputs, claimed_runs, compare_outputs, stated_inputs
from zkinfer.verifier.lineage import Lineage, check_min_bits, follow, require_bits
from zkinfer.verifier.remembered import decoded
from zkinfer.verifier.result import Revealed, VerifiedInference, in_words

PARTS = ("inputs differ", "outputs differ", "context differs")
ADVICE = {
    "inputs differ": "hand in those that the model was run on, all samples of the proof in their order",
    "outputs differ": "the proof was changed after it was made",
    "context differs": "pass the bytes that it was bound to, context= (--context)",
}
BYTES_OF_ANY_PROOF, BYTES_PER_ELEMENT = 64 << 20, 4
"""A file of a proof may have so many bytes, and so many more for each element of the program's tensors: several times
what proofs take, and what bounds the memory of checking a hostile one."""

ENGINE_ALIASES = {"slow": "reference"}
"""Former names of engines."""


def _check_origin(proof: Proof, commitment: Commitment) -> None:
    """The proof says that it was made for this commitment."""
    if proof.backend != commitment.backend:
        raise CommitmentMismatchError(
            f"the proof was made by backend {proof.backend[:20]!a}; this commitment checks {commitment.backend!r}"
        )
    if proof.commitment_digest != commitment.digest:
        raise CommitmentMismatchError(
            "the proof was made for another commitment (other weights, another circuit or another key) than "
            f"{commitment.fingerprint}; ask the sender which one, or for the rotations that lead to it"
        )


def _floats(values: Sequence[Shown], tensors: Sequence[Tensor], program: Program, runs: int) -> Revealed:
    """Real numbers, read-only, samples first: one array, or a tuple of several; None where they are hidden."""
    floats: list[FloatArray | None] = []
    for value, tensor in zip(values, tensors, strict=True):
        if isinstance(value, bytes):
            floats.append(None)
            continue
        shape = stacked_shape(tensor.shape, batch_of(program), runs)
        real = np.array(dequantize(value, tensor)).reshape(shape)
        real.setflags(write=False)
        floats.append(real)
    return floats[0] if len(floats) == 1 else tuple(floats)


def _commitments(values: Sequence[Shown]) -> tuple[bytes | None, ...]:
    """The commitments to hidden values."""
    return tuple(value if isinstance(value, bytes) else None for value in values)


def engine_name(engine: str) -> str:
    """The name of an engine that some backend has.

    Raises:
        VerifierUnavailableError: none has it; the message lists those that there are.
    """
    name = ENGINE_ALIASES.get(engine, engine)
    engines = dict.fromkeys(engine for backend in all_backends() for engine in backend.engines)
    if name not in engines:
        raise VerifierUnavailableError(f"there is no engine {engine!r}; choose one of {', '.join(engines)}")
    return name


def _checker(commitment: Commitment, engine: str) -> Check:
    """The check of the commitment's backend."""
    backend = find_backend(commitment.backend)
    if engine not in backend.engines:
        own = " or ".join(map(repr, backend.engines))
        raise VerifierUnavailableError(f"this commitment takes engine {own}, not {engine!r}")
    return backend.checker(commitment, engine)


def _statement(
    proof: Proof,
    commitment: Commitment,
    inputs: Values,
    outputs: Values,
    context: bytes,
    *,
    saturate: bool,
    max_runs: int | None,
    decimals: int | None,
) -> tuple[Statement, int]:
    """What the caller states, with the outputs that the proof claims; and how many values of inputs were clipped."""
    program = commitment.program
    runs = claimed_runs(proof, program)
    check_runs(proof, runs, outputs, max_runs)
    claimed = claimed_outputs(proof.output_tensors, program, runs)
    if outputs is not None:
        compare_outputs(outputs, claimed, program, runs, decimals)
    elif decimals is not None:
        raise UnusableStatementError(
            "decimals is about the outputs that you were told: hand them in, outputs= (--outputs)"
        )
    stated, clipped = stated_inputs(inputs, proof, program, runs, saturate=saturate)
    if not isinstance(context, (bytes, bytearray, memoryview)):
        raise UnusableStatementError(f'context: bytes are needed, such as b"request 1", got {type(context).__name__}')
    try:
        return Statement(commitment, runs, tuple(stated), tuple(claimed), bytes(context)), clipped
    except InvalidInputError as error:
        raise UnusableStatementError(f"context: {error}") from None


def _compare_stated(proof: Proof, statement: Statement) -> None:
    """Say which part of the statement is not what the proof was made for, where the proof tells.

    Raises:
        StatementError: a part differs. That none does proves nothing.
    """
    if not proof.stated:
        return
    told = [proof.stated[start : start + DIGEST_BYTES] for start in range(0, STATED_BYTES, DIGEST_BYTES)]
    for what, ours, theirs in zip(PARTS, statement.parts(), told, strict=True):
        if ours != theirs:
            raise StatementError(f"the {what} from what the proof was made for: {ADVICE[what]}")


def _max_bytes(program: Program) -> int:
    """What the file of a proof, or of a rotation, of this program may have."""
    elements = sum(program.tensor(value).size for value in range(program.num_values))
    return BYTES_OF_ANY_PROOF + BYTES_PER_ELEMENT * elements


def _verify(
    proof: Proof | Source,
    commitment: Commitment | Source,
    inputs: Values,
    outputs: Values,
    context: bytes,
    engine: str,
    saturate: bool,
    lineage: Lineage,
    max_runs: int | None,
    min_bits: float | None,
    decimals: int | None,
) -> VerifiedInference:
    start = time.perf_counter()
    engine = engine_name(engine)
    if min_bits is not None:
        check_min_bits(min_bits)
    published = Commitment.of(commitment, decode=decoded)
    max_bytes = _max_bytes(published.program)
    proof = Proof.of(proof, max_bytes=max_bytes)
    least = find_backend(published.backend).min_bits if min_bits is None else min_bits
    commitment = follow(published, lineage, proof.commitment_digest, max_bytes=max_bytes, min_bits=least)
    check = _checker(commitment, engine)
    _check_origin(proof, commitment)
    statement, clipped = _statement(
        proof, commitment, inputs, outputs, context, saturate=saturate, max_runs=max_runs, decimals=decimals
    )
    _compare_stated(proof, statement)
    backend = find_backend(published.backend)
    range_bits = backend.weight_range_bits(published, engine)
    guarantee = check(statement, proof)
    program, runs = commitment.program, statement.runs
    hidden = _commitments(statement.inputs), _commitments(statement.outputs)
    public, zero_knowledge = in_words(guarantee.hiding, *hidden)
    bits = guarantee.bits
    if commitment is not published:
        bits = min(bits, backend.rotation_bits(published))
    if range_bits is not None:
        bits = min(bits, range_bits)
    require_bits(bits, least)
    return VerifiedInference(
        outputs=_floats(statement.outputs, program.output_tensors, program, runs),
        inputs=_floats(statement.inputs, program.inputs, program, runs),
        input_commitments=hidden[0],
        output_commitments=hidden[1],
        runs=runs,
        fingerprint=published.fingerprint,
        program_digest=commitment.program_digest.hex(),
        context=statement.context,
        engine=engine,
        test_only=guarantee.test_only,
        security_bits=bits,
        weights_in_bounds=range_bits is not None,
        public=public,
        zero_knowledge=zero_knowledge,
        security=guarantee.soundness,
        seconds=time.perf_counter() - start,
        clipped=clipped,
    )


def verify(
    proof: Proof | Source,
    commitment: Commitment | Source,
    inputs: Values = None,
    outputs: Values = None,
    context: bytes = b"",
    engine: str = "python",
    saturate: bool = False,
    lineage: Lineage = (),
    max_runs: int | None = None,
    min_bits: float | None = None,
    decimals: int | None = None,
) -> VerifiedInference:
    """Check that the committed model maps these inputs to the proven outputs.

    The statement is built from the arguments, never from the proof. The commitment is what the caller trusts: take
    it from the model's owner, and compare its fingerprint over another channel.

    Args:
        proof: a proof, the content of a proof file, or its path or URL.
        commitment: the published commitment, the content of a `.zkc` file, or its path or URL.
        inputs: real numbers: one array of shape (samples, ...) (one sample may come without that axis), or a sequence
            or mapping of one array an input. In the place of an input that the proof hides, the 32 bytes of the
            commitment to it that the caller expects; or None, and the one of the result is to be compared.
        outputs: the outputs that the caller was told, likewise; also nested lists, as from JSON, or a dictionary, a
            ModelOutput or a dataclass whose names are those of the outputs. They must be the same numbers, in an array
            of float32 once they are rounded to float32. When None, the outputs that are proven are those in the result.
        context: the bytes that the proof must be bound to (a nonce or request id).
        engine: "python" runs in this process. For native proofs, "reference" (formerly "slow") is a second verifier,
            written from the protocol's text in plain Python: for small programs. For ezkl proofs, "ezkl" asks ezkl,
            "both" demands that they agree.
        saturate: clip inputs beyond the circuit's bounds, as the prover did if it was told to, instead of refusing.
        lineage: where the proof was made under a rotated commitment, the rotations (or contents of their files, or
            paths) that lead to it from the published one, in order. They are verified too, and trusted no more than
            the proof.
        max_runs: how many runs of the circuit the proof may cover. By default any number that inputs or outputs of
            yours bound, and 4096 where the proof hides all inputs and you state no outputs: checking takes time for
            each, and a short file may claim many.
        min_bits: the security that the parameters in use have to be worth. By default 128 for native proofs, and for
            ezkl proofs the 100 that their curve gives.
        decimals: the outputs that the caller was told were rounded to so many digits after the point: they may differ
            from the proven ones by half a unit of the last. The result holds the exact ones.

    Raises:
        MalformedCommitmentError: the commitment is not a commitment, or contradicts itself, or its own proof about its
            weights is refused, or missing where proofs rely on it.
        MalformedProofError: the proof is not a proof of this commitment's form.
        CommitmentMismatchError: it was made for another commitment, or for other weights.
        StatementError: the inputs, outputs or context cannot be what was proven.
        InvalidProofError: the cryptographic check refuses it, or the commitment's parameters are worth too little.
        NothingCheckedError: a kind of some of the errors above: a file is missing or of another kind, or the arguments
            make no statement, so that nothing is said about the proof.
        VerifierUnavailableError: the engine asked for cannot run here, or there is too little memory to verify.
        VerifierNotInstalledError: the same, because a package is missing: proofs of the ezkl backend need
            `zkinfer[ezkl-verifier]`, files in stores `zkinfer[stores]`. This is a MissingDependencyError as well.
    """
    try:
        with np.errstate(all="ignore"):
            return _verify(
                proof, commitment, inputs, outputs, context, engine, saturate, lineage, max_runs, min_bits, decimals
            )
    except VerifierNotInstalledError:
        raise
    except MissingDependencyError as error:
        raise VerifierNotInstalledError(str(error)) from None
    except (MemoryError, RecursionError) as error:
        raise VerifierUnavailableError(
            f"not enough memory or stack to verify ({type(error).__name__}); nothing is said about the proof"
        ) from None
