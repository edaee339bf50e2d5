"""`Pad`: zeros around."""

import numpy as np
import pytest

from zkinfer.circuit.steps import Pad, apply_steps
from zkinfer.errors import ShapeError
from zkinfer.typing import IntArray

A = np.arange(24).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (Pad((0, 1, 0), (2, 0, 1)), np.pad(A, ((0, 2), (1, 0), (0, 1)))),
        (Pad((0, 0, 0), (0, 0, 0)), A),
    ],
)
def test_meaning(step: Pad, expected: IntArray) -> None:
    assert step.shape(A.shape) == expected.shape
    np.testing.assert_array_equal(apply_steps([step], A), expected)


@pytest.mark.parametrize(
    "step",
    [
        Pad((0, 0), (0, 0)),
        Pad((0, 0, 0), (0, 0)),
        Pad((0, 0, -1), (0, 0, 0)),
        Pad((0, 0, 0), (0, -1, 0)),
    ],
)
def test_a_misfit_is_refused(step: Pad) -> None:
    with pytest.raises(ShapeError, match="does not fit"):
        step.shape(A.shape)
