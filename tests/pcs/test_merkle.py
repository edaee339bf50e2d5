"""Merkle trees: tags, positions, lengths, duplicates; against a plain tree."""

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from support import openings

from zkinfer.errors import InvalidProofError, MalformedProofError
from zkinfer.pcs import merkle
from zkinfer.pcs.merkle import build_tree, check_leaves, hash_leaf, hash_node, prove_leaves

LEAVES = np.random.default_rng(0).integers(0, 256, (16, 50), dtype=np.uint8)
NODES = build_tree(LEAVES)
ROOT = NODES[1].tobytes()


def leaves_at(indices: list[int]) -> list[bytes]:
    return [LEAVES[i].tobytes() for i in indices]


subsets = st.sets(st.integers(0, 15), min_size=1).map(sorted)


def test_agrees_with_the_plain_tree() -> None:
    plain = openings.tree([row.tobytes() for row in LEAVES])
    assert [node.tobytes() for node in NODES[1:]] == plain[1:]


@given(subsets)
def test_any_set_of_leaves_is_proven(indices: list[int]) -> None:
    siblings = prove_leaves(NODES, indices)
    plain = openings.tree([row.tobytes() for row in LEAVES])
    assert siblings == openings.siblings(plain, indices)
    check_leaves(ROOT, 4, indices, leaves_at(indices), siblings)


@given(subsets, st.data())
def test_any_changed_bit_is_found(indices: list[int], data: st.DataObject) -> None:
    blob = bytearray(b"".join(leaves_at(indices)) + prove_leaves(NODES, indices) + ROOT)
    blob[data.draw(st.integers(0, len(blob) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    size = 50 * len(indices)
    changed = [bytes(blob[50 * i : 50 * i + 50]) for i in range(len(indices))]
    with pytest.raises(InvalidProofError, match="committed"):
        check_leaves(bytes(blob[-32:]), 4, indices, changed, bytes(blob[size:-32]))


@given(subsets, st.integers(0, 15))
def test_a_leaf_proves_its_own_place_alone(indices: list[int], other: int) -> None:
    if other in indices:
        return
    moved = sorted({*indices[1:], other})
    siblings = prove_leaves(NODES, moved)
    wrong = [LEAVES[indices[0] if i == other else i].tobytes() for i in moved]
    with pytest.raises(InvalidProofError, match="committed"):
        check_leaves(ROOT, 4, moved, wrong, siblings)


@pytest.mark.parametrize("change", [-32, -1, 1, 32])
def test_too_few_or_too_many_siblings(change: int) -> None:
    siblings = prove_leaves(NODES, [3, 7]) + bytes(32)
    with pytest.raises(MalformedProofError, match="siblings"):
        check_leaves(ROOT, 4, [3, 7], leaves_at([3, 7]), siblings[: len(siblings) - 32 + change])


@pytest.mark.parametrize("indices", [[], [3, 3], [7, 3], [-1], [16]])
def test_indices_are_sorted_distinct_and_in_range(indices: list[int]) -> None:
    with pytest.raises(ValueError, match="indices"):
        check_leaves(ROOT, 4, indices, [b""] * len(indices), b"")


def test_a_node_is_no_leaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without separate keys, the two children of a node would pass for a leaf of a tree of half the depth."""
    level = NODES[8:16]
    as_leaf = NODES[16].tobytes() + NODES[17].tobytes()
    assert hash_node(NODES[16].tobytes(), NODES[17].tobytes()) == level[0].tobytes()
    siblings = b"".join(NODES[i].tobytes() for i in (9, 5, 3))
    with pytest.raises(InvalidProofError, match="committed"):
        check_leaves(ROOT, 3, [0], [as_leaf], siblings)
    monkeypatch.setattr(merkle, "LEAF_KEY", merkle.NODE_KEY)
    check_leaves(ROOT, 3, [0], [as_leaf], siblings)


def test_keys_separate_leaves_nodes_and_plain_hashes() -> None:
    data = bytes(64)
    assert len({hash_leaf(data), hash_node(data[:32], data[32:]), blake3(data).digest()}) == 3


def test_equal_columns_have_different_leaves_under_different_salts() -> None:
    column = bytes(70)
    assert hash_leaf(bytes(32) + column) != hash_leaf(b"\1" + bytes(31) + column)
