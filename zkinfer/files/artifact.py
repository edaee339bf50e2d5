"""The envelope around every zkinfer file: what it is, which version, and whether it is whole.

    8 bytes   magic "zkinfer\\0"
    4 bytes   kind, ASCII, one of those in `kinds`
    4 bytes   version, little-endian
    8 bytes   length of the payload, little-endian
    32 bytes  BLAKE3 of everything before it and the payload, bound to this purpose
    payload

The checksum finds damage and careless edits; it proves nothing about who wrote the file.
"""

import contextlib
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

from blake3 import blake3

from zkinfer.errors import ArtifactError, ResourceError, WrongKindError
from zkinfer.files.kinds import KINDS

MAGIC = b"zkinfer\0"
CHECKSUM_CONTEXT = "zkinfer 2026 artifact checksum v1"
_HEADER = struct.Struct("<8s4sIQ")
HEADER_BYTES = _HEADER.size + 32
MAX_MESSAGE = 400


def _checksum(header: bytes, payload: bytes) -> bytes:
    hasher = blake3(derive_key_context=CHECKSUM_CONTEXT)
    hasher.update(header)
    hasher.update(payload)
    digest: bytes = hasher.digest()
    return digest


def wrap(kind: str, version: int, payload: bytes) -> bytes:
    """The payload in its envelope."""
    header = _HEADER.pack(MAGIC, kind.encode("ascii"), version, len(payload))
    return header + _checksum(header, payload) + payload


def kind_and_version(data: bytes) -> tuple[str, int]:
    """What the header of a file says it is, before anything else of the file is checked.

    Raises:
        WrongKindError: not a zkinfer file.
    """
    if len(data) < HEADER_BYTES or data[: len(MAGIC)] != MAGIC:
        raise WrongKindError("not a zkinfer file, or cut off within its header")
    _, kind, version, _ = _HEADER.unpack_from(data)
    return kind.decode("ascii", "backslashreplace"), version


def unwrap(data: bytes, kind: str, version: int, *, max_bytes: int) -> bytes:
    """The payload of an envelope of this kind and version.

    Raises:
        WrongKindError: not a zkinfer file, or one of another kind or version.
        ArtifactError: truncated, extended, damaged, or over `max_bytes`.
    """
    found_kind, found_version = kind_and_version(data)
    if found_kind != kind:
        name = f" ({KINDS[found_kind].name})" if found_kind in KINDS else ""
        raise WrongKindError(f"a zkinfer file of kind {found_kind!r}{name} where {kind!r} is needed")
    if found_version != version:
        raise WrongKindError(
            f"file version {found_version}, but this zkinfer reads version {version}: "
            "install the zkinfer that wrote it, or make the file again"
        )
    length = _HEADER.unpack_from(data)[-1]
    if length > max_bytes:
        raise ArtifactError(f"the file declares {length} bytes; at most {max_bytes} are accepted")
    payload = data[HEADER_BYTES:]
    if len(payload) != length:
        raise ArtifactError(f"the file should hold {length} bytes and holds {len(payload)}: truncated or extended")
    if data[_HEADER.size : HEADER_BYTES] != _checksum(data[: _HEADER.size], payload):
        raise ArtifactError("the file's checksum does not match: it was damaged or edited")
    return payload


@contextlib.contextmanager
def writing(what: str | os.PathLike[str]) -> Iterator[None]:
    """Let a full or unwritable disk be a ResourceError that names what could not be written."""
    try:
        yield
    except OSError as error:
        raise ResourceError(f"cannot write {what}: {error.strerror or error}") from error


@contextlib.contextmanager
def building_folder(target: Path) -> Iterator[Path]:
    """A folder under construction: renamed into place when the block ends, removed when it fails.

    A process that is killed leaves only a hidden ``.NAME.part-*`` folder, which the next build of NAME removes.

    Raises:
        ResourceError: `target` exists, or the disk is full or not writable.
    """
    if target.exists():
        raise ResourceError(f"{target} exists; choose another folder or remove it first")
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        for stale in target.parent.glob(f".{target.name}.part-*"):
            if not _builder_is_alive(stale):
                shutil.rmtree(stale, ignore_errors=True)
        part = Path(tempfile.mkdtemp(prefix=f".{target.name}.part-{os.getpid()}-", dir=target.parent))
        try:
            yield part
            part.rename(target)
            _sync_directory(target.parent)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _builder_is_alive(part: Path) -> bool:
    """Is the process that builds this folder still running?"""
    try:
        os.kill(int(part.name.rpartition(".part-")[2].split("-")[0]), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


def write_atomically(path: str | os.PathLike[str], data: bytes, *, private: bool = False) -> None:
    """Write a file so that a crash at any moment leaves the old file or the new one, never a part.

    Args:
        path: where to; replaced if it exists.
        data: the whole content.
        private: readable by its owner alone (mode 600), for weights and proving keys.

    Raises:
        ResourceError: the disk is full or not writable; nothing is left behind.
    """
    target = Path(path)
    temporary: str | None = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600 if private else 0o644)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(target)
        temporary = None
        _sync_directory(target.parent)
    except (OSError, ValueError) as error:
        raise ResourceError(f"cannot write {target}: {getattr(error, 'strerror', None) or error}") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()


def _sync_directory(folder: Path) -> None:
    """Make a rename in this folder durable, where the platform lets a folder be synced."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def one_line(error: Exception) -> str:
    """An error's message for people, safe to print even when it quotes a hostile file: one line, ASCII, short."""
    text = str(error).encode("ascii", "backslashreplace").decode("ascii")
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return text if len(text) <= MAX_MESSAGE else f"{text[: MAX_MESSAGE - 3]}..."
