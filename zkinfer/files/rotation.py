"""The rotation file: a new commitment to the weights of an old one, and the proof that both are to the same.

A commitment hides its weights for a limited number of proofs. A rotation hands the model on to a fresh one: the same
program, the same parameters, another root, and proofs to make again. Whoever trusts the old commitment need not trust
anyone for the new one; docs/protocol/transcript-and-commitment.md, section 7, says why.
"""

import msgspec

from zkinfer.counts import counted
from zkinfer.errors import CommitmentMismatchError, MalformedProofError
from zkinfer.files.commitment import Commitment
from zkinfer.files.file import File
from zkinfer.files.kinds import ROTATION
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.protocol.merkle.paths import DIGEST_BYTES
from zkinfer.protocol.pcs.copies import MAX_LOG_COPIES, Place

ROTATION_FILE = "rotation.zkr"
"""Where a folder of keys that came from others holds the step that led to its commitment."""


class Rotation(File, msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A step from one commitment of the native backend to the next; a `.zkr` file, which is public.

    Attributes:
        old_digest: digest of the commitment that it starts from, 32 bytes.
        root: of the new commitment's matrix, 32 bytes.
        link, link_nonce: of its copies; all else is as in the old one.
        old_copy, old_branch, new_copy, new_branch: the places of the copies that the proof opens.
        data: the proof that both matrices hold equal data.
    """

    KIND = ROTATION

    old_digest: bytes
    root: bytes
    link: bytes
    link_nonce: int
    old_copy: int
    old_branch: bytes
    new_copy: int
    new_branch: bytes
    data: bytes

    @property
    def places(self) -> tuple[Place, Place]:
        """Of the old copy and of the new one."""
        return Place(self.old_copy, self.old_branch), Place(self.new_copy, self.new_branch)

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
        return renewed(old, self.root, self.link, self.link_nonce)

    def _validate(self) -> None:
        if len(self.old_digest) != DIGEST_BYTES or len(self.root) != DIGEST_BYTES:
            raise MalformedProofError(f"rotation: the digest of a commitment and a root have {DIGEST_BYTES} bytes each")
        if any(not 0 <= place.number < 1 << MAX_LOG_COPIES for place in self.places):
            raise MalformedProofError("rotation: it opens a copy that no commitment has")

    def __repr__(self) -> str:
        return f"Rotation(from {self.old_digest.hex()[:16]}, {counted(len(self.data), 'byte')})"


def renewed(old: Commitment, root: bytes, link: bytes = b"", link_nonce: int = 0) -> Commitment:
    """A commitment of the native backend with another matrix of the same sizes.

    Raises:
        WrongKeyError: it is of another backend.
    """
    key = old.key_as(NativeVerifyingKey)
    return Commitment(old.program, msgspec.structs.replace(key, root=root, link=link, link_nonce=link_nonce))


def rotation_context(old: Commitment, new: Commitment, places: tuple[Place, Place]) -> bytes:
    """What the proof of a rotation is bound to: both commitments whole, and the copies that it opens."""
    return old.digest + new.digest + b"".join(place.to_bytes() for place in places)
