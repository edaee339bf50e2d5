"""The fidelity benchmark: models follow from their seed, and a circuit of another model does not pass for right."""

from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest
from support.benchmarks import loaded

import zkinfer as zk


@pytest.fixture(scope="module")
def fidelity() -> Iterator[ModuleType]:
    yield from loaded("fidelity")


def test_a_seed_gives_one_model(fidelity: ModuleType) -> None:
    first, again, other = fidelity.draw("Gemm", 5), fidelity.draw("Gemm", 5), fidelity.draw("Gemm", 6)
    assert first.model.SerializeToString() == again.model.SerializeToString() != other.model.SerializeToString()
    for a, b in zip(first.calibration + first.held_out, again.calibration + again.held_out, strict=True):
        np.testing.assert_array_equal(a, b)
    assert {len(x) for x in first.held_out} == {fidelity.HELD_OUT}


@pytest.mark.parametrize(
    ("expected", "found", "off"),
    [
        ([[1.0, 2.0, 2.0], [4.0, 0.0, 0.0]], [[1.0, 2.0, 2.0], [4.5, 0.0, 0.0]], 0.1),
        # A quiet sample beside a loud one; with four numbers each they are compared one by one.
        ([[1e3, 2e3, 3e3, 4e3], [1.0, 2.0, 3.0, 4.0]], [[1e3, 2e3, 3e3, 4e3], [0.0, 0.0, 0.0, 0.0]], 0.9),
        # Decisions, and integers.
        ([[1.0], [0.0]], [[1.0], [1.0]], 0.5),
        ([[1], [2], [3], [4]], [[1], [2], [3], [5]], 0.25),
        ([[0.0, 0.0]], [[0.0, 0.0]], 0.0),
    ],
)
def test_deviations(fidelity: ModuleType, expected: list[list[float]], found: list[list[float]], off: float) -> None:
    want = np.array(expected)
    assert fidelity.deviation(want, np.array(found), np.zeros(want.shape, bool)) == pytest.approx(off, rel=0.12)


def test_a_near_tie_counts_neither_way(fidelity: ModuleType) -> None:
    decided, otherwise = np.array([[1.0], [0.0], [1.0]]), np.array([[1.0], [1.0], [0.0]])
    assert fidelity.deviation(decided, otherwise, np.array([[False], [True], [False]])) == 0.5
    assert fidelity.deviation(decided, otherwise, np.array([[False], [True], [True]])) == 0


def test_a_right_circuit_and_a_wrong_one(fidelity: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    example, other = fidelity.draw("Gemm", 5), fidelity.draw("Gemm", 5)
    assert fidelity.measured(example).verdict == "right"
    weight = next(t for t in other.model.graph.initializer if t.name == "w")
    weight.raw_data = (np.frombuffer(weight.raw_data, np.float32) * np.float32(1.5)).tobytes()
    circuit = zk.compile(other.model, [x[:, 0] for x in other.calibration])
    monkeypatch.setattr(zk, "compile", lambda *_: circuit)
    assert fidelity.measured(example).verdict == "wrong"
    monkeypatch.setattr(zk, "compile", lambda *_: 1 / 0)
    assert fidelity.measured(example).verdict == "crashed"
