"""`Slice`: some elements along one axis."""

import numpy as np
import pytest

from zkinfer.circuit.steps import Slice, apply_steps
from zkinfer.errors import ShapeError
from zkinfer.typing import IntArray

A = np.arange(24).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (Slice(2, 1, 2, 2), A[:, :, 1:4:2]),
        (Slice(1, 2, 3, -1), A[:, ::-1, :]),
        (Slice(1, 5, 0, 1), A[:, :0, :]),
        (Slice(1, 2, 1, 2**63 - 1), A[:, 2:, :]),
    ],
)
def test_meaning(step: Slice, expected: IntArray) -> None:
    assert step.shape(A.shape) == expected.shape
    np.testing.assert_array_equal(apply_steps([step], A), expected)


@pytest.mark.parametrize(
    "step",
    [
        Slice(3, 0, 1, 1),
        Slice(-1, 0, 1, 1),
        Slice(0, 0, 3, 1),
        Slice(0, 0, -1, 1),
        Slice(0, -1, 1, 1),
        Slice(0, 0, 1, 0),
        Slice(0, 1, 3, -1),
        Slice(0, 2, 1, 1),
    ],
)
def test_a_misfit_is_refused(step: Slice) -> None:
    with pytest.raises(ShapeError, match="does not fit"):
        step.shape(A.shape)
