"""A lookup table: an integer function on an interval of integers.

Plain data, light enough for a verifier: no kernels, no knowledge of where the values came from.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import overload

import msgspec
import numpy as np

from zkinfer.counts import counted
from zkinfer.errors import BoundsError
from zkinfer.typing import IntArray

MAX_TABLE_ENTRIES = 1 << 24
"""Largest table that any part of zkinfer accepts; also what bounds the decoder's memory."""

MAX_SHIFT = 62
"""Largest rounding shift in front of a table: half of 2^62 and every value of a program still fit int64."""

_PIECE = 1 << 12


class Entries(Sequence[int]):
    """The entries of a table: reads as a tuple of integers, and takes 8 bytes for each, where a tuple takes 40.

    Attributes:
        array: the entries, int64 and read-only, of shape (count,).
    """

    __slots__ = ("_hash", "array")

    def __init__(self, array: IntArray) -> None:
        """The entries of an array of one axis, which nobody writes to from now on."""
        self.array = array.view()
        self.array.setflags(write=False)
        self._hash: int | None = None

    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[int, ...]: ...
    def __getitem__(self, at: int | slice) -> int | tuple[int, ...]:
        return int(self.array[at]) if isinstance(at, int) else tuple(self.array[at].tolist())

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator[int]:
        for start in range(0, len(self), _PIECE):
            yield from self.array[start : start + _PIECE].tolist()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Entries):
            return np.array_equal(self.array, other.array)
        return (
            isinstance(other, tuple)
            and len(self) == len(other)
            and all(a == b for a, b in zip(self, other, strict=True))
        )

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(self.array.tobytes())
        return self._hash

    def __repr__(self) -> str:
        return repr(tuple(self))


class Table(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, dict=True):
    """The function `i -> values[i - lo]` for integers `lo <= i <= hi`.

    Attributes:
        name: what the table computes, for people ("gelu", "rescale"); no semantics.
        lo: smallest index.
        values: one int64 output for each index, in order; never empty. Kept as `Entries`, whatever it is made from.
    """

    name: str
    lo: int
    values: Sequence[int]

    def __post_init__(self) -> None:
        if not 0 < len(self.values) <= MAX_TABLE_ENTRIES:
            raise BoundsError(
                f"table {self.name!r} has {counted(len(self.values), 'entry', 'entries')}; from 1 to "
                f"{MAX_TABLE_ENTRIES:,} fit"
            )
        if not isinstance(self.values, Entries):
            try:
                entries = Entries(np.array(self.values, dtype=np.int64))
            except OverflowError:
                raise BoundsError(f"table {self.name!r} has an output that does not fit int64") from None
            msgspec.structs.force_setattr(self, "values", entries)

    @property
    def hi(self) -> int:
        """Largest index."""
        return self.lo + len(self.values) - 1

    @cached_property
    def range(self) -> tuple[int, int]:
        """Smallest and largest value."""
        return int(self.array.min()), int(self.array.max())

    @property
    def array(self) -> IntArray:
        """The values as a read-only int64 array of shape (hi - lo + 1,)."""
        assert isinstance(self.values, Entries)
        return self.values.array
