"""The opening of committed matrices: one text for prover and verifier.

Claim: for committed rows M_i, each claim's row vector q and its group's column point z, sum_i q_i M_i(z) = v.

Messages: the values of the groups' masks; work; the combinations of rows (`combinations`), one of proximity and one for
each group; work; the columns at the drawn indices, with their Merkle paths, matrix by matrix. Where combinations are
long, the root of a matrix that holds them and the values of the groups' are sent in their place, and in the end it is
shown that they are what columns and values say (`folding`).

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
from zkinfer.protocol.field.scalar import Ext, ext_add, ext_dot, ext_powers, root_of_unity
from zkinfer.protocol.merkle.paths import DIGEST_BYTES, SALT_BYTES, check_leaves, sibling_count
from zkinfer.protocol.pcs.claims import ClaimGroup, absorb_statement, check_statement, split_weights
from zkinfer.protocol.pcs.combinations import combination_coefficients
from zkinfer.protocol.pcs.folding import Folding, FoldingWitness
from zkinfer.protocol.pcs.levels import Level, choose_levels
from zkinfer.protocol.pcs.params import Code, MatrixCommitment, OpeningParameters
from zkinfer.protocol.transcript import Transcript
from zkinfer.typing import IntArray

CLAIMS_CHECK = "the opened matrices have the claimed values"


class OpeningWitness(Protocol):
    """The committed matrices, as the prover of an opening needs them."""

    def spend(self) -> None:
        """Account for this opening in every matrix, before any message of it exists."""

    def mask_values(self, points: Sequence[Sequence[Ext]]) -> list[Ext]:
        """The values of the groups' masks at their column points."""

    def combinations(self, coefficients: IntArray) -> IntArray:
        """The combinations of rows, canonical, shape (combinations, dimension, 3)."""

    def fold(self, coefficients: IntArray) -> FoldingWitness:
        """What opens the combinations, which are not sent."""

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
    points = [group.column_point for group in groups]
    make_values = None if witness is None else partial(witness.mask_values, points)
    mask_values = channel.exchange("mask values", len(groups), make_values, wire)
    exchange_work(transcript, wire, "weight grinding", parameters.weight_grinding)
    claims = sum(len(group.claims) for group in groups)
    weights = list(split_weights(groups, transcript.challenge_exts("claim weights", claims)))
    rows = sum(commitment.rows for commitment in commitments)
    proximity = transcript.challenge_exts("proximity", rows + DEGREE * len(groups))

    coefficients = combination_coefficients(groups, weights, proximity, rows)
    sent: _Combinations
    if levels := choose_levels(len(groups) + 1, code.dimension):
        sent = _CommittedCombinations(levels, code, groups, coefficients, channel, wire, witness)
    else:
        sent = _SentCombinations(code, points, coefficients, channel, wire, witness)
    exchange_work(transcript, wire, "query grinding", parameters.query_grinding)
    indices = sorted(set(transcript.challenge_indices("queries", code.length, parameters.queries)))
    columns = _exchange_columns(code, commitments, indices, wire, witness)
    sent.check(indices, columns)
    for group, group_weights, mask_value, value in zip(groups, weights, mask_values, sent.values, strict=True):
        claimed = combination([claim.value for claim in group.claims], group_weights)
        channel.require_zero(CLAIMS_CHECK, claimed + mask_value - AffineForm(value))


class _Combinations(Protocol):
    """The combinations of rows, between the message that fixes them and the columns that they are compared with.

    Attributes:
        values: for each group the extension of its combination at its column point.
    """

    values: list[Ext]

    def check(self, indices: Sequence[int], columns: Callable[[], IntArray]) -> None:
        """Ends the wire, and, for a verifier, compares them with the columns at these indices."""


class _SentCombinations:
    """Combinations that are sent as they are."""

    def __init__(
        self,
        code: Code,
        points: Sequence[Sequence[Ext]],
        coefficients: IntArray,
        channel: Channel,
        wire: Wire,
        witness: OpeningWitness | None,
    ) -> None:
        self._code, self._coefficients, self._wire = code, coefficients, wire
        shape = (len(coefficients), code.dimension, DEGREE)
        make = None if witness is None else partial(witness.combinations, coefficients)
        self._messages = channel.exchange_array("combinations", shape, make, wire).transpose(0, 2, 1)
        pairs = zip(self._messages[1:], map(modular.eq_table, points), strict=True)
        self.values = [modular.ext_dot(message[:, : code.columns], table) for message, table in pairs]

    def check(self, indices: Sequence[int], columns: Callable[[], IntArray]) -> None:
        self._wire.finish()
        if self._wire.reads:
            _check_columns(self._code, self._messages, self._coefficients, indices, columns())


class _CommittedCombinations:
    """Combinations that are committed to, and opened in levels."""

    def __init__(
        self,
        levels: Sequence[Level],
        code: Code,
        groups: Sequence[ClaimGroup],
        coefficients: IntArray,
        channel: Channel,
        wire: Wire,
        witness: OpeningWitness | None,
    ) -> None:
        self._code, self._groups, self._coefficients = code, groups, coefficients
        self._transcript, self._wire = channel.transcript, wire
        folded = None if witness is None else witness.fold(coefficients)
        self._folding = Folding(levels, channel, wire, folded)

        def evaluate() -> IntArray:
            assert folded is not None
            points = enumerate((group.column_point for group in groups), start=1)
            return np.array([folded.extension(number, point) for number, point in points], dtype=np.int64)

        make = None if folded is None else evaluate
        sent = channel.exchange_array("combination values", (len(groups), DEGREE), make, wire)
        self.values = modular.to_exts(sent.T)

    def check(self, indices: Sequence[int], columns: Callable[[], IntArray]) -> None:
        """As sums of functionals: of all combinations and columns, of the groups' values, and of what has to be zero.

        Rows that are committed to may have places behind a combination's last element. Were these not zero,
        combinations could be of longer codewords than those that the queries reckon with.
        """
        batch = self._transcript.challenge_ext("combination batch")
        powers = ext_powers(self._transcript.challenge_ext("column batch"), len(indices) + len(self._groups) + 1)
        spare_point = self._transcript.challenge_exts("spare point", (self._code.dimension - 1).bit_length())
        by_column, by_group = powers[: len(indices)], powers[len(indices) : -1]
        functionals = self._folding.functionals
        functionals.add_values(by_column, indices, self._code.log_length, batch)
        for number, (group, power) in enumerate(zip(self._groups, by_group, strict=True), start=1):
            functionals.add_extension(number, power, group.column_point)
        functionals.add_spare(self._code.dimension, powers[-1], spare_point, batch)
        target = ext_dot(by_group, self.values)
        if self._wire.reads:
            target = ext_add(target, self._expected(columns(), batch, by_column))
        self._folding.run(target)
        self._wire.finish()

    def _expected(self, columns: IntArray, batch: Ext, by_column: Sequence[Ext]) -> Ext:
        """What columns say of the combinations' symbols, batched as the functionals are."""
        combined = modular.matmul(self._coefficients.reshape(-1, columns.shape[1]), columns.T)
        symbols = combined.reshape(len(self._coefficients), DEGREE, -1).transpose(1, 0, 2)
        each = modular.ext_matvec(symbols, modular.from_exts(by_column))
        return modular.ext_dot(each, modular.from_exts(ext_powers(batch, each.shape[1])))


def _exchange_columns(
    code: Code,
    commitments: Sequence[MatrixCommitment],
    indices: Sequence[int],
    wire: Wire,
    witness: OpeningWitness | None,
) -> Callable[[], IntArray]:
    """The columns of all matrices with their paths; the result, for a verifier, checks and decodes them."""
    siblings = DIGEST_BYTES * sibling_count(code.log_length, indices)
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
