"""What ezkl's proving costs: a small model of columns times rows, fitted to measurements.

`benchmarks/ezkl_cost.py` measures and fits the constants.
"""

from dataclasses import dataclass

INNER_COLUMNS = 2


@dataclass(frozen=True)
class CircuitSize:
    """What a circuit takes, as ezkl counts it.

    Attributes:
        cells: assignments in the main region.
        einsum_cells: assignments in the columns of batched contractions.
        table_cells: entries of all lookup tables.
        lookups: lookup nodes.
        committed_cells: length of each committed vector.
    """

    cells: int
    einsum_cells: int
    table_cells: int
    lookups: int
    committed_cells: tuple[int, ...]


def blocks(cells: int, logrows: int) -> int:
    """How many columns of 2**logrows rows hold this many cells."""
    return max(1, -(-cells // ((1 << logrows) - 16))) if cells else 0


def columns(size: CircuitSize, logrows: int) -> float:
    """Advice columns, weighted by the work that each brings."""
    main = blocks(-(-size.cells // INNER_COLUMNS), logrows)
    tables = blocks(size.table_cells, logrows)
    committed = sum(blocks(cells, logrows) for cells in size.committed_cells)
    einsum = blocks(size.einsum_cells, logrows)
    return 3 * INNER_COLUMNS * main + 6 * main * tables + 6 * einsum + committed


def cheapest_logrows(size: CircuitSize, least: int, most: int) -> int:
    """The k from `least` to `most` with the least predicted proving time."""
    return min(range(least, most + 1), key=lambda k: (proving_seconds(size, k), k))


def proving_seconds(size: CircuitSize, logrows: int) -> float:
    """Predicted proving time on one core of the reference machine, seconds."""
    return (1 << logrows) * (1e-4 + 1.5e-5 * columns(size, logrows))
