"""A second verifier of native proofs, in plain Python: the text of docs/protocol, executable.

It is written from that text, shares with `zkinfer.verifier.native` no more than the transcript, the field in plain
integers, the program and the files' structures, and writes every weight of every linear claim out. So it is slow, tens
of microseconds for each element of each value, and easy to check. Whatever one of the two accepts, the other must.
"""

import math
from collections.abc import Sequence

import msgspec
from blake3 import blake3

from zkinfer.errors import InvalidProofError, MalformedProofError
from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.statement import Statement
from zkinfer.protocol.field.params import P
from zkinfer.protocol.transcript import Transcript
from zkinfer.verifier.reference.channel import Channel
from zkinfer.verifier.reference.openings import Root, Sizes, verify_opening
from zkinfer.verifier.reference.pads import PADS, PadSizes, verify_pads
from zkinfer.verifier.reference.plan import INPUTS, OUTPUTS, WITNESS, Plan
from zkinfer.verifier.reference.reduction import Group, Integers, Openings, Reduction

DOMAIN = b"zkinfer native proof 1"
HIDDEN_VALUES_CONTEXT = "zkinfer 2026 hidden values v1"
MAX_LOG_LENGTH = 24
MAX_QUERIES = 1 << 16
MAX_WORK = 40
MAX_ROWS = 1 << 24
MAX_SPARE_COLUMNS = 4
MAX_OPENING_WORK = 1 << 26
OWN_BITS = 128.0
SMALL_WITNESS = 1 << 10


class ProofParts(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The parts of a proof, as in section 1 of docs/protocol/reduction.md."""

    header: tuple[int, int, int, int, int, int, int]
    roots: tuple[bytes, bytes, bytes]
    masks: bytes
    pads: bytes
    lookup_nonce: int
    message: bytes
    weights: bytes
    witness: bytes
    about_pads: bytes


def check(commitment: Commitment, statement: Statement, data: bytes) -> float:
    """Verify a native proof of a statement, as `zkinfer.verifier.native.check` does.

    Returns:
        Bits of security.

    Raises:
        VerificationError: the proof is malformed, or refused; or the commitment's program cannot be proven.
    """
    hidden = [[isinstance(value, bytes) for value in values] for values in (statement.inputs, statement.outputs)]
    plan = Plan(commitment.program, statement.runs, *hidden)
    proof = decode(data)
    if any(size < 0 for size in proof.header):
        raise MalformedProofError("the proof's sizes are out of range")
    code = b"".join(size.to_bytes(8, "little") for size in proof.header[:3])
    for values, root in zip((statement.inputs, statement.outputs), proof.roots, strict=False):
        named = blake3(code + root, derive_key_context=HIDDEN_VALUES_CONTEXT).digest()
        if any(isinstance(value, bytes) and value != named for value in values):
            raise MalformedProofError("the proof hides other values than the statement names")
    inputs, outputs = (
        [None if isinstance(value, bytes) else [int(v) for v in value.ravel()] for value in values]
        for values in (statement.inputs, statement.outputs)
    )
    key = commitment.key_as(NativeVerifyingKey)
    sizes = Sizes(key.log_columns, key.blinding, key.log_length, key.queries, key.query_grinding, key.weight_grinding)
    return verify_run(
        plan, inputs, outputs, statement.digest(), Root(key.root, key.rows, 0), sizes, proof, own_bits=OWN_BITS
    )


def verify_run(
    plan: Plan,
    inputs: Sequence[Integers | None],
    outputs: Sequence[Integers | None],
    digest: bytes,
    weights: Root,
    sizes: Sizes,
    proof: ProofParts,
    pads: PadSizes = PADS,
    own_bits: float = -math.inf,
) -> float:
    """Verify a decoded proof.

    Args:
        inputs, outputs: the statement's integers over all runs, row-major; None where they are private.
        digest: of the statement.
        weights: the published matrix.
        sizes: of its opening.
        pads: sizes of the proof about the pads.
        own_bits: what the proof has to be worth but for the opening of the weights.

    Returns:
        Bits of security.

    Raises:
        VerificationError: it is refused.
    """
    *numbers, lookup_work = proof.header
    own = Sizes(*numbers)
    _check_sizes(plan, own, proof)
    transcript = Transcript(DOMAIN)
    transcript.absorb("statement", digest)
    transcript.absorb("header", msgspec.msgpack.encode(proof.header))
    for root in proof.roots:
        transcript.absorb("witness", root)
    transcript.absorb("masks", proof.masks)
    transcript.absorb("pads root", proof.pads)
    transcript.check_grind("lookup grinding", lookup_work, proof.lookup_nonce)
    channel = Channel(transcript, proof.message)

    reduction = Reduction(plan, inputs, outputs, channel)
    reduction.run()
    openings = Openings(plan, channel, (sizes.log_columns, own.log_columns), (sizes.dimension, own.dimension))
    openings.run(reduction.claims)
    channel.finish()

    of_weights, of_witness = openings.groups
    errors = [reduction.error, openings.error, pads.error, *_lookup_errors(plan, lookup_work)]
    errors += own.errors(len(of_witness)) if of_witness else []
    if _bits(math.fsum(errors)) < own_bits:
        raise InvalidProofError("the sizes that the proof chooses are worth too little")
    errors += sizes.errors(len(of_weights)) if of_weights else []

    masks = Root(proof.masks, 0, len(of_weights) + 1)
    if bool(proof.masks) != bool(of_weights):
        raise MalformedProofError("the proof masks another opening than the statement needs")
    _open(channel, sizes, [weights, masks], of_weights, proof.weights)
    _open(channel, own, _witness_roots(plan, own, proof, len(of_witness)), of_witness, proof.witness)
    verify_pads(channel, pads, proof.pads, proof.about_pads)
    return _bits(math.fsum(errors))


def decode(data: bytes) -> ProofParts:
    try:
        proof = msgspec.msgpack.decode(data, type=ProofParts)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MalformedProofError(f"not a native proof: {error}") from None
    if msgspec.msgpack.encode(proof) != data:
        raise MalformedProofError("a native proof that is not in canonical form")
    return proof


def _check_sizes(plan: Plan, own: Sizes, proof: ProofParts) -> None:
    """Step 1 of section 1."""
    work = proof.header[4:]
    cells = sum(matrix.cells for matrix in plan.matrices[INPUTS:])
    possible = (
        all(len(root) in (0, 32) for root in (*proof.roots, proof.masks))
        and len(proof.pads) == 32
        and 0 <= proof.lookup_nonce < 1 << 64
        and all(0 <= bits <= MAX_WORK for bits in work)
        and 0 <= own.log_columns < own.log_length <= MAX_LOG_LENGTH
        and 1 <= own.queries <= MAX_QUERIES
        and own.queries <= own.blinding
        and own.dimension < own.length
        and own.columns <= MAX_SPARE_COLUMNS * max(cells, SMALL_WITNESS)
        and own.dimension * own.queries <= MAX_OPENING_WORK
    )
    if not possible:
        raise MalformedProofError("the proof's sizes are out of range")


def _witness_roots(plan: Plan, own: Sizes, proof: ProofParts, groups: int) -> list[Root]:
    found = []
    for number, root in zip((INPUTS, OUTPUTS, WITNESS), proof.roots, strict=True):
        rows = plan.matrices[number].rows(own.log_columns)
        masks = groups + 1 if number == WITNESS and groups else 0
        if bool(root) != bool(rows or masks) or rows + 3 * masks > MAX_ROWS:
            raise MalformedProofError("the proof commits to other matrices than the statement needs")
        if root:
            found.append(Root(root, rows, masks))
    return found


def _open(channel: Channel, sizes: Sizes, matrices: list[Root], groups: list[Group], opening: bytes) -> None:
    if groups:
        verify_opening(channel, sizes, matrices, groups, opening)
    elif opening:
        raise MalformedProofError("the proof opens a matrix that nothing is claimed of")


def _lookup_errors(plan: Plan, work: int) -> list[float]:
    if plan.lookups is None:
        return []
    sizes = [1 << table.variables for table in plan.lookups.tables]
    trees = [sum(1 << plan.lookups.blocks[i][1] for i in tree) for tree in plan.lookups.trees] + [sum(sizes)]
    n = max((cells - 1).bit_length() for cells in trees)
    layers = n * (n - 1) + (3 * len(trees) - 1) * n
    return [plan.lookups.width * sum(trees) / P**3 / 2**work, layers / P**3]


def _bits(error: float) -> float:
    """The largest b with error + 2^(b - 257) <= 2^-b."""
    collision = 2.0**-257
    return 1 - math.log2(error + math.sqrt(error * error + 4 * collision))
