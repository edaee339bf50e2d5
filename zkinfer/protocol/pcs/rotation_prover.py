"""The prover of rotations: that a new stored commitment is to the data of an old one."""

import numpy as np

from zkinfer.errors import InvalidInputError
from zkinfer.protocol.pcs.params import OpeningParameters
from zkinfer.protocol.pcs.prover import DataArray, OpenableMatrix, commit, open_claims
from zkinfer.protocol.pcs.rotation import Links, column_points, state_rotation

_BLOCK_CELLS = 1 << 24
"""Cells compared at a time: bounds the memory."""


def prove_rotation(
    old: OpenableMatrix,
    new: OpenableMatrix,
    parameters: OpeningParameters,
    context: bytes,
    links: Links | None = None,
) -> bytes:
    """Show, without showing the data, that two commitments are to the same ones.

    Args:
        old: the commitment that is known.
        new: another one to the same data, made with the same code and with fresh randomness.
        parameters: of the opening; the verifier's.
        context: bytes that the proof is bound to.
        links: of the copies, if these are some.

    Returns:
        The proof: the root of the masks' matrix, then an opening.

    Raises:
        InvalidInputError: these are not two commitments to the same data, or of another code; nothing is spent.
        ProvingError: one of them was opened before.
    """
    if old.commitment.root == new.commitment.root:
        raise InvalidInputError("the new commitment is the old one: make another, with fresh randomness")
    if not _same_data(old.data, new.data):
        raise InvalidInputError("the new commitment is to other data than the old one")
    masks = commit(parameters.code, np.zeros((0, parameters.code.columns), dtype=np.int8), 1 + column_points(links))
    root = masks.commitment.root
    statement = state_rotation(parameters, old.commitment, new.commitment, root, context, links)
    return root + open_claims(parameters, [old, new, masks], statement.groups, statement.transcript)


def _same_data(a: DataArray, b: DataArray) -> bool:
    """Whether all cells are equal: both arrays hold representatives of smallest magnitude modulo P."""
    if a.shape != b.shape:
        return False
    step = max(1, _BLOCK_CELLS // a.shape[1])
    return all(np.array_equal(a[i : i + step], b[i : i + step]) for i in range(0, len(a), step))
