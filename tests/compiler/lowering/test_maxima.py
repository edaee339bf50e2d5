"""Maxima by comparison: exact, and within tables of any allowed size."""

from fractions import Fraction
from typing import ClassVar

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.calibrated import run_on
from support.model_comparison import build

from zkinfer.circuit.bounds import check_bounds
from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.program import Lookup
from zkinfer.circuit.validate import validate
from zkinfer.compiler.approx.functions import sigmoid
from zkinfer.compiler.compile import compile as compile_model
from zkinfer.compiler.lowering.builder import Built, ProgramValue
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.lowering.maxima import (
    PairwiseMaximum,
    Window,
    argmax,
    clamped,
    comparable,
    max_along,
    max_pool,
)
from zkinfer.compiler.lowering.precision import EZKL
from zkinfer.errors import BoundsError
from zkinfer.typing import FloatArray


def run(g: Emitter, value: ProgramValue, x: np.ndarray) -> tuple[Built, np.ndarray]:
    built = g.builder.finish([value])
    validate(built.program)
    check_bounds(built.program, built.weights)
    assert all(len(table.values) <= g.precision.max_table_entries for table in built.program.tables)
    return built, evaluate(built.program, built.weights, [x])[built.program.outputs[0]]


@given(
    n=st.integers(1, 17),
    entries=st.sampled_from([700, 1100, 2032, 1 << 14]),
    last=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=40)
def test_the_largest_and_its_position_are_exact_whatever_fits_a_table(
    n: int, entries: int, last: bool, seed: int
) -> None:
    g = Emitter(msgspec.structs.replace(EZKL, max_table_entries=entries))
    x = g.input("x", (1, n), (-8.0, 8.0))
    rng = np.random.default_rng(seed)
    integers = rng.choice(rng.integers(-128, 128, 5, endpoint=True), (50, 1, n))
    _, largest = run(g, max_along(g, x, 1).value, integers)
    np.testing.assert_array_equal(largest, integers.max(axis=2, keepdims=True))
    expected = n - 1 - integers[..., ::-1].argmax(axis=2) if last else integers.argmax(axis=2)
    _, position = run(g, g.output(argmax(g, x, 1, last=last)), integers)
    np.testing.assert_array_equal(position[..., 0], expected)


def test_what_cannot_be_compared_as_it_is_loses_as_few_digits_as_possible() -> None:
    g = Emitter(msgspec.structs.replace(EZKL, max_table_entries=450))
    x = g.input("x", (1, 4), (-8.0, 8.0))
    assert x.value.interval == (-128, 128)
    assert comparable(g, x, fine=True).limits == (-64, 64)


def test_a_maximum_of_n_takes_n_minus_one_comparisons() -> None:
    g = Emitter(msgspec.structs.replace(EZKL, max_table_entries=1 << 14))
    x = g.input("x", (1, 6), (-8.0, 8.0))
    built, _ = run(g, PairwiseMaximum(g, x.value.interval).along(x.value, 1).value, np.zeros((1, 1, 6), dtype=np.int64))
    assert sum(node.out.size for node in built.program.nodes if isinstance(node, Lookup)) == 5


class TestComparable:
    def test_a_narrow_value_is_taken_as_it_is(self) -> None:
        g = Emitter(EZKL)
        x = g.input("x", (1, 4), (-8.0, 8.0))
        assert comparable(g, x, fine=True).value is x.value

    def test_a_function_is_looked_up_in_as_many_levels_as_can_be_compared(self) -> None:
        g = Emitter(EZKL)
        x = g.apply(g.input("x", (1, 4), (-8.0, 8.0)), sigmoid)
        coarse, fine = comparable(g, x, fine=False), comparable(g, x, fine=True)
        assert coarse.limits == (0, 255)
        # Half of 2032 entries for either sign of a difference, rounded down to a power of two.
        assert fine.limits[1] - fine.limits[0] > 2 * 255
        assert 2 * (fine.limits[1] - fine.limits[0]) + 1 <= 2032

    def test_a_falling_function_is_not_compared_by_its_argument(self) -> None:
        g = Emitter(EZKL)
        x = g.affine(g.input("x", (1, 4), (-8.0, 8.0)), Fraction(-1))
        assert comparable(g, x, fine=True).value is not x.value

    def test_wide_formats_get_coarser_until_their_differences_fit(self) -> None:
        g = Emitter(msgspec.structs.replace(EZKL, activation_bits=12, max_table_entries=1 << 12))
        x = g.input("x", (1, 4), (-8.0, 8.0))
        found = comparable(g, x, fine=False)
        assert 2 * (found.limits[1] - found.limits[0]) + 1 <= 1 << 12


class TestClamped:
    def test_leaves_alone_what_is_within_the_limits(self) -> None:
        g = Emitter(EZKL)
        x = g.input("x", (1, 4), (-8.0, 8.0))
        assert clamped(g, x.value, (-128, 128)) is x.value

    def test_is_one_lookup_that_changes_nothing_within_the_limits(self) -> None:
        g = Emitter(EZKL)
        x = g.input("x", (1, 3), (-8.0, 8.0))
        built, y = run(g, clamped(g, x.value, (-5, 7)), np.array([[[-100, 3, 100]]]))
        assert y.tolist() == [[[-5, 3, 7]]]
        assert built.program.output_tensors[0].lo == -5

    def test_refuses_what_no_table_holds(self) -> None:
        g = Emitter(msgspec.structs.replace(EZKL, max_table_entries=200), label="pool")
        x = g.input("x", (1, 4), (-8.0, 8.0))
        with pytest.raises(BoundsError, match="pool: a maximum of values from -5 to 7 needs tables of 257 entries"):
            clamped(g, x.value, (-5, 7))


def test_padding_never_wins() -> None:
    g = Emitter(EZKL)
    x = g.input("x", (1, 1, 3), (-8.0, 8.0))
    window = Window(axis=2, size=2, stride=1, dilation=1, before=1, after=1)
    pooled = max_pool(g, x, [window])
    integers = np.array([[[[-100, -120, -90]]]])
    _, y = run(g, g.output(pooled), integers)
    assert y.ravel().tolist() == [-100, -100, -90, -90]


@given(
    size=st.integers(1, 9),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 3),
    before=st.integers(0, 2),
    extra=st.integers(0, 7),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_windows_are_exact(size: int, stride: int, dilation: int, before: int, extra: int, seed: int) -> None:
    """Whatever comparisons they share."""
    n = (size - 1) * dilation + 1 + extra
    g = Emitter(EZKL)
    x = g.input("x", (1, n, 2), (-8.0, 8.0))
    integers = np.random.default_rng(seed).integers(-128, 128, (10, 1, n, 2))
    _, pooled = run(g, g.output(max_pool(g, x, [Window(1, size, stride, dilation, before, 0)])), integers)
    padded = np.pad(integers, ((0, 0), (0, 0), (before, 0), (0, 0)), constant_values=-128)
    reach = (size - 1) * dilation
    starts = range(0, n + before - reach, stride)
    expected = [padded[:, :, start : start + reach + 1 : dilation].max(axis=2) for start in starts]
    np.testing.assert_array_equal(pooled, np.stack(expected, axis=2))


@pytest.mark.parametrize(
    ("size", "stride", "comparisons"),
    [(2, 1, 1), (3, 1, 2), (5, 1, 3), (13, 1, 4), (2, 2, 1), (3, 2, 2), (5, 2, 3), (7, 2, 4), (8, 4, 4), (3, 3, 2)],
)
def test_windows_that_overlap_share_comparisons(size: int, stride: int, comparisons: int) -> None:
    g = Emitter(msgspec.structs.replace(EZKL, max_table_entries=1 << 14))
    pooled = max_pool(g, g.input("x", (1, 1, 32), (-8.0, 8.0)), [Window(2, size, stride, 1, 0, 0)])
    program = g.builder.finish([pooled.value]).program
    assert sum(isinstance(node, Lookup) for node in program.nodes) == comparisons


def test_an_axis_is_padded_when_its_turn_comes() -> None:
    """What is compared along one axis has the other one as it was, or as it has become."""
    g = Emitter(msgspec.structs.replace(EZKL, max_table_entries=1 << 14))
    pooled = max_pool(g, g.input("x", (1, 8, 8), (-8.0, 8.0)), [Window(axis, 3, 2, 1, 1, 0) for axis in (1, 2)])
    program = g.builder.finish([pooled.value]).program
    compared = [node.out.shape[1:] for node in program.nodes if isinstance(node, Lookup)]
    assert compared == [(4, 8), (4, 8), (4, 4), (4, 4)]


def test_the_maximum_of_one_is_itself() -> None:
    g = Emitter(EZKL)
    x = g.input("x", (2, 1), (-8.0, 8.0))
    assert max_along(g, x, 1).value is x.value
    _, position = run(g, g.output(argmax(g, x, 1, last=False)), np.array([[[5], [-7]]]))
    assert position.ravel().tolist() == [0, 0]


class TestBeyondCalibration:
    """Comparisons of what is larger than anything that calibration data has."""

    BODY = "h = MatMul(x, w)\n"
    WEIGHTS: ClassVar = {"w": np.array([[1, 0.5], [0.5, 1]]), "k": np.array([1])}
    CALIBRATION = np.array([[1, -1], [-1, 1], [0.2, 0.1], [-1, -1], [0.3, 0.2]], dtype=np.float32)
    """The logits reach from -1.5 to 0.5."""
    DATA = np.array([[0.4, 0.6], [0.6, 0.4], [0.9, 0.8], [0.98, 1.0]], dtype=np.float32)

    def outputs(self, last: str, precision: str) -> tuple[FloatArray, FloatArray]:
        weights = {name: value for name, value in self.WEIGHTS.items() if name in (self.BODY + last)}
        model = build(self.BODY + last, {"x": [1, 2]}, weights, integer_outputs=["y"] if "Arg" in last else [])
        return run_on(model, [self.CALIBRATION], [self.DATA], precision)

    @pytest.mark.parametrize("precision", ["native", "ezkl"])
    @pytest.mark.parametrize("last", ["y = ArgMax<axis=1>(h)", "y = Hardmax(h)", "n = Neg(h)\ny = ArgMin<axis=1>(n)"])
    def test_positions_are_right(self, last: str, precision: str) -> None:
        fixed, floats = self.outputs(last, precision)
        np.testing.assert_array_equal(fixed, floats)

    @pytest.mark.parametrize("precision", ["native", "ezkl"])
    @pytest.mark.parametrize("factor", [1.0, 0.25, 20.0])
    def test_a_softmax_tells_them_apart(self, factor: float, precision: str) -> None:
        model = build("h = MatMul(x, w)\ny = Softmax(h)", {"x": [1, 2]}, {"w": factor * self.WEIGHTS["w"]})
        fixed, floats = run_on(model, [self.CALIBRATION], [self.DATA[:1]], precision)
        assert np.abs(fixed - floats).max() <= (0.001 if precision == "native" else 0.02)

    @given(scale=st.floats(1, 3))
    @settings(max_examples=10)
    def test_an_order_holds_at_three_times_the_range(self, scale: float) -> None:
        g = Emitter(msgspec.structs.replace(EZKL, max_table_entries=1 << 14))
        h = g.activation(g.integral_input("x", (1, 2), -(1 << 13), 1 << 13).value, observed=(-1000.0, 1000.0))
        x = np.array([[[990 * scale, 970 * scale]], [[-990 * scale, -970 * scale]]]).astype(np.int64)
        _, position = run(g, g.output(argmax(g, h, 1, last=False)), x)
        assert position.ravel().tolist() == [0, 1]

    def test_a_report_counts_what_saturates(self) -> None:
        weights = {"w": np.array([[1, 0.9], [1, 0.9]])}
        model = build(f"{self.BODY}y = ArgMax<axis=1>(h)", {"x": [1, 2]}, weights, integer_outputs=["y"])
        circuit = compile_model(model, np.array([[1, -1], [-1, 1], [0.01, 0]], dtype=np.float32))
        counts = [
            {row.name: row.saturated for row in circuit.report(np.array([x], dtype=np.float32)).layers}["h"]
            for x in ([0.01, 0], [1, 1])
        ]
        assert counts == [0, 2]
