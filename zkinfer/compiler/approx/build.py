"""Building a table from a function, with correctly rounded entries and a proven maximum error.

Claim. Entry i of the table is f(i * step) * 2^out_frac_bits rounded to the nearest integer, ties upward, and clamped
to [out_lo, out_hi], where step = 2^(shift - in_frac_bits). Float64 intervals decide almost every entry; mpmath, at
growing precision, decides the rest. Correct rounding does not depend on the machine, so that the entries are the
same on every machine.

Error. `max_error` bounds |clamp(f(x)) - entry / 2^out_frac_bits| over all *real* x that round to an index of the
table, |x / step - i| <= 1/2. It comes from enclosures of f over these intervals, refined by bisection where the
error is largest, and every rounding is outward. A function with a user-defined part and no promise about it is
sampled instead, and `BuiltTable.proven` is False.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from zkinfer.circuit.table import MAX_SHIFT, MAX_TABLE_ENTRIES, Table
from zkinfer.compiler.approx.arithmetic import BigIntervalArithmetic
from zkinfer.compiler.approx.custom import Custom
from zkinfer.compiler.approx.domain import Domain
from zkinfer.compiler.approx.expressions import MAX_BITS, Enclosure, Function, Variable, lift
from zkinfer.compiler.approx.intervals import IntervalArray
from zkinfer.compiler.approx.multiprecision import BigInterval
from zkinfer.counts import counted
from zkinfer.errors import BoundsError, InvalidInputError
from zkinfer.typing import BoolArray, FloatArray, IntArray

Run = tuple[int, int]
"""First and last index of a run of indices."""

MAX_INDEX = 1 << 50
MAX_OUTPUT = 1 << 52
"""Indices, half indices and outputs within these are exact in float64."""
MAX_FRAC_BITS = 256

_SAMPLES = 17
"""Number of points of an interval at which a function without an enclosure is measured."""
_TIGHTNESS = 1 / 256
"""Refinement stops when the proven maximum error exceeds the observed one by at most this share."""
_MAX_ROUNDS = 30
_MAX_OPEN = 1 << 18
"""Refinement stops after so many bisections, or at so many intervals at once; the bound is then less tight."""
_INFINITESIMAL = 1 << 70
"""On an interval of width 2^-(2^70) from zero even a logarithm lies outside every range of outputs."""


@dataclass(frozen=True)
class BuiltTable:
    """A table and its errors.

    Attributes:
        table: indices and integer outputs.
        function: what it approximates.
        in_frac_bits, shift: index i stands for the real numbers around i * 2^(shift - in_frac_bits).
        out_frac_bits: output o stands for o / 2^out_frac_bits.
        max_error: bound on |clamp(f(x)) - output| in real units, over all real x in the domain that round to an index.
        proven: whether `max_error` is a theorem; if not, it is the largest error seen at 17 points an index.
        entry_error: the same bound at the indices' own points alone, i * 2^(shift - in_frac_bits). (The last digits of
            both bounds may differ between machines; the table does not.)
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
        function: see `zkinfer.compiler.approx.functions`.
        in_frac_bits: fraction bits of the values looked up.
        shift: they are divided by 2^shift, rounded to nearest (ties upward), to make the index.
        index_lo, index_hi: smallest and largest index.
        out_frac_bits: fraction bits of the outputs.
        out_lo, out_hi: smallest and largest output, at which values saturate.
        name: of the table, for display; the function's own by default.

    Raises:
        InvalidInputError: an empty or inverted range, formats out of range, a function nowhere defined on the table,
            or a user-defined function that is not vectorized or violates its promise.
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
    points = grid.points()
    _check_function(function, points[defined])
    entries = np.zeros(defined.shape, dtype=np.int64)
    saturated = np.zeros(defined.shape, dtype=np.bool_)
    values = function.point(points[defined])
    entries[defined], saturated[defined] = _round_at(function, points[defined], values, output)
    entry_error = float(np.max(output.error(values, output.real(entries[defined]))))
    _fill_undefined(function, grid, output, entries, defined)
    max_error = _max_error(function, grid, output, entries, defined)
    return BuiltTable(
        table=Table(function.name if name is None else name, index_lo, tuple(int(entry) for entry in entries)),
        function=function,
        in_frac_bits=in_frac_bits,
        shift=shift,
        out_frac_bits=out_frac_bits,
        max_error=max(max_error, entry_error),
        entry_error=entry_error,
        proven=function.proven,
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
            f"indices {index_lo} to {index_hi} are {counted(index_hi - index_lo + 1, 'entry', 'entries')}; a table "
            f"holds {MAX_TABLE_ENTRIES}: use a larger shift"
        )
    if max(abs(index_lo), abs(index_hi)) > MAX_INDEX:
        raise InvalidInputError(f"indices are at most {MAX_INDEX} in absolute value, got {index_lo} to {index_hi}")
    if max(abs(out_lo), abs(out_hi)) > MAX_OUTPUT:
        raise InvalidInputError(f"outputs are at most {MAX_OUTPUT} in absolute value, got {out_lo} to {out_hi}")
    if not 0 <= shift <= MAX_SHIFT:
        raise InvalidInputError(f"a shift is from 0 to {MAX_SHIFT}, got {shift}")
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

    def inside(self, domain: Domain) -> BoolArray:
        """Which points lie in the domain."""
        return domain.contains(self.points())


@dataclass(frozen=True)
class _Output:
    """The format of a table's outputs."""

    frac_bits: int
    lo: int
    hi: int

    def round(self, y: FloatArray) -> tuple[FloatArray, BoolArray]:
        """Nearest integers, ties upward, clamped; and where they were clamped. NaN gives NaN."""
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = np.ldexp(y, self.frac_bits)
            below = np.floor(scaled)
            # The difference may be rounded, but never across a half.
            nearest = np.where(np.isinf(scaled), scaled, below + (scaled - below >= 0.5))
        return np.clip(nearest, self.lo, self.hi), (nearest < self.lo) | (nearest > self.hi)

    def round_exact(self, y: Fraction) -> tuple[int, bool]:
        """As `round`, of one rational number."""
        nearest = math.floor(y * Fraction(2) ** self.frac_bits + Fraction(1, 2))
        return min(max(nearest, self.lo), self.hi), not self.lo <= nearest <= self.hi

    def round_big(self, y: Any, context: Any) -> tuple[int, bool]:
        """As `round`, of one mpmath number, which may be infinite."""
        scaled = context.ldexp(y, self.frac_bits)
        # Very large and very small numbers come first: exact sums with them would take too many digits.
        if scaled >= self.hi + 1:
            return self.hi, True
        if scaled < self.lo - 1:
            return self.lo, True
        nearest = 0 if abs(scaled) < 0.25 else int(context.floor(context.fadd(scaled, 0.5, exact=True)))
        return min(max(nearest, self.lo), self.hi), not self.lo <= nearest <= self.hi

    def real(self, entries: IntArray) -> FloatArray:
        """The numbers that entries stand for, exactly."""
        return np.ldexp(entries.astype(np.float64), -self.frac_bits)

    def clamp(self, y: FloatArray) -> FloatArray:
        """Real numbers clamped to the range that outputs stand for."""
        return np.clip(y, math.ldexp(self.lo, -self.frac_bits), math.ldexp(self.hi, -self.frac_bits))

    def error(self, values: IntervalArray, target: FloatArray) -> FloatArray:
        """The largest |clamp(y) - target| of y within the intervals, rounded up; NaN where the values are."""
        worst = np.maximum(self.clamp(values.hi) - target, target - self.clamp(values.lo))
        return np.where(worst == 0, 0.0, np.nextafter(worst, np.inf))


def _check_function(function: Function, points: FloatArray) -> None:
    """Check user-defined functions at a few points: that they are elementwise, and equal to their reference.

    Raises:
        InvalidInputError: one is not.
    """
    if not any(isinstance(p, Custom) for p in function.primitives):
        return
    together = function.point(points)
    for k in np.unique(np.linspace(0, points.size - 1, _SAMPLES).astype(np.int64)):
        low, high = (float(end[0]) for end in function.point(points[k : k + 1]))
        # Vectorized code may round the first and last elements of an array differently from the others.
        slack = 1e-9 * max(abs(low), abs(high), np.finfo(np.float64).tiny)
        if not (together.lo[k] <= high + slack and low - slack <= together.hi[k]):
            raise InvalidInputError(
                f"{function.name} at {points[k]} depends on what else is in the array: it must work element by element"
            )
        if function.has_reference:
            arithmetic = BigIntervalArithmetic(128)
            exact = function.evaluate(arithmetic, arithmetic.constant(Fraction(float(points[k]))))
            if exact.hi < low or exact.lo > high:
                raise InvalidInputError(
                    f"{function.name} at {points[k]} is {low} to {high} in float64 but {float(exact.lo)} by the "
                    "multiprecision reference: the two must be the same function"
                )


def _round_at(
    function: Function, points: FloatArray, values: IntervalArray, output: _Output
) -> tuple[IntArray, BoolArray]:
    """Correctly rounded outputs at points of the domain, where the values are enclosed; and where they saturate."""
    low, low_clamped = output.round(values.lo)
    high, high_clamped = output.round(values.hi)
    open_ = ~((low == high) & (low_clamped == high_clamped))
    result = np.where(open_, 0, low).astype(np.int64)
    saturated = low_clamped
    arithmetic_of = cache(BigIntervalArithmetic)
    for k in np.flatnonzero(open_):
        result[k], saturated[k] = _decide(function, Fraction(float(points[k])), output, arithmetic_of)
    return result, saturated


def _decide(
    function: Function,
    point: Fraction,
    output: _Output,
    arithmetic_of: Callable[[int], BigIntervalArithmetic] = BigIntervalArithmetic,
) -> tuple[int, bool]:
    """The output at one point, and whether it saturates, by exact or multiprecision arithmetic.

    Args:
        function: the function.
        point: the point.
        output: the format.
        arithmetic_of: arithmetic with so many bits; one that is kept for many points makes them cheaper.
    """
    exact = function.rational(point)
    if exact is not None:
        return output.round_exact(exact)
    if not function.has_reference:
        rounded, outside = output.round(function(np.array([float(point)])))
        return int(rounded[0]), bool(outside[0])
    bits = 128
    while bits <= MAX_BITS:
        arithmetic = arithmetic_of(bits)
        value = function.evaluate(arithmetic, arithmetic.constant(point))
        low, high = output.round_big(value.lo, arithmetic.context), output.round_big(value.hi, arithmetic.context)
        if low == high:
            return high
        bits *= 2
    # The value is closer to a half than 2^-8000. Numbers cannot distinguish it from a tie, and ties are rounded up.
    if high[0] - low[0] <= 1:
        return high
    raise InvalidInputError(f"{function.name} cannot be evaluated at {point}; state its domain with .on(lo, hi)")


def _fill_undefined(function: Function, grid: _Grid, output: _Output, entries: IntArray, defined: BoolArray) -> None:
    """Give every undefined index the limit at the nearest point of the domain: the one above, of two equally near."""
    segments = function.domain.segments
    for before, after in zip([None, *segments], [*segments, None], strict=True):
        below = None if before is None else before.hi
        above = None if after is None else after.lo
        # The indices in this gap: from `first` to before `stop`; those before `split` are nearer to its lower end.
        first = grid.lo if below is None else max(math.ceil(below / grid.step), grid.lo)
        stop = grid.hi + 1 if above is None else min(math.floor(above / grid.step), grid.hi) + 1
        if below is None or above is None:
            split = first if below is None else stop
        else:
            split = min(max(math.ceil((below + above) / (2 * grid.step)), first), stop)
        for start, end, point, side in ((first, split, below, -1), (split, stop, above, 1)):
            gap = slice(start - grid.lo, max(end, start) - grid.lo)
            missing = ~defined[gap]
            if point is not None and missing.any():
                limit = _limit(function, point, side, output)
                if limit is None:
                    near = np.flatnonzero(defined)
                    edge = gap.start if side < 0 else gap.stop
                    limit = int(entries[near[np.argmin(np.abs(near - edge))]])
                entries[gap][missing] = limit


def _limit(function: Function, end: Fraction, side: int, output: _Output) -> int | None:
    """The rounded, clamped limit of the function at an end of its domain, from above (1) or from below (-1).

    None where interval arithmetic on shrinking intervals does not decide it.
    """
    if end in function.domain:
        return _decide(function, end, output)[0]
    if not function.has_reference:
        return None
    near = function.compose(lift(end) + Variable())
    for bits, distance in ((256, 256), (1024, 1024), (MAX_BITS, _INFINITESIMAL)):
        arithmetic = BigIntervalArithmetic(bits)
        c = arithmetic.context
        width = c.ldexp(c.one, -distance)
        box = BigInterval(-width, c.zero) if side < 0 else BigInterval(c.zero, width)
        value = near.evaluate(arithmetic, box)
        low, high = output.round_big(value.lo, c)[0], output.round_big(value.hi, c)[0]
        if low == high:
            return high
    return None


def _max_error(function: Function, grid: _Grid, output: _Output, entries: IntArray, defined: BoolArray) -> float:
    indices = np.arange(grid.lo, grid.hi + 1, dtype=np.float64)[defined]
    lo = np.ldexp(indices - 0.5, grid.exponent)
    hi = np.ldexp(indices + 0.5, grid.exponent)
    target = output.real(entries[defined])
    worst = 0.0
    for segment in function.domain.segments:
        low = lo if segment.lo is None else np.maximum(lo, _down(segment.lo))
        high = hi if segment.hi is None else np.minimum(hi, -_down(-segment.hi))
        met = (low < high) | ((low == high) & function.domain.contains(low))
        boxes = IntervalArray(low[met], high[met])
        if boxes.lo.size:
            measure = _proven_error if function.proven else _measured_error
            worst = max(worst, measure(function, boxes, output, target[met]))
    return worst


def _down(x: Fraction) -> float:
    nearest = float(x)
    return nearest if Fraction(nearest) <= x else float(np.nextafter(nearest, -np.inf))


def _proven_error(function: Function, boxes: IntervalArray, output: _Output, target: FloatArray) -> float:
    """Branch and bound: an upper bound of the error over all boxes, refined where it is largest."""
    reached, settled, rounds = 0.0, 0.0, 0
    while True:
        enclosure = function.enclose_and_sample(boxes)
        _check_enclosure(function, boxes, enclosure)
        for sample in (enclosure.start, enclosure.middle, enclosure.end):
            least = np.maximum(output.clamp(sample.lo) - target, target - output.clamp(sample.hi))
            reached = max(reached, float(np.fmax.reduce(least)))
        upper = output.error(enclosure.bounds, target)
        middle = boxes.lo + (boxes.hi - boxes.lo) / 2
        enough = reached * (1 + _TIGHTNESS) + math.ldexp(_TIGHTNESS, -8 - output.frac_bits)
        open_ = (upper > enough) & (boxes.lo < middle) & (middle < boxes.hi)
        settled = max(settled, float(np.max(upper[~open_], initial=0.0)))
        rounds += 1
        if not 0 < np.count_nonzero(open_) <= _MAX_OPEN or rounds == _MAX_ROUNDS:
            return max(settled, float(np.max(upper[open_], initial=0.0)))
        lo, middle, hi, target = boxes.lo[open_], middle[open_], boxes.hi[open_], target[open_]
        boxes = IntervalArray(np.concatenate([lo, middle]), np.concatenate([middle, hi]))
        target = np.concatenate([target, target])


def _check_enclosure(function: Function, boxes: IntervalArray, enclosure: Enclosure) -> None:
    """Check that values at points lie within the enclosures around them.

    Raises:
        InvalidInputError: one does not, so that a promise of the user's is false.
    """
    lo, hi = enclosure.bounds
    middle = boxes.lo + (boxes.hi - boxes.lo) / 2
    for x, at in ((boxes.lo, enclosure.start), (middle, enclosure.middle), (boxes.hi, enclosure.end)):
        broken = np.flatnonzero((at.hi < lo) | (at.lo > hi))
        if broken.size:
            k = broken[0]
            raise InvalidInputError(
                f"{function.name} is {at.lo[k]} at {x[k]}, outside its own enclosure {lo[k]} to {hi[k]}: the promise "
                "given with a custom function does not hold"
            )


def _measured_error(function: Function, boxes: IntervalArray, output: _Output, target: FloatArray) -> float:
    worst = 0.0
    for part in np.linspace(0.0, 1.0, _SAMPLES):
        values = function(boxes.lo + (boxes.hi - boxes.lo) * part)
        worst = max(worst, float(np.fmax.reduce(output.error(IntervalArray(values, values), target))))
    return worst


def _runs(mask: BoolArray, first: int) -> tuple[Run, ...]:
    """Maximal runs of true elements, as first and last index, where element 0 is index `first`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return tuple((int(a) + first, int(b) - 1 + first) for a, b in edges.reshape(-1, 2))
