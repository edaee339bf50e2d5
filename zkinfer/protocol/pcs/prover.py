"""The prover: commit to matrices, open claims about them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from zkinfer.errors import InvalidInputError, ProvingError
from zkinfer.protocol.field import kernels, modular
from zkinfer.protocol.field.encoding import BASE_BYTES, encode_array, encode_ext
from zkinfer.protocol.field.params import DEGREE, P
from zkinfer.protocol.field.scalar import ZERO, Ext, ext_sub
from zkinfer.protocol.merkle.tree import build_tree, prove_leaves
from zkinfer.protocol.pcs.claims import ClaimGroup, Residual, absorb_statement, check_statement, residual, split_weights
from zkinfer.protocol.pcs.combinations import combination_coefficients
from zkinfer.protocol.pcs.params import SALT_BYTES, Code, MatrixCommitment, OpeningParameters, symbols_of
from zkinfer.protocol.randomness import Randomness
from zkinfer.protocol.transcript import NONCE_BYTES, Transcript
from zkinfer.typing import Array, ByteArray, Floats, IntArray

DataArray: TypeAlias = npt.NDArray[np.int8] | npt.NDArray[np.int16] | Floats
"""What the kernels combine rows of: small integers, or balanced field elements as `field.arrays` describes them."""

_BLOCK_SYMBOLS = 1 << 22
"""Symbols encoded at a time: bounds the memory beside the leaves at about 40 MiB."""


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
    def blinding(self) -> Floats:
        """The random symbols that follow the data of each row, shape (rows, blinding)."""

    @property
    def masks(self) -> Floats:
        """Mask rows, whole messages, shape (3 masks, dimension)."""

    @property
    def leaves(self) -> ByteArray:
        """Salted columns of the codeword, shape (length, bytes of a leaf)."""

    @property
    def nodes(self) -> ByteArray:
        """The Merkle tree, shape (2 length, 32)."""

    def spend(self, queries: int) -> None:
        """Account for one opening of that many columns, before it exists.

        Raises:
            ProvingError: one more would reveal data.
        """


@dataclass(eq=False)
class CommittedMatrix:
    """A matrix that is committed for one proof, and opened once."""

    code: Code
    commitment: MatrixCommitment
    data: DataArray
    blinding: Floats
    masks: Floats
    leaves: ByteArray
    nodes: ByteArray
    _opened: bool = field(default=False, init=False)

    def spend(self, queries: int) -> None:
        """Raises ProvingError the second time: the masks hide one opening only."""
        if self._opened:
            raise ProvingError("this matrix was opened before: commit again for another proof")
        self._opened = True


def commit(code: Code, data: Array, masks: int, randomness: Randomness | None = None) -> CommittedMatrix:
    """Commit to a matrix for one proof.

    Args:
        code: of the rows.
        data: signed integers of any type, taken modulo P, or balanced float64, shape (rows, code.columns). Small
            integers and floats are kept as they are, not copied. Openings hide the data but not the claimed values:
            let cells be random where a value must not tell of the others.
        masks: 1 + the number of groups that the opening will have; or 0 if another matrix brings them.
        randomness: the prover's; by default fresh.

    Raises:
        InvalidInputError: the data are not such an array.
    """
    randomness = randomness or Randomness()
    data = prepared(code, data)
    blinding = kernels.from_ints(randomness.elements(len(data), code.blinding))
    mask_rows = kernels.from_ints(randomness.elements(DEGREE * masks, code.dimension))
    leaves = np.empty((code.length, SALT_BYTES + BASE_BYTES * symbols_of(len(data), masks)), dtype=np.uint8)
    fill_leaves(code, leaves, data, blinding, mask_rows, randomness)
    nodes = build_tree(leaves)
    commitment = MatrixCommitment(nodes[1].tobytes(), len(data), masks)
    return CommittedMatrix(code, commitment, data, blinding, mask_rows, leaves, nodes)


def fill_leaves(
    code: Code, leaves: ByteArray, data: DataArray, blinding: Floats, masks: Floats, randomness: Randomness
) -> None:
    """Write salts and the columns of the codeword, block of rows by block of rows."""
    leaves[:, :SALT_BYTES] = randomness.octets(SALT_BYTES * code.length).reshape(code.length, SALT_BYTES)
    block = max(1, _BLOCK_SYMBOLS // code.length)
    messages = np.empty((min(block, max(len(data), len(masks))), code.dimension))
    codewords = np.empty((len(messages), code.length))
    for start in range(0, len(data), block):
        count = min(block, len(data) - start)
        messages[:count, : code.columns] = data[start : start + count]
        messages[:count, code.columns :] = blinding[start : start + count]
        _write_columns(messages[:count], codewords[:count], leaves, start)
    for start in range(0, len(masks), block):
        part = masks[start : start + block]
        _write_columns(part, codewords[: len(part)], leaves, len(data) + start)


def _write_columns(messages: Floats, codewords: Floats, leaves: ByteArray, first: int) -> None:
    """Encode messages, into `codewords`, and write the columns from symbol `first` of the leaves on."""
    kernels.rs_encode(messages, codewords.shape[1], out=codewords)
    kernels.write_columns(codewords, leaves, SALT_BYTES + BASE_BYTES * first)


def open_claims(
    parameters: OpeningParameters,
    matrices: Sequence[OpenableMatrix],
    groups: Sequence[ClaimGroup],
    transcript: Transcript,
) -> bytes:
    """Show claims, with plain values, about committed matrices that share one code.

    Args:
        parameters: the verifier's.
        matrices: the last one brings a mask for each group and one more; the others have none.
        groups: with values as the verifier is to see them.
        transcript: in the state in which the verifier's will be.

    Raises:
        InvalidInputError: the statement is not well formed, or a matrix has another code; nothing is spent.
        ProvingError: a matrix has no opening left, or a claim is false.
    """
    opening, residuals = open_padded_claims(parameters, matrices, groups, transcript, [ZERO] * len(groups))
    if any(residual.value != ZERO for residual in residuals):
        raise ProvingError("a claim about the committed data is false")
    return opening


def open_padded_claims(
    parameters: OpeningParameters,
    matrices: Sequence[OpenableMatrix],
    groups: Sequence[ClaimGroup],
    transcript: Transcript,
    mask_pads: Sequence[Ext],
) -> tuple[bytes, list[Residual]]:
    """Show claims whose values are sent less a pad; arguments and errors as in `open_claims`.

    Args:
        mask_pads: the pads of the mask values, one for each group.

    Returns:
        The opening, and what the verifier is left with: relations between pads, which another protocol must show.
    """
    commitments = [matrix.commitment for matrix in matrices]
    check_statement(parameters, commitments, groups)
    if any(matrix.code != parameters.code for matrix in matrices):
        raise InvalidInputError("a matrix was committed with another code than the opening's")
    if len(mask_pads) != len(groups):
        raise InvalidInputError(f"{len(groups)} groups need as many pads, not {len(mask_pads)}")
    for matrix in matrices:
        matrix.spend(parameters.queries)
    absorb_statement(transcript, parameters, commitments, groups)

    tables = [modular.eq_table(group.column_point) for group in groups]
    masks = kernels.to_ints(matrices[-1].masks).reshape(len(groups) + 1, DEGREE, parameters.code.dimension)
    columns = parameters.code.columns
    mask_values = [modular.ext_dot(mask[:, :columns], table) for mask, table in zip(masks[1:], tables, strict=True)]
    sent_values = [ext_sub(value, pad) for value, pad in zip(mask_values, mask_pads, strict=True)]
    sent = encode_ext(sent_values)
    transcript.absorb("mask values", sent)
    weight_nonce = transcript.grind("weight grinding", parameters.weight_grinding)
    weights = list(
        split_weights(groups, transcript.challenge_exts("claim weights", sum(len(g.claims) for g in groups)))
    )
    rows = sum(c.rows for c in commitments)
    proximity = transcript.challenge_exts("proximity", rows + DEGREE * len(groups))

    coefficients = combination_coefficients(groups, weights, proximity, rows)
    combinations = _combine(matrices, coefficients)
    residuals = [
        residual(group, group_weights, value, modular.ext_dot(combination[:, :columns], table))
        for group, group_weights, value, table, combination in zip(
            groups, weights, sent_values, tables, combinations[1:], strict=True
        )
    ]
    message = encode_array(np.ascontiguousarray(combinations.transpose(0, 2, 1))).tobytes()
    transcript.absorb("combinations", message)

    query_nonce = transcript.grind("query grinding", parameters.query_grinding)
    indices = sorted(set(transcript.challenge_indices("queries", parameters.code.length, parameters.queries)))
    opened = [
        piece
        for matrix in matrices
        for piece in (matrix.leaves[indices].tobytes(), prove_leaves(matrix.nodes, indices))
    ]
    return b"".join([sent, _nonce(weight_nonce), message, _nonce(query_nonce), *opened]), residuals


def _combine(matrices: Sequence[OpenableMatrix], coefficients: IntArray) -> IntArray:
    """The messages of the combinations, shape (combinations, 3, dimension), canonical."""
    code = matrices[0].code
    result = np.zeros((len(coefficients), DEGREE, code.dimension), dtype=np.int64)
    for message, row_coefficients in zip(result, kernels.from_ints(coefficients), strict=True):
        start = 0
        for matrix in matrices:
            part = row_coefficients[:, start : start + len(matrix.data)]
            start += len(matrix.data)
            message[:, : code.columns] += kernels.to_ints(kernels.row_combination(matrix.data, part))
            message[:, code.columns :] += kernels.to_ints(kernels.row_combination(matrix.blinding, part))
        message += kernels.to_ints(kernels.row_combination(matrices[-1].masks, row_coefficients[:, start:]))
    return result % P


def _nonce(value: int) -> bytes:
    return value.to_bytes(NONCE_BYTES, "little")


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
