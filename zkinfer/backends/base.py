"""What a backend is: keys that prove, for any program of the three primitives."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from zkinfer.circuit.program import Program
from zkinfer.commitment import Backend, Commitment
from zkinfer.errors import ArtifactError, InvalidInputError, MalformedCommitmentError
from zkinfer.proof import Proof

IntArray = npt.NDArray[np.int64]

COMMITMENT_FILE = "commitment.zkc"
"""Where a folder of keys holds its commitment, whatever the backend."""


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
    def prove(
        self,
        inputs: Sequence[IntArray],
        context: bytes,
        *,
        private_inputs: bool = False,
        private_outputs: bool = False,
    ) -> Proof:
        """A proof of one or more runs of the program.

        Args:
            inputs: for each input of the program, integers of shape (runs, *tensor.shape).
            context: bytes that the proof is bound to.
            private_inputs, private_outputs: show commitments to them in the place of their values.

        Raises:
            InvalidInputError: the inputs or the context are not what the program and the backend take.
            BudgetError: the keys have made all their proofs.
            ProvingError: the backend fails.
        """

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
        path = Path(folder).absolute()
        if not path.is_dir():
            raise ArtifactError(f"{path} is not a folder of zkinfer keys")
        try:
            commitment = Commitment.load(path / COMMITMENT_FILE)
        except MalformedCommitmentError as error:
            raise ArtifactError(str(error)) from None
        if commitment.backend == "ezkl":
            from zkinfer.backends.ezkl.keys import EzklKeys

            return EzklKeys.load(path)
        from zkinfer.backends.sumcheck.keys import SumcheckKeys

        return SumcheckKeys.load(path)


BACKENDS: tuple[Backend, ...] = ("sumcheck", "ezkl")


def require_backend(name: str) -> Backend:
    """The backend of that name.

    Raises:
        InvalidInputError: there is none; the message lists those that do.
    """
    for backend in BACKENDS:
        if backend == name:
            return backend
    raise InvalidInputError(f"there is no backend {name!r}; choose one of: {', '.join(BACKENDS)}")
