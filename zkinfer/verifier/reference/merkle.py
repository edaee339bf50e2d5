"""Merkle trees over salted columns: docs/protocol/transcript-and-commitment.md, section 2, "Committing"."""

from collections.abc import Sequence

from blake3 import blake3

from zkinfer.errors import InvalidProofError
from zkinfer.verifier.reference.elements import ByteReader

DIGEST_BYTES = 32
SALT_BYTES = 32
LEAF_KEY = b"zkinfer 2026 merkle leaf v1".ljust(32, b"\0")
NODE_KEY = b"zkinfer 2026 merkle node v1".ljust(32, b"\0")


def read_columns(reader: ByteReader, root: bytes, depth: int, drawn: Sequence[int], size: int) -> list[bytes]:
    """The columns at some leaves, checked against the root of their tree.

    Args:
        reader: has the leaves, then the siblings.
        depth: of the tree, which has 2^depth leaves.
        drawn: the leaves' indices, increasing.
        size: of a column, in bytes, without the salt.

    Raises:
        VerificationError: the proof ends early, or the leaves do not lead to the root.
    """
    return [leaf[SALT_BYTES:] for leaf in read_leaves(reader, root, depth, drawn, SALT_BYTES + size)]


def read_leaves(reader: ByteReader, root: bytes, depth: int, drawn: Sequence[int], size: int) -> list[bytes]:
    """The leaves at some indices, of `size` bytes, checked as `read_columns` does."""
    leaves = [reader.take(size) for _ in drawn]
    level = {i: blake3(leaf, key=LEAF_KEY).digest() for i, leaf in zip(drawn, leaves, strict=True)}
    for _ in range(depth):
        for i in sorted(level):
            if i ^ 1 not in level:
                level[i ^ 1] = reader.take(DIGEST_BYTES)
        level = {i // 2: blake3(level[i] + level[i + 1], key=NODE_KEY).digest() for i in level if i % 2 == 0}
    if level != {0: root}:
        raise InvalidProofError("the opened columns are not those that were committed")
    return leaves
