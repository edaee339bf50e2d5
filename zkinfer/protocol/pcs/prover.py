"""The prover's side: committing to matrices, and the witness of their openings. Needs numba."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from zkinfer.counts import counted
from zkinfer.errors import InvalidInputError, ProvingError
from zkinfer.protocol.channel import ProverChannel, Writer
from zkinfer.protocol.field import kernels
from zkinfer.protocol.field.encoding import BASE_BYTES
from zkinfer.protocol.field.params import DEGREE
from zkinfer.protocol.field.scalar import Ext
from zkinfer.protocol.merkle.columns import GROUP, ColumnHasher, SaltedColumns
from zkinfer.protocol.merkle.paths import LEAF_KEY, SALT_BYTES
from zkinfer.protocol.merkle.tree import build_tree, prove_leaves, tree_over
from zkinfer.protocol.pcs.claims import ClaimGroup
from zkinfer.protocol.pcs.folding_prover import FoldedVectors
from zkinfer.protocol.pcs.opening_check import OpeningCheck
from zkinfer.protocol.pcs.params import Code, MatrixCommitment, OpeningParameters
from zkinfer.protocol.pcs.protocol import run_opening
from zkinfer.protocol.randomness import Randomness
from zkinfer.protocol.transcript import Transcript
from zkinfer.timings import phase
from zkinfer.typing import Array, ByteArray, Floats, IntArray

DataArray: TypeAlias = npt.NDArray[np.int8] | npt.NDArray[np.int16] | Floats
"""What the kernels combine rows of: small integers, or balanced field elements as `field.arrays` describes them."""

_BLOCK_SYMBOLS = 1 << 20
"""Symbols encoded at a time: their messages stay in the caches."""

_HASHED_BLOCK_SYMBOLS = 1 << 23
"""Symbols encoded and hashed at a time where a proof's codewords are not kept: 64 MiB, or `GROUP` rows if these are
more. Half as many took a quarter longer."""

_LARGE_BLOCK_SYMBOLS = 1 << 22
"""The same for matrices that are kept: bounds the memory at about 40 MiB."""

_FLOAT_BYTES = 8

KEPT_BYTES = 1 << 30
"""Codewords of more are never in memory at once: they are hashed block by block, and the symbols of columns that are
opened are computed again."""


class Leaves(Protocol):
    """All leaves of a matrix: as bytes, as codewords, or as what they are made of."""

    def __getitem__(self, indices: Sequence[int], /) -> ByteArray:
        """The bytes of some, shape (indices, bytes of a leaf)."""


class OpenableMatrix(Protocol):
    """A committed matrix as its openings see it."""

    @property
    def code(self) -> Code: ...

    @property
    def commitment(self) -> MatrixCommitment: ...

    @property
    def data(self) -> DataArray:
        """Data rows, shape (rows, columns)."""

    @property
    def veil(self) -> Floats:
        """Rows that follow the data, shape (rows, columns): see `copies`."""

    @property
    def blinding(self) -> Floats:
        """The random symbols that follow each of these rows, shape (rows, blinding)."""

    @property
    def masks(self) -> Floats:
        """Mask rows, whole messages, shape (3 masks, dimension)."""

    @property
    def leaves(self) -> Leaves:
        """Salted columns of the codewords."""

    @property
    def nodes(self) -> ByteArray:
        """The Merkle tree, shape (2 length, 32)."""

    @property
    def mapped(self) -> bool:
        """Whether parts of it are mapped files, which may change: what is opened is then checked before it is sent."""

    def spend(self, queries: int) -> None:
        """Account for one opening of that many columns, before it exists.

        Raises:
            ProvingError: one more would reveal data.
        """


@dataclass(eq=False)
class CommittedMatrix:
    """A matrix that is opened once: one that is committed for one proof, or a copy of one that is kept.

    Attributes:
        limit: how many columns the opening may show; None for any number.
        mapped: whether parts of it are mapped files.
    """

    code: Code
    commitment: MatrixCommitment
    data: DataArray
    blinding: Floats
    masks: Floats
    leaves: Leaves
    nodes: ByteArray
    veil: Floats = field(default_factory=lambda: np.zeros((0, 1)))
    limit: int | None = None
    mapped: bool = False
    _opened: bool = field(default=False, init=False)

    def spend(self, queries: int) -> None:
        """Account for the opening.

        Raises:
            ProvingError: it is the second one, which masks do not hide; or it shows more columns than it may.
        """
        if self.limit is not None and queries > self.limit:
            raise ProvingError(
                f"this commitment was made for {counted(self.limit, 'column')} an opening, not {queries:,}"
            )
        if self._opened:
            raise ProvingError("this matrix was opened before: commit again for another proof")
        self._opened = True

    def without_masks(self) -> "CommittedMatrix":
        """The same matrix, its masks taken for rows of data; of the two, one is to be opened."""
        columns = self.code.columns
        return replace(
            self,
            commitment=self.commitment.without_masks,
            veil=np.concatenate([self.veil, self.masks[:, :columns]]) if len(self.masks) else self.veil,
            blinding=np.concatenate([self.blinding, self.masks[:, columns:]]) if len(self.masks) else self.blinding,
            masks=self.masks[:0],
        )


def commit(
    code: Code,
    data: Array,
    masks: int,
    randomness: Randomness | None = None,
    veil: Floats | None = None,
    *,
    kept_bytes: int | None = None,
) -> CommittedMatrix:
    """Commit to a matrix for one proof.

    Args:
        code: of the rows.
        data: signed integers of any type, taken modulo P, or balanced float64, shape (rows, code.columns). Small
            integers and floats are kept as they are, not copied. Openings hide the data but not the claimed values:
            let cells be random where a value must not tell of the others.
        masks: 1 + the number of groups that the opening will have; or 0 if another matrix brings them.
        randomness: the prover's; by default fresh.
        veil: rows that follow the data, shape (0 or 1, columns); none by default.
        kept_bytes: codewords of more are encoded again where they are opened; `KEPT_BYTES` by default.

    Raises:
        InvalidInputError: the data are not such an array.
    """
    randomness = randomness or Randomness()
    data = prepared(code, data)
    veil = np.zeros((0, code.columns)) if veil is None else veil
    rows = len(data) + len(veil)
    blinding, mask_rows = np.empty((rows, code.blinding)), np.empty((DEGREE * masks, code.dimension))
    for drawn in (blinding, mask_rows):
        randomness.fill(drawn, kernels.from_ints)
    salts = randomness.octets(SALT_BYTES * code.length).reshape(code.length, SALT_BYTES)
    given = code, data, veil, blinding, mask_rows
    leaves: Leaves
    if _FLOAT_BYTES * (rows + len(mask_rows)) * code.length > (KEPT_BYTES if kept_bytes is None else kept_bytes):
        with phase("encoding and tree"):
            leaves, nodes = ColumnsAgain(*given, salts), _tree_by_blocks(*given, salts, _HASHED_BLOCK_SYMBOLS)
    else:
        with phase("encoding"):
            codewords = np.empty((rows + len(mask_rows), code.length))
            for start, messages in _messages(*given, _block(code)):
                kernels.rs_encode(messages, code.length, out=codewords[start : start + len(messages)])
        leaves = SaltedColumns(codewords, salts)
        with phase("tree"):
            nodes = build_tree(leaves)
    commitment = MatrixCommitment(nodes[1].tobytes(), rows, masks)
    return CommittedMatrix(code, commitment, data, blinding, mask_rows, leaves, nodes, veil)


@dataclass(frozen=True, eq=False)
class ColumnsAgain:
    """Salted columns of codewords that are not kept: computed again, a block of rows at a time, where some are opened.

    Attributes:
        code, data, veil, blinding, masks: as of `CommittedMatrix`.
        salts: shape (code.length, SALT_BYTES).
    """

    code: Code
    data: DataArray
    veil: Floats
    blinding: Floats
    masks: Floats
    salts: ByteArray

    def __getitem__(self, indices: Sequence[int]) -> ByteArray:
        """The bytes of some leaves, shape (indices, bytes of a leaf)."""
        columns = np.empty((len(self.blinding) + len(self.masks), len(indices)))
        given, places = (
            (self.code, self.data, self.veil, self.blinding, self.masks),
            np.asarray(indices, dtype=np.int64),
        )
        for start, messages in _messages(*given, _block(self.code)):
            columns[start : start + len(messages)] = kernels.rs_symbols(messages, self.code.length, places)
        return SaltedColumns(columns, self.salts[indices])[range(len(indices))]


def large_tree(
    code: Code, data: DataArray, veil: Floats, blinding: Floats, randomness: Randomness, leaves: ByteArray | None = None
) -> ByteArray:
    """The tree of a matrix without masks, whose codewords are hashed block of rows by block of rows, and not kept.

    Args:
        data, veil, blinding: as of `CommittedMatrix`; the blinding was drawn from the randomness.
        randomness: the salts come from here.
        leaves: shape (code.length, bytes of a leaf): written too, if given; may be a file that is larger than memory.

    Returns:
        The nodes, as `build_tree` gives them.
    """
    salts = randomness.octets(SALT_BYTES * code.length).reshape(code.length, SALT_BYTES)
    return _tree_by_blocks(
        code, data, veil, blinding, np.zeros((0, code.dimension)), salts, _LARGE_BLOCK_SYMBOLS, leaves
    )


def _tree_by_blocks(
    code: Code,
    data: DataArray,
    veil: Floats,
    blinding: Floats,
    masks: Floats,
    salts: ByteArray,
    symbols: int,
    leaves: ByteArray | None = None,
) -> ByteArray:
    """The tree of a matrix whose codewords are hashed block of rows by block of rows, about so many symbols at a time.

    Other arguments as above.
    """
    if leaves is not None:
        leaves[:, :SALT_BYTES] = salts
    rows = len(blinding) + len(masks)
    hasher = ColumnHasher(rows, salts, LEAF_KEY)
    block = max(1, symbols // (GROUP * code.length)) * GROUP
    codewords = np.empty((min(block, rows), code.length))
    for start, messages in _messages(code, data, veil, blinding, masks, block):
        encoded = kernels.rs_encode(messages, code.length, out=codewords[: len(messages)])
        hasher.absorb(encoded)
        if leaves is not None:
            kernels.write_columns(encoded, leaves, SALT_BYTES + BASE_BYTES * start)
    return tree_over(hasher.digests)


def _block(code: Code) -> int:
    return max(1, _BLOCK_SYMBOLS // code.length)


def _messages(
    code: Code, data: DataArray, veil: Floats, blinding: Floats, masks: Floats, block: int
) -> Iterator[tuple[int, Floats]]:
    """Rows with their random symbols, then the masks: so many at a time, and the first's number.

    A block is overwritten by the next.
    """
    rows = len(blinding) + len(masks)
    messages = np.empty((min(block, rows), code.dimension))
    for first in range(0, rows, block):
        part = messages[: rows - first]
        ends = [len(data), len(blinding), rows]
        of_data, of_rows, _ = (min(max(end - first, 0), len(part)) for end in ends)
        behind = first + of_data - len(data)
        part[:of_data, : code.columns] = data[first : first + of_data]
        if of_data < of_rows:
            part[of_data:of_rows, : code.columns] = veil[behind : behind + of_rows - of_data]
        part[:of_rows, code.columns :] = blinding[first : first + of_rows]
        if of_rows < len(part):
            behind = first + of_rows - len(blinding)
            part[of_rows:] = masks[behind : behind + len(part) - of_rows]
        yield first, part


def open_claims(
    parameters: OpeningParameters,
    matrices: Sequence[OpenableMatrix],
    groups: Sequence[ClaimGroup],
    transcript: Transcript,
) -> bytes:
    """Show claims, with public values, about committed matrices that share one code.

    Args:
        parameters: the verifier's.
        matrices: the last one brings a mask for each group and one more; the others have none.
        groups: the claims.
        transcript: in the state in which the verifier's will be.

    Raises:
        InvalidInputError: the statement is not well formed, or a matrix has another code; nothing is spent.
        ProvingError: a matrix has no opening left, or a claim is false; `DamagedMatrixError`, a file has changed.
    """
    wire = Writer()
    witness = MatrixWitness(parameters, matrices)
    run_opening(parameters, witness.commitments, groups, ProverChannel(transcript, wire), wire, witness)
    return wire.written


class MatrixWitness:
    """Committed matrices that are opened together; implements `protocol.OpeningWitness`.

    Raises:
        InvalidInputError: a matrix has another code than the opening.
    """

    def __init__(self, parameters: OpeningParameters, matrices: Sequence[OpenableMatrix]) -> None:
        if any(matrix.code != parameters.code for matrix in matrices):
            raise InvalidInputError("a matrix was committed with another code than the opening's")
        self._parameters = parameters
        self._matrices = matrices
        mapped = any(matrix.mapped for matrix in matrices)
        self._check = OpeningCheck(parameters.code, self.commitments) if mapped else None

    @property
    def commitments(self) -> list[MatrixCommitment]:
        """Of all matrices, in order."""
        return [matrix.commitment for matrix in self._matrices]

    def spend(self) -> None:
        """Account for this opening in every matrix.

        Raises:
            ProvingError: one of them has no opening left.
        """
        for matrix in self._matrices:
            matrix.spend(self._parameters.queries)

    def mask_values(self, points: Sequence[Sequence[Ext]]) -> list[Ext]:
        """The values of the groups' masks; the first mask is that of the proximity combination."""
        code = self._parameters.code
        masks = self._matrices[-1].masks.reshape(len(points) + 1, DEGREE, code.dimension)
        return [kernels.mle(mask[:, : code.columns], point) for mask, point in zip(masks[1:], points, strict=True)]

    def combinations(self, coefficients: IntArray) -> IntArray:
        """The combinations of rows, canonical, shape (combinations, dimension, 3)."""
        return np.ascontiguousarray(kernels.to_ints(self.combined(coefficients)).transpose(0, 2, 1))

    def combined(self, coefficients: IntArray) -> Floats:
        """The combinations of rows, balanced, shape (combinations, 3, dimension)."""
        with phase("combinations"):
            combinations = np.stack([self._combination(one) for one in kernels.from_ints(coefficients)])
            if self._check:
                self._check.combined(coefficients, combinations)
            return combinations

    def _combination(self, coefficients: Floats) -> Floats:
        """One of them, by coefficients of shape (3, symbols of a column)."""
        code, start = self._parameters.code, 0
        message = np.zeros((DEGREE, code.dimension))
        data, random = message[:, : code.columns], message[:, code.columns :]
        for matrix in self._matrices:
            middle, end = start + len(matrix.data), start + len(matrix.blinding)
            kernels.row_combination(matrix.data, coefficients[:, start:middle], data)
            if len(matrix.veil):
                kernels.row_combination(matrix.veil, coefficients[:, middle:end], data)
            kernels.row_combination(matrix.blinding, coefficients[:, start:end], random)
            start = end
        return kernels.row_combination(self._matrices[-1].masks, coefficients[:, start:], message)

    def fold(self, coefficients: IntArray) -> FoldedVectors:
        """What opens the combinations, which are not sent."""
        return FoldedVectors(self.combined(coefficients))

    def leaves(self, matrix: int, indices: Sequence[int]) -> bytes:
        """Salted columns of a matrix."""
        with phase("columns and paths"):
            leaves = self._matrices[matrix].leaves[indices]
            if self._check:
                mapped = self._matrices[matrix].mapped
                self._check.opened(indices, leaves, self._matrices[matrix].nodes if mapped else None)
            return leaves.tobytes()

    def paths(self, matrix: int, indices: Sequence[int]) -> bytes:
        """The Merkle paths of these columns."""
        with phase("columns and paths"):
            return prove_leaves(self._matrices[matrix].nodes, indices)


def prepared(code: Code, data: Array) -> DataArray:
    """The data as the kernels take them.

    Raises:
        InvalidInputError: not the rows of the code.
    """
    if data.ndim != 2 or data.shape[1] != code.columns:
        raise InvalidInputError(f"data must have the shape (rows, {code.columns}), not {data.shape}")
    if data.dtype in (np.int8, np.int16) or (data.dtype == np.float64 and kernels.is_balanced(data)):
        return np.ascontiguousarray(data)
    if data.dtype.kind != "i":
        raise InvalidInputError(f"data must be signed integers or balanced float64, not {data.dtype}")
    return kernels.from_ints(data)
