"""The plan: what is committed and looked up, and where it lies: docs/protocol/reduction.md, section 2."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from zkinfer.circuit.program import Einsum, Lookup, Node, Program, View, node_sources
from zkinfer.errors import MalformedCommitmentError, VerifierUnavailableError
from zkinfer.protocol.field.params import P
from zkinfer.verifier.reference.intervals import Intervals
from zkinfer.verifier.reference.lookups import Lookups, LookupTable, range_table, stack, table_of
from zkinfer.verifier.reference.weights import Shape, indices, place

MAX_WEIGHT_RANGE = 1 << 48
MAX_HEIGHT = 32
FREE_PULLED, PULLED_PER_SOURCE = 1 << 12, 16
"""To so many sources functionals are pulled back, and so many more for each that a node names: section 5."""

BOX_PLACES, BOX_SHARE = 1024, 32
"""A box counts as so many places, and as at least such a part of its tensor's."""

MAX_LIMB_BITS = 20
MAX_PRIVATE_BITS = 20
MAX_ELEMENTS = 1 << 21
"""Elements of all tensors over all runs that are checked here: each takes about 100 bytes, and time. Minutes may pass:
this verifier is bounded in what it holds, and not in seconds."""

MAX_READ = 1 << 23
"""Places that the terms of all Views read over all runs, each step counted: every one is followed by itself. A View of
a million elements may have thousands of terms in a file of kilobytes."""

WEIGHTS, INPUTS, OUTPUTS, WITNESS = range(4)


@dataclass(frozen=True)
class Box:
    """2^variables elements of a tensor.

    Attributes:
        start, exponents: the box has the places from start[i] to start[i] + 2^exponents[i] - 1 of axis i.
        places: their positions in the tensor, row-major, in the order of the box; None behind the tensor.
    """

    start: tuple[int, ...]
    exponents: tuple[int, ...]
    places: tuple[int | None, ...]

    @property
    def variables(self) -> int:
        """k, for 2^k elements."""
        return sum(self.exponents)

    @property
    def lengthened(self) -> bool:
        """Whether some of the places lie behind the tensor."""
        return None in self.places


def _pieces(size: int) -> list[tuple[int, int]]:
    """The powers of two that add up to a size, the largest first: start and exponent of each."""
    found, start = [], 0
    for k in reversed(range(size.bit_length())):
        if size >> k & 1:
            found.append((start, k))
            start += 1 << k
    return found


def boxes_of(shape: Shape) -> list[Box]:
    """The boxes of a tensor that is committed to, in order: axes may be longer than the tensor's."""
    price = max(BOX_PLACES, math.prod(shape) // BOX_SHARE)
    ways = itertools.product(*({-(-n // 2**k) * 2**k for k in range((n - 1).bit_length() + 1)} for n in shape))

    def cost(sizes: Shape) -> tuple[int, int, Shape]:
        boxes = math.prod(n.bit_count() for n in sizes)
        return math.prod(sizes) + price * boxes, boxes, sizes

    return _boxes(shape, min(ways, key=cost))


def _boxes(shape: Shape, sizes: Shape) -> list[Box]:
    """The boxes of a tensor, its axes as long as `sizes` says."""
    parts = [_pieces(size) for size in sizes]
    found = []
    for chosen in indices([len(part) for part in parts]):
        box = [part[i] for part, i in zip(parts, chosen, strict=True)]
        start, exponents = tuple(s for s, _ in box), tuple(k for _, k in box)
        places = []
        for index in indices([1 << k for k in exponents]):
            at = tuple(s + i for s, i in zip(start, index, strict=True))
            inside = all(i < n for i, n in zip(at, shape, strict=True))
            places.append(place(at, shape) if inside else None)
        found.append(Box(start, exponents, tuple(places)))
    return sorted(found, key=lambda box: (-box.variables, box.start))


@dataclass
class Matrix:
    """A matrix: the boxes of each tensor that it holds. A tensor is called by its number, its `vector`."""

    vectors: list[list[Box]] = field(default_factory=list)

    def add(self, boxes: list[Box]) -> int:
        """Add a tensor.

        Returns:
            Its number.
        """
        self.vectors.append(boxes)
        return len(self.vectors) - 1

    @property
    def cells(self) -> int:
        """Of all boxes."""
        return sum(1 << box.variables for boxes in self.vectors for box in boxes)

    def offset(self, vector: int, number: int) -> int:
        """The first cell of a box."""
        offsets, _ = stack([box.variables for boxes in self.vectors for box in boxes])
        return offsets[sum(len(boxes) for boxes in self.vectors[:vector]) + number]

    def rows(self, log_columns: int) -> int:
        """Rows of 2^log_columns cells."""
        return -(-self.cells >> log_columns)

    def unit(self, log_columns: int, offset: int, variables: int) -> tuple[int, int]:
        """The unit of whole rows that a box lies in (section 6): its first cell, and k, for 2^k cells."""
        if variables >= log_columns:
            return offset, variables
        sizes = [box.variables for boxes in self.vectors for box in boxes]
        tail = sum(1 << k for k in sizes if k >= log_columns)
        rows = self.rows(log_columns) - (tail >> log_columns)
        units = [(tail + (start << log_columns), k + log_columns) for start, k in _pieces(rows)]
        return next((start, k) for start, k in units if start <= offset < start + (1 << k))


class Matrices(Protocol):
    """What is committed to, of a proof of any kind.

    Attributes:
        matrices: of weights, private inputs, private outputs and witness.
        committed: for each committed value its matrix and vector.
        zeros_behind_weights: whether it is known that there are zeros behind weights.
    """

    matrices: list[Matrix]
    committed: dict[int, tuple[int, int]]
    zeros_behind_weights: bool


@dataclass(frozen=True)
class LookupSite:
    """A tensor whose elements are looked up: the result of a Lookup, or a private input.

    Attributes:
        matrix, vector: where it is committed.
        source: the value that a Lookup is applied to; None for a private input.
        shift: of the Lookup.
        limbs: of the remainder: bits and vector of each, the least significant first.
        one_column: the table has one column, so that index and output are one.
        boxes: of the tensor.
        blocks: for each box its blocks in the lookup argument: that of indices and outputs, then those of the limbs.
        padding: the integer that the source has behind the tensor.
    """

    matrix: int
    vector: int
    source: int | None
    shift: int
    limbs: tuple[tuple[int, int], ...]
    one_column: bool
    boxes: list[Box]
    blocks: list[list[int]]
    padding: int


def limbs_of_width(shift: int, width: int) -> list[int]:
    """The bits of the limbs of a remainder of `shift` bits: all of one width, but for what is left."""
    return [width] * (shift // width) + ([shift % width] if shift % width else [])


def limb_bits(counts: dict[int, int]) -> dict[int, list[int]]:
    """For each shift the bits of the limbs of its remainders, of which there are so many."""

    def cost(widths: dict[int, int]) -> tuple[int, int]:
        cuts = {shift: limbs_of_width(shift, width) for shift, width in widths.items()}
        ranges = {bits for cut in cuts.values() for bits in cut}
        total = sum(counts[shift] * len(cut) for shift, cut in cuts.items()) + 2 * sum(2**bits for bits in ranges)
        return total, sum(len(cut) for cut in cuts.values())

    allowed, shifts = range(1, MAX_LIMB_BITS + 1), sorted(counts)
    widths = min((dict.fromkeys(shifts, width) for width in allowed), key=cost)
    for shift in 3 * shifts:
        widths = min(({**widths, shift: width} for width in allowed), key=cost)
    return {shift: limbs_of_width(shift, width) for shift, width in widths.items()}


def _varies(program: Program) -> list[bool]:
    """For each value whether it depends on an input, perhaps through the step before."""
    leaves = len(program.inputs) + len(program.weights)
    readers: list[list[int]] = [[] for _ in range(program.num_values)]
    for value, node in enumerate(program.nodes, leaves):
        for source in node_sources(node):
            readers[source].append(value)
    varies = [False] * program.num_values
    reached = list(range(len(program.inputs)))
    while reached:
        value = reached.pop()
        if not varies[value]:
            varies[value] = True
            reached += readers[value]
    return varies


class Plan:
    """What both sides compute from the statement.

    Args:
        program: that is run.
        runs: how many times.
        private_inputs, private_outputs: for each whether it is private.

    Attributes:
        matrices: of weights, private inputs, private outputs and witness.
        committed: for each committed value its matrix and vector.
        sites: the tensors that are looked up, in order.
        lookups: the lookup argument; None if nothing is looked up.
        multiplicities: the vector of each table's multiplicities, in the witness.
        varies: for each value whether it depends on an input, and so has an axis of runs.
        heights: for each value the Einsums of two operands on the longest way to it that meets no Lookup.
        zeros_behind_weights: the commitment's own proof has shown that there are zeros behind weights.

    Raises:
        MalformedCommitmentError: no proof can be about this program.
        VerifierUnavailableError: the program is too large for this verifier, in so many runs.
    """

    zeros_behind_weights = True

    def __init__(
        self, program: Program, runs: int, private_inputs: Sequence[bool], private_outputs: Sequence[bool]
    ) -> None:
        self.program, self.runs = program, runs
        self.private_inputs, self.private_outputs = private_inputs, private_outputs
        self.matrices = [Matrix() for _ in range(4)]
        self.committed: dict[int, tuple[int, int]] = {}
        self.sites: list[LookupSite] = []
        self._tables: list[LookupTable] = []
        self._table_numbers: dict[object, int] = {}
        self._blocks: list[tuple[int, int]] = []
        self.leaves = len(program.inputs) + len(program.weights)
        self.varies = _varies(program)
        elements = sum(math.prod(self.shape(value)) for value in range(program.num_values))
        views = [(value, node) for value, node in enumerate(program.nodes, self.leaves) if isinstance(node, View)]
        read = sum(math.prod(self.shape(v)) * sum(1 + len(term.steps) for term in node.terms) for v, node in views)
        if elements > MAX_ELEMENTS or read > MAX_READ:
            raise VerifierUnavailableError(
                f"the reference verifier is for small programs, of up to {MAX_ELEMENTS} elements in all runs, of which "
                f"Views read up to {MAX_READ}, and this statement is about {elements}, and {read}; check it with "
                "engine='python'"
            )
        self.heights = self._heights()
        self._check()
        self._place_inputs_and_outputs()
        lookups = [(value, node) for value, node in enumerate(program.nodes, self.leaves) if isinstance(node, Lookup)]
        remainders: dict[int, int] = {}
        for value, node in lookups:
            remainders[node.shift] = remainders.get(node.shift, 0) + math.prod(self.shape(value))
        self._limbs = limb_bits(remainders)
        for value, node in lookups:
            self._add_lookup(value, node)
        self.lookups = Lookups(tuple(self._tables), tuple(self._blocks)) if self._blocks else None
        self.multiplicities = [self.matrices[WITNESS].add(boxes_of((1 << table.variables,))) for table in self._tables]

    @property
    def arguments(self) -> list[Lookups]:
        """The lookup arguments: one at most."""
        return [] if self.lookups is None else [self.lookups]

    @property
    def most_pulled(self) -> int:
        """To how many sources functionals may be pulled back."""
        return FREE_PULLED + PULLED_PER_SOURCE * sum(len(node_sources(node)) for node in self.program.nodes)

    def node(self, value: int) -> Node:
        """The node that makes a value."""
        return self.program.nodes[value - self.leaves]

    def shape(self, value: int) -> Shape:
        """Of a value, its axis of runs first."""
        return (self.runs if self.varies[value] else 1, *self.program.tensor(value).shape)

    def _heights(self) -> list[int]:
        found = [0] * (len(self.program.inputs) + len(self.program.weights))
        for node in self.program.nodes:
            steps = 1 if isinstance(node, Einsum) and len(node.operands) == 2 else 0
            # A Delay's later source is the result of a Lookup, whose height is zero.
            highest = max(found[source] for source in node_sources(node) if source < len(found))
            found.append(0 if isinstance(node, Lookup) else highest + steps)
        return found

    def _check(self) -> None:
        program = self.program
        if self.runs < 1:
            raise MalformedCommitmentError("a proof covers one run at least")
        if any(2 * program.tensor(v).magnitude >= P for v in range(program.num_values)):
            raise MalformedCommitmentError("a value does not fit the field")
        if any(tensor.hi - tensor.lo >= MAX_WEIGHT_RANGE for tensor in program.weights):
            raise MalformedCommitmentError("the bounds of a weight are too far apart")
        if max(self.heights) > MAX_HEIGHT:
            raise MalformedCommitmentError("products of products are too deep")
        Intervals(program)
        for number in {node.table for node in program.nodes if isinstance(node, Lookup)}:
            table = program.tables[number]
            largest = max(map(abs, (*table.values, table.lo, table.hi)))
            if 2 * largest > P:
                raise MalformedCommitmentError("a table does not fit the field")

    def _place_inputs_and_outputs(self) -> None:
        program = self.program
        for value, private in enumerate(self.private_inputs):
            if private:
                tensor = program.inputs[value]
                rows = tensor.hi - tensor.lo + 1
                if rows > 1 << MAX_PRIVATE_BITS:
                    raise MalformedCommitmentError("a private input has too large a range")
                boxes = boxes_of(self.shape(value))
                vector = self.matrices[INPUTS].add(boxes)
                self.committed[value] = (INPUTS, vector)
                number = self._table(("range", tensor.lo, rows), range_table(rows, tensor.lo))
                blocks = [[self._block(number, box)] for box in boxes]
                self.sites.append(LookupSite(INPUTS, vector, None, 0, (), True, boxes, blocks, 0))
        for value, private in zip(program.outputs, self.private_outputs, strict=True):
            if private:
                self.matrices[OUTPUTS].add(boxes_of(self.shape(value)))
        for number, tensor in enumerate(program.weights):
            self.committed[len(program.inputs) + number] = (WEIGHTS, number)
            self.matrices[WEIGHTS].add(boxes_of((1, *tensor.shape)))

    def _add_lookup(self, value: int, node: Lookup) -> None:
        boxes, witness = boxes_of(self.shape(value)), self.matrices[WITNESS]
        table = self.program.tables[node.table]
        key = ("table", node.table)
        looked_up = self._tables[self._table_numbers[key]] if key in self._table_numbers else table_of(table)
        number = self._table(key, looked_up)
        bits = self._limbs[node.shift]
        ranges = [self._table(("range", 0, 1 << b), range_table(1 << b, 0)) for b in bits]
        vector = witness.add(boxes)
        limbs = tuple((b, witness.add(boxes)) for b in bits)
        blocks = [[self._block(t, box) for t in (number, *ranges)] for box in boxes]
        self.committed[value] = (WITNESS, vector)
        one_column = len(looked_up.columns) == 1
        nearest = max(table.lo, min(0, table.hi))
        padding = 2**node.shift * nearest - 2**node.shift // 2
        self.sites.append(
            LookupSite(WITNESS, vector, node.source, node.shift, limbs, one_column, boxes, blocks, padding)
        )

    def _table(self, key: object, table: LookupTable) -> int:
        if key not in self._table_numbers:
            self._table_numbers[key] = len(self._tables)
            self._tables.append(table)
        return self._table_numbers[key]

    def _block(self, table: int, box: Box) -> int:
        self._blocks.append((table, box.variables))
        return len(self._blocks) - 1
