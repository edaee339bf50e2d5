"""Calibration: the values that each tensor of the float model takes on real data.

The float model runs over the data in onnxruntime, and a few statistics of every float tensor are kept. They determine
Q-formats and table domains alone: the bounds of the program are proven by interval analysis, not by data.

Formats are powers of two, so that differences between machines in the last bits of floats change nothing, except where
a maximum lies exactly between two powers. The publisher of a circuit compiles it once, and its digest identifies the
result, so that nobody has to reproduce the calibration.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import onnx_ir

from zkinfer.circuit.qformat import as_arrays
from zkinfer.circuit.samples import chunks, into_runs
from zkinfer.compiler.calibration.float_model import FloatModel, is_float
from zkinfer.compiler.calibration.sides import SidesAccumulator, thresholds_of
from zkinfer.compiler.lowering.thresholds import Sides
from zkinfer.errors import NotFiniteError
from zkinfer.progress import progress
from zkinfer.typing import Array, IntArray

PERCENTILES = (50.0, 90.0, 99.0, 99.9, 99.99)
"""The percentiles of the absolute values that are kept."""

SHARES = tuple(2.0 ** (-k / 32) for k in range(161))
"""Shares of the largest magnitude at which the error of saturating is kept; the first is all of it."""

_MANTISSA_BITS = 5
_SHIFT = 23 - _MANTISSA_BITS
_BINS = 1 << (8 + _MANTISSA_BITS)


class TensorStats(msgspec.Struct, frozen=True):
    """Statistics of a tensor over all calibration samples, in real units.

    Attributes:
        lo, hi: smallest and largest element.
        mean_abs: mean of the absolute values.
        abs_percentiles: one for each of `PERCENTILES`, of the absolute values; rounded up by at most 1/32 of itself.
        clipping: mean squared error of saturating at each of `SHARES` of the largest magnitude, computed from values
            with a relative error of up to 1/64.
        elements: number of elements.
        binary: whether all elements are `lo` or `hi`, as those of a mask are.
        channels: the smallest and largest element at each place along an axis. The axis is counted from the end; it is
            the last or the second, and never the first.
    """

    lo: float
    hi: float
    mean_abs: float
    abs_percentiles: tuple[float, ...]
    clipping: tuple[float, ...]
    elements: int
    binary: bool
    channels: Mapping[int, tuple[tuple[float, float], ...]] = {}

    @property
    def abs_max(self) -> float:
        """Largest absolute value."""
        return max(abs(self.lo), abs(self.hi))


class Calibration(msgspec.Struct, frozen=True):
    """Statistics of a model's inputs and of every float tensor that its nodes compute, by ONNX name.

    Attributes:
        tensors: in order of execution, inputs first.
        samples: number of samples.
        sides: by the name of a comparison with a constant, where the values that it compares lie.
    """

    tensors: Mapping[str, TensorStats]
    samples: int
    sides: Mapping[str, Sides] = {}


class _Accumulator:
    """Statistics of one tensor, added part by part; the order and the sizes of the parts do not matter."""

    def __init__(self) -> None:
        self._lo, self._hi, self._sum, self._elements = math.inf, -math.inf, 0.0, 0
        # The numbers that occurred; None once there were more than two.
        self._numbers: set[float] | None = set()
        # Bins are the leading bits of the float32 pattern: 32 for each of the 256 exponents, for any range.
        self._histogram = np.zeros(_BINS, dtype=np.int64)
        self._channels: dict[int, tuple[Array, Array]] = {}

    def add(self, array: Array) -> None:
        if not array.size:
            return
        # Integers become float64, because the lowest one of a type has no absolute value in that type.
        magnitude = np.abs(array if array.dtype.kind == "f" else array.astype(np.float64))
        lo, hi = float(array.min()), float(array.max())
        self._lo, self._hi = min(self._lo, lo), max(self._hi, hi)
        if self._numbers is not None:
            self._numbers |= {lo, hi}
            if len(self._numbers) > 2 or not ((array == lo) | (array == hi)).all():
                self._numbers = None
        self._sum += float(magnitude.sum(dtype=np.float64))
        self._elements += array.size
        with np.errstate(over="ignore"):
            patterns = magnitude.astype(np.float32).view(np.uint32)
        self._histogram += np.bincount(patterns.ravel() >> _SHIFT, minlength=_BINS)
        # The first two axes are those of runs and of the batch.
        for axis in {-1, 2 - array.ndim} if array.ndim > 2 else ():
            others = tuple(i for i in range(array.ndim) if i != array.ndim + axis)
            least, most = array.min(axis=others), array.max(axis=others)
            known = self._channels.get(axis, (least, most))
            self._channels[axis] = np.minimum(known[0], least), np.maximum(known[1], most)

    def finish(self) -> TensorStats:
        if not self._elements:
            return TensorStats(0.0, 0.0, 0.0, (0.0,) * len(PERCENTILES), (0.0,) * len(SHARES), 0, binary=True)
        cumulative = np.cumsum(self._histogram)
        ranks = [math.ceil(self._elements * p / 100) for p in PERCENTILES]
        bins = np.searchsorted(cumulative, ranks).astype(np.uint32)
        edges = (((bins + np.uint32(1)) << np.uint32(_SHIFT)) - np.uint32(1)).view(np.float32).astype(np.float64)
        top = max(abs(self._lo), abs(self._hi))
        percentiles = tuple(float(edge) if edge < top else top for edge in edges)
        mean, binary = self._sum / self._elements, self._numbers is not None
        channels = {
            axis: tuple(zip(least.tolist(), most.tolist(), strict=True))
            for axis, (least, most) in sorted(self._channels.items())
        }
        return TensorStats(self._lo, self._hi, mean, percentiles, self._clipping(top), self._elements, binary, channels)

    def _clipping(self, top: float) -> tuple[float, ...]:
        filled = np.flatnonzero(self._histogram)
        middles = ((filled.astype(np.uint32) << np.uint32(_SHIFT)) + np.uint32(1 << (_SHIFT - 1))).view(np.float32)
        values, counts = np.minimum(middles.astype(np.float64), top), self._histogram[filled]
        beyond = np.maximum(values - top * np.array(SHARES)[:, None], 0.0)
        return tuple(((counts * beyond**2).sum(axis=1) / self._elements).tolist())


def calibrate(model: onnx_ir.Model, data: Any) -> Calibration:
    """Run the float model over the data and collect statistics of its inputs and of every float tensor.

    Memory stays bounded however many samples there are. Where the model's batch does not divide the number of
    samples, the first ones are repeated to fill the last batch.

    Args:
        model: as `zkinfer.compiler.onnx.load.load_model` returns it.
        data: samples along the first axis: a numpy array or torch tensor, a list of one array an input, or a mapping
            from input names to arrays.

    Raises:
        InvalidInputError: the data has a wrong dtype or wrong names.
        ShapeError: the data has a wrong shape, or there is none.
        NotFiniteError: NaN or infinity in the data, or in a tensor that the model computes from it; named.
        CompileError: onnxruntime does not run the model.
    """
    float_model = FloatModel(model)
    samples = float_model.prepare(as_arrays(data, [value.name or "" for value in float_model.inputs]))
    runs = [into_runs(array, float_model.batch) for array in samples]
    calibrator = Calibrator(float_model)
    calibrator.add(runs, np.arange(len(runs[0])))
    return calibrator.finish(len(samples[0]))


class Calibrator:
    """Collects the statistics of a model over runs that are added to it, in any order.

    Args:
        float_model: the model.
    """

    def __init__(self, float_model: FloatModel) -> None:
        self._float_model = float_model
        self._accumulators = {
            value.name or "": _Accumulator()
            for value in (*float_model.inputs, *(value for value in float_model.values if is_float(value)))
        }
        self._comparisons = {
            node.outputs[0].name or "": SidesAccumulator(node, thresholds)
            for node in float_model.nodes
            if (thresholds := thresholds_of(node)) is not None
        }

    def add(self, runs: Sequence[Array], chosen: IntArray) -> None:
        """Add some of the runs.

        Args:
            runs: all of them, as for `FloatModel.run`.
            chosen: the numbers of those to add.

        Raises:
            NotFiniteError, CompileError: see `calibrate`.
        """
        model = self._float_model
        with progress("calibrating", len(chosen)) as advance:
            for part in chunks(len(chosen), model.elements):
                numbers = chosen[part]
                tensors = model.run([array[numbers] for array in runs])
                for name, accumulator in self._accumulators.items():
                    _require_finite(name, tensors[name], numbers, model.batch)
                    accumulator.add(tensors[name])
                for comparison in self._comparisons.values():
                    comparison.add(tensors[comparison.name])
                advance(len(numbers))

    def finish(self, samples: int) -> Calibration:
        """The statistics of all runs that were added so far, which hold so many samples; more may be added later."""
        stats = {name: accumulator.finish() for name, accumulator in self._accumulators.items()}
        sides = {name: comparison.finish() for name, comparison in self._comparisons.items()}
        return Calibration(tensors=stats, samples=samples, sides=sides)


def _require_finite(name: str, tensor: Array, runs: IntArray, batch: int) -> None:
    finite = np.isfinite(tensor)
    if finite.all():
        return
    first = int(runs[np.argwhere(~finite)[0, 0]]) * batch
    where = f"sample {first}" if batch == 1 else f"one of the samples {first} to {first + batch - 1}"
    raise NotFiniteError(
        f"tensor {name!r} becomes NaN or infinite on {where} of the calibration data: the model itself overflows in "
        "float there. Correct the model, or leave that data out"
    )
