"""Checking one batch of a job: its proof, against the verifier's own inputs.

Of each batch it is checked that

* it leaves out those of its items that the circuit cannot take, and no other;
* the digests of its inputs are those of the verifier's inputs;
* its proof is the file that the manifest names, and verifies for these inputs;
* the digests of its outputs, and the rows of the job's files of outputs, are what was proven.

Where the proofs hide the inputs, the first two cannot be checked. Needs what `zkinfer.verifier` needs, and pyarrow for
inputs in Parquet files.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from blake3 import blake3

from zkinfer.circuit.program import Program
from zkinfer.circuit.qformat import dequantize
from zkinfer.circuit.samples import batch_of, count_runs, stacked_shape
from zkinfer.counts import counted
from zkinfer.errors import (
    ArtifactError,
    InvalidInputError,
    InvalidProofError,
    MalformedProofError,
    StatementError,
    VerificationError,
)
from zkinfer.files.artifact import HEADER_BYTES, one_line
from zkinfer.files.commitment import Commitment
from zkinfer.files.kinds import PROOF
from zkinfer.files.location import Location
from zkinfer.files.npy import map_npy
from zkinfer.files.proof import OutputTensor, Proof
from zkinfer.files.reading import read_bounded
from zkinfer.jobs.inputs import Inputs, PathLike
from zkinfer.jobs.items import ItemShapes, Quantized, as_runs, item_shape, quantize_items
from zkinfer.jobs.job import output_names, proofs_folder
from zkinfer.jobs.manifest import JobBatch, Manifest, item_digests
from zkinfer.jobs.tree import DIGEST_BYTES
from zkinfer.typing import FloatArray, IntArray
from zkinfer.verifier import VerifiedInference, verify


class Setting(msgspec.Struct, frozen=True, array_like=True):
    """What the batches of a job are checked against.

    Attributes:
        folder: of the job.
        commitment: content of the commitment's file.
        job: the manifest, its batches and dead letters left out.
        inputs: files of items, in order; empty where the proofs hide them.
        min_bits: that each proof has to be worth; None for the backend's default.
    """

    folder: str
    commitment: bytes
    job: Manifest
    inputs: tuple[str, ...]
    min_bits: float | None = None


class BatchChecker:
    """Checks batches of one job, in increasing order."""

    def __init__(self, setting: Setting) -> None:
        """Open the inputs, and the job's files of outputs.

        Raises:
            VerificationError: they are not what the circuit takes, or not what a job of this size holds.
        """
        self._commitment = Commitment.from_bytes(setting.commitment)
        self._folder, self._job, self._min_bits = Path(setting.folder), setting.job, setting.min_bits
        program = self._commitment.program
        try:
            shapes = ItemShapes(program)
            self._inputs = Inputs(setting.inputs, shapes) if setting.inputs else None
        except InvalidInputError as error:
            raise StatementError(one_line(error)) from None
        if self._inputs is not None and self._inputs.length != self._job.items:
            self._inputs.close()
            raise StatementError(
                f"there are {self._inputs.length:,} inputs; the job has {counted(self._job.items, 'item')}"
            )
        self._outputs = [] if self._job.private_outputs else open_outputs(self._folder, program, self._job.items)

    def close(self) -> None:
        """Close the inputs."""
        if self._inputs is not None:
            self._inputs.close()

    def check(self, batch: JobBatch) -> tuple[VerifiedInference | None, int]:
        """What the batch's proof shows, None where it has none: then its dead letters alone are checked.

        Returns:
            That, and how many values of the items that it proves were clipped.

        Raises:
            VerificationError: the batch is not right; the message names its items.
        """
        try:
            integers, clipped = (None, 0) if self._inputs is None else self._read(self._inputs, batch)
            claimed: list[FloatArray] = []
            result = None
            if batch.proof:
                result, claimed = self._check_proof(batch, integers)
            if batch.proof or not batch.size:
                self._check_rows(batch, claimed)
        except InvalidInputError as error:
            raise StatementError(f"{_named(batch)}: {one_line(error)}") from None
        return result, clipped if batch.proof else 0

    def _read(self, inputs: Inputs, batch: JobBatch) -> tuple[list[IntArray], int]:
        """The integers of the batch's items, by the verifier's own inputs, and how many of them were clipped."""
        program = self._commitment.program
        arrays, reasons, clipped = read_items(inputs, batch.first, batch.stop, program, self._job.saturate)
        dead = tuple(reasons)
        if dead != batch.dead:
            item = min(set(dead) ^ set(batch.dead))
            what = "proves an item that the circuit cannot take" if item in dead else "leaves out an item without need"
            raise StatementError(
                f"{_named(batch)}: the job {what}: item {item}, by your inputs. Are your files those of the job, in "
                "its order?"
            )
        if batch.proof:
            _compare(item_digests(arrays), batch.input_digests, batch)
        return arrays, clipped

    def _check_proof(
        self, batch: JobBatch, integers: Sequence[IntArray] | None
    ) -> tuple[VerifiedInference, list[FloatArray]]:
        """What the proof shows, and for each output the real numbers of the batch's items; none where it hides them."""
        try:
            proof = read_proof(proofs_folder(self._folder) / batch.proof, batch.proof_digest)
            result, claimed = check_proof(proof, self._commitment, integers, self._job, batch.size, self._min_bits)
            if claimed and item_digests(claimed) != batch.output_digests:
                raise InvalidProofError("the outputs that are proven are not those that the manifest names")
        except VerificationError as error:
            raise type(error)(f"{_named(batch)}: {error}") from None
        formats = zip(claimed, self._commitment.program.output_tensors, strict=not self._job.private_outputs)
        return result, [dequantize(array, tensor) for array, tensor in formats]

    def _check_rows(self, batch: JobBatch, claimed: Sequence[FloatArray]) -> None:
        """The job's files of outputs hold what was proven, and NaN for dead letters."""
        for number, array in enumerate(self._outputs):
            expected: FloatArray = np.full((batch.stop - batch.first, *array.shape[1:]), np.nan)
            if claimed:
                expected[batch.items - batch.first] = claimed[number].reshape(batch.size, *array.shape[1:])
            if not np.array_equal(array[batch.first : batch.stop], expected, equal_nan=True):
                raise InvalidProofError(f"{_named(batch)}: the job's file of outputs holds others than were proven")


def read_items(inputs: Inputs, first: int, stop: int, program: Program, saturate: bool) -> Quantized:
    """The items `range(first, stop)` as the circuit takes them; the others by their number, in increasing order.

    Raises:
        InvalidInputError: the files cannot be read.
    """
    pieces: list[list[IntArray]] = []
    dead: dict[int, str] = {}
    clipped, position = 0, first
    for block in inputs.read(first, stop):
        integers, reasons, more = quantize_items(block, program, saturate=saturate)
        pieces.append(integers)
        dead |= {position + offset: reasons[offset] for offset in sorted(reasons)}
        clipped += more
        position += len(block[0])
    return Quantized([np.concatenate(parts) for parts in zip(*pieces, strict=True)], dead, clipped)


def read_proof(path: PathLike, digest: bytes) -> Proof:
    """The proof in a file that must have this digest.

    Raises:
        MalformedProofError: the file is gone, or has another, or is not a proof.
    """
    try:
        data = read_bounded(path, max_bytes=PROOF.max_bytes + HEADER_BYTES)
    except ArtifactError as error:
        raise MalformedProofError(one_line(error)) from None
    if blake3(data).digest() != digest:
        raise MalformedProofError(f"{Location(path).name} is not the proof that the job names")
    return Proof.from_bytes(data)


def check_proof(
    proof: Proof,
    commitment: Commitment,
    integers: Sequence[IntArray] | None,
    job: Manifest,
    items: int | None,
    min_bits: float | None,
) -> tuple[VerifiedInference, list[IntArray]]:
    """Verify the proof of some items.

    Args:
        integers: for each input those of the items; None where the proof hides them.
        job: context, what is hidden, and whether inputs were clipped.
        items: how many they are; the proof repeats them from the front to fill its last run. None where the caller does
            not know. Where the inputs are hidden, that is the prover's word, and does not bound what is checked.
        min_bits: that the proof has to be worth.

    Returns:
        What the proof shows, and for each output the items' integers, shape (items, ...); none where it hides them.

    Raises:
        VerificationError: the proof does not show it.
    """
    program = commitment.program
    reals = None if integers is None else as_reals(integers, program)
    batch = batch_of(program)
    most = None if items is None or integers is None else count_runs(items, batch)
    result = verify(
        proof,
        commitment,
        inputs=reals,
        context=job.context,
        saturate=job.saturate,
        max_runs=most,
        min_bits=min_bits,
    )
    if items is not None and result.runs != count_runs(items, batch):
        raise InvalidProofError(
            f"the proof is of {counted(result.runs, 'run')} of the circuit: not as many as its items fill"
        )
    tensors = [tensor for tensor in proof.output_tensors if isinstance(tensor, OutputTensor)]
    if len(tensors) != (0 if job.private_outputs else len(program.outputs)):
        raise InvalidProofError("the proof hides outputs that the job shows, or shows some that it hides")
    return result, [tensor.integers()[:items] for tensor in tensors]


def as_reals(integers: Sequence[IntArray], program: Program) -> list[FloatArray]:
    """The real numbers that items were quantized from, but for rounding: what `verify` takes, the last run filled."""
    filled = zip(as_runs(integers, program), program.inputs, strict=True)
    batch = batch_of(program)
    return [dequantize(runs, t).reshape(stacked_shape(t.shape, batch, len(runs))) for runs, t in filled]


def open_outputs(folder: Path, program: Program, items: int) -> list[FloatArray]:
    """A job's files of outputs, mapped.

    Raises:
        MalformedProofError: one is missing, or not what a job of so many items writes.
    """
    opened = []
    for name, tensor in zip(output_names(len(program.outputs)), program.output_tensors, strict=True):
        array = map_rows(folder / name, item_shape(tensor, batch_of(program)))
        if len(array) != items:
            raise MalformedProofError(
                f"{folder / name} holds the outputs of {counted(len(array), 'item')}, and not of {items:,}"
            )
        opened.append(array)
    return opened


def map_rows(path: Path, shape: tuple[int, ...]) -> FloatArray:
    """Some items' values in a file in NumPy's format, mapped: float64 of shape (items, *shape).

    Raises:
        MalformedProofError: it is missing, or holds something else.
    """
    try:
        array = map_npy(path)
    except InvalidInputError as error:
        raise MalformedProofError(one_line(error)) from None
    if array.dtype != np.float64 or not array.ndim or array.shape[1:] != shape:
        raise MalformedProofError(f"{path} does not hold float64 numbers of shape {shape} an item")
    return array


def _compare(ours: bytes, theirs: bytes, batch: JobBatch) -> None:
    """Raises StatementError naming the first item whose input is another."""
    for position, item in enumerate(batch.items):
        part = slice(DIGEST_BYTES * position, DIGEST_BYTES * (position + 1))
        if ours[part] != theirs[part]:
            raise StatementError(f"item {item} was run on another input than yours")


def _named(batch: JobBatch) -> str:
    return f"items {batch.first} to {batch.stop - 1}"
