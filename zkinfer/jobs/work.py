"""One batch to be proven: what a worker is handed, what it hands back, and the proving."""

import resource
import sys
import time
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import numpy as np

from zkinfer.errors import BudgetError, ResourceError
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
        first: its first item, which names it.
        items: how many are to be proven; the last run of the circuit may hold others, to fill it.
        inputs: one an input of the program, of shape (runs, *tensor.shape).
        context, private_inputs, private_outputs: as `Keys.prove` takes them.
    """

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
    """

    first: int
    reason: str
    passes: bool = False
    no_budget: bool = False


Result: TypeAlias = Proven | Failed


def prove_work(keys: "Keys", work: Work) -> Result:
    """Prove a batch. Never raises: what goes wrong with one batch is a result, and the worker lives on."""
    from zkinfer.native.timings import collected

    start = time.perf_counter()
    try:
        with collected() as phases:
            proof = keys.prove(
                [tensor.integers() for tensor in work.inputs],
                work.context,
                private_inputs=work.private_inputs,
                private_outputs=work.private_outputs,
            )
        data, outputs = proof.to_bytes(), tuple(map(TensorData.of, claimed_outputs(proof, work.items)))
        return Proven(work.first, data, outputs, time.perf_counter() - start, phases, peak_memory())
    except BudgetError as error:
        return Failed(work.first, one_line(error), no_budget=True)
    except (ResourceError, MemoryError, OSError) as error:
        return Failed(work.first, f"{type(error).__name__}: {one_line(error)}", passes=True)
    except Exception as error:  # a batch that finds a defect takes down itself and no other
        return Failed(work.first, f"{type(error).__name__}: {one_line(error)}")


def peak_memory() -> int:
    """The most memory that this process has taken so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
