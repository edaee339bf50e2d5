"""The prover's answers in the reduction, computed from an executed and committed run."""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import numpy as np

from zkinfer.native.factored_blocks import FactoredBlock, rows_of
from zkinfer.native.gathered import gathered_rounds
from zkinfer.native.tensors import combined_rows, contract_rows, outer_table, side_table
from zkinfer.protocol.field import kernels, modular
from zkinfer.protocol.field.params import DEGREE, P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_add, ext_mul
from zkinfer.protocol.lookup.prover import KernelWitness
from zkinfer.protocol.reduction.box_functional import BoxFunctional
from zkinfer.protocol.reduction.claims import BlockSum
from zkinfer.protocol.reduction.contraction import Contraction
from zkinfer.protocol.reduction.functional import Functional
from zkinfer.protocol.reduction.gather import Gathering
from zkinfer.protocol.reduction.plan import WEIGHTS, Plan
from zkinfer.protocol.reduction.weight_ranges import AnyPlan
from zkinfer.protocol.sumcheck.params import Batch
from zkinfer.protocol.sumcheck.prover import kernel_witness, start
from zkinfer.protocol.sumcheck.tables import FactorTables
from zkinfer.protocol.sumcheck.witness import SumcheckWitness
from zkinfer.timings import phase
from zkinfer.typing import Array, Floats, IntArray

ROW_VARIABLES = 12
"""A sum over a box is taken along rows of so many variables first, which reads small integers as they are."""

LINE_VARIABLES = 10
"""Weights of a known point are products of a number for each row and a line of so many variables, which caches hold."""

SHORT_VARIABLES = 6
"""Other weights are such products too; their last vectors are multiplied until there are so many variables."""


class NativeReductionWitness:
    """An executed and committed run; implements `protocol.reduction.witness.ReductionWitness`.

    Args:
        plan: of the proof.
        values: of the program, by number, those that claims can be about: shape (runs or 1, ...), integers.
        stacks: for each matrix its cells, as integers or balanced field elements.
        blocks, counts: of the lookups, as `KernelWitness` takes them.
        veil: rows of the weights' matrix behind the weights, shape (0 or 1, columns); none by default.
    """

    def __init__(
        self,
        plan: AnyPlan,
        values: Mapping[int, Array],
        stacks: Sequence[Array],
        blocks: Sequence[Sequence[Floats]],
        counts: Sequence[Floats],
        veil: Floats | None = None,
    ) -> None:
        self._plan = plan
        self._veil = veil
        self._values, self._stacks, self._blocks, self._counts = values, stacks, blocks, counts
        self._tables: dict[Contraction, tuple[Floats, Floats]] = {}
        self._blocks_of_rows: dict[BlockSum, FactorTables | FactoredBlock] = {}

    def lookups(self, number: int = 0) -> KernelWitness:
        """Entries and multiplicities of the lookup argument."""
        assert isinstance(self._plan, Plan)
        assert self._plan.instance is not None
        return KernelWitness(self._plan.instance, self._blocks, self._counts)

    def gather_sumcheck(self, batch: Batch, gatherings: Sequence[Gathering]) -> SumcheckWitness:
        """The weights of gathered boxes, and the values that they are boxes of."""
        return SumcheckWitness(batch, [gathered_rounds(one, self._values[one.value]) for one in gatherings])

    def evaluation(self, value: int, functional: Functional) -> Ext:
        """The value of a functional of a value of the program."""
        return evaluate(functional, self._values[value])

    def public_evaluation(self, functional: Functional, array: IntArray) -> Ext:
        """The value of a functional of public integers."""
        return evaluate(functional, array)

    def contracted(self, contractions: Sequence[Contraction]) -> list[Ext]:
        """The sums of contractions."""
        return [_product_sum(*self._sides(one)) for one in contractions]

    def contraction_sumcheck(self, batch: Batch, contractions: Sequence[Contraction]) -> SumcheckWitness:
        """The tables of contractions, which are then used up."""
        tables = [FactorTables.of(self._sides(one)) for one in contractions]
        self._tables.clear()
        return kernel_witness(batch, tables)

    def _sides(self, contraction: Contraction) -> tuple[Floats, Floats]:
        """A' and B', made once: a claim of several parts needs them before their sumcheck."""
        if contraction not in self._tables:
            a, b = (self._values[value] for value in contraction.operands)
            sides = contraction.sides
            left = side_table(sides, sides.left, a, ext_mul(contraction.scale, sides.scale))
            right = side_table(sides, sides.right, b)
            self._tables[contraction] = (left, right)
        return self._tables[contraction]

    def weighted_cells(self, sums: Sequence[Sequence[BlockSum]]) -> list[Ext]:
        """The values of sums of sums over blocks."""
        return [self._sum(parts) for parts in sums]

    def block_sums(self, sums: Sequence[BlockSum]) -> list[Ext]:
        """The values of sums over blocks."""
        return [_block_total(self._block(one)) for one in sums]

    def block_sumcheck(self, batch: Batch, sums: Sequence[BlockSum]) -> SumcheckWitness:
        """The cells of blocks and their weights, which are then used up."""
        blocks = [self._block(one) for one in sums]
        self._blocks_of_rows.clear()
        rounds = [
            block if isinstance(block, FactoredBlock) else start(instance, block, batch.weight_point(instance))
            for instance, block in zip(batch.instances, blocks, strict=True)
        ]
        return SumcheckWitness(batch, rounds)

    def _block(self, one: BlockSum) -> FactorTables | FactoredBlock:
        """A block's cells and weights, made once: most blocks need them for their sum, then for their sumcheck."""
        if one not in self._blocks_of_rows:
            cells = self._stacks[one.matrix][one.block.cells]
            rows = rows_of(one) if cells.dtype in (np.int8, np.int16) else None
            found = _block_tables(one, cells) if rows is None else FactoredBlock(one, cells, rows)
            self._blocks_of_rows[one] = found
        return self._blocks_of_rows[one]

    def column_sumcheck(
        self, matrices: Sequence[int], log_columns: int, batch: Batch, rows: Sequence[IntArray]
    ) -> SumcheckWitness:
        """Combinations of the rows of these matrices, one after another, by vectors of shape (3, rows)."""
        stacks = [self._stacks[matrix].reshape(-1, 1 << log_columns) for matrix in matrices]
        if WEIGHTS in matrices and self._veil is not None and len(self._veil):
            stacks.append(self._veil)
        return kernel_witness(batch, [FactorTables.of([combined(stacks, own)]) for own in rows])

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Measures, or shows, a part of the proof."""
        return phase(name)

    def _sum(self, sums: Sequence[BlockSum]) -> Ext:
        total = ZERO
        for one in sums:
            for coefficient, part in one.parts:
                cells = self._stacks[one.matrix][part.offset : part.offset + (1 << part.variables)]
                total = ext_add(total, ext_mul(coefficient, evaluate_part(part, cells)))
        return total


def _block_tables(one: BlockSum, cells: Array) -> FactorTables:
    """The cells of a block, of which the last may be missing, and their weights."""
    table = FactorTables(2, one.block.variables, base={0})
    table.factor(0)[: len(cells)] = cells
    table.factor(0)[len(cells) :] = 0.0
    table.factor(1)[:] = 0.0
    for coefficient, part in one.parts:
        first = part.offset - one.block.start
        add_weights(table.factor(1)[:, first : first + (1 << part.variables)], part, coefficient)
    return table


def _block_total(block: FactorTables | FactoredBlock) -> Ext:
    """The sum of cells times weights."""
    if isinstance(block, FactoredBlock):
        return block.total
    return kernels.ext_base_dot(block.factor(1), block.factor(0))


def combined(stacks: Sequence[Array], rows: IntArray) -> Floats:
    """The combination of the stacks' rows by a vector, as balanced elements."""
    result, start = np.zeros((DEGREE, stacks[0].shape[1])), 0
    for stack in stacks:
        own = rows[:, start : start + len(stack)]
        start += len(stack)
        if own.any():
            result = kernels.add(result, combined_rows(stack, own))
    return result


def add_weights(table: Floats, part: BoxFunctional, coefficient: Ext) -> None:
    """Adds coefficient * the weights on the box to balanced elements, shape (3, 2^variables)."""
    scale = ext_mul(part.scale, coefficient)
    if part.known is not None:
        split = max(0, part.variables - LINE_VARIABLES)
        line = kernels.eq_table(part.known[split:])
        kernels.add_outer(table, kernels.eq_table(part.known[:split], scale), line)
        return
    heads = []
    for vector in part.vectors:
        if vector.weights.shape[1] == 1:
            scale = ext_mul(scale, vector.first)
        else:
            heads.append(vector.weights)
    tail = [heads.pop()] if heads else [modular.from_exts([ONE])]
    while heads and math.prod(vector.shape[1] for vector in tail) < 1 << SHORT_VARIABLES:
        tail.insert(0, heads.pop())
    rows = outer_table([modular.from_exts([scale]), *heads])
    kernels.add_outer(table, rows, outer_table(tail))


def evaluate_part(part: BoxFunctional, cells: Array) -> Ext:
    """The sum over the box of weight * cell; cells are int8, int16 or balanced float64, shape (2^variables,)."""
    found = part.by_rows(min(part.variables, ROW_VARIABLES))
    if found is None:
        weights = np.zeros((DEGREE, len(cells)))
        add_weights(weights, part, ONE)
        return kernels.ext_base_dot(weights, np.asarray(cells, dtype=np.float64))
    rows, point = found.weights, found.point
    if rows.shape[1] == 1:
        return ext_mul(modular.to_exts(rows)[0], kernels.mle(np.asarray(cells, dtype=np.float64), point))
    combined = kernels.row_combination(cells.reshape(rows.shape[1], -1), kernels.from_ints(rows))
    return kernels.ext_dot(combined, kernels.eq_table(point, ONE))


def _product_sum(left: Floats, right: Floats) -> Ext:
    """sum of left * right; either may be of base elements."""
    if left.ndim == right.ndim == 2:
        return kernels.ext_dot(left, right)
    if left.ndim == right.ndim == 1:
        return int(kernels.dot(left, right)) % P, 0, 0
    return kernels.ext_base_dot(left, right) if left.ndim == 2 else kernels.ext_base_dot(right, left)


def evaluate(functional: Functional, array: Array) -> Ext:
    """The value of a functional on a tensor of integers."""
    if not functional.factors:
        return ext_mul(functional.scale, (int(array) % P, 0, 0))
    *heads, last = [factor.reshape(DEGREE, -1) for factor in functional.factors]
    if not heads:
        return ext_mul(
            functional.scale, kernels.ext_base_dot(kernels.from_ints(last), kernels.from_ints(array.reshape(-1)))
        )
    rows = kernels.to_ints(outer_table(heads))
    left = contract_rows(array.reshape(rows.shape[1], -1), rows)
    return ext_mul(functional.scale, modular.ext_dot(left, last))
