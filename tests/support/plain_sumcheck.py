"""The witness of a sumcheck in plain Python: the oracle of the kernels, message for message."""

from collections.abc import Sequence

from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, eq_table, ext_add, ext_mul, ext_sub, fold
from zkinfer.protocol.sumcheck.params import Batch, Instance, Point, Polynomial
from zkinfer.protocol.sumcheck.witness import SumcheckWitness, multiply


class PlainRounds:
    """An instance as lists of its factors' values; implements `witness.Rounds`.

    Args:
        instance: what is summed.
        factors: for each factor its 2^n values on the cube.
        point: for weights eq(point, x), or None for weight 1.
    """

    def __init__(self, instance: Instance, factors: Sequence[Sequence[Ext]], point: Point | None) -> None:
        self._instance = instance
        self._tables = [list(factor) for factor in factors]
        self._point = point

    def sums(self) -> Polynomial:
        """sum over x of eq(x) * the terms at (X, x), as a polynomial in X."""
        half = len(self._tables[0]) // 2
        weights = [ONE] * half if self._point is None else eq_table(self._point[1:])
        total = [ZERO] * (self._instance.degree + 1)
        for x, weight in enumerate(weights):
            lines = [[table[x], ext_sub(table[half + x], table[x])] for table in self._tables]
            for term in self._instance.terms:
                product = [ext_mul(weight, term.coefficient)]
                for k in term.factors:
                    product = multiply(product, lines[k])
                for k, c in enumerate(product):
                    total[k] = ext_add(total[k], c)
        return total

    def bind(self, challenge: Ext) -> None:
        self._tables = [fold(table, challenge) for table in self._tables]
        self._point = None if self._point is None else self._point[1:]

    def values(self) -> list[Ext]:
        return [table[0] for table in self._tables]

    def joinable(self) -> None:
        """Rounds of plain Python are not joined."""


def plain_witness(batch: Batch, factors: Sequence[Sequence[Sequence[Ext]]]) -> SumcheckWitness:
    """What proves a batch's sums; for each instance, for each factor, its 2^n values on the cube."""
    pairs = zip(batch.instances, factors, strict=True)
    return SumcheckWitness(batch, [PlainRounds(one, tables, batch.weight_point(one)) for one, tables in pairs])


def instance_sum(batch: Batch, instance: Instance, factors: Sequence[Sequence[Ext]]) -> Ext:
    """The sum itself: what an honest prover claims."""
    own = batch.weight_point(instance)
    weights = [ONE] * (1 << instance.variables) if own is None else eq_table(own)
    total = ZERO
    for x, weight in enumerate(weights):
        for term in instance.terms:
            product = ext_mul(weight, term.coefficient)
            for k in term.factors:
                product = ext_mul(product, factors[k][x])
            total = ext_add(total, product)
    return total
