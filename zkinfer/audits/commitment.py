"""Auditing a commitment: does it say what it claims?

Two questions, for two kinds of people:

* `audit_weights`, for an auditor who holds the weights: are these the committed ones?
* `audit_keys`, for anyone: do the public keys in the commitment follow from the program that it shows? They do not
  depend on the weights, so this needs no secret. Commitments of the ezkl backend have such keys; those of the native
  backend have none, because each verification derives what it needs.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from zkinfer.arguments import as_path
from zkinfer.backend import find_backend
from zkinfer.circuit.bounds import check_bounds
from zkinfer.counts import counted
from zkinfer.errors import BoundsError, CommitmentMismatchError, InvalidInputError, ResourceError
from zkinfer.files.commitment import Commitment
from zkinfer.files.key_folder import require_seed
from zkinfer.typing import IntArray

AUDIT_BYTES, AUDIT_BYTES_PER_WEIGHT = 1 << 29, 128
"""What an audit of weights may take where the caller does not say: several times what keys of any model take."""


@dataclass(frozen=True)
class Audit:
    """What an audit found to be true.

    Attributes:
        fingerprint: of the commitment.
        checked: one sentence a fact.
    """

    fingerprint: str
    checked: tuple[str, ...]


def audit_weights(
    commitment: Commitment,
    weights: Sequence[IntArray],
    seed: bytes,
    srs_path: str | os.PathLike[str] | None = None,
    *,
    max_bytes: int | None = None,
) -> Audit:
    """Recompute the commitment to these weights and compare.

    Args:
        commitment: what was published.
        weights: integer arrays in the program's order, as `Circuit.weights` holds them.
        seed: the owner's 32 secret bytes that the commitment hides the weights with, as `Keys.seed` holds them.
        srs_path: the structured reference string that the keys were made with, where the backend takes one (ezkl).
        max_bytes: what making the commitment again may take of disk and memory. The sizes in it are its author's
            choice; by default the audit is refused where they ask for much more than the weights' number explains.

    Raises:
        CommitmentMismatchError: the commitment is to other weights, or was made with another seed.
        ArtifactError: the file is not that structured reference string.
        InvalidInputError: the weights do not fit the program, or an argument is missing or too many.
        ResourceError: too little disk for a temporary copy of the commitment, or it takes more than `max_bytes`.
        MissingDependencyError: the audit needs a package that is not installed.
    """
    program = commitment.program
    expected, given = [t.shape for t in program.weights], [w.shape for w in weights]
    if given != expected:
        raise InvalidInputError(f"the program takes weights of shapes {expected}, got {given}")
    backend = find_backend(commitment.backend)
    if (srs_path is not None) != backend.takes_reference_string:
        needs = "takes no reference string"
        if backend.takes_reference_string:
            needs = "needs the reference string that the keys were made with (srs_path, or --srs)"
        raise InvalidInputError(f"the audit of a commitment of the {backend.name} backend {needs}")
    require_seed(seed)
    try:
        check_bounds(program, weights)
    except BoundsError as error:
        raise CommitmentMismatchError(
            f"the committed program's bounds do not hold for these weights: {error}"
        ) from None
    count = sum(array.size for array in weights)
    needed, allowed = backend.audit_bytes(commitment), AUDIT_BYTES + AUDIT_BYTES_PER_WEIGHT * count
    if needed > (allowed if max_bytes is None else max_bytes):
        raise ResourceError(
            f"with the sizes in this commitment, making it again takes about {counted(needed, 'byte')} of disk and "
            f"memory: pass max_bytes={needed} (--max-bytes) if you want that"
        )
    if not backend.commits_to(commitment, weights, seed, None if srs_path is None else as_path("srs_path", srs_path)):
        raise CommitmentMismatchError("the commitment is to other weights, or was made with another seed")
    return Audit(
        commitment.fingerprint,
        (
            f"{count:,} weights and the seed give exactly the published commitment",
            "every published bound and table domain holds for these weights",
        ),
    )


def audit_keys(commitment: Commitment, srs_path: str | os.PathLike[str]) -> Audit:
    """Derive the verifying key and the verifier again from the public program, and compare.

    Args:
        commitment: what was published.
        srs_path: the structured reference string that the keys were made with.

    Raises:
        CommitmentMismatchError: a key or the verifier is not the one that follows from the program.
        InvalidInputError: commitments of this backend have no keys to audit.
        ArtifactError: the file is not that structured reference string.
        MissingDependencyError: the backend is not installed.
        ProvingError: the backend refuses the program.
    """
    fact = find_backend(commitment.backend).audit_keys(commitment, as_path("srs_path", srs_path))
    return Audit(commitment.fingerprint, (fact,))
