"""The verifier of openings: numpy and blake3 alone.

Every size is computed from the parameters, the commitments and the claims, which the caller knows; the opening only
fills them. Errors are `InvalidProofError` and `MalformedProofError`, on any bytes whatever.
"""

from collections.abc import Sequence

import numpy as np

from zkinfer.errors import InvalidProofError, MalformedProofError
from zkinfer.protocol.field import modular
from zkinfer.protocol.field.encoding import EXT_BYTES, decode_array, decode_ext
from zkinfer.protocol.field.params import DEGREE, P
from zkinfer.protocol.field.scalar import ZERO, root_of_unity
from zkinfer.protocol.merkle.paths import check_leaves, sibling_numbers
from zkinfer.protocol.pcs.claims import ClaimGroup, Residual, absorb_statement, check_statement, residual, split_weights
from zkinfer.protocol.pcs.combinations import combination_coefficients
from zkinfer.protocol.pcs.params import (
    DIGEST_BYTES,
    SALT_BYTES,
    Code,
    MatrixCommitment,
    OpeningParameters,
    max_opening_bytes,
)
from zkinfer.protocol.transcript import NONCE_BYTES, Transcript
from zkinfer.typing import IntArray


def verify_opening(
    parameters: OpeningParameters,
    commitments: Sequence[MatrixCommitment],
    groups: Sequence[ClaimGroup],
    opening: bytes,
    transcript: Transcript,
) -> None:
    """Check that all claims hold, their values being plain.

    Raises:
        MalformedProofError: the bytes are not an opening of these sizes.
        InvalidProofError: a check fails.
        InvalidInputError: the statement itself, which is the caller's, is not well formed.
    """
    for number, left in enumerate(reduce_opening(parameters, commitments, groups, opening, transcript)):
        if left.value != ZERO:
            raise InvalidProofError(f"the claims of column point {number} do not hold")


def reduce_opening(
    parameters: OpeningParameters,
    commitments: Sequence[MatrixCommitment],
    groups: Sequence[ClaimGroup],
    opening: bytes,
    transcript: Transcript,
) -> list[Residual]:
    """All checks but the last: what remains of each group, to be zero or to be shown equal to a combination of pads.

    Raises:
        MalformedProofError: the bytes are not an opening of these sizes.
        InvalidProofError: a check fails.
        InvalidInputError: the statement itself, which is the caller's, is not well formed.
    """
    check_statement(parameters, commitments, groups)
    code = parameters.code
    if len(opening) > max_opening_bytes(parameters, [c.symbols for c in commitments], len(groups)):
        raise MalformedProofError(f"an opening of {len(opening)} bytes is longer than any of this statement")
    reader = _Reader(opening)
    absorb_statement(transcript, parameters, commitments, groups)

    mask_bytes = reader.take(EXT_BYTES * len(groups))
    mask_values = decode_ext(mask_bytes, len(groups))
    transcript.absorb("mask values", mask_bytes)
    transcript.check_grind("weight grinding", parameters.weight_grinding, reader.take_nonce())
    weights = list(
        split_weights(groups, transcript.challenge_exts("claim weights", sum(len(g.claims) for g in groups)))
    )
    rows = sum(c.rows for c in commitments)
    proximity = transcript.challenge_exts("proximity", rows + DEGREE * len(groups))

    combination_bytes = reader.take(EXT_BYTES * code.dimension * (len(groups) + 1))
    combinations = decode_array(combination_bytes, (len(groups) + 1, code.dimension, DEGREE)).transpose(0, 2, 1)
    transcript.absorb("combinations", combination_bytes)

    transcript.check_grind("query grinding", parameters.query_grinding, reader.take_nonce())
    indices = sorted(set(transcript.challenge_indices("queries", code.length, parameters.queries)))

    columns = np.concatenate([_read_columns(reader, code, c, indices) for c in commitments], axis=1)
    reader.finish()

    coefficients = combination_coefficients(groups, weights, proximity, rows)
    _check_columns(code, combinations, coefficients, indices, columns)
    return [
        residual(
            group,
            group_weights,
            mask_value,
            modular.ext_dot(combination[:, : code.columns], modular.eq_table(group.column_point)),
        )
        for group, group_weights, mask_value, combination in zip(
            groups, weights, mask_values, combinations[1:], strict=True
        )
    ]


def _read_columns(reader: "_Reader", code: Code, commitment: MatrixCommitment, indices: Sequence[int]) -> IntArray:
    """The columns of one matrix at the drawn indices, shape (indices, symbols), checked against its root."""
    leaves = [reader.take(commitment.leaf_bytes) for _ in indices]
    siblings = reader.take(DIGEST_BYTES * len(sibling_numbers(code.log_length, indices)))
    check_leaves(commitment.root, code.log_length, indices, leaves, siblings)
    return decode_array(b"".join(leaf[SALT_BYTES:] for leaf in leaves), (len(indices), commitment.symbols))


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


class _Reader:
    """Takes the opening apart, from the front; the lengths asked for come from the parameters."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def take(self, count: int) -> bytes:
        end = self._position + count
        if end > len(self._data):
            raise MalformedProofError(f"the opening ends after {len(self._data)} bytes, before byte {end}")
        piece = self._data[self._position : end]
        self._position = end
        return piece

    def take_nonce(self) -> int:
        return int.from_bytes(self.take(NONCE_BYTES), "little")

    def finish(self) -> None:
        if self._position != len(self._data):
            raise MalformedProofError(f"{len(self._data) - self._position} bytes follow the opening")
