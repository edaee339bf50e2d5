"""A model with its large tensors beside the message is the same model, to every tool, and holds each of them once."""

import numpy as np
import onnx
import onnx_ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from zkinfer.compiler.calibration import detached as under_test
from zkinfer.compiler.calibration.detached import Detached, detached, detached_ir, joined_ir
from zkinfer.compiler.calibration.float_model import FloatModel, open_session
from zkinfer.compiler.onnx.load import load_model
from zkinfer.errors import CompileError
from zkinfer.typing import Array

X = np.random.default_rng(0).uniform(-1, 1, (3, 1, 8)).astype(np.float32)


@pytest.fixture(autouse=True)
def _everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "LEAST_BYTES", 64)


def two_products() -> onnx.ModelProto:
    """Two matrix products and a sum: two large tensors, and one that is not."""
    rng = np.random.default_rng(1)
    tensors = {"w": rng.normal(size=(8, 5)), "b": rng.normal(size=5), "u": rng.normal(size=(5, 9))}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="first"),
        helper.make_node("Add", ["h", "b"], ["s"], name="sum"),
        helper.make_node("MatMul", ["s", "u"], ["y"], name="second"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 9])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def contents(model: onnx.ModelProto) -> dict[str, Array]:
    """The initializers of a model."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def test_the_message_holds_small_tensors_alone() -> None:
    model = two_products()
    size = model.ByteSize()
    found = detached(two_products())
    assert [array.shape for array in found.arrays.values()] == [(8, 5), (5, 9)]
    assert found.proto.ByteSize() < size - 4 * (8 * 5 + 5 * 9) + 200
    assert [tensor.name for tensor in found.proto.graph.initializer] == ["w", "b", "u"]
    assert found.nbytes >= size - 100


def test_put_together_it_is_what_it_was() -> None:
    whole = detached(two_products()).whole()
    assert whole.SerializeToString(deterministic=True) == two_products().SerializeToString(deterministic=True)


def test_tools_that_take_no_placeholders_take_inputs() -> None:
    model, feeds = detached(two_products()).with_inputs()
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.input] == ["x", "w", "u"]
    assert {name: array.shape for name, array in feeds.items()} == {"w": (8, 5), "u": (5, 9)}


def test_it_runs_as_the_whole_model_does() -> None:
    stored = detached(two_products())
    sessions = [open_session(model, optimized=False) for model in (two_products(), stored)]
    for x in X:
        (expected,), (found,) = (session.run(None, {"x": x}) for session in sessions)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert [value.name for value in sessions[1].get_inputs()] == ["x"]
    assert [value.name for value in sessions[1].get_outputs()] == ["y"]


def test_all_forms_share_the_arrays() -> None:
    stored = detached(two_products())
    again = detached_ir(stored.to_ir())
    for before, after in zip(stored.arrays.values(), again.arrays.values(), strict=True):
        assert np.shares_memory(before, after)
    model = load_model(two_products(), batch=1)
    constants = [value.const_value for value in model.graph.initializers.values()]
    large = [tensor.numpy() for tensor in constants if tensor is not None and tensor.size > 9]
    first, second = (detached_ir(model).arrays.values() for _ in range(2))
    assert len(large) == 2
    for arrays in zip(large, first, second, strict=True):
        assert np.shares_memory(arrays[0], arrays[1])
        assert np.shares_memory(arrays[0], arrays[2])
    FloatModel(model).run([X])
    assert all(isinstance(model.graph.initializers[name].const_value, onnx_ir.Tensor) for name in ("w", "u"))


def test_joined_bytes_are_an_onnx_file_and_hold_the_tensors() -> None:
    model = load_model(two_products(), batch=1)
    before = contents(onnx_ir.serde.serialize_model(model))
    data = joined_ir(model)
    after = onnx.load_model_from_string(data)
    onnx.checker.check_model(after, full_check=True)
    assert contents(after).keys() == before.keys()
    assert all(np.array_equal(contents(after)[name], array) for name, array in before.items())
    for name in ("w", "u"):
        tensor = model.graph.initializers[name].const_value
        assert tensor is not None
        assert np.shares_memory(tensor.numpy(), np.frombuffer(data, np.uint8))


@given(st.lists(st.integers(16, 5000), min_size=1, max_size=4), st.integers(0, 70))
def test_tensors_of_any_length_are_aligned(lengths: list[int], name: int) -> None:
    """Whatever the lengths before them, and of the numbers that say how long they are."""
    arrays = [np.random.default_rng(k).normal(size=n).astype(np.float32) for k, n in enumerate(lengths)]
    names = ["t" * name + str(k) for k in range(len(arrays))]
    tensors = [numpy_helper.from_array(array, key) for key, array in zip(names, arrays, strict=True)]
    graph = helper.make_graph([], "g", [], [], tensors)
    data, parts = detached(helper.make_model(graph)).joined()
    start = np.frombuffer(data, np.uint8).ctypes.data
    for key, array in zip(names, arrays, strict=True):
        assert np.array_equal(parts[key], array)
        assert (parts[key].ctypes.data - start) % 64 == 0
    found = contents(onnx.load_model_from_string(data))
    assert all(np.array_equal(found[key], array) for key, array in zip(names, arrays, strict=True))


def test_shapes_and_positions_stay_in_the_message() -> None:
    """Inference reads them there."""
    for dtype in (np.int64, np.int32, bool):
        graph = helper.make_graph([], "g", [], [], [numpy_helper.from_array(np.ones(100, dtype=dtype), "t")])
        assert not detached(helper.make_model(graph)).arrays


@pytest.mark.parametrize("dims", [[8, 6], [8, 4], [-8, -5]])
def test_a_tensor_that_is_not_as_long_as_its_shape_says_is_refused(dims: list[int]) -> None:
    model = two_products()
    model.graph.initializer[0].dims[:] = dims
    with pytest.raises(CompileError):
        load_model(model, batch=1)
    (other,) = detached(model).arrays.values()
    assert other.shape == (5, 9)


def test_a_copy_has_a_message_of_its_own() -> None:
    stored = detached(two_products())
    copy = stored.copy()
    copy.proto.graph.node.pop()
    assert len(stored.proto.graph.node) == 3
    assert isinstance(copy, Detached)
    assert copy.arrays is stored.arrays
