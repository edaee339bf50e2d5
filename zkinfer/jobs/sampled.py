"""Doing a sampled job: execute and commit to every item, publish, then prove what the challenge picks.

    commitment = commit_sample(Path("night"), keys, [Path("inputs.npy")], batch_size=100)
    # publish commitment.digest; then have a challenge drawn
    receipt = prove_sample(Path("night"), keys, [Path("inputs.npy")], challenge)

A sampled job is worth less than one all of which is proven; `challenge` says what it shows. Killed at any moment,
either step can be called again: proofs that exist are checked and kept.
"""

import secrets
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from blake3 import blake3

from zkinfer.audit.log import DEFAULT_CONFIDENCE, DEFAULT_RATE
from zkinfer.audit.sampling import check_confidence, check_rate
from zkinfer.circuit.samples import batch_of, from_runs
from zkinfer.errors import (
    ArtifactError,
    InvalidInputError,
    MalformedProofError,
    ProvingError,
    VerificationError,
    WrongKeyError,
)
from zkinfer.execution.executor import Executor
from zkinfer.files.artifact import HEADER_BYTES, read_bounded, unwrap, wrap, write_atomically
from zkinfer.files.proof import Proof
from zkinfer.files.statement import check_context
from zkinfer.jobs.api import load_keys
from zkinfer.jobs.batch_checker import check_proof, read_items
from zkinfer.jobs.challenge import (
    COMMITMENT_FILE,
    MAX_FILE_BYTES,
    SAMPLED_FILE,
    CommittedItem,
    OpenedBatch,
    SampleCommitment,
    SampledReceipt,
    Span,
    batches_needed,
    salt,
    salted_leaf,
)
from zkinfer.jobs.inputs import Inputs, PathLike, paths_of
from zkinfer.jobs.items import ItemShapes, as_runs
from zkinfer.jobs.job import STATE_FILE, proof_name, proofs_folder
from zkinfer.jobs.manifest import item_digests
from zkinfer.jobs.outputs import OutputFiles, claimed_outputs
from zkinfer.jobs.receipt import Header, tree_head, tree_path
from zkinfer.progress import progress
from zkinfer.typing import IntArray

if TYPE_CHECKING:
    from zkinfer.backend import Keys
    from zkinfer.native.keys import NativeKeys


SECRET_FILE = "sample-secret.zkk"
SECRET_KIND = "ssec"
SECRET_VERSION = 2
SEED_BYTES = 32


class _Executed(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the operator keeps: the seed of the salts, the rate asked for, and each batch's digests of its items."""

    seed: bytes
    rate: float
    input_digests: tuple[bytes, ...]
    output_digests: tuple[bytes, ...]

    def leaves(self, span: Span, number: int) -> list[bytes]:
        """The leaves of a batch."""
        items = span.items(self.input_digests[number], self.output_digests[number])
        return [salted_leaf(salt(self.seed, item.index), item) for item in items]

    def heads(self, spans: Sequence[Span]) -> list[bytes]:
        """The heads of all batches."""
        return [tree_head(self.leaves(span, number)) for number, span in enumerate(spans)]


def commit_sample(
    folder: PathLike,
    keys: "Keys | PathLike",
    inputs: PathLike | Sequence[PathLike],
    *,
    batch_size: int,
    rate: float = DEFAULT_RATE,
    confidence: float = DEFAULT_CONFIDENCE,
    context: bytes = b"",
    saturate: bool = False,
    seed: bytes | None = None,
) -> SampleCommitment:
    """Execute all items and commit to their inputs and outputs.

    Writes the outputs, as a job does; the commitment, whose digest is to be published; and a secret file, which proving
    needs, for its owner alone.

    Args:
        folder: of the sampled job; made if need be.
        keys: proving keys of the native backend, or their folder.
        inputs: a file of items or several, one after another.
        batch_size: items a proof, a multiple of the circuit's batch.
        rate, confidence: so many batches will be proven that a wrong output is among them with that confidence, if that
            rate of all outputs is wrong.
        context: what the proofs will be bound to.
        saturate: inputs beyond the calibrated range become the nearest bound.
        seed: 32 secret bytes that the salts are made of; fresh ones by default.

    Raises:
        InvalidInputError: an argument or a file is not what is asked for; there is no item that the circuit can take;
            or the folder holds a sampled job already.
        ResourceError: the disk is full or not writable.
    """
    target, native, files = Path(folder), _native(keys), paths_of(inputs)
    program = native.program
    seed = secrets.token_bytes(SEED_BYTES) if seed is None else seed
    if len(seed) != SEED_BYTES:
        raise InvalidInputError(f"the seed of the salts has {SEED_BYTES} bytes, not {len(seed)}")
    if batch_size < 1 or batch_size % batch_of(program):
        raise InvalidInputError(f"a batch has a multiple of {batch_of(program)} items, not {batch_size}")
    check_context(context)
    check_rate(rate)
    check_confidence(confidence)
    if (target / COMMITMENT_FILE).exists():
        raise InvalidInputError(f"{target} holds a sampled job already: prove it, or choose another folder")
    if (target / STATE_FILE).exists():
        raise InvalidInputError(f"{target} holds a job already: choose another folder")
    proofs_folder(target).mkdir(parents=True, exist_ok=True)
    spans, digests, items = _execute(target, native, files, batch_size, saturate)
    executed = _Executed(seed, rate, tuple(one for one, _ in digests), tuple(other for _, other in digests))
    size = batches_needed([span.size for span in spans], rate, confidence)
    header = Header(native.commitment.digest, native.commitment.program_digest, context, saturate, False, False, items)
    head = tree_head(executed.heads(spans))
    commitment = SampleCommitment(header, batch_of(program), tuple(spans), size, head)
    secret = wrap(SECRET_KIND, SECRET_VERSION, msgspec.msgpack.encode(executed))
    write_atomically(target / SECRET_FILE, secret, private=True)
    write_atomically(target / COMMITMENT_FILE, commitment.to_bytes())
    return commitment


def _native(keys: "Keys | PathLike") -> "NativeKeys":
    """Keys of the native backend.

    Raises:
        InvalidInputError: they are of another.
    """
    from zkinfer.native.keys import NativeKeys

    loaded = load_keys(keys)
    if not isinstance(loaded, NativeKeys):
        raise InvalidInputError(f"a sampled job takes keys of the native backend, not of {loaded.backend!r}")
    return loaded


def _execute(
    folder: Path,
    keys: "NativeKeys",
    inputs: Sequence[Path],
    batch_size: int,
    saturate: bool,
) -> tuple[list[Span], list[tuple[bytes, bytes]], int]:
    """The batches, the digests of their items' inputs and outputs, and how many items there are; writes the outputs."""
    program, executor = keys.program, keys.executor
    spans: list[Span] = []
    digests: list[tuple[bytes, bytes]] = []
    with closing(Inputs(inputs, ItemShapes(program))) as opened, ExitStack() as stack:
        files = stack.enter_context(closing(OutputFiles(folder, opened.length, program)))
        advance = stack.enter_context(progress("executing", opened.length))
        for first in range(0, opened.length, batch_size):
            stop = min(first + batch_size, opened.length)
            arrays, dead = read_items(opened, first, stop, program, saturate)
            outputs = _run(executor, arrays) if len(arrays[0]) else []
            spans.append(Span(first, stop, dead))
            digests.append((item_digests(arrays), item_digests(outputs)) if outputs else (b"", b""))
            files.write(spans[-1].unopened(), outputs)
            advance(stop - first)
        files.publish()
        return spans, digests, opened.length


def _run(executor: Executor, arrays: Sequence[IntArray]) -> list[IntArray]:
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


def prove_sample(
    folder: PathLike,
    keys: "Keys | PathLike",
    inputs: PathLike | Sequence[PathLike],
    challenge: bytes,
    *,
    rate: float | None = None,
) -> SampledReceipt:
    """Prove the batches that a challenge picks, and write the sampled receipt beside them.

    Args:
        folder: where `commit_sample` wrote.
        keys, inputs: as then.
        challenge: drawn after the digest of the commitment was published, by someone else: at least 16 bytes.
        rate: of wrong outputs, for which the receipt states the probability that none is in the sample; by default the
            one that the sample was made large enough for.

    Raises:
        InvalidInputError: there is no sampled job in the folder, its inputs changed, or an argument is out of range.
        BudgetError: the keys cannot make as many proofs.
        ProvingError: a batch cannot be proven.
        ResourceError: the disk is full or not writable.
    """
    target, native = Path(folder), _native(keys)
    commitment, executed = _load(target)
    if commitment.header.commitment != native.commitment.digest:
        raise WrongKeyError(f"the sampled job in {target} was committed to with other keys")
    rate = executed.rate if rate is None else rate
    probability = commitment.miss_probability(rate)
    heads = executed.heads(commitment.spans)
    opened: list[OpenedBatch] = []
    picked = commitment.picked(challenge)
    with (
        closing(Inputs(paths_of(inputs), ItemShapes(native.program))) as items,
        progress("proving the sample", len(picked)) as tick,
    ):
        for number in picked:
            span = commitment.spans[number]
            arrays, dead = read_items(items, span.first, span.stop, native.program, commitment.header.saturate)
            digests = executed.input_digests[number], executed.output_digests[number]
            if dead != span.dead or item_digests(arrays) != digests[0]:
                raise InvalidInputError(f"items {span.first} to {span.stop - 1} changed since they were committed")
            path = proofs_folder(target) / proof_name(span.first)
            digest = _prove(path, native, commitment, arrays, digests[1])
            salts = b"".join(salt(executed.seed, index) for index in range(span.first, span.stop))
            opened.append(OpenedBatch(number, *digests, salts, tree_path(heads, number), digest))
            tick(1)
    receipt = SampledReceipt(commitment, challenge, rate, probability, tuple(opened))
    receipt.save(target / SAMPLED_FILE)
    return receipt


def _prove(
    path: Path,
    keys: "NativeKeys",
    commitment: SampleCommitment,
    arrays: Sequence[IntArray],
    output_digests: bytes,
) -> bytes:
    """Write the proof of a batch, unless a good one is there; returns the file's digest."""
    job = commitment.header.job(commitment.circuit_batch)
    try:
        proof = Proof.load(path)
        _, claimed = check_proof(proof, keys.commitment, arrays, job, len(arrays[0]))
    except VerificationError:
        proof = keys.prove(as_runs(arrays, keys.program), commitment.header.context)
        claimed = claimed_outputs(proof, len(arrays[0]))
    if item_digests(claimed) != output_digests:
        raise ProvingError(f"{path.name}: what is proven is not what was committed; was it another model?")
    data = proof.to_bytes()
    write_atomically(path, data)
    digest: bytes = blake3(data).digest()
    return digest


def open_item(folder: PathLike, index: int) -> CommittedItem:
    """One item of a sampled job, for whoever was given its output and wants to see that it was committed.

    Raises:
        InvalidInputError: there is no sampled job in the folder, or no such item.
    """
    commitment, executed = _load(Path(folder))
    for number, span in enumerate(commitment.spans):
        if span.first <= index < span.stop:
            item = span.items(executed.input_digests[number], executed.output_digests[number])[index - span.first]
            in_batch = tree_path(executed.leaves(span, number), index - span.first)
            in_job = tree_path(executed.heads(commitment.spans), number)
            return CommittedItem(item, salt(executed.seed, index), in_batch, in_job)
    raise InvalidInputError(f"the sampled job has items 0 to {commitment.header.items - 1}, and no item {index}")


def _load(folder: Path) -> tuple[SampleCommitment, _Executed]:
    """What `commit_sample` wrote.

    Raises:
        InvalidInputError: it is not there, or damaged.
    """
    try:
        commitment = SampleCommitment.load(folder / COMMITMENT_FILE)
        data = read_bounded(folder / SECRET_FILE, max_bytes=MAX_FILE_BYTES + HEADER_BYTES)
        payload = unwrap(data, SECRET_KIND, SECRET_VERSION, max_bytes=MAX_FILE_BYTES)
        executed = msgspec.msgpack.decode(payload, type=_Executed)
    except (MalformedProofError, msgspec.MsgspecError) as error:
        raise ArtifactError(f"{folder} holds no sampled job: {error}") from None
    if tree_head(executed.heads(commitment.spans)) != commitment.head:
        raise ArtifactError(f"{folder} mixes files of different sampled jobs")
    return commitment, executed
