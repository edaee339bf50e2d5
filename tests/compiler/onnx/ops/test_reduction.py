"""Reductions: sums, means and maxima; softmax within about one unit; the position of the maximum exactly."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.model_comparison import build, compare, grid

from zkinfer.circuit.derived_bounds import derived_bounds
from zkinfer.compiler.lowering.precision import EZKL, NATIVE, Precision
from zkinfer.errors import CompileError
from zkinfer.protocol.field.params import P

AXES = st.lists(st.integers(-3, 2), min_size=1, max_size=3, unique_by=lambda axis: axis % 3)


@given(
    op=st.sampled_from(["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"]),
    axes=AXES,
    keepdims=st.integers(0, 1),
    opset=st.sampled_from([13, 18]),
)
@settings(max_examples=25)
def test_reductions(op: str, axes: list[int], keepdims: int, opset: int) -> None:
    as_input = opset == 18 or op == "ReduceSum"
    call = f"{op}<keepdims={keepdims}>(x, axes)" if as_input else f"{op}<keepdims={keepdims}, axes={axes}>(x)"
    weights = {"axes": np.array(axes, dtype=np.int64)} if as_input else {}
    result = compare(build(f"y = {call}", {"x": [1, 4, 3]}, weights, opset=opset), grid(8, 4, 3))
    assert result.error_in_units <= (1.01 if op == "ReduceMean" else 0)


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"])
def test_no_axes_means_all_of_them_or_none(op: str) -> None:
    opset = 18
    everything = compare(build(f"y = {op}<keepdims=0>(x)", {"x": [1, 2, 2]}, opset=opset), grid(8, 2, 2))
    assert everything.program.output_tensors[0].shape == ()
    assert everything.error == 0
    nothing = compare(
        build(f"h = {op}<noop_with_empty_axes=1>(x)\ny = Neg(h)", {"x": [1, 2, 2]}, opset=opset), grid(8, 2, 2)
    )
    assert nothing.program.output_tensors[0].shape == (1, 2, 2)
    assert nothing.error == 0


@pytest.mark.parametrize("opset", [13, 18])
def test_sum_of_squares(opset: int) -> None:
    call = "ReduceSumSquare<axes=[1]>(x)" if opset == 13 else "ReduceSumSquare(x, axes)"
    weights = {} if opset == 13 else {"axes": np.array([1])}
    result = compare(build(f"y = {call}", {"x": [1, 8]}, weights, opset=opset), grid(8, 8))
    assert len(result.lookups) == 1
    # Eight squares, each rounded to 8 bits of at most 64.
    assert result.error <= 8 * 0.125 + 0.25


@given(axis=st.integers(-2, 2), exclusive=st.integers(0, 1), reverse=st.integers(0, 1), opset=st.sampled_from([13, 14]))
@settings(max_examples=12)
def test_running_sums(axis: int, exclusive: int, reverse: int, opset: int) -> None:
    call = f"CumSum<exclusive={exclusive}, reverse={reverse}>(x, a)"
    result = compare(build(f"y = {call}", {"x": [1, 4, 3]}, {"a": np.array(axis)}, opset=opset), grid(8, 4, 3))
    assert not result.lookups
    assert result.error == 0


class TestSoftmax:
    @given(
        shape=st.sampled_from([(10,), (2, 5), (3, 1), (2, 3, 4), (16,)]),
        axis=st.integers(-1, 1),
        spread=st.sampled_from([0.25, 1.0, 4.0, 16.0]),
        seed=st.integers(0, 99),
    )
    @settings(max_examples=25)
    def test_is_within_about_a_unit(self, shape: tuple[int, ...], axis: int, spread: float, seed: int) -> None:
        x = grid(40, *shape, seed=seed, frac_bits=7) * spread
        result = compare(build(f"y = Softmax<axis={axis if axis < 1 else 1}>(x)", {"x": [1, *shape]}), x)
        # x itself has a resolution of spread/128, which changes a probability by a quarter of that at most.
        assert result.error <= 2.0**-8 * 1.5

    def test_of_many_scores_is_limited_by_the_table(self) -> None:
        x = grid(60, 64, frac_bits=3) / 2
        coarse = compare(build("y = Softmax(x)", {"x": [1, 64]}), x)
        fine = compare(
            build("y = Softmax(x)", {"x": [1, 64]}),
            x,
            precision=msgspec.structs.replace(EZKL, max_table_entries=1 << 15),
        )
        assert coarse.error <= 64 / (2 * 2032) + 0.02
        assert fine.error <= 0.01

    def test_of_a_short_range_needs_no_maximum(self) -> None:
        result = compare(build("y = Softmax(x)", {"x": [1, 10]}), grid(40, 10, frac_bits=8))
        # One exponential for each score, and one reciprocal.
        assert sum(lookup.out.size for lookup in result.lookups) == 10 + 1

    def test_of_a_long_range_costs_four_lookups_a_score_at_most(self) -> None:
        result = compare(build("y = Softmax(x)", {"x": [1, 10]}), grid(40, 10, frac_bits=3))
        assert sum(lookup.out.size for lookup in result.lookups) <= 4 * 10

    def test_with_sixteen_bits(self) -> None:
        x = np.random.default_rng(0).normal(size=(60, 10)) * 4
        precision = Precision(activation_bits=16, weight_bits=16, max_table_entries=1 << 17)
        result = compare(build("y = Softmax(x)", {"x": [1, 10]}), x, precision=precision)
        assert result.error <= 2.0**-12

    @given(seed=st.integers(0, 99), spread=st.sampled_from([1.0, 8.0]))
    @settings(max_examples=10)
    def test_logarithm(self, seed: int, spread: float) -> None:
        result = compare(build("y = LogSoftmax(x)", {"x": [1, 10]}), grid(40, 10, seed=seed, frac_bits=7) * spread)
        # A rounded logarithm of a sum between 1 and 10.
        assert result.error <= np.log(10) / 256 + 0.005

    def test_feeds_a_product(self) -> None:
        body = """p = Softmax(x)
        y = MatMul(p, w)"""
        result = compare(build(body, {"x": [1, 4, 6]}, {"w": grid(6, 3, frac_bits=7)}), grid(40, 4, 6, frac_bits=5))
        assert result.error <= 6 * 2.0**-8


class TestArgMax:
    @given(
        n=st.integers(1, 13),
        axis=st.sampled_from([1, 2, -1]),
        keepdims=st.integers(0, 1),
        last=st.integers(0, 1),
        op=st.sampled_from(["ArgMax", "ArgMin"]),
        seed=st.integers(0, 99),
    )
    @settings(max_examples=25)
    def test_is_exact_also_with_ties(self, n: int, axis: int, keepdims: int, last: int, op: str, seed: int) -> None:
        attributes = f"axis={axis}, keepdims={keepdims}, select_last_index={last}"
        # Few different values, so that many are equal.
        x = np.random.default_rng(seed).integers(-3, 3, (30, n, n)) / 4
        result = compare(build(f"y = {op}<{attributes}>(x)", {"x": [1, n, n]}, integer_outputs=["y"]), x)
        assert result.program.output_tensors[0].frac_bits == 0 or n == 1
        assert result.error == 0

    def test_of_a_layer_agrees_but_for_near_ties(self) -> None:
        rng = np.random.default_rng(0)
        body = """h = Gemm(x, w)
        y = ArgMax<axis=1, keepdims=0>(h)"""
        result = compare(
            build(body, {"x": [1, 16]}, {"w": rng.normal(size=(16, 10))}, integer_outputs=["y"]),
            rng.normal(size=(300, 16)),
        )
        assert (result.fixed[0] == result.floats[0]).mean() >= 0.97

    def test_as_a_float(self) -> None:
        body = """i = ArgMax<axis=1>(x)
        y = Cast<to=1>(i)"""
        result = compare(build(body, {"x": [1, 5]}), grid(30, 5))
        assert result.error == 0


@pytest.mark.parametrize("axis", [-4, 3])
def test_an_axis_that_does_not_exist_is_refused(axis: int) -> None:
    with pytest.raises(CompileError, match="the shapes of the model do not fit together"):
        compare(build(f"y = Softmax<axis={axis}>(x)", {"x": [1, 2, 2]}), grid(8, 2, 2))


def test_a_softmax_over_thousands_of_classes_fits_the_field() -> None:
    """The shares of a long row have more digits than the field if the powers have as many as the row has elements."""
    x = np.random.default_rng(0).normal(size=(4, 3000))
    result = compare(build("y = Softmax(x)", {"x": [1, 3000]}), x, precision=NATIVE)
    derived_bounds(result.program, P // 2)
    assert all(2 * node.out.magnitude < P for node in result.program.nodes)
    assert result.error < 2.0**-17
