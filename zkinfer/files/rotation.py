"""The rotation file: a new commitment to the weights of an old one, and the proof that both are to the same.

A commitment hides its weights for a limited number of proofs. A rotation hands the model on to a fresh one: the same
program, the same parameters, another root, and proofs to make again. Whoever trusts the old commitment need not trust
anyone for the new one; docs/protocol/transcript-and-commitment.md, section 6, says why.
"""

import msgspec

from zkinfer.errors import CommitmentMismatchError, MalformedProofError
from zkinfer.files.commitment import Commitment
from zkinfer.files.file import File
from zkinfer.files.kinds import ROTATION
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.protocol.merkle.paths import DIGEST_BYTES

ROTATION_FILE = "rotation.zkr"
"""Where a folder of keys that came from others holds the step that led to its commitment."""


class Rotation(File, msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A step from one commitment of the native backend to the next; a `.zkr` file, which is public.

    Attributes:
        old_digest: digest of the commitment that it starts from, 32 bytes.
        root: of the new commitment's matrix, 32 bytes; all else is as in the old one.
        data: the proof that both matrices hold equal data.
    """

    KIND = ROTATION

    old_digest: bytes
    root: bytes
    data: bytes

    def apply(self, old: Commitment) -> Commitment:
        """The commitment that the step leads to; says nothing about whether the proof is valid.

        Raises:
            CommitmentMismatchError: the step starts from another commitment.
        """
        if self.old_digest != old.digest or not isinstance(old.key, NativeVerifyingKey):
            raise CommitmentMismatchError(
                f"it starts from another commitment than {old.fingerprint}; rotations go from the published commitment "
                "to that of the proof, in order"
            )
        return renewed(old, self.root)

    def _validate(self) -> None:
        if len(self.old_digest) != DIGEST_BYTES or len(self.root) != DIGEST_BYTES:
            raise MalformedProofError(f"rotation: the digest of a commitment and a root have {DIGEST_BYTES} bytes each")

    def __repr__(self) -> str:
        return f"Rotation(from {self.old_digest.hex()[:16]}, {len(self.data)} bytes)"


def renewed(old: Commitment, root: bytes) -> Commitment:
    """A commitment of the native backend with another matrix of the same sizes.

    Raises:
        WrongKeyError: it is of another backend.
    """
    return Commitment(old.program, msgspec.structs.replace(old.key_as(NativeVerifyingKey), root=root))


def rotation_context(old: Commitment, new: Commitment) -> bytes:
    """What the proof of a rotation is bound to: both commitments whole, 64 bytes."""
    return old.digest + new.digest
