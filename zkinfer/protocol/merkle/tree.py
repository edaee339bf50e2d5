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
    nodes = np.zeros((2 * count, DIGEST_BYTES), dtype=np.uint8)
    if isinstance(leaves, SaltedColumns):
        hash_columns(leaves, LEAF_KEY, nodes[count:])
    else:
        _hash_all(leaves, LEAF_KEY, nodes[count:])
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


def prove_leaves(nodes: ByteArray, indices: Sequence[int]) -> bytes:
    """The siblings that prove the leaves at these sorted, distinct indices."""
    log_leaves = (len(nodes) // 2).bit_length() - 1
    return nodes[sibling_numbers(log_leaves, indices)].tobytes()
