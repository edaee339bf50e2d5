"""Inputs of a program, checked before anything is computed from them."""

from collections.abc import Sequence

import numpy as np

from zkinfer.circuit.program import Program
from zkinfer.errors import InputRangeError, ShapeError
from zkinfer.typing import IntArray


def check_inputs(program: Program, inputs: Sequence[IntArray]) -> list[IntArray]:
    """The inputs as int64 arrays of shape (runs, *shape), shapes and bounds checked.

    Raises:
        ShapeError: a wrong number of inputs, a wrong shape, or inputs of different numbers of runs.
        InputRangeError: a value outside the input's bounds.
    """
    if len(inputs) != len(program.inputs):
        raise ShapeError(f"the circuit takes {len(program.inputs)} inputs, got {len(inputs)}")
    checked = []
    for tensor, array in zip(program.inputs, inputs, strict=True):
        if not array.ndim or array.shape[1:] != tensor.shape:
            raise ShapeError(f"input {tensor.label!r} takes shape (runs, *{tensor.shape}), got {array.shape}")
        if array.size and (int(array.min()) < tensor.lo or int(array.max()) > tensor.hi):
            raise InputRangeError(
                f"input {tensor.label!r} takes integers from {tensor.lo} to {tensor.hi}, "
                f"got {int(array.min())} to {int(array.max())}"
            )
        checked.append(array.astype(np.int64, copy=False))
    if len({len(array) for array in checked}) > 1:
        raise ShapeError(f"inputs of {', '.join(str(len(array)) for array in checked)} runs do not go together")
    return checked
