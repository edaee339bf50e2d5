"""What a backend is: keys that prove, for any program of the three primitives."""

import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from zkinfer.circuit.program import Program
from zkinfer.errors import ArtifactError, InvalidInputError, MalformedCommitmentError
from zkinfer.files.budget import spent
from zkinfer.files.commitment import Backend, Commitment
from zkinfer.files.kinds import KEY_SECRET
from zkinfer.files.moving import move_keys
from zkinfer.files.proof import Proof
from zkinfer.typing import IntArray

COMMITMENT_FILE = "commitment.zkc"
SECRET_FILE = "secret.zkk"
"""Where a folder of keys holds its commitment and its secrets, whatever the backend."""

SECRET_KIND = KEY_SECRET.tag
SEED_BYTES = 32


def new_seed() -> bytes:
    """A fresh seed from the operating system."""
    return secrets.token_bytes(SEED_BYTES)


def require_seed(seed: bytes) -> bytes:
    """The seed, once it has the length of one.

    Raises:
        InvalidInputError: it has another.
    """
    if len(seed) != SEED_BYTES:
        raise InvalidInputError(f"a seed has {SEED_BYTES} bytes, not {len(seed)}")
    return seed


class Keys(ABC):
    """Proving keys in a folder: everything that making proofs needs, weights included.

    Attributes:
        backend: the backend's name.
        folder: where the files lie.
        commitment: the public commitment, the file to publish.
        seed: the secret seed that the commitment hides its weights with. An auditor who holds the weights needs it too.
    """

    backend: Backend
    folder: Path
    commitment: Commitment
    seed: bytes

    @property
    def program(self) -> Program:
        """The integer program that the keys prove."""
        return self.commitment.program

    @property
    @abstractmethod
    def budget(self) -> int:
        """How many proofs the commitment hides its weights for, in all."""

    @property
    @abstractmethod
    def budget_file(self) -> Path:
        """Where it is accounted for how many were made."""

    @property
    def proofs_left(self) -> int:
        """How many proofs the keys may still make."""
        return max(0, self.budget - spent(self.budget_file))

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

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Move the keys to a folder that does not exist yet; it appears whole or not at all.

        Moved, not copied: two copies would each spend the same budget, and the weights would show.

        Raises:
            ResourceError: the folder exists, or cannot be written.
        """
        self.folder = move_keys(self.folder, Path(folder).absolute(), self.budget_file, self.budget)
        return self.folder

    @staticmethod
    def load(folder: str | os.PathLike[str], *, verify_files: bool = False) -> "Keys":
        """Read a folder of keys, of whichever backend.

        Args:
            folder: as `setup` or `save` made it.
            verify_files: also read every byte of the native backend's files and compare them with what was written,
                which for large models takes a while. Those of ezkl are always compared.

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
            from zkinfer.ezkl.keys import EzklKeys

            return EzklKeys.load(path)
        from zkinfer.native.keys import SumcheckKeys

        return SumcheckKeys.load(path, verify_files=verify_files)


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
