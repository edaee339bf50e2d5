"""`kernels` in plain Python: the definition that the fast code is tested against."""

import numpy as np

from zkinfer.circuit.table import Table
from zkinfer.errors import BoundsError
from zkinfer.typing import IntArray


def lookup_histogram(x: IntArray, table: Table, shift: int) -> tuple[IntArray, IntArray]:
    """See `zkinfer.execution.tables.lookup_histogram`."""
    half = 2 ** (shift - 1) if shift else 0
    outputs = []
    multiplicities = [0] * len(table.values)
    for element in x.ravel().tolist():
        position = (element + half) // 2**shift - table.lo
        if not 0 <= position < len(table.values):
            raise BoundsError(f"{element} is outside table {table.name!r}")
        outputs.append(table.values[position])
        multiplicities[position] += 1
    return np.array(outputs, dtype=np.int64).reshape(x.shape), np.array(multiplicities, dtype=np.int64)


def lookup(x: IntArray, table: Table, shift: int) -> IntArray:
    """See `zkinfer.execution.tables.lookup`."""
    return lookup_histogram(x, table, shift)[0]
