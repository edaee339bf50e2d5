"""Adding up what many calls of a kernel return."""

import numpy as np
import pytest

pytest.importorskip("numba")

from zkinfer.protocol.field.params import P
from zkinfer.protocol.sumcheck.rounds import add_parts


@pytest.mark.parametrize("sign", [1, -1])
def test_parts_whose_sum_is_no_float64_number(sign: int) -> None:
    """1,001 of the largest odd elements, and 1."""
    odd = P // 2 - (P // 2 + 1) % 2
    parts = [np.full(6, float(sign * odd))] * 1001 + [np.ones(6)]
    expected = 1001 * sign * odd + 1
    assert int(float(expected)) != expected
    assert add_parts(parts) == [(expected % P,) * 3] * 2
