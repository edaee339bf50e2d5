"""Sampled jobs: every item is executed and committed, and a challenge picks the batches that are proven.

It shows less than a job all of which is proven: wrong outputs in batches that are not picked go unnoticed. What it does
show is how likely that was, given a rate of wrong outputs.

1. The operator executes all items and commits to each one's input and output. A leaf is BLAKE3 of 32 bytes of salt and
   the item, so that what is not opened stays hidden; the leaves of a batch have a tree of the shape of receipts, and
   the heads of the batches another. Which items a batch holds and how many batches will be picked are committed too.
2. The operator publishes the digest of that commitment, 32 bytes. Only then a challenge is drawn that the operator
   cannot choose: a verifier's nonce, or the value of a public beacon at a time to come.
3. The sample is drawn, as `sampling.draw` says, from BLAKE3 of digest and challenge. Its batches are opened and proven.

The guarantee needs the challenge to come after the digest is published: whoever knows it before puts the wrong outputs
where it does not look. Wrong outputs are counted by the batches that hold one, the fewest that can hold as many: who
cheats puts them together.
"""

import itertools
import math
import os
from collections.abc import Sequence

import msgspec
import numpy as np
from blake3 import blake3

from zkinfer.audit.sampling import check_confidence, draw, miss_probability, wrong_items
from zkinfer.errors import InvalidInputError, InvalidProofError, MalformedProofError, StatementError
from zkinfer.files.artifact import one_line, wrap, write_atomically
from zkinfer.files.statement import MAX_CONTEXT_BYTES
from zkinfer.jobs.files import decode, load
from zkinfer.jobs.job import proof_name
from zkinfer.jobs.manifest import DIGEST_BYTES, MAX_BATCH_ITEMS, MAX_ITEMS, JobBatch
from zkinfer.jobs.receipt import Item, JobHeader, follow_path, tree_head

SALTED_LEAF_KEY = b"zkinfer 2026 salted item v1".ljust(32, b"\0")
SAMPLE_KEY = b"zkinfer 2026 sample commitment".ljust(32, b"\0")
CHALLENGE_KEY = b"zkinfer 2026 sample challenge v1"
SALT_CONTEXT = "zkinfer 2026 salt of a sampled item v1"
SALT_BYTES = 32

MIN_CHALLENGE_BYTES = 16
MAX_CHALLENGE_BYTES = 1 << 16
"""Of less than 16 bytes all values could be tried before the commitment is published."""

COMMITTED_KIND, SAMPLED_KIND = "scom", "smpl"
VERSION = 1
MAX_FILE_BYTES = 1 << 30

COMMITMENT_FILE = "sample-commitment.zkm"
SAMPLED_FILE = "sampled.zkm"
"""Where a job's folder holds what was committed, and its sampled receipt."""

TOLERANCE = 1e-6
"""Relative, between two machines' computations of one probability."""


class Span(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A batch: the items `range(first, stop)`; `dead` are its dead letters, in increasing order."""

    first: int
    stop: int
    dead: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many of its items are no dead letters."""
        return self.stop - self.first - len(self.dead)

    def unopened(self) -> JobBatch:
        """The batch of a job, of which nothing is shown."""
        return JobBatch(self.first, self.stop, self.dead, b"", b"", "", b"")

    def items(self, input_digests: bytes, output_digests: bytes) -> list[Item]:
        """Its items, given the digests of those that are no dead letters, 32 bytes each."""
        dead, living = set(self.dead), itertools.count()
        items = []
        for index in range(self.first, self.stop):
            if index in dead:
                items.append(Item(index, b"", b"", b"", dead=True))
                continue
            start = DIGEST_BYTES * next(living)
            part = slice(start, start + DIGEST_BYTES)
            items.append(Item(index, input_digests[part], output_digests[part], b""))
        return items


class SampleCommitment(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the operator is bound to before the challenge is drawn.

    Attributes:
        header: what all items share; a sampled job hides no inputs or outputs of the batches that are proven.
        circuit_batch: samples of one run of the circuit.
        spans: the batches, in order, of all items.
        size: how many of them will be proven, of those that hold items that are no dead letters.
        head: of the tree over the batches.
    """

    header: JobHeader
    circuit_batch: int
    spans: tuple[Span, ...]
    size: int
    head: bytes

    @property
    def digest(self) -> bytes:
        """The 32 bytes that the operator publishes."""
        digest: bytes = blake3(msgspec.msgpack.encode(self), key=SAMPLE_KEY).digest()
        return digest

    @property
    def candidates(self) -> list[int]:
        """The numbers of the batches that can be picked."""
        return [number for number, span in enumerate(self.spans) if span.size]

    def picked(self, challenge: bytes) -> list[int]:
        """The numbers of the batches that a challenge picks, in increasing order.

        Raises:
            InvalidInputError: the challenge has less than `MIN_CHALLENGE_BYTES` or more than `MAX_CHALLENGE_BYTES`.
        """
        if not MIN_CHALLENGE_BYTES <= len(challenge) <= MAX_CHALLENGE_BYTES:
            raise InvalidInputError(
                f"a challenge has from {MIN_CHALLENGE_BYTES} to {MAX_CHALLENGE_BYTES} bytes, not {len(challenge)}: "
                "of a shorter one all values could be tried before"
            )
        candidates = self.candidates
        seed = blake3(self.digest + challenge, key=CHALLENGE_KEY).digest()
        return [candidates[i] for i in draw(seed, len(candidates), self.size)]

    def miss_probability(self, rate: float) -> float:
        """See the function of this name."""
        return sampled_miss_probability([span.size for span in self.spans], self.size, rate)

    def to_bytes(self) -> bytes:
        """The file's content, canonical."""
        return wrap(COMMITTED_KIND, VERSION, msgspec.msgpack.encode(self))

    @staticmethod
    def from_bytes(data: bytes) -> "SampleCommitment":
        """A commitment from its file's content.

        Raises:
            MalformedProofError: truncated, extended, edited, another version, or not one that a job has.
        """
        commitment = decode(
            data, COMMITTED_KIND, VERSION, _commitments, max_bytes=MAX_FILE_BYTES, what="commitment of a sampled job"
        )
        _check(commitment)
        return commitment

    @staticmethod
    def load(path: str | os.PathLike[str]) -> "SampleCommitment":
        """Read the file.

        Raises:
            MalformedProofError: see `from_bytes`; also when there is no such file.
        """
        return load(path, SampleCommitment.from_bytes, max_bytes=MAX_FILE_BYTES)


def sampled_miss_probability(sizes: Sequence[int], size: int, rate: float) -> float:
    """The probability that no batch of a sample holds a wrong output, if at least that rate of all outputs is wrong.

    Hypergeometric, for as many batches with a wrong output as hold that many outputs at least: the largest ones.

    Args:
        sizes: how many outputs each batch has; batches with none are not drawn from.
        size: how many batches are drawn.
        rate: in (0, 1].

    Raises:
        InvalidInputError: the rate is not, or there are no outputs, or fewer batches.
    """
    outputs = np.sort([n for n in sizes if n])[::-1]
    wrong = wrong_items(int(outputs.sum()), rate)
    batches = int(np.searchsorted(np.cumsum(outputs), wrong)) + 1
    return miss_probability(len(outputs), batches, size)


def batches_needed(sizes: Sequence[int], rate: float, confidence: float) -> int:
    """The fewest batches to draw, so that one of them holds a wrong output with that confidence.

    Args:
        sizes, rate: as for `sampled_miss_probability`.
        confidence: in (0, 1).

    Raises:
        InvalidInputError: an argument is out of range.
    """
    check_confidence(confidence)
    low, high = 0, sum(bool(n) for n in sizes)
    while high - low > 1:
        middle = (low + high) // 2
        enough = sampled_miss_probability(sizes, middle, rate) <= 1 - confidence
        low, high = (low, middle) if enough else (middle, high)
    return high


def salt(seed: bytes, index: int) -> bytes:
    """The salt of an item: 32 bytes, from the operator's secret seed."""
    found: bytes = blake3(seed + index.to_bytes(8, "little"), derive_key_context=SALT_CONTEXT).digest()
    return found


def salted_leaf(item_salt: bytes, item: Item) -> bytes:
    """The leaf of an item; its proof and reason are no part of it."""
    leaf: bytes = blake3(item_salt + item.encoding(), key=SALTED_LEAF_KEY).digest()
    return leaf


class CommittedItem(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One item of a sampled job, opened for whoever was given its output: that it was committed, not that it is right.

    Attributes:
        item: its number and digests.
        salt: 32 bytes.
        in_batch, in_job: the paths to the head of its batch and from there to that of the job.
    """

    item: Item
    salt: bytes
    in_batch: bytes
    in_job: bytes

    def check(self, commitment: SampleCommitment) -> None:
        """Check that this is an item of the commitment.

        Raises:
            MalformedProofError: there is no such item, or its paths have another length.
            InvalidProofError: it is another one there.
        """
        index = self.item.index
        for number, span in enumerate(commitment.spans):
            if span.first <= index < span.stop:
                leaf = salted_leaf(self.salt, self.item)
                head = follow_path(leaf, index - span.first, span.stop - span.first, self.in_batch)
                if follow_path(head, number, len(commitment.spans), self.in_job) != commitment.head:
                    raise InvalidProofError(f"item {index} is not the one that was committed")
                return
        raise MalformedProofError(f"the sampled job has no item {index}")


class OpenedBatch(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A batch that the challenge picked.

    Attributes:
        number: which of the batches.
        input_digests, output_digests: 32 bytes for each item that is no dead letter.
        salts: 32 bytes for each item.
        siblings: the path from the batch's head.
        proof_digest: BLAKE3 of the proof's file, 32 bytes.
    """

    number: int
    input_digests: bytes
    output_digests: bytes
    salts: bytes
    siblings: bytes
    proof_digest: bytes

    def check(self, commitment: SampleCommitment) -> None:
        """Check that this is what was committed of the batch.

        Raises:
            MalformedProofError: a part has another length than it must have.
            InvalidProofError: something else was committed.
        """
        span = commitment.spans[self.number]
        living, all_items = DIGEST_BYTES * span.size, SALT_BYTES * (span.stop - span.first)
        parts = (self.input_digests, self.output_digests, self.salts, self.proof_digest)
        for part, length in zip(parts, (living, living, all_items, DIGEST_BYTES), strict=True):
            if len(part) != length:
                raise MalformedProofError(f"batch {self.number} of the sample is not opened item by item")
        items = span.items(self.input_digests, self.output_digests)
        salts = [self.salts[i : i + SALT_BYTES] for i in range(0, len(self.salts), SALT_BYTES)]
        head = tree_head([salted_leaf(s, item) for s, item in zip(salts, items, strict=True)])
        if follow_path(head, self.number, len(commitment.spans), self.siblings) != commitment.head:
            raise InvalidProofError(f"batch {self.number} of the sample is not the one that was committed")

    def batch(self, span: Span) -> JobBatch:
        """The batch, as that of a job."""
        return JobBatch(
            span.first,
            span.stop,
            span.dead,
            self.input_digests,
            self.output_digests,
            proof_name(span.first),
            self.proof_digest,
        )


class SampledReceipt(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A sampled job. It is no receipt of a job all of which is proven, and cannot be taken for one.

    Attributes:
        commitment: what was published before the challenge.
        challenge: that picked the batches.
        rate: of wrong outputs, in (0, 1].
        miss_probability: that a sample of this size holds no wrong output, if that rate of all outputs is wrong.
        opened: the batches that were picked, in order, with their proofs.
    """

    commitment: SampleCommitment
    challenge: bytes
    rate: float
    miss_probability: float
    opened: tuple[OpenedBatch, ...]

    def check(self, published: bytes, challenge: bytes) -> None:
        """Check all but the proofs: the sample is the one that the challenge picks, and was committed before.

        Args:
            published: the digest of the commitment, as it was published before the challenge was drawn.
            challenge: which the caller drew, or took from a beacon.

        Raises:
            VerificationError: something is not as it should be.
        """
        if self.commitment.digest != published:
            raise InvalidProofError("the sampled job was not committed to by what was published before the challenge")
        if self.challenge != challenge:
            raise InvalidProofError("the sample was drawn with another challenge than yours")
        try:
            picked = self.commitment.picked(challenge)
            probability = self.commitment.miss_probability(self.rate)
        except InvalidInputError as error:
            raise StatementError(one_line(error)) from None
        if [batch.number for batch in self.opened] != picked:
            raise InvalidProofError(f"the sample is not the one that the challenge picks, which is of {len(picked)}")
        if not math.isclose(self.miss_probability, probability, rel_tol=TOLERANCE):
            raise InvalidProofError(
                f"the sampled receipt says that wrong outputs go unnoticed with probability {self.miss_probability:.3g}"
                f"; it is {probability:.3g}, for a rate of {self.rate:g}"
            )
        for batch in self.opened:
            batch.check(self.commitment)

    def to_bytes(self) -> bytes:
        """The file's content, canonical."""
        return wrap(SAMPLED_KIND, VERSION, msgspec.msgpack.encode(self))

    @staticmethod
    def from_bytes(data: bytes) -> "SampledReceipt":
        """A sampled receipt from its file's content; says nothing about whether it is right.

        Raises:
            MalformedProofError: truncated, extended, edited, another version, or not one that a sampled job has.
        """
        receipt = decode(data, SAMPLED_KIND, VERSION, _receipts, max_bytes=MAX_FILE_BYTES, what="sampled receipt")
        _check(receipt.commitment)
        return receipt

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, atomically.

        Raises:
            ResourceError: it cannot be written.
        """
        write_atomically(path, self.to_bytes())

    @staticmethod
    def load(path: str | os.PathLike[str]) -> "SampledReceipt":
        """Read the file.

        Raises:
            MalformedProofError: see `from_bytes`; also when there is no such file.
        """
        return load(path, SampledReceipt.from_bytes, max_bytes=MAX_FILE_BYTES)


_commitments = msgspec.msgpack.Decoder(SampleCommitment)
_receipts = msgspec.msgpack.Decoder(SampledReceipt)


def _check(commitment: SampleCommitment) -> None:
    """What the types leave open.

    Raises:
        MalformedProofError: a commitment that no sampled job has.
    """
    header = commitment.header
    bounds = [0, *(span.stop for span in commitment.spans)]
    if not (
        len(header.commitment) == len(header.program) == len(commitment.head) == DIGEST_BYTES
        and len(header.context) <= MAX_CONTEXT_BYTES
        and not header.private_inputs
        and not header.private_outputs
        and commitment.circuit_batch >= 1
        and 1 <= header.items <= MAX_ITEMS
        and bounds[-1] == header.items
        and all(span.first == start for span, start in zip(commitment.spans, bounds, strict=False))
        and all(_is_possible(span) for span in commitment.spans)
        and 1 <= commitment.size <= len(commitment.candidates)
    ):
        raise MalformedProofError("this is what no sampled job commits to")


def _is_possible(span: Span) -> bool:
    in_order = itertools.pairwise((span.first - 1, *span.dead, span.stop))
    return 1 <= span.stop - span.first <= MAX_BATCH_ITEMS and all(one < another for one, another in in_order)
