"""Evaluation claims: what an opening shows, in the order in which both sides handle it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from zkinfer.counts import counted
from zkinfer.errors import InvalidInputError
from zkinfer.protocol.channel import AffineForm
from zkinfer.protocol.field.encoding import encode_array
from zkinfer.protocol.field.params import DEGREE, P
from zkinfer.protocol.field.scalar import Ext
from zkinfer.protocol.pcs.params import MatrixCommitment, OpeningParameters
from zkinfer.protocol.transcript import Transcript
from zkinfer.typing import IntArray


@dataclass(frozen=True, slots=True, eq=False)
class RowClaim:
    """sum_i rows[:, i] * M_i(z) = value, over the data rows M_i of all matrices opened together, one after another.

    Args:
        rows: int64, shape (3, number of rows), canonical.
        value: a constant if the value is public; otherwise what both sides know of it.
    """

    rows: IntArray
    value: AffineForm


@dataclass(frozen=True, slots=True, eq=False)
class ClaimGroup:
    """The claims at one column point z, whose first coordinate is the most significant variable of a column's index."""

    column_point: tuple[Ext, ...]
    claims: tuple[RowClaim, ...]


def check_statement(
    parameters: OpeningParameters, commitments: Sequence[MatrixCommitment], groups: Sequence[ClaimGroup]
) -> None:
    """Check an opening's statement: sizes agree, elements are canonical, the last matrix brings all masks.

    Raises:
        InvalidInputError: the statement, which comes from the caller and never from a proof, is not well formed.
    """
    code = parameters.code
    if code.blinding < parameters.queries:
        raise InvalidInputError(
            f"{code.blinding:,} random symbols a row do not hide {counted(parameters.queries, 'column')}"
        )
    if not commitments or not groups:
        raise InvalidInputError("an opening needs at least one commitment and one group of claims")
    if any(c.masks for c in commitments[:-1]) or commitments[-1].masks != len(groups) + 1:
        raise InvalidInputError(
            f"the last commitment must bring all {counted(len(groups) + 1, 'mask')}, the others none"
        )
    rows = sum(c.rows for c in commitments)
    for group in groups:
        if len(group.column_point) != code.log_columns or not group.claims:
            raise InvalidInputError(f"a group needs a point of {code.log_columns} coordinates and at least one claim")
        if not all(_canonical(x) for x in group.column_point):
            raise InvalidInputError("a coordinate of a column point is not canonical")
        for claim in group.claims:
            if (
                claim.rows.dtype != np.int64
                or claim.rows.shape != (DEGREE, rows)
                or not _canonical(claim.value.constant)
            ):
                raise InvalidInputError(f"a claim needs a value and an int64 row vector of shape ({DEGREE}, {rows})")
            if rows and (claim.rows.min() < 0 or claim.rows.max() >= P):
                raise InvalidInputError("a row vector is not canonical")


def absorb_statement(
    transcript: Transcript,
    parameters: OpeningParameters,
    commitments: Sequence[MatrixCommitment],
    groups: Sequence[ClaimGroup],
) -> None:
    """Bind everything that the opening is about, before its first message."""
    code = parameters.code
    work = (parameters.query_grinding, parameters.weight_grinding)
    sizes = (code.log_columns, code.blinding, code.log_length, parameters.queries, *work)
    transcript.absorb("opening", _u64s(*sizes, len(commitments), len(groups)))
    for commitment in commitments:
        transcript.absorb("commitment", commitment.root + _u64s(commitment.rows, commitment.masks))
    for group in groups:
        transcript.absorb("group", _u64s(len(group.claims)))
        transcript.absorb_ext("column point", group.column_point)
        for claim in group.claims:
            transcript.absorb("row vector", encode_array(claim.rows.T.ravel()).tobytes())
            transcript.absorb_ext("value", [claim.value.constant])


def split_weights(groups: Sequence[ClaimGroup], weights: Sequence[Ext]) -> Iterator[tuple[Ext, ...]]:
    """The weights of each group's claims."""
    start = 0
    for group in groups:
        end = start + len(group.claims)
        yield tuple(weights[start:end])
        start = end


def _canonical(value: Ext) -> bool:
    return len(value) == DEGREE and all(0 <= c < P for c in value)


def _u64s(*values: int) -> bytes:
    return b"".join(v.to_bytes(8, "little") for v in values)
