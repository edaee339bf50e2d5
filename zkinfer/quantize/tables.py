"""Lookup tables of a circuit: at which index resolution a function is tabulated."""

import math

import numpy as np

from zkinfer.approx.build import BuiltTable, build_table
from zkinfer.approx.functions import Function
from zkinfer.circuit.bounds import Interval, lookup_indices
from zkinfer.errors import BoundsError
from zkinfer.quantize.builder import Builder, Value
from zkinfer.quantize.precision import Format, Precision

MIN_LEVELS = 32
"""Distinct table indices over the calibrated range below which a lookup is refused as too coarse."""

EXTRA_INDEX_BITS = 2
"""How much finer than the output's resolution the index need be: then it adds at most 1/8 unit of error."""

_SAMPLES = 257
_NAME_LENGTH = 48

Range = tuple[float, float]


def entries(bounds: Interval, shift: int) -> int:
    """How many table entries values within the bounds need."""
    lo, hi = lookup_indices(bounds, shift)
    return hi - lo + 1


def steepest(function: Function, seen: Range, out: Range) -> float:
    """The largest slope of the function, clamped to `out`, over the range seen; to three digits."""
    x = np.linspace(*seen, _SAMPLES)
    y = np.clip(function(x), *out)
    slopes = np.abs(np.diff(y)) / np.maximum(np.diff(x), np.finfo(np.float64).tiny)
    slope = float(np.max(slopes, initial=0.0, where=np.isfinite(slopes)))
    # Rounded, so that the last bits of float arithmetic, which differ between machines, decide nothing.
    return float(f"{slope:.3g}")


def choose_shift(label: str, source: Value, function: Function, seen: Range, out: Format, precision: Precision) -> int:
    """The rounding shift with which a function of `source` is tabulated.

    Zero where every integer has its own entry. Otherwise as coarse as the output's resolution allows, but fine
    enough that remainders need no larger table than the function, and coarse enough to fit `max_table_entries`.

    Args:
        label: names the tensor in messages.
        source: what is looked up; its published bounds fix the number of entries.
        function: of the source's real number.
        seen: range of the source's real number on calibration data.
        out: format of the result.
        precision: gives `max_table_entries`.

    Raises:
        BoundsError: what fits leaves fewer than `MIN_LEVELS` indices over the range seen, where more would be used.
    """
    bounds = (source.tensor.lo, source.tensor.hi)
    least = 0
    while entries(bounds, least) > precision.max_table_entries:
        least += 1
    if least == 0:
        return 0
    step = math.ldexp(1.0, -out.frac_bits - EXTRA_INDEX_BITS)
    slope = steepest(function, seen, (math.ldexp(out.lo, -out.frac_bits), math.ldexp(out.hi, -out.frac_bits)))
    useful = math.floor(math.log2(step / slope)) + source.frac_bits if slope else least
    if useful >= least:
        return max(least, min(useful, precision.max_table_entries.bit_length() - 1))
    span = math.ldexp(seen[1] - seen[0], source.frac_bits)
    needed = min(MIN_LEVELS, math.ldexp(span, -useful))
    if math.ldexp(span, -least) < needed:
        finest = max(math.floor(math.log2(span / needed)), 0)
        raise BoundsError(
            f"{label}: calibration data ranges from {seen[0]:.4g} to {seen[1]:.4g}, but values are proven only to stay "
            f"within {source.real_bounds[0]:.4g} to {source.real_bounds[1]:.4g}, so that a table of "
            f"{precision.max_table_entries} entries tells fewer than {math.ceil(needed)} levels apart where the data "
            f"is. Compile with max_table_entries={entries(bounds, finest)} or more, or train with weight decay "
            "or fewer inputs to the layer, so that its weights add up to less"
        )
    return least


class Tables:
    """Builds the tables of one circuit, each once."""

    def __init__(self, builder: Builder, precision: Precision) -> None:
        self._builder = builder
        self._precision = precision
        self._built: dict[tuple[Function, int, int, Interval, Format], BuiltTable] = {}

    def lookup(self, label: str, source: Value, function: Function, seen: Range, out: Format) -> Value:
        """`function` of every element, in the format `out`, where it saturates.

        Args:
            label: names the result.
            source: what is looked up.
            function: of the source's real number.
            seen: range of the source's real number on calibration data.
            out: format and saturation of the result.

        Raises:
            BoundsError: see `choose_shift`.
        """
        shift = choose_shift(label, source, function, seen, out, self._precision)
        indices = lookup_indices((source.tensor.lo, source.tensor.hi), shift)
        key = (function, source.frac_bits, shift, indices, out)
        if key not in self._built:
            self._built[key] = build_table(
                function,
                in_frac_bits=source.frac_bits,
                shift=shift,
                index_lo=indices[0],
                index_hi=indices[1],
                out_frac_bits=out.frac_bits,
                out_lo=out.lo,
                out_hi=out.hi,
                name=function.name[:_NAME_LENGTH],
            )
        return self._builder.lookup(label, source, self._built[key].table, shift, out.frac_bits)
