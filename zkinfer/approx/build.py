"""Building a table from a function, with correctly rounded entries and a proven maximum error.

Claim. Entry i of the table is f(i * step) * 2^out_frac_bits rounded to the nearest integer, ties upward, and clamped
to [out_lo, out_hi], where step = 2^(shift - in_frac_bits). Float64 intervals decide almost every entry; mpmath, at
growing precision, the rest. Correct rounding leaves nothing to the machine, so the entries are the same everywhere.

Error. `max_error` bounds |clamp(f(x)) - entry / 2^out_frac_bits| over all *real* x that round to an index of the
table, |x / step - i| <= 1/2. It comes from enclosures of f over these intervals, refined by bisection where the
error is largest, and every rounding is outward. A function with a user-defined part and no promise about it is
sampled instead, and the result says that nothing is proven.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from zkinfer.approx.arithmetic import BigRanges
from zkinfer.approx.domain import Domain, Piece
from zkinfer.approx.functions import MAX_BITS, Function, X
from zkinfer.approx.intervals import FloatArray, Interval
from zkinfer.approx.multiprecision import BigInterval
from zkinfer.approx.table import MAX_TABLE_ENTRIES, Table
from zkinfer.errors import BoundsError, InvalidInputError, NotFiniteError

IntArray = npt.NDArray[np.int64]
Run = tuple[int, int]
"""First and last index of a run of indices."""

MAX_INDEX = 1 << 50
MAX_OUTPUT = 1 << 52
"""Indices, half indices and outputs within these are exact in float64."""
MAX_FRAC_BITS = 256

_SAMPLES = 17
"""Points an interval at which functions without enclosure are measured."""
_TIGHTNESS = 1 / 256
"""Relative gap between the proven and the observed maximum error at which refining stops."""
_ROUNDS = 40
_MAX_BOXES = 1 << 20


@dataclass(frozen=True)
class BuiltTable:
    """A table and what is known about it.

    Attributes:
        table: indices and integer outputs.
        function: what it approximates.
        in_frac_bits, shift: index i stands for the real numbers around i * 2^(shift - in_frac_bits).
        out_frac_bits: output o stands for o / 2^out_frac_bits.
        max_error: bound on |clamp(f(x)) - output| in real units, over all real x in the domain that round to an index.
        proven: whether `max_error` is a theorem; if not, it is the largest error seen at 17 points an index.
        entry_error: the same bound at the indices' own points alone, i * 2^(shift - in_frac_bits).
        undefined: runs of indices whose own point is outside the function's domain; they hold the function's limit
            toward the nearest domain point and do not count in the errors.
        saturated: runs of indices at which the function exceeds the outputs' range and the entry is its end.
    """

    table: Table
    function: Function
    in_frac_bits: int
    shift: int
    out_frac_bits: int
    max_error: float
    proven: bool
    entry_error: float
    undefined: tuple[Run, ...]
    saturated: tuple[Run, ...]


def build_table(
    function: Function,
    *,
    in_frac_bits: int,
    shift: int,
    index_lo: int,
    index_hi: int,
    out_frac_bits: int,
    out_lo: int,
    out_hi: int,
    name: str | None = None,
) -> BuiltTable:
    """The table of a function.

    Args:
        function: see `zkinfer.approx.functions`.
        in_frac_bits: fraction bits of the values looked up.
        shift: they are divided by 2^shift, rounded to nearest (ties upward), to make the index.
        index_lo, index_hi: smallest and largest index.
        out_frac_bits: fraction bits of the outputs.
        out_lo, out_hi: smallest and largest output; what lies beyond saturates.
        name: of the table, for people; the function's own by default.

    Raises:
        InvalidInputError: an empty or inverted range, formats out of range, a function nowhere defined on the table,
            or a user-defined function that is not vectorized or breaks its promise.
        NotFiniteError: a user-defined function is NaN or infinite on its domain.
        BoundsError: more entries than a table can have.
    """
    _check_arguments(in_frac_bits, shift, index_lo, index_hi, out_frac_bits, out_lo, out_hi)
    grid = _Grid(shift - in_frac_bits, index_lo, index_hi)
    output = _Output(out_frac_bits, out_lo, out_hi)
    defined = grid.inside(function.domain)
    if not defined.any():
        raise InvalidInputError(
            f"{function.name} is defined on {function.domain}, nowhere on the table's points "
            f"{float(grid.point(index_lo))} to {float(grid.point(index_hi))}"
        )
    entries = np.zeros(defined.shape, dtype=np.int64)
    points = grid.points()[defined]
    rounded, saturated_points = _round_at(function, points, output)
    entries[defined] = rounded
    _fill_undefined(function, grid, output, entries, defined)
    saturated = np.zeros(defined.shape, dtype=np.bool_)
    saturated[defined] = saturated_points

    exact = function.point(points)
    entry_error = float(np.max(output.error(exact, output.real(rounded)), initial=0.0))
    max_error = _max_error(function, grid, output, entries, defined)
    table = Table(function.name if name is None else name, index_lo, tuple(int(entry) for entry in entries))
    return BuiltTable(
        table=table,
        function=function,
        in_frac_bits=in_frac_bits,
        shift=shift,
        out_frac_bits=out_frac_bits,
        max_error=max(max_error, entry_error),
        proven=function.proven,
        entry_error=entry_error,
        undefined=_runs(~defined, index_lo),
        saturated=_runs(saturated, index_lo),
    )


def _check_arguments(
    in_frac_bits: int, shift: int, index_lo: int, index_hi: int, out_frac_bits: int, out_lo: int, out_hi: int
) -> None:
    if index_lo > index_hi:
        raise InvalidInputError(f"a table needs index_lo <= index_hi, got {index_lo} and {index_hi}")
    if out_lo > out_hi:
        raise InvalidInputError(f"a table needs out_lo <= out_hi, got {out_lo} and {out_hi}")
    if index_hi - index_lo + 1 > MAX_TABLE_ENTRIES:
        raise BoundsError(
            f"indices {index_lo} to {index_hi} are {index_hi - index_lo + 1} entries; a table holds "
            f"{MAX_TABLE_ENTRIES}: use a larger shift"
        )
    if max(abs(index_lo), abs(index_hi)) > MAX_INDEX:
        raise InvalidInputError(f"indices are at most {MAX_INDEX} in absolute value, got {index_lo} to {index_hi}")
    if max(abs(out_lo), abs(out_hi)) > MAX_OUTPUT:
        raise InvalidInputError(f"outputs are at most {MAX_OUTPUT} in absolute value, got {out_lo} to {out_hi}")
    if not 0 <= shift <= MAX_FRAC_BITS:
        raise InvalidInputError(f"a shift is from 0 to {MAX_FRAC_BITS}, got {shift}")
    for label, bits in (("in_frac_bits", in_frac_bits), ("out_frac_bits", out_frac_bits)):
        if abs(bits) > MAX_FRAC_BITS:
            raise InvalidInputError(f"{label} is at most {MAX_FRAC_BITS} in absolute value, got {bits}")


@dataclass(frozen=True)
class _Grid:
    """The points i * 2^exponent, lo <= i <= hi."""

    exponent: int
    lo: int
    hi: int

    @property
    def step(self) -> Fraction:
        return Fraction(2) ** self.exponent

    def point(self, index: int) -> Fraction:
        return index * self.step

    def points(self) -> FloatArray:
        """All of them, exactly."""
        return np.ldexp(np.arange(self.lo, self.hi + 1, dtype=np.float64), self.exponent)

    def inside(self, domain: Domain) -> npt.NDArray[np.bool_]:
        """Which points lie in the domain."""
        return domain.contains(self.points())


@dataclass(frozen=True)
class _Output:
    """The format of a table's outputs."""

    frac_bits: int
    lo: int
    hi: int

    def round(self, y: FloatArray) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """Nearest integers, ties upward, clamped; and where they were clamped. NaN stays."""
        scaled = np.ldexp(y, self.frac_bits)
        below = np.floor(scaled)
        nearest = below + (scaled - below >= 0.5)
        nearest = np.where(np.isinf(scaled), scaled, nearest)
        return np.clip(nearest, self.lo, self.hi), (nearest < self.lo) | (nearest > self.hi)

    def round_big(self, y: BigInterval, context: Any) -> tuple[int, int, bool, bool]:
        """Both ends of an interval, rounded and clamped, and whether they were clamped."""

        def one(end: Any) -> tuple[int, bool]:
            scaled = context.ldexp(end, self.frac_bits)
            if scaled > self.hi + 1:
                return self.hi, True
            if scaled < self.lo - 1:
                return self.lo, True
            nearest = int(context.floor(context.fadd(scaled, 0.5, exact=True)))
            return min(max(nearest, self.lo), self.hi), not self.lo <= nearest <= self.hi

        (low, low_clamped), (high, high_clamped) = one(y.lo), one(y.hi)
        return low, high, low_clamped, high_clamped

    def real(self, entries: IntArray) -> FloatArray:
        """The numbers that entries stand for, exactly."""
        return np.ldexp(entries.astype(np.float64), -self.frac_bits)

    def error(self, values: Interval, target: FloatArray) -> FloatArray:
        """The largest |clamp(y) - target| of y within the intervals, rounded up."""
        lo, hi = np.ldexp(float(self.lo), -self.frac_bits), np.ldexp(float(self.hi), -self.frac_bits)
        over = np.clip(values.hi, lo, hi) - target
        under = target - np.clip(values.lo, lo, hi)
        worst = np.maximum(np.maximum(over, under), 0.0)
        return np.where(worst > 0, np.nextafter(worst, np.inf), 0.0)


def _round_at(function: Function, points: FloatArray, output: _Output) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Correctly rounded outputs at points of the domain, and where they saturate."""
    bounds = function.point(points)
    low, low_clamped = output.round(bounds.lo)
    high, high_clamped = output.round(bounds.hi)
    result = np.where(np.isnan(high), 0, high).astype(np.int64)
    saturated = low_clamped & high_clamped
    # A point that is decided, but perhaps not whether it saturates, is within half a unit of the range's end.
    for k in np.flatnonzero(~(low == high)):
        result[k], saturated[k] = _decide(function, float(points[k]), output)
    return result, saturated


def _decide(function: Function, point: float, output: _Output) -> tuple[int, bool]:
    """The output at one point that float64 intervals leave open."""
    if not function.has_reference:
        rounded, outside = output.round(function(np.array([point])))
        if np.isnan(rounded[0]):
            raise NotFiniteError(f"{function.name} is NaN at {point}; state the domain it is finite on")
        return int(rounded[0]), bool(outside[0])
    bits = 128
    while True:
        arithmetic = BigRanges(bits)
        value = function.evaluate(arithmetic, arithmetic.constant(Fraction(point)))
        low, high, _, clamped = output.round_big(value, arithmetic.context)
        if low == high:
            return high, clamped
        if bits >= MAX_BITS:
            break
        bits *= 2
    # Closer to a half than 2^-8000: a tie that only algebra could prove, and ties go up.
    if high - low == 1:
        return high, clamped
    raise InvalidInputError(f"{function.name} cannot be evaluated at {point}; state its domain with .on(lo, hi)")


def _fill_undefined(
    function: Function, grid: _Grid, output: _Output, entries: IntArray, defined: npt.NDArray[np.bool_]
) -> None:
    """Give every undefined index the limit toward the nearest domain point (from above, of two as near)."""
    pieces = function.domain.pieces
    for first, last in _runs(~defined, grid.lo):
        # A run lies in one gap of the domain: after `left`, before `right`.
        middle = grid.point(first)
        left = next((p for p in reversed(pieces) if p.hi is not None and p.hi <= middle), None)
        right = next((p for p in pieces if p.lo is not None and p.lo >= middle), None)
        split = first
        if left is not None and left.hi is not None:
            split = last + 1
            if right is not None and right.lo is not None:
                # Indices below (left.hi + right.lo) / 2 are nearer to the left piece.
                split = -((-(left.hi + right.lo) / (2 * grid.step)).__floor__())
                split = min(max(split, first), last + 1)
            if split > first:
                entries[first - grid.lo : split - grid.lo] = _limit(
                    function, left, grid, output, entries, defined, True
                )
        if split <= last and right is not None:
            entries[split - grid.lo : last + 1 - grid.lo] = _limit(
                function, right, grid, output, entries, defined, False
            )


def _limit(
    function: Function,
    piece: Piece,
    grid: _Grid,
    output: _Output,
    entries: IntArray,
    defined: npt.NDArray[np.bool_],
    from_below: bool,
) -> int:
    """The rounded, clamped limit of the function at an end of a piece of its domain.

    Where interval arithmetic does not settle the limit, the entry of the nearest index of the piece is taken.
    """
    end = piece.hi if from_below else piece.lo
    assert end is not None
    if function.has_reference:
        near = function.compose(X + end)
        for bits in (256, 1024, MAX_BITS):
            arithmetic = BigRanges(bits)
            context = arithmetic.context
            width = context.ldexp(context.one, -(1 << 70) if bits == MAX_BITS else -bits)
            box = BigInterval(-width, context.zero) if from_below else BigInterval(context.zero, width)
            low, high, *_ = output.round_big(near.evaluate(arithmetic, box), context)
            if low == high:
                return high
    inside = np.flatnonzero(defined & Domain.of(piece).contains(grid.points()))
    if not inside.size:
        inside = np.flatnonzero(defined)
    return int(entries[inside[-1] if from_below else inside[0]])


def _max_error(
    function: Function, grid: _Grid, output: _Output, entries: IntArray, defined: npt.NDArray[np.bool_]
) -> float:
    indices = np.arange(grid.lo, grid.hi + 1, dtype=np.float64)[defined]
    lo = np.ldexp(indices - 0.5, grid.exponent)
    hi = np.ldexp(indices + 0.5, grid.exponent)
    target = output.real(entries[defined])
    worst = 0.0
    for piece in function.domain.pieces:
        start = -np.inf if piece.lo is None else float(piece.lo)
        stop = np.inf if piece.hi is None else float(piece.hi)
        low, high = np.maximum(lo, start), np.minimum(hi, stop)
        met = low <= high
        boxes = Interval(low[met], high[met])
        measure = _proven_error if function.proven else _measured_error
        if boxes.lo.size:
            worst = max(worst, measure(function, piece, boxes, output, target[met]))
    return worst


def _proven_error(function: Function, piece: Piece, boxes: Interval, output: _Output, target: FloatArray) -> float:
    """Branch and bound: an upper bound of the error over all boxes, refined where it is largest."""
    inside = Domain.of(piece)
    reached = 0.0
    settled = 0.0
    for _ in range(_ROUNDS):
        values = function.enclose(boxes.lo, boxes.hi)
        middle = boxes.lo + (boxes.hi - boxes.lo) / 2
        seen = np.zeros(middle.shape)
        for sample in (boxes.lo, middle, boxes.hi):
            usable = inside.contains(sample)
            at = function.point(np.where(usable, sample, middle))
            _check_promise(function, sample, usable, at, values)
            seen = np.maximum(seen, np.where(usable, _least_error(output, at, target), 0.0))
        reached = max(reached, float(np.max(seen, initial=0.0)))
        upper = output.error(values, target)
        open_ = upper > reached * (1 + _TIGHTNESS) + 2.0**-1000
        settled = max(settled, float(np.max(upper[~open_], initial=0.0)))
        if not open_.any():
            return settled
        lo, hi, middle, target = boxes.lo[open_], boxes.hi[open_], middle[open_], target[open_]
        stuck = not ((lo < middle) & (middle < hi)).all()
        if stuck or 2 * lo.size > _MAX_BOXES:
            return max(settled, float(np.max(upper)))
        boxes = Interval(np.concatenate([lo, middle]), np.concatenate([middle, hi]))
        target = np.concatenate([target, target])
    return max(settled, float(np.max(output.error(function.enclose(boxes.lo, boxes.hi), target))))


def _least_error(output: _Output, at: Interval, target: FloatArray) -> FloatArray:
    """What the error at a point is at least."""
    lo, hi = np.ldexp(float(output.lo), -output.frac_bits), np.ldexp(float(output.hi), -output.frac_bits)
    return np.maximum(np.clip(at.lo, lo, hi) - target, target - np.clip(at.hi, lo, hi))


def _check_promise(
    function: Function, sample: FloatArray, usable: npt.NDArray[np.bool_], at: Interval, values: Interval
) -> None:
    """Values at points must lie within the enclosures around them: they do, unless a promise was false."""
    broken = usable & ((at.hi < values.lo) | (at.lo > values.hi))
    if broken.any():
        k = int(np.flatnonzero(broken)[0])
        raise InvalidInputError(
            f"{function.name} is {at.lo[k]} at {sample[k]}, outside its own enclosure {values.lo[k]} to "
            f"{values.hi[k]}: the promise given to `custom` does not hold"
        )


def _measured_error(function: Function, piece: Piece, boxes: Interval, output: _Output, target: FloatArray) -> float:
    inside = Domain.of(piece)
    worst = 0.0
    for part in np.linspace(0.0, 1.0, _SAMPLES):
        sample = boxes.lo + (boxes.hi - boxes.lo) * part
        usable = inside.contains(sample)
        values = function(sample[usable])
        worst = max(worst, float(np.max(output.error(Interval(values, values), target[usable]), initial=0.0)))
    return worst


def _runs(mask: npt.NDArray[np.bool_], first: int) -> tuple[Run, ...]:
    """Maximal runs of true elements, as first and last index, where element 0 is index `first`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return tuple((int(a) + first, int(b) - 1 + first) for a, b in edges.reshape(-1, 2))
