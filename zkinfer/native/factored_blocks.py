"""The sumcheck over a block of small integers whose weights are products, without a table of its cells.

Let the first variables of a block number rows, the others the places of a row. If its weights are the sum of products
h_p(x) t_p(y), then its first rounds are those of

    sum over p and x of  h_p(x) c_p(x),  where c_p(x) = sum over y of t_p(y) cell(x, y),

and the others, all rows being bound to the point r, those of

    sum over y of  C(y) T(y),  where C(y) = sum over x of eq(r, x) cell(x, y) and T(y) = sum over p of h_p(r) t_p(y).

Cells are read as they are, once for each product and once more, and tables are as long as the block is high, or wide.
"""

from collections.abc import Sequence

import numpy as np

from zkinfer.native.tensors import outer_table
from zkinfer.protocol.field import kernels, modular
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_add, ext_mul
from zkinfer.protocol.reduction.box_functional import BoxFunctional, placed
from zkinfer.protocol.reduction.claims import BlockSum
from zkinfer.protocol.sumcheck.params import Instance, Monomial, Polynomial
from zkinfer.protocol.sumcheck.rounds import kernel_rounds
from zkinfer.protocol.sumcheck.tables import FactorTables
from zkinfer.protocol.sumcheck.witness import Joinable, Rounds
from zkinfer.typing import Array, Floats

TABLE_SHARE = 16
"""A block is taken so if its tables have at most one entry for so many cells."""


def rows_of(one: BlockSum) -> int | None:
    """How many variables number rows for the tables to be shortest; None if the weights are no such products, or if
    the tables are not short enough."""
    variables = one.block.variables
    if any(part.variables != variables for _, part in one.parts):
        return None
    entries = {
        rows: (len(one.parts) << rows) + (1 << (variables - rows))
        for rows in set.intersection(*(_ends(part) for _, part in one.parts))
    }
    best = min(entries, key=lambda rows: (entries[rows], rows))
    return best if TABLE_SHARE * entries[best] <= 1 << variables else None


def _ends(part: BoxFunctional) -> set[int]:
    """After how many variables the weights can be divided."""
    if part.known is not None:
        return set(range(part.variables + 1))
    return {0, *(part.variables - behind for _, _, behind in placed(part.vectors))}


class FactoredBlock:
    """Implements `protocol.sumcheck.witness.Rounds` for the cells of a block and their weights.

    Args:
        one: the weighted sum; each part is a box as large as the block.
        cells: of the block: int8 or int16, shape (2^variables,).
        rows: how many variables number rows; all weights can be divided there.
    """

    def __init__(self, one: BlockSum, cells: Array, rows: int) -> None:
        self._cells = cells.reshape(1 << rows, -1)
        self._point: list[Ext] = []
        self._rows = rows
        divided = [_divided(part, coefficient, rows) for coefficient, part in one.parts]
        self._tails = [tail for _, tail in divided]
        tables = FactorTables(2 * len(divided), rows)
        for number, (head, tail) in enumerate(divided):
            tables.factor(2 * number)[:] = kernels.column_combination(self._cells, tail)
            tables.factor(2 * number + 1)[:] = head
        self.total = _total(tables)
        self._rounds = _rounds(tables)
        if not rows:
            self._begin_row()

    def sums(self) -> Polynomial:
        """The polynomial of the next round."""
        return self._rounds.sums()

    def bind(self, challenge: Ext) -> None:
        """Sets the variable of the round; after the last one of the rows, tables of the places of a row are made."""
        self._rounds.bind(challenge)
        self._point.append(challenge)
        if len(self._point) == self._rows:
            self._begin_row()

    def _begin_row(self) -> None:
        tables = FactorTables(2, self._cells.shape[1].bit_length() - 1)
        tables.factor(0)[:] = kernels.row_combination(self._cells, kernels.eq_table(self._point))
        heads = self._rounds.values()[1::2]
        tables.factor(1)[:] = _sum_of(heads, self._tails)
        self._rounds = _rounds(tables)
        del self._tails

    def values(self) -> list[Ext]:
        """After the last round: the block's cells and their weights, at the point."""
        return self._rounds.values()

    def joinable(self) -> tuple[Joinable, Ext] | None:
        """See `protocol.sumcheck.witness.Rounds`: sums over rows have fewer variables than the block has left."""
        return self._rounds.joinable() if len(self._point) >= self._rows else None


def _divided(part: BoxFunctional, coefficient: Ext, rows: int) -> tuple[Floats, Floats]:
    """The weights of a part, times the coefficient, as h and t."""
    scale = ext_mul(part.scale, coefficient)
    if part.known is not None:
        return kernels.eq_table(part.known[:rows], scale), kernels.eq_table(part.known[rows:])
    heads, tails = [modular.from_exts([scale])], [modular.from_exts([ONE])]
    for vector, _, behind in placed(part.vectors):
        (heads if behind >= part.variables - rows else tails).append(vector.weights)
    return outer_table(heads), outer_table(tails)


def _rounds(tables: FactorTables) -> Rounds:
    """Of the sum over the products of factors 0 and 1, 2 and 3, ..."""
    terms = tuple(Monomial(ONE, (k, k + 1)) for k in range(0, tables.factors, 2))
    return kernel_rounds(Instance(tables.variables, tables.factors, terms), tables, None)


def _total(tables: FactorTables) -> Ext:
    """That sum."""
    total = ZERO
    for k in range(0, tables.factors, 2):
        total = ext_add(total, kernels.ext_dot(tables.factor(k), tables.factor(k + 1)))
    return total


def _sum_of(coefficients: Sequence[Ext], vectors: Sequence[Floats]) -> Floats:
    total = np.zeros_like(vectors[0])
    for coefficient, vector in zip(coefficients, vectors, strict=True):
        kernels.add_outer(total, kernels.ext_from_ints([coefficient]), vector)
    return total
