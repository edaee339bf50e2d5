"""Receipts: one 32-byte value for all of a job, and short paths that lead from each of its items to it.

The receipt of a job that is proven as a whole is over a tree (see `tree`) with a leaf for each item, dead letters
included, in order. Leaves, nodes and the receipt itself are BLAKE3 under a key each, so that none is ever read as
another. The receipt covers the tree's head, the number of items and what all items share, so that a path shows where
in a job of which size its item stands.

The receipt of a sampled job is BLAKE3 of its manifest, under another key: no path leads to it from a single item, since
the items that were not proven stay hidden. See `sample` for what is shown of these.

A receipt says what a job is, not that it is right: `verification` checks that.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import msgspec
from blake3 import blake3

from zkinfer.errors import InvalidInputError, InvalidProofError, MalformedProofError
from zkinfer.files import kinds
from zkinfer.files.file import File
from zkinfer.files.statement import MAX_CONTEXT_BYTES
from zkinfer.jobs.manifest import MAX_BATCH_ITEMS, MAX_ITEMS, JobBatch, Manifest
from zkinfer.jobs.tree import DIGEST_BYTES, follow_path, tree_head, tree_path

LEAF_KEY = b"zkinfer 2026 receipt leaf v1".ljust(32, b"\0")
RECEIPT_KEY = b"zkinfer 2026 receipt v1".ljust(32, b"\0")
SAMPLED_RECEIPT_KEY = b"zkinfer 2026 sampled receipt v1".ljust(32, b"\0")

MAX_REASON_BYTES = 1 << 16


class JobHeader(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What all items of a job share, as in `Manifest`.

    Attributes:
        commitment, program: digests, 32 bytes each.
        context: what every proof is bound to, at most `MAX_CONTEXT_BYTES`.
        saturate, private_inputs, private_outputs: how the items were proven.
        items: how many the job has, dead letters included.
    """

    commitment: bytes
    program: bytes
    context: bytes
    saturate: bool
    private_inputs: bool
    private_outputs: bool
    items: int

    @staticmethod
    def of(manifest: Manifest) -> "JobHeader":
        """Of a job."""
        return JobHeader(*(getattr(manifest, field) for field in JobHeader.__struct_fields__))

    def job(self, circuit_batch: int) -> Manifest:
        """A manifest that says what the header says, without batches."""
        shared = msgspec.structs.asdict(self)
        return Manifest(**shared, circuit_batch=circuit_batch, batch_size=1, batches=(), dead_letters=())

    def receipt(self, head: bytes) -> bytes:
        """The receipt of a job whose items' tree has this head: 32 bytes."""
        flags = bytes([self.saturate, self.private_inputs, self.private_outputs])
        fixed = self.commitment + self.program + flags + self.items.to_bytes(8, "little") + head
        digest: bytes = blake3(fixed + self.context, key=RECEIPT_KEY).digest()
        return digest


class Item(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the receipt says of one item.

    Attributes:
        index: its number, from 0.
        input_digest, output_digest: 32 bytes, as `manifest.item_digests` gives them; empty where the proof hides them,
            and for a dead letter.
        proof_digest: BLAKE3 of the proof's file, 32 bytes; empty where no proof covers the item.
        dead: it is a dead letter.
        reason: why; empty for all others.
    """

    index: int
    input_digest: bytes
    output_digest: bytes
    proof_digest: bytes
    dead: bool = False
    reason: str = ""

    def encoding(self) -> bytes:
        """Index (8 bytes, little-endian), one byte that tells a dead letter, the length of each digest in a byte, the
        digests, and the reason: different for different items."""
        digests = (self.input_digest, self.output_digest, self.proof_digest)
        fixed = self.index.to_bytes(8, "little") + bytes([self.dead, *map(len, digests)])
        return fixed + b"".join(digests) + self.reason.encode()

    def leaf(self) -> bytes:
        """Its leaf: BLAKE3 of its encoding."""
        leaf: bytes = blake3(self.encoding(), key=LEAF_KEY).digest()
        return leaf


def items_of_batch(batch: JobBatch, reasons: Mapping[int, str]) -> Iterator[Item]:
    """The items of a batch, in order; `reasons` are those of its dead letters, by item."""
    dead = set(batch.dead)
    position = 0
    for index in range(batch.first, batch.stop):
        if index in dead:
            yield Item(index, b"", b"", b"", dead=True, reason=reasons.get(index, ""))
            continue
        part = slice(DIGEST_BYTES * position, DIGEST_BYTES * (position + 1))
        yield Item(index, batch.input_digests[part], batch.output_digests[part], batch.proof_digest)
        position += 1


def items_of(manifest: Manifest) -> Iterator[Item]:
    """All items of a job that is proven as a whole, in order."""
    reasons = {letter.index: letter.reason for letter in manifest.dead_letters}
    for batch in manifest.batches:
        yield from items_of_batch(batch, reasons)


def receipt_of(manifest: Manifest) -> bytes:
    """The receipt of a job: 32 bytes."""
    if manifest.sample is not None:
        digest: bytes = blake3(manifest.to_bytes(), key=SAMPLED_RECEIPT_KEY).digest()
        return digest
    return JobHeader.of(manifest).receipt(tree_head([item.leaf() for item in items_of(manifest)]))


class ItemReceipt(File, msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One item and its path to the receipt of its job: what is given to a person who asks about this item.

    Attributes:
        header: of the job.
        item: what the receipt says of it.
        position: of its sample in its proof; 0 where no proof covers it. The verifier finds out whether it is.
        siblings: the path, from the leaf upward.
    """

    KIND: ClassVar = kinds.ITEM

    header: JobHeader
    item: Item
    position: int
    siblings: bytes

    def receipt(self) -> bytes:
        """The receipt that the path leads to: 32 bytes, to be compared with the one that was published.

        Raises:
            MalformedProofError: the path has another length than one from there.
        """
        return self.header.receipt(follow_path(self.item.leaf(), self.item.index, self.header.items, self.siblings))

    def check(self, receipt: bytes) -> None:
        """Check that the item stands in the job of a receipt, where it says.

        Raises:
            MalformedProofError: the path has another length than one from there.
            InvalidProofError: it leads elsewhere.
        """
        if self.receipt() != receipt:
            raise InvalidProofError(f"item {self.item.index} is not one of the job that this receipt stands for")

    def _validate(self) -> None:
        if not _is_possible(self):
            raise MalformedProofError("item: no job has one like it")


def _is_possible(found: ItemReceipt) -> bool:
    """What the types leave open: sizes and ranges."""
    header, item = found.header, found.item
    shown = not item.dead
    expected = (shown and not header.private_inputs, shown and not header.private_outputs)
    return (
        len(header.commitment) == len(header.program) == DIGEST_BYTES
        and len(header.context) <= MAX_CONTEXT_BYTES
        and 0 <= item.index < header.items <= MAX_ITEMS
        and 0 <= found.position < MAX_BATCH_ITEMS
        and len(item.input_digest) == DIGEST_BYTES * expected[0]
        and len(item.output_digest) == DIGEST_BYTES * expected[1]
        and len(item.proof_digest) in ((0, DIGEST_BYTES) if shown else (0,))
        and len(item.reason.encode()) <= MAX_REASON_BYTES
    )


def item_receipt(manifest: Manifest, index: int) -> ItemReceipt:
    """An item of a job with its path.

    Raises:
        InvalidInputError: the job has no such item, or is sampled.
    """
    if manifest.sample is not None:
        raise InvalidInputError(
            "the receipt of a sampled job has no paths to single items; that an item was committed to is shown by "
            "zkinfer.jobs.sampled.open_item"
        )
    if not 0 <= index < manifest.items:
        raise InvalidInputError(f"the job has items 0 to {manifest.items - 1}, and no item {index}")
    items = list(items_of(manifest))
    siblings = tree_path([item.leaf() for item in items], index)
    batch = batch_of(manifest, index)
    position = 0 if index in batch.dead else index - batch.first - sum(dead < index for dead in batch.dead)
    return ItemReceipt(JobHeader.of(manifest), items[index], position, siblings)


def batch_of(manifest: Manifest, index: int) -> JobBatch:
    """The batch that an item of the job belongs to."""
    return next(batch for batch in manifest.batches if index < batch.stop)
