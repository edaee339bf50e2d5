"""The verifier of native proofs: numpy and blake3 alone.

Steps: the proof's parts have the sizes that plan and header fix; the reduction, whose checks become constraints on
pads; both openings; the proof about the pads. Memory and time follow from the plan and the header's sizes, which are
within limits before anything is allocated for them.
"""

import math
from collections.abc import Mapping, Sequence

from zkinfer.errors import (
    CompileError,
    InvalidInputError,
    InvalidProofError,
    MalformedCommitmentError,
    MalformedProofError,
    ProvingError,
)
from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.statement import Statement
from zkinfer.protocol import native_proof as argument
from zkinfer.protocol import security
from zkinfer.protocol.channel import VerifierChannel
from zkinfer.protocol.ligero.pads import verify_pads
from zkinfer.protocol.native_proof import DOMAIN, OPENING_CHECK, PADS, NativeProof
from zkinfer.protocol.pcs.params import MatrixCommitment, OpeningParameters
from zkinfer.protocol.pcs.verifier import reduce_opening
from zkinfer.protocol.reduction.party import Group, VerifierParty, row_claims, settle
from zkinfer.protocol.reduction.plan import INPUTS, WITNESS, Plan, make_plan
from zkinfer.protocol.security import Security
from zkinfer.protocol.transcript import Transcript
from zkinfer.typing import IntArray

MAX_OPENING_WORK = 1 << 26
"""Symbols of a row times columns that are shown: what checking an opening costs, at most. Honest headers ask for less
than a tenth of it, for any number of cells."""

OWN_BITS = security.DEFAULT_BITS
"""What a proof has to be worth but for the opening of the weights: its sizes are those that its prover chose."""

MAX_SPARE_COLUMNS = 4
"""A header may ask for matrices this many times as wide as all witness cells in one row: what bounds its sizes."""


def check(commitment: Commitment, statement: Statement, data: bytes) -> float:
    """Verify a native proof of a statement.

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
    proof = argument.decode(data)
    _check_roots(plan, statement, proof)
    publics = {i: value for i, value in enumerate(statement.inputs) if not isinstance(value, bytes)}
    first = plan.program.num_values
    publics |= {first + i: value for i, value in enumerate(statement.outputs) if not isinstance(value, bytes)}
    key = commitment.key_as(NativeVerifyingKey)
    return verify_run(plan, publics, statement.digest(), key.weights, key.opening, proof, OWN_BITS).bits


def _check_roots(plan: Plan, statement: Statement, proof: NativeProof) -> None:
    """The proof's matrices of hidden values are those that the statement names."""
    for values, root in zip((statement.inputs, statement.outputs), proof.roots, strict=False):
        named = argument.hidden_values(proof.header, root)
        if any(isinstance(value, bytes) and value != named for value in values):
            raise MalformedProofError("the proof hides other values than the statement names")


def verify_run(
    plan: Plan,
    publics: Mapping[int, IntArray],
    statement: bytes,
    weights: MatrixCommitment,
    parameters: OpeningParameters,
    proof: NativeProof,
    own_bits: float = -math.inf,
) -> Security:
    """Verify a proof.

    Args:
        plan: what the statement says is proven.
        publics: the statement's integers, as `reduce` takes them.
        statement: its digest.
        weights: the published matrix.
        parameters: of its opening.
        proof: decoded.
        own_bits: what the proof has to be worth but for the opening of the weights.

    Raises:
        VerificationError: it is refused.
    """
    header = proof.header
    _check_sizes(plan, proof)
    transcript = Transcript(DOMAIN)
    argument.begin(transcript, statement, header, proof.roots, proof.masks, proof.pads)
    transcript.check_grind("lookup grinding", header.lookup_grinding, proof.lookup_nonce)
    channel = VerifierChannel(transcript, proof.message, padded=True)
    party = VerifierParty(channel, header.lookup_grinding)
    openings = argument.reduce_to_openings(plan, publics, party, (parameters.code, header.opening.code))
    groups = len(openings.weights), len(openings.witness)
    bits = argument.soundness(party.terms, parameters, header.opening, (0, groups[1])).bits
    if bits < own_bits:
        raise InvalidProofError(f"the sizes that the proof chooses are worth {bits:.1f} bits, less than {own_bits:.0f}")
    if bool(proof.masks) != bool(groups[0]):
        raise MalformedProofError("the proof masks another opening than the statement needs")
    long_lived = [weights, MatrixCommitment(proof.masks, 0, groups[0] + 1)] if groups[0] else []
    _open(channel, parameters, long_lived, openings.weights, proof.weights, transcript)
    witness = argument.witness_commitments(plan, proof.roots, groups[1], header.log_columns)
    _open(channel, header.opening, witness, openings.witness, proof.witness, transcript)
    verify_pads(PADS, proof.pads, channel.constraints(), proof.about_pads, transcript)
    return argument.soundness(party.terms, parameters, header.opening, groups)


def _check_sizes(plan: Plan, proof: NativeProof) -> None:
    cells = sum(layout.cells for layout in plan.layouts[INPUTS : WITNESS + 1])
    if proof.header.opening.code.columns > MAX_SPARE_COLUMNS * max(cells, 1 << 10):
        raise MalformedProofError("the proof's matrices are wider than its witness")
    if proof.header.opening.code.dimension * proof.header.queries > MAX_OPENING_WORK:
        raise MalformedProofError("the proof's opening would be too much work to check")


def _open(
    channel: VerifierChannel,
    parameters: OpeningParameters,
    matrices: Sequence[MatrixCommitment],
    groups: Sequence[Group],
    opening: bytes,
    transcript: Transcript,
) -> None:
    if not groups:
        if opening:
            raise MalformedProofError("the proof opens a matrix that nothing is claimed of")
        return
    residuals = reduce_opening(parameters, matrices, row_claims(groups), opening, transcript)
    settle(channel, OPENING_CHECK, groups, residuals, channel.reserve(len(groups)))
