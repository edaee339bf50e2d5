"""Operators of operator sets below 7, rewritten as operator set 7 has them.

onnxruntime does not run these forms, so that no comparison would find a mistake of a general converter. Here every
operator that changed before operator set 7 has one rule, after the text of the standard for its old version. An
operator that did change and has no rule is refused.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference

from zkinfer.compiler.onnx.blame import blame
from zkinfer.errors import UnsupportedOperatorError
from zkinfer.typing import Array

OPSET = 7
"""The first version of the operator set whose every operator onnxruntime runs."""

ADVICE = "export the model with opset=18"

_SAME_WITHOUT_CONSUMED_INPUTS = (
    *("Abs", "Ceil", "Clip", "Elu", "Exp", "Floor", "HardSigmoid", "InstanceNormalization", "LeakyRelu", "Log", "Max"),
    *("Mean", "Min", "Neg", "Reciprocal", "Relu", "Sigmoid", "Sqrt", "Sum", "Tanh"),
)
"""Operators of which only the attribute `consumed_inputs` was dropped, a hint about memory."""

_BROADCAST = ("Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or", "Pow", "Sub", "Xor")


class _Old:
    """One old node and what is known around it.

    Attributes:
        node: a copy that a rule may change.
        types: of every value so far, by name, as far as shape inference knows them.
        constants: initializers and the contents of Constant nodes, by name.
        added: constants that rules made.
    """

    def __init__(
        self,
        node: onnx.NodeProto,
        types: dict[str, onnx.TypeProto],
        constants: dict[str, onnx.TensorProto],
        added: list[onnx.TensorProto],
    ) -> None:
        self.node = onnx.NodeProto()
        self.node.CopyFrom(node)
        self.types, self.constants, self.added = types, constants, added

    @property
    def described(self) -> str:
        return f"node {self.node.name!r} ({self.node.op_type})"

    def attribute(self, name: str, default: Any) -> Any:
        """The attribute's value."""
        return next((helper.get_attribute_value(a) for a in self.node.attribute if a.name == name), default)

    def drop(self, *names: str) -> None:
        """Remove attributes."""
        kept = [a for a in self.node.attribute if a.name not in names]
        del self.node.attribute[:]
        self.node.attribute.extend(kept)

    def set(self, **values: Any) -> None:
        """Set attributes."""
        self.drop(*values)
        self.node.attribute.extend(helper.make_attribute(name, value) for name, value in values.items())

    def shape(self, name: str) -> list[int]:
        """The sizes of a value; 0 where one is unknown.

        Raises:
            UnsupportedOperatorError: even their number is unknown.
        """
        tensor = self.types[name].tensor_type if name in self.types else None
        if tensor is None or not tensor.HasField("shape"):
            raise UnsupportedOperatorError(
                f"{self.described}: how it broadcasts depends on the shape of {name!r}, which is unknown; {ADVICE}"
            )
        return [dim.dim_value for dim in tensor.shape.dim]

    def content(self, index: int) -> Array:
        """The contents of a constant input.

        Raises:
            UnsupportedOperatorError: it is computed.
        """
        name = self.node.input[index]
        if name not in self.constants:
            raise UnsupportedOperatorError(f"{self.described}: its input {name!r} is not a constant; {ADVICE}")
        array: Array = numpy_helper.to_array(self.constants[name])
        return array

    def constant(self, step: str, array: Array) -> str:
        """The name of a new constant."""
        name = f"{self.node.output[0]}/{step}"
        self.added.append(numpy_helper.from_array(array, name))
        return name

    def trailing(self, index: int, count: int) -> list[onnx.NodeProto]:
        """Give an input so many more axes of size 1 at its end; the nodes that do it, the old one last."""
        if count <= 0:
            return [self.node]
        source = self.node.input[index]
        rank, wide = len(self.shape(source)), f"{self.node.output[0]}/{source}"
        self.node.input[index] = wide
        axes = list(range(rank, rank + count))
        return [helper.make_node("Unsqueeze", [source], [wide], name=f"{self.node.name}/axes", axes=axes), self.node]


def _broadcast(old: _Old) -> list[onnx.NodeProto]:
    """The second operand's axes are those of the first from `axis` on; without `axis`, the last ones."""
    axis, broadcast = old.attribute("axis", None), old.attribute("broadcast", 0)
    old.drop("axis", "broadcast", "consumed_inputs")
    if not broadcast or axis is None:
        return [old.node]
    first, second = (old.shape(name) for name in old.node.input)
    if not second or set(second) == {1}:
        return [old.node]
    start = axis % len(first) if first else 0
    return old.trailing(1, len(first) - start - len(second))


def _prelu(old: _Old) -> list[onnx.NodeProto]:
    """A list of slopes is one for each channel, which is axis 1."""
    old.drop("consumed_inputs")
    x, slope = (old.shape(name) for name in old.node.input)
    return old.trailing(1, len(x) - 2) if len(slope) == 1 and slope != [1] else [old.node]


def _gemm(old: _Old) -> list[onnx.NodeProto]:
    old.drop("broadcast")
    return [old.node]


def _inference_only(old: _Old) -> list[onnx.NodeProto]:
    if not old.attribute("is_test", 0):
        raise UnsupportedOperatorError(
            f"{old.described} is in training mode (is_test=0); export the model in evaluation mode"
        )
    old.drop("is_test", "consumed_inputs")
    return [old.node]


def _cast(old: _Old) -> list[onnx.NodeProto]:
    old.set(to=onnx.TensorProto.DataType.Value(old.attribute("to", b"").decode()))
    return [old.node]


def _concat(old: _Old) -> list[onnx.NodeProto]:
    old.set(axis=old.attribute("axis", 1))
    return [old.node]


def _reshape(old: _Old) -> list[onnx.NodeProto]:
    old.node.input.append(old.constant("shape", np.array(old.attribute("shape", []), dtype=np.int64)))
    old.drop("shape", "consumed_inputs")
    return [old.node]


def _pad(old: _Old) -> list[onnx.NodeProto]:
    old.set(pads=old.attribute("paddings", []))
    old.drop("paddings")
    return [old.node]


def _split(old: _Old) -> list[onnx.NodeProto]:
    if len(old.node.input) > 1:
        old.set(split=[int(size) for size in old.content(1)])
        del old.node.input[1:]
    return [old.node]


def _tile(old: _Old) -> list[onnx.NodeProto]:
    repeats = np.ones(len(old.shape(old.node.input[0])), dtype=np.int64)
    repeats[int(old.content(2).item())] = int(old.content(1).item())
    del old.node.input[1:]
    old.node.input.append(old.constant("repeats", repeats))
    return [old.node]


def _upsample(old: _Old) -> list[onnx.NodeProto]:
    old.set(scales=[1.0, 1.0, old.attribute("height_scale", 1.0), old.attribute("width_scale", 1.0)])
    old.set(mode={b"bilinear": "linear"}.get(old.attribute("mode", b"nearest"), "nearest"))
    old.drop("height_scale", "width_scale")
    return [old.node]


def _selu(old: _Old) -> list[onnx.NodeProto]:
    old.drop("consumed_inputs")
    old.set(alpha=old.attribute("alpha", 1.6732), gamma=old.attribute("gamma", 1.0507))
    return [old.node]


def _recurrent(old: _Old) -> list[onnx.NodeProto]:
    old.drop("output_sequence")
    if old.attribute("direction", b"forward") == b"foward":
        old.set(direction="forward")
    return [old.node]


def _lp_pool(old: _Old) -> list[onnx.NodeProto]:
    old.set(p=int(old.attribute("p", 2)))
    return [old.node]


def _unchanged(old: _Old) -> list[onnx.NodeProto]:
    old.drop("consumed_inputs")
    return [old.node]


_RULES: dict[str, Callable[[_Old], list[onnx.NodeProto]]] = {
    **dict.fromkeys(_BROADCAST, _broadcast),
    **dict.fromkeys(_SAME_WITHOUT_CONSUMED_INPUTS, _unchanged),
    # Version 7 only added an attribute whose default is the old meaning.
    "AveragePool": _unchanged,
    "BatchNormalization": _inference_only,
    "Cast": _cast,
    "Concat": _concat,
    "Dropout": _inference_only,
    "GRU": _recurrent,
    "Gemm": _gemm,
    "GlobalLpPool": _lp_pool,
    "LSTM": _recurrent,
    "LpPool": _lp_pool,
    "PRelu": _prelu,
    "Pad": _pad,
    "RNN": _recurrent,
    "Reshape": _reshape,
    "Selu": _selu,
    "Split": _split,
    "Tile": _tile,
    "Upsample": _upsample,
}
"""By operator, what makes the form of operator set 7 of every older one."""


def modernized(proto: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """The model in operator set 7.

    Args:
        proto: a model of the operator set `opset`, which is below 7; the checker accepts it.
        opset: see above.

    Raises:
        UnsupportedOperatorError: an operator changed and has no rule, is in training mode, or broadcasts by a shape
            that is unknown.
        CompileError: an attribute does not have the form that the standard gives it.
    """
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    del result.graph.node[:]
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    types = {value.name: value.type for value in proto.graph.input}
    types |= {name: helper.make_tensor_type_proto(t.data_type, list(t.dims)) for name, t in constants.items()}
    opsets = [helper.make_opsetid("", OPSET)]
    for node in proto.graph.node:
        added: list[onnx.TensorProto] = []
        old = _Old(node, types, constants, added)
        with blame(f"{old.described}: it does not have the form of operator set {opset}"):
            nodes = _rewritten(old, opset)
        for tensor in added:
            constants[tensor.name] = tensor
            types[tensor.name] = helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))
            result.graph.initializer.append(tensor)
        for new in nodes:
            if new.op_type == "Constant":
                constants.update((new.output[0], a.t) for a in new.attribute if a.name == "value")
            types |= _inferred(new, types, constants, opsets)
        result.graph.node.extend(nodes)
    for entry in result.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = OPSET
    # From version 4 of the file format on, an initializer need not be listed as an input.
    result.ir_version = max(result.ir_version, 4)
    return result


def _rewritten(old: _Old, opset: int) -> list[onnx.NodeProto]:
    node = old.node
    if node.domain not in ("", "ai.onnx"):
        return [node]
    if any(a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for a in node.attribute):
        raise UnsupportedOperatorError(
            f"{old.described} is control flow, which is not supported in operator set {opset}; {ADVICE}"
        )
    before, after = (onnx.defs.get_schema(node.op_type, version, "").since_version for version in (opset, OPSET))
    if before == after:
        return [node]
    if node.op_type not in _RULES:
        raise UnsupportedOperatorError(f"{old.described} is not supported in operator set {opset}; {ADVICE}")
    return _RULES[node.op_type](old)


def _inferred(
    node: onnx.NodeProto,
    types: dict[str, onnx.TypeProto],
    constants: dict[str, onnx.TensorProto],
    opsets: list[onnx.OperatorSetIdProto],
) -> dict[str, onnx.TypeProto]:
    """The types of a node's outputs, as far as they can be inferred; a shape that is needed and missing is an error."""
    names = [name for name in node.input if name]
    if node.domain not in ("", "ai.onnx") or not all(name in types for name in names):
        return {}
    schema = onnx.defs.get_schema(node.op_type, OPSET, "")
    data = {name: constants[name] for name in names if name in constants}
    try:
        return dict(
            shape_inference.infer_node_outputs(
                schema, node, {name: types[name] for name in names}, data, opset_imports=opsets
            )
        )
    except shape_inference.InferenceError:
        return {}
