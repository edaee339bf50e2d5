"""Recurrences of a normalized model: a Scan gives the states before the steps, the graph everything else."""

import numpy as np
import onnx
from onnx import TensorProto, helper
from support.model_comparison import build

from zkinfer.compiler.calibration.float_model import FloatModel
from zkinfer.compiler.onnx.load import load_model
from zkinfer.compiler.onnx.recurrences import delayed, drop_unread

STEPS, INPUTS, HIDDEN = 5, 3, 4


def layer() -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    tensors = {"w": rng.normal(size=(1, HIDDEN, INPUTS)), "r": rng.normal(size=(1, HIDDEN, HIDDEN))}
    body = f"y, h = RNN<hidden_size={HIDDEN}, layout=1>(x, w, r)"
    return build(body, {"x": [1, STEPS, INPUTS]}, tensors, outputs=["h"])


def test_the_states_before_the_steps_are_those_after_the_steps_one_step_later() -> None:
    model = load_model(layer(), batch=1)
    ((state,),) = (states for node in model.graph if (states := delayed(node)))
    x = np.random.default_rng(1).normal(size=(2, 1, STEPS, INPUTS)).astype(np.float32)
    tensors = FloatModel(model).run([x])
    before, after = tensors[state.before.name or ""], tensors[state.after]
    assert before.shape == after.shape == (2, STEPS, 1, HIDDEN)
    np.testing.assert_array_equal(before[:, 0], 0)
    np.testing.assert_allclose(before[:, 1:], after[:, :-1], atol=1e-6)


def test_what_a_step_passes_on_is_kept_though_the_graph_does_not_read_it() -> None:
    model = load_model(layer(), batch=1)
    (state,) = next(states for node in model.graph if (states := delayed(node)))
    names = {value.name for node in model.graph for value in node.outputs}
    (last,) = model.graph.outputs
    assert last.producer() is not None
    # Of the states after the steps, the graph reads the last alone; here it reads none.
    reader = next(node for node in model.graph if node.inputs and node.inputs[0] and node.inputs[0].name == state.after)
    reader.replace_input_with(0, state.before)
    drop_unread(model)
    assert {value.name for node in model.graph for value in node.outputs} == names
    assert list(model.graph.outputs) == [last]
    assert not any(value.is_graph_output() for node in model.graph for value in node.outputs if value is not last)


def test_the_note_of_a_scan_that_a_model_brings_along_counts_for_nothing() -> None:
    """Otherwise a model could say that a recurrence computes another function than its Scan."""
    row = helper.make_tensor_value_info("row", TensorProto.FLOAT, [1, 2])
    named = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in ("s", "t", "u")}
    body = helper.make_graph(
        [helper.make_node("Add", ["s", "row"], ["t"]), helper.make_node("Identity", ["s"], ["u"])],
        "body",
        [named["s"], row],
        [named["t"], named["u"]],
    )
    scan = helper.make_node("Scan", ["x", "rows"], ["end", "before"], body=body, num_scan_inputs=1)
    scan.metadata_props.add(key="zkinfer.next", value="y")
    nodes = [
        helper.make_node("Unsqueeze", ["x", "axis"], ["rows"]),
        scan,
        helper.make_node("Neg", ["before"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [helper.make_tensor("axis", TensorProto.INT64, [1], [0])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    normalized = load_model(model, batch=1)
    assert not any(delayed(node) for node in normalized.graph)
    x = np.array([[[1.0, 2.0]]], dtype=np.float32)
    # What the Scan gives is kept as it is, and the negation of it is no state.
    np.testing.assert_array_equal(FloatModel(normalized).run([x])["y"], [[[[-1.0, -2.0]]]])
