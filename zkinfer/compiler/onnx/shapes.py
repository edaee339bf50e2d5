"""Layers whose shapes ONNX's inference gets wrong, written so that it gets them right.

Up to operator set 21, its rule for ceil_mode counts a window that would start in the padding at the end, which neither
the standard nor onnxruntime has. Of a ConvTranspose with auto_pad SAME_UPPER or SAME_LOWER it forgets that the output
is `stride` times the input. The attributes that are set here state the same layer, as onnxruntime computes it.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import onnx
import onnx_ir
from onnx import helper

from zkinfer.compiler.calibration.detached import Detached, detached_ir
from zkinfer.compiler.lowering.maxima import Window
from zkinfer.compiler.onnx.blame import blame
from zkinfer.compiler.onnx.ops.windows import sliding_windows
from zkinfer.compiler.onnx.read import graphs_of, inner_graphs, rename
from zkinfer.errors import UnsupportedOperatorError

_MOST_SIZES = 64
"""Elements of a constant that may be axes or sizes of a tensor."""

_POOLS = ("AveragePool", "LpPool", "MaxPool")

Shapes = dict[str, tuple[int, ...]]


def inferred(model: onnx_ir.Model, *, corrected: bool = False) -> onnx_ir.Model:
    """The model, which is used up, with the shapes that ONNX's inference knows, and no others.

    Args:
        model: the model.
        corrected: whether `correct_shapes` changes it before.

    Raises:
        CompileError: see `with_shapes`.
    """
    stored = detached_ir(model)
    proto = without_shapes(stored.proto)
    if corrected:
        correct_shapes(proto)
    found = Detached(with_shapes(proto), stored.arrays).to_ir()
    # The rules of the optimizer go on referring to the last graph that they rewrote.
    for value in model.graph.initializers.values():
        value.const_value = None
    return found


def without_shapes(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the stated shapes of computed values, so that they are inferred again; in place."""
    stated = {value.name for value in proto.graph.input}
    for graph in graphs_of(proto):
        del graph.value_info[:]
        for value in (*graph.output, *graph.input):
            if value.name not in stated and value.type.HasField("tensor_type"):
                value.type.tensor_type.ClearField("shape")
    return proto


def with_shapes(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model, which may be modified, with the shape of every value that ONNX's inference knows.

    Raises:
        CompileError: the shapes contradict each other.
    """
    advice = (
        "the shapes of the model do not fit together; if it was exported for one batch size, export it with a dynamic "
        "batch, or compile with that batch size"
    )
    shown = _with_own_sizes(proto)
    with blame(advice):
        inferred = onnx.shape_inference.infer_shapes(shown, check_type=True, strict_mode=True, data_prop=True)
    if shown is proto:
        return inferred
    for graph, found in zip(graphs_of(proto), graphs_of(inferred), strict=True):
        for ours, theirs in (
            (graph.input, found.input), (graph.output, found.output), (graph.value_info, found.value_info)
        ):  # fmt: skip
            del ours[:]
            ours.extend(theirs)
    return proto


def _with_own_sizes(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with copies of lists of integers in the graphs within nodes, if there are such graphs.

    There, inference knows only constants of the graph itself, and so no axes and shapes from outside.
    """
    if not inner_graphs(proto.graph.node):
        return proto
    shown = onnx.ModelProto()
    shown.CopyFrom(proto)
    sizes = {
        tensor.name: tensor
        for tensor in shown.graph.initializer
        if tensor.data_type == onnx.TensorProto.INT64 and math.prod(tensor.dims) <= _MOST_SIZES
    }
    for number, graph in enumerate(_graphs_within(shown.graph)):
        read = {name for node in graph.node for name in node.input if name in sizes}
        for name in sorted(read):
            copy = graph.initializer.add()
            copy.CopyFrom(sizes[name])
            copy.name = f"{name}/{number}"
        rename(graph, {name: f"{name}/{number}" for name in read})
    return shown


def _graphs_within(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graphs that nodes of a graph hold; those within one come before it."""
    for inner in inner_graphs(graph.node):
        yield from _graphs_within(inner)
        yield inner


def correct_shapes(proto: onnx.ModelProto) -> None:
    """Change attributes, in place, until the inferred shapes are those of onnxruntime, also in graphs within nodes.

    Args:
        proto: shapes of computed values are not stated. Models that are wrong otherwise are left as they are.
    """
    doubtful = [node for graph in graphs_of(proto) for node in graph.node if _is_doubtful(node)]
    while doubtful:
        # One after the other, because the shape of the second may follow from that of the first.
        shapes = _inferred(proto)
        while doubtful and not _correct(doubtful.pop(0), shapes):
            pass


def _is_doubtful(node: onnx.NodeProto) -> bool:
    attributes = _attributes(node)
    if node.op_type in _POOLS:
        return bool(attributes.get("ceil_mode", 0))
    automatic = attributes.get("auto_pad", b"").startswith(b"SAME")
    return node.op_type == "ConvTranspose" and automatic and "output_shape" not in attributes


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def _inferred(proto: onnx.ModelProto) -> Shapes:
    """The shapes of all values of which every size is known, and whose names mean the same in all graphs."""
    found: dict[str, set[tuple[int, ...]]] = {}
    for graph in graphs_of(onnx.shape_inference.infer_shapes(_with_own_sizes(proto), data_prop=True)):
        for constant in graph.initializer:
            found.setdefault(constant.name, set()).add(tuple(constant.dims))
        for value in (*graph.input, *graph.value_info, *graph.output):
            tensor = value.type.tensor_type
            if tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in tensor.shape.dim):
                found.setdefault(value.name, set()).add(tuple(dim.dim_value for dim in tensor.shape.dim))
    return {name: shapes.pop() for name, shapes in found.items() if len(shapes) == 1}


def _correct(node: onnx.NodeProto, shapes: Shapes) -> bool:
    """Change the node if its inferred shape is wrong; whether it was."""
    if node.input[0] not in shapes or node.output[0] not in shapes:
        return False
    before, inferred = shapes[node.input[0]][2:], shapes[node.output[0]][2:]
    if node.op_type == "ConvTranspose":
        return _correct_transposed(node, before, shapes.get(node.input[1], ())[2:], inferred)
    attributes = _attributes(node)
    windows = {
        "kernel": attributes["kernel_shape"],
        "strides": attributes.get("strides"),
        "pads": attributes.get("pads"),
        "dilations": attributes.get("dilations"),
        "auto_pad": attributes.get("auto_pad", b"NOTSET").decode(),
    }
    try:
        up, down = (sliding_windows(shapes[node.input[0]], **windows, ceil_mode=mode) for mode in (1, 0))
    except UnsupportedOperatorError:
        return False
    if _counts(up, before) == inferred:
        return False
    if _counts(up, before) == _counts(down, before):
        _set(node, ceil_mode=0)
        return True
    if attributes.get("count_include_pad", 0):
        # Padding that is stated would be counted: the shapes will be found not to fit.
        return False
    pads = [*(window.before for window in up), *(window.after for window in up)]
    _set(node, ceil_mode=0, auto_pad="NOTSET", pads=pads)
    return True


def _correct_transposed(
    node: onnx.NodeProto, before: Sequence[int], kernel: Sequence[int], inferred: Sequence[int]
) -> bool:
    attributes, ones = _attributes(node), [1] * len(before)
    along = zip(
        before,
        attributes.get("kernel_shape", kernel),
        attributes.get("strides", ones),
        attributes.get("dilations", ones),
        attributes.get("output_padding", [0] * len(before)),
        strict=False,
    )
    # Padding cuts elements off, and adds none where the kernel is smaller than the stride.
    sizes = [min(n * s, (n - 1) * s + (k - 1) * d + 1 + extra) for n, k, s, d, extra in along]
    if not sizes or tuple(sizes) == tuple(inferred):
        return False
    _set(node, output_shape=sizes)
    return True


def _counts(windows: Sequence[Window], sizes: Sequence[int]) -> tuple[int, ...]:
    """How many windows there are along each axis."""
    return tuple(
        (n + w.before + w.after - (w.size - 1) * w.dilation - 1) // w.stride + 1
        for w, n in zip(windows, sizes, strict=True)
    )


def _set(node: onnx.NodeProto, **values: object) -> None:
    kept = [a for a in node.attribute if a.name not in values]
    del node.attribute[:]
    node.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in values.items())])
