"""onnxruntime as on a processor that saturates: x86-64 without VNNI, played on any machine."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

REAL_SESSION = onnxruntime.InferenceSession


def saturating_session(model: bytes, *args: Any, **kwargs: Any) -> onnxruntime.InferenceSession:
    """A session in which each pair of products of a MatMulInteger is added in 16 bits, which saturate."""
    return REAL_SESSION(with_pairs_in_16_bits(onnx.load_model_from_string(model)).SerializeToString(), *args, **kwargs)


def with_pairs_in_16_bits(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with every MatMulInteger of (1, rows, n) by a constant (n, columns), n even, in steps; in place."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes = []
    for node in list(model.graph.node):
        if node.op_type != "MatMulInteger":
            nodes.append(node)
            continue
        a, b = node.input
        n, columns = constants[b].shape
        given = {
            f"{b}/shape": np.array([1, -1, n // 2, 2, columns]),
            f"{b}/last": np.array([-1]),
            f"{b}/pair": np.array([3]),
            f"{b}/pairs": np.array([2]),
            f"{b}/lo": np.array(-(1 << 15), dtype=np.int32),
            f"{b}/hi": np.array((1 << 15) - 1, dtype=np.int32),
        }
        model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in given.items())
        nodes += [
            helper.make_node("Cast", [a], [f"{b}/a"], to=TensorProto.INT32),
            helper.make_node("Cast", [b], [f"{b}/b"], to=TensorProto.INT32),
            helper.make_node("Unsqueeze", [f"{b}/a", f"{b}/last"], [f"{b}/columns"]),
            helper.make_node("Mul", [f"{b}/columns", f"{b}/b"], [f"{b}/products"]),
            helper.make_node("Reshape", [f"{b}/products", f"{b}/shape"], [f"{b}/in pairs"]),
            helper.make_node("ReduceSum", [f"{b}/in pairs", f"{b}/pair"], [f"{b}/added"], keepdims=0),
            helper.make_node("Clip", [f"{b}/added", f"{b}/lo", f"{b}/hi"], [f"{b}/saturated"]),
            helper.make_node("ReduceSum", [f"{b}/saturated", f"{b}/pairs"], list(node.output), keepdims=0),
        ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model
