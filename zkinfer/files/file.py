"""What all of zkinfer's files share: one kind, one encoding, atomic writing and bounded reading."""

import os
from collections.abc import Callable, Sequence
from typing import ClassVar, Self, TypeAlias

import msgspec

from zkinfer.counts import counted
from zkinfer.errors import ArtifactError, MalformedProofError, UnreadableProofError, WrongKindError, ZkinferError
from zkinfer.files.artifact import (
    HEADER_BYTES,
    Buffer,
    kind_and_version,
    one_line,
    opened,
    wrapped,
    write_atomically,
)
from zkinfer.files.kinds import KINDS, FileKind
from zkinfer.files.reading import read_bounded

Source: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str]
"""A file's content, or its path."""


class File:
    """A value that is kept in a file of its own: a payload in the envelope of `artifact`.

    A subclass names its kind, and the errors that refuse a file: `UNREADABLE`, a kind of `REFUSAL`, where there is no
    file of this kind, and `REFUSAL` where there is one that is damaged. By default the payload is the value itself, in
    MessagePack, as suits a `msgspec.Struct`; other classes override `_encoded` and `_decoded`. A large value overrides
    `_pieces` and `_decoded_view` instead, so that its parts are not copied.
    """

    __slots__ = ()

    KIND: ClassVar[FileKind]
    REFUSAL: ClassVar[type[ZkinferError]] = MalformedProofError
    UNREADABLE: ClassVar[type[ZkinferError]] = UnreadableProofError

    def _encoded(self) -> bytes:
        """The payload."""
        return msgspec.msgpack.encode(self)

    def _pieces(self) -> Sequence[Buffer]:
        """The payload in pieces."""
        return [self._encoded()]

    @classmethod
    def _decoded_view(cls, payload: memoryview) -> Self:
        """As `_decoded`, of a payload within the bytes of a file: they never change, and a value may keep parts."""
        return cls._decoded(bytes(payload))

    @classmethod
    def _decoded(cls, payload: bytes) -> Self:
        """The value in a payload.

        Raises:
            ArtifactError, msgspec.MsgspecError, UnicodeDecodeError: there is none.
        """
        return msgspec.msgpack.decode(payload, type=cls)

    def _validate(self) -> None:
        """Check what the types leave open, as sizes and ranges; raises `REFUSAL`."""

    def _is_canonical(self, payload: Buffer) -> bool:
        """Whether the payload is the one encoding of this value."""
        return self._encoded() == payload

    def to_bytes(self) -> bytes:
        """The file's content, canonical."""
        return b"".join(wrapped(self.KIND.tag, self.KIND.version, self._pieces()))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The value in a file's content, well formed; whether it is true is not checked here.

        Raises:
            MalformedProofError: truncated, extended, edited, of another kind or version, not in canonical form, or
                with parts that are impossible. Of a commitment it is MalformedCommitmentError, of a circuit
                ArtifactError.
        """
        kind = cls.KIND
        try:
            payload = opened(data, kind.tag, kind.version, max_bytes=kind.max_bytes)
            value = cls._decoded_view(payload)
        except WrongKindError as error:
            raise cls.UNREADABLE(f"{kind.name}: {one_line(error)}{cls._advice_of(_kind_of(data))}") from None
        except ArtifactError as error:
            raise cls.REFUSAL(f"{kind.name}: {one_line(error)}") from None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise cls.REFUSAL(f"{kind.name}: does not have the form of a {kind.name}: {one_line(error)}") from None
        value._validate()
        if not value._is_canonical(payload):
            raise cls.REFUSAL(f"{kind.name}: not in canonical form")
        return value

    @classmethod
    def of(
        cls,
        source: Self | Source,
        *,
        max_bytes: int | None = None,
        decode: Callable[[bytes], Self] | None = None,
    ) -> Self:
        """The value itself, or that of a file's content or path.

        Args:
            source: any of these.
            max_bytes: a longer payload is refused, where that is less than what the kind of file allows.
            decode: used in the place of `from_bytes`: one that remembers what it has decoded.

        Raises:
            MalformedProofError, MalformedCommitmentError, ArtifactError: as `load`; also for anything else.
        """
        if isinstance(source, cls):
            return source
        if isinstance(source, (bytes, bytearray, memoryview)):
            if max_bytes is not None and len(source) > max_bytes + HEADER_BYTES:
                raise cls.UNREADABLE(
                    f"{cls.KIND.name}: {counted(len(source), 'byte')}, where at most {max_bytes:,} are accepted"
                )
            return (decode or cls.from_bytes)(bytes(source))
        if isinstance(source, (str, os.PathLike)):
            return cls._loaded(source, max_bytes, decode) if decode else cls.load(source, max_bytes=max_bytes)
        raise cls.UNREADABLE(
            f"a {cls.KIND.name}, its bytes or a path is needed, got {type(source).__name__}{cls._advice(source)}"
        )

    @classmethod
    def _advice(cls, source: object) -> str:
        """What to hand in instead; empty where that cannot be told."""
        return ""

    @classmethod
    def _advice_of(cls, found: FileKind | None) -> str:
        """What to hand in instead of a file of that kind, or of no kind of zkinfer; empty where that cannot be told."""
        return ""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, atomically; what holds secrets is readable by its owner alone.

        Raises:
            ResourceError: the file cannot be written.
        """
        pieces = wrapped(self.KIND.tag, self.KIND.version, self._pieces())
        write_atomically(path, *pieces, private=self.KIND.private)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, max_bytes: int | None = None) -> Self:
        """Read a file; `max_bytes` as in `of`.

        Raises:
            MalformedProofError, MalformedCommitmentError, ArtifactError: as `from_bytes`; also when there is no such
                file, or it is too large.
        """
        return cls._loaded(path, max_bytes, cls.from_bytes)

    @classmethod
    def _loaded(cls, path: str | os.PathLike[str], max_bytes: int | None, decode: Callable[[bytes], Self]) -> Self:
        """`load`, with what decodes the content."""
        try:
            limit = cls.KIND.max_bytes if max_bytes is None else min(max_bytes, cls.KIND.max_bytes)
            data = read_bounded(path, max_bytes=limit + HEADER_BYTES, wanted=cls._is_of_kind)
        except ArtifactError as error:
            raise cls.UNREADABLE(one_line(error)) from None
        try:
            return decode(data)
        except ZkinferError as error:
            name = cls.KIND.name
            reason = str(error).removeprefix(f"{name}: ")
            raise type(error)(f"{name} {os.fspath(path)}: {reason}") from None

    @classmethod
    def _is_of_kind(cls, start: bytes) -> bool:
        """Whether a file that begins so says that it is of this kind and version; else `from_bytes` says what it is."""
        try:
            return kind_and_version(start) == (cls.KIND.tag, cls.KIND.version)
        except WrongKindError:
            return False


def _kind_of(data: bytes) -> FileKind | None:
    """The kind that a file says it has; None for no file of zkinfer."""
    try:
        return KINDS.get(kind_and_version(data)[0])
    except WrongKindError:
        return None
