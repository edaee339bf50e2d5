"""Costs: what the model of a circuit says of its columns and of its limits."""

import pytest

from zkinfer.ezkl.cost import PROVING_SECONDS, CircuitSize, blocks, cheapest_logrows

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
