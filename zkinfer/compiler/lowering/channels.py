"""Powers of two for the channels of a tensor of which a few are much larger than all others.

Trained transformers have such outlier channels. One format for the tensor has the range of the largest, and leaves the
others few digits. A tensor that is multiplied by a power of two in each channel before it is rounded keeps the same
number of digits in all of them. The powers are a weight, so that nobody sees which channels are large.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from zkinfer.compiler.lowering.precision import Range
from zkinfer.typing import FloatArray, IntArray

MIN_RATIO = 4.0
"""A tensor has powers of two for its channels if its range is so many times that of its median channel."""

MAX_EXPONENT = 8
"""No channel is multiplied by more: one that was small in the calibration data may be larger in other data."""

CHANNEL_SLACK = 2.0
"""A channel has so much room at least: its largest number in few samples says less than the largest of all channels."""

LEAST_ROW_BITS = 4
"""A row of a weight that has fewer bits than this beside the largest gets powers of its own, however few they are."""


class Channels(NamedTuple):
    """Powers of two along an axis.

    Attributes:
        axis: counted from the end.
        exponents: int64, one for each channel, at least zero.
        observed: range of the tensor times the powers.
    """

    axis: int
    exponents: IntArray
    observed: Range


def exponents_of(sizes: Sequence[float], least: float = MIN_RATIO, slack: float = 1.0) -> IntArray | None:
    """The powers of two that bring channels of these sizes near to the largest; None if most are near as they are.

    A channel that is always zero stays as it is.

    Args:
        sizes: the largest absolute value of each channel.
        least: how many times the median of them the largest has to be.
        slack: how many times its size a channel may have without leaving the range of the largest.
    """
    array = np.array(sizes, dtype=np.float64)
    largest = array.max(initial=0.0)
    if not largest or largest < least * np.median(array):
        return None
    smallest = largest * 2.0**-MAX_EXPONENT
    ratios = np.divide(largest, np.maximum(array, smallest), out=np.ones(len(array)), where=array > 0)
    exponents: IntArray = np.floor(np.log2(np.maximum(ratios / slack, 1.0))).astype(np.int64)
    return exponents


def row_exponents(sizes: FloatArray, bits: int) -> IntArray | None:
    """The powers of two that bring the rows of a weight near to the largest; None if all have enough digits without.

    Args:
        sizes: the largest absolute value of each row.
        bits: width of the weight.
    """
    few = sizes < sizes.max(initial=0.0) * 2.0 ** (LEAST_ROW_BITS - bits)
    exponents = exponents_of(sizes.ravel().tolist(), least=1.0 if (few & (sizes > 0)).any() else MIN_RATIO)
    return exponents.reshape(sizes.shape) if exponents is not None and exponents.any() else None


def channels_of(ranges: Mapping[int, Sequence[Range]]) -> Channels | None:
    """The powers for a tensor, along the last axis or the second; None if it needs none.

    Args:
        ranges: of each channel on calibration data, by the axis, see `TensorStats.channels`.
    """
    for axis in sorted(ranges, reverse=True):
        exponents = exponents_of([max(-lo, hi, 0.0) for lo, hi in ranges[axis]], slack=CHANNEL_SLACK)
        if exponents is not None and exponents.any():
            ends = np.ldexp(np.array(ranges[axis]), exponents[:, None])
            return Channels(axis, exponents, (float(ends.min()), float(ends.max())))
    return None
