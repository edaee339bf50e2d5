"""Products of 8-bit integers, written so that onnxruntime computes them exactly on every processor.

On x86-64 without VNNI, onnxruntime's kernels for 8-bit products add each pair of products in 16 bits, which saturate: a
sum of 64 products can be off by tens of thousands. `with_exact_products` writes the operators that have such kernels as
the ONNX standard defines them, in operators that have none: a matrix product of 32-bit integers, which wraps around and
never saturates, and then the arithmetic of floats.
"""

from collections.abc import Callable, Sequence

import numpy as np
import onnx
import onnx_ir
from onnx import TensorProto, helper, numpy_helper

from zkinfer.compiler.calibration.detached import Detached, detached_ir
from zkinfer.typing import Array, IntArray

STANDARD_DOMAINS = ("", "ai.onnx")


class _Formula:
    """The nodes and the constants that take the place of one node.

    Attributes:
        node: the operator that is written out, in a model of static shapes.
        nodes, constants: in order of execution.
    """

    def __init__(self, node: onnx_ir.Node) -> None:
        self.node = node
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._prefix = f"{node.outputs[0].name}/exact product"

    def input(self, index: int) -> onnx_ir.Value | None:
        """An input of the node, or None where it is left out."""
        return self.node.inputs[index] if index < len(self.node.inputs) else None

    def op(self, op_type: str, *inputs: str, **attributes: int) -> str:
        """The output of another node."""
        output = f"{self._prefix}/{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [output], name=output, **attributes))
        return output

    def constant(self, array: Array) -> str:
        """A constant of the model."""
        name = f"{self._prefix}/constant {len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        """The elements of x in another shape."""
        return self.op("Reshape", x, self.constant(np.array(shape, dtype=np.int64)))

    def finish(self, result: str) -> None:
        """Give the result the name of the node's output."""
        self.nodes.append(helper.make_node("Identity", [result], [self.node.outputs[0].name or ""]))

    def centred(self, index: int, zero_point: int, axis_from_end: int = 0) -> str:
        """An input minus its zero point, as int32.

        Args:
            index: of the input.
            zero_point: index of its zero point, which may be left out.
            axis_from_end: see `along`.
        """
        x, zero = _required(self.input(index)), self.input(zero_point)
        whole = self.op("Cast", _name(x), to=TensorProto.INT32)
        if zero is None:
            return whole
        aligned = self.along(_name(zero), _shape(zero), axis_from_end)
        return self.op("Sub", whole, self.op("Cast", aligned, to=TensorProto.INT32))

    def along(self, x: str, shape: Sequence[int], axis_from_end: int) -> str:
        """Scales or zero points, broadcast along an axis: a list of them is given axes of size 1 behind it.

        Args:
            x: one number, a list of numbers, or a tensor that broadcasts as it is.
            shape: of x.
            axis_from_end: how many axes lie behind the one that a list runs along.
        """
        return self.reshape(x, [-1] + [1] * axis_from_end) if len(shape) == 1 and axis_from_end else x

    def scale(self, index: int, axis_from_end: int = 0) -> str:
        """An input that holds scales, as float32."""
        value = _required(self.input(index))
        return self.op("Cast", self.along(_name(value), _shape(value), axis_from_end), to=TensorProto.FLOAT)

    def requantized(self, total: str, factor: str, zero_point: int) -> str:
        """`saturate(round(total * factor) + zero_point)`, rounding halves to even, in the zero point's type.

        Args:
            total: int32.
            factor: float32.
            zero_point: index of the input that holds it.
        """
        zero = _required(self.input(zero_point))
        assert zero.dtype is not None
        limits = np.iinfo(zero.dtype.numpy())
        rounded = self.op("Round", self.op("Mul", self.op("Cast", total, to=TensorProto.FLOAT), factor))
        moved = self.op("Add", rounded, self.op("Cast", _name(zero), to=TensorProto.FLOAT))
        ends = (self.constant(np.array(end, dtype=np.float32)) for end in (limits.min, limits.max))
        return self.op("Cast", self.op("Clip", moved, *ends), to=int(zero.dtype))


def _required(value: onnx_ir.Value | None) -> onnx_ir.Value:
    assert value is not None
    return value


def _name(value: onnx_ir.Value) -> str:
    return value.name or ""


def _shape(value: onnx_ir.Value) -> tuple[int, ...]:
    assert value.shape is not None
    return value.shape.numpy()


def _qlinear_matmul(f: _Formula) -> str:
    total = f.op("MatMul", f.centred(0, 2, axis_from_end=1), f.centred(3, 5))
    factor = f.op("Div", f.op("Mul", f.scale(1, axis_from_end=1), f.scale(4)), f.scale(6))
    return f.requantized(total, factor, 7)


def _qlinear_conv(f: _Formula) -> str:
    total = _convolution(f, weight=3, zero_points=(2, 5))
    spatial = len(_shape(f.node.outputs[0])) - 2
    if (bias := f.input(8)) is not None:
        total = f.op("Add", total, f.along(_name(bias), _shape(bias), spatial))
    factor = f.op("Div", f.op("Mul", f.scale(1), f.scale(4, axis_from_end=spatial)), f.scale(6))
    return f.requantized(total, factor, 7)


def _convolution(f: _Formula, weight: int, zero_points: tuple[int, int]) -> str:
    """The int32 sums of a convolution: the windows of the input are gathered, and multiplied with the weights.

    Args:
        f: of a convolution whose input is its first.
        weight: index of the weights.
        zero_points: indices of the zero points of the input and of the weights.
    """
    shape, kernel = _shape(_required(f.input(0))), _shape(_required(f.input(weight)))
    out, groups = _shape(f.node.outputs[0]), f.node.attributes.get_int("group", 1)
    before, after, index = _windows(f.node, shape[2:], kernel[2:], out[2:])
    pads = f.constant(np.array([0, 0, *before, 0, 0, *after], dtype=np.int64))
    # What is padded is the zero point, which is zero now.
    x = f.op("Pad", f.centred(0, zero_points[0]), pads)
    windows = f.op("Gather", f.reshape(x, (shape[0], groups, shape[1] // groups, -1)), f.constant(index), axis=3)
    columns = f.reshape(windows, (shape[0], groups, -1, index.shape[1]))
    w = f.reshape(f.centred(weight, zero_points[1], len(kernel) - 1), (groups, kernel[0] // groups, -1))
    return f.reshape(f.op("MatMul", w, columns), out)


def _windows(
    node: onnx_ir.Node, sizes: Sequence[int], kernel: Sequence[int], out: Sequence[int]
) -> tuple[list[int], list[int], IntArray]:
    """Padding before and after each spatial axis, and which padded elements each window holds.

    Returns:
        The two lists, and positions among the padded elements in row-major order; shape (elements of the kernel,
        elements of the output).
    """
    rank = len(sizes)
    strides = list(node.attributes.get_ints("strides", [1] * rank))
    dilations = list(node.attributes.get_ints("dilations", [1] * rank))
    pads = list(node.attributes.get_ints("pads", [0] * (2 * rank)))
    auto_pad = node.attributes.get_string("auto_pad", "NOTSET")
    before, after = pads[:rank], pads[rank:]
    if auto_pad.startswith("SAME"):
        reach = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(out, strides, kernel, dilations, strict=True)]
        missing = [max(r - n, 0) for r, n in zip(reach, sizes, strict=True)]
        smaller, larger = [m // 2 for m in missing], [m - m // 2 for m in missing]
        before, after = (smaller, larger) if auto_pad == "SAME_UPPER" else (larger, smaller)
    padded = [b + n + a for b, n, a in zip(before, sizes, after, strict=True)]
    index = np.zeros((1, 1), dtype=np.int64)
    for size, k, n, stride, dilation in zip(padded, kernel, out, strides, dilations, strict=True):
        along = np.arange(k)[:, None] * dilation + np.arange(n) * stride
        index = (index[:, None, :, None] * size + along[:, None, :]).reshape(len(index) * k, -1)
    return before, after, index


FORMULAS: dict[str, Callable[[_Formula], str]] = {
    "ConvInteger": lambda f: _convolution(f, weight=1, zero_points=(2, 3)),
    "MatMulInteger": lambda f: f.op("MatMul", f.centred(0, 2, axis_from_end=1), f.centred(1, 3)),
    "QLinearConv": _qlinear_conv,
    "QLinearMatMul": _qlinear_matmul,
}
"""The standard's operators that multiply 8-bit integers, each with the nodes that are written in its place."""

QUANTIZED = {*FORMULAS, "DequantizeLinear", "QuantizeLinear"}
"""The operators of which onnxruntime makes 8-bit products, alone or fused with what lies between them."""


def has_quantized(model: onnx_ir.Model) -> bool:
    """Whether onnxruntime may compute products of 8-bit integers for the model."""
    return any(node.domain in STANDARD_DOMAINS and node.op_type in QUANTIZED for node in model.graph)


def with_exact_products(model: onnx_ir.Model) -> Detached:
    """The model without any operator that saturates on some processors; every value keeps its name.

    Requantization is in float32: `round(float(sum) * (a_scale * b_scale / y_scale)) + zero_point`, as onnxruntime has
    it where it does not saturate. A form for numbers that are not 8-bit integers stays as it is.

    Args:
        model: as `zkinfer.compiler.onnx.load.load_model` returns it; left as it is.
    """
    result = detached_ir(model)
    proto = result.proto
    nodes: list[onnx.NodeProto] = []
    for node, stored in zip(model.graph, list(proto.graph.node), strict=True):
        if node.domain in STANDARD_DOMAINS and node.op_type in FORMULAS and _of_bytes(node):
            formula = _Formula(node)
            formula.finish(FORMULAS[node.op_type](formula))
            nodes += formula.nodes
            proto.graph.initializer.extend(formula.constants)
        else:
            nodes.append(stored)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return result


def _of_bytes(node: onnx_ir.Node) -> bool:
    integers = (onnx_ir.DataType.INT8, onnx_ir.DataType.UINT8)
    factors = (node.inputs[0], node.inputs[3] if node.op_type.startswith("QLinear") else node.inputs[1])
    results = node.outputs if node.op_type.startswith("QLinear") else ()
    return all(value is not None and value.dtype in integers for value in (*factors, *results))
