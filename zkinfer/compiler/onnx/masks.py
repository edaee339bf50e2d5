"""Minus infinity in models: where it masks scores, and where it is a bound that bounds nothing."""

from collections.abc import Sequence

import numpy as np
import onnx_ir

from zkinfer.compiler.lowering.masking import stand_in
from zkinfer.typing import Array

MOVING = ("Cast", "Expand", "Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")
"""Operators that move the elements of their first input; masked scores and their masks pass through alike."""

_TAKING = ("ArgMax", "Exp", "GlobalMaxPool", "Hardmax", "MaxPool", "ReduceMax", "Softmax")
"""Operators whose results are finite, and right, where scores are minus infinity."""

_PASSING: dict[str, Sequence[int]] = {
    **dict.fromkeys(MOVING, (0,)),
    "Add": (0, 1),
    "Div": (0,),
    "Mul": (0, 1),
    "Pad": (0, 2),
    "Sub": (0,),
    "Where": (1, 2),
}
"""Operators whose results are minus infinity where one of these inputs is."""

_BEFORE_FOLDING: dict[str, Sequence[int]] = {
    **_PASSING,
    "CastLike": (0,),
    "ConstantOfShape": (0,),
    "Trilu": (0,),
}
"""These as well, while masks have not been computed yet."""


def masking_values(graph: onnx_ir.Graph) -> frozenset[onnx_ir.Value]:
    """The computed values all of whose readers take `MaskedScores`, directly or after sums and moves."""
    return _masking(graph, _TAKING, _PASSING)


def _masking(
    graph: onnx_ir.Graph, taking: Sequence[str], passing: dict[str, Sequence[int]]
) -> frozenset[onnx_ir.Value]:
    found: set[onnx_ir.Value] = set()

    def takes(node: onnx_ir.Node, index: int) -> bool:
        if node.op_type in taking:
            return index == 0 or node.op_type == "Attention"
        return index in passing.get(node.op_type, ()) and all(value in found for value in node.outputs)

    # From the last node to the first: readers come after what they read.
    values = [value for node in reversed(graph) for value in node.outputs]
    for value in (*values, *graph.initializers.values()):
        uses = value.uses()
        if uses and not value.is_graph_output() and all(takes(node, index) for node, index in uses):
            found.add(value)
    return frozenset(found)


def bound_masks(model: onnx_ir.Model) -> None:
    """Replace minus infinity by a finite number where it masks scores: softmax and maximum of either are the same."""
    masking = _masking(model.graph, (*_TAKING, "Attention"), _BEFORE_FOLDING)
    for value in model.graph.initializers.values():
        array = _floats(value) if value in masking else None
        masks = array is not None and np.isneginf(array)
        if array is not None and np.any(masks):
            finite = np.where(masks, stand_in(array.dtype), array).astype(array.dtype)
            value.const_value = onnx_ir.tensor(finite, name=value.name)


def drop_infinite_bounds(model: onnx_ir.Model) -> None:
    """Remove bounds of Max, Min and Clip below, or above, which there is no number of their type; in place."""
    for node in list(model.graph):
        if node.domain not in ("", "ai.onnx"):
            continue
        if node.op_type == "Clip":
            for index, sign in ((1, -1), (2, 1)):
                if index < len(node.inputs) and _bounds_nothing(node.inputs[index], sign):
                    node.replace_input_with(index, None)
        elif node.op_type in ("Max", "Min"):
            sign = -1 if node.op_type == "Max" else 1
            for value in [x for x in node.inputs if x is not None and _bounds_nothing(x, sign)]:
                _drop(model, node, value)
    for name in [name for name, value in model.graph.initializers.items() if not value.uses()]:
        if not model.graph.initializers[name].is_graph_output():
            model.graph.initializers.pop(name)


def _drop(model: onnx_ir.Model, node: onnx_ir.Node, bound: onnx_ir.Value) -> None:
    """Remove one operand of a Max or Min, unless it is the last, or gives the result its shape."""
    others = [value for value in node.inputs if value is not bound]
    if not others or bound.shape is None or any(n != 1 for n in bound.shape) or len(bound.shape) > 1:
        return
    operator = node.op_type if len(others) > 1 else "Identity"
    kept = onnx_ir.Node(node.domain, operator, others, name=node.name, num_outputs=1)
    kept.outputs[0].name = node.outputs[0].name
    kept.outputs[0].type, kept.outputs[0].shape = node.outputs[0].type, node.outputs[0].shape
    onnx_ir.convenience.replace_nodes_and_values(
        model.graph, node, [node], [kept], [node.outputs[0]], [kept.outputs[0]]
    )


def _bounds_nothing(value: onnx_ir.Value | None, sign: int) -> bool:
    """Whether no element of the constant is a bound: each is at least as far out as every number of its type."""
    array = None if value is None else _floats(value)
    return array is not None and bool((sign * array >= np.finfo(array.dtype).max).all())


def _floats(value: onnx_ir.Value) -> Array | None:
    """The contents of a floating-point constant."""
    tensor = value.const_value
    if tensor is None or not tensor.dtype.is_floating_point():
        return None
    array = tensor.numpy()
    return array if array.dtype.kind == "f" else None
