"""Operator sets 7 to 12 against onnxruntime, which runs them as they are; and the check that finds a difference."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.model_comparison import build

import zkinfer as zk
from zkinfer.circuit.regions import find_regions
from zkinfer.compiler.calibration.float_model import open_session
from zkinfer.compiler.onnx import conversion
from zkinfer.compiler.onnx.conversion import MIN_OPSET, Conversion, convert
from zkinfer.compiler.onnx.load import load_model
from zkinfer.errors import CompileError, UnsupportedOperatorError
from zkinfer.typing import Array

RNG = np.random.default_rng(0)


def old(body: str, shape: Sequence[int], constants: Mapping[str, object] | None, opset: int) -> onnx.ModelProto:
    proto = build(body, {"x": shape}, constants, opset=opset)
    proto.ir_version = 4
    return proto


def uniform(*shape: int) -> Array:
    return RNG.uniform(-1, 1, shape).astype(np.float32)


def runs(proto: onnx.ModelProto, x: Array) -> Array:
    """The model in onnxruntime, in its own operator set, one sample after the other."""
    session = open_session(proto, optimized=False)
    return np.concatenate([session.run(None, {"x": x[k : k + 1]})[0] for k in range(len(x))])


S, B, M, V = (np.abs(uniform(3, 4, 4)) + 0.5 for _ in range(4))
CASES: list[tuple[str, tuple[int, ...], dict[str, Any], tuple[int, ...]]] = [
    ("y = Hardmax(x)", (1, 3, 4), {}, (7, 11, 12)),
    ("y = Hardmax<axis=0>(x)", (1, 3, 4), {}, (9, 12)),
    ("y = Hardmax<axis=2>(x)", (1, 3, 4), {}, (9, 12)),
    ("y = Hardmax<axis=-2>(x)", (1, 3, 4), {}, (11,)),
    ("y = Softmax(x)", (1, 3, 4), {}, (7, 12)),
    ("y = Softmax<axis=-1>(x)", (1, 3, 4), {}, (11,)),
    ("y = LogSoftmax<axis=0>(x)", (1, 3, 4), {}, (9,)),
    ('y = Upsample<mode="linear", scales=[1.0, 1.0, 2.0, 3.0]>(x)', (1, 2, 3, 3), {}, (7,)),
    ('y = Upsample<mode="nearest", scales=[1.0, 1.0, 2.2, 1.3]>(x)', (1, 2, 3, 5), {}, (8,)),
    ('y = Upsample<mode="linear">(x, s)', (1, 2, 3, 3), {"s": np.array([1.0, 1, 2, 2])}, (9,)),
    *(
        (f'y = Resize<mode="{mode}">(x, s)', (1, 2, 4, 5), {"s": np.array([1, 1, *scales])}, (10,))
        for mode in ("linear", "nearest")
        for scales in ((2.0, 2.0), (1.5, 2.5), (0.5, 0.5), (0.7, 0.6), (1.0, 0.75))
    ),
    ("y = BatchNormalization<spatial=0>(x, s, b, m, v)", (1, 3, 4, 4), {"s": S, "b": B, "m": M, "v": V}, (7, 8)),
    ("y = Clip<min=-0.3, max=0.4>(x)", (1, 3), {}, (7, 10)),
    ("y = Pad<pads=[0, 1, 0, 2], value=0.5>(x)", (1, 3), {}, (7, 10)),
    ("y = Slice<starts=[1], ends=[1000], axes=[1]>(x)", (1, 5), {}, (7, 9)),
    ("y, i = TopK<k=2>(x)", (1, 5), {}, (7,)),
    ("y = Dropout<ratio=0.3>(x)\nz = Relu(y)", (1, 5), {}, (7, 11)),
    ("y = ReduceSum<axes=[1], keepdims=0>(x)", (1, 3, 4), {}, (7, 12)),
    ("t = Unsqueeze<axes=[1, 3]>(x)\ny = Squeeze<axes=[1]>(t)", (1, 5), {}, (7, 11)),
    ("a, b = Split<axis=1, split=[1, 2]>(x)\ny = Sub(b, a)", (1, 3), {}, (7, 11)),
]


@pytest.mark.parametrize(
    ("body", "shape", "constants", "opset"), [(*case, opset) for *case, opsets in CASES for opset in opsets]
)
def test_circuits_of_old_models_are_those_models(
    body: str, shape: tuple[int, ...], constants: dict[str, Any], opset: int
) -> None:
    proto = old(body, shape, constants, opset)
    inside = uniform(32, *shape[1:])
    circuit = zk.compile(proto, inside)
    for x in (inside, 0.9 * uniform(8, *shape[1:])):
        found, expected = circuit.run(x), runs(proto, x)
        assert isinstance(found, np.ndarray)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=2e-3)


class TestScan:
    def model(self, opset: int, batch: int, *, lengths: bool = False) -> onnx.ModelProto:
        """A Scan against the direction of its sequence, of the versions with and without a batch."""
        batched = opset < 9
        sizes = [] if batched else [batch]
        state, element = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [*sizes, 3]) for n in ("s", "e"))
        after, shown = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [*sizes, 3]) for n in ("n", "o"))
        nodes = [
            helper.make_node("Mul", ["s", "w"], ["a"]),
            helper.make_node("Add", ["a", "e"], ["b"]),
            helper.make_node("Unsqueeze", ["b"], ["c"], axes=[0]),
            helper.make_node("Tanh", ["c"], ["d"]),
            helper.make_node("Squeeze", ["d"], ["n"], axes=[0]),
            helper.make_node("Neg", ["n"], ["o"]),
        ]
        body = helper.make_graph(nodes, "body", [state, element], [after, shown])
        start = helper.make_node("Constant", [], ["h"], value=numpy_helper.from_array(uniform(batch, 3)))
        attributes: dict[str, Any] = {"directions": [1]} if batched else {"scan_input_directions": [1]}
        attributes |= {} if batched else {"scan_input_axes": [1], "scan_output_axes": [1]}
        given = (["steps"] if lengths else [""]) if batched else []
        scan = helper.make_node("Scan", [*given, "h", "x"], ["y", "z"], body=body, num_scan_inputs=1, **attributes)
        proto = build("unused = Neg(x)", {"x": [batch, 4, 3]}, {"w": uniform(3)}, outputs=["y", "z"], opset=opset)
        del proto.graph.node[:]
        proto.graph.node.extend([start, scan])
        if lengths:
            proto.graph.initializer.append(numpy_helper.from_array(np.array([4] * batch), "steps"))
        proto.ir_version = 4
        return proto

    @pytest.mark.parametrize("opset", [8, 9, 11])
    @pytest.mark.parametrize("batch", [1, 2])
    def test_every_version(self, opset: int, batch: int) -> None:
        """Compiling compares the conversion with onnxruntime, which runs all versions as they are."""
        x = uniform(12, 4, 3)
        circuit = zk.compile(self.model(opset, batch), x, batch=batch)
        assert circuit.fidelity is not None
        assert not circuit.fidelity.left
        # Before operator set 9, there is one recurrence for every element of the batch.
        count = batch if opset == 8 else 1
        assert [region.steps for region in find_regions(circuit.program)] == [4] * count

    def test_lengths_are_refused(self) -> None:
        with pytest.raises(UnsupportedOperatorError, match="without sequence_lens"):
            load_model(self.model(8, 1, lengths=True), batch=1)


class TestWithinBodies:
    """What ONNX's converter gets wrong is rewritten in the graphs within nodes too."""

    @pytest.mark.parametrize(
        ("node", "shape", "opset"),
        [
            ("o = Hardmax(e)", [2, 3, 4], 9),
            ("o = Hardmax<axis=0>(e)", [2, 3], 12),
            ("o = Upsample<mode='linear'>(e, sizes)".replace("'", '"'), [1, 2, 3, 3], 9),
            ("o = Resize<mode='nearest'>(e, sizes)".replace("'", '"'), [1, 2, 3, 3], 10),
            ("o = BatchNormalization<spatial=0>(e, s, b, m, v)", [1, 3, 4, 4], 8),
        ],
    )
    @pytest.mark.parametrize("repeats", ["Scan", "Loop"])
    def test_every_step_computes_the_same(self, node: str, shape: Sequence[int], opset: int, repeats: str) -> None:
        constants: dict[str, object] = {"shape": np.array([4, *shape]), "end": np.array([1, -1])}
        constants |= {"sizes": np.array([1, 1, 1.5, 2], np.float32), "s": S, "b": B, "m": M, "v": V}
        constants |= {"steps": np.array(4), "true": np.array(True)}
        if repeats == "Scan" and opset < 9:
            pytest.skip("it has a batch")
        if repeats == "Scan":
            line = f"rows = Scan<num_scan_inputs=1, body=body (float e) => (float o) {{ {node} }}>(q)"
        else:
            body = f"e = Gather(q, t) {node} still = Identity(on) left = Identity(given)"
            line = "last, rows = Loop<body=body (int64 t, bool on, float given) => (bool still, float left, float o) "
            line += f"{{ {body} }}>(steps, true, x)"
        used = {name: array for name, array in constants.items() if name in node + line + "shape end"}
        proto = old(f"q = Reshape(x, shape)\n{line}\ny = Reshape(rows, end)", [1, 4, *shape], used, opset)
        for graph in (a.g for n in proto.graph.node for a in n.attribute if a.HasField("g")):
            for value in (*graph.input, *graph.output):
                if value.type.tensor_type.elem_type == TensorProto.FLOAT:
                    value.type.tensor_type.ClearField("shape")
                    if value.name == "e":
                        value.CopyFrom(helper.make_tensor_value_info("e", TensorProto.FLOAT, shape))
        x = uniform(3, 4, *shape)
        converted = convert(proto, opset)
        converted.check([x[:, None]])
        assert runs(converted.converted, x) == pytest.approx(runs(proto, x), abs=1e-5)


class TestCheck:
    HARDMAX = "h = Tanh(x)\nm = Hardmax<axis=1>(h)\ny = Relu(m)"

    def test_a_difference_names_the_operator_and_what_to_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With ONNX's converter alone, which keeps the axis of a Hardmax."""
        monkeypatch.setattr(conversion, "_before", lambda proto: proto)
        proto = old(self.HARDMAX, (1, 3, 4), None, 11)
        with pytest.raises(
            CompileError, match=r"\(Hardmax\) computes 'm' differently in operator set 11 .* by 1 .*Export.*opset=18"
        ):
            zk.compile(proto, uniform(16, 3, 4))

    def test_another_shape_is_a_difference(self) -> None:
        proto = old("y = Relu(x)", (1, 3), None, 9)
        other = helper.make_node("Unsqueeze", ["x", "axes"], ["y"])
        converted = convert(proto, 9).converted
        converted.graph.node[0].CopyFrom(other)
        converted.graph.initializer.append(numpy_helper.from_array(np.array([0]), "axes"))
        with pytest.raises(CompileError, match=r"'y' differently .* by inf"):
            Conversion(9, proto, converted).check([uniform(4, 1, 3)])

    def test_rounding_is_no_difference(self) -> None:
        proto = old("y = Mul(x, k)", (1, 3), {"k": np.array([1.0])}, 9)
        for factor, differs in ((1 + 1e-6, False), (1 + 1e-3, True)):
            converted = old("y = Mul(x, k)", (1, 3), {"k": np.array([factor])}, MIN_OPSET)
            check = Conversion(9, proto, converted).check
            if differs:
                with pytest.raises(CompileError, match="'y' differently"):
                    check([uniform(4, 1, 3)])
            else:
                check([uniform(4, 1, 3)])

    def test_what_onnxruntime_does_not_run_is_not_trusted(self) -> None:
        """It has no Celu of float64."""
        proto = old("y = Celu<alpha=2.0>(x)", (1, 3), None, 12)
        converted = convert(proto, 12).converted
        proto.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
        with pytest.raises(CompileError, match=r"does not run the model in operator set 12.* cannot be checked.*opset"):
            Conversion(12, proto, converted).check([uniform(4, 1, 3)])

    def test_an_axis_that_grows_beside_one_that_shrinks_is_refused(self) -> None:
        proto = old('y = Resize<mode="nearest">(x, s)', (1, 1, 4, 4), {"s": np.array([1.0, 1, 1.3, 0.7])}, 10)
        with pytest.raises(CompileError, match=r"\(Resize\) computes 'y' differently in operator set 10"):
            zk.compile(proto, uniform(16, 1, 4, 4))

    def test_newer_models_are_not_converted(self) -> None:
        proto = old("y = Hardmax<axis=1>(x)", (1, 3, 4), None, MIN_OPSET)
        x = uniform(16, 3, 4)
        np.testing.assert_array_equal(zk.compile(proto, x).run(x), runs(proto, x))
