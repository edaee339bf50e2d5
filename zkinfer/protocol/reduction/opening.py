"""From claims on committed vectors to claims for matrix openings.

A claim whose weights are the same eq-point in every row, times a factor for the row, needs no more than a combination
of rows, if many cells share its column point: it goes directly into the opening. All other claims are combined by
powers of a challenge into

    sum over cells of W[cell] * cell = v

with public W, and a sumcheck over the units concerned leaves one evaluation of each, all at the end of one point.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from zkinfer.protocol.channel import ZERO_FORM, AffineForm
from zkinfer.protocol.field import modular
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, Ext, eq, ext_add, ext_mul
from zkinfer.protocol.pcs.params import Code
from zkinfer.protocol.reduction.box_functional import BoxFunctional
from zkinfer.protocol.reduction.contraction import PRODUCT
from zkinfer.protocol.reduction.functional import dense_on, vectors_on
from zkinfer.protocol.reduction.layout import unit_of
from zkinfer.protocol.reduction.party import BlockSum, Group, VerifierParty
from zkinfer.protocol.reduction.plan import INPUTS, WEIGHTS, WITNESS, Plan
from zkinfer.protocol.reduction.reduce import CommittedClaim, CommittedTerm
from zkinfer.protocol.sumcheck.params import Batch, Instance, Point, powers
from zkinfer.typing import IntArray

DIRECT_CELLS = 64
"""A column point is opened by itself if its claims are about this many cells for each symbol that its combination
sends: below, the sumcheck is cheaper for the prover, counting a byte of proof as 100 ns."""

MAX_DIRECT = 16
"""Column points of an opening that are opened by themselves, at most."""

WEIGHT_CHECK = "the weights of a sumcheck over committed cells"
SPLIT_CHECK = "the sums over units add up to the claims"


class Part(NamedTuple):
    """A part of a functional.

    Attributes:
        matrix: that its box lies in.
        box: the weights.
        by_rows: these as `BoxFunctional.by_rows` gives them, if the box has a row of the matrix at least.
    """

    matrix: int
    box: BoxFunctional
    by_rows: tuple[IntArray, Point] | None


Columns = tuple[int, Point]
"""An opening and a column point of it."""


@dataclass(frozen=True)
class Openings:
    """What is left to open: groups of the weights' matrix, and of all others together."""

    weights: list[Group]
    witness: list[Group]


def _columns(part: Part) -> Columns | None:
    """Where a part could be opened directly."""
    return None if part.by_rows is None else (int(part.matrix != WEIGHTS), part.by_rows[1])


@dataclass
class _Sums:
    """A claim that parts add up to a value."""

    parts: list[Part] = field(default_factory=list)
    value: AffineForm = ZERO_FORM


class OpeningPlanner:
    """Sorts claims into openings.

    Args:
        codes: of the weights' matrix, and of the others.
    """

    def __init__(self, plan: Plan, codes: tuple[Code, Code], party: VerifierParty) -> None:
        self.plan = plan
        self.codes = codes
        self.party = party

    def run(self, claims: Sequence[CommittedClaim]) -> Openings:
        """Reduce claims on committed vectors to groups, one claim each.

        Raises:
            VerificationError: the messages are malformed, or a check fails.
        """
        sums = [_Sums([p for term in claim.terms for p in self._parts(term)], claim.value) for claim in claims]
        alone = [len(claim.terms) == 1 for claim in claims]
        direct, rest = self._separate(sums, alone, self._selected(sums, alone))
        groups: tuple[list[Group], list[Group]] = ([], [])
        if direct:
            challenge = self.party.challenge("direct claims", max(map(len, direct.values())))
            for (opening, point), found in direct.items():
                groups[opening].append(self._direct_group(opening, point, found, challenge))
        if rest:
            for opening, group in self._summed(rest):
                groups[opening].append(group)
        return Openings(*groups)

    def _code(self, matrix: int) -> Code:
        return self.codes[matrix != WEIGHTS]

    def _parts(self, term: CommittedTerm) -> list[Part]:
        """The term box by box, boxes with weight zero left out."""
        layout = self.plan.layouts[term.matrix]
        cut, offsets = layout.cuts[term.vector], layout.offsets[term.vector]
        if term.functional is None:
            box = cut.boxes[term.box]
            return [
                self._part(term.matrix, BoxFunctional(term.vector, term.box, offsets[term.box], box, known=term.point))
            ]
        parts = []
        for number, (box, offset) in enumerate(zip(cut.boxes, offsets, strict=True)):
            found = vectors_on(term.functional, cut, box)
            scale = term.functional.scale
            if found is None:
                found, scale = (dense_on(term.functional, cut, box),), ONE
            if all(vector.any() for vector in found):
                parts.append(
                    self._part(term.matrix, BoxFunctional(term.vector, number, offset, box, scale, vectors=found))
                )
        return parts

    def _part(self, matrix: int, box: BoxFunctional) -> Part:
        log_columns = self._code(matrix).log_columns
        return Part(matrix, box, box.by_rows(log_columns) if box.variables >= log_columns else None)

    def _selected(self, sums: Sequence[_Sums], alone: Sequence[bool]) -> set[Columns]:
        """The column points that are worth an opening of their own."""
        cells: dict[Columns, int] = {}
        for claim, single in zip(sums, alone, strict=True):
            for part in claim.parts if single else ():
                columns = _columns(part)
                if columns is not None:
                    cells[columns] = cells.get(columns, 0) + (1 << part.box.variables)
        chosen: set[Columns] = set()
        for opening, code in enumerate(self.codes):
            enough = [c for c, n in cells.items() if c[0] == opening and n >= DIRECT_CELLS * code.dimension]
            chosen |= set(sorted(enough, key=lambda c: -cells[c])[:MAX_DIRECT])
        return chosen

    def _separate(
        self, sums: Sequence[_Sums], alone: Sequence[bool], selected: set[Columns]
    ) -> tuple[dict[Columns, list[_Sums]], list[_Sums]]:
        """What is opened directly, by column point, and the rest; a claim that has both is split by what is sent."""
        direct: dict[Columns, list[_Sums]] = {}
        rest: list[_Sums] = []
        for claim, single in zip(sums, alone, strict=True):
            by_columns: dict[Columns | None, list[Part]] = {}
            for part in claim.parts:
                columns = _columns(part) if single else None
                by_columns.setdefault(columns if columns in selected else None, []).append(part)
            kinds = list(by_columns) or [None]
            sent = [[self._unit_sum(part, ONE) for part in by_columns[kind]] for kind in kinds[1:]]
            values = self.party.sums("parts of a claim", sent) if sent else []
            first = claim.value
            for value in values:
                first = first - value
            for kind, value in zip(kinds, [first, *values], strict=True):
                found = _Sums(by_columns.get(kind, []), value)
                if kind is None:
                    rest.append(found)
                else:
                    direct.setdefault(kind, []).append(found)
        return direct, rest

    def _unit_sum(self, part: Part, coefficient: Ext) -> BlockSum:
        matrix, box = part.matrix, part.box
        unit = unit_of(self.plan.layouts[matrix], box.box, box.offset, self._code(matrix).log_columns)
        return BlockSum(matrix, unit, ((coefficient, box),))

    def _rows(self, opening: int) -> dict[int, int]:
        """The first row of each matrix that is opened together; behind them, under -1, the number of rows."""
        log_columns = self.codes[opening].log_columns
        matrices = (WEIGHTS,) if opening == 0 else tuple(range(INPUTS, WITNESS + 1))
        starts, total = {}, 0
        for matrix in matrices:
            starts[matrix] = total
            total += self.plan.layouts[matrix].rows(log_columns)
        return starts | {-1: total}

    def _direct_group(self, opening: int, point: Point, found: Sequence[_Sums], challenge: Ext) -> Group:
        starts = self._rows(opening)
        rows = np.zeros((3, starts[-1]), dtype=np.int64)
        total = ZERO_FORM
        log_columns = self.codes[opening].log_columns
        for claim, coefficient in zip(found, powers(challenge, len(found)), strict=True):
            total = total + claim.value.scale(coefficient)
            for part in claim.parts:
                assert part.by_rows is not None
                weights = _scaled(part.by_rows[0], coefficient)
                first = starts[part.matrix] + (part.box.offset >> log_columns)
                at = slice(first, first + weights.shape[1])
                rows[:, at] = (rows[:, at] + weights) % P
        return Group(point, rows, total)

    def _summed(self, rest: Sequence[_Sums]) -> list[tuple[int, Group]]:
        """The sumcheck over cells, and what it leaves: a group for each opening."""
        coefficients = powers(self.party.challenge("committed claims", len(rest)), len(rest))
        by_unit: dict[tuple[int, int], BlockSum] = {}
        total = ZERO_FORM
        for claim, coefficient in zip(rest, coefficients, strict=True):
            total = total + claim.value.scale(coefficient)
            for part in claim.parts:
                one = self._unit_sum(part, coefficient)
                key = (one.matrix, one.unit.start)
                known = by_unit.get(key)
                by_unit[key] = one if known is None else BlockSum(one.matrix, one.unit, known.parts + one.parts)
        units = [by_unit[key] for key in sorted(by_unit)]
        if not units:
            self.party.require_zero(SPLIT_CHECK, total)
            return []
        sent = self.party.sums("sums over units", [[unit] for unit in units[1:]]) if len(units) > 1 else []
        first = total
        for value in sent:
            first = first - value
        batch = Batch(tuple(Instance(unit.unit.variables, 2, PRODUCT) for unit in units))
        reduced = self.party.unit_sums(batch, units, [first, *sent])
        for unit, left in zip(units, reduced, strict=True):
            self.party.require_zero(WEIGHT_CHECK, left.values[1] - AffineForm(weight_at(unit, left.point)))
        return [
            (opening, self._unit_group(opening, units, [(c.point, c.values[0]) for c in reduced]))
            for opening in (0, 1)
            if any(int(unit.matrix != WEIGHTS) == opening for unit in units)
        ]

    def _unit_group(self, opening: int, units: Sequence[BlockSum], claims: Sequence[tuple[Point, AffineForm]]) -> Group:
        starts, log_columns = self._rows(opening), self.codes[opening].log_columns
        rows = np.zeros((3, starts[-1]), dtype=np.int64)
        total = ZERO_FORM
        columns: Point = ()
        coefficients = powers(self.party.challenge("units", len(units)), len(units))
        for unit, (point, value), coefficient in zip(units, claims, coefficients, strict=True):
            if int(unit.matrix != WEIGHTS) != opening:
                continue
            split = len(point) - log_columns
            first = starts[unit.matrix] + (unit.unit.start >> log_columns)
            rows[:, first : first + (1 << split)] = _scaled(modular.eq_table(point[:split]), coefficient)
            total, columns = total + value.scale(coefficient), point[split:]
        return Group(columns, rows, total)


def weight_at(unit: BlockSum, point: Point) -> Ext:
    """The multilinear extension of a unit's weights at a point."""
    total: Ext = (0, 0, 0)
    for coefficient, part in unit.parts:
        high = unit.unit.variables - part.variables
        place = (part.offset - unit.unit.start) >> part.variables
        bits: list[Ext] = [(place >> (high - 1 - j) & 1, 0, 0) for j in range(high)]
        selector = ext_mul(coefficient, eq(bits, point[:high]))
        total = ext_add(total, ext_mul(selector, part.evaluate(point[high:])))
    return total


def _scaled(table: IntArray, factor: Ext) -> IntArray:
    return modular.ext_mul(table, modular.from_exts([factor]))
