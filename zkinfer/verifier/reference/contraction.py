"""Contractions of Einsums of two operands: docs/protocol/reduction.md, section 5."""

from dataclasses import dataclass

from zkinfer.circuit.program import Einsum
from zkinfer.protocol.field.scalar import ONE, Ext, ext_mul
from zkinfer.verifier.reference.elements import Point, total
from zkinfer.verifier.reference.weights import Shape, Weights, axis_tables, boundaries, factored, indices, place

RUNS, ONCE = "R", "O"
"""Letters of the axis of runs: that of the result, and that of an operand which all runs share."""

Factor = tuple[str, tuple[Ext, ...]]
"""Letters, and weights by their indices, row-major."""


@dataclass(frozen=True)
class Contraction:
    """U(result) = sum over the shared letters of A'[s] B'[s], for a functional U.

    Attributes:
        operands: the values A and B.
        letters: of the axes of A and of B.
        shared: the letters that the sumcheck sums over, in the order of its variables.
        sizes: of all letters.
        factors: those that A is multiplied with, and those of B.
        scale: multiplies A as well.
    """

    operands: tuple[int, int]
    letters: tuple[str, str]
    shared: str
    sizes: dict[str, int]
    factors: tuple[list[Factor], list[Factor]]
    scale: Ext

    @property
    def variables(self) -> int:
        """How many the sumcheck has."""
        return sum((self.sizes[c] - 1).bit_length() for c in self.shared)

    def at(self, point: Point) -> tuple[Weights, Weights]:
        """The functionals of A and of B whose values are the extensions of A' and B' at a point."""
        tables = dict(zip(self.shared, axis_tables([self.sizes[c] for c in self.shared], point), strict=True))
        return self._side(0, tables, self.scale), self._side(1, tables, ONE)

    def _side(self, side: int, tables: dict[str, list[Ext]], scale: Ext) -> Weights:
        own, factors = self.letters[side], self.factors[side]
        foreign = "".join(dict.fromkeys(c for letters, _ in factors for c in letters if c not in own))
        entries = []
        for index in indices([self.sizes[c] for c in own]):
            summands = []
            for other in indices([self.sizes[c] for c in foreign]):
                at = dict(zip(own + foreign, (*index, *other), strict=True))
                weight = scale
                for letters, factor in factors:
                    sizes = [self.sizes[c] for c in letters]
                    weight = ext_mul(weight, factor[place([at[c] for c in letters], sizes)])
                for c in self.shared:
                    if c in at:
                        weight = ext_mul(weight, tables[c][at[c]])
                summands.append(weight)
            entries.append(total(summands))
        return Weights(tuple(self.sizes[c] for c in own), tuple(entries))


def contract(node: Einsum, weights: Weights, shapes: tuple[Shape, Shape]) -> Contraction:
    """What proves a functional of an Einsum's result, which is not zero.

    Args:
        shapes: of both operands, their axes of runs included.
    """
    left, _, out = node.subscripts.partition("->")
    runs = weights.shape[0]
    names = [(RUNS if shape[0] == runs else ONCE) + c for shape, c in zip(shapes, left.split(","), strict=True)]
    sizes = {c: n for letters, shape in zip(names, shapes, strict=True) for c, n in zip(letters, shape, strict=True)}
    product = factored(weights, boundaries(weights))
    factors = [((RUNS + out)[a:b], f) for (a, b), f in zip(product.bounds, product.factors, strict=True)]
    common = set(names[0]) & set(names[1])
    alone = [set(letters) - common for letters in names]
    mixed = [letters for letters, _ in factors if not any(set(letters) <= only for only in alone)]
    shared = common | {c for letters in mixed for c in letters if c in names[1]}
    on_b = [(letters, f) for letters, f in factors if set(letters) <= alone[1]]
    on_a = [(letters, f) for letters, f in factors if not set(letters) <= alone[1]]
    order = "".join(c for c in names[1] if c in shared)
    a, b = node.operands
    return Contraction((a, b), (names[0], names[1]), order, sizes, (on_a, on_b), product.scale)
