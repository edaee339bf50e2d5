"""Operators of onnxruntime: the circuit computes what onnxruntime computes for them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import zkinfer as zk
from zkinfer.compiler.onnx.decompositions.contributed import DOMAIN
from zkinfer.errors import UnsupportedOperatorError
from zkinfer.typing import Array

RNG = np.random.default_rng(0)


def normal(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


def model(
    nodes: Sequence[onnx.NodeProto], weights: Mapping[str, Array], inputs: Mapping[str, Sequence[int]]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "test",
        [
            helper.make_tensor_value_info(
                name, TensorProto.INT32 if name == "mask" else TensorProto.FLOAT, ["n", *shape]
            )
            for name, shape in inputs.items()
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def contributed(op: str, inputs: str, outputs: str = "y", **attributes: Any) -> onnx.NodeProto:
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(op, names, ["" if o == "-" else o for o in outputs.split()], domain=DOMAIN, **attributes)


def agrees(proto: onnx.ModelProto, data: Mapping[str, Array], atol: float = 2e-2) -> None:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = np.concatenate(
        [session.run(["y"], {name: x[i : i + 1] for name, x in data.items()})[0] for i in range(8)]
    )
    circuit = zk.compile(proto, data)
    found = circuit.run({name: x[:8] for name, x in data.items()}, saturate=True)
    np.testing.assert_allclose(found, expected, atol=atol * np.abs(expected).max())


@pytest.mark.parametrize(
    ("op", "attributes", "tolerance"),
    [("Gelu", {}, 1e-3), ("FastGelu", {}, 1e-3), ("QuickGelu", {"alpha": 1.5}, 1e-3)],
)
def test_activations(op: str, attributes: dict[str, Any], tolerance: float) -> None:
    agrees(model([contributed(op, "x", **attributes)], {}, {"x": [6]}), {"x": normal(16, 6)}, tolerance)


@pytest.mark.parametrize("op", ["BiasGelu", "FastGelu"])
def test_activations_with_a_bias(op: str) -> None:
    agrees(model([contributed(op, "x b")], {"b": normal(6)}, {"x": [6]}), {"x": normal(16, 6)}, 1e-3)


@pytest.mark.parametrize(("left", "right"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_products_with_transposed_factors(left: int, right: int) -> None:
    node = contributed("FusedMatMul", "x w", transA=left, transB=right, alpha=0.25)
    shape = [3, 4]
    inner = shape[::-1][left]
    w = normal(5, inner) if right else normal(inner, 5)
    agrees(model([node], {"w": w}, {"x": shape}), {"x": normal(16, *shape)}, 1e-3)


@pytest.mark.parametrize("inputs", ["x s g", "x s g b", "x s g b c"])
def test_layer_normalization_of_a_sum(inputs: str) -> None:
    weights = {name: normal(6) for name in inputs.split()[2:]}
    node = contributed("SkipLayerNormalization", inputs, epsilon=1e-5)
    agrees(model([node], weights, {"x": [3, 6], "s": [3, 6]}), {"x": normal(16, 3, 6), "s": normal(16, 3, 6)})


def test_the_sum_is_an_output_too() -> None:
    nodes = [
        contributed("SkipSimplifiedLayerNormalization", "x s g", "h - - t", epsilon=1e-5),
        helper.make_node("Add", ["h", "t"], ["y"]),
    ]
    agrees(model(nodes, {"g": normal(6)}, {"x": [3, 6], "s": [3, 6]}), {"x": normal(16, 3, 6), "s": normal(16, 3, 6)})


@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("masked", [False, True])
def test_attention(causal: int, masked: bool) -> None:
    weights = {"w": normal(6, 12) / 2, "b": normal(12)}
    node = contributed("Attention", "x w b" + " mask" * masked, num_heads=2, unidirectional=causal)
    inputs = {"x": [5, 6], **({"mask": [5]} if masked else {})}
    mask = (np.arange(5)[None] < RNG.integers(1, 6, (16, 1))).astype(np.int32)
    agrees(model([node], weights, inputs), {"x": normal(16, 5, 6), **({"mask": mask} if masked else {})})


def test_attention_with_a_past_is_refused() -> None:
    nodes = [contributed("Attention", "x w - - p", "y", num_heads=2)]
    proto = model(nodes, {"w": normal(6, 12)}, {"x": [5, 6], "p": [2, 2, 3, 3]})
    with pytest.raises(UnsupportedOperatorError, match=r"Attention.*without a past"):
        zk.compile(proto, {"x": normal(4, 5, 6), "p": normal(4, 2, 2, 3, 3)})


def quantized(*shape: int) -> tuple[Array, Array]:
    """Integers from -127 to 127, and the scale with which they are about the size of weights."""
    return RNG.integers(-127, 128, shape).astype(np.int8), np.array(0.01, dtype=np.float32)


def test_a_dynamically_quantized_product_has_its_float_meaning() -> None:
    integers, scale = quantized(6, 4)
    node = contributed("DynamicQuantizeMatMul", "x w s z b")
    weights: dict[str, Array] = {"w": integers, "s": scale, "z": np.array(0, np.int8), "b": normal(4)}
    agrees(model([node], weights, {"x": [6]}), {"x": normal(16, 6)})


def test_a_dynamically_quantized_lstm_has_its_float_meaning() -> None:
    (w, scale), (r, _) = quantized(1, 5, 12), quantized(1, 3, 12)
    node = contributed("DynamicQuantizeLSTM", "t w r - - - - - s z s z", "h", hidden_size=3)
    weights: dict[str, Array] = {"w": w, "r": r, "s": scale.reshape(1), "z": np.zeros(1, np.int8)}
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        node,
        helper.make_node("Squeeze", ["h", "one"], ["k"]),
        helper.make_node("Transpose", ["k"], ["y"], perm=[1, 0, 2]),
    ]
    agrees(model(nodes, {**weights, "one": np.array([1])}, {"x": [4, 5]}), {"x": normal(16, 4, 5)}, 4e-2)


@pytest.mark.parametrize(
    "node",
    [
        contributed("QLinearAdd", "q s z q s z u v", "r"),
        contributed("QLinearMul", "q s z q s z u v", "r"),
        contributed("QLinearSigmoid", "q s z u v", "r"),
        contributed("QLinearLeakyRelu", "q s z u v", "r", alpha=0.1),
        contributed("QLinearConcat", "u v q s z q s z", "r", axis=1),
        contributed("QLinearGlobalAveragePool", "q s z u v", "r"),
    ],
    ids=lambda node: str(node.op_type),
)
def test_operators_on_8_bits(node: onnx.NodeProto) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node,
        helper.make_node("DequantizeLinear", ["r", "u", "v"], ["y"]),
    ]
    weights: dict[str, Array] = {
        "s": np.array(0.03125, np.float32),
        "z": np.array(128, np.uint8),
        "u": np.array(0.0625, np.float32),
        "v": np.array(100, np.uint8),
    }
    # One step of the result's scale, where rounding falls to the other side.
    agrees(model(nodes, weights, {"x": [2, 3, 3]}), {"x": normal(16, 2, 3, 3)}, 7e-2)


def test_others_are_refused_by_name() -> None:
    with pytest.raises(UnsupportedOperatorError, match=r"com\.microsoft\.MoE, .*supported: Attention"):
        zk.compile(model([contributed("MoE", "x x x")], {}, {"x": [6]}), normal(4, 6))
