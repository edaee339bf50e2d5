"""From what the caller and the proof say to the integers of the statement.

Inputs are the caller's, quantized to the circuit's grid. Outputs are those that the proof claims, once they fit the
program; where the caller states outputs too, both must be the same numbers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from zkinfer.circuit.program import Program, Tensor
from zkinfer.circuit.qformat import as_arrays, dequantize, quantize
from zkinfer.errors import InvalidInputError, MalformedProofError, StatementError
from zkinfer.proof import OutputTensor

IntArray = npt.NDArray[np.int64]
Values = npt.ArrayLike | Sequence[npt.ArrayLike] | Mapping[str, npt.ArrayLike]


def _arrays(values: Any, tensors: Sequence[Tensor], what: str) -> list[npt.NDArray[Any]]:
    """One array a tensor, of its exact shape; a batch axis of size 1 may be left out."""
    try:
        arrays = as_arrays(values, [tensor.label for tensor in tensors])
    except InvalidInputError as error:
        raise StatementError(f"{what}: {error}") from None
    shaped = []
    for tensor, array in zip(tensors, arrays, strict=True):
        if tensor.shape[:1] == (1,) and array.shape == tensor.shape[1:]:
            array = array[None]
        if array.shape != tensor.shape:
            raise StatementError(
                f"{what} {tensor.label!r} has shape {array.shape}, but the commitment is for shape {tensor.shape}"
            )
        shaped.append(array)
    return shaped


def quantized_inputs(inputs: Values, program: Program, *, saturate: bool) -> list[IntArray]:
    """The caller's inputs on the circuit's grid.

    Args:
        inputs: real numbers: an array (for a single input), a sequence of one array an input, or a mapping from
            labels to arrays.
        program: gives shapes, formats and bounds.
        saturate: clip values that are out of bounds instead of refusing them.

    Raises:
        StatementError: wrong shape or dtype, NaN or infinity, out of bounds.
    """
    arrays = _arrays(inputs, program.inputs, "input")
    try:
        return [quantize(a, tensor, saturate=saturate) for a, tensor in zip(arrays, program.inputs, strict=True)]
    except InvalidInputError as error:
        raise StatementError(f"input {error}") from None


def claimed_outputs(claims: Sequence[OutputTensor], program: Program) -> list[IntArray]:
    """The outputs that a proof claims, as integers.

    Raises:
        MalformedProofError: they cannot be outputs of this program.
    """
    tensors = program.output_tensors
    if len(claims) != len(tensors):
        raise MalformedProofError(f"the proof claims {len(claims)} outputs; the program has {len(tensors)}")
    arrays = []
    for claim, tensor in zip(claims, tensors, strict=True):
        if claim.shape != tensor.shape or claim.frac_bits != tensor.frac_bits:
            raise MalformedProofError(
                f"the proof claims an output of shape {claim.shape} with {claim.frac_bits} fraction bits; "
                f"the program's has shape {tensor.shape} with {tensor.frac_bits}"
            )
        if len(claim.values) != tensor.size or not all(tensor.lo <= value <= tensor.hi for value in claim.values):
            raise MalformedProofError("the proof claims output values outside the bounds that the program proves")
        arrays.append(np.array(claim.values, dtype=np.int64).reshape(tensor.shape))
    return arrays


def compare_outputs(outputs: Values, claimed: Sequence[IntArray], program: Program) -> None:
    """Hold the outputs that the caller states against those that the proof claims, exactly.

    Raises:
        StatementError: wrong shape, or a number that differs; the message names the first.
    """
    tensors = program.output_tensors
    for given, integers, tensor in zip(_arrays(outputs, tensors, "output"), claimed, tensors, strict=True):
        expected = dequantize(integers, tensor)
        differs = given.astype(np.float64) != expected
        if differs.any():
            index = tuple(int(i) for i in np.argwhere(differs)[0])
            raise StatementError(
                f"output {tensor.label!r} at index {index}: stated {float(given[index])!r}, but the proof is for "
                f"{float(expected[index])!r} ({int(differs.sum())} of {differs.size} values differ)"
            )
