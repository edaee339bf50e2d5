"""What ezkl's work costs: columns times rows, with constants fitted to measurements.

Each prediction is linear in how many columns of 2**k rows a circuit fills; `benchmarks/ezkl_cost.py` measures a range
of circuits, fits the constants below and prints how far off they are (within a factor of 1.4 where they were fitted).
"""

from dataclasses import dataclass

INNER_COLUMNS = 2
"""ezkl's `num_inner_cols`: how many cells of the main region share a row."""

RESERVED_ROWS = 16
"""Rows at a column's end that are planned for blinding; ezkl takes six."""

REFERENCE_ROWS = 4096


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


@dataclass(frozen=True)
class Rates:
    """Cost of a circuit: a constant, and for each 4096 rows so much a circuit and a block of columns of each kind."""

    constant: float
    rows: float
    main: float
    main_tables: float
    einsum: float
    committed: float

    def predict(self, size: CircuitSize, logrows: int) -> float:
        """The cost at k = `logrows`."""
        main = blocks(-(-size.cells // INNER_COLUMNS), logrows)
        tables = blocks(size.table_cells, logrows)
        committed = sum(blocks(cells, logrows) for cells in size.committed_cells)
        weighted = (
            self.rows
            + self.main * main
            + self.main_tables * main * tables
            + self.einsum * blocks(size.einsum_cells, logrows)
            + self.committed * committed
        )
        return self.constant + (1 << logrows) / REFERENCE_ROWS * weighted


PROVING_SECONDS = Rates(0.134, 0.941, 0.459, 0.494, 0.795, 0.0)
SETUP_SECONDS = Rates(0.396, 0.258, 0.516, 0.112, 0.943, 0.127)
KEY_MEGABYTES = Rates(1.1, 11.6, 11.0, 3.4, 22.4, 0.9)
PEAK_MEGABYTES = Rates(35.0, 22.0, 17.0, 12.5, 34.5, 6.7)


def blocks(cells: int, logrows: int) -> int:
    """How many columns of 2**logrows rows hold this many cells."""
    return -(-cells // ((1 << logrows) - RESERVED_ROWS))


def cheapest_logrows(size: CircuitSize, least: int, most: int) -> int:
    """The k from `least` to `most` with the least predicted proving time."""
    return min(range(least, most + 1), key=lambda k: (PROVING_SECONDS.predict(size, k), k))
