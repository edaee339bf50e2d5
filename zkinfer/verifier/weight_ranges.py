"""Checking, once in a process, that a commitment's weights lie within the bounds that its program says."""

from collections import OrderedDict
from collections.abc import Callable

from blake3 import blake3

from zkinfer.errors import MalformedCommitmentError, VerificationError
from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.protocol.reduction.layout import weight_layout

RangeCheck = Callable[[Commitment], float]
"""Verifies a commitment's proof about its weights; the bits that it is worth, or a VerificationError."""

REMEMBERED = 1024
"""Accepted proofs that are not checked again, each by some 100 bytes."""

_accepted: OrderedDict[tuple[RangeCheck, bytes, bytes], float] = OrderedDict()


def weight_range_bits(commitment: Commitment, check: RangeCheck) -> float | None:
    """What the commitment's proof about its weights is worth.

    An accepted proof is remembered by the digests of the commitment and of its own bytes, which determine the verdict.

    Args:
        commitment: of the native backend, checked.
        check: `native.check_ranges`, or that of a second verifier.

    Returns:
        Bits of security; None if the commitment carries no such proof, and can do without.

    Raises:
        MalformedCommitmentError: it carries one that is refused; its cause is the check of the protocol that fails. Or
            it carries none, and proofs rely on the zeros behind weights that only this proof shows, or on the first of
            several copies, which no other proof has to open.
    """
    if not commitment.range_proof:
        copies = commitment.key_as(NativeVerifyingKey).log_copies
        if copies or any(part.lengthened for part in weight_layout(commitment.program).cuts):
            raise MalformedCommitmentError(
                "commitment: it does not carry the proof about its weights, without which proofs for this model show "
                "nothing: ask the model's owner for the commitment as setup or rotate made it"
            )
        return None
    key = check, commitment.digest, blake3(commitment.range_proof).digest()
    bits = _accepted.get(key)
    if bits is None:
        try:
            bits = check(commitment)
        except VerificationError as error:
            raise MalformedCommitmentError(
                "commitment: its proof that all weights lie within their bounds is refused: it was altered, or is of "
                "another commitment"
            ) from error
        _accepted[key] = bits
        if len(_accepted) > REMEMBERED:
            _accepted.popitem(last=False)
    return bits
