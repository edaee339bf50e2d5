"""Where a function is defined: a union of intervals with rational ends."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Self

import numpy as np

from zkinfer.typing import BoolArray, FloatArray

End = Fraction | None
"""An end of a piece; None stands for the infinity on that side."""


@dataclass(frozen=True)
class Piece:
    """An interval of more than no points; ends that are None are infinite (and never included)."""

    lo: End = None
    hi: End = None
    lo_included: bool = False
    hi_included: bool = False

    def __contains__(self, x: Fraction) -> bool:
        above = self.lo is None or x > self.lo or (x == self.lo and self.lo_included)
        below = self.hi is None or x < self.hi or (x == self.hi and self.hi_included)
        return above and below

    def intersect(self, other: "Piece") -> "Piece | None":
        """What the two have in common; None if nothing."""
        lo, lo_included = self.lo, self.lo_included
        if other.lo is not None and (lo is None or other.lo > lo):
            lo, lo_included = other.lo, other.lo_included
        elif other.lo == lo:
            lo_included = lo_included and other.lo_included
        hi, hi_included = self.hi, self.hi_included
        if other.hi is not None and (hi is None or other.hi < hi):
            hi, hi_included = other.hi, other.hi_included
        elif other.hi == hi:
            hi_included = hi_included and other.hi_included
        if lo is not None and hi is not None and (lo > hi or (lo == hi and not (lo_included and hi_included))):
            return None
        return Piece(lo, hi, lo_included, hi_included)

    def touches(self, other: "Piece") -> bool:
        """Whether `other`, which starts no earlier, leaves no gap after this piece."""
        if self.hi is None or other.lo is None:
            return True
        return other.lo < self.hi or (other.lo == self.hi and (self.hi_included or other.lo_included))

    def map_affine(self, scale: Fraction, offset: Fraction) -> "Piece":
        """{scale * x + offset}; the scale is not zero."""
        lo = None if self.lo is None else scale * self.lo + offset
        hi = None if self.hi is None else scale * self.hi + offset
        if scale > 0:
            return Piece(lo, hi, self.lo_included, self.hi_included)
        return Piece(hi, lo, self.hi_included, self.lo_included)

    def __str__(self) -> str:
        left = "(-inf" if self.lo is None else f"{'[' if self.lo_included else '('}{self.lo}"
        right = "inf)" if self.hi is None else f"{self.hi}{']' if self.hi_included else ')'}"
        return f"{left}, {right}"


@dataclass(frozen=True)
class Domain:
    """Disjoint pieces in increasing order, none touching the next."""

    pieces: tuple[Piece, ...]

    @classmethod
    def of(cls, *pieces: Piece) -> Self:
        """The union of the pieces, in whatever order."""
        ordered = sorted(pieces, key=lambda p: (p.lo is not None, p.lo or Fraction(0), not p.lo_included))
        merged: list[Piece] = []
        for piece in ordered:
            if not (merged and merged[-1].touches(piece)):
                merged.append(piece)
                continue
            last = merged.pop()
            if last.hi is None or (piece.hi is not None and piece.hi < last.hi):
                hi, included = last.hi, last.hi_included
            else:
                hi, included = piece.hi, piece.hi_included or (piece.hi == last.hi and last.hi_included)
            merged.append(Piece(last.lo, hi, last.lo_included, included))
        return cls(tuple(merged))

    def __contains__(self, x: Fraction) -> bool:
        return any(x in piece for piece in self.pieces)

    def contains(self, x: FloatArray) -> BoolArray:
        """Membership of each element, exactly; NaN and infinities are members of nothing."""
        inside = np.zeros(x.shape, dtype=np.bool_)
        for piece in self.pieces:
            above = np.isfinite(x) if piece.lo is None else _above(x, piece.lo, piece.lo_included)
            below = np.isfinite(x) if piece.hi is None else _above(-x, -piece.hi, piece.hi_included)
            inside |= above & below
        return inside

    def __and__(self, other: "Domain") -> "Domain":
        common = [a.intersect(b) for a in self.pieces for b in other.pieces]
        return Domain.of(*(piece for piece in common if piece is not None))

    def __or__(self, other: "Domain") -> "Domain":
        return Domain.of(*self.pieces, *other.pieces)

    def map_affine(self, scale: Fraction, offset: Fraction) -> "Domain":
        """{scale * x + offset}; the scale is not zero."""
        return Domain.of(*(piece.map_affine(scale, offset) for piece in self.pieces))

    def __str__(self) -> str:
        return " or ".join(str(piece) for piece in self.pieces) or "nowhere"


def _above(x: FloatArray, end: Fraction, included: bool) -> BoolArray:
    nearest = float(end)
    if Fraction(nearest) == end:
        return (x >= nearest if included else x > nearest) & np.isfinite(x)
    return (x >= nearest if Fraction(nearest) > end else x > nearest) & np.isfinite(x)


LINE = Domain.of(Piece())
NOWHERE = Domain.of()
POSITIVE = Domain.of(Piece(lo=Fraction(0)))
NEGATIVE = Domain.of(Piece(hi=Fraction(0)))
NOT_NEGATIVE = Domain.of(Piece(lo=Fraction(0), lo_included=True))
NOT_ZERO = NEGATIVE | POSITIVE
