"""The subgraph that replaces one node of a model, under construction.

It consists of ordinary operators of the standard, so that each of them is calibrated and gets a Q-format.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir
from onnx_ir import Value

from zkinfer.compiler.calibration.float_model import numpy_type
from zkinfer.typing import Array

AXES_AS_INPUT = {"ReduceMean": 18, "ReduceMax": 18, "ReduceSum": 13}
"""The version of the operator set from which a reduction has its axes as an input."""


class Subgraph:
    """The nodes that replace one node, named after its first output.

    Attributes:
        node: the node that is replaced.
        name: of its first output.
        opset: version of the standard operator set.
        nodes: in order of execution.
        constants: constant tensors that the nodes read.
        public: names of those that are numbers of the operator's own formula, and no parameters.

    Args:
        node, opset: see above.
    """

    def __init__(self, node: onnx_ir.Node, opset: int) -> None:
        self.node, self.opset = node, opset
        self.name = node.outputs[0].name
        self.nodes: list[onnx_ir.Node] = []
        self.constants: list[Value] = []
        self.public: list[str] = []

    def uses(self, output: int) -> bool:
        """Whether the model reads an output of the replaced node."""
        if output >= len(self.node.outputs):
            return False
        value = self.node.outputs[output]
        return bool(value.uses()) or value.is_graph_output()

    def integer(self, name: str, default: int) -> int:
        """An integer attribute of the replaced node."""
        return self.node.attributes[name].as_int() if name in self.node.attributes else default

    def real(self, name: str, default: float) -> float:
        """A real attribute of the replaced node."""
        return self.node.attributes[name].as_float() if name in self.node.attributes else default

    def text(self, name: str, default: str) -> str:
        """A text attribute of the replaced node."""
        return self.node.attributes[name].as_string() if name in self.node.attributes else default

    def op(self, step: str, op_type: str, *inputs: Value | None, **attributes: Any) -> Value:
        """A new node with one output."""
        name = f"{self.name}/{step}"
        result = Value(name=name)
        self.nodes.append(onnx_ir.node(op_type, inputs, attributes, name=name, outputs=[result]))
        return result

    def layer(
        self, op_type: str, inputs: Sequence[Value | None], results: Sequence[Value], attributes: dict[str, Any]
    ) -> None:
        """A new node with several outputs."""
        name = f"{self.name}/{op_type}"
        self.nodes.append(onnx_ir.node(op_type, inputs, attributes, name=name, outputs=results))

    def constant(self, step: str, array: Array) -> Value:
        """A constant tensor."""
        tensor = onnx_ir.tensor(array, name=f"{self.name}/{step}")
        shape, dtype = onnx_ir.Shape(array.shape), onnx_ir.TensorType(tensor.dtype)
        value = Value(name=tensor.name, const_value=tensor, shape=shape, type=dtype)
        self.constants.append(value)
        return value

    def sizes(self, step: str, sizes: Sequence[int]) -> Value:
        """A constant list of integers."""
        return self.constant(step, np.array(sizes, dtype=np.int64))

    def number(self, step: str, x: float, like: Value) -> Value:
        """A constant number of the operator's formula, of the type of a tensor."""
        value = self.constant(step, np.array(x, dtype=numpy_type(like)))
        self.public.append(value.name or "")
        return value

    def reduce(self, step: str, op_type: str, x: Value, axes: Sequence[int], *, keepdims: bool = True) -> Value:
        """A reduction over axes."""
        if self.opset < AXES_AS_INPUT[op_type]:
            return self.op(step, op_type, x, axes=list(axes), keepdims=int(keepdims))
        return self.op(step, op_type, x, self.sizes(f"{step}/axes", axes), keepdims=int(keepdims))

    def reshape(self, step: str, x: Value, sizes: Sequence[int]) -> Value:
        """The same elements in another shape."""
        if x.const_value is not None:
            return self.constant(step, x.const_value.numpy().reshape(sizes))
        return self.op(step, "Reshape", x, self.sizes(f"{step}/sizes", sizes))

    def transpose(self, step: str, x: Value, axes: Sequence[int]) -> Value:
        """The axes in another order."""
        return self.op(step, "Transpose", x, perm=list(axes))

    def slice(self, step: str, x: Value, axis: int, start: int, end: int, stride: int = 1) -> Value:
        """Some elements along an axis."""
        bounds = {"starts": [start], "ends": [end], "axes": [axis], "steps": [stride]}
        return self.op(step, "Slice", x, *(self.sizes(f"{step}/{name}", value) for name, value in bounds.items()))

    def concat(self, step: str, parts: Sequence[Value], axis: int) -> Value:
        """Tensors one after the other."""
        return parts[0] if len(parts) == 1 else self.op(step, "Concat", *parts, axis=axis)


def content_of(x: Value) -> Array | None:
    """The elements of a constant of the model; None of other values."""
    return None if x.const_value is None else x.const_value.numpy()
