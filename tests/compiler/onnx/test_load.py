"""Loading: whatever comes in, either a normalized model comes out or an error that says what to do."""

import contextlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx_ir.serde import serialize_model
from support.model_comparison import build

import zkinfer as zk
from zkinfer.compiler.calibration.float_model import static_shape
from zkinfer.compiler.onnx.conversion import IR_VERSION, MIN_OPSET
from zkinfer.compiler.onnx.load import MAX_OPSET, load_model
from zkinfer.compiler.onnx.read import read_model
from zkinfer.errors import (
    CompileError,
    DynamicShapeError,
    InvalidInputError,
    NotFiniteError,
    ShapeError,
    UnsupportedOperatorError,
    ZkinferError,
)

RNG = np.random.default_rng(0)
W = numpy_helper.from_array(RNG.normal(size=(4, 3)).astype(np.float32), "w")
BATCH_NORM = [numpy_helper.from_array(RNG.uniform(0.5, 2, size=3).astype(np.float32), name) for name in "sbmv"]


def _floats(name: str, shape: Sequence[int | str | None] | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _node(op: str, inputs: str, outputs: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), outputs.split(), name=f"{op} of {outputs}", **attributes)


def _proto(
    *nodes: onnx.NodeProto,
    constants: list[onnx.TensorProto] | None = None,
    inputs: list[onnx.ValueInfoProto] | None = None,
    outputs: str = "y",
    opset: int = 18,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "test",
        [_floats("x", ["n", 4])] if inputs is None else inputs,
        [_floats(name, None) for name in outputs.split()],
        constants or [],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def _linear(opset: int = 18) -> onnx.ModelProto:
    return _proto(_node("MatMul", "x w", "h"), _node("Relu", "h", "y"), constants=[W], opset=opset)


def _run(proto: onnx.ModelProto, x: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(None, {session.get_inputs()[0].name: x}))


def _content(model: onnx_ir.Model, name: str) -> np.ndarray:
    tensor = model.graph.initializers[name].const_value
    assert tensor is not None
    return np.asarray(tensor.numpy())


def _ops(model: onnx_ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def _int_constant(name: str, *values: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, dtype=np.int64), name)


class TestSources:
    def test_a_path_bytes_and_a_proto_are_the_same_model(self, tmp_path: Path) -> None:
        path = tmp_path / "model.onnx"
        onnx.save(_linear(), path)
        models = [load_model(source, batch=2) for source in (path, str(path), path.read_bytes(), _linear())]
        texts = {str(model) for model in models}
        assert len(texts) == 1

    def test_the_argument_is_not_modified(self) -> None:
        proto = _linear()
        before = proto.SerializeToString(deterministic=True)
        load_model(proto, batch=2)
        assert proto.SerializeToString(deterministic=True) == before

    @pytest.mark.parametrize("source", [None, 3, [b"x"], np.zeros(3)])
    def test_other_types_are_refused(self, source: object) -> None:
        with pytest.raises(InvalidInputError, match=r"path, URL or bytes of an ONNX file, .*, a torch module"):
            load_model(source, batch=1)

    def test_a_missing_file_and_a_folder_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match="nowhere"):
            load_model(tmp_path / "nowhere.onnx", batch=1)
        with pytest.raises(InvalidInputError, match="cannot read"):
            load_model(tmp_path, batch=1)

    @pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"this is not a model", bytes(100)])
    def test_other_bytes_are_refused(self, data: bytes) -> None:
        with pytest.raises(InvalidInputError, match="not an ONNX model"):
            load_model(data, batch=1)

    def test_every_truncation_is_refused(self) -> None:
        data = _linear().SerializeToString()
        for length in range(len(data)):
            with pytest.raises(ZkinferError):
                load_model(data[:length], batch=1)

    @given(st.data())
    @settings(max_examples=60, deadline=None)
    def test_damaged_files_give_a_model_or_a_named_error(self, data: st.DataObject) -> None:
        damaged = bytearray(_linear().SerializeToString())
        for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=5)):
            damaged[place] = data.draw(st.integers(0, 255))
        with contextlib.suppress(ZkinferError):
            load_model(bytes(damaged), batch=1)

    @pytest.mark.parametrize("batch", [0, -1, 1.5, "n", True])
    def test_a_batch_is_a_positive_whole_number(self, batch: Any) -> None:
        with pytest.raises(InvalidInputError, match="batch size"):
            load_model(_linear(), batch=batch)


class TestExternalData:
    @staticmethod
    def _save(folder: Path, location: str) -> Path:
        path = folder / "model.onnx"
        onnx.save(_linear(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
        proto = onnx.load(path, load_external_data=False)
        for entry in proto.graph.initializer[0].external_data:
            if entry.key == "location":
                entry.value = location
        path.write_bytes(proto.SerializeToString())
        return path

    def test_it_is_read_from_the_models_folder(self, tmp_path: Path) -> None:
        path = self._save(tmp_path, "weights.bin")
        model = load_model(path, batch=1)
        np.testing.assert_array_equal(_content(model, "w"), numpy_helper.to_array(W))

    def test_a_model_that_was_read_is_complete_in_itself(self, tmp_path: Path) -> None:
        proto = read_model(self._save(tmp_path, "weights.bin"))
        (tmp_path / "weights.bin").unlink()
        assert "Relu" in _ops(load_model(proto, batch=1))

    def test_without_a_path_it_is_refused(self, tmp_path: Path) -> None:
        path = self._save(tmp_path, "weights.bin")
        with pytest.raises(InvalidInputError, match=r"'w' is stored in another file.*path of the model"):
            load_model(path.read_bytes(), batch=1)

    @pytest.mark.parametrize(
        "location", ["../weights.bin", "/etc/passwd", "", ".", "missing.bin", "link.bin", "a/../.."]
    )
    def test_other_places_are_refused(self, tmp_path: Path, location: str) -> None:
        folder = tmp_path / "model"
        folder.mkdir()
        path = self._save(folder, location)
        (tmp_path / "weights.bin").write_bytes(bytes(100))
        (folder / "link.bin").symlink_to(tmp_path / "weights.bin")
        with pytest.raises(InvalidInputError, match=r"'w' is stored in .* not a file within"):
            load_model(path, batch=1)

    def test_a_file_that_is_too_short_is_refused(self, tmp_path: Path) -> None:
        path = self._save(tmp_path, "weights.bin")
        (tmp_path / "weights.bin").write_bytes(b"short")
        with pytest.raises(InvalidInputError, match="'w': cannot read 'weights"):
            load_model(path, batch=1)


class TestShapes:
    @pytest.mark.parametrize("batch", [1, 5])
    def test_the_open_batch_is_set_everywhere(self, batch: int) -> None:
        model = load_model(_linear(), batch=batch)
        assert static_shape(model.graph.inputs[0]) == (batch, 4)
        assert [static_shape(node.outputs[0]) for node in model.graph] == [(batch, 3), (batch, 3)]

    @pytest.mark.parametrize("size", [None, "n", -1, 0])
    def test_exporters_ways_of_leaving_the_batch_open(self, size: int | str | None) -> None:
        proto = _proto(_node("Relu", "x", "y"), inputs=[_floats("x", [size, 4])])
        assert static_shape(load_model(proto, batch=3).graph.inputs[0]) == (3, 4)

    def test_shapes_that_the_file_states_for_another_batch_do_not_matter(self) -> None:
        proto = _linear()
        proto.graph.value_info.append(_floats("h", [1, 3]))
        proto.graph.output[0].CopyFrom(_floats("y", [1, 3]))
        assert static_shape(load_model(proto, batch=2).graph.outputs[0]) == (2, 3)

    def test_a_fixed_batch_must_agree(self) -> None:
        proto = _proto(_node("Relu", "x", "y"), inputs=[_floats("x", [5, 4])])
        assert static_shape(load_model(proto, batch=5).graph.outputs[0]) == (5, 4)
        with pytest.raises(ShapeError, match="Compile with batch=5"):
            load_model(proto, batch=1)

    @pytest.mark.parametrize("batch", [1, 4])
    @pytest.mark.parametrize(("op", "shape"), [("ReduceSum", [4, 5]), ("ReduceMean", [4])])
    def test_a_model_without_a_batch_axis_is_told_apart_from_one_for_another_batch(
        self, op: str, shape: list[int], batch: int
    ) -> None:
        proto = _proto(_node(op, "x", "y", keepdims=0), inputs=[_floats("x", shape)])
        with pytest.raises(
            ShapeError, match=r"has no batch axis: it takes 'x' \[4.*gives 'y' \[\]\. Export it with one"
        ):
            load_model(proto, batch=batch)

    def test_inputs_without_a_first_size_in_common_have_no_batch_axis(self) -> None:
        proto = _proto(_node("Add", "x z", "y"), inputs=[_floats("x", [3, 4]), _floats("z", [4])])
        with pytest.raises(ShapeError, match=r"no batch axis: it takes 'x' \[3,4\], 'z' \[4\] and gives 'y' \[3,4\]"):
            load_model(proto, batch=1)

    @pytest.mark.parametrize("size", [None, "time"])
    def test_another_open_dimension_is_named(self, size: int | str | None) -> None:
        proto = _proto(_node("Relu", "x", "y"), inputs=[_floats("x", ["n", size])])
        with pytest.raises(DynamicShapeError, match=r"'x': axis 1 \((time|unnamed)\).*number"):
            load_model(proto, batch=1)

    def test_an_input_without_elements_is_named(self) -> None:
        with pytest.raises(ShapeError, match="'x': axis 1 has size 0, so that it holds no elements"):
            load_model(_proto(_node("Relu", "x", "y"), inputs=[_floats("x", ["n", 0])]), batch=1)

    def test_an_input_without_a_shape_is_named(self) -> None:
        with pytest.raises(DynamicShapeError, match="'x' has no shape"):
            load_model(_proto(_node("Relu", "x", "y"), inputs=[_floats("x", None)]), batch=1)

    def test_a_scalar_input_is_named(self) -> None:
        with pytest.raises(ShapeError, match="'x' is a scalar"):
            load_model(_proto(_node("Relu", "x", "y"), inputs=[_floats("x", [])]), batch=1)

    def test_a_shape_that_depends_on_data_is_named(self) -> None:
        with pytest.raises(DynamicShapeError, match=r"NonZero\).*'h' depends on data"):
            load_model(_proto(_node("NonZero", "x", "h"), _node("Cast", "h", "y", to=TensorProto.FLOAT)), batch=1)

    def test_shapes_computed_from_the_batch_are_folded(self) -> None:
        proto = _proto(
            _node("Shape", "x", "s"),
            _node("Gather", "s zero", "n", axis=0),
            _node("Concat", "n rest", "sizes", axis=0),
            _node("Reshape", "x sizes", "y"),
            inputs=[_floats("x", ["n", 2, 2])],
            constants=[_int_constant("zero", 0), _int_constant("rest", -1)],
        )
        model = load_model(proto, batch=3)
        assert _ops(model) == ["Reshape"]
        assert static_shape(model.graph.outputs[0]) == (3, 4)

    @pytest.mark.parametrize("then", ["MatMul", None])
    def test_a_model_exported_for_one_batch_size_is_refused_for_another(self, then: str | None) -> None:
        nodes = [_node("Reshape", "x sizes", "h"), _node("MatMul", "h w", "y") if then else _node("Relu", "h", "y")]
        proto = _proto(*nodes, constants=[_int_constant("sizes", 1, 4), W])
        load_model(proto, batch=1)
        with pytest.raises(ShapeError, match="exported for one batch size"):
            load_model(proto, batch=2)

    def test_an_output_that_mixes_the_batch_is_refused(self) -> None:
        proto = _proto(_node("ReduceSum", "x", "y", keepdims=0))
        load_model(proto, batch=1)
        with pytest.raises(ShapeError, match=r"'y' has shape .* not the batch of 2"):
            load_model(proto, batch=2)

    def test_shapes_that_do_not_fit_are_refused(self) -> None:
        with pytest.raises(CompileError, match="shapes of the model do not fit"):
            load_model(_proto(_node("MatMul", "x w", "y"), constants=[W], inputs=[_floats("x", ["n", 5])]), batch=1)

    def test_a_tensor_that_fits_no_memory_is_refused(self) -> None:
        proto = _proto(
            _node("ConstantOfShape", "size", "h"),
            _node("ReduceSum", "h", "s", keepdims=0),
            _node("Add", "x s", "y"),
            constants=[_int_constant("size", 1 << 40)],
        )
        with pytest.raises(CompileError, match=r"'h' has shape \(1099511627776,\)"):
            load_model(proto, batch=1)


class TestNormalForm:
    def test_constants_are_folded(self) -> None:
        constants = [W, numpy_helper.from_array(np.float32(2), "two")]
        proto = _proto(
            _node("Mul", "w two", "twice"),
            _node("Transpose", "twice", "turned", perm=[1, 0]),
            _node("Gemm", "x turned", "y", transB=1),
            constants=constants,
        )
        model = load_model(proto, batch=1)
        assert _ops(model) == ["Gemm"]
        np.testing.assert_array_equal(_content(model, "turned"), 2 * numpy_helper.to_array(W).T)

    def test_large_constants_are_folded_too(self) -> None:
        large = numpy_helper.from_array(RNG.normal(size=(600, 600)).astype(np.float32), "large")
        proto = _proto(
            _node("Neg", "large", "h"),
            _node("MatMul", "x h", "y"),
            constants=[large],
            inputs=[_floats("x", ["n", 600])],
        )
        assert _ops(load_model(proto, batch=1)) == ["MatMul"]

    def test_what_does_nothing_is_removed(self) -> None:
        proto = _proto(_node("Identity", "x", "a"), _node("Dropout", "a", "b"), _node("Relu", "b", "y"))
        assert _ops(load_model(proto, batch=1)) == ["Relu"]

    @pytest.mark.parametrize("also", ["Relu", None])
    def test_an_output_that_is_an_input_is_passed_on(self, also: str | None) -> None:
        nodes = [_node("Relu", "x", "y")]
        model = load_model(_proto(*nodes, outputs="y x" if also else "x"), batch=1)
        assert [value.name for value in model.graph.outputs] == (["y", "x/output"] if also else ["x/output"])
        x = RNG.uniform(-1, 1, (16, 4)).astype(np.float32)
        outputs = zk.compile(_proto(*nodes, outputs="y x"), x).run(x)
        np.testing.assert_allclose(outputs[0], np.maximum(x, 0), atol=1e-4)
        np.testing.assert_allclose(outputs[1], x, atol=1e-4)

    def test_a_list_of_dictionaries_from_classes_to_probabilities_is_the_tensor_in_it(self) -> None:
        """What exporters write for a classifier of trees."""
        zipped = helper.make_node("ZipMap", ["s"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2])
        proto = _proto(_node("MatMul", "x w", "h"), _node("Sigmoid", "h", "s"), zipped, constants=[W])
        sequence = helper.make_sequence_type_proto(
            helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
        )
        proto.graph.output[0].CopyFrom(helper.make_value_info("y", sequence))
        proto.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
        x = RNG.uniform(-1, 1, (16, 4)).astype(np.float32)
        expected = 1 / (1 + np.exp(-x @ numpy_helper.to_array(W)))
        np.testing.assert_allclose(zk.compile(proto, x).run(x), expected, atol=1e-3)

    def test_bfloat16_is_widened(self) -> None:
        """The weights, the input, what lies between, and a graph within a node."""
        wide = numpy_helper.to_array(W)
        narrow = helper.make_tensor("w", TensorProto.BFLOAT16, [4, 3], wide.ravel().tolist())
        value = helper.make_tensor("", TensorProto.BFLOAT16, [], [0.5])
        inner = helper.make_graph(
            [_node("Constant", "", "k", value=value)], "b", [], [helper.make_tensor_value_info("k", 16, [])]
        )
        proto = _proto(
            _node("MatMul", "x w", "h"),
            _node("If", "c", "k", then_branch=inner, else_branch=inner),
            _node("Add", "h k", "z"),
            _node("Cast", "z", "f", to=TensorProto.FLOAT),
            _node("Cast", "f", "y", to=TensorProto.BFLOAT16),
            constants=[narrow, numpy_helper.from_array(np.array(True), "c")],
            inputs=[helper.make_tensor_value_info("x", TensorProto.BFLOAT16, ["n", 4])],
        )
        proto.graph.output[0].type.tensor_type.elem_type = TensorProto.BFLOAT16
        x = RNG.uniform(-1, 1, (16, 4)).astype(np.float32)
        rounded = numpy_helper.to_array(narrow).astype(np.float32)
        assert np.abs(rounded - wide).max() > 1e-3
        np.testing.assert_allclose(zk.compile(proto, x).run(x), x @ rounded + 0.5, atol=1e-3)

    def test_what_no_output_needs_is_removed(self) -> None:
        proto = _proto(_node("Relu", "x", "y"), _node("MatMul", "x w", "unused"), constants=[W])
        model = load_model(proto, batch=1)
        assert _ops(model) == ["Relu"]
        assert not model.graph.initializers

    def test_functions_are_inlined(self) -> None:
        function = helper.make_function(
            "mine",
            "Linear",
            ["a", "b"],
            ["c"],
            [helper.make_node("MatMul", ["a", "b"], ["m"]), helper.make_node("Relu", ["m"], ["c"])],
            [helper.make_opsetid("", 18)],
        )
        proto = _proto(helper.make_node("Linear", ["x", "w"], ["y"], domain="mine"), constants=[W])
        proto.functions.append(function)
        proto.opset_import.append(helper.make_opsetid("mine", 1))
        assert _ops(load_model(proto, batch=1)) == ["MatMul", "Relu"]

    def test_branches_on_constants_are_decided(self) -> None:
        branches = {
            f"{which}_branch": helper.make_graph(
                [helper.make_node(op, ["x"], [which])], which, [], [_floats(which, None)]
            )
            for which, op in (("then", "Relu"), ("else", "Neg"))
        }
        constant = numpy_helper.from_array(np.array(False), "c")
        assert _ops(load_model(_proto(_node("If", "c", "y", **branches), constants=[constant]), batch=1)) == ["Neg"]

    def test_every_output_keeps_its_name(self) -> None:
        proto = _proto(
            _node("Relu", "x", "y"), _node("Relu", "x", "z"), _node("Identity", "z", "copy"), outputs="y z copy"
        )
        model = load_model(proto, batch=1)
        assert [value.name for value in model.graph.outputs] == ["y", "z", "copy"]
        assert _ops(model).count("Relu") == 1

    def test_initializers_that_are_inputs_too_become_constants(self) -> None:
        proto = _proto(
            _node("MatMul", "x w", "y"), constants=[W], inputs=[_floats("x", ["n", 4]), _floats("w", [4, 3])]
        )
        assert [value.name for value in load_model(proto, batch=1).graph.inputs] == ["x"]

    def test_the_file_format_is_one_that_every_supported_onnxruntime_reads(self) -> None:
        proto = _linear()
        proto.ir_version = onnx.IR_VERSION
        assert load_model(proto, batch=1).ir_version == IR_VERSION

    def test_it_is_the_same_in_every_process(self, tmp_path: Path) -> None:
        path = tmp_path / "model.onnx"
        nodes = [_node("MatMul", "x w", f"h{i}") for i in range(2)]
        nodes += [_node("BatchNormalization", f"h{i} s b m v", f"n{i}") for i in range(2)]
        onnx.save(_proto(*nodes, _node("Add", "n0 n1", "y"), constants=[W, *BATCH_NORM]), path)
        code = (
            "import sys, onnx_ir; from zkinfer.compiler.onnx.load import load_model; "
            f"sys.stdout.buffer.write(onnx_ir.to_proto(load_model({str(path)!r}, batch=2)).SerializeToString())"
        )
        results = {
            subprocess.run(
                [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, check=True, capture_output=True
            ).stdout
            for seed in ("1", "2")
        }
        assert len(results) == 1


class TestBatchNormalization:
    @staticmethod
    def _conv(first: str = "k", second: str = "k") -> onnx.ModelProto:
        return _proto(
            _node("Conv", f"x {first}", "c0"),
            _node("BatchNormalization", "c0 s b m v", "n0"),
            _node("Conv", f"x {second}", "c1"),
            _node("BatchNormalization", "c1 s b m v", "n1"),
            _node("Relu", "n1", "r"),
            _node("Add", "n0 r", "y"),
            constants=[
                numpy_helper.from_array(RNG.normal(size=(3, 2, 3, 3)).astype(np.float32), name) for name in ("k", "l")
            ]
            + BATCH_NORM,
            inputs=[_floats("x", ["n", 2, 6, 6])],
        )

    @staticmethod
    def _gemm() -> onnx.ModelProto:
        """One weight, used by a layer with and by a layer without normalization."""
        return _proto(
            _node("Gemm", "x w", "g"),
            _node("BatchNormalization", "g s b m v", "n0"),
            _node("Gemm", "x w", "plain"),
            _node("Mul", "n0 plain", "y"),
            constants=[W, *BATCH_NORM],
        )

    @pytest.mark.parametrize(
        ("proto", "shape"),
        [(_conv("k", "l"), (2, 2, 6, 6)), (_conv("k", "k"), (2, 2, 6, 6)), (_gemm(), (2, 4))],
        ids=["conv", "conv with shared weights", "gemm with shared weights"],
    )
    def test_it_is_folded_and_nothing_changes(self, proto: onnx.ModelProto, shape: tuple[int, ...]) -> None:
        x = RNG.normal(size=shape).astype(np.float32)
        model = load_model(proto, batch=2)
        assert "BatchNormalization" not in _ops(model)
        np.testing.assert_allclose(_run(serialize_model(model), x)[0], _run(proto, x)[0], rtol=1e-4, atol=1e-4)

    def test_it_stays_where_the_layer_is_used_elsewhere(self, caplog: pytest.LogCaptureFixture) -> None:
        proto = _proto(
            _node("Gemm", "x w", "g"),
            _node("BatchNormalization", "g s b m v", "n"),
            _node("Add", "g n", "y"),
            constants=[W, *BATCH_NORM],
        )
        assert "BatchNormalization" in _ops(load_model(proto, batch=1))
        assert not caplog.records

    def test_it_is_said_when_a_folding_was_missed(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("zkinfer.compiler.onnx.simplify._optimize", lambda model: None)
        assert "BatchNormalization" in _ops(load_model(self._conv(), batch=1))
        assert "could not be folded" in caplog.text


class TestOperatorSets:
    @pytest.mark.parametrize("opset", [7, 9, 11, 12])
    def test_old_ones_are_converted(self, opset: int) -> None:
        model = load_model(_linear(opset), batch=1)
        assert model.opset_imports[""] == MIN_OPSET
        assert _ops(model) == ["MatMul", "Relu"]

    def test_a_conversion_changes_attributes_into_inputs(self) -> None:
        proto = _proto(_node("Clip", "x", "y", min=-1.0, max=1.0), opset=7)
        model = load_model(proto, batch=1)
        assert len(model.graph[0].inputs) == 3

    @pytest.mark.parametrize("opset", [MIN_OPSET, 18, MAX_OPSET])
    def test_known_ones_are_left_as_they_are(self, opset: int) -> None:
        assert load_model(_linear(opset), batch=1).opset_imports[""] == opset

    def test_newer_ones_are_refused(self) -> None:
        with pytest.raises(CompileError, match=f"operator set {MAX_OPSET + 1}.*opset=18"):
            load_model(_linear(MAX_OPSET + 1), batch=1)

    def test_onnxruntime_runs_the_newest(self) -> None:
        assert _run(_linear(MAX_OPSET), np.ones((1, 4), dtype=np.float32))[0].shape == (1, 3)


class TestEmptyTensors:
    """Values without elements are constants, so that a circuit has none."""

    @staticmethod
    def _sliced(*nodes: onnx.NodeProto, **options: Any) -> onnx.ModelProto:
        first = _node("Slice", "x zero zero one", "e")
        constants = [_int_constant("zero", 0), _int_constant("one", 1), *options.pop("constants", [])]
        return _proto(first, *nodes, constants=constants, **options)

    @pytest.mark.parametrize(
        "nodes",
        [
            [_node("Concat", "e x", "y", axis=1)],
            [_node("Relu", "e", "f"), _node("Concat", "x f x", "y", axis=1)],
            [_node("ReduceSum", "e one", "s", keepdims=1), _node("Add", "x s", "y")],
            [_node("MatMul", "e none", "s"), _node("Add", "x s", "y")],
            [_node("Split", "x sizes", "a b", axis=1), _node("Concat", "b a", "y", axis=1)],
            [
                _node("Split", "x sizes", "a b", axis=1),
                _node("ReduceSum", "a one", "s", keepdims=1),
                _node("Sub", "b s", "y"),
            ],
        ],
    )
    def test_they_count_for_nothing(self, nodes: list[onnx.NodeProto]) -> None:
        none = numpy_helper.from_array(np.zeros((0, 4), dtype=np.float32), "none")
        proto = self._sliced(*nodes, constants=[none, _int_constant("sizes", 0, 4)])
        for x in (RNG.uniform(-1, 1, (16, 4)), RNG.uniform(-0.9, 0.9, (4, 4))):
            samples = x.astype(np.float32)
            circuit = zk.compile(proto, np.concatenate([samples, -np.ones((1, 4)), np.ones((1, 4))]).astype(np.float32))
            expected = np.concatenate([_run(proto, sample[None])[0] for sample in samples])
            np.testing.assert_allclose(circuit.run(samples), expected, atol=1e-3)

    def test_as_an_output_they_are_refused(self) -> None:
        with pytest.raises(ShapeError, match=r"'y' has shape \(1, 0\), and so no elements. Leave it out"):
            load_model(self._sliced(_node("Relu", "e", "y")), batch=1)


class TestRefusals:
    def test_no_nodes(self) -> None:
        with pytest.raises(CompileError, match="no nodes"):
            load_model(_proto(outputs="x"), batch=1)

    def test_no_inputs(self) -> None:
        with pytest.raises(CompileError, match="no inputs"):
            load_model(_proto(_node("Relu", "w", "y"), constants=[W], inputs=[]), batch=1)

    def test_an_output_that_is_a_constant(self) -> None:
        proto = _proto(_node("Relu", "x", "y"), _node("Relu", "w", "z"), constants=[W], outputs="y z")
        with pytest.raises(CompileError, match=r"'z' is a constant.*Leave it out"):
            load_model(proto, batch=1)

    def test_an_output_that_is_a_weight(self) -> None:
        """Then shape inference knows nothing of the weight, nor of what is computed with it."""
        proto = _proto(_node("MatMul", "x w", "y"), constants=[W], outputs="y w")
        with pytest.raises(CompileError, match=r"'w' is a constant.*Leave it out"):
            load_model(proto, batch=1)

    def test_an_output_listed_twice(self) -> None:
        with pytest.raises(CompileError, match="output twice"):
            load_model(_proto(_node("Relu", "x", "y"), outputs="y y"), batch=1)

    def test_control_flow(self) -> None:
        branches = {
            f"{which}_branch": helper.make_graph(
                [helper.make_node(op, ["x"], [which])], which, [], [_floats(which, None)]
            )
            for which, op in (("then", "Relu"), ("else", "Neg"))
        }
        proto = _proto(
            _node("ReduceSum", "x", "s", keepdims=0),
            _node("Cast", "s", "c", to=TensorProto.BOOL),
            _node("If", "c", "y", **branches),
        )
        with pytest.raises(UnsupportedOperatorError, match="which branch is taken depends on data"):
            load_model(proto, batch=1)

    def test_an_operator_of_another_domain(self) -> None:
        proto = _proto(
            helper.make_node("FusedGemm", ["x", "w"], ["y"], name="f", domain="com.microsoft"), constants=[W]
        )
        proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
        with pytest.raises(UnsupportedOperatorError, match=r"'f' is com\.microsoft\.FusedGemm"):
            load_model(proto, batch=1)

    def test_an_operator_that_does_not_exist(self) -> None:
        with pytest.raises(CompileError, match="the ONNX checker refuses the model"):
            load_model(_proto(_node("Relux", "x", "y")), batch=1)

    def test_an_input_that_is_no_tensor(self) -> None:
        sequence = helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, None)
        proto = _proto(_node("SequenceLength", "x", "h"), _node("Cast", "h", "y", to=1), inputs=[sequence])
        with pytest.raises(CompileError, match="'x' is not a tensor"):
            load_model(proto, batch=1)

    def test_a_file_format_newer_than_known(self) -> None:
        proto = _linear()
        proto.ir_version = 99
        with pytest.raises(CompileError, match="the ONNX checker refuses the model"):
            load_model(proto, batch=1)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_weights_that_are_not_finite(self, bad: float, dtype: type) -> None:
        weight = numpy_helper.to_array(W).astype(dtype)
        weight[1, 2] = bad
        proto = _proto(
            _node("Cast", "weight", "w", to=TensorProto.FLOAT),
            _node("MatMul", "x w", "y"),
            constants=[numpy_helper.from_array(weight, "weight")],
        )
        with pytest.raises(NotFiniteError, match=r"'weight' holds 1 values .* index \(1, 2\)"):
            load_model(proto, batch=1)

    def test_a_constant_node_that_is_not_finite(self) -> None:
        value = numpy_helper.from_array(np.array([np.nan], dtype=np.float32))
        with pytest.raises(NotFiniteError, match="'k'"):
            load_model(_proto(_node("Constant", "", "k", value=value), _node("Add", "x k", "y")), batch=1)

    def test_constants_that_overflow_when_folded(self) -> None:
        large = numpy_helper.from_array(np.full((4,), 1e38, dtype=np.float32), "large")
        proto = _proto(_node("Mul", "large large", "square"), _node("Add", "x square", "y"), constants=[large])
        with pytest.raises(NotFiniteError, match="'square'"):
            load_model(proto, batch=1)


def test_minus_infinity_that_masks_scores_becomes_a_low_number() -> None:
    mask = np.array([[0, -np.inf], [0, 0]], dtype=np.float32)
    model = build("h = Add(x, m)\ny = Softmax(h)", {"x": [1, 2, 2]}, {"m": mask})
    constants = [v.const_value.numpy() for v in load_model(model, batch=1).graph.initializers.values() if v.const_value]
    assert [float(c.min()) for c in constants] == [float(np.finfo(np.float32).min / 2)]
    with pytest.raises(NotFiniteError, match="'m' holds 1 values"):
        load_model(build("h = Add(x, m)\ny = Tanh(h)", {"x": [1, 2, 2]}, {"m": mask}), batch=1)
