"""One batch to be proven: what a worker is handed, what it hands back, and the proving."""

import resource
import sys
import time
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import numpy as np

from zkinfer.errors import ArtifactError, BudgetError, ResourceError, WrongKeyError
from zkinfer.files.artifact import one_line
from zkinfer.jobs.outputs import claimed_outputs
from zkinfer.typing import IntArray

if TYPE_CHECKING:
    from zkinfer.backend import Keys


class TensorData(msgspec.Struct, frozen=True, array_like=True):
    """Integers of one input or output: int64, little-endian, row-major."""

    shape: tuple[int, ...]
    data: bytes

    @classmethod
    def of(cls, array: IntArray) -> "TensorData":
        """The integers of an array."""
        return cls(array.shape, np.ascontiguousarray(array, dtype="<i8").tobytes())

    def integers(self) -> IntArray:
        """The array, read-only."""
        return np.frombuffer(self.data, dtype="<i8").reshape(self.shape).astype(np.int64, copy=False)


class Work(msgspec.Struct, frozen=True, array_like=True):
    """A batch to be proven.

    Attributes:
        commitment: digest of the one that the proof has to be for, 32 bytes.
        first: its first item, which names it.
        items: how many are to be proven; the last run of the circuit may hold others, to fill it.
        inputs: one an input of the program, of shape (runs, *tensor.shape).
        context, private_inputs, private_outputs: as `Keys.prove` takes them.
    """

    commitment: bytes
    first: int
    items: int
    inputs: tuple[TensorData, ...]
    context: bytes
    private_inputs: bool
    private_outputs: bool


class Proven(msgspec.Struct, frozen=True, array_like=True, tag="proven"):
    """A batch's proof.

    Attributes:
        first: of the work.
        proof: the content of the proof's file.
        outputs: what it claims for the items, an output each; empty where it hides one.
        seconds: how long proving took.
        phases: of these, seconds by the name of the part.
        memory: the most that the process took so far, in bytes.
    """

    first: int
    proof: bytes
    outputs: tuple[TensorData, ...]
    seconds: float
    phases: dict[str, float]
    memory: int


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """A batch without a proof.

    Attributes:
        first: of the work.
        reason: one line.
        passes: the next attempt may succeed.
        no_budget: the keys have made all their proofs.
        bad_keys: they are not those of the job, or not what they were any more.
    """

    first: int
    reason: str
    passes: bool = False
    no_budget: bool = False
    bad_keys: bool = False


Result: TypeAlias = Proven | Failed


def prove_work(keys: "Keys", work: Work) -> Result:
    """Prove a batch. Never raises: what goes wrong with one batch is a result, and the worker lives on."""
    from zkinfer.timings import collected

    start = time.perf_counter()
    try:
        _require_commitment(work, keys.commitment.digest)  # before a proof of another budget is spent
        with collected() as phases:
            proof = keys.prove(
                [tensor.integers() for tensor in work.inputs],
                work.context,
                private_inputs=work.private_inputs,
                private_outputs=work.private_outputs,
            )
        _require_commitment(work, proof.commitment_digest)
        data, outputs = proof.to_bytes(), tuple(map(TensorData.of, claimed_outputs(proof, work.items)))
        return Proven(work.first, data, outputs, time.perf_counter() - start, phases, peak_memory())
    except BudgetError as error:
        return Failed(work.first, one_line(error), no_budget=True)
    except (ArtifactError, WrongKeyError) as error:
        return Failed(work.first, one_line(error), bad_keys=True)
    except (ResourceError, MemoryError, OSError) as error:
        return Failed(work.first, f"{type(error).__name__}: {one_line(error)}", passes=True)
    except Exception as error:  # a batch that finds a defect takes down itself and no other
        return Failed(work.first, f"{type(error).__name__}: {one_line(error)}")


def _require_commitment(work: Work, digest: bytes) -> None:
    """Refuse keys that were put where those of the job were.

    Raises:
        WrongKeyError: they belong to another commitment.
    """
    if digest != work.commitment:
        raise WrongKeyError(
            f"these keys belong to commitment {digest.hex()[:16]}, the job to {work.commitment.hex()[:16]}: were they "
            "renewed? Hand in the job's own keys, or begin a new job"
        )


def peak_memory() -> int:
    """The most memory that this process has taken so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
