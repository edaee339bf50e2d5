"""The report: figures that can be computed by hand, saturations that are known, a picture that can be read."""

import io
import math
import re
from pathlib import Path

import numpy as np
import onnx_ir
import pytest
from matplotlib.axes import Axes
from msgspec import structs
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console

from zkinfer.circuit.program import PROGRAM_VERSION, Einsum, Lookup, Program, Tensor
from zkinfer.circuit.table import Table
from zkinfer.circuit.validate import validate
from zkinfer.compiler.calibration.layer_report import LayerReport, StressReport, share_text
from zkinfer.compiler.calibration.report import Report, compare
from zkinfer.compiler.calibration.report_plot import MAX_ROWS, draw
from zkinfer.compiler.lowering.result import Layer, Lowered
from zkinfer.compiler.onnx.load import load_model
from zkinfer.errors import InvalidInputError, NotFiniteError, ResourceError, ShapeError

WEIGHTS = np.array([[1.0, 0.0, -1.0], [0.26, 1.0, 0.5]], dtype=np.float32)
"""Of shape (2, 3); one entry is not a multiple of 1/4, and so is off by 0.01 in the circuit."""

X = np.array([[1.0, 2.0], [0.5, -0.5], [3.0, 3.0], [-1.0, 1.0], [0.25, 0.0]], dtype=np.float32)


def _model(batch: int = 1, *, negated: bool = False) -> onnx_ir.Model:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["r" if negated else "y"])]
    graph = helper.make_graph(
        [*nodes, helper.make_node("Neg", ["r"], ["y"])] if negated else nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(WEIGHTS, "w")],
    )
    return load_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), batch=batch)


def _lowered(batch: int = 1, *, clamp: int = 15) -> Lowered:
    """Inputs in quarters from -4 to 4, weights in quarters, the ReLU in quarters, clamped at `clamp` of them."""
    table = Table("relu", -32, tuple(min(max(i, 0), clamp) for i in range(-32, 33)))
    program = Program(
        PROGRAM_VERSION,
        inputs=(Tensor("x", (batch, 2), 2, -16, 16),),
        weights=(Tensor("w", (2, 3), 2, -4, 4),),
        tables=(table,),
        nodes=(
            Einsum(Tensor("h", (batch, 3), 4, -128, 128), "bi,io->bo", (0, 1)),
            Lookup(Tensor("y", (batch, 3), 2, 0, clamp), 2, 0, 2),
        ),
        outputs=(3,),
    )
    validate(program)
    layers = (Layer("h", 2, 1.0, 0.0, None), Layer("y", 3, 1.0, 0.0, (0, clamp)))
    return Lowered(program, (np.rint(WEIGHTS * 4).astype(np.int64),), layers)


def _fixed(clamp: float = 15 / 4) -> tuple[np.ndarray, np.ndarray]:
    """What the circuit computes, in real numbers."""
    hidden = np.clip(X, -4, 4).astype(np.float64) @ np.rint(WEIGHTS * 4).astype(np.float64) / 4
    return hidden, np.clip(np.floor(hidden * 4 + 0.5) / 4, 0, clamp)


def test_the_figures_are_those_of_the_definitions() -> None:
    report = compare(_model(), _lowered(), [X])
    hidden, output = _fixed()
    float_hidden = (X @ WEIGHTS).astype(np.float64)
    float_output = np.maximum(float_hidden, 0)
    assert [row.name for row in report.layers] == ["x", "h"]
    assert [row.op for row in (*report.layers, *report.outputs)] == ["Input", "MatMul", "Relu"]
    fixed_tensors = (X.astype(np.float64), hidden, output)
    float_tensors = (X.astype(np.float64), float_hidden, float_output)
    for row, fixed, real in zip((*report.layers, *report.outputs), fixed_tensors, float_tensors, strict=True):
        error = np.abs(fixed - real)
        assert row.max_error == pytest.approx(error.max(), abs=1e-12)
        assert row.mean_error == pytest.approx(error.mean(), abs=1e-12)
        assert row.relative_error == pytest.approx(error.max() / (real.max() - real.min()), abs=1e-12)
        assert (row.lo, row.hi) == (real.min(), real.max())
        cosine = np.vdot(fixed, real) / np.linalg.norm(fixed) / np.linalg.norm(real)
        assert row.cosine == pytest.approx(cosine, abs=1e-12)
        assert row.elements == real.size
    assert [row.step for row in (*report.layers, *report.outputs)] == [1 / 4, 1 / 16, 1 / 4]


def test_a_circuit_that_is_exact_has_no_error() -> None:
    report = compare(_model(), _lowered(), [X[:, :] * np.array([1, 0], dtype=np.float32)])
    assert report.layers[1].max_error == 0.0
    assert report.layers[1].cosine == pytest.approx(1.0)


def test_saturations_are_counted_where_float_lies_beyond() -> None:
    report = compare(_model(), _lowered(clamp=8), [X])
    beyond = (X @ WEIGHTS) > 8 / 4 + 1 / 8
    assert beyond.sum() > 0
    assert report.outputs[0].saturated == beyond.sum()
    assert report.outputs[0].saturated_share == beyond.sum() / 15
    assert report.layers[1].saturated == 0


def test_the_zeros_of_a_relu_are_no_saturations() -> None:
    assert (X @ WEIGHTS <= 0).any()
    assert compare(_model(), _lowered(), [X]).outputs[0].saturated == 0


def test_saturation_is_seen_through_a_negative_scale() -> None:
    lowered = _lowered(clamp=8)
    negated = Lowered(lowered.program, lowered.weights, (Layer("y", 3, -1.0, 0.0, (0, 8)),))
    straight = compare(_model(), lowered, [X]).outputs[0]
    mirrored = compare(_model(negated=True), negated, [X]).outputs[0]
    assert mirrored.saturated == straight.saturated > 0
    assert mirrored.max_error == straight.max_error


def test_inputs_beyond_the_range_saturate_and_are_counted() -> None:
    x = X.copy()
    x[0, 0] = 100.0
    report = compare(_model(), _lowered(), [x])
    assert report.layers[0].saturated == 1
    assert report.layers[0].max_error == 96.0


def test_a_fused_layer_is_read_by_its_scale_and_offset() -> None:
    lowered = _lowered()
    shifted = tuple(Layer("h", 2, 2.0, -1.0, None) if layer.name == "h" else layer for layer in lowered.layers)
    row = compare(_model(), Lowered(lowered.program, lowered.weights, shifted), [X]).layers[1]
    hidden, _ = _fixed()
    assert row.max_error == pytest.approx(np.abs(2 * hidden - 1 - X @ WEIGHTS).max(), abs=1e-6)
    assert row.step == 2 / 16


def test_agreement_and_accuracy_are_over_the_samples() -> None:
    classes = (X @ WEIGHTS).clip(0).argmax(axis=1)
    labels = classes.copy()
    labels[0] += 1
    report = compare(_model(), _lowered(), [X], labels)
    agreement = np.mean(_fixed()[1].argmax(axis=1) == classes)
    assert report.agreement == agreement
    assert report.accuracy_float == 4 / 5
    assert report.accuracy_fixed == np.mean(_fixed()[1].argmax(axis=1) == labels)


@pytest.mark.parametrize("batch", [2, 4, 8])
def test_a_batch_that_does_not_divide_the_samples_does_not_change_the_answers(batch: int) -> None:
    labels = np.arange(5) % 3
    single, batched = compare(_model(), _lowered(), [X], labels), compare(_model(batch), _lowered(batch), [X], labels)
    for figure in ("samples", "agreement", "accuracy_float", "accuracy_fixed", "float_outputs", "fixed_outputs"):
        assert getattr(batched, figure) == pytest.approx(getattr(single, figure))
    assert [row.max_error for row in batched.layers] == pytest.approx([row.max_error for row in single.layers])


@pytest.mark.parametrize(
    ("labels", "error"),
    [
        (np.zeros(4, dtype=int), ShapeError),
        (np.zeros((5, 1), dtype=int), ShapeError),
        (np.zeros(5), InvalidInputError),
        (["cat"] * 5, InvalidInputError),
    ],
)
def test_labels_are_one_whole_number_a_sample(labels: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"label|real numbers"):
        compare(_model(), _lowered(), [X], labels)


def test_the_fit_of_a_regression_is_that_of_the_definition() -> None:
    targets = (X @ WEIGHTS).clip(0) + np.array([[0.5, -0.25, 0.125]] * 4 + [[0, 0, 0]])
    report = compare(_model(), _lowered(), [X], targets=targets)
    spread = ((targets - targets.mean(axis=0)) ** 2).sum()
    assert report.r2_float == pytest.approx(1 - ((targets - (X @ WEIGHTS).clip(0)) ** 2).sum() / spread)
    assert report.r2_fixed == pytest.approx(1 - ((targets - _fixed()[1]) ** 2).sum() / spread)
    assert "R^2: float" in str(report)
    assert report.r2_fixed != report.r2_float


def test_samples_are_checked() -> None:
    with pytest.raises(ShapeError):
        compare(_model(), _lowered(), [X[:, :1]])
    with pytest.raises(NotFiniteError):
        compare(_model(), _lowered(), [X * np.nan])


class TestPresentation:
    @pytest.fixture
    def report(self) -> Report:
        return compare(_model(), _lowered(clamp=8), [X], np.zeros(5, dtype=int))

    def test_as_text(self, report: Report, capsys: pytest.CaptureFixture[str]) -> None:
        text = str(report)
        for word in ("MatMul", "Relu", "saturated", "same answer as float", "accuracy: float"):
            assert word in text
        assert "\x1b" not in text
        report.print()
        assert "Relu" in capsys.readouterr().out

    def test_tables_fit_a_terminal_of_80_columns(self, report: Report) -> None:
        """With the widest figures there are; names give way, and figures do not."""
        row = structs.replace(
            report.layers[0],
            name="/model/encoder/layer_11/attention/query/LSTM_output_0",
            op="LayerNormalization",
            lo=-1.2345e-05,
            hi=1.2345e04,
            max_error=1.2345e-05,
            cosine=-0.123456,
            saturated=5,
            elements=40,
        )
        stress = StressReport("single features at their ends", 128, 1024, (row,), row, 123_456, 0.01)
        wide = structs.replace(report, layers=(row,) * 3, stress=(stress,))
        for table in wide.tables():
            buffer = io.StringIO()
            Console(file=buffer, width=80).print(table)
            lines = buffer.getvalue().splitlines()
            assert max(map(len, lines)) <= 80
            assert "-0.123456" in buffer.getvalue()
            assert re.search(r"^ /\w*\.\.\.\w*_0 ", buffer.getvalue(), re.M) or re.search(
                r" /\w+\.\.\.\w*_0 ", buffer.getvalue()
            )
        assert "5 (12.50%)" in str(wide)
        assert "-1.2e-05 to 1.2e+04" in str(wide)

    def test_states_are_called_states(self, report: Report) -> None:
        assert "state" in str(structs.replace(report, layers=(structs.replace(report.layers[0], op="Scan"),)))

    def test_where_nothing_saturates_no_column_says_so(self) -> None:
        text = str(compare(_model(), _lowered(), [X]))
        assert "nothing saturated" in text
        assert text.count("saturated") == 1

    def test_names_are_not_taken_for_markup(self, report: Report) -> None:
        row = _row("[bold]name[/bold]")
        hostile = Report(1, (row,), (row,), None, None, None, None, (0.0,), (0.0,))
        assert "[bold]name[/bold]" in str(hostile)
        Console(file=None, quiet=True).print(report.table())

    def test_as_dict(self, report: Report) -> None:
        figures = report.to_dict()
        assert figures["samples"] == 5
        assert figures["outputs"][0]["name"] == "y"
        assert figures["outputs"][0]["saturated"] == report.outputs[0].saturated

    def test_as_picture(self, report: Report, tmp_path: Path) -> None:
        path = tmp_path / "report.png"
        report.plot(path)
        assert path.read_bytes().startswith(b"\x89PNG")
        left, right = _axes(report)
        assert [label.get_text() for label in left.get_yticklabels()] == [
            "x  (Input)",
            "h  (MatMul)",
            "y  (output, Relu)",
        ]
        assert left.get_xscale() == "log"
        assert [text.get_text() for text in left.texts] == [
            "exact",
            f"{report.outputs[0].saturated_share:.2%} saturated",
        ]
        assert np.shape(right.collections[0].get_offsets())[0] == 15

    def test_the_worst_rows_of_a_long_model_are_drawn(self) -> None:
        rows = tuple(_row(f"layer {i}", error=(i * 37) % 101) for i in range(100))
        report = Report(1, rows, (_row("y", error=0.0),), None, None, None, None, (0.0, 1.0), (0.0, 1.0))
        left, _ = _axes(report)
        drawn = [label.get_text().split("  ")[0] for label in left.get_yticklabels()]
        worst = sorted(rows, key=lambda row: -row.relative_error)[: MAX_ROWS - 1]
        assert set(drawn) == {row.name for row in worst} | {"y"}
        assert drawn == [row.name for row in (*rows, *report.outputs) if row.name in set(drawn)]

    def test_what_is_exact_is_said_to_be(self) -> None:
        left, _ = _axes(Report(1, (), (_row("y", error=0.0),), None, None, None, None, (0.0,), (0.0,)))
        assert [text.get_text() for text in left.texts] == ["exact"]

    def test_another_ending_is_refused(self, report: Report, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match="doc"):
            report.plot(tmp_path / "report.doc")

    def test_a_folder_that_does_not_exist_is_said(self, report: Report, tmp_path: Path) -> None:
        with pytest.raises(ResourceError, match="nowhere"):
            report.plot(tmp_path / "nowhere" / "report.png")


def _axes(report: Report) -> list[Axes]:
    return draw("headline", report.layers, report.outputs, report.float_outputs, report.fixed_outputs).axes


def _row(name: str, *, error: float = 1.0) -> LayerReport:
    return LayerReport(name, "Relu", 0.25, -1.0, 1.0, error, error / 2, error / 2, 1.0, 0, 10)


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "0%"), (1e-9, "<0.01%"), (0.0001, "0.01%"), (0.25, "25.00%"), (1.0, "100.00%")]
)
def test_a_small_share_is_told_from_none(share: float, text: str) -> None:
    assert share_text(share) == text


def test_a_constant_tensor_is_compared_by_its_magnitude() -> None:
    row = compare(_model(), _lowered(), [np.ones((3, 2), dtype=np.float32)]).layers[0]
    assert (row.lo, row.hi, row.relative_error) == (1.0, 1.0, 0.0)
    assert math.isclose(row.cosine, 1.0)


def test_zeros_on_both_sides_are_alike() -> None:
    assert compare(_model(), _lowered(), [np.zeros((3, 2), dtype=np.float32)]).layers[0].cosine == 1.0
