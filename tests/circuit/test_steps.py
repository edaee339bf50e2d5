"""Re-indexing steps: the shape they promise is the shape they give, and misfits are refused."""

from typing import Any

import numpy as np
import pytest

from zkinfer.circuit.steps import (
    Expand,
    Pad,
    Reshape,
    Slice,
    Step,
    Take,
    Transpose,
    Windows,
    apply_steps,
    shape_after,
)
from zkinfer.errors import ShapeError

A = np.arange(24).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (Reshape((4, 6)), A.reshape(4, 6)),
        (Transpose((2, 0, 1)), A.transpose(2, 0, 1)),
        (Slice(2, 1, 2, 2), A[:, :, 1:4:2]),
        (Slice(1, 2, 3, -1), A[:, ::-1, :]),
        (Slice(1, 5, 0, 1), A[:, :0, :]),
        (Pad((0, 1, 0), (2, 0, 1)), np.pad(A, ((0, 2), (1, 0), (0, 1)))),
        (Take(0, (1, 1, 0)), A[[1, 1, 0]]),
        (Windows(2, 2, 2, 1), np.stack([A[:, :, 0:2], A[:, :, 2:4]], axis=2)),
        (Windows(2, 2, 1, 3), np.stack([A[:, :, [0, 3]]], axis=2)),
    ],
)
def test_meaning(step: Step, expected: np.ndarray[Any, Any]) -> None:
    assert step.shape(A.shape) == expected.shape
    np.testing.assert_array_equal(step.apply(A), expected)


def test_expand_repeats_axes_of_size_one() -> None:
    column = A[:, :1, :]
    assert Expand((2, 5, 4)).shape(column.shape) == (2, 5, 4)
    np.testing.assert_array_equal(Expand((2, 5, 4)).apply(column), np.repeat(column, 5, axis=1))


def test_steps_follow_one_another() -> None:
    steps = (Transpose((1, 0, 2)), Reshape((3, 8)), Slice(1, 0, 4, 2))
    assert shape_after(steps, A.shape) == apply_steps(steps, A).shape == (3, 4)


@pytest.mark.parametrize(
    "step",
    [
        Reshape((5, 5)),
        Reshape((-1, 6)),
        Transpose((0, 1)),
        Transpose((0, 1, 1)),
        Slice(3, 0, 1, 1),
        Slice(0, 0, 3, 1),
        Slice(0, -1, 1, 1),
        Slice(0, 0, 1, 0),
        Slice(0, 1, 3, -1),
        Pad((0, 0), (0, 0)),
        Pad((0, 0, -1), (0, 0, 0)),
        Expand((2, 3, 5)),
        Expand((2, 3)),
        Windows(2, 5, 1, 1),
        Windows(2, 2, 0, 1),
        Windows(2, 2, 1, 4),
        Windows(-1, 1, 1, 1),
        Take(0, (2,)),
        Take(0, (-1,)),
        Take(7, (0,)),
    ],
)
def test_a_misfit_is_refused(step: Step) -> None:
    with pytest.raises(ShapeError, match="does not fit"):
        step.shape(A.shape)
