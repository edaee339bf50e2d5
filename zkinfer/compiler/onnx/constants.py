"""Nodes of a model whose inputs are all constants: they are computed when the model is lowered."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnx.reference
import onnx_ir

from zkinfer.compiler.calibration.float_model import open_session
from zkinfer.compiler.lowering.activation import Constant
from zkinfer.compiler.onnx.blame import blame
from zkinfer.compiler.onnx.conversion import IR_VERSION
from zkinfer.compiler.onnx.ops.quantized import along


def computed(node: onnx_ir.Node, opset: int, inputs: Sequence[Constant]) -> tuple[Constant, ...]:
    """The results of a node of constants, by ONNX's reference implementation; by onnxruntime where that fails."""
    if node.op_type == "DequantizeLinear":
        return (_dequantized(node, inputs),)
    proto = onnx_ir.serde.serialize_node(node)
    feeds = {name: x.array for name, x in zip((n for n in proto.input if n), inputs, strict=True)}
    kinds = {name: int(onnx.helper.np_dtype_to_tensor_dtype(array.dtype)) for name, array in feeds.items()}
    graph = onnx.helper.make_graph(
        [proto],
        "constants",
        [onnx.helper.make_tensor_value_info(name, kinds[name], array.shape) for name, array in feeds.items()],
        [onnx.helper.make_empty_tensor_value_info(name) for name in proto.output],
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid(node.domain or "", opset)], ir_version=IR_VERSION
    )
    with blame("it cannot be computed from its operands, which are constants"):
        try:
            arrays = onnx.reference.ReferenceEvaluator(model).run(None, feeds)
        except Exception:  # it has limits of its own, such as 64 elements along the axis of a GatherElements
            arrays = open_session(model, optimized=False).run(None, feeds)
    trained = any(x.trained for x in inputs)
    return tuple(
        Constant(name, np.asarray(array), trained=trained and np.asarray(array).dtype.kind == "f")
        for name, array in zip(proto.output, arrays, strict=True)
    )


def _dequantized(node: onnx_ir.Node, inputs: Sequence[Constant]) -> Constant:
    """Quantized weights, with the scale that the model gives them."""
    integers, scale, *zero_point = inputs
    axis, block = (
        node.attributes[name].as_int() if name in node.attributes else default
        for name, default in (("axis", 1), ("block_size", 0))
    )
    spread = [along(x, axis % len(integers.shape or (1,)), integers.shape, block) for x in (scale, *zero_point)]
    centred = integers.reals - spread[1] if zero_point else integers.reals
    return Constant(node.outputs[0].name or "", centred * spread[0], scale.uniform, trained=True)
