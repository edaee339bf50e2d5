"""The witness of a sumcheck in kernels: it sends the same messages as plain Python would. Needs numba."""

from collections.abc import Sequence

from zkinfer.protocol.sumcheck.base_rounds import BaseRounds
from zkinfer.protocol.sumcheck.params import Batch, Instance, Point
from zkinfer.protocol.sumcheck.rounds import kernel_rounds
from zkinfer.protocol.sumcheck.tables import FactorTables
from zkinfer.protocol.sumcheck.witness import Rounds, SumcheckWitness


def kernel_witness(batch: Batch, factors: Sequence[FactorTables]) -> SumcheckWitness:
    """What proves a batch's sums.

    Args:
        batch: what is summed.
        factors: for each instance the values of its factors, in the base field or the extension; overwritten.

    Raises:
        ShapeError: tables are not of the size that their instance says.
    """
    pairs = zip(batch.instances, factors, strict=True)
    return SumcheckWitness(batch, [start(one, tables, batch.weight_point(one)) for one, tables in pairs])


def start(instance: Instance, tables: FactorTables, point: Point | None) -> Rounds:
    """The rounds of an instance; the point is that of its weight."""
    tables.require(instance.factors, instance.variables)
    return BaseRounds(instance, tables, point) if tables.base else kernel_rounds(instance, tables, point)
