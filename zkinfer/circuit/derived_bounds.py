"""Which integers each value of a program can be, for all that the public knows: derived, and never believed.

A program says of every node's result within which bounds it lies. Whoever wrote the program may have lied. A verifier
therefore derives all intervals again, from the bounds of the inputs, which are part of a statement, the bounds of the
weights, and the contents of the tables.

A proof system computes modulo a prime, and shows of every Lookup that its source is `2^shift * index + remainder -
half` modulo that prime, with an index of the table. Where all derived intervals, and all these sums, are below half of
the prime, two that are equal modulo the prime are equal as integers. A derived interval may be wider than the table,
because contents of weights are not public. Beyond the Lookup it is not: an element that is looked up is within what
leads to an index of the table. Where a proof system shows the Lookups of all elements, whether their results are used
or not, that is so wherever else the value is read.
"""

from zkinfer.circuit.bounds import Interval, interval_of, later_interval
from zkinfer.circuit.program import Lookup, Program
from zkinfer.circuit.view_bounds import Effort, Known, Source
from zkinfer.circuit.view_bounds import table_domain as table_domain
from zkinfer.circuit.view_bounds import within as within
from zkinfer.errors import BoundsError

MAX_EFFORT = 1 << 26
"""See `Effort`: about a second for the most laborious program."""


def magnitude(interval: Interval) -> int:
    """The largest absolute value in an interval."""
    return max(abs(interval[0]), abs(interval[1]))


def derived_bounds(program: Program, limit: int, *, all_shown: bool = True) -> list[Interval]:
    """The interval of every value that follows from inputs, bounds of weights, and tables, by value number.

    Args:
        program: a validated program, perhaps of a stranger.
        limit: how large a value may be in absolute value: half of a proof system's prime, rounded down.
        all_shown: whether the proof system shows every Lookup of every element, also one whose result is not used.

    Raises:
        BoundsError: a value could be larger; the message names its tensor.
    """
    domains: dict[int, Interval] = {}
    for node in program.nodes:
        if isinstance(node, Lookup):
            domain = table_domain(program.tables[node.table], node.shift)
            if magnitude(domain) > limit:
                raise BoundsError(f"{node.out.label}: a shift by {node.shift} bits does not fit the field")
            known_domain = domains.get(node.source, domain)
            domains[node.source] = max(domain[0], known_domain[0]), min(domain[1], known_domain[1])

    intervals: list[Interval] = []

    def admit(value: int, interval: Interval) -> None:
        if magnitude(interval) > limit:
            raise BoundsError(
                f"{program.tensor(value).label}: for all that is public about the weights, a value could have "
                f"{magnitude(interval).bit_length()} bits, more than proofs of this backend tell apart; compile with "
                "fewer bits for activations or weights"
            )
        try:
            looked_up = within(interval, domains[value]) if value in domains else interval
        except BoundsError as error:
            raise BoundsError(f"{program.tensor(value).label}: {error}") from None
        intervals.append(looked_up if all_shown else interval)

    leaves = len(program.inputs) + len(program.weights)

    def source(value: int) -> Source:
        made = program.nodes[value - leaves] if value >= leaves else None
        interval = intervals[value] if value < len(intervals) else later_interval(program, value)
        return Source(program.tensor(value).shape, interval, None, made)

    known = Known(source, program.tables.__getitem__, None, Effort(MAX_EFFORT), shown=True)
    for value, tensor in enumerate((*program.inputs, *program.weights)):
        admit(value, (tensor.lo, tensor.hi))
    for value, node in enumerate(program.nodes, leaves):
        admit(value, interval_of(node, known))
    return intervals
