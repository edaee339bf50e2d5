"""Fourier transforms as steps: the same numbers as numpy's, and as the standard's reference implementation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator
from support.model_comparison import build, compare

from zkinfer.compiler.calibration.float_model import FloatModel
from zkinfer.compiler.lowering.precision import Precision
from zkinfer.compiler.onnx.load import load_model
from zkinfer.errors import UnsupportedOperatorError

FINE = Precision(activation_bits=16, weight_bits=16, max_table_entries=1 << 17)
RNG = np.random.default_rng(0)


def transformed(body: str, x: np.ndarray, tensors: dict[str, np.ndarray], *, opset: int = 20) -> np.ndarray:
    """What the steps give; they hold no transform any more."""
    model = load_model(build(body, {"x": list(x.shape)}, tensors, opset=opset), batch=len(x))
    assert not {node.op_type for node in model.graph} & {"DFT", "STFT"}
    return np.asarray(FloatModel(model).run([x[None]])["y"][0])


def signals(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def parts(spectrum: np.ndarray) -> np.ndarray:
    return np.stack([spectrum.real, spectrum.imag], axis=-1)


@given(
    axis=st.sampled_from([1, -2, -3]),
    points=st.sampled_from([None, 5, 6, 8, 11]),
    inverse=st.booleans(),
    complex_=st.booleans(),
    half=st.booleans(),
)
@settings(max_examples=20)
def test_fourier_transform(axis: int, points: int | None, inverse: bool, complex_: bool, half: bool) -> None:
    """Longer than the signal is padded with zeros, shorter is cut off."""
    half = half and not inverse and not complex_
    x = signals(2, 8, 6, 2 if complex_ else 1)
    tensors = {"a": np.array(axis)} | ({} if points is None else {"n": np.array(points)})
    body = f"y = DFT<inverse={int(inverse)}, onesided={int(half)}>(x, {'n' if points else ''}, a)"
    values = x[..., 0] + 1j * x[..., 1] if complex_ else x[..., 0]
    function = np.fft.rfft if half else np.fft.ifft if inverse else np.fft.fft
    expected = parts(function(values, points, axis=axis if axis > 0 else axis + 1))
    np.testing.assert_allclose(transformed(body, x, tensors), expected, atol=1e-4)


@pytest.mark.parametrize("points", [8, 9])
def test_real_signals_from_half_of_the_bins(points: int) -> None:
    x = signals(2, points // 2 + 1, 2)
    expected = np.fft.irfft(x[..., 0] + 1j * x[..., 1], points)[..., None]
    # The length is that of an even number of points unless it is stated.
    tensors = {"n": np.array(points)} if points % 2 else {}
    body = f"y = DFT<inverse=1, onesided=1>(x, {'n' if tensors else ''})"
    np.testing.assert_allclose(transformed(body, x, tensors), expected, atol=1e-5)


def test_the_axis_is_an_attribute_up_to_operator_set_19() -> None:
    x = signals(2, 8, 6, 1)
    for body, axis in (("y = DFT(x)", 1), ("y = DFT<axis=2>(x)", 2)):
        expected = parts(np.fft.fft(x[..., 0], axis=axis))
        np.testing.assert_allclose(transformed(body, x, {}, opset=17), expected, atol=1e-4)


@pytest.mark.parametrize("onesided", [0, 1])
@pytest.mark.parametrize("window", [None, "hann"])
@pytest.mark.parametrize("step", [3, 8])
def test_short_time_transform(onesided: int, window: str | None, step: int) -> None:
    x = signals(2, 40, 1)
    tensors = {"s": np.array(step), "l": np.array(8)} | ({"w": np.hanning(8)} if window else {})
    body = f"y = STFT<onesided={onesided}>(x, s, {'w' if window else ''}, l)"
    weights = np.hanning(8) if window else np.ones(8)
    frames = np.stack([x[:, i : i + 8, 0] * weights for i in range(0, 33, step)], axis=1)
    expected = parts(np.fft.rfft(frames) if onesided else np.fft.fft(frames))
    np.testing.assert_allclose(transformed(body, x, tensors), expected, atol=1e-4)
    if window:
        reference = ReferenceEvaluator(build(body, {"x": list(x.shape)}, tensors, opset=20)).run(None, {"x": x})[0]
        np.testing.assert_allclose(reference, expected, atol=1e-4)


def test_the_window_says_how_long_a_frame_is() -> None:
    x = signals(2, 40)
    tensors = {"s": np.array(4), "w": np.ones(8)}
    result = transformed("y = STFT(x, s, w)", x, tensors)
    assert result.shape == (2, 9, 5, 2)


@pytest.mark.parametrize(
    ("body", "tensors", "shape"),
    [("y = DFT(x)", {}, (16, 3, 1)), ("y = STFT(x, s, w)", {"s": np.array(4), "w": np.hanning(8)}, (40, 1))],
)
def test_in_integers(body: str, tensors: dict[str, np.ndarray], shape: tuple[int, ...]) -> None:
    """One exact product, without a lookup."""
    x = np.random.default_rng(1).integers(-128, 128, (8, *shape)) / 16
    result = compare(build(body, {"x": [1, *shape]}, tensors, opset=17), x, precision=FINE)
    assert not result.lookups
    assert result.error <= 16 * 8 * 2.0**-14


@pytest.mark.parametrize(
    ("body", "inputs", "message"),
    [
        ("y = DFT(x, n)", {"x": [1, 8, 1]}, "DFT.*supported are constant sizes"),
        ("y = DFT(x)", {"x": [1, 4097, 1]}, "DFT.*of up to 4096 points"),
        ("y = STFT(x, s, , l)", {"x": [1, 8, 2]}, "STFT.*supported are real signals"),
        ("y = STFT(x, s, , l)", {"x": [1, 5000, 1]}, "STFT.*of up to 4096 points"),
        ("y = STFT(x, s, w)", {"x": [1, 8, 1], "w": [4]}, "STFT.*constant windows"),
    ],
)
def test_other_forms_are_refused(body: str, inputs: dict[str, list[int]], message: str) -> None:
    length = 4097 if inputs["x"][1] > 4097 else 4
    tensors = {"s": np.array(2), "l": np.array(length)} if "STFT" in body else {}
    if "n" in body.partition("(")[2]:
        body = f"f = ReduceSum<keepdims=0>(x)\nn = Cast<to=7>(f)\n{body}"
    if "w" in inputs:
        inputs = {"x": inputs["x"], "v": [1, 4]}
        body = f"w = Reshape(v, size)\n{body}"
        tensors["size"] = np.array([4])
    data = [np.ones((4, *shape[1:])) for shape in inputs.values()]
    with pytest.raises(UnsupportedOperatorError, match=message):
        compare(build(body, inputs, tensors, opset=20), *data)
