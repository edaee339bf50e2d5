"""What a lookup argument proves, and how entries and tables are stacked.

Blocks of 2^k entries, each with its table, are laid end to end, the largest first, so that each starts at a multiple
of its size; the table's rows likewise. Evaluated at a point r of the stack, a block of 2^k entries is thus needed at
the last k coordinates of r: all claims that are left share their last coordinates. Cells of a stack from its last
block up to the next power of two stand for the fraction 0 / 1, by definition: nobody chooses them.

The entries are divided into stacks, each the leaves of a tree of fractions: what is laid end to end is cut at the
binary digits of its length, so that all stacks but the last are full, with 1 as every numerator. That costs a few
messages for each stack and spares half of the prover's work.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from zkinfer.errors import InvalidInputError
from zkinfer.protocol.field.encoding import encode_base
from zkinfer.protocol.field.scalar import Ext, ext_add, ext_mul, ext_powers, threshold_at
from zkinfer.protocol.field.selectors import Selectors
from zkinfer.protocol.lookup.tables import LookupTable
from zkinfer.protocol.sumcheck.params import MAX_VARIABLES, Claim, Point


@dataclass(frozen=True)
class Block:
    """2^variables entries that are looked up in one table; an entry has as many elements as the table has columns.

    Every entry counts. Vectors of other lengths come as several blocks (11 = 8 + 2 + 1).
    """

    table: int
    variables: int


@dataclass(frozen=True)
class Stack:
    """How vectors of 2^k_i elements, k_i = variables[i], share one vector."""

    sizes: tuple[int, ...]
    """k_i for each vector, in the order of the instance."""

    @cached_property
    def filled(self) -> int:
        """Cells that belong to a vector."""
        return sum(1 << k for k in self.sizes)

    @cached_property
    def variables(self) -> int:
        """n: the stack has 2^n cells."""
        return (self.filled - 1).bit_length()

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """The first cell of each vector: the largest first, equals in order."""
        order = sorted(range(len(self.sizes)), key=lambda i: -self.sizes[i])
        starts = accumulate((1 << self.sizes[i] for i in order), initial=0)
        offsets = [0] * len(self.sizes)
        for i, start in zip(order, starts, strict=False):
            offsets[i] = start
        return tuple(offsets)

    def selectors(self, point: Point) -> list[Ext]:
        """s_i such that the stack's extension at `point` is sum of s_i * (vector i at the last k_i coordinates)."""
        found = Selectors(point)
        return [found.at(self.variables - k, at >> k) for k, at in zip(self.sizes, self.offsets, strict=True)]

    def unfilled(self, point: Point) -> Ext:
        """The extension of [cell belongs to no vector]."""
        return threshold_at(self.filled, point)[0]


MAX_ENTRY_STACKS = 4
"""Stacks that the entries are divided into, at most."""


@dataclass(frozen=True)
class EntryStack:
    """Blocks whose entries are the leaves of one tree.

    Attributes:
        blocks: their numbers in the instance, in the order in which they lie.
        stack: where they lie.
    """

    blocks: tuple[int, ...]
    stack: Stack


@dataclass(frozen=True)
class LookupInstance:
    """Every entry of every block is a row of the block's table.

    Attributes:
        tables: one or more.
        blocks: one or more; every table is named by at least one.
    """

    tables: tuple[LookupTable, ...]
    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        if not self.tables or not self.blocks:
            raise InvalidInputError("a lookup needs a table and a block of entries")
        if {block.table for block in self.blocks} != set(range(len(self.tables))):
            raise InvalidInputError("every block must name a table, and every table be named")
        if any(not 0 <= block.variables <= MAX_VARIABLES for block in self.blocks):
            raise InvalidInputError(f"a block has 2^0 to 2^{MAX_VARIABLES} entries")
        if (self.lookups - 1).bit_length() > MAX_VARIABLES:
            raise InvalidInputError(f"at most 2^{MAX_VARIABLES} entries: a multiplicity must stay below the modulus")

    @property
    def lookups(self) -> int:
        """Entries of all blocks."""
        return sum(1 << block.variables for block in self.blocks)

    @cached_property
    def entries(self) -> tuple[EntryStack, ...]:
        """The blocks, the largest first, then those of few columns and of one table together, cut into stacks."""

        def place(number: int) -> tuple[int, int, int, int]:
            block = self.blocks[number]
            return -block.variables, self.tables[block.table].columns, block.table, number

        order = sorted(range(len(self.blocks)), key=place)
        ends = _ends(self.lookups)
        stacks, first, offset = [], 0, 0
        for end in ends:
            last = first
            while offset < end:
                offset += 1 << self.blocks[order[last]].variables
                last += 1
            chosen = tuple(order[first:last])
            stacks.append(EntryStack(chosen, Stack(tuple(self.blocks[i].variables for i in chosen))))
            first = last
        return tuple(stacks)

    @cached_property
    def stacks(self) -> tuple[Stack, ...]:
        """Of all trees: those of the entries, then that of the rows."""
        return (*(entries.stack for entries in self.entries), self.rows)

    @cached_property
    def rows(self) -> Stack:
        """The stack of all tables."""
        return Stack(tuple(table.variables for table in self.tables))

    @cached_property
    def columns(self) -> int:
        """Columns of the widest table. Narrower rows are filled with zeros, which the table's number tells apart."""
        return max(table.columns for table in self.tables)

    def fingerprint_weights(self, gamma: Ext, table: int) -> tuple[list[Ext], Ext]:
        """How a row of a table becomes one element: sum of weights[c] * row[c], plus a constant.

        The row, the zeros and the table's number are the coefficients of a polynomial that is evaluated at gamma.
        """
        *weights, last = ext_powers(gamma, self.columns + 1)
        return weights[: self.tables[table].columns], ext_mul(last, (table, 0, 0))

    def description(self) -> list[bytes]:
        """Bytes, piece by piece, that determine the instance: what the transcript absorbs."""
        tables = [table.description() for table in self.tables]
        blocks = [v for block in self.blocks for v in (block.table, block.variables)]
        lengths = [len(tables), *map(len, tables), len(self.blocks)]
        return [encode_base(lengths), *tables, encode_base(blocks)]

    @property
    def message_elements(self) -> int:
        """Extension elements that the prover sends in all: the number of pads that padded messages need."""
        n = max(stack.variables for stack in self.stacks)
        layers = sum(2 * k + 4 * sum(k >= n - stack.variables for stack in self.stacks) for k in range(n))
        values = sum(self.tables[block.table].columns for block in self.blocks) + len(self.tables)
        return 3 * len(self.stacks) + layers + values


def _ends(lookups: int) -> list[int]:
    """Where stacks end among so many entries: at the largest binary digits, the last stack taking all that is left."""
    digits = [1 << k for k in reversed(range(lookups.bit_length())) if lookups >> k & 1]
    ends = [*accumulate(digits)]
    return [*ends[: MAX_ENTRY_STACKS - 1], lookups] if len(ends) > MAX_ENTRY_STACKS else ends


@dataclass(frozen=True)
class LookupClaims:
    """What a lookup argument leaves to prove: evaluations of committed vectors.

    Attributes:
        blocks: for each block one claim: the values of its columns.
        multiplicities: for each table one claim: the value of its multiplicities, one a row.
    """

    blocks: tuple[Claim, ...]
    multiplicities: tuple[Claim, ...]


def fingerprint(values: Sequence[Ext], weights: Sequence[Ext], constant: Ext) -> Ext:
    """constant + sum of weights[c] * values[c]."""
    for value, weight in zip(values, weights, strict=True):
        constant = ext_add(constant, ext_mul(weight, value))
    return constant
