"""A tree that lies in a file is compared, on the way from some leaves to the root, before it proves them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.protocol.merkle.paths import sibling_numbers
from zkinfer.protocol.merkle.tree import agrees, build_tree

LOG_LEAVES = 5
LEAVES = np.random.default_rng(0).integers(0, 256, (1 << LOG_LEAVES, 45), dtype=np.uint8)
NODES = build_tree(LEAVES)
ROOT = NODES[1].tobytes()
indices = st.sets(st.integers(0, (1 << LOG_LEAVES) - 1), min_size=1).map(sorted)


@given(indices)
def test_a_tree_agrees_with_its_leaves(opened: list[int]) -> None:
    assert agrees(NODES, ROOT, opened, LEAVES[opened])


@given(indices, st.data())
def test_another_leaf_or_node_on_the_way_or_another_root_does_not(opened: list[int], data: st.DataObject) -> None:
    leaves, nodes = LEAVES[opened], NODES.copy()
    leaves[data.draw(st.integers(0, len(opened) - 1)), data.draw(st.integers(0, 44))] ^= 1
    assert not agrees(nodes, ROOT, opened, leaves)
    nodes[data.draw(st.sampled_from([1, *sibling_numbers(LOG_LEAVES, opened)])), 7] ^= 1
    assert not agrees(nodes, ROOT, opened, LEAVES[opened])
    assert not agrees(NODES, bytes(32), opened, LEAVES[opened])


@pytest.mark.parametrize("count", [1, 2])
def test_the_smallest_trees(count: int) -> None:
    nodes = build_tree(LEAVES[:count])
    assert agrees(nodes, nodes[1].tobytes(), [count - 1], LEAVES[count - 1 : count])
    assert not agrees(nodes, nodes[1].tobytes(), [count - 1], LEAVES[count : count + 1])
