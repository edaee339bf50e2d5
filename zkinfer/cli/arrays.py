"""Arrays from files that a stranger may have made: bounded, never unpickled, exactly as long as their header says."""

import io
import os
import zipfile
from collections.abc import Mapping, Sequence

import msgspec

from zkinfer.circuit.qformat import as_array
from zkinfer.counts import counted
from zkinfer.errors import ArtifactError, InvalidInputError
from zkinfer.files.location import Location
from zkinfer.files.npy import MAGIC, open_member, parse_npy
from zkinfer.files.reading import read_bounded
from zkinfer.files.statement import MAX_CONTEXT_BYTES
from zkinfer.typing import Array

MAX_ARRAY_BYTES = 1 << 30
MAX_JSON_BYTES = 1 << 26
MAX_ARRAYS = 256
SEED_BYTES = 32
_ZIP_MAGIC = b"PK"


def read_arrays(source: str | os.PathLike[str]) -> Array | Mapping[str, Array]:
    """The array of a `.npy` file, or the arrays of a `.npz` file by name; or nested lists of a `.json` file, likewise.

    Raises:
        InvalidInputError: no such file, over `MAX_ARRAY_BYTES` (`MAX_JSON_BYTES` of JSON), of another format,
            holding Python objects, or cut off.
        MissingDependencyError: it is in a store whose package is not installed.
    """
    path = Location(source)
    data = read_bounded(path, max_bytes=MAX_ARRAY_BYTES)
    if data.startswith(MAGIC):
        return parse_npy(data, str(path))
    if data.startswith(_ZIP_MAGIC):
        return _parse_npz(data, path)
    if path.suffix == ".json":
        return _parse_json(data, path)
    raise InvalidInputError(
        f"{path}: not a NumPy file; write one with numpy.save (one array) or numpy.savez (several), or nested lists of "
        "numbers into a .json file"
    )


def _parse_json(data: bytes, path: Location) -> Array | dict[str, Array]:
    if len(data) > MAX_JSON_BYTES:
        raise InvalidInputError(
            f"{path}: {counted(len(data), 'byte')} of JSON, of which at most {MAX_JSON_BYTES:,} are read"
        )
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInputError(f"{path}: not JSON: {error}") from None
    try:
        if isinstance(found, dict):
            return {name: as_array(values) for name, values in found.items()}
        return as_array(found)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error}") from None


def _parse_npz(data: bytes, path: Location) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) > MAX_ARRAYS or sum(m.file_size for m in members) > MAX_ARRAY_BYTES:
                raise InvalidInputError(
                    f"{path}: {len(members)} arrays of {counted(sum(m.file_size for m in members), 'byte')}; at most "
                    f"{MAX_ARRAYS:,} of {counted(MAX_ARRAY_BYTES, 'byte')} together are read"
                )
            return {m.filename.removesuffix(".npy"): _member(archive, m, f"{path}, {m.filename}") for m in members}
    except (InvalidInputError, MemoryError):
        raise
    except Exception as error:  # damaged archives raise errors of many kinds
        raise InvalidInputError(f"{path}: not a readable .npz file: {error}") from None


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, where: str) -> Array:
    with open_member(archive, member, where) as stream:
        return parse_npy(stream.read(), where)


def lineage(rotations: Sequence[Location] | None) -> list[Location]:
    """The files of rotations, each of which has to be there, also those behind the commitment of the proof.

    Raises:
        InvalidInputError: one is missing, or no file.
    """
    for path in rotations or ():
        if not path.exists():
            raise InvalidInputError(f"--rotation {path}: there is no such file")
    return list(rotations or ())


def read_bytes(option: str, text: str, *, max_bytes: int) -> bytes:
    """Bytes from the command line: `text` itself, `@file` for a file's, `hex:` for bytes in hexadecimal.

    Args:
        option: its name, for errors.
        text: what was given.
        max_bytes: how many are accepted.

    Raises:
        InvalidInputError: bad hexadecimal, no such file, or too many.
    """
    if text.startswith("@"):
        try:
            return read_bounded(text[1:], max_bytes=max_bytes)
        except ArtifactError as error:
            raise InvalidInputError(f"{option}: {error}") from None
    if text.startswith("hex:"):
        try:
            data = bytes.fromhex(text[4:])
        except ValueError:
            raise InvalidInputError(
                f"{option} {text[:40]!r}: not hexadecimal; after hex: come pairs of the digits 0 to 9 and a to f"
            ) from None
    else:
        data = text.encode()
    if len(data) > max_bytes:
        raise InvalidInputError(f"{option} holds {counted(len(data), 'byte')}; at most {max_bytes:,} are accepted")
    return data


def read_context(text: str) -> bytes:
    """The context that a proof is bound to, as `read_bytes` reads it.

    Raises:
        InvalidInputError: see `read_bytes`; at most `MAX_CONTEXT_BYTES`.
    """
    return read_bytes("--context", text, max_bytes=MAX_CONTEXT_BYTES)


def read_seed(text: str) -> bytes:
    """The 32 secret bytes that a commitment's salt comes from, as `read_bytes` reads them.

    Raises:
        InvalidInputError: see `read_bytes`; also when they are not `SEED_BYTES`.
    """
    seed = read_bytes("--seed", text, max_bytes=SEED_BYTES)
    if len(seed) != SEED_BYTES:
        raise InvalidInputError(f"--seed holds {counted(len(seed), 'byte')} and takes {SEED_BYTES}; give @file or hex:")
    return seed
