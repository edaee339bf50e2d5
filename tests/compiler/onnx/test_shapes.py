"""Layers whose shapes ONNX infers wrongly: the shapes, and the numbers, of onnxruntime."""

import numpy as np
import onnx
import pytest
from onnx import helper
from support.loop_models import check_floats, in_integers, loop_model
from support.model_comparison import build, compare, grid

from zkinfer.compiler.calibration.float_model import open_session
from zkinfer.compiler.lowering.precision import Precision
from zkinfer.compiler.onnx.shapes import correct_shapes, with_shapes
from zkinfer.errors import ShapeError
from zkinfer.typing import Array

FINE = Precision(activation_bits=12, weight_bits=12, max_table_entries=1 << 14)


def in_onnxruntime(model: onnx.ModelProto, x: Array) -> Array:
    session = open_session(model, optimized=False)
    return np.stack([session.run(None, {"x": sample[None].astype(np.float32)})[0] for sample in x])


def same_as_onnxruntime(model: onnx.ModelProto, x: Array) -> None:
    result, expected = compare(model, x, precision=FINE), in_onnxruntime(model, x)
    assert result.fixed[0].shape == expected.shape
    np.testing.assert_allclose(result.fixed[0], expected, atol=0.05)


POOLS = [
    "kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1]",
    "kernel_shape=[3, 3], strides=[3, 3], pads=[1, 1, 1, 1]",
    "kernel_shape=[2, 2], strides=[3, 3]",
    "kernel_shape=[1, 1], strides=[2, 2]",
    "kernel_shape=[2, 3], strides=[2, 2], pads=[0, 1, 1, 1]",
    'kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"',
]


@pytest.mark.parametrize("op", ["AveragePool", "MaxPool"])
@pytest.mark.parametrize("attributes", POOLS)
@pytest.mark.parametrize("size", [5, 6, 7])
@pytest.mark.parametrize("opset", [18, 22])
def test_pools_that_round_up(op: str, attributes: str, size: int, opset: int) -> None:
    model = build(f"y = {op}<ceil_mode=1, {attributes}>(x)", {"x": [1, 1, size, size]}, opset=opset)
    same_as_onnxruntime(model, grid(4, 1, size, size))


@pytest.mark.parametrize("size", [5, 6])
def test_padding_that_counts(size: int) -> None:
    attributes = "ceil_mode=1, count_include_pad=1, kernel_shape=[3, 3], strides=[3, 3], pads=[1, 1, 1, 1]"
    same_as_onnxruntime(
        build(f"y = AveragePool<{attributes}>(x)", {"x": [1, 1, size, size]}, opset=18), grid(4, 1, size, size)
    )


def test_padding_that_counts_along_an_axis_of_which_a_window_is_dropped_beside_one_that_keeps_its_own_is_refused() -> (
    None
):
    attributes = "ceil_mode=1, count_include_pad=1, kernel_shape=[2, 3], strides=[2, 2], pads=[0, 0, 1, 0]"
    model = build(f"y = AveragePool<{attributes}>(x)", {"x": [1, 1, 6, 6]}, opset=18)
    with pytest.raises(ShapeError, match=r"gives 'y' the shape \(1, 1, 3, 3\), but the model says \(1, 1, 4, 3\)"):
        compare(model, grid(4, 1, 6, 6))


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "attributes",
    ["strides=[2, 2]", "strides=[3, 3]", "strides=[2, 2], output_padding=[1, 1]", "strides=[2, 2], dilations=[2, 2]"],
)
def test_transposed_convolutions_of_the_same_size(auto_pad: str, kernel: int, attributes: str) -> None:
    weight = grid(2, 3, kernel, kernel, frac_bits=7)
    body = f'y = ConvTranspose<auto_pad="{auto_pad}", {attributes}>(x, w)'
    same_as_onnxruntime(build(body, {"x": [1, 2, 4, 5]}, {"w": weight}, opset=18), grid(4, 2, 4, 5))


def test_one_after_the_other() -> None:
    """The second shape follows from the first."""
    body = """a = MaxPool<ceil_mode=1, kernel_shape=[2, 2], strides=[3, 3]>(x)
    b = ConvTranspose<auto_pad="SAME_UPPER", strides=[2, 2], output_padding=[1, 1]>(a, w)
    c = AveragePool<ceil_mode=1, kernel_shape=[1, 1], strides=[3, 3]>(b)
    y = Relu(c)"""
    weights = {"w": grid(1, 1, 2, 2, frac_bits=7)}
    same_as_onnxruntime(build(body, {"x": [1, 1, 6, 6]}, weights, opset=18), grid(8, 1, 6, 6))


@pytest.mark.parametrize("reads", ["x", "s"])
def test_in_a_loop(reads: str) -> None:
    """Whether the layer is taken out of the body, or the body is written out for it."""
    pool = f"p = MaxPool<ceil_mode=1, kernel_shape=[1], strides=[2]>({reads})"
    body = f"still = Identity(on) {pool} m = ReduceSum<keepdims=1>(p) a = Add(s, m) n = Tanh(a)"
    model = loop_model(
        body, "float s => bool still, float n", {"x": [1, 2, 6]}, {"count": np.array(3)}, given="count, , x"
    )
    check_floats(model)
    assert in_integers(model).error <= 0.02


def test_what_is_inferred_correctly_stays_as_it_is() -> None:
    for attributes, size in (("kernel_shape=[2, 2], strides=[2, 2]", 5), ("kernel_shape=[3, 3], strides=[2, 2]", 7)):
        model = build(f"y = MaxPool<ceil_mode=1, {attributes}>(x)", {"x": [1, 1, size, size]}, opset=18)
        before = model.SerializeToString()
        correct_shapes(model)
        assert model.SerializeToString() == before


def test_shapes_within_a_loop_that_follow_from_constants_outside_it() -> None:
    """ONNX's inference does not know there what the axes of a Squeeze are."""
    body = helper.make_graph(
        [helper.make_node("Squeeze", ["e", "axes"], ["o"])],
        "body",
        [helper.make_tensor_value_info("e", onnx.TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("o", onnx.TensorProto.FLOAT, None)],
    )
    scan = helper.make_node("Scan", ["x"], ["y"], body=body, num_scan_inputs=1)
    graph = helper.make_graph(
        [scan],
        "graph",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [5, 1, 3])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [helper.make_tensor("axes", onnx.TensorProto.INT64, [1], [0])],
    )
    found = with_shapes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10))
    (output,) = found.graph.output
    assert [dim.dim_value for dim in output.type.tensor_type.shape.dim] == [5, 3]
    inner = found.graph.node[0].attribute[0].g
    assert list(inner.node[0].input) == ["e", "axes"]
    assert not inner.initializer
