"""Selectors of places: eq(the bits of a number, coordinates of a point)."""

from collections.abc import Sequence

from zkinfer.protocol.field.scalar import ONE, Ext, ext_mul, ext_sub


class Selectors:
    """The selectors of aligned ranges of 2^n places, at a point of n coordinates.

    Each is made from the one of the range twice as long, which neighbours share, so that all of a stack cost little
    more than one multiplication each.
    """

    def __init__(self, point: Sequence[Ext]) -> None:
        self._point = point
        self._known: dict[tuple[int, int], Ext] = {(0, 0): ONE}

    def at(self, bits: int, number: int) -> Ext:
        """eq(the bits of a number, the most significant first; the first `bits` coordinates of the point).

        Args:
            bits: at most the point's coordinates.
            number: from 0 to 2^bits - 1.
        """
        found = self._known.get((bits, number))
        if found is None:
            longer = self.at(bits - 1, number >> 1)
            upper = ext_mul(longer, self._point[bits - 1])
            self._known[bits, number | 1] = upper
            self._known[bits, number & ~1] = ext_sub(longer, upper)
            found = self._known[bits, number]
        return found
