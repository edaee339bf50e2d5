"""A circuit: a program with its weights, which runs, reports on its accuracy, and is stored in a file."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import onnx
import onnx_ir
from rich.table import Table
from rich.text import Text

from zkinfer.circuit.bounds import check_bounds
from zkinfer.circuit.encoding import decode_program, encode_program, program_digest
from zkinfer.circuit.program import Lookup, Node, Program, Tensor
from zkinfer.circuit.qformat import as_arrays, as_batch, dequantize, frac_bits_of, is_table, quantize
from zkinfer.circuit.samples import chunks, elements_per_run, from_runs, into_runs
from zkinfer.compiler.calibration.data import arrays_by_name, matrix
from zkinfer.compiler.calibration.detached import detached
from zkinfer.compiler.calibration.fidelity import Fidelity
from zkinfer.compiler.calibration.float_model import FloatModel
from zkinfer.compiler.calibration.layer_report import StressReport
from zkinfer.compiler.calibration.report import Report, compare
from zkinfer.compiler.calibration.stress import TYPICAL_LIMIT, Bench, worst_of
from zkinfer.compiler.calibration.tune import Tuning
from zkinfer.compiler.lowering.result import Layer, Lowered, Saturation
from zkinfer.compiler.onnx.published import PublicConstant, public_constants
from zkinfer.counts import counted
from zkinfer.errors import ArtifactError, BoundsError, InvalidInputError, ShapeError, WrongKindError
from zkinfer.execution.executor import Executor
from zkinfer.files.artifact import HEADER_BYTES, Buffer
from zkinfer.files.file import File
from zkinfer.files.integers import least_width
from zkinfer.files.kinds import CIRCUIT, COMMITMENT, FileKind
from zkinfer.notebook import card
from zkinfer.progress import activity, progress
from zkinfer.terminal import NARROW, LongName
from zkinfer.typing import Array, FloatArray, IntArray


class _StoredLayer(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    name: str
    value: int
    scale: float
    offset: float
    saturation: tuple[int, int] | None


class _StoredSaturation(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    value: int
    source: int
    runs: tuple[tuple[int, int], ...]


class _CircuitPayload(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    program: memoryview
    weights: tuple[memoryview, ...]
    layers: tuple[_StoredLayer, ...]
    model: memoryview
    saturations: tuple[_StoredSaturation, ...] = ()
    columns: tuple[str, ...] = ()


def _storage_type(tensor: Tensor) -> str:
    """The narrowest integer type that holds a weight's published bounds."""
    return f"<i{least_width(tensor.lo, tensor.hi)}"


@dataclass(frozen=True, eq=False, repr=False)
class Circuit(File):
    """A model in exact integers: what is proven.

    Attributes:
        program: the public part.
        weights: contents of the program's weights, in order; signed integers, each tensor in a narrow type that holds
            it. Convert them before arithmetic. Secret.
        layers: which tensors of the float model the program's values stand for.
        model: the normalized float model that it was compiled from; bytes of an ONNX file; after loading, a part of
            those of the circuit's file. Secret.
        saturations: for which integers the program's lookups saturate.
        columns: names of the columns of the calibration data, if that was a table and the model has one input.
        samples: some of the calibration data, one array for each input; None after loading. Never saved.
        tuning: the result of tuning, if the circuit was compiled for a target; else None. Never saved.
        fidelity: what compiling measured; None after loading. Never saved.
        bound: what the model left open and compiling bound, in one line; empty if nothing, and after loading.
    """

    KIND = CIRCUIT
    REFUSAL = ArtifactError
    UNREADABLE = WrongKindError

    program: Program
    weights: tuple[Array, ...]
    layers: tuple[Layer, ...]
    model: Buffer
    saturations: tuple[Saturation, ...] = ()
    columns: tuple[str, ...] = ()
    samples: tuple[Array, ...] | None = None
    tuning: Tuning | None = None
    fidelity: Fidelity | None = None
    bound: str = ""

    @property
    def digest(self) -> str:
        """Identifies the public part: architecture, formats, bounds, tables, batch; 64 hexadecimal digits."""
        return program_digest(self.program).hex()

    @property
    def batch(self) -> int:
        """How many samples one run covers. A native proof covers any number of runs, a proof of ezkl one."""
        return self.program.inputs[0].shape[0]

    def run(self, x: Any, *, saturate: bool = False) -> FloatArray | tuple[FloatArray, ...]:
        """Run the integer program on real numbers; a proof states these outputs, as integers.

        Args:
            x: any number of samples along the first axis, numpy or torch; one sample without that axis where the
                batch is 1; a list of arrays, or a mapping from names to arrays, for several inputs; or a table, see
                `arrays`.
            saturate: whether values beyond an input's range become the nearest bound; otherwise they are an error.

        Returns:
            float64 outputs of shape (samples, ...); a tuple of them for a model with several.

        Raises:
            InvalidInputError, ShapeError, NotFiniteError, InputRangeError: `x` does not fit the circuit's inputs.
            BoundsError: the circuit was put together by hand, of weights that do not fit the program.
        """
        arrays = self.arrays(x)
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

    def arrays(self, x: Any) -> list[Array]:
        """Samples in any form that `run` takes, as one array an input, in order; `prove` takes such a list.

        Args:
            x: as for `run`; or a table such as a DataFrame, of which the columns are chosen by name: those that
                calibration had, in that order, or, for several inputs of one number each, those of the inputs' names.

        Raises:
            InvalidInputError: elements that are not numbers, or inputs or columns that are missing.
            ShapeError: not one array an input.
        """
        labels = [tensor.label for tensor in self.program.inputs]
        if not is_table(x):
            return as_arrays(x, labels)
        if self.columns:
            return [matrix(x, self.columns)]
        found = arrays_by_name(x, {tensor.label: tensor.shape for tensor in self.program.inputs})
        if found is None:
            raise InvalidInputError(
                f"the circuit knows no columns: it was calibrated with arrays, for the inputs {labels}. Calibrate with "
                "a table, or hand in table[names].to_numpy() with the names in the order of the calibration"
            )
        return [found[label] for label in labels]

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
        """What is pickled and copied: not the executor, which is made again where it is needed, and of the circuit's
        file the parts that are used."""
        kept = {name: value for name, value in vars(self).items() if name != "executor"}
        return kept | {"model": bytes(self.model)}

    def report(self, x: Any = None, labels: Any = None, *, targets: Any = None, stress: bool = True) -> Report:
        """Compare the circuit with its float model.

        Args:
            x: samples, as for `run`. None means the calibration data, which a circuit from a file does not have.
                Values beyond an input's range saturate, and are counted.
            labels: the right classes, one integer for each answer of the first output; needs `x`.
            targets: for a regression, the right values of the first output, real numbers of its shape; needs `x`.
            stress: whether to compare also on inputs unlike the samples: quieter, louder, with one feature at an end of
                its range, with noise; see `calibration.stress`. The report says where the circuit leaves the model.

        Raises:
            InvalidInputError, ShapeError, NotFiniteError: the samples, labels or targets do not fit the model, or there
                are not samples.
            ArtifactError: the float model in the circuit's file is damaged.
        """
        if x is None and not (labels is None and targets is None):
            raise InvalidInputError("labels and targets belong to samples: hand in x too")
        if x is None and self.samples is None:
            raise InvalidInputError("a circuit from a file holds no calibration data: hand in samples, report(x)")
        arrays = self.samples if x is None else self.arrays(x)
        assert arrays is not None
        graph, lowered = self._graph(), self.lowered
        float_model = FloatModel(graph)
        report = compare(graph, lowered, arrays, labels, targets, float_model=float_model)
        if not stress:
            return report
        samples = float_model.prepare(arrays)
        plain = StressReport(
            condition="inputs x 1",
            samples=report.samples,
            clipped=sum(row.saturated for row in report.layers[: len(self.program.inputs)]),
            outputs=report.outputs,
            worst=worst_of((*report.layers[len(self.program.inputs) :], *report.outputs)),
            saturated=report.saturated,
            limit=TYPICAL_LIMIT,
        )
        others = Bench(graph, float_model, lowered, thorough=True).under_stress(samples)
        return msgspec.structs.replace(report, stress=(plain, *others))

    @property
    def lowered(self) -> Lowered:
        """The program with its weights, its layers, and where it saturates."""
        return Lowered(self.program, self.weights, self.layers, self.saturations)

    def float_model(self) -> FloatModel:
        """The float model that the circuit was compiled from, in onnxruntime.

        Raises:
            ArtifactError: the float model in the circuit's file is damaged.
            CompileError: onnxruntime does not accept it.
        """
        return FloatModel(self._graph())

    def public_constants(self) -> list[PublicConstant]:
        """The numbers of the model that are architecture and so public, by name, with the nodes that read them.

        Stored parameters are not among them, unless the owner published them; see `zkinfer.compile`.

        Raises:
            ArtifactError: the float model in the circuit's file is damaged.
        """
        return list(public_constants(self._graph()))

    def _graph(self) -> onnx_ir.Model:
        try:
            return detached(onnx.load_model_from_string(bytes(self.model))).to_ir()
        except Exception as error:  # protobuf's and onnx_ir's own classes
            raise ArtifactError(f"the float model in this circuit is damaged: {error}") from error

    def _pieces(self) -> list[Buffer]:
        """What MessagePack makes of a `_CircuitPayload`; weights and model are not copied."""
        layers = tuple(_StoredLayer(v.name, v.value, v.scale, v.offset, v.saturation) for v in self.layers)
        saturations = tuple(_StoredSaturation(s.value, s.source, s.runs) for s in self.saturations)
        program = encode_program(self.program)
        pieces: list[Buffer] = [_array_head(len(_CircuitPayload.__struct_fields__)), _bytes_head(len(program)), program]
        pieces.append(_array_head(len(self.weights)))
        place = HEADER_BYTES + sum(map(len, pieces))
        for weight, tensor in zip(self.weights, self.program.weights, strict=True):
            stored = np.asarray(weight, dtype=_storage_type(tensor), order="C")
            # Fewer zeros than a number has bytes do not change the length of the head.
            zeros = bytes(-(place + len(_bytes_head(stored.nbytes))) % stored.itemsize)
            head = _bytes_head(len(zeros) + stored.nbytes) + zeros
            pieces += [head, stored.reshape(-1).view(np.uint8).data]
            place += len(head) + stored.nbytes
        return [
            *pieces,
            msgspec.msgpack.encode(layers),
            *(_bytes_head(len(self.model)), self.model),
            msgspec.msgpack.encode(saturations),
            msgspec.msgpack.encode(self.columns),
        ]

    @classmethod
    def _decoded_view(cls, payload: memoryview) -> "Circuit":
        found = _decoder.decode(payload)
        program = decode_program(bytes(found.program))
        if len(found.weights) != len(program.weights):
            raise ArtifactError(
                f"the program has {counted(len(program.weights), 'weight')}, the file {len(found.weights):,}"
            )
        weights = tuple(_read_weight(d, t) for d, t in zip(found.weights, program.weights, strict=True))
        if any(not 0 <= layer.value < program.num_values for layer in found.layers):
            raise ArtifactError("a layer names a value that the program does not have")
        for s in found.saturations:
            if not 0 <= s.source < s.value < program.num_values or s.value < program.num_values - len(program.nodes):
                raise ArtifactError("a saturation names a value that the program does not have")
            edges = [edge for run in s.runs for edge in run]
            if edges != sorted(edges):
                raise ArtifactError("the runs of a saturation are not in order")
        try:
            check_bounds(program, weights)
        except BoundsError as error:
            raise ArtifactError(f"the weights do not fit the program: {error}") from None
        layers = tuple(Layer(v.name, v.value, v.scale, v.offset, v.saturation) for v in found.layers)
        saturations = tuple(Saturation(s.value, s.source, s.runs) for s in found.saturations)
        return cls(program, weights, layers, found.model, saturations, found.columns)

    def _is_canonical(self, payload: Buffer) -> bool:
        """Every encoding is taken: nothing names the bytes of a circuit's file, and encoding all weights again to
        compare them would double the memory that loading takes."""
        return True

    @classmethod
    def _advice_of(cls, found: FileKind | None) -> str:
        if found is None:
            return "; a model is compiled first: zkinfer compile MODEL --calibration INPUTS.npy -o model.zkcircuit"
        if found == COMMITMENT:
            return ": a commitment holds no weights; name the circuit file that `zkinfer compile` wrote"
        return ""

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, max_bytes: int | None = None) -> "Circuit":
        """Read a circuit file, and prove its bounds again; `max_bytes` as in `File.of`.

        Raises:
            ArtifactError: truncated, edited, of another version, or not a circuit; also when there is no such file.
        """
        with activity("reading the circuit and proving its bounds"):
            return super().load(path, max_bytes=max_bytes)

    def summary(self) -> Table:
        """Every value of the program, for a terminal: `rich.print(circuit.summary())`."""
        table = Table(title=repr(self), **NARROW)
        table.add_column("#", justify="right", no_wrap=True)
        table.add_column("kind", no_wrap=True)
        table.add_column("tensor")
        for column in ("shape", "fraction\nbits"):
            table.add_column(column, justify="right", no_wrap=True)
        for column in ("bounds", "table"):
            table.add_column(column, justify="right", overflow="fold")
        leaves = [("input", t) for t in self.program.inputs] + [("weight", t) for t in self.program.weights]
        rows = [(kind, tensor, "") for kind, tensor in leaves]
        rows += [(type(node).__name__, node.out, _described_table(self.program, node)) for node in self.program.nodes]
        for number, (kind, tensor, lookup) in enumerate(rows):
            mark = " (output)" if number in self.program.outputs else ""
            shape = " x ".join(str(n) for n in tensor.shape)
            bits = frac_bits_of(tensor)
            digits = str(tensor.frac_bits) if bits.ndim == 0 else f"{bits.min()} to {bits.max()}"
            cells = (shape, digits, f"{tensor.lo} to {tensor.hi}", lookup)
            table.add_row(str(number), kind, LongName(tensor.label + mark), *(Text(cell) for cell in cells))
        return table

    def _repr_html_(self) -> str:
        """For notebooks."""
        program = self.program
        rows = [
            ("digest", self.digest),
            ("inputs", "; ".join(f"{t.label} {t.shape}" for t in program.inputs)),
            ("outputs", "; ".join(f"{t.label} {t.shape}" for t in program.output_tensors)),
            ("weights", f"{sum(w.size for w in self.weights):,} numbers in {len(self.weights)} tensors"),
            ("nodes", f"{len(program.nodes):,}"),
            ("looked up", f"{sum(n.out.size for n in program.nodes if isinstance(n, Lookup)):,} elements in a run"),
            ("fidelity", "" if self.fidelity is None else str(self.fidelity)),
        ]
        return card("Circuit", rows, ["Secret: it holds the weights. zk.setup makes keys and a public commitment."])

    def __repr__(self) -> str:
        nodes = self.program.nodes
        return (
            f"Circuit({self.digest[:16]}, inputs {[t.shape for t in self.program.inputs]}, "
            f"outputs {[t.shape for t in self.program.output_tensors]}, "
            f"{counted(sum(w.size for w in self.weights), 'weight')}, {counted(len(nodes), 'node')}, "
            f"{counted(sum(n.out.size for n in nodes if isinstance(n, Lookup)), 'element')} looked up)"
        )


_decoder = msgspec.msgpack.Decoder(_CircuitPayload)


def _bytes_head(length: int) -> bytes:
    """What MessagePack puts before so many bytes."""
    for code, width in ((0xC4, 1), (0xC5, 2), (0xC6, 4)):
        if length < 1 << (8 * width):
            return bytes([code]) + length.to_bytes(width, "big")
    raise InvalidInputError(
        f"a tensor or model of {counted(length, 'byte')} is larger than any that a circuit's file holds"
    )


def _array_head(length: int) -> bytes:
    """What MessagePack puts before so many elements."""
    if length < 16:
        return bytes([0x90 | length])
    return bytes([0xDC]) + length.to_bytes(2, "big") if length < 1 << 16 else bytes([0xDD]) + length.to_bytes(4, "big")


def _read_weight(data: memoryview, tensor: Tensor) -> Array:
    """A weight as a part of the file's bytes, which stay because the float model is among them.

    Zeros before the numbers align them within the file; without, as version 0.1.0 wrote it, a weight is copied.
    """
    dtype = np.dtype(_storage_type(tensor))
    zeros = len(data) - tensor.size * dtype.itemsize
    if not 0 <= zeros < dtype.itemsize or any(data[:zeros]):
        raise ArtifactError(f"weight {tensor.label!r}: {counted(len(data), 'byte')} for {tensor.size:,} {dtype.name}")
    array = np.require(np.frombuffer(data[zeros:], dtype=dtype), requirements="A").reshape(tensor.shape)
    array.setflags(write=False)
    return array


def _described_table(program: Program, node: Node) -> str:
    if not isinstance(node, Lookup):
        return ""
    table = program.tables[node.table]
    return f"{table.name}, {counted(len(table.values), 'entry', 'entries')}, shift {node.shift}"
