"""The commitment: the one small file that a model's owner publishes, and all that a verifier trusts.

It names a model by its program (public) and by a commitment to its weights, and carries what checking a proof of
its backend needs. A short fingerprint stands for the whole of it.
"""

import os
from typing import Literal

import msgspec
from blake3 import blake3

from zkinfer.artifact import HEADER_BYTES, one_line, read_bounded, unwrap, wrap, write_atomically
from zkinfer.circuit.encoding import decode_program, encode_program, program_digest
from zkinfer.circuit.program import Program
from zkinfer.errors import ArtifactError, InvalidInputError, MalformedCommitmentError, WrongKeyError
from zkinfer.pcs import params as pcs
from zkinfer.reduction.layout import weight_rows

COMMITMENT_KIND = "comm"
COMMITMENT_VERSION = 1
MAX_COMMITMENT_BYTES = 64 << 20
MAX_LOGROWS = 28
POINT_BYTES = 64
DIGEST_BYTES = 32
FINGERPRINT_CONTEXT = "zkinfer 2026 commitment fingerprint v1"

Backend = Literal["sumcheck", "ezkl"]


class Srs(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Which structured reference string the keys were made with.

    Attributes:
        logrows: it serves circuits of up to 2**logrows rows.
        digest: BLAKE3 of the file that the keys were made from, 32 bytes.
        test_only: it was generated locally, so whoever generated it can forge proofs.
    """

    logrows: int
    digest: bytes
    test_only: bool


class EzklKey(msgspec.Struct, frozen=True, array_like=True, tag="ezkl", forbid_unknown_fields=True):
    """What verifying an ezkl proof needs.

    Attributes:
        ezkl_version: the version that made the keys; proofs of another are refused.
        settings: ezkl's settings file, JSON.
        verifying_key: ezkl's verifying key.
        artifact: the verifier that ezkl writes for this key (Solidity source), which holds the constraint
            system; interpreted, never executed.
        srs: the structured reference string.
        weight_points: affine BN254 points, 64 bytes each (x then y, big-endian), one a committed column.
        salt_count: random field elements in each committed column of weights. Each proof opens every column at one
            more point, so they hide the weights for `salt_count - 1` proofs.
    """

    ezkl_version: str
    settings: bytes
    verifying_key: bytes
    artifact: bytes
    srs: Srs
    weight_points: tuple[bytes, ...]
    salt_count: int


class SumcheckKey(msgspec.Struct, frozen=True, array_like=True, tag="sumcheck", forbid_unknown_fields=True):
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
    def opening(self) -> pcs.OpeningParameters:
        """How the matrix is opened.

        Raises:
            InvalidInputError: the sizes are none of a code, or out of range.
        """
        code = pcs.Code(self.log_columns, self.blinding, self.log_length)
        return pcs.OpeningParameters(code, self.queries, self.query_grinding, self.weight_grinding)

    @property
    def weights(self) -> pcs.Commitment:
        """The commitment to the matrix. It brings no masks: every proof has a matrix of its own that does.

        Raises:
            InvalidInputError: the root or the number of rows is none of a matrix.
        """
        return pcs.Commitment(self.root, self.rows, masks=0)


Key = EzklKey | SumcheckKey


class _Payload(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    program: bytes
    key: Key


_decoder = msgspec.msgpack.Decoder(_Payload)


def _check_ezkl(key: EzklKey) -> None:
    if not 1 <= key.srs.logrows <= MAX_LOGROWS or len(key.srs.digest) != DIGEST_BYTES:
        raise ArtifactError("what it says of its structured reference string cannot be true")
    if any(len(point) != POINT_BYTES for point in key.weight_points):
        raise ArtifactError(f"a weight commitment is not a point of {POINT_BYTES} bytes")
    if not 0 <= key.salt_count <= 1 << MAX_LOGROWS:
        raise ArtifactError(f"{key.salt_count} salt elements do not fit any circuit")


def _check_sumcheck(key: SumcheckKey, program: Program) -> None:
    """The sizes are those of a code and of a matrix, and the matrix is that of the program's weights."""
    opening, weights = key.opening, key.weights
    if key.proofs < 1 or opening.queries * key.proofs > opening.code.blinding:
        raise ArtifactError(
            f"{opening.code.blinding} random symbols a row do not hide the weights for {key.proofs} proofs of "
            f"{opening.queries} columns"
        )
    needed = weight_rows(program, key.log_columns)
    if weights.rows != needed:
        raise ArtifactError(f"a matrix of {weights.rows} rows, where the program's weights fill {needed}")


def _check_key(key: Key, program: Program) -> None:
    match key:
        case EzklKey():
            _check_ezkl(key)
        case SumcheckKey():
            _check_sumcheck(key, program)


class Commitment:
    """A published model: program, verification key and weight commitment.

    Attributes:
        program: the integer program, without weights.
        key: the backend's part.
    """

    def __init__(self, program: Program, key: Key) -> None:
        self.program = program
        self.key = key
        self._payload = msgspec.msgpack.encode(_Payload(encode_program(program), key))

    @property
    def backend(self) -> Backend:
        """Which prover's proofs this commitment checks."""
        return "ezkl" if isinstance(self.key, EzklKey) else "sumcheck"

    @property
    def ezkl(self) -> EzklKey:
        """The key of an ezkl commitment.

        Raises:
            WrongKeyError: it is of another backend.
        """
        if not isinstance(self.key, EzklKey):
            raise WrongKeyError(f"the commitment is for backend {self.backend!r}; one for 'ezkl' is needed")
        return self.key

    @property
    def sumcheck(self) -> SumcheckKey:
        """The key of a commitment of the native backend.

        Raises:
            WrongKeyError: it is of another backend.
        """
        if not isinstance(self.key, SumcheckKey):
            raise WrongKeyError(f"the commitment is for backend {self.backend!r}; one for 'sumcheck' is needed")
        return self.key

    @property
    def digest(self) -> bytes:
        """32 bytes that name this commitment, all of it."""
        digest: bytes = blake3(self._payload, derive_key_context=FINGERPRINT_CONTEXT).digest()
        return digest

    @property
    def fingerprint(self) -> str:
        """The digest's first 160 bits for people, in groups of four: compare it over another channel."""
        text = self.digest.hex()[:40]
        return " ".join(text[i : i + 4] for i in range(0, len(text), 4))

    @property
    def program_digest(self) -> bytes:
        """32 bytes that name the program alone: equal for two sets of weights in one architecture."""
        return program_digest(self.program)

    def check(self) -> None:
        """Check that the key is possible and made for this program. A commitment that was read from a file is.

        Raises:
            MalformedCommitmentError: it is not.
        """
        try:
            _check_key(self.key, self.program)
        except InvalidInputError as error:
            raise MalformedCommitmentError(f"commitment: {one_line(error)}") from None

    def to_bytes(self) -> bytes:
        """The `.zkc` file's content."""
        return wrap(COMMITMENT_KIND, COMMITMENT_VERSION, self._payload)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Commitment":
        """A commitment from a `.zkc` file's content.

        Raises:
            MalformedCommitmentError: truncated, edited, another version or not a commitment.
        """
        try:
            payload = unwrap(data, COMMITMENT_KIND, COMMITMENT_VERSION, max_bytes=MAX_COMMITMENT_BYTES)
            decoded = _decoder.decode(payload)
            commitment = cls(decode_program(decoded.program), decoded.key)
        except ArtifactError as error:
            raise MalformedCommitmentError(f"commitment: {one_line(error)}") from None
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise MalformedCommitmentError(
                f"commitment: its content does not have the form of a commitment: {one_line(error)}"
            ) from None
        commitment.check()
        if commitment._payload != payload:
            raise MalformedCommitmentError("commitment: not in canonical form")
        return commitment

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the `.zkc` file, atomically.

        Raises:
            ResourceError: the file cannot be written.
        """
        write_atomically(path, self.to_bytes())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Commitment":
        """Read a `.zkc` file.

        Raises:
            MalformedCommitmentError: see `from_bytes`; also when there is no such file.
        """
        try:
            data = read_bounded(path, max_bytes=MAX_COMMITMENT_BYTES + HEADER_BYTES)
        except ArtifactError as error:
            raise MalformedCommitmentError(one_line(error)) from None
        return cls.from_bytes(data)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Commitment) and self._payload == other._payload

    def __hash__(self) -> int:
        return hash(self._payload)

    def __repr__(self) -> str:
        return f"Commitment({self.fingerprint}, backend={self.backend!r})"
