"""Choosing a table: the cheapest format whose proven error is within a stated accuracy.

The error of a table has two parts: rounding the input to an index, which a smaller shift lessens, and rounding the
output, which more fraction bits lessen. The cost depends on the shift alone, which decides how many entries there are
and how large the remainder is. The shifts are therefore tried in order of cost, each first with so many output bits
that the second part is negligible: if that fails, this shift and every larger one are too coarse. For the first shift
that succeeds, output bits are removed while the bound still holds, because fewer bits make all that follows the table
cheaper.

The accuracy is that of the circuit's integers: the error is bounded over all integers n within the bounds, each
standing for the real number n / 2^in_frac_bits exactly. Rounding a real input to such an integer happened before.
"""

import math
from dataclasses import dataclass

from zkinfer.circuit.table import MAX_SHIFT, MAX_TABLE_ENTRIES
from zkinfer.compiler.approx.build import MAX_FRAC_BITS, MAX_OUTPUT, BuiltTable, build_table
from zkinfer.compiler.approx.cost import CostModel, LookupSize
from zkinfer.compiler.approx.expressions import Function
from zkinfer.errors import InvalidInputError, ToleranceError

DEFAULT_MAX_ENTRIES = 1 << 16
_NEGLIGIBLE_BITS = 8
"""A shift is first tried with so many output bits beyond the accuracy; rounding then adds at most 1/256 of it."""


@dataclass(frozen=True)
class Trial:
    """One format that was tried.

    Attributes:
        shift, out_frac_bits, entries: the format.
        cost: of the lookups, in the cost model's unit.
        error: bound on the error over all integers within the bounds, in real units.
        accepted: whether it is within the accuracy asked for.
    """

    shift: int
    out_frac_bits: int
    entries: int
    cost: float
    error: float
    accepted: bool


@dataclass(frozen=True)
class TunedTable:
    """The cheapest table found.

    Attributes:
        built: the table.
        cost: of the lookups.
        unit: of the cost.
        error: bound on the error over all integers within the bounds; see `BuiltTable.proven`.
        max_error: the largest error that was allowed.
        trials: every format that was tried, in order; the last one accepted is this one.
    """

    built: BuiltTable
    cost: float
    unit: str
    error: float
    max_error: float
    trials: tuple[Trial, ...]

    def __str__(self) -> str:
        """The trials as a table."""
        lines = [f"{'shift':>5} {'out bits':>8} {'entries':>8} {self.unit:>12} {'error':>10}"]
        lines += [
            f"{t.shift:>5} {t.out_frac_bits:>8} {t.entries:>8} {t.cost:>12.4g} {t.error:>10.3g}"
            f" {'within' if t.accepted else 'above'} {self.max_error:.3g}"
            for t in self.trials
        ]
        return "\n".join(lines)


def tune(
    function: Function,
    *,
    in_frac_bits: int,
    in_lo: int,
    in_hi: int,
    max_error: float,
    elements: int,
    cost: CostModel,
    out_range: tuple[float, float] = (-math.inf, math.inf),
    max_entries: int = DEFAULT_MAX_ENTRIES,
) -> TunedTable:
    """The cheapest table of a function with an error of at most `max_error`.

    Args:
        function: the function to tabulate.
        in_frac_bits: fraction bits of the integers looked up.
        in_lo, in_hi: their bounds, inclusive.
        max_error: largest |clamp(f(n / 2^in_frac_bits)) - output| allowed, in real units.
        elements: how many are looked up.
        cost: prices a format.
        out_range: real numbers between which outputs saturate; needed where the function is unbounded.
        max_entries: longest table to consider.

    Raises:
        InvalidInputError: an empty range, or an accuracy that is not a positive number.
        ToleranceError: no format reaches the accuracy; the message says which error the best one has.
    """
    if not (math.isfinite(max_error) and max_error > 0):
        raise InvalidInputError(f"an accuracy is a number above 0, got {max_error}")
    if in_lo > in_hi:
        raise InvalidInputError(f"bounds need in_lo <= in_hi, got {in_lo} and {in_hi}")
    if not out_range[0] < out_range[1]:
        raise InvalidInputError(f"outputs need a range lo < hi, got {out_range}")
    if not 1 <= max_entries <= MAX_TABLE_ENTRIES:
        raise InvalidInputError(f"max_entries is from 1 to {MAX_TABLE_ENTRIES}, got {max_entries}")

    def price(shift: int) -> float:
        first, last = _indices(in_lo, in_hi, shift)
        if last - first + 1 > max_entries:
            return math.inf
        return cost.lookup(LookupSize(elements, in_lo, in_hi, shift, last - first + 1))

    trials: list[Trial] = []

    def attempt(shift: int, out_frac_bits: int) -> BuiltTable:
        built = _build(function, in_frac_bits, shift, _indices(in_lo, in_hi, shift), out_frac_bits, out_range)
        error = integer_error(built)
        trials.append(Trial(shift, out_frac_bits, len(built.table.values), price(shift), error, error <= max_error))
        return built

    # Rounding outputs to b fraction bits costs 2^-(b + 1).
    enough = min(max(-math.frexp(max_error)[1] + _NEGLIGIBLE_BITS, -MAX_FRAC_BITS), MAX_FRAC_BITS)
    shifts = [s for s in range(MAX_SHIFT + 1) if math.isfinite(price(s))]
    # Shifts beyond the first one with a single index give the same table.
    useful = [s for s in shifts if s == 0 or _indices(in_lo, in_hi, s - 1) != (0, 0)]
    coarsest = MAX_SHIFT
    for shift in sorted(useful, key=lambda s: (price(s), s)):
        if shift > coarsest:
            continue
        best = attempt(shift, enough)
        if not trials[-1].accepted:
            coarsest = shift
            continue
        # With b bits the outputs' rounding adds at most 2^-(b + 1) to the error: start where this surely fits.
        slack = max_error - trials[-1].error
        fitting = -math.frexp(slack)[1] if slack > 0 else enough
        for out_frac_bits in range(min(fitting, enough - 1), -MAX_FRAC_BITS - 1, -1):
            fewer = attempt(shift, out_frac_bits)
            if not trials[-1].accepted:
                break
            best = fewer
        return TunedTable(best, price(shift), cost.unit, integer_error(best), max_error, tuple(trials))
    if not trials:
        raise ToleranceError(
            f"{function.name}: no table of at most {max_entries} entries covers {in_lo} to {in_hi} within what the "
            "backend can prove; allow longer tables or fewer input bits"
        )
    closest = min(trials, key=lambda t: t.error)
    raise ToleranceError(
        f"{function.name}: an error of {max_error:.3g} is not reached; the best of {len(trials)} formats has "
        f"{closest.error:.3g} (shift {closest.shift}, {closest.entries} entries). Allow longer tables than "
        f"{max_entries} entries, narrower inputs, an out_range where the function is unbounded, or a larger error"
    )


def integer_error(built: BuiltTable) -> float:
    """Bound on a table's error over the integers that it is looked up with.

    Without a shift every integer is an index of its own; with one, integers lie everywhere around an index.
    """
    return built.entry_error if built.shift == 0 else built.max_error


def _indices(lo: int, hi: int, shift: int) -> tuple[int, int]:
    half = 1 << (shift - 1) if shift else 0
    return (lo + half) >> shift, (hi + half) >> shift


def _build(
    function: Function,
    in_frac_bits: int,
    shift: int,
    indices: tuple[int, int],
    out_frac_bits: int,
    out_range: tuple[float, float],
) -> BuiltTable:
    def output(real: float) -> int:
        scaled = math.ldexp(real, out_frac_bits) if math.isfinite(real) else real
        return round(min(max(scaled, -MAX_OUTPUT), MAX_OUTPUT))

    return build_table(
        function,
        in_frac_bits=in_frac_bits,
        shift=shift,
        index_lo=indices[0],
        index_hi=indices[1],
        out_frac_bits=out_frac_bits,
        out_lo=output(out_range[0]),
        out_hi=output(out_range[1]),
    )
