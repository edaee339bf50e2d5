"""Resize: the same numbers as onnxruntime, for all ways to interpolate."""

import numpy as np
import pytest
from support.model_comparison import Comparison, build, compare, grid

from zkinfer.compiler.lowering.precision import Precision
from zkinfer.compiler.onnx.ops import resize
from zkinfer.errors import UnsupportedOperatorError

FINE = Precision(activation_bits=12, weight_bits=12, max_table_entries=1 << 14)


def resized(attributes: str, *, scales: list[float] | None = None, sizes: list[int] | None = None) -> Comparison:
    tensors = {"s": np.array(scales, dtype=np.float32)} if scales else {"s": np.array(sizes)}
    call = f"y = Resize<{attributes}>(x, , {'s' if scales else ', s'})"
    return compare(build(call, {"x": [1, 2, 4, 5]}, tensors, opset=19), grid(8, 2, 4, 5), precision=FINE)


@pytest.mark.parametrize("nearest_mode", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "asymmetric", "align_corners"])
@pytest.mark.parametrize("scales", [[1, 1, 2, 3], [1, 1, 0.5, 1.5]])
def test_nearest_is_a_view(nearest_mode: str, coordinates: str, scales: list[float]) -> None:
    if coordinates == "align_corners":
        # Only whole sizes say where the last element lies.
        scales = [1, 1, 0.5, 1.6]
    attributes = f'mode="nearest", nearest_mode="{nearest_mode}", coordinate_transformation_mode="{coordinates}"'
    result = resized(attributes, scales=scales)
    assert not result.lowered.weights
    assert not result.lookups
    assert result.error == 0


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"])
@pytest.mark.parametrize("sizes", [[1, 2, 8, 10], [1, 2, 3, 7]])
def test_interpolation_is_a_product(mode: str, coordinates: str, sizes: list[int]) -> None:
    result = resized(f'mode="{mode}", coordinate_transformation_mode="{coordinates}"', sizes=sizes)
    # Weights of 12 bits along two axes, of values up to 8.
    assert result.error <= 8 * 5 * 2 * 2.0**-11


def test_doubling_is_exact() -> None:
    """Its weights are quarters."""
    result = resized('mode="linear"', scales=[1, 1, 2, 2])
    assert not result.lookups
    assert result.error == 0


def test_align_corners_with_a_fraction_of_an_element_is_refused() -> None:
    with pytest.raises(UnsupportedOperatorError, match=r"scale of 1\.5 for 5 elements leaves open"):
        resized('coordinate_transformation_mode="align_corners"', scales=[1, 1, 1, 1.5])


def test_only_some_axes() -> None:
    model = build("y = Resize<axes=[3]>(x, , s)", {"x": [1, 2, 4, 5]}, {"s": np.array([2], dtype=np.float32)}, opset=19)
    assert compare(model, grid(8, 2, 4, 5)).error == 0


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("extrapolation", [0.0, 3.0])
def test_a_part_of_the_image(mode: str, extrapolation: float) -> None:
    """From within the rows and from beyond the columns: what is outside is one number."""
    attributes = f'mode="{mode}", coordinate_transformation_mode="tf_crop_and_resize"'
    tensors = {"r": np.array([0, 0, 0.2, 0.4, 1, 1, 0.7, 1.3], dtype=np.float32), "s": np.array([1, 2, 5, 7])}
    call = f"y = Resize<{attributes}, extrapolation_value={extrapolation}>(x, r, , s)"
    model = build(call, {"x": [1, 2, 4, 5]}, tensors, opset=19)
    result = compare(model, grid(8, 2, 4, 5), precision=FINE)
    assert result.error <= 8 * 5 * 2 * 2.0**-11
    assert (result.fixed[0][..., -1] == extrapolation).all()


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("sizes", [[8, 8], [6, 12], [3, 3], [6, 7]])
def test_one_ratio_for_all_axes(policy: str, mode: str, sizes: list[int]) -> None:
    call = f'y = Resize<axes=[2, 3], mode="{mode}", keep_aspect_ratio_policy="{policy}">(x, , , s)'
    model = build(call, {"x": [1, 2, 4, 5]}, {"s": np.array(sizes)}, opset=19)
    assert compare(model, grid(8, 2, 4, 5), precision=FINE).error <= 8 * 5 * 2 * 2.0**-11


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("exclude", [0, 1])
def test_antialiasing(mode: str, exclude: int) -> None:
    result = resized(f'mode="{mode}", antialias=1, exclude_outside={exclude}', sizes=[1, 2, 2, 3])
    assert result.error <= 8 * 5 * 2 * 2.0**-11


def test_a_matrix_is_made_a_few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    attributes = {"mode": "linear"}
    matrix = resize.interpolation(9, attributes, resize.AxisScale(size=7))
    monkeypatch.setattr(resize, "_ELEMENTS", 20)
    np.testing.assert_array_equal(resize.interpolation(9, attributes, resize.AxisScale(size=7)), matrix)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-6)
