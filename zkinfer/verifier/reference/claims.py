"""Claims: docs/protocol/reduction.md, section 3. Each says which value a functional has."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, eq_table, ext_add, ext_inv, ext_mul, ext_sub
from zkinfer.verifier.reference.channel import AffineForm
from zkinfer.verifier.reference.elements import Point
from zkinfer.verifier.reference.plan import WEIGHTS, Box, Matrices
from zkinfer.verifier.reference.weights import Weights, boundaries, factored, product_of


@dataclass(frozen=True)
class BoxWeights:
    """A part of a claim: weights, not all zero, on one box of a matrix.

    Attributes:
        matrix: its number.
        offset: the first cell of the box.
        variables: k, for 2^k cells.
        entries: the weights, in the order of the box.
    """

    matrix: int
    offset: int
    variables: int
    entries: tuple[Ext, ...]


@dataclass(frozen=True)
class CommittedClaim:
    """The sum over all parts of weights * cells is `value`. `one_term`: the parts are of one functional."""

    parts: list[BoxWeights]
    value: AffineForm
    one_term: bool


class Claims:
    """The claims that are left to prove.

    Attributes:
        committed: about committed tensors, in order.
        waiting: about other values, in order: the value's number, the functional, and the value that it has.
    """

    def __init__(self, plan: Matrices) -> None:
        self.committed: list[CommittedClaim] = []
        self.waiting: list[tuple[int, Weights, AffineForm]] = []
        self._plan = plan

    def add(self, value: int, weights: Weights, claimed: AffineForm) -> None:
        """A functional of a value of the program."""
        if value in self._plan.committed:
            self.add_terms([(value, weights)], claimed)
        else:
            self.waiting.append((value, weights, claimed))

    def add_terms(self, terms: list[tuple[int, Weights]], claimed: AffineForm) -> None:
        """The sum of functionals of committed values."""
        parts = [part for value, weights in terms for part in self._parts(*self._plan.committed[value], weights)]
        self.committed.append(CommittedClaim(parts, claimed, len(terms) == 1))

    def add_vector(self, matrix: int, vector: int, weights: Weights, claimed: AffineForm) -> None:
        """A functional of a tensor of a matrix."""
        self.committed.append(CommittedClaim(self._parts(matrix, vector, weights), claimed, True))

    def add_box(self, matrix: int, vector: int, number: int, point: Point, claimed: AffineForm) -> None:
        """The extension of one box of a tensor of a matrix, at a point."""
        offset = self._plan.matrices[matrix].offset(vector, number)
        part = BoxWeights(matrix, offset, len(point), tuple(eq_table(point)))
        self.committed.append(CommittedClaim([part], claimed, True))

    def _parts(self, matrix: int, vector: int, weights: Weights) -> list[BoxWeights]:
        found = []
        for number, box in enumerate(self._plan.matrices[matrix].vectors[vector]):
            entries = tuple(ZERO if at is None else weights.entries[at] for at in box.places)
            if any(entry != ZERO for entry in entries):
                if matrix == WEIGHTS and self._plan.zeros_behind_weights and box.lengthened:
                    entries = _extended(entries, box)
                offset = self._plan.matrices[matrix].offset(vector, number)
                found.append(BoxWeights(matrix, offset, box.variables, entries))
        return found


def _extended(entries: tuple[Ext, ...], box: Box) -> tuple[Ext, ...]:
    """Weights on a box, not all zero, of a tensor that is zero behind: with other weights there ("Extending")."""
    whole = Weights(tuple(1 << k for k in box.exponents), entries)
    axes = set(range(1, len(box.exponents)))
    if boundaries(whole) != axes:
        return entries
    product = factored(whole, axes)
    strides = [math.prod(whole.shape[axis + 1 :]) for axis in range(len(whole.shape))]
    inside = [
        sum(box.places[i * stride] is not None for i in range(size))
        for size, stride in zip(whole.shape, strides, strict=True)
    ]
    factors = [_continued(factor, n) for factor, n in zip(product.factors, inside, strict=True)]
    return product_of(whole.shape, factors).scaled(product.scale).entries


def _continued(factor: Sequence[Ext], inside: int) -> Sequence[Ext]:
    """The multiple of an eq table whose first entries, so many, those of a factor are; the factor if there is none."""
    if inside == len(factor):
        return factor
    z: list[Ext] = []
    at_zero = ONE
    for j in reversed(range((len(factor) - 1).bit_length())):
        one = factor[1 << j] if 1 << j < inside else ZERO
        both = ext_add(factor[0], one)
        if both == ZERO:
            return factor
        z.append(ext_mul(one, ext_inv(both)))
        at_zero = ext_mul(at_zero, ext_sub(ONE, z[-1]))
    if at_zero == ZERO:
        return factor
    scale = ext_mul(factor[0], ext_inv(at_zero))
    table = [ext_mul(scale, entry) for entry in eq_table(z)]
    return table if table[:inside] == list(factor[:inside]) else factor
