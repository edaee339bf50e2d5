"""Checking a job, all of which or a sample of which is proven, or one of its items.

Nothing in a job's folder is trusted. The commitment, the inputs, the context, whether inputs are clipped, the receipt,
and of a sampled job what was published and the challenge come from the caller. `batch_checker` says what is checked of
each batch; of the batches that a challenge did not pick only which of their items the circuit cannot take.
"""

import math
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from zkinfer.arguments import as_path
from zkinfer.audits.sampling import check_confidence
from zkinfer.circuit.qformat import as_arrays
from zkinfer.circuit.samples import batch_of
from zkinfer.counts import counted
from zkinfer.errors import (
    CommitmentMismatchError,
    InvalidInputError,
    InvalidProofError,
    MalformedProofError,
    MissingDependencyError,
    StatementError,
    UnreadableProofError,
    UnusableStatementError,
    VerifierNotInstalledError,
    VerifierUnavailableError,
)
from zkinfer.files.artifact import one_line
from zkinfer.files.commitment import Commitment
from zkinfer.files.statement import MAX_UNSTATED_RUNS
from zkinfer.jobs.batch_checker import BatchChecker, Setting, check_proof, read_proof
from zkinfer.jobs.check_pool import check_in_processes
from zkinfer.jobs.check_worker import BatchVerdict, judge
from zkinfer.jobs.inputs import PathLike, paths_of
from zkinfer.jobs.items import quantize_items
from zkinfer.jobs.job import describe_missing, holds_earlier_sample, manifest_file
from zkinfer.jobs.manifest import MANIFEST_FILE, JobBatch, Manifest, item_digests
from zkinfer.jobs.receipt import ItemReceipt, receipt_of
from zkinfer.jobs.sample import TOLERANCE, check_sample, job_miss_probability
from zkinfer.progress import progress
from zkinfer.typing import IntArray
from zkinfer.verifier import VerifiedInference

MAX_HIDDEN_ITEMS = 1 << 24
"""Of a job whose manifest holds no digest of an item, so that a short file could claim any number of them."""


@dataclass(frozen=True)
class VerifiedJob:
    """The published model maps every item that is proven to its output.

    Where all of the job is proven, that is every item that is not a dead letter. Of a sampled job it is those in the
    sample; the others were committed to before the challenge, and not proven.

    Attributes:
        receipt: of the job, 32 bytes.
        items: how many it has.
        proven: how many of them a proof covers.
        dead: how many are dead letters. The caller's inputs show that the circuit takes none of these; where the
            inputs are hidden, that is what the prover says.
        proofs: how many there are.
        fingerprint: of the commitment, to compare with what the model's owner publishes.
        security_bits: forging one of the proofs takes work of about 2**security_bits; infinite where there are none.
        test_only: a proof can be forged by the maker of its reference string.
        weights_in_bounds: whether the commitment proves that all weights lie within their bounds, see
            `VerifiedInference`; true where there are no proofs.
        clipped: how many values of the proven items' inputs lay out of range and were proven as the nearest bound,
            since the caller asked for `saturate`. Hidden inputs, which the prover may have clipped, are not counted.
        seconds: how long verifying took.
        published: of a sampled job, the digest of what was committed to before the challenge; empty where all of the
            job is proven.
        rate: of a sampled job, a rate of wrong outputs.
        miss_probability: that a sample of this size holds no wrong output, if that rate of all outputs is wrong. It
            is worth something only if the challenge was drawn after the digest was published, by nobody on the
            operator's side. 0 where all of the job is proven.
        rate_of_operator: of a sampled job, the caller named no rate: that rate and the size of the sample are what the
            operator chose, and the caller has to judge whether they suffice.
    """

    receipt: bytes
    items: int
    proven: int
    dead: int
    proofs: int
    fingerprint: str
    security_bits: float
    test_only: bool
    weights_in_bounds: bool
    seconds: float
    published: bytes = b""
    rate: float = 0.0
    miss_probability: float = 0.0
    rate_of_operator: bool = False
    clipped: int = 0

    @property
    def sampled(self) -> int:
        """How many items of a sampled job are in the sample, and proven."""
        return self.proven

    def __str__(self) -> str:
        if not self.published:
            return f"{self.proven:,} of {self.items:,} items are proven; the others are dead letters"
        return (
            f"sampled: {self.proven:,} of {self.items:,} items are proven; if {100 * self.rate:.4g}% of the outputs "
            f"were wrong, the sample would hold none of them with probability {self.miss_probability:.3g}"
            + "; that rate is the operator's own, as you named none"
            * self.rate_of_operator
        )


VerifiedSample = VerifiedJob
"""The same, by the name of what `verify_sample` gives."""


def verify_job(
    folder: PathLike,
    commitment: Commitment | PathLike,
    inputs: PathLike | Sequence[PathLike] | None,
    *,
    receipt: bytes | None = None,
    context: bytes = b"",
    saturate: bool = False,
    workers: int = 1,
    published: bytes | None = None,
    challenge: bytes | None = None,
    rate: float | None = None,
    confidence: float | None = None,
    min_bits: float | None = None,
) -> VerifiedJob:
    """Check all of a job: that every item is proven, or is one that the circuit cannot take; or check a sampled job.

    Args:
        folder: of the job: its manifest, proofs and outputs.
        commitment: the published commitment, or its file.
        inputs: the verifier's own files of items, in the order of the job; None where the proofs hide them.
        receipt: the one that was published, 32 bytes, if it was.
        context: the bytes that every proof must be bound to.
        saturate: clip inputs beyond the calibrated range, as the prover did if it was asked to.
        workers: processes that check batches; 1 checks in this one.
        published: of a sampled job, the digest of what it committed to, 32 bytes, received before the challenge was
            drawn. With neither this nor a challenge, a sampled job is refused.
        challenge: which the verifier drew then, or took from a beacon.
        rate: of wrong outputs that the verifier asks about, in (0, 1]; None takes the operator's, as the result says.
        confidence: in (0, 1), with which a sample has to hold a wrong output at that rate, which has to be given too;
            None leaves the size of the sample to the operator.
        min_bits: the security that each proof has to be worth, as for `zkinfer.verifier.verify`.

    Raises:
        VerificationError: something is not as it should be; the message names the items.
        InvalidInputError: a confidence without a rate: the operator's rate would decide what it means.
    """
    if confidence is not None and rate is None:
        raise InvalidInputError(
            "a confidence is about a rate of wrong outputs, and the operator's own would decide what it is worth: "
            "name yours too, rate= (--rate)"
        )
    start = time.perf_counter()
    with able_to_verify():
        own = Commitment.of(commitment)
        manifest = load_manifest(job_folder(folder))
        asked, missed = _check_policy(folder, manifest, published, challenge, rate, confidence)
        check_manifest(manifest, own, inputs is None, context, saturate)
        _check_extent(manifest)
        setting = make_setting(folder, own, manifest, inputs, min_bits)
        # Where all is hidden, a short manifest may claim any number of items: proofs first, since each is a file.
        all_hidden = manifest.private_inputs and manifest.private_outputs
        verdicts = check_batches(setting, manifest.batches, workers) if all_hidden else []
        found = receipt_of(manifest)
        if receipt is not None and found != receipt:
            raise InvalidProofError(f"the job's receipt is {found.hex()}, and not the one that was published")
        verdicts = verdicts or check_batches(setting, manifest.batches, workers)
    return VerifiedJob(
        receipt=found,
        items=manifest.items,
        proven=manifest.proven,
        dead=len(manifest.dead_letters),
        proofs=sum(bool(batch.proof) for batch in manifest.batches),
        fingerprint=own.fingerprint,
        security_bits=min((verdict.bits for verdict in verdicts), default=math.inf),
        test_only=any(verdict.test_only for verdict in verdicts),
        weights_in_bounds=all(verdict.weights_in_bounds for verdict in verdicts),
        seconds=time.perf_counter() - start,
        published=published or b"",
        rate=asked,
        miss_probability=missed,
        rate_of_operator=manifest.sample is not None and rate is None,
        clipped=sum(verdict.clipped for verdict in verdicts),
    )


def verify_sample(
    folder: PathLike,
    commitment: Commitment | PathLike,
    inputs: PathLike | Sequence[PathLike],
    published: bytes,
    challenge: bytes,
    **options: Any,
) -> VerifiedJob:
    """Check a sampled job: `verify_job`, whose options it takes, with what was published and the challenge."""
    return verify_job(folder, commitment, inputs, published=published, challenge=challenge, **options)


def load_manifest(folder: Path) -> Manifest:
    """The manifest of a job.

    Raises:
        MalformedProofError: it is missing or damaged, or an early version made the job.
    """
    path = manifest_file(folder)
    with suppress(OSError):  # a name that is too long is told by whoever opens it
        if not path.exists():
            if holds_earlier_sample(folder):
                raise MalformedProofError(describe_missing(folder))
            raise UnreadableProofError(
                f"{folder} holds no {MANIFEST_FILE}, which a job has once it is complete: check the folder's name, or "
                "see how far the job is with zkinfer batch status"
            )
    return Manifest.load(path)


def _check_policy(
    folder: PathLike,
    manifest: Manifest,
    published: bytes | None,
    challenge: bytes | None,
    rate: float | None,
    confidence: float | None,
) -> tuple[float, float]:
    """The job's policy is the one that the caller asks about, and a sample is the one that the challenge picks.

    Returns:
        The rate of wrong outputs that is asked about, and the probability that they go unnoticed; both 0 where all of
        the job has to be proven.

    Raises:
        VerificationError: it is not; or a sample is too small for the caller.
    """
    asked = (published, challenge, rate, confidence)
    if manifest.sample is None:
        if any(value is not None for value in asked):
            raise StatementError(f"{folder} holds no sampled job: check it without a digest and a challenge")
        return 0.0, 0.0
    if published is None or challenge is None:
        raise StatementError(
            f"{folder} holds a sampled job, not a proof of all items: it is checked with the digest that was published "
            "before the challenge, and the challenge; see zkinfer batch verify-sample"
        )
    check_sample(manifest, published, challenge)
    rate = manifest.sample.rate if rate is None else rate
    try:
        if confidence is not None:
            check_confidence(confidence)
        missed = job_miss_probability(manifest, rate)
    except InvalidInputError as error:
        raise StatementError(one_line(error)) from None
    if confidence is not None and missed > (1 - confidence) * (1 + TOLERANCE):
        raise StatementError(
            f"the sample is too small: if {100 * rate:.4g}% of the outputs were wrong, it would hold none of them with "
            f"probability {missed:.3g}, and you ask for at most {1 - confidence:.3g}"
        )
    return rate, missed


def _check_extent(manifest: Manifest) -> None:
    """Every batch that has to be proven has a proof of its own, and there are no more items than the files account for.

    Raises:
        VerificationError: it has not.
    """
    if manifest.private_inputs and manifest.private_outputs:
        if manifest.items > MAX_HIDDEN_ITEMS:
            raise MalformedProofError(
                f"a job that hides inputs and outputs has at most {counted(MAX_HIDDEN_ITEMS, 'item')}"
            )
        most = MAX_UNSTATED_RUNS * manifest.circuit_batch
        for batch in manifest.batches:
            if batch.stop - batch.first > most:
                raise MalformedProofError(
                    f"items {batch.first} to {batch.stop - 1} are in one proof; of one that hides everything, at most "
                    f"{most:,} items are checked"
                )
    if manifest.sample is None and manifest.unproven:
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
    min_bits: float | None = None,
) -> VerifiedInference:
    """Check one item of a job: that it stands in the receipt, and that its proof covers it.

    A proof covers a batch, so that all inputs of the batch are needed: the person who checks this item sees the others,
    unless the proofs hide them.

    Args:
        item: the item with its path, or its file.
        receipt: the one that was published, 32 bytes.
        proof: file of the proof that covers the item.
        commitment: the published commitment, or its file.
        inputs: real numbers: those of all items of the batch that are not dead letters, in order: one array of shape
            (items, *item shape), or a sequence or mapping of one array an input. None where the proof hides them.
        context, saturate, min_bits: as in `verify_job`.

    Returns:
        What the proof shows: `outputs[item.position]` is the item's output.

    Raises:
        VerificationError: the item is not shown.
    """
    with able_to_verify():
        published = Commitment.of(commitment)
        found = item if isinstance(item, ItemReceipt) else ItemReceipt.load(item)
        found.check(receipt)
        leaf, job = found.item, found.header.job(batch_of(published.program))
        check_manifest(job, published, inputs is None, context, saturate)
        if not leaf.proof_digest:
            raise InvalidProofError(f"item {leaf.index} is covered by no proof: {leaf.reason or 'it was not proven'}")
        integers = None if inputs is None else _quantized(inputs, published, saturate)
        items = None if integers is None else len(integers[0])
        opened = read_proof(proof, leaf.proof_digest)
        result, claimed = check_proof(opened, published, integers, job, items, min_bits)
        if found.position >= (items or result.runs * batch_of(published.program)):
            raise InvalidProofError(f"the proof has no position {found.position} for item {leaf.index}")
        for what, arrays, digest in (("input", integers, leaf.input_digest), ("output", claimed, leaf.output_digest)):
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
        integers, reasons, _ = quantize_items(arrays, program, saturate=saturate)
    except InvalidInputError as error:
        raise StatementError(one_line(error)) from None
    if reasons:
        position, reason = next(iter(reasons.items()))
        raise StatementError(f"the circuit cannot take the input at position {position}: {reason}")
    return integers


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
        raise StatementError(
            f"the circuit runs {counted(batch_of(commitment.program), 'item')} at a time, the job says otherwise"
        )
    if manifest.private_inputs and not hidden:
        raise StatementError("the job hides its inputs, so that none can be held against it: hand in none")
    if hidden and not manifest.private_inputs:
        raise UnusableStatementError("the job's inputs are public: hand in your own copy of them (--inputs FILE)")


def make_setting(
    folder: PathLike,
    commitment: Commitment,
    manifest: Manifest,
    inputs: PathLike | Sequence[PathLike] | None,
    min_bits: float | None = None,
) -> Setting:
    """What the job's batches are checked against."""
    files = paths_of(inputs or ())
    if not files and not manifest.private_inputs:
        raise StatementError("there are no inputs; hand in the files that the job is about")
    job = msgspec.structs.replace(manifest, batches=(), dead_letters=())
    return Setting(str(folder), commitment.to_bytes(), job, tuple(map(str, files)), min_bits)


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
        found = _here(setting, batches) if workers <= 1 else check_in_processes(setting, batches, workers)
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


def job_folder(folder: PathLike) -> Path:
    """The folder of a job, or of an item of one.

    Raises:
        UnusableStatementError: it is not a path of this machine.
    """
    try:
        return as_path("folder", folder)
    except InvalidInputError as error:
        raise UnusableStatementError(str(error)) from None


@contextmanager
def able_to_verify() -> Iterator[None]:
    """Let too little memory, and a package that is missing, be errors of the verifier."""
    try:
        yield
    except VerifierNotInstalledError:
        raise
    except MissingDependencyError as error:
        raise VerifierNotInstalledError(str(error)) from None
    except (MemoryError, RecursionError) as error:
        raise VerifierUnavailableError(
            f"not enough memory or stack to verify ({type(error).__name__}); nothing is said about the job"
        ) from None
