"""`Reshape`: row-major order is kept."""

import numpy as np
import pytest

from zkinfer.circuit.steps import MAX_RANK, Reshape, apply_steps
from zkinfer.errors import ShapeError
from zkinfer.typing import IntArray

A = np.arange(24).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (Reshape((4, 6)), A.reshape(4, 6)),
        (Reshape((1, 24, 1)), A.reshape(1, 24, 1)),
    ],
)
def test_meaning(step: Reshape, expected: IntArray) -> None:
    assert step.shape(A.shape) == expected.shape
    np.testing.assert_array_equal(apply_steps([step], A), expected)


@pytest.mark.parametrize(
    "step",
    [
        Reshape((5, 5)),
        Reshape((-1, 6)),
        Reshape((-4, -6)),
        Reshape((24, *(1,) * MAX_RANK)),
    ],
)
def test_a_misfit_is_refused(step: Reshape) -> None:
    with pytest.raises(ShapeError, match="does not fit"):
        step.shape(A.shape)
