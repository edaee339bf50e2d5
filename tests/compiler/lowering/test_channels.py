"""Powers of two for channels and rows: chosen where they pay, exact, and undone by what reads the tensor."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.model_comparison import Comparison, build, compare

from zkinfer.compiler.lowering.channels import MAX_EXPONENT, channels_of, exponents_of, row_exponents
from zkinfer.compiler.lowering.precision import Precision
from zkinfer.typing import Array

EIGHT, SIXTEEN = Precision(8, 8, 1 << 16), Precision(16, 16, 1 << 16)
RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, (64, 16))
W, V = RNG.uniform(-1, 1, (2, 16, 16)) / 4
OUTLIER = np.where(np.arange(16) == 3, 50.0, 1.0)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20))
def test_no_channel_becomes_larger_than_the_largest(sizes: list[float]) -> None:
    exponents = exponents_of(sizes)
    if exponents is None:
        return
    array = np.array(sizes)
    assert ((exponents >= 0) & (exponents <= MAX_EXPONENT)).all()
    assert (np.ldexp(array, exponents) <= array.max()).all()
    raised = (exponents < MAX_EXPONENT) & (array > 0)
    assert (np.ldexp(array, exponents) * 2 > array.max() * (1 - 1e-12))[raised].all()


@pytest.mark.parametrize("sizes", [[1.0, 1.5, 3.0, 2.0], [0.0, 0.0], [8.0, 8.0, 8.0, 0.001], [0.0, 1.0, 1.0]])
def test_channels_that_are_much_alike_have_none(sizes: list[float]) -> None:
    assert exponents_of(sizes) is None


def test_the_last_axis_comes_before_the_second() -> None:
    even, uneven = ((-1.0, 1.0),) * 4, ((-1.0, 0.5), (0.0, 40.0), (-0.1, 0.3), (0.0, 0.0))
    assert channels_of({}) is None
    assert channels_of({-1: even, -3: even}) is None
    for ranges, axis in (({-3: uneven, -1: uneven}, -1), ({-3: uneven, -1: even}, -3)):
        channels = channels_of(ranges)
        assert channels is not None
        assert channels.axis == axis
        # 40 times as large as the first channel: 2^5 would leave it no room of a factor of two.
        assert channels.exponents.tolist() == [4, 0, 6, 0]
        assert channels.observed == (-16.0, 40.0)


def test_rows_of_weights_need_powers_where_few_bits_are_left() -> None:
    assert row_exponents(np.array([1.0, 0.5, 0.3]), 8) is None
    assert row_exponents(np.array([1.0, 1.0, 0.1]), 8) is None
    assert row_exponents(np.array([1.0, 1.0, 0.01]), 16) is None
    found = row_exponents(np.array([[1.0, 1.0, 0.01]]), 8)
    assert found is not None
    assert found.tolist() == [[0, 0, 6]]


def _compare(body: str, weights: dict[str, Array], precision: Precision = EIGHT) -> Comparison:
    return compare(build(body, {"x": (1, 16)}, weights), X, precision=precision)


@pytest.mark.parametrize(
    "body",
    [
        "a = MatMul(x, w)\\nb = Mul(a, s)\\ny = MatMul(b, v)",
        "a = MatMul(x, w)\\nb = Mul(a, s)\\nc = Mul(b, x)\\ny = MatMul(c, v)",
        "a = MatMul(x, w)\\nb = Mul(a, s)\\nc = Mul(b, x)\\nd = Add(b, c)\\nf = Mul(d, x)\\ny = MatMul(f, v)",
    ],
)
def test_an_outlier_channel_costs_no_accuracy(body: str) -> None:
    """What reads the large channel has weights that are smaller, as training makes them."""
    body = body.replace("\\n", "\n")
    plain = _compare(body, {"w": W, "s": np.ones(16) + 1e-3 * OUTLIER, "v": V})
    outlier = _compare(body, {"w": W, "s": OUTLIER, "v": V / OUTLIER[:, None]})
    # A power of two brings a channel to within a factor of two of the largest, less its room of a factor of two.
    assert outlier.error < 4 * plain.error


def test_small_columns_of_a_weight_keep_their_digits() -> None:
    scales = np.array([1.0, 1e-2] * 8)
    plain, uneven = (_compare("a = MatMul(x, w)\ny = Relu(a)", {"w": W * s}) for s in (np.ones(16), scales))
    errors = [np.abs(r.fixed[0] - r.floats[0]).max(axis=(0, 1)) for r in (plain, uneven)]
    weights = [np.abs(r.floats[0]).max(axis=(0, 1)) for r in (plain, uneven)]
    assert (errors[1] / weights[1])[::2].max() < 2 * (errors[0] / weights[0]).max()
    exact = _compare("y = MatMul(x, w)", {"w": W * scales})
    error = np.abs(exact.fixed[0] - exact.floats[0]).max(axis=(0, 1)) / np.abs(exact.floats[0]).max(axis=(0, 1))
    assert error.max() < 0.03


def test_small_filters_keep_their_digits() -> None:
    filters = RNG.uniform(-1, 1, (4, 2, 3)) * np.array([1.0, 1e-2, 1.0, 3e-3])[:, None, None]
    x = RNG.uniform(-1, 1, (32, 2, 8))
    result = compare(build("y = Conv(x, w)", {"x": (1, 2, 8)}, {"w": filters}), x, precision=EIGHT)
    errors = np.abs(result.fixed[0] - result.floats[0]).max(axis=(0, 1, 3))
    assert (errors / np.abs(result.floats[0]).max(axis=(0, 1, 3))).max() < 0.03


def test_factors_of_single_elements_keep_their_digits() -> None:
    factors = np.where(np.arange(16) == 3, 200.0, np.linspace(0.5, 1.5, 16))
    result = _compare("y = Mul(x, s)", {"s": factors})
    errors = np.abs(result.fixed[0] - result.floats[0]).max(axis=(0, 1)) / factors
    assert errors.max() < 0.02


def test_powers_are_weights_that_nobody_sees() -> None:
    """Another large channel makes the same program."""
    programs = []
    for place in (3, 9):
        outlier = np.where(np.arange(16) == place, 50.0, 1.0)
        order = np.roll(np.arange(16), place - 3)
        body = "a = MatMul(x, w)\nb = Mul(a, s)\ny = MatMul(b, v)"
        model = build(body, {"x": (1, 16)}, {"w": W[:, order], "s": outlier, "v": (V / OUTLIER[:, None])[order]})
        programs.append(compare(model, X, precision=EIGHT).program)
    assert programs[0] == programs[1]
    assert {"b/powers", "y/powers"} & {tensor.label for tensor in programs[0].weights}


@pytest.mark.parametrize("function", ["Relu(h)", "LeakyRelu<alpha=0.25>(h)"])
def test_powers_pass_through_an_activation(function: str) -> None:
    """With one format for all channels, those that are not large would have few digits."""
    body = f"h = MatMul(x, w)\na = {function}\ny = MatMul(a, v)"
    plain = _compare(body, {"w": W, "v": V}, SIXTEEN)
    outlier = _compare(body, {"w": W * OUTLIER**2, "v": V / (OUTLIER**2)[:, None]}, SIXTEEN)
    assert outlier.error < 32 * plain.error
