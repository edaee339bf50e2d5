"""Lookups: docs/protocol/sumcheck-and-lookup.md, section 3, with every extension taken from its definition."""

from collections.abc import Sequence
from dataclasses import dataclass

from zkinfer.circuit.table import Table as ProgramTable
from zkinfer.protocol.field.encoding import encode_base
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, Ext, eq, eq_table, ext_mul, ext_neg, ext_pow, ext_sub, mle
from zkinfer.verifier.reference.channel import MINUS, Channel, Form, Point, combine, integer, sumcheck, total

MAX_PIECES = 8
MAX_TREES = 4
"""Of entries."""


@dataclass(frozen=True)
class Table:
    """Rows that entries are looked up in.

    Attributes:
        description: what the transcript absorbs.
        columns: each with the same number of integers.
    """

    description: bytes
    columns: tuple[tuple[int, ...], ...]

    @property
    def variables(self) -> int:
        """The least k with 2^k rows or more."""
        return (len(self.columns[0]) - 1).bit_length()

    def at(self, point: Point) -> list[Ext]:
        """The columns' extensions, the last row being repeated."""
        filled = [column + column[-1:] * ((1 << self.variables) - len(column)) for column in self.columns]
        return [mle([integer(v) for v in column], point) for column in filled]


def _described(kind: str, *numbers: int) -> bytes:
    return kind.encode() + encode_base([n % P for n in numbers])


def range_table(rows: int, start: int) -> Table:
    """The integers start, ..., start + rows - 1."""
    return Table(_described("range", rows, start), (tuple(range(start, start + rows)),))


def table_of(table: ProgramTable) -> Table:
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
        flat = [number for piece in pieces for number in piece]
        return Table(_described("piecewise", rows, table.lo, len(pieces), *flat), (indices, values))
    return Table(_described("explicit", 2, rows, *indices, *values), (indices, values))


def stack(sizes: Sequence[int]) -> tuple[list[int], int]:
    """The first cell of each vector of 2^k cells, larger ones first, equal ones in order; and the cells in all."""
    offsets, at = [0] * len(sizes), 0
    for i in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        offsets[i], at = at, at + (1 << sizes[i])
    return offsets, at


def selector(offset: int, k: int, point: Point) -> Ext:
    """What a vector of 2^k cells at this offset counts in the stack's extension at a point."""
    high = len(point) - k
    return eq([integer(offset >> k >> (high - 1 - j) & 1) for j in range(high)], point[:high])


@dataclass(frozen=True)
class Lookups:
    """What is proven: every entry of a block is a row of its table.

    Attributes:
        blocks: for each its table's number and k, for 2^k entries.
    """

    tables: tuple[Table, ...]
    blocks: tuple[tuple[int, int], ...]

    @property
    def entries(self) -> int:
        """Of all blocks."""
        return sum(1 << k for _, k in self.blocks)

    @property
    def trees(self) -> list[list[int]]:
        """The blocks in the order in which they lie, cut into those of each tree."""
        order = sorted(
            range(len(self.blocks)),
            key=lambda i: (-self.blocks[i][1], len(self.tables[self.blocks[i][0]].columns), self.blocks[i][0], i),
        )
        digits = [1 << k for k in reversed(range(self.entries.bit_length())) if self.entries >> k & 1]
        sizes = digits[: MAX_TREES - 1] + ([sum(digits[MAX_TREES - 1 :])] if len(digits) >= MAX_TREES else [])
        trees: list[list[int]] = []
        for size in sizes:
            tree: list[int] = []
            while sum(1 << self.blocks[i][1] for i in tree) < size:
                tree.append(order.pop(0))
            trees.append(tree)
        return trees

    @property
    def width(self) -> int:
        """Columns of the widest table."""
        return max(len(table.columns) for table in self.tables)


Claims = list[tuple[Point, list[Form]]]


def verify_lookups(lookups: Lookups, channel: Channel) -> tuple[Claims, Claims]:
    """The lookup argument.

    Returns:
        For each block the values of its columns, and for each table that of its multiplicities, with their points.
    """
    tables, blocks = lookups.tables, lookups.blocks
    lengths = [len(tables), *(len(table.description) for table in tables), len(blocks)]
    description = b"".join(table.description for table in tables)
    channel.transcript.absorb(
        "lookup", encode_base(lengths) + description + encode_base([v for block in blocks for v in block])
    )
    alpha, gamma = channel.draw("lookup alpha"), channel.draw("lookup gamma")

    trees = lookups.trees
    stacks = [stack([blocks[i][1] for i in tree]) for tree in trees] + [stack([table.variables for table in tables])]
    received = channel.receive("lookup roots", 2 * len(stacks))
    roots = list(zip(received[::2], received[1::2], strict=True))
    inverses = channel.receive("lookup inverses", len(stacks))
    quotients = []
    for (p, q), inverse in zip(roots, inverses, strict=True):
        channel.require_zero(combine((ONE, channel.multiply(q, inverse)), (MINUS, Form(ONE))))
        quotients.append(channel.multiply(p, inverse))
    channel.require_zero(combine(*((ONE, quotient) for quotient in quotients[:-1]), (MINUS, quotients[-1])))

    depths = [(cells - 1).bit_length() for _, cells in stacks]
    fractions, t = _descend(channel, depths, roots)

    def gap(table: int, columns: Sequence[Form]) -> Form:
        """alpha - fingerprint of a row."""
        terms = [(ext_neg(ext_pow(gamma, c)), column) for c, column in enumerate(columns)]
        number = ext_mul(ext_pow(gamma, lookups.width), integer(table))
        return combine((ONE, Form(ext_sub(alpha, number))), *terms)

    block_claims: dict[int, tuple[Point, list[Form]]] = {}
    for tree, (offsets, cells), depth, (p, q) in zip(trees, stacks, depths, fractions, strict=False):
        at = t[len(t) - depth :]
        unfilled = total(eq_table(at)[cells:])
        channel.require_zero(combine((ONE, p), (MINUS, Form(ext_sub(ONE, unfilled)))))
        denominator = Form(unfilled)
        for i, offset in zip(tree, offsets, strict=True):
            number, k = blocks[i]
            values = channel.receive("lookup block", len(tables[number].columns))
            denominator = combine((ONE, denominator), (selector(offset, k, at), gap(number, values)))
            block_claims[i] = at[len(at) - k :], values
        channel.require_zero(combine((ONE, q), (MINUS, denominator)))

    (offsets, cells), (p, q), at = stacks[-1], fractions[-1], t[len(t) - depths[-1] :]
    multiplicities = channel.receive("lookup multiplicities", len(tables))
    numerator, denominator, row_claims = Form(), Form(total(eq_table(at)[cells:])), []
    for number, (table, offset, m) in enumerate(zip(tables, offsets, multiplicities, strict=True)):
        own = at[len(at) - table.variables :]
        chosen = selector(offset, table.variables, at)
        numerator = combine((ONE, numerator), (chosen, m))
        denominator = combine((ONE, denominator), (chosen, gap(number, [Form(v) for v in table.at(own)])))
        row_claims.append((own, [m]))
    channel.require_zero(combine((ONE, p), (MINUS, numerator)))
    channel.require_zero(combine((ONE, q), (MINUS, denominator)))
    return [block_claims[i] for i in range(len(blocks))], row_claims


def _descend(
    channel: Channel, depths: Sequence[int], roots: Sequence[tuple[Form, Form]]
) -> tuple[list[tuple[Form, Form]], Point]:
    """From the roots of the trees to their leaves, layer by layer."""
    fractions, n = list(roots), max(depths)
    t: Point = ()
    for layer in range(n):
        weight = channel.draw("lookup layer")
        active = [tree for tree, depth in enumerate(depths) if layer >= n - depth]
        terms = [(ONE, (0, 3)), (ONE, (1, 2)), (weight, (2, 3))]
        instances = [(layer - (n - depths[tree]), terms) for tree in active]
        claims = [combine((ONE, fractions[tree][0]), (weight, fractions[tree][1])) for tree in active]
        results = sumcheck(channel, instances, claims, t)
        c = channel.draw("lookup child")
        keep = ext_sub(ONE, c)
        for tree, (_, (p0, p1, q0, q1)) in zip(active, results, strict=True):
            fractions[tree] = combine((keep, p0), (c, p1)), combine((keep, q0), (c, q1))
        t = (*max((point for point, _ in results), key=len), c)
    return fractions, t
