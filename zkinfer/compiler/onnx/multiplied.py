"""Values that are moved about before they are multiplied, and would be looked up more often for it."""

import math

import onnx_ir

from zkinfer.compiler.calibration.float_model import static_shape

_MOVING = (
    *("Concat", "Expand", "Flatten", "Gather", "Identity", "Neg", "Reshape", "Slice", "Split"),
    *("Squeeze", "Transpose", "Unsqueeze"),
)
"""Operators whose results hold elements of their operands, or the negatives of these."""

_MULTIPLYING = ("Conv", "Gemm", "MatMul", "Mul")
"""Operators that multiply elements of different tensors, and need narrow ones."""


def multiplied_values(graph: onnx_ir.Graph) -> frozenset[onnx_ir.Value]:
    """The computed values that products alone read, and some of them after a move that another reader does not make.

    Every move would be looked up by itself. Of a value in this set, one lookup serves all, as in a rotary embedding:
    `x * cosine + turned(x) * sine`.
    """
    found = set()
    for node in graph:
        for value in node.outputs:
            if len(value.uses()) > 1 and node.op_type not in _MOVING[:2] and not value.is_graph_output():
                moved = any(reader.op_type in _MOVING for reader, _ in value.uses())
                read = _read(value) if moved else None
                if read is not None and read > math.prod(static_shape(value)):
                    found.add(value)
    return frozenset(found)


def _read(value: onnx_ir.Value) -> int | None:
    """How many elements products read of what a value is moved to; None if something else reads it as well."""
    total = 0
    for node, index in value.uses():
        if node.op_type in _MULTIPLYING and not _is_number(node, index):
            total += math.prod(static_shape(value))
        elif node.op_type in _MOVING and (index == 0 or node.op_type == "Concat"):
            parts = [_read(moved) for moved in node.outputs]
            if None in parts or any(moved.is_graph_output() for moved in node.outputs):
                return None
            of_all = math.prod(static_shape(value))
            total += min(of_all, sum(math.prod(static_shape(x)) for x, part in zip(node.outputs, parts) if part))
        else:
            return None
    return total


def _is_number(node: onnx_ir.Node, index: int) -> bool:
    """Whether a product with an operand is one with a single number, which is no product of tensors."""
    other = node.inputs[1 - index] if index < 2 else None
    return other is not None and math.prod(static_shape(other)) == 1
