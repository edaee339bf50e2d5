"""Normalization layers in steps: the same numbers as the layer itself."""

from typing import Any

import numpy as np
import onnx_ir
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator
from onnx.shape_inference import infer_shapes
from support.model_comparison import build, compare

from zkinfer.compiler.calibration.float_model import FloatModel
from zkinfer.compiler.lowering.precision import Precision
from zkinfer.compiler.onnx.decompose import decompose
from zkinfer.compiler.onnx.load import load_model
from zkinfer.errors import UnsupportedOperatorError

FINE = Precision(activation_bits=16, weight_bits=16, max_table_entries=1 << 17)
RNG = np.random.default_rng(0)


def stepwise(body: str, shape: list[int], weights: dict[str, np.ndarray], opset: int, **options: Any) -> onnx_ir.Model:
    """The model with its layer decomposed, shapes inferred."""
    model = onnx_ir.serde.deserialize_model(infer_shapes(build(body, {"x": shape}, weights, opset=opset, **options)))
    decompose(model, set())
    assert not decompose(model, set())
    return onnx_ir.serde.deserialize_model(infer_shapes(onnx_ir.serde.serialize_model(model)))


def assert_same(body: str, shape: list[int], weights: dict[str, np.ndarray], opset: int) -> None:
    undecomposed = onnxruntime.InferenceSession(build(body, {"x": shape}, weights, opset=opset).SerializeToString())
    steps = stepwise(body, shape, weights, opset)
    assert "Sqrt" in {node.op_type for node in steps.graph}
    assert not any("Normalization" in node.op_type for node in steps.graph)
    x = (RNG.normal(size=shape) * 2 + 3).astype(np.float32)
    np.testing.assert_allclose(FloatModel(steps).run([x[None]])["y"][0], undecomposed.run(None, {"x": x})[0], atol=1e-4)


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


def assert_steps(
    body: str, x: np.ndarray, weights: dict[str, np.ndarray] | None = None, *, opset: int = 18, atol: float = 1e-4
) -> None:
    """The steps give what the standard's reference implementation gives, and none of the layer is left."""
    model = build(body, {"x": list(x.shape)}, weights or {}, opset=opset)
    (expected,) = ReferenceEvaluator(model).run(None, {"x": x})
    normalized = load_model(model, batch=len(x))
    assert model.graph.node[-1].op_type not in {node.op_type for node in normalized.graph}
    np.testing.assert_allclose(FloatModel(normalized).run([x[None]])["y"][0], expected, atol=atol, rtol=1e-5)


@pytest.mark.parametrize("op", ["ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp"])
@pytest.mark.parametrize("axes", [[1], [-1, 1]])
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("opset", [13, 18])
def test_norms_and_logarithms_of_sums(op: str, axes: list[int], keepdims: int, opset: int) -> None:
    x = RNG.uniform(0.5, 2, (2, 3, 4)).astype(np.float32)
    x = x if "Log" in op else x * np.sign(RNG.normal(size=x.shape)).astype(np.float32)
    listed = f", axes={axes}" if opset < 18 else ""
    body = f"y = {op}<keepdims={keepdims}{listed}>(x{'' if listed else ', a'})"
    assert_steps(body, x, {} if listed else {"a": np.array(axes)}, opset=opset)
    model = build(body, {"x": [1, 3, 4]}, {} if listed else {"a": np.array(axes)}, opset=opset)
    assert compare(model, RNG.uniform(0.5, 2, (40, 3, 4)), precision=FINE).error <= 2.0**-9


def test_logarithms_of_sums_of_large_powers_do_not_overflow() -> None:
    x = RNG.uniform(-500, 500, (40, 6))
    model = build("y = ReduceLogSumExp(x, a)", {"x": [1, 6]}, {"a": np.array([1])}, opset=18)
    assert compare(model, x, precision=FINE).error <= 2.0**-4


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("axis", [1, -1])
def test_normalization_by_a_norm(p: int, axis: int) -> None:
    x = (RNG.normal(size=(2, 3, 4)) + 3).astype(np.float32)
    assert_steps(f"y = LpNormalization<axis={axis}, p={p}>(x)", x)
    model = build(f"y = LpNormalization<axis={axis}, p={p}>(x)", {"x": [1, 3, 4]})
    assert compare(model, RNG.normal(size=(40, 3, 4)) + 3, precision=FINE).error <= 2.0**-10


def test_normalization_by_mean_and_variance() -> None:
    x = (RNG.normal(size=(2, 3, 4, 5)) + 3).astype(np.float32)
    assert_steps("y = MeanVarianceNormalization<axes=[0, 2, 3]>(x)", x)


@given(
    axes=st.sampled_from([[1], [-1], [1, 2], [3, 1], [1, 2, 3]]),
    keepdims=st.integers(0, 1),
    opset=st.sampled_from([17, 18]),
)
@settings(max_examples=12)
def test_products_of_many(axes: list[int], keepdims: int, opset: int) -> None:
    x = RNG.uniform(0.5, 1.5, (1, 3, 5, 4)).astype(np.float32)
    listed = f", axes={axes}" if opset < 18 else ""
    body = f"y = ReduceProd<keepdims={keepdims}{listed}>(x{'' if listed else ', a'})"
    assert_steps(body, x, {} if listed else {"a": np.array(axes)}, opset=opset)


def test_products_of_too_many_are_refused() -> None:
    model = build("y = ReduceProd(x, a)", {"x": [1, 65]}, {"a": np.array([1])}, opset=18)
    with pytest.raises(UnsupportedOperatorError, match="supported are products of up to 64 elements"):
        compare(model, np.ones((4, 65)))


def test_a_product_in_integers_is_as_fine_as_its_factors() -> None:
    """Each factor has a format of its own, so that small ones beside large ones keep their digits."""
    x, scales = RNG.uniform(0.9, 1.1, (60, 5)), [4.0, 0.25, 8.0, 0.5, 1.0]
    body = """h = Mul(x, w)
    y = ReduceProd(h, a)"""
    model = build(body, {"x": [1, 5]}, {"w": np.array(scales), "a": np.array([1])}, opset=18)
    assert compare(model, x, precision=FINE).error <= 2.0**-8


@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize("attributes", ["exclusive=0", "reverse=1", "exclusive=1", "reverse=1, exclusive=1"])
@pytest.mark.parametrize("n", [2, 5])
def test_cumulative_products(axis: int, attributes: str, n: int) -> None:
    x = RNG.uniform(0.5, 1.5, (2, n, n)).astype(np.float32)
    assert_steps(f"y = CumProd<{attributes}>(x, a)", x, {"a": np.array(axis)}, opset=26)


@pytest.mark.parametrize("size", [1, 3, 4])
def test_local_response_normalization(size: int) -> None:
    x = RNG.normal(size=(2, 5, 3, 3)).astype(np.float32)
    near = [slice(max(c - (size - 1) // 2, 0), c + size // 2 + 1) for c in range(5)]
    power = np.stack([np.square(x[:, channels]).sum(axis=1) for channels in near], axis=1)
    model = load_model(build(f"y = LRN<size={size}, alpha=0.5, beta=0.6, bias=1.5>(x)", {"x": [2, 5, 3, 3]}), batch=2)
    steps = FloatModel(model).run([x[None]])["y"][0]
    np.testing.assert_allclose(steps, x / (1.5 + 0.5 / size * power) ** 0.6, rtol=1e-4)


def test_local_response_normalization_in_integers() -> None:
    x = RNG.normal(size=(40, 5, 3, 3))
    model = build("y = LRN<size=3, alpha=0.5, beta=0.6, bias=1.5>(x)", {"x": [1, 5, 3, 3]})
    assert compare(model, x, precision=FINE).error <= 2.0**-10


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize(
    "attributes", ["", ", strides=[2, 1], pads=[1, 0, 0, 1]", ", dilations=[2, 1]", ', auto_pad="SAME_UPPER"']
)
def test_norms_of_windows(p: int, attributes: str) -> None:
    x = RNG.normal(size=(2, 3, 6, 5)).astype(np.float32)
    assert_steps(f"y = LpPool<p={p}, kernel_shape=[2, 3]{attributes}>(x)", x, opset=22)


@pytest.mark.parametrize("attributes", ["p=3", "p=2, ceil_mode=1"])
def test_other_norms_of_windows_are_refused(attributes: str) -> None:
    model = build(f"y = LpPool<{attributes}, kernel_shape=[2]>(x)", {"x": [1, 1, 6]}, opset=22)
    with pytest.raises(UnsupportedOperatorError, match="supported are p of 1 and 2, without ceil_mode"):
        compare(model, np.ones((4, 1, 6)))


@given(
    strides=st.tuples(st.integers(1, 3), st.integers(1, 2)),
    dilations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    pads=st.tuples(*[st.integers(0, 1)] * 4),
)
@settings(max_examples=12)
def test_columns_to_an_image(strides: tuple[int, int], dilations: tuple[int, int], pads: tuple[int, ...]) -> None:
    image, block = [6, 7], [2, 3]
    counts = [
        (n + pads[i] + pads[2 + i] - dilations[i] * (k - 1) - 1) // strides[i] + 1
        for i, (n, k) in enumerate(zip(image, block, strict=True))
    ]
    x = RNG.normal(size=(2, 2 * 6, counts[0] * counts[1])).astype(np.float32)
    attributes = f"strides={[*strides]}, dilations={[*dilations]}, pads={[*pads]}"
    assert_steps(f"y = Col2Im<{attributes}>(x, i, b)", x, {"i": np.array(image), "b": np.array(block)})


def test_columns_to_an_image_are_exact() -> None:
    tensors = {"i": np.array([5, 5]), "b": np.array([3, 3])}
    x = RNG.integers(-128, 128, (8, 18, 9)) / 16
    result = compare(build("y = Col2Im(x, i, b)", {"x": [1, 18, 9]}, tensors, opset=18), x)
    assert not result.lookups
    assert result.error == 0
