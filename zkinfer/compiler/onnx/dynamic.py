"""Models whose activations are quantized while they run, in their float meaning.

onnxruntime's dynamic quantization rounds each activation to 8 bits with a scale that it takes from the data, multiplies
integers, and multiplies the result by the scale. A circuit's activations have fixed formats of their own, with more
bits: here the scale is 1, nothing is rounded, and the product is that of the activation and the quantized weights.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from zkinfer.compiler.onnx.blame import blame

_PRODUCTS = {"MatMulInteger": "MatMul", "ConvInteger": "Conv"}


def in_float_meaning(proto: onnx.ModelProto) -> str:
    """Rewrite dynamically quantized products of constant weights, in place; what was done, in a line for the reader.

    A DynamicQuantizeLinear that something else reads as well is left as it is.

    Raises:
        CompileError: a constant of the model is malformed.
    """
    with blame("the model is malformed"):
        count = _rewritten(proto)
    return f"{count} dynamically quantized products without the rounding of their activations" if count else ""


def _rewritten(proto: onnx.ModelProto) -> int:
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    constants |= {
        node.output[0]: attribute.t
        for node in proto.graph.node
        for attribute in node.attribute
        if node.op_type == "Constant" and attribute.name == "value"
    }
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in proto.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    count = 0
    for node in [node for node in proto.graph.node if node.op_type == "DynamicQuantizeLinear"]:
        quantized, scale, zero_point = node.output
        products = readers.get(quantized, [])
        if not products or not all(_is_product(product, quantized, zero_point, constants) for product in products):
            continue
        casts = [reader for product in products for reader in readers.get(product.output[0], [])]
        if any(reader.op_type != "Cast" for reader in casts):
            continue
        if any(reader not in products for reader in readers.get(zero_point, [])):
            continue
        for product in products:
            _rewrite(proto, product, node.input[0], constants)
        count += len(products)
        one = numpy_helper.from_array(np.array(1, dtype=np.float32))
        node.CopyFrom(helper.make_node("Constant", [], [scale], name=node.name, value=one))
    return count


def _is_product(node: onnx.NodeProto, quantized: str, zero_point: str, constants: dict[str, onnx.TensorProto]) -> bool:
    """Whether a node multiplies the quantized activation, less its zero point, by constant weights."""
    given = [*node.input, "", ""][:4]
    return (
        node.op_type in _PRODUCTS
        and given[0] == quantized
        and given[2] == zero_point
        and all(name in constants for name in (given[1], given[3]) if name)
    )


def _rewrite(
    proto: onnx.ModelProto, node: onnx.NodeProto, activation: str, constants: dict[str, onnx.TensorProto]
) -> None:
    """Make a product of integers one of floats; its result, which was a whole number, is a float too."""
    weights, zero = [*node.input, ""][1], [*node.input, "", ""][3]
    array = numpy_helper.to_array(constants[weights]).astype(np.float32)
    if zero:
        offset = numpy_helper.to_array(constants[zero]).astype(np.float32)
        if offset.size > 1:
            # One for each column of a matrix, or for each output channel of a convolution.
            offset = offset.reshape(-1, *(1,) * (array.ndim - 1)) if node.op_type == "ConvInteger" else offset
        array = array - offset
    name = f"{weights}/{node.output[0]}"
    proto.graph.initializer.append(numpy_helper.from_array(array, name))
    node.CopyFrom(
        helper.make_node(_PRODUCTS[node.op_type], [activation, name], node.output, name=node.name, **_attributes(node))
    )


def _attributes(node: onnx.NodeProto) -> dict[str, object]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
