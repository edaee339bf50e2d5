"""Auditing a commitment: does it say what it claims?

Two questions, for two kinds of people:

* `audit_weights`, for whoever holds the weights: are these the committed ones?
* `audit_keys`, for anyone, of an ezkl commitment: do the verifying key and the verifier follow from the program that
  the commitment shows? Keys do not depend on the weights, so this needs ezkl and the reference string, and no secret.
  A commitment of the native backend has no such keys: all there is to derive, each verification derives.
"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zkinfer.backend import require_seed
from zkinfer.circuit.bounds import check_bounds
from zkinfer.errors import BoundsError, CommitmentMismatchError, InvalidInputError
from zkinfer.ezkl.salting import SaltedVector, salt_from_seed
from zkinfer.ezkl.verifier.kzg import read_srs, weight_points
from zkinfer.files.commitment import Commitment
from zkinfer.typing import IntArray


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
) -> Audit:
    """Recompute the commitment to these weights and compare.

    Args:
        commitment: what was published.
        weights: int64 arrays in the program's order, as `Circuit.weights` holds them.
        seed: the owner's 32 secret bytes that the commitment hides the weights with, as `Keys.seed` holds them.
        srs_path: for an ezkl commitment, the structured reference string that the keys were made with.

    Raises:
        CommitmentMismatchError: the commitment is to other weights, or was made with another seed.
        ArtifactError: the file is not that structured reference string.
        InvalidInputError: the weights do not fit the program, or an argument is missing or too many.
        ResourceError: too little disk for a temporary copy of the native commitment.
    """
    program = commitment.program
    expected, given = [t.shape for t in program.weights], [w.shape for w in weights]
    if given != expected:
        raise InvalidInputError(f"the program takes weights of shapes {expected}, got {given}")
    if (srs_path is None) == (commitment.backend == "ezkl"):
        raise InvalidInputError("the structured reference string is for auditing ezkl commitments, which need it")
    require_seed(seed)
    try:
        check_bounds(program, weights)
    except BoundsError as error:
        raise CommitmentMismatchError(
            f"the committed program's bounds do not hold for these weights: {error}"
        ) from None
    if srs_path is not None:
        checked = _audit_points(commitment, weights, seed, srs_path)
    else:
        checked = _audit_root(commitment, weights, seed)
    return Audit(commitment.fingerprint, (checked, "every published bound and table domain holds for these weights"))


OTHER_WEIGHTS = "the commitment is to other weights, or was made with another seed"


def _audit_points(
    commitment: Commitment, weights: Sequence[IntArray], seed: bytes, srs_path: str | os.PathLike[str]
) -> str:
    """In plain Python, without ezkl."""
    key = commitment.ezkl
    flat = [w for array in weights for w in array.ravel().tolist()]
    layout = SaltedVector(len(flat), key.salt_count, key.srs.logrows)
    vector = layout.fill(flat, salt_from_seed(seed, layout.salt_count))
    if weight_points(vector, read_srs(srs_path, key.srs), key.srs.logrows) != key.weight_points:
        raise CommitmentMismatchError(OTHER_WEIGHTS)
    return f"{len(flat)} weights and their salt give exactly the published points"


def _audit_root(commitment: Commitment, weights: Sequence[IntArray], seed: bytes) -> str:
    """The matrix made again, in a temporary folder for as long as that takes."""
    from zkinfer.native.setup import commit_weights

    key = commitment.sumcheck
    with tempfile.TemporaryDirectory(prefix="zkinfer-audit-") as folder:
        matrix = commit_weights(commitment.program, weights, key.opening, seed, Path(folder) / "matrix")
        if matrix.commitment != key.weights:
            raise CommitmentMismatchError(OTHER_WEIGHTS)
    count = sum(array.size for array in weights)
    return f"{count} weights and the random symbols of the seed give exactly the published root"


def audit_keys(commitment: Commitment, srs_path: str | os.PathLike[str]) -> Audit:
    """Derive the verifying key and the verifier again from the public program, and compare.

    Args:
        commitment: what was published.
        srs_path: the structured reference string that the keys were made with.

    Raises:
        CommitmentMismatchError: a key or the verifier is not the one that follows from the program.
        InvalidInputError: the commitment is not of the ezkl backend.
        ArtifactError: the file is not that structured reference string.
        MissingDependencyError: ezkl is not installed.
        ProvingError: ezkl refuses the program.
    """
    from zkinfer.ezkl.setup import derive_public_keys

    if commitment.backend != "ezkl":
        raise InvalidInputError("a commitment of the native backend has no keys to audit: verifying derives everything")
    key = commitment.ezkl
    read_srs(srs_path, key.srs)
    with tempfile.TemporaryDirectory(prefix="zkinfer-audit-") as folder:
        derived = derive_public_keys(
            commitment.program, key.salt_count, key.srs.logrows, Path(srs_path).absolute(), Path(folder)
        )
    for what, published, expected in (
        ("settings", key.settings, derived.settings),
        ("verifying key", key.verifying_key, derived.verifying_key),
        ("verifier", key.artifact, derived.artifact),
    ):
        if published != expected:
            raise CommitmentMismatchError(f"the published {what} is not the one that follows from the program")
    return Audit(
        commitment.fingerprint,
        ("settings, verifying key and verifier are those that follow from the published program and reference string",),
    )
