"""Lookup tables of a circuit: the index resolution at which a function is tabulated."""

import math
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from zkinfer.circuit.bounds import Interval, lookup_indices
from zkinfer.circuit.table import MAX_SHIFT, Table
from zkinfer.compiler.approx.build import BuiltTable, build_table
from zkinfer.compiler.approx.forms import form_of
from zkinfer.compiler.approx.functions import Function, clip
from zkinfer.compiler.lowering.builder import Builder, ProgramValue, Summand, exponent, is_dyadic
from zkinfer.compiler.lowering.precision import HEADROOM, Format, Precision, Range
from zkinfer.counts import counted
from zkinfer.errors import BoundsError
from zkinfer.typing import IntArray

MIN_LEVELS = 32
MAX_INDEX_ERROR = 2.0**-5
"""A lookup is too coarse if it has fewer than `MIN_LEVELS` indices over the observed range, and if the rounding to an
index alone can cause an error of more than `MAX_INDEX_ERROR` times the largest result."""

CLAMPED_INDEX_ERROR = 2.0**-9
"""Where the rounding to an index can cost more than this share of the largest result, and more than half a unit of the
output, the source is clamped first if that makes the index finer: see `clamp`."""

EXTRA_INDEX_BITS = 2
"""How much finer than the output's resolution an index is useful: it then adds an error of at most 1/8 unit."""

SATURATION_UNITS = 1.5
"""An entry at an end of its format is saturated if it is off by more than so many units: the ends of formats are often
one unit early, see `precision.activation_format`, and that costs no more than rounding does."""

_SAMPLES = 257

_NEAR = 2.0**-9
"""Numbers within this share of each other count as one number."""

_NAME_LENGTH = 48
_NUMBER = re.compile(r"(?<![a-zA-Z_])\d+(\.\d+)?(e[+-]?\d+)?(/\d+)?")
"""A number in the name of a function; tables are public, and their names carry none."""

_REMEMBERED = 96
"""How many tables are kept for later circuits: a search over precisions needs most of them many times."""


def entries(bounds: Interval, shift: int) -> int:
    """How many table entries values within the bounds need."""
    lo, hi = lookup_indices(bounds, shift)
    return hi - lo + 1


def least_shift(bounds: Interval, most: int) -> int:
    """The smallest shift at which values within the bounds need at most `most` table entries."""
    shift = 0
    while entries(bounds, shift) > most:
        shift += 1
    return shift


def integer_table(name: str, bounds: Interval, function: Callable[[IntArray], IntArray]) -> Table:
    """The table of a function of integers, for all integers within the bounds."""
    return Table(name, bounds[0], tuple(function(np.arange(bounds[0], bounds[1] + 1)).tolist()))


def slope_and_size(function: Function, observed: Range, out: Range) -> tuple[float, float]:
    """The largest slope and the largest magnitude of the function, clamped to `out`, over the observed range.

    They are computed from samples, and rounded to three digits: the last bits of floats differ between machines.
    """
    x = np.linspace(*observed, _SAMPLES)
    y = np.clip(function(x), *out)
    slopes = np.abs(np.diff(y)) / np.maximum(np.diff(x), np.finfo(np.float64).tiny)
    slope = float(np.max(slopes, initial=0.0, where=np.isfinite(slopes)))
    size = float(np.max(np.abs(y), initial=0.0, where=np.isfinite(y)))
    return float(f"{slope:.3g}"), float(f"{size:.3g}")


def choose_shift(
    label: str, source: ProgramValue, function: Function, observed: Range, out: Format, precision: Precision
) -> int:
    """The rounding shift with which a function of `source` is tabulated.

    It is zero where every integer can have an entry of its own. A number is rounded once, to the unit of the output, if
    it is only rescaled and the table fits: see `_rescaling_shift`. Otherwise it is, of the shifts that fit
    `max_table_entries` and are fine enough for the output's resolution, the one with the fewest entries in both tables:
    that of the function and that of the remainders.

    Args:
        label: names the tensor in messages.
        source: the value that is looked up; its published bounds determine the number of entries.
        function: a function of the source's real number.
        observed: range of the source's real number on calibration data.
        out: format of the result.
        precision: gives `max_table_entries`.

    Raises:
        BoundsError: the finest table that fits is too coarse: see `MAX_INDEX_ERROR`. An index error of half a unit of
            the output is always fine enough.
    """
    bounds = (source.tensor.lo, source.tensor.hi)
    least = least_shift(bounds, precision.max_table_entries)
    unit = math.ldexp(1.0, -out.frac_bits)
    slope, size = slope_and_size(function, observed, (out.lo * unit, out.hi * unit))
    if least == 0 or slope == 0:
        return least
    rescaling = _rescaling_shift(function, source.frac_bits, out.frac_bits) if precision.relative else None
    if rescaling is not None and least <= rescaling <= MAX_SHIFT:
        return rescaling

    def coarsest(error: float) -> int:
        """The largest shift at which half an index step costs at most this error."""
        return math.floor(math.log2(2 * error / slope)) + source.frac_bits

    useful = coarsest(unit / 2 ** (EXTRA_INDEX_BITS + 1))
    if useful >= least:
        return min(range(least, useful + 1), key=lambda shift: (entries(bounds, shift) + (1 << shift), shift))
    levels = math.floor(math.log2(math.ldexp(observed[1] - observed[0], source.frac_bits) / MIN_LEVELS))
    tolerable = max(coarsest(max(MAX_INDEX_ERROR * size, unit / 2)), levels, 0)
    if least > tolerable:
        raise BoundsError(
            f"{label}: on calibration data its input ranges from {observed[0]:.4g} to {observed[1]:.4g}, but is proven "
            f"only to stay within {source.real_bounds[0]:.4g} to {source.real_bounds[1]:.4g}, too far for a table of "
            f"{counted(precision.max_table_entries, 'entry', 'entries')}. Compile with "
            f"max_table_entries={entries(bounds, tolerable)} or "
            "more, or train with weight decay or fewer inputs to the layer, so that its weights add up to less"
        )
    return least


def _rescaling_shift(function: Function, frac_bits: int, out_frac_bits: int) -> int | None:
    """The shift at which an index is a unit of the output, if the function is a power of two times its argument.

    Then one rounding is the only one, and tables of tensors with equal ends are equal.
    """
    form = form_of(function)
    if form is None or not form.is_affine or form.shift or form.scale <= 0 or not is_dyadic(form.scale):
        return None
    return frac_bits - out_frac_bits - exponent(form.scale) if form.scale.numerator.bit_count() == 1 else None


def shared_indices(indices: Interval, ends: Interval) -> Interval:
    """The indices that a table of these is filled up to, so that tensors of about the same bounds share it.

    A prover fills tables up to 2^k rows in any case, and pays for each table once. Where as many rows hold all indices
    from -2^(k - 1) to 2^(k - 1) - 1, or from 0 to 2^k - 1, the table has them all. It has no fewer rows than the output
    has levels between its ends.
    """
    lo, hi = indices
    rows = 1 << max(hi - lo, ends[1] - ends[0]).bit_length()
    for first in (0, -rows // 2):
        if first <= lo and hi < first + rows:
            return first, first + rows - 1
    return indices


class SaturatingTable(NamedTuple):
    """A table, and the runs of indices at which a function leaves its format by more than `SATURATION_UNITS`."""

    table: Table
    saturated: tuple[Interval, ...]


@lru_cache(maxsize=_REMEMBERED)
def built_table(function: Function, in_frac_bits: int, shift: int, indices: Interval, out: Format) -> SaturatingTable:
    """As `build_table`; a table that was built for an earlier circuit is not built again."""
    built = build_table(
        function,
        in_frac_bits=in_frac_bits,
        shift=shift,
        index_lo=indices[0],
        index_hi=indices[1],
        out_frac_bits=out.frac_bits,
        out_lo=out.lo,
        out_hi=out.hi,
        name=_NUMBER.sub("c", function.name)[:_NAME_LENGTH],
    )
    return SaturatingTable(built.table, tuple(run for clamped in built.saturated for run in _lossy(built, clamped)))


def _lossy(built: BuiltTable, clamped: Interval) -> Iterator[Interval]:
    """The runs within one of clamped indices at which the entry is off by more than `SATURATION_UNITS`."""
    indices = np.arange(clamped[0], clamped[1] + 1)
    exact = built.function(np.ldexp(indices.astype(np.float64), built.shift - built.in_frac_bits))
    with np.errstate(over="ignore"):
        # Infinity is as far beyond an end as any number that is too large.
        units = np.abs(np.ldexp(exact, built.out_frac_bits) - built.table.array[indices - built.table.lo])
    lossy = np.concatenate([[False], units > SATURATION_UNITS, [False]])
    edges = np.flatnonzero(lossy[1:] != lossy[:-1])
    return ((clamped[0] + int(a), clamped[0] + int(b) - 1) for a, b in edges.reshape(-1, 2))


def clamp(
    builder: Builder, label: str, source: ProgramValue, observed: Range, precision: Precision, room: float = HEADROOM
) -> tuple[ProgramValue, float] | None:
    """A value brought into a range around what was observed, where its proven range is too wide for a table.

    With q the value over 2^s, rounded, the value less 2^s times what q exceeds -1 to 1 by lies within 3/2 of 2^s. Up to
    half of 2^s it is what it was; beyond that it stays beyond, on the same side of zero.

    Args:
        builder: the program under construction.
        label: names the result.
        source: the value.
        observed: its range on calibration data.
        precision: gives `max_table_entries`.
        room: up to how many times the largest number observed the value is unchanged at least.

    Returns:
        The new value, and the real number up to which it is unchanged; None if its proven range would not be smaller.
    """
    reach = max(abs(end) for end in observed) * room
    most = precision.max_table_entries
    bounds = (source.tensor.lo, source.tensor.hi)
    wanted = math.ceil(math.log2(max(math.ldexp(reach, source.frac_bits), 1.0))) + 1
    shift = max(least_shift(bounds, most), wanted, 1)
    # Three halves of 2^s are published as less than twice 2^s.
    if max(-bounds[0], bounds[1]) < 2 << shift:
        return None
    first, last = lookup_indices(bounds, shift)
    table = integer_table("excess", (first, last), lambda i: i - np.clip(i, -1, 1))
    saturated = tuple(run for run in ((first, -1), (1, last)) if run[0] <= run[1])
    excess = builder.lookup(f"{label}/excess", source, table, shift, source.frac_bits - shift, saturated)
    value = builder.combine(f"{label}/clamped", [Summand(source), Summand(excess, Fraction(-1))])
    return value, math.ldexp(1.0, shift - 1 - source.frac_bits)


def function_lookup(
    builder: Builder,
    precision: Precision,
    label: str,
    source: ProgramValue,
    function: Function,
    observed: Range,
    out: Format,
    room: float = HEADROOM,
    *,
    fine: bool = False,
    index_units: bool = False,
) -> ProgramValue:
    """A lookup that applies a function to every element, in the format `out`, at whose ends it saturates.

    A source whose proven range makes the index too coarse is clamped first, by a lookup of its own, except for ezkl.
    A table that was built for an earlier circuit is not built again.

    Args:
        builder: the program under construction.
        precision: gives `max_table_entries`.
        label: names the result.
        source: the value that is looked up.
        function: a function of the source's real number.
        observed: range of the source's real number on calibration data.
        out: format and saturation of the result.
        room: how many times the largest number observed the source may be without being clamped.
        fine: whether the source is clamped for every digit of the output, as that of small numbers beside large ones.
        index_units: whether a number that is only rescaled, and whose index has a larger unit than `out`, has that unit
            in the result as well. It is the same number, without digits that are zero, and what is computed from it has
            fewer digits to be rounded off.

    Raises:
        BoundsError: see `choose_shift`.
    """
    error = 0.0 if fine else CLAMPED_INDEX_ERROR
    if precision.relative and _is_coarse(source, function, observed, out, precision, error):
        clamped = clamp(builder, label, source, observed, precision, room)
        limit = math.inf
        while clamped is not None:
            source, limit = clamped
            clamped = clamp(builder, label, source, observed, precision, room)
        if limit < math.inf:
            function = function(clip(-limit, limit))
    shift = choose_shift(label, source, function, observed, out, precision)
    indices = lookup_indices((source.tensor.lo, source.tensor.hi), shift)
    if index_units and precision.relative:
        unit = _rescaling_shift(function, source.frac_bits, out.frac_bits)
        out = out if unit is None else out.coarser(shift - unit)
    form = form_of(function)
    if precision.relative and form is not None and form.is_affine:
        indices = shared_indices(indices, (out.lo, out.hi))
    table, saturated = built_table(function, source.frac_bits, shift, indices, out)
    return builder.lookup(label, source, table, shift, out.frac_bits, saturated)


def _around(observed: Range) -> Range:
    """A range that has a slope: a number that is the only one observed, with what is close to it."""
    lo, hi = observed
    margin = max(abs(lo), abs(hi)) * _NEAR
    return observed if hi - lo > margin else (lo - margin, hi + margin)


def _is_coarse(
    source: ProgramValue, function: Function, observed: Range, out: Format, precision: Precision, error: float
) -> bool:
    """Whether the finest index that fits costs more than this share of the largest result, and half a unit of it."""
    least = least_shift((source.tensor.lo, source.tensor.hi), precision.max_table_entries)
    unit = math.ldexp(1.0, -out.frac_bits)
    slope, size = slope_and_size(function, _around(observed), (out.lo * unit, out.hi * unit))
    return least > 0 and slope * math.ldexp(0.5, least - source.frac_bits) > max(error * size, unit / 2)


def fine_lookup(
    builder: Builder,
    precision: Precision,
    label: str,
    source: ProgramValue,
    function: Function,
    observed: Range,
    out: Format,
) -> ProgramValue | None:
    """As `function_lookup`, of an affine function; None if rounding to an index costs over half a unit of the output.

    Where the proven range of the source is too wide for that, the source is clamped first, see `clamp`.
    """
    unit = math.ldexp(1.0, -out.frac_bits)
    clamped = clamp(builder, label, source, observed, precision)
    for value in (source, *(() if clamped is None else clamped[:1])):
        least = least_shift((value.tensor.lo, value.tensor.hi), precision.max_table_entries)
        slope, _ = slope_and_size(function, observed, (out.lo * unit, out.hi * unit))
        if slope * math.ldexp(0.5, least - value.frac_bits) <= unit / 2:
            return function_lookup(builder, precision, label, value, function, observed, out)
    return None
