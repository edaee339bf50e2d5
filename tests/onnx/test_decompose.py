"""Normalization layers in steps: the same numbers as the layer itself."""

import numpy as np
import onnx_ir
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator
from onnx.shape_inference import infer_shapes
from support.lowering import build, compare

from zkinfer.onnx.decompose import decompose
from zkinfer.onnx.load import load_model
from zkinfer.quantize.reference import FloatModel

RNG = np.random.default_rng(0)


def stepwise(
    body: str, shape: list[int], weights: dict[str, np.ndarray], opset: int, **options: object
) -> onnx_ir.Model:
    """The model with its layer decomposed, shapes inferred."""
    model = onnx_ir.serde.deserialize_model(infer_shapes(build(body, {"x": shape}, weights, opset=opset, **options)))
    decompose(model)
    assert not decompose(model)
    return onnx_ir.serde.deserialize_model(infer_shapes(onnx_ir.serde.serialize_model(model)))


def assert_same(body: str, shape: list[int], weights: dict[str, np.ndarray], opset: int) -> None:
    whole = onnxruntime.InferenceSession(build(body, {"x": shape}, weights, opset=opset).SerializeToString())
    steps = stepwise(body, shape, weights, opset)
    assert "Sqrt" in {node.op_type for node in steps.graph}
    assert not any("Normalization" in node.op_type for node in steps.graph)
    x = (RNG.normal(size=shape) * 2 + 3).astype(np.float32)
    np.testing.assert_allclose(FloatModel(steps).run([x[None]])["y"][0], whole.run(None, {"x": x})[0], atol=1e-4)


@given(
    axis=st.sampled_from([-1, -2, 1, 2]),
    epsilon=st.sampled_from([1e-5, 0.1]),
    bias=st.booleans(),
    opset=st.sampled_from([17, 18]),
)
@settings(max_examples=12)
def test_layer_normalization(axis: int, epsilon: float, bias: bool, opset: int) -> None:
    shape = [2, 3, 8]
    weights = {"s": RNG.uniform(0.5, 2, shape[axis:])} | ({"b": RNG.normal(size=shape[axis:])} if bias else {})
    body = f"y = LayerNormalization<axis={axis}, epsilon={epsilon}>(x, s{', b' if bias else ''})"
    assert_same(body, shape, weights, opset)


def test_root_mean_square_normalization() -> None:
    assert_same("y = RMSNormalization(x, s)", [2, 3, 8], {"s": RNG.uniform(0.5, 2, 8)}, 23)


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_group_normalization(groups: int) -> None:
    weights = {"s": RNG.uniform(0.5, 2, 6), "b": RNG.normal(size=6)}
    assert_same(f"y = GroupNormalization<num_groups={groups}>(x, s, b)", [2, 6, 4, 3], weights, 21)


@pytest.mark.parametrize("opset", [17, 22])
def test_instance_normalization(opset: int) -> None:
    weights = {"s": RNG.uniform(0.5, 2, 3), "b": RNG.normal(size=3)}
    assert_same("y = InstanceNormalization(x, s, b)", [2, 3, 4, 3], weights, opset)


def test_the_statistics_of_a_layer_are_outputs_too() -> None:
    body = "y, m, d = LayerNormalization(x, s)"
    model = build(body, {"x": [1, 3, 8]}, {"s": np.ones(8)}, outputs=["y", "m", "d"])
    x = RNG.normal(size=(1, 3, 8)).astype(np.float32)
    steps = FloatModel(stepwise(body, [1, 3, 8], {"s": np.ones(8)}, 17, outputs=["y", "m", "d"])).run([x[None]])
    for name, expected in zip("ymd", ReferenceEvaluator(model).run(None, {"x": x}), strict=True):
        np.testing.assert_allclose(steps[name][0], expected, atol=1e-4)


def test_several_layers_keep_their_order_and_have_names_of_their_own() -> None:
    body = """h = LayerNormalization(x, s)
    y = LayerNormalization(h, s)"""
    model = stepwise(body, [1, 3, 8], {"s": np.ones(8)}, 18)
    names = [value.name for node in model.graph for value in node.outputs]
    assert len(set(names)) == len(names)
    assert names[0] == "h/mean"
    assert names[-1] == "y"


def test_a_decomposed_layer_is_compiled() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 3, 16)) * 2 + 3
    weights = {"s": rng.uniform(0.5, 2, 16), "b": rng.normal(size=16)}
    result = compare(build("y = LayerNormalization(x, s, b)", {"x": [1, 3, 16]}, weights), x)
    # Differences, their squares, what is normalized, and one reciprocal root a row.
    assert sum(lookup.out.size for lookup in result.lookups) <= 3 * 48 + 3
    assert result.error <= 0.05 * np.abs(result.floats[0]).max()


def test_layers_after_one_of_unknown_shape_are_decomposed_too() -> None:
    # Shape inference does not know what GroupNormalization gives.
    body = """g = GroupNormalization<num_groups=2>(x, s, b)
    y = InstanceNormalization(g, s, b)"""
    weights = {"s": RNG.uniform(0.5, 2, 4), "b": RNG.normal(size=4)}
    model = load_model(build(body, {"x": [1, 4, 3, 3]}, weights, opset=21), batch=1)
    assert not any("Normalization" in node.op_type for node in model.graph)
