"""Recurrences: the nodes between a Delay and the Lookup that it delays compute all steps of time from one description.

A *region* is a range of nodes. It begins with a Delay and ends with the last Lookup that one of its Delays names. All
its values have as many steps along their first axis, that of time. Its nodes are *pointwise in time*: step t of a
result depends on step t of the values of the region that it reads, on step t of what it reads from before the region,
or on a value from before the region which has no axis of time and is read whole. Only Delays reach from a step to the
one before it. No value from before the region is both read step by step and read whole, so that each has one place
in `Body`.

So the program still determines every value. Order the places (t, node) of a region by t, then by the node's number: a
place depends on values from before the region, on earlier nodes at the same t, and, through a Delay, on a Lookup at
t - 1. All of these come before it. By induction along this order every place is determined, as that of a program
without regions is by induction over its nodes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from zkinfer.circuit.program import Delay, Einsum, Lookup, Node, Program, Tensor, Term, View, node_sources
from zkinfer.circuit.steps import (
    Embed,
    Expand,
    Gather,
    IndexMap,
    Pad,
    Permute,
    Regroup,
    Reshape,
    Shape,
    Slice,
    Step,
    moves,
)
from zkinfer.errors import ArtifactError, ResourceError

MAX_UNROLLED_NODES = 1 << 20
"""Nodes that an unrolled program has at most: seconds, and some GB of memory."""


@dataclass(frozen=True)
class Region:
    """Nodes that compute the steps of a recurrence.

    Attributes:
        values: those that the nodes make, by number.
        steps: places along the axis of time.
    """

    values: range
    steps: int


def find_regions(program: Program) -> list[Region]:
    """The regions of a program whose Delays name later values, in order. They do not overlap."""
    leaves, found = program.num_values - len(program.nodes), list[Region]()
    first = last = -1
    for value, node in enumerate(program.nodes, leaves):
        if isinstance(node, Delay):
            if value > last:
                first = value
            last = max(last, node.source)
        if value == last:
            found.append(Region(range(first, last + 1), program.tensor(first).shape[0]))
    return found


def check_regions(program: Program) -> None:
    """Check that every region is one: the rest of the program is well formed.

    Raises:
        ArtifactError: a node is not pointwise in time; the message names the tensor.
    """
    leaves = program.num_values - len(program.nodes)
    for region in find_regions(program):
        for value in region.values:
            node = program.nodes[value - leaves]
            if not node.out.shape or node.out.shape[0] != region.steps:
                raise ArtifactError(f"{node.out.label}: a value of a recurrence has {region.steps} steps")
            if not _is_pointwise(program, region, node):
                raise ArtifactError(f"{node.out.label}: a node of a recurrence mixes its steps")
        sliced, whole = _read_from_before(region, [program.nodes[value - leaves] for value in region.values])
        for value in sliced:
            if value in whole:
                raise ArtifactError(
                    f"{program.tensor(value).label}: a recurrence reads it both step by step and whole; let it read "
                    "one of the two from a View of it that is before the recurrence"
                )


def _is_pointwise(program: Program, region: Region, node: Node) -> bool:
    match node:
        case Einsum(subscripts=subscripts, operands=operands):
            left, _, out = subscripts.partition("->")
            time = out[0]
            return all(
                letters[:1] == time or (time not in letters and value not in region.values)
                for letters, value in zip(left.split(","), operands, strict=True)
            )
        case View(terms=terms):
            return all(keeps_time(term.steps, program.tensor(term.source).shape, region.steps) for term in terms)
        case Lookup():
            return True
        case Delay(initial=initial):
            return initial not in region.values


def keeps_time(steps: Sequence[Step], shape: Shape, count: int) -> bool:
    """Whether the steps leave the first axis, of so many places, as it is."""
    if shape[:1] != (count,):
        return False
    return all(move.after[:1] == (count,) and _leaves_first_axis(move.index_map) for move in moves(steps, shape))


def _leaves_first_axis(index_map: IndexMap) -> bool:
    """Given that the first axis is as long as before: whether its places stay where they are."""
    match index_map:
        case Regroup() | Embed():
            return True
        case Permute(axes=axes):
            return axes[0] == 0
        case Gather(along=along):
            return 0 not in along


@dataclass(frozen=True)
class Body:
    """One step of a region, as a program without regions. Its nodes are those of the region that are no Delays.

    Attributes:
        region: that it is a step of.
        program: its inputs are the states that `delays` give, then a step of each value in `sliced`, then each value in
            `whole`; its weights are the values in `fixed`. Its first axis is that of time, of one step.
        delays, sliced, whole, fixed: numbers of values.
        numbers: for each value of the region or read by it the number in the body.
    """

    region: Region
    program: Program
    delays: tuple[int, ...]
    sliced: tuple[int, ...]
    whole: tuple[int, ...]
    fixed: tuple[int, ...]
    numbers: dict[int, int]


def body_of(program: Program, region: Region, varies: Sequence[bool]) -> Body:
    """One step of a region of a validated program.

    Args:
        varies: for each value of the program whether it depends on an input.
    """
    leaves = program.num_values - len(program.nodes)
    nodes = [(value, program.nodes[value - leaves]) for value in region.values]
    sliced, whole = _read_from_before(region, [node for _, node in nodes])
    delays = tuple(value for value, node in nodes if isinstance(node, Delay))
    fixed = tuple(value for value in whole if not varies[value])
    free = tuple(value for value in whole if varies[value])
    order = (*delays, *sliced, *free, *fixed, *(value for value, node in nodes if not isinstance(node, Delay)))
    numbers = {value: number for number, value in enumerate(order)}
    steps_of = (*delays, *sliced)
    body = Program(
        program.version,
        tuple(_one_step(program.tensor(v)) for v in steps_of) + tuple(program.tensor(v) for v in free),
        tuple(program.tensor(v) for v in fixed),
        program.tables,
        tuple(_step_of(node, program, numbers) for _, node in nodes if not isinstance(node, Delay)),
        tuple(numbers[v] for v in region.values),
    )
    return Body(region, body, delays, tuple(sliced), free, fixed, numbers)


def _read_from_before(region: Region, nodes: Sequence[Node]) -> tuple[dict[int, None], dict[int, None]]:
    """The values from before a region that its nodes read step by step, and those that they read whole."""
    sliced, whole = dict[int, None](), dict[int, None]()
    for node in nodes:
        for value, in_time in _read(node):
            if value not in region.values:
                (sliced if in_time else whole)[value] = None
    return sliced, whole


def _read(node: Node) -> Iterator[tuple[int, bool]]:
    """The values that a step of a node reads, and whether of each it reads one step of time."""
    match node:
        case Einsum(subscripts=subscripts, operands=operands):
            left, _, out = subscripts.partition("->")
            for value, letters in zip(operands, left.split(","), strict=True):
                yield value, out[0] in letters
        case View(terms=terms):
            yield from ((term.source, True) for term in terms)
        case Lookup(source=source):
            yield source, True
        case Delay():
            pass


def _one_step(tensor: Tensor) -> Tensor:
    return replace(tensor, shape=(1, *tensor.shape[1:]), scales=None)


def _step_of(node: Node, program: Program, numbers: dict[int, int]) -> Node:
    """A node of a region at one step of time."""
    out = _one_step(node.out)
    match node:
        case Einsum(operands=operands):
            return replace(node, out=out, operands=tuple(numbers[v] for v in operands))
        case View(terms=terms):
            moved = tuple(Term(numbers[t.source], t.coefficient, tuple(map(_step_in_time, t.steps))) for t in terms)
            return replace(node, out=out, terms=moved)
        case Lookup(source=source):
            return replace(node, out=out, source=numbers[source])
        case Delay():
            raise AssertionError("a delay is what a step begins with")


def _step_in_time(step: Step) -> Step:
    """What a step that leaves the first axis alone is where that axis has one place."""
    match step:
        case Reshape(sizes=sizes):
            return Reshape((1, *sizes[1:]))
        case Expand(sizes=sizes):
            return Expand((1, *sizes[1:]))
        case _:
            return step


def varying(program: Program) -> tuple[bool, ...]:
    """For each value of a validated program whether it depends on an input."""
    leaves = program.num_values - len(program.nodes)
    readers: dict[int, list[int]] = {}
    for value, node in enumerate(program.nodes, leaves):
        for source in node_sources(node):
            readers.setdefault(source, []).append(value)
    found = [value < len(program.inputs) for value in range(program.num_values)]
    waiting = list(range(len(program.inputs)))
    while waiting:
        for reader in readers.get(waiting.pop(), ()):
            if not found[reader]:
                found[reader] = True
                waiting.append(reader)
    return tuple(found)


def unroll(program: Program) -> Program:
    """The same function without regions: a copy of a region's nodes for each of its steps.

    Inputs, weights, tables, and the number and shapes of the outputs are the same.

    Raises:
        ResourceError: it would have more than `MAX_UNROLLED_NODES` nodes.
    """
    regions = find_regions(program)
    if not regions:
        return program
    count = len(program.nodes) + sum(4 * len(region.values) * region.steps for region in regions)
    if count > MAX_UNROLLED_NODES:
        raise ResourceError(f"recurrences unrolled to {count:,} nodes are over the limit of {MAX_UNROLLED_NODES:,}")
    return _Unrolling(program, regions).run()


class _Unrolling:
    """A program that is being unrolled.

    Attributes:
        numbers: for each value of the old program its number in the new one.
    """

    def __init__(self, program: Program, regions: Sequence[Region]) -> None:
        self.program = program
        self.leaves = program.num_values - len(program.nodes)
        self.starts = {region.values[0]: region for region in regions}
        self.numbers = {value: value for value in range(self.leaves)}
        self.nodes: list[Node] = []

    def run(self) -> Program:
        program = self.program
        varies, value = varying(program), self.leaves
        while value < program.num_values:
            if value in self.starts:
                region = self.starts[value]
                self._region(body_of(program, region, varies))
                value = region.values[-1] + 1
            else:
                node = program.nodes[value - self.leaves]
                self.numbers[value] = self._add(_renumbered(node, self.numbers))
                value += 1
        outputs = tuple(self.numbers[value] for value in program.outputs)
        return replace(program, nodes=tuple(self.nodes), outputs=outputs)

    def _add(self, node: Node) -> int:
        self.nodes.append(node)
        return self.leaves + len(self.nodes) - 1

    def _region(self, body: Body) -> None:
        program, values = self.program, body.region.values
        made: dict[int, list[int]] = {value: [] for value in values}
        first_node = len(body.program.inputs) + len(body.program.weights)
        delays = {d: program.nodes[d - self.leaves] for d in body.delays}
        names = {number: value for value, number in body.numbers.items()}
        for t in range(body.region.steps):
            at: dict[int, int] = {}
            for value, node in delays.items():
                assert isinstance(node, Delay)
                at[body.numbers[value]] = made[node.source][t - 1] if t else self.numbers[node.initial]
            for value in body.sliced:
                steps = (Slice(0, t, 1, 1),)
                tensor = _one_step(program.tensor(value))
                at[body.numbers[value]] = self._add(View(tensor, (Term(self.numbers[value], 1, steps),)))
            for value in (*body.whole, *body.fixed):
                at[body.numbers[value]] = self.numbers[value]
            for number, node in enumerate(body.program.nodes, first_node):
                at[number] = self._add(_renumbered(node, at))
            for number, new in at.items():
                if names[number] in made:
                    made[names[number]].append(new)
        for value in values:
            self.numbers[value] = self._joined(program.tensor(value), made[value])

    def _joined(self, tensor: Tensor, parts: Sequence[int]) -> int:
        """The steps of a value, one after another."""
        rest = (0,) * (len(tensor.shape) - 1)
        terms = (Term(n, 1, (Pad((t, *rest), (len(parts) - 1 - t, *rest)),)) for t, n in enumerate(parts))
        return self._add(View(tensor, tuple(terms)))


def _renumbered(node: Node, numbers: dict[int, int]) -> Node:
    match node:
        case Einsum(operands=operands):
            return replace(node, operands=tuple(numbers[v] for v in operands))
        case View(terms=terms):
            return replace(node, terms=tuple(Term(numbers[t.source], t.coefficient, t.steps) for t in terms))
        case Lookup(source=source):
            return replace(node, source=numbers[source])
        case Delay():
            raise AssertionError("a delay belongs to a region")
