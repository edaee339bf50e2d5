"""The prover of a batched sumcheck in plain Python: the oracle of `prover`, message for message."""

from collections.abc import Sequence

from zkinfer.protocol.channel import ProverChannel
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, eq, eq_table, ext_add, ext_mul, ext_scale, ext_sub, fold
from zkinfer.protocol.sumcheck.params import Batch, Claim, Instance, Point, powers

Tables = list[list[Ext]]
Polynomial = list[Ext]
"""Coefficients, the constant one first."""


def prove(batch: Batch, factors: Sequence[Sequence[Sequence[Ext]]], channel: ProverChannel) -> list[Claim[Ext]]:
    """Proves the sums of a batch; the messages are those of `verifier`.

    Args:
        batch: what is summed.
        factors: for each instance, for each factor, its 2^n values on the cube.
        channel: everything in `batch`, and the claimed sums, must be determined by what it has absorbed.

    Returns:
        What is left to prove: for each instance, its factors' values at the end of the batch's point.
    """
    count = len(batch.instances)
    coefficients = powers(channel.challenge("sumcheck batch"), count) if count > 1 else [ONE]
    tables: list[Tables] = [[list(f) for f in instance] for instance in factors]
    point: list[Ext] = []
    for index in range(batch.variables):
        message = [ZERO] * (batch.degree + 1)
        for i, instance in enumerate(batch.instances):
            if index >= batch.variables - instance.variables:
                polynomial = round_polynomial(batch, instance, tables[i], point)
                for k, c in enumerate(polynomial):
                    message[k] = ext_add(message[k], ext_mul(coefficients[i], c))
        channel.send("sumcheck round", message[1:])
        point.append(channel.challenge("sumcheck point"))
        for i, instance in enumerate(batch.instances):
            if index >= batch.variables - instance.variables:
                tables[i] = [fold(table, point[-1]) for table in tables[i]]
    claims = []
    for i, instance in enumerate(batch.instances):
        values = tuple(table[0] for table in tables[i])
        channel.send("sumcheck evaluations", values)
        claims.append(Claim(batch.suffix(instance, point), values))
    return claims


def round_polynomial(batch: Batch, instance: Instance, tables: Tables, point: Sequence[Ext]) -> Polynomial:
    """What one active instance adds to the next round's polynomial; `point` has the challenges so far."""
    bound = len(point) - (batch.variables - instance.variables)
    weight = instance_weight(batch, instance)
    weights = [ONE] * (len(tables[0]) // 2) if weight is None else eq_table(weight[bound + 1 :])
    return share(batch, instance, point, weighted_sum(instance, tables, weights))


def instance_weight(batch: Batch, instance: Instance) -> Point | None:
    """The point whose eq weighs the instance's terms; None for weight 1."""
    return instance.point if batch.point is None else batch.suffix(instance, batch.point)


def share(batch: Batch, instance: Instance, point: Sequence[Ext], sums: Polynomial) -> Polynomial:
    """From the sum over the places left, without the weight of what is bound, to the part of the round's message."""
    if batch.point is not None:
        return sums
    bound = len(point) - (batch.variables - instance.variables)
    doubled = [ext_scale(c, 2 ** (bound + 1)) for c in sums]
    if instance.point is None:
        return doubled
    prefix = eq(instance.point[:bound], point[len(point) - bound :])
    here = instance.point[bound]
    line = [ext_sub(ONE, here), ext_sub(ext_add(here, here), ONE)]
    return [ext_mul(prefix, c) for c in multiply(doubled, line)]


def weighted_sum(instance: Instance, tables: Tables, weights: Sequence[Ext]) -> Polynomial:
    """sum over x of weights[x] * the terms at (X, x), as a polynomial in X."""
    total = [ZERO] * (instance.degree + 1)
    half = len(tables[0]) // 2
    for x, weight in enumerate(weights):
        lines = [[table[x], ext_sub(table[half + x], table[x])] for table in tables]
        for term in instance.terms:
            product = [ext_mul(weight, term.coefficient)]
            for k in term.factors:
                product = multiply(product, lines[k])
            for k, c in enumerate(product):
                total[k] = ext_add(total[k], c)
    return total


def multiply(a: Polynomial, b: Polynomial) -> Polynomial:
    product = [ZERO] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            product[i + j] = ext_add(product[i + j], ext_mul(x, y))
    return product


def instance_sum(batch: Batch, instance: Instance, factors: Sequence[Sequence[Ext]]) -> Ext:
    """The sum itself: what an honest prover claims."""
    own = instance_weight(batch, instance)
    weights = [ONE] * (1 << instance.variables) if own is None else eq_table(own)
    total = ZERO
    for x, weight in enumerate(weights):
        for term in instance.terms:
            product = ext_mul(weight, term.coefficient)
            for k in term.factors:
                product = ext_mul(product, factors[k][x])
            total = ext_add(total, product)
    return total
