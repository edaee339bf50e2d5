"""The verifier of a lookup argument.

Claim: every entry of every block is a row of the block's table. With a fingerprint f of rows (see
`LookupInstance.fingerprint_weights`) and some multiplicities m, committed before the challenges alpha and gamma,

    sum over entries e of 1 / (alpha - f(e))  =  sum over rows t of m(t) / (alpha - f(t)).

Both sides are added up in binary trees of fractions p / q, where (p0, q0) + (p1, q1) = (p0 q1 + p1 q0, q0 q1): one for
each stack of entries, one for the rows. The entries' leaves are 1 / (alpha - f(e)), the rows' m / (alpha - f(t)), and
0 / 1 in the cells that nothing fills.

Messages: all roots and the inverses of their denominators; from the roots down a sumcheck a layer, in which smaller
trees join so late that all end together; at the leaves the values of all columns of the blocks, stack after stack, then
of all multiplicities.

Checks: the entries' roots add up to that of the rows; every denominator is invertible, so that no zero among the leaves
lets anything pass; every layer's sumcheck; the leaves are what the values give. Node x of a layer has the children
(x, 0) and (x, 1), so points grow at their end and a smaller tree's is always the end of a larger's.
"""

from zkinfer.protocol.channel import ZERO_FORM, AffineForm, VerifierChannel, combination
from zkinfer.protocol.field.scalar import ONE, Ext, ext_add, ext_mul, ext_sub
from zkinfer.protocol.lookup.params import LookupClaims, LookupInstance, Stack, fingerprint
from zkinfer.protocol.sumcheck import verifier as sumcheck
from zkinfer.protocol.sumcheck.params import Batch, Claim, Instance, Monomial, Point

SUM_CHECK = "lookup: sum over entries against sum over rows"
DENOMINATOR_CHECK = "lookup: a denominator is zero"
ENTRY_NUMERATOR_CHECK = "lookup: numerators of the entries"
ENTRY_DENOMINATOR_CHECK = "lookup: denominators of the entries"
ROW_NUMERATOR_CHECK = "lookup: multiplicities"
ROW_DENOMINATOR_CHECK = "lookup: denominators of the rows"

Fraction = tuple[AffineForm, AffineForm]


def layer_batch(lambda_: Ext, point: Point, variables: tuple[int, ...]) -> Batch:
    """The sumcheck of a layer: for each tree p + lambda q from the children's p0, p1, q0, q1, weighed by eq."""
    terms = (Monomial(ONE, (0, 3)), Monomial(ONE, (1, 2)), Monomial(lambda_, (2, 3)))
    return Batch(tuple(Instance(k, 4, terms) for k in variables), point)


def verify(instance: LookupInstance, channel: VerifierChannel) -> LookupClaims[AffineForm]:
    """Verifies that every entry is a row of its table.

    The commitments to all blocks' columns and to the multiplicities must have been absorbed.

    Returns:
        Evaluations of the columns and multiplicities; the argument holds if the committed vectors have them.

    Raises:
        VerificationError: the messages are malformed, or a check fails.
    """
    channel.absorb("lookup", instance.description())
    alpha, gamma = channel.challenge("lookup alpha"), channel.challenge("lookup gamma")
    count = len(instance.stacks)
    received = channel.receive("lookup roots", 2 * count)
    roots = list(zip(received[::2], received[1::2], strict=True))
    inverses = channel.receive("lookup inverses", count)
    difference = ZERO_FORM
    for number, ((numerator, denominator), inverse) in enumerate(zip(roots, inverses, strict=True)):
        channel.require_zero(DENOMINATOR_CHECK, channel.multiply(denominator, inverse) - AffineForm(ONE))
        quotient = channel.multiply(numerator, inverse)
        difference = difference - quotient if number == count - 1 else difference + quotient
    channel.require_zero(SUM_CHECK, difference)
    point, fractions = verify_trees(instance.stacks, roots, channel)
    return verify_leaves(instance, point, fractions, (alpha, gamma), channel)


def verify_trees(
    stacks: tuple[Stack, ...], roots: list[Fraction], channel: VerifierChannel
) -> tuple[Point, list[Fraction]]:
    """From the roots to the leaves: the claimed fractions of every tree, each at the end of one point."""
    n = max(stack.variables for stack in stacks)
    point: Point = ()
    fractions = list(roots)
    for layer in range(n):
        active = [i for i, stack in enumerate(stacks) if layer >= n - stack.variables]
        lambda_ = channel.challenge("lookup layer")
        batch = layer_batch(lambda_, point, tuple(layer - (n - stacks[i].variables) for i in active))
        claims = [combination(fractions[i], (ONE, lambda_)) for i in active]
        reduced = sumcheck.verify(batch, claims, channel)
        child = channel.challenge("lookup child")
        point = (*max((claim.point for claim in reduced), key=len), child)
        for i, claim in zip(active, reduced, strict=True):
            p0, p1, q0, q1 = claim.values
            fractions[i] = (p0 + (p1 - p0).scale(child), q0 + (q1 - q0).scale(child))
    return point, fractions


def verify_leaves(
    instance: LookupInstance,
    point: Point,
    fractions: list[Fraction],
    challenges: tuple[Ext, Ext],
    channel: VerifierChannel,
) -> LookupClaims[AffineForm]:
    """The fractions claimed at the leaves against the values of columns, multiplicities and tables."""
    alpha, gamma = challenges
    weights = [instance.fingerprint_weights(gamma, table) for table in range(len(instance.tables))]
    blocks: dict[int, Claim[AffineForm]] = {}
    for entries, (numerator, denominator) in zip(instance.entries, fractions, strict=False):
        stack = entries.stack
        at = point[len(point) - stack.variables :]
        unfilled = stack.unfilled(at)
        channel.require_zero(ENTRY_NUMERATOR_CHECK, numerator - AffineForm(ext_sub(ONE, unfilled)))
        total = AffineForm(unfilled)
        for number, selector in zip(entries.blocks, stack.selectors(at), strict=True):
            block = instance.blocks[number]
            columns, constant = weights[block.table]
            values = channel.receive("lookup block", len(columns))
            total = total + (AffineForm(ext_sub(alpha, constant)) - combination(values, columns)).scale(selector)
            blocks[number] = Claim(at[len(at) - block.variables :], tuple(values))
        channel.require_zero(ENTRY_DENOMINATOR_CHECK, denominator - total)

    stack = instance.rows
    at = point[len(point) - stack.variables :]
    selectors = stack.selectors(at)
    values = channel.receive("lookup multiplicities", len(instance.tables))
    rows = fractions[-1]
    channel.require_zero(ROW_NUMERATOR_CHECK, rows[0] - combination(values, selectors))
    denominator_at, multiplicities = stack.unfilled(at), []
    for table, selector, value, (columns, constant) in zip(instance.tables, selectors, values, weights, strict=True):
        own = at[len(at) - table.variables :]
        row = fingerprint(table.evaluate(own), columns, constant)
        denominator_at = ext_add(denominator_at, ext_mul(selector, ext_sub(alpha, row)))
        multiplicities.append(Claim(own, (value,)))
    channel.require_zero(ROW_DENOMINATOR_CHECK, rows[1] - AffineForm(denominator_at))
    return LookupClaims(tuple(blocks[i] for i in range(len(blocks))), tuple(multiplicities))
