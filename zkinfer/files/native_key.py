"""The native backend's part of a commitment: a commitment to the matrix of weights, and the sizes of its opening."""

from zkinfer.circuit.program import Program
from zkinfer.errors import ArtifactError, ProvingError
from zkinfer.files.commitment import VerifyingKey
from zkinfer.protocol.pcs import params as pcs
from zkinfer.protocol.reduction.layout import weight_rows
from zkinfer.protocol.reduction.plan import check_program

DEFAULT_PROOFS = 100
"""How many proofs keys are made for where the caller does not say."""


class NativeVerifyingKey(VerifyingKey, frozen=True, array_like=True, tag="sumcheck", forbid_unknown_fields=True):
    """What verifying a proof of the native backend needs: the commitment to the matrix of weights, and its sizes.

    Attributes:
        root: Merkle root over the columns of the encoded matrix, 32 bytes.
        rows: of the matrix.
        log_columns: the matrix has 2**log_columns columns.
        blinding: random symbols behind each row.
        log_length: a row is encoded as 2**log_length symbols.
        queries: columns that each proof shows.
        query_grinding, weight_grinding: bits of work before the columns, and before the coefficients, are drawn.
        proofs: how many proofs the random symbols hide the weights for, `queries` of them in each.
    """

    root: bytes
    rows: int
    log_columns: int
    blinding: int
    log_length: int
    queries: int
    query_grinding: int
    weight_grinding: int
    proofs: int

    @property
    def openings(self) -> int:
        """How often the random symbols hide the weights: for `proofs` proofs, and for one about the weights' ranges."""
        return self.blinding // self.queries

    def check_range_proof(self) -> None:
        """Check that the random symbols hide the weights for one proof more, which shows as many columns.

        Raises:
            InvalidInputError: they do not.
        """
        if self.openings <= self.proofs:
            raise ArtifactError(
                f"{self.blinding} random symbols a row hide the weights for {self.openings} openings: for "
                f"{self.proofs} proofs, but not for one about the weights as well"
            )

    @property
    def opening(self) -> pcs.OpeningParameters:
        """How the matrix is opened.

        Raises:
            InvalidInputError: the sizes are none of a code, or out of range.
        """
        code = pcs.Code(self.log_columns, self.blinding, self.log_length)
        return pcs.OpeningParameters(code, self.queries, self.query_grinding, self.weight_grinding)

    @property
    def weights(self) -> pcs.MatrixCommitment:
        """The commitment to the matrix. It brings no masks: every proof has a matrix of its own that does.

        Raises:
            InvalidInputError: the root or the number of rows is none of a matrix.
        """
        return pcs.MatrixCommitment(self.root, self.rows, masks=0)

    def check(self, program: Program) -> None:
        """Check that the sizes are those of a code and a matrix, and the matrix that of the program's weights.

        Also checked is that the program computes in integers, for all weights within their bounds: that no value can
        reach half of the field's order.

        Raises:
            InvalidInputError: they are not.
        """
        opening, weights = self.opening, self.weights
        if self.proofs < 1 or opening.queries * self.proofs > opening.code.blinding:
            raise ArtifactError(
                f"{opening.code.blinding} random symbols a row do not hide the weights for {self.proofs} proofs of "
                f"{opening.queries} columns"
            )
        try:
            check_program(program)
        except ProvingError as error:
            raise ArtifactError(str(error)) from None
        needed = weight_rows(program, self.log_columns)
        if weights.rows != needed:
            raise ArtifactError(f"a matrix of {weights.rows} rows, where the program's weights fill {needed}")
