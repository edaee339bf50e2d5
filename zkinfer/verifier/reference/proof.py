"""The whole proof: docs/protocol/reduction.md, sections 1, 7 and 9; and the one about weights, section 12."""

import math
from collections.abc import Sequence

import msgspec
from blake3 import blake3

from zkinfer.errors import InvalidProofError, MalformedProofError
from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.statement import Statement
from zkinfer.protocol.transcript import Transcript
from zkinfer.verifier.reference.channel import Channel
from zkinfer.verifier.reference.claims import Claims
from zkinfer.verifier.reference.committed_claims import CommittedClaims
from zkinfer.verifier.reference.copies import draw_link, error_of_links, find_copy
from zkinfer.verifier.reference.elements import BASE_BYTES
from zkinfer.verifier.reference.first_claims import Integers, claim_lookups, claim_outputs
from zkinfer.verifier.reference.merkle import DIGEST_BYTES
from zkinfer.verifier.reference.openings import ClaimGroup, MatrixRoot, OpeningSizes, u64, verify_opening
from zkinfer.verifier.reference.pads import PADS, PadSizes, verify_pads
from zkinfer.verifier.reference.plan import INPUTS, OUTPUTS, WITNESS, Plan
from zkinfer.verifier.reference.value_claims import ValueClaims
from zkinfer.verifier.reference.weight_ranges import RangePlan, claim_ranges

DOMAIN = b"zkinfer native proof 10"
RANGES_CONTEXT = "zkinfer 2026 statement of weight ranges v1"
HIDDEN_VALUES_CONTEXT = "zkinfer 2026 hidden values v1"
MAX_LOG_LENGTH = 24
MAX_LOG_COPIES = 20
MAX_QUERIES = 1 << 16
MAX_GRINDING = 40
MAX_ROWS = 1 << 24
MAX_COLUMNS_PER_CELL = 4
SMALL_WITNESS = 1 << 10
"""At most `MAX_COLUMNS_PER_CELL` columns for each cell of the prover's matrices, counted as this many at least."""

MAX_OPENING_WORK = 1 << 26
OWN_BITS = 128.0
"""What a proof has to be worth without the terms of the opening of the weights."""


class ProofParts(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The parts of a proof, in the order of the text."""

    header: tuple[int, int, int, int, int, int, int]
    roots: tuple[bytes, bytes, bytes]
    masks: bytes
    pads: bytes
    lookup_nonce: int
    message: bytes
    weights: bytes
    witness: bytes
    about_pads: bytes
    copy: int = 0
    branch: bytes = b""


def check(commitment: Commitment, statement: Statement, data: bytes) -> float:
    """Verify a native proof of a statement, as `zkinfer.verifier.native.check` does.

    Returns:
        Bits of security.

    Raises:
        VerificationError: the proof is malformed, or a check fails; or the commitment's program cannot be proven.
    """
    hidden_inputs, hidden_outputs = (
        [isinstance(value, bytes) for value in values] for values in (statement.inputs, statement.outputs)
    )
    plan = Plan(commitment.program, statement.runs, hidden_inputs, hidden_outputs)
    proof = decode(data)
    if any(size < 0 for size in proof.header):
        raise MalformedProofError("the proof's sizes are out of range")
    code = u64(*proof.header[:3])
    for values, root in zip((statement.inputs, statement.outputs), proof.roots, strict=False):
        committed = blake3(code + root, derive_key_context=HIDDEN_VALUES_CONTEXT).digest()
        if any(isinstance(value, bytes) and value != committed for value in values):
            raise MalformedProofError("the proof hides other values than the statement names")
    inputs, outputs = (
        [None if isinstance(value, bytes) else [int(v) for v in value.ravel()] for value in values]
        for values in (statement.inputs, statement.outputs)
    )
    return _verify_copy(commitment, plan, inputs, outputs, statement.digest(), proof)


def check_ranges(commitment: Commitment) -> float:
    """Verify a commitment's proof about its weights (section 12), as `zkinfer.verifier.native.check_ranges` does.

    Returns:
        Bits of security.

    Raises:
        VerificationError: the proof is malformed, or a check fails; or the commitment's program cannot be proven.
    """
    plan = RangePlan(commitment.program)
    statement = blake3(commitment.digest, derive_key_context=RANGES_CONTEXT).digest()
    proof = decode(commitment.range_proof)
    if proof.copy:
        raise MalformedProofError("the proof about the weights is not about their first copy")
    return _verify_copy(commitment, plan, [], [], statement, proof)


def _verify_copy(
    commitment: Commitment,
    plan: Plan | RangePlan,
    inputs: Sequence[Integers | None],
    outputs: Sequence[Integers | None],
    digest: bytes,
    proof: ProofParts,
) -> float:
    """Verify the parts of a proof about the copy of the weights that it names; the rest is as for `verify_proof`."""
    key = commitment.key_as(NativeVerifyingKey)
    sizes = OpeningSizes(
        key.log_columns, key.blinding, key.log_length, key.queries, key.query_grinding, key.weight_grinding
    )
    weights = find_copy(key, proof.copy, proof.branch)
    if 0 < len(proof.weights) < key.rows:
        raise MalformedProofError("the opening of the weights is shorter than one column of them")
    link = draw_link(key) if proof.weights else None
    error = error_of_links(key.log_copies, key.log_columns) if link else 0.0
    return verify_proof(
        plan, inputs, outputs, digest, weights, sizes, proof, own_bits=OWN_BITS, link=link, link_error=error
    )


def decode(data: bytes) -> ProofParts:
    """The parts of a proof.

    Raises:
        MalformedProofError: the bytes are not the one encoding of a proof.
    """
    try:
        proof = msgspec.msgpack.decode(data, type=ProofParts)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MalformedProofError(f"not a native proof: {error}") from None
    if msgspec.msgpack.encode(proof) != data:
        raise MalformedProofError("a native proof that is not in canonical form")
    return proof


def verify_proof(
    plan: Plan | RangePlan,
    inputs: Sequence[Integers | None],
    outputs: Sequence[Integers | None],
    digest: bytes,
    weights: MatrixRoot,
    sizes: OpeningSizes,
    proof: ProofParts,
    pads: PadSizes = PADS,
    own_bits: float = -math.inf,
    link: ClaimGroup | None = None,
    link_error: float = 0.0,
) -> float:
    """Verify the parts of a proof.

    Args:
        plan: of the statement's program.
        inputs, outputs: the statement's integers over all runs, row-major; None where they are private.
        digest: of the statement.
        weights: the published matrix.
        sizes: of its opening.
        proof: the parts.
        pads: sizes of the proof about the pads.
        own_bits: what the proof has to be worth without the terms of the opening of the weights.
        link: what is claimed of every copy of the weights, if there are several.
        link_error: the probability that a copy of other weights satisfies that.

    Returns:
        Bits of security.

    Raises:
        VerificationError: a check fails.
    """
    *numbers, lookup_grinding = proof.header
    own_sizes = OpeningSizes(*numbers)
    _check_sizes(plan, own_sizes, proof)
    transcript = Transcript(DOMAIN)
    transcript.absorb("statement", digest)
    transcript.absorb("header", msgspec.msgpack.encode(proof.header))
    for root in proof.roots:
        transcript.absorb("witness", root)
    transcript.absorb("masks", proof.masks)
    transcript.absorb("pads root", proof.pads)
    transcript.absorb("copy", u64(proof.copy) + proof.branch)
    transcript.check_grind("lookup grinding", lookup_grinding, proof.lookup_nonce)

    channel = Channel(transcript, proof.message)
    claims = Claims(plan)
    if isinstance(plan, RangePlan):
        claim_ranges(plan, channel, claims)
    else:
        point = claim_lookups(plan, channel, claims)
        claim_outputs(plan, outputs, point, channel, claims)
        ValueClaims(plan, inputs, channel, claims).reduce()
    openings = CommittedClaims(plan, channel, (sizes, own_sizes), link)
    openings.reduce(claims.committed)
    channel.finish()
    weight_groups, own_groups = openings.groups

    mask_values = len(weight_groups) + len(own_groups)
    errors = [channel.error, *pads.errors(len(channel.variables) + mask_values)]
    if link and weight_groups:
        errors.append(link_error)
    errors += [error for lookups in plan.arguments for error in lookups.errors(lookup_grinding)]
    errors += own_sizes.errors(len(own_groups)) if own_groups else []
    if _bits(math.fsum(errors)) < own_bits:
        raise InvalidProofError("the sizes that the proof chooses are worth too little")
    errors += sizes.errors(len(weight_groups)) if weight_groups else []

    matrices = [weights]
    if weight_groups and not weights.masks:
        matrices.append(MatrixRoot(proof.masks, 0, len(weight_groups) + 1))
    if bool(proof.masks) != (len(matrices) == 2):
        raise MalformedProofError("the proof masks another opening than the statement needs")
    _open(channel, sizes, matrices, weight_groups, proof.weights)
    _open(channel, own_sizes, _own_matrices(plan, own_sizes, proof, len(own_groups)), own_groups, proof.witness)
    verify_pads(channel, pads, proof.pads, proof.about_pads)
    return _bits(math.fsum(errors))


def _check_sizes(plan: Plan | RangePlan, own: OpeningSizes, proof: ProofParts) -> None:
    """Step 1: what a hostile proof could make a verifier do is bounded."""
    cells = sum(matrix.cells for matrix in plan.matrices[INPUTS:])
    rows = sum(matrix.rows(max(own.log_columns, 0)) for matrix in plan.matrices[INPUTS:])
    possible = (
        all(len(root) in (0, DIGEST_BYTES) for root in (*proof.roots, proof.masks))
        and len(proof.pads) == DIGEST_BYTES
        and 0 <= proof.copy < 1 << MAX_LOG_COPIES
        and len(proof.branch) <= DIGEST_BYTES * (MAX_LOG_COPIES + 1)
        and proof.lookup_nonce >= 0
        and all(0 <= bits <= MAX_GRINDING for bits in proof.header[4:])
        and 0 <= own.log_columns < own.log_length <= MAX_LOG_LENGTH
        and 1 <= own.queries <= MAX_QUERIES
        and own.queries <= own.blinding
        and own.dimension < own.length
        and own.columns <= MAX_COLUMNS_PER_CELL * max(cells, SMALL_WITNESS)
        and own.dimension * own.queries <= MAX_OPENING_WORK
        and BASE_BYTES * rows <= len(proof.witness)
    )
    if not possible:
        raise MalformedProofError("the proof's sizes are out of range")


def _own_matrices(plan: Plan | RangePlan, own: OpeningSizes, proof: ProofParts, groups: int) -> list[MatrixRoot]:
    """The matrices of private inputs, private outputs and witness that have rows."""
    found = []
    for number, root in zip((INPUTS, OUTPUTS, WITNESS), proof.roots, strict=True):
        rows = plan.matrices[number].rows(own.log_columns)
        masks = groups + 1 if number == WITNESS and groups else 0
        if bool(root) != bool(rows or masks) or rows + 3 * masks > MAX_ROWS:
            raise MalformedProofError("the proof commits to other matrices than the statement needs")
        if root:
            found.append(MatrixRoot(root, rows, masks))
    return found


def _open(
    channel: Channel, sizes: OpeningSizes, matrices: list[MatrixRoot], groups: list[ClaimGroup], opening: bytes
) -> None:
    """Steps 5 and 6: an opening, unless nothing is claimed."""
    if groups:
        verify_opening(channel, sizes, matrices, groups, opening)
    elif opening:
        raise MalformedProofError("the proof opens a matrix that nothing is claimed of")


def _bits(error: float) -> float:
    """The largest b such that error + 2^(b - 257) <= 2^-b: 2^b hash calls find no false proof (section 9)."""
    collision = 2.0**-257
    return 1 - math.log2(error + math.sqrt(error * error + 4 * collision))
