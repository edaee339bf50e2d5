"""Choosing elements at computed positions, by exact contraction with zeros and ones.

A position i among n becomes a row of n truth values, of which the one at i is 1: `[i - j == 0]` for every j, one lookup
each. If n is large, i = h * 2**s + l is first split by one lookup of its high digit h, so that a row costs about
2 * sqrt(n) lookups. The row is then the outer product of the rows of both digits.

Claim. If i is an integer from 0 to n - 1, as its bounds prove, exactly one element of its row is 1.
"""

import math
import string
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from zkinfer.circuit.bounds import lookup_indices
from zkinfer.circuit.program import rounding_half
from zkinfer.circuit.steps import Expand, Pad, Reshape, Slice, Step, Take, Transpose
from zkinfer.compiler.lowering.activation import Activation, Constant, Operand
from zkinfer.compiler.lowering.affine import AffineMap
from zkinfer.compiler.lowering.builder import ProgramValue, Summand
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.lowering.maxima import ranked
from zkinfer.compiler.lowering.tables import entries, integer_table
from zkinfer.compiler.lowering.truth import integral_value
from zkinfer.counts import counted
from zkinfer.errors import UnsupportedOperatorError

MAX_ROW = 256
"""Rows up to this length are made without splitting the position."""


def _row(g: Emitter, value: ProgramValue, n: int, *, wrapped: bool = False) -> ProgramValue:
    """For every position, a row of n truth values along a new last axis; if `wrapped`, -1 is the last position."""
    places = g.builder.weight(f"{g.label}/positions", np.arange(n), 0)
    shape = (*value.shape, n)
    ones = (1,) * len(value.shape)
    distance = g.builder.combine(
        g.label,
        [
            Summand(value, steps=(Reshape((*value.shape, 1)), Expand(shape))),
            Summand(places, Fraction(-1), (Reshape((*ones, n)), Expand(shape))),
        ],
    )
    bounds = (distance.tensor.lo, distance.tensor.hi)
    equal = integer_table("equal", bounds, lambda i: ((i == 0) | (wrapped & (i == -n))).astype(np.int64))
    return g.builder.lookup(g.label, distance, equal, 0, 0)


def _lowest(position: Activation) -> int:
    """The lowest number that a position can be: a proven bound where it is exact, else that of calibration data."""
    lowest: float = position.observed[0]
    if isinstance(position.pending, AffineMap) and position.pending.scale == 1:
        lowest = min(lowest, position.value.real_bounds[0] + float(position.pending.offset))
    return math.floor(lowest)


def _rows(g: Emitter, position: Activation, n: int, from_end: int = 0) -> list[ProgramValue]:
    """The rows of a position's digits, the highest first: together they reach up to n - 1 or a little further.

    Args:
        g: emits the nodes.
        position: integers from `-from_end` on.
        n: number of positions, those from the end among them.
        from_end: added to the position first.
    """
    value = integral_value(g, g.affine(position, offset=Fraction(from_end)), 0, n - 1)
    if n <= MAX_ROW:
        return [_row(g, value, n)]
    shift = (n - 1).bit_length() // 2
    half = rounding_half(shift)
    # Reduced by half a step, so that the rounding shift of the lookup rounds down.
    moved = g.builder.combine(g.label, [Summand(value)], offset=Fraction(-half))
    digits = integer_table("digit", lookup_indices((moved.tensor.lo, moved.tensor.hi), shift), lambda i: i)
    high = g.builder.lookup(g.label, moved, digits, shift, 0)
    low = g.builder.combine(g.label, [Summand(value), Summand(high, Fraction(-(1 << shift)))])
    return [_row(g, high, ((n - 1) >> shift) + 1), _row(g, low, 1 << shift)]


def one_hot(g: Emitter, position: Activation, n: int) -> Activation:
    """Rows of n truth values along a new last axis, with a 1 at each position.

    Args:
        g: emits the nodes.
        position: integers from 0 to n - 1. If there can be negative ones, or calibration data has larger ones, -1 is
            the last position, and the row of a number that is not a position has no 1.
        n: length of the rows.
    """
    if _lowest(position) < 0 or position.observed[1] > n - 1:
        row = _row(g, integral_value(g, position, -n - 1, n), n, wrapped=True)
        return g.activation(row, observed=(0.0, 1.0), integral=True)
    rows = _rows(g, position, n)
    if len(rows) == 1:
        return g.activation(rows[0], observed=(0.0, 1.0), integral=True)
    rank = len(position.shape)
    outer = g.builder.einsum(g.label, _outer(rank), *rows)
    steps = (Reshape((*position.shape, math.prod(outer.shape[rank:]))), Slice(rank, 0, n, 1))
    value = g.builder.combine(g.label, [Summand(outer, steps=steps)])
    return g.activation(value, observed=(0.0, 1.0), integral=True)


def _outer(rank: int) -> str:
    letters = string.ascii_lowercase[:rank]
    return f"{letters}y,{letters}z->{letters}yz"


def take_rows(g: Emitter, table: Constant, position: Activation, axis: int) -> Activation:
    """The slices of a weight along an axis, at computed positions: an embedding.

    Positions may count from the end: then the last slices come once more, before the first one.

    Returns:
        The shape is the weight's, with the axis replaced by the position's axes.
    """
    from_end = min(max(-_lowest(position), 0), table.shape[axis])
    n, rank = table.shape[axis] + from_end, len(position.shape)
    rows = _rows(g, position, n, from_end)
    letters = string.ascii_lowercase[: rank + len(table.shape) - 1]
    places, others = letters[:rank], letters[rank:]
    lengths = [row.shape[-1] for row in rows]
    weight = g.weight(table, np.moveaxis(table.numbers, axis, 0))
    steps: list[Step] = []
    if from_end:
        steps.append(Take(0, (*range(n - 2 * from_end, n - from_end), *range(n - from_end))))
    if len(rows) > 1:
        nothing = (0,) * (len(weight.shape) - 1)
        steps += [Pad((0, *nothing), (math.prod(lengths) - n, *nothing)), Reshape((*lengths, *weight.shape[1:]))]
    by_digits = g.builder.combine(table.name, [Summand(weight, steps=tuple(steps))])
    selector = rows[0] if len(rows) == 1 else g.builder.einsum(g.label, _outer(rank), *rows)
    digits = "yz"[-len(rows) :]
    taken = g.builder.einsum(
        g.label, f"{places}{digits},{digits}{others}->{others[:axis]}{places}{others[axis:]}", selector, by_digits
    )
    bounds = (taken.tensor.lo, taken.tensor.hi)
    if math.prod(taken.shape) < math.prod(weight.shape) and entries(bounds, 0) <= g.precision.max_table_entries:
        # A lookup of the identity: all readers of the rows then share one claim on the weight.
        # Where the largest table fits, it is that of tensors that are rescaled.
        reach = g.precision.max_table_entries // 2
        held = (-reach, reach - 1) if g.precision.relative and -reach < bounds[0] and bounds[1] < reach else bounds
        identity = integer_table("held", held, lambda i: np.maximum(i, 1 - reach))
        taken = g.builder.lookup(g.label, taken, identity, 0, taken.frac_bits)
    return g.activation(taken)


def take(g: Emitter, data: Activation, position: Activation, axis: int) -> Activation:
    """The slices of an activation along an axis, at computed positions."""
    n, rank = data.shape[axis], len(position.shape)
    letters = string.ascii_lowercase[: rank + len(data.shape) - 1]
    places, others = letters[:rank], letters[rank:]
    before, after = others[:axis], others[axis:]
    return _contracted(g, f"{places}z,{before}z{after}->{before}{places}{after}", one_hot(g, position, n), data)


def _contracted(g: Emitter, subscripts: str, selector: Activation, data: Operand) -> Activation:
    """The elements of `data` that the selector chooses, which lie within the range of `data`."""
    if isinstance(data, Constant):
        chosen = g.einsum(subscripts, selector, g.weight(data))
        observed = float(data.reals.min()), float(data.reals.max())
        integral = data.array.dtype.kind in "iub"
    else:
        chosen, observed, integral = g.einsum(subscripts, selector, data), data.observed, data.integral
    assert isinstance(chosen.pending, AffineMap)
    return g.activation(chosen.value, chosen.pending, observed, integral=integral)


def take_nested(g: Emitter, data: Operand, positions: Sequence[Activation], batch_dims: int) -> Activation:
    """The slices of a tensor at computed positions along several axes, one axis after another.

    Args:
        g: emits the nodes.
        data: its first `batch_dims` axes are those of the positions; the next are indexed, one for each position.
        positions: of one shape, whose first axes are the batch.
        batch_dims: how many.

    Returns:
        The shape is that of a position, and the axes of `data` that are not indexed.
    """
    rank = len(positions[0].shape)
    letters = string.ascii_lowercase[: rank + len(data.shape) - batch_dims - len(positions)]
    places, others = letters[:rank], letters[rank:]
    first = places[:batch_dims]
    indexed = string.ascii_lowercase[len(letters) : len(letters) + len(positions)]
    sizes = data.shape[batch_dims:]
    taken = data
    for number, (position, size) in enumerate(zip(positions, sizes, strict=False)):
        rest = indexed[number + 1 :] + others
        selector = one_hot(g, position, size)
        taken = _contracted(g, f"{places}z,{first}z{rest}->{places}{rest}", selector, taken)
        first = places
    assert isinstance(taken, Activation)
    return taken


def take_each(g: Emitter, data: Operand, position: Activation, axis: int) -> Activation:
    """Along an axis, the element at a computed position for every place of the other axes."""
    letters = string.ascii_lowercase[: len(data.shape)]
    moved = letters.replace(letters[axis], "z")
    return _contracted(g, f"{letters}z,{moved}->{letters}", one_hot(g, position, data.shape[axis]), data)


def top(g: Emitter, x: Activation, axis: int, k: int, *, largest: bool) -> tuple[Activation, Activation]:
    """The k largest, or smallest, elements along an axis, in order, and their positions; equal ones in their order.

    The rank of an element is the number of elements before it, from one comparison for every pair.

    Raises:
        UnsupportedOperatorError: the sum of all positions along the axis does not fit a table.
    """
    n, rank = x.shape[axis], len(x.shape)
    last = (*(i for i in range(rank) if i != axis), axis)
    x = g.as_operand(g.reindex(x, Transpose(last)))
    value = ranked(g, x, rising=largest).value
    letters = string.ascii_lowercase[: rank - 1]

    # Element j comes before i if it is larger, or as large and earlier.
    shape, ones = (*value.shape, n), (1,) * (rank - 1)
    later = g.builder.weight(f"{g.label}/later", 1 - np.tri(n, k=-1, dtype=np.int64), 0)
    unit = Fraction(2) ** -value.frac_bits
    lead = g.builder.combine(
        g.label,
        [
            Summand(value, steps=(Reshape((*value.shape[:-1], 1, n)), Expand(shape))),
            Summand(value, Fraction(-1), (Reshape((*value.shape, 1)), Expand(shape))),
            Summand(later, -unit, (Reshape((*ones, n, n)), Expand(shape))),
        ],
    )
    step = integer_table("step", (lead.tensor.lo, lead.tensor.hi), lambda i: (i >= 0).astype(np.int64))
    before = g.builder.lookup(g.label, lead, step, 0, 0)
    places = _row(g, g.builder.einsum(g.label, f"{letters}yz->{letters}y", before), k)

    numbers = g.builder.weight(f"{g.label}/positions", np.arange(n), 0)
    position = g.builder.einsum(g.label, f"{letters}yz,y->{letters}z", places, numbers)
    bounds = (position.tensor.lo, position.tensor.hi)
    if entries(bounds, 0) > g.precision.max_table_entries:
        raise UnsupportedOperatorError(
            f"axis {axis} has {counted(n, 'element')}; sorting so many needs tables of "
            f"{counted(entries(bounds, 0), 'entry', 'entries')}. Compile with "
            f"max_table_entries={entries(bounds, 0)}, or return all scores and choose outside the circuit"
        )
    # Exactly one element has each rank, which interval analysis of the sum does not see.
    held = integer_table("clamp", bounds, lambda i: np.clip(i, 0, n - 1))
    found = g.activation(g.builder.lookup(g.label, position, held, 0, 0), observed=(0.0, float(n - 1)), integral=True)
    back = Transpose(tuple(last.index(i) for i in range(rank)))
    return g.reindex(take_each(g, x, found, rank - 1), back), g.reindex(found, back)
