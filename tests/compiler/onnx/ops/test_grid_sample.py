"""GridSample: the same numbers as onnxruntime, at constant positions and at computed ones."""

import itertools

import numpy as np
import pytest
from support.model_comparison import Comparison, build, compare, grid

from zkinfer.compiler.lowering.precision import Precision
from zkinfer.compiler.onnx.load import load_model
from zkinfer.compiler.onnx.ops.grid_sample import positions
from zkinfer.errors import CompileError, UnsupportedOperatorError

FINE = Precision(activation_bits=14, weight_bits=14, max_table_entries=1 << 16)
PLACES = np.random.default_rng(0).uniform(-2.5, 2.5, (1, 3, 4, 2)).astype(np.float32)

every_form = pytest.mark.parametrize(
    ("padding", "corners"), list(itertools.product(["zeros", "border", "reflection"], [0, 1]))
)


def sampled(
    attributes: str, places: np.ndarray = PLACES, *, opset: int = 20, shape: tuple[int, ...] = (2, 4, 5)
) -> Comparison:
    model = build(f"y = GridSample<{attributes}>(x, k)", {"x": [1, *shape]}, {"k": places}, opset=opset)
    return compare(model, grid(8, *shape), precision=FINE)


def computed(attributes: str, *, scale: float = 1.0) -> Comparison:
    """Positions are the second input times a number."""
    model = build(
        f"s = Mul(z, f)\ny = GridSample<{attributes}>(x, s)",
        {"x": [1, 2, 4, 5], "z": [1, 3, 4, 2]},
        {"f": np.float32(scale)},
        opset=20,
    )
    z = np.random.default_rng(1).uniform(-1.5, 1.5, (16, 3, 4, 2)).astype(np.float32)
    return compare(model, grid(16, 2, 4, 5), z, precision=FINE)


@every_form
def test_nearest_is_a_view(padding: str, corners: int) -> None:
    result = sampled(f'mode="nearest", padding_mode="{padding}", align_corners={corners}')
    assert not result.lowered.weights
    assert not result.lookups
    assert result.error == 0


@every_form
@pytest.mark.parametrize(("mode", "neighbours"), [("linear", 4), ("cubic", 16)])
def test_interpolation_is_one_weighted_sum(mode: str, neighbours: int, padding: str, corners: int) -> None:
    result = sampled(f'mode="{mode}", padding_mode="{padding}", align_corners={corners}')
    assert [weight.shape for weight in result.lowered.weights] == [(1, neighbours, 12)]
    # Weights of 14 bits, of values up to 8.
    assert result.error <= 8 * neighbours * 2.0**-13


@pytest.mark.parametrize(("mode", "neighbours"), [("bilinear", 4), ("bicubic", 16)])
def test_names_of_modes_before_operator_set_20(mode: str, neighbours: int) -> None:
    assert sampled(f'mode="{mode}"', opset=16).error <= 8 * neighbours * 2.0**-13


def test_volumes() -> None:
    places = np.random.default_rng(2).uniform(-1.2, 1.2, (1, 2, 2, 2, 3)).astype(np.float32)
    assert sampled('mode="linear"', places, shape=(1, 2, 3, 4)).error <= 8 * 8 * 2.0**-13


def test_each_sample_of_a_batch_has_positions_of_its_own() -> None:
    places = np.random.default_rng(3).uniform(-1, 1, (2, 2, 2, 2)).astype(np.float32)
    body = """t = Transpose<perm=[1, 0, 2, 3]>(x)
    s = GridSample<mode="nearest">(t, k)
    y = Transpose<perm=[1, 0, 2, 3]>(s)"""
    assert compare(build(body, {"x": [1, 2, 4, 5]}, {"k": places}, opset=20), grid(8, 2, 4, 5)).error == 0


def test_one_element_reflects_into_itself() -> None:
    for corners in (0, 1):
        result = sampled(f'mode="nearest", padding_mode="reflection", align_corners={corners}', shape=(1, 1, 1))
        assert result.error == 0


@every_form
@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
def test_computed_positions(mode: str, padding: str, corners: int) -> None:
    """Nearest elements are those of the float model, except where a position lies half way between two."""
    result = computed(f'mode="{mode}", padding_mode="{padding}", align_corners={corners}')
    apart = np.abs(result.fixed[0] - result.floats[0])
    assert (apart > 0.02).mean() <= (0.01 if mode == "nearest" else 0)


def test_positions_are_where_the_standard_puts_them() -> None:
    ends = np.array([-1.0, 0.0, 1.0], dtype=np.float32)
    assert positions(ends, 4, align_corners=True).tolist() == [0, 1.5, 3]
    assert positions(ends, 4, align_corners=False).tolist() == [-0.5, 1.5, 3.5]


def test_a_mode_that_onnxruntime_does_not_know_is_refused_in_its_words() -> None:
    with pytest.raises(CompileError, match=r'mode "lanczos" not supported'):
        sampled('mode="lanczos"')


def test_a_computed_grid_over_a_large_tensor_is_refused() -> None:
    model = build("y = GridSample(x, z)", {"x": [1, 1, 512, 512], "z": [1, 128, 128, 2]}, opset=20)
    data = np.zeros((1, 1, 512, 512)), np.zeros((1, 128, 128, 2))
    with pytest.raises(UnsupportedOperatorError, match="its grid is computed, and the tensor is too large"):
        compare(model, *data)


def test_computed_grids_are_taken_apart() -> None:
    model = load_model(build("y = GridSample(x, z)", {"x": [1, 1, 4, 4], "z": [1, 2, 2, 2]}, opset=20), batch=1)
    assert "GridSample" not in {node.op_type for node in model.graph}


@pytest.mark.parametrize("corners", [0, 1])
@pytest.mark.parametrize("sizes", [(3, 4), (2, 3, 1)])
def test_affine_grids(corners: int, sizes: tuple[int, ...]) -> None:
    body = f"y = AffineGrid<align_corners={corners}>(x, s)"
    shape = (len(sizes), len(sizes) + 1)
    model = build(body, {"x": [1, *shape]}, {"s": np.array([1, 2, *sizes])}, opset=20)
    assert compare(model, grid(8, *shape), precision=FINE).error <= 8 * 4 * 2.0**-13


def test_a_transformer_of_pictures() -> None:
    """An affine map that depends on the data, the grid that it makes, and the picture sampled there."""
    model = build(
        "g = AffineGrid(z, s)\ny = GridSample(x, g)",
        {"x": [1, 1, 5, 5], "z": [1, 2, 3]},
        {"s": np.array([1, 1, 5, 5])},
        opset=20,
    )
    turns = np.random.default_rng(4).uniform(-0.8, 0.8, (16, 2, 3))
    assert compare(model, grid(16, 1, 5, 5), turns, precision=FINE).error <= 0.02
