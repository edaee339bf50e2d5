"""Checking a sampled job: that the sample is the one that the challenge picks, and each of its proofs.

What is checked of the batches that were not picked is which of their items the circuit cannot take, no more.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zkinfer.audits.sampling import check_confidence
from zkinfer.errors import InvalidInputError, StatementError
from zkinfer.files.artifact import one_line
from zkinfer.files.commitment import Commitment
from zkinfer.jobs.challenge import SAMPLED_FILE, TOLERANCE, SampleCommitment, SampledReceipt
from zkinfer.jobs.inputs import PathLike
from zkinfer.jobs.verification import check_batches, check_manifest, enough_memory, load_commitment, make_setting


@dataclass(frozen=True)
class VerifiedSample:
    """A sample of the committed outputs is what the published model gives; the others were not proven.

    Attributes:
        commitment: what was published before the challenge.
        items: how many the job has.
        sampled: how many of them are in the sample, and proven.
        proofs: how many there are.
        rate: of wrong outputs.
        miss_probability: that a sample of this size holds no wrong output, if that rate of all outputs is wrong. Worth
            something only if the challenge was drawn after the commitment was published, by nobody on the operator's
            side.
        fingerprint: of the model's commitment.
        security_bits: whoever forges one of the proofs does work of about 2**security_bits.
        test_only: a proof can be forged by whoever made its reference string.
        seconds: how long verifying took.
    """

    commitment: SampleCommitment
    items: int
    sampled: int
    proofs: int
    rate: float
    miss_probability: float
    fingerprint: str
    security_bits: float
    test_only: bool
    seconds: float

    def __str__(self) -> str:
        return (
            f"sampled: {self.sampled} of {self.items} items are proven; if {100 * self.rate:.4g}% of the outputs were "
            f"wrong, the sample would hold none of them with probability {self.miss_probability:.3g}"
        )


def verify_sample(
    folder: PathLike,
    commitment: Commitment | PathLike,
    inputs: PathLike | Sequence[PathLike],
    published: bytes,
    challenge: bytes,
    *,
    context: bytes = b"",
    saturate: bool = False,
    rate: float | None = None,
    confidence: float | None = None,
    workers: int = 1,
) -> VerifiedSample:
    """Check a sampled job.

    Args:
        folder: of the job: its sampled receipt, proofs and outputs.
        commitment: the published commitment of the model, or its file.
        inputs: the verifier's own files of items, in the order of the job.
        published: the digest of the sampled job's commitment, 32 bytes, received before the challenge was drawn.
        challenge: which the verifier drew then, or took from a beacon.
        context, saturate, workers: as in `verification.verify_job`.
        rate: of wrong outputs that the verifier asks about, in (0, 1]; None takes that of the sampled receipt.
        confidence: in (0, 1), with which a sample has to hold a wrong output at that rate; None leaves the size of the
            sample to the operator.

    Raises:
        VerificationError: something is not as it should be.
    """
    start = time.perf_counter()
    with enough_memory():
        model = load_commitment(commitment)
        receipt = SampledReceipt.load(Path(folder) / SAMPLED_FILE)
        receipt.check(published, challenge)
        sample = receipt.commitment
        asked = receipt.rate if rate is None else rate
        missed = _miss_probability(sample, asked, confidence)
        job = sample.header.job(sample.circuit_batch)
        check_manifest(job, model, False, context, saturate)
        opened = {batch.number: batch for batch in receipt.opened}
        batches = [
            opened[number].batch(span) if number in opened else span.unopened()
            for number, span in enumerate(sample.spans)
        ]
        verdicts = check_batches(make_setting(folder, model, job, inputs), batches, workers)
    return VerifiedSample(
        commitment=sample,
        items=sample.header.items,
        sampled=sum(sample.spans[number].size for number in opened),
        proofs=len(opened),
        rate=asked,
        miss_probability=missed,
        fingerprint=model.fingerprint,
        security_bits=min((verdict.bits for verdict in verdicts), default=math.inf),
        test_only=any(verdict.test_only for verdict in verdicts),
        seconds=time.perf_counter() - start,
    )


def _miss_probability(sample: SampleCommitment, rate: float, confidence: float | None) -> float:
    """The probability that the sample holds no wrong output, if that rate of all outputs is wrong.

    Raises:
        StatementError: it is more than the verifier's confidence allows; or one of these is out of range.
    """
    try:
        if confidence is not None:
            check_confidence(confidence)
        missed = sample.miss_probability(rate)
    except InvalidInputError as error:
        raise StatementError(one_line(error)) from None
    if confidence is not None and missed > (1 - confidence) * (1 + TOLERANCE):
        raise StatementError(
            f"the sample is too small: if {100 * rate:.4g}% of the outputs were wrong, it would hold none of them with "
            f"probability {missed:.3g}, and you ask for at most {1 - confidence:.3g}"
        )
    return missed
