"""A store that says one thing of its files and sends another: `lying://STATED/SENT` has so many bytes, it says."""

import io
from typing import Any

import fsspec
from fsspec.spec import AbstractFileSystem


class LyingStore(AbstractFileSystem):  # type: ignore[misc]
    """Attributes:
    handed_out: bytes that were read from it.
    """

    protocol = "lying"
    cachable = False
    handed_out = 0

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        stated = self._strip_protocol(path).split("/")[0]
        return {"name": path, "type": "file", "size": int(stated) if stated.lstrip("-").isdigit() else None}

    def open(self, path: str, *_: Any, **__: Any) -> Any:
        return _Sent(int(self._strip_protocol(path).split("/")[1]))


class _Sent(io.RawIOBase):
    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int = -1) -> bytes:
        size = self._left if size < 0 else min(size, self._left)
        self._left -= size
        LyingStore.handed_out += size
        return bytes(size)


fsspec.register_implementation("lying", LyingStore, clobber=True)
