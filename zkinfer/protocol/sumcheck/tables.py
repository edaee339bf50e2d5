"""Buffers of field elements for the fast prover, and how elements get in and out of them."""

from collections.abc import Collection, Sequence
from itertools import accumulate

import numpy as np

from zkinfer.errors import ShapeError
from zkinfer.protocol.field.params import DEGREE, P
from zkinfer.protocol.field.scalar import Ext
from zkinfer.protocol.sumcheck.kernels import SPARE
from zkinfer.typing import Floats

_LINE = 64
"""Bytes in a cache line: rows start at multiples, so that no packed read straddles two lines."""


def first_ext(values: Floats) -> Ext:
    """The first element of an array of shape (3, ...), or (n,), as one of the extension."""
    if values.ndim == 1:
        return int(values[0]) % P, 0, 0
    c0, c1, c2 = (int(line[0]) % P for line in values)
    return c0, c1, c2


class FactorTables:
    """The values of the factors of an instance, in one buffer that proving overwrites.

    Args:
        factors: how many factors.
        variables: n, each has 2^n values.
        base: which factors have values in the base field.

    Attributes:
        factors, variables, base: as given.
        rows: the first row of each factor, then the number of rows: a factor has three, or one if it is in `base`.
        flat, stride: the buffer that the kernels work on, row after row.
    """

    def __init__(self, factors: int, variables: int, base: Collection[int] = ()) -> None:
        self.factors = factors
        self.variables = variables
        self.base = frozenset(base)
        self.rows = tuple(accumulate((1 if k in self.base else DEGREE for k in range(factors)), initial=0))
        self.stride = (1 << variables) + SPARE
        size = self.rows[-1] * self.stride
        raw = np.empty(size + _LINE // 8, dtype=np.float64)
        skip = -raw.ctypes.data % _LINE // 8
        self.flat: Floats = raw[skip : skip + size]
        self.flat.reshape(-1, self.stride)[:, 1 << variables :] = 0.0

    @classmethod
    def of(cls, arrays: Sequence[Floats]) -> "FactorTables":
        """A copy of arrays of balanced float64, each of shape (2^n,) (base elements) or (3, 2^n) (extension).

        Raises:
            ShapeError: no arrays, or sizes that differ or are not a power of two.
        """
        sizes = {array.shape[-1] for array in arrays}
        if len(sizes) != 1 or (size := sizes.pop()) < 1 or size & (size - 1):
            raise ShapeError("the factors of an instance need one size, a power of two")
        base = [k for k, array in enumerate(arrays) if array.ndim == 1]
        tables = cls(len(arrays), size.bit_length() - 1, base)
        for k, array in enumerate(arrays):
            if array.shape not in ((size,), (3, size)):
                raise ShapeError(f"a factor has shape (2^n,) or (3, 2^n), not {array.shape}")
            tables.factor(k)[:] = array
        return tables

    def factor(self, k: int) -> Floats:
        """A view of factor k, shape (3, 2^n), or (2^n,) if it is in `base`."""
        lines = self.flat.reshape(-1, self.stride)[self.rows[k] : self.rows[k + 1], : 1 << self.variables]
        return lines[0] if k in self.base else lines

    def values_at(self, place: int) -> list[Ext]:
        """The value of every factor at a place, canonical."""
        return [first_ext(self.factor(k)[..., place:]) for k in range(self.factors)]

    def require(self, factors: int, variables: int) -> None:
        """Raises ShapeError unless there are this many factors of 2^variables values."""
        if (self.factors, self.variables) != (factors, variables):
            raise ShapeError(
                f"the instance has {factors} factors of 2^{variables} values, "
                f"the tables {self.factors} of 2^{self.variables}"
            )
