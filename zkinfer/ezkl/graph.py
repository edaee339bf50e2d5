"""An ONNX graph under construction, with constants placed so that ezkl reads them as they are meant."""

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from zkinfer.errors import BoundsError
from zkinfer.typing import IntArray

OPSET = 17
IR_VERSION = 8
FLOAT32_EXACT = 1 << 24
"""ONNX carries constants as float32, which holds every integer up to here."""


class Graph:
    """An ONNX graph under construction; names are made here and nowhere else.

    ezkl range-checks a constant that several nodes read, element by element, and its ONNX reader merges equal
    constants. So no two constants here are equal: tables differ in a value or in length, and a scalar is used once.
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.integers: dict[tuple[tuple[int, ...], bytes], str] = {}
        self.scalars: set[int] = set()
        self.bases: dict[str, str] = {}
        self.reshaped: dict[tuple[str, tuple[int, ...]], str] = {}

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def _initializer(self, array: IntArray | npt.NDArray[np.float32]) -> str:
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def integer(self, values: Sequence[int] | IntArray) -> str:
        """A constant that steers an operation: shapes, axes, positions. One that exists already if it is the same."""
        array = np.asarray(values, dtype=np.int64)
        key = (array.shape, array.tobytes())
        if key not in self.integers:
            self.integers[key] = self._initializer(array)
        return self.integers[key]

    def table(self, values: IntArray, what: str) -> str:
        """A table's values, different from every other table."""
        self._require_float32(int(np.abs(values).max()), what)
        return self._initializer(values.astype(np.float32))

    def _require_float32(self, magnitude: int, what: str) -> None:
        if magnitude > FLOAT32_EXACT:
            raise BoundsError(
                f"{what}: the constant {magnitude} is over 2**24, which ezkl's ONNX input cannot carry exactly; "
                "compile with precision='ezkl', or with fewer activation or weight bits"
            )

    def _scalar(self, value: int, what: str) -> str:
        self._require_float32(abs(value), what)
        self.scalars.add(value)
        return self._initializer(np.array([value], dtype=np.float32))

    def scale(self, name: str, coefficient: int, what: str) -> str:
        """A multiple by an integer from 0 up, by additions where its constant is taken."""
        if coefficient == 0:
            return self.op("Sub", name, name)
        if coefficient == 1:
            return name
        if coefficient > FLOAT32_EXACT and coefficient % 2 == 0:
            half = self.scale(name, coefficient // 2, what)
            return self.op("Add", half, half)
        if coefficient not in self.scalars:
            return self.op("Mul", name, self._scalar(coefficient, what))
        if coefficient % 2 == 0:
            half = self.scale(name, coefficient // 2, what)
            return self.op("Add", half, half)
        return self.op("Add", self.scale(name, coefficient - 1, what), name)

    def offset(self, name: str, offset: int, what: str) -> str:
        """Every element plus a constant, in two steps where the constant is taken."""
        if offset == 0:
            return name
        if offset not in self.scalars:
            return self.op("Add", name, self._scalar(offset, what))
        part = next(d for d in itertools.count(1) if d not in self.scalars and offset - d not in self.scalars)
        return self.offset(self.offset(name, part, what), offset - part, what)

    def shape(self, name: str, shape: Sequence[int]) -> str:
        """The same elements in another shape; one name for one tensor in one shape, however it came about."""
        base = self.bases.get(name, name)
        key = (base, tuple(shape))
        if key not in self.reshaped:
            self.reshaped[key] = self.op("Reshape", base, self.integer(shape))
            self.bases[self.reshaped[key]] = base
        return self.reshaped[key]

    def take(self, flat: str, index: IntArray) -> str:
        """Elements of a flat tensor at constant positions, as a flat tensor: no cells."""
        return self.op("Gather", flat, self.integer(index), axis=0)

    def model(self, inputs: dict[str, int], outputs: dict[str, int]) -> bytes:
        """The serialized model; inputs and outputs are flat tensors, given by name and size."""

        def info(tensors: dict[str, int]) -> list[onnx.ValueInfoProto]:
            return [helper.make_tensor_value_info(name, TensorProto.FLOAT, [size]) for name, size in tensors.items()]

        graph = helper.make_graph(self.nodes, "zkinfer", info(inputs), info(outputs), self.initializers)
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="zkinfer")
        onnx.checker.check_model(model)
        data: bytes = model.SerializeToString(deterministic=True)
        return data
