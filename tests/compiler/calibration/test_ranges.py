"""What is kept of a calibrated range: all, a share, or what costs least."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from zkinfer.compiler.calibration.calibrate import TensorStats, calibrate
from zkinfer.compiler.calibration.ranges import kept_range
from zkinfer.compiler.lowering.precision import RANGES, activation_format
from zkinfer.compiler.onnx.load import load_model


def stats_of(x: np.ndarray) -> TensorStats:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "identity",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", x.shape[1]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return calibrate(load_model(proto, batch=1), x).tensors["x"]


def rounded(x: np.ndarray, kept: tuple[float, float], bits: int) -> np.ndarray:
    """To the integers of the format that a kept range gets."""
    frac_bits, lo, hi = activation_format(*kept, bits)
    return np.asarray(np.ldexp(np.clip(np.rint(np.ldexp(x, frac_bits)), lo, hi), -frac_bits))


@given(seed=st.integers(0, 2**32 - 1), bits=st.integers(5, 10), power=st.integers(1, 2))
@settings(max_examples=25, deadline=None)
def test_mse_is_nearly_the_best_share_of_the_range(seed: int, bits: int, power: int) -> None:
    """Of data with tails of several weights, beside all shares in steps of an eighth of an octave."""
    x = (np.random.default_rng(seed).normal(size=(30, 64)) ** power).astype(np.float32)
    stats = stats_of(x)

    def error(kept: tuple[float, float]) -> float:
        return float(np.mean((rounded(x, kept, bits) - x) ** 2))

    limits = [stats.abs_max * 2 ** (-k / 8) for k in range(33)]
    best = min(error((max(stats.lo, -limit), min(stats.hi, limit))) for limit in limits)
    assert error(kept_range(stats, bits, "mse")) <= 2 * best
    assert error(kept_range(stats, bits, "mse")) <= 1.5 * error(kept_range(stats, bits, "full"))


def test_with_many_bits_nothing_is_worth_saturating() -> None:
    stats = stats_of(np.random.default_rng(0).normal(size=(30, 64)))
    assert kept_range(stats, 16, "mse") == kept_range(stats, 16, "full") == (stats.lo, stats.hi)


def test_with_few_bits_a_lone_outlier_saturates() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, size=(1000, 64))
    x[3, 4] = 16.0
    lo, hi = kept_range(stats_of(x), 4, "mse")
    assert lo == pytest.approx(-1, abs=0.1)
    assert hi <= 2


def test_a_percentage_keeps_that_share_of_the_magnitudes() -> None:
    x = np.arange(-3200, 3200, dtype=np.float64).reshape(100, 64)
    lo, hi = kept_range(stats_of(x), 8, "90%")
    assert -lo == hi == pytest.approx(0.9 * 3200, rel=1 / 32)
    assert np.mean(np.abs(x) <= hi) >= 0.9


def test_zeros_have_a_range() -> None:
    stats = stats_of(np.zeros((2, 64)))
    assert {kept_range(stats, 8, ranges) for ranges in RANGES} == {(0.0, 0.0)}
