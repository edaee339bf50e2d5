"""The opening of committed matrices: one text for prover and verifier.

Claim: for committed rows M_i, each claim's row vector q and its group's column point z, sum_i q_i M_i(z) = v.

Messages: the values of the groups' masks; work; the combinations of rows (`combinations`), one of proximity and one for
each group; work; the columns at the drawn indices, with their Merkle paths, matrix by matrix.

Checks: the columns are committed, and every combination, encoded, agrees with them; each group's combination evaluates
to its mask's value plus its claims, weighed. The last is a constraint on affine forms, so that values may be hidden.

Every size is computed from the parameters, the commitments and the claims, which both sides know; the opening only
fills them. docs/protocol/transcript-and-commitment.md has the argument.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import numpy as np

from zkinfer.errors import InvalidProofError
from zkinfer.protocol.channel import AffineForm, Channel, Reader, VerifierChannel, Wire, combination, exchange_work
from zkinfer.protocol.field import modular
from zkinfer.protocol.field.encoding import decode_array
from zkinfer.protocol.field.params import DEGREE, P
from zkinfer.protocol.field.scalar import Ext, root_of_unity
from zkinfer.protocol.merkle.paths import DIGEST_BYTES, SALT_BYTES, check_leaves, sibling_numbers
from zkinfer.protocol.pcs.claims import ClaimGroup, absorb_statement, check_statement, split_weights
from zkinfer.protocol.pcs.combinations import combination_coefficients
from zkinfer.protocol.pcs.params import Code, MatrixCommitment, OpeningParameters
from zkinfer.protocol.transcript import Transcript
from zkinfer.typing import IntArray

CLAIMS_CHECK = "the opened matrices have the claimed values"


class OpeningWitness(Protocol):
    """The committed matrices, as the prover of an opening needs them."""

    def spend(self) -> None:
        """Account for this opening in every matrix, before any message of it exists."""

    def mask_values(self, tables: Sequence[IntArray]) -> list[Ext]:
        """The values of the groups' masks at the column points whose eq tables these are."""

    def combinations(self, coefficients: IntArray) -> IntArray:
        """The combinations of rows, canonical, shape (combinations, dimension, 3)."""

    def leaves(self, matrix: int, indices: Sequence[int]) -> bytes:
        """Salted columns of a matrix."""

    def paths(self, matrix: int, indices: Sequence[int]) -> bytes:
        """The Merkle paths of these columns."""


def run_opening(
    parameters: OpeningParameters,
    commitments: Sequence[MatrixCommitment],
    groups: Sequence[ClaimGroup],
    channel: Channel,
    wire: Wire,
    witness: OpeningWitness | None = None,
) -> None:
    """Show, or check, claims about committed matrices.

    Args:
        parameters: sizes; the matrices share their code.
        commitments: the last one brings a mask for each group and one more; the others have none.
        groups: the claims.
        channel: of this side; its checks are `CLAIMS_CHECK`, one for each group.
        wire: where the opening travels.
        witness: of the prover's side.

    Raises:
        MalformedProofError: the bytes are not an opening of these sizes.
        InvalidProofError: a check fails.
        InvalidInputError: the statement itself, which is the caller's, is not well formed.
    """
    check_statement(parameters, commitments, groups)
    if witness is not None:
        witness.spend()
    transcript, code = channel.transcript, parameters.code
    absorb_statement(transcript, parameters, commitments, groups)
    tables = [modular.eq_table(group.column_point) for group in groups]
    make_values = None if witness is None else partial(witness.mask_values, tables)
    mask_values = channel.exchange("mask values", len(groups), make_values, wire)
    exchange_work(transcript, wire, "weight grinding", parameters.weight_grinding)
    claims = sum(len(group.claims) for group in groups)
    weights = list(split_weights(groups, transcript.challenge_exts("claim weights", claims)))
    rows = sum(commitment.rows for commitment in commitments)
    proximity = transcript.challenge_exts("proximity", rows + DEGREE * len(groups))

    coefficients = combination_coefficients(groups, weights, proximity, rows)
    shape = (len(groups) + 1, code.dimension, DEGREE)
    make_combinations = None if witness is None else partial(witness.combinations, coefficients)
    combined = channel.exchange_array("combinations", shape, make_combinations, wire).transpose(0, 2, 1)

    exchange_work(transcript, wire, "query grinding", parameters.query_grinding)
    indices = sorted(set(transcript.challenge_indices("queries", code.length, parameters.queries)))
    columns = _exchange_columns(code, commitments, indices, wire, witness)
    wire.finish()
    if wire.reads:
        _check_columns(code, combined, coefficients, indices, columns())
    parts = zip(groups, weights, mask_values, combined[1:], tables, strict=True)
    for group, group_weights, mask_value, message, table in parts:
        claimed = combination([claim.value for claim in group.claims], group_weights)
        value = modular.ext_dot(message[:, : code.columns], table)
        channel.require_zero(CLAIMS_CHECK, claimed + mask_value - AffineForm(value))


def _exchange_columns(
    code: Code,
    commitments: Sequence[MatrixCommitment],
    indices: Sequence[int],
    wire: Wire,
    witness: OpeningWitness | None,
) -> Callable[[], IntArray]:
    """The columns of all matrices with their paths; the result, for a verifier, checks and decodes them."""
    siblings = DIGEST_BYTES * len(sibling_numbers(code.log_length, indices))
    received = []
    for number, commitment in enumerate(commitments):
        make_leaves = None if witness is None else partial(witness.leaves, number, indices)
        make_paths = None if witness is None else partial(witness.paths, number, indices)
        leaves = wire.exchange(commitment.leaf_bytes * len(indices), make_leaves)
        received.append((commitment, leaves, wire.exchange(siblings, make_paths)))
    return lambda: np.concatenate([_decode_columns(code, indices, *one) for one in received], axis=1)


def _decode_columns(
    code: Code, indices: Sequence[int], commitment: MatrixCommitment, leaves: bytes, paths: bytes
) -> IntArray:
    """The columns of one matrix, shape (indices, symbols), checked against its root."""
    size = commitment.leaf_bytes
    each = [leaves[size * i : size * (i + 1)] for i in range(len(indices))]
    check_leaves(commitment.root, code.log_length, indices, each, paths)
    return decode_array(b"".join(leaf[SALT_BYTES:] for leaf in each), (len(indices), commitment.symbols))


def _check_columns(
    code: Code, combinations: IntArray, coefficients: IntArray, indices: Sequence[int], columns: IntArray
) -> None:
    """Every combination, encoded, equals the same combination of the columns, at every drawn index.

    Args:
        combinations: messages, shape (combinations, 3, dimension).
        coefficients: of the symbols of a column in each combination, shape (combinations, 3, symbols).
        columns: shape (indices, symbols).
    """
    root = root_of_unity(code.length)
    points = np.array([pow(root, i, P) for i in indices], dtype=np.int64)
    encoded = modular.evaluate(combinations.reshape(-1, code.dimension), points)
    expected = modular.matmul(coefficients.reshape(len(encoded), -1), columns.T)
    wrong = np.flatnonzero((encoded != expected).any(axis=1))
    if len(wrong):
        name = "the combination of all rows" if wrong[0] < DEGREE else f"the combination {wrong[0] // DEGREE - 1}"
        raise InvalidProofError(f"{name} does not agree with the committed columns")


def verify_opening(
    parameters: OpeningParameters,
    commitments: Sequence[MatrixCommitment],
    groups: Sequence[ClaimGroup],
    opening: bytes,
    transcript: Transcript,
) -> None:
    """Check that all claims hold, their values being public.

    Raises:
        MalformedProofError: the bytes are not an opening of these sizes.
        InvalidProofError: a check fails.
        InvalidInputError: the statement itself, which is the caller's, is not well formed.
    """
    wire = Reader(opening, "opening")
    run_opening(parameters, commitments, groups, VerifierChannel(transcript, wire), wire)
