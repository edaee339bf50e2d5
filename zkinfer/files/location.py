"""Where a file is: on this machine, or in a store that fsspec reaches, such as s3://bucket/model.zkc.

A `pathlib.Path` cannot say the second: it makes one slash of two. So the files that people name are locations from the
command line on, and everything that reads or writes a file takes one.
"""

import os
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from zkinfer.arguments import url_scheme
from zkinfer.errors import ArtifactError
from zkinfer.files import stores


class Location(os.PathLike[str]):
    """A file's path, or its URL; a file:// or local:// URL is the path that it names.

    Attributes:
        text: as people and messages write it.
        path: on this machine; None where the file is in a store.
    """

    __slots__ = ("path", "text")

    def __init__(self, place: "str | os.PathLike[str]") -> None:
        """Tell the two apart; nothing is looked at.

        Raises:
            ArtifactError: a URL that a `pathlib.Path` has shortened, or a file:// URL of another machine.
        """
        self.text = os.fsdecode(place)
        self.path: Path | None = None
        scheme = url_scheme(self.text)
        if not scheme:
            self.path = Path(self.text)
        elif not self.text.startswith(f"{scheme}://"):
            raise ArtifactError(
                f"{self.text} is a URL of which pathlib.Path has left out a slash: hand in the text, {scheme}://..."
            )
        elif scheme.lower() in ("file", "local"):
            parts = urlsplit(self.text)
            if parts.netloc not in ("", "localhost"):
                raise ArtifactError(f"{self.text} is on another machine, {parts.netloc}: file:/// has three slashes")
            self.path = Path(unquote(parts.path))
            self.text = str(self.path)

    @property
    def name(self) -> str:
        """The last part, such as "model.zkc"."""
        return PurePosixPath(self.text).name

    @property
    def suffix(self) -> str:
        """The end of the name, such as ".zkc"; may be empty."""
        return PurePosixPath(self.text).suffix

    def exists(self) -> bool:
        """Whether there is a file, or a folder.

        Raises:
            ArtifactError: the disk or the store cannot say; MissingDependencyError: a store's package is not installed.
        """
        try:
            return stores.exists(self.text) if self.path is None else self.path.exists()
        except OSError as error:
            raise ArtifactError(f"cannot read {self}: {error.strerror or error}") from error

    def is_folder(self) -> bool:
        """Whether it is a folder of this machine."""
        try:
            return self.path is not None and self.path.is_dir()
        except OSError:  # too long a name
            return False

    def size(self) -> int:
        """How many bytes the file has.

        Raises:
            ArtifactError, MissingDependencyError: as `exists`; also where there is no such file.
        """
        try:
            return stores.size(self.text) if self.path is None else self.path.stat().st_size
        except OSError as error:
            raise ArtifactError(f"cannot read {self}: {error.strerror or error}") from error

    def __fspath__(self) -> str:
        return self.text

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Location({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Location) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)
