"""Checking a rotation of the native backend: one step from a commitment to the next."""

from zkinfer.errors import InvalidProofError
from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.rotation import Rotation, rotation_context
from zkinfer.protocol.pcs.rotation import verify_rotation
from zkinfer.protocol.pcs.soundness import rotation as rotation_terms
from zkinfer.protocol.security import combine
from zkinfer.verifier.native_proof import MIN_BITS


def rotation_bits(commitment: Commitment) -> float:
    """The security of one rotation of this commitment, and of every chain of them, in bits."""
    return combine(rotation_terms(commitment.key_as(NativeVerifyingKey).opening)).bits


def check_rotation(old: Commitment, rotation: Rotation) -> Commitment:
    """The commitment that a rotation leads to.

    Raises:
        CommitmentMismatchError: the rotation starts from another commitment.
        InvalidProofError: its proof of equality is refused, or the parameters make it worth too little.
    """
    new = rotation.apply(old)
    key = old.key_as(NativeVerifyingKey)
    bits = rotation_bits(old)
    if bits < MIN_BITS:
        raise InvalidProofError(
            f"the commitment's parameters make forging it a work of 2**{bits:.0f}, which is too little"
        )
    weights = new.key_as(NativeVerifyingKey).weights
    verify_rotation(key.opening, key.weights, weights, rotation.data, rotation_context(old, new))
    return new
