"""The verifier of native proofs: numpy and blake3 alone.

Steps: the proof's parts have the sizes that plan and header fix; the reduction, whose checks become constraints on
pads; both openings; the proof about the pads. Memory and time follow from the plan and the header's sizes, which are
within limits before anything is allocated for them.
"""

import math
from collections.abc import Mapping

from zkinfer.counts import counted
from zkinfer.errors import CompileError, InvalidInputError, MalformedCommitmentError, MalformedProofError, ProvingError
from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.statement import Statement, ranges_statement
from zkinfer.protocol import security
from zkinfer.protocol.field.encoding import BASE_BYTES
from zkinfer.protocol.native_proof.encoding import NativeProof, decode, hidden_values
from zkinfer.protocol.native_proof.protocol import PADS, Commitments, reading, run_proof
from zkinfer.protocol.pcs.copies import Link
from zkinfer.protocol.pcs.params import MatrixCommitment, OpeningParameters
from zkinfer.protocol.reduction.plan import INPUTS, WITNESS, Plan, make_plan
from zkinfer.protocol.reduction.weight_ranges import AnyPlan, make_range_plan
from zkinfer.protocol.security import Security
from zkinfer.typing import IntArray

MAX_OPENING_WORK = 1 << 26
"""Symbols of a row times columns that are shown: what checking an opening costs, at most. Honest headers ask for two
thirds of it at most, for any number of cells."""

OWN_BITS = security.DEFAULT_BITS
"""What a proof has to be worth but for the opening of the weights: its sizes are those that its prover chose."""

MAX_SPARE_COLUMNS = 4
"""A header may ask for matrices this many times as wide as all witness cells in one row: what bounds its sizes."""


def check(commitment: Commitment, statement: Statement, data: bytes) -> float:
    """Verify a native proof of a statement, under a commitment whose own proof about its weights has been verified.

    Without that a false statement may be accepted: `zkinfer.verifier.verify` checks both.

    Args:
        commitment: of the native backend, checked.
        statement: the caller's.
        data: the proof's bytes, any whatever.

    Returns:
        Bits of security, of the parameters in use.

    Raises:
        VerificationError: the proof is malformed, or refused; or the commitment's program cannot be proven.
    """
    private_inputs = tuple(isinstance(value, bytes) for value in statement.inputs)
    private_outputs = tuple(isinstance(value, bytes) for value in statement.outputs)
    try:
        plan = make_plan(commitment.program, statement.runs, private_inputs, private_outputs)
    except (ProvingError, CompileError, InvalidInputError) as error:
        raise MalformedCommitmentError(f"no proof can be for this commitment: {error}") from None
    proof = decode(data)
    _check_roots(plan, statement, proof)
    publics = {i: value for i, value in enumerate(statement.inputs) if not isinstance(value, bytes)}
    first = plan.program.num_values
    publics |= {first + i: value for i, value in enumerate(statement.outputs) if not isinstance(value, bytes)}
    key = commitment.key_as(NativeVerifyingKey)
    try:
        return _verify_copy(plan, publics, statement.digest(), key, proof).bits
    except ProvingError as error:
        raise MalformedCommitmentError(f"no proof can be for this commitment: {error}") from None
    except InvalidInputError as error:
        raise MalformedProofError(f"no proof can be of this statement: {error}") from None


def check_ranges(commitment: Commitment) -> float:
    """Verify the proof, which a commitment carries, that all committed weights lie within their bounds.

    Args:
        commitment: of the native backend, checked; its `range_proof` is any bytes whatever.

    Returns:
        Bits of security, of the parameters in use.

    Raises:
        VerificationError: the proof is malformed, or refused.
    """
    proof, key = decode(commitment.range_proof), commitment.key_as(NativeVerifyingKey)
    try:
        plan = make_range_plan(commitment.program)
        if proof.copy:
            raise MalformedProofError("the proof about the weights is not about their first copy")
        return _verify_copy(plan, {}, ranges_statement(commitment), key, proof).bits
    except InvalidInputError as error:
        raise MalformedProofError(f"no proof can be about these weights: {error}") from None


def _verify_copy(
    plan: AnyPlan, publics: Mapping[int, IntArray], statement: bytes, key: NativeVerifyingKey, proof: NativeProof
) -> Security:
    """Verify a proof of the copy of the weights that it names; arguments and errors as for `verify_run`."""
    copies = key.copies
    weights = copies.matrix(proof.place)
    if 0 < len(proof.weights) < weights.rows:
        raise MalformedProofError(
            f"an opening shows columns of {counted(weights.rows, 'element')}, and has fewer bytes"
        )
    link = copies.link() if proof.weights else None
    return verify_run(plan, publics, statement, weights, key.opening, proof, OWN_BITS, link)


def _check_roots(plan: Plan, statement: Statement, proof: NativeProof) -> None:
    """The proof's matrices of hidden values are those that the statement names."""
    for values, root in zip((statement.inputs, statement.outputs), proof.roots, strict=False):
        named = hidden_values(proof.header, root)
        if any(isinstance(value, bytes) and value != named for value in values):
            raise MalformedProofError("the proof hides other values than the statement names")


def verify_run(
    plan: AnyPlan,
    publics: Mapping[int, IntArray],
    statement: bytes,
    weights: MatrixCommitment,
    parameters: OpeningParameters,
    proof: NativeProof,
    own_bits: float = -math.inf,
    link: Link | None = None,
) -> Security:
    """Verify a decoded proof; the other arguments are those of `run_proof`.

    Raises:
        VerificationError: it is refused.
    """
    _check_sizes(plan, proof)
    commitments = Commitments(proof.header, proof.roots, proof.masks, proof.pads, proof.place)
    return run_proof(
        plan,
        publics,
        statement,
        weights,
        parameters,
        commitments,
        reading(proof),
        pads=PADS,
        own_bits=own_bits,
        link=link,
    )


def _check_sizes(plan: AnyPlan, proof: NativeProof) -> None:
    cells = sum(layout.cells for layout in plan.layouts[INPUTS : WITNESS + 1])
    if proof.header.opening.code.columns > MAX_SPARE_COLUMNS * max(cells, 1 << 10):
        raise MalformedProofError("the proof's matrices are wider than its witness")
    if proof.header.opening.code.dimension * proof.header.queries > MAX_OPENING_WORK:
        raise MalformedProofError("the proof's opening would be too much work to check")
    rows = sum(layout.rows(proof.header.log_columns) for layout in plan.layouts[INPUTS : WITNESS + 1])
    if rows * BASE_BYTES > len(proof.witness):
        raise MalformedProofError("the proof's opening of its matrices is shorter than one column of them")
