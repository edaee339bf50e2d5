"""The scales and shifts of normalizations that only matrix products read become part of the matrices.

A normalization divides rows by their size, and ends in a scale and a shift for each feature. With `y = x * scale +
shift`, a product `y W` is `x (scale * W) + shift W`. So x is rounded to be multiplied, and y is not computed, which
would be rounded once more.

Error. The squares of a row x add up to its length n, however they are distributed. So rounding the numbers of
`scale * W`, independently and to a unit u, has an error of variance `n u^2 / 12`. With x as large in all features,
rounding W has one of `sum of scale^2 * u^2 / 12`, with the unit of W.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir

from zkinfer.compiler.calibration.float_model import is_float, static_shape
from zkinfer.compiler.onnx.recurrences import delayed, drop_unread
from zkinfer.typing import FloatArray

MAX_NOISE = 4.0
"""How many times as large the variance of the error may be; that is one bit. The scales of a matrix's rows are not
folded into it where they are so far apart that a common unit costs more."""


@dataclass(frozen=True)
class _Features:
    """Features `source * scale + shift`; the shift may be missing."""

    source: onnx_ir.Value
    scale: FloatArray
    shift: FloatArray | None


def fold_scales(model: onnx_ir.Model) -> None:
    """Fold scales and shifts of normalized rows into all products that read them, in place; shapes are known."""
    if any(delayed(node) for node in model.graph):
        return  # the steps of a recurrence are in the graph twice
    for node in list(model.graph):
        if node.op_type not in ("Add", "Mul") or node.domain not in ("", "ai.onnx"):
            continue
        features, products = _features(node), _products(node.outputs[0])
        if features is None or not products or not _is_over_size(features.source):
            continue
        if not all(_keeps_digits(features.scale, weight) for _, weight in products):
            continue
        for product, weight in products:
            _fold(model.graph, product, weight, features)
    drop_unread(model)


def _features(node: onnx_ir.Node) -> _Features | None:
    """What a Mul, or the Add of a shift to a Mul, makes of its source; None of others."""
    if node.op_type == "Mul":
        scaled = _with_constant(node)
        return None if scaled is None else _Features(*scaled, None)
    shifted = _with_constant(node)
    producer = None if shifted is None else shifted[0].producer()
    if shifted is None or producer is None or producer.op_type != "Mul" or len(shifted[0].uses()) > 1:
        return None
    scaled = None if shifted[0].is_graph_output() else _with_constant(producer)
    return None if scaled is None else _Features(*scaled, shifted[1])


def _is_over_size(value: onnx_ir.Value) -> bool:
    """Whether a value is rows over, or times, one computed number each."""
    node, shape = value.producer(), static_shape(value)
    if node is None or node.op_type not in ("Div", "Mul") or len(shape) < 2 or shape[-1] == 1:
        return False
    rows = [x for x in node.inputs if x is not None and x.const_value is None and static_shape(x)[-1:] == (1,)]
    return len(rows) == 1


def _with_constant(node: onnx_ir.Node) -> tuple[onnx_ir.Value, FloatArray] | None:
    """The computed operand of a node of two, and the constant with a number for each place of its last axis."""
    for x, constant in (node.inputs, node.inputs[::-1]):
        if x is None or constant is None or x.const_value is not None or constant.const_value is None:
            continue
        shape, numbers = static_shape(x), constant.const_value.numpy()
        of_features = len(shape) > 1 and numbers.size == shape[-1] and numbers.shape[-1:] == shape[-1:]
        if of_features and is_float(constant) and static_shape(node.outputs[0]) == shape:
            return x, numbers.astype(np.float64).ravel()
    return None


def _products(value: onnx_ir.Value) -> list[tuple[onnx_ir.Node, FloatArray]]:
    """The products with a matrix of their own that read a value, and these matrices; empty if anything else reads it.

    A matrix that others read as well, such as a table of embeddings, would be committed to once more.
    """
    found: list[tuple[onnx_ir.Node, FloatArray]] = []
    for node, i in value.uses():
        matrix = node.inputs[1] if len(node.inputs) == 2 else None
        if node.op_type != "MatMul" or i or matrix is None or matrix.const_value is None or len(matrix.uses()) > 1:
            return []
        if len(static_shape(matrix)) != 2:
            return []
        found.append((node, matrix.const_value.numpy().astype(np.float64)))
    return [] if value.is_graph_output() else found


def _keeps_digits(scale: FloatArray, weight: FloatArray) -> bool:
    """Whether the matrix times the scale is rounded about as well as the matrix; units are as its largest numbers."""
    folded = float(np.abs(scale[:, None] * weight).max())
    apart = float(np.abs(weight).max())
    return scale.size * folded**2 <= MAX_NOISE * float((scale**2).sum()) * apart**2


def _fold(graph: onnx_ir.Graph, product: onnx_ir.Node, weight: FloatArray, features: _Features) -> None:
    """Let a product read the source of the features."""
    matrix, result = product.inputs[1], product.outputs[0]
    assert matrix is not None
    assert matrix.const_value is not None
    dtype = matrix.const_value.numpy().dtype
    product.replace_input_with(0, features.source)
    product.replace_input_with(1, _constant(graph, f"{matrix.name}/scaled", features.scale[:, None] * weight, dtype))
    if features.shift is None:
        return
    shift = features.shift @ weight
    bias = _bias(result)
    if bias is not None:
        node, i, numbers = bias
        node.replace_input_with(i, _constant(graph, f"{result.name}/bias", numbers + shift, dtype))
        return
    number = _constant(graph, f"{result.name}/shift", shift, dtype)
    shifted = onnx_ir.Value(name=f"{result.name}/shifted", shape=result.shape, type=result.type)
    if result.is_graph_output():
        shifted.name, result.name = result.name, f"{result.name}/unshifted"
    result.replace_all_uses_with(shifted, replace_graph_outputs=True)
    name = f"{product.name}/shift"
    graph.insert_after(product, onnx_ir.Node("", "Add", [result, number], outputs=[shifted], name=name))


def _bias(value: onnx_ir.Value) -> tuple[onnx_ir.Node, int, FloatArray] | None:
    """The sum with a bias that is all that reads a value, the bias's place in it, and its numbers."""
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output() or uses[0][0].op_type != "Add":
        return None
    node, i = uses[0]
    bias = node.inputs[1 - i]
    found = _with_constant(node)
    return None if found is None or bias is None else (node, 1 - i, found[1])


def _constant(graph: onnx_ir.Graph, name: str, numbers: FloatArray, dtype: np.dtype[Any]) -> onnx_ir.Value:
    """A new constant of the model."""
    tensor = onnx_ir.tensor(numbers.astype(dtype), name=name)
    value = onnx_ir.Value(
        name=name, shape=onnx_ir.Shape(numbers.shape), type=onnx_ir.TensorType(tensor.dtype), const_value=tensor
    )
    graph.register_initializer(value)
    return value
