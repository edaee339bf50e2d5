"""The prover's own checks of an opening of mapped matrices: those of a verifier, before anything is sent."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from support.opening_prover import DOMAIN, SMALL, Statement

from zkinfer.protocol.field.encoding import BASE_BYTES
from zkinfer.protocol.merkle.paths import SALT_BYTES
from zkinfer.protocol.merkle.tree import build_tree
from zkinfer.protocol.pcs.opening_check import DamagedMatrixError
from zkinfer.protocol.pcs.protocol import verify_opening
from zkinfer.protocol.pcs.prover import CommittedMatrix, commit, open_claims
from zkinfer.protocol.transcript import Transcript
from zkinfer.typing import ByteArray

STATEMENT = Statement.random(2)


class OtherLeaves:
    """Leaves as a damaged file has them: a part of each differs."""

    def __init__(self, matrix: CommittedMatrix, change: Callable[[ByteArray], None]) -> None:
        self._matrix, self._change = matrix, change

    def __getitem__(self, indices: Sequence[int], /) -> ByteArray:
        leaves = self._matrix.leaves[indices].copy()
        self._change(leaves)
        return leaves


def flip(leaves: ByteArray) -> None:
    leaves[:, 40] ^= 1


def fill(leaves: ByteArray) -> None:
    """The first symbol of each column is no field element."""
    leaves[:, SALT_BYTES : SALT_BYTES + BASE_BYTES] = 255


def with_other_data(matrix: CommittedMatrix) -> CommittedMatrix:
    return replace(matrix, data=matrix.data[::-1].copy())


def with_other_blinding(matrix: CommittedMatrix) -> CommittedMatrix:
    return replace(matrix, blinding=-matrix.blinding)


def with_blinding_of_no_elements(matrix: CommittedMatrix) -> CommittedMatrix:
    return replace(matrix, blinding=matrix.blinding * 1e200)


def with_other_leaves(matrix: CommittedMatrix) -> CommittedMatrix:
    return replace(matrix, leaves=OtherLeaves(matrix, flip))


def with_leaves_of_no_elements(matrix: CommittedMatrix) -> CommittedMatrix:
    """Damaged before the tree was made, which is then the right one."""
    leaves = OtherLeaves(matrix, fill)
    nodes = build_tree(leaves[range(matrix.code.length)])
    root = nodes[1].tobytes()
    return replace(matrix, leaves=leaves, nodes=nodes, commitment=replace(matrix.commitment, root=root))


def with_other_nodes(matrix: CommittedMatrix) -> CommittedMatrix:
    nodes = matrix.nodes.copy()
    nodes[2:] ^= 1
    return replace(matrix, nodes=nodes)


def mapped() -> list[CommittedMatrix]:
    arrays = STATEMENT.arrays()
    masks = [0] * (len(arrays) - 1) + [len(STATEMENT.groups) + 1]
    made = [commit(SMALL.code, array, count) for array, count in zip(arrays, masks, strict=True)]
    return [replace(matrix, mapped=True) for matrix in made]


def test_an_honest_opening_passes_and_verifies() -> None:
    matrices = mapped()
    opening = open_claims(SMALL, matrices, STATEMENT.groups, Transcript(DOMAIN))
    verify_opening(SMALL, [m.commitment for m in matrices], STATEMENT.groups, opening, Transcript(DOMAIN))


@pytest.mark.parametrize(
    "damage",
    [
        with_other_data,
        with_other_blinding,
        with_blinding_of_no_elements,
        with_other_leaves,
        with_leaves_of_no_elements,
        with_other_nodes,
    ],
)
@pytest.mark.parametrize("number", [0, -1])
def test_what_differs_from_what_was_committed_is_not_opened(
    damage: Callable[[CommittedMatrix], CommittedMatrix], number: int
) -> None:
    matrices = mapped()
    matrices[number] = damage(matrices[number])
    with pytest.raises(DamagedMatrixError):
        open_claims(SMALL, matrices, STATEMENT.groups, Transcript(DOMAIN))
