"""How committed tensors lie in a matrix, and which matrices a proof is about.

Every tensor is covered with boxes of power-of-two sizes, and all boxes of a matrix are stacked, the largest first, in
row-major order. A box of at least a row begins at a row; smaller ones share the rows at the end, the tail.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from zkinfer.circuit.program import Program
from zkinfer.protocol.lookup.params import Stack
from zkinfer.protocol.reduction.boxes import Box, Cut, cover, pieces
from zkinfer.typing import Array, IntArray


@dataclass(frozen=True)
class Layout:
    """The places of some tensors in one stack.

    Attributes:
        cuts: for each tensor its boxes; its shape includes the axis of runs.
    """

    cuts: tuple[Cut, ...]

    @cached_property
    def _stack(self) -> Stack:
        return Stack(tuple(box.total for part in self.cuts for box in part.boxes))

    @cached_property
    def offsets(self) -> tuple[tuple[int, ...], ...]:
        """For each tensor, for each of its boxes, the first cell."""
        flat = iter(self._stack.offsets)
        return tuple(tuple(next(flat) for _ in part.boxes) for part in self.cuts)

    @property
    def cells(self) -> int:
        """Cells of all tensors."""
        return self._stack.filled

    def rows(self, log_columns: int) -> int:
        """Rows of the matrix with 2^log_columns columns."""
        return -(-self.cells >> log_columns)

    def tail(self, log_columns: int) -> int:
        """The first cell of the boxes smaller than a row: where their rows begin."""
        return self._filled[min(log_columns, len(self._filled) - 1)]

    @cached_property
    def _filled(self) -> tuple[int, ...]:
        """For each k, up to the first that is larger than any box, the cells of boxes of 2^k cells or more."""
        sizes = self._stack.sizes
        return tuple(sum(1 << k for k in sizes if k >= least) for least in range(max(sizes, default=-1) + 2))

    def fill(self, tensors: Sequence[Array], stack: Array, padding: int | None = None) -> None:
        """Write tensors into a stack: a flat array of `cells` elements or more.

        Args:
            tensors: of the shapes of `cuts`.
            stack: where they go.
            padding: what stands behind tensors on axes that are lengthened. None for a tensor's first element, which is
                in any range that the tensor is in.
        """
        for part, tensor, offsets in zip(self.cuts, tensors, self.offsets, strict=True):
            behind = tensor.flat[0] if padding is None else padding
            for box, offset in zip(part.boxes, offsets, strict=True):
                stack[offset : offset + (1 << box.total)] = part.take(tensor, box, behind)


@dataclass(frozen=True)
class RowBlock:
    """Whole rows of a matrix that a sumcheck runs over: one box, or a piece of the tail.

    Attributes:
        start: the first cell.
        variables: there are 2^variables cells.
    """

    start: int
    variables: int

    @property
    def cells(self) -> slice:
        """The cells in the stack."""
        return slice(self.start, self.start + (1 << self.variables))


def block_of(layout: Layout, box: Box, offset: int, log_columns: int) -> RowBlock:
    """The block of rows that a box belongs to."""
    if box.total >= log_columns:
        return RowBlock(offset, box.total)
    tail = layout.tail(log_columns)
    for piece in pieces(layout.rows(log_columns) - (tail >> log_columns)):
        start, variables = tail + (piece.start << log_columns), piece.variables + log_columns
        if start <= offset < start + (1 << variables):
            return RowBlock(start, variables)
    raise AssertionError("every box lies in the rows")


def weight_layout(program: Program) -> Layout:
    """The layout of a program's weights, each with an axis of one run in front."""
    return Layout(tuple(cover((1, *tensor.shape)) for tensor in program.weights))


def weight_rows(program: Program, log_columns: int) -> int:
    """Rows of the matrix of a program's weights."""
    return weight_layout(program).rows(log_columns)


def weight_matrix(program: Program, weights: Sequence[IntArray], log_columns: int) -> Array:
    """The matrix of a program's weights: shape (rows, 2^log_columns), of the least of int8, int16 and int64.

    It does not depend on how wide the integers are that hold the weights, and nothing as large as a weight is made.
    Behind a weight on axes that are lengthened stand zeros.
    """
    layout = weight_layout(program)
    ends = (end for weight in weights for end in (int(weight.max(initial=0)), -int(weight.min(initial=0))))
    largest = max(ends, default=0)
    dtype = np.int8 if largest < 1 << 7 else np.int16 if largest < 1 << 15 else np.int64
    matrix = np.zeros((layout.rows(log_columns), 1 << log_columns), dtype=dtype)
    layout.fill([weight[None] for weight in weights], matrix.reshape(-1), padding=0)
    return matrix
