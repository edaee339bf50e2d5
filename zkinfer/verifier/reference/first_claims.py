"""The first claims, from lookups and outputs: docs/protocol/reduction.md, section 4."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ZERO, Ext, eq_table, ext_mul, ext_pow, ext_scale, mle
from zkinfer.verifier.reference.channel import AffineForm, Channel, sum_of
from zkinfer.verifier.reference.claims import Claims
from zkinfer.verifier.reference.elements import FIELD_SIZE, Point, integer, total
from zkinfer.verifier.reference.lookups import verify_lookups
from zkinfer.verifier.reference.plan import OUTPUTS, WITNESS, Box, Plan
from zkinfer.verifier.reference.sumcheck import verify_products
from zkinfer.verifier.reference.weights import Shape, Weights, axis_tables, indices, place, product_of

Integers = Sequence[int]

MAX_PADDING = 8
"""Boxes are gathered if the filled up axes have no more than so many times the places of the tensor."""


def claim_lookups(plan: Plan, channel: Channel, claims: Claims) -> Point:
    """Run the lookup argument, and claim what it leaves.

    Returns:
        The longest point of those claims; empty without lookups.
    """
    if plan.lookups is None:
        return ()
    blocks, counts = verify_lookups(plan.lookups, channel)
    sources: list[Source] = []
    for site in plan.sites:
        on_boxes: list[tuple[Point, AffineForm]] = []
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
            behind = total(weight for at, weight in zip(box.places, eq_table(point), strict=True) if at is None)
            on_boxes.append((point, source - AffineForm(ext_scale(behind, site.padding % P))))
        if site.source is not None:
            sources.append(Source(site.source, plan.shape(site.source), site.boxes, on_boxes))
    for vector, (point, (count,)) in zip(plan.multiplicities, counts, strict=True):
        claims.add_box(WITNESS, vector, 0, point, count)
    gathered = iter(_gathered([one for one in sources if one.is_gathered], channel))
    for one in sources:
        if one.is_gathered:
            claims.add(one.value, *next(gathered))
            continue
        for box, (point, value) in zip(one.boxes, one.claimed, strict=True):
            claims.add(one.value, _on_box(one.shape, box, point), value)
    return max((point for point, _ in [*blocks, *counts]), key=len)


def _on_box(shape: Shape, box: Box, point: Point) -> Weights:
    """The functional of a tensor that is the extension of one of its boxes at a point, zeros behind the tensor."""
    entries = [ZERO] * math.prod(shape)
    for at, weight in zip(box.places, eq_table(point), strict=True):
        if at is not None:
            entries[at] = weight
    return Weights(shape, tuple(entries))


@dataclass(frozen=True)
class Source:
    """What a Lookup is applied to.

    Attributes:
        value: its number.
        shape: its axis of runs included.
        boxes: of the Lookup's result.
        claimed: for each box a point, and the value that the source is claimed to have there.
    """

    value: int
    shape: Shape
    boxes: list[Box]
    claimed: list[tuple[Point, AffineForm]]

    @property
    def padded(self) -> list[int]:
        """The lengths of the axes, each filled up to a power of two."""
        return [1 << (n - 1).bit_length() for n in self.shape]

    @property
    def is_gathered(self) -> bool:
        """Whether the claims on the boxes become one."""
        return len(self.boxes) > 1 and math.prod(self.padded) <= MAX_PADDING * math.prod(self.shape)


def _gathered(sources: Sequence[Source], channel: Channel) -> list[tuple[Weights, AffineForm]]:
    """Gather the claims on the boxes of each source: one functional and its value for each."""
    if not sources:
        return []
    most = max(len(source.boxes) for source in sources)
    g = channel.draw("gathered boxes", most - 1)
    sums = [sum_of(value.scaled(ext_pow(g, b)) for b, (_, value) in enumerate(source.claimed)) for source in sources]
    variables = [sum((n - 1).bit_length() for n in source.shape) for source in sources]
    gathered = []
    for source, (point, (weight, value)) in zip(sources, verify_products(channel, variables, sums), strict=True):
        channel.require_zero(weight - AffineForm(mle(_weights_of_boxes(source, g), point)))
        gathered.append((product_of(source.shape, axis_tables(source.shape, point)), value))
    return gathered


def _weights_of_boxes(source: Source, g: Ext) -> list[Ext]:
    """What the elements of the boxes are gathered with, every axis filled up to a power of two."""
    padded = source.padded
    entries = [ZERO] * math.prod(padded)
    for b, (box, (point, _)) in enumerate(zip(source.boxes, source.claimed, strict=True)):
        for index, weight in zip(indices([1 << k for k in box.exponents]), eq_table(point), strict=True):
            at = place([s + i for s, i in zip(box.start, index, strict=True)], padded)
            entries[at] = ext_mul(ext_pow(g, b), weight)
    return entries


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
