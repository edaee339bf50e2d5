"""The sizes of levels: the same for both verifiers, secure, and never longer than any code."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.errors import InvalidInputError, MalformedProofError
from zkinfer.protocol.pcs import soundness
from zkinfer.protocol.pcs.levels import (
    MAX_SENT,
    QUERIES,
    QUERY_GRINDING,
    choose_levels,
    expected_level_bytes,
    max_level_bytes,
)
from zkinfer.protocol.pcs.params import MAX_LOG_LENGTH, Code, OpeningParameters
from zkinfer.protocol.pcs.search import LEVELS_ERROR
from zkinfer.verifier.reference.levels import GRINDING, level_sizes

VECTORS, ELEMENTS = st.integers(2, 18), st.integers(1, 1 << 20)


@pytest.mark.parametrize("rate", QUERIES)
def test_a_query_less_would_not_be_enough(rate: int) -> None:
    """In exact arithmetic: ((1 + rate) / 2)^queries <= 2^-(135 - work)."""
    agreeing, allowed = (1 + Fraction(1, 1 << rate)) / 2, Fraction(1, 1 << (135 - QUERY_GRINDING))
    assert agreeing ** QUERIES[rate] <= allowed < agreeing ** (QUERIES[rate] - 1)


@given(VECTORS, ELEMENTS)
def test_both_verifiers_choose_the_same(vectors: int, elements: int) -> None:
    fast, slow = choose_levels(vectors, elements), level_sizes(vectors, elements)
    assert [level.rows for level in fast] == [tuple(level.rows) for level in slow]
    for a, b in zip(fast, slow, strict=True):
        assert (a.variables, a.folds, a.log_length, a.queries) == (b.variables, b.folds, b.log_length, b.queries)
        assert (a.fold_grinding, a.blocks, a.filled, a.columns) == (b.fold_grinding, b.blocks, b.filled, b.columns)
        assert a.query_grinding == GRINDING


@given(VECTORS, ELEMENTS)
def test_levels_lead_from_all_elements_to_few(vectors: int, elements: int) -> None:
    levels = choose_levels(vectors, elements)
    assert bool(levels) == (vectors * elements > MAX_SENT)
    for number, level in enumerate(levels):
        assert level.columns < level.length <= 1 << MAX_LOG_LENGTH
        assert (level.columns <= MAX_SENT) == (level is levels[-1])
        assert level.blocks * level.filled <= 1 << level.folds
        if number:
            assert 1 << level.variables == levels[number - 1].columns == level.columns * level.filled
        else:
            assert level.filled * level.columns >= elements > (level.filled - 1) * level.columns
            assert 1 << level.variables >= vectors * elements
    assert expected_level_bytes(levels) <= max_level_bytes(levels)


@given(st.integers(1, 17), st.integers(10, 19), st.integers(1, 300))
def test_what_levels_add_to_the_error_is_small(groups: int, log_columns: int, queries: int) -> None:
    """At most what the search for parameters reckons with."""
    parameters = OpeningParameters(Code(log_columns, queries, log_columns + 2), queries, 0, 0)
    error = math.fsum(term.error for term in soundness.levels(parameters, groups))
    assert error <= LEVELS_ERROR


def test_the_terms_of_levels_are_pinned() -> None:
    parameters = OpeningParameters(Code(10, 14948, 17), 148, 8, 1)
    terms = {term.name: (round(term.bits, 1), term.grinding) for term in soundness.levels(parameters, 1)}
    assert terms == {
        "levels: batch of columns and values": (142.6, 0),
        "level 1: queries": (135.6, 16),
        "level 1: folds": (138.0, 4),
        "level 1: batch": (142.8, 0),
    }


def test_combinations_that_no_code_holds_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="too long"):
        choose_levels(18, 1 << 24)
    with pytest.raises(MalformedProofError, match="too long"):
        level_sizes(18, 1 << 24)
