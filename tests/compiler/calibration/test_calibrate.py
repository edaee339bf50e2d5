"""Calibration: statistics of every float tensor, whatever form the data comes in."""

import numpy as np
import onnx
import onnx_ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from support.model_comparison import build

import zkinfer.circuit.samples
from zkinfer.compiler.calibration.calibrate import PERCENTILES, SHARES, TensorStats, calibrate
from zkinfer.compiler.onnx.load import load_model
from zkinfer.errors import InvalidInputError, NotFiniteError, ShapeError
from zkinfer.typing import Array

WEIGHTS = np.random.default_rng(0).normal(size=(64, 10)).astype(np.float32)


def _model(nodes: list[onnx.NodeProto], *, batch: int = 1, dtype: int = TensorProto.FLOAT) -> onnx_ir.Model:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", dtype, ["n", 64])],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)],
        [numpy_helper.from_array(WEIGHTS, "w")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return load_model(proto, batch=batch)


def _linear_relu(batch: int = 1) -> onnx_ir.Model:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    return _model(nodes, batch=batch)


def _two_inputs() -> onnx_ir.Model:
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "ids"], ["rows"]), helper.make_node("Add", ["rows", "x"], ["y"])],
        "test",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3]),
            helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(4, 3), "table")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return load_model(proto, batch=1)


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return np.asarray(load_digits().data[:100] / 16, dtype=np.float32)


def test_statistics_are_those_of_the_float_tensors(digits: np.ndarray) -> None:
    calibration = calibrate(_linear_relu(), digits)
    assert calibration.samples == 100
    assert list(calibration.tensors) == ["x", "h", "y"]
    hidden = digits @ WEIGHTS
    for name, tensor in {"x": digits, "h": hidden, "y": np.maximum(hidden, 0)}.items():
        stats = calibration.tensors[name]
        assert stats.lo == pytest.approx(tensor.min(), rel=1e-5)
        assert stats.hi == pytest.approx(tensor.max(), rel=1e-5)
        assert stats.abs_max == pytest.approx(np.abs(tensor).max(), rel=1e-5)
        assert stats.mean_abs == pytest.approx(np.abs(tensor, dtype=np.float64).mean(), rel=1e-5)
        assert stats.elements == tensor.size


@given(x=hnp.arrays(np.float32, (7, 64), elements=st.floats(-(2.0**60), 2.0**60, width=32)))
@settings(max_examples=25, deadline=None)
def test_percentiles_are_rounded_up_by_at_most_one_part_in_32(x: np.ndarray) -> None:
    stats = calibrate(IDENTITY, x).tensors["x"]
    exact = np.percentile(np.abs(x), PERCENTILES, method="inverted_cdf")
    smallest = np.finfo(np.float32).smallest_normal
    for got, wanted in zip(stats.abs_percentiles, exact, strict=True):
        assert wanted <= got <= max(wanted * (1 + 1 / 32), smallest)


IDENTITY = _model([helper.make_node("Identity", ["x"], ["y"])])


def test_the_same_data_gives_the_same_record(digits: np.ndarray) -> None:
    assert calibrate(_linear_relu(), digits) == calibrate(_linear_relu(), digits)


def test_memory_is_bounded_and_the_pieces_do_not_matter(digits: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = calibrate(_linear_relu(), digits)
    monkeypatch.setattr(zkinfer.circuit.samples, "CHUNK_ELEMENTS", 300)
    pieces = calibrate(_linear_relu(), digits)
    for name, stats in whole.tensors.items():
        assert pieces.tensors[name].abs_percentiles == stats.abs_percentiles
        assert (pieces.tensors[name].lo, pieces.tensors[name].hi) == (stats.lo, stats.hi)
        assert pieces.tensors[name].mean_abs == pytest.approx(stats.mean_abs, rel=1e-12)


def test_any_number_of_samples_goes_through_any_batch(digits: np.ndarray) -> None:
    single, batched = calibrate(_linear_relu(), digits), calibrate(_linear_relu(batch=8), digits)
    assert batched.samples == 100
    for name, stats in single.tensors.items():
        assert batched.tensors[name].lo == pytest.approx(stats.lo, rel=1e-5)
        assert batched.tensors[name].hi == pytest.approx(stats.hi, rel=1e-5)


def test_one_sample_needs_no_batch_axis(digits: np.ndarray) -> None:
    assert calibrate(_linear_relu(), digits[0]).samples == 1


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32, np.uint8, np.bool_])
def test_other_real_dtypes_are_converted(dtype: type) -> None:
    x: Array = np.tile(np.array([0, 1], dtype=dtype), (3, 32))
    assert calibrate(_linear_relu(), x).tensors["x"].hi == 1.0


def test_torch_tensors_are_taken(digits: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    assert calibrate(_linear_relu(), torch.from_numpy(digits)) == calibrate(_linear_relu(), digits)


def test_several_inputs_come_as_a_list_or_by_name() -> None:
    x, ids = np.ones((5, 3), dtype=np.float32), np.array([0, 1, 2, 3, 0])
    by_list = calibrate(_two_inputs(), [x, ids])
    assert by_list == calibrate(_two_inputs(), {"ids": ids, "x": x})
    assert list(by_list.tensors) == ["x", "ids", "rows", "y"]
    assert (by_list.tensors["ids"].lo, by_list.tensors["ids"].hi) == (0.0, 3.0)
    assert by_list.tensors["y"].hi == 12.0


def test_a_tensor_of_zeros_has_statistics() -> None:
    stats = calibrate(IDENTITY, np.zeros((2, 64))).tensors["x"]
    assert stats == TensorStats(
        lo=0.0,
        hi=0.0,
        mean_abs=0.0,
        abs_percentiles=(0.0,) * len(PERCENTILES),
        clipping=(0.0,) * len(SHARES),
        elements=128,
        binary=True,
        channels={-1: ((0.0, 0.0),) * 64},
    )


def test_channels_have_ranges_of_their_own() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((10, 64)) * np.arange(64)
    ranges = calibrate(IDENTITY, x).tensors["x"].channels
    assert ranges == {-1: tuple(zip(x.astype(np.float32).min(0), x.astype(np.float32).max(0), strict=True))}


def test_channels_of_images_lie_along_the_second_and_the_last_axis() -> None:
    model = load_model(build("y = Identity(x)", {"x": (1, 2, 3, 4)}), batch=1)
    x = np.random.default_rng(0).standard_normal((5, 2, 3, 4)).astype(np.float32)
    ranges = calibrate(model, x).tensors["x"].channels
    assert list(ranges) == [-3, -1]
    np.testing.assert_array_equal(ranges[-3], np.stack([x.min((0, 2, 3)), x.max((0, 2, 3))], 1))
    np.testing.assert_array_equal(ranges[-1], np.stack([x.min((0, 1, 2)), x.max((0, 1, 2))], 1))


@pytest.mark.parametrize("shape", [(5, 63), (5, 8, 8), (63,), (), (0, 64)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="'x'"):
        calibrate(_linear_relu(), np.zeros(shape))


@pytest.mark.parametrize("data", [np.array([["a"] * 64]), np.zeros((1, 64), dtype=complex), None])
def test_what_is_not_real_numbers_is_refused(data: object) -> None:
    with pytest.raises(InvalidInputError, match="real numbers"):
        calibrate(_linear_relu(), data)


def test_floats_for_integer_inputs_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="'ids' takes int64"):
        calibrate(_two_inputs(), [np.ones((5, 3)), np.ones(5)])


def test_missing_and_unknown_names_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"\['x', 'ids'\]"):
        calibrate(_two_inputs(), {"x": np.ones((5, 3))})


def test_different_numbers_of_samples_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"\[5, 4\]"):
        calibrate(_two_inputs(), [np.ones((5, 3)), np.ones(4, dtype=np.int64)])


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_values_that_are_not_finite_in_the_models_dtype_are_refused(bad: float) -> None:
    x = np.zeros((3, 64))
    x[2, 5] = bad
    with pytest.raises(NotFiniteError, match=r"'x' holds 1 values .* index \(2, 5\)"):
        calibrate(_linear_relu(), x)


def test_a_model_that_overflows_in_float_is_refused_by_the_tensors_name() -> None:
    model = _model([helper.make_node("Exp", ["x"], ["e"]), helper.make_node("Relu", ["e"], ["y"])])
    x = np.zeros((3, 64))
    x[1] = 100.0
    with pytest.raises(NotFiniteError, match="'e' becomes NaN or infinite on sample 1 "):
        calibrate(model, x)


def test_what_follows_from_constants_alone_is_not_measured() -> None:
    """Quantized weights, or a transposed table of embeddings, would be as large as the weights in every run."""
    model = load_model(
        build(
            """w = DequantizeLinear(table, scale)
            h = MatMul(x, w)
            y = Relu(h)""",
            {"x": (1, 3)},
            {"table": np.arange(12, dtype=np.int8).reshape(3, 4), "scale": 0.5},
        ),
        batch=1,
    )
    names = [*calibrate(model, np.ones((2, 3), dtype=np.float32)).tensors]
    assert names[0] == "x"
    assert names[-2:] == ["h", "y"]
    assert "w" in [value.name for node in model.graph for value in node.outputs]
    assert "w" not in names
