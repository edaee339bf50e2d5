"""The prover of a batched sumcheck, with numba: the messages are those of `slow`, element for element."""

from collections.abc import Sequence

from zkinfer.protocol.channel import ProverChannel
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_add, ext_mul
from zkinfer.protocol.sumcheck.base_rounds import BaseRounds
from zkinfer.protocol.sumcheck.params import Batch, Claim, Instance, Point, powers
from zkinfer.protocol.sumcheck.reference import instance_weight, share
from zkinfer.protocol.sumcheck.rounds import Rounds, kernel_rounds
from zkinfer.protocol.sumcheck.tables import FactorTables


def prove(batch: Batch, factors: Sequence[FactorTables], channel: ProverChannel) -> list[Claim[Ext]]:
    """Proves the sums of a batch; the messages are those of `verifier`.

    Args:
        batch: what is summed.
        factors: for each instance the values of its factors, in the base field or the extension; overwritten.
        channel: everything in `batch`, and the claimed sums, must be determined by what it has absorbed.

    Returns:
        What is left to prove: for each instance, its factors' values at the end of the batch's point.

    Raises:
        ShapeError: tables are not of the size that their instance says.
    """
    rounds = [
        start(instance, tables, instance_weight(batch, instance))
        for instance, tables in zip(batch.instances, factors, strict=True)
    ]
    return prove_rounds(batch, rounds, channel)


def start(instance: Instance, tables: FactorTables, point: Point | None) -> Rounds:
    """The rounds of an instance; the point is that of its weight."""
    tables.require(instance.factors, instance.variables)
    return BaseRounds(instance, tables, point) if tables.base else kernel_rounds(instance, tables, point)


def prove_rounds(batch: Batch, rounds: Sequence[Rounds], channel: ProverChannel) -> list[Claim[Ext]]:
    """The protocol, given the rounds of every instance."""
    count = len(batch.instances)
    coefficients = powers(channel.challenge("sumcheck batch"), count) if count > 1 else [ONE]
    point: list[Ext] = []
    for index in range(batch.variables):
        message = [ZERO] * (batch.degree + 1)
        active = [i for i, one in enumerate(batch.instances) if index >= batch.variables - one.variables]
        for i in active:
            for k, c in enumerate(share(batch, batch.instances[i], point, rounds[i].sums())):
                message[k] = ext_add(message[k], ext_mul(coefficients[i], c))
        channel.send("sumcheck round", message[1:])
        point.append(channel.challenge("sumcheck point"))
        for i in active:
            rounds[i].bind(point[-1])
    claims = []
    for instance, one in zip(batch.instances, rounds, strict=True):
        values = tuple(one.values())
        channel.send("sumcheck evaluations", values)
        claims.append(Claim(batch.suffix(instance, point), values))
    return claims
