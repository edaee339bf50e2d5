"""The check that a normalized model computes what the model computes.

Normalizing rewrites a model many times: it folds constants and scales, takes operators apart, settles loops. Everything
after it, the fidelity of a circuit included, is measured against the normalized model. So a rewriting that changes the
function would go unseen, were both models not run on the same data.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir

from zkinfer.compiler.calibration.float_model import open_session
from zkinfer.compiler.onnx.read import graphs_of
from zkinfer.errors import AccuracyWarning, CompileError
from zkinfer.progress import notice
from zkinfer.typing import Array

RUNS = 16
"""How many runs of the float model are compared."""

_TOLERANCE = 1e-3
"""How far a number may be from the model's, of the largest one of the output: far above what rounding does."""

_LEAST = 1e-6
"""Differences up to this are none, whatever the output's size: what cancels out leaves as much."""

_COARSE_TOLERANCE = 0.05
"""The same where a model computes in numbers of 16 bits, or rounds to 8 bits as it runs: the circuit does neither."""

_HALVES = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)

_MOST_DIFFERENT, _ALWAYS_ALLOWED = 0.05, 2
"""The share, and the number, of elements beyond that: rounding may flip what is rounded, compared or counted."""


def require_same_function(original: onnx.ModelProto, normalized: onnx_ir.Model, runs: Sequence[Array]) -> None:
    """Run both models on the same data.

    Where onnxruntime does not run the original, as where it lacks a version of an operator, a line says that nothing
    was compared.

    Args:
        original: the model with a batch that is a number, as it was before anything was rewritten.
        normalized: made of it.
        runs: for each input, in the model's dtype, an array of shape (runs, *shape).

    Warns:
        AccuracyWarning: an output differs, of a model that itself rounds to 8 or 16 bits.

    Raises:
        CompileError: an output differs, by more and more often than rounding accounts for.
    """
    coarse = _is_coarse(original)
    tolerance = _COARSE_TOLERANCE if coarse else _TOLERANCE
    names = [value.name for value in original.graph.output]
    after = open_session(onnx_ir.serde.serialize_model(normalized), optimized=False)
    try:
        before = open_session(original, optimized=False)
        pairs = [
            (before.run(names, feeds), after.run(None, feeds))
            for feed in zip(*(array[:RUNS] for array in runs), strict=True)
            for feeds in [{value.name: array for value, array in zip(normalized.graph.inputs, feed, strict=True)}]
        ]
    except Exception as error:  # onnxruntime raises many types
        notice(f"onnxruntime does not run the model as it is, so nothing was compared with it: {str(error)[:120]}")
        return
    for place, name in enumerate(names):
        expected, got = (np.stack([pair[side][place] for pair in pairs]) for side in (0, 1))
        wrong = _differing(expected, got, tolerance)
        if wrong.sum() > max(_ALWAYS_ALLOWED, _MOST_DIFFERENT * wrong.size) or (wrong.size and wrong.all()):
            if coarse:
                warnings.warn(
                    f"the model rounds to few bits while it runs, and the circuit does not: {wrong.sum():,} of "
                    f"{wrong.size:,} numbers of output {name!r} differ by more than {_COARSE_TOLERANCE:.0%}",
                    AccuracyWarning,
                    stacklevel=3,
                )
                continue
            raise CompileError(
                f"rewriting the model into what can be lowered has changed output {name!r}: {wrong.sum():,} of "
                f"{wrong.size:,} numbers differ on the calibration data. Unless onnxruntime leaves the standard there "
                "(docs/accuracy.md), this is a defect of zkinfer: please report it, with the model if you can"
            )


def _differing(expected: Array, got: Array, tolerance: float) -> npt.NDArray[np.bool_]:
    """Which elements differ; where the original gives no number, the normalized model may give any."""
    if expected.shape != got.shape:
        return np.ones(1, dtype=bool)
    a, b = (x.astype(np.float64) for x in (expected, got))
    said = np.isfinite(a)
    size = np.abs(a[said]).max(initial=0.0)
    with np.errstate(invalid="ignore"):
        differs: npt.NDArray[np.bool_] = said & ~(np.abs(a - b) <= max(tolerance * size, _LEAST))
    return differs


def _is_coarse(model: onnx.ModelProto) -> bool:
    """Whether it computes in numbers of 16 bits, or quantizes while it runs."""
    values = (*model.graph.input, *model.graph.output)
    return (
        any(tensor.data_type in _HALVES for tensor in model.graph.initializer)
        or any(value.type.tensor_type.elem_type in _HALVES for value in values)
        or any(node.op_type.startswith("DynamicQuantize") for graph in graphs_of(model) for node in graph.node)
    )
