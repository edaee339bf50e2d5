"""A model in integers, and where its float tensors are found again in it."""

from dataclasses import dataclass

import numpy as np

from zkinfer.circuit.program import Program
from zkinfer.typing import FloatArray, IntArray


@dataclass(frozen=True)
class Layer:
    """A tensor of the float model that a value of the program stands for.

    Attributes:
        name: of the tensor in the ONNX model; its shape is the value's.
        value: number of the value in the program.
        scale, offset: the tensor is `scale * value + offset`, the value read in its own Q-format.
        saturation: smallest and largest integer that the value saturates at, where it comes from a table that
            clamps to a format; None where nothing is cut off.
    """

    name: str
    value: int
    scale: float
    offset: float
    saturation: tuple[int, int] | None

    def read(self, integers: IntArray, frac_bits: int) -> FloatArray:
        """The real tensor, float64, from the value's integers and fraction bits."""
        return self.scale * np.ldexp(integers.astype(np.float64), -frac_bits) + self.offset


@dataclass(frozen=True)
class Lowered:
    """What an ONNX model becomes.

    Attributes:
        program: the public part.
        weights: int64 contents of the program's weights, in order.
        layers: in order of execution; at most one for each tensor of the model, and none for a tensor that the
            program never holds, because it is fused into a table.
    """

    program: Program
    weights: tuple[IntArray, ...]
    layers: tuple[Layer, ...]
