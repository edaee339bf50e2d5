"""A circuit beside its float model on inputs that are unlike those of calibration, but that the circuit accepts.

Calibration sets formats by the numbers that it saw. What a circuit computes elsewhere can only be measured, and here it
is: quieter and louder inputs, one feature at an end of its range, noise. Inputs beyond the circuit's range are brought
back to it, for the float model too, because the circuit refuses them.
"""

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import onnx_ir

from zkinfer.circuit.program import Einsum, Program, Tensor
from zkinfer.circuit.qformat import dequantize
from zkinfer.circuit.samples import elements_per_run, into_runs
from zkinfer.compiler.calibration.float_model import FloatModel
from zkinfer.compiler.calibration.layer_report import LayerReport, StressReport
from zkinfer.compiler.calibration.report import Sweep, compared_layers
from zkinfer.compiler.lowering.result import Lowered
from zkinfer.typing import Array, FloatArray

TYPICAL_LIMIT, STRESS_LIMIT = (math.sqrt(1 - cosine**2) for cosine in (0.9995, 0.995))
"""An output that deviates by more is another function: its cosine may be below 0.999 on typical inputs, or below 0.99
under stress, where a quiet input has fewer bits; half of that is room for samples that are not measured."""

MAX_SAMPLES = 32
WORK_PER_CONDITION = 1 << 27
"""At most so many samples, and multiplications and elements, are spent on a condition, but at least one run."""

NOISE = 0.1
"""Standard deviation of noise, as a share of that of each feature."""


class Condition(NamedTuple):
    """A change of inputs.

    Attributes:
        name: of the condition.
        change: takes some samples of one input, all samples of it, both of shape (samples, features), and a source of
            randomness, to the changed ones.
        switches: whether it applies to inputs that hold two different numbers at most, such as masks.
    """

    name: str
    change: Callable[[FloatArray, FloatArray, np.random.Generator], FloatArray]
    switches: bool = False


def _times(factor: float) -> Condition:
    return Condition(f"inputs x {factor}", lambda some, _, __: some * factor)


def _at_ends(some: FloatArray, samples: FloatArray, rng: np.random.Generator) -> FloatArray:
    """One feature of each sample at its smallest or its largest number, in turn."""
    changed, rows = some.copy(), np.arange(len(some))
    features = rng.integers(some.shape[1], size=len(some))
    ends = np.stack([samples.min(axis=0), samples.max(axis=0)])
    changed[rows, features] = ends[rows % 2, features]
    return changed


def _with_noise(some: FloatArray, samples: FloatArray, rng: np.random.Generator) -> FloatArray:
    spread: FloatArray = samples.std(axis=0 if len(samples) > 1 else None)
    return some + NOISE * spread * rng.standard_normal(some.shape)


CONDITIONS = (
    _times(0.1),
    _times(0.3),
    _times(1.2),
    Condition("single features at their ends", _at_ends, switches=True),
    Condition("inputs with noise", _with_noise),
)


FEW_CONDITIONS = (CONDITIONS[0], CONDITIONS[3])
"""Those that compiling measures where one run takes all the work that a condition may."""


class Bench:
    """A circuit and its float model, to be compared on any inputs.

    Args:
        model: the normalized float model.
        float_model: the same, ready to run.
        lowered: the circuit.
        thorough: whether inner tensors are always compared, and saturations counted. Otherwise that is done only where
            the circuit leaves the float model, and `StressReport.saturated` is None elsewhere.

    Raises:
        InvalidInputError: the circuit is of another model.
    """

    def __init__(self, model: onnx_ir.Model, float_model: FloatModel, lowered: Lowered, *, thorough: bool) -> None:
        self._inner, self._outputs = compared_layers(model, lowered)
        self._float_model, self._lowered = float_model, lowered
        self._inputs, self._thorough = lowered.program.inputs, thorough
        self._batch = float_model.batch
        most = min(MAX_SAMPLES // self._batch, WORK_PER_CONDITION // work_per_run(lowered.program))
        self.samples = max(most, 1) * self._batch

    @cached_property
    def _of_outputs(self) -> Sweep:
        return Sweep(self._float_model, self._lowered, self._outputs, saturations=False)

    @cached_property
    def _of_all(self) -> Sweep:
        return Sweep(self._float_model, self._lowered, self._inner + self._outputs)

    def measure(self, condition: str, samples: Sequence[Array], limit: float) -> StressReport:
        """Compare on some samples.

        Args:
            condition: name of the condition.
            samples: for each input, in the model's dtype, an array of shape (samples, ...).
            limit: see `StressReport`.
        """
        within = [_within(array, tensor) for array, tensor in zip(samples, self._inputs, strict=True)]
        clipped = sum(int((a != b).sum()) for a, b in zip(samples, within, strict=True))
        count, saturated = 0, None
        rows: tuple[LayerReport, ...] = ()
        if not self._thorough:
            count, rows = self._swept(self._of_outputs, within)
        if self._thorough or any(row.deviation > limit for row in rows):
            count, rows = self._swept(self._of_all, within)
            inner = self._of_all.inner()
            saturated = sum(row.saturated for row in rows) + sum(row.saturated for row in inner)
        if not count:
            return StressReport(condition, 0, clipped, (), None, None, limit)
        outputs = rows[-len(self._outputs) :]
        computed = [row for row in rows if row.op != "Input"]
        return StressReport(condition, count, clipped, outputs, worst_of(computed), saturated, limit)

    def _swept(self, sweep: Sweep, samples: Sequence[Array]) -> tuple[int, tuple[LayerReport, ...]]:
        """The number of samples on which the float model is finite, and the figures on these."""
        sweep.restart()
        sweep.add([into_runs(array, self._batch) for array in samples], finite=True)
        count = min(sweep.runs * self._batch, len(samples[0]))
        return count, tuple(sweep.rows()) if count else ()

    def under_stress(
        self, samples: Sequence[Array], conditions: Sequence[Condition] = CONDITIONS
    ) -> tuple[StressReport, ...]:
        """Compare under every condition that changes some input, on inputs made of some samples.

        Args:
            samples: for each input, in the model's dtype, an array of shape (samples, ...).
            conditions: the conditions.
        """
        chosen = spread_out(len(samples[0]), self.samples)
        reports = []
        for condition in conditions:
            rng = np.random.default_rng(0)
            changed = [_changed(array, array[chosen], condition, rng) for array in samples]
            if any(not np.array_equal(new, array[chosen]) for new, array in zip(changed, samples, strict=True)):
                reports.append(self.measure(condition.name, changed, STRESS_LIMIT))
        return tuple(reports)


def worst_of(rows: Sequence[LayerReport]) -> LayerReport:
    """The tensor that is farthest from float; the first of equals."""
    return max(rows, key=lambda row: row.deviation)


def spread_out(count: int, most: int) -> Array:
    """The numbers of at most so many of `count` samples, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def work_per_run(program: Program) -> int:
    """Multiplications and elements of one run."""
    multiplications = 0
    for node in program.nodes:
        if isinstance(node, Einsum):
            terms = node.subscripts.partition("->")[0].split(",")
            sizes = {
                letter: size
                for letters, value in zip(terms, node.operands, strict=True)
                for letter, size in zip(letters, program.tensor(value).shape, strict=True)
            }
            multiplications += math.prod(sizes.values())
    return multiplications + elements_per_run(program)


def _changed(samples: Array, some: Array, condition: Condition, rng: np.random.Generator) -> Array:
    """Some samples of an input, changed, in the input's dtype; whole numbers are rounded."""
    if samples.dtype.kind == "b" or (not condition.switches and len(np.unique(samples)) <= 2):
        return some
    changed = condition.change(
        some.reshape(len(some), -1).astype(np.float64), samples.reshape(len(samples), -1).astype(np.float64), rng
    ).reshape(some.shape)
    return (np.rint(changed) if samples.dtype.kind in "iu" else changed).astype(samples.dtype)


def _within(array: Array, tensor: Tensor) -> Array:
    """The array with the numbers that the circuit refuses replaced by the nearest that it accepts."""
    lo, hi = (dequantize(np.full(array.shape[1:], bound), tensor) for bound in (tensor.lo, tensor.hi))
    return array if array.dtype.kind == "b" else np.clip(array, lo, hi).astype(array.dtype)
