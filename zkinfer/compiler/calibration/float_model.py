"""The float model as the ONNX standard defines it: what calibration measures and what fixed point is compared with.

onnxruntime runs it, except for products of 8-bit integers, which it saturates on some processors: these are written in
operators that are exact everywhere. `inference` says what that changes on this
processor.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir
import onnxruntime

from zkinfer.circuit.qformat import as_batch
from zkinfer.circuit.samples import chunks, from_runs, into_runs
from zkinfer.compiler.calibration.detached import Model, as_detached
from zkinfer.compiler.calibration.integer_products import with_exact_products
from zkinfer.compiler.calibration.transpositions import fuse_transpositions
from zkinfer.errors import CompileError, DynamicShapeError, InvalidInputError, NotFiniteError, ShapeError
from zkinfer.typing import Array


class Session:
    """A model that onnxruntime has loaded; its large tensors are not copied, but fed to it in every run.

    Args:
        session: takes them as inputs, after its other inputs.
        arrays: the large tensors, by name.
    """

    def __init__(self, session: onnxruntime.InferenceSession, arrays: dict[str, Array]) -> None:
        self._session, self._arrays = session, arrays

    def run(self, names: Sequence[str] | None, feeds: Mapping[str | None, Array] | Mapping[str, Array]) -> list[Array]:
        """The values of these names, or all outputs."""
        found: list[Array] = self._session.run(names, dict(feeds) | self._arrays)
        return found

    def get_inputs(self) -> list[Any]:
        """What onnxruntime says of each input of the model."""
        return [value for value in self._session.get_inputs() if value.name not in self._arrays]

    def get_outputs(self) -> list[Any]:
        """What onnxruntime says of each output of the model."""
        found: list[Any] = self._session.get_outputs()
        return found


def is_float(value: onnx_ir.Value) -> bool:
    """Whether the value holds float16, float32 or float64."""
    return value.dtype in (onnx_ir.DataType.FLOAT16, onnx_ir.DataType.FLOAT, onnx_ir.DataType.DOUBLE)


def numpy_type(value: onnx_ir.Value) -> np.dtype[Any]:
    """The element type of a value of a normalized model, where every type is known."""
    assert value.dtype is not None
    return value.dtype.numpy()


def static_shape(value: onnx_ir.Value) -> tuple[int, ...]:
    """The shape of a value of a normalized model, where every shape is static.

    Raises:
        DynamicShapeError: it is not, as while a model is being normalized.
    """
    assert value.shape is not None
    if not value.shape.is_static():
        raise DynamicShapeError(
            f"the shape of {value.name!r} depends on the data, and a circuit has fixed shapes. Export the model so "
            "that every shape but the batch is fixed; if a converter wrote it for an estimator, as skl2onnx does for "
            "nearest neighbours, take another kind of estimator"
        )
    return value.shape.numpy()


def varying_values(graph: onnx_ir.Graph) -> set[onnx_ir.Value]:
    """The values of a graph that may depend on its inputs: all but those that nodes compute of constants alone.

    A transposed table of embeddings is such a constant, and as large as the table.
    """
    found = set(graph.inputs)
    for node in graph:
        inner = any(a.type in (onnx_ir.AttributeType.GRAPH, onnx_ir.AttributeType.GRAPHS) for a in _attributes(node))
        given = [value for value in node.inputs if value is not None]
        if inner or not given or not found.isdisjoint(given):
            found.update(node.outputs)
    return found


def _attributes(node: onnx_ir.Node) -> list[onnx_ir.Attr]:
    return [attribute for attribute in node.attributes.values() if not attribute.is_ref()]


def check_samples(array: Array, value: onnx_ir.Value) -> Array:
    """One input's samples in the model's dtype, of shape (n, *sizes without the batch).

    Args:
        array: real numbers; one sample without its batch axis is accepted where the batch is 1.
        value: the model's input.

    Raises:
        InvalidInputError: floats where the model takes integers.
        ShapeError: the shape is not that of samples of this input, or there is no sample.
        NotFiniteError: NaN or infinity, also after the conversion to the model's dtype.
    """
    dtype = numpy_type(value)
    where = f"input {value.name!r}"
    if array.dtype.kind == "f" and not is_float(value):
        raise InvalidInputError(f"{where} takes {dtype.name} numbers, got an array of dtype {array.dtype}; convert it")
    array = as_batch(array, static_shape(value), where)
    with np.errstate(over="ignore"):
        converted = array.astype(dtype)
    if is_float(value) and not np.isfinite(converted).all():
        bad = np.argwhere(~np.isfinite(converted))
        raise NotFiniteError(
            f"{where} holds {len(bad):,} values that are NaN or infinite as {dtype.name}, the first at index "
            f"{tuple(int(i) for i in bad[0])}; remove or replace them"
        )
    return converted


def open_session(model: Model, *, optimized: bool) -> Session:
    """The model in onnxruntime, on one thread.

    Args:
        model: complete in itself.
        optimized: whether operators are fused, as onnxruntime does by default.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.use_deterministic_compute = True
    options.log_severity_level = 4
    proto, arrays = as_detached(model).with_inputs()
    fuse_transpositions(proto, arrays)
    # An arena takes powers of two, and keeps them.
    options.enable_cpu_mem_arena = options.enable_mem_pattern = not arrays
    data = proto.SerializeToString()
    return Session(onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"]), arrays)


class FloatModel:
    """A normalized model as the ONNX standard defines it, every intermediate tensor an output.

    It runs in onnxruntime, on one thread, without graph optimization and without any operator that saturates: the same
    machine gives the same floats every time, every processor gives the same integers, and every tensor of the model
    exists under its name.

    Attributes:
        inputs: the model's inputs.
        outputs: its outputs.
        values: every value that a node computes from an input, in order of execution.
        nodes: what computes them, in the same order.
        ops: the operator that computes a value, by the value's name.
        batch: size of the inputs' first axis.
        elements: number of elements of all inputs and values of one run together.

    Args:
        model: as `zkinfer.compiler.onnx.load.load_model` returns it.

    Raises:
        CompileError: onnxruntime does not accept the model.
    """

    def __init__(self, model: onnx_ir.Model) -> None:
        self.inputs: tuple[onnx_ir.Value, ...] = tuple(model.graph.inputs)
        self.outputs: tuple[onnx_ir.Value, ...] = tuple(model.graph.outputs)
        varying = varying_values(model.graph)
        self.nodes: tuple[onnx_ir.Node, ...] = tuple(node for node in model.graph if varying.issuperset(node.outputs))
        self.values: tuple[onnx_ir.Value, ...] = tuple(v for node in self.nodes for v in node.outputs if v.name)
        self.ops: Mapping[str, str] = {v.name or "": node.op_type for node in model.graph for v in node.outputs}
        self.batch = static_shape(self.inputs[0])[0]
        self.elements = sum(math.prod(static_shape(value)) for value in (*self.inputs, *self.values))
        stored = with_exact_products(model)
        proto = stored.proto
        del proto.graph.output[:]
        proto.graph.output.extend(onnx_ir.serde.serialize_value(value) for value in self.values)
        try:
            self._session = open_session(stored, optimized=False)
        except Exception as error:  # onnxruntime's exceptions share no root of their own
            raise CompileError(f"onnxruntime does not run this model: {error}") from error

    def prepare(self, arrays: Sequence[Array]) -> list[Array]:
        """The samples of every input, each as `check_samples` gives it, all of one length.

        Raises:
            InvalidInputError, ShapeError, NotFiniteError: see `check_samples`.
            ShapeError: different numbers of samples.
        """
        checked = [check_samples(array, value) for array, value in zip(arrays, self.inputs, strict=True)]
        if len({len(array) for array in checked}) != 1:
            raise ShapeError(f"the inputs have different numbers of samples: {[len(array) for array in checked]}")
        return checked

    def run(self, runs: Sequence[Array]) -> Mapping[str, Array]:
        """Every tensor of the model by name: inputs and computed values, each of shape (runs, *shape).

        Args:
            runs: for each input, in the model's dtype, an array of shape (runs, *shape).

        Raises:
            CompileError: onnxruntime fails on the model.
        """
        names = [value.name or "" for value in self.values]
        results: list[list[Array]] = []
        for feed in zip(*runs, strict=True):
            feeds = {value.name: array for value, array in zip(self.inputs, feed, strict=True)}
            try:
                results.append(self._session.run(names, feeds))
            except Exception as error:
                raise CompileError(f"onnxruntime fails on this model: {error}") from error
        tensors = {value.name or "": array for value, array in zip(self.inputs, runs, strict=True)}
        return tensors | {
            name: np.stack(arrays) for name, arrays in zip(names, zip(*results, strict=True), strict=True)
        }

    def answer(self, arrays: Sequence[Array]) -> list[Array]:
        """The model's outputs for some samples.

        Args:
            arrays: real numbers, one array an input, of shape (samples, ...).

        Returns:
            For each output an array of shape (samples, ...).

        Raises:
            InvalidInputError, ShapeError, NotFiniteError: see `prepare`.
            CompileError: see `run`.
        """
        samples = self.prepare(arrays)
        runs = [into_runs(array, self.batch) for array in samples]
        pieces: list[list[Array]] = [[] for _ in self.outputs]
        for part in chunks(len(runs[0]), self.elements):
            tensors = self.run([array[part] for array in runs])
            for piece, value in zip(pieces, self.outputs, strict=True):
                piece.append(tensors[value.name or ""])
        return [from_runs(np.concatenate(piece), self.batch, len(samples[0])) for piece in pieces]
