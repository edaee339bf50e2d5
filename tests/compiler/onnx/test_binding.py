"""Binding: what a model leaves open comes from the data or the caller; the rest is an error that says what to do."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from support.model_comparison import build

import zkinfer as zk
from zkinfer.compiler.onnx.binding import Open, bind, open_inputs
from zkinfer.errors import DynamicShapeError, InvalidInputError, ShapeError
from zkinfer.typing import Array

RNG = np.random.default_rng(0)
NOTHING = Open({}, {}, {}, {})

Shape = Sequence[int | str]


def zeros(*shape: int) -> Array:
    return np.zeros(shape, dtype=np.float32)


def shapes_after(inputs: Mapping[str, Shape], data: Mapping[str, Array], batch: int = 1, **said: Any) -> dict[str, Any]:
    """The shapes of a model's inputs once it is bound to data."""
    proto = build("y = Sum(" + ", ".join(inputs) + ")", inputs)
    bind(proto, data, batch, NOTHING._replace(**said))
    return open_inputs(proto)


class TestSizes:
    def test_come_from_the_data(self) -> None:
        found = shapes_after({"x": ["n", 3, "h", "w"]}, {"x": zeros(5, 3, 6, 8)}, batch=2)
        assert found == {"x": (2, 3, 6, 8)}

    def test_come_from_one_sample_too(self) -> None:
        assert shapes_after({"x": ["n", "h", "w"]}, {"x": zeros(6, 8)}) == {"x": (1, 6, 8)}

    def test_that_have_one_name_are_one(self) -> None:
        inputs: dict[str, Shape] = {"x": ["n", "s"], "mask": ["n", "s"]}
        with pytest.raises(ShapeError, match="'s' is 4 in the data of one input, and 5 in that of 'mask'"):
            shapes_after(inputs, {"x": zeros(2, 4), "mask": zeros(2, 5)})

    def test_that_have_no_name_differ(self) -> None:
        assert shapes_after({"x": ["n", "?", "?"]}, {"x": zeros(2, 4, 5)}) == {"x": (1, 4, 5)}

    def test_come_from_the_caller_by_their_name(self) -> None:
        assert shapes_after({"x": ["n", "s"]}, {"x": zeros(2, 4)}, shapes={"s": 4}) == {"x": (1, 4)}

    def test_come_from_the_caller_by_the_inputs_name(self) -> None:
        assert shapes_after({"x": ["n", "?", 7]}, {"x": zeros(2, 4, 7)}, shapes={"x": [None, 4, None]}) == {
            "x": (1, 4, 7)
        }

    def test_that_contradict_the_model_are_refused(self) -> None:
        with pytest.raises(
            ShapeError, match=r"shapes gives input 'x' the shape \(1, 4, 8\); the model says \[n, s, 7\]"
        ):
            shapes_after({"x": ["n", "s", 7]}, {"x": zeros(2, 4, 7)}, shapes={"x": [1, 4, 8]})

    def test_that_contradict_the_data_are_refused(self) -> None:
        with pytest.raises(ShapeError, match=r"shape \(samples, 4\), got \(2, 5\)"):
            zk.compile(build("y = Relu(x)", {"x": ["n", "s"]}), zeros(2, 5), shapes={"s": 4})

    def test_that_nobody_tells_are_named(self) -> None:
        model = build("y = Add(x, h)\nz = Neg(y)", {"x": ["n", 4], "h": ["n", "units"]}, outputs=["y", "z"])
        with pytest.raises(DynamicShapeError, match=r"'h': axis 1 \(units\).*shapes={'units': 32}"):
            zk.compile(model, {"x": zeros(4, 4)}, states={"h": "z"})

    def test_are_said_in_one_line(self) -> None:
        circuit = zk.compile(build("y = Relu(x)", {"x": ["n", "s"]}), RNG.normal(size=(8, 6)))
        assert circuit.bound == "bound: s = 6"
        assert zk.compile(build("y = Relu(x)", {"x": ["n", 6]}), RNG.normal(size=(8, 6))).bound == ""


class TestConstants:
    def model(self) -> onnx.ModelProto:
        return build("y = Mul(x, k)", {"x": ["n", 4], "k": []})

    @pytest.mark.parametrize("given", [{"x": zeros(8, 4) + 1, "k": 3}, [zeros(8, 4) + 1, np.float32(3)]])
    def test_a_number_in_the_data_is_one(self, given: Any) -> None:
        circuit = zk.compile(self.model(), given)
        assert [tensor.label for tensor in circuit.program.inputs] == ["x"]
        assert circuit.run(np.ones((1, 4))) == pytest.approx(np.full((1, 4), 3.0), rel=1e-3)

    def test_a_number_of_the_caller_is_one(self) -> None:
        said = zk.compile(self.model(), zeros(8, 4) + 1, constants={"k": 3})
        assert said.digest == zk.compile(self.model(), {"x": zeros(8, 4) + 1, "k": 3}).digest

    def test_a_number_fills_the_inputs_shape(self) -> None:
        model = build("y = Add(x, k)", {"x": ["n", 4], "k": [1, 4]})
        circuit = zk.compile(model, zeros(8, 4) + 1, constants={"k": 2})
        assert circuit.run(np.ones((1, 4))) == pytest.approx(np.full((1, 4), 3.0), rel=1e-3)

    def test_a_branch_on_one_is_decided(self) -> None:
        def branch(op: str) -> onnx.GraphProto:
            return helper.make_graph(
                [helper.make_node(op, ["x"], [f"{op}_y"])],
                op,
                [],
                [helper.make_tensor_value_info(f"{op}_y", TensorProto.FLOAT, None)],
            )

        model = build("rate = Identity(sr)\nc = Equal(rate, fast)", {"x": ["n", 4], "sr": []}, {"fast": 16000})
        model.graph.input[1].type.tensor_type.elem_type = TensorProto.INT64
        model.graph.node.append(
            helper.make_node("If", ["c"], ["y"], then_branch=branch("Neg"), else_branch=branch("Abs"))
        )
        x = RNG.normal(size=(8, 4)).astype(np.float32)
        for rate, right in ((16000, -x), (8000, np.abs(x))):
            assert zk.compile(model, {"x": x, "sr": rate}).run(x) == pytest.approx(right, abs=1e-3)

    @pytest.mark.parametrize(
        ("constants", "match"),
        [
            ({"k": 1, "q": 3}, "'q', which is not an input"),
            ({"k": "fast"}, "'k' is not of the input's type, float32"),
            ({"k": [1.0, 2.0]}, r"'k' has the shape \(2,\), the input \[\]"),
            ({"x": 3}, r"\[n, 4\], whose open sizes"),
        ],
    )
    def test_of_another_form_are_refused(self, constants: Mapping[str, Any], match: str) -> None:
        with pytest.raises((InvalidInputError, DynamicShapeError), match=match):
            zk.compile(self.model(), [zeros(8, 4)], constants=constants)

    def test_a_fraction_is_no_integer(self) -> None:
        model = build("y = Mul(x, k)", {"x": ["n", 4], "k": []}, types=dict.fromkeys("xky", TensorProto.INT64))
        with pytest.raises(InvalidInputError, match="int64"):
            zk.compile(model, np.ones((8, 4), np.int64), constants={"k": 2.5})

    def test_an_input_without_data_is_named_with_the_way_out(self) -> None:
        with pytest.raises(InvalidInputError, match=r"constants=\{'k': 0\}"):
            bind(self.model(), {"x": zeros(8, 4)}, 1, NOTHING)


class TestBatchAxes:
    @pytest.mark.parametrize(
        ("shape", "sample", "axes", "right"),
        [
            ([2, "batch", 5], (2, 5), {}, (1, 2, 5)),
            (["seq", "batch", 5], (7, 5), {}, (1, 7, 5)),
            ([2, 1, 5], (2, 5), {}, (1, 2, 5)),
            ([2, "?", 5], (2, 5), {}, (1, 2, 5)),
            (["q", 2, "r"], (3, 2), {"h": 2}, (1, 3, 2)),
            ([2, 1, 5], (2, 1, 5), {}, (1, 2, 1, 5)),
            ([2, "batch", 5], (2, 1, 5), {}, (1, 2, 1, 5)),
            ([5], (5,), {"h": None}, (1, 5)),
            ([], (), {}, (1,)),
        ],
    )
    def test_are_found_in_names_and_shapes(
        self, shape: Shape, sample: Shape, axes: Mapping[str, int | None], right: Shape
    ) -> None:
        data = {"x": zeros(4, 5), "h": np.zeros((4, *(int(n) for n in sample)), dtype=np.float32)}
        found = shapes_after({"x": ["batch", 5], "h": shape}, data, batch_axes=axes)
        assert found == {"x": (1, 5), "h": right}

    @pytest.mark.parametrize("batch", [1, 3])
    def test_the_circuit_has_samples_first_and_computes_the_same(self, batch: int) -> None:
        body = "t = Transpose<perm=[1, 0, 2]>(h)\ny = Mul(x, t)\nz = Neg(h)"
        model = build(body, {"x": ["n", 2, 5], "h": [2, "n", 5]}, outputs=["y", "z"])
        model.graph.output[1].CopyFrom(helper.make_tensor_value_info("z", TensorProto.FLOAT, [2, "n", 5]))
        x, h = (RNG.normal(size=(6, 2, 5)).astype(np.float32) for _ in range(2))
        circuit = zk.compile(model, [x, h], batch=batch)
        assert [tensor.shape for tensor in circuit.program.output_tensors] == [(batch, 2, 5)] * 2
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        y, z = session.run(None, {"x": x, "h": h.swapaxes(0, 1)})
        found = circuit.run([x, h])
        assert found[0] == pytest.approx(y, abs=1e-2)
        assert found[1] == pytest.approx(z.swapaxes(0, 1), abs=1e-3)

    def test_names_within_branches_follow(self) -> None:
        then, other = (
            helper.make_graph(
                [helper.make_node(op, ["h"], [op])],
                op,
                [],
                [helper.make_tensor_value_info(op, TensorProto.FLOAT, None)],
            )
            for op in ("Neg", "Abs")
        )
        model = build("", {"x": ["n", 4], "h": [3, "n"]}, {"yes": np.array(True)}, outputs=["y"])
        model.graph.node.append(helper.make_node("If", ["yes"], ["i"], then_branch=then, else_branch=other))
        model.graph.node.append(helper.make_node("Transpose", ["i"], ["y"], perm=[1, 0]))
        model.graph.input.pop(0)
        h = RNG.normal(size=(6, 3)).astype(np.float32)
        assert zk.compile(model, h, batch_axes={"h": 1}).run(h) == pytest.approx(-h, abs=1e-3)

    def test_without_one_there_is_no_batch(self) -> None:
        with pytest.raises(ShapeError, match=r"'h' of the shape \[5\] has no axis for a batch of 2.*batch_axes="):
            shapes_after({"x": ["n", 5], "h": [5]}, {"x": zeros(4, 5), "h": zeros(4, 5)}, batch=2)

    def test_that_do_not_exist_are_refused(self) -> None:
        with pytest.raises(ShapeError, match="axis 3"):
            shapes_after({"h": [2, "n"]}, {"h": zeros(4, 2)}, batch_axes={"h": 3})


@pytest.mark.parametrize("said", ["shapes", "batch_axes", "states"])
def test_names_that_the_model_does_not_have_are_refused(said: str) -> None:
    values: dict[str, Any] = {"shapes": {"q": 3}, "batch_axes": {"q": 1}, "states": {"q": "y"}}
    with pytest.raises(InvalidInputError, match=f"{said} names 'q'.*'x'"):
        shapes_after({"x": ["n", 5]}, {"x": zeros(4, 5)}, **{said: values[said]})
