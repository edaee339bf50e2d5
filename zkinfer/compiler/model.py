"""What users meet first: a model becomes a circuit, and a circuit runs, reports and is kept in a file."""

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import onnx
import onnx_ir
from rich.table import Table
from rich.text import Text

from zkinfer.circuit.bounds import check_bounds
from zkinfer.circuit.encoding import decode_program, encode_program, program_digest
from zkinfer.circuit.program import Lookup, Node, Program, Tensor
from zkinfer.circuit.qformat import as_array, as_arrays, as_batch, dequantize, quantize
from zkinfer.circuit.samples import chunks, elements_per_run, from_runs, into_runs
from zkinfer.circuit.validate import validate
from zkinfer.compiler.calibration.calibrate import calibrate
from zkinfer.compiler.calibration.reference import FloatModel, static_shape
from zkinfer.compiler.calibration.report import Report, compare
from zkinfer.compiler.calibration.target import Judge, parse_target
from zkinfer.compiler.calibration.tune import Tuning, tune
from zkinfer.compiler.lowering.precision import Precision, preset
from zkinfer.compiler.lowering.result import Layer, Lowered
from zkinfer.errors import ArtifactError, BoundsError, InvalidInputError, ShapeError
from zkinfer.execution.executor import Executor
from zkinfer.files.file import File
from zkinfer.files.integers import least_width
from zkinfer.files.kinds import CIRCUIT
from zkinfer.progress import activity, progress
from zkinfer.typing import Array, FloatArray, IntArray

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from zkinfer.compiler.onnx.export import Exporter


REPORT_SAMPLES = 256
"""How many of the calibration samples a circuit remembers, until it is saved, for its report."""


class _StoredLayer(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    name: str
    value: int
    scale: float
    offset: float
    saturation: tuple[int, int] | None


class _CircuitPayload(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    program: bytes
    weights: tuple[bytes, ...]
    layers: tuple[_StoredLayer, ...]
    model: bytes


def _storage_type(tensor: Tensor) -> str:
    """The narrowest integer type that holds a weight's published bounds."""
    return f"<i{least_width(tensor.lo, tensor.hi)}"


@dataclass(frozen=True, eq=False, repr=False)
class Circuit(File):
    """A model in exact integers: what is proven.

    Attributes:
        program: the public part.
        weights: contents of the program's weights, in order; int64. Secret.
        layers: where the float model's tensors are found again in the program.
        model: the float model that it was compiled from, normalized; bytes of an ONNX file. Secret.
        samples: some of the calibration data, one array an input; None after loading. Never saved.
        tuning: what was traded for what, where the circuit was compiled for a target; else None. Never saved.
    """

    KIND = CIRCUIT
    REFUSAL = ArtifactError

    program: Program
    weights: tuple[IntArray, ...]
    layers: tuple[Layer, ...]
    model: bytes
    samples: tuple[Array, ...] | None = None
    tuning: Tuning | None = None

    @property
    def digest(self) -> str:
        """Names the public part: architecture, formats, bounds, tables, batch; 64 hexadecimal digits."""
        return program_digest(self.program).hex()

    @property
    def batch(self) -> int:
        """How many samples one run, and so one proof, covers."""
        return self.program.inputs[0].shape[0]

    def run(self, x: Any, *, saturate: bool = False) -> FloatArray | tuple[FloatArray, ...]:
        """The integer program on real numbers: what a proof will state, de-quantized.

        Args:
            x: any number of samples along the first axis, numpy or torch; one sample without that axis where the
                batch is 1; a list of arrays, or a mapping from names to arrays, for several inputs.
            saturate: values beyond an input's range become the nearest bound, instead of an error.

        Returns:
            float64 outputs of shape (samples, ...); a tuple of them for a model with several.

        Raises:
            InvalidInputError, ShapeError, NotFiniteError, InputRangeError: `x` is not what the circuit takes.
            BoundsError: the circuit was put together by hand, of weights that do not fit the program.
        """
        arrays = as_arrays(x, [tensor.label for tensor in self.program.inputs])
        batches = [
            as_batch(array, tensor.shape, f"input {tensor.label!r}")
            for array, tensor in zip(arrays, self.program.inputs, strict=True)
        ]
        integers = [
            quantize(array, tensor, saturate=saturate)
            for array, tensor in zip(batches, self.program.inputs, strict=True)
        ]
        outputs = tuple(
            dequantize(output, tensor)
            for output, tensor in zip(self.run_integers(integers), self.program.output_tensors, strict=True)
        )
        return outputs[0] if len(outputs) == 1 else outputs

    def run_integers(self, inputs: Sequence[IntArray]) -> tuple[IntArray, ...]:
        """The integer program on integers.

        Where the batch does not divide the number of samples, the last run is filled with samples from the front,
        and what they give is cut off.

        Args:
            inputs: for each input, integers of shape (samples, ...), in order.

        Returns:
            For each output, int64 of shape (samples, ...).

        Raises:
            ShapeError: a wrong number of inputs, wrong shapes, or different numbers of samples.
            InputRangeError: an integer outside its input's bounds.
        """
        tensors = self.program.inputs
        if len(inputs) != len(tensors):
            raise ShapeError(f"the circuit takes {len(tensors)} inputs, got {len(inputs)}")
        samples = [as_batch(a, t.shape, f"input {t.label!r}") for a, t in zip(inputs, tensors, strict=True)]
        count = len(samples[0])
        if any(len(array) != count for array in samples):
            raise ShapeError(f"the inputs have different numbers of samples: {[len(array) for array in samples]}")
        runs = [into_runs(array, self.batch) for array in samples]
        pieces: list[list[IntArray]] = [[] for _ in self.program.outputs]
        with progress("running the circuit", len(runs[0])) as advance:
            for part in chunks(len(runs[0]), elements_per_run(self.program)):
                outputs = self.executor.integers([array[part] for array in runs], self.program.outputs)
                for piece, output in zip(pieces, outputs, strict=True):
                    piece.append(output)
                advance(part.stop - part.start)
        return tuple(from_runs(np.concatenate(piece), self.batch, count) for piece in pieces)

    @cached_property
    def executor(self) -> Executor:
        """Runs the program with these weights; made in the first run, with a copy of the weights in narrow integers.

        Raises:
            BoundsError: with these weights a value can leave its published bounds, or a table.
        """
        return Executor(self.program, self.weights, keep=self.program.outputs)

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled and copied: not the executor, which is made again where it is needed."""
        return {name: value for name, value in vars(self).items() if name != "executor"}

    def report(self, x: Any = None, labels: Any = None, *, targets: Any = None) -> Report:
        """How far the circuit is from its float model.

        Args:
            x: samples, as for `run`; None takes calibration data, which the circuit has until it is loaded from a
                file. Values beyond an input's range saturate, and are counted.
            labels: the right classes, one whole number for each answer of the first output; needs `x`.
            targets: of a regression, what the first output should be, real numbers of its shape; needs `x`.

        Raises:
            InvalidInputError, ShapeError, NotFiniteError: the samples, labels or targets do not fit the model, or there
                are no samples.
            ArtifactError: the float model in the circuit's file is damaged.
        """
        if x is None and not (labels is None and targets is None):
            raise InvalidInputError("labels and targets belong to samples: hand in x too")
        if x is None and self.samples is None:
            raise InvalidInputError("a circuit from a file holds no calibration data: hand in samples, report(x)")
        arrays = self.samples if x is None else as_arrays(x, [tensor.label for tensor in self.program.inputs])
        assert arrays is not None
        return compare(self._graph(), Lowered(self.program, self.weights, self.layers), arrays, labels, targets)

    def float_model(self) -> FloatModel:
        """The float model that it was compiled from, in onnxruntime.

        Raises:
            ArtifactError: the float model in the circuit's file is damaged.
            CompileError: onnxruntime does not accept it.
        """
        return FloatModel(self._graph())

    def _graph(self) -> onnx_ir.Model:
        try:
            return onnx_ir.serde.deserialize_model(onnx.load_model_from_string(self.model))
        except Exception as error:  # protobuf's and onnx_ir's own classes
            raise ArtifactError(f"the float model in this circuit is damaged: {error}") from error

    def _encoded(self) -> bytes:
        payload = _CircuitPayload(
            program=encode_program(self.program),
            weights=tuple(
                weight.astype(_storage_type(tensor)).tobytes()
                for weight, tensor in zip(self.weights, self.program.weights, strict=True)
            ),
            layers=tuple(_StoredLayer(v.name, v.value, v.scale, v.offset, v.saturation) for v in self.layers),
            model=self.model,
        )
        return msgspec.msgpack.encode(payload)

    @classmethod
    def _decoded(cls, payload: bytes) -> "Circuit":
        found = _decoder.decode(payload)
        program = decode_program(found.program)
        if len(found.weights) != len(program.weights):
            raise ArtifactError(f"the program has {len(program.weights)} weights, the file {len(found.weights)}")
        weights = tuple(_read_weight(d, t) for d, t in zip(found.weights, program.weights, strict=True))
        if any(not 0 <= layer.value < program.num_values for layer in found.layers):
            raise ArtifactError("a layer names a value that the program does not have")
        try:
            check_bounds(program, weights)
        except BoundsError as error:
            raise ArtifactError(f"the weights do not fit the program: {error}") from None
        layers = tuple(Layer(v.name, v.value, v.scale, v.offset, v.saturation) for v in found.layers)
        return cls(program, weights, layers, found.model)

    def _is_canonical(self, payload: bytes) -> bool:
        """Every encoding is taken: nothing names the bytes of a circuit's file, and encoding all weights again to
        compare them would double the memory that loading takes."""
        return True

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Circuit":
        """Read a circuit file, and prove its bounds again.

        Raises:
            ArtifactError: truncated, edited, of another version, or not a circuit; also when there is no such file.
        """
        with activity("reading the circuit and proving its bounds"):
            return super().load(path)

    def summary(self) -> Table:
        """Every value of the program, for a terminal: `rich.print(circuit.summary())`."""
        table = Table(title=repr(self))
        table.add_column("#", justify="right")
        table.add_column("kind")
        table.add_column("tensor", overflow="fold")
        for column in ("shape", "fraction bits", "bounds", "table"):
            table.add_column(column, justify="right")
        leaves = [("input", t) for t in self.program.inputs] + [("weight", t) for t in self.program.weights]
        rows = [(kind, tensor, "") for kind, tensor in leaves]
        rows += [(type(node).__name__, node.out, _described_table(self.program, node)) for node in self.program.nodes]
        for number, (kind, tensor, lookup) in enumerate(rows):
            mark = " (output)" if number in self.program.outputs else ""
            shape = " x ".join(str(n) for n in tensor.shape)
            cells = (kind, tensor.label + mark, shape, str(tensor.frac_bits), f"{tensor.lo} to {tensor.hi}", lookup)
            table.add_row(str(number), *(Text(cell) for cell in cells))
        return table

    def __repr__(self) -> str:
        nodes = self.program.nodes
        return (
            f"Circuit({self.digest[:16]}, inputs {[t.shape for t in self.program.inputs]}, "
            f"outputs {[t.shape for t in self.program.output_tensors]}, {sum(w.size for w in self.weights)} weights, "
            f"{len(nodes)} nodes, {sum(n.out.size for n in nodes if isinstance(n, Lookup))} elements looked up)"
        )


_decoder = msgspec.msgpack.Decoder(_CircuitPayload)


def _read_weight(data: bytes, tensor: Tensor) -> IntArray:
    dtype = np.dtype(_storage_type(tensor))
    if len(data) != tensor.size * dtype.itemsize:
        raise ArtifactError(f"weight {tensor.label!r}: {len(data)} bytes for {tensor.size} {dtype.name}")
    array = np.frombuffer(data, dtype=dtype).reshape(tensor.shape).astype(np.int64)
    array.setflags(write=False)
    return array


def _described_table(program: Program, node: Node) -> str:
    if not isinstance(node, Lookup):
        return ""
    table = program.tables[node.table]
    return f"{table.name}, {len(table.values)} entries, shift {node.shift}"


def compile(  # noqa: A001 (zkinfer.compile, as in torch.compile)
    model: "str | Path | bytes | onnx.ModelProto | torch.nn.Module",
    calibration: Any,
    *,
    batch: int = 1,
    precision: Precision | str = "native",
    activation_bits: int | None = None,
    weight_bits: int | None = None,
    max_table_entries: int | None = None,
    ranges: str | None = None,
    target: str | None = None,
    exporter: "Exporter" = "dynamo",
) -> Circuit:
    """Turn a model into a circuit.

    Args:
        model: a path to an ONNX file, the bytes of one, a ModelProto, or a torch module.
        calibration: typical inputs, samples along the first axis: a numpy array or torch tensor; a list of one array
            an input, or a mapping from input names to arrays. It sets the range of every input and activation: what
            goes beyond is refused (inputs) or saturates (activations).
        batch: how many samples one proof will cover.
        precision: what to spend on accuracy: by default "native", 16 bits for activations and weights and tables of up
            to 65,536 entries. Circuits that ezkl is to prove want "ezkl": 8 bits and small tables.
        activation_bits, weight_bits, max_table_entries, ranges: in place of what `precision` says of them.
        target: what the circuit's outputs have to keep of the float model's, such as "cosine>=0.999", "top1>=0.99",
            "max_error<=0.01", or several with commas between; see `calibration.target.parse_target`. Bits and tables
            are then lowered, tensor by tensor, to where proving costs least and the target still holds: on every other
            sample of the calibration data, while the rest calibrates. Precision is then the most that may be spent.
            `circuit.tuning` says what was traded.
        exporter: how to export a torch module, see `zkinfer.export`.

    Raises:
        InvalidInputError: an argument is not what is asked for; among its children ShapeError and NotFiniteError.
        CompileError: the model cannot become a circuit; its children UnsupportedOperatorError, DynamicShapeError,
            BoundsError and ToleranceError say why, the last one that a target is out of reach.
        MissingDependencyError: a torch module without torch.
    """
    # Imported here: onnxscript takes a second, and who loads a circuit needs none of it.
    from zkinfer.compiler.onnx.export import export, is_module
    from zkinfer.compiler.onnx.importer import import_model
    from zkinfer.compiler.onnx.load import load_model

    requirements = None if target is None else parse_target(target)
    chosen = _precision(
        precision,
        activation_bits=activation_bits,
        weight_bits=weight_bits,
        max_table_entries=max_table_entries,
        ranges=ranges,
    )
    if is_module(model):
        with activity("exporting the module"):
            model = export(model, _example_inputs(model, calibration), exporter=exporter)
    with activity("reading the model"):
        normalized = load_model(model, batch=batch)
    _require_tensors(normalized, chosen)
    statistics = calibrate(normalized, calibration)
    inputs = {value.name or "": static_shape(value) for value in normalized.graph.inputs}
    given = as_arrays(calibration, list(inputs))
    arrays = [as_batch(a, shape, f"input {name!r}") for a, (name, shape) in zip(given, inputs.items(), strict=True)]

    def lower(precision: Precision) -> Lowered:
        return import_model(normalized, statistics, precision)

    tuning = None
    if requirements is None:
        with activity("building the circuit"):
            lowered = lower(chosen)
    else:
        if len(arrays[0]) < 2:
            raise InvalidInputError("a target is measured on samples held out of calibration: hand in two or more")
        fitting = calibrate(normalized, [array[::2] for array in arrays])
        with activity("tuning the circuit"):
            judge = Judge(normalized, [array[1::2][:REPORT_SAMPLES] for array in arrays], requirements)
            lowered, tuning = tune(lambda p: import_model(normalized, fitting, p), lower, judge, chosen)
    with activity("proving the circuit's bounds"):
        validate(lowered.program)
        check_bounds(lowered.program, lowered.weights)
    samples = tuple(array[:REPORT_SAMPLES].copy() for array in arrays)
    source = onnx_ir.serde.serialize_model(normalized).SerializeToString(deterministic=True)
    return Circuit(lowered.program, lowered.weights, lowered.layers, source, samples, tuning)


def _precision(precision: Precision | str, **fields: int | str | None) -> Precision:
    chosen = preset(precision) if isinstance(precision, str) else precision
    given = {name: value for name, value in fields.items() if value is not None}
    return Precision(**{**msgspec.structs.asdict(chosen), **given})


def _require_tensors(model: onnx_ir.Model, precision: Precision) -> None:
    """Every tensor that is given a width of its own is one of the model."""
    values = (*model.graph.inputs, *model.graph.initializers.values(), *(v for n in model.graph for v in n.outputs))
    names = {value.name or "" for value in values}
    unknown = sorted(set(precision.tensors) - names)
    if unknown:
        near = difflib.get_close_matches(unknown[0], names, n=1)
        instead = f"; the nearest is {near[0]!r}" if near else ""
        raise InvalidInputError(f"precision.tensors names {unknown[0]!r}, which the model does not have{instead}")


def _example_inputs(module: Any, calibration: Any) -> Any:
    """The first samples of calibration data, in the module's own floating-point dtype, for the exporter."""
    dtypes = [str(p.dtype).removeprefix("torch.") for p in module.parameters() if p.is_floating_point()]
    dtype = np.dtype(dtypes[0] if dtypes else "float32")

    def example(x: Any) -> Array:
        array = as_array(x)
        if array.ndim == 0:
            raise ShapeError("calibration data has samples along its first axis, got a scalar")
        return array[:2].astype(dtype) if array.dtype.kind == "f" else array[:2]

    if isinstance(calibration, Mapping):
        return {name: example(x) for name, x in calibration.items()}
    if isinstance(calibration, (list, tuple)):
        return [example(x) for x in calibration]
    return example(calibration)
