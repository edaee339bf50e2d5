"""Comparing a torch module with its export, on the data that the circuit is calibrated on."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from zkinfer.circuit.qformat import as_arrays, as_batch
from zkinfer.circuit.samples import into_runs
from zkinfer.compiler.calibration.detached import Model, as_detached
from zkinfer.compiler.calibration.float_model import open_session
from zkinfer.compiler.onnx.export import evaluation_mode
from zkinfer.compiler.onnx.read import read_copy
from zkinfer.errors import CompileError, InvalidInputError, ZkinferError
from zkinfer.typing import Array

MAX_INTEGERS_APART = 0.01
"""Share of an output's integers that may differ: a position of a maximum, say, where two elements are nearly equal."""


def require_same(module: Any, export: Model, data: Any, *, batch: int) -> None:
    """Check that a module and its export compute the same, run by run, in evaluation mode.

    Data that does not have the form of the model's inputs, and a model that onnxruntime does not run, are left to
    calibration, which says so in better words.

    Args:
        module: the torch module.
        export: of the module.
        data: samples along the first axis: an array or tensor, a list of one for each input, or a mapping.
        batch: how many samples a run has.

    Raises:
        CompileError: they differ by more than the rounding of floats, or the module gives other outputs each time; the
            message names the sample.
        InvalidInputError: the module fails on a sample.
    """
    import torch

    export = as_detached(export)
    proto = export.proto
    names = [value.name for value in proto.graph.input]
    narrow = [value.type.tensor_type.elem_type == onnx.TensorProto.BFLOAT16 for value in proto.graph.input]
    try:
        # As the circuit's float model, which has float32 in place of bfloat16.
        copy = read_copy(export)
        session = open_session(copy, optimized=False)
        arrays = as_arrays(data, names)
        runs = [_runs(array, value, batch) for array, value in zip(arrays, copy.proto.graph.input, strict=True)]
    except Exception:  # onnxruntime's exceptions share no root; calibration meets the same ones
        return
    with evaluation_mode(module), torch.no_grad():

        def answer(feed: Sequence[Array]) -> list[Any]:
            tensors = (torch.from_numpy(array.copy()) for array in feed)
            result = module(*(x.bfloat16() if b else x for x, b in zip(tensors, narrow, strict=True)))
            return list(result) if isinstance(result, (list, tuple)) else [result]

        for number, feed in enumerate(zip(*runs, strict=True)):
            try:
                outputs = answer(feed)
                expected = [(y.float() if y.dtype is torch.bfloat16 else y).detach().numpy() for y in outputs]
                if not number:
                    _require_repeatable(outputs, answer(feed))
                    comparison = _Comparison(
                        batch, [torch.finfo(y.dtype).eps if y.is_floating_point() else None for y in outputs]
                    )
            except ZkinferError:
                raise
            except Exception as error:  # whatever the module's own code raises
                raise InvalidInputError(f"the module fails on sample {number * batch}: {error}") from error
            try:
                found = session.run(None, dict(zip(names, feed, strict=True)))
            except Exception:  # as above
                return
            comparison.add(number, expected, found)
    comparison.finish()


def _runs(array: Array, value: onnx.ValueInfoProto, batch: int) -> Array:
    """The samples of one input as runs, in the dtype of the export."""
    kind = value.type.tensor_type
    shape = (batch, *(dim.dim_value for dim in kind.shape.dim[1:]))
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    return into_runs(as_batch(array, shape, value.name).astype(dtype), batch)


def _require_repeatable(first: Sequence[Any], second: Sequence[Any]) -> None:
    """Check that a module gives the same outputs, which are tensors, for the same inputs."""
    if not all(bool(((a == b) | ((a != a) & (b != b))).all()) for a, b in zip(first, second, strict=True)):
        raise CompileError(
            "the module gives other outputs for the same inputs each time: it draws random numbers. Leave them out; "
            "torch.nn.functional.dropout drops in evaluation mode too, unless it is called with training=self.training"
        )


class _Comparison:
    """The outputs of a module and of its export, run by run.

    Args:
        batch: how many samples a run has.
        resolutions: the relative resolution of each output's type; None of one that holds no floats.
    """

    def __init__(self, batch: int, resolutions: Sequence[float | None]) -> None:
        self._batch, self._resolutions = batch, resolutions
        # For each output: the largest magnitude; the worst run with its difference; how many elements differ, and
        # how many there are.
        self._sizes = [0.0 for _ in resolutions]
        self._worst = [(0.0, 0) for _ in resolutions]
        self._apart = [(0, 0) for _ in resolutions]

    def add(self, number: int, expected: Sequence[Array], found: Sequence[Array]) -> None:
        """Compare one run."""
        if len(expected) != len(found) or any(a.shape != b.shape for a, b in zip(expected, found, strict=True)):
            shapes = [[a.shape for a in outputs] for outputs in (expected, found)]
            raise CompileError(
                f"the module's outputs have the shapes {shapes[0]} and those of its export {shapes[1]}, for a batch of "
                f"{self._batch}: shapes depend on data, or on the batch in a way that the export does not follow"
            )
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
        for i, resolution in enumerate(self._resolutions):
            size, (difference, number), (apart, elements) = self._sizes[i], self._worst[i], self._apart[i]
            if resolution is not None:
                # Rounding errors add up, to about the root of the resolution at worst.
                same = difference <= math.sqrt(max(resolution, 2.0**-23)) * (size or 1.0)
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
