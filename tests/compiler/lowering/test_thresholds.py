"""Integer thresholds, and comparisons with them that are exact at any width."""

import warnings

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from zkinfer.circuit.evaluate import evaluate
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.lowering.precision import EZKL, NATIVE, Precision
from zkinfer.compiler.lowering.thresholds import (
    STRICT,
    Sides,
    compare_threshold,
    integer_thresholds,
    integers_of,
    separates,
)
from zkinfer.errors import AccuracyWarning
from zkinfer.typing import FloatArray, IntArray

COMPARED = {"Less": np.less, "LessOrEqual": np.less_equal, "Greater": np.greater, "GreaterOrEqual": np.greater_equal}


def _sides(thresholds: FloatArray, values: FloatArray, *, strict: bool = False) -> Sides:
    """Thresholds of shape (n,), and the values of shape (samples, n) that are compared with them."""
    lower = values < thresholds if strict else values <= thresholds
    below = np.where(lower, values, -np.inf).max(axis=0)
    above = np.where(lower, np.inf, values).min(axis=0)
    counts = [((values == nearest).sum(axis=0)) for nearest in (below, above)]
    return Sides(thresholds[None], below[None], above[None], counts[0][None], counts[1][None])


floats32 = st.floats(-8, 8, width=32)


@given(st.lists(floats32, min_size=1, max_size=20), floats32, st.booleans(), st.integers(-2, 40))
def test_an_integer_threshold_is_right_for_all_values_that_differ_as_integers(
    values: list[float], threshold: float, strict: bool, frac_bits: int
) -> None:
    x, bits = np.array(values)[:, None], np.array([[frac_bits]])
    sides = _sides(np.array([threshold]), x, strict=strict)
    held, wrong = integer_thresholds(sides, bits, strict=strict)
    lower = x < threshold if strict else x <= threshold
    mistaken = int(((integers_of(x, bits) <= held) != lower).sum())
    if integers_of(sides.below, bits) < integers_of(sides.above, bits):
        assert mistaken == 0
        assert wrong == 0
    else:
        assert 0 < wrong <= mistaken


@given(st.lists(floats32, min_size=1, max_size=8), floats32, floats32, st.booleans())
def test_a_format_that_separates_is_right_for_every_float32(
    values: list[float], threshold: float, unseen: float, strict: bool
) -> None:
    bits = np.array([[26]])
    sides = _sides(np.array([threshold]), np.array(values)[:, None], strict=strict)
    exact = np.ldexp(unseen, 26) == np.rint(np.ldexp(unseen, 26))
    assume(separates(sides, bits)[0, 0])
    assume(exact or abs(np.nextafter(np.float32(threshold), np.float32(0)) - threshold) >= 2.0**-26)
    held, _ = integer_thresholds(sides, bits, strict=strict)
    lower = unseen < threshold if strict else unseen <= threshold
    assert (integers_of(np.array([[unseen]]), bits) <= held)[0, 0] == lower


def test_neighbouring_floats_need_their_last_bit() -> None:
    threshold = float(np.float32(1.7))
    after = float(np.nextafter(np.float32(1.7), np.float32(2)))
    sides = _sides(np.array([threshold]), np.array([[threshold], [after]]))
    assert [bool(separates(sides, np.array([[f]]))[0, 0]) for f in (14, 22, 23, 24)] == [False, False, True, True]


def test_whole_numbers_need_no_more_digits_than_they_have() -> None:
    sides = _sides(np.array([2.5]), np.array([[2.0], [3.0]]))
    assert [bool(separates(sides, np.array([[f]])).all()) for f in (0, 3, 4)] == [False, False, True]


def _compared(
    sides: Sides, operator: str, integers: IntArray, bounds: tuple[int, int], precision: Precision = NATIVE
) -> IntArray:
    """The circuit's outcomes, of integers with 20 fraction bits; shape (samples, n)."""
    g = Emitter(precision, "c")
    a = g.activation(g.builder.input("x", sides.thresholds.shape, 20, *bounds))
    none = np.zeros((1, 1), dtype=np.int64)
    outcome = compare_threshold(g, a, none, "t", sides, operator)
    assert outcome is not None
    built = g.builder.finish([g.output(outcome)])
    return evaluate(built.program, built.weights, [integers[:, None]])[-1][:, 0]


@pytest.mark.parametrize("operator", COMPARED)
@pytest.mark.parametrize("bits", [4, 12, 18, 24, 28])
def test_outcomes_are_exact_at_any_width(operator: str, bits: int) -> None:
    rng, bound = np.random.default_rng(bits), 2**bits - 1
    thresholds = rng.integers(-bound, bound, 6)
    x = np.concatenate([thresholds[None] + d for d in (-1, 0, 1)] + [rng.integers(-bound, bound, (50, 6))])
    x = np.clip(x, -bound, bound)
    sides = _sides(np.ldexp(thresholds.astype(np.float64), -20), np.ldexp(x, -20), strict=STRICT[operator])
    outcomes = _compared(sides, operator, x, (-bound, bound))
    np.testing.assert_array_equal(outcomes, COMPARED[operator](x, thresholds))


def test_small_tables_compare_wide_numbers_too() -> None:
    x = np.arange(-40, 40)[:, None] * 997
    sides = _sides(np.array([0.01]), np.ldexp(x, -20))
    outcomes = _compared(sides, "LessOrEqual", x, (-40_000, 40_000), EZKL)
    np.testing.assert_array_equal(outcomes, np.ldexp(x, -20) <= 0.01)


def test_thresholds_beyond_all_values_decide_alike() -> None:
    x = np.array([[-1000, -1000], [1000, 1000]])
    sides = _sides(np.array([-1e30, 1e30]), np.ldexp(x, -20))
    assert _compared(sides, "Less", x, (-1000, 1000)).tolist() == [[0, 1], [0, 1]]


def test_values_that_no_integer_holds_apart_are_reported_with_their_number() -> None:
    sides = _sides(np.array([0.25, 0.25]), np.array([[0.25, 0.0]] * 3 + [[0.2500001, 0.5]] * 2))
    with pytest.warns(AccuracyWarning, match=r"1 of 2 thresholds of 't' .* 2 comparisons .* 0.25 at index \(0, 0\)"):
        outcomes = _compared(sides, "LessOrEqual", np.array([[2**18, 0]]), (-(2**20), 2**20))
    # The side that more samples take is the right one.
    assert outcomes.tolist() == [[1, 1]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _compared(_sides(np.array([0.25]), np.array([[0.1], [0.3]])), "Less", np.array([[0]]), (-1, 1))


def test_a_pending_function_is_left_to_others() -> None:
    g = Emitter(NATIVE)
    a = g.affine(g.activation(g.builder.input("x", (1, 1), 4, -9, 9)), g.precision.activation_bits)  # type: ignore[arg-type]
    sides = _sides(np.array([0.0]), np.array([[1.0]]))
    assert compare_threshold(g, a, np.zeros((1, 1), dtype=np.int64), "t", sides, "Less") is None
