"""Claims on committed tensors, reduced to openings: docs/protocol/reduction.md, section 6."""

from collections.abc import Sequence

from zkinfer.protocol.field.scalar import (
    ONE,
    ZERO,
    Ext,
    eq_table,
    ext_add,
    ext_dot,
    ext_inv,
    ext_mul,
    ext_pow,
    mle,
)
from zkinfer.verifier.reference.channel import AffineForm, Channel, sum_of
from zkinfer.verifier.reference.claims import BoxWeights, CommittedClaim
from zkinfer.verifier.reference.elements import FIELD_SIZE, Point, total
from zkinfer.verifier.reference.lookups import selector
from zkinfer.verifier.reference.openings import ClaimGroup, OpeningSizes, RowClaim
from zkinfer.verifier.reference.plan import INPUTS, OUTPUTS, WEIGHTS, WITNESS, Matrices
from zkinfer.verifier.reference.sumcheck import Claim, Summand, verify_products, verify_sumcheck

DIRECT_CELLS = 8
"""A column point has a claim of its own if its claims concern so many cells for each column."""

ColumnPoint = tuple[int, Point]
"""An opening, 0 for the weights and 1 for the other matrices, and a column point of it."""

Unit = tuple[int, int, int]
"""Whole rows of a matrix: its number, the first cell, and k, for 2^k cells."""

PartsClaim = tuple[list[BoxWeights], AffineForm]
"""Parts, and what they are claimed to add up to."""


def as_point(entries: Sequence[Ext]) -> tuple[Ext, Point] | None:
    """The scale s, not zero, and the point z such that the 2^k entries are s * eq(z, .); None if they are not so."""
    scale = total(entries)
    if scale == ZERO:
        return None
    inverse = ext_inv(scale)
    bits = reversed(range((len(entries) - 1).bit_length()))
    point = [ext_mul(inverse, total(entry for i, entry in enumerate(entries) if i >> j & 1)) for j in bits]
    if [ext_mul(scale, entry) for entry in eq_table(point)] != list(entries):
        return None
    return scale, tuple(point)


def by_rows(entries: Sequence[Ext], columns: int) -> tuple[list[Ext], Point] | None:
    """The w and z such that row i of the entries is w_i * eq(z, .); None if they are not so. A row has 2^columns."""
    rows = [entries[i : i + (1 << columns)] for i in range(0, len(entries), 1 << columns)]
    found = next((as_point(row) for row in rows if any(entry != ZERO for entry in row)), None)
    if found is None:
        return None
    table = eq_table(found[1])
    scales = [total(row) for row in rows]
    same = all(ext_mul(w, t) == e for w, row in zip(scales, rows, strict=True) for t, e in zip(table, row, strict=True))
    return (scales, found[1]) if same else None


class CommittedClaims:
    """Reduces claims on committed tensors to claims on rows of the matrices.

    Args:
        sizes: of the opening of the weights, and of that of the other matrices.
        link: what is claimed of every copy of the weights, if there are several.

    Attributes:
        groups: the claims of either opening.
    """

    def __init__(
        self,
        plan: Matrices,
        channel: Channel,
        sizes: tuple[OpeningSizes, OpeningSizes],
        link: ClaimGroup | None = None,
    ) -> None:
        self._plan, self._channel, self._sizes, self._link = plan, channel, sizes, link
        self.groups: tuple[list[ClaimGroup], list[ClaimGroup]] = ([], [])

    def reduce(self, claims: Sequence[CommittedClaim]) -> None:
        """Run the whole section."""
        chosen = self._chosen(claims)
        direct: dict[ColumnPoint, list[PartsClaim]] = {}
        rest: list[PartsClaim] = []
        for claim in claims:
            self._sort(claim, chosen, direct, rest)
        if direct:
            x = self._channel.draw("direct claims", max(map(len, direct.values())) - 1)
            for (opening, point), found in direct.items():
                self._open_directly(opening, point, found, x)
        if rest:
            self._open_by_units(rest)
        if self._link and self.groups[0]:
            self.groups[0].append(self._link)
        for groups in self.groups:
            if len(groups) > 1:
                groups[:] = [self._joined(groups)]

    def _column_point(self, part: BoxWeights) -> ColumnPoint | None:
        """What a part can be opened at directly."""
        opening = _opening_of(part.matrix)
        if part.variables < self._sizes[opening].log_columns:
            return None
        known = by_rows(part.entries, self._sizes[opening].log_columns)
        return None if known is None else (opening, known[1])

    def _chosen(self, claims: Sequence[CommittedClaim]) -> set[ColumnPoint]:
        """Step 1: the column points that are opened directly."""
        cells: dict[ColumnPoint, int] = {}
        for claim in claims:
            for part in claim.parts if claim.one_term else ():
                point = self._column_point(part)
                if point is not None:
                    cells[point] = cells.get(point, 0) + (1 << part.variables)
        chosen: set[ColumnPoint] = set()
        for opening, sizes in enumerate(self._sizes):
            chosen |= {c for c, n in cells.items() if c[0] == opening and n >= DIRECT_CELLS * sizes.columns}
        return chosen

    def _sort(
        self,
        claim: CommittedClaim,
        chosen: set[ColumnPoint],
        direct: dict[ColumnPoint, list[PartsClaim]],
        rest: list[PartsClaim],
    ) -> None:
        """Step 2: the parts of a claim by where they are opened; a kind of None is the rest."""
        kinds: dict[ColumnPoint | None, list[BoxWeights]] = {}
        for part in claim.parts:
            point = self._column_point(part) if claim.one_term else None
            kinds.setdefault(point if point in chosen else None, []).append(part)
        if not kinds:
            kinds = {None: []}
        values = self._channel.receive("parts of a claim", len(kinds) - 1) if len(kinds) > 1 else []
        first = claim.value - sum_of(values)
        for (kind, parts), value in zip(kinds.items(), [first, *values], strict=True):
            if kind is None:
                rest.append((parts, value))
            else:
                direct.setdefault(kind, []).append((parts, value))

    def _first_rows(self, opening: int) -> tuple[dict[int, int], int]:
        """The first row of each matrix of an opening, and the number of all their rows."""
        first, rows = {}, 0
        for matrix in (WEIGHTS,) if opening == 0 else (INPUTS, OUTPUTS, WITNESS):
            first[matrix] = rows
            rows += self._plan.matrices[matrix].rows(self._sizes[opening].log_columns)
        if opening == 0 and self._link:
            rows += 1
        return first, rows

    def _open_directly(self, opening: int, point: Point, found: Sequence[PartsClaim], x: Ext) -> None:
        """Step 3, for one column point."""
        log_columns = self._sizes[opening].log_columns
        first_rows, count = self._first_rows(opening)
        rows = [ZERO] * count
        value = sum_of(claimed.scaled(ext_pow(x, i)) for i, (_, claimed) in enumerate(found))
        for i, (parts, _) in enumerate(found):
            power = ext_pow(x, i)
            for part in parts:
                known = by_rows(part.entries, log_columns)
                assert known is not None
                first = first_rows[part.matrix] + (part.offset >> log_columns)
                for row, weight in enumerate(known[0], start=first):
                    rows[row] = ext_add(rows[row], ext_mul(power, weight))
        self.groups[opening].append(ClaimGroup(point, [RowClaim(rows, value)]))

    def _open_by_units(self, rest: Sequence[PartsClaim]) -> None:
        """Steps 4 and 5."""
        x = self._channel.draw("committed claims", len(rest) - 1)
        units: dict[Unit, list[tuple[Ext, BoxWeights]]] = {}
        value = sum_of(claimed.scaled(ext_pow(x, i)) for i, (_, claimed) in enumerate(rest))
        for i, (parts, _) in enumerate(rest):
            for part in parts:
                log_columns = self._sizes[_opening_of(part.matrix)].log_columns
                start, k = self._plan.matrices[part.matrix].unit(log_columns, part.offset, part.variables)
                units.setdefault((part.matrix, start, k), []).append((ext_pow(x, i), part))
        if not units:
            self._channel.require_zero(value)
            return
        order = sorted(units)
        values = self._channel.receive("sums over units", len(order) - 1) if len(order) > 1 else []
        results = verify_products(self._channel, [k for _, _, k in order], [value - sum_of(values), *values])
        for unit, (point, (_, weight)) in zip(order, results, strict=True):
            self._channel.require_zero(weight - AffineForm(_weights_at(unit, units[unit], point)))
        for opening in (0, 1):
            if any(_opening_of(matrix) == opening for matrix, _, _ in order):
                self.groups[opening].append(self._unit_group(opening, order, results))

    def _unit_group(self, opening: int, order: Sequence[Unit], results: Sequence[Claim]) -> ClaimGroup:
        """Step 5, for one opening: the claims that its units end with, as one claim about rows."""
        log_columns = self._sizes[opening].log_columns
        first_rows, count = self._first_rows(opening)
        rows, values = [ZERO] * count, list[AffineForm]()
        column_point: Point = ()
        y = self._channel.draw("units", len(order) - 1)
        for j, ((matrix, start, _), (point, (cells, _))) in enumerate(zip(order, results, strict=True)):
            if _opening_of(matrix) != opening:
                continue
            high = len(point) - log_columns
            first = first_rows[matrix] + (start >> log_columns)
            for row, weight in enumerate(eq_table(point[:high]), start=first):
                rows[row] = ext_mul(ext_pow(y, j), weight)
            values.append(cells.scaled(ext_pow(y, j)))
            column_point = point[high:]
        return ClaimGroup(column_point, [RowClaim(rows, sum_of(values))])

    def _joined(self, groups: Sequence[ClaimGroup]) -> ClaimGroup:
        """Step 6: the claims of an opening, at one column point."""
        batch = [Summand(len(group.column_point), [(ONE, [0])], group.column_point) for group in groups]
        claims = [group.claims[0] for group in groups]
        self._channel.error += (2 * batch[0].variables + len(batch) - 1) / FIELD_SIZE
        results = verify_sumcheck(self._channel, batch, [claim.value for claim in claims])
        x = self._channel.draw("columns", len(claims) - 1)
        powers = [ext_pow(x, i) for i in range(len(claims))]
        rows = [ext_dot(powers, entries) for entries in zip(*(claim.rows for claim in claims), strict=True)]
        value = sum_of(values[0].scaled(power) for power, (_, values) in zip(powers, results, strict=True))
        return ClaimGroup(results[0][0], [RowClaim(rows, value)])


def _opening_of(matrix: int) -> int:
    """The opening that a matrix belongs to."""
    return int(matrix != WEIGHTS)


def _weights_at(unit: Unit, parts: Sequence[tuple[Ext, BoxWeights]], point: Point) -> Ext:
    """The extension of the weights on a unit, at a point."""
    _, start, _ = unit
    return total(
        ext_mul(
            ext_mul(power, selector(part.offset - start, part.variables, point)),
            mle(part.entries, point[len(point) - part.variables :]),
        )
        for power, part in parts
    )
