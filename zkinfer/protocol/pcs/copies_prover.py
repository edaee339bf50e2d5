"""The owner's side of copies: the link that is published. Needs numba."""

from dataclasses import replace

import numpy as np

from zkinfer.protocol.field import kernels, modular
from zkinfer.protocol.field.params import P
from zkinfer.protocol.pcs.copies import VEIL_ROWS, CopiesCommitment, link_grinding, link_transcript
from zkinfer.protocol.pcs.prover import DataArray
from zkinfer.typing import Floats


def with_link(commitment: CopiesCommitment, data: DataArray, veil: Floats) -> CopiesCommitment:
    """The commitment with the value of its link, once the roots of all copies are fixed; unchanged for a matrix alone.

    Args:
        commitment: with any value and nonce.
        data: of every copy, without the veil.
        veil: shape (1, columns), uniform: used for no other commitment.
    """
    if not commitment.log_copies:
        return commitment
    bits = link_grinding(commitment.log_copies)
    commitment = replace(commitment, nonce=link_transcript(commitment).solve("link grinding", bits))
    link = commitment.link()
    assert link is not None
    own, behind = link.rows[:, :-VEIL_ROWS], link.rows[:, -VEIL_ROWS:]
    row = kernels.to_ints(kernels.row_combination(data, kernels.from_ints(own)))
    row = (row + kernels.to_ints(kernels.row_combination(veil, kernels.from_ints(np.ascontiguousarray(behind))))) % P
    return replace(commitment, value=modular.ext_dot(row, modular.eq_table(link.point)))
