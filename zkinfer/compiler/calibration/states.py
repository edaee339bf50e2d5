"""Recurrent states, which a model gives as outputs and takes as inputs: the values that they have on a sequence."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir

from zkinfer.circuit.samples import count_runs, from_runs, into_runs
from zkinfer.compiler.calibration.float_model import FloatModel, check_samples, numpy_type, static_shape
from zkinfer.errors import InvalidInputError, ShapeError
from zkinfer.progress import progress
from zkinfer.typing import Array

HEADROOM = 1.5
"""How much larger than in the calibration sequence a state may become: sequences go on for longer."""

MAX_ENLARGED = 32
"""Samples that are repeated with an enlarged state."""


def with_states(model: onnx_ir.Model, arrays: Sequence[Array | None], states: Mapping[str, str]) -> list[Array]:
    """Calibration samples in which each state is what the model gave for the sample before.

    The samples of the other inputs are one sequence, in order (with a batch, as many sequences side by side, each with
    every batch-th sample). A state starts with its first sample, or with zeros. Some samples follow a second time, with
    states that are `HEADROOM` times as large, so that the circuit's formats have room for them.

    Args:
        model: normalized.
        arrays: the samples of each input; None of a state that starts with zeros.
        states: which output each state comes from.

    Raises:
        ShapeError: state and output differ in their sizes.
        InvalidInputError, NotFiniteError, CompileError: see `FloatModel`; or there are states alone.
    """
    names = [value.name or "" for value in model.graph.inputs]
    lengths = [len(x) for name, x in zip(names, arrays, strict=True) if x is not None and name not in states]
    if not lengths:
        raise InvalidInputError("states needs calibration data for an input that is not a state")
    _require_same_sizes(model, states)
    float_model = FloatModel(model)
    batch, samples = float_model.batch, lengths[0]
    inputs = list(zip(names, float_model.inputs, strict=True))
    runs = {
        name: into_runs(check_samples(x, value), batch)
        for (name, value), x in zip(inputs, arrays, strict=True)
        if x is not None and name not in states
    }
    now = {
        name: np.zeros(static_shape(value), numpy_type(value)) if x is None else check_samples(x, value)[:batch]
        for (name, value), x in zip(inputs, arrays, strict=True)
        if name in states
    }
    seen: dict[str, list[Array]] = {name: [] for name in states}
    count = count_runs(samples, batch)
    with progress("following the states", count) as advance:
        for number in range(count):
            for name, state in now.items():
                seen[name].append(state)
            feed = [(now[name] if name in now else runs[name][number])[None] for name in names]
            tensors = float_model.run(feed)
            now = {name: tensors[output][0].reshape(now[name].shape) for name, output in states.items()}
            advance(1)
    sequence = {name: from_runs(np.stack(found), batch, samples) for name, found in seen.items()}
    plain = [
        sequence[name] if name in states else check_samples(_known(x), value)
        for (name, value), x in zip(inputs, arrays, strict=True)
    ]
    chosen = _chosen([sequence[name] for name in states])
    return [
        np.concatenate([x, (x[chosen] * HEADROOM).astype(x.dtype) if name in states else x[chosen]])
        for name, x in zip(names, plain, strict=True)
    ]


def _known(array: Array | None) -> Array:
    assert array is not None
    return array


def _require_same_sizes(model: onnx_ir.Model, states: Mapping[str, str]) -> None:
    inputs = {value.name: static_shape(value) for value in model.graph.inputs}
    outputs = {value.name: static_shape(value) for value in model.graph.outputs}
    for name, output in states.items():
        if np.prod(inputs[name]) != np.prod(outputs[output]):
            raise ShapeError(
                f"the state {name!r} has the shape {inputs[name]}, but {output!r}, from which it comes, has "
                f"{outputs[output]}"
            )


def _chosen(states: Sequence[Array]) -> list[int]:
    """The samples to repeat: those with each state's smallest and largest number, and others spread over all."""
    ends = [int(np.argmax((sign * x).reshape(len(x), -1).max(axis=1))) for x in states for sign in (-1, 1)]
    step = -(-len(states[0]) // MAX_ENLARGED)
    return sorted({*ends, *range(0, len(states[0]), step)})
