"""Inputs whose features have units of their own, and inputs of trees."""

import numpy as np
import pytest
from support.model_comparison import build, compare

from zkinfer.circuit.program import Tensor
from zkinfer.circuit.qformat import frac_bits_of
from zkinfer.compiler.lowering.precision import NATIVE, Precision
from zkinfer.typing import Array, FloatArray

UNITS = np.array([3e4, 1.0, 2e-6])


def _input(x: Array, body: str = "y = Identity(x)", weights: dict[str, Array] | None = None) -> Tensor:
    model = build(body, {"x": (1, *x.shape[1:])}, weights)
    return compare(model, x, precision=NATIVE).program.inputs[0]


def _samples(units: FloatArray, count: int = 64) -> FloatArray:
    return np.random.default_rng(0).uniform(-1, 1, (count, *units.shape)) * units


def test_features_of_very_different_sizes_have_formats_of_their_own() -> None:
    tensor = _input(_samples(UNITS))
    assert tensor.scales is not None
    assert tensor.scales.axis == -1
    # Every feature has at least half of the levels, and room for numbers beyond those seen.
    levels = np.ldexp(UNITS, frac_bits_of(tensor))
    assert (levels >= 2**13).all()
    assert (levels <= tensor.hi).all()


@pytest.mark.parametrize(
    "x",
    [
        pytest.param(_samples(np.array([255.0, 1.0, 3.0])), id="pixels"),
        pytest.param(_samples(np.array([3e4, 40.0, 0.0])), id="a feature that is always zero"),
        pytest.param(_samples(UNITS, 8), id="too few samples to tell units from chance"),
    ],
)
def test_other_inputs_have_one_format(x: FloatArray) -> None:
    assert _input(x).scales is None


@pytest.mark.parametrize(("shape", "axis"), [((3, 1, 1), -3), ((3, 1), -2), ((1, 3), -1)])
def test_channels_may_lie_along_the_second_or_the_last_axis(shape: tuple[int, ...], axis: int) -> None:
    sizes = [5] * len(shape)
    sizes[axis] = 3
    tensor = _input(_samples(UNITS.reshape(shape) * np.ones(sizes)))
    assert tensor.scales is not None
    assert tensor.scales.axis == axis


def _compared(x: Array, thresholds: Array) -> Tensor:
    return _input(x, "c = LessOrEqual(x, t)\ny = Cast<to=1>(c)", {"t": thresholds.astype(np.float32)})


def test_whole_numbers_that_are_compared_have_the_usual_width() -> None:
    x = np.random.default_rng(0).integers(0, 1000, (64, 3))
    tensor = _compared(x, np.array([100.5, 20.25, 999.5]))
    assert tensor.scales is None
    assert tensor.hi < 2**16


def test_decimals_that_are_compared_have_the_width_of_float32() -> None:
    x = np.random.default_rng(0).integers(100, 800, (64, 3)) / 100
    tensor = _compared(x, np.array([1.7, 3.21, 7.05]))
    spacing = np.spacing(np.array([1.7, 3.21, 7.05], dtype=np.float32)).astype(np.float64)
    assert (np.ldexp(spacing, frac_bits_of(tensor)) >= 1).all()


def test_a_width_that_the_caller_gives_is_kept() -> None:
    x = np.random.default_rng(0).integers(100, 800, (64, 3)) / 100
    model = build("c = Less(x, t)\ny = Cast<to=1>(c)", {"x": (1, 3)}, {"t": np.array([1.7, 3.21, 7.05])})
    precision = Precision(16, 16, 1 << 16, tensors={"x": 20})
    tensor = compare(model, x, precision=precision).program.inputs[0]
    assert 2**18 < tensor.hi - tensor.lo < 2**20
