"""The native backend's part of a commitment: a commitment to the matrix of weights, and the sizes of its opening."""

from zkinfer.circuit.program import Program
from zkinfer.counts import counted
from zkinfer.errors import ArtifactError, MalformedProofError, ProvingError
from zkinfer.files.commitment import VerifyingKey
from zkinfer.protocol.field.encoding import EXT_BYTES, decode_ext
from zkinfer.protocol.field.scalar import ZERO
from zkinfer.protocol.pcs import params as pcs
from zkinfer.protocol.pcs.copies import COPY_MASKS, MAX_LOG_COPIES, MIN_LOG_COLUMNS, VEIL_ROWS, CopiesCommitment
from zkinfer.protocol.reduction.layout import weight_rows
from zkinfer.protocol.reduction.plan import check_program

DEFAULT_PROOFS = 2000
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
        log_copies: there are 2**log_copies copies of the matrix, each with random symbols of its own; `root` is the
            root over theirs. Of several copies, one row of each is the veil.
        link, link_nonce: of several copies, the value that every one has at a point drawn for them, and the work before
            it was drawn: see `pcs.copies`.
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
    log_copies: int = 0
    link: bytes = b""
    link_nonce: int = 0

    @property
    def openings_a_copy(self) -> int:
        """How often the random symbols of one copy hide the weights."""
        return self.blinding // self.queries

    @property
    def masks(self) -> int:
        """Of each copy: one that is opened once brings the masks of that opening."""
        return COPY_MASKS if self.log_copies and self.openings_a_copy == 1 else 0

    @property
    def openings(self) -> int:
        """How often all of them do: for `proofs` proofs, and for one about the weights' ranges."""
        return self.openings_a_copy << self.log_copies

    def check_range_proof(self) -> None:
        """Check that the random symbols hide the weights for one proof more, which shows as many columns.

        Raises:
            InvalidInputError: they do not.
        """
        if self.openings <= self.proofs:
            raise ArtifactError(
                f"{self.blinding:,} random symbols a row in each copy hide the weights for "
                f"{counted(self.openings, 'proof')}, but not for one about the weights as well"
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
    def copies(self) -> CopiesCommitment:
        """The commitment to the matrix. If it brings no masks, every proof has a matrix of its own that does.

        Raises:
            InvalidInputError: the sizes are none of a code; or the link is not an element.
        """
        code = pcs.Code(self.log_columns, self.blinding, self.log_length)
        try:
            (value,) = decode_ext(self.link, 1) if self.link else [ZERO]
        except (MalformedProofError, ValueError):
            raise ArtifactError("the link of the copies is not one element of the field") from None
        return CopiesCommitment(code, self.rows, self.masks, self.log_copies, self.root, value, self.link_nonce)

    def check(self, program: Program) -> None:
        """Check that the sizes are those of a code and a matrix, and the matrix that of the program's weights.

        Also checked is that the program computes in integers, for all weights within their bounds: that no value can
        reach half of the field's order.

        Raises:
            InvalidInputError: they are not.
        """
        opening = self.opening
        self._check_copies()
        weights = pcs.MatrixCommitment(self.root, self.rows, self.masks)
        if self.proofs < 1 or self.proofs > self.openings:
            raise ArtifactError(
                f"{opening.code.blinding:,} random symbols a row do not hide the weights for "
                f"{counted(self.proofs, 'proof')} of {counted(opening.queries, 'column')}"
            )
        try:
            check_program(program)
        except ProvingError as error:
            raise ArtifactError(str(error)) from None
        needed = weight_rows(program, self.log_columns) + self.veil_rows
        if weights.rows != needed:
            raise ArtifactError(
                f"a matrix of {counted(weights.rows, 'row')}, where the program's weights fill {needed:,}"
            )

    @property
    def veil_rows(self) -> int:
        """Rows of the matrix that hold no weights."""
        return VEIL_ROWS if self.log_copies else 0

    def _check_copies(self) -> None:
        if not 0 <= self.log_copies <= MAX_LOG_COPIES or self.link_nonce < 0:
            raise ArtifactError(f"a matrix is committed in 1 to {counted(1 << MAX_LOG_COPIES, 'copy', 'copies')}")
        if len(self.link) != (EXT_BYTES if self.log_copies else 0) or (self.link_nonce and not self.log_copies):
            raise ArtifactError("several copies have a link, and one copy has none")
        if self.log_copies and self.log_columns < MIN_LOG_COLUMNS:
            raise ArtifactError(f"the rows of copies have {1 << MIN_LOG_COLUMNS} columns at least")
        _ = self.copies
