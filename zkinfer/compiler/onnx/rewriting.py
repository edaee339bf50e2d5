"""The check that a normalized model computes what the model computes.

Normalizing rewrites a model many times: it folds constants and scales, takes operators apart, settles loops. Everything
after it, the fidelity of a circuit included, is measured against the normalized model. So a rewriting that changes the
function would go unseen, were both models not run on the same data.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir

from zkinfer.circuit.samples import CHUNK_ELEMENTS
from zkinfer.compiler.calibration.detached import Model, as_detached, detached_ir
from zkinfer.compiler.calibration.float_model import open_session, static_shape
from zkinfer.compiler.onnx.read import graphs_of
from zkinfer.errors import AccuracyWarning, CompileError
from zkinfer.progress import notice
from zkinfer.typing import Array, FloatArray

RUNS = 16
"""How many runs of the float model are compared; fewer where their outputs would take much memory."""

_TOLERANCE = 1e-3
"""How far a number may be from the model's, of the largest one of the output: far above what rounding does."""

_LEAST = 1e-6
"""Differences up to this are none, whatever the output's size: what cancels out leaves as much."""

_COARSE_TOLERANCE = 0.05
"""The same where a model computes in numbers of 16 bits, or rounds to 8 bits as it runs: the circuit does neither."""

_COUPLED_TOLERANCE = 0.01
"""The same for what follows from probabilities of a support vector machine: onnxruntime, as libsvm, iterates until they
are within 0.005 of the logistic function, which the circuit computes."""

_HALVES = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)

_MOST_DIFFERENT, _ALWAYS_ALLOWED = 0.05, 2
"""The share, and the number, of elements beyond that: rounding may flip what is rounded, compared or counted."""

_MOST_OF_A_CHANNEL, _LEAST_RUNS = 0.25, 3
"""The share of the numbers of one place of an axis beyond that, if so many runs have some: flips are not so regular."""

_SMALL_CHANNEL = 1e-4
"""Differences up to this, of the largest number of the output, are none in a channel of small numbers either."""

_MOST_RUNS, _FEW_RUNS = 0.75, 8
"""The share of runs in which one element may be beyond that; with fewer runs than this many, any."""


def require_same_function(original: Model, normalized: onnx_ir.Model, runs: Sequence[Array]) -> None:
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
    original = as_detached(original)
    coarse = _is_coarse(original.proto)
    tolerance = _COARSE_TOLERANCE if coarse else _TOLERANCE
    names = [value.name for value in original.proto.graph.output]
    coupled = _coupled(original.proto.graph)
    after = open_session(detached_ir(normalized), optimized=False)
    pairs: list[tuple[list[Array], list[Array]]] = []
    batch = static_shape(normalized.graph.inputs[0])[0]
    try:
        before = open_session(original, optimized=False)
        for feed in zip(*(array[:RUNS] for array in runs), strict=True):
            feeds = {value.name: array for value, array in zip(normalized.graph.inputs, feed, strict=True)}
            pairs.append((before.run(names, feeds), after.run(None, feeds)))
            held = sum(array.size for pair in pairs for array in pair[0])
            if len(pairs) >= _LEAST_RUNS and held >= CHUNK_ELEMENTS:
                break
    except Exception as error:  # onnxruntime raises many types
        notice(f"onnxruntime does not run the model as it is, so nothing was compared with it: {str(error)[:120]}")
        return
    for place, name in enumerate(names):
        expected, got = (_by_sample(np.stack([pair[side][place] for pair in pairs]), batch) for side in (0, 1))
        changed = _changed(expected, got, max(tolerance, _COUPLED_TOLERANCE) if name in coupled else tolerance)
        if changed and coarse:
            warnings.warn(
                f"the model rounds to few bits while it runs, and the circuit does not: {changed} of output {name!r} "
                f"differ by more than {_COARSE_TOLERANCE:.0%}",
                AccuracyWarning,
                stacklevel=3,
            )
        elif changed or (not coarse and name not in coupled and (changed := _changed_part(expected, got))):
            raise CompileError(
                f"rewriting the model into what can be lowered has changed output {name!r}: {changed} differ on the "
                "calibration data. Unless onnxruntime leaves the standard there (docs/accuracy.md), this is a defect "
                "of zkinfer: please report it, with the model if you can"
            )


def _by_sample(outputs: Array, batch: int) -> Array:
    """An output of all runs, each of a batch of several samples, as of as many runs of one: they tell more apart."""
    return outputs.reshape(-1, 1, *outputs.shape[2:]) if batch > 1 else outputs


def _changed(expected: Array, got: Array, tolerance: float) -> str | None:
    """Which numbers of an output differ, if more do than rounding accounts for, wherever they are."""
    if expected.shape != got.shape:
        return f"the shapes {expected.shape[1:]} and {got.shape[1:]}"
    distances, sizes = _distances(expected, got)
    wrong = distances > max(tolerance * sizes.max(initial=0.0), _LEAST)
    count = int(wrong.sum())
    if count > max(_ALWAYS_ALLOWED, _MOST_DIFFERENT * wrong.size) or (wrong.size and count == wrong.size):
        return f"{count:,} of {wrong.size:,} numbers"
    return None


def _changed_part(expected: Array, got: Array) -> str | None:
    """Which place of an axis, such as a channel, or which element differs in more runs than rounding accounts for.

    What rounding flips is not the same part in many runs.
    """
    distances, sizes = _distances(expected, got)
    if not distances.size:
        return None
    least = max(_SMALL_CHANNEL * sizes.max(), _LEAST)
    for axis in range(1, distances.ndim):
        others = tuple(k for k in range(distances.ndim) if k != axis)
        wrong = distances > np.maximum(_TOLERANCE * sizes.max(axis=others, keepdims=True), least)
        shares, seen = wrong.mean(axis=others), wrong.any(axis=others[1:]).sum(axis=0)
        for place in np.flatnonzero((shares > _MOST_OF_A_CHANNEL) & (seen >= _LEAST_RUNS)):
            return f"{shares[place]:.0%} of the numbers at place {place} of {shares.size} of axis {axis - 1}"
    often = (distances > max(_TOLERANCE * sizes.max(), _LEAST)).mean(axis=0) > _MOST_RUNS
    if len(distances) >= _FEW_RUNS and often.any():
        return f"in most runs the numbers at {tuple(int(k) for k in np.argwhere(often)[0])}"
    return None


def _distances(expected: Array, got: Array) -> tuple[FloatArray, FloatArray]:
    """How far numbers are from the original's, and the sizes of these; where it gives no number, any may stand."""
    said = np.isfinite(expected)
    distances, sizes = np.zeros(expected.shape), np.zeros(expected.shape)
    np.subtract(expected, got, out=distances, where=said, dtype=np.float64, casting="unsafe")
    np.abs(distances, out=distances)
    np.copyto(distances, np.inf, where=np.isnan(distances))
    np.copyto(sizes, expected, where=said, casting="unsafe")
    np.abs(sizes, out=sizes)
    return distances, sizes


def _coupled(graph: onnx.GraphProto) -> set[str]:
    """The values that follow from probabilities of support vector machines; labels do not."""
    found: set[str] = set()
    for node in graph.node:
        if node.op_type == "SVMClassifier" and any(attribute.name == "prob_a" for attribute in node.attribute):
            found.update(node.output[1:])
        elif not found.isdisjoint(node.input):
            found.update(node.output)
    return found


def _is_coarse(model: onnx.ModelProto) -> bool:
    """Whether it computes in numbers of 16 bits, or quantizes while it runs."""
    values = (*model.graph.input, *model.graph.output)
    return (
        any(tensor.data_type in _HALVES for tensor in model.graph.initializer)
        or any(value.type.tensor_type.elem_type in _HALVES for value in values)
        or any(node.op_type.startswith("DynamicQuantize") for graph in graphs_of(model) for node in graph.node)
    )
