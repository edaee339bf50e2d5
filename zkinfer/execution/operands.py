"""The operands of an Einsum by the letters of their axes, and what the letters of a product do.

An Einsum of two operands is, letter by letter, a stack of matrix products: letters of both operands and the result
count the products (`batch`), letters of one operand and the result are rows or columns, letters of both operands
alone are the inner axis. Letters of a single operand that are not in the result are summed first. The axis of runs is
one more letter of every operand that depends on an input.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from zkinfer.circuit.bounds import Interval
from zkinfer.execution.narrow import smallest_type
from zkinfer.execution.views import Values
from zkinfer.typing import Array

RUNS = "Z"
"""The letter of the axis of runs."""

INT16 = 1 << 16
"""How many numbers int16 has."""


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
        axes, kept = axes_of(operand.letters, unused), "".join(c for c in operand.letters if c in used)
        count, content = size_of(operand.sizes, unused), operand.content
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
        content = np.ascontiguousarray(arranged(content, self.operand.letters, letters), dtype=dtype)
        return replace(self, operand=replace(self.operand, letters=letters, content=content))

    def temporary(self, runs: int) -> int:
        """Bytes of the array where it is not the value's own."""
        return count(self.operand.sizes, self.operand.letters, runs) * 8 if self.axes else 0


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
        batch = size_of(self.sizes, self.batch.replace(RUNS, ""))
        lines = [size_of(self.sizes, group) for group in (self.rows.replace(RUNS, ""), self.columns)]
        return (batch > 1 or RUNS in self.batch) and min(lines) == 1 and (RUNS not in self.rows or lines[1] == 1)

    def count(self, letters: str, runs: int) -> int:
        """How many elements an array of these letters has."""
        return count(self.sizes, letters, runs)

    def restored(self, stack: Array, runs: int) -> Array:
        """The result, from a contiguous array of its elements in the order batch, rows, columns."""
        order = self.batch + self.rows + self.columns
        array = stack.reshape([runs if c == RUNS else self.sizes[c] for c in order])
        return array if order == self.out else arranged(array, order, self.out)


def axes_of(letters: str, chosen: str) -> tuple[int, ...]:
    return tuple(axis for axis, letter in enumerate(letters) if letter in chosen)


def size_of(sizes: Mapping[str, int], letters: str) -> int:
    return math.prod(sizes[c] for c in letters)


def count(sizes: Mapping[str, int], letters: str, runs: int) -> int:
    """How many elements an array of these letters has."""
    return math.prod(runs if c == RUNS else sizes[c] for c in letters)


def arranged(array: Array, letters: str, order: str) -> Array:
    """The array with its axes in another order."""
    return array.transpose([letters.index(c) for c in order])
