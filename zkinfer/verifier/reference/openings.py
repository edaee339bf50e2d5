"""Openings of committed matrices: docs/protocol/transcript-and-commitment.md, section 2."""

from collections.abc import Sequence
from dataclasses import dataclass

from zkinfer.errors import InvalidProofError
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import (
    ZERO,
    Ext,
    ext_add,
    ext_dot,
    ext_mul,
    ext_pow,
    mle,
    root_of_unity,
)
from zkinfer.protocol.transcript import Transcript
from zkinfer.verifier.reference.channel import AffineForm, Channel, sum_of
from zkinfer.verifier.reference.elements import (
    BASE_BYTES,
    FIELD_SIZE,
    ByteReader,
    Point,
    base_dot,
    decode_base,
    evaluate,
)
from zkinfer.verifier.reference.levels import (
    extension_term,
    level_sizes,
    log2_of_power_above,
    read_root,
    spare_terms,
    value_term,
    verify_levels,
)
from zkinfer.verifier.reference.merkle import read_columns

NONCE_BYTES = 8
BASIS: list[Ext] = [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
"""1, u, u^2: a mask over K is three rows over F."""


@dataclass(frozen=True)
class OpeningSizes:
    """A code, and how hard an opening is checked."""

    log_columns: int
    blinding: int
    log_length: int
    queries: int
    query_grinding: int
    weight_grinding: int

    @property
    def columns(self) -> int:
        """Data symbols in a row: c."""
        return 1 << self.log_columns

    @property
    def dimension(self) -> int:
        """Symbols of a message, data and random ones: k."""
        return self.columns + self.blinding

    @property
    def length(self) -> int:
        """Symbols of a codeword: n."""
        return 1 << self.log_length

    def errors(self, groups: int) -> list[float]:
        """The soundness terms of an opening with so many column points: queries, proximity and weights (section 3)."""
        n = self.length
        e = (n - self.dimension) // 2
        own = [
            ((n - e - 1) / n) ** self.queries / 2**self.query_grinding,
            n / FIELD_SIZE / 2**self.weight_grinding,
            groups / FIELD_SIZE / 2**self.weight_grinding,
        ]
        levels = level_sizes(groups + 1, self.dimension)
        if levels:
            own.append((self.queries + 2 * groups + log2_of_power_above(self.dimension)) / FIELD_SIZE)
        return own + [error for level in levels for error in level.errors()]


@dataclass(frozen=True)
class MatrixRoot:
    """A committed matrix: the root of its tree, its rows of data, and its masks."""

    root: bytes
    rows: int
    masks: int


@dataclass(frozen=True)
class RowClaim:
    """sum over i of rows[i] * (row i at the group's column point) = value, over the rows of all matrices."""

    rows: Sequence[Ext]
    value: AffineForm


@dataclass(frozen=True)
class ClaimGroup:
    """The claims at one column point."""

    column_point: Point
    claims: Sequence[RowClaim]


def verify_opening(
    channel: Channel, sizes: OpeningSizes, matrices: Sequence[MatrixRoot], groups: Sequence[ClaimGroup], opening: bytes
) -> None:
    """Check that committed matrices satisfy claims about their rows.

    Args:
        channel: on a padded one the values of the claims are forms, and check 7 is left to the proof about the pads,
            with a new pad for the value of each mask.
        sizes: of the matrices' code and of the opening.
        matrices: all that are opened together. The last one has a mask more than there are groups, the others none.
        groups: one or more, each with one claim or more.
        opening: the prover's bytes.

    Raises:
        VerificationError: a check fails.
    """
    transcript, reader = channel.transcript, ByteReader(opening, "an opening")
    _absorb_statement(transcript, sizes, matrices, groups)
    mask_values = reader.elements(len(groups))
    transcript.absorb_ext("mask values", mask_values)
    _check_work(transcript, reader, "weight grinding", sizes.weight_grinding)
    drawn_weights = iter(transcript.challenge_exts("claim weights", sum(len(group.claims) for group in groups)))
    weights = [[next(drawn_weights) for _ in group.claims] for group in groups]
    rows, masks = sum(matrix.rows for matrix in matrices), len(groups) + 1
    proximity = transcript.challenge_exts("proximity", rows + 3 * (masks - 1))
    levels = level_sizes(masks, sizes.dimension)
    if levels:
        root = read_root(transcript, reader, levels[0])
        evaluations = reader.elements(len(groups))
        transcript.absorb_ext("combination values", evaluations)
    else:
        combinations = [reader.elements(sizes.dimension) for _ in range(masks)]
        transcript.absorb_ext("combinations", [element for combination in combinations for element in combination])
        evaluations = [
            mle(combination[: sizes.columns], group.column_point)
            for group, combination in zip(groups, combinations[1:], strict=True)
        ]
    _check_work(transcript, reader, "query grinding", sizes.query_grinding)
    drawn = sorted(set(transcript.challenge_indices("queries", sizes.length, sizes.queries)))

    columns: list[list[int]] = [[] for _ in drawn]
    for matrix in matrices:
        size = BASE_BYTES * (matrix.rows + 3 * matrix.masks)
        opened = read_columns(reader, matrix.root, sizes.log_length, drawn, size)
        for column, octets in zip(columns, opened, strict=True):
            column += decode_base(octets)

    # Check 6: every combination is a codeword that agrees with the opened columns.
    coefficients = [proximity[:rows] + BASIS + proximity[rows:]]
    for number, (group, own) in enumerate(zip(groups, weights, strict=True), start=1):
        data = [ext_dot(own, [claim.rows[i] for claim in group.claims]) for i in range(rows)]
        own_mask = [ZERO] * (3 * number) + BASIS + [ZERO] * (3 * (masks - number - 1))
        coefficients.append(data + own_mask)
    generator = root_of_unity(sizes.length)
    points = [pow(generator, j, P) for j in drawn]
    if levels:
        batch, base = transcript.challenge_ext("combination batch"), transcript.challenge_ext("column batch")
        outer, inner = log2_of_power_above(masks), log2_of_power_above(sizes.dimension)
        spare_point = transcript.challenge_exts("spare point", inner)
        powers = [ext_pow(base, i) for i in range(len(drawn) + len(groups))]
        terms = [value_term(power, x, inner, outer, batch) for power, x in zip(powers, points, strict=False)]
        batch_powers, target = [ext_pow(batch, e) for e in range(masks)], ZERO
        for power, symbols in zip(powers, columns, strict=False):
            combined = [base_dot(row, symbols) for row in coefficients]
            target = ext_add(target, ext_mul(power, ext_dot(batch_powers, combined)))
        for number, (power, group) in enumerate(zip(powers[len(drawn) :], groups, strict=True)):
            terms.append(extension_term(power, number + 1, group.column_point, inner, outer))
            target = ext_add(target, ext_mul(power, evaluations[number]))
        spare = ext_pow(base, len(drawn) + len(groups))
        terms += spare_terms(spare, sizes.dimension, tuple(spare_point), outer, batch)
        verify_levels(transcript, reader, levels, root, terms, target)
        reader.finish()
    else:
        reader.finish()
        for combination, row in zip(combinations, coefficients, strict=True):
            for x, column in zip(points, columns, strict=True):
                if evaluate(combination, x) != base_dot(row, column):
                    raise InvalidProofError("a combination is not that of the columns")

    # Check 7: the data of a combination evaluate to what is claimed, plus the value of the mask.
    for group, own, mask, evaluation in zip(groups, weights, channel.with_pads(mask_values), evaluations, strict=True):
        claimed = sum_of(claim.value.scaled(weight) for weight, claim in zip(own, group.claims, strict=True))
        channel.require_zero(claimed + mask - AffineForm(evaluation))


def _absorb_statement(
    transcript: Transcript, sizes: OpeningSizes, matrices: Sequence[MatrixRoot], groups: Sequence[ClaimGroup]
) -> None:
    code = (sizes.log_columns, sizes.blinding, sizes.log_length)
    checks = (sizes.queries, sizes.query_grinding, sizes.weight_grinding)
    transcript.absorb("opening", u64(*code, *checks, len(matrices), len(groups)))
    for matrix in matrices:
        transcript.absorb("commitment", matrix.root + u64(matrix.rows, matrix.masks))
    for group in groups:
        transcript.absorb("group", u64(len(group.claims)))
        transcript.absorb_ext("column point", group.column_point)
        for claim in group.claims:
            transcript.absorb_ext("row vector", claim.rows)
            transcript.absorb_ext("value", [claim.value.constant])


def u64(*numbers: int) -> bytes:
    """Each number in 8 bytes."""
    return b"".join(n.to_bytes(8, "little") for n in numbers)


def _check_work(transcript: Transcript, reader: ByteReader, label: str, bits: int) -> None:
    transcript.check_grind(label, bits, int.from_bytes(reader.take(NONCE_BYTES), "little"))
