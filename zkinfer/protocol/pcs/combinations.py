"""The coefficients of the combinations that an opening sends.

A column is the symbols of all data rows, matrix by matrix, then those of the masks, DEGREE rows each: the mask of the
proximity combination first, then one for each group. A mask is one extension-field row, its coordinates committed as
base-field rows m0, m1, m2 and taken together as m0 + u m1 + u^2 m2.

Combination 0, of proximity: its mask, plus every other row, masks of the groups included, with an independent random
coefficient. Combination 1 + g, of group g: its mask, plus every claim's row vector with the claim's random weight.
"""

from collections.abc import Sequence

import numpy as np

from zkinfer.protocol.field.modular import ext_mul, from_exts
from zkinfer.protocol.field.params import DEGREE, P
from zkinfer.protocol.field.scalar import Ext
from zkinfer.protocol.pcs.claims import ClaimGroup
from zkinfer.typing import IntArray


def combination_coefficients(
    groups: Sequence[ClaimGroup], weights: Sequence[Sequence[Ext]], proximity: Sequence[Ext], rows: int
) -> IntArray:
    """Shape (1 + groups, 3, symbols of a column), canonical.

    Args:
        weights: for each group, a weight for each claim.
        proximity: a coefficient for each data row, then for each of the 3 rows of each group's mask.
        rows: data rows of all matrices.
    """
    symbols = rows + DEGREE * (len(groups) + 1)
    result = np.zeros((len(groups) + 1, DEGREE, symbols), dtype=np.int64)
    drawn = from_exts(proximity)
    result[0, :, :rows] = drawn[:, :rows]
    result[0, :, rows + DEGREE :] = drawn[:, rows:]
    for number, (group, group_weights) in enumerate(zip(groups, weights, strict=True)):
        for claim, weight in zip(group.claims, group_weights, strict=True):
            weighted = ext_mul(claim.rows, from_exts([weight]))
            result[number + 1, :, :rows] = (result[number + 1, :, :rows] + weighted) % P
    for number in range(len(groups) + 1):
        start = rows + DEGREE * number
        result[number, :, start : start + DEGREE] = np.eye(DEGREE, dtype=np.int64)
    return result
