"""What a backend is: everything that the rest of zkinfer asks of one way of proving, for any program.

A backend is one object, of a subclass of `Backend`, in a folder of its own; `zkinfer.registry` has its name. Nothing
else in zkinfer depends on which backend it has to do with.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeAlias, TypeVar, get_args

from zkinfer import registry
from zkinfer.arguments import as_path
from zkinfer.circuit.program import Program
from zkinfer.errors import CommitmentMismatchError, InvalidInputError, WrongKeyError
from zkinfer.files.budget import Budget
from zkinfer.files.commitment import Commitment, VerifyingKey
from zkinfer.files.key_folder import move_keys, read_commitment
from zkinfer.files.proof import Proof
from zkinfer.files.rotation import Rotation
from zkinfer.files.statement import Statement
from zkinfer.notebook import card
from zkinfer.typing import IntArray

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

    from rich.table import Table

ProofSize: TypeAlias = Literal["balanced", "small"]
"""What keys are made for: proofs whose bytes and time are in balance, or as few bytes as about twice the time buys."""

PROOF_SIZES: tuple[ProofSize, ...] = get_args(ProofSize)


class Keys(ABC):
    """Proving keys in a folder: everything that making proofs needs, weights included.

    Attributes:
        backend: the backend's name.
        folder: where the files lie.
        commitment: the public commitment, the file to publish.
        seed: the secret seed that the commitment hides its weights with. An auditor who holds the weights needs it too.
        proof_size: what they were made for; all their proofs keep to it.
    """

    backend: str
    folder: Path
    commitment: Commitment
    seed: bytes
    proof_size: ProofSize = "balanced"
    _temporary: "TemporaryDirectory[str] | None" = None

    @property
    def program(self) -> Program:
        """The integer program that the keys prove."""
        return self.commitment.program

    @property
    @abstractmethod
    def counter(self) -> Budget:
        """The file that counts how many proofs were made, held open."""

    @property
    def budget(self) -> int:
        """How many proofs the commitment hides its weights for, in all."""
        return self.counter.total

    @property
    def proofs_left(self) -> int:
        """How many proofs the keys may still make.

        Raises:
            ArtifactError: the count is gone or damaged.
            WrongKeyError: the folder holds other keys by now.
        """
        return self.counter.left

    @property
    def is_temporary(self) -> bool:
        """Whether the folder is removed with this object."""
        return self._temporary is not None and self.folder.is_relative_to(self._temporary.name)

    def prove(
        self, inputs: Sequence[IntArray], context: bytes, *, private_inputs: bool = False, private_outputs: bool = False
    ) -> Proof:
        """A proof of one or more runs of the program.

        Args:
            inputs: for each input of the program, integers of shape (runs, *tensor.shape).
            context: bytes that the proof is bound to.
            private_inputs, private_outputs: show commitments to them in the place of their values.

        Raises:
            InvalidInputError: the inputs or the context are not what the program and the backend take.
            BudgetError: the keys have made all their proofs.
            ArtifactError, WrongKeyError: the folder was renewed, restored or damaged since the keys were loaded.
            ProvingError: the backend fails.
        """
        return find_backend(self.backend).prove(
            self, inputs, context, private_inputs=private_inputs, private_outputs=private_outputs
        )

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Move the keys to a folder that does not exist yet; it appears whole or not at all.

        Moved, not copied: two copies would each spend the same budget, and the weights would show.

        Raises:
            InvalidInputError: the folder exists.
            ResourceError: it cannot be written.
        """
        self.folder = move_keys(self.folder, as_path("folder", folder).absolute(), self.counter)
        return self.folder

    def proof_bytes(self, runs: int, *, private_inputs: bool = False, private_outputs: bool = False) -> int:
        """About how many bytes a proof takes, rather too many: the room to reserve before it costs any of the budget.

        Args:
            runs: of the program.
            private_inputs, private_outputs: as for `prove`.
        """
        return find_backend(self.backend).proof_bytes(
            self, runs, private_inputs=private_inputs, private_outputs=private_outputs
        )

    @staticmethod
    def load(folder: str | os.PathLike[str], *, verify_files: bool = False) -> "Keys":
        """Read a folder of keys, of any backend.

        Args:
            folder: as `setup` or `save` made it.
            verify_files: also read every byte of the folder and compare it with what was written, which for large
                models takes a while. A backend with small files always does.

        Raises:
            ArtifactError: a file is missing, truncated, edited or of another version.
            WrongKeyError: the folder mixes files of different keys.
            MissingDependencyError: the backend is not installed.
        """
        path = as_path("folder", folder).absolute()
        backend = find_backend(read_commitment(path).backend)
        loaded: Keys = backend.load(path, verify_files=verify_files)
        return loaded

    def __reduce__(self) -> tuple[Callable[[str, bytes], "Keys"], tuple[str, bytes]]:
        """Pickled keys are the path of their folder, which has to be there: secrets and budget stay in it.

        Raises:
            InvalidInputError: the folder is a temporary one, which ends with this object.
        """
        if self.is_temporary:
            raise InvalidInputError(
                "these keys lie in a temporary folder, which another process cannot rely on: save them in one of "
                "their own (keys.save), or make them there (setup with folder=), and pass them on after that"
            )
        return _load_same, (str(self.folder), self.commitment.digest)

    def _repr_html_(self) -> str:
        """For notebooks."""
        rows = [
            ("folder", str(self.folder)),
            ("commitment", self.commitment.fingerprint),
            ("backend", self.backend),
            ("proofs left", f"{self.proofs_left:,} of {self.budget:,}"),
            ("kept", "in a temporary folder, which ends with this object: keys.save(folder)" * self.is_temporary),
        ]
        forgeable = "Test-only reference string: everyone can forge proofs under this commitment."
        return card(
            "Proving keys",
            rows,
            ["Secret: they hold the weights. Publish keys.commitment.", forgeable * self.commitment.key.test_only],
        )

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.commitment.fingerprint}, {self.proofs_left:,} of {self.budget:,} proofs left)"
        )


def _load_same(folder: str, digest: bytes) -> Keys:
    """The keys in a folder, which have to be those of that commitment.

    Raises:
        ArtifactError, WrongKeyError, MissingDependencyError: see `Keys.load`; or the folder holds other keys by now.
    """
    keys = Keys.load(folder)
    if keys.commitment.digest != digest:
        raise WrongKeyError(f"{folder} holds other keys than those that were passed on: they were renewed meanwhile")
    return keys


@dataclass(frozen=True)
class Limits:
    """What one proof of a backend can be of.

    Attributes:
        runs: of the program, at most; None for any number (up to `statement.MAX_RUNS`).
        hides_values: whether a proof may hide inputs and outputs.
    """

    runs: int | None = None
    hides_values: bool = True


@dataclass(frozen=True)
class Guarantee:
    """What the accepted proofs of one commitment are worth.

    Attributes:
        bits: whoever forges one does work of about 2**bits.
        soundness: what that rests on, in words.
        hiding: what a proof does not show of the model, and to whom, in words.
        test_only: made with a reference string whose maker can forge.
    """

    bits: float
    soundness: str
    hiding: str
    test_only: bool = False


Check: TypeAlias = Callable[[Statement, Proof], Guarantee]
"""The check of proofs for one commitment: returns what an accepted proof rests on, or raises a VerificationError."""


class Estimate(ABC):
    """What keys and proofs will take. Each backend predicts more than this, as attributes of its own class.

    Attributes:
        prove_seconds: time of one proof; of which clock, the backend says.
        memory_bytes: peak memory.
        disk_bytes: size of the folder of keys.
    """

    prove_seconds: float
    memory_bytes: int
    disk_bytes: int

    @property
    @abstractmethod
    def title(self) -> str:
        """What was predicted, and for which machine, in one line."""

    @abstractmethod
    def rows(self) -> list[tuple[str, str]]:
        """The prediction in words: names and values."""

    def table(self) -> "Table | None":
        """The cost part by part as a table for a terminal, where the backend can say that."""
        return None


@dataclass(frozen=True)
class KeyDescription:
    """A verifying key in words.

    Attributes:
        rows: names and values.
        hidden_behind: what hides the weights in the commitment; ends the sentence "the weights are hidden behind".
    """

    rows: tuple[tuple[str, str], ...]
    hidden_behind: str


K = TypeVar("K", bound=Keys)


class Backend(ABC, Generic[K]):
    """One way of proving, for keys of type `K`.

    Attributes:
        name: what callers name it by; that of its line in `zkinfer.registry`.
        verifying_key: the type of its part of a commitment.
        engines: the verifiers that check its proofs, by name; the first is "python", which needs no other program.
        default_proofs: how many proofs keys are made for where the caller does not say.
        limits: what one proof can be of.
        min_bits: what its proofs have to be worth where the caller of `verify` does not say.
        takes_reference_string: whether keys are made with a structured reference string, and audited with it.
        proof_sizes: what keys can be made for.
    """

    name: ClassVar[str]
    verifying_key: ClassVar[type[VerifyingKey]]
    engines: ClassVar[tuple[str, ...]]
    default_proofs: ClassVar[int]
    limits: ClassVar[Limits] = Limits()
    min_bits: ClassVar[float]
    takes_reference_string: ClassVar[bool] = False
    proof_sizes: ClassVar[tuple[ProofSize, ...]] = ("balanced",)

    # For the owner of a model.

    @abstractmethod
    def setup(
        self,
        program: Program,
        weights: Sequence[IntArray],
        *,
        folder: Path | None,
        srs_path: Path | None,
        proofs: int,
        seed: bytes | None,
        proof_size: ProofSize,
    ) -> K:
        """Make proving keys and the commitment; see `zkinfer.setup`.

        Args:
            program: what to prove.
            weights: its weights, in order; signed integers of any type.
            folder: where the keys go, a path that does not exist yet; a temporary folder when None.
            srs_path: a structured reference string; None also where the backend takes none.
            proofs: how many the keys may make.
            seed: 32 secret bytes; fresh ones when None.
            proof_size: one of `proof_sizes`.
        """

    @abstractmethod
    def load(self, folder: Path, *, verify_files: bool) -> K:
        """Read a folder of keys of this backend; see `Keys.load`."""

    @abstractmethod
    def prove(
        self, keys: K, inputs: Sequence[IntArray], context: bytes, *, private_inputs: bool, private_outputs: bool
    ) -> Proof:
        """A proof of one or more runs; see `Keys.prove`."""

    @abstractmethod
    def proof_bytes(self, keys: K, runs: int, *, private_inputs: bool, private_outputs: bool) -> int:
        """About how many bytes a proof of so many runs takes, rather too many; see `Keys.proof_bytes`."""

    def proof_parts(self, proof: Proof) -> dict[str, int]:
        """Bytes of a proof by part, for people; says nothing about whether it is valid.

        Raises:
            MalformedProofError: it is not a proof of this backend.
        """
        return {"proof": len(proof.data)}

    @abstractmethod
    def estimate(
        self, program: Program, weights: Sequence[IntArray], *, runs: int, proofs: int, proof_size: ProofSize
    ) -> Estimate:
        """What keys for so many proofs, and a proof of so many runs, will take; see `zkinfer.estimate`."""

    def rotate(self, keys: K, *, folder: Path | None, seed: bytes | None) -> K:
        """Make keys with a fresh commitment to the same weights; see `zkinfer.rotate`.

        Raises:
            InvalidInputError: this backend cannot prove that two commitments are to the same weights.
        """
        raise InvalidInputError(f"keys of backend {self.name!r} are not rotated: make new ones with setup")

    # For auditors.

    @abstractmethod
    def commits_to(
        self, commitment: Commitment, weights: Sequence[IntArray], seed: bytes, srs_path: Path | None
    ) -> bool:
        """Whether the commitment is the one to these weights with this seed: it is made again and compared.

        Raises:
            ArtifactError: the file is not the structured reference string of the commitment.
            ResourceError: too little disk.
        """

    def audit_bytes(self, commitment: Commitment) -> int:
        """About how much disk and memory `commits_to` takes, as far as the commitment's author has chosen that."""
        return 0

    def audit_keys(self, commitment: Commitment, srs_path: Path) -> str:
        """Derive all public keys from the program again; says in a sentence what was found to be true.

        Raises:
            InvalidInputError: a commitment of this backend has no such keys.
            CommitmentMismatchError: a key is not the one that follows from the program.
        """
        raise InvalidInputError(
            f"a commitment of the {self.name} backend has no keys to audit: each verification derives what it needs"
        )

    # For verifiers.

    @abstractmethod
    def checker(self, commitment: Commitment, engine: str) -> Check:
        """The check of proofs for one commitment.

        Args:
            commitment: of this backend, from anyone.
            engine: one of `engines`.

        Raises:
            MalformedCommitmentError: the commitment contradicts itself.
            VerifierNotInstalledError: the verifier needs a package that is not installed.
        """

    def weight_range_bits(self, commitment: Commitment, engine: str) -> float | None:
        """What a commitment's own proof is worth that all its weights lie within the bounds that its program says.

        Args:
            commitment: of this backend, from anyone.
            engine: one of `engines`.

        Returns:
            Bits of security; None if the commitment carries no such proof.

        Raises:
            MalformedCommitmentError: it carries one that is refused.
        """
        return None

    def follow_rotation(self, old: Commitment, rotation: Rotation) -> Commitment:
        """The commitment that a rotation leads to, once its proof is verified.

        Raises:
            VerificationError: it does not start from the old commitment, or is refused.
        """
        raise CommitmentMismatchError(f"commitments of backend {self.name!r} have no rotations")

    def rotation_bits(self, commitment: Commitment) -> float:
        """The security of one rotation of this commitment, and of every chain of them, in bits."""
        raise CommitmentMismatchError(f"commitments of backend {self.name!r} have no rotations")

    # For readers.

    @abstractmethod
    def describe(self, commitment: Commitment) -> KeyDescription:
        """The commitment's verifying key in words."""


def find_backend(name: str) -> Backend[Any]:
    """The backend of that name.

    Raises:
        InvalidInputError: there is none; the message lists those that there are.
    """
    backend: Backend[Any] = registry.find(name)
    return backend


def all_backends() -> tuple[Backend[Any], ...]:
    """Every backend of the registry, in its order."""
    return tuple(find_backend(name) for name in registry.BACKENDS)
