"""How far a circuit is from its float model, tensor by tensor and in the outputs."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx_ir
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zkinfer.circuit.qformat import quantize
from zkinfer.circuit.samples import chunks, elements_per_run, from_runs, into_runs
from zkinfer.compiler.calibration.float_model import FloatModel, static_shape
from zkinfer.compiler.calibration.inference import InferenceDifference, ProcessorInference
from zkinfer.compiler.calibration.layer_report import LayerReport, share_text
from zkinfer.compiler.calibration.metrics import (
    checked_labels,
    checked_targets,
    cosine_similarity,
    r_squared,
    share_equal,
    top_classes,
)
from zkinfer.compiler.lowering.result import Layer, Lowered
from zkinfer.errors import InvalidInputError
from zkinfer.execution.executor import Executor
from zkinfer.progress import progress
from zkinfer.typing import Array, FloatArray, IntArray

SCATTER_POINTS = 4096
"""How many output elements are kept for the plot, at most."""


class Report(msgspec.Struct, frozen=True):
    """A comparison of a circuit with its float model on some samples.

    Attributes:
        samples: number of samples.
        layers: inputs and inner tensors, in order of execution.
        outputs: the model's outputs.
        accuracy_float, accuracy_fixed: share of the answers of the first output whose top class is the label, in the
            float model and in the circuit; None without labels. The circuit's outputs are what a proof states.
        r2_float, r2_fixed: R^2 of the first output, 1 - sum((y - output)^2) / sum((y - mean(y))^2) over all samples and
            columns, where mean(y) is that of the column; None without targets.
        float_outputs, fixed_outputs: elements of the outputs for the plot, evenly spaced, at most `SCATTER_POINTS`.
        inference: how a quantized model's outputs in onnxruntime on this processor differ from those of the float
            model, which are the ONNX standard's; None for other models, and where onnxruntime does not run it.
    """

    samples: int
    layers: tuple[LayerReport, ...]
    outputs: tuple[LayerReport, ...]
    accuracy_float: float | None
    accuracy_fixed: float | None
    r2_float: float | None
    r2_fixed: float | None
    float_outputs: tuple[float, ...]
    fixed_outputs: tuple[float, ...]
    inference: InferenceDifference | None = None

    @property
    def agreement(self) -> float | None:
        """Share of the first output's answers with the same top class; None where it gives no classes."""
        return self.outputs[0].agreement

    def to_dict(self) -> dict[str, Any]:
        """All figures as plain dicts, lists, strings and numbers."""
        result: dict[str, Any] = msgspec.to_builtins(self)
        return result

    def table(self) -> Table:
        """The figures as a table for a terminal."""
        table = Table(title=self._title, caption=Text(";  ".join(self.answers())))
        table.add_column("tensor", overflow="fold")
        table.add_column("operator")
        for column in ("float range", "step", "max error", "mean error", "of range", "cosine", "saturated", "same top"):
            table.add_column(column, justify="right")
        for row in self.layers:
            table.add_row(*_cells(row))
        table.add_section()
        for row in self.outputs:
            table.add_row(*_cells(row), style="bold")
        return table

    @property
    def _title(self) -> str:
        return f"Fixed point against float, {self.samples} samples"

    def answers(self) -> list[str]:
        """The figures about the model's answers, one phrase each, and where inference on this processor is wrong."""
        phrases = []
        if self.agreement is not None:
            phrases.append(f"same answer as float: {self.agreement:.2%}")
        if self.accuracy_float is not None and self.accuracy_fixed is not None:
            phrases.append(f"accuracy: float {self.accuracy_float:.2%}, fixed point {self.accuracy_fixed:.2%}")
        if self.r2_float is not None and self.r2_fixed is not None:
            phrases.append(f"R^2: float {self.r2_float:.4f}, fixed point {self.r2_fixed:.4f}")
        if self.inference is not None and self.inference.differing:
            phrases.append(
                f"onnxruntime on this processor differs from the ONNX standard in {self.inference.differing} of "
                f"{self.inference.elements} output elements, by up to {self.inference.max_error:.3g}"
            )
        return phrases

    def print(self) -> None:
        """Write the table to standard output."""
        Console().print(self.table())

    def plot(self, path: str | Path) -> None:
        """Write a plot of the error of each tensor, and of the outputs in fixed point against float.

        Args:
            path: ends with a format that matplotlib writes, such as ".png".

        Raises:
            InvalidInputError: the path has another ending.
            ResourceError: the file cannot be written.
        """
        # matplotlib takes a while to import, and is needed here alone.
        from zkinfer.compiler.calibration.report_plot import plot

        headline = "   |   ".join((self._title, *self.answers()))
        plot(Path(path), headline, self.layers, self.outputs, self.float_outputs, self.fixed_outputs)

    def __str__(self) -> str:
        buffer = io.StringIO()
        Console(file=buffer, width=140, no_color=True, force_terminal=False).print(self.table())
        return buffer.getvalue()


def _cells(row: LayerReport) -> tuple[Text, ...]:
    saturated = f"{row.saturated} ({share_text(row.saturated_share)})" if row.saturated else "0"
    figures = (
        f"{row.lo:.3g} to {row.hi:.3g}",
        f"{row.step:.2g}",
        f"{row.max_error:.2g}",
        f"{row.mean_error:.2g}",
        share_text(row.relative_error),
        f"{row.cosine:.6f}",
        saturated,
        "" if row.agreement is None else f"{row.agreement:.2%}",
    )
    return tuple(Text(cell) for cell in (row.name, row.op, *figures))


class _Comparison:
    """Running sums over one tensor, to which runs are added."""

    def __init__(self, layer: Layer, op: str, frac_bits: int) -> None:
        self._layer, self._op, self._frac_bits = layer, op, frac_bits
        self._lo, self._hi, self._max_error = math.inf, -math.inf, 0.0
        self._error = self._product = self._float_square = self._fixed_square = 0.0
        self._saturated = self._elements = 0

    @property
    def step(self) -> float:
        """The real number that one unit of the integer stands for."""
        return abs(self._layer.scale) * math.ldexp(1.0, -self._frac_bits)

    def add(self, floats: FloatArray, integers: IntArray) -> None:
        """Add some runs; both arrays have one shape."""
        fixed = self._layer.read(integers, self._frac_bits)
        error = np.abs(fixed - floats)
        self._lo, self._hi = min(self._lo, float(floats.min())), max(self._hi, float(floats.max()))
        self._max_error = max(self._max_error, float(error.max()))
        self._error += float(error.sum())
        self._product += float(np.vdot(fixed, floats))
        self._float_square += float(np.vdot(floats, floats))
        self._fixed_square += float(np.vdot(fixed, fixed))
        self._elements += floats.size
        if self._layer.saturation is not None:
            direction = math.copysign(1.0, self._layer.scale)
            beyond = (floats - fixed) * direction
            lo, hi = self._layer.saturation
            half = self.step / 2
            self._saturated += int(((integers == hi) & (beyond > half)).sum())
            self._saturated += int(((integers == lo) & (beyond < -half)).sum())

    def finish(self) -> LayerReport:
        """The figures."""
        scale = self._hi - self._lo or abs(self._hi) or 1.0
        return LayerReport(
            name=self._layer.name,
            op=self._op,
            step=self.step,
            lo=self._lo,
            hi=self._hi,
            max_error=self._max_error,
            mean_error=self._error / self._elements,
            relative_error=self._max_error / scale,
            cosine=cosine_similarity(self._product, self._float_square, self._fixed_square),
            saturated=self._saturated,
            elements=self._elements,
        )


def _compared_layers(model: onnx_ir.Model, lowered: Lowered) -> tuple[list[Layer], list[Layer]]:
    """The layers to compare: inputs and inner tensors, and outputs.

    Raises:
        InvalidInputError: the circuit is of another model.
    """
    program = lowered.program
    inputs = [
        Layer(tensor.label, value, 1.0, 0.0, (tensor.lo, tensor.hi)) for value, tensor in enumerate(program.inputs)
    ]
    by_name = {layer.name: layer for layer in lowered.layers}
    if len(program.outputs) != len(model.graph.outputs):
        raise InvalidInputError(
            f"the circuit has {len(program.outputs)} outputs, the float model {len(model.graph.outputs)}"
        )
    outputs = []
    for value, output in zip(program.outputs, model.graph.outputs, strict=True):
        name = output.name or ""
        known = by_name.pop(name, None)
        outputs.append(known if known is not None else Layer(name, value, 1.0, 0.0, None))
    names = {layer.name for layer in inputs}
    inner = inputs + [layer for layer in by_name.values() if layer.name not in names]
    shapes = {value.name: static_shape(value) for value in model.graph.inputs}
    shapes |= {value.name: static_shape(value) for node in model.graph for value in node.outputs}
    for layer in (*inner, *outputs):
        if shapes.get(layer.name) != program.tensor(layer.value).shape:
            raise InvalidInputError(f"the float model has no tensor {layer.name!r} of the circuit's shape")
    return inner, outputs


def compare(
    model: onnx_ir.Model, lowered: Lowered, arrays: Sequence[Array], labels: Any = None, targets: Any = None
) -> Report:
    """Run a circuit and its float model over the same samples, and compare every tensor that both have.

    Inputs beyond the circuit's range saturate, and are counted. Where the batch does not divide the number of
    samples, the first samples are repeated to fill the last batch: they count twice in the figures of tensors, and once
    in the figures of answers.

    Args:
        model: the normalized float model.
        lowered: the lowered model.
        arrays: one array an input, of shape (n, ...); real numbers.
        labels: the right classes, whole numbers, one for each answer of the first output, see `top_classes`; or None.
        targets: what the first output should be, real numbers of its shape; or None.

    Raises:
        InvalidInputError, ShapeError, NotFiniteError: the samples, labels or targets do not fit the model, or the
            circuit is of another model.
    """
    float_model = FloatModel(model)
    samples = float_model.prepare(arrays)
    count = len(samples[0])
    inner, outputs = _compared_layers(model, lowered)
    inference = ProcessorInference(model)
    rows, runs = _sweep(float_model, inference, lowered, samples, inner + outputs, kept=len(outputs))
    answers = [(from_runs(a, float_model.batch, count), from_runs(b, float_model.batch, count)) for a, b in runs]
    classes = [top_classes(in_float, in_fixed) for in_float, in_fixed in answers]
    accuracies = (None, None) if labels is None else _accuracies(classes[0], answers[0][0].shape, labels)
    truth = None if targets is None else checked_targets(targets, answers[0][0].shape)
    fits = (None, None) if truth is None else (r_squared(truth, answers[0][0]), r_squared(truth, answers[0][1]))
    float_points = np.concatenate([in_float.ravel().astype(np.float64) for in_float, _ in answers])
    fixed_points = np.concatenate([in_fixed.ravel() for _, in_fixed in answers])
    kept = np.linspace(0, len(float_points) - 1, min(len(float_points), SCATTER_POINTS)).astype(np.int64)
    output_rows = [
        msgspec.structs.replace(row, agreement=None if pair is None else share_equal(*pair))
        for row, pair in zip(rows[len(inner) :], classes, strict=True)
    ]
    return Report(
        samples=count,
        layers=tuple(rows[: len(inner)]),
        outputs=tuple(output_rows),
        accuracy_float=accuracies[0],
        accuracy_fixed=accuracies[1],
        r2_float=fits[0],
        r2_fixed=fits[1],
        float_outputs=tuple(float_points[kept].tolist()),
        fixed_outputs=tuple(fixed_points[kept].tolist()),
        inference=inference.difference(),
    )


def _accuracies(classes: tuple[Array, Array] | None, shape: tuple[int, ...], labels: Any) -> tuple[float, float]:
    if classes is None:
        raise InvalidInputError(
            "labels need a first output of shape (samples, classes) or (samples, positions, classes), or of one whole "
            f"number a sample; this model's is {shape}. Leave them out, or hand in targets"
        )
    truth = checked_labels(labels, classes[0].shape)
    return share_equal(classes[0], truth), share_equal(classes[1], truth)


def _sweep(
    float_model: FloatModel,
    inference: ProcessorInference,
    lowered: Lowered,
    samples: Sequence[Array],
    layers: Sequence[Layer],
    *,
    kept: int,
) -> tuple[list[LayerReport], list[tuple[Array, FloatArray]]]:
    """The figures of every layer, and the values of the last `kept` ones: in float, in fixed point; (runs, *shape)."""
    program = lowered.program
    frac_bits = [program.tensor(layer.value).frac_bits for layer in layers]
    comparisons = [
        _Comparison(layer, float_model.ops.get(layer.name, "Input"), f)
        for layer, f in zip(layers, frac_bits, strict=True)
    ]
    pieces: list[tuple[list[Array], list[FloatArray]]] = [([], []) for _ in range(kept)]
    runs = [into_runs(array, float_model.batch) for array in samples]
    compared = [layer.value for layer in layers]
    executor = Executor(program, lowered.weights, keep=compared)
    elements = float_model.elements + elements_per_run(program)
    with progress("comparing with float", len(runs[0])) as advance:
        for part in chunks(len(runs[0]), elements):
            feed = [array[part] for array in runs]
            integers = [quantize(a, t, saturate=True) for a, t in zip(feed, program.inputs, strict=True)]
            values = executor.integers(integers, compared)
            floats = float_model.run(feed)
            inference.add(feed, floats)
            for layer, comparison, value in zip(layers, comparisons, values, strict=True):
                comparison.add(floats[layer.name].astype(np.float64), value)
            first = len(layers) - kept
            for layer, f, value, piece in zip(layers[first:], frac_bits[first:], values[first:], pieces, strict=True):
                piece[0].append(floats[layer.name])
                piece[1].append(layer.read(value, f))
            advance(part.stop - part.start)
    return [c.finish() for c in comparisons], [(np.concatenate(a), np.concatenate(b)) for a, b in pieces]
