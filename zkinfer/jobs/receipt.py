"""Receipts: one 32-byte value for all of a job, and short paths that lead from each of its items to it.

A leaf for each item of the job, dead letters included, in order; above them a Merkle tree of the shape of RFC 6962: a
node is over two neighbours, and the last of an odd number moves up as it is. Leaves, nodes and the receipt itself are
BLAKE3 keyed with a key each, so that none is ever read as another. The receipt is over the tree's head, the number of
items and what all of them share, so that a path shows where in a job of which size its item stands.

A receipt says what a job is, not that it is right: `verification` checks that.
"""

import os
from collections.abc import Iterator, Sequence

import msgspec
from blake3 import blake3

from zkinfer.errors import InvalidInputError, InvalidProofError, MalformedProofError
from zkinfer.files.artifact import wrap, write_atomically
from zkinfer.files.statement import MAX_CONTEXT_BYTES
from zkinfer.jobs.files import decode, load
from zkinfer.jobs.manifest import DIGEST_BYTES, MAX_BATCH_ITEMS, MAX_ITEMS, JobBatch, Manifest

LEAF_KEY = b"zkinfer 2026 receipt leaf v1".ljust(32, b"\0")
NODE_KEY = b"zkinfer 2026 receipt node v1".ljust(32, b"\0")
RECEIPT_KEY = b"zkinfer 2026 receipt v1".ljust(32, b"\0")

ITEM_KIND = "item"
ITEM_VERSION = 1
MAX_REASON_BYTES = 1 << 16
MAX_ITEM_BYTES = 1 << 20
"""Of an item's file: a context, a reason and at most 48 digests fit many times."""


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
        return JobHeader(
            manifest.commitment,
            manifest.program,
            manifest.context,
            manifest.saturate,
            manifest.private_inputs,
            manifest.private_outputs,
            manifest.items,
        )

    def job(self, circuit_batch: int) -> Manifest:
        """A manifest that says what the header says, without batches."""
        return Manifest(
            self.commitment,
            self.program,
            self.context,
            self.saturate,
            self.private_inputs,
            self.private_outputs,
            circuit_batch,
            batch_size=1,
            items=self.items,
            batches=(),
            dead_letters=(),
        )

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


def hash_node(left: bytes, right: bytes) -> bytes:
    """A node over two others."""
    digest: bytes = blake3(left + right, key=NODE_KEY).digest()
    return digest


def parents(level: Sequence[bytes]) -> list[bytes]:
    """The level above a level of the tree."""
    above = [hash_node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    return above + list(level[len(above) * 2 :])


def tree_head(leaves: Sequence[bytes]) -> bytes:
    """The head of the tree over one leaf or more."""
    level = list(leaves)
    while len(level) > 1:
        level = parents(level)
    return level[0]


def tree_path(leaves: Sequence[bytes], index: int) -> bytes:
    """The siblings that lead from a leaf to the head, from the leaf upward, 32 bytes each."""
    siblings = []
    level, position = list(leaves), index
    while len(level) > 1:
        if position ^ 1 < len(level):
            siblings.append(level[position ^ 1])
        level, position = parents(level), position // 2
    return b"".join(siblings)


def follow_path(leaf: bytes, index: int, leaves: int, siblings: bytes) -> bytes:
    """The head that siblings lead to from the leaf at `index` of so many leaves, 0 <= index < leaves.

    Raises:
        MalformedProofError: they are not as many as lead from there to the head.
    """
    node, position, count, used = leaf, index, leaves, 0
    while count > 1:
        if position ^ 1 < count:
            sibling = siblings[used : used + DIGEST_BYTES]
            used += DIGEST_BYTES
            node = hash_node(sibling, node) if position & 1 else hash_node(node, sibling)
        position, count = position // 2, (count + 1) // 2
    if used != len(siblings):
        raise MalformedProofError(f"a path of {used} bytes leads from leaf {index} of {leaves}, not {len(siblings)}")
    return node


def items_of(manifest: Manifest) -> Iterator[Item]:
    """All items of a job, in order."""
    reasons = {letter.index: letter.reason for letter in manifest.dead_letters}
    for batch in manifest.batches:
        position = 0
        for index in range(batch.first, batch.stop):
            if index in reasons:
                yield Item(index, b"", b"", b"", dead=True, reason=reasons[index])
                continue
            part = slice(DIGEST_BYTES * position, DIGEST_BYTES * (position + 1))
            yield Item(index, batch.input_digests[part], batch.output_digests[part], batch.proof_digest)
            position += 1


def receipt_of(manifest: Manifest) -> bytes:
    """The receipt of a job: 32 bytes."""
    return JobHeader.of(manifest).receipt(tree_head([item.leaf() for item in items_of(manifest)]))


class ItemReceipt(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One item and its path to the receipt of its job: what is handed to whoever asks about this item.

    Attributes:
        header: of the job.
        item: what the receipt says of it.
        position: of its sample in its proof; 0 where no proof covers it. The verifier finds out whether it is.
        siblings: the path, from the leaf upward.
    """

    header: JobHeader
    item: Item
    position: int
    siblings: bytes

    def receipt(self) -> bytes:
        """The receipt that the path leads to: 32 bytes, to be compared with the one that was published.

        Raises:
            MalformedProofError: the path has another length than one from there.
        """
        return self.header.receipt(
            follow_path(self.item.leaf(), self.item.index, self.header.items, self.siblings),
        )

    def check(self, receipt: bytes) -> None:
        """Check that the item stands in the job of a receipt, where it says.

        Raises:
            MalformedProofError: the path has another length than one from there.
            InvalidProofError: it leads elsewhere.
        """
        if self.receipt() != receipt:
            raise InvalidProofError(f"item {self.item.index} is not one of the job that this receipt stands for")

    def to_bytes(self) -> bytes:
        """The item file's content, canonical."""
        return wrap(ITEM_KIND, ITEM_VERSION, msgspec.msgpack.encode(self))

    @staticmethod
    def from_bytes(data: bytes) -> "ItemReceipt":
        """An item from its file's content; says nothing about whether its path leads anywhere.

        Raises:
            MalformedProofError: truncated, extended, edited, another version, or no item.
        """
        found = decode(data, ITEM_KIND, ITEM_VERSION, _decoder, max_bytes=MAX_ITEM_BYTES, what="item")
        if not _is_possible(found):
            raise MalformedProofError("item: no job has one like it")
        return found

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the item's file, atomically.

        Raises:
            ResourceError: the file cannot be written.
        """
        write_atomically(path, self.to_bytes())

    @staticmethod
    def load(path: str | os.PathLike[str]) -> "ItemReceipt":
        """Read an item's file.

        Raises:
            MalformedProofError: see `from_bytes`; also when there is no such file.
        """
        return load(path, ItemReceipt.from_bytes, max_bytes=MAX_ITEM_BYTES)


_decoder = msgspec.msgpack.Decoder(ItemReceipt)


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
        InvalidInputError: the job has no such item.
    """
    if not 0 <= index < manifest.items:
        raise InvalidInputError(f"the job has items 0 to {manifest.items - 1}, and no item {index}")
    items = list(items_of(manifest))
    siblings = tree_path([item.leaf() for item in items], index)
    return ItemReceipt(JobHeader.of(manifest), items[index], _position(batch_of(manifest, index), index), siblings)


def batch_of(manifest: Manifest, index: int) -> JobBatch:
    """The batch that an item of the job belongs to."""
    return next(batch for batch in manifest.batches if index < batch.stop)


def _position(batch: JobBatch, index: int) -> int:
    return 0 if index in batch.dead else index - batch.first - sum(dead < index for dead in batch.dead)
