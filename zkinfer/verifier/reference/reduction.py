"""From the statement to claims about rows of matrices: docs/protocol/reduction.md, sections 4 to 6."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from zkinfer.circuit.program import Einsum, View
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, eq_table, ext_add, ext_mul, ext_pow, ext_scale, mle
from zkinfer.verifier.reference.channel import MINUS, Channel, Form, Point, combine, integer, sumcheck, total
from zkinfer.verifier.reference.lookups import selector, verify_lookups
from zkinfer.verifier.reference.plan import INPUTS, OUTPUTS, WEIGHTS, WITNESS, Box, Plan
from zkinfer.verifier.reference.weights import (
    Contraction,
    Weights,
    axis_tables,
    by_rows,
    contract,
    merged,
    product_of,
    pull_single,
    pull_term,
)

DIRECT_CELLS = 64
MAX_DIRECT = 16
FIELD_SIZE = P**3
PRODUCT = [(ONE, (0, 1))]

Integers = Sequence[int]


@dataclass(frozen=True)
class Part:
    """Weights, not all zero, on a box of a matrix."""

    matrix: int
    offset: int
    variables: int
    entries: tuple[Ext, ...]


@dataclass(frozen=True)
class Committed:
    """The sum over all parts of weights * cells is `value`. `alone`: they are one functional of one tensor."""

    parts: list[Part]
    value: Form
    alone: bool


@dataclass(frozen=True)
class Group:
    """sum of rows[i] * row i, at a column point, is `value`."""

    column_point: Point
    rows: list[Ext]
    value: Form


class Reduction:
    """Sections 4 and 5.

    Args:
        inputs: for each input its integers, row-major, over all runs; None where it is private.
        outputs: for each output likewise.

    Attributes:
        claims: about committed tensors, in order.
        error: of all challenges so far, but those of the lookups before grinding.
    """

    def __init__(
        self, plan: Plan, inputs: Sequence[Integers | None], outputs: Sequence[Integers | None], channel: Channel
    ) -> None:
        self.plan, self.inputs, self.outputs, self.channel = plan, inputs, outputs, channel
        self.claims: list[Committed] = []
        self.error = 0.0
        self._pending: list[tuple[int, Weights, Form]] = []

    def run(self) -> None:
        point = self._lookups()
        self._outputs(point)
        while self._pending:
            self._level()

    def _draw(self, label: str, degree: int) -> Ext:
        self.error += degree / FIELD_SIZE
        return self.channel.draw(label)

    # Section 4: lookups and outputs

    def _lookups(self) -> Point:
        plan = self.plan
        if plan.lookups is None:
            return ()
        blocks, rows = verify_lookups(plan.lookups, self.channel)
        for site in plan.sites:
            for number, (box, own) in enumerate(zip(site.boxes, site.blocks, strict=True)):
                (point, columns), *limbs = (blocks[block] for block in own)
                index, output = columns[0], columns[-1]
                self._claim_box(site.matrix, site.vector, number, point, output)
                half = 2**site.shift // 2
                parts = [(integer(2**site.shift), index), (ONE, Form(integer(-half)))]
                at = 0
                for (bits, vector), (_, (limb,)) in zip(site.limbs, limbs, strict=True):
                    self._claim_box(site.matrix, vector, number, point, limb)
                    parts.append((integer(2**at), limb))
                    at += bits
                if site.source is not None:
                    self._claim(site.source, self._on_box(site.source, box, point), combine(*parts))
        for vector, (point, (count,)) in zip(plan.multiplicities, rows, strict=True):
            self._claim_box(WITNESS, vector, 0, point, count)
        return max((point for point, _ in [*blocks, *rows]), key=len)

    def _on_box(self, value: int, box: Box, point: Point) -> Weights:
        shape = self.plan.shape(value)
        entries = [ZERO] * math.prod(shape)
        for at, weight in zip(box.places, eq_table(point), strict=True):
            entries[at] = weight
        return Weights(shape, tuple(entries))

    def _outputs(self, point: Point) -> None:
        plan, hidden, longest = self.plan, 0, 0
        for value, integers in zip(plan.program.outputs, self.outputs, strict=True):
            shape = (plan.runs, *plan.program.tensor(value).shape)
            bits = sum((n - 1).bit_length() for n in shape)
            while len(point) < bits:
                point = (self._draw("output point", 0), *point)
            longest = max(longest, bits)
            stated = product_of(shape, axis_tables(shape, point[len(point) - bits :]))
            own = stated if plan.varies[value] else stated.first_of_runs()
            if integers is None:
                (claimed,) = self.channel.receive("private output", 1)
                self._claim_committed(OUTPUTS, hidden, [own], claimed)
                hidden += 1
            else:
                claimed = Form(stated.of(integers))
            self._claim(value, own, claimed)
        self.error += longest / FIELD_SIZE

    # Claims

    def _claim(self, value: int, weights: Weights, claimed: Form) -> None:
        if value in self.plan.committed:
            self._claim_committed(*self.plan.committed[value], [weights], claimed)
        else:
            self._pending.append((value, weights, claimed))

    def _claim_committed(self, matrix: int, vector: int, functionals: list[Weights], claimed: Form) -> None:
        parts = [part for weights in functionals for part in self._parts(matrix, vector, weights)]
        self.claims.append(Committed(parts, claimed, len(functionals) == 1))

    def _claim_box(self, matrix: int, vector: int, number: int, point: Point, claimed: Form) -> None:
        offset = self.plan.matrices[matrix].offset(vector, number)
        part = Part(matrix, offset, len(point), tuple(eq_table(point)))
        self.claims.append(Committed([part], claimed, True))

    def _parts(self, matrix: int, vector: int, weights: Weights) -> list[Part]:
        found = []
        for number, box in enumerate(self.plan.matrices[matrix].vectors[vector]):
            entries = tuple(weights.entries[at] for at in box.places)
            if any(entry != ZERO for entry in entries):
                offset = self.plan.matrices[matrix].offset(vector, number)
                found.append(Part(matrix, offset, box.variables, entries))
        return found

    # Section 5: levels

    def _level(self) -> None:
        channel, plan = self.channel, self.plan
        contractions: list[Contraction] = []
        sums: list[Form] = []
        for functionals, claimed in self._combined():
            left, claimed = self._expanded(functionals, claimed)
            einsums = [self._contract(v, weights) for v, weights in left if v not in plan.committed]
            committed = [(v, weights) for v, weights in left if v in plan.committed]
            if len(einsums) == 1 and not committed:
                parts = [claimed]
            else:
                parts = channel.receive("summands", len(einsums)) if einsums else []
                rest = combine((ONE, claimed), *((MINUS, part) for part in parts))
                if committed:
                    found = [part for v, weights in committed for part in self._parts(*plan.committed[v], weights)]
                    self.claims.append(Committed(found, rest, len(committed) == 1))
                else:
                    channel.require_zero(rest)
            contractions += einsums
            sums += parts
        self._pending = []
        if contractions:
            results = self._sumcheck([one.variables for one in contractions], sums)
            for one, (point, values) in zip(contractions, results, strict=True):
                for operand, weights, value in zip(one.operands, one.at(point), values, strict=True):
                    self._claim(operand, weights, value)

    def _contract(self, value: int, weights: Weights) -> Contraction:
        node = self.plan.node(value)
        assert isinstance(node, Einsum)
        a, b = node.operands
        return contract(node, weights, (self.plan.shape(a), self.plan.shape(b)))

    def _sumcheck(self, variables: Sequence[int], sums: Sequence[Form]) -> list[tuple[Point, list[Form]]]:
        """The sums of products of two tables each."""
        self.error += (2 * max(variables) + len(variables) - 1) / FIELD_SIZE
        return sumcheck(self.channel, [(n, PRODUCT) for n in variables], sums)

    def _combined(self) -> list[tuple[list[tuple[int, Weights]], Form]]:
        """The pending claims, those on one value as one."""
        by_value: dict[int, list[tuple[Weights, Form]]] = {}
        for value, weights, claimed in self._pending:
            by_value.setdefault(value, []).append((weights, claimed))
        most = max(map(len, by_value.values()))
        x = self._draw("combined claims", most - 1) if most > 1 else ONE
        result = []
        for value, found in by_value.items():
            powers = [ext_pow(x, i) for i in range(len(found))]
            functionals = [weights.scaled(c) for c, (weights, _) in zip(powers, found, strict=True)]
            claimed = combine(*((c, form) for c, (_, form) in zip(powers, found, strict=True)))
            result.append(([(value, weights) for weights in functionals], claimed))
        return result

    def _expanded(
        self, functionals: list[tuple[int, Weights]], claimed: Form
    ) -> tuple[list[tuple[int, Weights]], Form]:
        """The same claim on committed values and Einsums of two operands, in order of their numbers."""
        waiting: dict[int, list[Weights]] = {}
        for value, weights in functionals:
            waiting.setdefault(value, []).append(weights)
        found: list[tuple[int, Weights]] = []
        plan = self.plan
        while waiting:
            value = max(waiting)
            for weights in merged(waiting.pop(value)):
                if value in plan.committed:
                    found.append((value, weights))
                elif value < len(plan.program.inputs):
                    integers = self.inputs[value]
                    assert integers is not None
                    claimed = combine((ONE, claimed), (MINUS, Form(weights.of(integers))))
                else:
                    claimed = self._expand(value, weights, claimed, found, waiting)
        return sorted(found, key=lambda term: term[0]), claimed

    def _expand(
        self,
        value: int,
        weights: Weights,
        claimed: Form,
        found: list[tuple[int, Weights]],
        waiting: dict[int, list[Weights]],
    ) -> Form:
        """A functional of a node's result, by the node's definition."""
        plan = self.plan
        match plan.node(value):
            case View(terms=terms, offset=offset):
                for term in terms:
                    pulled = pull_term(weights, term, plan.shape(term.source))
                    waiting.setdefault(term.source, []).append(pulled)
                constant = ext_scale(total(weights.entries), offset % P)
                return combine((ONE, claimed), (MINUS, Form(constant)))
            case Einsum(operands=(operand,)) as node:
                waiting.setdefault(operand, []).append(pull_single(weights, node, plan.shape(operand)))
            case _:
                found.append((value, weights))
        return claimed


class Openings:
    """Section 6.

    Args:
        log_columns: of the weights' matrix, and of the other matrices.
        dimensions: of the codes of both.

    Attributes:
        groups: of the opening of the weights, and of that of the other matrices.
        error: of the challenges.
    """

    def __init__(self, plan: Plan, channel: Channel, log_columns: tuple[int, int], dimensions: tuple[int, int]) -> None:
        self.plan, self.channel, self.log_columns, self.dimensions = plan, channel, log_columns, dimensions
        self.groups: tuple[list[Group], list[Group]] = ([], [])
        self.error = 0.0

    def run(self, claims: Sequence[Committed]) -> None:
        selected = self._selected(claims)
        direct: dict[tuple[int, Point], list[tuple[list[Part], Form]]] = {}
        rest: list[tuple[list[Part], Form]] = []
        for claim in claims:
            self._separate(claim, selected, direct, rest)
        if direct:
            x = self._draw("direct claims", max(map(len, direct.values())) - 1)
            for (opening, point), found in direct.items():
                self.groups[opening].append(self._direct(opening, point, found, x))
        if rest:
            self._funnel(rest)

    def _draw(self, label: str, degree: int) -> Ext:
        self.error += degree / FIELD_SIZE
        return self.channel.draw(label)

    def _columns(self, part: Part) -> tuple[int, Point] | None:
        """The opening and the column point that a part could be opened at."""
        opening = int(part.matrix != WEIGHTS)
        if part.variables < self.log_columns[opening]:
            return None
        known = by_rows(part.entries, self.log_columns[opening])
        return None if known is None else (opening, known[1])

    def _selected(self, claims: Sequence[Committed]) -> set[tuple[int, Point]]:
        cells: dict[tuple[int, Point], int] = {}
        for claim in claims:
            for part in claim.parts if claim.alone else ():
                columns = self._columns(part)
                if columns is not None:
                    cells[columns] = cells.get(columns, 0) + (1 << part.variables)
        selected: set[tuple[int, Point]] = set()
        for opening, dimension in enumerate(self.dimensions):
            enough = [c for c, n in cells.items() if c[0] == opening and n >= DIRECT_CELLS * dimension]
            selected |= set(sorted(enough, key=lambda c: -cells[c])[:MAX_DIRECT])
        return selected

    def _separate(
        self,
        claim: Committed,
        selected: set[tuple[int, Point]],
        direct: dict[tuple[int, Point], list[tuple[list[Part], Form]]],
        rest: list[tuple[list[Part], Form]],
    ) -> None:
        kinds: dict[tuple[int, Point] | None, list[Part]] = {}
        for part in claim.parts:
            columns = self._columns(part) if claim.alone else None
            kinds.setdefault(columns if columns in selected else None, []).append(part)
        if not kinds:
            kinds = {None: []}
        values = self.channel.receive("parts of a claim", len(kinds) - 1) if len(kinds) > 1 else []
        first = combine((ONE, claim.value), *((MINUS, value) for value in values))
        for (kind, parts), value in zip(kinds.items(), [first, *values], strict=True):
            if kind is None:
                rest.append((parts, value))
            else:
                direct.setdefault(kind, []).append((parts, value))

    def _rows(self, opening: int) -> tuple[dict[int, int], int]:
        """The first row of each matrix of an opening, and all their rows."""
        starts, rows = {}, 0
        for matrix in (WEIGHTS,) if opening == 0 else (INPUTS, OUTPUTS, WITNESS):
            starts[matrix] = rows
            rows += self.plan.matrices[matrix].rows(self.log_columns[opening])
        return starts, rows

    def _direct(self, opening: int, point: Point, found: Sequence[tuple[list[Part], Form]], x: Ext) -> Group:
        starts, count = self._rows(opening)
        rows = [ZERO] * count
        powers = [ext_pow(x, i) for i in range(len(found))]
        for power, (parts, _) in zip(powers, found, strict=True):
            for part in parts:
                known = by_rows(part.entries, self.log_columns[opening])
                assert known is not None
                first = starts[part.matrix] + (part.offset >> self.log_columns[opening])
                for row, weight in enumerate(known[0], start=first):
                    rows[row] = ext_add(rows[row], ext_mul(power, weight))
        return Group(point, rows, combine(*((c, value) for c, (_, value) in zip(powers, found, strict=True))))

    def _funnel(self, rest: Sequence[tuple[list[Part], Form]]) -> None:
        channel = self.channel
        x = self._draw("committed claims", len(rest) - 1)
        units: dict[tuple[int, int, int], list[tuple[Ext, Part]]] = {}
        value = Form()
        for i, (parts, claimed) in enumerate(rest):
            power = ext_pow(x, i)
            value = combine((ONE, value), (power, claimed))
            for part in parts:
                lc = self.log_columns[part.matrix != WEIGHTS]
                start, k = self.plan.matrices[part.matrix].unit(lc, part.offset, part.variables)
                units.setdefault((part.matrix, start, k), []).append((power, part))
        if not units:
            channel.require_zero(value)
            return
        names = sorted(units)
        sent = channel.receive("sums over units", len(names) - 1) if len(names) > 1 else []
        first = combine((ONE, value), *((MINUS, form) for form in sent))
        self.error += (2 * max(k for _, _, k in names) + len(names) - 1) / FIELD_SIZE
        results = sumcheck(channel, [(k, PRODUCT) for _, _, k in names], [first, *sent])
        for name, (point, (_, weight)) in zip(names, results, strict=True):
            channel.require_zero(combine((ONE, weight), (MINUS, Form(_weight_at(name, units[name], point)))))
        for opening in (0, 1):
            if any(int(matrix != WEIGHTS) == opening for matrix, _, _ in names):
                self.groups[opening].append(self._unit_group(opening, names, results))

    def _unit_group(
        self,
        opening: int,
        names: Sequence[tuple[int, int, int]],
        results: Sequence[tuple[Point, list[Form]]],
    ) -> Group:
        starts, count = self._rows(opening)
        rows, value = [ZERO] * count, Form()
        columns: Point = ()
        y = self._draw("units", len(names) - 1)
        for i, ((matrix, start, _), (point, (cells, _))) in enumerate(zip(names, results, strict=True)):
            if int(matrix != WEIGHTS) != opening:
                continue
            high = len(point) - self.log_columns[opening]
            first = starts[matrix] + (start >> self.log_columns[opening])
            for row, weight in enumerate(eq_table(point[:high]), start=first):
                rows[row] = ext_mul(ext_pow(y, i), weight)
            value, columns = combine((ONE, value), (ext_pow(y, i), cells)), point[high:]
        return Group(columns, rows, value)


def _weight_at(name: tuple[int, int, int], parts: Sequence[tuple[Ext, Part]], point: Point) -> Ext:
    """The extension of the weights on a unit."""
    _, start, k = name
    return total(
        ext_mul(
            ext_mul(power, selector(part.offset - start, part.variables, point)),
            mle(part.entries, point[k - part.variables :]),
        )
        for power, part in parts
    )
