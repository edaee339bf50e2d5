"""Rows of very different sizes in one tensor: the relative error of norms, roots, logarithms and softmax by size.

    python benchmarks/dynamic_range.py

Three tables: circuits calibrated on rows of all sizes; circuits calibrated and run at one size each; circuits
calibrated at one size and run at others, or with one huge element. The reference is onnxruntime in float64 on the
inputs that the circuit holds, so that the rounding of inputs, which is a matter of formats, is not a part of an error.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from measure import markdown_table, provenance
from onnx import TensorProto, helper, numpy_helper
from runtime import onnxruntime

import zkinfer as zk
from zkinfer.circuit.program import Lookup
from zkinfer.circuit.qformat import dequantize, quantize
from zkinfer.compiler.lowering.cost import program_cost
from zkinfer.errors import AccuracyWarning
from zkinfer.typing import FloatArray, IntArray

ROWS, SIZE, SAMPLES = 16, 384, 24
EXPONENTS = (0, -3, -6, -9, -11)
"""Sizes of rows in one tensor, as powers of two."""

SCALES = (-15, -8, 0, 8, 15)
"""Sizes of whole inputs, as powers of two; circuits are calibrated at each."""

FACTORS = (1.0, 0.3, 0.1, 0.01)
"""Sizes at which circuits run that were calibrated at 1."""

HUGE = 223.0
"""An element of one row, beside others of up to 1: trained transformers have such."""


Node = tuple[str, str, tuple[str, ...], Mapping[str, object]]
"""Output, operator, inputs, attributes."""


@dataclass(frozen=True)
class Operation:
    """A model of one tensor `x` of rows.

    Attributes:
        nodes: of its graph.
        logarithm: whether its errors are measured absolutely.
        share: whether its results do not depend on the size of a row.
    """

    nodes: tuple[Node, ...]
    logarithm: bool = False
    share: bool = True


def _node(output: str, operator: str, *inputs: str, **attributes: object) -> Node:
    return output, operator, inputs, attributes


_SQUARES = (_node("q", "Mul", "x", "x"), _node("k", "ReduceSum", "q", "axes"))
OPERATIONS = {
    "LayerNormalization": Operation((_node("y", "LayerNormalization", "x", "ones", epsilon=1e-12),)),
    "RMS, spelled out": Operation(
        (
            _node("q", "Mul", "x", "x"),
            _node("k", "ReduceMean", "q", "axes"),
            _node("e", "Add", "k", "tiny"),
            _node("r", "Sqrt", "e"),
            _node("y", "Div", "x", "r"),
        )
    ),
    "unit length": Operation(
        (_node("l", "ReduceL2", "x", "axes"), _node("c", "Clip", "l", "tiny"), _node("y", "Div", "x", "c"))
    ),
    "root of a sum of squares": Operation((*_SQUARES, _node("y", "Sqrt", "k")), share=False),
    "logarithm of a sum of squares": Operation(
        (*_SQUARES, _node("e", "Add", "k", "tiny"), _node("y", "Log", "e")), logarithm=True, share=False
    ),
}


def model(operation: Operation, kind: int) -> onnx.ModelProto:
    """An operation in ONNX, of one type of floating-point numbers."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    constants = {"ones": np.ones(SIZE, dtype), "tiny": np.array(1e-12, dtype), "axes": np.array([-1])}
    used = {name for _, _, inputs, _ in operation.nodes for name in inputs}
    nodes = [helper.make_node(op, inputs, [out], **attributes) for out, op, inputs, attributes in operation.nodes]
    graph = helper.make_graph(
        nodes,
        "operation",
        [helper.make_tensor_value_info("x", kind, ["batch", ROWS, SIZE])],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items() if name in used],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@dataclass(frozen=True)
class Pair:
    """An operation as a circuit, and in float64."""

    operation: Operation
    circuit: zk.Circuit
    session: onnxruntime.InferenceSession

    @classmethod
    def of(cls, name: str, calibration: FloatArray) -> "Pair":
        """Compiled at the default precision."""
        operation = OPERATIONS[name]
        with warnings.catch_warnings():
            # These inputs are chosen to be hard: small rows were rounded when they became inputs.
            warnings.simplefilter("ignore", AccuracyWarning)
            circuit = zk.compile(model(operation, TensorProto.FLOAT), calibration.astype(np.float32))
        double = model(operation, TensorProto.DOUBLE).SerializeToString()
        return cls(operation, circuit, onnxruntime.InferenceSession(double, providers=["CPUExecutionProvider"]))

    def errors(self, x: FloatArray) -> FloatArray:
        """Of each row: its error relative to its length, or its error if it is a logarithm."""
        (tensor,) = self.circuit.program.inputs
        held = dequantize(quantize(x[:, None], tensor), tensor)[:, 0]
        fixed = np.concatenate([np.asarray(self.circuit.run(held[i : i + 1])) for i in range(len(held))])
        real = self.session.run(None, {"x": held})[0]
        difference = np.linalg.norm(fixed.reshape(real.shape) - real, axis=-1)
        return np.asarray(difference if self.operation.logarithm else difference / np.linalg.norm(real, axis=-1))

    def cost(self) -> tuple[str, str]:
        """Elements looked up, and cells committed for them, for each element of the input."""
        lookups = [node for node in self.circuit.program.nodes if isinstance(node, Lookup)]
        cells = sum(program_cost(self.circuit.program).tensors.values())
        count = ROWS * SIZE
        return f"{sum(node.out.size for node in lookups) / count:.2f}", f"{cells / count:.2f}"


def _noise(seed: int, samples: int = SAMPLES) -> FloatArray:
    return np.random.default_rng(seed).uniform(-1, 1, (samples, ROWS, SIZE))


def by_row(name: str) -> list[str]:
    """The largest error of rows of each size, in a circuit that was calibrated on rows of all sizes; and its cost."""

    def sizes(seed: int) -> IntArray:
        """Of the rows of each sample, in any order: a row that always had the same size would get its own format."""
        rng = np.random.default_rng(seed)
        return rng.permuted(np.resize(EXPONENTS, (SAMPLES, ROWS)), axis=1)

    calibration, held_out = (_noise(seed) * 2.0 ** sizes(seed)[:, :, None] for seed in (0, 1))
    pair = Pair.of(name, calibration)
    errors = pair.errors(held_out * 0.99).reshape(SAMPLES, ROWS)
    return [*(f"{errors[sizes(1) == e].max():.1e}" for e in EXPONENTS), *pair.cost()]


def by_scale(name: str) -> list[str]:
    """The largest error of circuits that are calibrated and run at one size each."""
    errors = [Pair.of(name, _noise(0) * 2.0**e).errors(_noise(1) * 0.99 * 2.0**e).max() for e in SCALES]
    return [f"{error:.1e}" for error in errors]


def beyond(name: str) -> list[str]:
    """The largest error of a circuit at other sizes than it was calibrated at, and beside one huge element."""
    pair = Pair.of(name, _noise(0))
    x = _noise(1, 4) * 0.99
    found = [pair.errors(x * factor).max() for factor in FACTORS]

    def huge(seed: int) -> FloatArray:
        y = _noise(seed)
        y[:, 0, 7] = HUGE * np.random.default_rng(seed).uniform(0.98, 1, SAMPLES)
        return y

    errors = Pair.of(name, huge(0)).errors(0.97 * huge(1)).reshape(-1, ROWS)
    return [f"{error:.1e}" for error in (*found, errors[:, 1:].max())]


def main() -> None:
    print(provenance("python benchmarks/dynamic_range.py"), flush=True)
    shares = [name for name, operation in OPERATIONS.items() if operation.share]
    sizes = [f"2^{e}" for e in EXPONENTS]
    tables: list[tuple[list[str], Callable[[str], list[str]], list[str]]] = [
        (["rows of size", *sizes, "lookups", "cells"], by_row, list(OPERATIONS)),
        (["inputs of size", *(f"2^{e}" for e in SCALES)], by_scale, shares),
        (["run at", *(f"{factor:g}x" for factor in FACTORS), f"beside {HUGE:g}"], beyond, shares),
    ]
    for header, measure, names in tables:
        print("\n" + markdown_table(header, [[name, *measure(name)] for name in names]), flush=True)


if __name__ == "__main__":
    main()
