"""Operator sets 1 to 6, by the text of the standard for each old operator: onnxruntime does not run them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import zkinfer as zk
from zkinfer.compiler.onnx.old_operators import OPSET, modernized
from zkinfer.errors import CompileError, UnsupportedOperatorError
from zkinfer.typing import Array

RNG = np.random.default_rng(0)
X = RNG.uniform(-2, 2, (2, 3, 4, 5)).astype(np.float32)


def model(
    nodes: Sequence[onnx.NodeProto], shape: Sequence[int], constants: Mapping[str, Any] | None = None, *, opset: int = 6
) -> onnx.ModelProto:
    """Nodes from "x" to "y"; floats become float32. Version 3 of the file format lists constants as inputs."""
    arrays = {name: np.asarray(array) for name, array in (constants or {}).items()}
    tensors = [
        numpy_helper.from_array(a.astype(np.float32) if a.dtype.kind == "f" else a, name) for name, a in arrays.items()
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    inputs += [helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in tensors]
    graph = helper.make_graph(
        list(nodes), "old", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], tensors
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=3)


def node(op: str, inputs: str, outputs: str = "y", **attributes: object) -> onnx.NodeProto:
    name = f"the {op}" if outputs == "y" else f"the {op} of {outputs}"
    return helper.make_node(op, inputs.split(), outputs.split(), name=name, **attributes)


def run(proto: onnx.ModelProto, x: Array, opset: int = 6) -> Array:
    """What onnxruntime computes in operator set 7."""
    new = modernized(proto, opset)
    assert [entry.version for entry in new.opset_import] == [OPSET]
    session = onnxruntime.InferenceSession(new.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


class TestBroadcasting:
    """The standard's own list: shape(A) = (2, 3, 4, 5), and which shapes of B go with which axis."""

    @pytest.mark.parametrize(
        ("shape", "axis", "aligned"),
        [
            ((), None, ()),
            ((1, 1), None, (1, 1)),
            ((5,), None, (5,)),
            ((4, 5), None, (4, 5)),
            ((3, 4), 1, (3, 4, 1)),
            ((2,), 0, (2, 1, 1, 1)),
            ((3,), 1, (3, 1, 1)),
            ((3,), -3, (3, 1, 1)),
            ((2, 3, 4, 5), 0, (2, 3, 4, 5)),
            ((1,), 1, (1,)),
        ],
    )
    @pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
    def test_the_second_operand_begins_at_the_axis(
        self, op: str, shape: tuple[int, ...], axis: int | None, aligned: tuple[int, ...]
    ) -> None:
        b = RNG.uniform(0.5, 2, shape).astype(np.float32)
        attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
        got = run(model([node(op, "x b", broadcast=1, **attributes)], X.shape, {"b": b}), X)
        expected = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}[op](X, b.reshape(aligned))
        assert got.shape == X.shape
        np.testing.assert_allclose(got, expected, rtol=1e-6)

    @pytest.mark.parametrize(("op", "compare"), [("Greater", np.greater), ("Less", np.less)])
    def test_of_comparisons(self, op: str, compare: np.ufunc) -> None:
        b = RNG.uniform(-1, 1, 3).astype(np.float32)
        nodes = [node(op, "x b", "c", broadcast=1, axis=1), node("Cast", "c", to=TensorProto.FLOAT)]
        assert np.array_equal(run(model(nodes, X.shape, {"b": b}), X), compare(X, b[:, None, None]))

    def test_one_after_the_other(self) -> None:
        """The shape of one result is the shape that the next one aligns to."""
        b, c = (RNG.uniform(-1, 1, 3).astype(np.float32) for _ in "bc")
        nodes = [node("Mul", "x b", "h", broadcast=1, axis=1), node("Add", "h c", broadcast=1, axis=1)]
        expected = X * b[:, None, None] + c[:, None, None]
        np.testing.assert_allclose(run(model(nodes, X.shape, {"b": b, "c": c}), X), expected, atol=1e-6)

    def test_of_a_computed_operand(self) -> None:
        nodes = [
            node("ReduceMean", "x", "m", axes=[2, 3], keepdims=0),
            node("Sub", "x m", broadcast=1, axis=0),
        ]
        expected = X - X.mean((2, 3))[:, :, None, None]
        np.testing.assert_allclose(run(model(nodes, X.shape), X), expected, atol=1e-6)

    def test_by_a_shape_that_is_unknown_is_refused(self) -> None:
        nodes = [node("Cast", "x", "i", to=7), node("Reshape", "x i", "f"), node("Add", "x f", broadcast=1, axis=1)]
        with pytest.raises(UnsupportedOperatorError, match=r"'the Add' \(Add\).*shape of 'f', which is unknown.*opset"):
            modernized(model(nodes, X.shape), 6)


class TestForms:
    def test_slopes_are_those_of_channels(self) -> None:
        slope = np.array([0.1, 0.5, 2.0], dtype=np.float32)
        expected = np.where(X < 0, X * slope[:, None, None], X)
        np.testing.assert_allclose(run(model([node("PRelu", "x s")], X.shape, {"s": slope}), X), expected, rtol=1e-6)

    def test_one_slope_is_that_of_all_channels(self) -> None:
        got = run(model([node("PRelu", "x s")], X.shape, {"s": np.array([0.25])}), X)
        np.testing.assert_allclose(got, np.where(X < 0, X / 4, X), rtol=1e-6)

    @pytest.mark.parametrize(("mode", "later"), [("nearest", "nearest"), ("bilinear", "linear")])
    def test_upsample_scales_height_and_width(self, mode: str, later: str) -> None:
        x = np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2)
        nodes = [node("Upsample", "x", mode=mode, height_scale=2.0, width_scale=3.0)]
        got = run(model(nodes, x.shape, opset=1), x, 1)
        assert got.shape == (1, 1, 4, 6)
        if mode == "nearest":
            assert np.array_equal(got, x.repeat(2, 2).repeat(3, 3))
        else:
            np.testing.assert_allclose(got[0, 0, 0], [0, 1 / 3, 2 / 3, 1, 1, 1], atol=1e-6)

    def test_a_cast_names_its_type(self) -> None:
        nodes = [node("Cast", "x", "i", to="INT32"), node("Cast", "i", to="FLOAT")]
        assert np.array_equal(run(model(nodes, X.shape, opset=5), X, 5), np.trunc(X))

    def test_reshape_has_its_shape_as_an_attribute(self) -> None:
        assert run(model([node("Reshape", "x", shape=[0, -1])], X.shape, opset=4), X, 4).shape == (2, 60)

    def test_concat_is_along_axis_1_by_default(self) -> None:
        assert run(model([node("Concat", "x x")], X.shape, opset=3), X, 3).shape == (2, 6, 4, 5)

    def test_pad_has_paddings(self) -> None:
        got = run(model([node("Pad", "x", paddings=[0, 0, 1, 0, 0, 0, 0, 2], value=0.5)], X.shape, opset=1), X, 1)
        assert np.array_equal(got, np.pad(X, [(0, 0), (0, 0), (1, 0), (0, 2)], constant_values=0.5))

    def test_split_has_its_sizes_as_an_input(self) -> None:
        nodes = [node("Split", "x sizes", "a b", axis=1), node("Relu", "b")]
        got = run(model(nodes, X.shape, {"sizes": np.array([1.0, 2.0])}, opset=1), X, 1)
        assert np.array_equal(got, np.maximum(X[:, 1:], 0))

    def test_tile_repeats_one_axis(self) -> None:
        constants = {"tiles": np.array([3.0]), "axis": np.array([2.0])}
        assert np.array_equal(
            run(model([node("Tile", "x tiles axis")], X.shape, constants, opset=5), X, 5), np.tile(X, (1, 1, 3, 1))
        )

    def test_selu_has_constants_of_fewer_digits(self) -> None:
        got = run(model([node("Selu", "x")], X.shape, opset=5), X, 5)
        expected = 1.0507 * np.where(X > 0, X, 1.6732 * (np.exp(X) - 1))
        np.testing.assert_allclose(got, expected, atol=1e-6)

    def test_a_batch_normalization_in_test_mode(self) -> None:
        s, b, m, v = (RNG.uniform(0.5, 2, 3).astype(np.float32) for _ in range(4))
        nodes = [node("BatchNormalization", "x s b m v", is_test=1, consumed_inputs=[0, 0, 0, 1, 1], epsilon=0.1)]
        got = run(model(nodes, X.shape, {"s": s, "b": b, "m": m, "v": v}, opset=1), X, 1)
        s, b, m, v = (a[:, None, None] for a in (s, b, m, v))
        np.testing.assert_allclose(got, (X - m) / np.sqrt(v + 0.1) * s + b, atol=1e-5)

    @pytest.mark.parametrize("op", ["Dropout", "BatchNormalization"])
    def test_training_mode_is_refused(self, op: str) -> None:
        inputs = "x" if op == "Dropout" else "x s s s s"
        with pytest.raises(UnsupportedOperatorError, match=rf"'the {op}'.*training mode.*evaluation mode"):
            modernized(model([node(op, inputs)], X.shape, {"s": np.ones(3)}), 6)

    def test_gemm_broadcasts(self) -> None:
        w, c = RNG.normal(size=(5, 2)).astype(np.float32), RNG.normal(size=2).astype(np.float32)
        got = run(model([node("Gemm", "x w c", broadcast=1)], (3, 5), {"w": w, "c": c}), X[0, 0, :3])
        np.testing.assert_allclose(got, X[0, 0, :3] @ w + c, atol=1e-5)

    @pytest.mark.parametrize("opset", [1, 5, 6])
    @pytest.mark.parametrize("op", ["Relu", "Sigmoid", "Tanh", "Abs", "Neg", "Exp", "Floor", "Ceil"])
    def test_hints_about_memory_are_dropped(self, op: str, opset: int) -> None:
        hint: dict[str, Any] = {"consumed_inputs": [0]} if opset < 6 else {}
        got = run(model([node(op, "x", **hint)], X.shape, opset=opset), X, opset)
        expected = {
            "Relu": np.maximum(X, 0),
            "Sigmoid": 1 / (1 + np.exp(-X)),
            "Tanh": np.tanh(X),
            "Abs": np.abs(X),
            "Neg": -X,
            "Exp": np.exp(X),
            "Floor": np.floor(X),
            "Ceil": np.ceil(X),
        }[op]
        np.testing.assert_allclose(got, expected, atol=1e-6)


class TestRefusals:
    def test_an_operator_that_changed_and_has_no_rule(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(modernized.__globals__["_RULES"], "Gemm")
        proto = model([node("Gemm", "x w c")], (3, 5), {"w": np.ones((5, 2)), "c": np.ones((3, 2))})
        with pytest.raises(UnsupportedOperatorError, match=r"'the Gemm' \(Gemm\) is not supported in operator set 6"):
            modernized(proto, 6)

    def test_every_operator_that_changed_has_a_rule(self) -> None:
        changed = {
            schema.name
            for schema in onnx.defs.get_all_schemas_with_history()
            if schema.domain == ""
            and 1 < schema.since_version <= OPSET
            and _exists(schema.name, schema.since_version - 1)
        }
        assert changed == set(modernized.__globals__["_RULES"])

    def test_an_attribute_of_another_form(self) -> None:
        with pytest.raises(CompileError, match=r"'the Cast'.*operator set 5"):
            modernized(model([node("Cast", "x", to="NUMBER")], X.shape, opset=5), 5)

    def test_control_flow(self) -> None:
        branch = helper.make_graph([node("Relu", "x", "b")], "b", [], [helper.make_tensor_value_info("b", 1, None)])
        choice = node("If", "c", then_branch=branch, else_branch=branch)
        with pytest.raises(UnsupportedOperatorError, match=r"'the If' \(If\) is control flow.*operator set 6"):
            modernized(model([choice], X.shape, {"c": np.array(True)}), 6)

    def test_tiles_that_are_computed(self) -> None:
        with pytest.raises(UnsupportedOperatorError, match=r"'the Tile'.*not a constant"):
            modernized(model([node("Tile", "x x x")], X.shape, opset=5), 5)


def _exists(name: str, version: int) -> bool:
    try:
        onnx.defs.get_schema(name, version, "")
    except onnx.defs.SchemaError:
        return False
    return True


def test_a_circuit_of_an_old_model_broadcasts_as_the_standard_says() -> None:
    b = np.array([1.0, -2.0, 3.0])
    x = RNG.uniform(-1, 1, (32, 3, 3)).astype(np.float32)
    circuit = zk.compile(model([node("Add", "x b", broadcast=1, axis=1)], (1, 3, 3), {"b": b}), x)
    for samples in (x, RNG.uniform(-1, 1, (8, 3, 3)).astype(np.float32) * 0.9):
        found = circuit.run(samples)
        assert isinstance(found, np.ndarray)
        assert found.shape == samples.shape
        np.testing.assert_allclose(found, samples + b[:, None], atol=1e-3)
