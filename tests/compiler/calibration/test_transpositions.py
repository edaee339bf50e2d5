"""Products with transposed matrices, as onnxruntime runs them."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from zkinfer.compiler.calibration.detached import detached
from zkinfer.compiler.calibration.float_model import open_session
from zkinfer.compiler.calibration.transpositions import fuse_transpositions

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(700, 400)).astype(np.float32)
"""Larger than what stays in the message."""

X = RNG.normal(size=(2, 3, 400)).astype(np.float32)


def model(*nodes: onnx.NodeProto, outputs: tuple[str, ...] = ("y",), table: np.ndarray = TABLE) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "tied",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 400])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(table, "table")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


TRANSPOSE = helper.make_node("Transpose", ["table"], ["turned"], perm=[1, 0])
PRODUCT = helper.make_node("MatMul", ["x", "turned"], ["y"])


def fused(proto: onnx.ModelProto) -> list[str]:
    """The operators that onnxruntime is given."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    given, feeds = detached(copy).with_inputs()
    fuse_transpositions(given, feeds)
    return [node.op_type for node in given.graph.node]


@pytest.mark.parametrize("transpose", [TRANSPOSE, helper.make_node("Transpose", ["table"], ["turned"])])
def test_a_product_reads_the_matrix_as_it_is(transpose: onnx.NodeProto) -> None:
    assert fused(model(transpose, PRODUCT)) == ["FusedMatMul"]
    (found,) = open_session(detached(model(transpose, PRODUCT)), optimized=False).run(None, {"x": X})
    np.testing.assert_allclose(found, X @ TABLE.T, rtol=1e-4, atol=1e-3)


def test_another_reader_of_the_table_reads_what_it_read() -> None:
    rows = helper.make_node("ReduceSum", ["table"], ["sum"], keepdims=0)
    proto = model(TRANSPOSE, PRODUCT, rows, outputs=("y", "sum"))
    assert fused(proto) == ["FusedMatMul", "ReduceSum"]
    found = open_session(detached(proto), optimized=False).run(None, {"x": X})
    np.testing.assert_allclose(found[1], TABLE.sum(), rtol=1e-3)


SQUARE = RNG.normal(size=(600, 600)).astype(np.float32)


@pytest.mark.parametrize(
    "proto",
    [
        model(TRANSPOSE, PRODUCT, outputs=("y", "turned")),
        model(TRANSPOSE, PRODUCT, helper.make_node("Relu", ["turned"], ["z"]), outputs=("y", "z")),
        model(TRANSPOSE, helper.make_node("MatMul", ["turned", "table"], ["y"])),
        model(helper.make_node("Transpose", ["table"], ["turned"], perm=[0, 1]), PRODUCT, table=TABLE.T.copy()),
        model(TRANSPOSE, PRODUCT, table=TABLE.reshape(1, 700, 400).repeat(2, axis=0).transpose(2, 1, 0).copy()),
        model(TRANSPOSE, PRODUCT, table=TABLE[:10]),
        model(TRANSPOSE, helper.make_node("MatMul", ["turned", "turned"], ["y"]), table=SQUARE),
    ],
    ids=["output", "other reader", "left factor", "not swapped", "three axes", "small", "both factors"],
)
def test_what_is_not_such_a_product_stays(proto: onnx.ModelProto) -> None:
    assert fused(proto) == [node.op_type for node in proto.graph.node]


def test_a_loop_that_reads_the_transposed_matrix_has_it() -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["turned"], ["inside"])],
        "body",
        [],
        [helper.make_tensor_value_info("inside", TensorProto.FLOAT, None)],
    )
    choice = helper.make_node("If", ["yes"], ["z"], then_branch=body, else_branch=body)
    proto = model(TRANSPOSE, PRODUCT, choice, outputs=("y", "z"))
    proto.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    assert fused(proto) == ["Transpose", "MatMul", "If"]
    found = open_session(detached(proto), optimized=False).run(None, {"x": X})
    np.testing.assert_array_equal(found[1], TABLE.T)
