"""Merkle trees over the items of a job, of the shape of RFC 6962, section 2.1.

A node is over two neighbours; the last of an odd number of nodes moves up one level as it is. Nodes are BLAKE3 under a
key of their own, so that no node is ever read as a leaf.
"""

from collections.abc import Sequence

from blake3 import blake3

from zkinfer.counts import counted
from zkinfer.errors import MalformedProofError

NODE_KEY = b"zkinfer 2026 receipt node v1".ljust(32, b"\0")
DIGEST_BYTES = 32


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
        MalformedProofError: there are not exactly as many siblings as lead from there to the head.
    """
    node, position, count, used = leaf, index, leaves, 0
    while count > 1:
        if position ^ 1 < count:
            sibling = siblings[used : used + DIGEST_BYTES]
            used += DIGEST_BYTES
            node = hash_node(sibling, node) if position & 1 else hash_node(node, sibling)
        position, count = position // 2, (count + 1) // 2
    if used != len(siblings):
        raise MalformedProofError(
            f"a path of {counted(used, 'byte')} leads from leaf {index} of {leaves:,}, not {len(siblings):,}"
        )
    return node
