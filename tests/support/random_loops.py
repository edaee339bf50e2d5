"""Random models with Scans, Loops and Ifs, in each other too: the same seed gives the same model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from zkinfer.typing import Array

_T = TypeVar("_T")

MAX_STEPS = 5

MAX_DEPTH = 2
"""How deep graphs are within each other."""

MAX_ELEMENTS = 60


class Tensor(NamedTuple):
    """A tensor of floats."""

    name: str
    shape: tuple[int, ...]


@dataclass
class Model:
    """What all graphs of a model have in common.

    Attributes:
        rng: decides everything.
        opset: version of the operator set.
        constants: initializers of the outermost graph, which all graphs read.
        names: how many have been given.
    """

    rng: np.random.Generator
    opset: int
    constants: list[onnx.TensorProto] = field(default_factory=list)
    names: int = 0

    def name(self, stem: str) -> str:
        self.names += 1
        return f"{stem}{self.names}"

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def number(self, lo: int, hi: int) -> int:
        """A whole number, both ends included."""
        return int(self.rng.integers(lo, hi, endpoint=True))

    def choice(self, items: Sequence[_T]) -> _T:
        return items[int(self.rng.integers(len(items)))]


class Graph:
    """A graph under construction.

    Attributes:
        nodes: in order.
        floats: the tensors that it may read: its own, and those from outside.
        step: the number of the step, an integer; None where there is none.
    """

    def __init__(self, model: Model, floats: Sequence[Tensor], depth: int, step: str | None = None) -> None:
        self.model, self.depth, self.step = model, depth, step
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.floats = list(floats)

    def pick(self) -> Tensor:
        """A tensor to read, more likely a new one."""
        recent = self.floats[-4:]
        return self.model.choice(recent if self.model.chance(0.6) else self.floats)

    def op(self, op_type: str, inputs: Sequence[str], **attributes: Any) -> str:
        result = self.model.name(op_type.lower())
        self.nodes.append(helper.make_node(op_type, list(inputs), [result], **attributes))
        return result

    def keep(self, name: str, shape: Sequence[int]) -> Tensor:
        tensor = Tensor(name, tuple(int(n) for n in shape))
        self.floats.append(tensor)
        return tensor

    def constant(self, content: Any) -> str:
        """A constant: an initializer of the model or of this graph, or a node."""
        array = np.asarray(content)
        array = array.astype(np.float32) if array.dtype.kind == "f" else array
        name = self.model.name("constant")
        tensor = numpy_helper.from_array(array, name)
        where = self.model.number(0, 3)
        if where == 0:
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        elif where == 1:
            self.initializers.append(tensor)
        else:
            self.model.constants.append(tensor)
        return name

    def weights(self, *shape: int) -> str:
        rows = shape[-2] if len(shape) > 1 else 1
        return self.constant(self.model.rng.normal(size=shape) / max(rows, 1) ** 0.5)

    def fitted(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        """A function of a tensor with another shape."""
        if x.shape == tuple(shape):
            return x
        before, after = int(np.prod(x.shape)), int(np.prod(shape))
        row = self.op("Reshape", [x.name, self.constant(np.array([1, before]))])
        if before != after:
            row = self.op("MatMul", [row, self.weights(before, after)])
        return self.keep(self.op("Reshape", [row, self.constant(np.array(shape, dtype=np.int64))]), shape)

    def bounded(self, x: Tensor) -> Tensor:
        """The tensor, mostly by way of a function that keeps it small."""
        match self.model.number(0, 5):
            case 0 | 1:
                return self.keep(self.op("Tanh", [x.name]), x.shape)
            case 2:
                return self.keep(self.op("Clip", [x.name, self.constant(-2.0), self.constant(2.0)]), x.shape)
            case 3:
                return self.keep(self.op("Mul", [x.name, self.constant(0.5)]), x.shape)
            case 4:
                return self.keep(self.op("Sigmoid", [x.name]), x.shape)
            case _:
                return x

    def grow(self, count: int) -> None:
        """Add operators."""
        for _ in range(count):
            x = self.pick()
            made = self.model.choice(_ALL)(self, x)
            if made is not None and np.prod(made.shape) > MAX_ELEMENTS:
                self.floats.remove(made)


Maker = Callable[[Graph, Tensor], Tensor | None]


def _unary(g: Graph, x: Tensor) -> Tensor:
    op = g.model.choice(
        ("Tanh", "Sigmoid", "Relu", "Neg", "Abs", "Softplus", "Erf", "Elu", "LeakyRelu", "Identity", "HardSigmoid")
    )
    return g.keep(g.op(op, [x.name]), x.shape)


def _with_number(g: Graph, x: Tensor) -> Tensor:
    op, number = g.model.choice(("Add", "Mul", "Sub", "Div", "Max", "Min")), g.model.rng.uniform(0.5, 1.5)
    given = [x.name, g.constant(number)]
    return g.keep(g.op(op, given if op == "Div" or g.model.chance(0.5) else given[::-1]), x.shape)


def _binary(g: Graph, x: Tensor) -> Tensor:
    others = [y for y in g.floats if y.shape == x.shape or y.shape == x.shape[1:]]
    op, y = g.model.choice(("Add", "Sub", "Mul", "Max", "Min", "Mean", "Sum")), g.model.choice(others)
    return g.keep(g.op(op, [x.name, y.name] if g.model.chance(0.5) else [y.name, x.name]), x.shape)


def _with_bias(g: Graph, x: Tensor) -> Tensor:
    op = g.model.choice(("Add", "Sub", "Mul", "Max"))
    return g.keep(g.op(op, [x.name, g.weights(*x.shape[-1:])]), x.shape)


def _divided(g: Graph, x: Tensor) -> Tensor:
    y = g.model.choice([y for y in g.floats if y.shape == x.shape])
    size = g.op("Add", [g.op("Abs", [y.name]), g.constant(1.0)])
    return g.keep(g.op("Div", [x.name, size]), x.shape)


def _product(g: Graph, x: Tensor) -> Tensor | None:
    if not x.shape:
        return None
    n = g.model.number(1, 5)
    if g.model.chance(0.2):
        return g.keep(g.op("MatMul", [g.weights(n, x.shape[-1]), g.op("Reshape", [x.name, g.constant(
            np.array([x.shape[-1], -1]))])]), (n, int(np.prod(x.shape[:-1]))))  # fmt: skip
    return g.keep(g.op("MatMul", [x.name, g.weights(x.shape[-1], n)]), (*x.shape[:-1], n))


def _affine(g: Graph, x: Tensor) -> Tensor | None:
    if len(x.shape) != 2:
        return None
    n, turned, flipped = g.model.number(1, 4), g.model.chance(0.3), g.model.chance(0.3)
    rows, inner = x.shape[::-1] if turned else x.shape
    weights = g.weights(n, inner) if flipped else g.weights(inner, n)
    given = [x.name, weights, *([g.weights(n)] if g.model.chance(0.7) else [])]
    numbers = {"alpha": 0.5} if g.model.chance(0.3) else {}
    return g.keep(g.op("Gemm", given, transA=int(turned), transB=int(flipped), **numbers), (rows, n))


def _squared(g: Graph, x: Tensor) -> Tensor | None:
    """A product of computed matrices."""
    if len(x.shape) < 2:
        return None
    axes = [*range(len(x.shape) - 2), len(x.shape) - 1, len(x.shape) - 2]
    y = g.op("Transpose", [x.name], perm=axes)
    product = g.op("MatMul", [x.name, y])
    scaled = g.op("Mul", [product, g.constant(1 / x.shape[-1])])
    return g.keep(scaled, (*x.shape[:-1], x.shape[-2]))


def _softmax(g: Graph, x: Tensor) -> Tensor | None:
    if not x.shape:
        return None
    op = g.model.choice(("Softmax", "Softmax", "LogSoftmax"))
    return g.keep(g.op(op, [x.name], axis=_axis(g, x)), x.shape)


def _axis(g: Graph, x: Tensor) -> int:
    axis = g.model.number(0, len(x.shape) - 1)
    return axis - len(x.shape) if g.model.chance(0.3) else axis


def _reduced(g: Graph, x: Tensor) -> Tensor | None:
    if not x.shape:
        return None
    op, axis, keep = g.model.choice(("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin")), _axis(g, x), True
    keep = g.model.chance(0.5)
    shape = list(x.shape)
    shape[axis : axis + 1 or None] = [1] if keep else []
    if op == "ReduceSum" or g.model.opset >= 18:
        return g.keep(g.op(op, [x.name, g.constant(np.array([axis]))], keepdims=int(keep)), shape)
    return g.keep(g.op(op, [x.name], axes=[axis], keepdims=int(keep)), shape)


def _normalized(g: Graph, x: Tensor) -> Tensor | None:
    if g.model.opset < 17 or not x.shape or x.shape[-1] < 3:
        return None
    n = x.shape[-1]
    return g.keep(g.op("LayerNormalization", [x.name, g.weights(n), g.weights(n)], epsilon=0.1), x.shape)


def _turned(g: Graph, x: Tensor) -> Tensor:
    axes = [int(axis) for axis in g.model.rng.permutation(len(x.shape))]
    return g.keep(g.op("Transpose", [x.name], perm=axes), [x.shape[axis] for axis in axes])


def _regrouped(g: Graph, x: Tensor) -> Tensor:
    match g.model.number(0, 3):
        case 0:
            axis = g.model.number(0, len(x.shape))
            shape = (*x.shape[:axis], 1, *x.shape[axis:])
            return g.keep(g.op("Unsqueeze", [x.name, g.constant(np.array([axis]))]), shape)
        case 1 if 1 in x.shape:
            axis = x.shape.index(1)
            shape = (*x.shape[:axis], *x.shape[axis + 1 :])
            return g.keep(g.op("Squeeze", [x.name, g.constant(np.array([axis]))]), shape)
        case 2 if x.shape:
            axis = g.model.number(0, len(x.shape))
            shape = (int(np.prod(x.shape[:axis])), int(np.prod(x.shape[axis:])))
            return g.keep(g.op("Flatten", [x.name], axis=axis), shape)
        case _:
            shape = (1, int(np.prod(x.shape)))
            return g.keep(g.op("Reshape", [x.name, g.constant(np.array([1, -1]))]), shape)


def _joined(g: Graph, x: Tensor) -> Tensor | None:
    if not x.shape:
        return None
    axis = _axis(g, x)
    others = [y for y in g.floats if y.shape == x.shape]
    given = [x.name, g.model.choice(others).name]
    if g.model.chance(0.3):
        given.insert(g.model.number(0, 2), g.weights(*x.shape))
    shape = list(x.shape)
    shape[axis] *= len(given)
    return g.keep(g.op("Concat", given, axis=axis), shape)


def _sliced(g: Graph, x: Tensor) -> Tensor | None:
    if not x.shape:
        return None
    axis = _axis(g, x)
    size = x.shape[axis]
    start, stride = g.model.number(0, size - 1), g.model.choice((1, 1, 2, -1))
    end = g.model.number(start + 1, size) if stride > 0 else -size - 1
    kept = len(range(size)[start : end if stride > 0 else None : stride])
    shape = list(x.shape)
    shape[axis] = kept
    numbers = [g.constant(np.array([n])) for n in (start, end, axis, stride)]
    return g.keep(g.op("Slice", [x.name, *numbers]), shape)


def _split(g: Graph, x: Tensor) -> Tensor | None:
    if not x.shape or x.shape[-1] < 2:
        return None
    sizes = [1, x.shape[-1] - 1]
    names = [g.model.name("split") for _ in sizes]
    g.nodes.append(helper.make_node("Split", [x.name, g.constant(np.array(sizes))], names, axis=-1))
    for name, size in zip(names, sizes, strict=True):
        tensor = g.keep(name, (*x.shape[:-1], size))
    return tensor


def _gathered(g: Graph, x: Tensor) -> Tensor | None:
    """Elements at constant places, or at the number of the step."""
    if not x.shape:
        return None
    axis = _axis(g, x)
    size = x.shape[axis]
    rest = list(x.shape)
    if g.step is not None and size >= MAX_STEPS and g.model.chance(0.7):
        del rest[axis]
        return g.keep(g.op("Gather", [x.name, g.step], axis=axis), rest)
    places = g.model.rng.integers(-size, size, size=g.model.number(1, 3))
    rest[axis] = len(places)
    return g.keep(g.op("Gather", [x.name, g.constant(places)], axis=axis), rest)


def _padded(g: Graph, x: Tensor) -> Tensor | None:
    if not x.shape:
        return None
    pads = g.model.rng.integers(0, 1, size=(2, len(x.shape)), endpoint=True)
    mode = g.model.choice(("constant", "edge"))
    given = [
        x.name,
        g.constant(pads.ravel()),
        *([g.constant(0.5)] if mode == "constant" and g.model.chance(0.5) else []),
    ]
    return g.keep(g.op("Pad", given, mode=mode), np.array(x.shape) + pads.sum(axis=0))


def _expanded(g: Graph, x: Tensor) -> Tensor:
    n = g.model.number(1, 3)
    if x.shape and g.model.chance(0.5):
        repeats = [n, *[1] * (len(x.shape) - 1)]
        return g.keep(g.op("Tile", [x.name, g.constant(np.array(repeats))]), (x.shape[0] * n, *x.shape[1:]))
    return g.keep(g.op("Expand", [x.name, g.constant(np.array([n, *x.shape]))]), (n, *x.shape))


def _picture(g: Graph, x: Tensor) -> Tensor:
    """The tensor as one channel or several, along one axis or two."""
    count = int(np.prod(x.shape))
    shape: tuple[int, ...] = g.model.choice([(1, k, count // k) for k in range(1, count + 1) if count % k == 0])
    if g.model.chance(0.4):
        last = g.model.choice([k for k in range(1, shape[2] + 1) if shape[2] % k == 0])
        shape = (*shape[:2], shape[2] // last, last)
    return g.keep(g.op("Reshape", [x.name, g.constant(np.array(shape))]), shape)


def _convolved(g: Graph, x: Tensor) -> Tensor:
    x = _picture(g, x)
    channels, along = g.model.number(1, 3), x.shape[2:]
    kernel = [g.model.number(1, min(3, n)) for n in along]
    weights = g.constant(g.model.rng.normal(size=(channels, x.shape[1], *kernel)) / (x.shape[1] * np.prod(kernel)))
    given = [x.name, weights, *([g.weights(channels)] if g.model.chance(0.5) else [])]
    sizes = [n - k + 1 for n, k in zip(along, kernel, strict=True)]
    return g.keep(g.op("Conv", given), (1, channels, *sizes))


def _pooled(g: Graph, x: Tensor) -> Tensor:
    x = _picture(g, x)
    along = x.shape[2:]
    kernel = [g.model.number(1, min(3, n)) for n in along]
    strides = [g.model.number(1, 2) for _ in along]
    pads = [g.model.number(0, (k - 1) // 2) for k in (*kernel, *kernel)]
    up = g.model.chance(0.5)
    op = g.model.choice(("MaxPool", "AveragePool"))
    sizes = []
    for i, (n, k, s) in enumerate(zip(along, kernel, strides, strict=True)):
        room = n + pads[i] + pads[i + len(along)] - k
        count = -(-room // s) + 1 if up else room // s + 1
        # A window that would start in the padding at the end is left out.
        count -= up and (count - 1) * s >= n + pads[i]
        sizes.append(count)
    result = g.op(op, [x.name], kernel_shape=kernel, strides=strides, pads=pads, ceil_mode=int(up))
    return g.keep(result, (*x.shape[:2], *sizes))


def _chosen(g: Graph, x: Tensor) -> Tensor:
    """The larger of two, or one of two by the number of the step."""
    y = g.model.choice([y for y in g.floats if y.shape == x.shape])
    if g.step is not None and g.model.chance(0.6):
        condition = g.op("Less", [g.step, g.constant(np.array(g.model.number(0, MAX_STEPS)))])
    else:
        condition = g.op("Greater", [x.name, y.name])
        if g.model.chance(0.3):
            condition = g.op("Not", [g.op("Not", [condition])])
    return g.keep(g.op("Where", [condition, x.name, y.name]), x.shape)


def _numbered(g: Graph, x: Tensor) -> Tensor | None:
    """Together with the number of the step."""
    if g.step is None:
        return None
    real = g.op("Mul", [g.op("Cast", [g.step], to=TensorProto.FLOAT), g.constant(0.25)])
    return g.keep(g.op(g.model.choice(("Add", "Mul")), [x.name, real]), x.shape)


def _table(g: Graph, x: Tensor) -> Tensor | None:
    """Together with a row of a table, at the number of the step."""
    if g.step is None or not x.shape:
        return None
    row = g.op("Gather", [g.weights(MAX_STEPS, x.shape[-1]), g.step])
    return g.keep(g.op("Add", [x.name, row]), x.shape)


def _branched(g: Graph, x: Tensor) -> Tensor | None:
    """An If that the number of the step decides, or a constant."""
    if g.depth >= MAX_DEPTH:
        return None
    if g.step is not None and g.model.chance(0.7):
        condition = g.op("Less", [g.step, g.constant(np.array(g.model.number(0, MAX_STEPS)))])
    else:
        condition = g.constant(np.array(g.model.chance(0.5)))
    branches, shape = {}, x.shape
    for key in ("then_branch", "else_branch"):
        inner = Graph(g.model, g.floats, g.depth + 1, g.step)
        inner.grow(g.model.number(1, 3))
        result = inner.fitted(inner.pick(), shape)
        branches[key] = _finished(inner, key, [], [inner.op("Identity", [result.name])])
    return g.keep(g.op("If", [condition], **branches), shape)


def _finished(
    g: Graph, stem: str, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[str], booleans: Sequence[str] = (),
    integers: Sequence[str] = (),
) -> onnx.GraphProto:  # fmt: skip
    types = dict.fromkeys(booleans, TensorProto.BOOL) | dict.fromkeys(integers, TensorProto.INT64)
    infos = [helper.make_tensor_value_info(name, types.get(name, TensorProto.FLOAT), None) for name in outputs]
    return helper.make_graph(g.nodes, g.model.name(stem), list(inputs), infos, g.initializers)


def _info(name: str, shape: Sequence[int] | None, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


class _Results(NamedTuple):
    """What a body gives, as names of different values."""

    states: list[str]
    collected: list[Tensor]


def _body(g: Graph, states: Sequence[Tensor], collected: int) -> _Results:
    """Fill a body: what becomes of each state, and what is collected."""
    g.grow(g.model.number(2, 7))
    after, rows = list[str](), list[Tensor]()
    for state in states:
        if g.model.chance(0.1):
            after.append(g.op("Identity", [state.name]))
            continue
        x = g.bounded(g.fitted(g.pick(), state.shape))
        after.append(
            g.op("Identity", [x.name]) if g.model.chance(0.3) or x not in _made(g) or x.name in after else x.name
        )
    for _ in range(collected):
        x = g.pick()
        same = x in _made(g) and x.name not in after and x not in rows
        rows.append(x if same and g.model.chance(0.6) else Tensor(g.op("Identity", [x.name]), x.shape))
    return _Results(after, rows)


def _made(g: Graph) -> list[Tensor]:
    names = {name for node in g.nodes for name in node.output}
    return [x for x in g.floats if x.name in names]


def _scan(g: Graph, x: Tensor) -> Tensor | None:
    if g.depth >= MAX_DEPTH:
        return None
    m = g.model
    long = [y for y in g.floats if y.shape and max(y.shape) <= MAX_STEPS]
    if not long:
        return None
    axes, sources = [], []
    first = m.choice(long)
    axis = m.number(0, len(first.shape) - 1)
    steps = first.shape[axis]
    sources, axes = [first], [axis]
    if m.chance(0.4):
        y = m.choice([y for y in g.floats if steps in y.shape])
        sources.append(y)
        axes.append(m.choice([k for k, n in enumerate(y.shape) if n == steps]))
    initial = [m.choice(g.floats) for _ in range(m.choice((0, 1, 1, 1, 2)))]
    states = [Tensor(m.name("state"), y.shape) for y in initial]
    elements = [
        Tensor(m.name("element"), (*y.shape[:k], *y.shape[k + 1 :])) for y, k in zip(sources, axes, strict=True)
    ]
    inner = Graph(m, [*g.floats, *elements, *states], g.depth + 1)
    stated = m.chance(0.5)
    found = _body(inner, states, m.number(int(not states), 2))
    inputs = [_info(y.name, y.shape if stated else None) for y in (*states, *elements)]
    body = _finished(inner, "body", inputs, [*found.states, *(y.name for y in found.collected)])
    for info, y in zip(body.output, (*states, *found.collected), strict=True):
        # onnxruntime needs the ranks.
        info.CopyFrom(_info(info.name, y.shape))
    out = [m.number(0, len(y.shape)) for y in found.collected]
    names = [m.name("scan") for _ in body.output]
    turned = [k - len(y.shape) if m.chance(0.3) else k for k, y in zip(axes, sources, strict=True)]
    attributes: dict[str, Any] = {
        "scan_input_axes": turned,
        "scan_input_directions": [m.number(0, 1) for _ in axes],
    }
    if out:
        attributes |= {"scan_output_axes": out, "scan_output_directions": [m.number(0, 1) for _ in out]}
    g.nodes.append(
        helper.make_node(
            "Scan", [*(y.name for y in initial), *(y.name for y in sources)], names, body=body,
            num_scan_inputs=len(sources), **attributes,
        )
    )  # fmt: skip
    shapes = [y.shape for y in states]
    shapes += [(*y.shape[:k], steps, *y.shape[k:]) for y, k in zip(found.collected, out, strict=True)]
    return [g.keep(name, shape) for name, shape in zip(names, shapes, strict=True)][-1]


def _loop(g: Graph, x: Tensor) -> Tensor | None:
    if g.depth >= MAX_DEPTH:
        return None
    m = g.model
    steps, most = m.number(1, MAX_STEPS), m.number(1, MAX_STEPS)
    initial = [m.choice(g.floats) for _ in range(m.choice((0, 1, 1, 1, 2)))]
    states = [Tensor(m.name("state"), y.shape) for y in initial]
    number, going = m.name("number"), m.name("going")
    inner = Graph(m, [*g.floats, *states], g.depth + 1, number)
    counter = m.name("counter") if m.chance(0.3) else None
    counted, still = list[str](), ""
    if counter is not None:
        counted = [inner.op("Add", [counter, inner.constant(np.array(1))])]
    kind = m.number(0, 2)
    if kind == 0:
        still = inner.op("Identity", [going])
    elif kind == 1:
        still = inner.op("Less", [number, inner.constant(np.array(steps - 1))])
    elif counter is not None:
        still = inner.op("Less", [counted[0], inner.constant(np.array(steps))])
    else:
        still = inner.op("Not", [inner.op("Not", [going])])
    ends = kind == 1 or (kind == 2 and counter is not None)
    if ends:
        runs, limit = (min(steps, most), most) if m.chance(0.5) else (steps, None)
    else:
        runs, limit = most, most
    found = _body(inner, states, m.number(int(not states), 2))
    inputs = [_info(number, [], TensorProto.INT64), _info(going, [], TensorProto.BOOL)]
    inputs += [] if counter is None else [_info(counter, [], TensorProto.INT64)]
    inputs += [_info(y.name, y.shape if m.chance(0.5) else None) for y in states]
    body = _finished(
        inner, "body", inputs, [still, *counted, *found.states, *(y.name for y in found.collected)], [still], counted
    )
    given = [
        "" if limit is None else g.constant(np.array(limit)),
        g.constant(np.array(True)) if ends or m.chance(0.5) else "",
        *([] if counter is None else [g.constant(np.array(0))]),
        *(y.name for y in initial),
    ]
    names = [m.name("loop") for _ in body.output[1:]]
    g.nodes.append(helper.make_node("Loop", given, names, body=body))
    shapes = [y.shape for y in states] + [(runs, *y.shape) for y in found.collected]
    kept = names[len(counted) :]
    return [g.keep(name, shape) for name, shape in zip(kept, shapes, strict=True)][-1]


_MAKERS: Sequence[tuple[Maker, int]] = (
    (_unary, 4), (_with_number, 2), (_binary, 4), (_with_bias, 2), (_divided, 1), (_product, 3), (_affine, 2),
    (_squared, 1), (_softmax, 1), (_reduced, 2), (_normalized, 1), (_turned, 1), (_regrouped, 2), (_joined, 1),
    (_sliced, 1), (_split, 1), (_gathered, 2), (_padded, 1), (_expanded, 1), (_convolved, 1), (_pooled, 1),
    (_chosen, 2), (_numbered, 2), (_table, 1), (_branched, 1), (_scan, 1), (_loop, 1),
)  # fmt: skip
_ALL = [maker for maker, weight in _MAKERS for _ in range(weight)]


def random_model(seed: int) -> onnx.ModelProto:
    """A model that onnxruntime should run, with one Scan or Loop at least; the batch is one."""
    rng = np.random.default_rng(seed)
    model = Model(rng, int(rng.choice([13, 16, 17, 18, 21])))
    inputs = [
        Tensor(f"x{k}", (1, *(model.number(1, 4) for _ in range(model.number(1, 3)))))
        for k in range(model.number(1, 2))
    ]
    main = Graph(model, inputs, 0)
    main.grow(model.number(0, 3))
    before = len(main.floats)
    while len(main.floats) == before:
        made = (_scan if model.chance(0.5) else _loop)(main, main.pick())
    assert made is not None
    results = main.floats[before:]
    if model.chance(0.5):
        main.grow(model.number(1, 4))
        results.append(main.floats[-1])
    outputs = []
    for place, x in enumerate(results):
        outputs.append(f"y{place}")
        if x.shape[:1] == (1,):
            main.nodes.append(helper.make_node("Identity", [x.name], outputs[-1:]))
        else:
            main.nodes.append(helper.make_node("Unsqueeze", [x.name, main.constant(np.array([0]))], outputs[-1:]))
    graph = helper.make_graph(
        main.nodes,
        "random",
        [_info(x.name, x.shape) for x in inputs],
        [_info(name, None) for name in outputs],
        [*model.constants, *main.initializers],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", model.opset)], ir_version=8)


def random_inputs(model: onnx.ModelProto, count: int, seed: int) -> list[Array]:
    """So many samples of each input, between -2 and 2."""
    rng = np.random.default_rng(seed)
    shapes = [[dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in model.graph.input]
    return [np.clip(rng.uniform(-2.3, 2.3, size=(count, *shape[1:])), -2, 2).astype(np.float32) for shape in shapes]
