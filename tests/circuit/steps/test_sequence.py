"""Steps that follow one another."""

import numpy as np
import pytest

from zkinfer.circuit.steps import (
    MAX_RANK,
    MAX_TENSOR_ELEMENTS,
    Expand,
    Reshape,
    Slice,
    Transpose,
    Windows,
    apply_steps,
    apply_to_runs,
    shape_after,
)
from zkinfer.errors import ShapeError

A = np.arange(24).reshape(2, 3, 4)


def test_steps_follow_one_another() -> None:
    steps = (Transpose((1, 0, 2)), Reshape((3, 8)), Slice(1, 0, 4, 2))
    assert shape_after(steps, A.shape) == apply_steps(steps, A).shape == (3, 4)
    np.testing.assert_array_equal(apply_steps(steps, A), A.transpose(1, 0, 2).reshape(3, 8)[:, ::2])


def test_without_steps_nothing_changes() -> None:
    assert shape_after((), A.shape) == A.shape
    np.testing.assert_array_equal(apply_steps((), A), A)


def test_steps_leave_the_axis_of_runs_alone() -> None:
    np.testing.assert_array_equal(apply_to_runs([Transpose((1, 0))], A), A.transpose(0, 2, 1))


def test_each_step_must_fit_what_the_one_before_it_gives() -> None:
    with pytest.raises(ShapeError, match="does not fit"):
        shape_after((Reshape((6, 4)), Transpose((0, 1, 2))), A.shape)


def test_tensors_between_steps_have_no_more_axes_than_allowed() -> None:
    windows = (Windows(0, 1, 1, 1),) * MAX_RANK
    assert len(shape_after(windows[1:], (1,))) == MAX_RANK
    with pytest.raises(ShapeError, match="axes"):
        shape_after(windows, (1,))


def test_tensors_between_steps_have_no_more_elements_than_allowed() -> None:
    """A hostile program cannot make its reader allocate what it names, by cutting a huge tensor down again."""
    first = Slice(0, 0, 1, 1)
    assert shape_after((Expand((MAX_TENSOR_ELEMENTS,)), first), (1,)) == (1,)
    with pytest.raises(ShapeError, match="elements"):
        shape_after((Expand((MAX_TENSOR_ELEMENTS + 1,)), first), (1,))
