"""Normalization layers as the steps that the standard defines them by.

Their statistics depend on the input, so every step has to be calibrated, and gets a Q-format, of its own. The
variance is the mean of squared differences, as in the standard's text, and not a difference of two means, which
would cancel.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir
from onnx_ir import Value

AXES_AS_INPUT = 18
"""From this version of the operator set on, ReduceMean takes its axes as an input."""


class _Steps:
    """The nodes that take the place of one, named after its output."""

    def __init__(self, node: onnx_ir.Node, opset: int) -> None:
        self._name, self._opset = node.outputs[0].name, opset
        self.nodes: list[onnx_ir.Node] = []
        self.constants: list[Value] = []

    def op(self, step: str, op_type: str, *inputs: Value, **attributes: Sequence[int]) -> Value:
        name = f"{self._name}/{step}"
        result = Value(name=name)
        self.nodes.append(onnx_ir.node(op_type, inputs, attributes, name=name, outputs=[result]))
        return result

    def constant(self, step: str, array: npt.NDArray[Any]) -> Value:
        tensor = onnx_ir.tensor(array, name=f"{self._name}/{step}")
        shape, dtype = onnx_ir.Shape(array.shape), onnx_ir.TensorType(tensor.dtype)
        value = Value(name=tensor.name, const_value=tensor, shape=shape, type=dtype)
        self.constants.append(value)
        return value

    def mean(self, step: str, x: Value, axes: Sequence[int]) -> Value:
        if self._opset < AXES_AS_INPUT:
            return self.op(step, "ReduceMean", x, axes=axes)
        return self.op(step, "ReduceMean", x, self.constant(f"{step}/axes", np.array(axes, dtype=np.int64)))

    def reshape(self, step: str, x: Value, sizes: Sequence[int]) -> Value:
        if x.const_value is not None:
            return self.constant(step, x.const_value.numpy().reshape(sizes))
        return self.op(step, "Reshape", x, self.constant(f"{step}/sizes", np.array(sizes, dtype=np.int64)))

    def centred(self, x: Value, axes: Sequence[int]) -> Value:
        """x minus its mean."""
        return self.op("centred", "Sub", x, self.mean("mean", x, axes))

    def scaled(self, x: Value, axes: Sequence[int], epsilon: npt.NDArray[Any]) -> Value:
        """x divided by the root of its mean square."""
        power = self.mean("power", self.op("squares", "Mul", x, x), axes)
        root = self.op("root", "Sqrt", self.op("shifted", "Add", power, self.constant("epsilon", epsilon)))
        return self.op("scaled", "Div", x, root)

    def affine(self, x: Value, scale: Value, bias: Value | None) -> Value:
        """x * scale + bias."""
        product = self.op("product", "Mul", x, scale)
        return product if bias is None else self.op("sum", "Add", product, bias)


def _sizes(x: Value) -> tuple[int, ...]:
    assert x.shape is not None
    return tuple(int(n) for n in x.shape.numpy())


def _epsilon(node: onnx_ir.Node, x: Value) -> npt.NDArray[Any]:
    assert x.dtype is not None
    attribute = node.attributes.get("epsilon")
    return np.array(1e-5 if attribute is None else attribute.as_float(), dtype=x.dtype.numpy())


def _trailing_axes(node: onnx_ir.Node, x: Value) -> list[int]:
    rank = len(_sizes(x))
    attribute = node.attributes.get("axis")
    return list(range((-1 if attribute is None else attribute.as_int()) % rank, rank))


def _layer_normalization(s: _Steps, node: onnx_ir.Node, x: Value, scale: Value, bias: Value | None = None) -> Value:
    axes = _trailing_axes(node, x)
    return s.affine(s.scaled(s.centred(x, axes), axes, _epsilon(node, x)), scale, bias)


def _rms_normalization(s: _Steps, node: onnx_ir.Node, x: Value, scale: Value) -> Value:
    return s.affine(s.scaled(x, _trailing_axes(node, x), _epsilon(node, x)), scale, None)


def _per_channel(s: _Steps, x: Value, scale: Value, bias: Value, shape: Sequence[int]) -> Value:
    sizes = [shape[1], *(1 for _ in shape[2:])]
    return s.affine(x, s.reshape("scale", scale, sizes), s.reshape("bias", bias, sizes))


def _group_normalization(s: _Steps, node: onnx_ir.Node, x: Value, scale: Value, bias: Value) -> Value:
    shape = _sizes(x)
    grouped = s.reshape("grouped", x, [shape[0], node.attributes["num_groups"].as_int(), -1])
    flat = s.scaled(s.centred(grouped, [2]), [2], _epsilon(node, x))
    return _per_channel(s, s.reshape("ungrouped", flat, shape), scale, bias, shape)


def _instance_normalization(s: _Steps, node: onnx_ir.Node, x: Value, scale: Value, bias: Value) -> Value:
    shape = _sizes(x)
    axes = list(range(2, len(shape)))
    return _per_channel(s, s.scaled(s.centred(x, axes), axes, _epsilon(node, x)), scale, bias, shape)


_RULES: dict[tuple[str, int], Callable[..., Value]] = {
    ("LayerNormalization", 17): _layer_normalization,
    ("RMSNormalization", 23): _rms_normalization,
    # The version before had one scale a group.
    ("GroupNormalization", 21): _group_normalization,
    ("InstanceNormalization", 6): _instance_normalization,
}
"""By operator and the first version of the operator set in which it has this meaning."""


def decompose(model: onnx_ir.Model) -> bool:
    """Replace normalization layers by their steps, in place; the shapes of the steps are left to be inferred.

    A layer whose further outputs (mean, deviation) are used, or whose input has no known shape, stays as it is.

    Args:
        model: one version of the standard operator set, functions inlined.

    Returns:
        Whether a layer was replaced.
    """
    replaced = False
    opset = model.opset_imports.get("", 0)
    for node in list(model.graph):
        rule = next((r for (op, since), r in _RULES.items() if op == node.op_type and opset >= since), None)
        further = any(value.uses() or value.is_graph_output() for value in node.outputs[1:])
        known = all(value is None or (value.shape is not None and value.dtype is not None) for value in node.inputs)
        if rule is None or further or node.domain or not known:
            continue
        steps = _Steps(node, opset)
        result = rule(steps, node, *(value for value in node.inputs if value is not None))
        for constant in steps.constants:
            model.graph.register_initializer(constant)
        onnx_ir.convenience.replace_nodes_and_values(
            model.graph, node, [node], steps.nodes, [node.outputs[0]], [result]
        )
        replaced = True
    return replaced
