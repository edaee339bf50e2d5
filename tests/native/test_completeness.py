"""Honest proofs about programs of any shapes are accepted; `tests/complete.py` tries more of them."""

import pytest
from support.shaped_cases import LONG, complete, shaped_case

SEEDS = range(24)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_program_is_proven(seed: int) -> None:
    assert complete(seed)


def test_all_kinds_are_among_them() -> None:
    """Long axes, odd ones, and recurrences."""
    shapes = [tensor.shape for seed in SEEDS for tensor in shaped_case(seed).plan.program.inputs]
    places = [n for shape in shapes for n in shape]
    assert any(LONG[0] <= n <= LONG[1] for n in places)
    assert any(50 < n < 100 and n.bit_count() > 1 for n in places)
    assert any(tensor.label == "start" for seed in SEEDS for tensor in shaped_case(seed).plan.program.inputs)
