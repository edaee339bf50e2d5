"""A circuit: a program with its weights, which runs, reports on its accuracy, and is stored in a file."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import onnx
import onnx_ir
from rich.table import Table
from rich.text import Text

from zkinfer.circuit.bounds import check_bounds
from zkinfer.circuit.encoding import decode_program, encode_program, program_digest
from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.program import Lookup, Node, Program, Tensor
from zkinfer.circuit.qformat import as_arrays, as_batch, dequantize, quantize
from zkinfer.circuit.samples import chunks, elements_per_run, from_runs, into_runs
from zkinfer.compiler.calibration.reference import FloatModel
from zkinfer.compiler.calibration.report import Report, compare
from zkinfer.compiler.calibration.tune import Tuning
from zkinfer.compiler.lowering.result import Layer, Lowered
from zkinfer.errors import ArtifactError, BoundsError, InvalidInputError, ShapeError
from zkinfer.files.artifact import HEADER_BYTES, read_bounded, unwrap, wrap, write_atomically
from zkinfer.progress import activity, progress
from zkinfer.typing import Array, FloatArray, IntArray

CIRCUIT_KIND = "circ"
CIRCUIT_VERSION = 1
MAX_CIRCUIT_BYTES = 1 << 33


class _StoredLayer(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    name: str
    value: int
    scale: float
    offset: float
    saturation: tuple[int, int] | None


class _Payload(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    program: bytes
    weights: tuple[bytes, ...]
    layers: tuple[_StoredLayer, ...]
    model: bytes


def _storage_type(lo: int, hi: int) -> str:
    """The smallest little-endian integer type that holds a weight's published bounds."""
    for width in (1, 2, 4):
        if -(1 << (8 * width - 1)) <= lo and hi < 1 << (8 * width - 1):
            return f"<i{width}"
    return "<i8"


@dataclass(frozen=True, eq=False, repr=False)
class Circuit:
    """A model in exact integers: what is proven.

    Attributes:
        program: the public part.
        weights: contents of the program's weights, in order; int64. Secret.
        layers: which tensors of the float model the program's values stand for.
        model: the normalized float model that it was compiled from; bytes of an ONNX file. Secret.
        samples: some of the calibration data, one array for each input; None after loading. Never saved.
        tuning: the result of tuning, if the circuit was compiled for a target; else None. Never saved.
    """

    program: Program
    weights: tuple[IntArray, ...]
    layers: tuple[Layer, ...]
    model: bytes
    samples: tuple[Array, ...] | None = None
    tuning: Tuning | None = None

    @property
    def digest(self) -> str:
        """Identifies the public part: architecture, formats, bounds, tables, batch; 64 hexadecimal digits."""
        return program_digest(self.program).hex()

    @property
    def batch(self) -> int:
        """How many samples one run, and so one proof, covers."""
        return self.program.inputs[0].shape[0]

    def run(self, x: Any, *, saturate: bool = False) -> FloatArray | tuple[FloatArray, ...]:
        """Run the integer program on real numbers; a proof states these outputs, as integers.

        Args:
            x: any number of samples along the first axis, numpy or torch; one sample without that axis where the
                batch is 1; a list of arrays, or a mapping from names to arrays, for several inputs.
            saturate: whether values beyond an input's range become the nearest bound; otherwise they are an error.

        Returns:
            float64 outputs of shape (samples, ...); a tuple of them for a model with several.

        Raises:
            InvalidInputError, ShapeError, NotFiniteError, InputRangeError: `x` does not fit the circuit's inputs.
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
        """Run the integer program on integers.

        If the batch does not divide the number of samples, the first samples fill the last run, and their second
        outputs are discarded.

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
                values = evaluate(self.program, self.weights, [array[part] for array in runs])
                for piece, value in zip(pieces, self.program.outputs, strict=True):
                    piece.append(values[value])
                advance(part.stop - part.start)
        return tuple(from_runs(np.concatenate(piece), self.batch, count) for piece in pieces)

    def report(self, x: Any = None, labels: Any = None, *, targets: Any = None) -> Report:
        """Compare the circuit with its float model.

        Args:
            x: samples, as for `run`. None means the calibration data, which a circuit from a file does not have.
                Values beyond an input's range saturate, and are counted.
            labels: the right classes, one integer for each answer of the first output; needs `x`.
            targets: for a regression, the right values of the first output, real numbers of its shape; needs `x`.

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
        """The float model that the circuit was compiled from, in onnxruntime.

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

    def to_bytes(self) -> bytes:
        """The content of a circuit file. It holds the weights: keep it private."""
        payload = _Payload(
            program=encode_program(self.program),
            weights=tuple(
                weight.astype(_storage_type(tensor.lo, tensor.hi)).tobytes()
                for weight, tensor in zip(self.weights, self.program.weights, strict=True)
            ),
            layers=tuple(_StoredLayer(v.name, v.value, v.scale, v.offset, v.saturation) for v in self.layers),
            model=self.model,
        )
        return wrap(CIRCUIT_KIND, CIRCUIT_VERSION, msgspec.msgpack.encode(payload))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Circuit":
        """A circuit from the content of a circuit file, its bounds proven again.

        Raises:
            ArtifactError: the data is truncated, edited, of another version, or not a circuit.
        """
        try:
            payload = _decoder.decode(unwrap(data, CIRCUIT_KIND, CIRCUIT_VERSION, max_bytes=MAX_CIRCUIT_BYTES))
        except msgspec.MsgspecError as error:
            raise ArtifactError(f"not a circuit: {error}") from None
        program = decode_program(payload.program)
        if len(payload.weights) != len(program.weights):
            raise ArtifactError(f"the program has {len(program.weights)} weights, the file {len(payload.weights)}")
        weights = tuple(_read_weight(d, t) for d, t in zip(payload.weights, program.weights, strict=True))
        if any(not 0 <= layer.value < program.num_values for layer in payload.layers):
            raise ArtifactError("a layer names a value that the program does not have")
        try:
            check_bounds(program, weights)
        except BoundsError as error:
            raise ArtifactError(f"the weights do not fit the program: {error}") from None
        layers = tuple(Layer(v.name, v.value, v.scale, v.offset, v.saturation) for v in payload.layers)
        return cls(program, weights, layers, payload.model)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the circuit file, atomically, readable by its owner alone: it holds the weights.

        Raises:
            ResourceError: the file cannot be written.
        """
        write_atomically(path, self.to_bytes(), private=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Circuit":
        """Read a circuit file.

        Raises:
            ArtifactError: see `from_bytes`; also when there is no such file.
        """
        with activity("reading the circuit and proving its bounds"):
            return cls.from_bytes(read_bounded(path, max_bytes=MAX_CIRCUIT_BYTES + HEADER_BYTES))

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


_decoder = msgspec.msgpack.Decoder(_Payload)


def _read_weight(data: bytes, tensor: Tensor) -> IntArray:
    dtype = np.dtype(_storage_type(tensor.lo, tensor.hi))
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
