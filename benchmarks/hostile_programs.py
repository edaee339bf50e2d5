"""Programs that no compiler writes: every step, node and table in odd sizes, with extreme coefficients and tables.

Most are well formed, so that they reach deep into the verifiers; some are bent in one place afterwards.
"""

import dataclasses
import random

import msgspec

from zkinfer.circuit.encoding import encode_program
from zkinfer.circuit.program import Einsum, Lookup, Node, Program, Tensor, Term, View
from zkinfer.circuit.steps import Expand, Pad, Reshape, Shape, Slice, Step, Take, Transpose, Windows
from zkinfer.circuit.table import Table
from zkinfer.circuit.validate import einsum_shape, node_shape
from zkinfer.errors import ZkinferError
from zkinfer.protocol.field.params import P

SIZES = (0, 1, 1, 2, 3, 4, 5, 7, 8)
NUMBERS = (0, 1, -1, 2, -2, 3, 63, 64, P // 2, P // 2 + 1, P - 1, P, P + 1, -P, 2 * P, 1 << 31, 1 << 50, (1 << 62) - 1)
WILD = (*NUMBERS, 1 << 62, 1 << 63, (1 << 64) - 1, -(1 << 63))
FLOORS = (20, 60, 200)
"""Nodes of a tower, in which each reads what is below it, twice if it can."""

MAX_ELEMENTS = 4000
"""Of a tensor: a program of the size of the digits models. A tower has five times as many in all."""


@dataclasses.dataclass
class _Writer:
    """A program in the making."""

    rng: random.Random
    inputs: list[Tensor]
    weights: list[Tensor]
    tables: list[Table]
    nodes: list[Node]

    @property
    def program(self) -> Program:
        tensors = tuple(self.inputs), tuple(self.weights)
        last = len(self.inputs) + len(self.weights) + len(self.nodes) - 1
        count = self.rng.choice((1, 1, 2, 3))
        outputs = tuple(self.rng.choice((last, self.rng.randint(0, last))) for _ in range(count))
        return Program(1, *tensors, tuple(self.tables), tuple(self.nodes), outputs)

    def tensor(self, label: str, shape: Shape) -> Tensor:
        """A tensor of that shape, its bounds small and seldom wild."""
        wild = self.rng.choice(NUMBERS) if self.rng.random() < 0.05 else 100
        high = self.rng.choice((0, 1, 5, 100, wild))
        low = self.rng.choice((0, -high, -high, high, -wild))
        return Tensor(label, shape, self.rng.choice((0, 3, -3, 512, -512)), min(low, high), max(low, high))

    def number(self, wild: tuple[int, ...]) -> int:
        """A coefficient or an entry: small, and seldom one that is out of the ordinary."""
        return self.rng.choice(wild if self.rng.random() < 0.03 else (1, 1, 2, -3))

    def shape(self) -> Shape:
        return tuple(self.rng.choice(SIZES[1:]) for _ in range(self.rng.choice((0, 1, 2, 2, 3, 4))))

    def table(self) -> Table:
        rng = self.rng
        count = rng.choice((1, 2, 3, 8, 100, 201))
        low = rng.choice((0, -(count // 2), self.number(NUMBERS)))
        kind = rng.randrange(4)
        if kind == 0:
            return Table("identity", low, tuple(range(low, low + count)))
        if kind == 1:
            slope = self.number(NUMBERS) % (1 << 40)
            return Table("line", low, tuple(slope * i for i in range(count)))
        return Table(
            "any", low, tuple(self.number(NUMBERS) for _ in range(count)) if kind == 2 else (rng.choice(SIZES),) * count
        )

    def step(self, shape: Shape) -> Step:
        """A step that fits the shape, mostly."""
        rng = self.rng
        axis = rng.randrange(len(shape)) if shape else 0
        n = shape[axis] if shape else 1
        match rng.randrange(8):
            case 0:
                return Transpose(tuple(rng.sample(range(len(shape)), len(shape))))
            case 1:
                return Pad(*(tuple(rng.choice((0, 0, 1, 3)) for _ in shape) for _ in range(2)))
            case 2:
                stride = rng.choice((1, -1, 2, rng.choice(WILD)))
                return Slice(axis, rng.choice((0, n - 1)), rng.choice((0, 1, n)), stride)
            case 3:
                return Take(axis, tuple(rng.randrange(n) for _ in range(rng.choice((0, 1, n, 2 * n)))) if n else ())
            case 4:
                return Expand(tuple(rng.choice((1, 3, 5)) if m == 1 else m for m in shape))
            case 5:
                return Windows(axis, rng.randint(1, max(1, n)), rng.choice((1, 2)), rng.choice((1, 1, 2)))
            case 6:
                return Reshape(self.factors(shape))
            case _:
                return Slice(axis, rng.choice(WILD), rng.choice(WILD), rng.choice(WILD))

    def factors(self, shape: Shape) -> Shape:
        """Another shape of as many elements."""
        count = 1
        for n in shape:
            count *= n
        found = []
        while count > 1 and self.rng.random() < 0.7:
            divisor = self.rng.choice([d for d in (2, 3, 4, 5, 7, count) if count % d == 0])
            found.append(divisor)
            count //= divisor
        return (*found, count)

    def steps(self, shape: Shape) -> tuple[tuple[Step, ...], Shape]:
        found: list[Step] = []
        for _ in range(self.rng.choice((0, 1, 1, 2, 3, 5))):
            step = self.step(shape)
            try:
                after = step.shape(shape)
            except ZkinferError:
                continue
            size = 1
            for n in after:
                size *= n
            if size <= MAX_ELEMENTS and len(after) < 8:
                found, shape = [*found, step], after
        if 0 in shape and self.rng.random() < 0.9:
            pad = Pad(tuple(0 for _ in shape), tuple(int(n == 0) for n in shape))
            found, shape = [*found, pad], pad.shape(shape)
        return tuple(found), shape

    def node(self, label: str) -> Node | None:
        """A node on values that exist; None where none was found."""
        rng, known = self.rng, [*self.inputs, *self.weights, *(node.out for node in self.nodes)]
        value = rng.choice((len(known) - 1, rng.randrange(len(known))))
        shape = known[value].shape
        match rng.randrange(3):
            case 0:
                steps, after = self.steps(shape)
                terms = [Term(value, self.number(WILD), steps)]
                others = [i for i, tensor in enumerate(known) if tensor.shape == after]
                added = rng.choices(others, k=rng.choice((0, 1, 2))) if others else []
                terms += [Term(other, self.number(NUMBERS), ()) for other in added]
                return View(self.tensor(label, after), tuple(terms), self.number(WILD) - 1)
            case 1:
                table = self.table()
                self.tables.append(table)
                return Lookup(
                    self.tensor(label, shape), value, len(self.tables) - 1, rng.choice((0, 0, 1, 5, 20, 41, 62))
                )
            case _:
                operands = (value,) if rng.random() < 0.3 else (value, rng.choice((value, rng.randrange(len(known)))))
                shapes = [known[v].shape for v in operands]
                letters = ["".join(rng.sample("abcdefgh", len(shape))) for shape in shapes]
                names = sorted(set("".join(letters)))
                out = "".join(rng.sample(names, rng.randint(0, len(names))))
                subscripts = f"{','.join(letters)}->{out}"
                try:
                    after = einsum_shape(subscripts, shapes)
                except ZkinferError:
                    return None
                size = 1
                for n in after:
                    size *= n
                return Einsum(self.tensor(label, after), subscripts, operands) if size <= MAX_ELEMENTS else None

    def tower(self) -> None:
        """Nodes of the last value's shape, each made of the one below, twice if it can: paths through them double."""
        rng, known = self.rng, [*self.inputs, *self.weights, *(node.out for node in self.nodes)]
        below, shape = len(known) - 1, known[-1].shape
        letters = "abcdefgh"[: len(shape)]
        self.tables.append(Table("parity", -(1 << 12), tuple(i & 1 for i in range(1 << 13))))
        kinds = rng.choices(("product", "sum", "lookup", "norm"), k=rng.choice((1, 2, 3)))
        for floor in range(min(rng.choice(FLOORS), 5 * MAX_ELEMENTS // max(known[-1].size, 1))):
            out, number = Tensor(f"floor {floor}", shape, 0, -100, 100), len(known) + floor
            match kinds[floor % len(kinds)]:
                case "product":
                    self.nodes.append(Einsum(out, f"{letters},{letters}->{letters}", (below, below)))
                case "sum":
                    self.nodes.append(View(out, (Term(below, 1, ()), Term(below, rng.choice((-1, 1)), ()))))
                case "lookup":
                    self.nodes.append(Lookup(out, below, len(self.tables) - 1, 0))
                case _:
                    squares = msgspec.structs.replace(out, shape=())
                    self.nodes.append(Einsum(squares, f"{letters},{letters}->", (below, below)))
                    continue
            below = number

    def ladder(self) -> None:
        """A chain of sums of the last value's shape, each of which a product reads too; and the sum of the products."""
        known = [*self.inputs, *self.weights, *(node.out for node in self.nodes)]
        first, shape = len(known) - 1, known[-1].shape
        letters = "abcdefgh"[: len(shape)]
        floors = min(self.rng.choice(FLOORS), 2 * MAX_ELEMENTS // max(known[-1].size, 1))
        out, sums = Tensor("rung", shape, 0, -100, 100), [first]
        for floor in range(floors):
            self.nodes.append(View(out, (Term(sums[-1], 1, ()), Term(first, self.rng.choice((-1, 1)), ()))))
            sums.append(len(known) + floor)
        products = [Einsum(out, f"{letters},{letters}->{letters}", (value, first)) for value in sums[1:]]
        self.nodes += products
        at = len(known) + floors
        self.nodes.append(View(out, tuple(Term(at + i, 1, ()) for i in range(len(products))) or (Term(first, 1, ()),)))


def hostile_program(rng: random.Random) -> Program:
    """A program that has an encoding, well formed or nearly so."""
    while True:
        program = _drawn(rng)
        try:
            encode_program(program)
        except OverflowError:  # a number that MessagePack does not have
            continue
        return program


def _drawn(rng: random.Random) -> Program:
    writer = _Writer(rng, [], [], [], [])
    writer.inputs = [writer.tensor(f"x{i}", writer.shape()) for i in range(rng.choice((1, 1, 2)))]
    writer.weights = [writer.tensor(f"w{i}", writer.shape()) for i in range(rng.choice((0, 1, 1, 1, 2, 2, 3)))]
    for i in range(rng.choice((1, 2, 4, 8))):
        node = writer.node(f"n{i}")
        if node is not None:
            writer.nodes.append(_true_shape(writer.program, node))
    if rng.random() < 0.05:
        rng.choice((writer.tower, writer.ladder))()
    program = writer.program
    return _bent(rng, program) if rng.random() < 0.2 else _lookups_in_range(program)


def _true_shape(program: Program, node: Node) -> Node:
    try:
        shape = node_shape(program, node)
    except (ZkinferError, IndexError):
        return node
    return msgspec.structs.replace(node, out=msgspec.structs.replace(node.out, shape=shape))


def _lookups_in_range(program: Program) -> Program:
    """The program with the bounds of what is looked up within its table, so that it is well formed."""
    nodes = list(program.nodes)
    inputs, weights = list(program.inputs), list(program.weights)
    for node in program.nodes:
        if not isinstance(node, Lookup):
            continue
        table = program.tables[node.table]
        limit = (1 << 62) - 1
        low, high = (max(-limit, min(limit, index << node.shift)) for index in (table.lo, table.hi))
        values = [*inputs, *weights]
        if node.source < len(inputs):
            inputs[node.source] = msgspec.structs.replace(values[node.source], lo=low, hi=high)
        elif node.source < len(values):
            weights[node.source - len(inputs)] = msgspec.structs.replace(values[node.source], lo=low, hi=high)
        else:
            at = node.source - len(values)
            out = msgspec.structs.replace(nodes[at].out, lo=low, hi=high)
            nodes[at] = msgspec.structs.replace(nodes[at], out=out)
    return msgspec.structs.replace(program, inputs=tuple(inputs), weights=tuple(weights), nodes=tuple(nodes))


def _bent(rng: random.Random, program: Program) -> Program:
    """The program with something in it that does not fit."""
    nodes = list(program.nodes)
    if nodes and rng.random() < 0.7:
        at = rng.randrange(len(nodes))
        out = nodes[at].out
        out = msgspec.structs.replace(out, shape=tuple(rng.choice(SIZES) for _ in out.shape))
        nodes[at] = msgspec.structs.replace(nodes[at], out=out)
    return msgspec.structs.replace(program, nodes=tuple(nodes), outputs=(rng.choice((0, -1, 99, len(nodes))),))
