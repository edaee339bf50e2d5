"""Trees over the items of a job: the shape of RFC 6962, and paths that lead from one place alone."""

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.errors import MalformedProofError
from zkinfer.jobs.tree import follow_path, hash_node, tree_head, tree_path

leaf_lists = st.integers(1, 70).map(lambda n: [blake3(bytes([i])).digest() for i in range(n)])


def recursive_head(leaves: list[bytes]) -> bytes:
    """As RFC 6962, section 2.1, says it: the left part is the largest power of two below their number."""
    if len(leaves) == 1:
        return leaves[0]
    left = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hash_node(recursive_head(leaves[:left]), recursive_head(leaves[left:]))


class TestTree:
    @given(leaf_lists)
    def test_shape(self, leaves: list[bytes]) -> None:
        assert tree_head(leaves) == recursive_head(leaves)

    @given(leaf_lists, st.data())
    def test_a_path_leads_from_its_leaf_to_the_head(self, leaves: list[bytes], data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(leaves) - 1))
        path = tree_path(leaves, index)
        assert follow_path(leaves[index], index, len(leaves), path) == tree_head(leaves)
        assert len(path) <= 32 * (len(leaves) - 1).bit_length()

    @given(leaf_lists, st.data())
    def test_a_path_leads_there_from_no_other_place(self, leaves: list[bytes], data: st.DataObject) -> None:
        index, claimed = (data.draw(st.integers(0, len(leaves) - 1)) for _ in range(2))
        if index != claimed:
            try:
                head = follow_path(leaves[index], claimed, len(leaves), tree_path(leaves, index))
            except MalformedProofError:
                return
            assert head != tree_head(leaves)

    @pytest.mark.parametrize("change", [b"", bytes(32), bytes(31), bytes(96), bytes(128)])
    def test_a_path_has_one_length(self, change: bytes) -> None:
        with pytest.raises(MalformedProofError, match="a path of 64 bytes leads from leaf 2 of 4"):
            follow_path(bytes(32), 2, 4, change)
