"""Proving keys of the ezkl backend: what a folder holds, and how it is written so that nothing half-made stays.

commitment.zkc    public, the file to publish
secret.zkk        weights and salt, readable by the owner alone
model.onnx, circuit.ezkl, settings.json, verifying.key, proving.key, reference.srs
"""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np

from zkinfer.backend import Keys
from zkinfer.circuit.bounds import check_bounds
from zkinfer.errors import ArtifactError, WrongKeyError
from zkinfer.ezkl.lowering import LoweredProgram, lower
from zkinfer.ezkl.salting import salt_from_seed
from zkinfer.ezkl.settings import MODEL_FILE, SETTINGS_FILE
from zkinfer.ezkl.verifying_key import EzklVerifyingKey
from zkinfer.files.artifact import wrap, write_atomically
from zkinfer.files.budget import Budget, create
from zkinfer.files.commitment import Commitment
from zkinfer.files.hashing import file_digest
from zkinfer.files.key_folder import COMMITMENT_FILE, SECRET_FILE, SECRET_KIND, SEED_BYTES, read_commitment, read_secret
from zkinfer.typing import IntArray

CIRCUIT_FILE = "circuit.ezkl"
VERIFYING_KEY_FILE = "verifying.key"
PROVING_KEY_FILE = "proving.key"
SRS_FILE = "reference.srs"
ARTIFACT_FILE = "verifier.sol"
BUDGET_FILE = "budget"

DIGESTED_FILES = (
    COMMITMENT_FILE,
    MODEL_FILE,
    SETTINGS_FILE,
    CIRCUIT_FILE,
    VERIFYING_KEY_FILE,
    PROVING_KEY_FILE,
    SRS_FILE,
)

KEY_VERSION = 1
MAX_SECRET_BYTES = 1 << 34
MAX_PROOFS = 1 << 20


class _Secret(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    weights: tuple[bytes, ...]
    seed: bytes
    digests: dict[str, bytes]


_decoder = msgspec.msgpack.Decoder(_Secret)


def _file_digest(path: Path) -> bytes:
    try:
        return file_digest(path)
    except OSError as error:
        raise ArtifactError(f"the key folder lacks {path.name}: {error.strerror or error}") from None


class EzklKeys(Keys):
    """Everything that proving needs, in a folder.

    Attributes:
        folder: where the files lie.
        commitment: the public commitment.
        weights: the secret weights, int64, in the program's order.
        seed: the secret seed of the commitment's salt. An auditor who holds the weights needs it too.
    """

    backend = "ezkl"

    def __init__(
        self,
        folder: Path,
        commitment: Commitment,
        weights: Sequence[IntArray],
        seed: bytes,
        temporary: TemporaryDirectory[str] | None = None,
    ) -> None:
        self.folder = folder
        self.commitment = commitment
        self.weights = tuple(weights)
        self.seed = seed
        self._temporary = temporary
        self._counter = _open_budget(folder, commitment)

    @cached_property
    def lowered(self) -> LoweredProgram:
        """How the program is fed to ezkl."""
        key = self.commitment.key_as(EzklVerifyingKey)
        return lower(self.program, salt=key.salt_count, logrows=key.srs.logrows)

    @property
    def committed_weights(self) -> list[int]:
        """The committed vector: weights and salt, as residues modulo the group order."""
        layout = self.lowered.weights
        flat = [w for array in self.weights for w in array.ravel().tolist()]
        return layout.fill(flat, salt_from_seed(self.seed, layout.salt_count))

    @property
    def counter(self) -> Budget:
        """See `Keys.counter`."""
        return self._counter

    def save(self, folder: str | os.PathLike[str]) -> Path:
        target = super().save(folder)
        self._counter = _open_budget(target, self.commitment)
        return target

    @staticmethod
    def load(folder: str | os.PathLike[str], *, verify_files: bool = True) -> "EzklKeys":
        """Read a folder of keys and check that its files belong together, whatever `verify_files` says.

        Raises:
            ArtifactError: a file is missing, truncated, edited or of another version.
            WrongKeyError: the folder mixes files of different keys.
        """
        path = Path(folder).absolute()
        commitment = read_commitment(path)
        payload = read_secret(path, KEY_VERSION, max_bytes=MAX_SECRET_BYTES)
        try:
            secret = _decoder.decode(payload)
        except msgspec.MsgspecError as error:
            raise ArtifactError(f"{SECRET_FILE}: its content does not have the form of such a file: {error}") from None
        if set(secret.digests) != set(DIGESTED_FILES):
            raise ArtifactError(f"{SECRET_FILE}: does not name the files of a key folder")
        for name, digest in secret.digests.items():
            if _file_digest(path / name) != digest:
                raise WrongKeyError(f"{path / name} is damaged or belongs to other keys; make the keys again")
        if len(secret.weights) != len(commitment.program.weights) or len(secret.seed) != SEED_BYTES:
            raise ArtifactError(f"{SECRET_FILE}: does not hold the weights of this program")
        weights = [
            _weight_array(data, tensor.shape)
            for data, tensor in zip(secret.weights, commitment.program.weights, strict=True)
        ]
        check_bounds(commitment.program, weights)
        return EzklKeys(path, commitment, weights, secret.seed)


def _weight_array(data: bytes, shape: tuple[int, ...]) -> IntArray:
    array = np.frombuffer(data, dtype="<i8").astype(np.int64)
    try:
        return array.reshape(shape)
    except ValueError:
        raise ArtifactError(f"{SECRET_FILE}: {array.size:,} weights do not fill a tensor of shape {shape}") from None


def write_keys(folder: Path, commitment: Commitment, weights: Sequence[IntArray], seed: bytes) -> None:
    """Write the commitment, the secret file and an unspent budget beside the files that ezkl made.

    Raises:
        ResourceError: the disk is full or not writable.
    """
    commitment.save(folder / COMMITMENT_FILE)
    secret = _Secret(
        tuple(array.astype("<i8").tobytes() for array in weights),
        seed,
        {name: _file_digest(folder / name) for name in DIGESTED_FILES},
    )
    write_atomically(folder / SECRET_FILE, wrap(SECRET_KIND, KEY_VERSION, msgspec.msgpack.encode(secret)), private=True)
    create(folder / BUDGET_FILE, commitment.digest, _proofs(commitment))


def _open_budget(folder: Path, commitment: Commitment) -> Budget:
    return Budget(folder / BUDGET_FILE, commitment.digest, _proofs(commitment))


def _proofs(commitment: Commitment) -> int:
    """How many proofs the salt hides the weights for."""
    return commitment.key_as(EzklVerifyingKey).salt_count - 1
