"""Refusals: all that a model has, in one message, before anything is calibrated."""

import numpy as np
import pytest
from support.model_comparison import build

import zkinfer as zk
from zkinfer.compiler.onnx.load import load_model
from zkinfer.compiler.onnx.refusals import require_none
from zkinfer.errors import BoundsError, DynamicShapeError, UnsupportedOperatorError

X = np.random.default_rng(0).normal(size=(8, 2, 2)).astype(np.float32)


def test_every_node_is_listed_before_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zkinfer.compiler.compile.Examiner", lambda *_: pytest.fail("the model was calibrated"))
    body = """a = Det(x)
    b = Tan(x)
    c = Abs(x)
    d = Clip(c, a)
    y = Add(b, d)"""
    with pytest.raises(UnsupportedOperatorError) as caught:
        zk.compile(build(body, {"x": [1, 2, 2]}), X)
    first, *lines = str(caught.value).splitlines()
    assert first == "3 nodes of the model are refused:"
    assert [name for line, name in zip(lines, ("Det", "Tan", "Clip"), strict=True) if f".{name}," in line] == [
        "Det",
        "Tan",
        "Clip",
    ]
    assert "'a', is computed; only a constant is supported" in lines[2]


def test_one_is_said_without_a_list() -> None:
    with pytest.raises(UnsupportedOperatorError, match=r"^node 'node' \(ai\.onnx\.Det, opset 17\): the operator"):
        load_model(build("y = Det(x)", {"x": [1, 2, 2]}), batch=1)


def test_shapes_that_depend_on_data_are_listed_with_the_rest() -> None:
    body = """at = NonZero(x)
    far = Cast<to=1>(at)
    b = Tan(x)
    s = ReduceSum<keepdims=0>(far)
    y = Add(b, s)"""
    with pytest.raises(DynamicShapeError) as caught:
        load_model(build(body, {"x": [1, 2, 2]}), batch=1)
    first, shape, operator = str(caught.value).splitlines()
    assert first.startswith("2 nodes")
    assert "'at' depends on data" in shape
    assert "Tan" in operator


def test_what_nodes_share_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    body = "\n".join(f"[n{i}] h{i} = Det(x)\ng{i} = Mul(h{i}, c{i})" for i in range(25))
    body += "\n[other] t = Tan(x)\ny = Sum(t, " + ", ".join(f"g{i}" for i in range(25)) + ")"
    weights = {f"c{i}": np.array([float(i)]) for i in range(25)}
    monkeypatch.setattr("zkinfer.compiler.onnx.load.simplify", lambda model: None)
    with pytest.raises(UnsupportedOperatorError) as caught:
        load_model(build(body, {"x": [1, 2, 2]}, weights), batch=1)
    first, shared, other = str(caught.value).splitlines()
    assert first == "26 nodes of the model are refused:"
    assert "(25 such nodes: 'n0', 'n1', " in shared
    assert shared.endswith("'n19', and 5 more)")
    assert "'other'" in other


def test_long_lists_end() -> None:
    with pytest.raises(UnsupportedOperatorError) as caught:
        require_none([UnsupportedOperatorError(f"node 'a' (Tan, opset 17): because of {i}") for i in range(25)])
    first, *lines = str(caught.value).splitlines()
    assert first == "25 nodes of the model are refused:"
    assert len(lines) == 21
    assert lines[0] == "* node 'a' (Tan, opset 17): because of 0"
    assert lines[-1] == "* and 5 more"


def test_refusals_that_name_no_node_are_listed_as_they_are() -> None:
    with pytest.raises(UnsupportedOperatorError, match=r"refused:\n\* some\n\* other$"):
        require_none([UnsupportedOperatorError("some"), UnsupportedOperatorError("other")])


def test_a_shape_that_depends_on_data_is_said_where_a_layer_is_taken_apart() -> None:
    """As converters write nearest neighbours: how many places there are depends on the data."""
    body = """at = NonZero(x)
    flat = Flatten<axis=0>(at)
    y = ai.onnx.ml.ArrayFeatureExtractor(x, flat)"""
    model = build(body, {"x": [1, 4]})
    model.opset_import.add(domain="ai.onnx.ml", version=1)
    with pytest.raises(DynamicShapeError, match="depends on the data, and a circuit has fixed shapes"):
        load_model(model, batch=1)


def test_bounds_are_listed_too() -> None:
    """A node that is refused when the model is lowered does not hide those after it."""
    body = """a = Div(x, far)
    y = Div(x, other)"""
    model = build(body, {"x": [1, 2], "far": [1, 2], "other": [1, 2]}, outputs=["a", "y"])
    x = X[:, 0]
    with pytest.raises((BoundsError, UnsupportedOperatorError)) as caught:
        zk.compile(model, [x, x, x])
    lines = str(caught.value).splitlines()
    assert lines[0] == "2 nodes of the model are refused:"
    assert len(lines) == 3


def test_suppression_of_boxes_is_refused_with_what_to_do() -> None:
    body = """k = NonMaxSuppression(x, scores)
    y = Cast<to=1>(k)"""
    model = build(body, {"x": [1, 5, 4], "scores": [1, 2, 5]})
    with pytest.raises(UnsupportedOperatorError, match="Make the boxes and scores before it the outputs"):
        load_model(model, batch=1)
