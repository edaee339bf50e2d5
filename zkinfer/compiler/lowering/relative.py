"""Roots, reciprocals and logarithms of integers of any size, with the same relative precision for all sizes.

A table has an entry for each of some 2^16 indices, so that of a sum of 48 bits it sees the first 16 bits: small sums
all become index 0. Here a number w is multiplied by powers of four first, until it is close to the largest that its
table takes:

    w_0 = w,    w_j = w_(j-1) * R_j^2,    R_j = T[index of w_(j-1)],

where T holds, for every index, the largest power of two that keeps the product within the table. Two or three such
steps bring any w from 1 on to w_k, at least a sixteenth of the largest index. With F = R_1 * R_2 * ... then

    w^(-1/2) = w_k^(-1/2) * F,    w^-1 = w_k^-1 * F^2,    w^(1/2) = w_k^(1/2) / F,    log w = log w_k - 2 log F,

where the function of w_k is a table, whose index has all significant bits. All products are exact. That the products do
not outgrow the field is proven from the contents of T: see `zkinfer.circuit.product_bounds`.

Error. The index of w_k is off by at most half a unit of `LEAST_SHARE * 2^bits` or more, and the entry is rounded at
the first bit after `bits`; for tables of 65,536 entries the relative error of a root stays below 2^-13 and is 2^-16
typically. The tables of all roots, reciprocals and logarithms of a program are the same.
"""

import math
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from zkinfer.circuit.bounds import round_outward
from zkinfer.circuit.table import Table
from zkinfer.compiler.approx.build import MAX_OUTPUT
from zkinfer.compiler.approx.forms import HALF, Form
from zkinfer.compiler.approx.functions import Function, X, log, maximum, rsqrt, sqrt
from zkinfer.compiler.lowering.affine import AffineMap, is_simple
from zkinfer.compiler.lowering.builder import Builder, ProgramValue, Summand
from zkinfer.compiler.lowering.precision import Format, Precision
from zkinfer.compiler.lowering.tables import built_table

LARGEST = 7 << 46
"""Numbers that are brought to a common size stay below this: the field of the native backend has 2^50 elements."""

FIELD_BITS = LARGEST.bit_length() - 1
"""Integers of so many bits are told apart by every backend."""

ROOM = Fraction(447, 512)
"""A row over its length, in units, stays a little below a bound of three significant bits with this factor, and so
fills a table of it; without, it reaches a little beyond a power of two."""

LEAST_SHARE = 16
"""The mantissa is at least this share of the largest index."""

MOST_STEPS = 8
"""No number needs as many, even with the smallest tables."""

EXPONENTS = (-Fraction(1), -HALF, HALF)
"""The powers that are computed."""


class Positive(NamedTuple):
    """An integer that is not negative, and what it stands for.

    Attributes:
        value: the integer, w; its number of fraction bits has no meaning.
        unit: `unit * w` is the real number.
    """

    value: ProgramValue
    unit: Fraction


class Normalized(NamedTuple):
    """A number, brought to a common size.

    Attributes:
        mantissa: `w * F^2`, where F is the product of all factors.
        factors: powers of two, of the shape of w.
        shift: with this rounding shift the mantissa is looked up.
        bits: an index of the mantissa has so many.
    """

    mantissa: ProgramValue
    factors: tuple[ProgramValue, ...]
    shift: int
    bits: int


class Relative:
    """Emits functions of numbers of any size.

    Args:
        builder: the program under construction.
        precision: gives `max_table_entries`.
        label: names what is emitted.
    """

    def __init__(self, builder: Builder, precision: Precision, label: str) -> None:
        self._builder, self._label = builder, label
        self._bits = precision.max_table_entries.bit_length() - 1

    @property
    def _top(self) -> int:
        """The largest index; a bound of this many units is published as it is."""
        return 7 << (self._bits - 3)

    def positive(self, value: ProgramValue, form: Form, *, accurate: bool = True) -> Positive | None:
        """The number u of a form, as an integer; None if it may be negative, or is too wide or too small for that.

        Args:
            value: x of the form, at least 0.
            form: a function of the value's real number.
            accurate: whether a shift that is less than the unit of x has to be represented; it is where the function
                is wanted for u close to the shift.
        """
        if form.scale <= 0 or form.shift < 0 or value.interval[0] < 0:
            return None
        exact = form.shift / form.scale * Fraction(2) ** value.frac_bits
        finer = 0
        if exact:
            hi = value.tensor.hi + math.ceil(exact)
            while (exact * 2**finer < 1 << (self._bits - 4)) and (hi << (finer + 1)) <= LARGEST and accurate:
                finer += 1
        shift = round(exact * 2**finer)
        if exact and accurate:
            shift = max(shift, 1)
        if (value.tensor.hi << finer) + shift >= LARGEST:
            return None
        unit = form.scale / Fraction(2) ** (value.frac_bits + finer)
        if form.least > unit * max(value.interval[0] + shift, 1):
            return None
        w = value
        if finer or shift:
            offset = shift / Fraction(2) ** (value.frac_bits + finer)
            w = self._builder.combine(self._label, [Summand(value)], offset=offset, extra_bits=finer)
        return Positive(w, unit)

    def normalized(self, w: ProgramValue, most: int = MOST_STEPS, smallest: int = 1) -> Normalized:
        """Bring a number that is not negative, and below `LARGEST`, to a common size.

        Args:
            w: the number.
            most: it takes so many steps at most.
            smallest: what is below, but for 0, need not be as large in the end.
        """
        shift = self._bits % 2
        # Even, with the bits of the index, so that the root of the unit is a power of two where that of w is.
        while w.tensor.hi >= self._top << shift:
            shift += 2
        # Of the largest numbers, what fits the field is one step less, and the root of the unit is rounded.
        shift -= self._top << shift > LARGEST
        table = _factors(self._bits)
        largest = (self._top << shift) - 1
        smallest = max(w.interval[0], smallest)
        factors: list[ProgramValue] = []
        letters = _letters(w)
        # Sixteen times the smallest reaches the largest.
        while smallest * LEAST_SHARE < largest and len(factors) < most:
            factor = self._builder.lookup(f"{self._label}/size", w, table, shift, 0)
            square = self._builder.einsum(self._label, f"{letters},{letters}->{letters}", factor, factor)
            w = self._builder.einsum(self._label, f"{letters},{letters}->{letters}", w, square)
            smallest = _smallest_product(table, shift, smallest)
            factors.append(factor)
        return Normalized(w, tuple(factors), shift, self._bits)

    def power(self, x: Positive, form: Form) -> tuple[ProgramValue, Fraction]:
        """The form's power of a number, as an integer and the factor to multiply it by."""
        # A reciprocal's mantissa has a bit more than an index, and a product has one bit more than fits every field.
        room = FIELD_BITS - self._bits
        n = self.normalized(x.value, room // self.step_bits(form) if form.exponent == -1 else MOST_STEPS)
        result, scale = self.mantissa(n, x, form)
        if form.exponent == HALF:
            table, largest = _inverse_factors(self._bits), _largest_exponent(self._bits)
            for factor in n.factors:
                result = self._times(result, self._of_factor(factor, table, "/inverse", 0))
                scale /= 1 << largest
            return result, scale
        size = self.size(n, form)
        return (result if size is None else self._times(result, size)), scale

    def mantissa(self, n: Normalized, x: Positive, form: Form) -> tuple[ProgramValue, Fraction]:
        """The power of the mantissa alone, and the factor to multiply the power by."""
        function = _power(form.exponent, self._bits, self._top)
        scale = form.factor * _real_power(x.unit * Fraction(2) ** (n.shift + n.bits), form.exponent)
        if form.exponent == -HALF and not is_simple(scale):
            function, scale = ROOM * function, scale / ROOM
        # A reciprocal has up to 16 times the size of the smallest, and twice as many factors.
        digits = n.bits - (4 if form.exponent == -1 else 2)
        return self._table(n, function, f"{self._label}/mantissa", digits), scale

    def step_bits(self, form: Form) -> int:
        """By how many bits one step can make `size` larger."""
        return _largest_exponent(self._bits) * (2 if form.exponent == -1 else 1)

    def size(self, n: Normalized, form: Form) -> ProgramValue | None:
        """What the power of the mantissa is to be multiplied by, for exponents -1 and -1/2; None if it is 1."""
        factors = n.factors * (2 if form.exponent == -1 else 1)
        product = None
        for factor in factors:
            product = factor if product is None else self._times(product, factor)
        return product

    def logarithm(self, x: Positive, form: Form, frac_bits: int) -> tuple[ProgramValue, AffineMap]:
        """The form's logarithm of a number, with so many fraction bits, and what is left to do."""
        n = self.normalized(x.value)
        least = Fraction(self._top, LEAST_SHARE)
        part = form.factor * log(maximum(X, least) / Fraction(1 << n.bits))
        mantissa = self._table(n, part, f"{self._label}/mantissa", frac_bits)
        reach = math.ceil(float(abs(form.factor)) * 2 * math.log(2) * _largest_exponent(self._bits) * 2**frac_bits) + 1
        sizes = built_table(
            (-2 * form.factor) * log,
            0,
            0,
            round_outward((0, 1 << _largest_exponent(self._bits))),
            Format(frac_bits, -reach, reach),
        ).table
        parts = [Summand(mantissa)]
        parts += [Summand(self._of_factor(f, sizes, "/exponent", frac_bits)) for f in n.factors]
        whole = log.exact(x.unit * Fraction(2) ** (n.shift + n.bits), 64)
        offset = form.factor * Fraction(float(whole)) + form.offset
        return self._builder.combine(self._label, parts), AffineMap(Fraction(1), offset)

    def _table(self, n: Normalized, function: Function, label: str, frac_bits: int) -> ProgramValue:
        """A function of the mantissa's index."""
        table = built_table(function, 0, 0, (0, self._top), Format(frac_bits, -MAX_OUTPUT, MAX_OUTPUT)).table
        return self._builder.lookup(label, n.mantissa, table, n.shift, frac_bits)

    def _of_factor(self, factor: ProgramValue, table: Table, step: str, frac_bits: int) -> ProgramValue:
        return self._builder.lookup(self._label + step, factor, table, 0, frac_bits)

    def _times(self, a: ProgramValue, b: ProgramValue) -> ProgramValue:
        letters = _letters(a)
        return self._builder.einsum(self._label, f"{letters},{letters}->{letters}", a, b)


def _letters(value: ProgramValue) -> str:
    return "".join(chr(ord("a") + i) for i in range(len(value.shape)))


def _largest_exponent(bits: int) -> int:
    """The exponent of two at index 0."""
    return _exponent(0, bits)


def _exponent(index: int, bits: int) -> int:
    """The largest e such that 4^e times any number of that index is looked up within the table.

    Of index i, numbers are below (i + 1/2) units. A larger one is looked up at the same index, or beyond the top.
    """
    exponent, top = 0, 7 << (bits - 3)
    while (2 * index + 1) << (2 * exponent + 2) <= 2 * top:
        exponent += 1
    return exponent


@lru_cache(maxsize=24)
def _factors(bits: int) -> Table:
    """The factors R by index."""
    top = 7 << (bits - 3)
    exponents = np.zeros(top + 1, dtype=np.int64)
    doubled = 2 * np.arange(top + 1) + 1
    for e in range(1, bits + 1):
        exponents += doubled << (2 * e) <= 2 * top
    return Table("power of two", 0, tuple((np.int64(1) << exponents).tolist()))


@lru_cache(maxsize=24)
def _inverse_factors(bits: int) -> Table:
    """The largest factor divided by each factor."""
    largest = 1 << _largest_exponent(bits)
    entries = round_outward((0, largest))[1] + 1
    return Table("inverse power of two", 0, tuple(largest // max(factor, 1) for factor in range(entries)))


def _smallest_product(table: Table, shift: int, smallest: int) -> int:
    """The smallest that w * R^2 can be, for w from `smallest` on, R being the table's entry for it."""
    half = 1 << (shift - 1) if shift else 0
    first = (smallest + half) >> shift
    indices = np.arange(first, table.hi + 1)
    starts = np.maximum((indices << shift) - half, smallest)
    products = starts.astype(np.float64) * table.array[first:].astype(np.float64) ** 2
    return int(products.min())


def _power(exponent: Fraction, bits: int, top: int) -> Function:
    """The power of an index over 2^bits; constant below the least index of a mantissa, but for the root."""
    least = Fraction(top, LEAST_SHARE)
    if exponent == HALF:
        return sqrt(X / Fraction(1 << bits))
    share = maximum(X, least) / Fraction(1 << bits)
    return rsqrt(share) if exponent == -HALF else 1 / share


def _real_power(x: Fraction, exponent: Fraction) -> Fraction:
    """A power of a positive number, irrational ones rounded to float64."""
    if exponent.denominator == 1:
        return x**exponent.numerator
    root = sqrt.rational(x)
    root = Fraction(math.sqrt(x)) if root is None else root
    return root if exponent > 0 else 1 / root
