"""The sizes of a commitment and of its opening: fixed before the protocol, known to both sides."""

from dataclasses import dataclass

from zkinfer.counts import counted
from zkinfer.errors import InvalidInputError
from zkinfer.protocol.field.encoding import BASE_BYTES
from zkinfer.protocol.field.params import DEGREE
from zkinfer.protocol.merkle.paths import DIGEST_BYTES, SALT_BYTES
from zkinfer.protocol.transcript import MAX_GRINDING_BITS

MAX_LOG_LENGTH = 24
"""Codewords of at most 2^24 symbols: `modular.evaluate` relies on it, and the proximity term forbids more anyway."""

MAX_ROWS = 1 << 24


@dataclass(frozen=True, slots=True)
class Code:
    """The Reed-Solomon code of the rows.

    A message is 2^log_columns data symbols followed by `blinding` random ones: the coefficients of a polynomial, lowest
    first. Its codeword is the values of the polynomial at the 2^log_length-th roots of unity, in the order of `ntt`.

    Raises:
        InvalidInputError: the message does not fit, or the codeword is longer than 2^MAX_LOG_LENGTH symbols.
    """

    log_columns: int
    blinding: int
    log_length: int

    def __post_init__(self) -> None:
        if not 0 <= self.log_columns < self.log_length <= MAX_LOG_LENGTH or self.blinding < 0:
            raise InvalidInputError(
                f"{self} is not a code: sizes are out of range (at most 2^{MAX_LOG_LENGTH} symbols)"
            )
        if self.dimension >= self.length:
            raise InvalidInputError(
                f"{self} corrects nothing: {counted(self.dimension, 'symbol')} encoded as {self.length:,}"
            )

    @property
    def columns(self) -> int:
        """Data symbols a row."""
        return 1 << self.log_columns

    @property
    def dimension(self) -> int:
        """Symbols of a message: data and blinding."""
        return self.columns + self.blinding

    @property
    def length(self) -> int:
        """Symbols of a codeword."""
        return 1 << self.log_length

    @property
    def correctable(self) -> int:
        """Errors within the unique decoding radius: half the minimum distance, rounded down."""
        return (self.length - self.dimension) // 2


@dataclass(frozen=True, slots=True)
class OpeningParameters:
    """A code, and how hard its opening is checked.

    Args:
        code: of every matrix that is opened together.
        queries: columns drawn at random, with repetition.
        query_grinding: bits of work before they are drawn.
        weight_grinding: bits of work before the coefficients of the combinations are drawn.

    Raises:
        InvalidInputError: out of range.
    """

    code: Code
    queries: int
    query_grinding: int
    weight_grinding: int

    def __post_init__(self) -> None:
        work = (self.query_grinding, self.weight_grinding)
        if not 1 <= self.queries <= 1 << 16 or not 0 <= min(work) <= max(work) <= MAX_GRINDING_BITS:
            raise InvalidInputError(f"{self}: from 1 to 65536 queries, at most {MAX_GRINDING_BITS} bits of grinding")


@dataclass(frozen=True, slots=True)
class MatrixCommitment:
    """What the verifier holds of one matrix.

    Args:
        root: the Merkle root over the columns, DIGEST_BYTES bytes.
        rows: rows of data.
        masks: masks, each DEGREE rows of random symbols, below the data. A matrix that is opened once carries the masks
            of its opening; one that is opened again and again carries none, and another matrix brings them.

    Raises:
        InvalidInputError: the root has another length, or the matrix is empty or too large.
    """

    root: bytes
    rows: int
    masks: int

    def __post_init__(self) -> None:
        if len(self.root) != DIGEST_BYTES:
            raise InvalidInputError(f"a Merkle root has {DIGEST_BYTES} bytes, not {len(self.root)}")
        if self.rows < 0 or self.masks < 0 or not 1 <= self.symbols <= MAX_ROWS:
            raise InvalidInputError(
                f"a matrix of {counted(self.rows, 'row')} and {self.masks} masks is empty or too large"
            )

    @property
    def symbols(self) -> int:
        """Base field elements in a column."""
        return symbols_of(self.rows, self.masks)

    @property
    def leaf_bytes(self) -> int:
        """Bytes of a leaf: salt and column."""
        return SALT_BYTES + BASE_BYTES * self.symbols

    @property
    def without_masks(self) -> "MatrixCommitment":
        """The same matrix, its masks taken for rows of data."""
        return MatrixCommitment(self.root, self.symbols, masks=0)


def symbols_of(rows: int, masks: int) -> int:
    """Base field elements in a column of that many rows and masks."""
    return rows + DEGREE * masks
