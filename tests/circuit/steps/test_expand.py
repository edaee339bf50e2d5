"""`Expand`: axes of size 1 are repeated."""

import numpy as np
import pytest

from zkinfer.circuit.steps import Expand, apply_steps
from zkinfer.errors import ShapeError
from zkinfer.typing import IntArray

A = np.arange(8).reshape(2, 1, 4)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (Expand((2, 5, 4)), np.repeat(A, 5, axis=1)),
        (Expand((2, 1, 4)), A),
        (Expand((2, 0, 4)), A[:, :0]),
    ],
)
def test_meaning(step: Expand, expected: IntArray) -> None:
    assert step.shape(A.shape) == expected.shape
    np.testing.assert_array_equal(apply_steps([step], A), expected)


@pytest.mark.parametrize(
    "step",
    [
        Expand((2, 1, 5)),
        Expand((2, 1)),
        Expand((2, 1, 4, 1)),
        Expand((2, -1, 4)),
    ],
)
def test_a_misfit_is_refused(step: Expand) -> None:
    with pytest.raises(ShapeError, match="does not fit"):
        step.shape(A.shape)
