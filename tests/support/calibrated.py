"""Circuits that meet other data than they were calibrated on."""

from collections.abc import Sequence

import numpy as np
import onnx

from zkinfer.compiler.calibration.float_model import FloatModel
from zkinfer.compiler.compile import compile as compile_model
from zkinfer.compiler.lowering.precision import Precision
from zkinfer.compiler.onnx.load import load_model
from zkinfer.typing import Array, FloatArray


def run_on(
    model: onnx.ModelProto, calibration: Sequence[Array], data: Sequence[Array], precision: Precision | str = "ezkl"
) -> tuple[FloatArray, FloatArray]:
    """The first output of the circuit, and that of the float model, for data.

    Args:
        model: with a batch of one.
        calibration: what the circuit is compiled with: one array an input, samples first.
        data: what it then meets.
        precision: of the circuit.
    """
    circuit = compile_model(model, list(calibration), precision=precision)
    outputs = circuit.run(list(data) if len(data) > 1 else data[0])
    first = outputs[0] if isinstance(outputs, tuple) else outputs
    return first, FloatModel(load_model(model, batch=1)).answer(data)[0].astype(np.float64)
