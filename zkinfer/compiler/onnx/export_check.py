"""Comparing a torch module with its export, on the data that the circuit is calibrated on."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from zkinfer.circuit.qformat import as_arrays, as_batch
from zkinfer.circuit.samples import into_runs
from zkinfer.compiler.calibration.float_model import open_session
from zkinfer.compiler.onnx.export import evaluation_mode
from zkinfer.errors import CompileError, InvalidInputError
from zkinfer.typing import Array

MAX_INTEGERS_APART = 0.01
"""Share of an output's integers that may differ: a position of a maximum, say, where two elements are nearly equal."""


def require_same(module: Any, proto: onnx.ModelProto, data: Any, *, batch: int) -> None:
    """Check that a module and its export compute the same, run by run, in evaluation mode.

    Data that does not have the form of the model's inputs, and a model that onnxruntime does not run, are left to
    calibration, which says so in better words.

    Args:
        module: the torch module.
        proto: its export.
        data: samples along the first axis: an array or tensor, a list of one for each input, or a mapping.
        batch: how many samples a run has.

    Raises:
        CompileError: they differ by more than the rounding of floats, or the module gives other outputs each time; the
            message names the sample.
        InvalidInputError: the module fails on a sample.
    """
    import torch

    names = [value.name for value in proto.graph.input]
    try:
        session = open_session(proto, optimized=False)
        arrays = as_arrays(data, names)
        runs = [_runs(array, value, batch) for array, value in zip(arrays, proto.graph.input, strict=True)]
    except Exception:  # onnxruntime's exceptions share no root; calibration meets the same ones
        return
    comparison = _Comparison(batch)
    with evaluation_mode(module), torch.no_grad():

        def answer(feed: Sequence[Array]) -> list[Array]:
            result = module(*(torch.from_numpy(array.copy()) for array in feed))
            return [output.numpy() for output in (result if isinstance(result, (list, tuple)) else [result])]

        for number, feed in enumerate(zip(*runs, strict=True)):
            try:
                expected = answer(feed)
            except Exception as error:  # whatever the module's own code raises
                raise InvalidInputError(f"the module fails on sample {number * batch}: {error}") from error
            try:
                found = session.run(None, dict(zip(names, feed, strict=True)))
            except Exception:  # as above
                return
            if not number:
                _require_repeatable(expected, answer(feed))
            comparison.add(number, expected, found)
    comparison.finish()


def _runs(array: Array, value: onnx.ValueInfoProto, batch: int) -> Array:
    """The samples of one input as runs, in the dtype of the export."""
    kind = value.type.tensor_type
    shape = (batch, *(dim.dim_value for dim in kind.shape.dim[1:]))
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    return into_runs(as_batch(array, shape, value.name).astype(dtype), batch)


def _require_repeatable(first: Sequence[Array], second: Sequence[Array]) -> None:
    """Check that a module gives the same outputs for the same inputs."""
    if not all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(first, second, strict=True)):
        raise CompileError(
            "the module gives other outputs for the same inputs each time: it draws random numbers. Leave them out; "
            "torch.nn.functional.dropout drops in evaluation mode too, unless it is called with training=self.training"
        )


class _Comparison:
    """The outputs of a module and of its export, run by run.

    Args:
        batch: how many samples a run has.
    """

    def __init__(self, batch: int) -> None:
        self._batch = batch
        # For each output: the largest magnitude, and the worst run with its difference.
        self._sizes: list[float] = []
        self._worst: list[tuple[float, int]] = []
        self._apart: list[tuple[int, int]] = []
        self._types: list[np.dtype[Any]] = []

    def add(self, number: int, expected: Sequence[Array], found: Sequence[Array]) -> None:
        """Compare one run."""
        if len(expected) != len(found) or any(a.shape != b.shape for a, b in zip(expected, found, strict=True)):
            shapes = [[a.shape for a in outputs] for outputs in (expected, found)]
            raise CompileError(
                f"the module's outputs have the shapes {shapes[0]} and those of its export {shapes[1]}, for a batch of "
                f"{self._batch}: shapes depend on data, or on the batch in a way that the export does not follow"
            )
        if not self._sizes:
            self._sizes, self._worst = [0.0] * len(expected), [(0.0, 0)] * len(expected)
            self._apart, self._types = [(0, 0)] * len(expected), [a.dtype for a in expected]
        for i, (a, b) in enumerate(zip(expected, found, strict=True)):
            x, y = a.astype(np.float64), b.astype(np.float64)
            both = ~np.isfinite(x) & ~np.isfinite(y)
            difference = np.where(both, 0.0, np.abs(np.where(both, 0.0, x) - np.where(both, 0.0, y)))
            # A number beside NaN or infinity is as different as can be.
            largest = float(np.nan_to_num(difference, nan=math.inf).max(initial=0.0))
            self._worst[i] = max(self._worst[i], (largest, number), key=lambda worst: worst[0])
            self._sizes[i] = max(self._sizes[i], float(np.abs(x[np.isfinite(x)]).max(initial=0.0)))
            apart, elements = self._apart[i]
            self._apart[i] = apart + int(np.count_nonzero(difference)), elements + difference.size

    def finish(self) -> None:
        """Check the worst differences."""
        for i, (size, (difference, number), dtype) in enumerate(
            zip(self._sizes, self._worst, self._types, strict=True)
        ):
            apart, elements = self._apart[i]
            if dtype.kind == "f":
                # Rounding errors add up, to about the root of the dtype's resolution at worst.
                allowed = math.sqrt(max(float(np.finfo(dtype).eps), float(np.finfo(np.float32).eps))) * (size or 1.0)
                same = difference <= allowed
            else:
                same = apart <= MAX_INTEGERS_APART * elements
            if not same:
                first = number * self._batch
                where = f"sample {first}" if self._batch == 1 else f"the samples from {first} on"
                raise CompileError(
                    f"the export of the module is another function: output {i} differs by {difference:.3g} at {where} "
                    f"of the calibration data, where the module's outputs reach {size:.3g}. A line of the module "
                    "depends on the values of the example, or on the batch; export with the other exporter, or rewrite "
                    "that line"
                )
