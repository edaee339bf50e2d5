"""Sampled jobs, by the names of their steps: thin entries to the one kind of job, under the policy of `SamplePolicy`.

    commitment = commit_sample("night", keys, "inputs.npy", batch_size=100)
    # publish commitment.digest; then have a challenge drawn
    manifest = prove_sample("night", keys, "inputs.npy", challenge)

The same with workers, an observer and a way to stop: `api.run(..., sample=SamplePolicy(...))`, and then
`api.resume(folder, challenge=challenge)`.
"""

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from zkinfer.arguments import as_path
from zkinfer.audits.log import DEFAULT_CONFIDENCE, DEFAULT_RATE
from zkinfer.errors import InvalidInputError, ProvingError
from zkinfer.jobs.api import resume, run
from zkinfer.jobs.finalize import executed_job
from zkinfer.jobs.inputs import PathLike
from zkinfer.jobs.job import SAMPLE_COMMITMENT_FILE, SamplePolicy, manifest_file
from zkinfer.jobs.manifest import Manifest
from zkinfer.jobs.sample import CommittedItem
from zkinfer.jobs.state import State

if TYPE_CHECKING:
    from zkinfer.backend import Keys


def commit_sample(
    folder: PathLike,
    keys: "Keys | PathLike",
    inputs: PathLike | Sequence[PathLike],
    *,
    batch_size: int,
    rate: float = DEFAULT_RATE,
    confidence: float = DEFAULT_CONFIDENCE,
    seed: bytes | None = None,
    **options: Any,
) -> Manifest:
    """Execute all items and commit to their inputs and outputs: begin a sampled job.

    Args:
        folder, keys, inputs, options: as in `api.run`; the keys are of the native backend.
        batch_size: items a proof, a multiple of the circuit's batch.
        rate, confidence, seed: see `SamplePolicy`.

    Returns:
        What is committed to; its `digest` is to be published.

    Raises:
        InvalidInputError: an argument or a file is not what is asked for; there is no item that the circuit can take;
            or the folder holds a job already.
        ResourceError: the disk is full or not writable.
    """
    salts = {} if seed is None else {"seed": seed}
    policy = SamplePolicy(rate=rate, confidence=confidence, **salts)
    run(folder, keys, inputs, batch_size=batch_size, sample=policy, **options)
    return Manifest.load(as_path("folder", folder) / SAMPLE_COMMITMENT_FILE)


def prove_sample(
    folder: PathLike,
    keys: "Keys | PathLike",
    inputs: PathLike | Sequence[PathLike],
    challenge: bytes,
    *,
    rate: float | None = None,
) -> Manifest:
    """Prove the batches that a challenge picks; those that are proven already are kept.

    Args:
        folder: of the sampled job.
        keys, inputs: as then; they may lie elsewhere now.
        challenge: drawn after the digest of the commitment was published, by someone else: at least 16 bytes.
        rate: of wrong outputs, for which the manifest states the probability that none is in the sample; by default
            the one that the sample was made large enough for.

    Returns:
        The manifest of the job.

    Raises:
        InvalidInputError: there is no sampled job in the folder, its inputs changed, or an argument is out of range.
        WrongKeyError: the keys are others than those of the job.
        BudgetError: the keys cannot make as many proofs.
        ProvingError: a batch cannot be proven; the others are.
        ResourceError: the disk is full or not writable.
    """
    if not resume(folder, keys, inputs=inputs, challenge=challenge, rate=rate).complete:
        with closing(State(as_path("folder", folder))) as state:
            failed = next(row for row in state.rows() if row.status == "failed")
        raise ProvingError(f"items {failed.first} to {failed.stop - 1}: {failed.reason}")
    return Manifest.load(manifest_file(as_path("folder", folder)))


def open_item(folder: PathLike, index: int) -> CommittedItem:
    """One item of a sampled job, for a person who was given its output and wants to see that it was committed to.

    Raises:
        InvalidInputError: there is no sampled job in the folder, it has not committed yet, or has no such item.
    """
    with closing(State(as_path("folder", folder))) as state:
        if state.sample is None:
            raise InvalidInputError(f"{folder} holds no sampled job that has committed to its outputs")
        return executed_job(state).open_item(index)
