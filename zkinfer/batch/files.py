"""Reading the files of a job that may come from anyone: manifest, items, commitments and receipts of samples."""

import os
from collections.abc import Callable
from typing import TypeVar

import msgspec

from zkinfer.artifact import HEADER_BYTES, one_line, read_bounded, unwrap, wrap
from zkinfer.errors import ArtifactError, MalformedProofError

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)


def decode(
    data: bytes, kind: str, version: int, decoder: "msgspec.msgpack.Decoder[S]", *, max_bytes: int, what: str
) -> S:
    """The struct in a file's content, which is the only content that holds it.

    Args:
        what: names the file in errors.

    Raises:
        MalformedProofError: truncated, extended, edited, another version, or not such a struct.
    """
    try:
        found = decoder.decode(unwrap(data, kind, version, max_bytes=max_bytes))
    except ArtifactError as error:
        raise MalformedProofError(f"{what}: {one_line(error)}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MalformedProofError(
            f"{what}: its content does not have the form of such a file: {one_line(error)}"
        ) from None
    if wrap(kind, version, msgspec.msgpack.encode(found)) != data:
        raise MalformedProofError(f"{what}: not in canonical form")
    return found


def load(path: str | os.PathLike[str], parse: Callable[[bytes], T], *, max_bytes: int) -> T:
    """What a file holds, whose payload has at most `max_bytes`.

    Raises:
        MalformedProofError: there is no such file, it is larger, or `parse` raises it.
    """
    try:
        data = read_bounded(path, max_bytes=max_bytes + HEADER_BYTES)
    except ArtifactError as error:
        raise MalformedProofError(one_line(error)) from None
    return parse(data)
