"""Combinations that are opened and not sent: docs/protocol/transcript-and-commitment.md, end of section 2."""

from collections.abc import Sequence
from dataclasses import dataclass

from zkinfer.errors import InvalidProofError, MalformedProofError
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import (
    ONE,
    ZERO,
    Ext,
    eq_table,
    ext_add,
    ext_dot,
    ext_mul,
    ext_pow,
    ext_sub,
    root_of_unity,
)
from zkinfer.protocol.transcript import Transcript
from zkinfer.verifier.reference.elements import (
    ELEMENT_BYTES,
    FIELD_SIZE,
    ByteReader,
    Point,
    decode_elements,
    evaluate,
    total,
)
from zkinfer.verifier.reference.merkle import DIGEST_BYTES, read_leaves

MAX_SENT = 3072
MAX_LOG_LENGTH = 24
GRINDING = 16
UNGROUND_LENGTH = 10
NONCE_BYTES = 8


@dataclass(frozen=True)
class LevelSizes:
    """One level: a vector of 2^variables elements, in blocks of which some are filled."""

    variables: int
    folds: int
    log_length: int
    queries: int
    fold_grinding: int
    blocks: int
    filled: int

    @property
    def columns(self) -> int:
        """Elements of a row of its matrix."""
        return 1 << (self.variables - self.folds)

    @property
    def rows(self) -> list[int]:
        """The numbers of the rows that are committed to."""
        blocks = 1
        while blocks < self.blocks:
            blocks *= 2
        return [(1 << self.folds) // blocks * block + row for block in range(self.blocks) for row in range(self.filled)]

    def errors(self) -> list[float]:
        """Its terms: queries, folds, batch (section 3)."""
        n = 1 << self.log_length
        e = (n - self.columns) // 2
        return [
            ((n - e - 1) / n) ** self.queries / 2**GRINDING,
            self.folds * n / FIELD_SIZE / 2**self.fold_grinding,
            self.queries / FIELD_SIZE,
        ]


def level_sizes(vectors: int, elements: int) -> list[LevelSizes]:
    """The levels for so many combinations of so many elements; none if they are sent.

    Raises:
        MalformedProofError: no code is long enough.
    """
    if vectors * elements <= MAX_SENT:
        return []
    outer, inner = log2_of_power_above(vectors), log2_of_power_above(elements)
    variables, found = outer + inner, list[LevelSizes]()
    while not found or 1 << variables > MAX_SENT:
        rate, queries = (3, 144) if variables <= 15 else (2, 176)
        folds = max(3 if variables <= 13 else 4, 0 if found else outer)
        length = variables - folds + rate
        if length > MAX_LOG_LENGTH:
            raise MalformedProofError("combinations are too long to be opened")
        blocks, size = (1, 1 << variables) if found else (vectors, elements)
        columns = 1 << (variables - folds)
        filled = (size + columns - 1) // columns
        found.append(LevelSizes(variables, folds, length, queries, max(0, length - UNGROUND_LENGTH), blocks, filled))
        variables -= folds
    return found


def log2_of_power_above(count: int) -> int:
    """The least l with 2^l >= count."""
    power = 0
    while 1 << power < count:
        power += 1
    return power


@dataclass
class Term:
    """coefficient * sum over i of V(i) * the product of factors[k][bit k of i].

    Where x is given, what is left once numbers of vectors are folded is the polynomial V at x.
    """

    coefficient: Ext
    factors: list[tuple[Ext, Ext]]
    x: int | None = None

    def fold(self, r: Ext) -> None:
        """Sets the first variable."""
        zero, one = self.factors.pop(0)
        self.coefficient = ext_mul(self.coefficient, between(zero, one, r))

    def of(self, vector: Sequence[Ext]) -> Ext:
        """The term of a vector that all variables number."""
        if self.x is not None:
            return ext_mul(self.coefficient, evaluate(vector, self.x))
        values = list(vector)
        for zero, one in self.factors:
            half = len(values) // 2
            values = [
                ext_add(ext_mul(zero, a), ext_mul(one, b)) for a, b in zip(values[:half], values[half:], strict=True)
            ]
        return ext_mul(self.coefficient, values[0])


def between(zero: Ext, one: Ext, r: Ext) -> Ext:
    """The line with these values at 0 and 1, at r."""
    return ext_add(zero, ext_mul(r, ext_sub(one, zero)))


def value_term(coefficient: Ext, x: int, inner: int, outer: int = 0, batch: Ext = ONE) -> Term:
    """coefficient * the sum over vectors e of batch^e * (vector e as a polynomial, at x)."""
    of_vectors = [(ONE, ext_pow(batch, 1 << bit)) for bit in reversed(range(outer))]
    of_elements: list[tuple[Ext, Ext]] = [(ONE, (pow(x, 1 << bit, P), 0, 0)) for bit in reversed(range(inner))]
    return Term(coefficient, of_vectors + of_elements, x)


def extension_term(coefficient: Ext, vector: int, point: Point, inner: int, outer: int) -> Term:
    """coefficient * the extension of the first 2^len(point) elements of a vector, at the point."""
    number = [vector >> bit & 1 for bit in reversed(range(outer))] + [0] * (inner - len(point))
    fixed: list[tuple[Ext, Ext]] = [(ZERO, ONE) if bit else (ONE, ZERO) for bit in number]
    return Term(coefficient, fixed + [(ext_sub(ONE, z), z) for z in point])


def spare_terms(coefficient: Ext, elements: int, point: Point, outer: int, batch: Ext) -> list[Term]:
    """coefficient * the sum over vectors e of batch^e * (the extension of what lies behind its elements, at the point).

    These places are cut into aligned powers of two, from the first one on.
    """
    of_vectors = [(ONE, ext_pow(batch, 1 << bit)) for bit in reversed(range(outer))]
    terms, start = list[Term](), elements
    while start < 1 << len(point):
        free = 0
        while start >> free & 1 == 0:
            free += 1
        of_elements: list[tuple[Ext, Ext]] = []
        for bit, z in zip(reversed(range(len(point))), point, strict=True):
            zero, one = (bit < free or not start >> bit & 1), (bit < free or start >> bit & 1)
            of_elements.append((ext_sub(ONE, z) if zero else ZERO, z if one else ZERO))
        terms.append(Term(coefficient, of_vectors + of_elements))
        start += 1 << free
    return terms


def read_root(transcript: Transcript, reader: ByteReader, level: LevelSizes) -> bytes:
    """The root of a level's matrix."""
    sizes = (level.variables, level.folds, level.log_length, level.queries, GRINDING, level.fold_grinding)
    numbers = (*sizes, level.blocks, level.filled)
    transcript.absorb("level", b"".join(n.to_bytes(8, "little") for n in numbers))
    root = reader.take(DIGEST_BYTES)
    transcript.absorb("level root", root)
    return root


def verify_levels(
    transcript: Transcript,
    reader: ByteReader,
    levels: Sequence[LevelSizes],
    root: bytes,
    terms: list[Term],
    target: Ext,
) -> None:
    """Check that terms of the vector under a root add up to the target.

    Raises:
        VerificationError: they do not, or the messages are malformed.
    """
    for number, level in enumerate(levels):
        point: list[Ext] = []
        for _ in range(level.folds):
            at0, square = reader.elements(2)
            transcript.absorb_ext("fold round", [at0, square])
            _check_work(transcript, reader, "fold grinding", level.fold_grinding)
            r = transcript.challenge_ext("fold point")
            at1 = ext_sub(target, at0)
            # The polynomial with these values at 0 and 1 and this leading coefficient: the line, and r (r - 1) of it.
            bend = ext_mul(square, ext_mul(r, ext_sub(r, ONE)))
            target = ext_add(between(at0, at1, r), bend)
            for term in terms:
                term.fold(r)
            point.append(r)
        vector: list[Ext] = []
        last = number == len(levels) - 1
        opened_root = root
        if last:
            vector = reader.elements(level.columns)
            transcript.absorb_ext("last fold", vector)
        else:
            root = read_root(transcript, reader, levels[number + 1])
        _check_work(transcript, reader, "level grinding", GRINDING)
        drawn = sorted(set(transcript.challenge_indices("level queries", 1 << level.log_length, level.queries)))
        weights = [eq_table(point)[row] for row in level.rows]
        columns = read_leaves(reader, opened_root, level.log_length, drawn, ELEMENT_BYTES * len(weights))
        values = [ext_dot(weights, decode_elements(column)) for column in columns]
        generator = root_of_unity(1 << level.log_length)
        if last:
            for j, value in zip(drawn, values, strict=True):
                if evaluate(vector, pow(generator, j, P)) != value:
                    raise InvalidProofError("the last fold is not that of the columns")
            if total(term.of(vector) for term in terms) != target:
                raise InvalidProofError("the last fold has other values than were claimed")
        else:
            batch = power = transcript.challenge_ext("level batch")
            for j, value in zip(drawn, values, strict=True):
                terms.append(value_term(power, pow(generator, j, P), level.variables - level.folds))
                target = ext_add(target, ext_mul(power, value))
                power = ext_mul(power, batch)


def _check_work(transcript: Transcript, reader: ByteReader, label: str, bits: int) -> None:
    transcript.check_grind(label, bits, int.from_bytes(reader.take(NONCE_BYTES), "little"))
