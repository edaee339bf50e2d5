"""Interval analysis: which integers each value of a program can be, given the weights.

The rules are exact for one node at a time and sound for their composition: whatever inputs within their
bounds are fed in, every value lies within the interval computed here. An Einsum with a weight uses the row
norms of that very weight, so the bound is as tight as interval analysis can be.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

from zkinfer.circuit.block_sums import block_sum, negated, positive
from zkinfer.circuit.product_bounds import is_sum_of_squares, product_interval
from zkinfer.circuit.program import MAX_MAGNITUDE, Delay, Einsum, Lookup, Node, Program, View
from zkinfer.circuit.selector_bounds import selector
from zkinfer.circuit.table import Table
from zkinfer.circuit.view_bounds import Interval as Interval
from zkinfer.circuit.view_bounds import Known, Source, view_interval
from zkinfer.circuit.view_bounds import lookup_indices as lookup_indices
from zkinfer.errors import BoundsError
from zkinfer.typing import IntArray


def round_outward(interval: Interval) -> Interval:
    """The interval widened to three significant bits at each end: what is published of a bound.

    A published bound thus says little about the weights, and stays the same when they change little.
    """

    def up(magnitude: int) -> int:
        """The least c * 2^e - 1 >= magnitude with c in 4..7 (or the magnitude itself below 8)."""
        if magnitude < 8:
            return magnitude
        step = 1 << ((magnitude + 1).bit_length() - 3)
        return -(-(magnitude + 1) // step) * step - 1

    lo, hi = interval
    return (-up(-lo) if lo < 0 else 0), (up(hi) if hi > 0 else 0)


def _exact_sum(array: IntArray, keep: Sequence[int], of: Callable[[IntArray], IntArray]) -> list[int]:
    """Sums over all axes but `keep`, flattened, as Python integers; the elements are at most MAX_MAGNITUDE.

    Args:
        of: what is summed, of blocks of the array: no more than its elements.
    """
    axes = tuple(axis for axis in range(array.ndim) if axis not in keep)
    count = max(1, math.prod(array.shape[axis] for axis in axes))
    if max(int(array.max(initial=0)), -int(array.min(initial=0))) <= MAX_MAGNITUDE // count:
        return [int(x) for x in block_sum(array, axes, of).ravel()]
    return [int(x) for x in np.asarray(of(array).astype(object).sum(axis=axes)).ravel()]


def einsum_interval(subscripts: str, operands: Sequence[Source], known: Known) -> Interval:
    """Bounds of an Einsum's result and of each of its partial sums in absolute value.

    Args:
        subscripts: as in `Einsum`.
        operands: what is known of each operand.
        known: where to look up what they were computed from.

    Raises:
        BoundsError: a partial sum could reach the limit.
    """
    terms, out = subscripts.split("->")
    letters = terms.split(",")
    sizes = {c: n for names, x in zip(letters, operands, strict=True) for c, n in zip(names, x.shape, strict=True)}
    weighted = next((k for k in (1, 0) if k < len(operands) and operands[k].content is not None), None)
    count = math.prod(sizes[c] for c in set(sizes) - set(out))
    if len(operands) == 2 and weighted is not None:
        weight = operands[weighted].content
        assert weight is not None
        kept = [axis for axis, letter in enumerate(letters[weighted]) if letter in out]
        repeats = math.prod(sizes[c] for c in set(letters[1 - weighted]) - set(letters[weighted]) - set(out))
        lo, hi, magnitude = _weighted_interval(weight, kept, operands[1 - weighted].interval)
        lo, hi, magnitude = repeats * lo, repeats * hi, repeats * magnitude
    else:
        corners = [math.prod(corner) for corner in itertools.product(*(x.interval for x in operands))]
        lo, hi = count * min(corners), count * max(corners)
        magnitude = max(abs(lo), abs(hi))
    for k in range(len(operands) if len(operands) == 2 else 0):
        chosen = selector(operands[k], known) if count > 1 else None
        if chosen is not None and not {letters[k][axis] for axis in chosen.axes} & set(out):
            a, b = operands[1 - k].interval
            total = chosen.total * count // math.prod(operands[k].shape[axis] for axis in chosen.axes)
            lo, hi = max(lo, total * min(a, 0)), min(hi, total * max(b, 0))
            magnitude = min(magnitude, total * max(abs(a), abs(b)))
    if known.limit is not None and magnitude >= known.limit:
        raise BoundsError(
            f"Einsum {subscripts!r} could reach {magnitude.bit_length()} bits, more than exact arithmetic holds; "
            "compile with fewer bits for activations or weights"
        )
    return lo, hi


def contraction_interval(subscripts: str, operands: Sequence[int], known: Known) -> Interval:
    """Bounds of an Einsum of these values: as `einsum_interval`, and by what `product_bounds` knows.

    Raises:
        BoundsError: see `einsum_interval`.
    """
    sources = [known.source(v) for v in operands]
    least = 0 if is_sum_of_squares(subscripts, operands) else None
    product = product_interval(subscripts, operands, known)
    if product is not None:
        corners = [math.prod(corner) for corner in itertools.product(*(x.interval for x in sources))]
        lo, hi = max(product[0], min(corners)), min(product[1], max(corners))
        if known.limit is None or max(abs(lo), abs(hi)) < known.limit:
            return (lo if least is None else max(lo, least)), hi
    lo, hi = einsum_interval(subscripts, sources, known)
    return (lo if least is None else max(lo, least)), hi


def _weighted_interval(weight: IntArray, kept: Sequence[int], x: Interval) -> tuple[int, int, int]:
    """Bounds of sums of weights times elements of `x`, and of the same sums of absolute values.

    One sum for each place along the `kept` axes of the weight: its norm is what makes the bound tight.
    """
    sums = list(zip(_exact_sum(weight, kept, positive), _exact_sum(weight, kept, negated), strict=True))
    lo = min((p * x[0] - n * x[1] for p, n in sums), default=0)
    hi = max((p * x[1] - n * x[0] for p, n in sums), default=0)
    return lo, hi, max(abs(x[0]), abs(x[1])) * max((p + n for p, n in sums), default=0)


def lookup_interval(table: Table, source: Interval, shift: int) -> Interval:
    """Bounds of a Lookup's result.

    Raises:
        BoundsError: the source can leave the table's domain.
    """
    lo, hi = lookup_indices(source, shift)
    if lo < table.lo or hi > table.hi:
        raise BoundsError(
            f"table {table.name!r} covers indices {table.lo} to {table.hi}, but the values looked up can reach "
            f"{lo} to {hi}; compile again so that the table is built for these weights"
        )
    if (lo, hi) == (table.lo, table.hi):
        return table.range
    reached = table.array[lo - table.lo : hi - table.lo + 1]
    return int(reached.min()), int(reached.max())


def interval_of(node: Node, known: Known) -> Interval:
    """Bounds of one node's value, given what is known of the values before it, and of a later one that a Delay names.

    Raises:
        BoundsError: a value can leave a table's domain, or reach the limit.
    """
    match node:
        case Einsum(subscripts=subscripts, operands=operands):
            return contraction_interval(subscripts, operands, known)
        case View():
            return view_interval(node, known)
        case Lookup(source=source, table=table, shift=shift):
            looked_up = known.table(table)
            if not known.allows(len(looked_up.values)):
                return looked_up.range
            return lookup_interval(looked_up, known.looked_up(known.source(source).interval, looked_up, shift), shift)
        case Delay(initial=initial, source=source):
            (a, b), (c, d) = known.source(initial).interval, known.source(source).interval
            return min(a, c), max(b, d)


def node_interval(program: Program, node: Node, intervals: Sequence[Interval], weights: Sequence[IntArray]) -> Interval:
    """Bounds of one node's value, given those of all values before it.

    Args:
        program: the program that the node belongs to.
        node: the node.
        intervals: bounds of values 0, 1, ... up to the node.
        weights: the contents of the program's weights.

    Raises:
        BoundsError: a value can leave a table's domain or the range of exact arithmetic.
    """

    leaves = len(program.inputs) + len(program.weights)

    def read(value: int) -> Source:
        k = value - len(program.inputs)
        content = weights[k] if 0 <= k < len(weights) else None
        made = program.nodes[value - leaves] if value >= leaves else None
        interval = intervals[value] if value < len(intervals) else later_interval(program, value)
        return Source(program.tensor(value).shape, interval, content, made)

    return interval_of(node, Known(read, program.tables.__getitem__))


def later_interval(program: Program, value: int) -> Interval:
    """What is known beforehand of a value that a Delay names: what the table of its Lookup holds."""
    node = program.nodes[value - program.num_values + len(program.nodes)]
    assert isinstance(node, Lookup)
    return program.tables[node.table].range


def weight_interval(weight: IntArray) -> Interval:
    """Smallest and largest element, or (0, 0) of nothing."""
    return (int(weight.min()), int(weight.max())) if weight.size else (0, 0)


def check_bounds(program: Program, weights: Sequence[IntArray]) -> list[Interval]:
    """Exact bounds of every value of a program with these weights, in order of value number.

    Raises:
        BoundsError: a value can leave its published bounds, a table's domain or the range of exact arithmetic;
            the message names the tensor.
    """
    intervals: list[Interval] = [(t.lo, t.hi) for t in program.inputs]
    intervals += [weight_interval(w) for w in weights]
    for node in program.nodes:
        try:
            intervals.append(node_interval(program, node, intervals, weights))
        except BoundsError as error:
            raise BoundsError(f"{node.out.label}: {error}") from None
    for value, (lo, hi) in enumerate(intervals):
        tensor = program.tensor(value)
        if lo < tensor.lo or hi > tensor.hi:
            raise BoundsError(
                f"{tensor.label}: values can reach {lo} to {hi}, outside the published {tensor.lo} to {tensor.hi}"
            )
    return intervals
