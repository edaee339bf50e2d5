"""Interval analysis: no input within its bounds takes a value out of its own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.random_programs import random_inputs, random_program

from zkinfer.circuit.bounds import (
    check_bounds,
    einsum_interval,
    lookup_indices,
    lookup_interval,
    round_outward,
)
from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.table import Table
from zkinfer.circuit.view_bounds import Known, Source
from zkinfer.errors import BoundsError

NOTHING = Known([].__getitem__, [].__getitem__)
"""Operands that are not computed from others."""

seeds = st.integers(0, 2**32 - 1)
ends = st.integers(-(2**40), 2**40)


@given(seeds)
def test_every_value_stays_within_its_proven_bounds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    program, weights, *_ = random_program(rng)
    intervals = check_bounds(program, weights)
    for value, (lo, hi) in zip(
        evaluate(program, weights, random_inputs(rng, program, runs=20)), intervals, strict=True
    ):
        assert lo <= value.min()
        assert value.max() <= hi


@given(seeds)
def test_bounds_with_a_weight_are_reached(seed: int) -> None:
    """The row norms of the actual weight are a tight bound: some input attains each end."""
    rng = np.random.default_rng(seed)
    w = rng.integers(-9, 10, (4, 5))
    lo, hi = einsum_interval("i,oi->o", [Source((5,), (-3, 7)), Source((4, 5), (-9, 9), w)], NOTHING)
    outputs = [w @ np.where(w[row] > 0, 7, -3) for row in range(4)] + [
        w @ np.where(w[row] > 0, -3, 7) for row in range(4)
    ]
    assert (lo, hi) == (min(o.min() for o in outputs), max(o.max() for o in outputs))


@given(ends, ends)
def test_published_bounds_contain_the_proven_ones_and_say_little(a: int, b: int) -> None:
    lo, hi = min(a, b), max(a, b)
    outer = round_outward((lo, hi))
    assert outer[0] <= min(lo, 0)
    assert max(hi, 0) <= outer[1]
    assert round_outward(outer) == outer
    for end in outer:
        assert abs(end) < 8 or (abs(end) + 1) % (1 << (abs(end) + 1).bit_length() - 3) == 0


@given(st.integers(-(2**50), 2**50), st.integers(0, 20))
def test_lookup_index_is_round_half_up(x: int, shift: int) -> None:
    index, _ = lookup_indices((x, x), shift)
    assert 2 * index * 2**shift <= 2 * x + 2**shift
    assert 2 * x + 2**shift < 2 * (index + 1) * 2**shift + (shift == 0)


def test_a_table_that_is_too_short_is_named() -> None:
    table = Table("relu", -4, tuple(range(9)))
    assert lookup_interval(table, (-4, 4), 0) == (0, 8)
    for source in ((-5, 0), (0, 5)):
        with pytest.raises(BoundsError, match="relu"):
            lookup_interval(table, source, 0)


def test_sums_beyond_exact_arithmetic_do_not_compile() -> None:
    with pytest.raises(BoundsError, match="fewer bits"):
        einsum_interval("i,i->", [Source((8,), (0, 2**31))] * 2, NOTHING)
    w = np.full((1, 4), 2**40)
    with pytest.raises(BoundsError, match="fewer bits"):
        einsum_interval("i,oi->o", [Source((4,), (-(2**20), 2**20)), Source((1, 4), (2**40, 2**40), w)], NOTHING)


@given(seeds)
def test_other_weights_than_the_bounds_were_proven_for_are_refused(seed: int) -> None:
    rng = np.random.default_rng(seed)
    program, weights, *_ = random_program(rng, nodes=8)
    if not weights:
        return
    grown = [*weights[:-1], weights[-1].astype(np.int64) * 100 + 1000]
    with pytest.raises(BoundsError):
        check_bounds(program, grown)
