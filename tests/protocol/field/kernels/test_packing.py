"""Columns as bytes: those of `encoding`, and not one byte beside them."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from zkinfer.errors import ShapeError
from zkinfer.protocol.field import kernels
from zkinfer.protocol.field.encoding import BASE_BYTES, encode_array


@pytest.mark.parametrize(("rows", "columns"), [(0, 3), (1, 1), (2, 5), (9, 300), (64, 1024)])
def test_columns_as_bytes(rows: int, columns: int, elements: Any) -> None:
    values = np.array(elements.base(rows * columns), dtype=np.int64).reshape(rows, columns)
    leaves = np.full((columns, BASE_BYTES * rows + 9), 171, dtype=np.uint8)
    kernels.write_columns(kernels.from_ints(values), leaves, 4)
    end = 4 + BASE_BYTES * rows
    assert np.array_equal(leaves[:, 4:end], encode_array(np.ascontiguousarray(values.T)).reshape(columns, -1))
    assert (leaves[:, :4] == 171).all()
    assert (leaves[:, end:] == 171).all()


def test_leaves_of_another_size_are_refused() -> None:
    matrix = np.zeros((2, 8))
    with pytest.raises(ShapeError):
        kernels.write_columns(matrix, np.zeros((8, 14), dtype=np.uint8), 1)
    with pytest.raises(ShapeError):
        kernels.write_columns(matrix, np.zeros((7, 14), dtype=np.uint8), 0)
    with pytest.raises(ShapeError):
        kernels.write_columns(matrix, np.zeros((8, 28), dtype=np.uint8)[:, ::2], 0)
    with pytest.raises(ShapeError):
        kernels.write_columns(matrix, np.zeros((8, 14), dtype=np.uint8), -1)
    with pytest.raises(ShapeError):
        kernels.write_columns(matrix.T, np.zeros((2, 56), dtype=np.uint8), 0)
