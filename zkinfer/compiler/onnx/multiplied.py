"""Values that are moved about before they are multiplied, and would be looked up more often for it."""

import math

import onnx_ir

from zkinfer.compiler.calibration.float_model import static_shape

_JOINING = ("Concat", "Expand")
_MOVING = (
    *("Flatten", "Gather", "Identity", "Neg", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"),
    *_JOINING,
)
"""Operators whose results hold elements of their operands, or the negatives of these."""

_MULTIPLYING = ("Conv", "Gemm", "MatMul", "Mul")
"""Operators that multiply elements of different tensors, and need narrow ones."""


def multiplied_values(graph: onnx_ir.Graph) -> frozenset[onnx_ir.Value]:
    """The computed values that products alone read, and that moves lead to products more than once.

    Every move would be looked up by itself. Of a value in this set, one lookup serves all, as in a rotary embedding:
    `x * cosine + turned(x) * sine`.
    """
    read, found = _reads(graph), set()
    for node in graph:
        for value in node.outputs:
            times = read[value]
            moved = node.op_type not in _MOVING and any(reader.op_type in _MOVING for reader, _ in value.uses())
            if moved and times is not None and times > math.prod(static_shape(value)):
                found.add(value)
    return frozenset(found)


def joined_for_products(graph: onnx_ir.Graph) -> frozenset[onnx_ir.Value]:
    """The joined tensors that products alone read, directly or moved.

    What is joined is narrow before: a table of all of it would be as coarse as that of the tensor among them whose
    proven bounds are widest.
    """
    read = _reads(graph)
    return frozenset(node.outputs[0] for node in graph if node.op_type == "Concat" and read[node.outputs[0]])


def _reads(graph: onnx_ir.Graph) -> dict[onnx_ir.Value, int | None]:
    """For every computed value, what `_read` says."""
    read: dict[onnx_ir.Value, int | None] = {}
    for node in reversed(list(graph)):
        for value in node.outputs:
            read[value] = None if value.is_graph_output() else _read(value, read)
    return read


def _read(value: onnx_ir.Value, read: dict[onnx_ir.Value, int | None]) -> int | None:
    """How many elements products read of a value, and of what it is moved to; None if anything else reads them."""
    total = 0
    for node, index in value.uses():
        if node.op_type in _MULTIPLYING and not _is_number(node, index):
            total += math.prod(static_shape(value))
        elif node.op_type in _MOVING and (index == 0 or node.op_type == "Concat"):
            for moved in node.outputs:
                times = read.get(moved)
                if times is None:
                    return None
                total += math.prod(static_shape(value)) if node.op_type in _JOINING else times
        else:
            return None
    return total


def _is_number(node: onnx_ir.Node, index: int) -> bool:
    """Whether a product with an operand is one with a single number, which is no product of tensors."""
    other = node.inputs[1 - index] if index < 2 else None
    return other is not None and math.prod(static_shape(other)) == 1
