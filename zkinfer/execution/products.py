"""Einsums as matrix products: how each is computed, chosen once from bounds that are proven.

An Einsum of two operands is, letter by letter, a stack of matrix products: letters of both operands and the result
count the products (`batch`), letters of one operand and the result are rows or columns, letters of both operands
alone are the inner axis. Letters of a single operand that are not in the result are summed first. The axis of runs is
one more letter of every operand that depends on an input.

| way | where |
|---|---|
| element by element, summed over the inner axis | no inner axis; or many products of one row or one column |
| `execute_matmul`, once or twice | the right operand is known and fits int16, the left one fits int32 |
| float32, or float64 | sums of absolute products stay below 2^24, or 2^53 |
| numpy, int64 | otherwise |

All are exact. Results that are known to fit int32 may be computed modulo 2^32, whatever their partial sums are; where
they do not fit, the inner axis is cut into pieces whose sums do.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from zkinfer.circuit.bounds import Interval
from zkinfer.execution.lookups import smallest_type
from zkinfer.execution.matmul import BLOCK, Packed, multiply, multiply_gathered
from zkinfer.execution.views import Values
from zkinfer.jit.threads import get_threads
from zkinfer.typing import Array

RUNS = "Z"
"""The letter of the axis of runs."""

FLOAT32_EXACT, FLOAT64_EXACT = 1 << 24, 1 << 53
"""Below these, every integer is a number of the type, so sums of integers are exact in any order."""
INT16, INT32_SUMS = 1 << 16, 1 << 31
HIGHEST = INT32_SUMS - INT16
"""Numbers below this in magnitude are two parts that fit int16."""

MAX_ELEMENTWISE = 64
"""The longest inner axis that is summed elementwise."""


@dataclass(frozen=True, eq=False)
class Operand:
    """One operand of an Einsum, as far as it is known beforehand.

    Attributes:
        value: its number.
        letters: one an axis; the axis of runs included, in front, unless there is content.
        sizes: of the axes, by letter; not of the runs.
        interval: proven bounds of its elements.
        content: what it holds if it depends on no input.
    """

    value: int
    letters: str
    sizes: Mapping[str, int]
    interval: Interval
    content: Array | None = None

    @property
    def magnitude(self) -> int:
        """The largest absolute value."""
        return max(abs(self.interval[0]), abs(self.interval[1]))

    @property
    def span(self) -> int:
        """How many integers the bounds admit."""
        return self.interval[1] - self.interval[0] + 1

    @property
    def fits_int16(self) -> bool:
        """Whether all elements are numbers of int16."""
        return smallest_type(*self.interval).itemsize <= 2


@dataclass(frozen=True, eq=False)
class Reading:
    """An operand as the product reads it: summed over axes that only it has.

    Attributes:
        operand: what is left of it.
        axes: those of the value's array that are summed, runs counted.
    """

    operand: Operand
    axes: tuple[int, ...]

    @staticmethod
    def of(operand: Operand, used: str) -> "Reading":
        """Sums over the letters that are not used, at once if the operand has content."""
        unused = "".join(c for c in operand.letters if c not in used)
        axes, kept = _axes(operand.letters, unused), "".join(c for c in operand.letters if c in used)
        count, content = _product(operand.sizes, unused), operand.content
        lo, hi = operand.interval
        interval = count * lo, count * hi
        if content is not None:
            content = content.sum(axis=axes, dtype=np.int64) if axes else content
            interval = int(content.min()), int(content.max())
        return Reading(Operand(operand.value, kept, operand.sizes, interval, content), axes)

    def __call__(self, values: Values) -> Array:
        """The array of the operand's letters, in their order."""
        if self.operand.content is not None:
            return self.operand.content
        array = values[self.operand.value]
        assert array is not None
        if self.axes:
            return np.asarray(array.sum(axis=self.axes, dtype=smallest_type(*self.operand.interval)))
        return array

    def prepared(self, letters: str, dtype: np.dtype[Any]) -> "Reading":
        """With what content there is in another order and type, so that it need not be converted in each run."""
        content = self.operand.content
        if content is None:
            return self
        content = np.ascontiguousarray(_arranged(content, self.operand.letters, letters), dtype=dtype)
        return replace(self, operand=replace(self.operand, letters=letters, content=content))

    def temporary(self, runs: int) -> int:
        """Bytes of the array where it is not the value's own."""
        return _count(self.operand.sizes, self.operand.letters, runs) * 8 if self.axes else 0


class Contraction(Protocol):
    """An Einsum, ready to be computed."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the result."""

    def __call__(self, values: Values) -> Array:
        """The result, of shape (runs, ...), in any order in memory."""

    def temporary(self, runs: int) -> int:
        """Bytes that are needed beside the operands and the result, at most."""


def contraction(out: str, operands: Sequence[Operand], interval: Interval) -> Contraction:
    """Chooses how an Einsum is computed.

    Args:
        out: letters of the result, runs in front.
        operands: one or two; of two, at most one has content. One has none.
        interval: proven bounds of the result.
    """
    if len(operands) == 1:
        return Sum(operands[0], out, smallest_type(*interval))
    a, b = operands
    if a.content is not None:
        a, b = b, a
    left, right = Reading.of(a, b.letters + out), Reading.of(b, a.letters + out)
    letters = Letters.of(left.operand, right.operand, out)
    inner = _product(letters.sizes, letters.inner)
    if not letters.inner or (letters.is_stack_of_vectors and inner <= MAX_ELEMENTWISE):
        return Elementwise(left, right, letters, smallest_type(*interval))
    if right.operand.content is not None and left.operand.magnitude < HIGHEST and right.operand.fits_int16:
        return IntegerProduct(left, right.operand, letters, interval)
    magnitude = _magnitude(left.operand, right.operand, letters)
    for dtype, exact in ((np.float32, FLOAT32_EXACT), (np.float64, FLOAT64_EXACT)):
        if magnitude < exact:
            right = right.prepared(letters.batch + letters.inner + letters.columns, np.dtype(dtype))
            return FloatProduct(left, right, letters, smallest_type(*interval), np.dtype(dtype))
    return WideProduct(left, right, letters, smallest_type(*interval))


def _magnitude(left: Operand, right: Operand, letters: "Letters") -> int:
    """A bound on the sums of absolute products, if it is below 2^53; with the very weights where they are known."""
    if right.content is None:
        return _product(letters.sizes, letters.inner) * left.magnitude * right.magnitude
    content = np.abs(right.content.astype(np.int64))
    axes = _axes(right.letters, letters.inner)
    if float(content.sum(axis=axes, dtype=np.float64).max()) > FLOAT64_EXACT:
        return FLOAT64_EXACT
    return left.magnitude * int(content.sum(axis=axes).max())


def _axes(letters: str, chosen: str) -> tuple[int, ...]:
    return tuple(axis for axis, letter in enumerate(letters) if letter in chosen)


def _product(sizes: Mapping[str, int], letters: str) -> int:
    return math.prod(sizes[c] for c in letters)


def _count(sizes: Mapping[str, int], letters: str, runs: int) -> int:
    """How many elements an array of these letters has."""
    return math.prod(runs if c == RUNS else sizes[c] for c in letters)


def _arranged(array: Array, letters: str, order: str) -> Array:
    """The array with its axes in another order."""
    return array.transpose([letters.index(c) for c in order])


@dataclass(frozen=True)
class Letters:
    """The letters of a product of two operands, by what they do; see the top of the file.

    Attributes:
        sizes: of all letters but that of runs.
        out: of the result, in its order.
    """

    batch: str
    rows: str
    columns: str
    inner: str
    out: str
    sizes: Mapping[str, int]

    @staticmethod
    def of(left: Operand, right: Operand, out: str) -> "Letters":
        """The letters of the result in its order, the others in that of the left operand."""
        both = [c for c in out if c in left.letters and c in right.letters]
        rows = [c for c in out if c in left.letters and c not in right.letters]
        columns = [c for c in out if c in right.letters and c not in left.letters]
        inner = [c for c in left.letters if c not in out]
        sizes = {**left.sizes, **right.sizes}
        return Letters("".join(both), "".join(rows), "".join(columns), "".join(inner), out, sizes)

    @property
    def is_stack_of_vectors(self) -> bool:
        """Whether there are many products, each of one row or of one column."""
        batch = _product(self.sizes, self.batch.replace(RUNS, ""))
        lines = [_product(self.sizes, group) for group in (self.rows.replace(RUNS, ""), self.columns)]
        return (batch > 1 or RUNS in self.batch) and min(lines) == 1 and (RUNS not in self.rows or lines[1] == 1)

    def count(self, letters: str, runs: int) -> int:
        """How many elements an array of these letters has."""
        return _count(self.sizes, letters, runs)

    def restored(self, stack: Array, runs: int) -> Array:
        """The result, from a contiguous array of its elements in the order batch, rows, columns."""
        order = self.batch + self.rows + self.columns
        array = stack.reshape([runs if c == RUNS else self.sizes[c] for c in order])
        return array if order == self.out else _arranged(array, order, self.out)


@dataclass(frozen=True, eq=False)
class Sum:
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
        places = _arranged(array, letters, summed + kept)
        if _product(self.operand.sizes, summed) > MAX_ELEMENTWISE:
            total = places.sum(axis=tuple(range(len(summed))), dtype=self.dtype)
        else:
            total = self._added(places, len(summed))
        return _arranged(total, kept, self.out)

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
class Elementwise:
    """Products element by element, one for each place of the inner axis."""

    left: Reading
    right: Reading
    letters: Letters
    dtype: np.dtype[Any]

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
        product = self.letters.count(self.letters.out, runs) * self.dtype.itemsize
        return product + self.left.temporary(runs) + self.right.temporary(runs)

    def _spread(self, reading: Reading, values: Values) -> Array:
        """The operand with an axis for every letter of the result, of size 1 where it has none, then the inner axes."""
        letters, out, inner = reading.operand.letters, self.letters.out, self.letters.inner
        present = "".join(c for c in out if c in letters)
        array = _arranged(reading(values), letters, present + inner)
        return array[tuple(slice(None) if c in letters else None for c in out)]


@dataclass(frozen=True)
class Piece:
    """A part of the inner axis; where the result is int64, a part whose sums, after the offset, fit int32.

    Attributes:
        offset_sums: what is to be added to each column of such a part: what the offset took away.
    """

    start: int
    stop: int
    packed: Packed
    offset_sums: Array


@dataclass(frozen=True)
class Arrangement:
    """The right operand for one order of the inner letters: that in which the left operand has them in memory.

    Attributes:
        axes: the left operand's axes in the order batch, rows, inner.
        stack: the pieces of each product.
    """

    axes: tuple[int, ...]
    stack: list[list[Piece]]


class IntegerProduct:
    """int16 products with a known right operand, which is packed once for each order that its inner letters come in.

    The left operand may be windows that overlap, without a place of their own in memory: the product gathers them. If
    its bounds are no more than 2^16 apart, but do not fit int16, the product is that of the operand less an offset, and
    what the offset contributes is added to each column. If they are further apart, there are two products: of the low
    16 bits and of the high ones.
    """

    def __init__(self, left: Reading, right: Operand, letters: Letters, interval: Interval) -> None:
        assert right.content is not None
        order = letters.batch + letters.inner + letters.columns
        self.dtype = max(np.dtype(np.int32), smallest_type(*interval))
        self._left, self._letters = left, letters
        self._matrix = _arranged(right.content.astype(smallest_type(*right.interval), copy=False), right.letters, order)
        self._stack = tuple(letters.sizes[c] for c in letters.batch)
        self._lines, self._inner, self._columns = (
            _product(letters.sizes, group) for group in (letters.rows.replace(RUNS, ""), letters.inner, letters.columns)
        )
        self._arrangements: dict[str, Arrangement] = {}
        lo, _ = left.operand.interval
        self._is_double = left.operand.span > INT16
        self._offset = 0 if left.operand.fits_int16 or self._is_double else lo + INT16 // 2

    def __call__(self, values: Values) -> Array:
        """The products, in the order batch, rows, columns in memory."""
        x = self._left(values)
        arrangement = self._arrangement(x)
        x = x.transpose(arrangement.axes)
        runs = x.shape[len(self._stack)]
        out = np.empty((*self._stack, runs, self._lines, self._columns), dtype=self.dtype)
        for pieces, index in zip(arrangement.stack, np.ndindex(*self._stack) if self._stack else [()], strict=True):
            self._multiply(x[index], pieces, out[index])
        return self._letters.restored(out, runs)

    def temporary(self, runs: int) -> int:
        """Room for a block of gathered rows a thread; where the inner axis is cut, the left operand and the sums."""
        cut = runs * self._lines * (8 * self._inner + 12 * self._columns) * (self.dtype.itemsize > 4 or self._is_double)
        return self._left.temporary(runs) + cut + 2 * BLOCK * (self._inner + 1) * get_threads()

    def _multiply(self, x: Array, pieces: list[Piece], out: Array) -> None:
        """One product of the stack: x of shape (runs, rows..., inner...), out of shape (runs, rows, columns)."""
        target = out.reshape(-1, self._columns)
        if self.dtype == np.int32:
            row_axes = x.ndim - len(self._letters.inner)
            self._piece(x, row_axes, pieces[0].packed, target)
            if self._is_double:
                sums = np.empty(target.shape, dtype=np.int32)
                multiply_gathered(x, row_axes, pieces[0].packed, sums, high=True)
                target += sums << 16
            return
        rows = x.reshape(-1, self._inner)
        sums = np.empty(target.shape, dtype=np.int32)
        target[:] = 0
        for piece in pieces:
            self._piece(rows[:, piece.start : piece.stop], 1, piece.packed, sums)
            target += sums
            if self._is_double:
                multiply_gathered(rows[:, piece.start : piece.stop], 1, piece.packed, sums, high=True)
                target += sums * np.int64(INT16)
            if self._offset:
                target += piece.offset_sums

    def _piece(self, x: Array, row_axes: int, packed: Packed, out: Array) -> None:
        if x.dtype.itemsize <= 2 and x.flags.c_contiguous and packed.inner % 2 == 0:
            multiply(x.reshape(-1, packed.inner), packed, out)
        else:
            multiply_gathered(x, row_axes, packed, out)

    def _arrangement(self, x: Array) -> Arrangement:
        """That of the order in which the left operand's inner axes lie in memory, so that it is gathered fast."""
        names, letters = self._left.operand.letters, self._letters
        inner = letters.inner
        if len(inner) > 1:
            inner = "".join(sorted(inner, key=lambda c: -x.strides[names.index(c)]))
        if inner not in self._arrangements:
            axes = tuple(names.index(c) for c in letters.batch + letters.rows + inner)
            self._arrangements[inner] = Arrangement(axes, self._pack(inner))
        return self._arrangements[inner]

    def _pack(self, inner: str) -> list[list[Piece]]:
        batch, columns = self._letters.batch, self._letters.columns
        right = _arranged(self._matrix, batch + self._letters.inner + columns, batch + inner + columns)
        stack = right.reshape(-1, self._inner, self._columns)
        ends = [self._inner] if self.dtype == np.int32 else self._ends(stack)
        return [[self._packed(matrix, a, b) for a, b in pairwise([0, *ends])] for matrix in stack]

    def _packed(self, matrix: Array, start: int, stop: int) -> Piece:
        part = matrix[start:stop]
        offset_sums = self._offset * part.sum(axis=0, dtype=np.int64)
        return Piece(start, stop, Packed.of(part, self._offset, restores=self.dtype == np.int32), offset_sums)

    def _ends(self, stack: Array) -> list[int]:
        """Where to cut the inner axis so that the absolute products of a piece sum to less than 2^31."""
        lo, hi = self._left.operand.interval
        most = (INT32_SUMS - 1) // (INT16 // 2 if self._is_double else max(1, hi - self._offset, self._offset - lo))
        ends, sums = [], np.zeros((len(stack), self._columns), dtype=np.int64)
        for k in range(self._inner):
            line = np.abs(stack[:, k].astype(np.int64))
            if int((sums + line).max()) > most:
                ends.append(k)
                sums[:] = 0
            sums += line
        return [*ends, self._inner]


@dataclass(frozen=True, eq=False)
class FloatProduct:
    """Products by BLAS in a floating-point type that holds every partial sum; a known operand is `prepared`."""

    left: Reading
    right: Reading
    letters: Letters
    dtype: np.dtype[Any]
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
        groups = (self.left.operand.letters, self.right.operand.letters, self.letters.out)
        floats = self.floats.itemsize * sum(self.letters.count(group, runs) for group in groups)
        return floats + self.left.temporary(runs) + self.right.temporary(runs)

    def _stack(self, reading: Reading, values: Values, first: str, second: str) -> Array:
        """The operand as a stack of matrices."""
        array, letters = reading(values), reading.operand.letters
        sizes = dict(zip(letters, array.shape, strict=True))
        arranged = _arranged(array, letters, self.letters.batch + first + second)
        shape = [_product(sizes, group) for group in (self.letters.batch, first, second)]
        return np.ascontiguousarray(arranged, dtype=self.floats).reshape(shape)


@dataclass(frozen=True, eq=False)
class WideProduct:
    """Products in int64, for sums beyond what float64 holds."""

    left: Reading
    right: Reading
    letters: Letters
    dtype: np.dtype[Any]

    def __call__(self, values: Values) -> Array:
        """The products, by numpy."""
        names = f"{self.left.operand.letters},{self.right.operand.letters}->{self.letters.out}"
        operands = [reading(values).astype(np.int64) for reading in (self.left, self.right)]
        return np.asarray(np.einsum(names, *operands, optimize=True), dtype=self.dtype)

    def temporary(self, runs: int) -> int:
        """Operands and result as int64, twice where numpy rearranges them."""
        groups = (self.left.operand.letters, self.right.operand.letters, self.letters.out)
        wide = 16 * sum(self.letters.count(group, runs) for group in groups)
        return wide + self.left.temporary(runs) + self.right.temporary(runs)
