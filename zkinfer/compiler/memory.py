"""Whether compiling fits into the memory that there is: said before the work that would not fit is done.

The figures are of `benchmarks/compile_memory.py`, and low ones: what is refused surely does not fit.
"""

import math
from collections.abc import Sequence

import onnx_ir
from rich.filesize import decimal

from zkinfer.circuit.samples import CHUNK_ELEMENTS, count_runs
from zkinfer.compiler.calibration.float_model import numpy_type, static_shape, varying_values
from zkinfer.errors import ResourceError
from zkinfer.memory_limits import OVERESTIMATED, memory_limit
from zkinfer.typing import Array

WEIGHTS = 2.5
"""What compiling takes for the weights, as a multiple of what the model has: its file, its tensors, the integers."""

SAMPLES = 4
"""What it takes for the calibration data, as a multiple of that: as runs, and wider for what stress makes of it."""

ELEMENT_BYTES = 16
"""For each element of the tensors that are computed at once: as onnxruntime gives it, stacked, and as integers."""


def require_memory_for_weights(stored: int) -> None:
    """Refuse a model whose weights surely do not fit, before they are read.

    Args:
        stored: bytes of the model.

    Raises:
        ResourceError: says what is needed and what there is.
    """
    needed, present = int(WEIGHTS * stored), memory_limit()
    if needed > OVERESTIMATED * present:
        raise ResourceError(
            f"compiling a model of {decimal(stored)} takes about {decimal(needed)} of memory, and this process may "
            f"have {decimal(present)}: compile on a machine with {decimal(needed)} or more; the "
            "circuit's file serves on any other"
        )


def require_memory_for_samples(model: onnx_ir.Model, arrays: Sequence[Array]) -> None:
    """Refuse calibration that surely does not fit, before the model runs.

    Args:
        model: normalized.
        arrays: one array an input, of shape (samples, ...).

    Raises:
        ResourceError: says what is needed, what there is, and how many samples would fit.
    """
    samples, present = min(map(len, arrays)), memory_limit()
    needed = needed_bytes(model, samples)
    if needed <= OVERESTIMATED * present:
        return
    fitting = samples // 2
    while fitting and needed_bytes(model, fitting) > present:
        fitting //= 2
    least = needed_bytes(model, 1)
    advice = (
        f"hand in {fitting:,} samples, or fewer"
        if fitting
        else f"compile for shorter inputs or a smaller batch, or on a machine with {decimal(least)} or more"
    )
    raise ResourceError(
        f"compiling this model with {samples:,} calibration samples takes about {decimal(needed)} of memory, and this "
        f"process may have {decimal(present)}: {advice}"
    )


def needed_bytes(model: onnx_ir.Model, samples: int) -> int:
    """What compiling a normalized model takes with so many samples, beside the samples themselves and libraries.

    Tensors are computed for as many runs at once as `circuit.samples.chunks` says, and for one run at least.
    """
    inputs, varying = list(model.graph.inputs), varying_values(model.graph)
    computed = [v for node in model.graph for v in node.outputs if v.name and v in varying]
    run = sum(math.prod(static_shape(value)) for value in (*inputs, *computed))
    runs = count_runs(samples, static_shape(inputs[0])[0])
    at_once = max(run, min(runs * run, CHUNK_ELEMENTS))
    data = runs * sum(math.prod(static_shape(value)) * numpy_type(value).itemsize for value in inputs)
    weights = sum(v.const_value.nbytes for v in model.graph.initializers.values() if v.const_value is not None)
    return int(WEIGHTS * weights) + SAMPLES * data + ELEMENT_BYTES * at_once
