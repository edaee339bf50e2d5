"""What an opening shows of matrices in files, compared by its prover before it is sent. Needs numba.

A file can change after it was committed to, and an opening that reads it then convinces nobody. The checks are those of
the verifier: every column is under its root, and the combinations of rows, encoded, are those of the columns.
"""

from collections.abc import Sequence

import numpy as np

from zkinfer.errors import ProvingError, VerificationError
from zkinfer.protocol.field import kernels
from zkinfer.protocol.field.encoding import decode_array
from zkinfer.protocol.field.params import DEGREE
from zkinfer.protocol.merkle.paths import SALT_BYTES, check_leaves
from zkinfer.protocol.pcs.params import Code, MatrixCommitment
from zkinfer.typing import ByteArray, Floats, IntArray


class DamagedMatrixError(ProvingError):
    """A matrix is not the one that was committed: nothing of its opening may be sent."""


class OpeningCheck:
    """The checks of one opening; its messages come in the order in which they are made.

    Args:
        code: of the matrices.
        commitments: that the opening is about, in order.
    """

    def __init__(self, code: Code, commitments: Sequence[MatrixCommitment]) -> None:
        self._code = code
        self._commitments = commitments
        self._coefficients: Floats = np.zeros((0, DEGREE, 0))
        self._combinations: Floats = np.zeros((0, code.dimension))
        self._columns: list[Floats] = []

    def combined(self, coefficients: IntArray, combinations: IntArray) -> None:
        """The combinations of rows.

        Args:
            coefficients: canonical, shape (combinations, 3, rows).
            combinations: canonical, shape (combinations, dimension, 3).
        """
        self._coefficients = kernels.from_ints(coefficients)
        lines = np.ascontiguousarray(combinations.transpose(0, 2, 1)).reshape(-1, self._code.dimension)
        self._combinations = kernels.from_ints(lines)

    def opened(self, indices: Sequence[int], leaves: ByteArray, paths: bytes) -> None:
        """The opened columns of the next matrix.

        Args:
            indices: sorted and distinct.
            leaves: shape (indices, bytes of a leaf).
            paths: the siblings of them all.

        Raises:
            DamagedMatrixError: they are not the columns that were committed; or, of the last matrix, the combinations
                are of other rows.
        """
        number = len(self._columns)
        commitment = self._commitments[number]
        try:
            check_leaves(commitment.root, self._code.log_length, indices, [leaf.data for leaf in leaves], paths)
            symbols = np.ascontiguousarray(leaves[:, SALT_BYTES:]).tobytes()
            columns = decode_array(symbols, (len(indices), commitment.symbols))
        except VerificationError as error:
            raise DamagedMatrixError(f"columns of matrix {number}: {error}") from None
        self._columns.append(kernels.from_ints(np.ascontiguousarray(columns.T)))
        if number + 1 == len(self._commitments):
            self._compare(indices)

    def _compare(self, indices: Sequence[int]) -> None:
        rows = np.concatenate(self._columns)
        encoded = kernels.rs_encode(self._combinations, self._code.length)[:, indices]
        expected = [kernels.row_combination(rows, each) for each in self._coefficients]
        if not np.array_equal(kernels.to_ints(encoded), kernels.to_ints(np.concatenate(expected))):
            raise DamagedMatrixError("the combinations of rows do not agree with the committed columns")
