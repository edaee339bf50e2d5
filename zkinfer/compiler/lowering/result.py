"""A lowered model: the integer program, its weights, which of its values stand for which float tensor, and where it
saturates."""

from dataclasses import dataclass

import numpy as np

from zkinfer.circuit.program import Program
from zkinfer.typing import Array, FloatArray, IntArray


@dataclass(frozen=True)
class Layer:
    """A tensor of the float model that a value of the program stands for.

    Attributes:
        name: of the tensor in the ONNX model; its shape is the value's.
        value: number of the value in the program.
        scale, offset: the tensor is `scale * value + offset`, the value read in its own Q-format.
        saturation: the integers at which the value saturates, where it comes from a table that clamps to a format;
            None where it does not saturate.
    """

    name: str
    value: int
    scale: float
    offset: float
    saturation: tuple[int, int] | None

    def read(self, integers: IntArray, frac_bits: IntArray) -> FloatArray:
        """The real tensor, float64, from the value's integers and their fraction bits, see `qformat.frac_bits_of`."""
        return self.scale * np.ldexp(integers.astype(np.float64), -frac_bits) + self.offset


@dataclass(frozen=True)
class Saturation:
    """Where a value of the program is an end of its format in place of the number that it stands for.

    Attributes:
        value: number of the value; the label of its tensor names the operator.
        source: number of the value that it is computed from.
        runs: the integers of the source for which that is so, as the first and the last of each run, in order.
    """

    value: int
    source: int
    runs: tuple[tuple[int, int], ...]

    def count(self, integers: IntArray) -> int:
        """How many of some integers of the source are saturated."""
        edges = np.array([edge for first, last in self.runs for edge in (first, last + 1)], dtype=np.int64)
        return int((np.searchsorted(edges, integers, side="right") & 1).sum())


@dataclass(frozen=True)
class Lowered:
    """A model as an integer program.

    Attributes:
        program: the public part.
        weights: contents of the program's weights, in order, each in the narrowest signed type that holds it.
        layers: in order of execution; at most one for each tensor of the model, and none for a tensor that is fused
            into a table, so that no value of the program stands for it.
        saturations: of every lookup that saturates for some integers, also within an operator, in order of execution.
    """

    program: Program
    weights: tuple[Array, ...]
    layers: tuple[Layer, ...]
    saturations: tuple[Saturation, ...] = ()
