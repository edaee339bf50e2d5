"""The batched sumcheck: one text for the prover, the verifier and the dry run.

Claim: every instance's sum has its claimed value.

Messages, for a batch of n variables and degree d: in each of n rounds d elements, the coefficients of X^1 .. X^d of
the round's polynomial g; at the end, for each instance in order, its factors' values at the point.

Check: the coefficient of X^0 is never sent but follows from (1 - w) g(0) + w g(1) = target, where w is the round's
weight. Since g(0) + w (g(1) - g(0)) = target, the next target is

    g(r) = target + sum over k >= 1 of (r^k - w) g_k.

So no round can fail on its own; the last target must be what the evaluations give.

Source: Lund, Fortnow, Karloff, Nisan 1992; the eq factor that is left out of the messages is from Gruen 2024.
"""

from collections.abc import Sequence
from functools import partial

from zkinfer.errors import InvalidInputError
from zkinfer.protocol.channel import AffineForm, Channel, combination
from zkinfer.protocol.field.scalar import ONE, Ext, ext_mul, ext_neg, ext_powers, round_weights
from zkinfer.protocol.sumcheck.params import Batch, Claim, Instance
from zkinfer.protocol.sumcheck.witness import SumcheckWitness

FINAL_CHECK = "sumcheck: evaluations against the last round"


def run_sumcheck(
    batch: Batch, claims: Sequence[AffineForm], channel: Channel, witness: SumcheckWitness | None = None
) -> list[Claim]:
    """Reduces the claimed sums, one for each instance, to claims about the factors.

    Args:
        batch: what is summed.
        claims: the sums. They, and everything in `batch`, must be determined by what the transcript has absorbed.
        channel: of this side.
        witness: the factors, if this side proves.

    Returns:
        One claim for each instance: the values of its factors at the end of the batch's point. These are still to be
        shown: a sumcheck alone proves nothing about them.

    Raises:
        VerificationError: the messages are malformed, or the check fails.
        InvalidInputError: not one claim for each instance.
    """
    if len(claims) != len(batch.instances):
        raise InvalidInputError(f"{len(batch.instances)} instances need as many claims, not {len(claims)}")
    coefficients = ext_powers(channel.challenge("sumcheck batch"), len(claims)) if len(claims) > 1 else [ONE]
    # The last target, less what the evaluations give: forms and their coefficients, added up once.
    left, scales = list(claims), list(coefficients)
    point: list[Ext] = []
    for index in range(batch.variables):
        make = None if witness is None else partial(witness.round_polynomial, coefficients, point)
        message = channel.exchange("sumcheck round", batch.degree, make)
        challenge = channel.challenge("sumcheck point")
        left += message
        scales += round_weights(challenge, batch.weight(index), batch.degree)
        point.append(challenge)
        if witness is not None:
            witness.bind(challenge)
    reduced = []
    for number, (instance, coefficient) in enumerate(zip(batch.instances, coefficients, strict=True)):
        make = None if witness is None else partial(witness.values, number)
        values = channel.exchange("sumcheck evaluations", instance.factors, make)
        left.append(evaluate(instance, values, channel))
        scales.append(ext_neg(ext_mul(coefficient, batch.final_scale(instance, point))))
        reduced.append(Claim(batch.suffix(instance, point), tuple(values)))
    channel.require_zero(FINAL_CHECK, combination(left, scales))
    return reduced


def evaluate(instance: Instance, values: Sequence[AffineForm], channel: Channel) -> AffineForm:
    """The sum of the instance's terms, its factors having these values."""
    products = []
    for term in instance.terms:
        product = values[term.factors[0]]
        for factor in term.factors[1:]:
            product = channel.multiply(product, values[factor])
        products.append(product)
    return combination(products, [term.coefficient for term in instance.terms])
