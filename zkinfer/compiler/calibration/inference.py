"""Quantized models in onnxruntime as it runs them by default, beside the ONNX standard.

There are two reasons for a difference. On x86-64 without VNNI, onnxruntime saturates sums of products of 8-bit
integers. And everywhere it fuses what lies between DequantizeLinear and QuantizeLinear, so that a value at the edge
between two integers may be rounded to the other one.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import onnx_ir

from zkinfer.compiler.calibration.detached import detached_ir
from zkinfer.compiler.calibration.float_model import Session, open_session
from zkinfer.compiler.calibration.integer_products import has_quantized
from zkinfer.typing import Array

NOTICEABLE = 1e-4
"""Share of an output's largest magnitude: the rounding of float32 sums stays below it, a step of 8 bits does not."""


class InferenceDifference(msgspec.Struct, frozen=True):
    """How the model's outputs in onnxruntime, as it runs by default on this processor, differ from the standard's.

    Attributes:
        differing: elements that are off by more than `NOTICEABLE` of the largest magnitude of their output.
        elements: of all outputs, over all samples.
        max_error: the largest difference of any element, in its real units.
    """

    differing: int
    elements: int
    max_error: float


class ProcessorInference:
    """A model with quantized operators, as onnxruntime runs it by default on this processor, beside the standard.

    Args:
        model: as `zkinfer.compiler.onnx.load.load_model` returns it.
    """

    def __init__(self, model: onnx_ir.Model) -> None:
        self._names = [value.name or "" for value in model.graph.outputs]
        self._inputs = [value.name or "" for value in model.graph.inputs]
        self._pairs: list[list[tuple[Array, Array]]] = [[] for _ in self._names]
        self._session: Session | None = None
        if has_quantized(model):
            try:
                self._session = open_session(detached_ir(model).whole(), optimized=True)
            except Exception:  # a form that the standard has and onnxruntime does not run
                self._session = None

    def add(self, runs: Sequence[Array], expected: Mapping[str, Array]) -> None:
        """Compare some runs; a model that onnxruntime does not run, or that is not quantized, is left out.

        Args:
            runs: as for `FloatModel.run`.
            expected: what that returned.
        """
        if self._session is None:
            return
        try:
            found = [
                self._session.run(self._names, dict(zip(self._inputs, f, strict=True))) for f in zip(*runs, strict=True)
            ]
        except Exception:  # as above: some forms are refused when they run
            self._session = None
            return
        for pairs, name, arrays in zip(self._pairs, self._names, zip(*found, strict=True), strict=True):
            pairs.append((np.stack(arrays).astype(np.float64), expected[name].astype(np.float64)))

    def difference(self) -> InferenceDifference | None:
        """Over all runs; None where nothing was compared."""
        if self._session is None or not self._pairs[0]:
            return None
        differing, elements, max_error = 0, 0, 0.0
        for pairs in self._pairs:
            found, expected = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (0, 1))
            errors = np.abs(found - expected)
            differing += int((errors > NOTICEABLE * np.abs(expected).max(initial=0.0)).sum())
            elements += errors.size
            max_error = max(max_error, float(errors.max(initial=0.0)))
        return InferenceDifference(differing, elements, max_error)
