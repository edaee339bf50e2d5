"""`Take`: listed elements along one axis."""

import numpy as np
import pytest

from zkinfer.circuit.steps import Take, apply_steps
from zkinfer.errors import ShapeError
from zkinfer.typing import IntArray

A = np.arange(24).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (Take(0, (1, 1, 0)), A[[1, 1, 0]]),
        (Take(2, (3,)), A[:, :, 3:]),
        (Take(1, ()), A[:, :0]),
    ],
)
def test_meaning(step: Take, expected: IntArray) -> None:
    assert step.shape(A.shape) == expected.shape
    np.testing.assert_array_equal(apply_steps([step], A), expected)


@pytest.mark.parametrize(
    "step",
    [
        Take(0, (2,)),
        Take(0, (-1,)),
        Take(0, (0, 2**63 - 1)),
        Take(7, (0,)),
        Take(-1, (0,)),
    ],
)
def test_a_misfit_is_refused(step: Take) -> None:
    with pytest.raises(ShapeError, match="does not fit"):
        step.shape(A.shape)
