"""Two commitments to equal data: what prover and verifier share, and the verifier.

Claim: two matrices of one code, `old` and `new`, have as many rows and equal data.

Messages: the root of a matrix of masks, without data; one opening of old, new and masks together.

Check: sum_i q_i (old_i(z) - new_i(z)) = 0, for q in K^rows and z in K^log_columns drawn after the three roots. It is
one claim of an opening, with the row vector (q, -q) and the value 0, so that nothing but the equality is shown.
Of several copies one of each is opened: the claim leaves out what follows the data, and the links of both are shown
beside it.

Different data pass with probability at most (1 + log_columns) / |K| and what the opening allows: `soundness.rotation`.
docs/protocol/transcript-and-commitment.md, section 7, has the argument.
"""

from dataclasses import dataclass

import numpy as np

from zkinfer.counts import counted
from zkinfer.errors import MalformedProofError, StatementError
from zkinfer.protocol.channel import ZERO_FORM, AffineForm
from zkinfer.protocol.field.modular import from_exts
from zkinfer.protocol.field.params import DEGREE, P
from zkinfer.protocol.merkle.paths import DIGEST_BYTES
from zkinfer.protocol.pcs.claims import ClaimGroup, RowClaim
from zkinfer.protocol.pcs.copies import VEIL_ROWS, Link
from zkinfer.protocol.pcs.params import MatrixCommitment, OpeningParameters
from zkinfer.protocol.pcs.protocol import verify_opening
from zkinfer.protocol.transcript import Transcript

DOMAIN = b"zkinfer rotation v4"

Links = tuple[Link, Link]
"""Of the old copies and of the new ones."""


def column_points(links: Links | None) -> int:
    """Of the opening: that of the equality, and those of the links."""
    return 1 if links is None else 3


@dataclass(frozen=True, slots=True)
class RotationStatement:
    """What is opened, and the transcript that its opening goes on with.

    Args:
        commitments: old, new, masks.
        groups: that of the equality, then those of links; one claim in each.
    """

    commitments: tuple[MatrixCommitment, MatrixCommitment, MatrixCommitment]
    groups: tuple[ClaimGroup, ...]
    transcript: Transcript


def state_rotation(
    parameters: OpeningParameters,
    old: MatrixCommitment,
    new: MatrixCommitment,
    masks_root: bytes,
    context: bytes,
    links: Links | None = None,
) -> RotationStatement:
    """Bind everything that the proof is about, and draw the claim.

    Args:
        parameters: of the opening; their code is that of all three matrices.
        old, new: of as many rows each, without masks; those of copies count as rows of data.
        masks_root: of the matrix that brings the masks.
        context: what the proof is bound to.
        links: where the matrices are copies, which have a veil.
    """
    transcript = Transcript(DOMAIN)
    code = parameters.code
    work = (parameters.query_grinding, parameters.weight_grinding)
    sizes = (code.log_columns, code.blinding, code.log_length, parameters.queries, *work, old.rows)
    transcript.absorb("rotation", b"".join(size.to_bytes(8, "little") for size in sizes))
    transcript.absorb("context", context)
    transcript.absorb("old root", old.root)
    transcript.absorb("new root", new.root)
    transcript.absorb("masks root", masks_root)
    compared = old.rows if links is None else links[0].rows.shape[1] - VEIL_ROWS
    weights = np.zeros((DEGREE, old.rows), dtype=np.int64)
    weights[:, :compared] = from_exts(transcript.challenge_exts("row weights", compared))
    point = tuple(transcript.challenge_exts("column point", code.log_columns))
    claim = RowClaim(np.concatenate([weights, -weights % P], axis=1), ZERO_FORM)
    groups = [ClaimGroup(point, (claim,))]
    for first, link in zip((0, old.rows), links or (), strict=False):
        rows = np.zeros((DEGREE, 2 * old.rows), dtype=np.int64)
        rows[:, first : first + link.rows.shape[1]] = link.rows
        groups.append(ClaimGroup(link.point, (RowClaim(rows, AffineForm(link.value)),)))
    masks = MatrixCommitment(masks_root, rows=0, masks=1 + len(groups))
    return RotationStatement((old, new, masks), tuple(groups), transcript)


def verify_rotation(
    parameters: OpeningParameters,
    old: MatrixCommitment,
    new: MatrixCommitment,
    proof: bytes,
    context: bytes,
    links: Links | None = None,
) -> None:
    """Check that two commitments are to equal data.

    Args:
        parameters: of the opening, as both commitments publish them.
        old, new: what was published; their roots and numbers of rows are not taken from the proof.
        proof: as `prove_rotation` gives it.
        context: what the proof has to be bound to.
        links: of the copies, if these are some.

    Raises:
        StatementError: these cannot be two commitments to equal data, whatever the proof.
        MalformedProofError: the bytes are not a proof of these sizes.
        InvalidProofError: a check fails.
    """
    if old.masks or new.masks or old.rows != new.rows:
        raise StatementError(
            f"a rotation keeps the data and brings no masks: matrices of {old.rows:,} and {counted(new.rows, 'row')}, "
            f"{old.masks} and {counted(new.masks, 'mask')} cannot be one"
        )
    if parameters.code.blinding < parameters.queries:
        raise StatementError(
            f"{parameters.code.blinding:,} random symbols a row do not hide "
            f"{counted(parameters.queries, 'column')}: no commitment has these parameters"
        )
    if len(proof) < DIGEST_BYTES:
        raise MalformedProofError(f"a proof of a rotation begins with a root of {DIGEST_BYTES} bytes, got {len(proof)}")
    statement = state_rotation(parameters, old, new, proof[:DIGEST_BYTES], context, links)
    opening = proof[DIGEST_BYTES:]
    verify_opening(parameters, statement.commitments, statement.groups, opening, statement.transcript)
