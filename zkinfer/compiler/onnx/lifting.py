"""Operators of one step of a loop, as operators on all steps at once.

A value of the body that differs from step to step gets one more axis, of time, in front; constants have none. What an
operator then is does not depend on how many steps there are, so that on one step it computes the same. Of an operator
that is not listed here, or of a form that mixes its steps, there is no such form, and the loop is unrolled.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir
from onnx_ir import Value

from zkinfer.compiler.calibration.float_model import numpy_type
from zkinfer.compiler.onnx.subgraph import Subgraph

Timed = Mapping[Value, Value]
"""For values of the body that differ from step to step, what they are at all steps."""

Lifted = Callable[[Subgraph, Timed], Sequence[Value]]
"""Emits what a node is on all steps, and gives its results, which have an axis of time in front."""

_OF_ONE = frozenset(
    (
        *("Abs", "Acosh", "Asinh", "Atan", "Cast", "Ceil", "Celu", "Clip", "Cos", "Cosh", "Dropout", "Elu", "Erf"),
        *("Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu", "Log", "Mish"),
        *("Neg", "Not", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus"),
        *("Softsign", "Sqrt", "Swish", "Tanh", "ThresholdedRelu"),
    )
)
"""Functions of each element of the first input; other inputs are constants."""

_OF_SEVERAL = frozenset(
    (
        *("Add", "And", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min"),
        *("Mul", "Or", "PRelu", "Pow", "Sub", "Sum", "Where", "Xor"),
    )
)
"""Functions of one element of each input, whose axes correspond from the last one on."""

_ALONG = {"Hardmax": -1, "LayerNormalization": -1, "LogSoftmax": -1, "Softmax": -1, "Split": 0}
"""Operators along an axis of the first input, and which it is by default; other inputs are constants."""

_REDUCTIONS = {"ReduceSum": 13, **dict.fromkeys(("ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin"), 18)}
_REDUCTIONS |= dict.fromkeys(("ReduceSumSquare", "ReduceLogSumExp"), 18)
"""Reductions, and from which operator set on their axes are an input."""

_REGROUPING = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")


def lifted(node: onnx_ir.Node, timed: Collection[Value], opset: int) -> Lifted | None:
    """What a node of a body is on all steps; None if there is no such form.

    Args:
        node: the shapes of its inputs and results are known.
        timed: the values of the body that differ from step to step: one of its inputs at least.
        opset: version of the standard operator set.
    """
    given = [value for value in node.inputs if value is not None]
    known = all(x.shape is not None and x.shape.is_static() and x.dtype is not None for x in (*given, node.outputs[0]))
    single = node.op_type == "Split" or not any(x.uses() or x.is_graph_output() for x in node.outputs[1:])
    if node.domain not in ("", "ai.onnx") or not known or not single or not given or 0 in _sizes(node.outputs[0]):
        return None
    first = given[0] in timed and not any(value in timed for value in given[1:])
    match node.op_type:
        case op if op in _OF_SEVERAL:
            return _of_several(node, timed)
        case "MatMul":
            return _product(node, timed)
        case "Gemm":
            return _affine(node, timed)
        case "Einsum":
            return _contraction(node, timed)
        case "Concat":
            return _joined(node)
        case "Gather":
            return _chosen(node, timed)
        case _ if not first:
            return None
        case op if op in _OF_ONE:
            return lambda s, at: [_op(s, node, "", op, [at[given[0]], *node.inputs[1:]], dict(node.attributes))]
        case op if op in _ALONG:
            return _along(node, _ALONG[op])
        case op if op in _REDUCTIONS:
            return _reduced(node, as_input=opset >= _REDUCTIONS[op])
        case op if op in _REGROUPING:
            return lambda s, at: [_regrouped(s, node, "", at[given[0]], _sizes(node.outputs[0]))]
        case "Transpose":
            return _transposed(node)
        case "Slice":
            return _sliced(node)
        case "Pad":
            return _padded(node)
        case "Expand":
            return _expanded(node)
        case "Tile":
            return _tiled(node)
        case _:
            return None


def _sizes(value: Value) -> tuple[int, ...]:
    assert value.shape is not None
    return value.shape.numpy()


def _op(
    s: Subgraph, node: onnx_ir.Node, step: str, op_type: str, inputs: Sequence[Value | None], attributes: dict[str, Any]
) -> Value:
    """A new node; without a name of its step it gives the result of the old one."""
    result = s.op(_name(node, step), op_type, *inputs, **attributes)
    if not step:
        result.type = node.outputs[0].type
    return result


def _name(node: onnx_ir.Node, step: str) -> str:
    return "/".join(part for part in (node.outputs[0].name, step) if part)


def _regrouped(s: Subgraph, node: onnx_ir.Node, step: str, x: Value, sizes: Sequence[int]) -> Value:
    """All steps of a value, each in another shape."""
    # Zero keeps the axis of time.
    shape = s.sizes(f"{_name(node, step)}/sizes", [0, *sizes])
    return _op(s, node, step, "Reshape", [x, shape], {})


def _aligned(s: Subgraph, node: onnx_ir.Node, place: int, at: Timed, rank: int) -> Value | None:
    """An input, whose axes but that of time correspond to the last ones of so many."""
    value = node.inputs[place]
    if value is None or value not in at:
        return value
    missing = rank - len(_sizes(value))
    if missing <= 0:
        return at[value]
    return _regrouped(s, node, f"wide{place}", at[value], (*(1,) * missing, *_sizes(value)))


def _of_several(node: onnx_ir.Node, timed: Collection[Value]) -> Lifted | None:
    rank = len(_sizes(node.outputs[0]))

    def emit(s: Subgraph, at: Timed) -> list[Value]:
        given = [_aligned(s, node, place, at, rank) for place in range(len(node.inputs))]
        return [_op(s, node, "", node.op_type, given, dict(node.attributes))]

    slope = node.op_type == "PRelu" and node.inputs[0] not in timed
    return None if slope else emit


def _product(node: onnx_ir.Node, timed: Collection[Value]) -> Lifted | None:
    a, b = node.inputs
    assert a is not None
    assert b is not None
    rank = max(len(_sizes(a)), len(_sizes(b)), 2)

    def emit(s: Subgraph, at: Timed) -> list[Value]:
        given, vectors = list[Value](), False
        for place, (value, row) in enumerate(((a, True), (b, False))):
            if value not in at:
                given.append(value)
                continue
            sizes = _sizes(value)
            if len(sizes) == 1:
                sizes, vectors = ((1, *sizes) if row else (*sizes, 1)), True
            sizes = (*(1,) * (rank - len(sizes)), *sizes)
            same = sizes == _sizes(value)
            given.append(at[value] if same else _regrouped(s, node, f"wide{place}", at[value], sizes))
        if not vectors:
            return [_op(s, node, "", "MatMul", given, {})]
        product = _op(s, node, "product", "MatMul", given, {})
        return [_regrouped(s, node, "", product, _sizes(node.outputs[0]))]

    return emit


def _affine(node: onnx_ir.Node, timed: Collection[Value]) -> Lifted | None:
    number = {"alpha": 1.0, "beta": 1.0} | {
        k: v.as_float() for k, v in node.attributes.items() if k in ("alpha", "beta")
    }
    c = node.inputs[2] if len(node.inputs) > 2 else None

    def emit(s: Subgraph, at: Timed) -> list[Value]:
        given = []
        for place, flag in enumerate(("transA", "transB")):
            value = node.inputs[place]
            assert value is not None
            x, in_time = at.get(value, value), value in at
            if flag in node.attributes and node.attributes[flag].as_int():
                x = _op(s, node, flag, "Transpose", [x], {"perm": [0, 2, 1] if in_time else [1, 0]})
            given.append(x)
        # Scaling the smaller operand, and a constant one best: it is folded with its number.
        result = _op(s, node, "product" if c is not None or number["alpha"] != 1 else "", "MatMul", given, {})
        if number["alpha"] != 1:
            factor = s.number(_name(node, "alpha"), number["alpha"], node.outputs[0])
            result = _op(s, node, "scaled" if c is not None else "", "Mul", [result, factor], {})
        if c is None:
            return [result]
        addend = _aligned(s, node, 2, at, 2)
        if number["beta"] != 1:
            factor = s.number(_name(node, "beta"), number["beta"], node.outputs[0])
            addend = _op(s, node, "addend", "Mul", [addend, factor], {})
        return [_op(s, node, "", "Add", [result, addend], {})]

    return emit


def _contraction(node: onnx_ir.Node, timed: Collection[Value]) -> Lifted | None:
    equation = node.attributes["equation"].as_string().replace(" ", "")
    left, arrow, out = equation.partition("->")
    time = next((c for c in "tABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in equation), None)
    if "." in equation or not arrow or time is None:
        return None
    letters = [time + own if value in timed else own for own, value in zip(left.split(","), node.inputs, strict=True)]
    attributes = {"equation": f"{','.join(letters)}->{time}{out}"}
    return lambda s, at: [
        _op(s, node, "", "Einsum", [x if x is None else at.get(x, x) for x in node.inputs], attributes)
    ]


def _axis(node: onnx_ir.Node, default: int | None = None) -> int:
    """The attribute `axis`, with the axis of time in front."""
    axis = node.attributes["axis"].as_int() if "axis" in node.attributes or default is None else default
    return axis if axis < 0 else axis + 1


def _joined(node: onnx_ir.Node) -> Lifted:
    axis = _axis(node)
    return lambda s, at: [_op(s, node, "", "Concat", [at[x] for x in node.inputs if x is not None], {"axis": axis})]


def needs_time(node: onnx_ir.Node) -> list[Value]:
    """The inputs that a lifted node reads step by step even if they are constants."""
    return [value for value in node.inputs if value is not None] if node.op_type == "Concat" else []


def _chosen(node: onnx_ir.Node, timed: Collection[Value]) -> Lifted | None:
    data, indices = node.inputs
    axis = _axis(node, 0)
    assert data is not None
    assert indices is not None
    if data in timed and indices not in timed:
        return lambda s, at: [_op(s, node, "", "Gather", [at[data], indices], {"axis": axis})]
    if data not in timed and axis - 1 in (0, -len(_sizes(data)) - 1):
        return lambda s, at: [_op(s, node, "", "Gather", [data, at[indices]], {"axis": 0})]
    return None


def _along(node: onnx_ir.Node, default: int) -> Lifted:
    attributes = {**node.attributes, "axis": _axis(node, default)}

    def emit(s: Subgraph, at: Timed) -> list[Value]:
        x, *others = node.inputs
        assert x is not None
        results = [Value(name=f"{s.name}/{value.name}", type=value.type) for value in node.outputs]
        s.nodes.append(
            onnx_ir.node(
                node.op_type, [at[x], *others], attributes, name=f"{s.name}/{node.outputs[0].name}", outputs=results
            )
        )
        return results

    return emit


def _constant_list(node: onnx_ir.Node, place: int) -> list[int] | None:
    """A constant list of integers that is an input; None if there is none."""
    value = node.inputs[place] if place < len(node.inputs) else None
    return None if value is None or value.const_value is None else [int(n) for n in value.const_value.numpy().ravel()]


def _is_computed(node: onnx_ir.Node, *places: int) -> bool:
    """Whether inputs that are lists of integers are not written down as constants."""
    given = [node.inputs[place] for place in places if place < len(node.inputs)]
    return any(value is not None and value.const_value is None for value in given)


def _moved(axes: Sequence[int], value: Value) -> list[int]:
    """Axes of a value, with the axis of time in front."""
    return [axis % len(_sizes(value)) + 1 for axis in axes]


def _reduced(node: onnx_ir.Node, *, as_input: bool) -> Lifted | None:
    x = node.inputs[0]
    assert x is not None
    axes = _constant_list(node, 1)
    if "axes" in node.attributes:
        axes = list(node.attributes["axes"].as_ints())
    if _is_computed(node, 1):
        return None
    kept = node.attributes["noop_with_empty_axes"].as_int() if "noop_with_empty_axes" in node.attributes else 0
    if not axes and kept:
        return None
    moved = _moved(axes or range(len(_sizes(x))), x)
    attributes: dict[str, Any] = {k: v for k, v in node.attributes.items() if k == "keepdims"}
    if not moved:
        return None
    if not as_input:
        return lambda s, at: [_op(s, node, "", node.op_type, [at[x]], {**attributes, "axes": moved})]
    return lambda s, at: [_op(s, node, "", node.op_type, [at[x], s.sizes(_name(node, "axes"), moved)], attributes)]


def _transposed(node: onnx_ir.Node) -> Lifted:
    x = node.inputs[0]
    assert x is not None
    axes = list(node.attributes["perm"].as_ints()) if "perm" in node.attributes else list(range(len(_sizes(x))))[::-1]
    return lambda s, at: [_op(s, node, "", "Transpose", [at[x]], {"perm": [0, *(axis + 1 for axis in axes)]})]


def _sliced(node: onnx_ir.Node) -> Lifted | None:
    x = node.inputs[0]
    assert x is not None
    starts = _constant_list(node, 1)
    if _is_computed(node, 1, 2, 3, 4) or starts is None:
        return None
    axes = _constant_list(node, 3)
    moved = _moved(range(len(starts)) if axes is None else axes, x)

    def emit(s: Subgraph, at: Timed) -> list[Value]:
        steps = node.inputs[4] if len(node.inputs) > 4 else None
        given = [at[x], *node.inputs[1:3], s.sizes(_name(node, "axes"), moved), *([steps] if steps is not None else [])]
        return [_op(s, node, "", "Slice", given, {})]

    return emit


def _padded(node: onnx_ir.Node) -> Lifted | None:
    x = node.inputs[0]
    pads, axes = _constant_list(node, 1), _constant_list(node, 3)
    assert x is not None
    if _is_computed(node, 1, 3) or pads is None:
        return None
    rank = len(_sizes(x))
    spread = [0] * (2 * (rank + 1))
    for place, axis in enumerate(_moved(range(rank) if axes is None else axes, x)):
        spread[axis], spread[axis + rank + 1] = pads[place], pads[place + len(pads) // 2]

    def emit(s: Subgraph, at: Timed) -> list[Value]:
        number = node.inputs[2] if len(node.inputs) > 2 else None
        given = [at[x], s.sizes(_name(node, "pads"), spread), *([number] if number is not None else [])]
        return [_op(s, node, "", "Pad", given, dict(node.attributes))]

    return emit


def _expanded(node: onnx_ir.Node) -> Lifted:
    sizes = _sizes(node.outputs[0])

    def emit(s: Subgraph, at: Timed) -> list[Value]:
        x = _aligned(s, node, 0, at, len(sizes))
        # One keeps the axis of time.
        return [_op(s, node, "", "Expand", [x, s.sizes(_name(node, "shape"), [1, *sizes])], {})]

    return emit


def _tiled(node: onnx_ir.Node) -> Lifted | None:
    x, repeats = node.inputs[0], _constant_list(node, 1)
    if x is None or repeats is None:
        return None
    return lambda s, at: [_op(s, node, "", "Tile", [at[x], s.sizes(_name(node, "repeats"), [1, *repeats])], {})]


def constant_in_time(s: Subgraph, name: str, value: Value, steps: int) -> Value:
    """A value that is the same at every step, with an axis of time in front."""
    sizes = _sizes(value)
    if value.const_value is not None:
        content = np.broadcast_to(value.const_value.numpy().astype(numpy_type(value)), (steps, *sizes))
        return s.constant(name, np.ascontiguousarray(content))
    row = s.reshape(f"{name}/row", value, (1, *sizes))
    result = s.op(name, "Expand", row, s.sizes(f"{name}/shape", (steps, *sizes)))
    result.type = value.type
    return result
