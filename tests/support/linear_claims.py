"""Linear claims of the reduction by their definitions, in Python integers.

`KnowingWitness` answers with true values by these definitions; `KnowingChannel` notes what is false, and goes on.
"""

import itertools
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
from support.channels import Change, LyingChannel, unchanged
from support.opening_prover import exts
from support.plain_lookup import PlainWitness
from support.plain_sumcheck import plain_witness

from zkinfer.protocol.channel import AffineForm, Writer
from zkinfer.protocol.field import scalar
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_add, ext_mul
from zkinfer.protocol.pcs.claims import ClaimGroup
from zkinfer.protocol.reduction.box_functional import PointEnds
from zkinfer.protocol.reduction.claims import BlockSum, CommittedClaim, CommittedTerm
from zkinfer.protocol.reduction.contraction import Contraction, ContractionSides, Side
from zkinfer.protocol.reduction.functional import Functional
from zkinfer.protocol.reduction.gather import Gathering
from zkinfer.protocol.reduction.plan import Plan
from zkinfer.protocol.sumcheck.params import Batch
from zkinfer.protocol.sumcheck.witness import SumcheckWitness
from zkinfer.protocol.transcript import Transcript
from zkinfer.typing import Array, IntArray


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


def side_values(both: ContractionSides, side: Side, array: Array, scale: Ext) -> list[Ext]:
    """A' or B' on the cube of the shared letters, each padded with zeros, row-major: by the definition of a side."""
    sizes, shared = both.sizes, both.shared
    letters = [*dict.fromkeys(side.letters + "".join(names for names, _ in side.factors) + shared)]
    others = [c for c in letters if c not in shared]
    found = []
    for at in indices(both.padded):
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


def both_sides(contraction: Contraction) -> list[tuple[int, Side, Ext]]:
    """The operand of each side, the side, and its scale."""
    (a, b), sides = contraction.operands, contraction.sides
    return [(a, sides.left, ext_mul(contraction.scale, sides.scale)), (b, sides.right, ONE)]


def sides(contraction: Contraction, values: Mapping[int, Array]) -> tuple[list[Ext], list[Ext]]:
    """A' and B'."""
    left, right = (
        side_values(contraction.sides, side, values[value], scale) for value, side, scale in both_sides(contraction)
    )
    return left, right


def gathered(one: Gathering, array: Array) -> tuple[list[Ext], list[Ext]]:
    """The weights of gathered boxes, and the values that they are boxes of, on the padded cube, row-major."""
    padded = [1 << (size - 1).bit_length() for size in array.shape]
    places = {index: i for i, index in enumerate(indices(padded))}
    weights, values = [ZERO] * len(places), [ZERO] * len(places)
    for index in indices(array.shape):
        values[places[index]] = (int(array[index]) % P, 0, 0)
    for box, point, coefficient in zip(one.cut.boxes, one.points, one.coefficients, strict=True):
        inside = indices([1 << k for k in box.variables])
        for index, weight in zip(inside, scalar.eq_table(point), strict=True):
            at = tuple(start + i for start, i in zip(box.starts, index, strict=True))
            weights[places[at]] = ext_mul(coefficient, weight)
    return weights, values


def cells_of(stack: Array, start: int, count: int) -> list[Ext]:
    """Cells of a matrix, those behind its end being zero."""
    part = [int(x) % P for x in stack[start : start + count]]
    return [(x, 0, 0) for x in part] + [ZERO] * (count - len(part))


def block_weights(one: BlockSum) -> list[Ext]:
    """The weight of every cell of a block."""
    weights = [ZERO] * (1 << one.block.variables)
    for coefficient, part in one.parts:
        points = [tuple((b, 0, 0) for b in bits) for bits in itertools.product((0, 1), repeat=part.variables)]
        for i, point in enumerate(points, start=part.offset - one.block.start):
            weights[i] = ext_add(weights[i], ext_mul(coefficient, part.evaluate(PointEnds(point))))
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


def group_is_true(matrices: Sequence[Array], group: ClaimGroup) -> bool:
    """Whether sum_i rows[i] * row_i(column point) is the value, over the rows of all matrices of an opening."""
    total = ZERO
    rows = [row for matrix in matrices for row in matrix]
    (claim,) = group.claims
    assert claim.rows.shape == (3, len(rows))
    for i, row in enumerate(rows):
        at_point = scalar.mle([(int(x) % P, 0, 0) for x in row], group.column_point)
        total = ext_add(total, ext_mul(entry(claim.rows, [i]), at_point))
    return total == claim.value.constant


class KnowingWitness:
    """Answers by definition, in Python integers; implements `reduction.witness.ReductionWitness`.

    Args:
        plan: of the proof.
        values: of the program, by number.
        stacks: cells of each matrix.
        blocks, counts: columns and multiplicities of the lookup argument.
    """

    def __init__(
        self,
        plan: Plan,
        values: Mapping[int, Array],
        stacks: Sequence[Array],
        blocks: Sequence[Sequence[Array]],
        counts: Sequence[Array],
    ) -> None:
        self.plan, self.values, self.stacks = plan, values, stacks
        self.blocks = [[[int(x) % P for x in column] for column in block] for block in blocks]
        self.counts = [[int(x) % P for x in column] for column in counts]

    def lookups(self, number: int = 0) -> PlainWitness:
        assert self.plan.instance is not None
        return PlainWitness(self.plan.instance, self.blocks, self.counts)

    def gather_sumcheck(self, batch: Batch, gatherings: Sequence[Gathering]) -> SumcheckWitness:
        return plain_witness(batch, [gathered(one, self.values[one.value]) for one in gatherings])

    def evaluation(self, value: int, functional: Functional) -> Ext:
        return value_of(functional, self.values[value])

    def public_evaluation(self, functional: Functional, array: IntArray) -> Ext:
        return value_of(functional, array)

    def contracted(self, contractions: Sequence[Contraction]) -> list[Ext]:
        return [scalar.ext_dot(*sides(one, self.values)) for one in contractions]

    def contraction_sumcheck(self, batch: Batch, contractions: Sequence[Contraction]) -> SumcheckWitness:
        return plain_witness(batch, [sides(one, self.values) for one in contractions])

    def weighted_cells(self, sums: Sequence[Sequence[BlockSum]]) -> list[Ext]:
        totals = []
        for parts in sums:
            total = ZERO
            for one in parts:
                total = ext_add(total, scalar.ext_dot(block_weights(one), self._cells(one)))
            totals.append(total)
        return totals

    def block_sums(self, sums: Sequence[BlockSum]) -> list[Ext]:
        return self.weighted_cells([[one] for one in sums])

    def block_sumcheck(self, batch: Batch, sums: Sequence[BlockSum]) -> SumcheckWitness:
        return plain_witness(batch, [(self._cells(one), block_weights(one)) for one in sums])

    def column_sumcheck(
        self, matrices: Sequence[int], log_columns: int, batch: Batch, rows: Sequence[IntArray]
    ) -> SumcheckWitness:
        cells = np.concatenate([self.stacks[matrix] for matrix in matrices]).reshape(-1, 1 << log_columns)
        integers = [[int(x) % P for x in row] for row in cells]
        return plain_witness(batch, [(scalar.row_combination(integers, exts(own)),) for own in rows])

    def phase(self, name: str) -> AbstractContextManager[None]:
        return nullcontext()

    def _cells(self, one: BlockSum) -> list[Ext]:
        return cells_of(self.stacks[one.matrix], one.block.start, 1 << one.block.variables)


class KnowingChannel(LyingChannel):
    """A prover's channel of plain messages that goes on whatever is false, and notes it.

    Attributes:
        false: the checks that fail, by name, in order.
    """

    def __init__(self, seed: int, change: Change = unchanged) -> None:
        super().__init__(Transcript(b"knowing %d" % seed), Writer(), change=change)
        self.false: list[str] = []

    @property
    def asked(self) -> list[str]:
        """The labels of all messages."""
        return [label for label, _ in self.labels]

    def require_zero(self, check: str, form: AffineForm) -> None:
        if form.constant != ZERO:
            self.false.append(check)


@dataclass(frozen=True)
class Knowing:
    """A prover's side of a reduction that knows every value."""

    channel: KnowingChannel
    witness: KnowingWitness

    @property
    def false(self) -> list[str]:
        """The checks that failed so far."""
        return self.channel.false

    @property
    def asked(self) -> list[str]:
        """The labels of the messages so far."""
        return self.channel.asked

    @property
    def stacks(self) -> Sequence[Array]:
        """The cells of each matrix."""
        return self.witness.stacks
