"""A backend of a page, to show what adding one takes: this module, and one line in the registry.

It is sound and hides nothing: the commitment is a hash of the weights with a seed, a proof is the weights and the seed,
and checking it means evaluating the program again. Proofs may be of up to `MAX_RUNS` runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from blake3 import blake3
from rich.table import Table

from zkinfer.backend import Backend, Check, Estimate, Guarantee, KeyDescription, Keys, Limits, ProofSize
from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.program import Program
from zkinfer.circuit.samples import batch_of, stacked_shape
from zkinfer.errors import ArtifactError, BudgetError, InvalidInputError, InvalidProofError, MalformedProofError
from zkinfer.files.artifact import building_folder
from zkinfer.files.budget import Budget, create
from zkinfer.files.commitment import Commitment, VerifyingKey
from zkinfer.files.key_folder import COMMITMENT_FILE, SEED_BYTES, new_seed, place_for_keys, read_commitment
from zkinfer.files.proof import OutputTensor, Proof
from zkinfer.files.statement import Statement
from zkinfer.typing import IntArray

MAX_RUNS = 4
WEIGHTS_FILE = "weights"
DIGEST_BYTES = 32


class RevealingVerifyingKey(VerifyingKey, frozen=True, array_like=True, tag="revealing", forbid_unknown_fields=True):
    """What the weights and the seed hash to, and how many proofs the keys were made for."""

    digest: bytes
    proofs: int

    def check(self, program: Program) -> None:
        """See `VerifyingKey.check`."""
        if len(self.digest) != DIGEST_BYTES or self.proofs < 1:
            raise ArtifactError("this is no key of the revealing backend")


class RevealingKeys(Keys):
    """A folder with the commitment, the seed followed by the weights, and the budget."""

    backend = "revealing"

    def __init__(self, folder: Path, temporary: TemporaryDirectory[str] | None = None) -> None:
        self.folder = folder
        self.commitment = read_commitment(folder)
        self.secret = (folder / WEIGHTS_FILE).read_bytes()
        self.seed = self.secret[:SEED_BYTES]
        self._temporary = temporary

    @property
    def counter(self) -> Budget:
        """See `Keys.counter`."""
        proofs = self.commitment.key_as(RevealingVerifyingKey).proofs
        return Budget(self.folder / "budget", self.commitment.digest, proofs)


@dataclass(frozen=True)
class RevealingEstimate(Estimate):
    """Guesses."""

    runs: int
    prove_seconds: float
    memory_bytes: int
    disk_bytes: int

    @property
    def title(self) -> str:
        """See `Estimate.title`."""
        return "Estimate, revealing backend"

    def rows(self) -> list[tuple[str, str]]:
        """See `Estimate.rows`."""
        return [("runs", str(self.runs))]

    def table(self) -> Table:
        """See `Estimate.table`."""
        return Table("cost", title="Costs")


def secret_of(weights: Sequence[IntArray], seed: bytes) -> bytes:
    """The seed, then all weights, 8 bytes each."""
    return seed + b"".join(np.ascontiguousarray(array, dtype="<i8").tobytes() for array in weights)


class RevealingBackend(Backend[RevealingKeys]):
    """See the module."""

    name = "revealing"
    verifying_key = RevealingVerifyingKey
    engines = ("python",)
    min_bits = 128.0
    default_proofs = 7
    limits = Limits(runs=MAX_RUNS, hides_values=False)

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
    ) -> RevealingKeys:
        """See `Backend.setup`."""
        place, temporary = place_for_keys(folder)
        secret = secret_of(weights, seed or new_seed())
        with building_folder(place) as part:
            commitment = Commitment(program, RevealingVerifyingKey(blake3(secret).digest(), proofs))
            commitment.save(part / COMMITMENT_FILE)
            (part / WEIGHTS_FILE).write_bytes(secret)
            create(part / "budget", commitment.digest, proofs)
        return RevealingKeys(place, temporary)

    def load(self, folder: Path, *, verify_files: bool) -> RevealingKeys:
        """See `Backend.load`."""
        return RevealingKeys(folder)

    def proof_bytes(self, keys: RevealingKeys, runs: int, *, private_inputs: bool, private_outputs: bool) -> int:
        """See `Backend.proof_bytes`."""
        return 4096 + len(keys.secret)

    def prove(
        self,
        keys: RevealingKeys,
        inputs: Sequence[IntArray],
        context: bytes,
        *,
        private_inputs: bool,
        private_outputs: bool,
    ) -> Proof:
        """See `Backend.prove`."""
        runs = len(inputs[0])
        if private_inputs or private_outputs or runs > MAX_RUNS:
            raise InvalidInputError(f"the revealing backend proves up to {MAX_RUNS} runs, and hides nothing")
        if not keys.proofs_left:
            raise BudgetError(f"these keys have made all their {keys.budget} proofs")
        keys.counter.spend()
        outputs = run_again(keys.program, keys.secret, inputs)
        statement = Statement(keys.commitment, runs, tuple(inputs), tuple(outputs), context)
        batch = batch_of(keys.program)
        claimed = tuple(
            OutputTensor.of(array.reshape(stacked_shape(tensor.shape, batch, runs)), tensor.frac_bits)
            for tensor, array in zip(keys.program.output_tensors, outputs, strict=True)
        )
        return Proof(self.name, keys.commitment.digest, claimed, statement.digest() + keys.secret)

    def estimate(
        self, program: Program, weights: Sequence[IntArray], *, runs: int, proofs: int, proof_size: ProofSize
    ) -> Estimate:
        """See `Backend.estimate`."""
        return RevealingEstimate(runs, 0.001 * runs, 1 << 20, 8 * sum(array.size for array in weights))

    def commits_to(
        self, commitment: Commitment, weights: Sequence[IntArray], seed: bytes, srs_path: Path | None
    ) -> bool:
        """See `Backend.commits_to`."""
        digest: bytes = blake3(secret_of(weights, seed)).digest()
        return digest == commitment.key_as(RevealingVerifyingKey).digest

    def checker(self, commitment: Commitment, engine: str) -> Check:
        """See `Backend.checker`."""
        commitment.check()
        key = commitment.key_as(RevealingVerifyingKey)

        def check(statement: Statement, proof: Proof) -> Guarantee:
            stated, secret = proof.data[:DIGEST_BYTES], proof.data[DIGEST_BYTES:]
            if len(secret) != SEED_BYTES + 8 * sum(tensor.size for tensor in commitment.program.weights):
                raise MalformedProofError("the proof does not hold as many weights as the program has")
            if blake3(secret).digest() != key.digest or stated != statement.digest():
                raise InvalidProofError("the proof is of other weights, or for another statement")
            inputs = [value for value in statement.inputs if not isinstance(value, bytes)]
            for computed, claimed in zip(run_again(commitment.program, secret, inputs), statement.outputs, strict=True):
                if isinstance(claimed, bytes) or not np.array_equal(computed, claimed):
                    raise InvalidProofError("the program gives other outputs")
            return Guarantee(128.0, "a hash, and the program evaluated again", "nothing")

        return check

    def describe(self, commitment: Commitment) -> KeyDescription:
        """See `Backend.describe`."""
        digest = commitment.key_as(RevealingVerifyingKey).digest
        return KeyDescription((("digest of the weights", digest.hex()),), "a hash, until the first proof shows them")


def run_again(program: Program, secret: bytes, inputs: Sequence[IntArray]) -> list[IntArray]:
    """The outputs of the program with the weights that follow the seed."""
    weights, start = [], SEED_BYTES
    for tensor in program.weights:
        flat = np.frombuffer(secret, dtype="<i8", count=tensor.size, offset=start)
        weights.append(flat.astype(np.int64).reshape(tensor.shape))
        start += 8 * tensor.size
    values = evaluate(program, weights, list(inputs))
    return [np.asarray(values[value], dtype=np.int64) for value in program.outputs]


BACKEND = RevealingBackend()
