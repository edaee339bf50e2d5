"""Infinities in models: bounds that bound nothing, and masks."""

import numpy as np
import pytest
from support.calibrated import run_on
from support.model_comparison import build

from zkinfer.compiler.onnx.load import load_model
from zkinfer.compiler.onnx.masks import masking_values
from zkinfer.errors import NotFiniteError

X = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
INFINITE = {"low": np.float32(-np.inf), "high": np.float32(np.inf), "zero": np.float32(0)}


def used(body: str) -> dict[str, np.float32]:
    words = body.replace("(", " ").replace(")", " ").replace(",", " ").split()
    return {name: value for name, value in INFINITE.items() if name in words}


class TestBounds:
    @pytest.mark.parametrize(
        "body",
        [
            "y = Clip(x, zero, high)",
            "c = Clip(x, low, high)\ny = Relu(c)",
            "c = Clip(x, low, zero)\ny = Neg(c)",
            "c = Max(x, low)\ny = Relu(c)",
            "c = Max(low, x, zero)\ny = Neg(c)",
            "c = Min(x, high)\ny = Relu(c)",
            "c = Min(high, x, zero)\ny = Neg(c)",
        ],
    )
    @pytest.mark.parametrize("finite", [False, True])
    def test_that_bound_nothing_are_dropped(self, body: str, finite: bool) -> None:
        top = np.finfo(np.float32).max
        tensors = {name: np.clip(value, -top, top) if finite else value for name, value in used(body).items()}
        fixed, floats = run_on(build(body, {"x": [1, 6]}, tensors), [X], [X], "native")
        assert np.abs(fixed - floats).max() <= 0.001

    @pytest.mark.parametrize("body", ["y = Max(x, high)", "y = Min(x, low)", "y = Clip(x, high)"])
    def test_that_bound_everything_are_refused(self, body: str) -> None:
        with pytest.raises(NotFiniteError):
            load_model(build(body, {"x": [1, 6]}, used(body)), batch=1)

    def test_that_give_the_result_its_shape_stay(self) -> None:
        bounds = np.full((3, 1), -np.inf, dtype=np.float32)
        with pytest.raises(NotFiniteError):
            load_model(build("y = Max(x, b)", {"x": [1, 6]}, {"b": bounds}), batch=1)


def test_padding_by_minus_infinity_is_never_the_largest() -> None:
    body = """p = Pad(x, pads, low)
    y = MaxPool<kernel_shape=[2], strides=[2]>(p)"""
    x = -np.abs(X.reshape(10, 4, 6))
    tensors = {"pads": np.array([0, 0, 1, 0, 0, 1]), "low": np.float32(-np.inf)}
    fixed, floats = run_on(build(body, {"x": [1, 4, 6]}, tensors), [x], [x], "native")
    assert np.abs(fixed - floats).max() <= 0.001


def test_scores_where_a_mask_keeps_them() -> None:
    """As torch's exporter writes `scores.masked_fill(mask, float("-inf"))`."""
    body = """b = CastLike(low, x)
    s = Where(hidden, b, x)
    y = Softmax(s)"""
    hidden = np.array([[False, True, False, False, True, False]])
    fixed, floats = run_on(
        build(body, {"x": [1, 6]}, {"low": np.float32(-np.inf), "hidden": hidden}), [X], [X], "native"
    )
    assert np.abs(fixed - floats).max() <= 0.001
    assert (fixed[:, hidden[0]] == 0).all()


def test_elsewhere_minus_infinity_is_refused_with_what_to_do() -> None:
    body = "s = Where(hidden, low, x)\ny = LogSoftmax(s)"
    tensors = {"low": np.float32(-np.inf), "hidden": np.array([[False, True, False, False, True, False]])}
    with pytest.raises(NotFiniteError, match=r"may mask what Softmax.*such as -1e4"):
        load_model(build(body, {"x": [1, 6]}, tensors), batch=1)


def test_a_softmax_by_hand_with_its_bound() -> None:
    """As jax writes it."""
    body = """m = ReduceMax<axes=[1]>(x)
    b = Max(m, low)
    d = Sub(x, b)
    e = Exp(d)
    s = ReduceSum(e, axes)
    y = Div(e, s)"""
    tensors = {"low": np.float32(-np.inf), "axes": np.array([1])}
    fixed, floats = run_on(build(body, {"x": [1, 6]}, tensors), [X], [X], "native")
    assert np.abs(fixed - floats).max() <= 0.001


@pytest.mark.parametrize(
    ("body", "masked"),
    [
        ("s = Add(x, m)\ny = Softmax(s)", {"s"}),
        ("s = Add(x, m)\nt = Add(s, m)\ny = Softmax(t)", {"s", "t"}),
        ("s = Add(x, m)\nt = Add(s, m)\ny = Tanh(t)", set()),
        ("s = Add(x, m)\nt = Neg(s)\ny = Softmax(s)", set()),
        ("s = Add(x, m)\ny = Identity(s)", set()),
    ],
)
def test_the_values_that_may_be_minus_infinity(body: str, masked: set[str]) -> None:
    outputs = ["y", "t"] if "Neg" in body else ["y"]
    model = load_model(build(body, {"x": [1, 6], "m": [1, 6]}, outputs=outputs), batch=1)
    assert {value.name for value in masking_values(model.graph)} & {"s", "t"} == masked
