"""The domain of a function: a union of intervals with rational ends."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Self

import numpy as np

from zkinfer.typing import BoolArray, FloatArray

End = Fraction | None
"""An end of a segment; None stands for infinity on that side."""


@dataclass(frozen=True)
class Segment:
    """An interval that is not empty; ends that are None are infinite, and never included."""

    lo: End = None
    hi: End = None
    lo_included: bool = False
    hi_included: bool = False

    def __contains__(self, x: Fraction) -> bool:
        above = self.lo is None or x > self.lo or (x == self.lo and self.lo_included)
        below = self.hi is None or x < self.hi or (x == self.hi and self.hi_included)
        return above and below

    def intersect(self, other: "Segment") -> "Segment | None":
        """The intersection of two; None if it is empty."""
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
        return Segment(lo, hi, lo_included, hi_included)

    def touches(self, other: "Segment") -> bool:
        """Whether there is no gap between this segment and `other`, which starts no earlier."""
        if self.hi is None or other.lo is None:
            return True
        return other.lo < self.hi or (other.lo == self.hi and (self.hi_included or other.lo_included))

    def map_affine(self, scale: Fraction, offset: Fraction) -> "Segment":
        """{scale * x + offset}; the scale is not zero."""
        lo = None if self.lo is None else scale * self.lo + offset
        hi = None if self.hi is None else scale * self.hi + offset
        if scale > 0:
            return Segment(lo, hi, self.lo_included, self.hi_included)
        return Segment(hi, lo, self.hi_included, self.lo_included)

    def __str__(self) -> str:
        left = "(-inf" if self.lo is None else f"{'[' if self.lo_included else '('}{self.lo}"
        right = "inf)" if self.hi is None else f"{self.hi}{']' if self.hi_included else ')'}"
        return f"{left}, {right}"


@dataclass(frozen=True)
class Domain:
    """Disjoint segments in increasing order, with a gap between any two."""

    segments: tuple[Segment, ...]

    @classmethod
    def of(cls, *segments: Segment) -> Self:
        """The union of segments, given in any order."""
        ordered = sorted(segments, key=lambda p: (p.lo is not None, p.lo or Fraction(0), not p.lo_included))
        merged: list[Segment] = []
        for segment in ordered:
            if not (merged and merged[-1].touches(segment)):
                merged.append(segment)
                continue
            last = merged.pop()
            if last.hi is None or (segment.hi is not None and segment.hi < last.hi):
                hi, included = last.hi, last.hi_included
            else:
                hi, included = segment.hi, segment.hi_included or (segment.hi == last.hi and last.hi_included)
            merged.append(Segment(last.lo, hi, last.lo_included, included))
        return cls(tuple(merged))

    def __contains__(self, x: Fraction) -> bool:
        return any(x in segment for segment in self.segments)

    def contains(self, x: FloatArray) -> BoolArray:
        """Membership of each element, exactly; NaN and infinities are in no domain."""
        inside = np.zeros(x.shape, dtype=np.bool_)
        for segment in self.segments:
            above = np.isfinite(x) if segment.lo is None else _above(x, segment.lo, segment.lo_included)
            below = np.isfinite(x) if segment.hi is None else _above(-x, -segment.hi, segment.hi_included)
            inside |= above & below
        return inside

    def __and__(self, other: "Domain") -> "Domain":
        common = [a.intersect(b) for a in self.segments for b in other.segments]
        return Domain.of(*(segment for segment in common if segment is not None))

    def __or__(self, other: "Domain") -> "Domain":
        return Domain.of(*self.segments, *other.segments)

    def map_affine(self, scale: Fraction, offset: Fraction) -> "Domain":
        """{scale * x + offset}; the scale is not zero."""
        return Domain.of(*(segment.map_affine(scale, offset) for segment in self.segments))

    def __str__(self) -> str:
        return " or ".join(str(segment) for segment in self.segments) or "nowhere"


def _above(x: FloatArray, end: Fraction, included: bool) -> BoolArray:
    nearest = float(end)
    if Fraction(nearest) == end:
        return (x >= nearest if included else x > nearest) & np.isfinite(x)
    return (x >= nearest if Fraction(nearest) > end else x > nearest) & np.isfinite(x)


LINE = Domain.of(Segment())
NOWHERE = Domain.of()
POSITIVE = Domain.of(Segment(lo=Fraction(0)))
NEGATIVE = Domain.of(Segment(hi=Fraction(0)))
NOT_NEGATIVE = Domain.of(Segment(lo=Fraction(0), lo_included=True))
NOT_ZERO = NEGATIVE | POSITIVE
