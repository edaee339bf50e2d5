"""Merkle trees: tags, positions, lengths, duplicates; against a plain tree."""

from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from support import merkle_tree

from zkinfer.errors import InvalidProofError, MalformedProofError
from zkinfer.jit.threads import threads
from zkinfer.protocol.merkle import kernels as merkle_kernels
from zkinfer.protocol.merkle import paths as merkle
from zkinfer.protocol.merkle.paths import check_leaves, hash_leaf, hash_node
from zkinfer.protocol.merkle.tree import build_tree, prove_leaves

LEAVES = np.random.default_rng(0).integers(0, 256, (16, 50), dtype=np.uint8)
NODES = build_tree(LEAVES)
ROOT = NODES[1].tobytes()


def leaves_at(indices: list[int]) -> list[bytes]:
    return [LEAVES[i].tobytes() for i in indices]


subsets = st.sets(st.integers(0, 15), min_size=1).map(sorted)


def test_agrees_with_the_plain_tree() -> None:
    plain = merkle_tree.tree([row.tobytes() for row in LEAVES])
    assert [node.tobytes() for node in NODES[1:]] == plain[1:]


@pytest.mark.parametrize("size", [0, 1, 64, 95, 1024, 1025, 2050])
@pytest.mark.parametrize("count", [1, 2, 32])
def test_trees_of_every_size_agree_with_the_plain_tree(count: int, size: int) -> None:
    """Short leaves, the longest that the kernel takes, and longer ones, which go to the blake3 package."""
    leaves = np.random.default_rng(1).integers(0, 256, (count, size), dtype=np.uint8)
    nodes = build_tree(leaves)
    assert nodes[0].tobytes() == bytes(32)
    assert [node.tobytes() for node in nodes[1:]] == merkle_tree.tree([row.tobytes() for row in leaves])[1:]


@pytest.mark.parametrize("size", [70, 1100])
def test_threads_and_kernels_do_not_change_the_tree(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with one thread, with three, and on a machine that the kernel is not made for."""
    leaves = np.random.default_rng(2).integers(0, 256, (1 << 12, size), dtype=np.uint8)
    trees = []
    for count in (1, 3):
        with threads(count):
            trees.append(build_tree(leaves))
    monkeypatch.setattr(merkle_kernels, "AVAILABLE", False)
    assert np.array_equal(trees[0], build_tree(leaves))
    assert np.array_equal(trees[0], trees[1])


def test_leaves_in_a_file_that_cannot_be_written_to(tmp_path: Path) -> None:
    LEAVES.tofile(tmp_path / "leaves")
    assert np.array_equal(build_tree(np.memmap(tmp_path / "leaves", mode="r", shape=LEAVES.shape)), NODES)


@given(subsets)
def test_any_set_of_leaves_is_proven(indices: list[int]) -> None:
    siblings = prove_leaves(NODES, indices)
    plain = merkle_tree.tree([row.tobytes() for row in LEAVES])
    assert siblings == merkle_tree.siblings(plain, indices)
    assert merkle.sibling_count(4, indices) == len(merkle.sibling_numbers(4, indices))
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
