"""What a backend is: keys that prove, for any program of the three primitives."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from zkinfer.circuit.program import Program
from zkinfer.commitment import Commitment
from zkinfer.errors import InvalidInputError
from zkinfer.proof import Proof

IntArray = npt.NDArray[np.int64]


class Keys(ABC):
    """Proving keys in a folder: everything that making proofs needs, weights included.

    Attributes:
        backend: the backend's name.
        folder: where the files lie.
        commitment: the public commitment, the file to publish.
    """

    backend: str
    folder: Path
    commitment: Commitment

    @property
    def program(self) -> Program:
        """The integer program that the keys prove."""
        return self.commitment.program

    @property
    @abstractmethod
    def proofs_left(self) -> int:
        """How many proofs the commitment still hides its weights for."""

    @abstractmethod
    def prove(self, inputs: Sequence[IntArray], context: bytes) -> Proof:
        """A proof for integer inputs, one array an input of the program and of its exact shape."""

    @abstractmethod
    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Move the keys to a folder that does not exist yet."""

    @staticmethod
    def load(folder: str | os.PathLike[str]) -> "Keys":
        """Read a folder of keys, of whichever backend.

        Raises:
            ArtifactError: a file is missing, truncated, edited or of another version.
            WrongKeyError: the folder mixes files of different keys.
        """
        from zkinfer.backends.ezkl.keys import EzklKeys

        return EzklKeys.load(folder)


BACKENDS = ("ezkl",)


def require_backend(name: str) -> None:
    """Check that a backend exists.

    Raises:
        InvalidInputError: it does not; the message lists those that do.
    """
    if name not in BACKENDS:
        raise InvalidInputError(f"there is no backend {name!r}; choose one of: {', '.join(BACKENDS)}")
