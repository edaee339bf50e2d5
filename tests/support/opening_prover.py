"""Openings of matrix commitments in plain Python: statements, and a prover that can be made to lie.

Written from docs/protocol/transcript-and-commitment.md with `protocol.field.scalar` alone; nothing of
`protocol.pcs` but the types that name sizes and claims.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from support.channels import public_claim
from support.merkle_tree import siblings, tree

from zkinfer.protocol.field import scalar
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext
from zkinfer.protocol.pcs.claims import ClaimGroup
from zkinfer.protocol.pcs.params import Code, MatrixCommitment, OpeningParameters
from zkinfer.protocol.transcript import Transcript

DOMAIN = b"test of openings"
SMALL = OpeningParameters(
    Code(log_columns=3, blinding=24, log_length=7), queries=24, query_grinding=4, weight_grinding=3
)
"""Rate 1/4; a lie is missed by all queries with probability 2^-16."""

Rows = list[list[int]]


def random_ext(rng: random.Random) -> Ext:
    return (rng.randrange(P), rng.randrange(P), rng.randrange(P))


def row_vector(values: Sequence[Ext]) -> np.ndarray:
    return np.array(values, dtype=np.int64).reshape(len(values), 3).T.copy()


def exts(rows: np.ndarray) -> list[Ext]:
    return [(int(a), int(b), int(c)) for a, b, c in rows.T]


@dataclass
class Statement:
    """Matrices and true claims about them."""

    parameters: OpeningParameters
    matrices: list[Rows]
    groups: list[ClaimGroup]

    @classmethod
    def random(
        cls,
        seed: int,
        rows: Sequence[int] = (3, 2),
        claims: Sequence[int] = (2, 1),
        parameters: OpeningParameters = SMALL,
    ) -> "Statement":
        """Matrices with these numbers of rows, groups with these numbers of claims."""
        rng = random.Random(seed)
        columns = parameters.code.columns
        matrices = [[[rng.randrange(-128, 128) for _ in range(columns)] for _ in range(count)] for count in rows]
        groups = []
        for count in claims:
            point = tuple(random_ext(rng) for _ in range(parameters.code.log_columns))
            vectors = [[random_ext(rng) for _ in range(sum(rows))] for _ in range(count)]
            groups.append(
                ClaimGroup(point, tuple(public_claim(row_vector(v), value_of(matrices, v, point)) for v in vectors))
            )
        return cls(parameters, matrices, groups)

    def arrays(self) -> list[np.ndarray]:
        return [np.array(m, dtype=np.int64).reshape(len(m), self.parameters.code.columns) for m in self.matrices]


def value_of(matrices: list[Rows], vector: Sequence[Ext], point: Sequence[Ext]) -> Ext:
    rows = [row for matrix in matrices for row in matrix]
    return scalar.mle(scalar.row_combination(rows, vector), point) if rows else ZERO


class PlainProver:
    """The protocol message by message. Subclasses lie by overriding a step, and are honest in all else."""

    def __init__(self, statement: Statement, seed: int = 0) -> None:
        self.parameters, self.groups = statement.parameters, statement.groups
        self.code = statement.parameters.code
        self.rng = random.Random(seed)
        self.data_rows = sum(len(m) for m in statement.matrices)
        self.messages = [
            [[v % P for v in row] + self.uniform(self.code.blinding) for row in m] for m in statement.matrices
        ]
        masks = 3 * (len(self.groups) + 1)
        self.messages[-1] = self.messages[-1] + [self.uniform(self.code.dimension) for _ in range(masks)]
        self.words = [
            [self.word(m, i, message) for i, message in enumerate(rows)] for m, rows in enumerate(self.messages)
        ]
        self.leaves = [
            [self.rng.randbytes(32) + encode([row[j] for row in words]) for j in range(self.code.length)]
            for words in self.words
        ]
        self.trees = [tree(leaves) for leaves in self.leaves]
        self.commitments = [
            MatrixCommitment(nodes[1], len(rows) - (masks if last else 0), masks // 3 if last else 0)
            for nodes, rows, last in zip(
                self.trees, self.messages, [False] * (len(self.trees) - 1) + [True], strict=True
            )
        ]

    def uniform(self, count: int) -> list[int]:
        return [self.rng.randrange(P) for _ in range(count)]

    def word(self, matrix: int, row: int, message: list[int]) -> list[int]:
        return scalar.ntt(message + [0] * (self.code.length - self.code.dimension))

    def all_messages(self) -> Rows:
        return [message for rows in self.messages for message in rows]

    def group_mask(self, number: int) -> list[Ext]:
        """The extension row of mask `number`: 0 for proximity, 1 + g for group g."""
        start = self.data_rows + 3 * number
        rows = self.all_messages()[start : start + 3]
        return [(a, b, c) for a, b, c in zip(*rows, strict=True)]

    def mask_values(self) -> list[Ext]:
        return [self.evaluate(self.group_mask(1 + g), group) for g, group in enumerate(self.groups)]

    def evaluate(self, message: Sequence[Ext], group: ClaimGroup) -> Ext:
        return scalar.mle(list(message[: self.code.columns]), group.column_point)

    def combine(self, weights: list[list[Ext]], proximity: list[Ext]) -> list[list[Ext]]:
        return [scalar.row_combination(self.all_messages(), c) for c in coefficients(self.groups, weights, proximity)]

    def grind(self, transcript: Transcript, label: str, bits: int) -> int:
        return transcript.grind(label, bits)

    def after_queries(self, indices: list[int], combinations: list[list[Ext]]) -> list[list[Ext]]:
        """What is sent as the combinations, in the end."""
        return combinations

    def columns(self, matrix: int, indices: list[int], combinations: list[list[Ext]]) -> list[bytes]:
        return [self.leaves[matrix][i] for i in indices]

    def open(self) -> bytes:
        transcript = Transcript(DOMAIN)
        absorb_statement(transcript, self.parameters, self.commitments, self.groups)
        mask_values = encode_exts(self.mask_values())
        transcript.absorb("mask values", mask_values)
        first = self.grind(transcript, "weight grinding", self.parameters.weight_grinding).to_bytes(8, "little")
        weights, proximity = draw_coefficients(transcript, self.groups, self.data_rows)
        combinations = self.combine(weights, proximity)
        transcript.absorb("combinations", self.encode_combinations(combinations))
        second = self.grind(transcript, "query grinding", self.parameters.query_grinding).to_bytes(8, "little")
        indices = sorted(set(transcript.challenge_indices("queries", self.code.length, self.parameters.queries)))
        combinations = self.after_queries(indices, combinations)
        opened = b""
        for number, nodes in enumerate(self.trees):
            opened += b"".join(self.columns(number, indices, combinations)) + siblings(nodes, indices)
        return mask_values + first + self.encode_combinations(combinations) + second + opened

    def encode_combinations(self, combinations: list[list[Ext]]) -> bytes:
        return b"".join(encode_exts(message) for message in combinations)


def absorb_statement(
    transcript: Transcript,
    parameters: OpeningParameters,
    commitments: Sequence[MatrixCommitment],
    groups: Sequence[ClaimGroup],
) -> None:
    code = parameters.code
    transcript.absorb(
        "opening",
        u64(code.log_columns)
        + u64(code.blinding)
        + u64(code.log_length)
        + u64(parameters.queries)
        + u64(parameters.query_grinding)
        + u64(parameters.weight_grinding)
        + u64(len(commitments))
        + u64(len(groups)),
    )
    for commitment in commitments:
        transcript.absorb("commitment", commitment.root + u64(commitment.rows) + u64(commitment.masks))
    for group in groups:
        transcript.absorb("group", u64(len(group.claims)))
        transcript.absorb("column point", encode_exts(group.column_point))
        for claim in group.claims:
            transcript.absorb("row vector", encode_exts(exts(claim.rows)))
            transcript.absorb("value", encode_exts([claim.value.constant]))


def draw_coefficients(
    transcript: Transcript, groups: Sequence[ClaimGroup], rows: int
) -> tuple[list[list[Ext]], list[Ext]]:
    drawn = iter(transcript.challenge_exts("claim weights", sum(len(g.claims) for g in groups)))
    weights = [[next(drawn) for _ in group.claims] for group in groups]
    return weights, transcript.challenge_exts("proximity", rows + 3 * len(groups))


def coefficients(groups: Sequence[ClaimGroup], weights: list[list[Ext]], proximity: list[Ext]) -> list[list[Ext]]:
    """For each combination the coefficients of the symbols of a column."""
    rows = len(proximity) - 3 * len(groups)
    unit = [ONE, (0, 1, 0), (0, 0, 1)]
    result = [proximity[:rows] + unit + proximity[rows:]]
    for number, (group, group_weights) in enumerate(zip(groups, weights, strict=True)):
        total = [ZERO] * rows
        for claim, weight in zip(group.claims, group_weights, strict=True):
            total = [scalar.ext_add(t, scalar.ext_mul(weight, q)) for t, q in zip(total, exts(claim.rows), strict=True)]
        result.append(total + [ZERO] * (3 * (number + 1)) + unit + [ZERO] * (3 * (len(groups) - number - 1)))
    return result


def encode(values: Sequence[int]) -> bytes:
    return b"".join(v.to_bytes(7, "little") for v in values)


def encode_exts(values: Sequence[Ext]) -> bytes:
    return b"".join(encode(value) for value in values)


def u64(value: int) -> bytes:
    return value.to_bytes(8, "little")
