"""Operators of a step as operators on all steps: each computes what onnxruntime does with the loop as it is."""

import numpy as np
import pytest
from support.loop_models import check_floats, scan_model, steps_of_regions

from zkinfer.compiler.onnx.recurrences import delayed

STEPS = 4
WEIGHTS: dict[str, object] = {
    name: np.random.default_rng(k).normal(size=shape) / 2
    for k, (name, shape) in enumerate(
        {"w": (3, 4), "v": (3,), "m": (2, 2), "g": (5, 3, 2), "c": (1, 2, 3), "r": (1, 1, 3), "q": (4, 3)}.items()
    )
} | {name: np.array(content) for name, content in {
    "axis": [2], "first": [0], "size": [1, 3, 2], "flat": [6], "same": [0, -1], "end": [2], "pads": [0, 0, 1, 0, 1, 0],
    "wide": [4, 1, 2, 3], "twice": [1, 1, 2], "parts": [1, 2], "places": [2, 0], "middle": [1], "two": [1, 2],
}.items()} | {"half": 0.5, "low": -0.4, "high": 0.6}  # fmt: skip
"""Of what the cases read beside `a`, which has the shape (1, 2, 3) at every step."""

OPERATORS = [
    "x = Tanh(a)",
    "x = Clip(a, low, high)",
    "x = Cast<to=1>(a)",
    "x = Mul(a, v)",
    "x = Sub(c, a)",
    "z = Reshape(a, flat) y = ReduceSum<keepdims=0>(z) x = Add(a, y)",
    "x = Div(a, wideone)",
    "y = Greater(a, v) x = Where(y, a, c)",
    "x = PRelu(a, v)",
    "x = Max(a, v, c)",
    "x = MatMul(a, w)",
    "x = MatMul(m, a)",
    "x = MatMul(g, a)",
    "y = Reshape(a, flat) z = Slice(y, first, axis, first) x = MatMul(m, z)",
    "y = Reshape(a, flat) z = Slice(y, first, axis, first) x = MatMul(z, m)",
    "y = Reshape(a, flat) z = MatMul(y, y) x = Add(a, z)",
    "y = Transpose<perm=[0,2,1]>(a) x = MatMul(a, y)",
    "y = Squeeze(a, first) x = Gemm(y, w)",
    "y = Squeeze(a, first) x = Gemm<transA=1, alpha=0.5, beta=2.0>(y, m, v2)",
    "y = Squeeze(a, first) x = Gemm<transB=1>(y, q, v4)",
    "y = Squeeze(a, first) z = ReduceMean<keepdims=0>(y, first) x = Gemm(y, m3, z)",
    "x = Einsum<equation='bij,jk->bki'>(a, w)",
    "x = Einsum<equation='bij,bkj->ik'>(a, a)",
    "x = Concat<axis=1>(a, c)",
    "x = Concat<axis=-1>(c, a, a)",
    "x = Gather<axis=2>(a, places)",
    "x = Gather<axis=-1>(a, one)",
    "x = Softmax(a)",
    "x = LogSoftmax<axis=1>(a)",
    "x = LayerNormalization(a, v, v)",
    "p, x = Split<axis=2>(a, parts)",
    "x = ReduceMax<keepdims=0>(a, axis)",
    "x = ReduceMean(a)",
    "x = ReduceL2(a, two)",
    "x = Reshape(a, size)",
    "x = Reshape(a, same)",
    "x = Flatten<axis=2>(a)",
    "x = Unsqueeze(a, first)",
    "x = Transpose(a)",
    "x = Transpose<perm=[2,0,1]>(a)",
    "x = Slice(a, first, end)",
    "x = Slice(a, first, end, axis)",
    "x = Pad(a, pads, half)",
    "x = Expand(a, wide)",
    "x = Tile(a, twice)",
    "x = Dropout(a)",
]
_MORE: dict[str, object] = {
    "wideone": np.full((2, 1, 1, 1), 2.0), "one": np.array(1), "v2": np.array([0.5, -0.25]), "v4": np.ones(4),
    "m3": np.eye(3) / 2, "first": np.array([0]), "axis": np.array([2]),
}  # fmt: skip


@pytest.mark.parametrize("operator", OPERATORS)
def test_an_operator_on_all_steps(operator: str) -> None:
    """Within a recurrence: the state is a mean of its results, beside the element of the step."""
    operator = operator.replace("'", '"')
    weights = {**WEIGHTS, **_MORE}
    body = f"a = Add(s0, e0) {operator} f = Mul(x, half) mean = ReduceMean<keepdims=0>(f) d = Add(c, mean) n0 = Tanh(d)"
    read = {name for name in weights if name in body.replace(",", " ").replace(")", " ").replace("(", " ").split()}
    model = scan_model(
        body,
        {"x0": [1, STEPS, 2, 3], "h": [1, 2, 3]},
        {name: weights[name] for name in read},
        states=["h"],
        reads=["x0"],
    )
    normalized = check_floats(model)
    assert any(delayed(node) for node in normalized.graph)
    assert steps_of_regions(model) == [STEPS]


@pytest.mark.parametrize(
    "operator",
    [
        "y = Cast<to=7>(a) x = Cast<to=1>(y)",
        "x = CumSum(a, middle)",
        "x = Gather<axis=1>(c, index)",
        "x = Einsum<equation='...j,jk->...k'>(a, w)",
        "x = InstanceNormalization(a, two_ones, two_ones)",
    ],
)
def test_what_has_no_such_form_is_written_out(operator: str) -> None:
    operator = operator.replace("'", '"')
    weights = {**WEIGHTS, "middle": np.array(1), "two_ones": np.ones(2), "top": 0.0}
    index = "far = Greater(a, top) whole = Cast<to=7>(far) flatone = Reshape(whole, flat) "
    index += "index = Slice(flatone, first, end) "
    body = f"a = Add(s0, e0) {index if 'index' in operator else ''}{operator} f = Mul(x, half) "
    body += "mean = ReduceMean<keepdims=0>(f) d = Add(c, mean) n0 = Tanh(d)"
    read = {name for name in weights if name in body.replace(",", " ").replace(")", " ").replace("(", " ").split()}
    model = scan_model(
        body,
        {"x0": [1, 2, 2, 3], "h": [1, 2, 3]},
        {name: weights[name] for name in read},
        states=["h"],
        reads=["x0"],
    )
    assert not any(delayed(node) for node in check_floats(model).graph)
