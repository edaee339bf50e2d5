"""Batched inverses against the oracle, across block boundaries; zeros are found wherever they are."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from zkinfer.errors import InvalidInputError
from zkinfer.field import fast, slow
from zkinfer.field.inverse import BLOCK
from zkinfer.field.params import P

LENGTHS = [0, 1, 33, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK]


@pytest.mark.parametrize("n", LENGTHS)
def test_inverses(n: int, elements: Any) -> None:
    values = [v or 1 for v in elements.base(n)]
    result = fast.batch_inv(fast.from_ints(values))
    assert fast.is_balanced(result)
    assert fast.to_ints(result).tolist() == slow.batch_inv(values)


@pytest.mark.parametrize("n", LENGTHS)
def test_extension_inverses(n: int, elements: Any) -> None:
    values = [v if any(v) else slow.ONE for v in elements.ext(n)]
    result = fast.ext_batch_inv(fast.ext_from_ints(values))
    assert fast.is_balanced(result)
    assert fast.ext_to_ints(result) == slow.ext_batch_inv(values)


def test_extension_inverses_of_all_corners() -> None:
    edges = (0, 1, P // 2, P // 2 + 1, P - 1)
    values = [(a, b, c) for a in edges for b in edges for c in edges if a or b or c]
    assert fast.ext_to_ints(fast.ext_batch_inv(fast.ext_from_ints(values))) == slow.ext_batch_inv(values)


@pytest.mark.parametrize("place", [0, 7, BLOCK - 1, BLOCK, 2 * BLOCK + 4])
def test_a_zero_anywhere_is_refused(place: int) -> None:
    values = np.ones(2 * BLOCK + 5)
    values[place] = 0.0
    with pytest.raises(InvalidInputError, match="zero"):
        fast.batch_inv(values)
    with pytest.raises(InvalidInputError, match="zero"):
        fast.ext_batch_inv(np.stack([values, np.zeros_like(values), np.zeros_like(values)]))
