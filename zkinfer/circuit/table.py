"""A lookup table: an integer function on an interval of integers.

Plain data, light enough for a verifier: no kernels, no knowledge of where the values came from.
"""

from functools import cached_property

import msgspec
import numpy as np

from zkinfer.errors import BoundsError
from zkinfer.typing import IntArray

MAX_TABLE_ENTRIES = 1 << 24
"""Largest table that any part of zkinfer accepts; also what bounds the decoder's memory."""

INT64 = np.iinfo(np.int64)

MAX_SHIFT = 62
"""Largest rounding shift in front of a table: half of 2^62 and every value of a program still fit int64."""


class Table(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, dict=True):
    """The function `i -> values[i - lo]` for integers `lo <= i <= hi`.

    Attributes:
        name: what the table computes, for people ("gelu", "rescale"); no semantics.
        lo: smallest index.
        values: one int64 output for each index, in order; never empty.
    """

    name: str
    lo: int
    values: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.values) <= MAX_TABLE_ENTRIES:
            raise BoundsError(f"table {self.name!r} has {len(self.values)} entries; from 1 to {MAX_TABLE_ENTRIES} fit")
        if max(self.values) > INT64.max or min(self.values) < INT64.min:
            raise BoundsError(f"table {self.name!r} has an output that does not fit int64")

    @property
    def hi(self) -> int:
        """Largest index."""
        return self.lo + len(self.values) - 1

    @cached_property
    def range(self) -> tuple[int, int]:
        """Smallest and largest value."""
        return min(self.values), max(self.values)

    @cached_property
    def array(self) -> IntArray:
        """The values as a read-only int64 array of shape (hi - lo + 1,)."""
        array = np.array(self.values, dtype=np.int64)
        array.setflags(write=False)
        return array
