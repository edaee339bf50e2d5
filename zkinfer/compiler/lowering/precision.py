"""How many bits a circuit spends, and the Q-formats that follow from a tensor's range."""

import math
from typing import NamedTuple

import msgspec

from zkinfer.circuit.bounds import round_outward
from zkinfer.counts import counted
from zkinfer.errors import InvalidInputError

MIN_BITS, MAX_BITS = 2, 24
"""Width of a tensor."""

MIN_TABLE_ENTRIES, MAX_TABLE_ENTRIES = 16, 1 << 24

RANGES = ("full", "mse", "99%", "99.9%", "99.99%")

HEADROOM, HEADROOM_BITS = 1.25, 12
"""Activations of at least `HEADROOM_BITS` have room for values larger by this factor than any observed.

The room takes a third of a bit of resolution. In so fine a format, one element that saturates costs more accuracy than
all rounding.
"""

MAX_FRAC_BITS = 150
"""No format is finer than this. A tensor that stays below 2**-151, which is not a normal float32, becomes zero."""


Range = tuple[float, float]
"""Smallest and largest real number of a tensor."""


class Format(NamedTuple):
    """A Q-format, and the integers at which a tensor saturates in it.

    Attributes:
        frac_bits: binary digits after the point.
        lo, hi: smallest and largest integer.
    """

    frac_bits: int
    lo: int
    hi: int

    def coarser(self, bits: int) -> "Format":
        """The format without so many of its last binary digits, as long as both sides of zero keep a number."""
        least = min((abs(end) for end in (self.lo, self.hi) if end), default=0)
        dropped = max(min(bits, least.bit_length() - 1), 0)
        return Format(self.frac_bits - dropped, -(-self.lo >> dropped), self.hi >> dropped)


def _require_integer(what: str, value: object, lo: int, hi: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not lo <= value <= hi:
        raise InvalidInputError(f"{what} is a whole number from {lo} to {hi}, got {value!r}")


class Precision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The bits and table sizes that a circuit may use.

    Attributes:
        activation_bits: width of the tensors that are multiplied: they have at most `2**activation_bits` levels,
            divided between both signs in proportion to the calibrated range. 2 to 24.
        weight_bits: width of the weights, sign included. 2 to 24.
        max_table_entries: size of the largest lookup table, at least half as many as an activation has levels.
        ranges: which part of an activation's calibrated range its format holds; values beyond it saturate. "full",
            "mse", or a percentage from `RANGES`; see `calibration.ranges.kept_range`. Inputs keep their full range.
        relative: whether sums of squares, and what is divided by, keep their relative precision whatever their size:
            see `lowering.relative`. It takes lookups of wide values, whose remainders cost ezkl large tables. It also
            says whether layers share tables that are filled up to a power of two, which ezkl's are not.
        tensors: widths of single tensors, by their names in the model, which replace `activation_bits` or
            `weight_bits`; 2 to 24.

    Raises:
        InvalidInputError: a field outside its range.
    """

    activation_bits: int
    weight_bits: int
    max_table_entries: int
    ranges: str = "full"
    relative: bool = True
    tensors: dict[str, int] = {}

    def __post_init__(self) -> None:
        for field, lo, hi in (
            ("activation_bits", MIN_BITS, MAX_BITS),
            ("weight_bits", MIN_BITS, MAX_BITS),
            ("max_table_entries", MIN_TABLE_ENTRIES, MAX_TABLE_ENTRIES),
        ):
            _require_integer(field, getattr(self, field), lo, hi)
        if self.ranges not in RANGES:
            raise InvalidInputError(f"ranges is one of {', '.join(RANGES)}, got {self.ranges!r}")
        for name, bits in self.tensors.items():
            _require_integer(f"the width of tensor {name!r}", bits, MIN_BITS, MAX_BITS)
        least = 1 << (self.activation_bits - 1)
        if self.max_table_entries < least:
            raise InvalidInputError(
                f"{self.activation_bits} activation bits need tables of {counted(least, 'entry', 'entries')} or "
                f"more: raise max_table_entries from {self.max_table_entries}, or lower activation_bits"
            )

    def activation_bits_of(self, name: str) -> int:
        """Width of an activation, by its name in the model."""
        return self.tensors.get(name, self.activation_bits)

    def weight_bits_of(self, name: str) -> int:
        """Width of a weight, by its name in the model."""
        return self.tensors.get(name, self.weight_bits)


NATIVE = Precision(activation_bits=16, weight_bits=16, max_table_entries=1 << 16)
"""The preset for the native prover: it pays for the rows of a table once, for any number of lookups."""

EZKL = Precision(activation_bits=8, weight_bits=8, max_table_entries=2032, relative=False)
"""The preset for ezkl: its tables are columns, and a table of this size fits 2**11 rows."""

PRESETS = {"native": NATIVE, "ezkl": EZKL}


def preset(name: str) -> Precision:
    """A preset by the name of the backend for which it is made.

    Raises:
        InvalidInputError: there is no preset of that name.
    """
    if name not in PRESETS:
        raise InvalidInputError(f"there is no precision {name!r}; there are {' and '.join(map(repr, PRESETS))}")
    return PRESETS[name]


def frac_bits_for(magnitude: float, bits: int) -> int:
    """The largest number of fraction bits with `magnitude * 2**frac_bits <= 2**bits`, at most `MAX_FRAC_BITS`.

    A magnitude of 0 counts as 1.
    """
    mantissa, exponent = math.frexp(magnitude or 1.0)
    return min(bits - exponent + (mantissa == 0.5), MAX_FRAC_BITS)


def _reach(magnitude: float) -> int:
    """The largest integer for values of that magnitude, in units.

    It is one less than the magnitude rounded up to three significant bits; `round_outward` does not change such a
    bound.
    """
    units = math.ceil(magnitude)
    if units < 8:
        return units
    step = 1 << ((units - 1).bit_length() - 3)
    return -(-units // step) * step - 1


def activation_format(lo: float, hi: float, bits: int) -> Format:
    """The finest format in which an activation that was observed between `lo` and `hi` has at most `2**bits` levels.

    The range includes zero, and headroom in wide formats: see `HEADROOM`. Levels that the range does not use are added
    at both ends, for data beyond the range: so that both ends are alike if they can be, because tensors of equal ends
    share tables. Where there are none, an end of exactly three significant bits saturates one unit early: half the
    resolution would have an error of that size everywhere.
    """
    headroom = HEADROOM if bits >= HEADROOM_BITS else 1.0
    return _finest(headroom * lo, headroom * hi, bits)


def _finest(lo: float, hi: float, bits: int) -> Format:
    below, above = max(-lo, 0.0), max(hi, 0.0)
    if not below and not above:
        above = 1.0
    frac_bits = frac_bits_for(max(below, above), bits)
    while True:
        low, high = _reach(math.ldexp(below, frac_bits)), _reach(math.ldexp(above, frac_bits))
        if low + high < 1 << bits:
            half = (1 << (bits - 1)) - 1
            if low and high and max(low, high) <= half:
                return Format(frac_bits, -half, half)
            taken = sum(end + 1 for end in (low, high) if end)
            return Format(frac_bits, -_stretched(low, taken, 1 << bits), _stretched(high, taken, 1 << bits))
        frac_bits -= 1


def _stretched(end: int, taken: int, levels: int) -> int:
    """An end of a range, moved outward in proportion to the unused levels; as `_reach`, one below three bits."""
    if not end or taken >= levels:
        return end
    count = (end + 1) * levels // taken
    step = 1 << max(count.bit_length() - 3, 0)
    return count // step * step - 1


def input_format(lo: float, hi: float, bits: int) -> Format:
    """As `activation_format`, but its bounds are those of the observed range, rounded outward.

    There is no headroom, because inputs beyond the bounds are refused. The bounds of an input are part of the
    statement, and limit the tables that it is looked up in.
    """
    frac_bits, low, high = _finest(lo, hi, bits)
    observed = math.floor(math.ldexp(lo, frac_bits)), math.ceil(math.ldexp(hi, frac_bits))
    least, most = round_outward((min(observed[0], 0), max(observed[1], 0)))
    return Format(frac_bits, max(low - (low < 0), least), min(high + (high > 0), most))


def weight_frac_bits(magnitude: float, bits: int) -> int:
    """Fraction bits of a weight tensor of that largest magnitude; its integers reach `2**(bits - 1)` inclusive."""
    return frac_bits_for(magnitude, bits - 1)
