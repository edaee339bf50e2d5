"""Functionals, every weight written out: docs/protocol/reduction.md, section 3; and Views, section 5."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from zkinfer.circuit.program import Einsum, Term
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, eq_table, ext_add, ext_inv, ext_mul, ext_scale
from zkinfer.verifier.reference.elements import Point, total

Shape = tuple[int, ...]
Index = tuple[int, ...]


def indices(shape: Sequence[int]) -> Iterator[Index]:
    """All indices, row-major."""
    return itertools.product(*(range(n) for n in shape))


def place(index: Sequence[int], shape: Sequence[int]) -> int:
    """The position of an index in row-major order."""
    at = 0
    for i, n in zip(index, shape, strict=True):
        at = at * n + i
    return at


def unplace(at: int, shape: Sequence[int]) -> Index:
    """The index of a position."""
    index: list[int] = []
    for n in reversed(shape):
        at, i = divmod(at, n)
        index.append(i)
    return tuple(reversed(index))


@dataclass(frozen=True)
class Weights:
    """A functional: the sum over all indices of weight * value.

    Attributes:
        shape: of the value, its axis of runs first.
        entries: one weight an index, row-major.
    """

    shape: Shape
    entries: tuple[Ext, ...]

    @property
    def is_zero(self) -> bool:
        """Whether all weights are zero."""
        return all(entry == ZERO for entry in self.entries)

    def of(self, integers: Sequence[int]) -> Ext:
        """The value of the functional on a public tensor, given row-major."""
        return total(ext_scale(w, v % P) for w, v in zip(self.entries, integers, strict=True))

    def summed_over_runs(self) -> "Weights":
        """The functional of a tensor that all runs share, shape (1, ...): the sum of the weights over the runs."""
        size = math.prod(self.shape[1:])
        columns = (self.entries[i::size] for i in range(size))
        return Weights((1, *self.shape[1:]), tuple(total(column) for column in columns))

    def scaled(self, factor: Ext) -> "Weights":
        """factor * the functional."""
        return Weights(self.shape, tuple(ext_mul(factor, w) for w in self.entries))


def product_of(shape: Shape, tables: Sequence[Sequence[Ext]]) -> Weights:
    """The product of one table for each axis."""
    entries = [ONE]
    for n, table in zip(shape, tables, strict=True):
        entries = [ext_mul(entry, table[i]) for entry in entries for i in range(n)]
    return Weights(shape, tuple(entries))


def axis_tables(sizes: Sequence[int], point: Point) -> list[list[Ext]]:
    """For each axis of so many places the eq table of its coordinates: the least number that tells the places apart."""
    tables = []
    for n in sizes:
        bits = (n - 1).bit_length()
        tables.append(eq_table(point[:bits]))
        point = point[bits:]
    return tables


# Views and Einsums of one operand


def pull_term(weights: Weights, term: Term, source: Shape) -> Weights:
    """The weights of a term's source, shape (runs or 1, ...), for weights of the View's result."""
    shapes = [source[1:]]
    for step in term.steps:
        shapes.append(step.shape(shapes[-1]))
    entries = [ZERO] * math.prod(source)
    for (run, *rest), weight in zip(indices(weights.shape), weights.entries, strict=True):
        index: Index | None = tuple(rest)
        for step, before in zip(term.steps[::-1], shapes[-2::-1], strict=True):
            index = None if index is None else step.source_index(index, before)
        if index is not None:
            at = place((run if source[0] > 1 else 0, *index), source)
            entries[at] = ext_add(entries[at], ext_scale(weight, term.coefficient % P))
    return Weights(source, tuple(entries))


def pull_delay(weights: Weights, initial: Shape, source: Shape) -> tuple[Weights, Weights]:
    """The weights of a Delay's initial value and of what it delays, for weights of its result."""
    first, others = [ZERO] * math.prod(initial), [ZERO] * math.prod(source)
    for (run, t, *rest), weight in zip(indices(weights.shape), weights.entries, strict=True):
        entries, shape, before = (others, source, t - 1) if t else (first, initial, 0)
        at = place((run if shape[0] > 1 else 0, before, *rest), shape)
        entries[at] = ext_add(entries[at], weight)
    return Weights(initial, tuple(first)), Weights(source, tuple(others))


def pull_single(weights: Weights, node: Einsum, source: Shape) -> Weights:
    """The weights of the operand of an Einsum of one operand."""
    letters, _, out = node.subscripts.partition("->")
    entries = []
    for run, *rest in indices(source):
        at = dict(zip(letters, rest, strict=True))
        entries.append(weights.entries[place((run, *(at[c] for c in out)), weights.shape)])
    return Weights(source, tuple(entries))


# Products over ranges of axes


def _is_product(entries: Sequence[Ext], columns: int) -> bool:
    """Whether the matrix with so many columns has rank one at most."""
    first = next((i for i, entry in enumerate(entries) if entry != ZERO), None)
    if first is None:
        return True
    row, column = divmod(first, columns)
    pivot = entries[first]
    return all(
        ext_mul(entry, pivot) == ext_mul(entries[i // columns * columns + column], entries[row * columns + i % columns])
        for i, entry in enumerate(entries)
    )


def boundaries(weights: Weights) -> set[int]:
    """The axes before which the weights can be cut: they are a product of what is before and what is behind."""
    return {
        axis for axis in range(1, len(weights.shape)) if _is_product(weights.entries, math.prod(weights.shape[axis:]))
    }


@dataclass(frozen=True)
class Product:
    """scale * the product of factors over consecutive axes, whose first nonzero entries are one.

    Attributes:
        shape: of the whole.
        bounds: the half-open range of axes of each factor.
        factors: their entries, row-major.
    """

    shape: Shape
    bounds: tuple[tuple[int, int], ...]
    factors: tuple[tuple[Ext, ...], ...]
    scale: Ext

    def dense(self) -> Weights:
        entries = [self.scale]
        for factor in self.factors:
            entries = [ext_mul(entry, f) for entry in entries for f in factor]
        return Weights(self.shape, tuple(entries))


def factored(weights: Weights, cuts: set[int]) -> Product:
    """Weights that are not zero as a product over the ranges of axes between the cuts."""
    shape, entries = weights.shape, weights.entries
    first = next(i for i, entry in enumerate(entries) if entry != ZERO)
    pivot = unplace(first, shape)
    inverse = ext_inv(entries[first])
    bounds = list(itertools.pairwise([0, *sorted(cuts), len(shape)]))
    factors = tuple(
        tuple(
            ext_mul(inverse, entries[place((*pivot[:start], *index, *pivot[end:]), shape)])
            for index in indices(shape[start:end])
        )
        for start, end in bounds
    )
    return Product(shape, tuple(bounds), factors, entries[first])


def merged(terms: Sequence[Weights]) -> list[Weights]:
    """The sum of functionals of one value as few functionals ("Merging")."""
    present = [term for term in terms if not term.is_zero]
    if len(present) < 2:
        return present
    cuts = set.intersection(*map(boundaries, present))
    products = [factored(term, cuts) for term in present]
    while True:
        count = len(products)
        for position in range(len(cuts) + 1):
            products = _merged_at(position, products, cuts)
        if len(products) == count:
            return [product.dense() for product in products]


def _merged_at(position: int, products: Sequence[Product], cuts: set[int]) -> list[Product]:
    """Products that differ in the factor at one position alone become one."""
    alike: dict[tuple[tuple[Ext, ...], ...], list[Product]] = {}
    for product in products:
        others = product.factors[:position] + product.factors[position + 1 :]
        alike.setdefault(others, []).append(product)
    result = []
    for group in alike.values():
        columns = [product.dense().entries for product in group]
        whole = Weights(group[0].shape, tuple(total(column) for column in zip(*columns, strict=True)))
        if not whole.is_zero:
            result.append(factored(whole, cuts) if len(group) > 1 else group[0])
    return result
