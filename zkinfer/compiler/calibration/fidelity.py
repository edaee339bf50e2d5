"""What compiling measures by itself: the circuit beside its float model on inputs set aside, and under stress."""

import warnings
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import onnx_ir

from zkinfer.circuit.samples import into_runs
from zkinfer.compiler.calibration.calibrate import Calibration, Calibrator
from zkinfer.compiler.calibration.float_model import FloatModel
from zkinfer.compiler.calibration.layer_report import StressReport
from zkinfer.compiler.calibration.stress import CONDITIONS, FEW_CONDITIONS, Bench, spread_out
from zkinfer.compiler.lowering.result import Lowered
from zkinfer.errors import CompileError
from zkinfer.typing import Array, IntArray

SET_ASIDE_EVERY = 8
LEAST_RUNS = 16
"""Every eighth run of calibration data is set aside, if there are at least so many runs."""

MAX_WEIGHTS = 1 << 25
"""The circuit of a model with more weights is not built a second time, without the samples set aside."""

HELD_OUT, CALIBRATION = "held-out", "calibration"
"""Conditions of `Fidelity.typical`."""


class Fidelity(msgspec.Struct, frozen=True):
    """How close a circuit is to its float model, as far as compiling measured it.

    Attributes:
        typical: on inputs like those of calibration. With the condition "held-out", they were set aside, and the
            circuit that was measured was calibrated on the others; the circuit that `compile` returns is then
            calibrated on all of them, in the same way. With the condition "calibration", there were too few samples, or
            too many weights, to set some aside, and the samples are those that set the circuit's ranges.
        stress: of the circuit itself, on inputs unlike those of calibration, see `calibration.stress`.
    """

    typical: StressReport
    stress: tuple[StressReport, ...]

    @property
    def held_out(self) -> bool:
        """Whether `typical` is of inputs that the measured circuit was not calibrated on."""
        return self.typical.condition == HELD_OUT

    @property
    def left(self) -> tuple[StressReport, ...]:
        """The conditions under which the circuit leaves the float model."""
        return tuple(report for report in (self.typical, *self.stress) if report.leaves)

    def __str__(self) -> str:
        """One line: "held-out cosine 0.9998, error 2.1%, worst: relu_3 (8 samples)", and where the circuit leaves."""
        count = self.typical.samples
        samples = f"{count} sample{'' if count == 1 else 's'}"
        measured = f"{self.typical.condition} {self.typical.figures} ({samples})"
        if not self.held_out and count < LEAST_RUNS:
            measured += f"; calibrated on {samples}; a hundred typical ones are usual"
        left = [report for report in self.stress if report.leaves]
        if not left:
            return measured
        farthest = max(left, key=lambda report: report.output.deviation if report.output else 0.0)
        others = ", ".join(report.condition for report in left if report is not farthest)
        also = [f"also with {others}"] if others else []
        return "; ".join([measured, f"with {farthest.condition} {farthest.figures}", *also])


class Examiner:
    """Calibrates on samples of which it sets some aside, and measures the circuit that follows.

    Attributes:
        statistics: of all samples.

    Args:
        model: the normalized float model.
        arrays: one array an input, of shape (samples, ...).

    Raises:
        InvalidInputError, ShapeError, NotFiniteError, CompileError: see `calibrate.calibrate`.
    """

    statistics: Calibration

    def __init__(self, model: onnx_ir.Model, arrays: Sequence[Array]) -> None:
        self._model, self._float_model = model, FloatModel(model)
        self._samples, batch = self._float_model.prepare(arrays), self._float_model.batch
        runs = [into_runs(array, batch) for array in self._samples]
        numbers, count = np.arange(len(runs[0])), len(self._samples[0])
        aside = numbers % SET_ASIDE_EVERY == SET_ASIDE_EVERY - 1 if len(numbers) >= LEAST_RUNS else numbers < 0
        calibrator = Calibrator(self._float_model)
        calibrator.add(runs, numbers[~aside])
        self._others = calibrator.finish(count - batch * int(aside.sum()))
        calibrator.add(runs, numbers[aside])
        self.statistics = calibrator.finish(count)
        self._aside = np.flatnonzero(np.repeat(aside, batch)[:count])

    def examine(self, lowered: Lowered, lower: Callable[[Calibration], Lowered], limit: float) -> Fidelity:
        """Measure a circuit of the model.

        Args:
            lowered: the circuit, calibrated on all samples.
            lower: makes it from statistics.
            limit: the deviation of an output above which the circuit is not the model on typical inputs.
        """
        typical = self._held_out(lower, limit) if self._many_enough(lowered) else None
        bench = Bench(self._model, self._float_model, lowered, thorough=typical is None)
        if typical is None:
            typical = self._typical(bench, CALIBRATION, np.arange(len(self._samples[0])), limit)
        conditions = CONDITIONS if bench.samples > self._float_model.batch else FEW_CONDITIONS
        return Fidelity(typical, bench.under_stress(self._samples, conditions))

    def _typical(self, bench: Bench, condition: str, samples: IntArray, limit: float) -> StressReport:
        chosen = samples[spread_out(len(samples), bench.samples)]
        return bench.measure(condition, [array[chosen] for array in self._samples], limit)

    def _many_enough(self, lowered: Lowered) -> bool:
        return len(self._aside) > 0 and sum(weight.size for weight in lowered.weights) <= MAX_WEIGHTS

    def _held_out(self, lower: Callable[[Calibration], Lowered], limit: float) -> StressReport | None:
        """On the samples set aside, of the circuit that is calibrated on the others; None if there is none."""
        try:
            with warnings.catch_warnings():
                # Its own warnings are those of the circuit that is returned, said a second time.
                warnings.simplefilter("ignore")
                lowered = lower(self._others)
            bench = Bench(self._model, self._float_model, lowered, thorough=True)
        except CompileError:
            return None
        return self._typical(bench, HELD_OUT, self._aside, limit)
