"""The files of a job that may come from anyone, manifests and items: one encoding, and bounded reading."""

import os
from typing import ClassVar, Self

import msgspec

from zkinfer.errors import ArtifactError, MalformedProofError
from zkinfer.files.artifact import HEADER_BYTES, one_line, read_bounded, unwrap, wrap, write_atomically


class StoredFile:
    """A struct that is kept in a file of its own, in MessagePack and the envelope of `files.artifact`.

    Attributes:
        KIND, VERSION: of the envelope.
        MAX_BYTES: of the payload; a longer file is refused before it is read.
        NAME: what messages call such a file.
    """

    __slots__ = ()

    KIND: ClassVar[str]
    VERSION: ClassVar[int]
    MAX_BYTES: ClassVar[int]
    NAME: ClassVar[str]

    def _encoded(self) -> bytes:
        """The payload: the one encoding of this value."""
        return msgspec.msgpack.encode(self)

    def _validate(self) -> None:
        """Check what the types leave open.

        Raises:
            MalformedProofError: no job has such a file.
        """

    def to_bytes(self) -> bytes:
        """The file's content, canonical."""
        return wrap(self.KIND, self.VERSION, self._encoded())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The value in a file's content, well formed; whether it is true is not checked here.

        Raises:
            MalformedProofError: truncated, extended, edited, of another kind or version, not canonical, or impossible.
        """
        try:
            value = msgspec.msgpack.decode(unwrap(data, cls.KIND, cls.VERSION, max_bytes=cls.MAX_BYTES), type=cls)
        except (ArtifactError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise MalformedProofError(f"{cls.NAME}: {one_line(error)}") from None
        if value.to_bytes() != data:
            raise MalformedProofError(f"{cls.NAME}: not in canonical form")
        value._validate()
        return value

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, atomically.

        Raises:
            ResourceError: the file cannot be written.
        """
        write_atomically(path, self.to_bytes())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file.

        Raises:
            MalformedProofError: see `from_bytes`; also when there is no such file.
        """
        try:
            data = read_bounded(path, max_bytes=cls.MAX_BYTES + HEADER_BYTES)
        except ArtifactError as error:
            raise MalformedProofError(one_line(error)) from None
        return cls.from_bytes(data)
