"""The format of a model's input: one for all of it, or one for each feature.

Features of a table have units of their own, and trees compare them with thresholds: an input of a forest is as wide as
it has to be for the integers of different values to differ.
"""

import math
from collections.abc import Iterator, Mapping

import numpy as np
import onnx_ir

from zkinfer.compiler.calibration.calibrate import TensorStats
from zkinfer.compiler.calibration.float_model import static_shape
from zkinfer.compiler.lowering.activation import Activation, Constant, Scaled
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.lowering.precision import Format, input_format
from zkinfer.compiler.lowering.scaled import feature_formats, is_uneven, scaled_input
from zkinfer.compiler.lowering.thresholds import Sides, separates
from zkinfer.typing import Array, IntArray

MIN_VALUES = 16
"""Samples below which the range of a feature says nothing about its unit."""


def input_of(g: Emitter, value: onnx_ir.Value, stats: TensorStats, sides: Mapping[str, Sides]) -> Activation | Scaled:
    """An input of real numbers.

    Args:
        g: emits it.
        value: the model's input.
        stats: its statistics on calibration data.
        sides: of the model's comparisons.
    """
    name, shape = value.name or "", static_shape(value)
    bits = g.precision.activation_bits_of(name)
    limit = bits if name in g.precision.tensors else g.accumulator_bits - 2
    whole = stats.lo, stats.hi
    found = _comparisons(value, np.arange(shape[1])) if len(shape) == 2 else ()
    compared = [(places, sides[result]) for places, result in found if result in sides]
    if compared:
        ranges = stats.channels[-1]
        if _all_separate([input_format(*whole, bits)] * len(ranges), compared):
            return g.input(name, shape, whole)
        width = next((w for w in range(bits, limit) if _all_separate(feature_formats(ranges, w), compared)), limit)
        return scaled_input(g, name, shape, -1, ranges, max(width, bits))
    for axis in sorted(stats.channels, reverse=True):
        if stats.elements >= MIN_VALUES * math.prod(shape[1:]) and is_uneven(stats.channels[axis]):
            return scaled_input(g, name, shape, axis, stats.channels[axis], bits)
    return g.input(name, shape, whole)


def _all_separate(formats: list[Format], compared: list[tuple[IntArray, Sides]]) -> bool:
    frac_bits = np.array([f.frac_bits for f in formats])
    return all(separates(sides, frac_bits[places]).all() for places, sides in compared)


def _comparisons(value: onnx_ir.Value, places: IntArray) -> Iterator[tuple[IntArray, str]]:
    """The comparisons that read a tensor's features as they are: which feature each place has, and the result's name.

    Args:
        value: a tensor of one feature, or none, at each place along its last axis.
        places: the input's feature at each place.
    """
    for node, index in value.uses():
        result = node.outputs[0]
        if node.op_type in ("Cast", "Identity"):
            yield from _comparisons(result, places)
        elif node.op_type == "MatMul" and index == 0 and (matrix := _matrix(node.inputs[1])) is not None:
            yield from _comparisons(result, places[matrix.argmax(axis=0)])
        elif node.op_type in ("Less", "LessOrEqual", "Greater", "GreaterOrEqual") and index == 0:
            yield places, result.name or ""


def _matrix(value: onnx_ir.Value | None) -> Array | None:
    """The contents of a constant matrix that chooses features; None of another tensor."""
    node = None if value is None else value.producer()
    if node is not None and node.op_type == "DequantizeLinear":
        value = node.inputs[0]
    if value is None or value.const_value is None:
        return None
    array = value.const_value.numpy()
    return array if Constant(value.name or "", array).is_selection else None
