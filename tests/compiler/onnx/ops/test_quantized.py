"""Quantized operators: integers equal to those of onnxruntime, but for what lies at the edge between two."""

from typing import Any

import msgspec
import numpy as np
import pytest
from onnx import TensorProto
from support.model_comparison import Comparison, build, compare, grid

from zkinfer.compiler.lowering.precision import EZKL
from zkinfer.errors import UnsupportedOperatorError

UINT8, INT8, INT32 = TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32
WIDE = msgspec.structs.replace(EZKL, max_table_entries=1 << 16)


def bytes_of(dtype: type, *shape: int, seed: int = 0) -> np.ndarray:
    info = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(info.min, info.max, shape, endpoint=True).astype(dtype)


def assert_integers(result: Comparison, *, share: float = 0.02) -> None:
    """Whole numbers; few of them off, and none by more than one."""
    assert result.program.output_tensors[0].frac_bits == 0
    off = np.abs(result.fixed[0] - result.floats[0])
    assert off.max() <= 1
    assert (off > 0).mean() <= share


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("zero", [0, 3])
def test_quantize(dtype: type, zero: int) -> None:
    tensors = {"s": np.float32(0.07), "z": dtype(zero)}
    model = build(
        "y = QuantizeLinear(x, s, z)", {"x": [1, 64]}, tensors, types={"y": UINT8 if dtype is np.uint8 else INT8}
    )
    result = compare(model, grid(20, 64))
    assert len(result.lookups) == 1
    assert result.program.output_tensors[0].lo == np.iinfo(dtype).min or dtype is np.int8
    assert_integers(result)


@pytest.mark.parametrize("zeros", [[5, 5, 5], [0, 3, 9]])
def test_a_scale_for_each_channel(zeros: list[int]) -> None:
    tensors = {"s": np.array([0.25, 0.5, 0.125], dtype=np.float32), "z": np.array(zeros, dtype=np.uint8)}
    model = build("y = QuantizeLinear<axis=1>(x, s, z)", {"x": [1, 3, 8]}, tensors, types={"y": UINT8})
    assert_integers(compare(model, grid(20, 3, 8)))


@pytest.mark.parametrize(
    ("scale", "zero"), [(0.25, 7), ([0.25, 0.5, 0.125], [7, 7, 7]), ([0.25, 0.5, 0.125], [1, 2, 3])]
)
def test_dequantize_is_exact(scale: Any, zero: object) -> None:
    tensors = {"s": np.asarray(scale, dtype=np.float32), "z": np.array(zero, dtype=np.uint8)}
    model = build("y = DequantizeLinear<axis=1>(x, s, z)", {"x": [1, 3, 8]}, tensors, types={"x": UINT8})
    result = compare(model, bytes_of(np.uint8, 20, 3, 8))
    assert not result.lookups
    assert result.error == 0


@pytest.mark.parametrize(
    "zeros", [{}, {"za": np.uint8(3)}, {"za": np.uint8(3), "zb": np.array([1, 0, 2, 5], dtype=np.int8)}]
)
def test_integer_matrix_products_are_exact(zeros: dict[str, np.ndarray]) -> None:
    model = build(
        f"y = MatMulInteger({', '.join(['x', 'w', *zeros])})",
        {"x": [1, 3, 6]},
        {"w": bytes_of(np.int8, 6, 4), **zeros},
        types={"x": UINT8, "y": INT32},
    )
    result = compare(model, bytes_of(np.uint8, 20, 3, 6))
    assert not result.lookups
    assert result.error == 0


def test_integer_convolutions_pad_with_the_zero_point() -> None:
    tensors = {"w": bytes_of(np.uint8, 4, 2, 3, 3), "z": np.uint8(130)}
    model = build(
        "y = ConvInteger<pads=[1, 1, 1, 1]>(x, w, z)", {"x": [1, 2, 5, 5]}, tensors, types={"x": UINT8, "y": INT32}
    )
    result = compare(model, bytes_of(np.uint8, 20, 2, 5, 5))
    assert not result.lookups
    assert result.error == 0


@pytest.mark.parametrize("scale", [0.02, [0.02, 0.01, 0.015, 0.03]])
def test_quantized_matrix_product(scale: Any) -> None:
    zeros = np.zeros(np.asarray(scale).shape, dtype=np.int8)
    tensors = {
        "sx": np.float32(0.03),
        "zx": np.uint8(120),
        "w": bytes_of(np.int8, 6, 4),
        "sw": np.asarray(scale, dtype=np.float32),
        "zw": zeros,
        "sy": np.float32(0.2),
        "zy": np.uint8(128),
    }
    model = build(
        "y = QLinearMatMul(x, sx, zx, w, sw, zw, sy, zy)", {"x": [1, 3, 6]}, tensors, types={"x": UINT8, "y": UINT8}
    )
    assert_integers(compare(model, bytes_of(np.uint8, 20, 3, 6), precision=WIDE), share=0.1)


@pytest.mark.parametrize("scale", [[0.02], [0.02, 0.01, 0.015, 0.03]])
@pytest.mark.parametrize("bias", [False, True])
def test_quantized_convolution(scale: list[float], bias: bool) -> None:
    tensors = {
        "sx": np.float32(0.03),
        "zx": np.uint8(120),
        "w": bytes_of(np.int8, 4, 2, 3, 3),
        "sw": np.asarray(scale, dtype=np.float32),
        "zw": np.zeros(len(scale), dtype=np.int8),
        "sy": np.float32(0.3),
        "zy": np.uint8(128),
    } | ({"b": np.array([900, -400, 0, 77], dtype=np.int32)} if bias else {})
    call = f"QLinearConv<pads=[1, 1, 1, 1]>(x, sx, zx, w, sw, zw, sy, zy{', b' if bias else ''})"
    model = build(f"y = {call}", {"x": [1, 2, 5, 5]}, tensors, types={"x": UINT8, "y": UINT8})
    assert_integers(compare(model, bytes_of(np.uint8, 20, 2, 5, 5), precision=WIDE), share=0.1)


def test_a_model_between_quantize_and_dequantize_keeps_its_integer_weights() -> None:
    body = """q = QuantizeLinear(x, sx, zx)
    d = DequantizeLinear(q, sx, zx)
    v = DequantizeLinear(w, sw)
    h = MatMul(d, v)
    r = Relu(h)
    p = QuantizeLinear(r, sy, zy)
    y = DequantizeLinear(p, sy, zy)"""
    weights = bytes_of(np.int8, 6, 4)
    tensors = {
        "sx": np.float32(0.07),
        "zx": np.uint8(128),
        "w": weights,
        "sw": np.float32(0.013),
        "sy": np.float32(0.3),
        "zy": np.uint8(0),
    }
    result = compare(build(body, {"x": [1, 6]}, tensors), grid(200, 6), precision=WIDE)
    np.testing.assert_array_equal(result.lowered.weights[0], weights.T)  # inputs last
    assert result.program.weights[0].frac_bits == 0
    # To the integers of the input, from the sums to those of the result, and from these to a power-of-two scale.
    assert [lookup.out.label for lookup in result.lookups] == ["q", "p", "y"]
    off = np.abs(result.fixed[0] - result.floats[0])
    assert off.max() <= 0.3 + result.units[0] / 2
    assert (off > 0.01 + result.units[0] / 2).mean() <= 0.05


@pytest.mark.parametrize("zeros", [[[0, 0], [0, 0]], [[1, 7], [9, 3]]])
def test_scales_of_blocks(zeros: list[list[int]]) -> None:
    """Three elements share a scale, and in the last block of an axis two."""
    tensors = {"s": np.array([[[0.25, 0.5], [0.125, 1.0]]], dtype=np.float32), "z": np.array([zeros], dtype=np.uint8)}
    body = """q = QuantizeLinear<axis=2, block_size=3>(x, s, z)
    y = DequantizeLinear<axis=2, block_size=3>(q, s, z)"""
    result = compare(build(body, {"x": [1, 2, 5]}, tensors, opset=21), np.abs(grid(20, 2, 5)), precision=WIDE)
    assert result.error == 0


def test_weights_with_scales_of_blocks() -> None:
    body = """v = DequantizeLinear<axis=0, block_size=2>(w, s)
    y = MatMul(x, v)"""
    tensors = {"w": bytes_of(np.int8, 6, 4), "s": np.ldexp(1.0, -np.arange(12)).astype(np.float32).reshape(3, 4)}
    precision = msgspec.structs.replace(EZKL, weight_bits=16)
    result = compare(build(body, {"x": [1, 6]}, tensors, opset=21), grid(20, 6), precision=precision)
    assert result.error <= 6 * 8 * 127 * 2.0**-15


def test_a_type_without_a_zero_point() -> None:
    model = build(
        "y = QuantizeLinear<output_dtype=3>(x, s)", {"x": [1, 8]}, {"s": np.float32(0.25)}, types={"y": INT8}, opset=21
    )
    result = compare(model, grid(20, 8))
    assert_integers(result)
    assert result.fixed[0].min() < 0


class TestRefused:
    def test_a_scale_that_depends_on_the_data(self) -> None:
        body = """q, s, z = DynamicQuantizeLinear(x)
        y = DequantizeLinear(q, s, z)"""
        with pytest.raises(UnsupportedOperatorError, match="quantize with scales from calibration"):
            compare(build(body, {"x": [1, 4]}), grid(8, 4))
