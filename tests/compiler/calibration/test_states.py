"""Recurrent states: computed on the calibration sequence, with room beyond it."""

import numpy as np
import onnx
import pytest
from support.model_comparison import build

import zkinfer as zk
from zkinfer.compiler.calibration.states import HEADROOM, with_states
from zkinfer.compiler.onnx.load import load_model
from zkinfer.errors import InputRangeError, InvalidInputError, ShapeError

X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)


def decaying() -> onnx.ModelProto:
    """h' = h / 2 + x, and y = -h'."""
    return build(
        "half = Mul(h, decay)\nnext = Add(half, x)\ny = Neg(next)",
        {"x": ["n", 3], "h": ["n", 3]},
        {"decay": 0.5},
        outputs=["y", "next"],
    )


def followed(batch: int) -> np.ndarray:
    """The state before each sample; with a batch, every batch-th sample is of one sequence."""
    states = [np.zeros(3, dtype=np.float32)] * batch
    for x in X[:-batch]:
        states.append(states[-batch] / 2 + x)
    return np.stack(states)


@pytest.mark.parametrize("batch", [1, 4])
def test_they_are_those_of_the_sequence(batch: int) -> None:
    x, h = with_states(load_model(decaying(), batch=batch), [X, None], {"h": "next"})
    assert np.array_equal(x[:20], X)
    assert h[:20] == pytest.approx(followed(batch), rel=1e-5)


def test_they_start_where_the_caller_says() -> None:
    start = np.full((1, 3), 8, dtype=np.float32)
    _, h = with_states(load_model(decaying(), batch=1), [X, start], {"h": "next"})
    assert h[0] == pytest.approx(start[0])
    assert h[1] == pytest.approx(4 + X[0])


def test_they_have_room() -> None:
    circuit = zk.compile(decaying(), {"x": X}, states={"h": "next"})
    largest = np.abs(followed(1)).max()
    circuit.run([X[:1], np.full((1, 3), HEADROOM * largest)])
    with pytest.raises(InputRangeError):
        circuit.run([X[:1], np.full((1, 3), 100 * largest)])


def test_a_circuit_is_fed_its_own_states() -> None:
    circuit = zk.compile(decaying(), {"x": X}, states={"h": "next"})
    h = np.zeros((1, 3))
    for x in X:
        _, h = circuit.run([x[None], h])
    assert h[0] == pytest.approx(followed(1)[-1] / 2 + X[-1], abs=1e-2)


def test_another_size_is_refused() -> None:
    model = build("y = Add(x, h)\nz = Concat<axis=1>(x, h)", {"x": ["n", 3], "h": ["n", 3]}, outputs=["y", "z"])
    with pytest.raises(ShapeError, match=r"'h' has the shape \(1, 3\), but 'z'.*\(1, 6\)"):
        zk.compile(model, {"x": X}, states={"h": "z"})


def test_alone_they_say_nothing() -> None:
    with pytest.raises(InvalidInputError, match="not a state"):
        zk.compile(build("y = Neg(h)", {"h": ["n", 3]}), X, states={"h": "y"})
