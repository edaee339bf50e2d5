"""How wide files write integers: signed, little-endian, each array in the narrowest type that holds it."""

from typing import Any

import numpy as np
import numpy.typing as npt

WIDTHS = (1, 2, 4, 8)
"""Bytes that an integer may take."""


def least_width(lo: int, hi: int) -> int:
    """The least of `WIDTHS` in which all integers from `lo` to `hi` fit, -2**63 <= lo <= hi < 2**63."""
    return next(width for width in WIDTHS if -1 << (8 * width - 1) <= lo and hi < 1 << (8 * width - 1))


def array_width(integers: npt.NDArray[np.signedinteger[Any]]) -> int:
    """The least of `WIDTHS` in which every element of an array of any shape fits; 1 where there are none."""
    return least_width(int(integers.min(initial=0)), int(integers.max(initial=0)))
