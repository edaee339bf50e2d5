"""Lookups: docs/protocol/sumcheck-and-lookup.md, section 3. Every extension is taken from its definition."""

from collections.abc import Sequence
from dataclasses import dataclass

from zkinfer.circuit.table import Table
from zkinfer.protocol.field.encoding import encode_base
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, Ext, eq, eq_table, ext_mul, ext_pow, ext_sub, mle
from zkinfer.verifier.reference.channel import AffineForm, Channel, sum_of
from zkinfer.verifier.reference.elements import FIELD_SIZE, Point, integer, total
from zkinfer.verifier.reference.sumcheck import Claim, Summand, verify_sumcheck

MAX_PIECES = 8
MAX_STACKS = 4
"""Of entries."""


@dataclass(frozen=True)
class LookupTable:
    """Rows that entries are looked up in.

    Attributes:
        description: what the transcript absorbs.
        columns: each with the same number of integers.
    """

    description: bytes
    columns: tuple[tuple[int, ...], ...]

    @property
    def variables(self) -> int:
        """The least k such that there are at most 2^k rows."""
        return (len(self.columns[0]) - 1).bit_length()

    def at(self, point: Point) -> list[Ext]:
        """The columns' extensions, the last row being repeated."""
        filled = [column + column[-1:] * ((1 << self.variables) - len(column)) for column in self.columns]
        return [mle([integer(v) for v in column], point) for column in filled]


def _description(kind: str, *numbers: int) -> bytes:
    return kind.encode() + encode_base([n % P for n in numbers])


def range_table(rows: int, start: int) -> LookupTable:
    """The integers start, ..., start + rows - 1."""
    return LookupTable(_description("range", rows, start), (tuple(range(start, start + rows)),))


def piecewise_table(rows: int, start: int, pieces: Sequence[tuple[int, int, int]]) -> LookupTable:
    """The rows (start + i, offset + slope * i), of the last piece (first, offset, slope) with first <= i."""
    outputs = []
    for i in range(rows):
        _, offset, slope = [piece for piece in pieces if piece[0] <= i][-1]
        outputs.append(offset + slope * i)
    flat = [number for piece in pieces for number in piece]
    description = _description("piecewise", rows, start, len(pieces), *flat)
    return LookupTable(description, (tuple(range(start, start + rows)), tuple(outputs)))


def explicit_table(columns: Sequence[Sequence[int]]) -> LookupTable:
    """Columns as given."""
    description = _description("explicit", len(columns), len(columns[0]), *(v for column in columns for v in column))
    return LookupTable(description, tuple(tuple(column) for column in columns))


def table_of(table: Table) -> LookupTable:
    """What a program's table becomes ("Tables of a program")."""
    values, rows = table.values, len(table.values)
    indices = tuple(range(table.lo, table.lo + rows))
    if values == indices:
        return range_table(rows, table.lo)
    pieces: list[tuple[int, int, int]] = []
    row = 0
    while row < rows:
        slope = values[row + 1] - values[row] if row + 1 < rows else 0
        pieces.append((row, values[row] - slope * row, slope))
        first = row
        while row < rows and values[row] == values[first] + slope * (row - first):
            row += 1
    if len(pieces) <= MAX_PIECES:
        return piecewise_table(rows, table.lo, pieces)
    return explicit_table([indices, values])


def stack(sizes: Sequence[int]) -> tuple[list[int], int]:
    """The first cell of each vector of 2^k cells, larger ones first, equal ones in order; and the cells in all."""
    offsets, at = [0] * len(sizes), 0
    for i in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        offsets[i], at = at, at + (1 << sizes[i])
    return offsets, at


def selector(offset: int, k: int, point: Point) -> Ext:
    """sel: the weight of a vector of 2^k cells at this offset in the extension of its stack at a point."""
    high = len(point) - k
    return eq([integer(offset >> k >> (high - 1 - j) & 1) for j in range(high)], point[:high])


@dataclass(frozen=True)
class Lookups:
    """What is proven: every entry of every block is a row of the block's table.

    Attributes:
        tables: each of which has a block.
        blocks: for each the number of its table, and k, for 2^k entries.
    """

    tables: tuple[LookupTable, ...]
    blocks: tuple[tuple[int, int], ...]

    @property
    def entries(self) -> int:
        """Of all blocks."""
        return sum(1 << k for _, k in self.blocks)

    @property
    def stacks(self) -> list[list[int]]:
        """The numbers of the blocks in the order in which they lie, divided into the stacks of entries."""
        order = sorted(
            range(len(self.blocks)),
            key=lambda i: (-self.blocks[i][1], len(self.tables[self.blocks[i][0]].columns), self.blocks[i][0], i),
        )
        digits = [1 << k for k in reversed(range(self.entries.bit_length())) if self.entries >> k & 1]
        sizes = digits[: MAX_STACKS - 1] + ([sum(digits[MAX_STACKS - 1 :])] if len(digits) >= MAX_STACKS else [])
        stacks: list[list[int]] = []
        for size in sizes:
            blocks: list[int] = []
            while sum(1 << self.blocks[i][1] for i in blocks) < size:
                blocks.append(order.pop(0))
            stacks.append(blocks)
        return stacks

    @property
    def width(self) -> int:
        """C: columns of the widest table."""
        return max(len(table.columns) for table in self.tables)

    def errors(self, grinding: int) -> list[float]:
        """The soundness terms: LogUp, after so many bits of work, and the layers of the trees."""
        rows = sum(1 << table.variables for table in self.tables)
        n = max((cells - 1).bit_length() for cells in (*self._cells, rows))
        layers = n * (n - 1) + (3 * len(self._cells) + 2) * n
        return [self.width * (self.entries + rows) / FIELD_SIZE / 2**grinding, layers / FIELD_SIZE]

    @property
    def _cells(self) -> list[int]:
        """Of each stack of entries."""
        return [sum(1 << self.blocks[i][1] for i in blocks) for blocks in self.stacks]


Fraction = tuple[AffineForm, AffineForm]
"""Numerator and denominator."""


def verify_lookups(lookups: Lookups, channel: Channel) -> tuple[list[Claim], list[Claim]]:
    """The lookup argument.

    Returns:
        For each block a point and the values of its columns there; for each table a point and the value of its
        multiplicities.

    Raises:
        VerificationError: the message is malformed; or, on a plain channel, a check fails.
    """
    return verify_trees(lookups, draw_challenges([lookups], channel), channel)


def draw_challenges(arguments: Sequence[Lookups], channel: Channel) -> tuple[Ext, Ext]:
    """Step 1: alpha and gamma, of one argument or of several that follow one another (reduction.md, section 12)."""
    for lookups in arguments:
        tables, blocks = lookups.tables, lookups.blocks
        lengths = [len(tables), *(len(table.description) for table in tables), len(blocks)]
        descriptions = b"".join(table.description for table in tables)
        numbers = [number for block in blocks for number in block]
        channel.transcript.absorb("lookup", encode_base(lengths) + descriptions + encode_base(numbers))
    return channel.draw("lookup alpha"), channel.draw("lookup gamma")


def verify_trees(lookups: Lookups, challenges: tuple[Ext, Ext], channel: Channel) -> tuple[list[Claim], list[Claim]]:
    """The steps that follow; as `verify_lookups`."""
    tables, blocks, (alpha, gamma) = lookups.tables, lookups.blocks, challenges
    stacks = [stack([blocks[i][1] for i in own]) for own in lookups.stacks]
    stacks.append(stack([table.variables for table in tables]))
    received = channel.receive("lookup roots", 2 * len(stacks))
    roots = list(zip(received[::2], received[1::2], strict=True))
    inverses = channel.receive("lookup inverses", len(stacks))
    quotients = []
    for (p, q), inverse in zip(roots, inverses, strict=True):
        channel.require_zero(channel.multiply(q, inverse) - AffineForm(ONE))
        quotients.append(channel.multiply(p, inverse))
    channel.require_zero(sum_of(quotients[:-1]) - quotients[-1])

    depths = [(cells - 1).bit_length() for _, cells in stacks]
    fractions, t = _verify_layers(channel, depths, roots)

    def denominator_of(table: int, columns: Sequence[AffineForm]) -> AffineForm:
        """alpha - f, f being the fingerprint of a row."""
        number = ext_mul(ext_pow(gamma, lookups.width), integer(table))
        fingerprint = sum_of(column.scaled(ext_pow(gamma, c)) for c, column in enumerate(columns))
        return AffineForm(ext_sub(alpha, number)) - fingerprint

    block_claims: dict[int, Claim] = {}
    for own, (offsets, cells), depth, (p, q) in zip(lookups.stacks, stacks, depths, fractions, strict=False):
        at = t[len(t) - depth :]
        unfilled = total(eq_table(at)[cells:])
        channel.require_zero(p - AffineForm(ext_sub(ONE, unfilled)))
        denominators = [AffineForm(unfilled)]
        for i, offset in zip(own, offsets, strict=True):
            number, k = blocks[i]
            values = channel.receive("lookup block", len(tables[number].columns))
            denominators.append(denominator_of(number, values).scaled(selector(offset, k, at)))
            block_claims[i] = at[len(at) - k :], values
        channel.require_zero(q - sum_of(denominators))

    (offsets, cells), (p, q), at = stacks[-1], fractions[-1], t[len(t) - depths[-1] :]
    multiplicities = channel.receive("lookup multiplicities", len(tables))
    numerators, denominator, table_claims = [], AffineForm(total(eq_table(at)[cells:])), []
    for number, (table, offset, m) in enumerate(zip(tables, offsets, multiplicities, strict=True)):
        point = at[len(at) - table.variables :]
        weight = selector(offset, table.variables, at)
        numerators.append(m.scaled(weight))
        denominator += denominator_of(number, [AffineForm(v) for v in table.at(point)]).scaled(weight)
        table_claims.append((point, [m]))
    channel.require_zero(p - sum_of(numerators))
    channel.require_zero(q - denominator)
    return [block_claims[i] for i in range(len(blocks))], table_claims


def _verify_layers(channel: Channel, depths: Sequence[int], roots: Sequence[Fraction]) -> tuple[list[Fraction], Point]:
    """Step 4: from the roots of the trees to their leaves.

    Returns:
        For each tree the fraction that its leaves are claimed to have at the end of the point, and the point.
    """
    fractions, n = list(roots), max(depths)
    t: Point = ()
    for layer in range(n):
        weight = channel.draw("lookup layer")
        active = [tree for tree, depth in enumerate(depths) if layer >= n - depth]
        # The factors 0, 1, 2, 3 are p0, p1, q0, q1.
        terms = [(ONE, (0, 3)), (ONE, (1, 2)), (weight, (2, 3))]
        batch = [Summand(layer - (n - depths[tree]), terms) for tree in active]
        claims = [fractions[tree][0] + fractions[tree][1].scaled(weight) for tree in active]
        results = verify_sumcheck(channel, batch, claims, t)
        c = channel.draw("lookup child")
        for tree, (_, (p0, p1, q0, q1)) in zip(active, results, strict=True):
            fractions[tree] = p0 + (p1 - p0).scaled(c), q0 + (q1 - q0).scaled(c)
        t = (*max((point for point, _ in results), key=len), c)
    return fractions, t
