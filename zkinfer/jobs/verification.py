"""Checking a job, or one of its items.

Nothing in a job's folder is trusted. The commitment, the inputs, the context, whether inputs are clipped, and the
receipt come from the caller; `checks` says what is checked of each batch.
"""

import itertools
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import msgspec

from zkinfer.circuit.qformat import as_arrays
from zkinfer.circuit.samples import batch_of
from zkinfer.errors import (
    CommitmentMismatchError,
    InvalidInputError,
    InvalidProofError,
    MalformedProofError,
    StatementError,
    VerifierUnavailableError,
)
from zkinfer.files.artifact import one_line
from zkinfer.files.commitment import Commitment
from zkinfer.jobs.batch_checker import BatchChecker, Setting, check_proof, read_proof
from zkinfer.jobs.check_worker import BatchVerdict, judge
from zkinfer.jobs.inputs import PathLike, paths_of
from zkinfer.jobs.items import quantize_items
from zkinfer.jobs.job import manifest_file
from zkinfer.jobs.manifest import JobBatch, Manifest, item_digests
from zkinfer.jobs.receipt import ItemReceipt, receipt_of
from zkinfer.progress import progress
from zkinfer.typing import IntArray
from zkinfer.verifier import VerifiedInference

MAX_HIDDEN_ITEMS = 1 << 24
"""Of a job whose manifest holds no digest of an item, so that a short file could claim any number of them."""


@dataclass(frozen=True)
class VerifiedJob:
    """The published model maps every item that is no dead letter to its output.

    Attributes:
        receipt: of the job, 32 bytes.
        items: how many it has.
        proven: how many of them a proof covers.
        dead: how many are dead letters. The caller's inputs show that the circuit takes none of these; where the
            inputs are hidden, that is what the prover says.
        proofs: how many there are.
        fingerprint: of the commitment, to compare with what the model's owner publishes.
        security_bits: whoever forges one of the proofs does work of about 2**security_bits; infinite where there are
            none.
        test_only: a proof can be forged by whoever made its reference string.
        seconds: how long verifying took.
    """

    receipt: bytes
    items: int
    proven: int
    dead: int
    proofs: int
    fingerprint: str
    security_bits: float
    test_only: bool
    seconds: float


def verify_job(
    folder: PathLike,
    commitment: Commitment | PathLike,
    inputs: PathLike | Sequence[PathLike] | None,
    *,
    receipt: bytes | None = None,
    context: bytes = b"",
    saturate: bool = False,
    workers: int = 1,
) -> VerifiedJob:
    """Check all of a job: that every item is proven, or is one that the circuit cannot take.

    Args:
        folder: of the job: its manifest, proofs and outputs.
        commitment: the published commitment, or its file.
        inputs: the verifier's own files of items, in the order of the job; None where the proofs hide them.
        receipt: the one that was published, 32 bytes, if it was.
        context: the bytes that every proof must be bound to.
        saturate: clip inputs beyond the calibrated range, as the prover did if it was told to.
        workers: processes that check batches; 1 checks in this one.

    Raises:
        VerificationError: something is not as it should be; the message names the items.
    """
    start = time.perf_counter()
    with enough_memory():
        published = load_commitment(commitment)
        manifest = Manifest.load(manifest_file(Path(folder)))
        check_manifest(manifest, published, inputs is None, context, saturate)
        _check_extent(manifest)
        found = receipt_of(manifest)
        if receipt is not None and found != receipt:
            raise InvalidProofError(f"the job's receipt is {found.hex()}, and not the one that was published")
        setting = make_setting(folder, published, manifest, inputs)
        verdicts = check_batches(setting, manifest.batches, workers)
    return VerifiedJob(
        receipt=found,
        items=manifest.items,
        proven=manifest.proven,
        dead=len(manifest.dead_letters),
        proofs=sum(bool(batch.proof) for batch in manifest.batches),
        fingerprint=published.fingerprint,
        security_bits=min((verdict.bits for verdict in verdicts), default=math.inf),
        test_only=any(verdict.test_only for verdict in verdicts),
        seconds=time.perf_counter() - start,
    )


def _check_extent(manifest: Manifest) -> None:
    """The job has a proof of its own for every batch, and not more items than its files account for.

    Raises:
        VerificationError: it has not.
    """
    if manifest.private_inputs and manifest.private_outputs and manifest.items > MAX_HIDDEN_ITEMS:
        raise MalformedProofError(f"a job that hides inputs and outputs has at most {MAX_HIDDEN_ITEMS} items")
    if manifest.unproven:
        first = manifest.unproven[0]
        raise InvalidProofError(f"items {first.first} to {first.stop - 1} have no proof: the job is not proven")
    seen: set[bytes] = set()
    for batch in manifest.batches:
        if batch.proof and batch.proof_digest in seen:
            raise InvalidProofError(f"items {batch.first} to {batch.stop - 1} have the proof of other items")
        seen.add(batch.proof_digest)


def verify_item(
    item: ItemReceipt | PathLike,
    receipt: bytes,
    proof: PathLike,
    commitment: Commitment | PathLike,
    inputs: Any,
    *,
    context: bytes = b"",
    saturate: bool = False,
) -> VerifiedInference:
    """Check one item of a job: that it stands in the receipt, and that its proof covers it.

    A proof covers a batch, so that all inputs of the batch are needed, and its other items are seen by whoever checks
    this one, unless the proofs hide them.

    Args:
        item: the item with its path, or its file.
        receipt: the one that was published, 32 bytes.
        proof: file of the proof that covers the item.
        commitment: the published commitment, or its file.
        inputs: real numbers: those of all items of the batch that are no dead letters, in order: one array of shape
            (items, *item shape), or a sequence or mapping of one array an input. None where the proof hides them.
        context, saturate: as in `verify_job`.

    Returns:
        What the proof shows: `outputs[item.position]` is the item's output.

    Raises:
        VerificationError: the item is not shown.
    """
    with enough_memory():
        published = load_commitment(commitment)
        found = item if isinstance(item, ItemReceipt) else ItemReceipt.load(item)
        found.check(receipt)
        leaf, job = found.item, found.header.job(batch_of(published.program))
        check_manifest(job, published, inputs is None, context, saturate)
        if not leaf.proof_digest:
            raise InvalidProofError(f"item {leaf.index} is covered by no proof: {leaf.reason or 'it was not proven'}")
        integers = None if inputs is None else _quantized(inputs, published, saturate)
        items = None if integers is None else len(integers[0])
        opened = read_proof(Path(proof), leaf.proof_digest)
        result, claimed = check_proof(opened, published, integers, job, items)
        if found.position >= (items or result.runs * batch_of(published.program)):
            raise InvalidProofError(f"the proof has no position {found.position} for item {leaf.index}")
        for what, arrays, digest in (
            ("input", integers, leaf.input_digest),
            ("output", claimed, leaf.output_digest),
        ):
            if arrays and item_digests([array[found.position :][:1] for array in arrays]) != digest:
                raise InvalidProofError(f"the {what} of item {leaf.index} is not at position {found.position} there")
    return result


def _quantized(inputs: Any, commitment: Commitment, saturate: bool) -> list[IntArray]:
    """The integers of the inputs of a batch's items.

    Raises:
        StatementError: one of them is none that the circuit takes.
    """
    program = commitment.program
    try:
        arrays = as_arrays(inputs, [tensor.label for tensor in program.inputs])
        if any(not array.ndim or len(array) != len(arrays[0]) or not len(array) for array in arrays):
            raise StatementError("the inputs of a batch are arrays with its items along their first axis, all as long")
        integers, reasons = quantize_items(arrays, program, saturate=saturate)
    except InvalidInputError as error:
        raise StatementError(one_line(error)) from None
    if reasons:
        position, reason = next(iter(reasons.items()))
        raise StatementError(f"the circuit cannot take the input at position {position}: {reason}")
    return integers


def load_commitment(source: Commitment | PathLike) -> Commitment:
    """The commitment, from its file if need be."""
    return source if isinstance(source, Commitment) else Commitment.load(source)


def check_manifest(manifest: Manifest, commitment: Commitment, hidden: bool, context: bytes, saturate: bool) -> None:
    """What the job says of itself is what the caller says of it.

    Args:
        hidden: the caller has no inputs.

    Raises:
        CommitmentMismatchError, StatementError: it is not.
    """
    if (manifest.commitment, manifest.program) != (commitment.digest, commitment.program_digest):
        raise CommitmentMismatchError(f"the job was done for another commitment than {commitment.fingerprint}")
    if manifest.context != context:
        raise StatementError("the job's proofs are bound to another context than the one handed in")
    if manifest.saturate != saturate:
        raise StatementError(f"the job {'clips' if manifest.saturate else 'does not clip'} inputs out of range")
    if manifest.circuit_batch != batch_of(commitment.program):
        raise StatementError(f"the circuit runs {batch_of(commitment.program)} items at a time, the job says otherwise")
    if manifest.private_inputs and not hidden:
        raise StatementError("the job hides its inputs, so that none can be held against it: hand in none")
    if hidden and not manifest.private_inputs:
        raise StatementError("the job's inputs are public: hand in your own copy of them")


def make_setting(
    folder: PathLike, commitment: Commitment, manifest: Manifest, inputs: PathLike | Sequence[PathLike] | None
) -> Setting:
    """What the job's batches are checked against."""
    files = paths_of(inputs or ())
    if not files and not manifest.private_inputs:
        raise StatementError("there are no inputs; hand in the files that the job is about")
    job = msgspec.structs.replace(manifest, batches=(), dead_letters=())
    return Setting(str(folder), commitment.to_bytes(), job, tuple(map(str, files)))


def check_batches(setting: Setting, batches: Sequence[JobBatch], workers: int) -> list[BatchVerdict]:
    """Check batches of a job, in increasing order.

    Args:
        workers: processes that do; 1 does without another.

    Returns:
        One verdict a batch, in the order in which they came.

    Raises:
        VerificationError: one is not right: the first that was found.
    """
    verdicts = []
    with progress("checking batches", len(batches)) as advance:
        found = _here(setting, batches) if workers <= 1 else _in_processes(setting, batches, workers)
        with closing(found):
            for verdict in found:
                verdict.raise_error()
                verdicts.append(verdict)
                advance(1)
    return verdicts


def _here(setting: Setting, batches: Sequence[JobBatch]) -> Generator[BatchVerdict, None, None]:
    with closing(BatchChecker(setting)) as checker:
        for batch in batches:
            yield judge(checker, batch)


def _in_processes(setting: Setting, batches: Sequence[JobBatch], workers: int) -> Generator[BatchVerdict, None, None]:
    waiting = iter(batches)
    with ExitStack() as stack:
        busy = []
        for batch in itertools.islice(waiting, workers):
            connection = stack.enter_context(_worker())
            _send(connection, msgspec.msgpack.encode(setting), msgspec.msgpack.encode(batch))
            busy.append(connection)
        while busy:
            for ready in wait(busy):
                assert isinstance(ready, Connection)
                yield _receive(ready)
                batch_or_none = next(waiting, None)
                if batch_or_none is None:
                    busy.remove(ready)
                else:
                    _send(ready, msgspec.msgpack.encode(batch_or_none))


@contextmanager
def _worker() -> Iterator[Connection]:
    """A process that checks, and what it is spoken to with; it is ended at the end."""
    ours, theirs = socket.socketpair()
    connection = Connection(ours.detach())
    try:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "zkinfer.jobs.check_worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
    except OSError as error:
        connection.close()
        raise VerifierUnavailableError(f"cannot start a process to verify with: {error}") from None
    try:
        yield connection
    finally:
        connection.close()
        process.kill()
        process.wait()


def _send(connection: Connection, *messages: bytes) -> None:
    with suppress(ConnectionError):  # a dead process shows when it is listened to
        for message in messages:
            connection.send_bytes(message)


def _receive(connection: Connection) -> BatchVerdict:
    try:
        return msgspec.msgpack.decode(connection.recv_bytes(), type=BatchVerdict)
    except (EOFError, ConnectionError):
        raise VerifierUnavailableError("a process that verifies died, perhaps for want of memory") from None


@contextmanager
def enough_memory() -> Iterator[None]:
    """Let too little memory be an error of the verifier."""
    try:
        yield
    except (MemoryError, RecursionError) as error:
        raise VerifierUnavailableError(
            f"not enough memory or stack to verify ({type(error).__name__}); nothing is said about the job"
        ) from None
