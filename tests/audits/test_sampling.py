"""Samples from a seed are uniform and repeatable; what they show is the hypergeometric distribution, exactly."""

import math
from collections import Counter
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.audits import sampling
from zkinfer.audits.sampling import detectable, draw, miss_probability, sample_size, wrong_items
from zkinfer.errors import InvalidInputError

SEED = bytes(range(32))

sizes = st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(0, n)))


def exact(items: int, wrong: int, size: int) -> Fraction:
    return Fraction(math.comb(items - wrong, size), math.comb(items, size))


class TestDraw:
    def test_by_hand(self) -> None:
        """The definition, word by word, in plain Python."""
        items, size = 1000, 20
        stream = blake3(SEED + items.to_bytes(8, "little"), derive_key_context="zkinfer 2026 sample v1").digest(8 * 200)
        chosen: list[int] = []
        for start in range(0, len(stream), 8):
            number = int.from_bytes(stream[start : start + 8], "little") % 1024
            if number < items and number not in chosen and len(chosen) < size:
                chosen.append(number)
        assert draw(SEED, items, size).tolist() == sorted(chosen)

    @given(st.binary(min_size=32, max_size=32), sizes)
    def test_different_numbers_in_order(self, seed: bytes, case: tuple[int, int, int]) -> None:
        items, size, _ = case
        sample = draw(seed, items, size)
        assert (sample == draw(seed, items, size)).all()
        assert sample.tolist() == sorted(set(sample.tolist()))
        assert len(sample) == size
        assert set(sample.tolist()) <= set(range(items))

    @given(sizes)
    def test_more_than_half_is_what_is_left(self, case: tuple[int, int, int]) -> None:
        items, size, _ = case
        if 2 * size < items:
            rest = np.setdiff1d(np.arange(items), draw(SEED, items, size))
            assert (draw(SEED, items, items - size) == rest).all()

    @pytest.mark.parametrize(("items", "size"), [(5, 2), (6, 3), (5, 4)])
    def test_every_subset_is_as_likely(self, items: int, size: int) -> None:
        """Chi-squared over 3000 seeds; the bound is exceeded by chance with probability below 1e-6."""
        counts = Counter(tuple(draw(blake3(bytes([i % 256, i // 256])).digest(), items, size)) for i in range(3000))
        subsets = list(combinations(range(items), size))
        expected = 3000 / len(subsets)
        assert sum((counts[s] - expected) ** 2 / expected for s in subsets) < 60

    def test_large_samples_read_on_until_they_are_full(self) -> None:
        sample = draw(SEED, 300_000, 140_000)
        assert len(np.unique(sample)) == 140_000
        assert abs(sample.mean() - 150_000) < 5 * 300_000 / math.sqrt(12 * 140_000)

    def test_another_seed_or_list_is_another_sample(self) -> None:
        assert (draw(SEED, 10_000, 50) != draw(bytes(32), 10_000, 50)).any()
        assert (draw(SEED, 10_000, 50) != draw(SEED, 10_001, 50)).any()

    @pytest.mark.parametrize(
        ("seed", "items", "size"), [(bytes(31), 5, 1), (SEED, 0, 0), (SEED, 5, 6), (SEED, 5, -1), (SEED, 1 << 49, 1)]
    )
    def test_arguments_out_of_range(self, seed: bytes, items: int, size: int) -> None:
        with pytest.raises(InvalidInputError):
            draw(seed, items, size)


class TestWhatItShows:
    @given(sizes)
    def test_miss_probability_is_hypergeometric(self, case: tuple[int, int, int]) -> None:
        items, wrong, size = case
        assert miss_probability(items, wrong, size) == pytest.approx(float(exact(items, wrong, size)), rel=1e-12)

    @pytest.mark.parametrize(
        ("items", "wrong", "size"), [(10**6, 10**4, 459), (10**9, 300, 10**7), (10**6, 3, 9 * 10**5)]
    )
    def test_miss_probability_of_many_items(self, items: int, wrong: int, size: int) -> None:
        fewer, more = sorted((wrong, size))
        product = math.prod(Fraction(items - more - i, items - i) for i in range(fewer))
        assert miss_probability(items, wrong, size) == pytest.approx(float(product), rel=1e-11)

    def test_blocks_make_no_difference(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = miss_probability(10_000, 400, 300)
        monkeypatch.setattr(sampling, "_BLOCK", 7)
        assert miss_probability(10_000, 400, 300) == pytest.approx(whole, rel=1e-13)

    def test_miss_probability_as_samples_show_it(self) -> None:
        """Of 4000 samples of 10 of 100 items, those without any of 7 wrong ones."""
        wrong = np.arange(7)
        missed = sum(
            not np.isin(draw(blake3(i.to_bytes(2, "little")).digest(), 100, 10), wrong).any() for i in range(4000)
        )
        assert missed / 4000 == pytest.approx(miss_probability(100, 7, 10), abs=0.04)

    @given(
        st.integers(1, 60),
        st.integers(1, 100).map(lambda n: n / 100),
        st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999]),
    )
    def test_the_sample_is_the_least(self, items: int, rate: float, confidence: float) -> None:
        wrong, allowed = wrong_items(items, rate), 1 - Fraction(repr(confidence))
        size = sample_size(items, rate, confidence)
        assert exact(items, wrong, size) <= allowed
        assert size == 1 or exact(items, wrong, size - 1) > allowed

    @given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))), st.sampled_from([0.5, 0.99]))
    def test_the_detectable_number_is_the_least(self, case: tuple[int, int], confidence: float) -> None:
        items, size = case
        allowed = 1 - Fraction(repr(confidence))
        wrong = detectable(items, size, confidence)
        assert exact(items, wrong, size) <= allowed
        assert wrong == 1 or exact(items, wrong - 1, size) > allowed

    def test_known_figures(self) -> None:
        """One percent of many, with 99 percent confidence: ln 0.01 / ln 0.99 = 458.2."""
        assert sample_size(10**9, 0.01, 0.99) == 459
        assert sample_size(1000, 0.01, 0.99) == 368
        assert sample_size(5, 0.01, 0.99) == 5
        assert detectable(1000, 1000, 0.99) == 1

    @pytest.mark.parametrize(("items", "rate", "wrong"), [(100, 0.07, 7), (100, 0.071, 8), (10, 0.001, 1), (3, 1.0, 3)])
    def test_a_rate_in_items(self, items: int, rate: float, wrong: int) -> None:
        assert wrong_items(items, rate) == wrong

    @pytest.mark.parametrize("rate", [0.0, -0.1, 1.1, math.nan])
    def test_rates_that_are_none(self, rate: float) -> None:
        with pytest.raises(InvalidInputError, match="rate"):
            sample_size(10, rate, 0.9)

    @pytest.mark.parametrize("confidence", [0.0, 1.0, math.nan])
    def test_confidences_that_are_none(self, confidence: float) -> None:
        with pytest.raises(InvalidInputError, match="confidence"):
            sample_size(10, 0.1, confidence)
        with pytest.raises(InvalidInputError, match="confidence"):
            detectable(10, 1, confidence)

    def test_no_sample_finds_nothing(self) -> None:
        with pytest.raises(InvalidInputError, match="no items"):
            detectable(10, 0, 0.9)
