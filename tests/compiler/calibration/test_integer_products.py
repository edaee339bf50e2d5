"""Products of 8-bit integers in the float reference: exact on every processor, and rounded as onnxruntime rounds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto
from support.model_comparison import build
from support.saturation import saturating_session

import zkinfer as zk
from zkinfer.compiler.calibration.float_model import FloatModel, open_session
from zkinfer.compiler.calibration.integer_products import FORMULAS, with_exact_products
from zkinfer.compiler.onnx.dynamic import in_float_meaning
from zkinfer.compiler.onnx.load import load_model

Bytes: TypeAlias = type[np.uint8] | type[np.int8]
TYPES: dict[Bytes, int] = {np.uint8: TensorProto.UINT8, np.int8: TensorProto.INT8}
INT32 = TensorProto.INT32
Arrays = Mapping[str, np.ndarray]


def numbers(dtype: Bytes, *shape: int, seed: int = 0, bits: int = 8) -> np.ndarray:
    """Random integers; of few bits, no processor saturates their products."""
    info = np.iinfo(dtype)
    lo, hi = info.min >> (8 - bits), info.max >> (8 - bits)
    return np.random.default_rng(seed).integers(lo, hi, shape, endpoint=True).astype(dtype)


def reference(model: onnx.ModelProto, **inputs: np.ndarray) -> np.ndarray:
    """The output y of one run of the float model."""
    normalized = load_model(model, batch=1)
    y: np.ndarray = FloatModel(normalized).run([array[None] for array in inputs.values()])["y"][0]
    return y


def onnxruntime_itself(model: onnx.ModelProto, **inputs: np.ndarray) -> np.ndarray:
    """The same, with the model as it is."""
    y: np.ndarray = open_session(model, optimized=False).run(["y"], inputs)[0]
    return y


def convolved(x: np.ndarray, w: np.ndarray, strides: Any, dilations: Any, pads: Any, group: int) -> np.ndarray:
    """The sums of a convolution over two spatial axes, by its definition."""
    x = np.pad(x.astype(np.int64), ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
    reach = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilations, strict=True)]
    rows, columns = ((n - r) // s + 1 for n, r, s in zip(x.shape[2:], reach, strides, strict=True))
    out = np.zeros((len(x), len(w), rows, columns), dtype=np.int64)
    members, taken = len(w) // group, w.shape[1]
    for m in range(len(w)):
        first = m // members * taken
        for i in range(rows):
            for j in range(columns):
                top, left = i * strides[0], j * strides[1]
                window = x[
                    :,
                    first : first + taken,
                    top : top + reach[0] : dilations[0],
                    left : left + reach[1] : dilations[1],
                ]
                out[:, m, i, j] = (window * w[m].astype(np.int64)).sum(axis=(1, 2, 3))
    return out


@pytest.mark.parametrize("left", TYPES)
@pytest.mark.parametrize("right", TYPES)
@pytest.mark.parametrize("computed", [False, True])
def test_a_matrix_product_of_any_bytes_is_exact(left: Bytes, right: Bytes, computed: bool) -> None:
    """64 products of random bytes: where pairs saturate, such a sum is off by tens of thousands."""
    a, b = numbers(left, 1, 3, 64), numbers(right, 1, 64, 5, seed=1)
    inputs = {"a": a, "b": b} if computed else {"a": a}
    model = build(
        "y = MatMulInteger(a, b)",
        {name: array.shape for name, array in inputs.items()},
        {} if computed else {"b": b},
        types={"a": TYPES[left], "b": TYPES[right], "y": INT32},
    )
    np.testing.assert_array_equal(reference(model, **inputs), a.astype(np.int64) @ b.astype(np.int64))


def test_a_matrix_product_with_zero_points_of_rows_and_of_columns() -> None:
    a, b = numbers(np.uint8, 1, 3, 64), numbers(np.int8, 64, 5, seed=1)
    za, zb = numbers(np.uint8, 3, seed=2), numbers(np.int8, 5, seed=3)
    model = build(
        "y = MatMulInteger(a, b, za, zb)",
        {"a": a.shape},
        {"b": b, "za": za, "zb": zb},
        types={"a": TYPES[np.uint8], "y": INT32},
    )
    expected = (a.astype(np.int64) - za[:, None].astype(np.int64)) @ (b.astype(np.int64) - zb.astype(np.int64))
    np.testing.assert_array_equal(reference(model, a=a), expected)


@pytest.mark.parametrize("weights", TYPES)
@pytest.mark.parametrize(
    ("attributes", "strides", "dilations", "pads", "group"),
    [
        ("", (1, 1), (1, 1), (0, 0, 0, 0), 1),
        ('auto_pad="VALID"', (1, 1), (1, 1), (0, 0, 0, 0), 1),
        ("pads=[1, 0, 2, 1], strides=[2, 1]", (2, 1), (1, 1), (1, 0, 2, 1), 1),
        ("dilations=[1, 2], group=2", (1, 1), (1, 2), (0, 0, 0, 0), 2),
        ('auto_pad="SAME_UPPER", strides=[2, 2]', (2, 2), (1, 1), (1, 0, 1, 1), 1),
        ('auto_pad="SAME_LOWER", strides=[2, 2]', (2, 2), (1, 1), (1, 1, 1, 0), 1),
        ("group=4, pads=[1, 1, 1, 1]", (1, 1), (1, 1), (1, 1, 1, 1), 4),
    ],
)
def test_a_convolution_of_any_bytes_is_exact(
    weights: Bytes, attributes: str, strides: Any, dilations: Any, pads: Any, group: int
) -> None:
    x, w = numbers(np.uint8, 1, 4, 7, 8), numbers(weights, 4, 4 // group, 3, 3, seed=1)
    zx, zw = np.uint8(131), numbers(weights, 4, seed=2)
    model = build(
        f"y = ConvInteger<{attributes}>(x, w, zx, zw)" if attributes else "y = ConvInteger(x, w, zx, zw)",
        {"x": x.shape},
        {"w": w, "zx": zx, "zw": zw},
        types={"x": TYPES[np.uint8], "y": INT32},
    )
    centred = w.astype(np.int64) - zw.astype(np.int64)[:, None, None, None]
    expected = convolved(x.astype(np.int64) - 131, centred, strides, dilations, pads, group)
    np.testing.assert_array_equal(reference(model, x=x), expected)


def test_a_convolution_along_one_axis_and_along_three() -> None:
    for rank in (1, 3):
        x, w = numbers(np.int8, 1, 3, *[5] * rank), numbers(np.int8, 2, 3, *[2] * rank, seed=1, bits=4)
        model = build(
            "y = ConvInteger(x, w)", {"x": x.shape}, {"w": w}, types={"x": TYPES[np.int8], "y": INT32}, opset=17
        )
        windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.int64), w.shape[2:], tuple(range(2, 2 + rank)))
        axes = [1, *range(2 + rank, 2 + 2 * rank)]
        expected = np.moveaxis(np.tensordot(windows, w.astype(np.int64), (axes, range(1, 2 + rank))), -1, 1)
        np.testing.assert_array_equal(reference(model, x=x), expected)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("scale", [0.37, [0.37, 0.11, 0.53, 0.29, 0.05]])
def test_a_quantized_matrix_product_is_rounded_as_onnxruntime_rounds_it(
    dtype: Bytes, scale: float | list[float]
) -> None:
    """Weights of 4 bits, so that onnxruntime is exact on every processor: the results are equal, bit for bit."""
    zeros = np.zeros(np.shape(scale), dtype=np.int8)
    tensors = {
        "sa": np.float32(0.03),
        "za": dtype(12),
        "b": numbers(np.int8, 16, 5, bits=4),
        "sb": np.array(scale, dtype=np.float32),
        "zb": zeros,
        "sy": np.float32(0.2),
        "zy": dtype(7),
    }
    types = dict.fromkeys("ay", TYPES[dtype])
    model = build("y = QLinearMatMul(a, sa, za, b, sb, zb, sy, zy)", {"a": [1, 200, 16]}, tensors, types=types)
    a = numbers(dtype, 1, 200, 16)
    found = reference(model, a=a)
    np.testing.assert_array_equal(found, onnxruntime_itself(model, a=a))
    assert len(np.unique(found)) > 100


@pytest.mark.parametrize("scale", [[0.37], [0.37, 0.11, 0.53, 0.29]])
@pytest.mark.parametrize("bias", [False, True])
def test_a_quantized_convolution_is_rounded_as_onnxruntime_rounds_it(scale: list[float], bias: bool) -> None:
    tensors = {
        "sx": np.float32(0.03),
        "zx": np.uint8(120),
        "w": numbers(np.int8, 4, 2, 3, 3, bits=4),
        "sw": np.array(scale, dtype=np.float32),
        "zw": np.zeros(len(scale), dtype=np.int8),
        "sy": np.float32(0.2),
        "zy": np.uint8(128),
    } | ({"b": np.array([900, -400, 0, 77], dtype=np.int32)} if bias else {})
    call = f"QLinearConv<pads=[1, 1, 1, 1]>(x, sx, zx, w, sw, zw, sy, zy{', b' if bias else ''})"
    types = {"x": TYPES[np.uint8], "y": TYPES[np.uint8]}
    model = build(f"y = {call}", {"x": [1, 2, 20, 20]}, tensors, types=types)
    x = numbers(np.uint8, 1, 2, 20, 20)
    np.testing.assert_array_equal(reference(model, x=x), onnxruntime_itself(model, x=x))


def test_halves_are_rounded_to_even_and_ends_saturate() -> None:
    tensors = {
        "one": np.float32(1),
        "zero": np.int8(0),
        "b": np.array([[1]], dtype=np.int8),
        "two": np.float32(2),
        "z": np.uint8(250),
    }
    types = {"a": TYPES[np.int8], "y": TYPES[np.uint8]}
    model = build("y = QLinearMatMul(a, one, zero, b, one, zero, two, z)", {"a": [1, 6, 1]}, tensors, types=types)
    a = np.array([1, 3, -3, 127, 10, -128], dtype=np.int8).reshape(1, 6, 1)
    assert reference(model, a=a).ravel().tolist() == [250, 252, 248, 255, 255, 186]


BETWEEN = """q = QuantizeLinear(x, sx, zx)
    d = DequantizeLinear(q, sx, zx)
    v = DequantizeLinear(w, sw)
    h = {}(d, v)
    p = QuantizeLinear(h, sx, zx)
    y = DequantizeLinear(p, sx, zx)"""
SCALES = {"sx": np.float32(0.07), "zx": np.uint8(128), "sw": np.float32(0.013)}
BYTES = {"x": TYPES[np.uint8], "y": INT32}
QUANTIZED_MODELS: dict[str, onnx.ModelProto] = {
    "MatMulInteger": build("y = MatMulInteger(x, w)", {"x": [1, 3, 8]}, {"w": numbers(np.int8, 8, 4)}, types=BYTES),
    "ConvInteger": build(
        "y = ConvInteger(x, w)", {"x": [1, 2, 5, 5]}, {"w": numbers(np.int8, 4, 2, 3, 3)}, types=BYTES
    ),
    "QLinearMatMul": build(
        "y = QLinearMatMul(x, sx, zx, w, sw, zw, sx, zx)",
        {"x": [1, 3, 8]},
        {**SCALES, "w": numbers(np.int8, 8, 4), "zw": np.int8(0)},
        types={"x": TYPES[np.uint8], "y": TYPES[np.uint8]},
    ),
    "QLinearConv": build(
        "y = QLinearConv(x, sx, zx, w, sw, zw, sx, zx)",
        {"x": [1, 2, 5, 5]},
        {**SCALES, "w": numbers(np.int8, 4, 2, 3, 3), "zw": np.int8(0)},
        types={"x": TYPES[np.uint8], "y": TYPES[np.uint8]},
    ),
    "a fused matrix product": build(
        BETWEEN.format("MatMul"), {"x": [1, 3, 8]}, {**SCALES, "w": numbers(np.int8, 8, 4)}
    ),
    "a fused convolution": build(
        BETWEEN.format("Conv"), {"x": [1, 2, 5, 5]}, {**SCALES, "w": numbers(np.int8, 4, 2, 3, 3)}
    ),
    "quantized as it runs": build(
        """q, s, z = DynamicQuantizeLinear(x)
    h = MatMulInteger(q, w, z)
    f = Cast<to=1>(h)
    y = Mul(f, s)""",
        {"x": [1, 3, 8]},
        {"w": numbers(np.int8, 8, 4)},
    ),
}


def saturating_operators(model: onnx.ModelProto) -> set[str]:
    """Operators whose kernels multiply 8-bit integers: the standard's four, and all of onnxruntime's own."""
    return {n.op_type for n in model.graph.node if n.op_type in FORMULAS or n.domain not in ("", "ai.onnx")}


class Recorder:
    """Stands in for `onnxruntime.InferenceSession` and keeps every model as onnxruntime runs it, fusions included."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.genuine, self.count = folder, onnxruntime.InferenceSession, 0
        monkeypatch.setattr(onnxruntime, "InferenceSession", self.open)

    def open(self, model: bytes, options: Any, **kwargs: Any) -> Any:
        options.optimized_model_filepath = str(self.folder / f"{self.count}.onnx")
        self.count += 1
        return self.genuine(model, options, **kwargs)

    def operators(self) -> set[str]:
        """Of all models so far, see `saturating_operators`."""
        return set().union(*(saturating_operators(onnx.load(path)) for path in self.folder.glob("*.onnx")))


@pytest.mark.parametrize("name", QUANTIZED_MODELS)
def test_no_operator_that_saturates_reaches_onnxruntime(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proto = onnx.ModelProto()
    proto.CopyFrom(QUANTIZED_MODELS[name])
    in_float_meaning(proto)
    model = load_model(proto, batch=1)
    recorder = Recorder(tmp_path, monkeypatch)
    FloatModel(model)
    assert recorder.count == 1
    assert recorder.operators() == set()
    # The check sees such operators where they are: in the model as it is, as onnxruntime runs it by default.
    open_session(QUANTIZED_MODELS[name], optimized=True)
    assert recorder.operators() != set()


def test_models_are_run_in_few_places() -> None:
    """The float reference, which opens every session; Resize, which is float32; and what a converter wrote of trees."""
    files = {path.stem for path in Path(zk.__file__).parent.rglob("*.py") if "InferenceSession(" in path.read_text()}
    assert files == {"float_model", "resize", "estimator"}


def test_the_model_itself_stays_as_it_is() -> None:
    model = load_model(QUANTIZED_MODELS["QLinearConv"], batch=1)
    names = [value.name for value in FloatModel(model).values]
    assert [node.op_type for node in model.graph] == ["QLinearConv"]
    assert names == [value.name for node in model.graph for value in node.outputs]
    assert not saturating_operators(with_exact_products(model).proto)


INT8_MODEL = build(
    """q = QuantizeLinear(x, s, z)
    h = MatMulInteger(q, w)
    f = Cast<to=1>(h)
    y = Mul(f, t)""",
    {"x": [1, 3, 64]},
    {"s": np.float32(1 / 128), "z": np.uint8(0), "w": numbers(np.int8, 64, 5), "t": np.float32(1 / 4096)},
)
SAMPLES = np.random.default_rng(5).uniform(0, 1.99, (40, 3, 64)).astype(np.float32)


class TestOnAProcessorThatSaturates:
    def test_circuit_and_report_are_those_of_any_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Both the calibration and the figures of the report come from the exact reference."""
        circuit = zk.compile(INT8_MODEL, SAMPLES)
        report = circuit.report()
        monkeypatch.setattr(onnxruntime, "InferenceSession", saturating_session)
        there = zk.compile(INT8_MODEL, SAMPLES)
        assert there.digest == circuit.digest
        found = there.report().to_dict() | {"inference": None}
        assert found == report.to_dict() | {"inference": None}

    def test_the_report_says_that_inference_differs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """And so it is seen that the processor that is played does saturate."""
        monkeypatch.setattr(onnxruntime, "InferenceSession", saturating_session)
        report = zk.compile(INT8_MODEL, SAMPLES).report()
        assert report.inference is not None
        assert report.inference.elements == 40 * 3 * 5
        assert report.inference.differing > 300
        assert report.inference.max_error > 1
        said = f"onnxruntime on this processor differs from the ONNX standard in {report.inference.differing} of 600"
        assert any(phrase.startswith(said) for phrase in report.answers())


def test_a_report_says_nothing_of_inference_that_is_the_standard_s() -> None:
    """Weights of 4 bits saturate nowhere."""
    model = onnx.ModelProto()
    model.CopyFrom(INT8_MODEL)
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "w")
    weight.CopyFrom(onnx.numpy_helper.from_array(numbers(np.int8, 64, 5, bits=4), "w"))
    report = zk.compile(model, SAMPLES).report()
    assert report.inference is not None
    assert (report.inference.differing, report.inference.max_error) == (0, 0.0)
    assert not any("processor" in phrase for phrase in report.answers())


def test_a_model_without_quantized_operators_is_not_run_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = zk.compile(build("y = MatMul(x, w)", {"x": [1, 6]}, {"w": np.eye(6)}), np.ones((4, 6), np.float32))
    recorder = Recorder(tmp_path, monkeypatch)
    assert circuit.report().inference is None
    assert recorder.count == 1
