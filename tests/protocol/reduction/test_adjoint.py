"""Index maps backwards, on weights small enough to see where each goes; `circuit/steps` tries every step at random."""

import numpy as np
import pytest

from zkinfer.circuit.steps import (
    Expand,
    Gather,
    Listed,
    Pad,
    Reshape,
    Shape,
    Slice,
    Step,
    Strided,
    Take,
    Transpose,
    Windows,
)
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, Ext
from zkinfer.protocol.reduction import adjoint as under_test
from zkinfer.protocol.reduction.factors import ones
from zkinfer.typing import IntArray


def base(values: list[int] | list[list[int]]) -> IntArray:
    """Extension elements that are base elements, as an extension array."""
    array = np.array(values, dtype=np.int64)
    return np.stack([array, np.zeros_like(array), np.zeros_like(array)])


def adjoint(step: Step, factors: list[IntArray], shape: Shape) -> tuple[list[IntArray], Ext]:
    """The adjoint of the step's index map."""
    return under_test.adjoint(step.move(shape).index_map, factors, shape)


@pytest.mark.parametrize(
    ("step", "weights", "size", "expected"),
    [
        (Slice(0, 1, 2, 2), [5, 7], 5, [0, 5, 0, 7, 0]),
        (Slice(0, 2, 3, -1), [5, 6, 7], 3, [7, 6, 5]),
        (Slice(0, 0, 0, 1), [], 3, [0, 0, 0]),
        (Take(0, (2, 0, 2)), [5, 6, 7], 4, [6, 0, 12, 0]),
        (Take(0, (1, 1, 1)), [P - 1, P - 1, 3], 2, [0, 1]),
        (Take(0, ()), [], 2, [0, 0]),
        (Pad((1,), (2,)), [4, 5, 6, 7, 8], 2, [5, 6]),
        (Expand((3,)), [5, 6, P - 1], 1, [10]),
        (Expand((3,)), [5, 6, 7], 3, [5, 6, 7]),
        (Reshape((3,)), [5, 6, 7], 3, [5, 6, 7]),
        (Transpose((0,)), [5, 6, 7], 3, [5, 6, 7]),
    ],
)
def test_steps_along_one_axis(step: Step, weights: list[int], size: int, expected: list[int]) -> None:
    """Elements that are dropped have no weight, elements that are repeated the sum of their copies' weights."""
    factors, scale = adjoint(step, [ones(1), base(weights)], (size,))
    assert scale == ONE
    assert [f.tolist() for f in factors] == [ones(1).tolist(), base(expected).tolist()]


def test_windows_add_up_where_they_overlap() -> None:
    """Windows (0, 1), (1, 2), (2, 3), positions weighed by 1, 10, 100 and places within them by 1, 2."""
    factors, _ = adjoint(Windows(0, 2, 1, 1), [ones(1), base([1, 10, 100]), base([1, 2])], (4,))
    assert [f.tolist() for f in factors[1:]] == [base([1, 2 + 10, 20 + 100, 200]).tolist()]


def test_windows_with_gaps_leave_elements_without_weight() -> None:
    """Windows (0, 2), (3, 5) of 7 elements."""
    factors, _ = adjoint(Windows(0, 2, 3, 2), [ones(1), base([[1, 2], [3, 4]])], (7,))
    assert [f.tolist() for f in factors[1:]] == [base([1, 0, 2, 3, 0, 4, 0]).tolist()]


def test_windows_along_an_inner_axis_leave_the_other_factors_as_they_are() -> None:
    other = base([3, 4])
    factors, _ = adjoint(Windows(1, 2, 1, 1), [ones(1), other, base([1, 10]), base([1, 2]), other], (2, 3, 2))
    assert [f.shape for f in factors] == [(3, 1), (3, 2), (3, 3), (3, 2)]
    assert factors[1] is other
    assert factors[3] is other


def test_a_transposed_factor_of_two_axes_is_transposed_alone() -> None:
    factors, _ = adjoint(Transpose((2, 1, 0)), [ones(1), base([[1, 2], [3, 4]]), base([5, 6, 7])], (3, 2, 2))
    assert [f.tolist() for f in factors[1:]] == [base([5, 6, 7]).tolist(), base([[1, 3], [2, 4]]).tolist()]


def test_axes_that_a_transposition_interleaves_become_one_factor() -> None:
    """Weights over result axes (0, 1), not a product, of which axis 2 comes between at the source."""
    interleaved = base([[1, 2], [3, 5]])
    factors, _ = adjoint(Transpose((0, 2, 1)), [ones(1), interleaved, base([10, 100])], (2, 2, 2))
    expected = [[[10, 20], [100, 200]], [[30, 50], [300, 500]]]
    assert [f.tolist() for f in factors[1:]] == [
        np.stack([expected, np.zeros((2, 2, 2)), np.zeros((2, 2, 2))]).tolist()
    ]


def test_the_axis_of_runs_is_never_touched() -> None:
    """Also where it shares a factor with the axis that is."""
    factors, _ = adjoint(Slice(0, 1, 1, 1), [base([[5], [6]])], (2,))
    assert [f.tolist() for f in factors] == [base([[0, 5], [0, 6]]).tolist()]
    factors, _ = adjoint(Expand((2,)), [base([[5, 6], [7, 8]])], (1,))
    assert [f.tolist() for f in factors] == [base([[11], [15]]).tolist()]


def test_a_scalar_that_was_given_axes() -> None:
    factors, scale = adjoint(Reshape((1, 1)), [base([5, 6]), base([7]), base([1])], ())
    assert [f.tolist() for f in factors] == [base([5, 6]).tolist()]
    assert scale == (7, 0, 0)


def test_several_axes_are_restored_each_in_its_position() -> None:
    """Axis 0 became windows of 2, axis 1 was summed over, of axis 2 places 2 and 0 were taken."""
    along: dict[int, Strided | Listed] = {0: Strided(0, (2, 2), (1, 1)), 1: Strided(0, (3,), (0,)), 2: Listed((2, 0))}
    factors = [ones(1), base([[1, 2], [4, 8]]), base([1, 10, 100]), base([3, 5])]
    restored, scale = under_test.adjoint(Gather(along), factors, (3, 1, 3))
    assert scale == ONE
    expected = [base([1, 6, 8]), base([111]), base([5, 0, 3])]
    assert [f.tolist() for f in restored[1:]] == [f.tolist() for f in expected]
