"""What a short model could make large, found before any tool expands it: functions within functions, and ranges."""

import math
from collections.abc import Iterable, Iterator

import onnx
from onnx import numpy_helper

from zkinfer.counts import counted
from zkinfer.errors import CompileError

MAX_NODES = 1 << 16
"""Nodes of a model whose functions are written out. Every pass over a model takes time for each."""

MAX_RANGE = 1 << 26
"""Elements of a Range of constants: the tools compute them one by one."""

Function = tuple[str, str, str]
"""Domain, name and overload."""


def require_bounded(proto: onnx.ModelProto) -> None:
    """Check that a model stays as large as it seems when its functions are written out and its constants computed.

    Raises:
        CompileError: it does not, or a function calls itself.
    """
    require_few_nodes(proto)
    for nodes in (proto.graph.node, *(function.node for function in proto.functions)):
        _require_short_ranges(list(_all_nodes(nodes)), proto.graph.initializer)


def require_few_nodes(proto: onnx.ModelProto) -> None:
    """Check that a model has no more nodes than are compiled, also when its functions are written out.

    Raises:
        CompileError: it has, or a function calls itself.
    """
    bodies = {(f.domain, f.name, f.overload): f.node for f in proto.functions}
    count = len(proto.graph.node)
    if count <= MAX_NODES:
        count = _Count(bodies).of(proto.graph.node)
    if count > MAX_NODES:
        raise CompileError(
            f"the model has {counted(count, 'node')} once its functions are written out; up to {MAX_NODES:,} are "
            "compiled"
        )


class _Count:
    """Counts nodes, those of a function once for all its calls."""

    def __init__(self, bodies: dict[Function, Iterable[onnx.NodeProto]]) -> None:
        self._bodies = bodies
        self._known: dict[Function, int] = {}
        self._open: list[Function] = []

    def of(self, nodes: Iterable[onnx.NodeProto]) -> int:
        """How many nodes these are, written out."""
        total = 0
        for node in _all_nodes(nodes):
            called = (node.domain, node.op_type, node.overload)
            total += self._function(called) if called in self._bodies else 1
        return total

    def _function(self, function: Function) -> int:
        if function in self._open or len(self._open) > 100:
            raise CompileError(f"function {function[1]!r} calls itself, or functions call each other too deep")
        if function not in self._known:
            self._open.append(function)
            self._known[function] = self.of(self._bodies[function])
            self._open.pop()
        return self._known[function]


def _all_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """The nodes and those of the graphs within them, which protobuf nests at most a hundred deep."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                yield from _all_nodes(graph.node)


def _require_short_ranges(nodes: Iterable[onnx.NodeProto], initializers: Iterable[onnx.TensorProto]) -> None:
    """Raises CompileError where a Range of constants has too many elements."""
    ranges = [node for node in nodes if node.op_type == "Range" and len(node.input) == 3]
    if not ranges:
        return
    known = {tensor.name: tensor for tensor in initializers}
    for node in nodes:
        if node.op_type == "Constant" and node.output:
            known.update((node.output[0], attribute.t) for attribute in node.attribute if attribute.name == "value")
    for node in ranges:
        start, limit, delta = (_scalar(known.get(name)) for name in node.input)
        if start is not None and limit is not None and delta is not None:
            require_short_range(node.name, start, limit, delta)


def require_short_range(name: str, start: float, limit: float, delta: float) -> None:
    """Raises CompileError where a Range of these ends has too many elements."""
    length = (limit - start) / delta if delta else 0.0
    if not math.isfinite(length) or length > MAX_RANGE:
        raise CompileError(f"node {name!r} (Range) has {length:.3g} elements; up to {MAX_RANGE} are computed")


def _scalar(tensor: onnx.TensorProto | None) -> float | None:
    """The value of a stored number; None where there is none."""
    if tensor is None or math.prod(tensor.dims) != 1:
        return None
    try:
        return float(numpy_helper.to_array(tensor).reshape(()))
    except Exception:  # a damaged tensor, which the checker names
        return None
