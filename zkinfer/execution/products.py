"""Einsums as matrix products: how each is computed is chosen once, from bounds that are proven.

Which letters of an Einsum count products, rows, columns or the inner axis is said in `operands`.

| way | where |
|---|---|
| element by element, summed over the inner axis | no inner axis; or many products of one row or one column |
| a few products of 16-bit numbers | the right operand is known and fits int16, the left one fits int32 |
| float32, or float64, by BLAS | sums of absolute products stay below 2^24, or 2^53 |
| many products of 16-bit numbers | the right operand is known and fits int16, the left one fits int32 |
| int64, by numpy | otherwise |

All are exact, and the first that is possible is taken. `integer_product` has the products of 16-bit numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from zkinfer.circuit.block_sums import BLOCK, block_sum, magnitudes
from zkinfer.circuit.bounds import Interval
from zkinfer.execution.integer_product import HIGHEST, IntegerProduct
from zkinfer.execution.narrow import smallest_type
from zkinfer.execution.operands import Letters, Operand, Reading, arranged, axes_of, size_of
from zkinfer.execution.views import Values
from zkinfer.typing import Array

FLOAT32_EXACT, FLOAT64_EXACT = 1 << 24, 1 << 53
"""Below these, every integer is a number of the type, so sums of integers are exact in any order."""

MAX_ELEMENTWISE = 64
"""The longest inner axis that is summed elementwise."""

MAX_PRODUCTS = 8
"""So many products of 16-bit numbers take half as long, with AVX-512, as one of float64 with four times the bytes."""

SMALL = 1 << 14
"""Multiplications of one run below which calls, rather than multiplications, take the time."""


class PreparedEinsum(Protocol):
    """An Einsum, ready to be computed."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the result."""

    def __call__(self, values: Values) -> Array:
        """The result, of shape (runs, ...), in any order in memory."""

    def temporary(self, runs: int) -> int:
        """Bytes that are needed beside the operands and the result, at most."""


def prepare_einsum(out: str, operands: Sequence[Operand], interval: Interval, *, lean: bool = False) -> PreparedEinsum:
    """Chooses how an Einsum is computed.

    Args:
        out: letters of the result, runs in front.
        operands: one or two; of two, at most one has content. One has none.
        interval: proven bounds of the result.
        lean: whether a known operand of a product of floats stays in narrow integers, and is converted in each run.
    """
    if len(operands) == 1:
        return AxisSum(operands[0], out, smallest_type(*interval))
    a, b = operands
    if a.content is not None:
        a, b = b, a
    left, right = Reading.of(a, b.letters + out), Reading.of(b, a.letters + out)
    letters = Letters.of(left.operand, right.operand, out)
    inner = size_of(letters.sizes, letters.inner)
    if not letters.inner or (letters.is_stack_of_vectors and inner <= MAX_ELEMENTWISE):
        return Elementwise(left, right, letters, smallest_type(*interval))
    magnitude = _magnitude(left.operand, right.operand, letters)
    if right.operand.content is not None and left.operand.magnitude < HIGHEST and right.operand.fits_int16:
        integers = IntegerProduct(left, right.operand, letters, interval)
        small = letters.count(letters.rows + letters.inner + letters.columns, runs=1) < SMALL
        if magnitude >= FLOAT64_EXACT or integers.count <= (1 if small else MAX_PRODUCTS):
            return integers
    for dtype, exact in ((np.float32, FLOAT32_EXACT), (np.float64, FLOAT64_EXACT)):
        if magnitude < exact and lean and right.operand.content is not None:
            return PiecewiseProduct(left, right, letters, smallest_type(*interval), np.dtype(dtype))
        if magnitude < exact:
            right = right.prepared(letters.batch + letters.inner + letters.columns, np.dtype(dtype))
            return FloatProduct(left, right, letters, smallest_type(*interval), np.dtype(dtype))
    return WideProduct(left, right, letters, smallest_type(*interval))


def _magnitude(left: Operand, right: Operand, letters: "Letters") -> int:
    """A bound on the sums of absolute products, if it is below 2^53; with the very weights where they are known."""
    if right.content is None:
        return size_of(letters.sizes, letters.inner) * left.magnitude * right.magnitude
    axes = axes_of(right.letters, letters.inner)
    if float(block_sum(right.content, axes, magnitudes, np.float64).max()) > FLOAT64_EXACT:
        return FLOAT64_EXACT
    return left.magnitude * int(block_sum(right.content, axes, magnitudes).max())


@dataclass(frozen=True, eq=False)
class AxisSum:
    """An Einsum of one operand: sums over axes, the others rearranged."""

    operand: Operand
    out: str
    dtype: np.dtype[Any]

    def __call__(self, values: Values) -> Array:
        """The sums modulo the width of the result, which holds them."""
        array, letters = values[self.operand.value], self.operand.letters
        assert array is not None
        kept = "".join(c for c in letters if c in self.out)
        summed = "".join(c for c in letters if c not in self.out)
        places = arranged(array, letters, summed + kept)
        if size_of(self.operand.sizes, summed) > MAX_ELEMENTWISE:
            total = places.sum(axis=tuple(range(len(summed))), dtype=self.dtype)
        else:
            total = self._added(places, len(summed))
        return arranged(total, kept, self.out)

    def temporary(self, runs: int) -> int:
        """None."""
        return 0

    def _added(self, places: Array, axes: int) -> Array:
        """The sum over the first axes, one addition of arrays for each place: fast where the places are few."""
        first, *others = np.ndindex(places.shape[:axes])
        total = places[first].astype(self.dtype)
        for place in others:
            np.add(total, places[place], out=total, dtype=self.dtype, casting="unsafe")
        return total


@dataclass(frozen=True, eq=False)
class _Product:
    """An Einsum of two operands."""

    left: Reading
    right: Reading
    letters: Letters
    dtype: np.dtype[Any]

    def _elements(self, runs: int) -> int:
        """Of the operands and the result."""
        groups = (self.left.operand.letters, self.right.operand.letters, self.letters.out)
        return sum(self.letters.count(group, runs) for group in groups)

    def _read(self, runs: int) -> int:
        """Bytes for operands that are made when they are read."""
        return self.left.temporary(runs) + self.right.temporary(runs)


class Elementwise(_Product):
    """Products element by element, one for each place of the inner axis."""

    def __call__(self, values: Values) -> Array:
        """The sum of the products modulo the width of the result, which holds it."""
        left, right = (self._spread(reading, values) for reading in (self.left, self.right))
        total: Array | None = None
        for place in np.ndindex(*(self.letters.sizes[c] for c in self.letters.inner)):
            product = np.multiply(left[(..., *place)], right[(..., *place)], dtype=self.dtype, casting="unsafe")
            total = product if total is None else np.add(total, product, out=total)
        assert total is not None
        return total

    def temporary(self, runs: int) -> int:
        """A product, and the operands where they are summed."""
        return self.letters.count(self.letters.out, runs) * self.dtype.itemsize + self._read(runs)

    def _spread(self, reading: Reading, values: Values) -> Array:
        """The operand with an axis for every letter of the result, of size 1 where it has none, then the inner axes."""
        letters, out, inner = reading.operand.letters, self.letters.out, self.letters.inner
        present = "".join(c for c in out if c in letters)
        array = arranged(reading(values), letters, present + inner)
        return array[tuple(slice(None) if c in letters else None for c in out)]


@dataclass(frozen=True, eq=False)
class FloatProduct(_Product):
    """Products by BLAS in a floating-point type that holds every partial sum; a known operand is `prepared`."""

    floats: np.dtype[Any]

    def __call__(self, values: Values) -> Array:
        """The products, in the order batch, rows, columns in memory."""
        letters = self.letters
        left = self._stack(self.left, values, letters.rows, letters.inner)
        right = self._stack(self.right, values, letters.inner, letters.columns)
        source = values[self.left.operand.value]
        assert source is not None
        return letters.restored(np.matmul(left, right).astype(self.dtype), len(source))

    def temporary(self, runs: int) -> int:
        """Operands and result as floats, and the operands where they are converted."""
        return self.floats.itemsize * self._elements(runs) + self._read(runs)

    def _stack(self, reading: Reading, values: Values, first: str, second: str) -> Array:
        """The operand as a stack of matrices."""
        array, letters = reading(values), reading.operand.letters
        sizes = dict(zip(letters, array.shape, strict=True))
        matrices = arranged(array, letters, self.letters.batch + first + second)
        shape = [size_of(sizes, group) for group in (self.letters.batch, first, second)]
        return np.ascontiguousarray(matrices, dtype=self.floats).reshape(shape)


class PiecewiseProduct(FloatProduct):
    """The same with a known right operand in narrow integers, of which some columns at a time become floats."""

    def __call__(self, values: Values) -> Array:
        """The products, in the order batch, rows, columns in memory."""
        letters = self.letters
        left = self._stack(self.left, values, letters.rows, letters.inner)
        groups = (letters.batch, letters.inner, letters.columns)
        right = arranged(self.right(values), self.right.operand.letters, "".join(groups))
        right = right.reshape([size_of(letters.sizes, group) for group in groups])
        out = np.empty(
            (*np.broadcast_shapes(left.shape[:1], right.shape[:1]), left.shape[1], right.shape[2]), self.dtype
        )
        step = max(1, BLOCK // (right.shape[0] * right.shape[1]))
        for start in range(0, right.shape[2], step):
            part = right[..., start : start + step].astype(self.floats, order="K")
            out[..., start : start + step] = np.matmul(left, part)
        source = values[self.left.operand.value]
        assert source is not None
        return letters.restored(out, len(source))


class WideProduct(_Product):
    """Products in int64, for sums beyond what float64 holds."""

    def __call__(self, values: Values) -> Array:
        """The products, by numpy."""
        names = f"{self.left.operand.letters},{self.right.operand.letters}->{self.letters.out}"
        operands = [reading(values).astype(np.int64) for reading in (self.left, self.right)]
        return np.asarray(np.einsum(names, *operands, optimize=True), dtype=self.dtype)

    def temporary(self, runs: int) -> int:
        """Operands and result as int64, twice where numpy rearranges them."""
        return 16 * self._elements(runs) + self._read(runs)
