"""Einsums with a known right operand as products of 16-bit numbers with 32-bit sums; see `IntegerProduct`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from zkinfer.circuit.block_sums import block_sum, blocks, magnitudes
from zkinfer.circuit.bounds import Interval
from zkinfer.execution.matmul import BLOCK, Packed, multiply, multiply_gathered
from zkinfer.execution.narrow import smallest_type
from zkinfer.execution.operands import INT16, RUNS, Letters, Operand, Reading, arranged, size_of
from zkinfer.execution.views import Values
from zkinfer.jit.threads import get_threads
from zkinfer.typing import Array

INT32_SUMS = 1 << 31
HIGHEST = INT32_SUMS - INT16
"""Numbers below this in magnitude are two parts that fit int16."""


@dataclass(frozen=True)
class PartialProduct:
    """One of the products of 16-bit numbers that add up to the result.

    Attributes:
        start, stop: the range of the inner axis that it covers.
        packed: these rows of the right operand, or of its low or high bits.
        high: whether the high 16 bits of the left operand are multiplied, see `multiply_gathered`.
        shift: the product is added 2^shift times.
    """

    start: int
    stop: int
    packed: Packed
    high: bool
    shift: int


@dataclass(frozen=True)
class Arrangement:
    """The right operand for one order of the inner letters: the order in which the left operand has them in memory.

    Attributes:
        axes: the left operand's axes in the order batch, rows, inner.
        products: for each matrix of the stack, the products that add up to its result.
        constants: for each matrix, int64 of shape (columns,): what the left operand's offset took from the result.
    """

    axes: tuple[int, ...]
    products: list[list[PartialProduct]]
    constants: list[Array]


class IntegerProduct:
    """int16 products with a known right operand, which is packed once for each order that its inner letters come in.

    The result is sum over k of x[k] w[k], x the left operand and w the right one. It is cut into products of 16-bit
    numbers with 32-bit sums:

    * x need not fit int16. If its bounds are less than 2^16 apart, x - offset fits; offset times the sum of the w[k] is
      a constant that is added. If they are further apart, x = low + 2^16 high, and there are two products.
    * A result that fits int32 is computed modulo 2^32, whatever its partial sums are. For other results, every 32-bit
      sum has to be exact. So the inner axis is cut into ranges whose sums of absolute products stay below 2^31; and
      w = low + 2^8 high is multiplied in two parts where that takes fewer products, because ranges are longer then.

    The left operand may be windows that overlap, without a place of their own in memory: the product gathers them.

    Attributes:
        dtype: of the result, int32 or int64.
        count: about how many products of 16-bit numbers there are.
    """

    def __init__(self, left: Reading, right: Operand, letters: Letters, interval: Interval) -> None:
        assert right.content is not None
        order = letters.batch + letters.inner + letters.columns
        self.dtype = max(np.dtype(np.int32), smallest_type(*interval))
        self._left, self._letters = left, letters
        matrix = arranged(right.content.astype(smallest_type(*right.interval), copy=False), right.letters, order)
        self._stack = tuple(letters.sizes[c] for c in letters.batch)
        self._lines, self._inner, self._columns = (
            size_of(letters.sizes, group) for group in (letters.rows.replace(RUNS, ""), letters.inner, letters.columns)
        )
        self._arrangements: dict[str, Arrangement] = {}
        lo, hi = left.operand.interval
        self._is_double = left.operand.span > INT16
        self._offset = 0 if left.operand.fits_int16 or self._is_double else lo + INT16 // 2
        largest = INT16 // 2 if self._is_double else max(1, hi - self._offset, self._offset - lo)
        self._most = (INT32_SUMS - 1) // largest
        """A sum of absolute entries of the right operand up to this keeps the sum of products below 2^31."""
        self._parts = [(matrix, 0)]
        self.count = 1
        if self.dtype != np.int32:
            axes = tuple(range(len(letters.batch), len(letters.batch + letters.inner)))
            low, high = _halves(matrix)
            ways = [self._parts, [(low, 0), (high, 8)]]
            counts = [sum(-(-_norm(part, axes) // self._most) for part, _ in parts) for parts in ways]
            self.count, self._parts = min(counts), ways[counts.index(min(counts))]
        self.count *= 1 + self._is_double

    def __call__(self, values: Values) -> Array:
        """The products, in the order batch, rows, columns in memory."""
        x = self._left(values)
        arrangement = self._arrangement(x)
        x = x.transpose(arrangement.axes)
        runs = x.shape[len(self._stack)]
        out = np.empty((*self._stack, runs, self._lines, self._columns), dtype=self.dtype)
        for number, index in enumerate(np.ndindex(*self._stack) if self._stack else [()]):
            self._multiply(x[index], arrangement.products[number], arrangement.constants[number], out[index])
        return self._letters.restored(out, runs)

    def temporary(self, runs: int) -> int:
        """Room for a block of gathered rows a thread; of several products, the left operand and the sums."""
        several = self.count > 1 or self.dtype.itemsize > 4
        cut = runs * self._lines * ((8 if several else 2) * self._inner + 12 * self._columns * several)
        return self._left.temporary(runs) + cut + 2 * BLOCK * (self._inner + 1) * get_threads()

    def _multiply(self, x: Array, products: Sequence[PartialProduct], constant: Array, out: Array) -> None:
        """One matrix of the stack: x of shape (runs, rows..., inner...), out of shape (runs, rows, columns)."""
        target = out.reshape(-1, self._columns)
        row_axes = x.ndim - len(self._letters.inner)
        if len({(product.start, product.stop) for product in products}) > 1:
            x, row_axes = x.reshape(-1, self._inner), 1
        if self.dtype == np.int32:
            self._multiply_part(x, row_axes, products[0], target)
            products = products[1:]
        else:
            target[:] = constant
        for product in products:
            sums = np.empty(target.shape, dtype=np.int32)
            self._multiply_part(x, row_axes, product, sums)
            target += np.left_shift(sums, product.shift, dtype=self.dtype) if product.shift else sums

    def _multiply_part(self, x: Array, row_axes: int, product: PartialProduct, out: Array) -> None:
        packed = product.packed
        if packed.inner < self._inner:
            x = x[:, product.start : product.stop]
        plain = x.dtype.itemsize <= 2 and x.flags.c_contiguous and packed.inner % 2 == 0
        if plain and not product.high:
            multiply(x.reshape(-1, packed.inner), packed, out)
        else:
            multiply_gathered(x, row_axes, packed, out, high=product.high)

    def _arrangement(self, x: Array) -> Arrangement:
        """The one for the order in which the left operand's inner axes lie in memory, so that it is gathered fast."""
        names, letters = self._left.operand.letters, self._letters
        inner = letters.inner
        if len(inner) > 1:
            inner = "".join(sorted(inner, key=lambda c: -x.strides[names.index(c)]))
        if inner not in self._arrangements:
            axes = tuple(names.index(c) for c in letters.batch + letters.rows + inner)
            self._arrangements[inner] = self._packed(axes, inner)
        return self._arrangements[inner]

    def _packed(self, axes: tuple[int, ...], inner: str) -> Arrangement:
        batch, columns = self._letters.batch, self._letters.columns
        products: list[list[PartialProduct]] = [[] for _ in range(math.prod(self._stack))]
        constants: list[Array] = [np.zeros(self._columns, dtype=np.int64) for _ in products]
        for part, shift in self._parts:
            right = arranged(part, batch + self._letters.inner + columns, batch + inner + columns)
            stack = right.reshape(-1, self._inner, self._columns)
            ends = [self._inner] if self.dtype == np.int32 else self._ends(stack)
            for number, matrix in enumerate(stack):
                constants[number] += (self._offset * matrix.sum(axis=0, dtype=np.int64)) << shift
                for start, stop in pairwise([0, *ends]):
                    packed = Packed.of(matrix[start:stop], self._offset, restores=self.dtype == np.int32)
                    products[number].append(PartialProduct(start, stop, packed, high=False, shift=shift))
                    if self._is_double:
                        products[number].append(PartialProduct(start, stop, packed, high=True, shift=shift + 16))
        return Arrangement(axes, products, constants)

    def _ends(self, stack: Array) -> list[int]:
        """Where to cut the inner axis so that the absolute products of a range sum to less than 2^31."""
        if _norm(stack, (1,)) <= self._most:
            return [self._inner]
        ends, sums = [], np.zeros((len(stack), self._columns), dtype=np.int64)
        for k in range(self._inner):
            line = np.abs(stack[:, k].astype(np.int64))
            if int((sums + line).max()) > self._most:
                ends.append(k)
                sums[:] = 0
            sums += line
        return [*ends, self._inner]


def _halves(matrix: Array) -> tuple[Array, Array]:
    """int8 `low` and narrow `high` with low + 2^8 high = matrix, of an int8 or int16 array."""
    low = np.empty(matrix.shape, dtype=np.int8)
    high = np.empty(matrix.shape, smallest_type(*((int(end) + 128) >> 8 for end in (matrix.min(), matrix.max()))))
    for index in blocks(matrix.shape):
        shifted = matrix[index].astype(np.int32) + 128
        low[index], high[index] = (shifted & 255) - 128, shifted >> 8
    return low, high


def _norm(array: Array, axes: tuple[int, ...]) -> int:
    """The largest sum of absolute values along some axes of an int8 or int16 array."""
    return int(block_sum(array, axes, magnitudes).max())
