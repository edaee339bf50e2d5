"""Claims: docs/protocol/reduction.md, section 3. Each says which value a functional has."""

from dataclasses import dataclass

from zkinfer.protocol.field.scalar import ZERO, Ext, eq_table
from zkinfer.verifier.reference.channel import AffineForm
from zkinfer.verifier.reference.elements import Point
from zkinfer.verifier.reference.plan import Matrices
from zkinfer.verifier.reference.weights import Weights


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
                offset = self._plan.matrices[matrix].offset(vector, number)
                found.append(BoxWeights(matrix, offset, box.variables, entries))
        return found
