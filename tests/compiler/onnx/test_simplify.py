"""Simplifying keeps what a model computes: small addends, and elements that readers repeat themselves."""

import numpy as np
import onnx
import pytest
from support.model_comparison import build

from zkinfer.compiler.calibration.float_model import FloatModel
from zkinfer.compiler.onnx.load import load_model
from zkinfer.typing import FloatArray

RNG = np.random.default_rng(0)


def run(model: onnx.ModelProto, *inputs: FloatArray) -> FloatArray:
    """What the simplified model computes."""
    runs = [x[:, None].astype(np.float32) for x in inputs]
    return FloatModel(load_model(model, batch=1)).run(runs)["y"][:, 0].astype(np.float64)


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in load_model(model, batch=1).graph]


@pytest.mark.parametrize("eps", [1e-5, 1e-8, 1e-12, -1e-9, 1e-30])
@pytest.mark.parametrize("body", ["a = Add(x, eps)", "a = Add(eps, x)", "a = Sub(x, eps)"])
def test_small_addends_are_kept(body: str, eps: float) -> None:
    """The optimizer alone takes an epsilon of 1e-12 for zero."""
    model = build(f"{body}\nb = Mul(a, big)\ny = Mul(b, big)", {"x": [1, 3]}, {"eps": eps, "big": np.float32(1e15)})
    sign = -1 if "Sub" in body else 1
    expected = np.float64(np.float32(np.float32(sign * eps) * np.float32(1e15))) * np.float32(1e15)
    assert run(model, np.zeros((1, 3))) == pytest.approx(np.full((1, 3), expected), rel=1e-6)


def test_a_small_addend_has_the_shape_that_it_had() -> None:
    normalized = load_model(build("a = Add(x, eps)\ny = Sqrt(a)", {"x": [1, 3]}, {"eps": 1e-12}), batch=1)
    (constant,) = normalized.graph.initializers.values()
    assert constant.const_value is not None
    assert constant.const_value.numpy().shape == ()
    assert np.float32(constant.const_value.numpy()) == np.float32(1e-12)


def test_what_adds_nothing_is_left_out() -> None:
    assert operators(build("a = Add(x, zero)\ny = Sqrt(a)", {"x": [1, 3]}, {"zero": 0.0})) == ["Sqrt"]


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("first", [False, True])
def test_an_expansion_is_left_out_where_its_reader_repeats(operator: str, first: bool) -> None:
    arguments = "e, x" if first else "x, e"
    body = f"r = ReduceMax<axes=[2]>(x)\ne = Expand(r, shape)\ny = {operator}({arguments})"
    model = build(body, {"x": [1, 4, 5]}, {"shape": [1, 4, 5]})
    assert "Expand" not in operators(model)
    x = RNG.uniform(1, 2, (2, 4, 5))
    most = x.max(-1, keepdims=True)
    left, right = (most, x) if first else (x, most)
    expected = {"Add": left + right, "Sub": left - right, "Mul": left * right, "Div": left / right}[operator]
    assert run(model, x) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "after",
    ["y = Relu(e)", "y = Add(e, r)", "y = MatMul(e, w)", "f = Relu(e)\ng = Add(e, x)\ny = Add(f, g)", "y = Add(e, e)"],
)
def test_an_expansion_stays_where_something_else_reads_it(after: str) -> None:
    body = f"r = ReduceMax<axes=[2]>(x)\ne = Expand(r, shape)\n{after}"
    model = build(body, {"x": [1, 4, 5]}, {"shape": [1, 4, 5], "w": np.ones((5, 2))})
    assert "Expand" in operators(model)
    x = RNG.uniform(1, 2, (2, 4, 5))
    e = np.broadcast_to(x.max(-1, keepdims=True), x.shape)
    expected = {"Relu(e)": e, "MatMul(e, w)": 5 * e[..., :2], "Add(f, g)": 2 * e + x}.get(after.split(" = ")[-1], 2 * e)
    assert run(model, x) == pytest.approx(expected, rel=1e-5)
