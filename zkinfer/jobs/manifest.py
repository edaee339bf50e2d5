"""The manifest of a job: which items each of its proofs covers, and digests of all that belongs to them.

An item is one sample of the job's input files; items are numbered from 0 in their order. A batch is a contiguous range
of them, covered by one proof; the ranges follow each other without a gap, so that nothing can be left out unseen. An
item that the circuit cannot take is a dead letter: it stands in the manifest with its reason, in no proof.

The policy of a job is to prove all batches, or only a sample of them that a challenge picks. The manifest of a sampled
job says what was committed to before the challenge, and opens the batches that were picked; see `sample`. Without the
challenge and what follows from it, the manifest is the commitment itself.

The manifest comes from the prover. It says what a verifier has to check, and none of it is trusted.
"""

import itertools
import re
from collections.abc import Sequence
from typing import ClassVar

import msgspec
import numpy as np
from blake3 import blake3

from zkinfer.counts import counted
from zkinfer.errors import MalformedProofError
from zkinfer.files import kinds
from zkinfer.files.file import File
from zkinfer.files.statement import MAX_CONTEXT_BYTES, VALUES_CONTEXT
from zkinfer.jobs.tree import DIGEST_BYTES
from zkinfer.typing import IntArray

MAX_ITEMS = 1 << 48
MAX_BATCH_ITEMS = 1 << 24

MANIFEST_FILE = "manifest.zkm"
PROOFS_FOLDER = "proofs"
"""Where a job's folder holds its manifest and the files that the manifest names."""

COMMITMENT_KEY = b"zkinfer 2026 sample commitment 2".ljust(32, b"\0")

_PROOF_NAME = re.compile(r"[0-9]{1,16}\.proof", re.ASCII)


class DeadLetter(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An item that no proof covers.

    Attributes:
        index: its number.
        reason: why the circuit cannot take it, one line.
    """

    index: int
    reason: str


class JobBatch(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A range of items and the proof of those that are not dead letters.

    Attributes:
        first, stop: the items are `range(first, stop)`, at least one.
        dead: those of them that are dead letters, in increasing order.
        input_digests: 32 bytes for each other item, in order, as `item_digests` gives them; empty where the proof
            hides the inputs, and in a sampled job where the batch is not proven.
        output_digests: likewise.
        proof: name of the proof's file in the job's folder of proofs; empty where the items have no proof.
        proof_digest: BLAKE3 of that file, 32 bytes; empty where there is none.
    """

    first: int
    stop: int
    dead: tuple[int, ...]
    input_digests: bytes
    output_digests: bytes
    proof: str
    proof_digest: bytes

    @property
    def items(self) -> IntArray:
        """The numbers of the items that are not dead letters, in order: the samples of the proof."""
        return np.setdiff1d(np.arange(self.first, self.stop), np.array(self.dead, dtype=np.int64), assume_unique=True)

    @property
    def size(self) -> int:
        """How many these are."""
        return self.stop - self.first - len(self.dead)


class Opening(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What shows that a batch of a sample is the one that was committed to.

    Attributes:
        salts: 32 bytes for each item of the batch, dead letters included.
        siblings: the path from the batch's head to that of the job, 32 bytes each.
    """

    salts: bytes
    siblings: bytes


class Sample(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The policy of a sampled job: what was committed to before the challenge, and what came of it.

    Attributes:
        size: how many batches are proven, of those that hold items that are not dead letters.
        head: of the tree over the batches, 32 bytes.
        challenge: picks the batches; empty until there is one, and then the defaults of all further ones hold.
        rate: of wrong outputs, in (0, 1].
        miss_probability: that a sample of this size holds no wrong output, if that rate of all outputs is wrong.
        openings: of the batches that were picked, in order.
    """

    size: int
    head: bytes
    challenge: bytes = b""
    rate: float = 0.0
    miss_probability: float = 0.0
    openings: tuple[Opening, ...] = ()


class Manifest(File, msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """All of a job.

    Attributes:
        commitment: digest of the commitment, 32 bytes.
        program: digest of the program, 32 bytes.
        context: what every proof is bound to, at most `MAX_CONTEXT_BYTES`.
        saturate: whether inputs beyond the calibrated range became the nearest bound.
        private_inputs, private_outputs: whether the proofs hide them.
        circuit_batch: samples of one run of the circuit. A proof whose items do not fill its last run repeats them from
            the front, as `circuit.samples.into_runs` does.
        batch_size: how many items a batch has at most; itself at most `MAX_BATCH_ITEMS`.
        items: how many the job has, dead letters included.
        batches: in order; their ranges are those of all items, one after another.
        dead_letters: in order.
        sample: what belongs to the policy of a sampled job; None where the policy is to prove all batches.
    """

    KIND: ClassVar = kinds.MANIFEST

    commitment: bytes
    program: bytes
    context: bytes
    saturate: bool
    private_inputs: bool
    private_outputs: bool
    circuit_batch: int
    batch_size: int
    items: int
    batches: tuple[JobBatch, ...]
    dead_letters: tuple[DeadLetter, ...]
    sample: Sample | None = None

    @property
    def proven(self) -> int:
        """How many items a proof covers."""
        return sum(batch.size for batch in self.batches if batch.proof)

    @property
    def unproven(self) -> tuple[JobBatch, ...]:
        """The batches that hold items and have no proof: none where all of the job was proven."""
        return tuple(batch for batch in self.batches if batch.size and not batch.proof)

    def committed(self) -> "Manifest":
        """What a sampled job committed to before the challenge: this manifest without all that follows from it."""
        assert self.sample is not None
        bare = dict.fromkeys(("input_digests", "output_digests", "proof_digest"), b"")
        batches = tuple(msgspec.structs.replace(batch, proof="", **bare) for batch in self.batches)
        sample = Sample(self.sample.size, self.sample.head)
        return msgspec.structs.replace(self, batches=batches, sample=sample)

    @property
    def digest(self) -> bytes:
        """Of what a sampled job committed to: the 32 bytes that are published before the challenge is drawn."""
        digest: bytes = blake3(self.committed()._encoded(), key=COMMITMENT_KEY).digest()
        return digest

    def _encoded(self) -> bytes:
        """The payload. `sample` is left out where there is none, as before jobs could be sampled."""
        fields = msgspec.structs.astuple(self)
        return msgspec.msgpack.encode(fields if self.sample is not None else fields[:-1])

    def _validate(self) -> None:
        _check(self)
        if self.sample is not None:
            _check_sample(self, self.sample)


def item_digests(tensors: Sequence[IntArray]) -> bytes:
    """Digests of items' integers: BLAKE3 as the statement takes it of a public value, of each item for itself.

    Args:
        tensors: for each input (or each output) of the program the items' integers, int64, shape (items, ...).

    Returns:
        32 bytes an item: the hash of its integers, 8 bytes each, little-endian, row-major, one tensor after another.
    """
    if not len(tensors[0]):
        return b""
    flat = [np.ascontiguousarray(array, dtype="<i8").reshape(len(array), -1) for array in tensors]
    rows = np.ascontiguousarray(np.concatenate(flat, axis=1)).view(np.uint8)
    return b"".join(_item_digest(row.data) for row in rows)


_values_hasher = blake3(derive_key_context=VALUES_CONTEXT)


def _item_digest(data: memoryview) -> bytes:
    digest: bytes = _values_hasher.copy().update(data).digest()
    return digest


def _require(condition: bool, complaint: str) -> None:
    if not condition:
        raise MalformedProofError(f"manifest: {complaint}")


def _check(manifest: Manifest) -> None:
    """What the types leave open.

    Raises:
        MalformedProofError: a manifest that no job has.
    """
    _require(
        len(manifest.commitment) == len(manifest.program) == DIGEST_BYTES, f"a digest has {DIGEST_BYTES} bytes each"
    )
    _require(len(manifest.context) <= MAX_CONTEXT_BYTES, "the context is too long")
    _require(manifest.circuit_batch >= 1, "a run of the circuit has at least one sample")
    _require(1 <= manifest.batch_size <= MAX_BATCH_ITEMS, "a batch has no items, or more than any proof covers")
    _require(1 <= manifest.items <= MAX_ITEMS, "it is about no items, or about more than there can be")
    position = 0
    for number, batch in enumerate(manifest.batches):
        _require(batch.first == position < batch.stop, f"batch {number} does not begin where the one before it ends")
        _require(batch.stop - batch.first <= manifest.batch_size, f"batch {number} is larger than any batch of the job")
        _check_batch(number, batch, manifest)
        position = batch.stop
    _require(position == manifest.items, f"its batches hold {position} of its {counted(manifest.items, 'item')}")
    dead = [index for batch in manifest.batches for index in batch.dead]
    _require(
        dead == [letter.index for letter in manifest.dead_letters], "its dead letters are not those of its batches"
    )


def _check_batch(number: int, batch: JobBatch, manifest: Manifest) -> None:
    bounded = (batch.first - 1, *batch.dead, batch.stop)
    _require(
        all(one < another for one, another in itertools.pairwise(bounded)),
        f"the dead letters of batch {number} are not items of it, in order",
    )
    for digests, hidden in (
        (batch.input_digests, manifest.private_inputs),
        (batch.output_digests, manifest.private_outputs),
    ):
        unopened = manifest.sample is not None and not batch.proof
        expected = 0 if hidden or unopened else DIGEST_BYTES * batch.size
        _require(len(digests) == expected, f"batch {number} has not one digest for each of its items")
    if batch.proof:
        _require(batch.size > 0, f"batch {number} has a proof of nothing")
        _require(_PROOF_NAME.fullmatch(batch.proof) is not None, f"batch {number} names no proof file")
    _require(
        len(batch.proof_digest) == (DIGEST_BYTES if batch.proof else 0), f"batch {number} lacks the digest of a proof"
    )


def _check_sample(manifest: Manifest, sample: Sample) -> None:
    candidates = sum(batch.size > 0 for batch in manifest.batches)
    proofs = sum(bool(batch.proof) for batch in manifest.batches)
    _require(not manifest.private_inputs and not manifest.private_outputs, "a sampled job hides no inputs or outputs")
    _require(len(sample.head) == DIGEST_BYTES, f"a digest has {DIGEST_BYTES} bytes each")
    _require(
        1 <= sample.size <= candidates,
        f"a sample of {counted(sample.size, 'batch', 'batches')}, where {candidates} can be picked",
    )
    _require(len(sample.openings) == proofs, "not every batch of the sample is proven and opened")
    committed = Sample(sample.size, sample.head)
    _require(bool(sample.challenge) or sample == committed, "batches of the sample are opened without a challenge")
