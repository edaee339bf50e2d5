"""Openings of matrices, their claims padded: docs/protocol/transcript-and-commitment.md, section 2."""

from collections.abc import Sequence
from dataclasses import dataclass

from blake3 import blake3

from zkinfer.errors import InvalidProofError, MalformedProofError
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_add, ext_mul, ext_sub, mle, root_of_unity
from zkinfer.protocol.transcript import Transcript
from zkinfer.verifier.reference.channel import MINUS, Channel, Form, combine, decode, decode_base
from zkinfer.verifier.reference.reduction import Group

DIGEST_BYTES = 32
SALT_BYTES = 32
NONCE_BYTES = 8
LEAF_KEY = b"zkinfer 2026 merkle leaf v1".ljust(32, b"\0")
NODE_KEY = b"zkinfer 2026 merkle node v1".ljust(32, b"\0")
UNITS: list[Ext] = [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
"""1, u, u^2: a mask over K is three rows over F."""


@dataclass(frozen=True)
class Sizes:
    """Of a code and its opening."""

    log_columns: int
    blinding: int
    log_length: int
    queries: int
    query_grinding: int
    weight_grinding: int

    @property
    def columns(self) -> int:
        return 1 << self.log_columns

    @property
    def dimension(self) -> int:
        return self.columns + self.blinding

    @property
    def length(self) -> int:
        return 1 << self.log_length

    def errors(self, groups: int) -> list[float]:
        """Of queries, proximity and weights, in an opening with so many column points."""
        n = self.length
        e = (n - self.dimension) // 2
        return [
            ((n - e - 1) / n) ** self.queries / 2**self.query_grinding,
            n / P**3 / 2**self.weight_grinding,
            groups / P**3 / 2**self.weight_grinding,
        ]


@dataclass(frozen=True)
class Root:
    """A matrix: its root, rows of data, and masks."""

    root: bytes
    rows: int
    masks: int


class Reader:
    """Takes bytes apart from the front."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self, count: int) -> bytes:
        piece, self._data = self._data[:count], self._data[count:]
        if len(piece) != count:
            raise MalformedProofError("a part of the proof is too short")
        return piece

    def finish(self) -> None:
        if self._data:
            raise MalformedProofError("a part of the proof is too long")


def verify_opening(
    channel: Channel, sizes: Sizes, matrices: Sequence[Root], groups: Sequence[Group], opening: bytes
) -> None:
    """Checks 1 to 6 of an opening; what takes the place of check 7 is left to the pads.

    Raises:
        VerificationError: a check fails.
    """
    transcript, reader = channel.transcript, Reader(opening)
    _absorb(transcript, sizes, matrices, groups)
    mask_bytes = reader.take(21 * len(groups))
    mask_values = decode(mask_bytes)
    transcript.absorb("mask values", mask_bytes)
    _check_work(transcript, reader, "weight grinding", sizes.weight_grinding)
    weights = transcript.challenge_exts("claim weights", len(groups))
    rows = sum(matrix.rows for matrix in matrices)
    proximity = transcript.challenge_exts("proximity", rows + 3 * len(groups))
    combination_bytes = reader.take(21 * sizes.dimension * (len(groups) + 1))
    flat = decode(combination_bytes)
    sent = [flat[i : i + sizes.dimension] for i in range(0, len(flat), sizes.dimension)]
    transcript.absorb("combinations", combination_bytes)
    _check_work(transcript, reader, "query grinding", sizes.query_grinding)
    drawn = sorted(set(transcript.challenge_indices("queries", sizes.length, sizes.queries)))

    columns: list[list[int]] = [[] for _ in drawn]
    for matrix in matrices:
        size = SALT_BYTES + 7 * (matrix.rows + 3 * matrix.masks)
        leaves = read_leaves(reader, matrix.root, sizes.log_length, drawn, size)
        for column, leaf in zip(columns, leaves, strict=True):
            column += decode_base(leaf[SALT_BYTES:])
    reader.finish()

    masks = 3 * len(groups)
    coefficients = [proximity[:rows] + UNITS + proximity[rows:]]
    for g, (group, weight) in enumerate(zip(groups, weights, strict=True)):
        data = [ext_mul(weight, q) for q in group.rows]
        padding = [ZERO] * (3 * (g + 1))
        coefficients.append(data + padding + UNITS + [ZERO] * (masks - len(padding)))
    generator = root_of_unity(sizes.length)
    for combination, row in zip(sent, coefficients, strict=True):
        for j, column in zip(drawn, columns, strict=True):
            expected = sum_scaled(row, column)
            if evaluate(combination, pow(generator, j, P)) != expected:
                raise InvalidProofError("a combination is not that of the columns")

    for group, weight, mask_value, combination in zip(groups, weights, mask_values, sent[1:], strict=True):
        value = mle(combination[: sizes.columns], group.column_point)
        residual = ext_sub(ext_sub(value, mask_value), ext_mul(weight, group.value.constant))
        (mask,) = channel.reserve(1)
        hidden = combine((weight, Form(ZERO, group.value.cells)), (ONE, mask))
        channel.require_zero(combine((ONE, hidden), (MINUS, Form(residual))))


def _absorb(transcript: Transcript, sizes: Sizes, matrices: Sequence[Root], groups: Sequence[Group]) -> None:
    work = (sizes.queries, sizes.query_grinding, sizes.weight_grinding)
    numbers = (sizes.log_columns, sizes.blinding, sizes.log_length, *work, len(matrices), len(groups))
    transcript.absorb("opening", _u64(*numbers))
    for matrix in matrices:
        transcript.absorb("commitment", matrix.root + _u64(matrix.rows, matrix.masks))
    for group in groups:
        transcript.absorb("group", _u64(1))
        transcript.absorb_ext("column point", group.column_point)
        transcript.absorb_ext("row vector", group.rows)
        transcript.absorb_ext("value", [group.value.constant])


def _u64(*numbers: int) -> bytes:
    return b"".join(n.to_bytes(8, "little") for n in numbers)


def _check_work(transcript: Transcript, reader: Reader, label: str, bits: int) -> None:
    transcript.check_grind(label, bits, int.from_bytes(reader.take(NONCE_BYTES), "little"))


def read_leaves(reader: Reader, root: bytes, depth: int, drawn: Sequence[int], size: int) -> list[bytes]:
    """The leaves at sorted, distinct indices, checked against the root of their tree.

    Raises:
        InvalidProofError: they do not lead to the root.
    """
    leaves = [reader.take(size) for _ in drawn]
    level = {i: blake3(leaf, key=LEAF_KEY).digest() for i, leaf in zip(drawn, leaves, strict=True)}
    for _ in range(depth):
        for i in sorted(level):
            if i ^ 1 not in level:
                level[i ^ 1] = reader.take(DIGEST_BYTES)
        level = {i // 2: blake3(level[i] + level[i + 1], key=NODE_KEY).digest() for i in level if i % 2 == 0}
    if level != {0: root}:
        raise InvalidProofError("the opened columns are not those that were committed")
    return leaves


def evaluate(coefficients: Sequence[Ext], x: int) -> Ext:
    """A polynomial over K, lowest coefficient first, at an element of F."""
    a = b = c = 0
    for p, q, r in reversed(coefficients):
        a, b, c = (a * x + p) % P, (b * x + q) % P, (c * x + r) % P
    return (a, b, c)


def sum_scaled(weights: Sequence[Ext], values: Sequence[int]) -> Ext:
    """The sum of weight * value, values in F."""
    result = ZERO
    for (a, b, c), value in zip(weights, values, strict=True):
        result = ext_add(result, (a * value % P, b * value % P, c * value % P))
    return result
