"""Loops of models: which are computed at once, which are written out, and which are refused."""

from collections.abc import Mapping

import numpy as np
import pytest
from onnx import TensorProto, helper
from support.loop_models import check_floats, in_integers, loop_model, scan_model, steps_of_regions
from support.model_comparison import build

import zkinfer as zk
from zkinfer.circuit.regions import find_regions
from zkinfer.compiler.onnx import loops, repetition
from zkinfer.compiler.onnx.load import load_model
from zkinfer.compiler.onnx.published import public_names
from zkinfer.compiler.onnx.read import graphs_of
from zkinfer.compiler.onnx.recurrences import delayed
from zkinfer.errors import CompileError, UnsupportedOperatorError

W = np.random.default_rng(0).normal(size=(3, 3)) / 2
SHAPES = {"x": [1, 3]}
COUNT = {"count": np.array(5)}
STEP = "still = Identity(on) p = MatMul(s, w) n = Tanh(p)"
CARRIED = "float s => bool still, float n"


class TestLoop:
    def test_a_constant_number_of_steps(self) -> None:
        model = loop_model(STEP, CARRIED, SHAPES, {**COUNT, "w": W}, given="count, , x")
        check_floats(model)
        assert steps_of_regions(model) == [5]

    def test_the_number_of_the_step_is_a_sequence_of_constants(self) -> None:
        body = "still = Identity(on) f = Cast<to=1>(t) g = Mul(f, tenth) p = Add(s, g) n = Tanh(p)"
        model = loop_model(body, CARRIED, SHAPES, {**COUNT, "tenth": 0.1}, given="count, , x")
        check_floats(model)
        assert steps_of_regions(model) == [5]

    @pytest.mark.parametrize("count", ["", "count"])
    def test_a_condition_of_a_counter(self, count: str) -> None:
        """It is known before the model runs, whether the number of steps is or not."""
        body = "k = Add(i, three) still = Less(k, end) p = MatMul(s, w) n = Tanh(p)"
        weights = {"w": W, "three": np.array(3), "end": np.array(20), "start": np.array(1)}
        weights |= {"count": np.array(2**62)} if count else {}
        names, carried = ["c", "y"], "int64 i, float s => bool still, int64 k, float n"
        model = loop_model(body, carried, SHAPES, weights, given=f"{count}, , start, x", names=names, outputs=["y"])
        check_floats(model)
        assert steps_of_regions(model) == [7]

    def test_a_number_of_steps_that_is_less_than_the_condition_allows(self) -> None:
        body = "still = Less(t, end) p = MatMul(s, w) n = Tanh(p)"
        model = loop_model(body, CARRIED, SHAPES, {**COUNT, "w": W, "end": np.array(9)}, given="count, , x")
        check_floats(model)
        assert steps_of_regions(model) == [5]

    @pytest.mark.parametrize(("first", "steps"), [(True, 1), (False, 0)])
    def test_conditions_that_end_it_at_once(self, first: bool, steps: int) -> None:
        body = "still = Not(yes) p = MatMul(s, w) n = Tanh(p)"
        weights = {**COUNT, "w": W, "yes": np.array(True), "first": np.array(first)}
        before = "a = Neg(x)"
        model = loop_model(body, CARRIED, SHAPES, weights, given="count, first, a", before=before)
        normalized = check_floats(model)
        assert [node.op_type for node in normalized.graph].count("Tanh") == steps

    def test_what_is_collected(self) -> None:
        body = STEP + " o = Mul(n, x)"
        carried = "float s => bool still, float n, float o"
        model = loop_model(
            body, carried, SHAPES, {**COUNT, "w": W}, given="count, , x", names=["y", "rows"], outputs=["y", "rows"]
        )
        check_floats(model)

    def test_states_that_are_passed_through(self) -> None:
        body = "still = Identity(on) p = MatMul(s, w) q = Mul(p, k) n = Tanh(q) same = Identity(k)"
        carried = "float s, float k => bool still, float n, float same"
        model = loop_model(
            body, carried, {"x": [1, 3], "z": [1, 3]}, {**COUNT, "w": W}, given="count, , x, z", names=["y", "u"]
        )
        check_floats(model)
        assert steps_of_regions(model) == [5]

    @pytest.mark.parametrize(
        "read",
        ["e = Gather<axis=1>(x, t)", "t1 = Unsqueeze(t, first) e1 = Gather<axis=1>(x, t1) e = Squeeze(e1, second)"],
    )
    def test_reading_at_the_number_of_the_step(self, read: str) -> None:
        body = f"still = Identity(on) {read} p = MatMul(s, w) q = Add(p, e) n = Tanh(q)"
        weights = {**COUNT, "w": W}
        weights |= {"first": np.array([0]), "second": np.array([1])} if "Squeeze" in read else {}
        model = loop_model(body, CARRIED, {"x": [1, 6, 3], "h": [1, 3]}, weights, given="count, , h")
        check_floats(model)
        assert steps_of_regions(model) == [5]

    def test_a_state_that_comes_to_depend_on_no_state(self) -> None:
        """The condition turns out to be the same at every step, after what depends on states was told apart."""
        body = "still = Identity(on) early = Less(t, end) p = MatMul(s, w) n0 = Where(early, x, p) n = Tanh(n0) "
        body += "k = Add(r, p)"
        model = loop_model(
            body, "float s, float r => bool still, float n, float k", SHAPES, {**COUNT, "w": W, "end": np.array(9)},
            given="count, , x, x", names=["y", "z"], outputs=["y", "z"],
        )  # fmt: skip
        check_floats(model)
        assert in_integers(model).error <= 0.02

    def test_what_it_reads_is_of_an_operator_that_shape_inference_does_not_know(self) -> None:
        model = loop_model(STEP, CARRIED, SHAPES, {**COUNT, "w": W}, given="count, , a", before="a = Gelu(x)")
        model.graph.node[0].domain = "com.microsoft"
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
        check_floats(model)
        assert steps_of_regions(model) == [5]

    def test_slicing_at_the_number_of_the_step(self) -> None:
        body = "still = Identity(on) a = Unsqueeze(t, first) b = Add(a, one) c = Slice(x, a, b, one) "
        body += "e = Squeeze(c, one) p = MatMul(s, w) q = Add(p, e) n = Tanh(q)"
        weights = {**COUNT, "w": W, "first": np.array([0]), "one": np.array([1])}
        model = loop_model(body, CARRIED, {"x": [1, 6, 3], "h": [1, 3]}, weights, given="count, , h")
        check_floats(model)
        assert steps_of_regions(model) == [5]

    def test_a_list_that_every_step_appends_to(self) -> None:
        body = STEP + " more = SequenceInsert(list, n)"
        carried = "float s, seq(float) list => bool still, float n, seq(float) more"
        model = loop_model(
            body, carried, SHAPES, {**COUNT, "w": W}, given="count, , x, empty", names=["h", "all"], outputs=["h"],
            before="empty = SequenceEmpty<dtype=1>()",
        )  # fmt: skip
        model.graph.node.extend(build("y = ConcatFromSequence<axis=1, new_axis=1>(all)", {}).graph.node)
        model.graph.output[0].name = "y"
        check_floats(model)
        assert steps_of_regions(model) == [5]


def test_a_scripted_loop_of_torch() -> None:
    """It appends to a list, and reads an element at the number of the step."""
    torch = pytest.importorskip("torch")

    class Appending(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.cell = torch.nn.Linear(5, 2)

        def forward(self, x):  # type: ignore[no-untyped-def]
            state = torch.zeros(x.shape[0], 2)
            rows: list[torch.Tensor] = []  # type: ignore[name-defined]
            for step in range(x.shape[1]):
                state = torch.tanh(self.cell(torch.cat([x[:, step], state], 1)))
                rows.append(state)
            return torch.stack(rows, 1)

    x = np.random.default_rng(3).normal(size=(8, 9, 3)).astype(np.float32)
    circuit = zk.compile(torch.jit.script(Appending()), x, exporter="torchscript")
    assert [region.steps for region in find_regions(circuit.program)] == [9]
    assert circuit.fidelity is not None
    assert not circuit.fidelity.left


class TestWrittenOut:
    def test_a_state_that_grows(self) -> None:
        body = "still = Identity(on) a = Tanh(x) n = Concat<axis=1>(s, a)"
        assert not steps_of_regions(loop_model(body, CARRIED, SHAPES, COUNT, given="count, , x"))

    def test_a_branch_that_the_number_of_the_step_decides(self) -> None:
        body = "still = Identity(on) early = Less(t, two) "
        body += "n = If<then_branch=a () => (float u) {u = Tanh(s)}, "
        body += "else_branch=b () => (float v) {v = MatMul(s, w)}>(early)"
        model = loop_model(body, CARRIED, SHAPES, {**COUNT, "two": np.array(2), "w": W}, given="count, , x")
        normalized = check_floats(model)
        assert [node.op_type for node in normalized.graph] == ["Tanh"] * 2 + ["MatMul"] * 3

    def test_whole_numbers_that_depend_on_data(self) -> None:
        body = "still = Identity(on) p = MatMul(s, w) i = ArgMax<axis=1>(p) f = Cast<to=1>(i) q = Add(p, f) "
        body += "n = Tanh(q) m = Add(k, i)"
        carried = "float s, int64 k => bool still, float n, int64 m"
        model = loop_model(
            body, carried, SHAPES, {**COUNT, "w": W, "start": np.array([[0]])}, given="count, , x, start",
            names=["y", "last"], outputs=["y"],
        )  # fmt: skip
        check_floats(model)
        assert in_integers(model).error <= 0.02

    def test_a_convolution(self) -> None:
        body = "p = Conv<pads=[1, 1]>(s0, kernel) q = Add(p, e0) n0 = Tanh(q)"
        kernel = np.random.default_rng(1).normal(size=(2, 2, 3)) / 3
        model = scan_model(body, {"x": [1, 3, 2, 4], "h": [1, 2, 4]}, {"kernel": kernel}, states=["h"], reads=["x"])
        normalized = check_floats(model)
        assert [node.op_type for node in normalized.graph].count("Conv") == 3
        assert steps_of_regions(model) == []

    def test_a_loop_within_a_scan_stays_a_recurrence_in_every_step(self) -> None:
        inner = "still = Identity(on) p = MatMul(s, w) q = Add(p, e0) n = Tanh(q)"
        body = f"n0 = Loop<body=inside (int64 t, bool on, float s) => (bool still, float n) {{ {inner} }}>(count, , s0)"
        model = scan_model(body, {"x": [1, 2, 3], "h": [1, 3]}, {**COUNT, "w": W}, states=["h"], reads=["x"])
        # Without it, onnxruntime does not run the model as it is.
        (scan,) = model.graph.node
        result = next(attribute for attribute in scan.attribute if attribute.name == "body").g.output[0]
        result.CopyFrom(helper.make_tensor_value_info("n0", TensorProto.FLOAT, [1, 3]))
        check_floats(model)
        assert steps_of_regions(model) == [5, 5]

    def test_a_layer_within_a_scan_stays_a_recurrence_in_every_step(self) -> None:
        body = "a = Transpose<perm=[1, 0, 2]>(e0) b, p = GRU<hidden_size=3>(a, weight, recurrent) "
        body += "q = Add(p, s0) n0 = Tanh(q)"
        rng = np.random.default_rng(1)
        weights = {"weight": rng.normal(size=(1, 9, 2)), "recurrent": rng.normal(size=(1, 9, 3)) / 2}
        model = scan_model(body, {"x": [1, 2, 4, 2], "h": [1, 1, 3]}, weights, states=["h"], reads=["x"])
        check_floats(model)
        assert steps_of_regions(model) == [4, 4]

    def test_too_many_nodes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(loops, "MAX_UNROLLED_NODES", 10)
        body = "p = Conv<pads=[1, 1]>(s0, kernel) q = Add(p, e0) n0 = Tanh(q)"
        model = scan_model(
            body, {"x": [1, 9, 2, 4], "h": [1, 2, 4]}, {"kernel": np.ones((2, 2, 3))}, states=["h"], reads=["x"]
        )
        with pytest.raises(CompileError, match=r"Scan.*Conv.*[0-9]+ nodes; up to 10 are compiled"):
            load_model(model, batch=1)


class TestRefused:
    def refused(self, message: str, body: str, given: str, weights: Mapping[str, object], before: str = "") -> None:
        model = loop_model(body, CARRIED, SHAPES, {"w": W, **weights}, given=given, before=before)
        with pytest.raises(UnsupportedOperatorError, match=message) as caught:
            load_model(model, batch=1)
        assert "ai.onnx.Loop" in str(caught.value)

    def test_a_number_of_steps_that_depends_on_data(self) -> None:
        before = "total = ReduceSum<keepdims=0>(x)\nwhole = Cast<to=7>(total)"
        self.refused(
            "how often it runs, 'whole', depends on data.*update a state with Where, only while",
            STEP,
            "whole, , x",
            {},
            before,
        )

    def test_a_condition_that_depends_on_data(self) -> None:
        body = "p = MatMul(s, w) n = Tanh(p) m = ReduceMax<keepdims=0>(n) still = Less(m, half)"
        self.refused("its condition 'still' depends on data.*Where", body, "count, , x", {**COUNT, "half": 0.5})

    def test_a_first_condition_that_depends_on_data(self) -> None:
        before = "total = ReduceSum<keepdims=0>(x)\nfirst = Cast<to=9>(total)"
        self.refused("its condition 'first' depends on data", STEP, "count, first, x", COUNT, before)

    def test_loops_without_an_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(repetition, "MAX_STEPS", 100)
        self.refused("does not end within 100 steps", STEP, ", , x", {})
        body = "p = MatMul(s, w) n = Tanh(p) still = Less(t, end)"
        self.refused("does not end within 100 steps", body, ", , x", {"end": np.array(2**40)})

    def test_what_is_collected_of_no_step(self) -> None:
        body, carried = STEP + " o = Mul(n, x)", "float s => bool still, float n, float o"
        model = loop_model(
            body, carried, SHAPES, {"count": np.array(0), "w": W}, given="count, , x", names=["y", "rows"],
            outputs=["y", "rows"],
        )  # fmt: skip
        with pytest.raises(UnsupportedOperatorError, match="runs for no step"):
            load_model(model, batch=1)

    def test_lists_that_are_more_than_appended_to(self) -> None:
        body = STEP + " first = SequenceAt(list, zero) more = SequenceInsert(list, n)"
        carried = "float s, seq(float) list => bool still, float n, seq(float) more"
        model = loop_model(
            body, carried, SHAPES, {**COUNT, "w": W, "zero": np.array(0)}, given="count, , x, start",
            names=["y", "all"], outputs=["y"], before="start = SequenceConstruct(x)",
        )  # fmt: skip
        with pytest.raises(CompileError, match=r"'list' is a list\. Supported are lists that are empty"):
            load_model(model, batch=1)


class TestValuesFromOutside:
    @pytest.mark.parametrize("count", [1, 5])
    def test_what_every_step_collects_is_the_same(self, count: int) -> None:
        """It is computed before the loop, whose body then gives what it does not make."""
        model = loop_model(
            STEP + " o = Relu(x)", CARRIED + ", float o", SHAPES, {"count": np.array(count), "w": W},
            given="count, , x", names=["y", "rows"], outputs=["y", "rows"],
        )  # fmt: skip
        check_floats(model)
        in_integers(model)

    def test_twice_and_in_a_scan(self) -> None:
        model = scan_model(
            "a = Relu(h) n0 = Identity(a) o0 = Identity(a) o1 = Add(s0, e0)",
            {"x": [1, 4, 3], "h": [1, 3]}, states=["h"], reads=["x"], collected=2,
        )  # fmt: skip
        check_floats(model)

    def test_a_loop_in_a_body_reads_nothing_but_the_number_of_its_steps(self) -> None:
        inner = "on2 = Identity(more) o = Tanh(s)"
        body = f"still = Identity(on) all = Loop<body=inner (int64 k, bool more) => (bool on2, float o) {{ {inner} }}>"
        body += "(count, ) p = ReduceMean<axes=[0], keepdims=0>(all) n = Add(p, x)"
        model = loop_model(body, CARRIED, SHAPES, COUNT, given="count, , x")
        (inner_loop,) = (node for graph in graphs_of(model) for node in graph.node if node.input == ["count"])
        inner_loop.input.append("")
        check_floats(model)

    def test_a_scan_over_what_a_loop_collects_whose_steps_a_condition_counts(self) -> None:
        """It has to wait until the loop is settled."""
        first = "still = Less(t, end) n = Tanh(s) o = Relu(x)"
        model = loop_model(
            first, "float s => bool still, float n, float o", SHAPES, {"end": np.array(3), "true": np.array(True)},
            given=", true, x", names=["y", "rows"], outputs=["y"],
        )  # fmt: skip
        scan = scan_model("n0 = Add(s0, e0)", {"x": [1, 3], "rows": [4, 1, 3]}, states=["x"], reads=["rows"],
                          attributes="scan_input_axes=[0]").graph.node[0]  # fmt: skip
        scan.output[0] = "z"
        for value in scan.attribute[-1].g.input:
            value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, [1, 3]))
        model.graph.node.append(scan)
        model.graph.output.add(name="z").type.tensor_type.elem_type = TensorProto.FLOAT
        check_floats(model)


def test_every_kept_scan_is_a_recurrence() -> None:
    model = loop_model(STEP, CARRIED, SHAPES, {**COUNT, "w": W}, given="count, , x")
    assert all(delayed(node) for node in load_model(model, batch=1).graph if node.op_type == "Scan")


@pytest.mark.parametrize("steps", [1, 3])
def test_numbers_that_a_body_writes_down_are_public_and_parameters_are_not(steps: int) -> None:
    """Whether the body is computed at once or written out."""
    body = "c = Constant<value_float=0.3>() p = Mul(s0, c) q = Mul(p, scale) r = Add(q, e0) n0 = Tanh(r)"
    model = scan_model(body, {"x": [1, steps, 3], "h": [1, 3]}, {"scale": np.array([0.7])}, states=["h"], reads=["x"])
    normalized = load_model(model, batch=1)
    numbers = {
        name: float(value.const_value.numpy().item())
        for name, value in normalized.graph.initializers.items()
        if value.const_value is not None and value.const_value.size == 1
    }
    public = {numbers[name] for name in public_names(normalized) if name in numbers}
    assert np.float32(0.3) in public
    assert np.float32(0.7) not in public
    assert np.float32(0.7) in numbers.values()
