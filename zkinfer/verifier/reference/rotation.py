"""Two commitments to equal data: docs/protocol/transcript-and-commitment.md, section 6."""

from zkinfer.errors import StatementError
from zkinfer.protocol.field.scalar import ext_neg
from zkinfer.protocol.transcript import Transcript
from zkinfer.verifier.reference.channel import AffineForm, Channel
from zkinfer.verifier.reference.elements import ByteReader
from zkinfer.verifier.reference.merkle import DIGEST_BYTES
from zkinfer.verifier.reference.openings import ClaimGroup, MatrixRoot, OpeningSizes, RowClaim, u64, verify_opening

DOMAIN = b"zkinfer rotation v3"
MASKS = 2
"""One for the proximity combination, one for the only column point."""


def verify_rotation(sizes: OpeningSizes, old: MatrixRoot, new: MatrixRoot, proof: bytes, context: bytes) -> None:
    """Check that two matrices have equal data.

    Args:
        sizes: of the code of both, and of the opening.
        old, new: as published.
        proof: the root of the masks, then the opening.
        context: what the proof is bound to.

    Raises:
        StatementError: the matrices have different numbers of rows, or masks, or too few random symbols.
        VerificationError: a check of the proof fails.
    """
    if old.rows != new.rows or old.masks or new.masks or sizes.blinding < sizes.queries:
        raise StatementError("these are no two commitments to equal data, whatever the proof")
    root = ByteReader(proof, "the root of the masks").take(DIGEST_BYTES)
    transcript = Transcript(DOMAIN)
    code = (sizes.log_columns, sizes.blinding, sizes.log_length)
    checks = (sizes.queries, sizes.query_grinding, sizes.weight_grinding)
    transcript.absorb("rotation", u64(*code, *checks, old.rows))
    transcript.absorb("context", context)
    transcript.absorb("old root", old.root)
    transcript.absorb("new root", new.root)
    transcript.absorb("masks root", root)
    q = transcript.challenge_exts("row weights", old.rows)
    z = tuple(transcript.challenge_exts("column point", sizes.log_columns))
    equal = RowClaim([*q, *map(ext_neg, q)], AffineForm())
    matrices = [old, new, MatrixRoot(root, 0, MASKS)]
    channel = Channel(transcript, b"", padded=False)
    verify_opening(channel, sizes, matrices, [ClaimGroup(z, [equal])], proof[DIGEST_BYTES:])
