"""Compiling, running, reporting and keeping circuits: what a user does with a model, on scikit-learn's digits."""

import copy
import dataclasses
import pickle
import stat
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from zkinfer.circuit.bounds import check_bounds
from zkinfer.circuit.encoding import program_digest
from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.program import Program, Tensor
from zkinfer.compiler.calibration.stress import CONDITIONS
from zkinfer.compiler.compile import REPORT_SAMPLES, compile  # noqa: A004
from zkinfer.compiler.lowering.builder import Builder, Summand
from zkinfer.compiler.lowering.precision import EZKL, NATIVE, Precision
from zkinfer.compiler.lowering.result import Saturation
from zkinfer.compiler.model import Circuit
from zkinfer.errors import (
    ArtifactError,
    BoundsError,
    DynamicShapeError,
    InputRangeError,
    InvalidInputError,
    NotFiniteError,
    ResourceError,
    ShapeError,
    ToleranceError,
    UnsupportedOperatorError,
)
from zkinfer.files.artifact import unwrap, wrap
from zkinfer.files.integers import least_width
from zkinfer.files.kinds import CIRCUIT

DIGITS, LABELS = load_digits(return_X_y=True)
DIGITS = (DIGITS / 16).astype(np.float32)
TRAIN, TEST = slice(0, 1400), slice(1400, None)
CALIBRATION = DIGITS[:400]


def _mlp(*, name: str = "image") -> onnx.ModelProto:
    """A perceptron 64-24-10 trained on the digits, as an ONNX model; batch open."""
    # A tolerance that every epoch fails to beat: training stops after 40 of them.
    network = MLPClassifier((24,), random_state=0, learning_rate_init=0.01, tol=1e3, n_iter_no_change=40)
    network.fit(DIGITS[TRAIN], LABELS[TRAIN])
    constants = {}
    for layer, (w, b) in enumerate(zip(network.coefs_, network.intercepts_, strict=True)):
        constants[f"w{layer}"], constants[f"b{layer}"] = w.astype(np.float32), b.astype(np.float32)
    nodes = [
        helper.make_node("Gemm", [name, "w0", "b0"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "w1", "b1"], ["logits"]),
    ]
    return _proto(nodes, name, 64, "logits", constants)


def _proto(
    nodes: list[onnx.NodeProto], name: str, width: int, output: str, constants: dict[str, np.ndarray]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, key) for key, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.fixture(scope="module")
def mlp() -> onnx.ModelProto:
    return _mlp()


@pytest.fixture(scope="module")
def circuit(mlp: onnx.ModelProto) -> Circuit:
    return compile(mlp, CALIBRATION)


@pytest.fixture(scope="module")
def by_fours(mlp: onnx.ModelProto) -> Circuit:
    return compile(mlp, CALIBRATION, batch=4)


@pytest.fixture(scope="module")
def path(circuit: Circuit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The circuit's file."""
    path = tmp_path_factory.mktemp("circuit") / "digits.circuit"
    circuit.save(path)
    return path


class TestTarget:
    def test_a_circuit_is_tuned_for_it(self, mlp: onnx.ModelProto) -> None:
        tuned = compile(mlp, CALIBRATION, target="cosine>=0.999, top1>=0.97")
        assert tuned.tuning is not None
        assert tuned.tuning.samples == len(CALIBRATION) // 2
        assert tuned.tuning.cost_after < tuned.tuning.cost_before / 10
        report = tuned.report(CALIBRATION[1::2])
        assert report.outputs[0].cosine >= 0.999
        assert report.agreement is not None
        assert report.agreement >= 0.97
        assert compile(mlp, CALIBRATION, precision=tuned.tuning.precision_after).digest == tuned.digest

    def test_calibration_data_is_in_range(self, mlp: onnx.ModelProto) -> None:
        """Formats hold what all calibration samples show, those that were held out too."""
        loud = CALIBRATION[:20].copy()
        loud[1] *= 1.5
        assert np.shape(compile(mlp, loud, target="cosine>=0.9").run(loud)) == (20, 10)

    def test_it_starts_from_the_most_that_may_be_spent(self, mlp: onnx.ModelProto) -> None:
        tuned = compile(mlp, CALIBRATION, target="cosine>=0.9", activation_bits=6, weight_bits=9)
        assert tuned.tuning is not None
        before, after = tuned.tuning.precision_before, tuned.tuning.precision_after
        assert (before.activation_bits, before.weight_bits) == (6, 9)
        assert after.activation_bits <= 6
        assert after.weight_bits <= 9

    def test_one_out_of_reach_is_refused(self, mlp: onnx.ModelProto) -> None:
        with pytest.raises(ToleranceError, match=r"cosine>=0\.9999999 is not reached"):
            compile(mlp, CALIBRATION, target="cosine>=0.9999999", activation_bits=5)

    def test_one_sample_is_too_few(self, mlp: onnx.ModelProto) -> None:
        for data in (DIGITS[:1], DIGITS[0]):
            with pytest.raises(InvalidInputError, match="two or more"):
                compile(mlp, data, target="cosine>=0.9")

    def test_a_circuit_without_one_says_nothing(self, circuit: Circuit) -> None:
        assert circuit.tuning is None


def test_a_width_for_a_tensor_that_the_model_lacks_is_refused(mlp: onnx.ModelProto) -> None:
    with pytest.raises(
        InvalidInputError, match=r"names 'activ', which the model does not have; the nearest is 'active'"
    ):
        compile(mlp, CALIBRATION, precision=msgspec.structs.replace(EZKL, tensors={"activ": 6}))


def test_a_tensor_has_the_width_that_it_is_given(mlp: onnx.ModelProto) -> None:
    narrow = compile(mlp, CALIBRATION, precision=msgspec.structs.replace(EZKL, tensors={"active": 4, "w1": 3}))
    tensors = {tensor.label: tensor for tensor in (*narrow.program.weights, *(n.out for n in narrow.program.nodes))}
    assert tensors["active"].hi < 16
    assert tensors["w1"].hi <= 4
    assert tensors["w0"].hi > 32


def test_a_circuit_that_cannot_be_proven_is_refused_when_it_is_compiled() -> None:
    """64 products of 24 and 23 bits do not fit the field, and an output is no reason to round them."""
    weights = np.random.default_rng(0).normal(size=(64, 10)).astype(np.float32)
    model = _proto([helper.make_node("MatMul", ["x", "w"], ["y"])], "x", 64, "y", {"w": weights})
    with pytest.raises(BoundsError, match=r"could not be proven: y: .*compile with fewer bits"):
        compile(model, CALIBRATION, activation_bits=24, weight_bits=24, max_table_entries=1 << 24)


class TestCompile:
    def test_the_same_model_gives_the_same_circuit(self, mlp: onnx.ModelProto, circuit: Circuit) -> None:
        again = compile(mlp.SerializeToString(), CALIBRATION)
        assert again.digest == circuit.digest == program_digest(circuit.program).hex()
        assert again.to_bytes() == circuit.to_bytes()

    def test_a_path_is_taken(self, mlp: onnx.ModelProto, circuit: Circuit, tmp_path: Path) -> None:
        path = tmp_path / "digits.onnx"
        onnx.save(mlp, path)
        assert compile(path, CALIBRATION).digest == circuit.digest

    def test_the_published_bounds_are_true(self, circuit: Circuit) -> None:
        check_bounds(circuit.program, circuit.weights)

    def test_weights_do_not_show_in_the_digest(self, mlp: onnx.ModelProto, circuit: Circuit) -> None:
        changed = onnx.ModelProto()
        changed.CopyFrom(mlp)
        bias = numpy_helper.to_array(changed.graph.initializer[3]).copy()
        bias[0] += np.float32(2.0**-6)
        changed.graph.initializer[3].CopyFrom(numpy_helper.from_array(bias, "b1"))
        other = compile(changed, CALIBRATION)
        assert other.digest == circuit.digest
        assert any((a != b).any() for a, b in zip(other.weights, circuit.weights, strict=True))

    def test_the_batch_shows_in_the_digest(self, circuit: Circuit, by_fours: Circuit) -> None:
        assert (circuit.batch, by_fours.batch) == (1, 4)
        assert circuit.digest != by_fours.digest

    def test_more_bits_give_less_error(self, mlp: onnx.ModelProto) -> None:
        coarse = compile(mlp, CALIBRATION, precision="ezkl")
        fine = compile(mlp, CALIBRATION, precision=Precision(12, 13, max_table_entries=1 << 16))
        assert fine.report().outputs[0].max_error < coarse.report().outputs[0].max_error / 10

    def test_precision_comes_by_name_as_a_record_or_by_its_fields(self, mlp: onnx.ModelProto, circuit: Circuit) -> None:
        assert compile(mlp, CALIBRATION, precision="native").digest == circuit.digest
        assert compile(mlp, CALIBRATION, precision=NATIVE).digest == circuit.digest
        coarse = compile(mlp, CALIBRATION, precision="ezkl").digest
        assert coarse == compile(mlp, CALIBRATION, precision=EZKL).digest
        fields = compile(mlp, CALIBRATION, activation_bits=8, weight_bits=8, max_table_entries=2032)
        relative = msgspec.structs.replace(EZKL, relative=True)
        assert fields.digest == compile(mlp, CALIBRATION, precision=relative).digest
        assert coarse != circuit.digest

    def test_a_field_takes_the_place_of_what_the_precision_says(self, mlp: onnx.ModelProto) -> None:
        changed = msgspec.structs.replace(EZKL, weight_bits=9)
        one, other = (compile(mlp, CALIBRATION, precision=p, weight_bits=9) for p in ("ezkl", EZKL))
        assert one.digest == other.digest == compile(mlp, CALIBRATION, precision=changed).digest

    def test_an_unknown_precision_is_refused(self, mlp: onnx.ModelProto) -> None:
        with pytest.raises(InvalidInputError, match="there is no precision 'halo2'"):
            compile(mlp, CALIBRATION, precision="halo2")

    @pytest.mark.parametrize("bits", [{"weight_bits": 0}, {"activation_bits": 99}, {"weight_bits": 7.5}])
    def test_bits_out_of_range_are_refused(self, mlp: onnx.ModelProto, bits: dict[str, Any]) -> None:
        with pytest.raises(InvalidInputError, match=next(iter(bits))):
            compile(mlp, CALIBRATION, **bits)

    @pytest.mark.parametrize(
        ("data", "error"),
        [
            (CALIBRATION[:, :10], ShapeError),
            (CALIBRATION[:0], ShapeError),
            (CALIBRATION * np.float32("nan"), NotFiniteError),
            (CALIBRATION.astype(str), InvalidInputError),
            ({"picture": CALIBRATION}, InvalidInputError),
            ([CALIBRATION, CALIBRATION], ShapeError),
        ],
        ids=["shape", "empty", "nan", "dtype", "name", "count"],
    )
    def test_wrong_calibration_data_is_refused(
        self, mlp: onnx.ModelProto, data: object, error: type[InvalidInputError]
    ) -> None:
        with pytest.raises(error):
            compile(mlp, data)

    def test_errors_of_reading_the_model_pass_through(self, mlp: onnx.ModelProto) -> None:
        with pytest.raises(InvalidInputError, match="path"):
            compile(3, CALIBRATION)
        with pytest.raises(ShapeError, match="batch of 2"):
            compile(_fixed_batch(), CALIBRATION, batch=2)
        with pytest.raises(DynamicShapeError, match="has no shape"):
            compile(_without_shape(), CALIBRATION)

    def test_an_unknown_operator_is_named(self) -> None:
        proto = _proto([helper.make_node("Det", ["x"], ["y"], name="the node")], "x", 4, "y", {})
        del proto.graph.input[0].type.tensor_type.shape.dim[1]
        for _ in range(2):
            proto.graph.input[0].type.tensor_type.shape.dim.add().dim_value = 2
        with pytest.raises(UnsupportedOperatorError, match=r"Det"):
            compile(proto, np.ones((3, 2, 2)))

    def test_a_module_is_exported_and_compiled(self) -> None:
        torch = pytest.importorskip("torch")
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Linear(64, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3))
        data = CALIBRATION.astype(np.float64)
        circuits = {exporter: compile(module, data, exporter=exporter) for exporter in ("dynamo", "torchscript")}
        x = DIGITS[TEST][:20]
        with torch.no_grad():
            expected = module(torch.from_numpy(x)).numpy()
        outputs = [np.asarray(c.run(torch.from_numpy(x))) for c in circuits.values()]
        np.testing.assert_allclose(outputs[0], expected, atol=0.1 * np.ptp(expected))
        np.testing.assert_array_equal(outputs[0], outputs[1])
        assert circuits["dynamo"].program.inputs[0].label == "input"


def _fixed_batch() -> onnx.ModelProto:
    proto = _proto([helper.make_node("Relu", ["x"], ["y"])], "x", 64, "y", {})
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    return proto


def _without_shape() -> onnx.ModelProto:
    proto = _proto([helper.make_node("Relu", ["x"], ["y"])], "x", 64, "y", {})
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    return proto


class TestRun:
    def test_it_answers_as_the_float_model_does(self, circuit: Circuit) -> None:
        outputs = np.asarray(circuit.run(DIGITS[TEST], saturate=True))
        assert outputs.shape == (397, 10)
        assert outputs.dtype == np.float64
        assert np.mean(outputs.argmax(axis=1) == LABELS[TEST]) > 0.9

    def test_it_is_the_integer_program(self, circuit: Circuit) -> None:
        tensor, output = circuit.program.inputs[0], circuit.program.output_tensors[0]
        integers = np.rint(np.ldexp(DIGITS[:5].astype(np.float64), tensor.frac_bits)).astype(np.int64)
        values = evaluate(circuit.program, circuit.weights, [integers[:, None]])
        by_hand = np.ldexp(values[circuit.program.outputs[0]][:, 0].astype(np.float64), -output.frac_bits)
        np.testing.assert_array_equal(circuit.run(DIGITS[:5]), by_hand)
        np.testing.assert_array_equal(
            np.ldexp(circuit.run_integers([integers])[0].astype(np.float64), -output.frac_bits), by_hand
        )

    def test_the_executor_is_made_once_and_stays_where_it_is(self, circuit: Circuit) -> None:
        circuit.run(DIGITS[:1])
        executor = circuit.executor
        outputs = circuit.run(DIGITS[:2])
        assert circuit.executor is executor
        copy = pickle.loads(pickle.dumps(circuit))
        assert "executor" not in vars(copy)
        np.testing.assert_array_equal(copy.run(DIGITS[:2]), outputs)

    def test_an_output_that_depends_on_no_input_is_given_for_every_sample(self) -> None:
        builder = Builder()
        builder.input("x", (2, 1), 0, 0, 1)
        known = builder.combine("known", [Summand(builder.weight("w", np.array([[3], [5]]), 0))], offset=Fraction(1))
        built = builder.finish([known])
        (outputs,) = Circuit(built.program, built.weights, (), b"").run_integers([np.zeros((5, 1), dtype=np.int64)])
        assert outputs.tolist() == [[4], [6], [4], [6], [4]]

    def test_weights_of_which_the_published_bounds_are_not_true_are_refused(self, circuit: Circuit) -> None:
        wrong = dataclasses.replace(circuit, weights=tuple(100 * weight for weight in circuit.weights))
        with pytest.raises(BoundsError, match="active: table 'relu' covers indices"):
            wrong.run(DIGITS[:1])

    @pytest.mark.parametrize("samples", [1, 4, 5, 11])
    def test_any_number_of_samples_goes_through_any_batch(
        self, circuit: Circuit, by_fours: Circuit, samples: int
    ) -> None:
        x = DIGITS[TEST][:samples]
        np.testing.assert_array_equal(by_fours.run(x, saturate=True), circuit.run(x, saturate=True))

    def test_one_sample_needs_no_batch_axis_where_the_batch_is_1(self, circuit: Circuit, by_fours: Circuit) -> None:
        np.testing.assert_array_equal(circuit.run(DIGITS[0]), circuit.run(DIGITS[:1]))
        with pytest.raises(ShapeError):
            by_fours.run(DIGITS[0])

    def test_inputs_come_by_name_too(self, circuit: Circuit) -> None:
        np.testing.assert_array_equal(circuit.run({"image": DIGITS[:3]}), circuit.run([DIGITS[:3]]))
        with pytest.raises(InvalidInputError, match="image"):
            circuit.run({"picture": DIGITS[:3]})

    def test_beyond_the_calibrated_range_is_refused_unless_saturated(self, circuit: Circuit) -> None:
        x = DIGITS[:3] * 2
        with pytest.raises(InputRangeError, match=r"'image' takes values from 0 to 1"):
            circuit.run(x)
        np.testing.assert_array_equal(circuit.run(x, saturate=True), circuit.run(x.clip(0, 1)))

    @pytest.mark.parametrize(
        ("x", "error"),
        [
            (DIGITS[:3, :5], ShapeError),
            (DIGITS[:0], ShapeError),
            (DIGITS[:3] + np.float32("inf"), NotFiniteError),
            (np.array(["a"] * 64), InvalidInputError),
            (DIGITS[:3] + 0j, InvalidInputError),
            ([DIGITS[:3], DIGITS[:3]], ShapeError),
        ],
        ids=["shape", "empty", "infinite", "strings", "complex", "count"],
    )
    def test_wrong_inputs_are_refused(self, circuit: Circuit, x: object, error: type[InvalidInputError]) -> None:
        with pytest.raises(error):
            circuit.run(x)

    def test_integers_are_checked(self, circuit: Circuit) -> None:
        with pytest.raises(ShapeError, match="1 inputs, got 2"):
            circuit.run_integers([np.zeros((1, 64), dtype=np.int64)] * 2)
        with pytest.raises(InputRangeError):
            circuit.run_integers([np.full((1, 64), 1 << 20)])

    def test_several_inputs_and_outputs(self) -> None:
        x, y = np.linspace(-1, 1, 6).reshape(3, 2), np.linspace(0, 2, 6).reshape(3, 2)
        both = compile(_sum_and_difference(), {"left": x, "right": y}, activation_bits=12, max_table_entries=4096)
        total, difference = both.run([x, y])
        np.testing.assert_allclose(total, x + y, atol=0.01)
        np.testing.assert_allclose(difference, x - y, atol=0.01)
        with pytest.raises(ShapeError, match="different numbers of samples"):
            both.run([x, y[:2]])


def _sum_and_difference() -> onnx.ModelProto:
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["left", "right"], ["sum"]),
            helper.make_node("Sub", ["left", "right"], ["difference"]),
        ],
        "both",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in ("left", "right")],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("sum", "difference")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


class TestReport:
    def test_of_calibration_data(self, circuit: Circuit) -> None:
        report = circuit.report()
        assert report.samples == REPORT_SAMPLES
        assert [row.name for row in report.outputs] == ["logits"]
        assert report.agreement is not None
        assert report.accuracy_float is None

    def test_of_other_samples_with_labels(self, circuit: Circuit) -> None:
        report = circuit.report(DIGITS[TEST], LABELS[TEST])
        assert report.samples == 397
        assert report.accuracy_float is not None
        assert report.accuracy_fixed is not None
        assert abs(report.accuracy_float - report.accuracy_fixed) <= 0.01
        answers = np.asarray(circuit.run(DIGITS[TEST], saturate=True)).argmax(axis=1)
        assert report.accuracy_fixed == np.mean(answers == LABELS[TEST])

    def test_it_has_the_samples_themselves_and_every_stress(self, circuit: Circuit) -> None:
        report = circuit.report(DIGITS[TEST])
        assert [row.condition for row in report.stress] == ["inputs x 1", *(c.name for c in CONDITIONS)]
        assert report.stress[0].outputs == report.outputs
        assert not any(row.leaves for row in report.stress)
        assert circuit.report(DIGITS[TEST], stress=False) == msgspec.structs.replace(report, stress=())

    def test_of_a_batch(self, circuit: Circuit, by_fours: Circuit) -> None:
        x, labels = DIGITS[TEST][:10], LABELS[TEST][:10]
        single, batched = circuit.report(x, labels), by_fours.report(x, labels)
        assert batched.accuracy_fixed == single.accuracy_fixed
        assert batched.fixed_outputs == single.fixed_outputs

    def test_of_a_regression_with_targets(self) -> None:
        """A model of one column gives no classes: labels are refused, targets are compared with."""
        slope = np.linspace(-1, 1, 64, dtype=np.float32).reshape(64, 1)
        regression = compile(
            _proto([helper.make_node("MatMul", ["x", "w"], ["y"])], "x", 64, "y", {"w": slope}), DIGITS
        )
        targets = DIGITS[TEST] @ slope + np.float32(0.1)
        report = regression.report(DIGITS[TEST], targets=targets[:, 0])
        assert report.r2_float == pytest.approx(1 - 0.01 / targets.var(), abs=1e-4)
        assert report.r2_fixed == pytest.approx(report.r2_float, abs=1e-2)
        assert report.accuracy_fixed is None
        with pytest.raises(InvalidInputError, match="labels need a first output"):
            regression.report(DIGITS[TEST], LABELS[TEST])

    def test_labels_without_samples_are_refused(self, circuit: Circuit) -> None:
        with pytest.raises(InvalidInputError, match="hand in x"):
            circuit.report(labels=LABELS)
        with pytest.raises(InvalidInputError, match="hand in x too"):
            circuit.report(targets=LABELS)


class TestFile:
    def test_there_and_back(self, circuit: Circuit, path: Path) -> None:
        loaded = Circuit.load(path)
        assert loaded.digest == circuit.digest
        assert loaded.program == circuit.program
        assert loaded.to_bytes() == path.read_bytes()
        np.testing.assert_array_equal(loaded.run(DIGITS[:7]), circuit.run(DIGITS[:7]))
        assert loaded.report(DIGITS[:7]) == circuit.report(DIGITS[:7])

    def test_it_is_readable_by_its_owner_alone(self, path: Path) -> None:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_it_holds_no_calibration_data(self, path: Path) -> None:
        with pytest.raises(InvalidInputError, match="hand in samples"):
            Circuit.load(path).report()

    def test_a_missing_file_and_a_missing_folder_are_said(self, circuit: Circuit, tmp_path: Path) -> None:
        with pytest.raises(ArtifactError, match="nothing"):
            Circuit.load(tmp_path / "nothing")
        with pytest.raises(ResourceError):
            circuit.save(tmp_path / "nowhere" / "digits.circuit")

    @pytest.mark.parametrize("cut", [0, 10, 51, 52, 500, -1])
    def test_truncations_are_refused(self, path: Path, cut: int) -> None:
        with pytest.raises(ArtifactError):
            Circuit.from_bytes(path.read_bytes()[:cut])

    def test_extensions_and_edits_are_refused(self, path: Path) -> None:
        data = path.read_bytes()
        with pytest.raises(ArtifactError):
            Circuit.from_bytes(data + b"\0")
        for place in range(0, len(data), len(data) // 50):
            edited = bytearray(data)
            edited[place] ^= 1
            with pytest.raises(ArtifactError):
                Circuit.from_bytes(bytes(edited))

    def test_weights_beyond_their_bounds_are_refused_behind_a_good_checksum(self, circuit: Circuit) -> None:
        weights = list(circuit.weights)
        weights[0] = np.full_like(weights[0], circuit.program.weights[0].hi)
        forged = Circuit(circuit.program, tuple(weights), circuit.layers, circuit.model)
        with pytest.raises(ArtifactError, match="do not fit"):
            Circuit.from_bytes(forged.to_bytes())

    @pytest.mark.parametrize(
        ("saturation", "message"),
        [
            (Saturation(99, 0, ()), "does not have"),
            (Saturation(5, 99, ()), "does not have"),
            (Saturation(5, 5, ()), "does not have"),
            (Saturation(1, 0, ()), "does not have"),
            (Saturation(5, -1, ()), "does not have"),
            (Saturation(6, 5, ((3, 4), (2, 5))), "not in order"),
        ],
    )
    def test_saturations_of_other_values_are_refused(
        self, circuit: Circuit, saturation: Saturation, message: str
    ) -> None:
        forged = dataclasses.replace(circuit, saturations=(saturation,))
        with pytest.raises(ArtifactError, match=message):
            Circuit.from_bytes(forged.to_bytes())

    def test_a_file_without_saturations_is_read(self, circuit: Circuit) -> None:
        """Those of version 0.1.0 have none."""
        payload = unwrap(circuit.to_bytes(), CIRCUIT.tag, CIRCUIT.version, max_bytes=1 << 30)
        fields = msgspec.msgpack.decode(payload)
        loaded = Circuit.from_bytes(wrap(CIRCUIT.tag, CIRCUIT.version, msgspec.msgpack.encode(fields[:4])))
        assert (loaded.digest, loaded.saturations) == (circuit.digest, ())
        np.testing.assert_array_equal(loaded.run(DIGITS[:7]), circuit.run(DIGITS[:7]))

    def test_a_float_model_that_does_not_belong_is_refused(self, circuit: Circuit) -> None:
        damaged = Circuit(circuit.program, circuit.weights, circuit.layers, circuit.model[:100])
        with pytest.raises(ArtifactError, match="damaged"):
            damaged.report(DIGITS[:3])
        other = compile(
            _proto([helper.make_node("Relu", ["image"], ["logits"])], "image", 64, "logits", {}), CALIBRATION
        )
        swapped = Circuit(circuit.program, circuit.weights, circuit.layers, other.model)
        with pytest.raises(InvalidInputError, match="the float model has no tensor 'hidden'"):
            swapped.report(DIGITS[:3])

    def test_contents_that_do_not_belong_together_are_refused(self, circuit: Circuit) -> None:
        fewer = circuit.to_bytes()
        payload = unwrap(fewer, CIRCUIT.tag, CIRCUIT.version, max_bytes=1 << 30)
        with pytest.raises(ArtifactError, match="circuit: "):
            Circuit.from_bytes(wrap(CIRCUIT.tag, CIRCUIT.version, payload[:-1]))
        with pytest.raises(ArtifactError, match="version"):
            Circuit.from_bytes(wrap(CIRCUIT.tag, CIRCUIT.version + 1, payload))
        with pytest.raises(ArtifactError, match="kind"):
            Circuit.from_bytes(wrap("prof", CIRCUIT.version, payload))


class TestPresentation:
    def test_repr(self, circuit: Circuit) -> None:
        text = repr(circuit)
        assert circuit.digest[:16] in text
        assert f"{sum(w.size for w in circuit.weights):,} weights" in text

    def test_summary_has_a_row_for_every_value(self, circuit: Circuit) -> None:
        table = circuit.summary()
        assert table.row_count == circuit.program.num_values
        console = Console(width=200, record=True, quiet=False, file=None, force_terminal=False)
        with console.capture() as captured:
            console.print(table)
        text = captured.get()
        assert "image" in text
        assert "(output)" in text
        assert "entries, shift" in text


class TestFileInPieces:
    """A circuit's file is written piece by piece, and is what MessagePack makes of the whole."""

    def test_the_pieces_are_one_encoding(self, circuit: Circuit) -> None:
        payload = unwrap(circuit.to_bytes(), CIRCUIT.tag, CIRCUIT.version, max_bytes=CIRCUIT.max_bytes)
        assert msgspec.msgpack.encode(msgspec.msgpack.decode(payload)) == payload

    @pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 300])
    @pytest.mark.parametrize("length", [1, 255, 256, 65535, 65536])
    def test_whatever_the_number_and_the_size_of_weights(self, count: int, length: int) -> None:
        sizes = [length if k < 3 else 1 for k in range(count)]
        weights = tuple(np.full(size, 7, dtype=np.int64) for size in sizes)
        tensors = tuple(Tensor(f"w{k}", (size,), 0, 0, 7) for k, size in enumerate(sizes))
        program = Program(1, (), tensors, (), (), ())
        payload = unwrap(
            Circuit(program, weights, (), b"m" * length).to_bytes(),
            CIRCUIT.tag,
            CIRCUIT.version,
            max_bytes=CIRCUIT.max_bytes,
        )
        _, stored, layers, model, *_ = msgspec.msgpack.decode(payload)
        assert stored == [bytes([7]) * size for size in sizes]
        assert (layers, model) == ([], b"m" * length)
        assert msgspec.msgpack.encode(msgspec.msgpack.decode(payload)) == payload

    def test_nothing_large_is_copied(self, circuit: Circuit) -> None:
        pieces = circuit._pieces()
        assert any(piece is circuit.model for piece in pieces)
        parts = [np.frombuffer(piece, np.uint8) for piece in pieces if isinstance(piece, memoryview)]
        same = [w for w, t in zip(circuit.weights, circuit.program.weights, strict=True) if w.dtype == _least(t)]
        assert same
        assert all(any(np.shares_memory(weight, part) for part in parts) for weight in same)


class TestFileInPlace:
    """A circuit that is read has its weights and its float model as parts of the file's bytes."""

    @staticmethod
    def _with_weights(circuit: Circuit, change: Callable[[bytes, int], bytes]) -> bytes:
        """The circuit's file with other bytes for each weight, made of its numbers and of the bytes that each has."""
        payload = unwrap(circuit.to_bytes(), CIRCUIT.tag, CIRCUIT.version, max_bytes=CIRCUIT.max_bytes)
        fields = msgspec.msgpack.decode(payload)
        widths = [_least(tensor).itemsize for tensor in circuit.program.weights]
        sizes = [tensor.size for tensor in circuit.program.weights]
        fields[1] = [change(w[len(w) - n * k :], k) for w, n, k in zip(fields[1], sizes, widths, strict=True)]
        return wrap(CIRCUIT.tag, CIRCUIT.version, msgspec.msgpack.encode(fields))

    def test_nothing_large_is_copied(self, circuit: Circuit) -> None:
        data = circuit.to_bytes()
        loaded, whole = Circuit.from_bytes(data), np.frombuffer(data, np.uint8)
        assert {weight.itemsize for weight in loaded.weights} >= {2}
        for weight in loaded.weights:
            assert np.shares_memory(weight, whole)
            assert weight.flags.aligned
            assert not weight.flags.writeable
        assert np.shares_memory(np.frombuffer(loaded.model, np.uint8), whole)

    def test_weights_that_lie_across_words_are_copied(self, circuit: Circuit) -> None:
        """As in files of version 0.1.0, which have no zeros between."""
        loaded = Circuit.from_bytes(self._with_weights(circuit, lambda numbers, _: numbers))
        for weight, expected in zip(loaded.weights, circuit.weights, strict=True):
            assert weight.flags.aligned
            np.testing.assert_array_equal(weight, expected)
        assert loaded.to_bytes() == circuit.to_bytes()

    def test_only_zeros_align_and_fewer_than_a_number_has_bytes(self, circuit: Circuit) -> None:
        Circuit.from_bytes(self._with_weights(circuit, lambda numbers, width: bytes(width - 1) + numbers))
        changes: list[Callable[[bytes, int], bytes]] = [
            lambda numbers, width: bytes(width) + numbers,
            lambda numbers, _: numbers[1:],
            lambda numbers, _: b"\1" + numbers,
        ]
        for change in changes:
            with pytest.raises(ArtifactError, match="bytes for"):
                Circuit.from_bytes(self._with_weights(circuit, change))

    def test_it_can_be_pickled_copied_and_written_again(self, circuit: Circuit, path: Path) -> None:
        loaded = Circuit.load(path)
        for again in (pickle.loads(pickle.dumps(loaded)), copy.deepcopy(loaded)):
            assert again.model == circuit.model
            assert again.to_bytes() == path.read_bytes()


def _least(tensor: Tensor) -> np.dtype[Any]:
    """The type in which a file holds a weight."""
    return np.dtype(f"i{least_width(tensor.lo, tensor.hi)}")
