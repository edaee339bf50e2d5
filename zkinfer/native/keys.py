"""Keys of the native backend: what a folder holds, and how it is read without reading gigabytes.

commitment.zkc    public, the file to publish
secret.zkk        seed, and digests of the files with secrets
weights           the weights, each tensor in the least of 1, 2, 4 and 8 bytes an integer, little-endian
matrix/           the committed matrix of weights, as `storage` lays it out, with the budget
"""

import math
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np

from zkinfer.backend import Keys, ProofSize
from zkinfer.circuit.program import Program
from zkinfer.counts import counted
from zkinfer.errors import ArtifactError, WrongKeyError
from zkinfer.execution.executor import Executor
from zkinfer.files.artifact import wrap, write_atomically
from zkinfer.files.budget import Budget
from zkinfer.files.commitment import Commitment
from zkinfer.files.hashing import file_digest, parallel_hasher
from zkinfer.files.integers import WIDTHS, array_width
from zkinfer.files.key_folder import COMMITMENT_FILE, SECRET_FILE, SECRET_KIND, SEED_BYTES, read_commitment, read_secret
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.native import storage
from zkinfer.native.storage import StoredMatrix
from zkinfer.native.witness import values_read
from zkinfer.typing import Array, IntArray

WEIGHTS_FILE = "weights"
MATRIX_FOLDER = "matrix"
SECRET_VERSION = 2
MAX_SECRET_BYTES = 1 << 24

DATA_FILE, HEADER_FILE = f"{MATRIX_FOLDER}/{storage.DATA}", f"{MATRIX_FOLDER}/{storage.HEADER}"
DIGESTED_FILES = (WEIGHTS_FILE, DATA_FILE, HEADER_FILE)


class Secrets(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What `secret.zkk` holds.

    Attributes:
        commitment: digest of the commitment that all belongs to.
        seed: 32 bytes.
        widths: for each tensor of weights, bytes an integer.
        digests: BLAKE3 of the files that hold the weights and what hides them.
        ancestors: roots of the commitments that rotations led from, the first one first. A seed that gives one of them
            again would show more columns of it than its random symbols hide. Folders of 0.1.0 do not have them.
        proof_size: what proofs are made for. The openings of the weights were chosen for it, by sizes that are in the
            commitment; those of a proof's own matrices are chosen for it again with each proof.
    """

    commitment: bytes
    seed: bytes
    widths: tuple[int, ...]
    digests: dict[str, bytes]
    ancestors: tuple[bytes, ...] = ()
    proof_size: ProofSize = "balanced"


_decoder = msgspec.msgpack.Decoder(Secrets)


class NativeKeys(Keys):
    """Everything that proving needs, in a folder.

    Attributes:
        folder: where the files lie.
        commitment: the public commitment.
        seed: the secret seed of the commitment's random symbols.
        matrix: the committed weights, mapped from their files.
    """

    backend = "native"

    def __init__(
        self, folder: Path, commitment: Commitment, secrets: Secrets, temporary: TemporaryDirectory[str] | None = None
    ) -> None:
        self.folder = folder
        self.commitment = commitment
        self.seed = secrets.seed
        self.proof_size = secrets.proof_size
        self.matrix = _load_matrix(folder, commitment)
        self._secrets = secrets
        self._temporary = temporary
        self._compare(HEADER_FILE)
        _require_weights_file(folder, commitment.program, secrets.widths)

    @property
    def weights(self) -> tuple[IntArray, ...]:
        """The secret weights, int64, in the program's order: read from their file, and compared, at each call.

        Raises:
            ArtifactError: the file is missing.
            WrongKeyError: it is damaged.
        """
        return tuple(narrow.astype(np.int64) for narrow in self._narrow_weights())

    def _narrow_weights(self) -> list[Array]:
        """The same in the integers that they are stored in, in memory of their own, not to be written to."""
        data = _read_weights(self.folder / WEIGHTS_FILE)
        if parallel_hasher().update(data).digest() != self._secrets.digests[WEIGHTS_FILE]:
            raise _damaged(self.folder / WEIGHTS_FILE)
        arrays, start = [], 0
        for tensor, width in zip(self.program.weights, self._secrets.widths, strict=True):
            stored = np.frombuffer(data, dtype=f"<i{width}", count=tensor.size, offset=start)
            arrays.append(stored.astype(f"i{width}").reshape(tensor.shape))
            arrays[-1].flags.writeable = False
            start += width * tensor.size
        return arrays

    @cached_property
    def executor(self) -> Executor:
        """The program with its weights, ready to be executed any number of times; checks every published bound.

        The files with weights, which proofs read as well, are compared with what was written.

        Raises:
            WrongKeyError: one of them is damaged.
        """
        self._compare(DATA_FILE)
        return Executor(self.program, self._narrow_weights(), keep=values_read(self.program))

    @property
    def ancestors(self) -> tuple[bytes, ...]:
        """Roots of the commitments that rotations led from, the first one first."""
        return self._secrets.ancestors

    @property
    def counter(self) -> Budget:
        """See `Keys.counter`."""
        return self.matrix.counter

    def save(self, folder: str | os.PathLike[str]) -> Path:
        target = super().save(folder)
        self.matrix = _load_matrix(target, self.commitment)
        return target

    @staticmethod
    def load(folder: str | os.PathLike[str], *, verify_files: bool = False) -> "NativeKeys":
        """Read a folder of keys.

        Checked: commitment and secrets are whole and belong together; every other file is there and has its size; the
        stored matrix has the commitment's root and parameters. Weights and matrix are mapped, not read; the copy of the
        matrix whose turn it is is made before the first proof.

        Args:
            folder: as `setup` or `save` made it.
            verify_files: read them too, and compare: the Merkle trees with the columns and the root, the files with
                secrets with the digests of what was written.

        Raises:
            ArtifactError: a file is missing, truncated, edited or of another version.
            WrongKeyError: the folder mixes files of different keys, or, with `verify_files`, one is damaged.
        """
        path = Path(folder).absolute()
        commitment = read_commitment(path)
        keys = NativeKeys(path, commitment, _read_secrets(path, commitment))
        if verify_files:
            keys.verify_files()
        return keys

    def verify_files(self) -> None:
        """Read every byte of the folder and compare it with what was written; see `load`.

        Raises:
            WrongKeyError: a file is damaged.
        """
        for name in DIGESTED_FILES:
            self._compare(name)
        self.matrix.verify_files()

    def _compare(self, name: str) -> None:
        try:
            found = file_digest(self.folder / name)
        except OSError as error:
            raise ArtifactError(f"the key folder lacks {name}: {error.strerror}") from None
        if found != self._secrets.digests[name]:
            raise _damaged(self.folder / name)


def write_keys(
    folder: Path,
    commitment: Commitment,
    weights: Sequence[IntArray],
    seed: bytes,
    ancestors: tuple[bytes, ...] = (),
    proof_size: ProofSize = "balanced",
) -> Secrets:
    """Write commitment, weights and secrets beside the stored matrix.

    Raises:
        OSError, ResourceError: the disk is full or not writable.
    """
    widths = tuple(array_width(array) for array in weights)
    descriptor = os.open(folder / WEIGHTS_FILE, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for array, width in zip(weights, widths, strict=True):
            file.write(np.ascontiguousarray(array, dtype=f"<i{width}").data)
        file.flush()
        os.fsync(descriptor)
    commitment.save(folder / COMMITMENT_FILE)
    digests = {name: file_digest(folder / name) for name in DIGESTED_FILES}
    secrets = Secrets(commitment.digest, seed, widths, digests, ancestors, proof_size)
    payload = msgspec.msgpack.encode(secrets)
    write_atomically(folder / SECRET_FILE, wrap(SECRET_KIND, SECRET_VERSION, payload), private=True)
    return secrets


def _read_secrets(folder: Path, commitment: Commitment) -> Secrets:
    payload = read_secret(folder, SECRET_VERSION, max_bytes=MAX_SECRET_BYTES)
    try:
        secrets = _decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{SECRET_FILE}: its content does not have the form of such a file: {error}") from None
    if secrets.commitment != commitment.digest:
        raise WrongKeyError(f"{folder / SECRET_FILE} belongs to other keys than {COMMITMENT_FILE}")
    if (
        len(secrets.seed) != SEED_BYTES
        or len(secrets.widths) != len(commitment.program.weights)
        or not set(secrets.widths) <= set(WIDTHS)
        or set(secrets.digests) != set(DIGESTED_FILES)
    ):
        raise ArtifactError(f"{SECRET_FILE}: does not describe the files of a key folder")
    return secrets


def _load_matrix(folder: Path, commitment: Commitment) -> StoredMatrix:
    matrix = storage.load(folder / MATRIX_FOLDER)
    key = commitment.key_as(NativeVerifyingKey)
    if (matrix.commitment, matrix.queries) != (key.copies, key.queries):
        raise WrongKeyError(f"{folder / MATRIX_FOLDER} belongs to other keys than {COMMITMENT_FILE}")
    if matrix.counter.total != key.proofs:
        raise WrongKeyError(
            f"{folder / MATRIX_FOLDER} is for {counted(matrix.counter.total, 'proof')}, {COMMITMENT_FILE} for "
            f"{key.proofs:,}"
        )
    return matrix


def _require_weights_file(folder: Path, program: Program, widths: Sequence[int]) -> None:
    expected = sum(width * math.prod(tensor.shape) for width, tensor in zip(widths, program.weights, strict=True))
    try:
        size = (folder / WEIGHTS_FILE).stat().st_size
    except OSError as error:
        raise ArtifactError(f"the key folder lacks {WEIGHTS_FILE}: {error.strerror}") from None
    if size != expected:
        raise ArtifactError(f"{folder / WEIGHTS_FILE} holds {counted(size, 'byte')} instead of {expected:,}")


def _read_weights(path: Path) -> memoryview:
    try:
        return np.memmap(path, dtype=np.uint8, mode="r").data
    except (OSError, ValueError) as error:
        raise ArtifactError(f"the key folder lacks {path.name}: {error}") from None


def _damaged(path: Path) -> WrongKeyError:
    return WrongKeyError(f"{path} is damaged or belongs to other keys; make the keys again")
