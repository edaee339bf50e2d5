"""Two commitments to equal data: docs/protocol/transcript-and-commitment.md, section 7."""

from zkinfer.errors import MalformedProofError, StatementError
from zkinfer.protocol.field.scalar import ZERO, ext_neg
from zkinfer.protocol.transcript import Transcript
from zkinfer.verifier.reference.channel import AffineForm, Channel
from zkinfer.verifier.reference.elements import ByteReader
from zkinfer.verifier.reference.merkle import DIGEST_BYTES
from zkinfer.verifier.reference.openings import ClaimGroup, MatrixRoot, OpeningSizes, RowClaim, u64, verify_opening

DOMAIN = b"zkinfer rotation v4"

Links = tuple[ClaimGroup, ClaimGroup]
"""What is claimed of every old copy, and of every new one."""


def verify_rotation(
    sizes: OpeningSizes,
    old: MatrixRoot,
    new: MatrixRoot,
    proof: bytes,
    context: bytes,
    links: Links | None = None,
) -> None:
    """Check that two matrices have equal data.

    Args:
        sizes: of the code of both, and of the opening.
        old, new: as published; masks of copies count as rows of data.
        proof: the root of the masks, then the opening.
        context: what the proof is bound to.
        links: where the matrices are copies.

    Raises:
        StatementError: the matrices have different numbers of rows, or masks, or too few random symbols.
        VerificationError: a check of the proof fails.
    """
    if old.rows != new.rows or old.masks or new.masks or sizes.blinding < sizes.queries:
        raise StatementError("these are no two commitments to equal data, whatever the proof")
    if len(proof) < old.rows:
        raise MalformedProofError("the opening of the weights is shorter than one column of them")
    root = ByteReader(proof, "the root of the masks").take(DIGEST_BYTES)
    transcript = Transcript(DOMAIN)
    code = (sizes.log_columns, sizes.blinding, sizes.log_length)
    checks = (sizes.queries, sizes.query_grinding, sizes.weight_grinding)
    transcript.absorb("rotation", u64(*code, *checks, old.rows))
    transcript.absorb("context", context)
    transcript.absorb("old root", old.root)
    transcript.absorb("new root", new.root)
    transcript.absorb("masks root", root)
    compared = len(links[0].claims[0].rows) - 1 if links else old.rows
    q = transcript.challenge_exts("row weights", compared)
    q += [ZERO] * (old.rows - compared)
    z = tuple(transcript.challenge_exts("column point", sizes.log_columns))
    groups = [ClaimGroup(z, [RowClaim([*q, *map(ext_neg, q)], AffineForm())])]
    for number, link in enumerate(links or ()):
        (claim,) = link.claims
        behind = [ZERO] * (old.rows - len(claim.rows))
        nothing = [ZERO] * old.rows
        own = [*claim.rows, *behind]
        groups.append(
            ClaimGroup(link.column_point, [RowClaim(own + nothing if not number else nothing + own, claim.value)])
        )
    matrices = [old, new, MatrixRoot(root, 0, len(groups) + 1)]
    channel = Channel(transcript, b"", padded=False)
    verify_opening(channel, sizes, matrices, groups, proof[DIGEST_BYTES:])
