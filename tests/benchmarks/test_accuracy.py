"""Trained models keep their accuracy as circuits: the smaller cases of the benchmark, and its own arithmetic."""

from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest
from support.benchmarks import loaded

from zkinfer.compiler.lowering.precision import Precision


@pytest.fixture(scope="module")
def accuracy() -> Iterator[ModuleType]:
    yield from loaded("accuracy")


@pytest.mark.parametrize(
    ("data", "model"),
    [("wine", "linear"), ("wine", "relu"), ("breast-cancer", "linear"), ("diabetes", "linear"), ("diabetes", "relu")],
)
def test_at_most_half_a_point_is_lost(accuracy: ModuleType, data: str, model: str) -> None:
    score = accuracy.cross_validated(data, model)
    assert score.in_float > (0.4 if data == "diabetes" else 0.95)
    assert score.lost("ezkl") <= accuracy.LIMIT
    assert score.lost("native") <= 0.1


def test_a_loss_is_seen(accuracy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    coarse = Precision(activation_bits=2, weight_bits=2, max_table_entries=2032)
    monkeypatch.setattr(accuracy, "SETTINGS", {"native": coarse})
    assert accuracy.cross_validated("diabetes", "linear").lost("native") > accuracy.LIMIT


def test_losses_are_points(accuracy: ModuleType) -> None:
    score = accuracy.Score("case", 200, "accuracy", 0.95, {"ezkl": 0.94, "native": 0.96})
    assert score.lost("ezkl") == pytest.approx(1.0)
    assert score.row() == ["case", "200", "accuracy", "95.00", "94.00", "+1.00", "96.00", "-1.00"]


def test_the_exported_perceptron_is_the_trained_one(accuracy: ModuleType) -> None:
    rng = np.random.default_rng(0)
    layers = [(rng.normal(size=(3, 4)), rng.normal(size=4)), (rng.normal(size=(4, 2)), rng.normal(size=2))]
    x = rng.normal(size=(5, 3)).astype(np.float32)
    expected = np.maximum(x @ layers[0][0] + layers[0][1], 0) @ layers[1][0] + layers[1][1]
    assert np.allclose(accuracy.float_outputs(accuracy.as_onnx(layers, "Relu"), x), expected, atol=1e-5)
