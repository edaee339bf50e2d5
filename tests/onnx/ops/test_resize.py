"""Resize: the same numbers as onnxruntime, for all ways to interpolate."""

import numpy as np
import pytest
from support.lowering import build, compare, grid

from zkinfer.errors import UnsupportedOperatorError
from zkinfer.quantize.precision import Precision

FINE = Precision(activation_bits=12, weight_bits=12, max_table_entries=1 << 14)


def resized(attributes: str, *, scales: list[float] | None = None, sizes: list[int] | None = None) -> object:
    tensors = {"s": np.float32(scales)} if scales else {"s": np.array(sizes)}
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
    model = build("y = Resize<axes=[3]>(x, , s)", {"x": [1, 2, 4, 5]}, {"s": np.float32([2])}, opset=19)
    assert compare(model, grid(8, 2, 4, 5)).error == 0


@pytest.mark.parametrize(
    "attributes", ['coordinate_transformation_mode="tf_crop_and_resize"', 'keep_aspect_ratio_policy="not_larger"']
)
def test_forms_that_are_refused(attributes: str) -> None:
    tensors = {"r": np.float32([0, 0, 0, 0, 1, 1, 1, 1]), "s": np.array([1, 2, 8, 10])}
    model = build(f"y = Resize<{attributes}>(x, r, , s)", {"x": [1, 2, 4, 5]}, tensors, opset=19)
    with pytest.raises(UnsupportedOperatorError, match="policies that keep the aspect ratio are not supported"):
        compare(model, grid(8, 2, 4, 5))
