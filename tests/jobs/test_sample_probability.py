"""How likely a sample misses what is wrong: against every choice of what could be wrong, counted."""

import math
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.errors import (
    InvalidInputError,
)
from zkinfer.jobs.sample import batches_needed, sampled_miss_probability

RATE = 0.4

sizes_lists = st.lists(st.integers(0, 4), min_size=1, max_size=7).filter(any)


class TestProbability:
    @given(sizes_lists, st.floats(0.01, 1), st.data())
    def test_the_worst_way_to_be_wrong(self, sizes: list[int], rate: float, data: st.DataObject) -> None:
        """No choice of batches that hold as many wrong outputs is missed more often than is said."""
        outputs = [n for n in sizes if n]
        drawn = data.draw(st.integers(0, len(outputs)))
        wrong = max(1, math.ceil(Fraction(repr(rate)) * sum(outputs)))
        fewest = min(
            count
            for count in range(1, len(outputs) + 1)
            for chosen in combinations(outputs, count)
            if sum(chosen) >= wrong
        )
        exact = Fraction(math.comb(len(outputs) - fewest, drawn), math.comb(len(outputs), drawn))
        assert sampled_miss_probability(sizes, drawn, rate) == pytest.approx(float(exact))

    @given(sizes_lists, st.floats(0.01, 1), st.floats(0.01, 0.99))
    def test_as_many_as_needed_and_no_more(self, sizes: list[int], rate: float, confidence: float) -> None:
        needed = batches_needed(sizes, rate, confidence)
        assert sampled_miss_probability(sizes, needed, rate) <= 1 - confidence
        assert needed == 1 or sampled_miss_probability(sizes, needed - 1, rate) > 1 - confidence

    @pytest.mark.parametrize("rate", [0.0, -1.0, 1.5, math.nan, math.inf])
    def test_rates_that_are_none(self, rate: float) -> None:
        with pytest.raises(InvalidInputError, match="rate"):
            sampled_miss_probability([1, 2], 1, rate)
