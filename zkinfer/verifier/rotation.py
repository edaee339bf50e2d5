"""Checking a rotation of the native backend: one step from a commitment to the next."""

from zkinfer.counts import counted
from zkinfer.errors import InvalidProofError, MalformedProofError
from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.rotation import Rotation, rotation_context
from zkinfer.protocol.pcs.copies import link_term
from zkinfer.protocol.pcs.rotation import verify_rotation
from zkinfer.protocol.pcs.soundness import rotation as rotation_terms
from zkinfer.protocol.security import combine


def rotation_bits(commitment: Commitment) -> float:
    """The security of one rotation of this commitment, and of every chain of them, in bits."""
    key = commitment.key_as(NativeVerifyingKey)
    links = [link_term(key.log_copies, key.log_columns)] * 2 if key.log_copies else []
    return combine(rotation_terms(key.opening, 1 + len(links)), *links).bits


def check_rotation(old: Commitment, rotation: Rotation) -> Commitment:
    """The commitment that a rotation leads to.

    Raises:
        CommitmentMismatchError: the rotation starts from another commitment.
        MalformedCommitmentError: the new commitment contradicts itself.
        MalformedProofError: its proof of equality is none of these sizes.
        InvalidProofError: its proof of equality is refused; the cause is the check of the protocol that fails.
    """
    new = rotation.apply(old)
    new.check()
    old_key, new_key = (commitment.key_as(NativeVerifyingKey) for commitment in (old, new))
    if len(rotation.data) < old_key.rows:  # before anything is drawn, which takes memory in proportion to the rows
        raise MalformedProofError(
            f"an opening shows columns of {counted(old_key.rows, 'element')}, and has fewer bytes"
        )
    context = rotation_context(old, new, rotation.places)
    try:
        keys_and_places = zip((old_key, new_key), rotation.places, strict=True)
        old_copy, new_copy = (key.copies.matrix(place).without_masks for key, place in keys_and_places)
        old_link, new_link = old_key.copies.link(), new_key.copies.link()
        links = None if old_link is None or new_link is None else (old_link, new_link)
        verify_rotation(old_key.opening, old_copy, new_copy, rotation.data, context, links)
    except InvalidProofError as error:
        raise InvalidProofError(
            "it does not show that both commitments are to the same weights: it was altered, or is of other commitments"
        ) from error
    return new
