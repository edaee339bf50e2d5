"""The folder of proving keys: what every backend keeps in it, how it begins, and how it moves with its budget."""

import errno
import os
import secrets
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from zkinfer.errors import ArtifactError, InvalidInputError, MalformedCommitmentError
from zkinfer.files.artifact import HEADER_BYTES, building_folder, unwrap, writing
from zkinfer.files.budget import Budget, sync_folder
from zkinfer.files.commitment import Commitment
from zkinfer.files.reading import read_bounded

COMMITMENT_FILE = "commitment.zkc"
SECRET_FILE = "secret.zkk"
"""Where a folder of keys holds its commitment and its secrets, whatever the backend."""

SECRET_KIND = "pkey"
SEED_BYTES = 32


def new_seed() -> bytes:
    """A fresh seed from the operating system."""
    return secrets.token_bytes(SEED_BYTES)


def require_seed(seed: bytes) -> bytes:
    """The seed, once it has the length of one.

    Raises:
        InvalidInputError: it has another, or is not bytes.
    """
    if not isinstance(seed, (bytes, bytearray)):
        raise InvalidInputError(f"a seed is {SEED_BYTES} secret bytes, got {type(seed).__name__}")
    if len(seed) != SEED_BYTES:
        raise InvalidInputError(f"a seed has {SEED_BYTES} bytes, not {len(seed)}")
    return seed


def read_commitment(folder: Path) -> Commitment:
    """The commitment in a folder of keys.

    Raises:
        ArtifactError: this is not a folder of keys, or its commitment is damaged.
    """
    try:
        is_folder, exists = folder.is_dir(), folder.exists()
    except OSError:  # a name that is too long, or a folder above it that may not be read
        raise ArtifactError(f"{folder} is not a folder of zkinfer keys") from None
    if not exists:
        raise ArtifactError(f"there is no folder {folder}; `zkinfer setup` makes one")
    if not is_folder:
        raise ArtifactError(
            f"{folder} is a file, and keys are a folder, which `zkinfer setup` makes: the order is "
            "`zkinfer prove KEYS INPUT`"
        )
    file = folder / COMMITMENT_FILE
    if os.access(folder, os.X_OK) and not file.exists():  # else reading it says why it cannot be read
        raise ArtifactError(
            f"{folder} is not a folder of keys: there is no {COMMITMENT_FILE} in it. Name the folder that "
            "`zkinfer setup` or `zkinfer rotate` made"
        )
    try:
        return Commitment.load(file)
    except MalformedCommitmentError as error:
        raise ArtifactError(str(error)) from None


def read_secret(folder: Path, version: int, *, max_bytes: int) -> bytes:
    """The payload of the file of secrets in a folder of keys.

    Raises:
        ArtifactError: it is missing, damaged, of another version, or over `max_bytes`.
    """
    data = read_bounded(folder / SECRET_FILE, max_bytes=max_bytes + HEADER_BYTES)
    try:
        return unwrap(data, SECRET_KIND, version, max_bytes=max_bytes)
    except ArtifactError as error:
        raise type(error)(f"{folder / SECRET_FILE}: {error}") from None


def place_for_keys(folder: Path | None) -> tuple[Path, TemporaryDirectory[str] | None]:
    """Where new keys go: the folder; or, when None, a temporary one, with the object that removes it at its end."""
    if folder is not None:
        return folder, None
    temporary = TemporaryDirectory(prefix="zkinfer-keys-")
    return Path(temporary.name) / "keys", temporary


def move_keys(source: Path, target: Path, budget: Budget) -> Path:
    """Move a folder of keys to a path that does not exist yet, whatever other processes do with it meanwhile.

    Within a file system the folder is renamed. To another one it is copied while nothing can be spent; then the old
    budget is used up before the new folder appears. A crash in between may cost the keys, but never gives proofs back.

    Args:
        source: the folder.
        target: absolute.
        budget: whose file is in `source`.

    Returns:
        The target.

    Raises:
        InvalidInputError: the target exists.
        ResourceError: it cannot be written.
    """
    if target.exists():
        raise InvalidInputError(f"{target} exists, and nothing is replaced: choose another folder")
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            source.rename(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        else:
            sync_folder(target.parent)
            return target
    with building_folder(target) as part, budget.retiring():
        shutil.copytree(source, part, dirs_exist_ok=True)
    shutil.rmtree(source, ignore_errors=True)
    return target
