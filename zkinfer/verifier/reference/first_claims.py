"""The first claims, from lookups and outputs: docs/protocol/reduction.md, section 4."""

import math
from collections.abc import Sequence

from zkinfer.protocol.field.scalar import ZERO, eq_table
from zkinfer.verifier.reference.channel import AffineForm, Channel
from zkinfer.verifier.reference.claims import Claims
from zkinfer.verifier.reference.elements import FIELD_SIZE, Point, integer
from zkinfer.verifier.reference.lookups import verify_lookups
from zkinfer.verifier.reference.plan import OUTPUTS, WITNESS, Box, Plan
from zkinfer.verifier.reference.weights import Weights, axis_tables, product_of

Integers = Sequence[int]


def claim_lookups(plan: Plan, channel: Channel, claims: Claims) -> Point:
    """Run the lookup argument, and claim what it leaves.

    Returns:
        The longest point of those claims; empty without lookups.
    """
    if plan.lookups is None:
        return ()
    blocks, counts = verify_lookups(plan.lookups, channel)
    for site in plan.sites:
        for number, (box, own) in enumerate(zip(site.boxes, site.blocks, strict=True)):
            (point, columns), *limbs = (blocks[block] for block in own)
            index, output = columns[0], columns[-1]
            claims.add_box(site.matrix, site.vector, number, point, output)
            # The source is 2^s * index - half + remainder, and the remainder is made up of its limbs.
            source = index.scaled(integer(2**site.shift)) - AffineForm(integer(2**site.shift // 2))
            at = 0
            for (bits, vector), (_, (limb,)) in zip(site.limbs, limbs, strict=True):
                claims.add_box(site.matrix, vector, number, point, limb)
                source += limb.scaled(integer(2**at))
                at += bits
            if site.source is not None:
                claims.add(site.source, _on_box(plan.shape(site.source), box, point), source)
    for vector, (point, (count,)) in zip(plan.multiplicities, counts, strict=True):
        claims.add_box(WITNESS, vector, 0, point, count)
    return max((point for point, _ in [*blocks, *counts]), key=len)


def _on_box(shape: tuple[int, ...], box: Box, point: Point) -> Weights:
    """The functional of a tensor that is the extension of one of its boxes at a point."""
    entries = [ZERO] * math.prod(shape)
    for at, weight in zip(box.places, eq_table(point), strict=True):
        entries[at] = weight
    return Weights(shape, tuple(entries))


def claim_outputs(
    plan: Plan, outputs: Sequence[Integers | None], point: Point, channel: Channel, claims: Claims
) -> None:
    """Claim that the program computes its outputs.

    Args:
        outputs: the integers of each, row-major, over all runs; None where it is private.
        point: that `claim_lookups` gave.
    """
    private, longest = 0, 0
    for value, integers in zip(plan.program.outputs, outputs, strict=True):
        shape = (plan.runs, *plan.program.tensor(value).shape)
        variables = sum((n - 1).bit_length() for n in shape)
        while len(point) < variables:
            point = (channel.draw("output point"), *point)
        longest = max(longest, variables)
        stated = product_of(shape, axis_tables(shape, point[len(point) - variables :]))
        computed = stated if plan.varies[value] else stated.summed_over_runs()
        if integers is None:
            (claimed,) = channel.receive("private output", 1)
            claims.add_vector(OUTPUTS, private, computed, claimed)
            private += 1
        else:
            claimed = AffineForm(stated.of(integers))
        claims.add(value, computed, claimed)
    channel.error += longest / FIELD_SIZE
