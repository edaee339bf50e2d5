"""Proving keys of the ezkl backend: what a folder holds, and how it is written so that nothing half-made stays.

commitment.zkc    public, the file to publish
secret.zkk        weights and salt, readable by the owner alone
model.onnx, circuit.ezkl, settings.json, verifying.key, proving.key, reference.srs
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from blake3 import blake3
from py_ecc.optimized_bn128 import curve_order

from zkinfer.artifact import HEADER_BYTES, read_bounded, unwrap, wrap, write_atomically
from zkinfer.backends.ezkl.lowering import LoweredProgram, lower
from zkinfer.backends.ezkl.settings import MODEL_FILE, SETTINGS_FILE
from zkinfer.circuit.bounds import check_bounds
from zkinfer.circuit.program import Program
from zkinfer.commitment import Commitment
from zkinfer.errors import ArtifactError, ResourceError, WrongKeyError, ZkinferError

IntArray = npt.NDArray[np.int64]

COMMITMENT_FILE = "commitment.zkc"
SECRET_FILE = "secret.zkk"
CIRCUIT_FILE = "circuit.ezkl"
VERIFYING_KEY_FILE = "verifying.key"
PROVING_KEY_FILE = "proving.key"
SRS_FILE = "reference.srs"
ARTIFACT_FILE = "verifier.sol"

KEY_KIND = "pkey"
KEY_VERSION = 1
MAX_SECRET_BYTES = 1 << 34
WEIGHT_SALT = 64
"""Random field elements committed beside the weights; see docs/threat-model.md for what they hide, and for how long."""


class _Secret(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    weights: tuple[bytes, ...]
    salt: tuple[bytes, ...]
    digests: dict[str, bytes]


_decoder = msgspec.msgpack.Decoder(_Secret)


def new_salt() -> tuple[int, ...]:
    """Uniform field elements from the operating system."""
    return tuple(secrets.randbelow(curve_order) for _ in range(WEIGHT_SALT))


def committed_vector(weights: Sequence[IntArray], salt: Sequence[int]) -> list[int]:
    """The field elements that the weight commitment binds: the weights, flat and in order, then the salt."""
    flat = [int(w) % curve_order for array in weights for w in array.ravel().tolist()]
    return [*flat, *salt]


def _file_digest(path: Path) -> bytes:
    try:
        digest: bytes = blake3(max_threads=blake3.AUTO).update_mmap(path).digest()
    except OSError as error:
        raise ArtifactError(f"the key folder lacks {path.name}: {error.strerror or error}") from None
    return digest


@dataclass(frozen=True)
class EzklKeys:
    """Everything that proving needs.

    Attributes:
        folder: where the files lie.
        commitment: the public commitment.
        weights: the secret weights, int64, in the program's order.
        salt: the secret salt of the commitment.
    """

    folder: Path
    commitment: Commitment
    weights: tuple[IntArray, ...]
    salt: tuple[int, ...]
    _temporary: "tempfile.TemporaryDirectory[str] | None" = None

    @property
    def program(self) -> Program:
        """The integer program."""
        return self.commitment.program

    @property
    def lowered(self) -> LoweredProgram:
        """How the program is fed to ezkl."""
        return lower(self.program, salt_count=len(self.salt))

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Copy the keys to a folder that does not exist yet; it appears whole or not at all.

        Raises:
            ResourceError: the folder exists, or cannot be written.
        """
        target = Path(folder)
        with building(target) as part:
            shutil.copytree(self.folder, part, dirs_exist_ok=True)
        return target

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "EzklKeys":
        """Read a folder of keys and check that its files belong together.

        Raises:
            ArtifactError: a file is missing, truncated, edited or of another version.
            WrongKeyError: the folder mixes files of different keys.
        """
        path = Path(folder)
        if not path.is_dir():
            raise ArtifactError(f"{path} is not a folder of zkinfer keys")
        commitment = Commitment.load(path / COMMITMENT_FILE)
        payload = unwrap(
            read_bounded(path / SECRET_FILE, max_bytes=MAX_SECRET_BYTES + HEADER_BYTES),
            KEY_KIND,
            KEY_VERSION,
            max_bytes=MAX_SECRET_BYTES,
        )
        try:
            secret = _decoder.decode(payload)
        except msgspec.MsgspecError as error:
            raise ArtifactError(f"{SECRET_FILE}: {error}") from None
        for name, digest in secret.digests.items():
            if Path(name).name != name or _file_digest(path / name) != digest:
                raise WrongKeyError(f"{path / name} is damaged or belongs to other keys; make the keys again")
        weights = tuple(
            _weight_array(data, tensor.shape)
            for data, tensor in zip(secret.weights, commitment.program.weights, strict=True)
        )
        check_bounds(commitment.program, weights)
        salt = tuple(int.from_bytes(element, "little") for element in secret.salt)
        return cls(path, commitment, weights, salt)


def _weight_array(data: bytes, shape: tuple[int, ...]) -> IntArray:
    array = np.frombuffer(data, dtype="<i8").astype(np.int64)
    try:
        return array.reshape(shape)
    except ValueError:
        raise ArtifactError(f"{SECRET_FILE}: {array.size} weights do not fill a tensor of shape {shape}") from None


def write_keys(folder: Path, commitment: Commitment, weights: Sequence[IntArray], salt: Sequence[int]) -> None:
    """Write the commitment and the secret file beside the files that ezkl made.

    Raises:
        ResourceError: the disk is full or not writable.
    """
    names = (MODEL_FILE, SETTINGS_FILE, CIRCUIT_FILE, VERIFYING_KEY_FILE, PROVING_KEY_FILE, SRS_FILE)
    commitment.save(folder / COMMITMENT_FILE)
    secret = _Secret(
        tuple(array.astype("<i8").tobytes() for array in weights),
        tuple(element.to_bytes(32, "little") for element in salt),
        {name: _file_digest(folder / name) for name in (*names, COMMITMENT_FILE)},
    )
    write_atomically(folder / SECRET_FILE, wrap(KEY_KIND, KEY_VERSION, msgspec.msgpack.encode(secret)), private=True)


class building:  # noqa: N801 - reads as a verb where it is used
    """A folder under construction: renamed into place at the end, removed on any error.

    A process that is killed leaves only a hidden ``.NAME.part-*`` folder, which the next build of NAME removes.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.part: Path | None = None

    def __enter__(self) -> Path:
        if self.target.exists():
            raise ResourceError(f"{self.target} exists; choose another folder or remove it first")
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            for stale in self.target.parent.glob(f".{self.target.name}.part-*"):
                if not _is_alive(stale):
                    shutil.rmtree(stale, ignore_errors=True)
            prefix = f".{self.target.name}.part-{os.getpid()}-"
            self.part = Path(tempfile.mkdtemp(prefix=prefix, dir=self.target.parent))
        except OSError as error:
            raise ResourceError(f"cannot write beside {self.target}: {error.strerror or error}") from error
        return self.part

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        assert self.part is not None
        try:
            if kind is None:
                self.part.rename(self.target)
        except OSError as failure:
            raise ResourceError(f"cannot write {self.target}: {failure.strerror or failure}") from failure
        finally:
            shutil.rmtree(self.part, ignore_errors=True)
        if isinstance(error, OSError) and not isinstance(error, ZkinferError):
            raise ResourceError(f"cannot write {self.target}: {error.strerror or error}") from error


def _is_alive(part: Path) -> bool:
    """Is the process that builds this folder still running?"""
    try:
        os.kill(int(part.name.split(".part-")[1].split("-")[0]), 0)
    except (ProcessLookupError, ValueError, IndexError):
        return False
    except PermissionError:
        return True
    return True
