"""Scans whose steps are computed at once: the values of onnxruntime, and circuits that do not grow with the steps."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.loop_models import check_floats, in_integers, samples, scan_model, steps_of_regions
from support.recurrent_programs import check_all_agree

import zkinfer as zk
from zkinfer.circuit.program import Delay
from zkinfer.circuit.qformat import quantize
from zkinfer.circuit.regions import find_regions
from zkinfer.compiler.onnx.recurrences import delayed

W = np.random.default_rng(0).normal(size=(3, 3)) / 2
SHAPES = {"x": [1, 5, 3], "h": [1, 3]}
CELL = "p = MatMul(s0, w) q = Add(p, e0) n0 = Tanh(q)"


def test_the_circuit_does_not_grow_with_the_steps() -> None:
    few, many = (
        in_integers(scan_model(CELL, {"x": [1, steps, 3], "h": [1, 3]}, {"w": W}, states=["h"], reads=["x"]))
        for steps in (3, 40)
    )
    # Formats are those of each model's data: a lookup between two of them is there or is not.
    assert abs(len(few.program.nodes) - len(many.program.nodes)) <= 2
    assert [region.steps for region in find_regions(many.program)] == [40]
    assert max(few.error, many.error) <= 0.02


def test_only_what_states_depend_on_each_other_through_is_a_recurrence() -> None:
    """What an element alone gives is computed before it, and what is only collected after it."""
    body = "f = MatMul(e0, w) g = Relu(f) p = Mul(s0, half) q = Add(p, g) n0 = Tanh(q) o0 = MatMul(n0, w)"
    model = scan_model(body, SHAPES, {"w": W, "half": 0.5}, states=["h"], reads=["x"], collected=1)
    check_floats(model)
    result = in_integers(model)
    (region,) = find_regions(result.program)
    first = result.program.num_values - len(result.program.nodes)
    labels = [result.program.nodes[value - first].out.label for value in region.values]
    assert not any(name in label for label in labels for name in ("y0/f", "y0/g", "y0/o0"))
    assert result.error <= 0.02


def test_a_state_that_depends_on_no_state_is_a_sequence_one_step_later() -> None:
    model = scan_model(
        "n0 = Tanh(e0) o0 = Sub(n0, s0) n1 = Add(s0, e0) o1 = Mul(s1, half)",
        {"x": [1, 4, 3], "h": [1, 3], "k": [1, 3]},
        {"half": 0.5},
        states=["h", "k"],
        reads=["x"],
        collected=2,
    )
    assert not any(delayed(node) for node in check_floats(model).graph)
    assert steps_of_regions(model) == []


def test_states_that_exchange_their_values() -> None:
    body = "p = Add(s0, e0) n1 = Tanh(p) q = Sub(s1, e0) n0 = Sigmoid(q) o0 = Identity(s1)"
    shapes = {"x": [1, 6, 3], "h": [1, 3], "k": [1, 3]}
    model = scan_model(body, shapes, states=["h", "k"], reads=["x"], collected=1)
    check_floats(model)
    assert steps_of_regions(model) == [6]


def test_values_from_outside_the_body() -> None:
    """Computed ones, which every step reads, and constants of the body itself."""
    body = "c = Constant<value_float=0.5>() p = Mul(s0, c) q = Add(p, e0) r = Mul(q, k) t = Concat<axis=1>(r, z) "
    body += "u = Slice(t, first, last, second) n0 = Tanh(u) o0 = Concat<axis=1>(n0, z)"
    weights = {"z": np.full((1, 1), 0.25), "first": np.array([1]), "last": np.array([4]), "second": np.array([1])}
    model = scan_model(body, {**SHAPES, "k": [1, 3]}, weights, states=["h"], reads=["x"], collected=1)
    check_floats(model)
    assert steps_of_regions(model) == [5]


def test_a_state_that_is_passed_through_beside_one_that_is_not() -> None:
    body = "a = Add(s0, e0) n0 = Tanh(a) n1 = Identity(s1) o0 = Add(n0, s1)"
    shapes = {**SHAPES, "k": [1, 3]}
    model = scan_model(body, shapes, states=["h", "k"], reads=["x"], collected=1, outputs=["y0", "y2"])
    check_floats(model)
    assert steps_of_regions(model) == [5]


def test_a_sum_of_all_steps() -> None:
    """A state that is no result of a table: the recurrence rounds it at every step."""
    model = scan_model("n0 = Add(s0, e0) o0 = Identity(n0)", SHAPES, states=["h"], reads=["x"], collected=1)
    check_floats(model)
    assert steps_of_regions(model) == [5]


@pytest.mark.parametrize("opset", [13, 17, 21, 25])
def test_versions_of_the_operator_set(opset: int) -> None:
    check_floats(scan_model(CELL, SHAPES, {"w": W}, states=["h"], reads=["x"], opset=opset))


@given(
    steps=st.integers(1, 30),
    states=st.integers(0, 2),
    axis=st.integers(1, 2),
    backward=st.integers(0, 1),
    out_axis=st.sampled_from([0, 1, 2, -1]),
    out_backward=st.integers(0, 1),
    gate=st.booleans(),
)
@settings(max_examples=10, deadline=None)
def test_everything_that_runs_a_scan_computes_the_same_integers(
    steps: int, states: int, axis: int, backward: int, out_axis: int, out_backward: int, gate: bool
) -> None:
    """onnxruntime in floats; the evaluator, the executor, and the program without regions in integers."""
    sizes = [1, 3]
    sizes.insert(axis, steps)
    body = ["f = Mul(e0, e1)"]
    last = "f"
    for k in range(states):
        body += [f"a{k} = MatMul(s{k}, w)", f"b{k} = Add(a{k}, {last})", f"n{k} = Tanh(b{k})"]
        last = f"n{k}"
    body += [f"g = Sigmoid({last})", "o0 = Mul(g, e0)"] if gate else [f"o0 = Sub({last}, e1)"]
    attributes = f"scan_input_axes=[{axis}, {axis}], scan_input_directions=[{backward}, 0], "
    attributes += f"scan_output_axes=[{out_axis}], scan_output_directions=[{out_backward}]"
    # The batch has to be the first axis of every output of a model.
    moved = out_axis % 3 == 0
    model = scan_model(
        " ".join(body),
        {"x": sizes, "z": sizes, **{f"h{k}": [1, 3] for k in range(states)}},
        {"w": W} if states else {},
        states=[f"h{k}" for k in range(states)],
        reads=["x", "z"],
        collected=1,
        attributes=attributes,
        outputs=[f"y{k}" for k in range(states + (not moved))] or ["y0"],
    )
    check_floats(model)
    if moved and not states:
        return
    result = in_integers(model)
    assert result.error <= 0.02
    program, weights = result.program, result.lowered.weights
    integers = [quantize(array[:2, None], tensor) for array, tensor in zip(samples(model), program.inputs, strict=True)]
    check_all_agree(program, weights, integers)


def test_a_step_that_is_the_only_one_is_no_recurrence() -> None:
    model = scan_model(CELL, {"x": [1, 1, 3], "h": [1, 3]}, {"w": W}, states=["h"], reads=["x"])
    check_floats(model)
    assert not any(isinstance(node, Delay) for node in in_integers(model).program.nodes)


def test_a_scan_of_torch() -> None:
    """What its exporter makes of `scan`."""
    torch = pytest.importorskip("torch")
    from torch._higher_order_ops.scan import scan

    class Recurrent(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.cell = torch.nn.Linear(5, 2)

        def forward(self, x: Any) -> Any:
            def step(state: Any, element: Any) -> Any:
                state = torch.tanh(self.cell(torch.cat([element, state], 1)))
                return state, state.clone()

            return scan(step, torch.zeros(x.shape[0], 2), x, dim=1)[1]

    x = np.random.default_rng(3).normal(size=(8, 9, 3)).astype(np.float32)
    circuit = zk.compile(Recurrent(), x)
    assert [region.steps for region in find_regions(circuit.program)] == [9]
    assert circuit.fidelity is not None
    assert not circuit.fidelity.left
