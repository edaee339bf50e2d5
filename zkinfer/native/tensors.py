"""Contractions of integer tensors with extension-field weights: what the prover computes of an operand.

The first contraction reads the operand, whose elements are small integers; it is a combination of rows or of columns.
What is left are elements of the extension, combined by kernels too.
"""

import math
from collections.abc import Sequence

import numpy as np

from zkinfer.protocol.field import kernels, modular
from zkinfer.protocol.field.params import DEGREE
from zkinfer.protocol.field.scalar import ONE, Ext
from zkinfer.protocol.reduction.contraction import ContractionSides, Factor, Side, multiply, ones
from zkinfer.typing import Array, Floats, IntArray


def elements(array: Array) -> Floats:
    """Integers, or elements as they are, as balanced float64 of the same shape."""
    return kernels.from_ints(array) if array.dtype.kind == "i" else array.astype(np.float64)


def combined_rows(matrix: Array, weights: IntArray) -> Floats:
    """sum_i weights[i] matrix[i]: integers, or elements, of shape (rows, columns) to balanced (3, columns)."""
    if matrix.dtype not in (np.int8, np.int16, np.float64):
        matrix = elements(matrix)
    return kernels.row_combination(np.ascontiguousarray(matrix), kernels.from_ints(weights))


def contract_rows(matrix: Array, weights: IntArray) -> IntArray:
    """The same, canonical."""
    return kernels.to_ints(combined_rows(matrix, weights))


def combined_columns(matrix: Array, weights: IntArray) -> Floats:
    """sum_j weights[j] matrix[:, j]: integers of shape (rows, columns) to balanced (3, rows)."""
    if matrix.dtype not in (np.int8, np.int16):
        return combined_rows(np.ascontiguousarray(matrix.T), weights)
    return kernels.column_combination(np.ascontiguousarray(matrix), kernels.from_ints(weights))


def _combination(rows: Floats, weights: Floats) -> Floats:
    """sum_i weights[i] rows[:, i], all in the extension: shapes (3, rows), (3, rows, columns) to (3, columns)."""
    total = np.zeros((DEGREE, rows.shape[2]))
    for coordinate in reversed(rows):  # Horner in u, with u^3 = NONRESIDUE = 2
        shifted = np.stack([kernels.add(total[2], total[2]), total[0], total[1]])
        total = kernels.row_combination(coordinate, weights, shifted)
    return total


def _product(a: Floats, b: Floats) -> Floats:
    """Products of balanced elements of the extension, with broadcasting of the axes behind the coordinates."""
    shape = np.broadcast_shapes(a.shape, b.shape)
    left, right = (np.ascontiguousarray(np.broadcast_to(one, shape)).reshape(DEGREE, -1) for one in (a, b))
    return kernels.ext_mul(left, right).reshape(shape)


class _Operand:
    """A tensor on its way to the shared letters: integers first, extension elements after the first contraction."""

    def __init__(self, array: Array, letters: str) -> None:
        self.letters = letters
        self.integers: Array | None = array
        self.elements: Floats | None = None

    def contract(self, letters: str, weights: IntArray) -> None:
        """Sum over letters, weighed; `weights` has one axis a letter, in this order."""
        if self.integers is not None:
            self._contract_integers(letters, weights)
            return
        assert self.elements is not None
        kept = "".join(c for c in self.letters if c not in letters)
        order = [self.letters.index(c) + 1 for c in letters + kept]
        moved = self.elements.transpose(0, *order)
        sizes = moved.shape[1 + len(letters) :]
        rows = np.ascontiguousarray(moved).reshape(DEGREE, math.prod(weights.shape[1:]), -1)
        self.elements = _combination(rows, kernels.from_ints(weights.reshape(DEGREE, -1))).reshape(DEGREE, *sizes)
        self.letters = kept

    def _contract_integers(self, letters: str, weights: IntArray) -> None:
        assert self.integers is not None
        array, flat = self.integers, weights.reshape(DEGREE, -1)
        kept = "".join(c for c in self.letters if c not in letters)
        sizes = [array.shape[self.letters.index(c)] for c in kept]
        if self.letters == kept + letters and kept:
            self.elements = combined_columns(array.reshape(-1, flat.shape[1]), flat)
        else:
            moved = array.transpose([self.letters.index(c) for c in letters + kept])
            self.elements = combined_rows(np.ascontiguousarray(moved).reshape(flat.shape[1], -1), flat)
        self.elements = self.elements.reshape(DEGREE, *sizes)
        self.integers, self.letters = None, kept


def contracted(
    sides: ContractionSides, side: Side, array: Array, shared: str
) -> tuple[str, Array | None, Floats | None]:
    """An operand summed over its letters that are not shared.

    Returns:
        The letters that are left, and what is left: integers, or balanced extension elements (3, ...).
    """
    operand = _Operand(array, side.letters)
    alone = [c for c in side.letters if c not in shared]
    whole = [(names, w) for names, w in side.factors if set(names) <= set(alone)]
    covered = {c for names, _ in whole for c in names} | {
        c for names, _ in side.factors for c in names if not set(names) <= set(alone)
    }
    whole += [(c, ones(sides.sizes[c])) for c in alone if c not in covered]
    for names, weights in _joined(whole, side.letters):
        operand.contract(names, weights)
    return operand.letters, operand.integers, operand.elements


def _joined(factors: Sequence[Factor], letters: str) -> list[Factor]:
    """The factors, those of leading axes multiplied out into one, the most elements first."""
    found = {names[0]: (names, weights) for names, weights in factors}
    lead, weights = "", ones(1).reshape(DEGREE)
    while (c := letters[len(lead) : len(lead) + 1]) in found and letters.startswith(lead + found[c][0]):
        names, more = found.pop(c)
        shape = (DEGREE, *weights.shape[1:], *more.shape[1:])
        weights = multiply(weights.reshape(DEGREE, -1, 1), more.reshape(DEGREE, 1, -1)).reshape(shape)
        lead += names
    joined = [(lead, weights)] if lead else []
    return sorted([*joined, *found.values()], key=lambda f: -f[1].size)


def side_table(sides: ContractionSides, side: Side, array: Array, scale: Ext = ONE) -> Floats:
    """A side times a scale on the padded cube: base elements (2^n,) where nothing was multiplied, else (3, 2^n)."""
    shared = sides.shared
    letters, integers, found = contracted(sides, side, array, shared)
    mixed = [(n, w) for n, w in side.factors if set(n) & set(shared) or not set(n) <= set(side.letters)]
    if integers is not None and not mixed and scale == ONE:
        return _padded_base(sides, letters, integers)
    if found is None:
        assert integers is not None
        found = np.zeros((DEGREE, *integers.shape))
        found[0] = elements(integers)
    for names, weights in mixed:
        letters, found = _times(letters, found, names, weights, shared)
    order = [letters.index(c) + 1 for c in shared]
    found = found.transpose(0, *order)
    if scale != ONE:
        found = _product(found, kernels.ext_from_ints([scale]).reshape(DEGREE, *[1] * len(shared)))
    table = np.zeros((DEGREE, *sides.padded))
    table[(slice(None), *(slice(sides.sizes[c]) for c in shared))] = found
    return table.reshape(DEGREE, -1)


def _padded_base(sides: ContractionSides, letters: str, integers: Array) -> Floats:
    """Integers in the order of the shared letters, padded with zeros."""
    ordered = integers.transpose([letters.index(c) for c in sides.shared])
    table = np.zeros(sides.padded)
    table[tuple(slice(sides.sizes[c]) for c in sides.shared)] = ordered
    return table.reshape(-1)


def _times(letters: str, elements: Floats, names: str, weights: IntArray, shared: str) -> tuple[str, Floats]:
    """Multiply by weights over some letters, which may be new, then sum over those of them that are not shared."""
    new = "".join(c for c in names if c not in letters)
    target = letters + new
    elements = elements.reshape(*elements.shape, *[1] * len(new))
    order = sorted(range(len(names)), key=lambda i: target.index(names[i]))
    spread = kernels.from_ints(weights).transpose(0, *(i + 1 for i in order))
    shape = [weights.shape[1 + names.index(c)] if c in names else 1 for c in target]
    product = _product(elements, spread.reshape(DEGREE, *shape))
    for c in names:
        if c not in shared:
            axis = target.index(c) + 1
            product = kernels.from_ints(modular.sum_axis(kernels.to_ints(product), axis).squeeze(axis))
            target = target.replace(c, "")
    return target, product


def outer_table(vectors: Sequence[IntArray]) -> Floats:
    """The product of vectors (3, 2^k), row-major, as balanced extension elements."""
    *heads, table = (kernels.from_ints(vector) for vector in vectors)
    for head in reversed(heads):
        product = np.zeros((DEGREE, head.shape[1] * table.shape[1]))
        kernels.add_outer(product, head, table)
        table = product
    return table
