"""Values that moves lead to products more than once: they are found, and looked up once."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from support.model_comparison import build

from zkinfer.circuit.program import Lookup
from zkinfer.compiler.compile import compile as compile_model
from zkinfer.compiler.onnx.load import load_model
from zkinfer.compiler.onnx.multiplied import joined_for_products, multiplied_values

RNG = np.random.default_rng(0)
CONSTANTS: dict[str, npt.NDArray[Any] | np.float32] = {
    "w": RNG.normal(0, 0.3, (8, 8)).astype(np.float32),
    "c": RNG.uniform(-1, 1, (3, 8)).astype(np.float32),
    "s": RNG.uniform(-1, 1, (3, 8)).astype(np.float32),
    "v": RNG.normal(0, 0.3, (8, 2)).astype(np.float32),
    "half": np.array([4, 4]),
    "two": np.float32(2),
}
ROTARY = """
h = MatMul(x, w)
a, b = Split<axis=-1>(h, half)
m = Neg(b)
turned = Concat<axis=-1>(m, a)
p = Mul(h, c)
q = Mul(turned, s)
r = Add(p, q)
y = MatMul(r, v)
"""


def model(body: str) -> onnx.ModelProto:
    used = {name: array for name, array in CONSTANTS.items() if f"{name})" in body or f"{name}," in body}
    return build(body, {"x": [1, 3, 8]}, used)


def found(body: str) -> set[str]:
    return {value.name or "" for value in multiplied_values(load_model(model(body), batch=1).graph)}


def test_a_rotary_embedding_looks_its_operand_up_once() -> None:
    assert found(ROTARY) == {"h"}
    x = RNG.normal(size=(12, 3, 8)).astype(np.float32)
    circuit = compile_model(model(ROTARY), x)
    lookups = [node.out.size for node in circuit.program.nodes if isinstance(node, Lookup)]
    # h and r.
    assert lookups == [24, 24]
    h = x.astype(np.float64) @ CONSTANTS["w"]
    turned = np.concatenate([-h[..., 4:], h[..., :4]], axis=-1)
    expected = (h * CONSTANTS["c"] + turned * CONSTANTS["s"]) @ CONSTANTS["v"]
    assert np.asarray(circuit.run(x)) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("h = MatMul(x, w)\na, b = Split<axis=-1>(h, half)\ny = Mul(a, b)", id="every element once"),
        pytest.param("h = MatMul(x, w)\np = Mul(h, c)\nq = Mul(h, s)\ny = Add(p, q)", id="without a move"),
        pytest.param(ROTARY.replace("r = Add(p, q)", "e = Add(p, q)\nr = Add(e, h)"), id="a sum reads it exactly"),
        pytest.param(ROTARY.replace("q = Mul(turned, s)", "q = Mul(turned, two)"), id="a number is no tensor"),
    ],
)
def test_others_are_not_found(body: str) -> None:
    assert found(body) == set()


def test_an_output_of_the_model_stays_exact() -> None:
    proto = model(ROTARY)
    proto.graph.output.append(onnx.helper.make_tensor_value_info("h", onnx.TensorProto.FLOAT, [1, 3, 8]))
    assert not multiplied_values(load_model(proto, batch=1).graph)


JOINED = """
a = MatMul(x, w)
b = Relu(x)
j = Concat<axis=1>(a, b)
y = MatMul(j, v)
"""


def test_what_products_read_joined_is_looked_up_before() -> None:
    """A tensor of small numbers keeps its digits beside one of large numbers."""
    rng = np.random.default_rng(5)
    large, small = rng.normal(size=(2, 8, 8)) * np.array([1, 1 / 16])[:, None, None]
    body = "a = MatMul(x, large)\nb = MatMul(x, small)\nj = Concat<axis=1>(a, b)\ny = MatMul(j, v)"
    proto = build(body, {"x": [1, 3, 8]}, {"large": large, "small": small, "v": CONSTANTS["v"]})
    assert {value.name for value in joined_for_products(load_model(proto, batch=1).graph)} == {"j"}
    x = rng.normal(size=(64, 3, 8)).astype(np.float32)
    circuit = compile_model(proto, x)
    lookups = [node.out.shape for node in circuit.program.nodes if isinstance(node, Lookup)]
    assert lookups == [(1, 3, 8), (1, 3, 8)]
    expected = x.astype(np.float64) @ small @ CONSTANTS["v"]
    assert np.abs(np.asarray(circuit.run(x))[:, 3:] - expected).max() <= 1e-3 * np.abs(expected).max()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(JOINED.replace("y = MatMul(j, v)", "y = Tanh(j)"), id="a table reads it"),
        pytest.param(JOINED + "z = Add(j, two)", id="a sum reads it too"),
    ],
)
def test_what_others_read_joined_is_not(body: str) -> None:
    proto = model(body)
    if "z =" in body:
        proto.graph.output.append(onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, [1, 6, 8]))
    assert not joined_for_products(load_model(proto, batch=1).graph)
