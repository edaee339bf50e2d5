"""The automatic size of a batch: grows while that pays, within memory and budget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.example_programs import everything, mlp

from zkinfer.errors import BudgetError
from zkinfer.jobs import sizing
from zkinfer.jobs.sizing import LARGEST, Sizing

PROGRAM = mlp().program


def choose(fixed: float, each: float, *, items: int = 10**6, proofs: int = 10**6, workers: int = 1) -> list[int]:
    """The sizes of a job's batches until they no longer change, where a batch takes fixed + each * items seconds."""
    sizes = Sizing(None, PROGRAM, "native", workers=workers, items=items, proofs=proofs)
    chosen: list[int] = []
    while len(chosen) < 3 or chosen[-1] != chosen[-2]:
        chosen.append(sizes.size)
        sizes.record(chosen[-1], fixed + each * chosen[-1])
    return chosen


def test_where_only_the_proof_costs_batches_become_as_large_as_they_may() -> None:
    assert choose(1.0, 0.0) == [16, 32, 64, 128, 256, 512, 1024, 1024]


def test_where_every_item_costs_alike_they_stay_small() -> None:
    assert choose(0.0, 0.1) == [16, 32, 16, 16]


@given(fixed=st.floats(0.01, 10), each=st.floats(0.0001, 1))
def test_the_choice_is_the_last_size_that_was_worth_it(fixed: float, each: float) -> None:
    size = choose(fixed, each)[-1]

    def cost(items: int) -> float:
        return fixed / items + each

    assert size == 16 or cost(size) <= 0.9 * cost(size // 2) * (1 + 1e-9)
    assert size == LARGEST or cost(2 * size) >= 0.9 * cost(size) * (1 - 1e-9)


def test_the_budget_forbids_small_batches() -> None:
    assert choose(0.0, 0.1, items=10_000, proofs=100)[-1] == 106


def test_too_small_a_budget_is_said_before_anything_is_proven() -> None:
    with pytest.raises(BudgetError, match=r"take 10 proofs, and these keys can make 9 more.*--proofs"):
        Sizing(None, PROGRAM, "native", workers=1, items=10 * LARGEST, proofs=9)
    with pytest.raises(BudgetError, match="batches of 5 take 20"):
        Sizing(5, PROGRAM, "native", workers=1, items=100, proofs=19)


def test_memory_bounds_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizing, "available_memory", lambda: 1 << 20)
    one = Sizing(None, PROGRAM, "native", workers=1, items=10**6, proofs=10**6).largest
    two = Sizing(None, PROGRAM, "native", workers=2, items=10**6, proofs=10**6).largest
    assert 1 < two < one < LARGEST


def test_sizes_are_multiples_of_the_circuits_batch() -> None:
    program = everything().program
    sizes = Sizing(None, program, "native", workers=1, items=1005, proofs=30)
    assert sizes.smallest % 2 == sizes.largest % 2 == 0
    assert Sizing(None, program, "ezkl", workers=1, items=100, proofs=1000).size == 2


def test_the_users_size_is_taken() -> None:
    sizes = Sizing(7, PROGRAM, "native", workers=1, items=100, proofs=100)
    sizes.record(7, 1.0)
    sizes.record(14, 0.1)
    assert sizes.size == 7


def test_one_slow_batch_of_a_size_decides_nothing() -> None:
    """The first batch of a process pays for loading its kernels."""
    sizes = Sizing(None, PROGRAM, "native", workers=1, items=10**6, proofs=10**6)
    for seconds in (9.0, 1.6):
        sizes.record(16, seconds)
    sizes.record(32, 3.2)
    assert sizes.size == 16


def test_a_size_is_settled_once_no_larger_one_is_to_be_tried() -> None:
    sizes = Sizing(None, PROGRAM, "native", workers=1, items=10_000, proofs=10_000)
    assert (sizes.size, sizes.settled) == (16, False)
    sizes.record(16, 1.0)
    assert (sizes.size, sizes.settled) == (32, False)
    sizes.record(32, 1.9)
    assert (sizes.size, sizes.settled) == (16, True)
    assert Sizing(8, PROGRAM, "native", workers=1, items=10_000, proofs=10_000).settled


def test_memory_is_that_of_the_control_group_where_it_is_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizing, "memory_limit", lambda: 1 << 60)
    machine = sizing.available_memory()
    assert 0 < machine < 1 << 60
    monkeypatch.setattr(sizing, "memory_limit", lambda: 1 << 20)
    assert sizing.available_memory() == 1 << 20
