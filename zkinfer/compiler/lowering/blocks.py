"""Scores in blocks of rows and columns, without the blocks that a constant mask leaves nothing of.

Of causal scores half are masked. Cut into `strips` times `strips` blocks, they need the blocks on and below the
diagonal alone: (strips + 1) / (2 strips) of all. What is looked up of scores is looked up of these blocks; sums and
products see all scores, with zeros where there is no block.
"""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from zkinfer.circuit.steps import Pad, Reshape, Step, Take, Transpose
from zkinfer.compiler.lowering.activation import Activation, Constant, Operand
from zkinfer.compiler.lowering.builder import ProgramValue, Summand
from zkinfer.compiler.lowering.emitter import Emitter

STRIPS = (8, 4, 2)
BOX = 1024
"""A box of the tensor that holds the blocks costs as much as so many elements of it."""


class Blocks(NamedTuple):
    """The blocks of a tensor's last two axes of which something is kept.

    Attributes:
        shape: of the tensor.
        strips: into how many each of the two axes is cut.
        kept: the numbers of the blocks, row by row.
    """

    shape: tuple[int, ...]
    strips: int
    kept: tuple[int, ...]

    @property
    def size(self) -> int:
        """Elements of the blocks."""
        return math.prod(self.shape) * len(self.kept) // self.strips**2

    def packed(self, g: Emitter, a: Activation) -> Activation:
        """The blocks of a tensor along one axis, of shape (others, blocks, rows, columns)."""
        return g.reindex(a, *self.packing())

    def packing(self) -> tuple[Step, ...]:
        """The steps from a tensor to its blocks."""
        others, rows, columns = self._sizes
        n = self.strips
        return (
            Reshape((others, n, rows, n, columns)),
            Transpose((0, 1, 3, 2, 4)),
            Reshape((others, n * n, rows, columns)),
            Take(1, self.kept),
        )

    def unpacked(self, g: Emitter, value: ProgramValue, coefficient: Fraction = Fraction(1)) -> ProgramValue:
        """The tensor of some blocks, with zeros in all others."""
        others, rows, columns = self._sizes
        n, last = self.strips, len(self.kept)
        places = {block: place for place, block in enumerate(self.kept)}
        steps: tuple[Step, ...] = (
            Pad((0, 0, 0, 0), (0, 1, 0, 0)),
            Take(1, tuple(places.get(block, last) for block in range(n * n))),
            Reshape((others, n, n, rows, columns)),
            Transpose((0, 1, 3, 2, 4)),
            Reshape(self.shape),
        )
        return g.builder.combine(g.label, [Summand(value, coefficient, steps)])

    @property
    def _sizes(self) -> tuple[int, int, int]:
        """Of the other axes together, and of a block."""
        *others, rows, columns = self.shape
        return math.prod(others), rows // self.strips, columns // self.strips


def blocks_of(kept: Operand | None, shape: tuple[int, ...]) -> Blocks | None:
    """The blocks of scores that a constant mask keeps; None if all have to be looked up, or if that costs less.

    Args:
        kept: 1 where a score counts; broadcast to the scores by numpy's rules.
        shape: of the scores.
    """
    if not isinstance(kept, Constant) or len(shape) < 2 or any(n > 1 for n in kept.shape[:-2]):
        return None
    mask = np.broadcast_to(kept.array.astype(bool).reshape(kept.shape[-2:]), shape[-2:])
    best, least = None, math.prod(shape) + BOX
    for strips in STRIPS:
        if any(n % strips or n == strips for n in shape[-2:]):
            continue
        parts = mask.reshape(strips, shape[-2] // strips, strips, shape[-1] // strips)
        found = Blocks(shape, strips, tuple(np.flatnonzero(parts.any(axis=(1, 3))).tolist()))
        cost = found.size + BOX * len(found.kept).bit_count()
        if cost < least:
            best, least = found, cost
    return best
