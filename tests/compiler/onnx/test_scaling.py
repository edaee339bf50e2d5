"""What operators make of an input with a format for each feature: every column is right in its own unit."""

import numpy as np
import pytest
from support.model_comparison import Comparison, build, compare

from zkinfer.compiler.lowering.precision import NATIVE
from zkinfer.typing import Array, FloatArray

UNITS = np.array([3e4, 1.0, 1e-4])
RNG = np.random.default_rng(0)
W = RNG.uniform(-1, 1, (3, 4))


def _samples(shape: tuple[int, ...] = (3,)) -> FloatArray:
    x: FloatArray = RNG.uniform(-1, 1, (64, *shape)) * UNITS.reshape(3, *(1 for _ in shape[1:]))
    return x


def _compare(body: str, weights: dict[str, Array] | None = None, x: FloatArray | None = None) -> Comparison:
    x = _samples() if x is None else x
    result = compare(build(body, {"x": (1, *x.shape[1:])}, weights), x, precision=NATIVE)
    assert result.program.inputs[0].scales is not None
    return result


def _relative(result: Comparison) -> float:
    """The largest error of any column of any output, as a share of the column's largest number."""
    shares = []
    for fixed, real in zip(result.fixed, result.floats, strict=True):
        columns = tuple(range(real.ndim - 1))
        shares.append(np.abs(fixed - real).max(columns) / np.abs(real).max(columns))
    return float(np.concatenate(shares).max())


@pytest.mark.parametrize(
    ("body", "weights"),
    [
        ("y = Identity(x)", {}),
        ("y = Neg(x)", {}),
        ("y = Relu(x)", {}),
        ("a = Sub(x, m)\ny = Div(a, s)", {"m": UNITS / 3, "s": UNITS}),
        ("a = Add(x, m)\ny = Mul(a, s)", {"m": -2 * UNITS, "s": 1 / UNITS}),
        ("a = Sub(m, x)\ny = Div(a, s)", {"m": UNITS / 3, "s": UNITS}),
        ("a = Mul(x, k)\ny = Div(a, s)", {"k": np.array(1e9), "s": UNITS}),
        ("y = MatMul(x, w)", {"w": W / UNITS[:, None]}),
        ("y = Gemm(x, w, b)", {"w": W / UNITS[:, None], "b": np.ones(4)}),
        ("y = Gemm<transB=1>(x, w)", {"w": (W / UNITS[:, None]).T}),
        (
            "y = BatchNormalization<epsilon=0.0>(x, s, b, m, v)",
            {"s": np.ones(3), "b": np.zeros(3), "m": 5 * UNITS, "v": UNITS**2},
        ),
        ("a, b = Split<axis=1>(x, n)\ny = Div(b, s)", {"n": np.array([1, 2]), "s": UNITS[1:]}),
        ("a = Gather<axis=1>(x, i)\ny = Div(a, s)", {"i": np.array([2, 0]), "s": UNITS[[2, 0]]}),
        ("a = Reshape(x, n)\nb = Transpose<perm=[0,2,1]>(a)\ny = Div(b, s)", {"n": np.array([1, 3, 1]), "s": UNITS}),
        ("a = Cast<to=11>(x)\nb = Cast<to=1>(a)\ny = Div(b, s)", {"s": UNITS}),
        ("a = Concat<axis=1>(x, x)\ny = Div(a, s)", {"s": np.tile(UNITS, 2)}),
    ],
)
def test_each_feature_keeps_its_digits(body: str, weights: dict[str, Array]) -> None:
    # The input's own rounding is at most 2**-14 of a feature's range; products round weights too.
    assert _relative(_compare(body, weights)) < 2e-4


def test_a_convolution_takes_the_scales_of_channels_up() -> None:
    filters = RNG.uniform(-1, 1, (2, 3, 2)) / UNITS[:, None]
    assert _relative(_compare("y = Conv(x, w)", {"w": filters}, _samples((3, 5)))) < 2e-4


def test_features_in_inputs_of_their_own_meet_without_loss() -> None:
    columns = [_samples()[:, j : j + 1] for j in range(3)]
    body = "x = Concat<axis=1>(a, b, c)\ny = Div(x, s)"
    model = build(body, {"a": (1, 1), "b": (1, 1), "c": (1, 1)}, {"s": UNITS})
    assert _relative(compare(model, *columns, precision=NATIVE)) < 2e-4


@pytest.mark.parametrize("body", ["y = Tanh(x)", "y = Mul(x, x)", "a = ReduceSum(x)\ny = Relu(a)", "y = Max(x, x)"])
def test_an_operator_that_needs_one_format_has_the_resolution_of_the_largest_feature(body: str) -> None:
    result = _compare(body)
    largest = float(np.abs(result.floats[0]).max())
    assert result.error < max(largest * 2**-12, 1.0)


def test_scales_cost_no_lookup() -> None:
    result = _compare("y = MatMul(x, w)", {"w": W / UNITS[:, None]})
    assert not result.lookups


@pytest.mark.parametrize("exponent", [-100, -43, 0, 43, 100])
def test_units_make_no_difference(exponent: int) -> None:
    """A model of numbers that are all multiplied by a power of two has the same relative error."""
    x, k = RNG.uniform(-1, 1, (32, 3)) * 2.0**exponent, np.array(2.0**-exponent)
    for body, weights in (("a = Mul(x, k)\ny = MatMul(a, w)", {"w": W}), ("y = MatMul(x, w)", {"w": W * k})):
        result = compare(build(body, {"x": (1, 3)}, {"k": k} | weights), x, precision=NATIVE)
        assert result.error < 5e-4


@pytest.mark.parametrize(
    ("body", "weights"),
    [
        ("a = Mul(x, k)\nb = MatMul(x, w)\ny = Add(a, b)", {"k": np.full(3, 1e-30), "w": np.eye(3)}),
        ("a = Mul(x, k)\nb = Concat<axis=0>(a, x)\ny = ReduceSum(b, n)", {"k": np.full(3, 1e-30), "n": np.array([0])}),
        ("a = Mul(x, k)\ny = Add(a, b)", {"k": np.full(3, 1e-30), "b": np.array([1.0, 5.0, -2.0])}),
        ("a = Mul(x, k)\nb = Relu(a)\ny = Sub(x, b)", {"k": np.full(3, 1e-30)}),
    ],
)
def test_numbers_that_vanish_beside_others_do_not_stop_the_others(body: str, weights: dict[str, Array]) -> None:
    x = RNG.uniform(-1, 1, (32, 3))
    assert compare(build(body, {"x": (1, 3)}, weights), x, precision=NATIVE).error < 1e-4
