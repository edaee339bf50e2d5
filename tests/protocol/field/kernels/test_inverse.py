"""Batched inverses against the oracle, across block boundaries; zeros are found wherever they are."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from zkinfer.errors import InvalidInputError
from zkinfer.protocol.field import kernels, scalar
from zkinfer.protocol.field.kernels.inverse import BLOCK
from zkinfer.protocol.field.params import P

LENGTHS = [0, 1, 33, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK]


@pytest.mark.parametrize("n", LENGTHS)
def test_inverses(n: int, elements: Any) -> None:
    values = [v or 1 for v in elements.base(n)]
    result = kernels.batch_inv(kernels.from_ints(values))
    assert kernels.is_balanced(result)
    assert kernels.to_ints(result).tolist() == scalar.batch_inv(values)


@pytest.mark.parametrize("n", LENGTHS)
def test_extension_inverses(n: int, elements: Any) -> None:
    values = [v if any(v) else scalar.ONE for v in elements.ext(n)]
    result = kernels.ext_batch_inv(kernels.ext_from_ints(values))
    assert kernels.is_balanced(result)
    assert kernels.ext_to_ints(result) == scalar.ext_batch_inv(values)


def test_extension_inverses_of_all_corners() -> None:
    edges = (0, 1, P // 2, P // 2 + 1, P - 1)
    values = [(a, b, c) for a in edges for b in edges for c in edges if a or b or c]
    assert kernels.ext_to_ints(kernels.ext_batch_inv(kernels.ext_from_ints(values))) == scalar.ext_batch_inv(values)


@pytest.mark.parametrize("place", [0, 7, BLOCK - 1, BLOCK, 2 * BLOCK + 4])
def test_a_zero_anywhere_is_refused(place: int) -> None:
    values = np.ones(2 * BLOCK + 5)
    values[place] = 0.0
    with pytest.raises(InvalidInputError, match="zero"):
        kernels.batch_inv(values)
    with pytest.raises(InvalidInputError, match="zero"):
        kernels.ext_batch_inv(np.stack([values, np.zeros_like(values), np.zeros_like(values)]))
