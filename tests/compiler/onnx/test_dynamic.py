"""Dynamically quantized models: the circuit multiplies activations that are not rounded by the quantized weights."""

import numpy as np
import onnx
import onnxruntime
import pytest
from support.model_comparison import build

import zkinfer as zk
from zkinfer.compiler.onnx.load import load_model
from zkinfer.errors import UnsupportedOperatorError

RNG = np.random.default_rng(0)
QUANTIZED = "q, s, z = DynamicQuantizeLinear(x)\n"
REST = """
h = Cast<to=1>(i)
t = Mul(s, ws)
m = Mul(h, t)
y = Relu(m)"""


def int8(*shape: int) -> np.ndarray:
    return RNG.integers(-127, 128, shape).astype(np.int8)


def matrix(zero: np.ndarray) -> onnx.ModelProto:
    weights = {"w": int8(6, 4), "ws": np.array([0.02], np.float32), "wz": zero}
    return build(f"{QUANTIZED}i = MatMulInteger(q, w, z, wz){REST}", {"x": ["n", 6]}, weights)


def convolution() -> onnx.ModelProto:
    weights = {"w": int8(4, 2, 3, 3), "ws": np.array([0.02], np.float32)}
    return build(f"{QUANTIZED}i = ConvInteger<pads=[1, 1, 1, 1]>(q, w, z){REST}", {"x": ["n", 2, 5, 5]}, weights)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (matrix(np.array(0, np.int8)), (6,)),
        (matrix(np.array(3, np.int8)), (6,)),
        (matrix(np.array([1, -2, 3, 0], np.int8)), (6,)),
        (convolution(), (2, 5, 5)),
    ],
    ids=["matrix", "with a zero point", "one for each column", "convolution"],
)
def test_is_close_to_the_model_that_rounds(model: onnx.ModelProto, shape: tuple[int, ...]) -> None:
    x = RNG.normal(size=(16, *shape)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = np.concatenate([session.run(None, {"x": sample[None]})[0] for sample in x])
    found = np.asarray(zk.compile(model, x).run(x))
    # The model rounds activations to 1/255 of their range.
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()
    assert np.abs(found - expected).max() > 1e-5 * np.abs(expected).max()


def test_the_circuit_is_that_of_the_quantized_weights() -> None:
    model = matrix(np.array(3, np.int8))
    w = onnx.numpy_helper.to_array(model.graph.initializer[0]).astype(np.float32)
    x = RNG.normal(size=(16, 6)).astype(np.float32)
    expected = np.maximum(x @ ((w - 3) * np.float32(0.02)), 0)
    circuit = zk.compile(model, x)
    assert circuit.run(x) == pytest.approx(expected, abs=2e-3 * float(expected.max()))
    assert circuit.bound == "1 dynamically quantized products without the rounding of their activations"


def test_one_that_something_else_reads_is_refused() -> None:
    body = f"{QUANTIZED}r = DequantizeLinear(q, s, z)\ny = Relu(r)"
    with pytest.raises(UnsupportedOperatorError, match=r"DynamicQuantizeLinear.*float meaning"):
        load_model(build(body, {"x": [1, 6]}), batch=1)
