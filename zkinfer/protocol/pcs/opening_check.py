"""What an opening shows of matrices in files, compared by its prover before it is sent. Needs numba.

A file can change after it was committed to, and an opening that reads it then convinces nobody. The checks are those of
the verifier: every column is under its root, and the combinations of rows, encoded, are those of the columns. Nobody
who knows the prover's own random factors chooses the damage, so that one sum of all combinations is compared, which
misses a difference in a column with probability 2^-50.
"""

from collections.abc import Sequence

import numpy as np

from zkinfer.errors import MalformedProofError, ProvingError
from zkinfer.protocol.field import kernels, modular
from zkinfer.protocol.field.encoding import decode_array
from zkinfer.protocol.field.params import DEGREE
from zkinfer.protocol.merkle.paths import SALT_BYTES
from zkinfer.protocol.merkle.tree import agrees
from zkinfer.protocol.pcs.params import Code, MatrixCommitment
from zkinfer.protocol.randomness import Randomness
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
        self._coefficients: IntArray = np.zeros((1, 0), dtype=np.int64)
        self._combination: Floats = np.zeros(code.dimension)
        self._columns: list[IntArray] = []

    def combined(self, coefficients: IntArray, combinations: Floats) -> None:
        """The combinations of rows.

        Args:
            coefficients: canonical, shape (combinations, 3, rows).
            combinations: balanced, shape (combinations, 3, dimension).

        Raises:
            DamagedMatrixError: they are not, as a file holds numbers that are no field elements.
        """
        if not kernels.is_balanced(combinations):
            raise DamagedMatrixError("the rows hold numbers that are no field elements")
        lines = combinations.reshape(-1, self._code.dimension)
        factors = np.zeros((DEGREE, len(lines)), dtype=np.int64)
        factors[:1] = Randomness().elements(1, len(lines))
        self._coefficients = modular.matmul(factors[:1], coefficients.reshape(len(lines), -1))
        self._combination = kernels.row_combination(lines, kernels.from_ints(factors))[0]

    def opened(self, indices: Sequence[int], leaves: ByteArray, nodes: ByteArray | None) -> None:
        """The opened columns of the next matrix.

        Args:
            indices: sorted and distinct.
            leaves: shape (indices, bytes of a leaf).
            nodes: of the tree that proves them, if it is in a file.

        Raises:
            DamagedMatrixError: they are not the columns that were committed; or, of the last matrix, the combinations
                are of other rows.
        """
        commitment = self._commitments[len(self._columns)]
        if nodes is not None and not agrees(nodes, commitment.root, indices, leaves):
            raise DamagedMatrixError("the tree does not lead from the opened columns to the root")
        try:
            symbols = leaves[:, SALT_BYTES:].tobytes()
            self._columns.append(decode_array(symbols, (len(indices), commitment.symbols)))
        except MalformedProofError as error:
            raise DamagedMatrixError(f"an opened column holds no field elements: {error}") from None
        if len(self._columns) == len(self._commitments):
            self._compare(indices)

    def _compare(self, indices: Sequence[int]) -> None:
        encoded = kernels.rs_encode(self._combination, self._code.length)[indices]
        expected = modular.matmul(self._coefficients, np.concatenate(self._columns, axis=1).T)
        if not np.array_equal(kernels.to_ints(encoded), expected[0]):
            raise DamagedMatrixError("the combinations of rows do not agree with the opened columns")
