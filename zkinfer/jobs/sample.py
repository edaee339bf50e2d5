"""Sampled jobs: every item is executed and committed to, and a challenge picks the batches that are proven.

This shows less than a job of which all is proven: wrong outputs in batches that are not picked go unnoticed. What it
does show is how likely that was, given a rate of wrong outputs.

1. The operator executes all items and commits to the input and output of each. A leaf is BLAKE3 of 32 bytes of salt and
   the item, so that what is not opened stays hidden; the leaves of a batch have a tree, and the heads of the batches
   another (see `tree`). Which items a batch holds and how many batches will be picked are committed to as well.
2. The operator publishes the digest of that commitment, 32 bytes. Only then a challenge is drawn that the operator
   cannot choose: a verifier's nonce, or the value of a public beacon at a time to come.
3. The sample is drawn, as `sampling.draw` says, from BLAKE3 of digest and challenge. Its batches are opened and proven.

The guarantee needs the challenge to come after the digest is published: an operator who knows it before puts the wrong
outputs where it does not look. Wrong outputs are counted by the batches that hold one, and these are taken to be the
fewest that can hold as many, since a cheating operator puts wrong outputs together.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np
from blake3 import blake3

from zkinfer.audits.sampling import check_confidence, draw, least, miss_probability, wrong_items
from zkinfer.errors import InvalidInputError, InvalidProofError, MalformedProofError, StatementError
from zkinfer.files.artifact import one_line
from zkinfer.jobs.manifest import JobBatch, Manifest, Opening, Sample
from zkinfer.jobs.receipt import Item, batch_of, items_of_batch
from zkinfer.jobs.tree import DIGEST_BYTES, follow_path, tree_head, tree_path

SALTED_LEAF_KEY = b"zkinfer 2026 salted item v1".ljust(32, b"\0")
CHALLENGE_KEY = b"zkinfer 2026 sample challenge v1"
SALT_CONTEXT = "zkinfer 2026 salt of a sampled item v1"
SALT_BYTES = 32

MIN_CHALLENGE_BYTES = 16
MAX_CHALLENGE_BYTES = 1 << 16
"""Of less than 16 bytes all values could be tried before the commitment is published."""

TOLERANCE = 1e-6
"""Relative, between two machines' computations of one probability."""


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
    most = sum(bool(n) for n in sizes)
    return least(most, lambda size: sampled_miss_probability(sizes, size, rate) <= 1 - confidence)


def job_miss_probability(manifest: Manifest, rate: float) -> float:
    """The probability that the proven batches of a job hold no wrong output, if that rate of all outputs is wrong.

    Raises:
        InvalidInputError: the rate is not in (0, 1].
    """
    sizes = [batch.size for batch in manifest.batches]
    return sampled_miss_probability(sizes, _sample(manifest).size, rate)


def picked(manifest: Manifest, challenge: bytes) -> list[int]:
    """The numbers of the batches that a challenge picks, in increasing order: those with anything to prove can be.

    Args:
        manifest: of a sampled job, or what was committed to.

    Raises:
        InvalidInputError: the challenge has less than `MIN_CHALLENGE_BYTES` or more than `MAX_CHALLENGE_BYTES`.
    """
    if not MIN_CHALLENGE_BYTES <= len(challenge) <= MAX_CHALLENGE_BYTES:
        raise InvalidInputError(
            f"a challenge has from {MIN_CHALLENGE_BYTES} to {MAX_CHALLENGE_BYTES} bytes, not {len(challenge)}: "
            "of a shorter one all values could be tried before"
        )
    candidates = [number for number, batch in enumerate(manifest.batches) if batch.size]
    seed = blake3(manifest.digest + challenge, key=CHALLENGE_KEY).digest()
    return [candidates[i] for i in draw(seed, len(candidates), _sample(manifest).size)]


def salt(seed: bytes, index: int) -> bytes:
    """The salt of an item: 32 bytes, from the operator's secret seed."""
    found: bytes = blake3(seed + index.to_bytes(8, "little"), derive_key_context=SALT_CONTEXT).digest()
    return found


def salted_leaf(item_salt: bytes, item: Item) -> bytes:
    """The leaf of an item, which has neither proof nor reason."""
    leaf: bytes = blake3(item_salt + item.encoding(), key=SALTED_LEAF_KEY).digest()
    return leaf


def salted_leaves(batch: JobBatch, salts: bytes) -> list[bytes]:
    """The leaves of a batch, given the digests of its items that are not dead letters, and 32 bytes of salt an item."""
    items = items_of_batch(msgspec.structs.replace(batch, proof_digest=b""), {})
    pieces = [salts[i : i + SALT_BYTES] for i in range(0, len(salts), SALT_BYTES)]
    return [salted_leaf(piece, item) for piece, item in zip(pieces, items, strict=True)]


class CommittedItem(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One item of a sampled job, opened for its recipient: it was committed to, which does not say that it is right.

    Attributes:
        item: its number and digests.
        salt: 32 bytes.
        in_batch, in_job: the paths to the head of its batch and from there to that of the job.
    """

    item: Item
    salt: bytes
    in_batch: bytes
    in_job: bytes

    def check(self, manifest: Manifest) -> None:
        """Check that this is an item of a sampled job, given its manifest or what was committed to.

        Raises:
            MalformedProofError: there is no such item, or its paths have another length.
            InvalidProofError: it is another one there.
        """
        index, sample = self.item.index, _sample(manifest)
        for number, batch in enumerate(manifest.batches):
            if batch.first <= index < batch.stop:
                leaf = salted_leaf(self.salt, self.item)
                head = follow_path(leaf, index - batch.first, batch.stop - batch.first, self.in_batch)
                if follow_path(head, number, len(manifest.batches), self.in_job) != sample.head:
                    raise InvalidProofError(f"item {index} is not the one that was committed")
                return
        raise MalformedProofError(f"the sampled job has no item {index}")


@dataclass(frozen=True)
class ExecutedJob:
    """What the operator of a sampled job knows of it.

    Attributes:
        manifest: with the digests of all items, and the proofs that there are; without a sample.
        seed: the secret that the salts are made of.
        size: how many batches are proven.
    """

    manifest: Manifest
    seed: bytes
    size: int

    def commit(self) -> Manifest:
        """What is committed to before the challenge: `digest` of this is published."""
        sample = Sample(self.size, tree_head(self._heads))
        return msgspec.structs.replace(self.manifest, sample=sample).committed()

    def open(self, challenge: bytes, rate: float) -> Manifest:
        """The manifest in which the batches that the challenge picks, all of which are proven, are opened.

        Args:
            rate: of wrong outputs, that the manifest states the probability for.

        Raises:
            InvalidInputError: rate or challenge are out of range.
        """
        commitment = self.commit()
        numbers = picked(commitment, challenge)
        batches = list(commitment.batches)
        for number in numbers:
            batches[number] = self.manifest.batches[number]
        sample = Sample(
            self.size,
            tree_head(self._heads),
            challenge,
            rate,
            job_miss_probability(commitment, rate),
            tuple(Opening(self._salts(self.manifest.batches[n]), tree_path(self._heads, n)) for n in numbers),
        )
        return msgspec.structs.replace(self.manifest, batches=tuple(batches), sample=sample)

    def open_item(self, index: int) -> CommittedItem:
        """One item with its paths.

        Raises:
            InvalidInputError: the job has no such item.
        """
        if not 0 <= index < self.manifest.items:
            raise InvalidInputError(f"the sampled job has items 0 to {self.manifest.items - 1}, and no item {index}")
        batch = batch_of(self.manifest, index)
        item = list(items_of_batch(msgspec.structs.replace(batch, proof_digest=b""), {}))[index - batch.first]
        in_batch = tree_path(salted_leaves(batch, self._salts(batch)), index - batch.first)
        in_job = tree_path(self._heads, self.manifest.batches.index(batch))
        return CommittedItem(item, salt(self.seed, index), in_batch, in_job)

    @cached_property
    def _heads(self) -> list[bytes]:
        return [tree_head(salted_leaves(batch, self._salts(batch))) for batch in self.manifest.batches]

    def _salts(self, batch: JobBatch) -> bytes:
        return b"".join(salt(self.seed, index) for index in range(batch.first, batch.stop))


def check_sample(manifest: Manifest, published: bytes, challenge: bytes) -> None:
    """Check all of a sampled job but its proofs: the sample is what the challenge picks, of what was committed before.

    Args:
        published: the digest of the commitment, as it was published before the challenge was drawn.
        challenge: which the caller drew, or took from a beacon.

    Raises:
        VerificationError: something is not as it should be.
    """
    sample = _sample(manifest)
    if manifest.digest != published:
        raise InvalidProofError("the sampled job was not committed to by what was published before the challenge")
    if sample.challenge != challenge:
        raise InvalidProofError("the sample was drawn with another challenge than yours")
    try:
        numbers = picked(manifest, challenge)
        probability = job_miss_probability(manifest, sample.rate)
    except InvalidInputError as error:
        raise StatementError(one_line(error)) from None
    if [number for number, batch in enumerate(manifest.batches) if batch.proof] != numbers:
        raise InvalidProofError(f"the sample is not the one that the challenge picks, which is of {len(numbers)}")
    if not math.isclose(sample.miss_probability, probability, rel_tol=TOLERANCE):
        raise InvalidProofError(
            f"the job says that wrong outputs go unnoticed with probability {sample.miss_probability:.3g}"
            f"; it is {probability:.3g}, for a rate of {sample.rate:g}"
        )
    for number, opening in zip(numbers, sample.openings, strict=True):
        _check_opening(manifest, number, opening)


def _check_opening(manifest: Manifest, number: int, opening: Opening) -> None:
    """The batch is what was committed to.

    Raises:
        MalformedProofError: a part has another length than it must have.
        InvalidProofError: something else was committed to.
    """
    batch = manifest.batches[number]
    living, salts = DIGEST_BYTES * batch.size, SALT_BYTES * (batch.stop - batch.first)
    if (len(batch.input_digests), len(batch.output_digests), len(opening.salts)) != (living, living, salts):
        raise MalformedProofError(f"batch {number} of the sample is not opened item by item")
    head = tree_head(salted_leaves(batch, opening.salts))
    if follow_path(head, number, len(manifest.batches), opening.siblings) != _sample(manifest).head:
        raise InvalidProofError(f"batch {number} of the sample is not the one that was committed")


def _sample(manifest: Manifest) -> Sample:
    if manifest.sample is None:
        raise InvalidInputError("the job is not a sampled one: all of it is proven")
    return manifest.sample
