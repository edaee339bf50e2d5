"""The ezkl backend's part of a commitment. Reading it needs no package of ezkl's verifier."""

import msgspec

from zkinfer.circuit.derived_bounds import derived_bounds
from zkinfer.circuit.program import Program
from zkinfer.errors import ArtifactError, BoundsError
from zkinfer.files.commitment import VerifyingKey

EZKL_VERSION = "23.0.5"
"""The one version whose keys, verifiers and proofs are made and understood here."""

DEFAULT_PROOFS = 256
"""How many proofs keys are made for where the caller does not say."""

MAX_MAGNITUDE = 1 << 252
"""Integers up to this in absolute value are different elements of the scalar field of BN254, of 254 bits."""

MAX_LOGROWS = 28
POINT_BYTES = 64
DIGEST_BYTES = 32


class Srs(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Which structured reference string the keys were made with.

    Attributes:
        logrows: it serves circuits of up to 2**logrows rows.
        digest: BLAKE3 of the file that the keys were made from, 32 bytes.
        test_only: it was generated locally: the person who generated it can forge proofs.
    """

    logrows: int
    digest: bytes
    test_only: bool


class EzklVerifyingKey(VerifyingKey, frozen=True, array_like=True, tag="ezkl", forbid_unknown_fields=True):
    """What verifying an ezkl proof needs.

    Attributes:
        ezkl_version: the version that made the keys; proofs of another are refused.
        settings: ezkl's settings file, JSON.
        verifying_key: ezkl's verifying key.
        artifact: the verifier that ezkl writes for this key (Solidity source), which holds the constraint
            system; interpreted, never executed.
        srs: the structured reference string.
        weight_points: affine BN254 points, 64 bytes each (x then y, big-endian), one for each committed column.
        salt_count: random field elements in each committed column of weights. Each proof opens every column at one
            more point, so they hide the weights for `salt_count - 1` proofs.
    """

    ezkl_version: str
    settings: bytes
    verifying_key: bytes
    artifact: bytes
    srs: Srs
    weight_points: tuple[bytes, ...]
    salt_count: int

    @property
    def test_only(self) -> bool:
        """Whether the reference string was generated locally."""
        return self.srs.test_only

    def check(self, program: Program) -> None:
        """Check the sizes, and that no value of the program could reach half of the field's order, for weights within
        their bounds. `verifier.key.check_key` checks that the key fits the program, and needs py_ecc.

        Raises:
            ArtifactError: they are possible in no key, or a value could.
        """
        try:
            derived_bounds(program, MAX_MAGNITUDE, all_shown=False)
        except BoundsError as error:
            raise ArtifactError(str(error)) from None
        if not 1 <= self.srs.logrows <= MAX_LOGROWS or len(self.srs.digest) != DIGEST_BYTES:
            raise ArtifactError("what it says of its structured reference string cannot be true")
        if any(len(point) != POINT_BYTES for point in self.weight_points):
            raise ArtifactError(f"a weight commitment is not a point of {POINT_BYTES} bytes")
        if not 0 <= self.salt_count <= 1 << MAX_LOGROWS:
            raise ArtifactError(f"{self.salt_count} salt elements do not fit any circuit")
