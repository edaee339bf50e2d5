"""The part of a tensor's calibrated range that its format holds; values beyond it saturate."""

import math

from zkinfer.compiler.calibration.calibrate import PERCENTILES, SHARES, TensorStats
from zkinfer.compiler.lowering.precision import Range, activation_format


def kept_range(stats: TensorStats, bits: int, ranges: str) -> Range:
    """The range that a format of so many bits holds.

    Args:
        stats: of the tensor.
        bits: width of its format.
        ranges: "full" keeps the observed range; "mse" the range with the least mean squared error of rounding and
            saturating together; a percentage, such as "99.9%", this share of the magnitudes, one of `PERCENTILES`.
    """
    if ranges == "full":
        return stats.lo, stats.hi
    if ranges == "mse":
        return min(((_error(stats, bits, place), _cut(stats, stats.abs_max * s)) for place, s in enumerate(SHARES)))[1]
    return _cut(stats, stats.abs_percentiles[PERCENTILES.index(float(ranges.removesuffix("%")))])


def _cut(stats: TensorStats, limit: float) -> Range:
    return max(stats.lo, -limit), min(stats.hi, limit)


def _error(stats: TensorStats, bits: int, place: int) -> float:
    """Mean squared error in the format for a share of the range: that of rounding, a twelfth of a step squared, and
    that of saturating."""
    frac_bits, _, _ = activation_format(*_cut(stats, stats.abs_max * SHARES[place]), bits)
    return math.ldexp(1.0, -2 * frac_bits) / 12 + stats.clipping[place]
