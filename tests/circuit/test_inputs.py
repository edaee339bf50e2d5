"""Inputs are checked before anything is computed, and handed on as int64."""

import numpy as np
import pytest

from zkinfer.circuit.inputs import check_inputs
from zkinfer.circuit.program import PROGRAM_VERSION, Program, Tensor
from zkinfer.errors import InputRangeError, ShapeError

PROGRAM = Program(PROGRAM_VERSION, (Tensor("x", (2,), 0, -8, 7), Tensor("y", (), 0, 0, 2**40)), (), (), (), (0,))


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", ">i4", "i8", ">u8"])
def test_integers_of_any_type_become_int64(dtype: str) -> None:
    checked = check_inputs(PROGRAM, [np.array([[1, 2]], dtype=dtype), np.array([3], dtype=dtype)])
    assert [array.dtype for array in checked] == [np.int64, np.int64]
    assert [array.tolist() for array in checked] == [[[1, 2]], [3]]


def test_no_runs_are_taken() -> None:
    checked = check_inputs(PROGRAM, [np.zeros((0, 2), dtype=np.int64), np.zeros(0, dtype=np.int64)])
    assert [array.shape for array in checked] == [(0, 2), (0,)]


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(1, 2)], "takes 2 inputs, got 1"),
        ([(1, 2), (1,), (1,)], "takes 2 inputs, got 3"),
        ([(2,), (1,)], r"input 'x' takes shape \(runs, \*\(2,\)\), got \(2,\)"),
        ([(1, 3), (1,)], "input 'x' takes shape"),
        ([(1, 2), ()], "input 'y' takes shape"),
        ([(1, 2), (1, 1)], "input 'y' takes shape"),
        ([(1, 2), (3,)], "inputs of 1, 3 runs do not go together"),
    ],
)
def test_other_shapes_are_refused(shapes: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        check_inputs(PROGRAM, [np.zeros(shape, dtype=np.int64) for shape in shapes])


@pytest.mark.parametrize(("wrong", "label"), [(([8, 0], 0), "x"), (([0, -9], 0), "x"), (([0, 0], 2**40 + 1), "y")])
def test_elements_outside_the_bounds_are_refused(wrong: tuple[list[int], int], label: str) -> None:
    with pytest.raises(InputRangeError, match=f"input '{label}' takes integers from"):
        check_inputs(PROGRAM, [np.array([wrong[0]]), np.array([wrong[1]])])
