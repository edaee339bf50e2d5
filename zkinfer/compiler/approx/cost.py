"""What a lookup costs a backend to prove.

The tuner compares tables by one number. What that number counts depends on the backend (cells of a halo2 circuit,
field multiplications, seconds), so each backend brings a model of its own. The reference model here counts rows, which
every lookup argument has to process.
"""

import math
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class LookupSize:
    """The properties that the cost of one lookup can depend on.

    Attributes:
        elements: how many elements are looked up.
        source_lo, source_hi: bounds of their values, inclusive.
        shift: rounding shift in front of the table.
        entries: length of the table.
    """

    elements: int
    source_lo: int
    source_hi: int
    shift: int
    entries: int


class CostModel(Protocol):
    """Prices lookups for a backend."""

    @property
    def unit(self) -> str:
        """The unit of `lookup`, for display: "cells", "seconds"."""
        ...

    def lookup(self, size: LookupSize) -> float:
        """The cost of one lookup; infinity if the backend cannot prove it."""
        ...


@dataclass(frozen=True)
class ElementCount:
    """Reference cost: the rows of all columns of a lookup argument.

    Each element is one row, which is looked up in the function's table. With a shift s, each limb of at most
    `limb_bits` bits of its remainder, 0 <= r < 2^s, is another row, which is looked up in a range table. Both tables
    take one row for each entry.

    Attributes:
        limb_bits: size of the largest range table.
        max_entries: longest table that can be proven.
    """

    limb_bits: int = 12
    max_entries: int = 1 << 20

    @property
    def unit(self) -> str:
        return "rows"

    def lookup(self, size: LookupSize) -> float:
        if size.entries > self.max_entries:
            return math.inf
        limbs = -(-size.shift // self.limb_bits)
        ranges = 2 ** min(size.shift, self.limb_bits) if size.shift else 0
        return float(size.elements * (1 + limbs) + size.entries + ranges)
