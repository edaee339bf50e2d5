"""The sizes of the levels in which combinations of rows are opened: they follow from what is opened, for both sides.

The vector of a level has 2^variables elements of K. It is committed as a matrix, whose rows are the parts that agree
in the first `folds` bits of an element's number, in a Reed-Solomon code without random symbols. A sumcheck over these
bits folds the rows into one, which is the next level's vector. The last level's fold is sent.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

from zkinfer.errors import InvalidInputError
from zkinfer.protocol.field.encoding import EXT_BYTES
from zkinfer.protocol.merkle.paths import DIGEST_BYTES
from zkinfer.protocol.pcs.params import MAX_LOG_LENGTH
from zkinfer.protocol.transcript import NONCE_BYTES

MAX_SENT = 3072
"""Elements of a vector that is sent rather than committed to: committing to fewer would take more bytes."""

QUERY_GRINDING = 16

QUERIES = {2: 176, 3: 144}
"""By -log2 of the rate: the least number t with ((1 + rate) / 2)^t 2^-QUERY_GRINDING <= 2^-135."""

SHORT = 15
"""Variables up to which the rate is 1/8; above, where encoding takes longer than columns are worth, it is 1/4."""

UNGROUND_LENGTH = 10
"""log2 of the codewords that need no work before a fold: n / |K| doubles with each bit, and is held by one of work."""


@dataclass(frozen=True, slots=True)
class Level:
    """One level.

    Args:
        variables: of its vector.
        folds: variables that are folded; the matrix has up to 2^folds rows.
        log_length: a row of 2^(variables - folds) elements is encoded as 2^log_length.
        queries: columns drawn, with repetition.
        query_grinding: bits of work before they are drawn.
        fold_grinding: bits of work before each fold.
        blocks: the rows come in 2^a >= blocks blocks of as many rows each, of which the first `blocks` hold something.
        filled: rows that hold something in each of these blocks, the first ones. All others are zero, and left out.
    """

    variables: int
    folds: int
    log_length: int
    queries: int
    query_grinding: int
    fold_grinding: int
    blocks: int
    filled: int

    @property
    def columns(self) -> int:
        """Elements of a row."""
        return 1 << (self.variables - self.folds)

    @property
    def length(self) -> int:
        """Symbols of a codeword."""
        return 1 << self.log_length

    @property
    def rows(self) -> tuple[int, ...]:
        """The numbers of the rows that are committed to."""
        high = self.folds - (self.blocks - 1).bit_length()
        return tuple((block << high) + row for block in range(self.blocks) for row in range(self.filled))

    @property
    def leaf_bytes(self) -> int:
        """Bytes of a column. It has no salt: nothing in it has to be hidden."""
        return EXT_BYTES * self.blocks * self.filled

    @property
    def sizes(self) -> tuple[int, ...]:
        """What a transcript binds."""
        code = (self.variables, self.folds, self.log_length, self.queries)
        return (*code, self.query_grinding, self.fold_grinding, self.blocks, self.filled)


@lru_cache(maxsize=1 << 12)
def choose_levels(vectors: int, dimension: int) -> tuple[Level, ...]:
    """The levels that open so many vectors of so many elements of K; none if the vectors are sent.

    Raises:
        InvalidInputError: a codeword would be longer than 2^MAX_LOG_LENGTH symbols.
    """
    if vectors * dimension <= MAX_SENT:
        return ()
    outer, inner = (vectors - 1).bit_length(), (dimension - 1).bit_length()
    levels = [_level(outer + inner, outer, vectors, dimension)]
    while levels[-1].columns > MAX_SENT:
        variables = levels[-1].variables - levels[-1].folds
        levels.append(_level(variables, 0, 1, 1 << variables))
    return tuple(levels)


def _level(variables: int, outer: int, blocks: int, elements: int) -> Level:
    """A level whose vector is in blocks of so many elements, 2^outer blocks with the empty ones."""
    inverse_rate = 3 if variables <= SHORT else 2
    folds = max(outer, 3 if variables <= 13 else 4)
    log_length = variables - folds + inverse_rate
    if log_length > MAX_LOG_LENGTH:
        raise InvalidInputError(f"combinations of {elements:,} symbols are too long to be opened")
    filled = -(-elements // (1 << (variables - folds)))
    fold_grinding = max(0, log_length - UNGROUND_LENGTH)
    return Level(variables, folds, log_length, QUERIES[inverse_rate], QUERY_GRINDING, fold_grinding, blocks, filled)


def max_level_bytes(levels: tuple[Level, ...]) -> int:
    """Bytes of the levels at most: all drawn columns distinct, no paths shared."""
    return sum(
        DIGEST_BYTES
        + level.folds * (2 * EXT_BYTES + NONCE_BYTES)
        + NONCE_BYTES
        + min(level.queries, level.length) * (level.leaf_bytes + DIGEST_BYTES * level.log_length)
        for level in levels
    ) + (EXT_BYTES * levels[-1].columns if levels else 0)


def expected_level_bytes(levels: tuple[Level, ...]) -> int:
    """Bytes of the levels, nearly: as if drawn columns shared the upper log2(queries) levels of their paths."""
    saved = 0
    for level in levels:
        drawn = min(level.queries, level.length)
        saved += DIGEST_BYTES * drawn * max(math.ceil(math.log2(drawn)) - 1, 0)
    return max_level_bytes(levels) - saved
