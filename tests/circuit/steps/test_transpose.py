"""`Transpose`: axes in another order."""

import numpy as np
import pytest

from zkinfer.circuit.steps import Transpose, apply_steps
from zkinfer.errors import ShapeError
from zkinfer.typing import IntArray

A = np.arange(24).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (Transpose((2, 0, 1)), A.transpose(2, 0, 1)),
        (Transpose((0, 1, 2)), A),
    ],
)
def test_meaning(step: Transpose, expected: IntArray) -> None:
    assert step.shape(A.shape) == expected.shape
    np.testing.assert_array_equal(apply_steps([step], A), expected)


@pytest.mark.parametrize(
    "step",
    [
        Transpose((0, 1)),
        Transpose((0, 1, 1)),
        Transpose((0, 1, 3)),
        Transpose((-1, 0, 1)),
    ],
)
def test_a_misfit_is_refused(step: Transpose) -> None:
    with pytest.raises(ShapeError, match="does not fit"):
        step.shape(A.shape)
