"""`Windows`: one axis becomes position and place of a sliding window."""

import numpy as np
import pytest

from zkinfer.circuit.steps import Windows, apply_steps
from zkinfer.errors import ShapeError
from zkinfer.typing import IntArray

A = np.arange(24).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (Windows(2, 2, 2, 1), np.stack([A[:, :, 0:2], A[:, :, 2:4]], axis=2)),
        (Windows(2, 2, 1, 3), np.stack([A[:, :, [0, 3]]], axis=2)),
        (Windows(0, 1, 1, 9), A[:, None]),
    ],
)
def test_meaning(step: Windows, expected: IntArray) -> None:
    assert step.shape(A.shape) == expected.shape
    np.testing.assert_array_equal(apply_steps([step], A), expected)


@pytest.mark.parametrize(
    "step",
    [
        Windows(2, 5, 1, 1),
        Windows(2, 0, 1, 1),
        Windows(2, 2, 0, 1),
        Windows(2, 2, 1, 0),
        Windows(2, 2, 1, 4),
        Windows(-1, 1, 1, 1),
        Windows(3, 1, 1, 1),
    ],
)
def test_a_misfit_is_refused(step: Windows) -> None:
    with pytest.raises(ShapeError, match="does not fit"):
        step.shape(A.shape)
