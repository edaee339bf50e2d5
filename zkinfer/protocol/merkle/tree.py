"""Building Merkle trees and proving their leaves; see `merkle`. Needs numba."""

from collections.abc import Sequence

import numpy as np
from blake3 import blake3

from zkinfer.jit.threads import split
from zkinfer.protocol.merkle import kernels as merkle_kernels
from zkinfer.protocol.merkle.columns import SaltedColumns, hash_columns
from zkinfer.protocol.merkle.paths import DIGEST_BYTES, LEAF_KEY, NODE_KEY, sibling_numbers
from zkinfer.typing import ByteArray

LEAVES_A_THREAD = 256
"""Long leaves below which another thread does not pay."""


def build_tree(leaves: ByteArray | SaltedColumns) -> ByteArray:
    """All nodes, shape (2n, 32), of the tree over n leaves, a power of two: a contiguous array of shape (n, bytes of a
    leaf), or columns that are not written out.

    Node 0 does not exist and is zero.
    """
    count = len(leaves)
    nodes = np.empty((2 * count, DIGEST_BYTES), dtype=np.uint8)
    if isinstance(leaves, SaltedColumns):
        hash_columns(leaves, LEAF_KEY, nodes[count:])
    else:
        _hash_all(leaves, LEAF_KEY, nodes[count:])
    return _with_inner_nodes(nodes)


def tree_over(digests: ByteArray) -> ByteArray:
    """As `build_tree`, of leaves with these hashes under `LEAF_KEY`, shape (n, 32)."""
    nodes = np.empty((2 * len(digests), DIGEST_BYTES), dtype=np.uint8)
    nodes[len(digests) :] = digests
    return _with_inner_nodes(nodes)


def _with_inner_nodes(nodes: ByteArray) -> ByteArray:
    """Writes all nodes above those of the leaves."""
    count = len(nodes) // 2
    nodes[0] = 0
    while count > 1:
        children = nodes[count : 2 * count].reshape(count // 2, 2 * DIGEST_BYTES)
        count //= 2
        _hash_all(children, NODE_KEY, nodes[count : 2 * count])
    return nodes


def _hash_all(messages: ByteArray, key: bytes, digests: ByteArray) -> None:
    """Writes the digest of each message: by the kernel where it can, else one after another."""
    count, size = messages.shape
    if merkle_kernels.AVAILABLE and size <= merkle_kernels.MAX_BYTES:
        merkle_kernels.hash_messages(messages, key, digests)
    else:
        octets = messages.reshape(-1).data

        def hash_some(start: int, stop: int) -> bytes:
            return b"".join(blake3(octets[size * i : size * (i + 1)], key=key).digest() for i in range(start, stop))

        parts = split(hash_some, count, LEAVES_A_THREAD)
        digests[...] = np.frombuffer(b"".join(parts), dtype=np.uint8).reshape(count, DIGEST_BYTES)


def agrees(nodes: ByteArray, root: bytes, indices: Sequence[int], leaves: ByteArray) -> bool:
    """Whether a tree, which may be a damaged file, leads from these leaves to the root.

    Args:
        nodes: of the tree, shape (2n, 32).
        indices: of the leaves, in [0, n).
        leaves: contiguous, shape (indices, bytes of a leaf).
    """
    numbers = len(nodes) // 2 + np.asarray(indices)
    found = np.empty((len(numbers), DIGEST_BYTES), dtype=np.uint8)
    _hash_all(leaves, LEAF_KEY, found)
    same = np.array_equal(found, nodes[numbers])
    levels = range(1, int(numbers[0]).bit_length())
    inner = np.unique(np.array([numbers >> level for level in levels], dtype=np.int64))
    found = np.empty((len(inner), DIGEST_BYTES), dtype=np.uint8)
    _hash_all(np.concatenate([nodes[2 * inner], nodes[2 * inner + 1]], axis=1), NODE_KEY, found)
    return same and np.array_equal(found, nodes[inner]) and nodes[1].tobytes() == root


def prove_leaves(nodes: ByteArray, indices: Sequence[int]) -> bytes:
    """The siblings that prove the leaves at these sorted, distinct indices."""
    log_leaves = (len(nodes) // 2).bit_length() - 1
    return nodes[sibling_numbers(log_leaves, indices)].tobytes()
