"""Any number of samples through a program, or a model, whose batch is fixed."""

from collections.abc import Iterator

import numpy as np

from zkinfer.circuit.program import Program
from zkinfer.counts import counted
from zkinfer.errors import ShapeError
from zkinfer.typing import Array

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


def batch_of(program: Program) -> int:
    """How many samples one run covers: the first axis of the inputs; 1 where these are scalars."""
    return program.inputs[0].shape[0] if program.inputs[0].shape else 1


def stacked_shape(shape: tuple[int, ...], batch: int, runs: int) -> tuple[int, ...]:
    """The shape of a tensor's values in all runs, one run after another.

    Args:
        shape: of one run.
        batch: samples of one run.
        runs: how many.

    Returns:
        (runs * batch, *rest) where the tensor's first axis is the batch, and (runs, *shape) where it has none.
    """
    return (runs * batch, *shape[1:]) if shape[:1] == (batch,) else (runs, *shape)


def as_runs(array: Array, shape: tuple[int, ...], batch: int, where: str) -> Array:
    """Values of any number of runs, the runs along an axis of their own: shape (runs, *shape).

    Args:
        array: of `stacked_shape(shape, batch, runs)` for some number of runs; where that is one sample, its first axis
            may be left out.
        shape: of one run.
        batch: samples of one run.
        where: names the tensor in messages.

    Raises:
        ShapeError: another shape, no samples, or a number of samples that the batch does not divide.
    """
    count, *rest = stacked_shape(shape, batch, 1)
    if count == 1 and array.shape == tuple(rest):
        array = array[None]
    if array.ndim != 1 + len(rest) or array.shape[1:] != tuple(rest):
        wanted = ", ".join(str(n) for n in ("samples", *rest))
        raise ShapeError(
            f"{where} takes an array of shape ({wanted}{'' if rest else ','}), got {array.shape}: reshape or pad the "
            "array; a circuit has the shapes that it was compiled for"
        )
    if not len(array):
        raise ShapeError(f"{where} holds no samples")
    if len(array) % count:
        raise ShapeError(
            f"{where} takes a multiple of {counted(count, 'sample')}, the batch of the circuit; got {len(array):,}: "
            "split or pad the data, or compile with another batch"
        )
    return array.reshape(len(array) // count, *shape)


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
