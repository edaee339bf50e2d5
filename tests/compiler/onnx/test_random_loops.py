"""Circuits of random models with Scans, Loops and Ifs compute what onnxruntime makes of the models as they are."""

import numpy as np
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from support.random_loops import random_inputs, random_model

from zkinfer.circuit.bounds import check_bounds
from zkinfer.circuit.qformat import dequantize, quantize
from zkinfer.circuit.validate import validate
from zkinfer.compiler.calibration.calibrate import calibrate
from zkinfer.compiler.calibration.float_model import Session, open_session
from zkinfer.compiler.lowering.precision import NATIVE
from zkinfer.compiler.onnx.importer import import_model
from zkinfer.compiler.onnx.load import load_model
from zkinfer.errors import CompileError
from zkinfer.execution.executor import Executor
from zkinfer.typing import Array, FloatArray

NOISE = 2.0**-13
"""What is added to inputs to learn how far a model spreads small errors."""

UNITS = 1e-3
"""Some units of a state of numbers up to 2, which has one format at all steps, also where it has become small."""


def run(session: Session, arrays: list[Array]) -> list[FloatArray]:
    """Every output, runs first; each sample is a run."""
    names = [value.name for value in session.get_inputs()]
    runs = zip(*(array[:, None] for array in arrays), strict=True)
    outputs = zip(*(session.run(None, dict(zip(names, run, strict=True))) for run in runs), strict=True)
    return [np.stack(output).astype(np.float64) for output in outputs]


@settings(max_examples=12)
@given(st.integers(0, 2**32 - 1))
@example(4).via("a pool that counts windows upward, taken out of a body")
@example(44).via("a comparison of a tensor with itself")
@example(85).via("a state that a condition makes independent of all states")
def test_circuits_of_random_loops(seed: int) -> None:
    model = random_model(seed)
    held_out = random_inputs(model, 8, seed + 1)
    session = open_session(model, optimized=False)
    expected = run(session, held_out)
    shaken = run(session, [array + np.float32(NOISE) for array in held_out])
    try:
        normalized = load_model(model, batch=1)
    except CompileError as refusal:
        # Of no step, or of constants alone: these are refused, and nothing else is.
        assume("is a constant: there is nothing to prove about it" not in str(refusal))
        raise
    lowered = import_model(normalized, calibrate(normalized, random_inputs(model, 64, seed)), NATIVE)
    program = lowered.program
    validate(program)
    check_bounds(program, lowered.weights)
    integers = [quantize(x[:, None], tensor, saturate=True) for x, tensor in zip(held_out, program.inputs, strict=True)]
    outputs = Executor(program, lowered.weights, keep=program.outputs).integers(integers, program.outputs)
    for value, output, floats, moved in zip(program.outputs, outputs, expected, shaken, strict=True):
        assert output.shape == floats.shape
        error, spread = (np.abs(other - floats).max() for other in (dequantize(output, program.tensor(value)), moved))
        assert error <= 5e-3 * np.abs(floats).max() + 8 * spread + UNITS
