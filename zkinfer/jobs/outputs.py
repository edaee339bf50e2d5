"""The outputs of a job: what its proofs claim, and the files that they are collected in."""

import math
import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

import numpy as np

from zkinfer.circuit.program import Program
from zkinfer.circuit.qformat import dequantize
from zkinfer.circuit.samples import batch_of
from zkinfer.counts import counted
from zkinfer.errors import MalformedProofError
from zkinfer.files.artifact import writing
from zkinfer.files.budget import sync_folder
from zkinfer.files.proof import OutputTensor, Proof
from zkinfer.jobs.items import item_shape
from zkinfer.jobs.job import output_names
from zkinfer.jobs.manifest import JobBatch
from zkinfer.typing import FloatArray, IntArray


def claimed_outputs(proof: Proof, items: int) -> list[IntArray]:
    """What a proof claims for its first `items` samples: for each output int64 of shape (items, ...).

    Returns:
        An array an output; none where the proof hides one.

    Raises:
        MalformedProofError: it claims fewer.
    """
    tensors = [tensor for tensor in proof.output_tensors if isinstance(tensor, OutputTensor)]
    if len(tensors) < len(proof.output_tensors):
        return []
    arrays = [tensor.integers() for tensor in tensors]
    if any(len(array) < items for array in arrays):
        raise MalformedProofError(
            f"proof: of {counted(items, 'item')} it claims outputs of {[len(array) for array in arrays]}"
        )
    return [array[:items] for array in arrays]


class OutputFiles:
    """Files with the outputs of all items, in NumPy's format: filled in batch by batch, in any order.

    They have their whole size from the beginning, so that the disk does not fill up while proofs are made, and appear
    in the folder once they are whole. Until then nothing in them is relied on: after a crash they are begun
    again, from the proofs.
    """

    def __init__(self, folder: Path, items: int, program: Program) -> None:
        """Begin the files.

        Args:
            folder: where they go.
            items: of the job.
            program: whose outputs they hold.

        Raises:
            ResourceError: the disk is full or not writable.
        """
        self._folder, self._tensors = folder, program.output_tensors
        self._names = output_names(len(self._tensors))
        self._shapes = [item_shape(tensor, batch_of(program)) for tensor in self._tensors]
        self._stack = ExitStack()
        self._files = []
        self._starts = []
        with writing(folder), self._stack:
            for name, shape in zip(self._names, self._shapes, strict=True):
                file = self._stack.enter_context(_new_file(_part(folder, name)))
                header = {"descr": "<f8", "fortran_order": False, "shape": (items, *shape)}
                np.lib.format.write_array_header_1_0(file, header)
                file.flush()
                self._files.append(file)
                self._starts.append(file.tell())
                os.posix_fallocate(file.fileno(), 0, file.tell() + 8 * items * math.prod(shape))
            self._stack = self._stack.pop_all()

    def write(self, batch: JobBatch, outputs: Sequence[IntArray]) -> None:
        """Fill in the outputs of a batch.

        Args:
            outputs: for each output int64 of shape (batch.size, ...); none where all its items are dead letters. These
                have NaN.

        Raises:
            ResourceError: the disk is full or not writable.
        """
        for number, (file, shape) in enumerate(zip(self._files, self._shapes, strict=True)):
            rows: FloatArray = np.full((batch.stop - batch.first, *shape), np.nan)
            if outputs:
                reals = dequantize(outputs[number], self._tensors[number])
                rows[batch.items - batch.first] = reals.reshape(batch.size, *shape)
            with writing(self._folder / self._names[number]):
                file.seek(self._starts[number] + batch.first * rows[:1].nbytes)
                file.write(rows.astype("<f8").tobytes())
                file.flush()

    def publish(self) -> None:
        """Let the files, which are whole now, take their places.

        Raises:
            ResourceError: the disk is full or not writable; old files stay.
        """
        with writing(self._folder):
            for name, file in zip(self._names, self._files, strict=True):
                os.fsync(file.fileno())
                _part(self._folder, name).replace(self._folder / name)
            sync_folder(self._folder)

    def close(self) -> None:
        """Close the files; what was not published is removed."""
        with suppress(OSError):
            self._stack.close()
        for name in self._names:
            with suppress(OSError):
                _part(self._folder, name).unlink(missing_ok=True)


def _new_file(path: Path) -> IO[bytes]:
    """A file that was not there before, to be written: a link or a pipe of that name is removed, and not followed."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644), "wb")


def _part(folder: Path, name: str) -> Path:
    return folder / f".{name}.part"
