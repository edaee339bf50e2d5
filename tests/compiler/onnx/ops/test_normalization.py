"""Batch normalization on its own, and layer normalization as exporters decompose it."""

import numpy as np
import pytest
from support.model_comparison import build, compare, grid

from zkinfer.compiler.lowering.precision import Precision
from zkinfer.errors import UnsupportedOperatorError

RNG = np.random.default_rng(5)
STATISTICS = {
    "s": RNG.uniform(0.5, 2, 3),
    "b": RNG.normal(size=3),
    "m": RNG.normal(size=3),
    "v": RNG.uniform(0.5, 2, 3),
}


@pytest.mark.parametrize("shape", [(3,), (3, 5), (3, 4, 4)])
def test_batch_normalization_is_exact_but_for_its_weights(shape: tuple[int, ...]) -> None:
    result = compare(build("y = BatchNormalization(x, s, b, m, v)", {"x": [1, *shape]}, STATISTICS), grid(8, *shape))
    assert not result.lookups
    assert len(result.lowered.weights) == 2
    factor = STATISTICS["s"] / np.sqrt(STATISTICS["v"] + 1e-5)
    # Half a unit of an 8-bit factor, on the largest input; and half a unit of the bias.
    assert result.error <= 8 * factor.max() / 2**8 + 2.0**-8


def test_the_activation_after_it_is_the_only_lookup() -> None:
    body = """h = BatchNormalization<epsilon=0.001>(x, s, b, m, v)
    y = Relu(h)"""
    result = compare(build(body, {"x": [1, 3, 4, 4]}, STATISTICS), grid(8, 3, 4, 4))
    assert len(result.lookups) == 1


def test_training_mode_is_refused() -> None:
    body = "[n] y, running_m, running_v = BatchNormalization<training_mode=1>(x, s, b, m, v)"
    model = build(body, {"x": [1, 3, 4]}, STATISTICS)
    with pytest.raises(UnsupportedOperatorError, match=r"node 'n' .*export the model in evaluation mode"):
        compare(model, grid(8, 3, 4))


def test_statistics_that_are_computed_are_refused() -> None:
    tensors = {name: value for name, value in STATISTICS.items() if name != "m"}
    body = """r = ReduceMean<axes=[0, 2], keepdims=0>(x)
    [n] y = BatchNormalization(x, s, b, r, v)"""
    with pytest.raises(UnsupportedOperatorError, match=r"node 'n' .*its input input_mean, 'r', is computed"):
        compare(build(body, {"x": [1, 3, 4]}, tensors), grid(8, 3, 4))


LAYER_NORM = """m = ReduceMean<axes=[-1]>(x)
    d = Sub(x, m)
    q = Pow(d, two)
    v = ReduceMean<axes=[-1]>(q)
    e = Add(v, eps)
    r = Sqrt(e)
    n = Div(d, r)
    g = Mul(n, scale)
    y = Add(g, bias)"""


@pytest.mark.parametrize("width", [8, 12, 20])
def test_layer_normalization_as_exporters_write_it(width: int) -> None:
    rng = np.random.default_rng(width)
    tensors = {
        "two": np.float32(2),
        "eps": np.float32(1e-5),
        "scale": rng.uniform(0.5, 1.5, width),
        "bias": rng.normal(size=width),
    }
    x = rng.normal(size=(40, 3, width))
    result = compare(build(LAYER_NORM, {"x": [1, 3, width]}, tensors), x)
    assert result.error <= 0.12
    fine = Precision(activation_bits=14, weight_bits=14, max_table_entries=1 << 16)
    assert compare(build(LAYER_NORM, {"x": [1, 3, width]}, tensors), x, precision=fine).error <= 0.003
