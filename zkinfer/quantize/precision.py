"""How many bits a circuit spends, and the Q-formats that follow from a tensor's range."""

import math
from typing import NamedTuple

import msgspec

from zkinfer.errors import InvalidInputError

MAX_FRAC_BITS = 40
"""No format is finer than this: a tensor that always stays below 2**-41 becomes zero."""


class Format(NamedTuple):
    """A Q-format, and the integers at which a tensor saturates in it.

    Attributes:
        frac_bits: binary digits after the point.
        lo, hi: smallest and largest integer.
    """

    frac_bits: int
    lo: int
    hi: int


class Precision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a circuit may spend on accuracy.

    Attributes:
        activation_bits: width of the tensors that are multiplied; where there is a sign, it takes one bit. 2 to 24.
        weight_bits: width of the weights, sign included. 2 to 24.
        max_table_entries: size of the largest lookup table, at least half as many as an activation has levels. With
            2032, a table fits a halo2 column of 2**11 rows.

    Raises:
        InvalidInputError: a field outside its range.
    """

    activation_bits: int = 8
    weight_bits: int = 8
    max_table_entries: int = 2032

    def __post_init__(self) -> None:
        for field, lo, hi in (("activation_bits", 2, 24), ("weight_bits", 2, 24), ("max_table_entries", 16, 1 << 24)):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int) or not lo <= value <= hi:
                raise InvalidInputError(f"{field} is a whole number from {lo} to {hi}, got {value!r}")
        least = 1 << (self.activation_bits - 1)
        if self.max_table_entries < least:
            raise InvalidInputError(
                f"{self.activation_bits} activation bits need tables of {least} entries or more: raise "
                f"max_table_entries from {self.max_table_entries}, or lower activation_bits"
            )


def frac_bits_for(magnitude: float, bits: int) -> int:
    """The largest number of fraction bits with `magnitude * 2**frac_bits <= 2**bits`, at most `MAX_FRAC_BITS`.

    A magnitude of exactly `2**bits` units saturates by one unit. That is the error that half the resolution would
    have everywhere, so the finer format is never worse. Of nothing but zeros, the magnitude counts as 1.
    """
    mantissa, exponent = math.frexp(magnitude or 1.0)
    return min(bits - exponent + (mantissa == 0.5), MAX_FRAC_BITS)


def activation_format(lo: float, hi: float, bits: int) -> Format:
    """The format of an activation that was seen between `lo` and `hi`, in two's width of `bits`.

    A range on one side of zero uses all bits for the magnitude; any other is symmetric around zero, so that its
    published bounds round to themselves.
    """
    signed = lo < 0 < hi
    width = bits - signed
    top = (1 << width) - 1
    frac_bits = frac_bits_for(max(abs(lo), abs(hi)), width)
    return Format(frac_bits, -top if lo < 0 else 0, top if hi > 0 or lo >= 0 else 0)


def input_format(lo: float, hi: float, bits: int) -> Format:
    """As `activation_format`, but an input's bounds are exact, so that the largest magnitude is included."""
    frac_bits, low, high = activation_format(lo, hi, bits)
    return Format(frac_bits, low - (low < 0), high + (high > 0))


def weight_frac_bits(magnitude: float, bits: int) -> int:
    """Fraction bits of a weight tensor of that largest magnitude; its integers reach `2**(bits - 1)` inclusive."""
    return frac_bits_for(magnitude, bits - 1)
