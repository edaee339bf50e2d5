"""From claims on committed vectors to claims for matrix openings.

A claim whose weights are the same eq-point in every row, times a factor for the row, needs no more than a combination
of rows, if many cells share its column point: it is a claim of an opening as it is. All other claims are combined by
powers of a challenge into

    sum over cells of W[cell] * cell = v

with public W, and a sumcheck over the blocks of rows concerned leaves one evaluation of each, all at the end of one
point. Then the column points of an opening are joined (`columns`).
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np

from zkinfer.protocol import security
from zkinfer.protocol.channel import ZERO_FORM, AffineForm, Channel, combination, difference
from zkinfer.protocol.field import modular
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, Ext, ext_dot, ext_mul, ext_powers
from zkinfer.protocol.pcs.claims import ClaimGroup, RowClaim
from zkinfer.protocol.pcs.copies import VEIL_ROWS, Link
from zkinfer.protocol.pcs.params import Code
from zkinfer.protocol.reduction.box_functional import BoxFunctional, PointEnds, RowWeights, rows_of_point
from zkinfer.protocol.reduction.boxes import Cut
from zkinfer.protocol.reduction.claims import BlockSum, CommittedClaim, CommittedTerm, OpeningClaims
from zkinfer.protocol.reduction.columns import join_columns
from zkinfer.protocol.reduction.contraction import PRODUCT
from zkinfer.protocol.reduction.functional import Functional
from zkinfer.protocol.reduction.layout import block_of
from zkinfer.protocol.reduction.plan import INPUTS, WEIGHTS, WITNESS
from zkinfer.protocol.reduction.reduce import noted_sumcheck, phase_of
from zkinfer.protocol.reduction.restriction import AxisWeights, Restriction
from zkinfer.protocol.reduction.shared import Shared
from zkinfer.protocol.reduction.weight_ranges import AnyPlan
from zkinfer.protocol.reduction.witness import ReductionWitness
from zkinfer.protocol.sumcheck.params import Batch, Claim, Instance, Point
from zkinfer.typing import IntArray

DIRECT_CELLS = 8
"""A column point has a claim of its own if it is about this many cells for each column of the matrix: below, the
sumcheck over cells takes a prover less time than the claim's combination of rows, and its share of what joins them."""

CELLS_SUMCHECK = "sumcheck of committed cells"
WEIGHT_CHECK = "the weights of a sumcheck over committed cells"
SPLIT_CHECK = "the sums over blocks add up to the claims"

WEIGHTS_OPENING, WITNESS_OPENING = 0, 1
"""Weights are opened by themselves; private inputs, private outputs and witness together."""


class MatrixPart(NamedTuple):
    """The part of a functional that lies on one box of a matrix.

    Attributes:
        matrix: that the box lies in.
        box: the weights.
        by_rows: these without their scale, as `BoxFunctional.by_rows` gives them, if the box has a row of the matrix
            at least.
    """

    matrix: int
    box: BoxFunctional
    by_rows: RowWeights | None

    @property
    def opening(self) -> int:
        """Which opening the matrix belongs to."""
        return WEIGHTS_OPENING if self.matrix == WEIGHTS else WITNESS_OPENING

    @property
    def columns(self) -> "Columns | None":
        """Where the part could be opened directly."""
        return None if self.by_rows is None else Columns(self.opening, self.by_rows.point)


class Columns(NamedTuple):
    """A column point of an opening."""

    opening: int
    point: Point


@dataclass
class PartsClaim:
    """The claim that parts add up to a value."""

    parts: list[MatrixPart] = field(default_factory=list)
    value: AffineForm = ZERO_FORM


def plan_openings(
    plan: AnyPlan,
    claims: Sequence[CommittedClaim],
    codes: tuple[Code, Code],
    channel: Channel,
    witness: ReductionWitness | None = None,
    link: Link | None = None,
) -> OpeningClaims:
    """Reduce claims on committed vectors to one claim for each opening at most.

    Args:
        plan: what the proof is made of.
        claims: what `reduce_statement` or `reduce_ranges` leaves.
        codes: of the weights' matrix, and of the others.
        channel: of this side.
        witness: of the prover's side.
        link: of the weights' copies, if there are several: shown too where the weights are opened.

    Raises:
        VerificationError: the messages are malformed, or a check fails.
    """
    return _OpeningPlanner(plan, codes, channel, witness, link).run(claims)


class _OpeningPlanner:
    def __init__(
        self,
        plan: AnyPlan,
        codes: tuple[Code, Code],
        channel: Channel,
        witness: ReductionWitness | None,
        link: Link | None,
    ) -> None:
        self.plan = plan
        self.codes = codes
        self.channel = channel
        self.witness = witness
        self.link = link
        self.shared = Shared()
        self.on_boxes: dict[Hashable, list[tuple[int, tuple[AxisWeights, ...], RowWeights | None]]] = {}
        self.vectors: dict[Hashable, AxisWeights] = {}
        self.first_rows, self.rows = _row_map(plan, codes, VEIL_ROWS if link else 0)

    def run(self, claims: Sequence[CommittedClaim]) -> OpeningClaims:
        sums = [PartsClaim([p for term in claim.terms for p in self._parts(term)], claim.value) for claim in claims]
        alone = [len(claim.terms) == 1 for claim in claims]
        direct, rest = self._separate(sums, alone, self._selected(sums, alone))
        groups: tuple[list[ClaimGroup], list[ClaimGroup]] = ([], [])
        if direct:
            challenge = self._challenge("direct claims", max(map(len, direct.values())))
            for columns, found in direct.items():
                groups[columns.opening].append(self._direct_group(columns, found, challenge))
        if rest:
            for opening, group in self._summed(rest):
                groups[opening].append(group)
        if self.link and groups[WEIGHTS_OPENING]:
            self.channel.note(self.link.term)
            groups[WEIGHTS_OPENING].append(self.link.group)
        return OpeningClaims(*(self._joined(opening, found) for opening, found in enumerate(groups)))

    def _joined(self, opening: int, groups: Sequence[ClaimGroup]) -> list[ClaimGroup]:
        """One group where there are several."""
        matrices = (WEIGHTS,) if opening == WEIGHTS_OPENING else tuple(range(INPUTS, WITNESS + 1))
        witness, log_columns = self.witness, self.codes[opening].log_columns
        with phase_of(witness, "column points"):
            make = None if witness is None else partial(witness.column_sumcheck, matrices, log_columns)
            return join_columns(groups, self.channel, make)

    def _challenge(self, label: str, combined: int) -> Ext:
        """A challenge whose powers combine so many claims."""
        self.channel.note(security.batching(label, combined))
        return self.channel.challenge(label)

    def _log_columns(self, matrix: int) -> int:
        return self.codes[matrix != WEIGHTS].log_columns

    def _parts(self, term: CommittedTerm) -> list[MatrixPart]:
        """The term box by box, without boxes whose weights are all zero."""
        layout = self.plan.layouts[term.matrix]
        cut, offsets = layout.cuts[term.vector], layout.offsets[term.vector]
        log_columns = self._log_columns(term.matrix)
        if term.functional is None:
            box = cut.boxes[term.box]
            rows = self.shared.of(rows_of_point, term.point, log_columns) if box.total >= log_columns else None
            known = BoxFunctional(term.vector, term.box, offsets[term.box], box, known=term.point)
            return [MatrixPart(term.matrix, known, rows)]
        extended = term.matrix == WEIGHTS and self.plan.zeros_behind_weights
        form, scale = self.shared.form(term.functional), term.functional.scale
        parts = []
        key = form, id(cut), extended, log_columns
        if key not in self.on_boxes:
            self.on_boxes[key] = self._on_boxes(form, cut, extended, log_columns)
        for number, vectors, rows in self.on_boxes[key]:
            own = BoxFunctional(term.vector, number, offsets[number], cut.boxes[number], scale, vectors=vectors)
            parts.append(MatrixPart(term.matrix, own, rows))
        return parts

    def _on_boxes(
        self, functional: Functional, cut: Cut, extended: bool, log_columns: int
    ) -> list[tuple[int, tuple[AxisWeights, ...], RowWeights | None]]:
        """The boxes of a tensor on which a functional is not zero: its vectors without the scale, and those by rows."""
        restricted = Restriction(functional, cut)
        found = []
        for number, box in enumerate(cut.boxes):
            vectors = restricted.vectors(box, extended=extended) or (AxisWeights(restricted.dense(box)),)
            if not any(vector.is_zero for vector in vectors):
                alike = tuple(map(self._alike, vectors))
                found.append((number, alike, _by_rows(BoxFunctional(0, number, 0, box, vectors=alike), log_columns)))
        return found

    def _alike(self, vector: AxisWeights) -> AxisWeights:
        """One object for all vectors of the same weights."""
        name = self.shared.name(vector.weights)
        return vector if name is None else self.vectors.setdefault(name, vector)

    def _selected(self, sums: Sequence[PartsClaim], alone: Sequence[bool]) -> set[Columns]:
        """The column points that are worth an opening of their own."""
        cells: dict[Columns, int] = {}
        for claim, single in zip(sums, alone, strict=True):
            for part in claim.parts if single else ():
                if part.columns is not None:
                    cells[part.columns] = cells.get(part.columns, 0) + (1 << part.box.variables)
        chosen: set[Columns] = set()
        for opening, code in enumerate(self.codes):
            chosen |= {c for c, n in cells.items() if c.opening == opening and n >= DIRECT_CELLS * code.columns}
        return chosen

    def _separate(
        self, sums: Sequence[PartsClaim], alone: Sequence[bool], selected: set[Columns]
    ) -> tuple[dict[Columns, list[PartsClaim]], list[PartsClaim]]:
        """What is opened directly, by column point, and the rest; a claim that has both is split by what is sent."""
        direct: dict[Columns, list[PartsClaim]] = {}
        rest: list[PartsClaim] = []
        for claim, single in zip(sums, alone, strict=True):
            by_columns: dict[Columns | None, list[MatrixPart]] = {}
            for part in claim.parts:
                columns = part.columns if single else None
                by_columns.setdefault(columns if columns in selected else None, []).append(part)
            kinds = list(by_columns) or [None]
            sent = [[self._block_sum(part, ONE) for part in by_columns[kind]] for kind in kinds[1:]]
            values = self._exchange_parts(sent) if sent else []
            first = difference(claim.value, values)
            for kind, value in zip(kinds, [first, *values], strict=True):
                found = PartsClaim(by_columns.get(kind, []), value)
                if kind is None:
                    rest.append(found)
                else:
                    direct.setdefault(kind, []).append(found)
        return direct, rest

    def _exchange_parts(self, sums: Sequence[Sequence[BlockSum]]) -> list[AffineForm]:
        """The values of sums of sums over blocks."""
        with phase_of(self.witness, "sums of parts"):
            make = None if self.witness is None else partial(self.witness.weighted_cells, sums)
            return self.channel.exchange("parts of a claim", len(sums), make)

    def _block_sum(self, part: MatrixPart, coefficient: Ext) -> BlockSum:
        matrix, box = part.matrix, part.box
        block = block_of(self.plan.layouts[matrix], box.box, box.offset, self._log_columns(matrix))
        return BlockSum(matrix, block, ((coefficient, box),))

    def _direct_group(self, columns: Columns, found: Sequence[PartsClaim], challenge: Ext) -> ClaimGroup:
        rows = np.zeros((3, self.rows[columns.opening]), dtype=np.int64)
        log_columns = self.codes[columns.opening].log_columns
        coefficients = ext_powers(challenge, len(found))
        for claim, coefficient in zip(found, coefficients, strict=True):
            for part in claim.parts:
                assert part.by_rows is not None
                weights = _scaled(part.by_rows.weights, ext_mul(coefficient, part.box.scale))
                first = self.first_rows[part.matrix] + (part.box.offset >> log_columns)
                at = slice(first, first + weights.shape[1])
                rows[:, at] = (rows[:, at] + weights) % P
        total = combination([claim.value for claim in found], coefficients)
        return ClaimGroup(columns.point, (RowClaim(rows, total),))

    def _summed(self, rest: Sequence[PartsClaim]) -> list[tuple[int, ClaimGroup]]:
        """The sumcheck over cells, and what it leaves: a group for each opening."""
        coefficients = ext_powers(self._challenge("committed claims", len(rest)), len(rest))
        total = combination([claim.value for claim in rest], coefficients)
        by_block: dict[tuple[int, int], list[BlockSum]] = {}
        for claim, coefficient in zip(rest, coefficients, strict=True):
            for part in claim.parts:
                one = self._block_sum(part, coefficient)
                by_block.setdefault((one.matrix, one.block.start), []).append(one)
        sums = [
            BlockSum(found[0].matrix, found[0].block, tuple(part for one in found for part in one.parts))
            for _, found in sorted(by_block.items())
        ]
        if not sums:
            self.channel.require_zero(SPLIT_CHECK, total)
            return []
        reduced = self._sumcheck(sums, total)
        weights = (part for one in sums for _, part in one.parts)
        ends = PointEnds(max((left.point for left in reduced), key=len), weights)
        for one, left in zip(sums, reduced, strict=True):
            self.channel.require_zero(WEIGHT_CHECK, left.values[1] - AffineForm(weight_at(one, ends)))
        return [
            (opening, self._block_group(opening, sums, [(c.point, c.values[0]) for c in reduced]))
            for opening in (WEIGHTS_OPENING, WITNESS_OPENING)
            if any((one.matrix != WEIGHTS) == opening for one in sums)
        ]

    def _sumcheck(self, sums: Sequence[BlockSum], total: AffineForm) -> list[Claim]:
        """One sumcheck for all blocks, whose sums add up to the total."""
        batch = Batch(tuple(Instance(one.block.variables, 2, PRODUCT) for one in sums))
        with phase_of(self.witness, "committed cells"):
            make = None if self.witness is None else partial(self.witness.block_sums, sums[1:])
            sent = self.channel.exchange("sums over units", len(sums) - 1, make) if len(sums) > 1 else []
            tables = None if self.witness is None else self.witness.block_sumcheck(batch, sums)
            return noted_sumcheck(CELLS_SUMCHECK, batch, [difference(total, sent), *sent], self.channel, tables)

    def _block_group(
        self, opening: int, sums: Sequence[BlockSum], claims: Sequence[tuple[Point, AffineForm]]
    ) -> ClaimGroup:
        log_columns = self.codes[opening].log_columns
        rows = np.zeros((3, self.rows[opening]), dtype=np.int64)
        found: list[tuple[AffineForm, Ext]] = []
        columns: Point = ()
        coefficients = ext_powers(self._challenge("units", len(sums)), len(sums))
        for one, (point, value), coefficient in zip(sums, claims, coefficients, strict=True):
            if (one.matrix != WEIGHTS) != opening:
                continue
            split = len(point) - log_columns
            first = self.first_rows[one.matrix] + (one.block.start >> log_columns)
            rows[:, first : first + (1 << split)] = _scaled(modular.eq_table(point[:split]), coefficient)
            found.append((value, coefficient))
            columns = point[split:]
        return ClaimGroup(columns, (RowClaim(rows, combination(*zip(*found, strict=True))),))


def _by_rows(box: BoxFunctional, log_columns: int) -> RowWeights | None:
    return box.by_rows(log_columns) if box.variables >= log_columns else None


def _row_map(plan: AnyPlan, codes: tuple[Code, Code], veil: int) -> tuple[dict[int, int], tuple[int, int]]:
    """The first row of each matrix among those that are opened together, and the number of rows of both openings.

    Args:
        veil: rows behind the weights.
    """
    first_rows, counts = {}, [0, 0]
    for matrix in (WEIGHTS, *range(INPUTS, WITNESS + 1)):
        opening = WEIGHTS_OPENING if matrix == WEIGHTS else WITNESS_OPENING
        first_rows[matrix] = counts[opening]
        counts[opening] += plan.layouts[matrix].rows(codes[opening].log_columns)
    return first_rows, (counts[WEIGHTS_OPENING] + veil, counts[WITNESS_OPENING])


def weight_at(one: BlockSum, ends: PointEnds) -> Ext:
    """The multilinear extension of a block's weights at the end of a point."""
    variables, start = one.block.variables, one.block.start
    selected: list[Ext] = []
    for coefficient, part in one.parts:
        own = part.variables
        selector = ends.selector(variables, variables - own, (part.offset - start) >> own)
        selected.append(ext_mul(coefficient, selector))
    return ext_dot(selected, [part.evaluate(ends) for _, part in one.parts])


def _scaled(table: IntArray, factor: Ext) -> IntArray:
    return modular.ext_mul(table, modular.from_exts([factor]))
