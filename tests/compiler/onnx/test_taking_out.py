"""What is taken out of the body of a loop: afterwards it holds only what steps have to do."""

import numpy as np
import onnx
import onnx_ir
from support.loop_models import check_floats, loop_model, scan_model

from zkinfer.compiler.onnx.load import load_model
from zkinfer.compiler.onnx.recurrences import delayed

COUNT = {"count": np.array(5)}


def operators(model: onnx.ModelProto) -> list[list[str]]:
    """The operators outside recurrences, and those within each."""
    graph = load_model(model, batch=1).graph
    inner = [
        [step.op_type for step in node.attributes["body"].as_graph() if step.op_type not in ("Identity", "Unsqueeze")]
        for node in graph
        if delayed(node)
    ]
    assert all(isinstance(node, onnx_ir.Node) for node in graph)
    return [[node.op_type for node in graph if not delayed(node)], *inner]


def test_what_is_the_same_at_every_step_is_done_once() -> None:
    body = "a = Exp(k) n0 = Mul(s0, a) o0 = Sub(n0, e0)"
    model = scan_model(body, {"x": [1, 4, 3], "h": [1, 3], "k": [1, 3]}, states=["h"], reads=["x"], collected=1)
    check_floats(model)
    outside, inside = operators(model)
    assert outside.count("Exp") == 1
    assert "Exp" not in inside


def test_what_follows_from_the_number_of_the_step_is_a_constant() -> None:
    body = "still = Identity(on) f = Cast<to=1>(t) g = Sqrt(f) p = Mul(s, g) n = Tanh(p)"
    model = loop_model(body, "float s => bool still, float n", {"x": [1, 3]}, COUNT, given="count, , x")
    check_floats(model)
    assert not {"Cast", "Sqrt"} & {op for ops in operators(model) for op in ops}


def test_what_is_chosen_by_the_number_of_the_step_is_a_sequence() -> None:
    body = "still = Identity(on) back = Sub(last, t) e = Gather<axis=1>(x, back) p = Mul(s, e) n = Tanh(p)"
    model = loop_model(
        body, "float s => bool still, float n", {"x": [1, 5, 3], "h": [1, 3]}, {**COUNT, "last": np.array(4)},
        given="count, , h",
    )  # fmt: skip
    check_floats(model)
    _, inside = operators(model)
    assert "Gather" not in inside


def test_results_that_are_known() -> None:
    """A counter after the loop, and the numbers of all steps, are constants of the model."""
    body = "still = Identity(on) k = Add(i, two) f = Cast<to=1>(k) n = Mul(s, f) o = Identity(f)"
    model = loop_model(
        body,
        "int64 i, float s => bool still, int64 k, float n, float o",
        {"x": [1, 3]},
        {**COUNT, "start": np.array(1), "two": np.array(2)},
        given="count, , start, x",
        names=["c", "a", "b"],
        outputs=["y"],
    )
    model.graph.node.extend(
        onnx_ir.serde.serialize_node(
            onnx_ir.node(
                op, [onnx_ir.Value(name=name) for name in given], attributes, outputs=[onnx_ir.Value(name=out)]
            )
        )
        for op, given, attributes, out in (
            ("ReduceSum", ["b"], {"keepdims": 0}, "total"),
            ("Cast", ["c"], {"to": 1}, "last"),
            ("Mul", ["a", "total"], {}, "scaled"),
            ("Add", ["scaled", "last"], {}, "y"),
        )
    )
    check_floats(model)
