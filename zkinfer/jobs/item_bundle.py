"""One item of a job: a folder for a person who asks about this item and nothing else.

item.zki            the item, with its path to the receipt
batch.proof         the proof that covers it
batch-inputs.npy    what the proof's items were run on, for a proof covers its whole batch; batch-inputs-0.npy, ... for
                    models with several inputs; none where the proof hides them

A dead letter has its path alone.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zkinfer.arguments import as_path
from zkinfer.counts import counted
from zkinfer.errors import InvalidInputError, MalformedProofError, StatementError
from zkinfer.files.artifact import building_folder, one_line
from zkinfer.files.commitment import Commitment
from zkinfer.files.proof import Proof
from zkinfer.jobs.batch_checker import as_reals, map_rows, read_items, read_proof
from zkinfer.jobs.inputs import Inputs, PathLike
from zkinfer.jobs.items import ItemShapes
from zkinfer.jobs.job import check_inputs, manifest_file, proofs_folder
from zkinfer.jobs.manifest import JobBatch, Manifest, item_digests
from zkinfer.jobs.receipt import ItemReceipt, batch_of, item_receipt
from zkinfer.jobs.state import State
from zkinfer.jobs.verification import able_to_verify, job_folder, verify_item
from zkinfer.typing import FloatArray

ITEM_FILE = "item.zki"
PROOF_FILE = "batch.proof"
MAX_INPUT_BYTES = 1 << 30
"""Of each file of a batch's inputs."""


def input_names(count: int) -> list[str]:
    """The names of the files of a batch's inputs."""
    return ["batch-inputs.npy"] if count == 1 else [f"batch-inputs-{position}.npy" for position in range(count)]


def shown_of_others(folder: PathLike, index: int) -> str:
    """What the folder of an item would show of other items, in words; empty where it shows nothing of them.

    Raises:
        InvalidInputError: the job in the folder is not complete, or has no such item.
    """
    manifest = _manifest(as_path("folder", folder))
    found, batch = item_receipt(manifest, index), batch_of(manifest, index)
    hidden = {"inputs": manifest.private_inputs, "outputs": manifest.private_outputs}
    shown = " and ".join(name for name, is_hidden in hidden.items() if not is_hidden)
    others = batch.size - 1
    return f"the {shown} of {others} other items in the same proof" if shown and others and not found.item.dead else ""


def write_item_folder(
    folder: PathLike, index: int, target: PathLike, commitment: Commitment | PathLike, *, share_batch: bool = False
) -> ItemReceipt:
    """Write the folder of one item of a job that is complete.

    Args:
        folder: of the job.
        index: of the item.
        target: the folder to make.
        commitment: which the job was done for.
        share_batch: the recipient may see what `shown_of_others` says. A proof covers its whole batch.

    Raises:
        InvalidInputError: the job is not complete, has no such item, was done for another commitment, its inputs
            changed since, or the proof is damaged; or the folder would show something of others without `share_batch`.
        InvalidInputError: the folder exists; ResourceError: the disk is full or not writable.
    """
    source = as_path("folder", folder)
    with closing(State(source)) as state:
        files = state.job.inputs
    manifest, published = _manifest(source), Commitment.of(commitment)
    if manifest.commitment != published.digest:
        raise InvalidInputError(f"the job in {source} was done for another commitment than {published.fingerprint}")
    found, batch = item_receipt(manifest, index), batch_of(manifest, index)
    if (shown := shown_of_others(source, index)) and not share_batch:
        raise InvalidInputError(
            f"the folder of item {index} would show {shown}: allow it (--share-batch, or share_batch=True), or do the "
            "job again with a batch for each customer, or with hidden inputs and outputs"
        )
    arrays: list[FloatArray] = []
    if not found.item.dead and not manifest.private_inputs:
        check_inputs(files)
        arrays = _read_inputs([file.path for file in files], batch, published, manifest)
    with building_folder(as_path("target", target)) as part:
        found.save(part / ITEM_FILE)
        if not found.item.dead:
            _proof(proofs_folder(source) / batch.proof, batch).save(part / PROOF_FILE)
        for name, array in zip(input_names(len(arrays)), arrays, strict=False):
            np.save(part / name, array)
    return found


def _manifest(folder: Path) -> Manifest:
    if not manifest_file(folder).exists():
        raise InvalidInputError(f"the job in {folder} is not complete: go on with zkinfer batch resume")
    return Manifest.load(manifest_file(folder))


def _proof(path: Path, batch: JobBatch) -> Proof:
    """The proof of a batch, as it was recorded."""
    try:
        return read_proof(path, batch.proof_digest)
    except MalformedProofError as error:
        raise InvalidInputError(
            f"{one_line(error)}: zkinfer batch resume makes lost and damaged proofs again"
        ) from None


def _read_inputs(paths: Sequence[PathLike], batch: JobBatch, commitment: Commitment, job: Manifest) -> list[FloatArray]:
    """What the batch's items were run on, as real numbers: an array of shape (items, *item shape) an input."""
    program = commitment.program
    shapes = ItemShapes(program)
    with closing(Inputs(paths, shapes)) as inputs:
        arrays, _, _ = read_items(inputs, batch.first, batch.stop, program, job.saturate)
    if item_digests(arrays) != batch.input_digests:
        raise InvalidInputError(f"items {batch.first} to {batch.stop - 1} changed since they were proven")
    reals = zip(as_reals(arrays, program), shapes.of.values(), strict=True)
    return [array.reshape(-1, *shape)[: batch.size] for array, shape in reals]


@dataclass(frozen=True)
class VerifiedItem:
    """The published model maps one input to this output, and the job of a receipt says so.

    Attributes:
        index: of the item.
        items: how many the job has.
        outputs: an array of one item's shape for each output; none where the proof hides them.
        fingerprint: of the commitment, to compare with what the model's owner publishes.
        security_bits: forging the proof takes work of about 2**security_bits.
        test_only: the proof can be forged by the maker of its reference string.
        weights_in_bounds: whether the commitment proves that all weights lie within their bounds, see
            `VerifiedInference`.
        clipped: how many values of the item's input lay out of range and were proven as the nearest bound.
        seconds: how long verifying took.
    """

    index: int
    items: int
    outputs: tuple[FloatArray, ...]
    fingerprint: str
    security_bits: float
    test_only: bool
    weights_in_bounds: bool
    seconds: float
    clipped: int = 0


def verify_item_folder(
    folder: PathLike,
    index: int,
    receipt: bytes,
    commitment: Commitment | PathLike,
    own: PathLike | None,
    *,
    context: bytes = b"",
    saturate: bool = False,
    min_bits: float | None = None,
) -> VerifiedItem:
    """Check the folder of one item.

    Args:
        folder: which `write_item_folder` made; nothing in it is trusted.
        index: of the item that is asked about.
        receipt: the one that was published, 32 bytes.
        commitment: the published commitment, or its file.
        own: the verifier's own file of inputs, which holds this item alone; None where the proof hides the inputs.
        context, saturate, min_bits: as in `verification.verify_job`.

    Raises:
        VerificationError: the item is not shown.
    """
    place = job_folder(folder)
    with able_to_verify():
        published = Commitment.of(commitment)
        found = ItemReceipt.load(place / ITEM_FILE)
        if found.item.index != index:
            raise StatementError(f"the folder is about item {found.item.index}, and not about item {index}")
        batch_inputs, clipped = None, 0
        if own is not None:
            clipped = _check_own(own, found, published, saturate)
            shapes = ItemShapes(published.program).of.values()
            names = input_names(len(shapes))
            files = [] if found.item.dead else list(zip(names, shapes, strict=True))
            batch_inputs = [_map_inputs(place / name, shape) for name, shape in files]
        result = verify_item(
            found,
            receipt,
            place / PROOF_FILE,
            published,
            batch_inputs,
            context=context,
            saturate=saturate,
            min_bits=min_bits,
        )
    outputs = result.outputs if isinstance(result.outputs, tuple) else (result.outputs,)
    return VerifiedItem(
        index=index,
        items=found.header.items,
        outputs=tuple(array[found.position] for array in outputs if array is not None),
        fingerprint=published.fingerprint,
        security_bits=result.security_bits,
        test_only=result.test_only,
        weights_in_bounds=result.weights_in_bounds,
        seconds=result.seconds,
        clipped=clipped,
    )


def _check_own(path: PathLike, found: ItemReceipt, commitment: Commitment, saturate: bool) -> int:
    """The item was run on what the verifier's file holds, of which so many values were clipped.

    Raises:
        StatementError: it was not; or the file does not hold one item.
    """
    program = commitment.program
    try:
        with closing(Inputs([path], ItemShapes(program))) as inputs:
            if inputs.length != 1:
                raise StatementError(
                    f"{path} holds {counted(inputs.length, 'item')}; hand in item {found.item.index} alone"
                )
            arrays, dead, clipped = read_items(inputs, 0, 1, program, saturate)
    except InvalidInputError as error:
        raise StatementError(one_line(error)) from None
    if bool(dead) != found.item.dead:
        which = "the circuit cannot take it" if dead else "the circuit takes it, and the job left it out"
        raise StatementError(f"item {found.item.index} is not what your input shows: {which}")
    if not dead and item_digests(arrays) != found.item.input_digest:
        raise StatementError(f"item {found.item.index} was run on another input than yours")
    return clipped


def _map_inputs(path: Path, shape: tuple[int, ...]) -> FloatArray:
    array = map_rows(path, shape)
    if array.nbytes > MAX_INPUT_BYTES:
        raise MalformedProofError(
            f"{path} holds {counted(array.nbytes, 'byte')}; at most {MAX_INPUT_BYTES:,} are accepted"
        )
    return array
