"""Auditing a commitment of the ezkl backend: the weight points and the public keys are made again and compared."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from zkinfer.errors import CommitmentMismatchError
from zkinfer.ezkl.salting import SaltedVector, salt_from_seed
from zkinfer.ezkl.verifier.kzg import read_srs, weight_points
from zkinfer.ezkl.verifying_key import EzklVerifyingKey
from zkinfer.files.commitment import Commitment
from zkinfer.typing import IntArray


def commits_to(key: EzklVerifyingKey, weights: Sequence[IntArray], seed: bytes, srs_path: Path) -> bool:
    """Whether the published points are those of these weights and the salt of this seed. Does not need ezkl.

    Raises:
        ArtifactError: the file is not the structured reference string of the key.
    """
    flat = [w for array in weights for w in array.ravel().tolist()]
    layout = SaltedVector(len(flat), key.salt_count, key.srs.logrows)
    vector = layout.fill(flat, salt_from_seed(seed, layout.salt_count))
    return weight_points(vector, read_srs(srs_path, key.srs), key.srs.logrows) == key.weight_points


def audit_keys(commitment: Commitment, srs_path: Path) -> str:
    """Derive the verifying key and the verifier again from the public program, and compare.

    Returns:
        What was found to be true, in a sentence.

    Raises:
        CommitmentMismatchError: a key or the verifier is not the one that follows from the program.
        ArtifactError: the file is not the structured reference string of the commitment.
        MissingDependencyError: ezkl is not installed.
        ProvingError: ezkl refuses the program.
    """
    from zkinfer.ezkl.setup import derive_public_keys

    key = commitment.key_as(EzklVerifyingKey)
    read_srs(srs_path, key.srs)
    with tempfile.TemporaryDirectory(prefix="zkinfer-audit-") as folder:
        derived = derive_public_keys(
            commitment.program, key.salt_count, key.srs.logrows, srs_path.absolute(), Path(folder)
        )
    for what, published, expected in (
        ("settings", key.settings, derived.settings),
        ("verifying key", key.verifying_key, derived.verifying_key),
        ("verifier", key.artifact, derived.artifact),
    ):
        if published != expected:
            raise CommitmentMismatchError(f"the published {what} is not the one that follows from the program")
    return "settings, verifying key and verifier are those that follow from the published program and reference string"
