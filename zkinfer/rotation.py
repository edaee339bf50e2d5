"""The rotation file: a new commitment to the weights of an old one, and the proof that both are to the same.

A commitment hides its weights for a limited number of proofs. A rotation hands the model on to a fresh one: the same
program, the same parameters, another root, and proofs to make again. Whoever trusts the old commitment need not trust
anyone for the new one; docs/protocol/transcript-and-commitment.md, section 6, says why.
"""

import os

import msgspec

from zkinfer.artifact import HEADER_BYTES, one_line, read_bounded, unwrap, wrap, write_atomically
from zkinfer.commitment import Commitment
from zkinfer.errors import ArtifactError, CommitmentMismatchError, MalformedProofError
from zkinfer.pcs.params import DIGEST_BYTES

ROTATION_KIND = "rota"
ROTATION_VERSION = 1
MAX_ROTATION_BYTES = 256 << 20

ROTATION_FILE = "rotation.zkr"
"""Where a folder of keys that came from others holds the step that led to its commitment."""


class _Payload(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    old: bytes
    root: bytes
    proof: bytes


_decoder = msgspec.msgpack.Decoder(_Payload)


class Rotation:
    """A step from one commitment of the native backend to the next.

    Attributes:
        old_digest: digest of the commitment that it starts from, 32 bytes.
        root: of the new commitment's matrix, 32 bytes; all else is as in the old one.
        data: the proof that both matrices hold equal data.
    """

    def __init__(self, old_digest: bytes, root: bytes, data: bytes) -> None:
        self.old_digest = old_digest
        self.root = root
        self.data = data

    def apply(self, old: Commitment) -> Commitment:
        """The commitment that the step leads to; says nothing about whether the proof is valid.

        Raises:
            CommitmentMismatchError: the step starts from another commitment.
        """
        if self.old_digest != old.digest or old.backend != "sumcheck":
            raise CommitmentMismatchError(
                f"it starts from another commitment than {old.fingerprint}; rotations go from the published commitment "
                "to that of the proof, in order"
            )
        return renewed(old, self.root)

    def to_bytes(self) -> bytes:
        """The `.zkr` file's content, canonical."""
        payload = _Payload(self.old_digest, self.root, self.data)
        return wrap(ROTATION_KIND, ROTATION_VERSION, msgspec.msgpack.encode(payload))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Rotation":
        """A rotation from a `.zkr` file's content; says nothing about whether it is valid.

        Raises:
            MalformedProofError: truncated, extended, edited, another version or not a rotation.
        """
        try:
            payload = _decoder.decode(unwrap(data, ROTATION_KIND, ROTATION_VERSION, max_bytes=MAX_ROTATION_BYTES))
        except ArtifactError as error:
            raise MalformedProofError(f"rotation: {one_line(error)}") from None
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise MalformedProofError(
                f"rotation: its content does not have the form of a rotation: {one_line(error)}"
            ) from None
        if len(payload.old) != DIGEST_BYTES or len(payload.root) != DIGEST_BYTES:
            raise MalformedProofError(f"rotation: the digest of a commitment and a root have {DIGEST_BYTES} bytes each")
        rotation = cls(payload.old, payload.root, payload.proof)
        if rotation.to_bytes() != data:
            raise MalformedProofError("rotation: not in canonical form")
        return rotation

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the `.zkr` file, atomically. It is public.

        Raises:
            ResourceError: the file cannot be written.
        """
        write_atomically(path, self.to_bytes())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Rotation":
        """Read a `.zkr` file.

        Raises:
            MalformedProofError: see `from_bytes`; also when there is no such file.
        """
        try:
            return cls.from_bytes(read_bounded(path, max_bytes=MAX_ROTATION_BYTES + HEADER_BYTES))
        except ArtifactError as error:
            raise MalformedProofError(one_line(error)) from None

    def __repr__(self) -> str:
        return f"Rotation(from {self.old_digest.hex()[:16]}, {len(self.data)} bytes)"


def renewed(old: Commitment, root: bytes) -> Commitment:
    """A commitment of the native backend with another matrix of the same sizes.

    Raises:
        WrongKeyError: it is of another backend.
    """
    return Commitment(old.program, msgspec.structs.replace(old.sumcheck, root=root))


def rotation_context(old: Commitment, new: Commitment) -> bytes:
    """What the proof of a rotation is bound to: both commitments whole, 64 bytes."""
    return old.digest + new.digest
