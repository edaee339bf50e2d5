"""The commitment: the one small file that a model's owner publishes, and all that a verifier trusts.

It names a model by its program (public) and by KZG points of its weights (which hide nothing by themselves but
bind the owner), and carries what checking a proof needs. A short fingerprint stands for the whole of it.
"""

import os
from typing import Literal

import msgspec
from blake3 import blake3

from zkinfer.artifact import HEADER_BYTES, one_line, read_bounded, unwrap, wrap, write_atomically
from zkinfer.circuit.encoding import decode_program, encode_program, program_digest
from zkinfer.circuit.program import Program
from zkinfer.errors import ArtifactError, MalformedCommitmentError

COMMITMENT_KIND = "comm"
COMMITMENT_VERSION = 1
MAX_COMMITMENT_BYTES = 64 << 20
MAX_LOGROWS = 28
POINT_BYTES = 64
DIGEST_BYTES = 32
FINGERPRINT_CONTEXT = "zkinfer 2026 commitment fingerprint v1"


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


class _Payload(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    program: bytes
    key: EzklKey


_decoder = msgspec.msgpack.Decoder(_Payload)


def _check_key(key: EzklKey) -> None:
    if not 1 <= key.srs.logrows <= MAX_LOGROWS or len(key.srs.digest) != DIGEST_BYTES:
        raise ArtifactError("what it says of its structured reference string cannot be true")
    if any(len(point) != POINT_BYTES for point in key.weight_points):
        raise ArtifactError(f"a weight commitment is not a point of {POINT_BYTES} bytes")
    if not 0 <= key.salt_count <= 1 << MAX_LOGROWS:
        raise ArtifactError(f"{key.salt_count} salt elements do not fit any circuit")


class Commitment:
    """A published model: program, verification key and weight commitment.

    Attributes:
        program: the integer program, without weights.
        key: the backend's part.
    """

    def __init__(self, program: Program, key: EzklKey) -> None:
        self.program = program
        self.key = key
        self._payload = msgspec.msgpack.encode(_Payload(encode_program(program), key))

    @property
    def backend(self) -> Literal["ezkl"]:
        """Which prover's proofs this commitment checks."""
        return "ezkl"

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
            _check_key(decoded.key)
            commitment = cls(decode_program(decoded.program), decoded.key)
        except (ArtifactError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise MalformedCommitmentError(f"commitment: {one_line(error)}") from None
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
