"""Claims that pass between the parts of the reduction."""

from dataclasses import dataclass

from zkinfer.protocol.channel import AffineForm
from zkinfer.protocol.field.scalar import Ext
from zkinfer.protocol.pcs.claims import ClaimGroup
from zkinfer.protocol.reduction.box_functional import BoxFunctional
from zkinfer.protocol.reduction.functional import Functional
from zkinfer.protocol.reduction.layout import RowBlock
from zkinfer.protocol.sumcheck.params import Point


@dataclass(frozen=True)
class ValueClaim:
    """The sum of functionals of values of the program is `value`; each term names its value by number."""

    terms: tuple[tuple[int, Functional], ...]
    value: AffineForm


@dataclass(frozen=True)
class CommittedTerm:
    """A functional of a committed vector, or of one of its boxes: the multilinear extension of that box at a point."""

    matrix: int
    vector: int
    functional: Functional | None = None
    box: int = 0
    point: Point = ()


@dataclass(frozen=True)
class CommittedClaim:
    """The sum of the terms is `value`."""

    terms: tuple[CommittedTerm, ...]
    value: AffineForm


@dataclass(frozen=True, eq=False)
class BlockSum:
    """A weighted sum of the cells of a block of rows of a matrix.

    Attributes:
        matrix: its number.
        block: the rows.
        parts: coefficients and weights on boxes; the weights of a cell are the sum of coefficient * weight.
    """

    matrix: int
    block: RowBlock
    parts: tuple[tuple[Ext, BoxFunctional], ...]


@dataclass(frozen=True)
class OpeningClaims:
    """What is left to open, of the weights' matrix, and of all others together: nothing, or a group of one claim."""

    weights: list[ClaimGroup]
    witness: list[ClaimGroup]
