"""Checking a rotation of the native backend: one step from a commitment to the next."""

from zkinfer.errors import InvalidProofError
from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.rotation import Rotation, rotation_context
from zkinfer.protocol.pcs.rotation import verify_rotation
from zkinfer.protocol.pcs.soundness import rotation as rotation_terms
from zkinfer.protocol.security import combine


def rotation_bits(commitment: Commitment) -> float:
    """The security of one rotation of this commitment, and of every chain of them, in bits."""
    return combine(rotation_terms(commitment.key_as(NativeVerifyingKey).opening)).bits


def check_rotation(old: Commitment, rotation: Rotation) -> Commitment:
    """The commitment that a rotation leads to.

    Raises:
        CommitmentMismatchError: the rotation starts from another commitment.
        InvalidProofError: its proof of equality is refused; the cause is the check of the protocol that fails.
    """
    new = rotation.apply(old)
    key = old.key_as(NativeVerifyingKey)
    weights = new.key_as(NativeVerifyingKey).weights
    try:
        verify_rotation(key.opening, key.weights, weights, rotation.data, rotation_context(old, new))
    except InvalidProofError as error:
        raise InvalidProofError(
            "it does not show that both commitments are to the same weights: it was altered, or is of other commitments"
        ) from error
    return new
