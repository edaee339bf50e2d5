"""Small models, run as floats in onnxruntime and as integers in the reference evaluator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper, parser

from zkinfer.circuit.bounds import check_bounds
from zkinfer.circuit.encoding import encode_program
from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.program import Lookup, Program
from zkinfer.circuit.qformat import dequantize, quantize
from zkinfer.circuit.validate import validate
from zkinfer.compiler.calibration.calibrate import calibrate
from zkinfer.compiler.calibration.float_model import FloatModel
from zkinfer.compiler.lowering.precision import EZKL, Precision
from zkinfer.compiler.lowering.result import Lowered
from zkinfer.compiler.onnx.importer import import_model
from zkinfer.compiler.onnx.load import load_model
from zkinfer.typing import FloatArray


def build(
    body: str,
    inputs: Mapping[str, Sequence[int | str]],
    weights: Mapping[str, object] | None = None,
    *,
    outputs: Sequence[str] = ("y",),
    integer_outputs: Sequence[str] = (),
    types: Mapping[str, int] | None = None,
    opset: int = 17,
) -> onnx.ModelProto:
    """A model from its nodes in ONNX's text form, one a line.

    Args:
        body: such as `y = Relu(x)`.
        inputs: shape of each input, the batch first; an open axis has a name.
        weights: initializers, and constants of formulas: numbers without axes. Floats become float32.
        outputs: names of the outputs.
        integer_outputs: those of them that hold int64.
        types: element types of inputs and outputs that do not hold float32, by name.
        opset: of the standard domain.
    """
    nodes = [parser.parse_node(line.strip()) for line in body.strip().splitlines()]
    initializers = []
    for name, values in (weights or {}).items():
        array = np.asarray(values)
        array = array.astype(np.float32) if array.dtype.kind == "f" else array
        tensor = numpy_helper.from_array(array, name)
        if array.ndim or array.dtype.kind != "f":
            initializers.append(tensor)
        else:
            nodes.insert(0, helper.make_node("Constant", [], [name], value=tensor))
    types = dict.fromkeys(integer_outputs, TensorProto.INT64) | dict(types or {})
    graph = helper.make_graph(
        nodes,
        "test",
        [
            helper.make_tensor_value_info(name, types.get(name, TensorProto.FLOAT), shape)
            for name, shape in inputs.items()
        ],
        [helper.make_tensor_value_info(name, types.get(name, TensorProto.FLOAT), None) for name in outputs],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@dataclass(frozen=True)
class Comparison:
    """A model, lowered and run both ways on the same data.

    Attributes:
        lowered: the program.
        fixed: its outputs, de-quantized; shape (samples, ...).
        floats: onnxruntime's.
        units: the resolution of each output.
    """

    lowered: Lowered
    fixed: list[FloatArray]
    floats: list[FloatArray]
    units: list[float]

    @property
    def program(self) -> Program:
        return self.lowered.program

    @property
    def lookups(self) -> list[Lookup]:
        return [node for node in self.program.nodes if isinstance(node, Lookup)]

    @property
    def error(self) -> float:
        """The largest difference of any output element, in real units."""
        return max(float(np.abs(fixed - real).max()) for fixed, real in zip(self.fixed, self.floats, strict=True))

    @property
    def error_in_units(self) -> float:
        """The same, in units of the output's last digit."""
        return max(
            float(np.abs(fixed - real).max()) / unit
            for fixed, real, unit in zip(self.fixed, self.floats, self.units, strict=True)
        )


def compare(
    model: onnx.ModelProto, *data: npt.ArrayLike, precision: Precision | None = None, batch: int = 1
) -> Comparison:
    """Calibrate on the data, lower, check the program in every way there is, and run it on the same data."""
    normalized = load_model(model, batch=batch)
    arrays = [
        np.asarray(array).astype(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
        for array, value in zip(data, model.graph.input, strict=True)
    ]
    calibration = calibrate(normalized, arrays)
    precision = precision or EZKL
    lowered = import_model(normalized, calibration, precision)
    program = lowered.program
    validate(program)
    check_bounds(program, lowered.weights)
    assert encode_program(import_model(normalized, calibration, precision).program) == encode_program(program)

    runs = [array.reshape(-1, batch, *array.shape[1:]) for array in arrays]
    integers = [quantize(run, tensor) for run, tensor in zip(runs, program.inputs, strict=True)]
    fixed = evaluate(program, lowered.weights, integers)
    check_extremes(lowered)
    real = FloatModel(normalized).run(runs)
    names = [value.name or "" for value in normalized.graph.outputs]
    return Comparison(
        lowered,
        [dequantize(fixed[v], program.tensor(v)) for v in program.outputs],
        [real[name].astype(np.float64) for name in names],
        [2.0**-tensor.frac_bits for tensor in program.output_tensors],
    )


def check_extremes(lowered: Lowered) -> None:
    """Whatever the inputs are within their bounds, every value stays within the published ones."""
    program = lowered.program
    rng = np.random.default_rng(0)
    inputs = []
    for tensor in program.inputs:
        corners = [np.full(tensor.shape, tensor.lo), np.full(tensor.shape, tensor.hi)]
        corners += [rng.choice([tensor.lo, tensor.hi], tensor.shape) for _ in range(4)]
        corners += [rng.integers(tensor.lo, tensor.hi, tensor.shape, endpoint=True) for _ in range(4)]
        inputs.append(np.stack(corners).astype(np.int64))
    for value, array in enumerate(evaluate(program, lowered.weights, inputs)):
        tensor = program.tensor(value)
        assert tensor.lo <= array.min() <= array.max() <= tensor.hi, tensor.label


def grid(*shape: int, seed: int = 0, lo: int = -128, hi: int = 127, frac_bits: int = 4) -> FloatArray:
    """Random reals that 8 bits hold exactly, both ends of the range among them."""
    rng = np.random.default_rng(seed)
    integers = rng.integers(lo, hi, shape, endpoint=True)
    integers.flat[0], integers.flat[-1] = lo, hi
    return integers / 2.0**frac_bits
