"""The manifest of a batch job: which items each of its proofs covers, and digests of all that belongs to them.

An item is one sample of the job's input files; items are numbered from 0 in their order. A batch is a contiguous range
of them, covered by one proof; the ranges follow each other without a gap, so that nothing can be left out unseen. An
item that the circuit cannot take is a dead letter: it stands in the manifest with its reason, in no proof.

The manifest comes from whoever proved. It says what a verifier has to check, and none of it is trusted.
"""

import itertools
import os
import re
from collections.abc import Sequence

import msgspec
import numpy as np
from blake3 import blake3

from zkinfer.errors import MalformedProofError
from zkinfer.files.artifact import wrap, write_atomically
from zkinfer.files.statement import MAX_CONTEXT_BYTES, VALUES_CONTEXT
from zkinfer.jobs.files import decode, load
from zkinfer.typing import IntArray

MANIFEST_KIND = "mani"
MANIFEST_VERSION = 1
MAX_MANIFEST_BYTES = 1 << 30
MAX_ITEMS = 1 << 48
MAX_BATCH_ITEMS = 1 << 24
DIGEST_BYTES = 32

MANIFEST_FILE = "manifest.zkm"
PROOFS_FOLDER = "proofs"
"""Where a job's folder holds its manifest and the files that the manifest names."""

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
    """A range of items and the proof of those that are no dead letters.

    Attributes:
        first, stop: the items are `range(first, stop)`, at least one.
        dead: those of them that are dead letters, in increasing order.
        input_digests: 32 bytes for each other item, in order, as `item_digests` gives them; empty where the proof
            hides the inputs.
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
        """The numbers of the items that are no dead letters, in order: the samples of the proof."""
        return np.setdiff1d(np.arange(self.first, self.stop), np.array(self.dead, dtype=np.int64), assume_unique=True)

    @property
    def size(self) -> int:
        """How many these are."""
        return self.stop - self.first - len(self.dead)


class Manifest(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
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
    """

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

    @property
    def proven(self) -> int:
        """How many items a proof covers."""
        return sum(batch.size for batch in self.batches if batch.proof)

    @property
    def unproven(self) -> tuple[JobBatch, ...]:
        """The batches that hold items and have no proof: none where all of the job was proven."""
        return tuple(batch for batch in self.batches if batch.size and not batch.proof)

    def to_bytes(self) -> bytes:
        """The manifest file's content, canonical."""
        return wrap(MANIFEST_KIND, MANIFEST_VERSION, msgspec.msgpack.encode(self))

    @staticmethod
    def from_bytes(data: bytes) -> "Manifest":
        """A manifest from its file's content: well formed, and complete in that its ranges cover every item.

        Raises:
            MalformedProofError: truncated, extended, edited, another version, or not a manifest.
        """
        manifest = decode(
            data, MANIFEST_KIND, MANIFEST_VERSION, _decoder, max_bytes=MAX_MANIFEST_BYTES, what="manifest"
        )
        _check(manifest)
        return manifest

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the manifest file, atomically.

        Raises:
            ResourceError: the file cannot be written.
        """
        write_atomically(path, self.to_bytes())

    @staticmethod
    def load(path: str | os.PathLike[str]) -> "Manifest":
        """Read a manifest file.

        Raises:
            MalformedProofError: see `from_bytes`; also when there is no such file.
        """
        return load(path, Manifest.from_bytes, max_bytes=MAX_MANIFEST_BYTES)


_decoder = msgspec.msgpack.Decoder(Manifest)


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
    _require(position == manifest.items, f"its batches hold {position} of its {manifest.items} items")
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
        expected = 0 if hidden else DIGEST_BYTES * batch.size
        _require(len(digests) == expected, f"batch {number} has not one digest for each of its items")
    if batch.proof:
        _require(batch.size > 0, f"batch {number} has a proof of nothing")
        _require(_PROOF_NAME.fullmatch(batch.proof) is not None, f"batch {number} names no proof file")
    _require(
        len(batch.proof_digest) == (DIGEST_BYTES if batch.proof else 0), f"batch {number} lacks the digest of a proof"
    )
