"""Comparisons of real numbers with constants: an integer threshold for each, between the values on its two sides.

Rounding keeps the order of numbers, but it can make two of them equal. A threshold is therefore not rounded like a
number: it becomes an integer that separates the integers of the nearest smaller and larger value of the calibration
data. The sign of a difference is exact at any width: its table has an index for the leading digits alone.
"""

import warnings
from collections.abc import Mapping
from fractions import Fraction

import msgspec
import numpy as np

from zkinfer.circuit.program import rounding_half
from zkinfer.circuit.steps import Expand
from zkinfer.compiler.lowering.activation import Activation
from zkinfer.compiler.lowering.affine import IDENTITY
from zkinfer.compiler.lowering.builder import Summand
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.lowering.tables import entries, integer_table
from zkinfer.errors import AccuracyWarning
from zkinfer.typing import BoolArray, FloatArray, IntArray

STRICT: Mapping[str, bool] = {"Less": True, "LessOrEqual": False, "Greater": False, "GreaterOrEqual": True}
"""The comparisons of ONNX; whether a value that equals the threshold lies above it, so that those below are less."""

_LARGEST = 2.0**60


class Sides(msgspec.Struct, frozen=True, eq=False):
    """The values nearest to the thresholds of a comparison, over all samples of the calibration data.

    Each array has the comparison's shape, with one place along the batch.

    Attributes:
        thresholds: the constant.
        below, above: the nearest values on each side; minus or plus infinity where there is none.
        at_below, at_above: how many samples have them.
    """

    thresholds: FloatArray
    below: FloatArray
    above: FloatArray
    at_below: IntArray
    at_above: IntArray


def integers_of(reals: FloatArray, frac_bits: IntArray) -> FloatArray:
    """The integers nearest to real numbers in a format, ties to even, as an input is rounded; infinity stays."""
    return np.rint(np.ldexp(reals, frac_bits))


GRID_BITS = 4
"""How many bits coarser than a format the numbers that are compared have to be, to be taken for numbers of a grid."""


def separates(sides: Sides, frac_bits: IntArray) -> BoolArray:
    """Where a format decides every comparison as float32 does, as far as the calibration data shows what is compared.

    Either the values around the threshold are numbers of a coarser format, as whole numbers are, so that others will be
    too; or a unit is no larger than the distances from the threshold to the float32 numbers beside it.
    """
    coarse = [np.ldexp(x, frac_bits - GRID_BITS) for x in (sides.below, sides.above)]
    on_grid = np.all([~np.isfinite(x) | (x == np.rint(x)) for x in coarse], axis=0)
    threshold = sides.thresholds.astype(np.float32)
    nearest = np.abs(np.nextafter(threshold, np.float32(0)) - threshold).astype(np.float64)
    separate: BoolArray = on_grid | (np.ldexp(nearest, frac_bits) >= 1)
    return separate


def integer_thresholds(sides: Sides, frac_bits: IntArray, *, strict: bool) -> tuple[IntArray, IntArray]:
    """The largest integer that lies below each threshold; and how many values of the data lie on the wrong side of it.

    Args:
        sides: thresholds, and the values around them.
        frac_bits: of the values' format, broadcast.
        strict: whether a value that equals the threshold lies above it.
    """
    scaled = np.ldexp(sides.thresholds, frac_bits)
    below, above = integers_of(sides.below, frac_bits), integers_of(sides.above, frac_bits)
    natural = np.ceil(scaled) - 1 if strict else np.floor(scaled)
    held = np.clip(natural, np.maximum(below, -_LARGEST), np.minimum(above - 1, _LARGEST))
    # Where both sides become one integer, it goes to the side that more samples take.
    lost = below >= above
    held = np.where(lost, np.where(sides.at_below >= sides.at_above, below, below - 1), held)
    wrong = np.where(lost, np.minimum(sides.at_below, sides.at_above), 0)
    return held.astype(np.int64), wrong


def compare_threshold(
    g: Emitter, a: Activation, exponents: IntArray, name: str, sides: Sides, operator: str
) -> Activation | None:
    """Where `a / 2**exponents` is in a relation to constant thresholds; None if `a` itself has no format.

    Args:
        g: emits the comparison.
        a: the tensor that is compared, times powers of two.
        exponents: of the powers; broadcast to it.
        name: of the constant.
        sides: its numbers, and the values around them on calibration data.
        operator: ONNX's name of the comparison, one of `STRICT`.
    """
    if a.pending != IDENTITY or a.value.bits >= g.accumulator_bits:
        return None
    strict, above = STRICT[operator], operator.startswith("Greater")
    frac_bits = np.broadcast_to(a.value.frac_bits + exponents, sides.thresholds.shape)
    held, wrong = integer_thresholds(sides, frac_bits, strict=strict)
    _warn(name, sides, wrong)
    # A threshold beyond all values decides alike for all of them.
    held = np.clip(held, a.value.tensor.lo - 1, a.value.tensor.hi)
    weight = g.builder.weight(name, held + 1, a.value.frac_bits)
    summands = [Summand(a.value), Summand(weight, Fraction(-1), (Expand(a.shape),) if a.shape != held.shape else ())]
    difference = g.builder.combine(g.label, summands)
    bounds = (difference.tensor.lo, difference.tensor.hi)
    shift = _cheapest_shift(bounds, g.precision.max_table_entries)
    if shift:
        # The lookup adds half a step; without it, its index is negative exactly where the difference is.
        offset = -Fraction(rounding_half(shift)) / Fraction(2) ** difference.frac_bits
        difference = g.builder.combine(g.label, [Summand(difference)], offset=offset)
    half = rounding_half(shift)
    indices = (difference.tensor.lo + half) >> shift, (difference.tensor.hi + half) >> shift
    table = integer_table("sign", indices, lambda i: (i >= 0 if above else i < 0).astype(np.int64))
    return g.activation(g.builder.lookup(g.label, difference, table, shift, 0), integral=True)


def _cheapest_shift(bounds: tuple[int, int], most: int) -> int:
    """The shift with the fewest rows in the table of signs and that of remainders, within the size of a table."""
    if entries(bounds, 0) <= most:
        return 0
    shifts = range(max(abs(bounds[0]), bounds[1]).bit_length() + 1)
    fitting = [shift for shift in shifts if entries(bounds, shift) + 2 <= most]
    return min(fitting, key=lambda shift: (entries(bounds, shift) + (1 << shift), shift))


def _warn(name: str, sides: Sides, wrong: IntArray) -> None:
    """Report the thresholds that no integer holds apart from the values around them."""
    if not wrong.any():
        return
    worst = np.unravel_index(np.argmax(wrong), wrong.shape)
    warnings.warn(
        f"{np.count_nonzero(wrong)} of {wrong.size} thresholds of {name!r} are closer to values of the calibration "
        f"data than a step of the format: {wrong.sum()} comparisons of the data come out wrong, the most of them "
        f"({wrong[worst]}) with {sides.thresholds[worst]:.9g} at index {tuple(map(int, worst))}, beside values of "
        f"{sides.below[worst]:.9g} and {sides.above[worst]:.9g}. Compile with more activation bits, or round the data "
        "to fewer digits",
        AccuracyWarning,
        stacklevel=2,
    )
