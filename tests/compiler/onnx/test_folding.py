"""Scales of normalized rows are folded into the products that read them, and nothing else is."""

import numpy as np
import onnx
import pytest
from support.model_comparison import build

from zkinfer.compiler.calibration.float_model import FloatModel
from zkinfer.compiler.compile import compile as compile_model
from zkinfer.compiler.onnx.load import load_model
from zkinfer.typing import FloatArray

RNG = np.random.default_rng(0)
WIDTH = 8
SCALE = RNG.uniform(0.7, 1.3, WIDTH)
SHIFT = RNG.normal(0, 0.3, WIDTH)
MATRIX, OTHER = RNG.normal(0, 0.4, (2, WIDTH, 5))
BIAS = RNG.normal(0, 0.3, 5)
X = RNG.normal(size=(6, 3, WIDTH))

NORMALIZED = "n = LayerNormalization(x, s, t)\n"
ROOT = "q = Mul(x, x)\nm = ReduceMean<axes=[-1], keepdims=1>(q)\nr = Sqrt(m)\na = Div(x, r)\n"


def model(body: str, **constants: FloatArray) -> onnx.ModelProto:
    known = {"s": SCALE, "t": SHIFT, "w": MATRIX, "v": OTHER, "b": BIAS} | constants
    used = {name: array for name, array in known.items() if f"{name}," in body or f"{name})" in body}
    return build(body, {"x": [1, 3, WIDTH]}, {name: array.astype(np.float32) for name, array in used.items()})


def run(proto: onnx.ModelProto) -> FloatArray:
    """What the normalized model computes."""
    results = FloatModel(load_model(proto, batch=1)).run([X[:, None].astype(np.float32)])
    return np.asarray(results["y"][:, 0], dtype=np.float64)


def normalized() -> FloatArray:
    centred = X - X.mean(-1, keepdims=True)
    rows: FloatArray = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return rows * SCALE + SHIFT


def is_folded(proto: onnx.ModelProto, *products: str) -> bool:
    """Whether each of these products reads rows over their size."""
    nodes = {node.outputs[0].name: node for node in load_model(proto, batch=1).graph}
    sources = [nodes[name].inputs[0] for name in products]
    return all(x is not None and (node := x.producer()) is not None and node.op_type == "Div" for x in sources)


def test_a_scale_and_a_shift_go_into_matrix_and_bias() -> None:
    proto = model(NORMALIZED + "h = MatMul(n, w)\ny = Add(h, b)")
    assert is_folded(proto, "h")
    assert run(proto) == pytest.approx(normalized() @ MATRIX + BIAS, rel=1e-4, abs=1e-5)
    graph = load_model(proto, batch=1).graph
    assert sum(node.op_type == "Add" for node in graph) == 2  # epsilon and the bias


def test_all_products_that_read_it_take_it_up_also_without_a_bias() -> None:
    proto = model(NORMALIZED + "h = MatMul(n, w)\ng = MatMul(n, v)\ny = Mul(h, g)")
    assert is_folded(proto, "h", "g")
    assert run(proto) == pytest.approx((normalized() @ MATRIX) * (normalized() @ OTHER), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("after", ["", "\nz = Add(y, b)"])
def test_a_product_that_is_a_result_of_the_model_has_the_shift(after: str) -> None:
    """Such as the head of a transformer that has no bias; whatever else reads it has the shift as well."""
    proto = model(NORMALIZED + "y = MatMul(n, w)" + after)
    if after:
        proto.graph.output.add(name="z").type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    expected = normalized() @ MATRIX
    assert is_folded(proto, "y/unshifted")
    assert run(proto) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    x = X.astype(np.float32)
    results = compile_model(proto, x).run(x)
    shown, *others = results if isinstance(results, tuple) else (results,)
    assert shown == pytest.approx(expected, abs=0.01)
    assert [other == pytest.approx(expected + BIAS, abs=0.01) for other in others] == [True] * bool(after)


def test_a_root_mean_square_has_a_scale_alone() -> None:
    proto = model(ROOT + "n = Mul(s, a)\ny = MatMul(n, w)")
    assert is_folded(proto, "y")
    rows = X / np.sqrt((X**2).mean(-1, keepdims=True))
    assert run(proto) == pytest.approx((rows * SCALE) @ MATRIX, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(NORMALIZED + "h = MatMul(n, w)\nr = Relu(n)\ng = MatMul(r, v)\ny = Add(h, g)", id="others read"),
        pytest.param("n = Mul(x, s)\nh = MatMul(n, w)\ny = Relu(h)", id="rows of any size"),
        pytest.param(
            NORMALIZED + "h = MatMul(n, w)\nr = Relu(x)\nd = MatMul(r, w)\ny = Add(h, d)",
            id="a matrix that is read twice",
        ),
    ],
)
def test_elsewhere_nothing_is_folded(body: str) -> None:
    proto = model(body)
    graph = load_model(proto, batch=1).graph
    stored = {name for name, value in graph.initializers.items() if value.shape is not None}
    assert not any(name.endswith("/scaled") for name in stored)


def test_scales_too_far_apart_for_one_format_stay() -> None:
    scale = np.full(WIDTH, 0.01)
    scale[0] = 1
    assert is_folded(model(NORMALIZED + "y = MatMul(n, w)", s=SCALE, w=np.sign(MATRIX)), "y/unshifted")
    assert not is_folded(model(NORMALIZED + "y = MatMul(n, w)", s=scale, w=np.sign(MATRIX)), "y")


def test_the_circuit_looks_up_less_and_is_as_close() -> None:
    proto = model(NORMALIZED + "h = MatMul(n, w)\nk = Add(h, b)\ny = Relu(k)")
    circuit = compile_model(proto, X.astype(np.float32))
    expected = np.maximum(normalized() @ MATRIX + BIAS, 0)
    assert np.asarray(circuit.run(X)) == pytest.approx(expected, abs=2e-3)
    labels = [node.out.label for node in circuit.program.nodes if node.out.label == "n"]
    assert not labels
