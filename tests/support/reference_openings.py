"""The reference verifier's opening, for statements in the types of `zkinfer.protocol.pcs`."""

from collections.abc import Sequence

from support.opening_prover import DOMAIN, exts

from zkinfer.errors import VerificationError
from zkinfer.protocol.pcs.claims import ClaimGroup
from zkinfer.protocol.pcs.params import MatrixCommitment, OpeningParameters
from zkinfer.protocol.transcript import Transcript
from zkinfer.verifier import reference


def opening_sizes(parameters: OpeningParameters) -> reference.OpeningSizes:
    """The sizes of a code and of its opening."""
    code = parameters.code
    checks = (parameters.queries, parameters.query_grinding, parameters.weight_grinding)
    return reference.OpeningSizes(code.log_columns, code.blinding, code.log_length, *checks)


def matrix_root(commitment: MatrixCommitment) -> reference.MatrixRoot:
    """A committed matrix."""
    return reference.MatrixRoot(commitment.root, commitment.rows, commitment.masks)


def claim_group(group: ClaimGroup) -> reference.ClaimGroup:
    """The claims at a column point, whose values the verifier sees."""
    claims = [reference.RowClaim(exts(claim.rows), reference.AffineForm(claim.value)) for claim in group.claims]
    return reference.ClaimGroup(group.column_point, claims)


def verify_by_reference(
    parameters: OpeningParameters,
    commitments: Sequence[MatrixCommitment],
    groups: Sequence[ClaimGroup],
    opening: bytes,
) -> None:
    """Check an opening whose transcript begins with `DOMAIN`.

    Raises:
        VerificationError: a check fails.
    """
    channel = reference.Channel(Transcript(DOMAIN), b"", padded=False)
    matrices = [matrix_root(commitment) for commitment in commitments]
    stated = [claim_group(group) for group in groups]
    reference.verify_opening(channel, opening_sizes(parameters), matrices, stated, opening)


def reference_accepts(
    parameters: OpeningParameters,
    commitments: Sequence[MatrixCommitment],
    groups: Sequence[ClaimGroup],
    opening: bytes,
) -> bool:
    """Whether `verify_by_reference` raises nothing."""
    try:
        verify_by_reference(parameters, commitments, groups, opening)
    except VerificationError:
        return False
    return True
