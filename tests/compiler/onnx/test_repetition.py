"""What Scans and Loops repeat, and how often."""

import numpy as np
import onnx
import onnx_ir
import pytest
from support.loop_models import loop_model, scan_model

from zkinfer.compiler.onnx.load import load_model
from zkinfer.compiler.onnx.repetition import Repetition, known_part, repetition
from zkinfer.errors import CompileError, UnsupportedOperatorError


def found_in(model: onnx.ModelProto) -> Repetition:
    graph = onnx_ir.serde.deserialize_model(model).graph
    (node,) = (node for node in graph if node.op_type in ("Loop", "Scan"))
    return repetition(node)


def test_a_scan() -> None:
    model = scan_model(
        "n0 = Add(s0, e0) o0 = Mul(e0, e1)",
        {"h": [1, 3], "x": [1, 4, 3], "z": [1, 3, 4]},
        states=["h"],
        reads=["x", "z"],
        collected=1,
        attributes="scan_input_axes=[1, -1], scan_input_directions=[0, 1], scan_output_axes=[-1]",
    )
    found = found_in(model)
    assert found.steps == 4
    assert [(state.initial.name, state.before.name, state.after.name, state.final.name) for state in found.states] == [
        ("h", "s0", "n0", "y0")
    ]
    assert [(read.source.name, read.element.name, read.axis, read.backward) for read in found.reads] == [
        ("x", "e0", 1, False),
        ("z", "e1", 2, True),
    ]
    assert [(c.element.name, c.result.name, c.axis) for c in found.collects] == [("o0", "y1", -1)]


def test_sequences_of_different_lengths() -> None:
    shapes = {"h": [1, 3], "x": [1, 4, 3], "z": [1, 5, 3]}
    model = scan_model("a = Add(s0, e0) n0 = Add(a, e1)", shapes, states=["h"], reads=["x", "z"])
    with pytest.raises(UnsupportedOperatorError, match=r"different lengths, \[4, 5\]"):
        found_in(model)


def test_constants_that_grow_with_every_step() -> None:
    body = "still = Identity(on) k = Concat<axis=0>(i, i) f = Cast<to=1>(k) g = ReduceSum<keepdims=0>(f) n = Mul(s, g)"
    model = loop_model(
        body,
        "int64 i, float s => bool still, int64 k, float n",
        {"x": [1, 3]},
        {"count": np.array(60), "start": np.array([1])},
        given="count, , start, x",
        names=["c", "y"],
        outputs=["y"],
    )
    with pytest.raises(CompileError, match="more than 4,194,304 elements of constants in a step"):
        load_model(model, batch=1)


def test_what_is_known_of_a_loop() -> None:
    """A counter and what follows from it, step by step; not what depends on data, nor what may be large."""
    body = "still = Identity(on) k = Mul(i, two) f = Cast<to=1>(k) g = Mul(f, s) n = Tanh(g) far = Range(zero, i, two)"
    model = loop_model(
        body,
        "int64 i, float s => bool still, int64 k, float n",
        {"x": [1, 3]},
        {"count": np.array(3), "start": np.array(1), "two": np.array(2), "zero": np.array(0)},
        given="count, , start, x",
        names=["c", "y"],
        outputs=["y"],
    )
    found = found_in(model)
    assert found.steps == 3
    part = known_part(found)
    assert [node.op_type for node in part.nodes] == ["Identity", "Mul", "Cast"] or [
        node.op_type for node in part.nodes
    ] == ["Mul", "Cast"]
    assert [state.before.name for state in part.states] == ["i"]
    (f,) = (value for value in part.values if value.name == "f")
    elements = ({read.element: np.array(step) for read in found.reads} for step in range(3))
    assert [float(values[f]) for values in part.steps([f], elements)] == [2, 4, 8]
