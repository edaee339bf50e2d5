"""What a lookup costs a backend to prove.

The tuner compares tables by one number. What the number counts is the backend's business (cells of a halo2 circuit,
field multiplications, seconds), so each backend brings its own model; the reference model here counts what every
lookup argument pays for.
"""

import math
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class LookupSize:
    """All that the cost of one lookup can depend on.

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
        """What `lookup` counts, for people: "cells", "seconds"."""
        ...

    def lookup(self, size: LookupSize) -> float:
        """The cost of one lookup; infinity if the backend cannot prove it."""
        ...


@dataclass(frozen=True)
class ElementCount:
    """Reference cost: rows of all the columns that a lookup argument runs over.

    An element is one row of the column that is looked up in the function's table; with a shift s its remainder,
    0 <= r < 2^s, is one more row in a range table for each limb of at most `limb_bits` bits. A table takes as many rows
    as it is long, and so does the range table of the limbs.

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
