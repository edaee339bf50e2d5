"""The prover of a batched sumcheck in plain Python: the oracle of `prover`, message for message."""

from collections.abc import Sequence

from zkinfer.field.slow import ONE, ZERO, Ext, eq, eq_table, ext_add, ext_mul, ext_scale, ext_sub, fold
from zkinfer.sumcheck.channel import ProverChannel
from zkinfer.sumcheck.params import HALF, Batch, Claim, Instance, powers

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
    rest = instance.variables - bound - 1
    if batch.point is not None:
        return weighted_sum(instance, tables, batch.point[len(batch.point) - rest :])
    if instance.point is None:
        polynomial = weighted_sum(instance, tables, [HALF] * rest)
        return [ext_scale(c, 2**instance.variables) for c in polynomial]
    polynomial = weighted_sum(instance, tables, instance.point[bound + 1 :])
    prefix = eq(instance.point[:bound], point[len(point) - bound :])
    line = [ext_sub(ONE, instance.point[bound]), ext_sub(ext_add(*[instance.point[bound]] * 2), ONE)]
    scale = ext_scale(prefix, 2 ** (bound + 1))
    return [ext_mul(scale, c) for c in multiply(polynomial, line)]


def weighted_sum(instance: Instance, tables: Tables, rest: Sequence[Ext]) -> Polynomial:
    """sum over x of eq(rest, x) * the terms at (X, x), as a polynomial in X."""
    total = [ZERO] * (instance.degree + 1)
    half = len(tables[0]) // 2
    for x, weight in enumerate(eq_table(rest)):
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
    own = instance.point if batch.point is None else batch.suffix(instance, batch.point)
    weights = [ONE] * (1 << instance.variables) if own is None else eq_table(own)
    total = ZERO
    for x, weight in enumerate(weights):
        for term in instance.terms:
            product = ext_mul(weight, term.coefficient)
            for k in term.factors:
                product = ext_mul(product, factors[k][x])
            total = ext_add(total, product)
    return total
