"""Any number of samples through a program, or a model, whose batch is fixed."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from zkinfer.circuit.program import Program

Array = npt.NDArray[Any]

CHUNK_ELEMENTS = 1 << 23
"""About how many tensor elements are held at once, over all tensors and runs."""


def count_runs(samples: int, batch: int) -> int:
    """How many runs of `batch` samples each it takes."""
    return -(-samples // batch)


def into_runs(samples: Array, batch: int) -> Array:
    """Samples (n, *rest) as runs (runs, batch, *rest); a last run that is not full repeats samples from the front."""
    runs = count_runs(len(samples), batch)
    order = np.arange(runs * batch) % len(samples)
    return samples[order].reshape(runs, batch, *samples.shape[1:])


def from_runs(runs: Array, batch: int, samples: int) -> Array:
    """What belongs to each sample: (n, *rest) from (runs, batch, *rest), what the filling samples gave cut off.

    Where the batch is 1 and the array lacks that axis, every run belongs to one sample.
    """
    if runs.shape[1:2] == (batch,):
        runs = runs.reshape(-1, *runs.shape[2:])
    return runs[:samples]


def elements_per_run(program: Program) -> int:
    """How many elements one run adds: those of inputs and nodes, for weights serve every run."""
    return sum(tensor.size for tensor in program.inputs) + sum(node.out.size for node in program.nodes)


def chunks(runs: int, elements: int) -> Iterator[slice]:
    """Slices of the runs, in order, such that memory stays bounded.

    Args:
        runs: how many there are.
        elements: how many tensor elements one run computes.
    """
    step = max(1, CHUNK_ELEMENTS // max(elements, 1))
    for start in range(0, runs, step):
        yield slice(start, min(start + step, runs))
