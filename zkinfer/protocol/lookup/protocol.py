"""The lookup argument: one text for the prover, the verifier and the dry run.

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

Sources: Haboeck 2022, "Multivariate lookups based on logarithmic derivatives" (ePrint 2022/1530); Papini and Haboeck
2023, "Improving logarithmic derivative lookups using GKR" (ePrint 2023/1284).
"""

from collections.abc import Sequence
from functools import partial

from zkinfer.protocol import security
from zkinfer.protocol.channel import ZERO_FORM, AffineForm, Channel, combination
from zkinfer.protocol.field.scalar import ONE, Ext, ext_add, ext_mul, ext_scale_each, ext_sub
from zkinfer.protocol.lookup.params import LookupClaims, LookupInstance, Stack, fingerprint
from zkinfer.protocol.lookup.witness import FractionTree, LookupWitness, inverses, roots
from zkinfer.protocol.sumcheck.params import Batch, Claim, Instance, Monomial, Point
from zkinfer.protocol.sumcheck.protocol import run_sumcheck
from zkinfer.protocol.sumcheck.witness import SumcheckWitness

SUM_CHECK = "lookup: sum over entries against sum over rows"
DENOMINATOR_CHECK = "lookup: a denominator is zero"
ENTRY_NUMERATOR_CHECK = "lookup: numerators of the entries"
ENTRY_DENOMINATOR_CHECK = "lookup: denominators of the entries"
ROW_NUMERATOR_CHECK = "lookup: multiplicities"
ROW_DENOMINATOR_CHECK = "lookup: denominators of the rows"

Fraction = tuple[AffineForm, AffineForm]
"""The claimed numerator and denominator of a tree's node, or of a layer's extension."""


def run_lookup(
    instance: LookupInstance, channel: Channel, witness: LookupWitness | None = None, *, grinding: int = 0
) -> LookupClaims:
    """Reduces the claim that every entry is a row of its table to claims about committed vectors.

    Args:
        instance: the tables and the shape of the blocks.
        channel: of this side. Its transcript must have absorbed the commitments to all blocks' columns and to the
            multiplicities.
        witness: of the prover's side.
        grinding: bits of work that the prover did just before; they count in the soundness of the first challenges.

    Returns:
        Evaluations of the columns and multiplicities; the argument holds if the committed vectors have them.

    Raises:
        VerificationError: the messages are malformed, or a check fails.
        ZeroDenominatorError: proving, alpha is a fingerprint.
    """
    return run_trees(instance, draw_challenges((instance,), channel, grinding=grinding), channel, witness)


def draw_challenges(instances: Sequence[LookupInstance], channel: Channel, *, grinding: int = 0) -> tuple[Ext, Ext]:
    """Alpha and gamma of some instances, which are proven one after another under the same two.

    Every instance's columns and multiplicities must have been committed to. The probabilities with which a sum of
    fractions agrees by chance add up.
    """
    for instance in instances:
        logup = security.logup("lookups", instance.lookups, instance.rows.filled, instance.columns)
        channel.note(security.ground(logup, grinding))
        channel.absorb("lookup", *instance.description())
    return channel.challenge("lookup alpha"), channel.challenge("lookup gamma")


def run_trees(
    instance: LookupInstance, challenges: tuple[Ext, Ext], channel: Channel, witness: LookupWitness | None = None
) -> LookupClaims:
    """The lookup argument of one instance, once its challenges are drawn; see `run_lookup`."""
    stacks = instance.stacks
    depth = max(stack.variables for stack in stacks)
    channel.note(security.fractional_sums("fraction trees", depth, len(stacks)))
    trees = None if witness is None else witness.trees(*challenges)
    fractions = _check_roots(len(stacks), channel, trees)
    point = _descend(stacks, fractions, channel, trees)
    return _check_leaves(instance, point, fractions, challenges, channel, witness)


def _check_roots(count: int, channel: Channel, trees: Sequence[FractionTree] | None) -> list[Fraction]:
    """The roots, whose fractions of entries must add up to that of the rows."""
    sent = channel.exchange("lookup roots", 2 * count, None if trees is None else partial(roots, trees))
    fractions = list(zip(sent[::2], sent[1::2], strict=True))
    inverted = channel.exchange("lookup inverses", count, None if trees is None else partial(inverses, trees))
    difference = ZERO_FORM
    for number, ((numerator, denominator), inverse) in enumerate(zip(fractions, inverted, strict=True)):
        channel.require_zero(DENOMINATOR_CHECK, channel.multiply(denominator, inverse) - AffineForm(ONE))
        quotient = channel.multiply(numerator, inverse)
        difference = difference - quotient if number == count - 1 else difference + quotient
    channel.require_zero(SUM_CHECK, difference)
    return fractions


def layer_batch(lambda_: Ext, point: Point, variables: tuple[int, ...]) -> Batch:
    """The sumcheck of a layer: for each tree p + lambda q from the children's p0, p1, q0, q1, weighed by eq."""
    terms = (Monomial(ONE, (0, 3)), Monomial(ONE, (1, 2)), Monomial(lambda_, (2, 3)))
    return Batch(tuple(Instance(k, 4, terms) for k in variables), point)


def _descend(
    stacks: tuple[Stack, ...], fractions: list[Fraction], channel: Channel, trees: Sequence[FractionTree] | None
) -> Point:
    """From the roots to the leaves; `fractions` become the claims at the leaves, each at the end of the point."""
    n = max(stack.variables for stack in stacks)
    point: Point = ()
    for layer in range(n):
        active = [i for i, stack in enumerate(stacks) if layer >= n - stack.variables]
        depths = tuple(layer - (n - stacks[i].variables) for i in active)
        lambda_ = channel.challenge("lookup layer")
        batch = layer_batch(lambda_, point, depths)
        claims = [combination(fractions[i], (ONE, lambda_)) for i in active]
        witness = None  # gives up the tables of the layer before
        if trees is not None:
            places = zip(active, depths, strict=True)
            witness = SumcheckWitness(batch, [trees[i].rounds(k, point[layer - k :], lambda_) for i, k in places])
        reduced = run_sumcheck(batch, claims, channel, witness)
        child = channel.challenge("lookup child")
        point = (*max((claim.point for claim in reduced), key=len), child)
        for i, claim in zip(active, reduced, strict=True):
            p0, p1, q0, q1 = claim.values
            weights = ext_sub(ONE, child), child
            fractions[i] = combination((p0, p1), weights), combination((q0, q1), weights)
            if trees is not None:
                trees[i].bind(child)
    return point


def _check_leaves(
    instance: LookupInstance,
    point: Point,
    fractions: Sequence[Fraction],
    challenges: tuple[Ext, Ext],
    channel: Channel,
    witness: LookupWitness | None,
) -> LookupClaims:
    """The fractions claimed at the leaves against the values of columns, multiplicities and tables."""
    alpha, gamma = challenges
    weights = [instance.fingerprint_weights(gamma, table) for table in range(len(instance.tables))]
    blocks: dict[int, Claim] = {}
    for entries, (numerator, denominator) in zip(instance.entries, fractions, strict=False):
        stack = entries.stack
        at = point[len(point) - stack.variables :]
        unfilled = stack.unfilled(at)
        channel.require_zero(ENTRY_NUMERATOR_CHECK, numerator - AffineForm(ext_sub(ONE, unfilled)))
        constants, sent, scales = unfilled, list[AffineForm](), list[Ext]()
        for number, selector in zip(entries.blocks, stack.selectors(at), strict=True):
            block = instance.blocks[number]
            columns, constant = weights[block.table]
            own = at[len(at) - block.variables :]
            make = None if witness is None else partial(witness.block_values, number, own)
            values = channel.exchange("lookup block", len(columns), make)
            constants = ext_add(constants, ext_mul(selector, ext_sub(alpha, constant)))
            sent += values
            scales += ext_scale_each(columns, selector)
            blocks[number] = Claim(own, tuple(values))
        # The denominators are unfilled + the sum of selector * (alpha - fingerprint).
        found = combination([denominator, *sent], [ONE, *scales]) - AffineForm(constants)
        channel.require_zero(ENTRY_DENOMINATOR_CHECK, found)

    stack = instance.rows
    at = point[len(point) - stack.variables :]
    selectors = stack.selectors(at)
    owns = [at[len(at) - table.variables :] for table in instance.tables]
    make_all = None if witness is None else partial(_multiplicity_values, witness, owns)
    values = channel.exchange("lookup multiplicities", len(instance.tables), make_all)
    numerator, denominator = fractions[-1]
    channel.require_zero(ROW_NUMERATOR_CHECK, numerator - combination(values, selectors))
    denominator_at = stack.unfilled(at)
    for table, own, selector, (columns, constant) in zip(instance.tables, owns, selectors, weights, strict=True):
        row = fingerprint(table.evaluate(own), columns, constant)
        denominator_at = ext_add(denominator_at, ext_mul(selector, ext_sub(alpha, row)))
    channel.require_zero(ROW_DENOMINATOR_CHECK, denominator - AffineForm(denominator_at))
    multiplicities = tuple(Claim(own, (value,)) for own, value in zip(owns, values, strict=True))
    return LookupClaims(tuple(blocks[i] for i in range(len(blocks))), multiplicities)


def _multiplicity_values(witness: LookupWitness, points: Sequence[Point]) -> list[Ext]:
    return [witness.multiplicity_value(table, point) for table, point in enumerate(points)]
