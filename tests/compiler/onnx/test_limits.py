"""Short models that would become large: refused by name before any tool writes them out."""

import itertools

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from zkinfer.compiler.onnx import limits, read
from zkinfer.compiler.onnx.limits import MAX_NODES, require_bounded
from zkinfer.compiler.onnx.load import load
from zkinfer.errors import CompileError

VERSIONS = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]


def model(
    nodes: list[onnx.NodeProto],
    tensors: tuple[onnx.TensorProto, ...] = (),
    functions: list[onnx.FunctionProto] | None = None,
) -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 4)) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], list(tensors))
    return helper.make_model(graph, opset_imports=VERSIONS, functions=functions or [])


def doubling(depth: int, first: str = "Relu") -> onnx.ModelProto:
    """Functions each of which calls the one before twice: 2^depth nodes in some 60 bytes for each."""
    functions = []
    for i in range(depth):
        inner, domain = (f"F{i - 1}", "local") if i else (first, "local" if first != "Relu" else "")
        body = [helper.make_node(inner, [a], [b], domain=domain) for a, b in (("a", "b"), ("b", "c"))]
        functions.append(helper.make_function("local", f"F{i}", ["a"], ["c"], body, VERSIONS))
    return model([helper.make_node(f"F{depth - 1}", ["x"], ["y"], domain="local")], functions=functions)


def test_functions_that_double_are_counted_and_not_written_out() -> None:
    hostile = doubling(30)
    assert hostile.ByteSize() < 2500
    with pytest.raises(CompileError, match=f"has {2**30:,} nodes once its functions are written out"):
        load(hostile.SerializeToString(), batch=1)
    require_bounded(doubling(MAX_NODES.bit_length() - 1))
    assert len(load(doubling(3).SerializeToString(), batch=1).model.graph) >= 1


def test_functions_that_call_themselves_are_refused() -> None:
    with pytest.raises(CompileError, match="calls itself"):
        require_bounded(doubling(3, first="F2"))


def test_a_model_of_too_many_nodes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_NODES", 3)
    names = ["x", "a", "b", "c", "y"]
    nodes = [helper.make_node("Relu", [a], [b]) for a, b in itertools.pairwise(names)]
    require_bounded(model(nodes[:3]))
    with pytest.raises(CompileError, match="has 4 nodes"):
        require_bounded(model(nodes))


def test_nodes_are_counted_before_any_pass_over_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million of them take a minute to go through."""
    monkeypatch.setattr(limits, "MAX_NODES", 3)
    monkeypatch.setattr(read, "_widen", lambda _: pytest.fail("went over the nodes"))
    nodes = [helper.make_node("Relu", [a], [b]) for a, b in itertools.pairwise(["x", "a", "b", "c", "y"])]
    with pytest.raises(CompileError, match="has 4 nodes"):
        read.read_model(model(nodes))


@pytest.mark.parametrize("stored", ["initializer", "Constant"])
@pytest.mark.parametrize(("ends", "good"), [((0, 1 << 36, 1), False), ((1 << 36, 0, -1), False), ((0, 8, 1), True)])
def test_a_range_is_not_written_out(ends: tuple[int, int, int], good: bool, stored: str) -> None:
    tensors = [helper.make_tensor(name, TensorProto.INT64, (), [end]) for name, end in zip("slD", ends, strict=True)]
    nodes = [helper.make_node("Range", ["s", "l", "D"], ["range"]), helper.make_node("Relu", ["x"], ["y"])]
    if stored == "Constant":
        nodes = [helper.make_node("Constant", [], [t.name], value=t) for t in tensors] + nodes
    hostile = model(nodes, () if stored == "Constant" else tuple(tensors))
    if good:
        require_bounded(hostile)
        return
    with pytest.raises(CompileError, match="elements; up to"):
        load(hostile.SerializeToString(), batch=1)


@pytest.mark.parametrize(("root", "good"), [(1 << 18, False), (4, True)])
def test_a_range_whose_end_is_computed_is_not_written_out(root: int, good: bool) -> None:
    ends = {"z": 0, "o": 1, "r": root}
    zero, one, end = (helper.make_tensor(name, TensorProto.INT64, (), [n]) for name, n in ends.items())
    nodes = [
        helper.make_node("Mul", ["r", "r"], ["square"]),
        helper.make_node("Range", ["z", "square", "o"], ["range"]),
        helper.make_node("Cast", ["range"], ["reals"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["reals"], ["largest"], keepdims=0),
        helper.make_node("Add", ["x", "largest"], ["y"]),
    ]
    hostile = model(nodes, (zero, one, end)).SerializeToString()
    if good:
        load(hostile, batch=1)
        return
    with pytest.raises(CompileError, match="elements; up to"):
        load(hostile, batch=1)


@pytest.mark.parametrize("operator", ["ConstantOfShape", "Expand", "Tile"])
def test_constants_of_gigabytes_are_not_made(operator: str) -> None:
    """They have a shape, and that is all that is looked at."""
    sizes = helper.make_tensor("sizes", TensorProto.INT64, (2,), [1 << 16, 1 << 16])
    one = helper.make_tensor("one", TensorProto.FLOAT, (1, 1), np.ones(1, np.float32))
    inputs = ["sizes"] if operator == "ConstantOfShape" else ["one", "sizes"]
    nodes = [
        helper.make_node(operator, inputs, ["large"]),
        helper.make_node("ReduceSum", ["large"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    with pytest.raises(CompileError, match="elements fit"):
        load(model(nodes, (sizes, one)).SerializeToString(), batch=1)


def test_a_tensor_that_is_declared_huge_is_refused() -> None:
    weights = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 1 << 40])
    with pytest.raises(CompileError, match="checker refuses"):
        load(model([helper.make_node("MatMul", ["x", "w"], ["y"])], (weights,)).SerializeToString(), batch=1)
