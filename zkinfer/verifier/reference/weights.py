"""Linear claims about tensors, every weight written out: docs/protocol/reduction.md, sections 3 and 5."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from zkinfer.circuit.program import Einsum, Term
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, eq_table, ext_add, ext_inv, ext_mul, ext_scale
from zkinfer.verifier.reference.channel import Point, total

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
        return all(entry == ZERO for entry in self.entries)

    def of(self, integers: Sequence[int]) -> Ext:
        """The functional of a public tensor, given row-major."""
        return total(ext_scale(w, v % P) for w, v in zip(self.entries, integers, strict=True))

    def first_of_runs(self) -> "Weights":
        """The weights of a value that has one run for all: the sum over the runs."""
        size = math.prod(self.shape[1:])
        columns = (self.entries[i::size] for i in range(size))
        return Weights((1, *self.shape[1:]), tuple(total(column) for column in columns))

    def scaled(self, factor: Ext) -> "Weights":
        return Weights(self.shape, tuple(ext_mul(factor, w) for w in self.entries))


def product_of(shape: Shape, tables: Sequence[Sequence[Ext]]) -> Weights:
    """The product of one table for each axis."""
    entries = [ONE]
    for n, table in zip(shape, tables, strict=True):
        entries = [ext_mul(entry, table[i]) for entry in entries for i in range(n)]
    return Weights(shape, tuple(entries))


def axis_tables(sizes: Sequence[int], point: Point) -> list[list[Ext]]:
    """For each axis the eq table of its coordinates, of which there are as many as number its places."""
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


# Einsums of two operands


RUNS, ONCE = "R", "O"


@dataclass(frozen=True)
class Contraction:
    """A functional of an Einsum's result as a sum over the letters that are left.

    Attributes:
        operands: the two values.
        letters: of their axes.
        shared: the letters that are left, in the order of the sumcheck's variables.
        sizes: of all letters.
        parts: for each operand the factors that it is multiplied with, as letters and entries by their indices.
    """

    operands: tuple[int, int]
    letters: tuple[str, str]
    shared: str
    sizes: dict[str, int]
    parts: tuple[list[tuple[str, tuple[Ext, ...]]], list[tuple[str, tuple[Ext, ...]]]]
    scale: Ext

    @property
    def variables(self) -> int:
        return sum((self.sizes[c] - 1).bit_length() for c in self.shared)

    def at(self, point: Point) -> tuple[Weights, Weights]:
        """The functionals of both operands that the extensions of A' and B' at a point are."""
        tables = dict(zip(self.shared, axis_tables([self.sizes[c] for c in self.shared], point), strict=True))
        return self._side(0, tables, self.scale), self._side(1, tables, ONE)

    def _side(self, side: int, tables: dict[str, list[Ext]], scale: Ext) -> Weights:
        own, parts = self.letters[side], self.parts[side]
        foreign = "".join(dict.fromkeys(c for letters, _ in parts for c in letters if c not in own))
        entries = []
        for index in indices([self.sizes[c] for c in own]):
            summands = []
            for other in indices([self.sizes[c] for c in foreign]):
                at = dict(zip(own + foreign, (*index, *other), strict=True))
                weight = scale
                for letters, factor in parts:
                    sizes = [self.sizes[c] for c in letters]
                    weight = ext_mul(weight, factor[place([at[c] for c in letters], sizes)])
                for c in self.shared:
                    if c in at:
                        weight = ext_mul(weight, tables[c][at[c]])
                summands.append(weight)
            entries.append(total(summands))
        return Weights(tuple(self.sizes[c] for c in own), tuple(entries))


def contract(node: Einsum, weights: Weights, shapes: tuple[Shape, Shape]) -> Contraction:
    """A functional of the result of an Einsum whose operands have these shapes, runs included."""
    left, _, out = node.subscripts.partition("->")
    runs = weights.shape[0]
    names = [(RUNS if shape[0] == runs else ONCE) + c for shape, c in zip(shapes, left.split(","), strict=True)]
    sizes = {c: n for letters, shape in zip(names, shapes, strict=True) for c, n in zip(letters, shape, strict=True)}
    product = factored(weights, boundaries(weights))
    factors = [((RUNS + out)[a:b], f) for (a, b), f in zip(product.bounds, product.factors, strict=True)]
    common = set(names[0]) & set(names[1])
    alone = [set(letters) - common for letters in names]
    mixed = [letters for letters, _ in factors if not any(set(letters) <= only for only in alone)]
    shared = common | {c for letters in mixed for c in letters if c in names[1]}
    on_b = [(letters, f) for letters, f in factors if set(letters) <= alone[1]]
    on_a = [(letters, f) for letters, f in factors if not set(letters) <= alone[1]]
    order = "".join(c for c in names[1] if c in shared)
    a, b = node.operands
    return Contraction((a, b), (names[0], names[1]), order, sizes, (on_a, on_b), product.scale)


# Boxes


def as_point(entries: Sequence[Ext]) -> tuple[Ext, Point] | None:
    """The scale s, not zero, and the point z for which the 2^k entries are s * eq(z, .); None if there are none."""
    scale = total(entries)
    if scale == ZERO:
        return None
    inverse = ext_inv(scale)
    bits = reversed(range((len(entries) - 1).bit_length()))
    point = [ext_mul(inverse, total(entry for i, entry in enumerate(entries) if i >> j & 1)) for j in bits]
    if [ext_mul(scale, entry) for entry in eq_table(point)] != list(entries):
        return None
    return scale, tuple(point)


def by_rows(entries: Sequence[Ext], columns: int) -> tuple[list[Ext], Point] | None:
    """The w and z for which the entries, in rows of 2^columns, are w_i * eq(z, .) in row i; None if there are none."""
    rows = [entries[i : i + (1 << columns)] for i in range(0, len(entries), 1 << columns)]
    found = next((as_point(row) for row in rows if any(entry != ZERO for entry in row)), None)
    if found is None:
        return None
    table = eq_table(found[1])
    scales = [total(row) for row in rows]
    same = all(ext_mul(w, t) == e for w, row in zip(scales, rows, strict=True) for t, e in zip(table, row, strict=True))
    return (scales, found[1]) if same else None
