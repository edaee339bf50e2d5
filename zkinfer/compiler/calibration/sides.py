"""On which sides of the constants that a model compares it with the values of a tensor lie.

Fixed point could bring a threshold and a value that are different numbers to one integer. The nearest values on both
sides of each threshold tell where an integer threshold has to be.
"""

import numpy as np
import onnx_ir

from zkinfer.compiler.calibration.float_model import is_float
from zkinfer.compiler.lowering.thresholds import STRICT, Sides
from zkinfer.typing import Array, FloatArray


class SidesAccumulator:
    """The sides of one comparison's constant, from values that are added part by part.

    Args:
        node: the comparison, see `thresholds_of`.
        thresholds: its constant.
    """

    def __init__(self, node: onnx_ir.Node, thresholds: FloatArray) -> None:
        self.name = node.inputs[0].name or "" if node.inputs[0] is not None else ""
        self._strict, self._thresholds = STRICT[node.op_type], thresholds
        self._below = np.full(thresholds.shape, -np.inf)
        self._above = np.full(thresholds.shape, np.inf)
        self._at_below = np.zeros(thresholds.shape, dtype=np.int64)
        self._at_above = np.zeros(thresholds.shape, dtype=np.int64)

    def add(self, array: Array) -> None:
        """Add some runs of the tensor that is compared: shape (runs, batch, ...)."""
        samples = array.reshape(-1, *array.shape[2:])
        for at in range(0, len(samples), _PART):
            self._add(samples[at : at + _PART].astype(np.float64))

    def _add(self, x: FloatArray) -> None:
        lower = x < self._thresholds if self._strict else x <= self._thresholds
        below = np.where(lower, x, -np.inf)
        above = np.where(lower, np.inf, x)
        nearest = np.maximum(below.max(axis=0, keepdims=True), self._below)
        self._at_below = (self._below == nearest) * self._at_below + (lower & (x == nearest)).sum(0, keepdims=True)
        self._below = nearest
        nearest = np.minimum(above.min(axis=0, keepdims=True), self._above)
        self._at_above = (self._above == nearest) * self._at_above + (~lower & (x == nearest)).sum(0, keepdims=True)
        self._above = nearest

    def finish(self) -> Sides:
        """The sides."""
        return Sides(self._thresholds, self._below, self._above, self._at_below, self._at_above)


_PART = 64
"""Samples that are compared at once: forests have many thresholds."""


def thresholds_of(node: onnx_ir.Node) -> FloatArray | None:
    """What a comparison of a float tensor with a constant compares it with, in its shape but for a batch of one.

    None for other nodes, and for a constant that differs along the batch.
    """
    if node.op_type not in STRICT or node.domain not in ("", "ai.onnx"):
        return None
    x, constant = node.inputs
    if x is None or constant is None or constant.const_value is None or not is_float(x) or x.shape is None:
        return None
    shape, array = x.shape.numpy(), constant.const_value.numpy().astype(np.float64)
    if len(shape) < max(array.ndim, 1) or (array.ndim == len(shape) and array.shape[0] > 1):
        return None
    if np.broadcast_shapes(shape, array.shape) != shape:
        return None
    return np.broadcast_to(array, (1, *shape[1:])).copy()
