"""The verifier of a batched sumcheck.

Claim: every instance's sum has its claimed value.

Messages, for a batch of n variables and degree d: in each of n rounds d elements, the coefficients of X^1 .. X^d of
the round's polynomial g; at the end, for each instance in order, its factors' values at the point.

Check: the coefficient of X^0 is never sent but follows from (1 - w) g(0) + w g(1) = target, w being the round's
weight. Since g(0) + w (g(1) - g(0)) = target, the next target is

    g(r) = target + sum over k >= 1 of (r^k - w) g_k.

So no round can fail on its own; the last target must be what the evaluations give.
"""

from collections.abc import Sequence

from zkinfer.errors import InvalidInputError
from zkinfer.protocol.channel import ZERO_FORM, AffineForm, VerifierChannel, combination
from zkinfer.protocol.field.scalar import ONE, Ext, ext_mul, ext_sub
from zkinfer.protocol.sumcheck.params import Batch, Claim, Instance, powers

FINAL_CHECK = "sumcheck: evaluations against the last round"


def verify(batch: Batch, claims: Sequence[AffineForm], channel: VerifierChannel) -> list[Claim[AffineForm]]:
    """Verifies the claimed sums, one for each instance.

    Everything in `batch`, and the claims, must be determined by what the channel's transcript has absorbed.

    Returns:
        One claim for each instance: the values of its factors at the end of the batch's point. The caller must still
        have these verified: a sumcheck alone proves nothing about them.

    Raises:
        VerificationError: the messages are malformed, or the check fails.
        InvalidInputError: not one claim for each instance.
    """
    if len(claims) != len(batch.instances):
        raise InvalidInputError(f"{len(batch.instances)} instances need as many claims, not {len(claims)}")
    coefficients = powers(channel.challenge("sumcheck batch"), len(claims)) if len(claims) > 1 else [ONE]
    target = combination(claims, coefficients)
    point: list[Ext] = []
    for index in range(batch.variables):
        message = channel.receive("sumcheck round", batch.degree)
        r, weight = channel.challenge("sumcheck point"), batch.weight(index)
        weights = [ext_sub(power, weight) for power in powers(r, batch.degree + 1)[1:]]
        target = target + combination(message, weights)
        point.append(r)
    reduced = []
    for instance, coefficient in zip(batch.instances, coefficients, strict=True):
        values = channel.receive("sumcheck evaluations", instance.factors)
        scale = ext_mul(coefficient, batch.final_scale(instance, point))
        target = target - evaluate(instance, values, channel).scale(scale)
        reduced.append(Claim(batch.suffix(instance, point), tuple(values)))
    channel.require_zero(FINAL_CHECK, target)
    return reduced


def evaluate(instance: Instance, values: Sequence[AffineForm], channel: VerifierChannel) -> AffineForm:
    """The sum of the instance's terms, its factors having these values."""
    total = ZERO_FORM
    for term in instance.terms:
        product = values[term.factors[0]]
        for factor in term.factors[1:]:
            product = channel.multiply(product, values[factor])
        total = total + product.scale(term.coefficient)
    return total
