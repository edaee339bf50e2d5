"""Keys that prove nothing and keep a record of it, for jobs that are to be interrupted often."""

import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from support.example_programs import mlp

from zkinfer.backend import Keys
from zkinfer.circuit.qformat import dequantize
from zkinfer.files.budget import Budget, create
from zkinfer.files.commitment import Commitment
from zkinfer.files.key_folder import COMMITMENT_FILE
from zkinfer.files.proof import OutputTensor, Proof
from zkinfer.jobs import api
from zkinfer.jobs.job import SAMPLE_COMMITMENT_FILE, SamplePolicy, proofs_folder
from zkinfer.jobs.manifest import MANIFEST_FILE, Manifest
from zkinfer.jobs.sample import picked
from zkinfer.typing import IntArray

PROGRAM = mlp().program
SPAN = 31
"""Values that an element of an input takes."""

LARGEST_ITEM = SPAN**3

OWNER = b"recording keys".ljust(32)
"""What their budgets belong to."""

CHALLENGE = b"beacon, round 1234567"
SAMPLE = SamplePolicy(rate=0.01, confidence=0.9, seed=bytes(32))


def item_integers(numbers: npt.ArrayLike) -> IntArray:
    """Items that tell their own numbers, below `LARGEST_ITEM`: int64 of shape (items, 3)."""
    n = np.asarray(numbers, dtype=np.int64)
    return np.stack([n % SPAN, n // SPAN % SPAN, n // SPAN**2], axis=1) - 15


def item_numbers(integers: IntArray) -> IntArray:
    """The numbers that items tell."""
    digits = integers.reshape(-1, 3) + 15
    return digits[:, 0] + SPAN * digits[:, 1] + SPAN**2 * digits[:, 2]


def item_reals(count: int) -> npt.NDArray[np.float64]:
    """The first items as real numbers, shape (count, 3)."""
    return dequantize(item_integers(np.arange(count)), PROGRAM.inputs[0])


@lru_cache(maxsize=1)
def _commitment() -> Commitment:
    from zkinfer.native.setup import setup

    return setup(PROGRAM, mlp().weights, proofs=1).commitment


class RecordedExecution:
    """Computes for items what `RecordingKeys` claim for them."""

    program = PROGRAM

    def run(self, runs: Sequence[IntArray]) -> list[IntArray | None]:
        """Values as `execution.Executor` gives them, of which only the outputs are there."""
        values: list[IntArray | None] = [None] * PROGRAM.num_values
        values[PROGRAM.outputs[0]] = claimed(item_numbers(runs[0]))[:, None]
        return values


def claimed(numbers: IntArray) -> IntArray:
    """The outputs of items with these numbers: int64 of shape (items, 2)."""
    return np.stack([numbers, -numbers], axis=1)


class RecordingKeys(Keys):
    """Keys whose proofs say nothing but which items they were made of.

    Attributes:
        log: a line for each proof, with the number of its first item.
        seconds: how long a proof takes.
    """

    backend = "native"

    def __init__(self, folder: Path, proofs: int = 1 << 14, seconds: float = 0.0) -> None:
        self.folder = folder
        self.seed = bytes(32)
        self.log = folder / "log"
        self.seconds = seconds
        if not (folder / "budget").exists():
            folder.mkdir(parents=True, exist_ok=True)
            _commitment().save(folder / COMMITMENT_FILE)
            create(folder / "budget", OWNER, proofs)
        self.commitment = Commitment.load(folder / COMMITMENT_FILE)
        self._counter = Budget(folder / "budget", OWNER, proofs)
        self.executor = RecordedExecution()

    @property
    def counter(self) -> Budget:
        return self._counter

    def prove(
        self,
        inputs: Sequence[IntArray],
        context: bytes,
        *,
        private_inputs: bool = False,
        private_outputs: bool = False,
    ) -> Proof:
        numbers = item_numbers(inputs[0])
        self.counter.spend()
        with self.log.open("a") as log:
            log.write(f"{numbers[0]}\n")
        if self.seconds:
            time.sleep(self.seconds)
        outputs = OutputTensor.of(claimed(numbers), 6)
        return Proof("sumcheck", self.commitment.digest, (outputs,), b"no proof")

    def proof_bytes(self, runs: int, *, private_inputs: bool = False, private_outputs: bool = False) -> int:
        return 4096 + 16 * runs

    @property
    def proven(self) -> list[int]:
        """The first item of each proof ever begun, in order."""
        return [int(line) for line in self.log.read_text().split()] if self.log.exists() else []


def new_job(folder: Path, items: int, proofs: int = 1 << 14) -> tuple[RecordingKeys, Path]:
    """Keys for so many proofs, and a file of so many items."""
    keys = RecordingKeys(folder / "keys", proofs)
    np.save(folder / "x.npy", item_reals(items))
    return keys, folder / "x.npy"


def check_complete(job: Path, items: int, dead: Sequence[int] = ()) -> Manifest:
    """Asserts that a job is complete: every item in one proof or dead, its output where it belongs."""
    manifest = Manifest.load(job / MANIFEST_FILE)
    living = [item for item in range(items) if item not in set(dead)]
    assert np.concatenate([batch.items for batch in manifest.batches]).tolist() == living
    assert [letter.index for letter in manifest.dead_letters] == list(dead)
    outputs = np.load(job / "outputs.npy")
    assert outputs.shape == (items, 2)
    assert np.array_equal(outputs[living][:, 0], np.ldexp(np.array(living, dtype=np.float64), -6))
    assert np.isnan(outputs[list(dead)]).all()
    names = [batch.proof for batch in manifest.batches if batch.proof]
    assert sorted(path.name for path in proofs_folder(job).iterdir()) == names
    for batch in manifest.batches:
        if batch.proof:
            tensor = Proof.load(proofs_folder(job) / batch.proof).output_tensors[0]
            assert isinstance(tensor, OutputTensor)
            assert tensor.integers()[: batch.size, 0].tolist() == batch.items.tolist()
    return manifest


def check_sample_complete(job: Path, items: int) -> Manifest:
    """Asserts that a sampled job is complete: it proves what the challenge picks, and has the outputs of all items."""
    manifest = Manifest.load(job / MANIFEST_FILE)
    assert manifest.digest == Manifest.load(job / SAMPLE_COMMITMENT_FILE).digest
    assert [number for number, batch in enumerate(manifest.batches) if batch.proof] == picked(manifest, CHALLENGE)
    assert np.array_equal(np.load(job / "outputs.npy"), np.ldexp(claimed(np.arange(items)).astype(np.float64), -6))
    names = [batch.proof for batch in manifest.batches if batch.proof]
    assert sorted(path.name for path in proofs_folder(job).iterdir()) == names
    return manifest


def begin_or_resume(folder: Path, batch_size: int, sample: SamplePolicy | None = None, proofs: int = 1 << 14) -> None:
    """Work on a job until it is complete, in a process that may be killed: its keys and items are beside it."""
    keys, job = RecordingKeys(folder / "keys", proofs), folder / "job"
    if (job / "state.sqlite").exists():
        outcome = api.resume(job, keys)
    else:
        outcome = api.run(job, keys, folder / "x.npy", batch_size=batch_size, sample=sample)
    if outcome.committed is not None:
        api.resume(job, keys, challenge=CHALLENGE)
