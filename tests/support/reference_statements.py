"""Statements of `zkinfer.protocol`, in the types of the reference verifier; and its verdict on openings."""

from collections.abc import Sequence

from support.opening_prover import DOMAIN, exts

from zkinfer.errors import VerificationError
from zkinfer.protocol.lookup.params import LookupInstance
from zkinfer.protocol.lookup.tables import LookupTable, PiecewiseTable, RangeTable
from zkinfer.protocol.pads.params import PadParameters
from zkinfer.protocol.pcs.claims import ClaimGroup
from zkinfer.protocol.pcs.params import MatrixCommitment, OpeningParameters
from zkinfer.protocol.sumcheck.params import Batch
from zkinfer.protocol.transcript import Transcript
from zkinfer.verifier import reference
from zkinfer.verifier.reference.lookups import LookupTable as ReferenceTable


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
    claims = [
        reference.RowClaim(exts(claim.rows), reference.AffineForm(claim.value.constant)) for claim in group.claims
    ]
    return reference.ClaimGroup(group.column_point, claims)


def pad_sizes(parameters: PadParameters) -> reference.PadSizes:
    """How hard a proof about pads is checked."""
    return reference.PadSizes(parameters.error_bits, parameters.query_grinding)


def summands(batch: Batch) -> list[reference.Summand]:
    """The instances of a batch of sumchecks."""
    return [
        reference.Summand(one.variables, [(term.coefficient, term.factors) for term in one.terms], one.point)
        for one in batch.instances
    ]


def lookup_table(table: LookupTable) -> ReferenceTable:
    """A table of a lookup argument."""
    match table:
        case RangeTable(rows, start):
            return reference.range_table(rows, start)
        case PiecewiseTable(rows, start, pieces):
            return reference.piecewise_table(rows, start, [(p.first, p.offset, p.slope) for p in pieces])
    return reference.explicit_table([column[: table.rows].tolist() for column in table.column_values()])


def lookups(instance: LookupInstance) -> reference.Lookups:
    """A lookup argument."""
    blocks = tuple((block.table, block.variables) for block in instance.blocks)
    return reference.Lookups(tuple(map(lookup_table, instance.tables)), blocks)


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
