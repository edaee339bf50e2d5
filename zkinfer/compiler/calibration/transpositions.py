"""Products with a large matrix that is transposed first, as with a table of embeddings that also gives the scores.

onnxruntime would transpose a matrix that is fed to it in every run, which takes its memory once more. Its own operator
FusedMatMul reads the matrix as it is.
"""

from collections.abc import Container

import onnx
from onnx import helper

_DOMAIN, _STANDARD_DOMAINS = "com.microsoft", ("", "ai.onnx")


def fuse_transpositions(proto: onnx.ModelProto, fed: Container[str]) -> None:
    """Let products read fed matrices as they are, in place, where nothing else reads the transposed matrix.

    Args:
        proto: a model; graphs within its nodes are left as they are.
        fed: the names of its inputs that are large float tensors.
    """
    graph = proto.graph
    outputs = {value.name for value in graph.output}
    inner = {name for node in graph.node for attribute in node.attribute for name in _read_within(attribute)}
    for transposition in [node for node in graph.node if _swaps_axes(proto, node, fed)]:
        (name,) = transposition.output
        readers = [node for node in graph.node if name in node.input]
        if name in outputs | inner or any(not _is_right_factor(name, node) for node in readers):
            continue
        for node in readers:
            node.op_type, node.domain = "FusedMatMul", _DOMAIN
            node.input[1] = transposition.input[0]
            node.attribute.append(helper.make_attribute("transB", 1))
        graph.node.remove(transposition)
        if all(entry.domain != _DOMAIN for entry in proto.opset_import):
            proto.opset_import.append(helper.make_opsetid(_DOMAIN, 1))


def _swaps_axes(proto: onnx.ModelProto, node: onnx.NodeProto, fed: Container[str]) -> bool:
    """Whether a node gives a fed matrix of float32 with its two axes swapped."""
    if node.op_type != "Transpose" or node.domain not in _STANDARD_DOMAINS or node.input[0] not in fed:
        return False
    types = [value.type.tensor_type for value in proto.graph.input if value.name == node.input[0]]
    orders = [list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"]
    return all(t.elem_type == onnx.TensorProto.FLOAT and len(t.shape.dim) == 2 for t in types) and orders in (
        [],
        [[1, 0]],
    )


def _is_right_factor(name: str, node: onnx.NodeProto) -> bool:
    """Whether a reader of a value is a product that has it on the right alone."""
    return node.op_type == "MatMul" and node.domain in _STANDARD_DOMAINS and list(node.input).index(name) == 1


def _read_within(attribute: onnx.AttributeProto) -> set[str]:
    """Names that the graphs of an attribute may read from outside."""
    found: set[str] = set()
    for graph in (attribute.g, *attribute.graphs):
        found |= {value.name for value in graph.output}
        for node in graph.node:
            found |= {*node.input}
            for other in node.attribute:
                found |= _read_within(other)
    return found
