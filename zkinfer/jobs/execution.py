"""The beginning of a sampled job: all items are executed, their outputs written, and committed to.

Executing costs far less than proving, so a process that is killed meanwhile begins again.
"""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zkinfer.circuit.samples import batch_of, from_runs
from zkinfer.errors import InvalidInputError
from zkinfer.execution.executor import Executor
from zkinfer.jobs.batch_checker import read_items
from zkinfer.jobs.finalize import executed_job, write_dead_letters
from zkinfer.jobs.inputs import Inputs
from zkinfer.jobs.items import ItemShapes, as_runs
from zkinfer.jobs.job import SAMPLE_COMMITMENT_FILE, check_inputs
from zkinfer.jobs.manifest import JobBatch, Manifest, item_digests
from zkinfer.jobs.outputs import OutputFiles
from zkinfer.jobs.sample import batches_needed
from zkinfer.jobs.state import State
from zkinfer.progress import progress
from zkinfer.typing import IntArray

if TYPE_CHECKING:
    from zkinfer.native.keys import NativeKeys


def execute_and_commit(folder: Path, state: State, keys: "NativeKeys") -> Manifest:
    """Execute all items of a sampled job, and write their outputs and what is committed to; returns the latter.

    A job that has committed is not executed again.

    Raises:
        InvalidInputError: an input file changed or is damaged, or there is no item that the circuit can take.
        ResourceError: the disk is full or not writable; nothing is committed to.
    """
    policy = state.job.options.sample
    assert policy is not None
    if state.sample is None:
        check_inputs(state.job.inputs)
        batches, reasons = _execute(folder, state, keys)
        size = batches_needed([batch.size for batch in batches], policy.rate, policy.confidence)
        state.commit(size, batches, reasons)
    write_dead_letters(folder, state)
    committed = executed_job(state).commit()
    committed.save(folder / SAMPLE_COMMITMENT_FILE)
    return committed


def _execute(folder: Path, state: State, keys: "NativeKeys") -> tuple[list[JobBatch], dict[int, str]]:
    """The batches with the digests of their items, and the reasons of dead letters; writes the outputs."""
    job, program = state.job, keys.program
    batch_size = job.options.batch_size
    assert batch_size is not None
    batches: list[JobBatch] = []
    dead: dict[int, str] = {}
    with ExitStack() as stack:
        paths = [file.path for file in job.inputs]
        inputs = stack.enter_context(closing(Inputs(paths, ItemShapes(program))))
        files = stack.enter_context(closing(OutputFiles(folder, job.items, program)))
        advance = stack.enter_context(progress("executing", job.items))
        for first in range(0, job.items, batch_size):
            stop = min(first + batch_size, job.items)
            arrays, reasons, _ = read_items(inputs, first, stop, program, job.options.saturate)
            outputs = run_items(keys.executor, arrays) if len(arrays[0]) else []
            digests = (item_digests(arrays), item_digests(outputs)) if outputs else (b"", b"")
            batches.append(JobBatch(first, stop, tuple(reasons), *digests, "", b""))
            files.write(batches[-1], outputs)
            dead |= reasons
            advance(stop - first)
        if len(dead) == job.items:
            raise InvalidInputError("there is no item that the circuit can take: there is nothing to draw a sample of")
        files.publish()
    return batches, dead


def run_items(executor: Executor, arrays: Sequence[IntArray]) -> list[IntArray]:
    """The outputs of some items: int64 of shape (items, *item shape)."""
    program, items = executor.program, len(arrays[0])
    runs = as_runs(arrays, program)
    values = executor.run(runs)
    outputs = []
    for value, tensor in zip(program.outputs, program.output_tensors, strict=True):
        array = values[value]
        assert array is not None
        shared = np.broadcast_to(array, (len(runs[0]), *tensor.shape))
        outputs.append(from_runs(shared.astype(np.int64), batch_of(program), items))
    return outputs
