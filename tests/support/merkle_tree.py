"""Merkle trees in plain Python: docs/protocol/transcript-and-commitment.md, section 2."""

from collections.abc import Sequence

from blake3 import blake3


def hash_leaf(leaf: bytes) -> bytes:
    digest: bytes = blake3(leaf, key=b"zkinfer 2026 merkle leaf v1\0\0\0\0\0").digest()
    return digest


def hash_node(left: bytes, right: bytes) -> bytes:
    digest: bytes = blake3(left + right, key=b"zkinfer 2026 merkle node v1\0\0\0\0\0").digest()
    return digest


def tree(leaves: Sequence[bytes]) -> list[bytes]:
    """All nodes: the root is number 1, the children of node i are 2 i and 2 i + 1, the leaves' hashes come last."""
    nodes = [b""] * len(leaves) + [hash_leaf(leaf) for leaf in leaves]
    for i in reversed(range(1, len(leaves))):
        nodes[i] = hash_node(nodes[2 * i], nodes[2 * i + 1])
    return nodes


def siblings(nodes: Sequence[bytes], indices: Sequence[int]) -> bytes:
    """The hashes that lead from the leaves at sorted, distinct indices to the root, from the leaves' level upwards."""
    result = b""
    known = {len(nodes) // 2 + i for i in indices}
    while max(known) > 1:
        result += b"".join(nodes[n ^ 1] for n in sorted(known) if n ^ 1 not in known)
        known = {n // 2 for n in known}
    return result
