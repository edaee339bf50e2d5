"""Linear claims of the reduction by their definitions, in Python integers.

`KnowingParty` runs the reduction without messages: it answers with true values and notes every claim that is false.
"""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from zkinfer.protocol.channel import AffineForm, VerifierChannel
from zkinfer.protocol.field import scalar
from zkinfer.protocol.field.encoding import encode_array
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_add, ext_mul
from zkinfer.protocol.lookup.params import LookupClaims, LookupInstance
from zkinfer.protocol.reduction.contraction import Contraction, Side
from zkinfer.protocol.reduction.functional import Functional
from zkinfer.protocol.reduction.party import BlockSum, Group, VerifierParty
from zkinfer.protocol.reduction.plan import Plan
from zkinfer.protocol.reduction.reduce import CommittedClaim, CommittedTerm
from zkinfer.protocol.sumcheck.params import Batch, Claim, Point
from zkinfer.protocol.transcript import Transcript
from zkinfer.typing import Array


def indices(sizes: Sequence[int]) -> list[tuple[int, ...]]:
    """All indices of a tensor, row-major."""
    return list(itertools.product(*(range(n) for n in sizes)))


def entry(factor: Array, index: Sequence[int]) -> Ext:
    """One element of an extension array."""
    c0, c1, c2 = (int(coordinate[tuple(index)]) for coordinate in factor)
    return c0, c1, c2


def weights_of(functional: Functional) -> list[Ext]:
    """Every weight of a functional, row-major."""
    weights = []
    for index in indices(functional.shape):
        weight, rest = functional.scale, index
        for factor in functional.factors:
            axes = factor.ndim - 1
            weight, rest = ext_mul(weight, entry(factor, rest[:axes])), rest[axes:]
        weights.append(weight)
    return weights


def value_of(functional: Functional, array: Array) -> Ext:
    """A functional's value on a tensor of integers."""
    assert array.shape == functional.shape
    return scalar.ext_base_dot(weights_of(functional), [int(x) % P for x in array.ravel()])


def side_values(contraction: Contraction, side: Side, array: Array, scale: Ext) -> list[Ext]:
    """A' or B' on the cube of the shared letters, each padded with zeros, row-major: by the definition of a side."""
    sizes, shared = contraction.sizes, contraction.shared
    letters = [*dict.fromkeys(side.letters + "".join(names for names, _ in side.factors) + shared)]
    others = [c for c in letters if c not in shared]
    found = []
    for at in indices(contraction.padded):
        total = ZERO
        if all(i < sizes[c] for c, i in zip(shared, at, strict=True)):
            for rest in indices([sizes[c] for c in others]):
                place = dict(zip(shared, at, strict=True)) | dict(zip(others, rest, strict=True))
                product = (int(array[tuple(place[c] for c in side.letters)]) % P, 0, 0)
                for names, weights in side.factors:
                    product = ext_mul(product, entry(weights, [place[c] for c in names]))
                total = ext_add(total, product)
        found.append(ext_mul(scale, total))
    return found


def sides(contraction: Contraction, values: Mapping[int, Array]) -> tuple[list[Ext], list[Ext]]:
    """A' and B'."""
    left, right = contraction.left, contraction.right
    return (
        side_values(contraction, left, values[left.value], contraction.scale),
        side_values(contraction, right, values[right.value], ONE),
    )


def cells_of(stack: Array, start: int, count: int) -> list[Ext]:
    """Cells of a matrix, those behind its end being zero."""
    part = [int(x) % P for x in stack[start : start + count]]
    return [(x, 0, 0) for x in part] + [ZERO] * (count - len(part))


def unit_weights(one: BlockSum) -> list[Ext]:
    """The weight of every cell of a unit."""
    weights = [ZERO] * (1 << one.unit.variables)
    for coefficient, part in one.parts:
        points = [tuple((b, 0, 0) for b in bits) for bits in itertools.product((0, 1), repeat=part.variables)]
        for i, point in enumerate(points, start=part.offset - one.unit.start):
            weights[i] = ext_add(weights[i], ext_mul(coefficient, part.evaluate(point)))
    return weights


def term_value(plan: Plan, stacks: Sequence[Array], term: CommittedTerm) -> Ext:
    """The value of a functional of a committed vector, from the cells of its matrix."""
    layout = plan.layouts[term.matrix]
    cut, offsets = layout.cuts[term.vector], layout.offsets[term.vector]
    if term.functional is None:
        box = cut.boxes[term.box]
        return scalar.mle(cells_of(stacks[term.matrix], offsets[term.box], 1 << box.total), term.point)
    tensor = np.zeros(cut.shape, dtype=np.int64)
    for box, offset in zip(cut.boxes, offsets, strict=True):
        cut.put(stacks[term.matrix][offset : offset + (1 << box.total)].astype(np.int64), box, tensor)
    return value_of(term.functional, tensor)


def is_true(plan: Plan, stacks: Sequence[Array], claim: CommittedClaim) -> bool:
    """Whether the terms of a claim add up to its value."""
    total = ZERO
    for term in claim.terms:
        total = ext_add(total, term_value(plan, stacks, term))
    return total == claim.value.constant


def group_is_true(matrices: Sequence[Array], group: Group) -> bool:
    """Whether sum_i rows[i] * row_i(column point) is the value, over the rows of all matrices of an opening."""
    total = ZERO
    rows = [row for matrix in matrices for row in matrix]
    assert group.rows.shape == (3, len(rows))
    for i, row in enumerate(rows):
        at_point = scalar.mle([(int(x) % P, 0, 0) for x in row], group.column_point)
        total = ext_add(total, ext_mul(entry(group.rows, [i]), at_point))
    return total == group.value.constant


class KnowingParty(VerifierParty):
    """Gives true answers, and notes every claim that is false.

    Args:
        seed: challenges are those of a transcript that begins with it.
        values: of the program, by number.
        stacks: cells of each matrix.
        blocks, counts: columns and multiplicities of the lookup argument.

    Attributes:
        false: what claimed sums and required zeros are false, by name.
        asked: the labels of what it was asked for, in order.
    """

    def __init__(
        self,
        seed: int,
        values: Mapping[int, Array],
        stacks: Sequence[Array],
        blocks: Sequence[Sequence[Array]] = (),
        counts: Sequence[Array] = (),
    ) -> None:
        super().__init__(VerifierChannel(Transcript(b"knowing %d" % seed), b""))
        self.values, self.stacks, self.blocks, self.counts = values, stacks, blocks, counts
        self.false: list[str] = []
        self.asked: list[str] = []

    def _point(self, variables: int) -> Point:
        return tuple(self.channel.challenge("point") for _ in range(variables))

    def _values(self, label: str, values: Sequence[Ext]) -> list[AffineForm]:
        self.asked.append(label)
        for value in values:
            self.channel.absorb(label, encode_array(np.array(value)).tobytes())
        return [AffineForm(value) for value in values]

    def lookup(self, instance: LookupInstance) -> LookupClaims[AffineForm]:
        point = self._point(max(stack.variables for stack in instance.stacks))
        blocks = [
            self._claim(columns, point[len(point) - block.variables :])
            for block, columns in zip(instance.blocks, self.blocks, strict=True)
        ]
        counts = [
            self._claim([column], point[len(point) - table.variables :])
            for table, column in zip(instance.tables, self.counts, strict=True)
        ]
        return LookupClaims(tuple(blocks), tuple(counts))

    def _claim(self, columns: Sequence[Array], point: Point) -> Claim[AffineForm]:
        return Claim(point, tuple(AffineForm(scalar.mle([(int(x) % P, 0, 0) for x in c], point)) for c in columns))

    def evaluations(self, label: str, functionals: Sequence[tuple[int, Functional]]) -> list[AffineForm]:
        return self._values(label, [value_of(f, self.values[v]) for v, f in functionals])

    def summands(self, contractions: Sequence[Contraction]) -> list[AffineForm]:
        return self._values("summands", [scalar.ext_dot(*sides(one, self.values)) for one in contractions])

    def sums(self, label: str, sums: Sequence[Sequence[BlockSum]]) -> list[AffineForm]:
        totals = []
        for parts in sums:
            total = ZERO
            for one in parts:
                total = ext_add(total, scalar.ext_dot(unit_weights(one), self._cells(one)))
            totals.append(total)
        return self._values(label, totals)

    def _cells(self, one: BlockSum) -> list[Ext]:
        return cells_of(self.stacks[one.matrix], one.unit.start, 1 << one.unit.variables)

    def contractions(
        self, batch: Batch, contractions: Sequence[Contraction], claims: Sequence[AffineForm]
    ) -> list[Claim[AffineForm]]:
        tables = [sides(one, self.values) for one in contractions]
        return self._reduced("a sum of products of operands", batch, tables, claims)

    def unit_sums(
        self, batch: Batch, sums: Sequence[BlockSum], claims: Sequence[AffineForm]
    ) -> list[Claim[AffineForm]]:
        return self._reduced("a sum over cells", batch, [(self._cells(s), unit_weights(s)) for s in sums], claims)

    def _reduced(
        self, name: str, batch: Batch, tables: Sequence[tuple[list[Ext], list[Ext]]], claims: Sequence[AffineForm]
    ) -> list[Claim[AffineForm]]:
        point = self._point(batch.variables)
        reduced = []
        for instance, (left, right), claim in zip(batch.instances, tables, claims, strict=True):
            if scalar.ext_dot(left, right) != claim.constant:
                self.false.append(name)
            own = batch.suffix(instance, point)
            reduced.append(Claim(own, (AffineForm(scalar.mle(left, own)), AffineForm(scalar.mle(right, own)))))
        return reduced

    def require_zero(self, check: str, value: AffineForm) -> None:
        if value.constant != ZERO:
            self.false.append(check)
