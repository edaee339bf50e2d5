"""The native proof: its parts in the order in which both sides handle them, and its soundness, term by term.

    statement digest, header            absorbed first
    roots of the witness matrices       absorbed
    root of the pads                    absorbed
    work before the lookup challenges
    message                             the reduction's, padded
    opening of the weights              with its masks, in a matrix of their own
    opening of the witness
    proof about the pads

Header and roots come from the proof; the verifier takes a header's sizes only if they are within limits and secure.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache

import msgspec
from blake3 import blake3

from zkinfer.errors import InvalidInputError, MalformedProofError
from zkinfer.protocol import security
from zkinfer.protocol.ligero.pads import PadParameters, absorb_root
from zkinfer.protocol.pcs.params import DIGEST_BYTES, Code, MatrixCommitment, OpeningParameters
from zkinfer.protocol.reduction.opening import OpeningPlanner, Openings
from zkinfer.protocol.reduction.party import DryParty, VerifierParty
from zkinfer.protocol.reduction.plan import INPUTS, OUTPUTS, WITNESS, Plan
from zkinfer.protocol.reduction.reduce import reduce
from zkinfer.protocol.transcript import MAX_GRINDING_BITS, Transcript
from zkinfer.typing import IntArray

DOMAIN = b"zkinfer native proof 1"
HIDDEN_VALUES_CONTEXT = "zkinfer 2026 hidden values v1"
PADS = PadParameters()
OPENING_CHECK = "the opened matrices have the claimed values"


class Header(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the prover chooses: sizes of the witness matrices' opening, and work before the lookup challenges."""

    log_columns: int
    blinding: int
    log_length: int
    queries: int
    query_grinding: int
    weight_grinding: int
    lookup_grinding: int

    @property
    def opening(self) -> OpeningParameters:
        """The parameters of the witness matrices' opening.

        Raises:
            InvalidInputError: they are out of range.
        """
        code = Code(self.log_columns, self.blinding, self.log_length)
        return OpeningParameters(code, self.queries, self.query_grinding, self.weight_grinding)


def hidden_values(header: Header, root: bytes) -> bytes:
    """The commitment to the values of a matrix, 32 bytes: to its root, and to the code that says how it is to be read.

    The root alone would not bind: a word may be near a codeword of one code and near another of another.
    """
    sizes = (header.log_columns, header.blinding, header.log_length)
    encoded = b"".join(size.to_bytes(8, "little") for size in sizes)
    digest: bytes = blake3(encoded + root, derive_key_context=HIDDEN_VALUES_CONTEXT).digest()
    return digest


class NativeProof(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The bytes of a native proof.

    Attributes:
        roots: of the matrices of private inputs, private outputs and witness; empty where a matrix has no rows.
        masks: root of the masks of the weights' opening; empty if weights are not opened.
        pads: root of the pads.
    """

    header: Header
    roots: tuple[bytes, bytes, bytes]
    masks: bytes
    pads: bytes
    lookup_nonce: int
    message: bytes
    weights: bytes
    witness: bytes
    about_pads: bytes


_decoder = msgspec.msgpack.Decoder(NativeProof)


def encode(proof: NativeProof) -> bytes:
    """The proof's canonical bytes."""
    return msgspec.msgpack.encode(proof)


def decode(data: bytes) -> NativeProof:
    """A proof from its bytes.

    Raises:
        MalformedProofError: the bytes are no proof, or not the canonical ones.
    """
    try:
        proof = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MalformedProofError(f"not a native proof: {error}") from None
    if encode(proof) != data:
        raise MalformedProofError("a native proof that is not in canonical form")
    if (
        any(len(root) not in (0, DIGEST_BYTES) for root in (*proof.roots, proof.masks))
        or len(proof.pads) != DIGEST_BYTES
    ):
        raise MalformedProofError(f"a root has {DIGEST_BYTES} bytes")
    if not 0 <= proof.lookup_nonce < 1 << 64 or not 0 <= proof.header.lookup_grinding <= MAX_GRINDING_BITS:
        raise MalformedProofError("the work before the lookup challenges is out of range")
    try:
        opening = proof.header.opening
    except InvalidInputError as error:
        raise MalformedProofError(f"the proof's parameters: {error}") from None
    if opening.code.blinding < opening.queries:
        raise MalformedProofError("the proof's parameters: fewer random symbols a row than columns that are shown")
    return proof


class Shape:
    """What a dry run tells of proofs of a plan: the same for all of them.

    Attributes:
        cells: of the constraints on pads.
        weight_groups, witness_groups: groups of both openings.
        terms: of the soundness of the reduction.
        contracted, summed: places that the sumchecks of contractions and of committed cells run over.
    """

    def __init__(self, plan: Plan, weights: Code, header: Header) -> None:
        party = DryParty(header.lookup_grinding)
        openings = reduce_to_openings(plan, {}, party, (weights, header.opening.code))
        party.channel.reserve(len(openings.weights) + len(openings.witness))
        self.cells = party.cells
        self.weight_groups, self.witness_groups = len(openings.weights), len(openings.witness)
        self.terms = tuple(party.terms)
        self.contracted, self.summed = party.contracted, party.summed


@lru_cache(maxsize=16)
def shape_of(plan: Plan, weights: Code, header: Header) -> Shape:
    """The shape of a plan's proofs, with these sizes."""
    return Shape(plan, weights, header)


def reduce_to_openings(
    plan: Plan, publics: Mapping[int, IntArray], party: VerifierParty, codes: tuple[Code, Code]
) -> Openings:
    """The whole reduction: from the statement to claims on matrices."""
    return OpeningPlanner(plan, codes, party).run(reduce(plan, publics, party))


def begin(
    transcript: Transcript, statement: bytes, header: Header, roots: Iterable[bytes], masks: bytes, pads: bytes
) -> None:
    """Bind the statement and all commitments, before the first challenge."""
    transcript.absorb("statement", statement)
    transcript.absorb("header", msgspec.msgpack.encode(header))
    for root in roots:
        transcript.absorb("witness", root)
    transcript.absorb("masks", masks)
    absorb_root(transcript, pads)


def witness_commitments(
    plan: Plan, roots: tuple[bytes, bytes, bytes], groups: int, log_columns: int
) -> list[MatrixCommitment]:
    """The matrices that are opened together: those of private inputs, private outputs and witness that have rows.

    Raises:
        MalformedProofError: a root is missing, or there where there is no matrix; or a matrix has too many rows.
    """
    found = []
    for matrix, root in zip((INPUTS, OUTPUTS, WITNESS), roots, strict=True):
        rows = plan.layouts[matrix].rows(log_columns)
        expected = rows > 0 or (matrix == WITNESS and groups > 0)
        if bool(root) != expected:
            raise MalformedProofError("the proof commits to other matrices than the statement needs")
        if expected:
            try:
                found.append(MatrixCommitment(root, rows, groups + 1 if matrix == WITNESS else 0))
            except InvalidInputError as error:
                raise MalformedProofError(f"the proof's parameters: {error}") from None
    return found


def soundness(
    terms: Iterable[security.SoundnessTerm],
    weights: OpeningParameters,
    witness: OpeningParameters,
    groups: tuple[int, int],
) -> security.Security:
    """Of the whole argument.

    Args:
        terms: of the reduction.
        groups: of the openings of weights and witness.
    """
    openings = [
        term
        for parameters, count in zip((weights, witness), groups, strict=True)
        if count
        for term in security.opening(parameters, count)
    ]
    return security.combine(terms, openings, security.pads(PADS))
