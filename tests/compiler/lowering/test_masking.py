"""Masks: scores keep their digits beside numbers that stand for minus infinity, and what is masked is exactly zero."""

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.calibrated import run_on
from support.model_comparison import build

from zkinfer.compiler.compile import compile as compile_model
from zkinfer.errors import UnsupportedOperatorError

LOWEST = float(np.finfo(np.float32).min)
LOWS = [-100.0, -1e4, -1e9, LOWEST]

SIX = 6
RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(64, SIX)).astype(np.float32)
KEEP = (RNG.random((64, SIX)) < 0.6).astype(np.float32)
KEEP[:, 0] = 1

ONE_MINUS = """o = Sub(one, k)
m = Mul(o, low)
s = Add(x, m)
y = Softmax(s)"""


def masked_model(body: str, low: float, /, **tensors: npt.ArrayLike) -> onnx.ModelProto:
    """A model of scores x and a mask k, both inputs, with the numbers that its nodes name."""
    known: dict[str, npt.ArrayLike] = {
        "one": np.float32(1), "zero": np.float32(0), "half": np.float32(0.5), "low": np.float32(low), **tensors
    }  # fmt: skip
    words = body.replace("(", " ").replace(")", " ").replace(",", " ").split()
    shapes: dict[str, list[int]] = {"x": [1, SIX], "k": [1, SIX]}
    return build(
        body,
        {name: shape for name, shape in shapes.items() if name in words},
        {name: value for name, value in known.items() if name in words},
        opset=18,
    )


def without_a_mask(precision: str) -> float:
    """The largest error of a softmax of the same scores in which none is masked."""
    fixed, floats = run_on(masked_model("y = Softmax(x)", 0), [SCORES], [SCORES], precision)
    return float(np.abs(fixed - floats).max())


@pytest.mark.parametrize("precision", ["native", "ezkl"])
@pytest.mark.parametrize("low", LOWS)
@pytest.mark.parametrize(
    "body",
    [
        ONE_MINUS,
        ONE_MINUS.replace("Add(x, m)", "Add(m, x)"),
        "o = Sub(k, one)\nm = Mul(o, high)\ns = Add(x, m)\ny = Softmax(s)",
        "m = Sub(one, k)\nn = Mul(m, high)\nz = Mul(x, k)\ns = Sub(z, n)\ny = Softmax(s)",
        "c = Greater(k, half)\ns = Where(c, x, low)\ny = Softmax(s)",
        "c = Equal(k, zero)\ns = Where(c, low, x)\ny = Softmax(s)",
        "c = Greater(k, half)\nm = Where(c, zero, low)\ns = Add(x, m)\ny = Softmax(s)",
    ],
)
def test_masks_of_every_form(body: str, low: float, precision: str) -> None:
    model = masked_model(body, low, high=np.float32(-low))
    fixed, floats = run_on(model, [SCORES, KEEP], [SCORES, KEEP], precision)
    assert (fixed[KEEP == 0] == 0).all()
    assert np.abs(fixed - floats).max() <= 4 * without_a_mask(precision)
    assert (fixed.argmax(axis=1) == floats.argmax(axis=1)).mean() >= 0.95


@pytest.mark.parametrize("low", LOWS)
def test_a_mask_to_add_is_an_input(low: float) -> None:
    mask = (1 - KEEP) * np.float32(low)
    fixed, floats = run_on(masked_model("s = Add(x, k)\ny = Softmax(s)", 0), [SCORES, mask], [SCORES, mask], "native")
    assert (fixed[KEEP == 0] == 0).all()
    assert np.abs(fixed - floats).max() <= 4 * without_a_mask("native")


@given(between=st.floats(0, 1), low=st.sampled_from(LOWS))
@settings(max_examples=12)
def test_numbers_between_those_of_calibration_are_right_too(between: float, low: float) -> None:
    keep = KEEP[:8].copy()
    keep[:, 2] = between
    fixed, floats = run_on(masked_model(ONE_MINUS, low), [SCORES, KEEP], [SCORES[:8], keep], "native")
    # An input has steps of 2**-16, which the mask multiplies; numbers of -10,000 and lower have none between.
    shift = 2.0**-16 * abs(low) if low >= -1e4 else 0.0
    if low >= -1e4 or between <= 1 - 2.0**-15 or between == 1:
        assert np.abs(fixed - floats).max() <= 0.001 + shift / 2


@pytest.mark.parametrize("low", LOWS)
def test_a_mask_that_calibration_data_never_uses(low: float) -> None:
    ones = np.ones_like(KEEP)
    fixed, floats = run_on(masked_model(ONE_MINUS, low), [SCORES, ones], [SCORES, KEEP], "native")
    assert (fixed[KEEP == 0] == 0).all()
    assert np.abs(fixed - floats).max() <= 0.001


class TestAllMasked:
    """Rows in which every score is masked."""

    NONE = np.zeros_like(KEEP)

    @pytest.mark.parametrize("low", LOWS)
    def test_give_what_float_inference_gives(self, low: float) -> None:
        """The softmax of the scores, which vanish beside numbers of a billion and more."""
        fixed, floats = run_on(masked_model(ONE_MINUS, low), [SCORES, KEEP], [SCORES, self.NONE], "native")
        assert np.abs(fixed - floats).max() <= 0.001
        if low <= -1e9:
            assert np.abs(fixed - 1 / SIX).max() <= 2.0**-16

    @pytest.mark.parametrize("low", LOWS)
    def test_where_the_number_replaces_scores_all_are_the_same(self, low: float) -> None:
        model = masked_model("c = Greater(k, half)\ns = Where(c, x, low)\ny = Softmax(s)", low)
        fixed, floats = run_on(model, [SCORES, KEEP], [SCORES, self.NONE], "native")
        assert np.abs(fixed - floats).max() <= 2.0**-16

    @pytest.mark.parametrize("seen", [False, True])
    def test_count_however_large_their_scores_are(self, seen: bool) -> None:
        """A mask of -10,000 only shifts such rows, also in float; what it hides elsewhere says nothing of them."""
        high = np.where(KEEP == 0, SCORES + 20, SCORES).astype(np.float32)
        keep = np.where(np.arange(len(KEEP))[:, None] % 8 == 0, 0, KEEP).astype(np.float32) if seen else KEEP
        fixed, floats = run_on(masked_model(ONE_MINUS, -1e4), [high, keep], [high, self.NONE], "native")
        assert np.abs(fixed - floats).max() <= 0.001

    def test_by_minus_infinity_are_zero(self) -> None:
        """Float inference divides zero by zero there."""
        model = masked_model("c = Greater(k, half)\ns = Where(c, x, low)\ny = Softmax(s)", -np.inf)
        circuit = compile_model(model, [SCORES, KEEP])
        np.testing.assert_array_equal(circuit.run([SCORES, self.NONE]), np.zeros_like(KEEP))

    @pytest.mark.parametrize(("low", "expected"), [(-1e4, None), (-1e9, 0.5), (-np.inf, 0.0)])
    def test_of_a_constant_mask(self, low: float, expected: float | None) -> None:
        x = RNG.normal(size=(32, 2, 2)).astype(np.float32)
        mask = np.array([[0, 0], [low, low]], dtype=np.float32)
        model = build("s = Add(x, m)\ny = Softmax(s)", {"x": [1, 2, 2]}, {"m": mask})
        second = np.asarray(compile_model(model, x).run(x))[:, 1]
        powers = np.exp(x[:, 1])
        alone = powers / powers.sum(axis=-1, keepdims=True) if expected is None else expected
        assert np.abs(second - alone).max() <= 0.001


class TestSeveralMasks:
    CAUSAL = np.where(np.tri(SIX, dtype=bool), 0, LOWEST).astype(np.float32)

    @pytest.mark.parametrize(
        "body",
        [
            """o = Sub(one, k)
            m = Mul(o, low)
            n = Add(causal, m)
            s = Add(x, n)
            y = Softmax(s)""",
            """o = Sub(one, k)
            m = Mul(o, low)
            s = Add(x, m)
            t = Add(s, causal)
            y = Softmax(t)""",
            """o = Sub(one, k)
            m = Mul(o, low)
            s = Where(lower, x, low)
            t = Add(s, m)
            y = Softmax(t)""",
        ],
    )
    def test_causal_and_padding(self, body: str) -> None:
        words = body.replace("(", " ").replace(")", " ").replace(",", " ").split()
        tensors: dict[str, npt.ArrayLike] = {
            "one": np.float32(1), "low": np.float32(-1e9), "causal": self.CAUSAL, "lower": np.tri(SIX, dtype=bool)
        }  # fmt: skip
        used = {name: value for name, value in tensors.items() if name in words}
        model = build(body, {"x": [1, SIX, SIX], "k": [1, 1, SIX]}, used)
        x, keep = RNG.normal(size=(32, SIX, SIX)).astype(np.float32), KEEP[:32, None, :]
        fixed, floats = run_on(model, [x, keep], [x, keep], "native")
        assert np.abs(fixed - floats).max() <= 0.001

    def test_two_that_are_computed(self) -> None:
        body = """o = Sub(one, k)
        m = Mul(o, low)
        p = Sub(one, l)
        q = Mul(p, low)
        n = Add(m, q)
        s = Add(x, n)
        y = Softmax(s)"""
        shapes = {"x": [1, SIX], "k": [1, SIX], "l": [1, SIX]}
        model = build(body, shapes, {"one": np.float32(1), "low": np.float32(-1e9)})
        data = [SCORES, KEEP, np.roll(KEEP, 1, axis=0)]
        fixed, floats = run_on(model, data, data, "native")
        assert np.abs(fixed - floats).max() <= 0.001


@pytest.mark.parametrize(
    "after",
    [
        "t = Reshape(s, sizes)\nu = Softmax(t)\ny = Identity(u)",
        "t = Transpose<perm=[1, 0]>(s)\nu = Transpose<perm=[1, 0]>(t)\ny = Softmax(u)",
        "t = Div(s, two)\ny = Softmax(t)",
        "t = Mul(two, s)\ny = Softmax(t)",
        "t = Max(s, lowest)\ny = Softmax(t)",
        "t = ReduceMax(s, axes)\nd = Sub(s, t)\ne = Exp(d)\nr = ReduceSum(e, axes)\ny = Div(e, r)",
    ],
)
def test_masked_scores_pass_through(after: str) -> None:
    tensors: dict[str, npt.ArrayLike] = {
        "sizes": np.array([1, 1, SIX]), "two": np.float32(2), "lowest": np.float32(LOWEST), "axes": np.array([1])
    }  # fmt: skip
    model = masked_model(f"o = Sub(one, k)\nm = Mul(o, low)\ns = Add(x, m)\n{after}", -1e9, **tensors)
    fixed, floats = run_on(model, [SCORES, KEEP], [SCORES, KEEP], "native")
    assert (fixed.reshape(KEEP.shape)[KEEP == 0] == 0).all()
    assert np.abs(fixed - floats).max() <= 0.004


@pytest.mark.parametrize("low", [-1e9, -np.inf])
@pytest.mark.parametrize("reduce", ["ReduceMax<axes=[1]>(s)", "ArgMax<axis=1>(s)", "Hardmax<axis=1>(s)"])
def test_maxima_of_masked_scores(reduce: str, low: float) -> None:
    body = f"c = Greater(k, half)\ns = Where(c, x, low)\ny = {reduce}"
    tensors = {"half": np.float32(0.5), "low": np.float32(low)}
    integers = ["y"] if "ArgMax" in reduce else []
    model = build(body, {"x": [1, SIX], "k": [1, SIX]}, tensors, integer_outputs=integers)
    fixed, floats = run_on(model, [SCORES, KEEP], [SCORES, KEEP], "native")
    assert np.abs(fixed - floats).max() <= (0.001 if "ReduceMax" in reduce else 0)


def test_biases_that_grow_with_distance_are_no_mask() -> None:
    """In a row of their own, scores 150 below those of other rows are all that there are."""
    apart = np.abs(np.arange(SIX)[:, None] - np.arange(SIX)[None, :])
    biases = np.where(np.tri(SIX, dtype=bool), -30.0 * (apart + apart[:, -1:]), -1e9).astype(np.float32)
    x = RNG.normal(size=(32, SIX, SIX)).astype(np.float32)
    model = build("s = Add(x, m)\ny = Softmax(s)", {"x": [1, SIX, SIX]}, {"m": biases})
    fixed, floats = run_on(model, [x], [x], "native")
    assert np.abs(fixed - floats).max() <= 0.002


class TestNoMask:
    def test_a_sum_of_two_numbers_that_something_else_reads_is_a_sum(self) -> None:
        added = KEEP * np.float32(8)
        fixed, floats = run_on(
            masked_model("s = Add(x, k)\ny = Relu(s)", 0), [SCORES, added], [SCORES, added], "native"
        )
        assert np.abs(fixed - floats).max() <= 0.001

    def test_a_small_number_beside_terms_that_are_nearly_equal_is_no_mask(self) -> None:
        """As in a recurrent cell whose weights are all alike: 4 is little, whatever the terms differ by."""
        alike = (np.float32(3) + SCORES * np.float32(1e-6)).astype(np.float32)
        off = np.where(KEEP == 1, np.float32(0), np.float32(-4))
        model = masked_model("s = Add(x, k)\ny = Tanh(s)", 0)
        fixed, floats = run_on(model, [alike, off], [alike, off], "native")
        assert np.abs(fixed - floats).max() <= 0.001

    def test_a_sum_in_which_nothing_is_left_of_a_term_is_refused(self) -> None:
        model = masked_model(ONE_MINUS.replace("Softmax", "LogSoftmax"), -1e9)
        with pytest.raises(UnsupportedOperatorError, match=r"reaches -1e.09, beside which nothing is left of 'x'"):
            compile_model(model, [SCORES, KEEP])

    def test_masked_scores_are_not_subtracted(self) -> None:
        model = masked_model("c = Greater(k, half)\ns = Where(c, x, low)\nt = Sub(x, s)\ny = Softmax(t)", -1e9)
        with pytest.raises(UnsupportedOperatorError, match="subtracts scores that are masked"):
            compile_model(model, [SCORES, KEEP])

    def test_masked_scores_are_not_multiplied_by_a_negative_number(self) -> None:
        model = masked_model("c = Greater(k, half)\ns = Where(c, x, low)\nt = Mul(s, low)\ny = Softmax(t)", -1e9)
        with pytest.raises(UnsupportedOperatorError, match="constant positive numbers alone"):
            compile_model(model, [SCORES, KEEP])


def test_long_rows_of_masked_scores_can_be_proven() -> None:
    """Compiling checks it: the shares of a row of more than 32 scores are products of three factors."""
    places = 40
    low = np.triu(np.full((places, places), LOWEST / 2), 1).astype(np.float32)
    model = build("m = Add(x, low)\ny = Softmax<axis=-1>(m)", {"x": [1, places, places]}, {"low": low})
    x = RNG.normal(0, 2, (4, places, places)).astype(np.float32)
    powers = np.tril(np.exp(x.astype(np.float64)))
    expected = powers / powers.sum(-1, keepdims=True)
    assert np.asarray(compile_model(model, x).run(x)) == pytest.approx(expected, abs=2e-3)


def test_scores_of_rows_that_are_masked_whole_count_however_large_they_are() -> None:
    """A mask of -10,000 only shifts such rows, also in float; it does not say that their scores are small."""
    x = np.random.default_rng(0).normal(size=(16, 2, 6)) + np.array([[0.0], [30.0]])
    mask = np.array([[0.0, 0, 0, 0, 0, 0], [-1e4] * 6])
    model = build("s = Add(x, m)\nt = Mul(s, two)\ny = Softmax(t)", {"x": [1, 2, 6]}, {"m": mask, "two": 2.0})
    powers = np.exp(2 * (x - x.max(-1, keepdims=True)))
    assert compile_model(model, x).run(x) == pytest.approx(powers / powers.sum(-1, keepdims=True), abs=0.01)
