"""What an item is to a circuit: shapes, integers, and which items the circuit cannot take.

An item is one sample. A circuit that was compiled for a batch of b runs b items at a time; its proofs cover any number
of items, the last run filled up with items from the front.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from zkinfer.circuit.program import Program, Tensor
from zkinfer.circuit.qformat import as_array, quantize, saturated
from zkinfer.circuit.samples import batch_of, into_runs
from zkinfer.errors import InvalidInputError, ShapeError
from zkinfer.files.artifact import one_line
from zkinfer.typing import IntArray


class ItemShapes:
    """The inputs of an item.

    Attributes:
        of: for each input's label, in the program's order, the shape of one item's values.

    Raises:
        InvalidInputError: an input or output of the program belongs to a whole batch, and not to its samples.
    """

    def __init__(self, program: Program) -> None:
        batch = batch_of(program)
        self.of: Mapping[str, tuple[int, ...]] = {tensor.label: item_shape(tensor, batch) for tensor in program.inputs}
        for tensor in program.output_tensors:
            item_shape(tensor, batch)

    def only(self, who: str) -> str:
        """The label of the only input.

        Raises:
            InvalidInputError: there are several.
        """
        if len(self.of) > 1:
            raise InvalidInputError(f"{who} holds one array; this model takes {list(self.of)}: use .npz")
        return next(iter(self.of))

    def find(self, names: Sequence[str]) -> list[str | None]:
        """For each input the name that stands for it: its label, or the only name for the only input."""
        if len(self.of) == len(names) == 1:
            return [names[0]]
        return [label if label in names else None for label in self.of]


def item_shape(tensor: Tensor, batch: int) -> tuple[int, ...]:
    """The shape of one item's part of a tensor.

    Raises:
        InvalidInputError: the tensor belongs to a whole batch of several, and not to its samples.
    """
    if tensor.shape[:1] == (batch,):
        return tensor.shape[1:]
    if batch == 1:
        return tensor.shape
    raise InvalidInputError(
        f"{tensor.label!r} has shape {tensor.shape} in a circuit for batches of {batch}: it belongs to no single item; "
        "compile with batch=1"
    )


class Quantized(NamedTuple):
    """Items as the circuit takes them.

    Attributes:
        integers: for each input int64 of shape (good items, *item shape).
        reasons: for each other item, by its position, why the circuit cannot take it, in one line.
        clipped: how many values of the good items became the nearest bound.
    """

    integers: list[IntArray]
    reasons: dict[int, str]
    clipped: int


def quantize_items(columns: Sequence[Any], program: Program, *, saturate: bool) -> Quantized:
    """The integers of some items, and what is wrong with the others.

    Args:
        columns: one an input, as `inputs.Block`.
        program: of the circuit.
        saturate: values beyond the calibrated range become the nearest bound.
    """
    shapes = list(ItemShapes(program).of.values())
    try:
        found = [
            _quantize(column, (len(column),), shape, tensor, saturate)
            for column, shape, tensor in zip(columns, shapes, program.inputs, strict=True)
        ]
    except InvalidInputError:
        return _one_by_one(columns, shapes, program, saturate)
    return Quantized([integers for integers, _ in found], {}, sum(clipped for _, clipped in found))


def _one_by_one(
    columns: Sequence[Any], shapes: Sequence[tuple[int, ...]], program: Program, saturate: bool
) -> Quantized:
    good: list[list[IntArray]] = [[] for _ in shapes]
    reasons: dict[int, str] = {}
    clipped = 0
    for position, item in enumerate(zip(*columns, strict=True)):
        try:
            found = [
                _quantize(value, (), shape, tensor, saturate)
                for value, shape, tensor in zip(item, shapes, program.inputs, strict=True)
            ]
        except InvalidInputError as error:
            reasons[position] = one_line(error)
            continue
        for rows, (array, outside) in zip(good, found, strict=True):
            rows.append(array)
            clipped += outside
    arrays = [
        np.stack(rows) if rows else np.zeros((0, *shape), dtype=np.int64)
        for rows, shape in zip(good, shapes, strict=True)
    ]
    return Quantized(arrays, reasons, clipped)


def _quantize(
    value: Any, lead: tuple[int, ...], shape: tuple[int, ...], tensor: Tensor, saturate: bool
) -> tuple[IntArray, int]:
    """Integers of one item (no lead) or of several (their number), of shape (*lead, *shape), and how many were clipped.

    Raises:
        InvalidInputError: no numbers, another shape, or out of range.
    """
    if isinstance(value, InvalidInputError):
        raise value
    array = as_array(value)
    if array.shape == (*lead, math.prod(shape)):
        array = array.reshape(*lead, *shape)
    if array.shape != (*lead, *shape):
        raise ShapeError(f"{tensor.label!r} takes items of shape {shape}, got {array.shape[len(lead) :]}")
    return saturated(array, tensor) if saturate else (quantize(array, tensor), 0)


def as_runs(integers: Sequence[IntArray], program: Program) -> list[IntArray]:
    """Items as runs of the circuit: int64 of shape (runs, *tensor.shape) an input, at least one item."""
    batch = batch_of(program)
    return [
        into_runs(array, batch).reshape(-1, *tensor.shape)
        for array, tensor in zip(integers, program.inputs, strict=True)
    ]
