"""The float model, run in onnxruntime: what calibration measures and what fixed point is compared with."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir
import onnxruntime

from zkinfer.circuit.qformat import as_batch
from zkinfer.errors import CompileError, InvalidInputError, NotFiniteError, ShapeError

Array = npt.NDArray[Any]

CHUNK_ELEMENTS = 1 << 24
"""About how many tensor elements are held at once, over all tensors and runs."""


def is_float(value: onnx_ir.Value) -> bool:
    """Whether the value holds float16, float32 or float64."""
    return value.dtype in (onnx_ir.DataType.FLOAT16, onnx_ir.DataType.FLOAT, onnx_ir.DataType.DOUBLE)


def static_shape(value: onnx_ir.Value) -> tuple[int, ...]:
    """The shape of a value of a normalized model, whose shapes are all static."""
    assert value.shape is not None
    return tuple(int(n) for n in value.shape.numpy())


def check_samples(array: Array, value: onnx_ir.Value) -> Array:
    """One input's samples, in the model's dtype: shape (n, *shape without the batch).

    Raises:
        InvalidInputError: a dtype that does not convert without loss of kind (strings, complex, floats for integers).
        ShapeError: not the shape of samples of this input, or no sample.
        NotFiniteError: NaN or infinity, also after the conversion to the model's dtype.
    """
    assert value.dtype is not None
    dtype = value.dtype.numpy()
    where = f"input {value.name!r}"
    if array.dtype.kind not in ("fiub" if is_float(value) else "iub"):
        raise InvalidInputError(f"{where} takes {dtype.name} numbers, got an array of dtype {array.dtype}; convert it")
    shape = static_shape(value)
    array = as_batch(array, shape, where)
    with np.errstate(over="ignore"):
        converted = array.astype(dtype)
    if is_float(value) and not np.isfinite(converted).all():
        bad = np.argwhere(~np.isfinite(converted))
        raise NotFiniteError(
            f"{where} holds {len(bad)} values that are NaN or infinite as {dtype.name}, the first at index "
            f"{tuple(int(i) for i in bad[0])}; remove or replace them"
        )
    return converted


class FloatModel:
    """A normalized model in onnxruntime, every intermediate tensor an output.

    One thread, no graph optimization: the same machine gives the same floats every time, and every tensor of the
    model exists under its name.

    Args:
        model: as `zkinfer.onnx.load.load_model` returns it.

    Raises:
        CompileError: onnxruntime does not accept the model.
    """

    def __init__(self, model: onnx_ir.Model) -> None:
        self.inputs: tuple[onnx_ir.Value, ...] = tuple(model.graph.inputs)
        self.values: tuple[onnx_ir.Value, ...] = tuple(v for node in model.graph for v in node.outputs if v.name)
        """Every value that a node computes, in order of execution."""
        self.batch = static_shape(self.inputs[0])[0]
        proto = onnx_ir.serde.serialize_model(model)
        del proto.graph.output[:]
        proto.graph.output.extend(onnx_ir.serde.serialize_value(value) for value in self.values)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.use_deterministic_compute = True
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's exceptions have no common root of their own
            raise CompileError(f"onnxruntime does not run this model: {error}") from error

    def prepare(self, arrays: Sequence[Array]) -> list[Array]:
        """The samples of every input, checked (see `check_samples`), in the model's dtypes; all of one length.

        Raises:
            ShapeError: a wrong number of inputs, or different numbers of samples.
        """
        if len(arrays) != len(self.inputs):
            names = ", ".join(repr(v.name) for v in self.inputs)
            raise ShapeError(f"the model takes {len(self.inputs)} inputs ({names}), got {len(arrays)} arrays")
        checked = [check_samples(array, value) for array, value in zip(arrays, self.inputs, strict=True)]
        counts = {len(array) for array in checked}
        if len(counts) != 1:
            raise ShapeError(f"the inputs have different numbers of samples: {[len(array) for array in checked]}")
        return checked

    def run(self, samples: Sequence[Array]) -> dict[str, Array]:
        """Every value of one run over exactly one batch of samples, by name.

        Raises:
            CompileError: onnxruntime fails on the model.
        """
        feeds = {value.name: array for value, array in zip(self.inputs, samples, strict=True)}
        names = [value.name or "" for value in self.values]
        try:
            results = self._session.run(names, feeds)
        except Exception as error:
            raise CompileError(f"onnxruntime fails on this model: {error}") from error
        return dict(zip(names, results, strict=True))

    def chunks(self, samples: Sequence[Array]) -> Iterator[tuple[slice, Mapping[str, Array]]]:
        """All samples, run batch by batch, some batches at a time so that memory stays bounded.

        A last batch that is not full is filled by repeating samples from the front.

        Yields:
            The slice of runs, and every input and computed value by name, stacked to shape (runs, *shape).
        """
        runs = -(-len(samples[0]) // self.batch)
        order = np.arange(runs * self.batch) % len(samples[0])
        per_run = sum(int(np.prod(static_shape(v), dtype=np.int64)) for v in (*self.inputs, *self.values))
        step = max(1, CHUNK_ELEMENTS // max(per_run, 1))
        for start in range(0, runs, step):
            stop = min(start + step, runs)
            feeds = [
                [array[order[run * self.batch : (run + 1) * self.batch]] for array in samples]
                for run in range(start, stop)
            ]
            results = [self.run(feed) for feed in feeds]
            stacked = {v.name or "": np.stack([feed[i] for feed in feeds]) for i, v in enumerate(self.inputs)}
            stacked |= {v.name or "": np.stack([result[v.name or ""] for result in results]) for v in self.values}
            yield slice(start, stop), stacked
