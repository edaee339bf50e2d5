"""The native proof: one text for prover and verifier, in the order in which both handle its parts.

    statement digest, header            absorbed first
    roots of the witness matrices       absorbed
    root of the pads                    absorbed
    copy of the weights that is opened  absorbed
    work before the lookup challenges
    message                             the reduction's, padded
    opening of the weights              with its masks, in a matrix of their own
    opening of the witness
    proof about the pads

Header and roots come from the proof; the verifier takes a header's sizes only if they are within limits and secure.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from zkinfer.errors import InvalidInputError, InvalidProofError, MalformedProofError
from zkinfer.protocol import security
from zkinfer.protocol.channel import Channel, ProverChannel, Reader, VerifierChannel, Wire, exchange_work
from zkinfer.protocol.field.scalar import Ext
from zkinfer.protocol.native_proof.encoding import Header, NativeProof, encode_header
from zkinfer.protocol.pads import params as pads_params
from zkinfer.protocol.pads.params import PadParameters, PadSizes
from zkinfer.protocol.pads.protocol import PadsWitness, absorb_root, run_pads_proof
from zkinfer.protocol.pcs import soundness as opening_terms
from zkinfer.protocol.pcs.claims import ClaimGroup
from zkinfer.protocol.pcs.copies import ONLY, Link, Place
from zkinfer.protocol.pcs.params import Code, MatrixCommitment, OpeningParameters
from zkinfer.protocol.pcs.protocol import OpeningWitness, run_opening
from zkinfer.protocol.reduction.claims import OpeningClaims
from zkinfer.protocol.reduction.opening import plan_openings
from zkinfer.protocol.reduction.plan import INPUTS, OUTPUTS, WITNESS
from zkinfer.protocol.reduction.reduce import reduce_statement
from zkinfer.protocol.reduction.weight_ranges import AnyPlan, RangePlan, reduce_ranges
from zkinfer.protocol.reduction.witness import ReductionWitness
from zkinfer.protocol.transcript import NONCE_BYTES, Transcript
from zkinfer.typing import IntArray

DOMAIN = b"zkinfer native proof 10"
PADS = PadParameters()


@dataclass(frozen=True)
class Commitments:
    """What is committed to before the first challenge.

    Attributes:
        header: the sizes that the prover chose.
        roots: of the matrices of private inputs, private outputs and witness; empty where a matrix has no rows.
        masks: root of the masks of the weights' opening; empty if weights are not opened, or bring their own.
        pads: root of the pads.
        place: of the copy of the weights that is opened.
    """

    header: Header
    roots: tuple[bytes, bytes, bytes]
    masks: bytes
    pads: bytes
    place: Place = ONLY

    def absorb(self, transcript: Transcript, statement: bytes) -> None:
        """Bind the statement's digest and all commitments."""
        transcript.absorb("statement", statement)
        transcript.absorb("header", encode_header(self.header))
        for root in self.roots:
            transcript.absorb("witness", root)
        transcript.absorb("masks", self.masks)
        absorb_root(transcript, self.pads)
        transcript.absorb("copy", self.place.to_bytes())


class ProofWitness(Protocol):
    """All that makes the proof's protocol a prover: one witness for each part."""

    @property
    def pads(self) -> Sequence[Ext]:
        """The committed pads."""

    @property
    def reduction(self) -> ReductionWitness: ...

    @property
    def weights(self) -> OpeningWitness:
        """The weights' matrix and its masks."""

    @property
    def witness(self) -> OpeningWitness:
        """The other matrices."""

    @property
    def pads_proof(self) -> PadsWitness: ...


@dataclass(frozen=True)
class ProofWires:
    """Where the parts of a proof travel."""

    lookup_work: Wire
    message: Wire
    weights: Wire
    witness: Wire
    about_pads: Wire


def reading(proof: NativeProof) -> ProofWires:
    """A verifier's ends: they take the proof's parts apart."""
    return ProofWires(
        Reader(proof.lookup_nonce.to_bytes(NONCE_BYTES, "little"), "nonce of the lookups"),
        Reader(proof.message),
        Reader(proof.weights, "opening of the weights"),
        Reader(proof.witness, "opening of the witness"),
        Reader(proof.about_pads, "proof about the pads"),
    )


def reduce_to_openings(
    plan: AnyPlan,
    publics: Mapping[int, IntArray] | None,
    channel: Channel,
    codes: tuple[Code, Code],
    witness: ReductionWitness | None = None,
    *,
    lookup_grinding: int,
    link: Link | None = None,
) -> OpeningClaims:
    """The whole reduction: from the statement to claims on matrices."""
    if isinstance(plan, RangePlan):
        claims = reduce_ranges(plan, channel, witness, lookup_grinding=lookup_grinding)
    else:
        claims = reduce_statement(plan, publics, channel, witness, lookup_grinding=lookup_grinding)
    return plan_openings(plan, claims, codes, channel, witness, link)


def run_proof(
    plan: AnyPlan,
    publics: Mapping[int, IntArray],
    statement: bytes,
    weights: MatrixCommitment,
    parameters: OpeningParameters,
    commitments: Commitments,
    wires: ProofWires,
    witness: ProofWitness | None = None,
    *,
    pads: PadParameters,
    own_bits: float,
    link: Link | None = None,
) -> security.Security:
    """Make, or check, a proof.

    Args:
        plan: what the statement says is proven.
        publics: the statement's integers, as `reduce_statement` takes them; none of a proof about the weights.
        statement: its digest.
        weights: the published matrix; the copy that the proof opens, if there are several.
        parameters: of its opening.
        commitments: the prover's.
        wires: of this side.
        witness: of the prover's side.
        pads: how hard the proof about the pads is checked.
        own_bits: what the proof has to be worth but for the opening of the weights, whose sizes the owner chose.
        link: of the copies, if there are several.

    Returns:
        The soundness of the proof, term by term.

    Raises:
        VerificationError: it is refused.
        ProvingError: proving, a matrix has no opening left.
    """
    header = commitments.header
    transcript = Transcript(DOMAIN)
    commitments.absorb(transcript, statement)
    exchange_work(transcript, wires.lookup_work, "lookup grinding", header.lookup_grinding)
    channel = _channel(transcript, wires.message, witness)
    claims = reduce_to_openings(
        plan,
        publics,
        channel,
        (parameters.code, header.opening.code),
        None if witness is None else witness.reduction,
        lookup_grinding=header.lookup_grinding,
        link=link,
    )
    groups = len(claims.weights), len(claims.witness)
    # Openings send the value of a mask for each group.
    pad_sizes = pads.sizes(len(channel.constraints().variables) + sum(groups))
    bits = soundness(channel.terms, parameters, header.opening, (0, groups[1]), pad_sizes).bits
    if bits < own_bits:
        raise InvalidProofError(f"the sizes that the proof chooses are worth {bits:.1f} bits, less than {own_bits:.0f}")
    brings_masks = bool(groups[0]) and not weights.masks
    if bool(commitments.masks) != brings_masks:
        raise MalformedProofError("the proof masks another opening than the statement needs")
    masked = [weights]
    if brings_masks:
        masked.append(MatrixCommitment(commitments.masks, 0, groups[0] + 1))
    with _phase(witness, "opening of the weights"):
        _open(parameters, masked, claims.weights, channel, wires.weights, None if witness is None else witness.weights)
    others = witness_commitments(plan, commitments.roots, groups[1], header.log_columns)
    of_others = None if witness is None else witness.witness
    with _phase(witness, "opening of the rest"):
        _open(header.opening, others, claims.witness, channel, wires.witness, of_others)
    constraints = channel.constraints()
    about = None if witness is None else witness.pads_proof
    with _phase(witness, "proof about the pads"):
        run_pads_proof(pad_sizes, commitments.pads, constraints, transcript, wires.about_pads, about)
    return soundness(channel.terms, parameters, header.opening, groups, pad_sizes)


def _phase(witness: ProofWitness | None, name: str) -> AbstractContextManager[None]:
    """Measures, or shows, a part of the proof; nothing on the verifier's side."""
    return nullcontext() if witness is None else witness.reduction.phase(name)


def _channel(transcript: Transcript, wire: Wire, witness: ProofWitness | None) -> Channel:
    if witness is None:
        return VerifierChannel(transcript, wire, padded=True)
    return ProverChannel(transcript, wire, witness.pads)


def _open(
    parameters: OpeningParameters,
    commitments: Sequence[MatrixCommitment],
    groups: Sequence[ClaimGroup],
    channel: Channel,
    wire: Wire,
    witness: OpeningWitness | None,
) -> None:
    """An opening, unless nothing is claimed of its matrices; then its wire must be empty."""
    if groups:
        run_opening(parameters, commitments, groups, channel, wire, witness)
    else:
        wire.finish()


def witness_commitments(
    plan: AnyPlan, roots: tuple[bytes, bytes, bytes], groups: int, log_columns: int
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
    pads: PadSizes,
) -> security.Security:
    """The soundness of the whole argument.

    Args:
        terms: of the reduction.
        weights, witness: parameters of the openings.
        groups: of the openings of weights and witness.
        pads: sizes of the proof about the pads.
    """
    openings = [
        term
        for parameters, count in zip((weights, witness), groups, strict=True)
        if count
        for term in opening_terms.opening(parameters, count)
    ]
    return security.combine(terms, openings, pads_params.soundness(pads))
