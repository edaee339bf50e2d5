"""Circuits on inputs unlike those of calibration: where one leaves its float model, the report says so."""

import warnings

import numpy as np
import onnx
import pytest
from support.model_comparison import build

import zkinfer as zk
from zkinfer.compiler.calibration.calibrate import calibrate
from zkinfer.compiler.calibration.float_model import FloatModel
from zkinfer.compiler.calibration.layer_report import StressReport
from zkinfer.compiler.calibration.stress import (
    CONDITIONS,
    MAX_SAMPLES,
    STRESS_LIMIT,
    TYPICAL_LIMIT,
    Bench,
    spread_out,
    work_per_run,
)
from zkinfer.compiler.lowering.precision import NATIVE, Precision
from zkinfer.compiler.onnx.importer import import_model
from zkinfer.compiler.onnx.load import load_model
from zkinfer.errors import AccuracyWarning
from zkinfer.typing import Array

NAMES = [condition.name for condition in CONDITIONS]

OPPOSED = np.array([[1.0, -1.0], [-1.0, 1.0], [0.2, 0.1], [-1.0, -1.0], [0.3, 0.2], [0.1, 0.3]], np.float32)
"""Two features that calibration never sees large together."""

ADDING = np.array([[1.0, 0.5], [0.5, 1.0]])


def bench(
    model: onnx.ModelProto, *samples: Array, precision: Precision = NATIVE, thorough: bool = True, batch: int = 1
) -> Bench:
    normalized = load_model(model, batch=batch)
    lowered = import_model(normalized, calibrate(normalized, list(samples)), precision)
    return Bench(normalized, FloatModel(normalized), lowered, thorough=thorough)


def linear(width: int = 4) -> onnx.ModelProto:
    weights = np.random.default_rng(0).uniform(-1, 1, (width, 3))
    return build("h = MatMul(x, w)\ny = Relu(h)", {"x": ["n", width]}, {"w": weights})


def uniform(*shape: int) -> Array:
    return np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)


def by_condition(reports: tuple[StressReport, ...]) -> dict[str, StressReport]:
    return {report.condition: report for report in reports}


def test_a_circuit_that_stays_with_its_model_leaves_it_nowhere() -> None:
    x = uniform(40, 4)
    reports = bench(linear(), x).under_stress([x])
    assert [report.condition for report in reports] == NAMES
    assert not any(report.leaves for report in reports)
    assert {report.samples for report in reports} == {MAX_SAMPLES}
    for report in reports:
        assert report.output is not None
        assert 0 < report.output.rms_error < 0.001


def test_inputs_are_scaled_as_the_condition_says() -> None:
    x = uniform(8, 4)
    reports = by_condition(bench(linear(), x).under_stress([x]))
    ranges = {name: report.outputs[0].hi for name, report in reports.items()}
    float_top = bench(linear(), x).measure("plain", [x], TYPICAL_LIMIT).outputs[0].hi
    assert ranges["inputs x 0.1"] == pytest.approx(0.1 * float_top, rel=1e-5)
    assert ranges["inputs x 0.3"] == pytest.approx(0.3 * float_top, rel=1e-5)


def test_inputs_that_the_circuit_refuses_are_brought_into_its_range() -> None:
    x = uniform(8, 4)
    x[0] = 1.0
    x[1] = -1.0
    reports = by_condition(bench(linear(), x).under_stress([x]))
    assert reports["inputs x 1.2"].clipped > 0
    assert reports["inputs x 0.3"].clipped == 0
    # What lies beyond is refused, and so no reason to leave the model.
    assert not reports["inputs x 1.2"].leaves


def test_few_bits_leave_the_model_where_inputs_are_quiet() -> None:
    x = uniform(40, 4)
    few = Precision(activation_bits=5, weight_bits=8, max_table_entries=1 << 12)
    reports = by_condition(bench(linear(), x, precision=few).under_stress([x]))
    assert reports["inputs x 0.1"].leaves
    assert not reports["inputs x 1.2"].leaves


def test_features_at_their_ends_meet_numbers_that_calibration_did_not() -> None:
    """Each feature of a sample is in range, but their sum is twice as large as any that calibration saw."""
    model = build("h = MatMul(x, w)\nr = Relu(h)\ny = MatMul(r, v)", {"x": ["n", 2]}, {"w": ADDING, "v": np.eye(2)})
    both = np.array([[1.0, 1.0], [1.0, 0.9]], np.float32)
    report = bench(model, OPPOSED).measure("both large", [both], STRESS_LIMIT)
    assert report.leaves
    assert report.saturated
    assert report.worst is not None
    assert report.worst.deviation > 0.3


@pytest.mark.parametrize("body", ["y = ArgMax<axis=1>(h)", "y = Softmax<axis=1>(h)", "y = ReduceMax<axes=[1]>(h)"])
def test_saturations_within_a_comparison_are_counted(body: str) -> None:
    """The operands of a comparison are not tensors of the model: their saturations belong to a table within it."""
    weights = np.linspace(1, 2, 64 * 3).reshape(64, 3)
    integers = ("y",) if "ArgMax" in body else ()
    model = build(f"h = MatMul(x, w)\n{body}", {"x": ["n", 64]}, {"w": weights}, integer_outputs=integers, opset=17)
    one_at_a_time = np.eye(64, dtype=np.float32)[:40]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        circuit = zk.compile(model, one_at_a_time)
    report = circuit.report(np.ones((2, 64), np.float32), stress=False)
    within = sum(row.saturated for row in report.inner)
    assert within + sum(row.saturated for row in (*report.layers, *report.outputs)) == report.saturated > 0


def test_a_wrong_scale_leaves_the_model_though_the_cosine_is_one() -> None:
    model = build("h = MatMul(x, w)\nr = Relu(h)\ny = MatMul(r, v)", {"x": ["n", 1]}, {"w": [[1.0]], "v": [[1.0]]})
    x = np.linspace(-1, 0.2, 20, dtype=np.float32)[:, None]
    report = bench(model, x).measure("loud", [np.full((4, 1), 0.9, np.float32)], STRESS_LIMIT)
    if report.clipped:
        pytest.skip("the input's range ends before the activation's")
    assert report.output is not None
    assert report.output.cosine == pytest.approx(1.0)
    assert report.leaves


def test_integers_are_compared_one_by_one() -> None:
    model = build("h = MatMul(x, w)\ny = ArgMax<axis=1>(h)", {"x": ["n", 4]}, {"w": np.eye(4)}, integer_outputs=("y",))
    x = uniform(64, 4)
    coarse = Precision(activation_bits=2, weight_bits=2, max_table_entries=16)
    row = bench(model, x, precision=coarse).measure("plain", [x[:32]], TYPICAL_LIMIT).output
    assert row is not None
    assert row.differing is not None
    assert row.deviation == row.differing > 0
    assert bench(model, x).measure("plain", [x[:32]], TYPICAL_LIMIT).figures.startswith("0% of the integers differ")


class TestInputs:
    def test_masks_are_not_scaled(self) -> None:
        """A half of a mask is not a mask. The features are at their ends in turn, which a mask's ends are too."""
        model = build("y = Mul(x, m)", {"x": ["n", 3], "m": ["n", 3]})
        mask = (uniform(20, 3) > 0).astype(np.float32)
        recorded: list[Array] = []
        there = bench(model, uniform(20, 3), mask)
        measure = there.measure

        def recording(condition: str, samples: list[Array], limit: float) -> StressReport:
            recorded.append(samples[1])
            return measure(condition, samples, limit)

        there.measure = recording  # type: ignore[assignment,method-assign]
        there.under_stress([uniform(20, 3), mask])
        assert all(set(np.unique(array)) <= {0.0, 1.0} for array in recorded)

    def test_conditions_that_change_nothing_are_left_out(self) -> None:
        model = build("y = MatMul(x, w)", {"x": ["n", 3]}, {"w": np.eye(3)})
        x = (uniform(20, 3) > 0).astype(np.float32)
        assert [r.condition for r in bench(model, x).under_stress([x])] == ["single features at their ends"]

    def test_integers_stay_integers(self) -> None:
        table = np.random.default_rng(0).normal(size=(50, 4))
        model = build("y = Gather(w, i)", {"i": ["n", 3]}, {"w": table}, types={"i": onnx.TensorProto.INT64})
        ids = np.random.default_rng(0).integers(0, 50, (20, 3))
        reports = bench(model, ids).under_stress([ids])
        assert reports
        assert not any(report.leaves for report in reports)

    def test_samples_where_the_float_model_is_not_finite_are_left_out(self) -> None:
        model = build("y = Log(x)", {"x": ["n", 2]})
        x = np.linspace(0.5, 2, 40, dtype=np.float32).reshape(20, 2)
        there = bench(model, x)
        some = there.measure("some", [np.array([[1.0, 1.0], [1.0, 0.0]], np.float32)], STRESS_LIMIT)
        none = there.measure("none", [np.zeros((3, 2), np.float32)], STRESS_LIMIT)
        assert some.samples == 1
        assert (none.samples, none.output, none.worst, none.leaves) == (0, None, None, False)
        assert "not finite" in none.figures

    def test_runs_of_a_batch(self) -> None:
        x = uniform(12, 4)
        single, batched = bench(linear(), x), bench(linear(), x, batch=4)
        assert [r.samples for r in batched.under_stress([x])] == [r.samples for r in single.under_stress([x])]
        assert by_condition(batched.under_stress([x]))["inputs x 0.3"].output == (
            by_condition(single.under_stress([x]))["inputs x 0.3"].output
        )


def test_inner_tensors_are_compared_where_the_circuit_leaves_or_when_asked() -> None:
    x = uniform(40, 4)
    few = Precision(activation_bits=4, weight_bits=8, max_table_entries=1 << 12)
    reports = by_condition(bench(linear(), x, precision=few, thorough=False).under_stress([x]))
    thorough = by_condition(bench(linear(), x, precision=few).under_stress([x]))
    left = {name for name, report in reports.items() if report.leaves}
    assert left == {name for name, report in thorough.items() if report.leaves} != set()
    for name, report in reports.items():
        assert report.outputs == thorough[name].outputs
        assert (report.saturated is not None) == (name in left)
        if name in left:
            assert report == thorough[name]


def test_the_work_of_a_run_is_its_products_and_elements() -> None:
    x = uniform(8, 4)
    normalized = load_model(build("y = MatMul(x, w)", {"x": ["n", 4]}, {"w": uniform(4, 3)}), batch=1)
    program = import_model(normalized, calibrate(normalized, x), NATIVE).program
    assert work_per_run(program) == 12 + 4 + sum(node.out.size for node in program.nodes)


@pytest.mark.parametrize(("count", "most", "chosen"), [(3, 8, [0, 1, 2]), (9, 3, [0, 4, 8]), (1, 1, [0]), (5, 1, [0])])
def test_samples_are_evenly_spaced(count: int, most: int, chosen: list[int]) -> None:
    assert spread_out(count, most).tolist() == chosen
