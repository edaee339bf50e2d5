"""Merkle trees over the columns of a codeword.

A leaf is 32 bytes of salt and a column; its hash is BLAKE3 keyed with LEAF_KEY. A node is BLAKE3 of its two children,
keyed with NODE_KEY: no leaf is ever read as a node. Nodes are numbered from the root, 1; the children of i are 2i and
2i + 1, and leaf j of n is node n + j.

Several leaves are proven at once. From the leaves upward, level by level and from left to right, the proof holds the
sibling of each known node unless it is known itself.

This module is what the verifier needs; `tree` builds the trees.
"""

import itertools
from collections.abc import Iterator, Sequence

from blake3 import blake3

from zkinfer.counts import counted
from zkinfer.errors import InvalidProofError, MalformedProofError

DIGEST_BYTES = 32
SALT_BYTES = 32

LEAF_KEY = b"zkinfer 2026 merkle leaf v1".ljust(32, b"\0")
NODE_KEY = b"zkinfer 2026 merkle node v1".ljust(32, b"\0")


def hash_leaf(leaf: bytes | memoryview) -> bytes:
    digest: bytes = blake3(leaf, key=LEAF_KEY).digest()
    return digest


def hash_node(left: bytes, right: bytes) -> bytes:
    digest: bytes = blake3(left + right, key=NODE_KEY).digest()
    return digest


def sibling_numbers(log_leaves: int, indices: Sequence[int]) -> list[int]:
    """The numbers of the nodes that prove the leaves at these sorted, distinct indices, in the order of the proof."""
    siblings = []
    known = [(1 << log_leaves) + i for i in indices]
    for _ in range(log_leaves):
        present = set(known)
        siblings += [node ^ 1 for node in known if node ^ 1 not in present]
        known = sorted({node >> 1 for node in known})
    return siblings


def sibling_count(log_leaves: int, indices: Sequence[int]) -> int:
    """How many `sibling_numbers` there are."""
    count, known = 0, {(1 << log_leaves) + i for i in indices}
    for _ in range(log_leaves):
        parents = {node >> 1 for node in known}
        count += 2 * len(parents) - len(known)
        known = parents
    return count


def check_leaves(
    root: bytes, log_leaves: int, indices: Sequence[int], leaves: Sequence[bytes | memoryview], siblings: bytes
) -> None:
    """Check that these are the leaves at these sorted, distinct indices in [0, 2^log_leaves).

    Raises:
        MalformedProofError: the siblings are too few or too many.
        InvalidProofError: they do not lead to the root.
        ValueError: the indices are not sorted, distinct and in range, or not one for each leaf.
    """
    if any(a >= b for a, b in itertools.pairwise(indices)):
        raise ValueError("indices must be sorted and distinct")
    if not indices or indices[0] < 0 or indices[-1] >= 1 << log_leaves:
        raise ValueError(f"indices must be in [0, {1 << log_leaves}) and at least one")
    needed = sibling_count(log_leaves, indices)
    if len(siblings) != DIGEST_BYTES * needed:
        raise MalformedProofError(f"{needed:,} Merkle siblings are needed, not {counted(len(siblings), 'byte')}")
    numbers = [(1 << log_leaves) + i for i in indices]
    digests = [hash_leaf(leaf) for _, leaf in zip(indices, leaves, strict=True)]
    given = iter([siblings[start : start + DIGEST_BYTES] for start in range(0, len(siblings), DIGEST_BYTES)])
    for _ in range(log_leaves):
        numbers, digests = _parents(numbers, digests, given)
    if digests[0] != root:
        raise InvalidProofError("the opened columns are not those that were committed")


def _parents(numbers: Sequence[int], digests: Sequence[bytes], given: Iterator[bytes]) -> tuple[list[int], list[bytes]]:
    """The parents of sorted nodes of a level, and their digests; siblings that are not known come from `given`."""
    above: list[int] = []
    found: list[bytes] = []
    place, count = 0, len(numbers)
    while place < count:
        number, digest = numbers[place], digests[place]
        place += 1
        if number & 1:
            found.append(hash_node(next(given), digest))
        elif place < count and numbers[place] == number + 1:
            found.append(hash_node(digest, digests[place]))
            place += 1
        else:
            found.append(hash_node(digest, next(given)))
        above.append(number >> 1)
    return above, found
