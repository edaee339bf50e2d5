"""The end of a job: outputs in one file, dead letters, and the manifest, which is written last.

All of them follow from the job's state and its proofs, and can be written again.
"""

from collections.abc import Collection
from pathlib import Path

import msgspec
from blake3 import blake3

from zkinfer.circuit.program import Program
from zkinfer.errors import ArtifactError, MalformedProofError
from zkinfer.files.artifact import HEADER_BYTES, write_atomically
from zkinfer.files.kinds import PROOF
from zkinfer.files.proof import Proof
from zkinfer.files.reading import read_bounded
from zkinfer.jobs.job import DEAD_LETTERS_FILE, manifest_file, proof_name, proofs_folder
from zkinfer.jobs.manifest import DeadLetter, JobBatch, Manifest
from zkinfer.jobs.outputs import OutputFiles, claimed_outputs
from zkinfer.jobs.sample import ExecutedJob
from zkinfer.jobs.state import Row, State

HIDDEN_REASON = "the circuit cannot take it"
"""What is published of a dead letter whose values are hidden."""


def write_dead_letters(folder: Path, state: State) -> None:
    """Write the dead letters found so far, for the operator alone: a line of JSON each, with its item and reason.

    Raises:
        ResourceError: the disk is full or not writable.
    """
    lines = (msgspec.json.encode({"item": letter.index, "reason": letter.reason}) for letter in state.dead_letters())
    write_atomically(folder / DEAD_LETTERS_FILE, b"".join(line + b"\n" for line in lines), private=True)


def executed_job(state: State) -> ExecutedJob:
    """What there is of a sampled job, all of whose items are executed."""
    policy, sample = state.job.options.sample, state.sample
    assert policy is not None
    assert sample is not None
    return ExecutedJob(describe(state), policy.seed, sample.size)


def describe(state: State) -> Manifest:
    """The manifest of a job all of whose items belong to batches; the policy of a sampled one is left out.

    Reasons of dead letters quote their values, so a job that hides its inputs publishes none.
    """
    job, options = state.job, state.job.options
    dead = {letter.index: letter for letter in state.dead_letters()}
    if options.private_inputs:
        dead = {index: DeadLetter(index, HIDDEN_REASON) for index in dead}
    batches = []
    for row in state.rows():
        named = ("", b"") if row.announced is None else (proof_name(row.first), row.announced.proof_digest)
        own_dead = tuple(i for i in range(row.first, row.stop) if i in dead)
        batches.append(JobBatch(row.first, row.stop, own_dead, *row.digests, *named))
    return Manifest(
        commitment=job.commitment,
        program=job.program,
        context=options.context,
        saturate=options.saturate,
        private_inputs=options.private_inputs,
        private_outputs=options.private_outputs,
        circuit_batch=job.circuit_batch,
        batch_size=max(batch.stop - batch.first for batch in batches),
        items=job.items,
        batches=tuple(batches),
        dead_letters=tuple(dead.values()),
    )


def complete(
    folder: Path, state: State, program: Program, outputs: OutputFiles | None, collected: Collection[int]
) -> bool:
    """Write the outputs and the manifest of a job all of whose batches are done that have to be proven.

    Args:
        folder, state: of the job.
        program: of its keys.
        outputs: files of outputs to be completed; None where the proofs hide them, and where they are written: in a
            sampled job.
        collected: the batches, by their first items, whose proofs were written just now and whose outputs are in the
            files already. The other proofs are read.

    Returns:
        Whether every proof is as it was recorded. One that is not waits to be made again, and there is no manifest.

    Raises:
        ResourceError: the disk is full or not writable.
    """
    manifest = describe(state)
    damaged = False
    for row, batch in zip(state.rows(), manifest.batches, strict=True):
        if row.first in collected:
            continue
        proof = _proof(folder, row)
        if proof is None and batch.proof:
            state.release(row.first, "its proof was damaged on disk")
            damaged = True
        elif outputs is not None:
            outputs.write(batch, [] if proof is None else claimed_outputs(proof, batch.size))
    if damaged:
        return False
    if outputs is not None:
        outputs.publish()
    if (sample := state.sample) is not None:
        manifest = executed_job(state).open(sample.challenge, sample.rate)
    manifest.save(manifest_file(folder))
    return True


def _proof(folder: Path, row: Row) -> Proof | None:
    """The proof of a batch; None where there is none, or not the recorded one."""
    if row.announced is None:
        return None
    try:
        data = read_bounded(proofs_folder(folder) / proof_name(row.first), max_bytes=PROOF.max_bytes + HEADER_BYTES)
        if blake3(data).digest() != row.announced.proof_digest:
            return None
        return Proof.from_bytes(data)
    except (ArtifactError, MalformedProofError):
        return None
