"""How far a circuit is from its float model, tensor by tensor and in the outputs."""

import io
import math
import os
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import onnx_ir
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zkinfer.circuit.program import Lookup
from zkinfer.circuit.qformat import frac_bits_of, quantize
from zkinfer.circuit.samples import chunks, elements_per_run, from_runs, into_runs
from zkinfer.compiler.calibration.float_model import FloatModel, static_shape
from zkinfer.compiler.calibration.inference import InferenceDifference, ProcessorInference
from zkinfer.compiler.calibration.layer_report import (
    LEAST_ELEMENTS,
    InnerSaturation,
    LayerReport,
    StressReport,
    share_text,
)
from zkinfer.compiler.calibration.metrics import (
    checked_labels,
    checked_targets,
    cosine_similarity,
    r_squared,
    share_equal,
    top_classes,
)
from zkinfer.compiler.lowering.result import Layer, Lowered
from zkinfer.counts import counted
from zkinfer.errors import InvalidInputError
from zkinfer.execution.executor import Executor
from zkinfer.progress import progress
from zkinfer.terminal import NARROW, LongName
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
        inner: saturations within operators; all other saturations are those of `layers` and `outputs`.
        stress: the same comparison on inputs that are unlike these samples, see `stress`; empty if it was not made.
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
    inner: tuple[InnerSaturation, ...] = ()
    stress: tuple[StressReport, ...] = ()
    inference: InferenceDifference | None = None

    @property
    def saturated(self) -> int:
        """How many elements saturated, in tensors and within operators."""
        rows: tuple[LayerReport | InnerSaturation, ...] = (*self.layers, *self.outputs, *self.inner)
        return sum(row.saturated for row in rows)

    @property
    def agreement(self) -> float | None:
        """Share of the first output's answers with the same top class; None where it gives no classes."""
        return self.outputs[0].agreement

    def to_dict(self) -> dict[str, Any]:
        """All figures as plain dicts, lists, strings and numbers."""
        result: dict[str, Any] = msgspec.to_builtins(self)
        return result

    def table(self) -> Table:
        """The figures as a table for a terminal; of a format's steps and of mean errors `to_dict` has more."""
        columns = ["float\nrange", "max\nerror", "of\nrange", "cosine", *(["saturated"] * bool(self.saturated))]
        caption = ";  ".join([*self.answers(), *(["nothing saturated"] * (not self.saturated))])
        table = Table(title=self._title, caption=Text(caption), **NARROW)
        table.add_column("tensor")
        table.add_column("operator")
        for column in columns:
            table.add_column(column, justify="right", no_wrap=True)
        for row in self.layers:
            table.add_row(*_cells(row)[: 2 + len(columns)])
        for inner in self.inner:
            if inner.saturated:
                names = LongName(f"within {inner.name}"), LongName(f"table {inner.table}")
                table.add_row(*names, *[""] * 4, Text(_saturated(inner)))
        table.add_section()
        for row in self.outputs:
            table.add_row(*_cells(row)[: 2 + len(columns)], style="bold")
        return table

    def stress_table(self) -> Table:
        """The comparisons under stress as a table for a terminal; without rows if there were none."""
        title, caption = "The same on other inputs", Text(self._stress_caption)
        table = Table(title=title, caption=caption, **NARROW)
        table.add_column("inputs", min_width=16)
        for column in ("clipped", "cosine", "error", "saturated"):
            table.add_column(column, justify="right", no_wrap=True)
        table.add_column("worst tensor")
        table.add_column("its\nerror", justify="right", no_wrap=True)
        for row in self.stress:
            cells = (row.condition, str(row.clipped), *_stress_cells(row))
            worst = LongName(row.worst.name if row.worst else "the float model is not finite")
            apart = share_text(row.worst.deviation) if row.worst else ""
            table.add_row(*(Text(cell) for cell in cells), worst, apart, style="bold red" if row.leaves else "")
        return table

    @property
    def _stress_caption(self) -> str:
        left = [row.condition for row in self.stress if row.leaves]
        return f"leaves the float model at {', '.join(left)}" if left else "stays with the float model everywhere"

    @property
    def _title(self) -> str:
        return f"Fixed point against float, {counted(self.samples, 'sample')}"

    def answers(self) -> list[str]:
        """The figures about the model's answers, one phrase each, and where inference on this processor is wrong."""
        phrases = []
        if self.agreement is not None:
            phrases.append(f"same answer as float: {self.agreement:.2%}")
        others = [row for row in self.outputs[1:] if row.agreement is not None]
        phrases += [f"the same of {row.name}: {row.agreement:.2%}" for row in others]
        if self.accuracy_float is not None and self.accuracy_fixed is not None:
            phrases.append(f"accuracy: float {self.accuracy_float:.2%}, fixed point {self.accuracy_fixed:.2%}")
        if self.r2_float is not None and self.r2_fixed is not None:
            phrases.append(f"R^2: float {self.r2_float:.4f}, fixed point {self.r2_fixed:.4f}")
        if self.inference is not None and self.inference.differing:
            phrases.append(
                f"onnxruntime on this processor differs from the ONNX standard in {self.inference.differing} of "
                f"{self.inference.elements} output elements, by up to {self.inference.max_error:.3g}"
            )
        phrases += [f"leaves the float model at {row.condition}: {row.figures}" for row in self.stress if row.leaves]
        return phrases

    def tables(self) -> list[Table]:
        """All figures as tables for a terminal."""
        return [self.table(), *([self.stress_table()] if self.stress else [])]

    def print(self) -> None:
        """Write the tables to standard output."""
        Console().print(*self.tables())

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Write a plot of the error of each tensor, and of the outputs in fixed point against float.

        Args:
            path: or URL; ends with a format that matplotlib writes, such as ".png".

        Raises:
            InvalidInputError: the path has another ending.
            ResourceError: the file cannot be written.
        """
        # matplotlib takes a while to import, and is needed here alone.
        from zkinfer.compiler.calibration.report_plot import plot

        headline = "   |   ".join((self._title, *self.answers()))
        plot(path, headline, self.layers, self.outputs, self.float_outputs, self.fixed_outputs)

    def __str__(self) -> str:
        buffer = io.StringIO()
        Console(file=buffer, width=140, no_color=True, force_terminal=False).print(*self.tables())
        return buffer.getvalue()


def _cells(row: LayerReport) -> tuple[LongName | Text, ...]:
    figures = (
        f"{row.lo:.2g} to {row.hi:.2g}",
        f"{row.max_error:.2g}",
        share_text(row.relative_error),
        f"{row.cosine:.6f}",
        _saturated(row),
    )
    operator = "state" if row.op == "Scan" else row.op
    return (LongName(row.name), LongName(operator), *(Text(cell) for cell in figures))


def _saturated(row: LayerReport | InnerSaturation) -> str:
    return f"{row.saturated} ({share_text(row.saturated_share)})" if row.saturated else "0"


def _stress_cells(row: StressReport) -> tuple[str, ...]:
    output = row.output
    if output is None:
        return "", "", ""
    saturated = "" if row.saturated is None else str(row.saturated)
    return f"{output.cosine:.6f}", share_text(output.deviation), saturated


class _Comparison:
    """Running sums over one tensor, to which runs are added."""

    def __init__(self, layer: Layer, op: str, frac_bits: IntArray) -> None:
        self._layer, self._op, self._frac_bits = layer, op, frac_bits
        self._lo, self._hi, self._max_error = math.inf, -math.inf, 0.0
        self._error = self._error_square = self._product = self._float_square = self._fixed_square = 0.0
        self._saturated = self._elements = self._unequal = 0
        self._integral = False
        self._of_samples: list[FloatArray] = []

    @property
    def step(self) -> float:
        """The real number that one unit of the integer stands for; the largest, of an input with scales."""
        return abs(self._layer.scale) * math.ldexp(1.0, -int(self._frac_bits.min()))

    def add(self, reals: Array, integers: IntArray, batch: int = 1) -> None:
        """Add some runs: what the float model computes, and the circuit's integers; both arrays have one shape.

        Each run is of so many samples.
        """
        floats = reals.astype(np.float64)
        fixed = self._layer.read(integers, self._frac_bits)
        error = np.abs(fixed - floats)
        self._integral = reals.dtype.kind != "f"
        self._unequal += int(np.count_nonzero(error))
        self._error_square += float(np.vdot(error, error))
        if error[0].size >= LEAST_ELEMENTS * batch:
            self._of_samples.append(_errors_of_samples(floats, error, batch))
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
            half = abs(self._layer.scale) * np.ldexp(0.5, -self._frac_bits)
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
            rms_error=math.sqrt(self._error_square / (self._float_square or self._error_square or 1.0)),
            sample_error=float(np.quantile(np.concatenate(self._of_samples), 0.9)) if self._of_samples else None,
            differing=self._unequal / self._elements if self._integral else None,
        )


def _errors_of_samples(floats: FloatArray, error: FloatArray, batch: int) -> FloatArray:
    """The root mean square error of each sample, relative to the sample; of each run where no axis is the batch."""
    count = len(floats) * (batch if floats.shape[1:2] == (batch,) else 1)
    norms, errors = (np.sqrt(np.einsum("ij,ij->i", a, a)) for a in (x.reshape(count, -1) for x in (floats, error)))
    relative: FloatArray = np.divide(errors, norms, out=(errors > 0).astype(np.float64), where=norms > 0)
    return relative


def compared_layers(model: onnx_ir.Model, lowered: Lowered) -> tuple[list[Layer], list[Layer]]:
    """The layers to compare: inputs, then inner tensors; and outputs.

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
    model: onnx_ir.Model,
    lowered: Lowered,
    arrays: Sequence[Array],
    labels: Any = None,
    targets: Any = None,
    *,
    float_model: FloatModel | None = None,
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
        float_model: the model, where it is ready to run; or None.

    Raises:
        InvalidInputError, ShapeError, NotFiniteError: the samples, labels or targets do not fit the model, or the
            circuit is of another model.
    """
    float_model = FloatModel(model) if float_model is None else float_model
    samples = float_model.prepare(arrays)
    count = len(samples[0])
    inner, outputs = compared_layers(model, lowered)
    inference = ProcessorInference(model)
    sweep = Sweep(float_model, lowered, inner + outputs, kept=len(outputs))
    sweep.add([into_runs(array, float_model.batch) for array in samples], inference)
    rows, batch = sweep.rows(), float_model.batch
    answers = [(from_runs(a, batch, count), from_runs(b, batch, count)) for a, b in sweep.kept_values()]
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
        inner=sweep.inner(),
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


class Sweep:
    """A circuit and its float model over the same runs, tensor by tensor.

    Args:
        float_model: the float model.
        lowered: the circuit.
        layers: the tensors to compare.
        kept: of how many of them, the last, the values are kept.
        saturations: whether those within operators are counted.
    """

    def __init__(
        self,
        float_model: FloatModel,
        lowered: Lowered,
        layers: Sequence[Layer],
        *,
        kept: int = 0,
        saturations: bool = True,
    ) -> None:
        self._float_model, self._program = float_model, lowered.program
        self._layers, self._kept = tuple(layers), kept
        self._frac_bits = [frac_bits_of(lowered.program.tensor(layer.value)) for layer in layers]
        seen = {layer.value for layer in layers if layer.saturation is not None}
        self._saturations = [s for s in lowered.saturations if saturations and s.value not in seen]
        self._values = [layer.value for layer in layers] + [s.source for s in self._saturations]
        self._executor = Executor(lowered.program, lowered.weights, keep=self._values, lean=True)
        self._elements = float_model.elements + elements_per_run(lowered.program)
        self.restart()

    def restart(self) -> None:
        """Forget the runs that were added."""
        self._comparisons = [
            _Comparison(layer, self._float_model.ops.get(layer.name, "Input"), f)
            for layer, f in zip(self._layers, self._frac_bits, strict=True)
        ]
        self._counts = [0] * len(self._saturations)
        self._pieces: list[tuple[list[Array], list[FloatArray]]] = [([], []) for _ in range(self._kept)]
        self.runs = 0

    def add(self, runs: Sequence[Array], inference: ProcessorInference | None = None, *, finite: bool = False) -> None:
        """Add some runs.

        Args:
            runs: as for `FloatModel.run`. Numbers beyond the circuit's input range saturate.
            inference: compared with the float model on the same runs.
            finite: leave out the runs in which a compared tensor of the float model is not finite.
        """
        with progress("comparing with float", len(runs[0])) as advance:
            for part in chunks(len(runs[0]), self._elements):
                feed = [array[part] for array in runs]
                tensors = self._float_model.run(feed)
                if inference is not None:
                    inference.add(feed, tensors)
                floats = [tensors[layer.name] for layer in self._layers]
                chosen = _finite_runs(floats) if finite else np.arange(len(feed[0]))
                if len(chosen):
                    self._add([array[chosen] for array in feed], [array[chosen] for array in floats])
                advance(part.stop - part.start)

    def _add(self, feed: Sequence[Array], floats: Sequence[Array]) -> None:
        integers = [quantize(a, t, saturate=True) for a, t in zip(feed, self._program.inputs, strict=True)]
        values = self._executor.integers(integers, self._values)
        for comparison, real, value in zip(self._comparisons, floats, values, strict=False):
            comparison.add(real, value, self._float_model.batch)
        for place, saturation in enumerate(self._saturations):
            self._counts[place] += saturation.count(values[len(self._layers) + place])
        for place, (in_float, in_fixed) in enumerate(self._pieces, len(self._layers) - self._kept):
            in_float.append(floats[place])
            in_fixed.append(self._layers[place].read(values[place], self._frac_bits[place]))
        self.runs += len(feed[0])

    def rows(self) -> list[LayerReport]:
        """The figures of every layer."""
        return [comparison.finish() for comparison in self._comparisons]

    def inner(self) -> tuple[InnerSaturation, ...]:
        """The saturations that belong to no layer."""
        program, rows = self._program, []
        for saturation, count in zip(self._saturations, self._counts, strict=True):
            node = program.nodes[saturation.value - len(program.inputs) - len(program.weights)]
            table = program.tables[node.table].name if isinstance(node, Lookup) else ""
            rows.append(InnerSaturation(node.out.label, table, count, self.runs * node.out.size))
        return tuple(rows)

    def kept_values(self) -> list[tuple[Array, FloatArray]]:
        """The values of the last layers: in float, in fixed point; (runs, *shape)."""
        return [(np.concatenate(in_float), np.concatenate(in_fixed)) for in_float, in_fixed in self._pieces]


def _finite_runs(tensors: Sequence[Array]) -> IntArray:
    """The numbers of the runs in which every element of every tensor is finite."""
    finite = [np.isfinite(array).reshape(len(array), -1).all(axis=1) for array in tensors]
    return np.flatnonzero(np.logical_and.reduce(finite))
