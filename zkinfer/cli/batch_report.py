"""The report of a job, from the command line: with the float model's outputs where the circuit is at hand."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt

from zkinfer.cli import results
from zkinfer.cli.batch_options import Circuit as CircuitFile
from zkinfer.cli.batch_options import Folder, batch
from zkinfer.cli.console import facts, guarded, out
from zkinfer.cli.parameters import file_option
from zkinfer.errors import InvalidInputError
from zkinfer.files.location import Location
from zkinfer.progress import progress
from zkinfer.typing import Array, IntArray

if TYPE_CHECKING:
    from zkinfer.jobs.inputs import Column, PathLike


BLOCK_ITEMS = 1024
"""Items that the float model runs on at a time."""


@batch.command("report")
@guarded
def report(
    folder: Folder,
    circuit: CircuitFile = None,
    float_outputs: Annotated[
        list[Location] | None,
        file_option(
            help="Instead of --circuit: the float model's outputs, .npy, items first. Repeat for each further output.",
        ),
    ] = None,
) -> results.Written:
    """Write report.html into a job's folder: time by phase, throughput, sizes, failures, accuracy against float."""
    from zkinfer.cli.audit import map_arrays

    if circuit is not None and float_outputs:
        raise InvalidInputError("the float outputs come from --circuit or from --float-outputs, not from both")
    given = [_only(map_arrays(path), path) for path in float_outputs or ()]
    file = write(folder, circuit, given)
    out.print(facts("Report", [("file", str(file))]))
    return results.Written(file=str(file), bytes=file.stat().st_size)


def write(folder: Path, circuit: Location | None, given: Sequence[Array] = ()) -> Path:
    """Write a job's report; returns its file.

    Args:
        circuit: whose float model gives the outputs to compare with.
        given: these outputs, where there is no circuit.

    Raises:
        ZkinferError: see `write_report`; the circuit is not that of the job; the inputs changed.
    """
    from zkinfer.jobs.report import write_report

    if circuit is None:
        return write_report(folder, float_outputs=given)
    with float_outputs_of(folder, circuit) as arrays:
        return write_report(folder, float_outputs=arrays)


def _only(arrays: Any, path: "PathLike") -> Array:
    if isinstance(arrays, np.ndarray):
        return arrays
    raise InvalidInputError(f"{path}: the outputs of the float model come as .npy files, one an output")


@contextmanager
def float_outputs_of(folder: Path, circuit_file: "PathLike") -> Iterator[list[Array]]:
    """What the float model gives for a job's items: for each output (items, *item shape), NaN where dead.

    The arrays lie in files that are removed at the end.

    Raises:
        InvalidInputError: there is no job, its inputs changed, or it was done with another circuit.
        ArtifactError: the circuit's file is damaged.
        CompileError: the float model does not run.
    """
    from zkinfer.compiler.calibration.float_model import numpy_type
    from zkinfer.compiler.model import Circuit
    from zkinfer.jobs.inputs import Inputs
    from zkinfer.jobs.items import ItemShapes, item_shape
    from zkinfer.jobs.job import check_inputs
    from zkinfer.jobs.state import State

    with closing(State(folder)) as state:
        job, dead = state.job, np.array([letter.index for letter in state.dead_letters()], dtype=np.int64)
    circuit = Circuit.load(circuit_file)
    if circuit.digest != job.program.hex():
        raise InvalidInputError(f"the job in {folder} was done with another circuit than {circuit_file}")
    check_inputs(job.inputs)
    model, shapes = circuit.float_model(), ItemShapes(circuit.program)
    with (
        closing(Inputs([file.path for file in job.inputs], shapes)) as inputs,
        tempfile.TemporaryDirectory(prefix=".float-", dir=folder) as place,
        progress("running the float model", job.items) as advance,
    ):
        arrays = [
            np.lib.format.open_memmap(
                Path(place) / f"{number}.npy", "w+", np.float64, (job.items, *item_shape(tensor, circuit.batch))
            )
            for number, tensor in enumerate(circuit.program.output_tensors)
        ]
        for first in range(0, job.items, BLOCK_ITEMS):
            stop = min(first + BLOCK_ITEMS, job.items)
            blocks, living = inputs.read(first, stop), np.setdiff1d(np.arange(first, stop), dead)
            for array in arrays:
                array[first:stop] = np.nan
            if len(living):
                columns = zip(_columns(blocks, living - first), shapes.of.values(), model.inputs, strict=True)
                answers = model.answer([_as_samples(values, shape, numpy_type(v)) for values, shape, v in columns])
                for array, answer in zip(arrays, answers, strict=True):
                    array[living] = answer.reshape(len(living), *array.shape[1:])
            advance(stop - first)
        yield list(arrays)


def _columns(blocks: "Sequence[list[Column]]", positions: IntArray) -> "list[Column]":
    """For each input the values at some positions in blocks that follow each other."""
    columns: list[Column] = []
    for parts in zip(*blocks, strict=True):
        values = [value for part in parts for value in part]
        columns.append([values[position] for position in positions])
    return columns


def _as_samples(values: "Column", shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Items' values of one input in the model's type: shape (items, *shape)."""
    array = np.stack([np.asarray(value, dtype=np.float64).reshape(shape) for value in values])
    return (np.rint(array) if np.issubdtype(dtype, np.integer) else array).astype(dtype)
