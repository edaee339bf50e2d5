"""Differences of committed data that a weighted sum of cells does not see, for provers who cheat."""

from collections.abc import Sequence

import numpy as np

from zkinfer.protocol.field import scalar
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import Ext


def invisible_cells(weight: Ext, point: Sequence[Ext], shape: tuple[int, int]) -> np.ndarray:
    """A difference in the first four cells of the first row whose weighted sum is zero: Cramer's rule.

    Cell j weighs `weight` times the evaluation at the point of the j-th unit row, a vector of F^3: four of them are
    linearly dependent.

    Args:
        weight: of the first row.
        point: of the columns; 2 to its length is the number of columns.
        shape: rows and columns of the data, with at least one row and four columns.
    """
    units = np.eye(4, shape[1], dtype=np.int64).tolist()
    w = [scalar.ext_mul(weight, scalar.mle([(v, 0, 0) for v in cell], point)) for cell in units]
    difference = np.zeros(shape, dtype=np.int64)
    for j in range(4):
        a, b, c = (w[k] for k in range(4) if k != j)
        determinant = (
            a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0])
        )
        difference[0, j] = (-1) ** j * determinant % P
    return difference
