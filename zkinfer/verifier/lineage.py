"""From the published commitment to the one that a proof was made for, through rotations that others hand in."""

import os
from collections.abc import Sequence

from zkinfer.backend import find_backend
from zkinfer.errors import InvalidProofError, UnusableStatementError, VerificationError
from zkinfer.files.commitment import Commitment
from zkinfer.files.file import Source
from zkinfer.files.rotation import Rotation

Lineage = Rotation | Source | Sequence[Rotation | Source]

_SOURCES = (bytes, bytearray, memoryview, str, os.PathLike)

MAX_ROTATIONS = 256
"""Each costs a verification. A commitment that serves rotations alone makes a tree of them, and chains short."""


def check_min_bits(min_bits: object) -> None:
    """Raises UnusableStatementError for what is not a number that security can be compared with, such as NaN."""
    try:
        usable = not isinstance(min_bits, (bool, str)) and float(min_bits) >= 0  # type: ignore[arg-type]
    except (TypeError, ValueError):
        usable = False
    if not usable:
        raise UnusableStatementError(f"min_bits (--min-bits) is a number of bits from 0 on, got {min_bits!r}")


def require_bits(bits: float, min_bits: float) -> None:
    """Raises InvalidProofError where the parameters in use are worth too little."""
    if bits < min_bits:
        raise InvalidProofError(
            f"the commitment's parameters make forging a proof a work of 2**{bits:.1f}, which is less than the "
            f"2**{min_bits:g} that are asked for: ask the model's owner for another commitment"
        )


def follow(
    published: Commitment, lineage: Lineage, wanted: bytes, *, max_bytes: int | None = None, min_bits: float = 0.0
) -> Commitment:
    """A commitment to the weights of the published one, at the end of verified rotations.

    Args:
        published: what the caller trusts.
        lineage: rotations, contents of rotation files or paths, in order, the first from `published`.
        wanted: digest of the commitment where to stop; rotations beyond it are not looked at.
        max_bytes: what the file of a rotation may have.
        min_bits: what a rotation has to be worth.

    Returns:
        The wanted commitment, or the last one where the lineage does not lead to it.

    Raises:
        UnusableStatementError: not a list of rotations, or more than `MAX_ROTATIONS`.
        MalformedCommitmentError: the published commitment contradicts itself.
        MalformedProofError: a rotation is not well formed.
        CommitmentMismatchError: a rotation does not start where the one before ends, or the backend has none.
        InvalidProofError: a proof of equality is refused, or the published parameters make it worth too little.
    """
    steps = [lineage] if isinstance(lineage, (Rotation, *_SOURCES)) else lineage
    if not isinstance(steps, (list, tuple)):
        raise UnusableStatementError(f"lineage: a list of rotations is needed, got {type(lineage).__name__}")
    if len(steps) > MAX_ROTATIONS:
        raise UnusableStatementError(
            f"lineage: {len(steps)} rotations are more than the {MAX_ROTATIONS} that are followed"
        )
    commitment = published
    for number, step in enumerate(steps, 1):
        if commitment.digest == wanted:
            break
        if number == 1:
            published.check()
            require_bits(find_backend(published.backend).rotation_bits(published), min_bits)
        try:
            rotation = Rotation.of(step, max_bytes=max_bytes)
            commitment = find_backend(commitment.backend).follow_rotation(commitment, rotation)
        except VerificationError as error:
            raise type(error)(f"rotation {number} of the lineage: {error}") from error.__cause__
    return commitment
