"""The end of a job: outputs in one file, dead letters, and the manifest, which is written last.

All of them follow from the job's state and its proofs, and can be written again.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
import numpy.typing as npt
from blake3 import blake3

from zkinfer.artifact import writing
from zkinfer.batch.items import item_shape
from zkinfer.batch.job import DEAD_LETTERS_FILE, manifest_file, output_names, proof_name, proofs_folder
from zkinfer.batch.manifest import Batch, Manifest
from zkinfer.batch.state import Row, State
from zkinfer.budget import sync_folder
from zkinfer.circuit.program import Program
from zkinfer.circuit.samples import batch_of
from zkinfer.errors import MalformedProofError
from zkinfer.proof import OutputTensor, Proof

FloatArray = npt.NDArray[np.float64]


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that replaces another once it is whole.

    Raises:
        ResourceError: the disk is full or not writable; the old file stays.
    """
    part = path.with_name(f".{path.name}.part")
    with writing(path):
        try:
            with part.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            sync_folder(path.parent)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)


def write_dead_letters(folder: Path, state: State) -> None:
    """Write the dead letters found so far: a line of JSON each, with its item and reason.

    Raises:
        ResourceError: the disk is full or not writable.
    """
    with _replacing(folder / DEAD_LETTERS_FILE) as file:
        for letter in state.dead_letters():
            file.write(msgspec.json.encode({"item": letter.index, "reason": letter.reason}) + b"\n")


def complete(folder: Path, state: State, program: Program) -> bool:
    """Write the outputs and the manifest of a job all of whose batches are done.

    Returns:
        Whether every proof is as it was recorded. One that is not waits to be made again, and there is no manifest.

    Raises:
        ResourceError: the disk is full or not writable.
    """
    job, hidden = state.job, state.job.options.private_outputs
    dead = {letter.index: letter for letter in state.dead_letters()}
    batches: list[Batch] = []
    damaged = False
    with ExitStack() as files:
        writers = (
            []
            if hidden
            else [
                files.enter_context(_output_file(folder / name, job.items, item_shape(tensor, batch_of(program))))
                for name, tensor in zip(output_names(len(program.outputs)), program.output_tensors, strict=True)
            ]
        )
        for row in state.rows():
            batch = _batch(row, [item for item in range(row.first, row.stop) if item in dead])
            proof = _proof(folder, row)
            if proof is None and batch.proof:
                state.release(row.first, "its proof was damaged on disk")
                damaged = True
            batches.append(batch)
            for position, writer in enumerate(writers):
                writer.write(batch, proof, position)
    if damaged:
        return False
    Manifest(
        commitment=job.commitment,
        program=job.program,
        context=job.options.context,
        saturate=job.options.saturate,
        private_inputs=job.options.private_inputs,
        private_outputs=hidden,
        circuit_batch=job.circuit_batch,
        batch_size=max(batch.stop - batch.first for batch in batches),
        items=job.items,
        batches=tuple(batches),
        dead_letters=tuple(dead.values()),
    ).save(manifest_file(folder))
    return True


def _batch(row: Row, dead: list[int]) -> Batch:
    if row.announced is None:
        return Batch(row.first, row.stop, tuple(dead), b"", b"", "", b"")
    proof = row.announced
    return Batch(
        row.first,
        row.stop,
        tuple(dead),
        proof.input_digests,
        proof.output_digests,
        proof_name(row.first),
        proof.proof_digest,
    )


def _proof(folder: Path, row: Row) -> Proof | None:
    """The proof of a batch; None where there is none, or not the recorded one."""
    if row.announced is None:
        return None
    try:
        data = (proofs_folder(folder) / proof_name(row.first)).read_bytes()
        if blake3(data).digest() != row.announced.proof_digest:
            return None
        return Proof.from_bytes(data)
    except (OSError, MalformedProofError):
        return None


class _OutputFile:
    """Outputs of all items, in NumPy's format, written batch by batch."""

    def __init__(self, file: BinaryIO, items: int, shape: tuple[int, ...]) -> None:
        self._file, self._shape = file, shape
        header = {"descr": "<f8", "fortran_order": False, "shape": (items, *shape)}
        np.lib.format.write_array_header_1_0(file, header)

    def write(self, batch: Batch, proof: Proof | None, position: int) -> None:
        """The outputs of a batch: NaN for a dead letter."""
        rows: FloatArray = np.full((batch.stop - batch.first, *self._shape), np.nan)
        if proof is not None:
            tensor = proof.output_tensors[position]
            assert isinstance(tensor, OutputTensor)
            reals = np.ldexp(tensor.integers().astype(np.float64), -tensor.frac_bits)
            rows[batch.items - batch.first] = reals[: batch.size]
        self._file.write(rows.astype("<f8").tobytes())


@contextmanager
def _output_file(path: Path, items: int, shape: tuple[int, ...]) -> Iterator[_OutputFile]:
    with _replacing(path) as file:
        yield _OutputFile(file, items, shape)
