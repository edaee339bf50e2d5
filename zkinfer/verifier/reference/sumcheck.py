"""Sumcheck: docs/protocol/sumcheck-and-lookup.md, section 2."""

from collections.abc import Sequence
from dataclasses import dataclass

from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, Ext, eq, ext_mul, ext_pow, ext_scale, ext_sub
from zkinfer.verifier.reference.channel import AffineForm, Channel, sum_of
from zkinfer.verifier.reference.elements import FIELD_SIZE, HALF, Point

Claim = tuple[Point, list[AffineForm]]
"""A point, and what some polynomials are claimed to be there."""


@dataclass(frozen=True)
class Summand:
    """The polynomial of one instance, summed over {0, 1}^variables.

    Attributes:
        variables: how many.
        terms: for each its coefficient and the numbers of the factors that are multiplied. Every factor occurs.
        point: the sum is weighed with eq(point, x); None if it is not.
    """

    variables: int
    terms: Sequence[tuple[Ext, Sequence[int]]]
    point: Point | None = None

    @property
    def degree(self) -> int:
        """In each variable, a weight of its own included."""
        return max(len(factors) for _, factors in self.terms) + (self.point is not None)

    @property
    def factors(self) -> int:
        """How many polynomials are multiplied in the terms."""
        return 1 + max(max(factors) for _, factors in self.terms)


def verify_sumcheck(
    channel: Channel, batch: Sequence[Summand], sums: Sequence[AffineForm], point: Point | None = None
) -> list[Claim]:
    """A batch of sumchecks.

    Args:
        batch: the instances.
        sums: what each is claimed to add up to.
        point: every sum is weighed with eq at as many of its last coordinates as it has variables; None if the
            instances have weights of their own.

    Returns:
        For each instance the end of the batch's point, and what its factors are claimed to be there.

    Raises:
        VerificationError: the message is malformed; or, on a plain channel, the sums are not those claimed.
    """
    b = channel.draw("sumcheck batch") if len(batch) > 1 else ONE
    shares = [ext_pow(b, i) for i in range(len(batch))]
    target = sum_of(claim.scaled(share) for share, claim in zip(shares, sums, strict=True))
    degree = max(summand.degree for summand in batch)
    r: list[Ext] = []
    for j in range(max(summand.variables for summand in batch)):
        g = channel.receive("sumcheck round", degree)
        r.append(channel.draw("sumcheck point"))
        w = HALF if point is None else point[j]
        for k in range(1, degree + 1):
            target += g[k - 1].scaled(ext_sub(ext_pow(r[j], k), w))
    claims, found = [], []
    for share, summand in zip(shares, batch, strict=True):
        own = tuple(r[len(r) - summand.variables :])
        values = channel.receive("sumcheck evaluations", summand.factors)
        scale = share if point is not None else ext_scale(share, pow(2, summand.variables, P))
        if summand.point is not None:
            scale = ext_mul(scale, eq(summand.point, own))
        for coefficient, (first, *others) in summand.terms:
            product = values[first]
            for k in others:
                product = channel.multiply(product, values[k])
            found.append(product.scaled(ext_mul(scale, coefficient)))
        claims.append((own, values))
    channel.require_zero(target - sum_of(found))
    return claims


def verify_products(channel: Channel, variables: Sequence[int], sums: Sequence[AffineForm]) -> list[Claim]:
    """A batch of sums of products of two tables each, without weights.

    Args:
        variables: of each instance.
        sums: what each is claimed to add up to.
    """
    channel.error += (2 * max(variables) + len(variables) - 1) / FIELD_SIZE
    return verify_sumcheck(channel, [Summand(n, [(ONE, (0, 1))]) for n in variables], sums)
