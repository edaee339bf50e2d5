"""Provers of combinations that are committed to and not sent, honest or with one lie each."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
from support.channels import public_claim
from support.opening_prover import Statement
from support.small_levels import open_statement

from zkinfer.protocol.field import kernels, scalar
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, Ext
from zkinfer.protocol.merkle.tree import build_tree
from zkinfer.protocol.pcs.claims import ClaimGroup
from zkinfer.protocol.pcs.folding_prover import FoldedVectors
from zkinfer.protocol.pcs.levels import Level
from zkinfer.protocol.pcs.params import Code, MatrixCommitment, OpeningParameters
from zkinfer.protocol.pcs.prover import MatrixWitness, OpenableMatrix
from zkinfer.protocol.transcript import Transcript
from zkinfer.typing import Floats, IntArray

Opened = tuple[Statement, list[MatrixCommitment], bytes]
"""What is stated, of which matrices, and the opening."""


def opened_by(vectors: type[FoldedVectors], statement: Statement, seed: bytes | None = None) -> Opened:
    """A statement, opened by combinations of this class.

    Args:
        seed: of the prover's randomness; by default fresh.
    """

    class Witness(MatrixWitness):
        def fold(self, coefficients: IntArray) -> FoldedVectors:
            return vectors(self.combined(coefficients))

    return statement, *open_statement(statement, Witness, seed=seed)


class LastFold(FoldedVectors):
    """Sends another last fold, to which the functionals give the same value."""

    def vector(self) -> IntArray:
        vector = super().vector()
        first, second = kernels.ext_to_ints(np.ascontiguousarray(self._weights[:, :2]))
        vector[0] = scalar.ext_add(tuple(vector[0].tolist()), second)
        vector[1] = scalar.ext_sub(tuple(vector[1].tolist()), first)
        return vector


class Other(FoldedVectors):
    """One combination is off in an element."""

    def __init__(self, vectors: Floats) -> None:
        changed = vectors.copy()
        changed[0, 1, 5] += 1
        super().__init__(changed)


class Cancelling(FoldedVectors):
    """Two combinations are off by opposite amounts, in an element that is read by the columns alone."""

    def __init__(self, vectors: Floats) -> None:
        changed = vectors.copy()
        changed[0, 1, -1] += 1
        changed[1, 1, -1] -= 1
        super().__init__(changed)


PAIR = 3, 10


class CancellingColumns(FoldedVectors):
    """Two columns of a level, both of them queried, are off by opposite amounts."""

    queried: Sequence[int] = ()

    def commit(self, level: Level) -> bytes:
        root = super().commit(level)
        if len(self._trees) > 1:
            return root
        leaves = self._trees[0][0][list(range(level.length))].copy()
        for j, error in zip(PAIR, (1, -1), strict=True):
            symbol = (int.from_bytes(leaves[j, :7].tobytes(), "little") + error) % P
            leaves[j, :7] = np.frombuffer(symbol.to_bytes(7, "little"), np.uint8)
        self._trees[0] = leaves, build_tree(leaves)
        return bytes(self._trees[0][1][1])

    def columns(self, number: int, indices: Sequence[int]) -> bytes:
        if number == 0:
            type(self).queried = indices
        return super().columns(number, indices)


def two_columns(statement: Statement, seeds: Iterator[bytes | None] | None = None) -> Opened:
    """An opening by `CancellingColumns`, begun again until both columns are queried, as a prover would."""
    for seed in seeds or itertools.repeat(None):
        found = opened_by(CancellingColumns, statement, seed)
        if set(PAIR) <= set(CancellingColumns.queried):
            return found
    raise AssertionError("no seeds are left")


def two_values(statement: Statement, seed: bytes | None = None) -> Opened:
    """Two masks, and so the values of their combinations, are off by opposite amounts."""
    mle, errors = kernels.mle, iter([ONE, (P - 1, 0, 0)] * 2)
    with patch.object(kernels, "mle", lambda values, point: scalar.ext_add(mle(values, point), next(errors))):
        return opened_by(FoldedVectors, statement, seed)


def false_statement(statement: Statement) -> Statement:
    """The first value of the first group is one more than it is."""
    first, *others = statement.groups
    claim, *rest = first.claims
    false = public_claim(claim.rows, scalar.ext_add(claim.value.constant, ONE))
    groups = [ClaimGroup(first.column_point, (false, *rest)), *others]
    return Statement(statement.parameters, statement.matrices, groups)


def false_value(statement: Statement, seed: bytes | None = None) -> Opened:
    """The false claim's weight is added to the value of its combination, so that the claims' own check holds."""
    with _listening("claim weights") as weights:

        class Lying(FoldedVectors):
            def extension(self, vector: int, point: Sequence[Ext]) -> Ext:
                value = super().extension(vector, point)
                return scalar.ext_add(value, weights[0]) if vector == 1 else value

        return opened_by(Lying, false_statement(statement), seed)


@contextmanager
def _listening(label: str) -> Iterator[list[Ext]]:
    """What is drawn under a label."""
    heard: list[Ext] = []
    draw = Transcript.challenge_exts

    def listening(self: Transcript, name: str, count: int) -> list[Ext]:
        drawn = draw(self, name, count)
        if name == label:
            heard[:] = drawn
        return drawn

    with patch.object(Transcript, "challenge_exts", listening):
        yield heard


def longer_rows(statement: Statement, blinding: int, seed: bytes | None = None) -> Opened:
    """Rows with more random symbols than the code has; their combinations fill places behind those of honest ones."""
    own = statement.parameters
    code = Code(own.code.log_columns, blinding, own.code.log_length)
    longer = OpeningParameters(code, own.queries, own.query_grinding, own.weight_grinding)

    class Witness(MatrixWitness):
        def __init__(self, parameters: OpeningParameters, matrices: Sequence[OpenableMatrix]) -> None:
            super().__init__(longer, matrices)

    return statement, *open_statement(statement, Witness, code, seed)
