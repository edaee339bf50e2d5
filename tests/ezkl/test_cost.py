"""Costs: what the model of a circuit and the price of a lookup say of each other and of their limits."""

import math

import pytest

from zkinfer.compiler.approx.cost import LookupSize
from zkinfer.compiler.approx.functions import gelu
from zkinfer.compiler.approx.tuner import tune
from zkinfer.ezkl.cost import PROVING_SECONDS, CellCount, CircuitSize, blocks, cheapest_logrows

SMALL = CircuitSize(cells=2_000, einsum_cells=0, table_cells=500, lookups=2, committed_cells=(500, 100))
LARGE = CircuitSize(cells=200_000, einsum_cells=5_000, table_cells=4_000, lookups=4, committed_cells=(80_000, 900))


@pytest.mark.parametrize(("cells", "expected"), [(0, 0), (1, 1), (240, 1), (241, 2)])
def test_blocks_are_whole_columns_of_usable_rows(cells: int, expected: int) -> None:
    assert blocks(cells, 8) == expected


def test_larger_circuits_take_more_rows() -> None:
    assert cheapest_logrows(SMALL, 8, 20) < cheapest_logrows(LARGE, 8, 20)
    for size in (SMALL, LARGE):
        best = cheapest_logrows(size, 8, 20)
        assert all(PROVING_SECONDS.predict(size, best) <= PROVING_SECONDS.predict(size, k) for k in range(8, 21))


def test_a_table_that_fits_no_column_cannot_be_proven() -> None:
    cost = CellCount(max_logrows=10)
    assert math.isfinite(cost.lookup(LookupSize(100, 0, 999, 0, 1000)))
    assert math.isinf(cost.lookup(LookupSize(100, 0, 1099, 0, 1100)))
    assert math.isinf(cost.lookup(LookupSize(100, 0, 1 << 20, 11, 512))), "its remainders do not fit"


def test_a_shift_costs_a_second_lookup() -> None:
    cost = CellCount()
    assert cost.lookup(LookupSize(1000, 0, 255, 0, 256)) < cost.lookup(LookupSize(1000, 0, 511, 1, 256))


def test_the_tuner_finds_a_table_that_this_backend_proves() -> None:
    tuned = tune(
        gelu,
        in_frac_bits=14,
        in_lo=-(4 << 14),
        in_hi=4 << 14,
        max_error=0.01,
        elements=256,
        cost=CellCount(max_logrows=11),
    )
    assert tuned.built.max_error <= 0.01
    assert len(tuned.built.table.values) < 1 << 11
