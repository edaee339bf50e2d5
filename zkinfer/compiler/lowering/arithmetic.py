"""Arithmetic of two activations, or of an activation and a constant.

A function of one value fuses into the pending function. Sums are exact. Products of different values are contractions.
"""

import math
import operator
import string
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import accumulate

import numpy as np

from zkinfer.circuit.steps import Pad, Reshape, Take
from zkinfer.compiler.approx import functions
from zkinfer.compiler.approx.functions import X
from zkinfer.compiler.lowering.activation import Activation, Addend, Constant, Operand
from zkinfer.compiler.lowering.affine import AffineMap
from zkinfer.compiler.lowering.emitter import Emitter, broadcast_steps
from zkinfer.compiler.lowering.linear import add_all, add_weight
from zkinfer.compiler.lowering.tables import entries, integer_table
from zkinfer.counts import counted
from zkinfer.errors import UnsupportedOperatorError
from zkinfer.typing import FloatArray

MAX_FUNCTIONS = 64
"""How many different functions a constant may choose for the elements of one tensor."""


def require_activation(operand: Operand) -> Activation:
    """The operand as an activation.

    Raises:
        UnsupportedOperatorError: it is a constant.
    """
    if isinstance(operand, Constant):
        raise UnsupportedOperatorError(
            f"its first operand, {operand.name!r}, is a constant; fold constants before the model is imported"
        )
    return operand


def broadcast(g: Emitter, a: Activation, shape: tuple[int, ...]) -> Activation:
    """The activation repeated to a shape by numpy's rules."""
    target = np.broadcast_shapes(a.shape, shape)
    return g.reindex(a, *broadcast_steps(a.shape, target)) if a.shape != target else a


def add(g: Emitter, a: Operand, b: Operand, sign: int = 1) -> Activation:
    """`a + sign * b`, broadcast."""
    if isinstance(a, Constant):
        b = require_activation(b)
        return add(g, g.affine(b, Fraction(sign)), a)
    if isinstance(b, Constant):
        return _add_constant(g, a, b, sign)
    if a.value is b.value and isinstance(a.pending, AffineMap) and isinstance(b.pending, AffineMap):
        scale, offset = (x + sign * y for x, y in zip(a.pending, b.pending, strict=True))
        if scale:
            return g.activation(a.value, AffineMap(scale, offset))
    if (fused := g.fused_pair(a, b, lambda x, y: x + sign * y)) is not None:
        return fused
    target = np.broadcast_shapes(a.shape, b.shape)
    return add_all(
        g,
        [
            Addend(a, Fraction(1), broadcast_steps(a.shape, target)),
            Addend(b, Fraction(sign), broadcast_steps(b.shape, target)),
        ],
    )


def _add_constant(g: Emitter, a: Activation, b: Constant, sign: int) -> Activation:
    a = broadcast(g, a, b.shape)
    uniform = b.number
    # A tensor of one element after a linear layer is a bias, and so a weight.
    learned = uniform is None or (b.shape != () and b.array.size == 1 and uniform and isinstance(a.pending, AffineMap))
    if not learned and uniform is not None:
        return g.affine(a, offset=sign * uniform)
    return add_weight(g, a, b, sign * b.reals, broadcast_steps(b.shape, a.shape))


def multiply(g: Emitter, a: Operand, b: Operand) -> Activation:
    """`a * b`, broadcast: a pending function if both are functions of one value, else an exact product."""
    if isinstance(a, Constant):
        return multiply(g, require_activation(b), a)
    if isinstance(b, Constant):
        if b.number is not None:
            return g.affine(broadcast(g, a, b.shape), b.number)
        return multiply_weight(g, a, b, b.reals)
    if (fused := g.fused_pair(a, b, operator.mul)) is not None:
        return fused
    (shape_a, shape_b), subscripts = hadamard(a.shape, b.shape)
    return g.einsum(subscripts, reshape(g, a, shape_a), reshape(g, b, shape_b))


def multiply_weight(g: Emitter, a: Activation, constant: Constant, array: FloatArray) -> Activation:
    """An activation times a weight, element by element, broadcast.

    Args:
        a: the activation.
        constant: names the weight.
        array: its contents.
    """
    (shape_a, shape_w), subscripts = hadamard(a.shape, array.shape)
    weight = g.factors(constant, array.reshape(shape_w))
    # No sum makes the product wider, so that a wide value needs no lookup as long as one can follow.
    width = max(g.operand_bits, g.accumulator_bits - g.precision.weight_bits)
    return g.einsum(subscripts, reshape(g, a, shape_a), weight, width=width)


def divide(g: Emitter, a: Operand, b: Operand) -> Activation:
    """`a / b`, broadcast.

    Raises:
        UnsupportedOperatorError: b holds zero, or comes too close to it on calibration data.
    """
    if isinstance(b, Constant):
        a = require_activation(a)
        if (b.reals == 0).any():
            raise UnsupportedOperatorError(f"it divides by {b.name!r}, which holds zeros")
        if b.number is not None:
            return g.affine(broadcast(g, a, b.shape), 1 / b.number)
        return multiply_weight(g, a, b, 1 / b.reals)
    if isinstance(a, Activation) and (fused := g.fused_pair(a, b, operator.truediv)) is not None:
        return fused
    if b.observed[0] <= 0 <= b.observed[1]:
        raise UnsupportedOperatorError(
            f"it divides by {b.label!r}, which ranges from {b.observed[0]:.4g} to {b.observed[1]:.4g} on calibration "
            "data. A divisor has to stay on one side of zero: add a constant to it in the model"
        )
    if isinstance(a, Constant) and a.number is not None:
        return broadcast(g, g.apply(b, a.number / X), a.shape)
    return multiply(g, a, g.apply(b, functions.reciprocal))


def extremum(g: Emitter, a: Operand, b: Operand, *, largest: bool) -> Activation:
    """The larger, or the smaller, of two, broadcast."""
    pick = functions.maximum if largest else functions.minimum
    if isinstance(a, Constant):
        return extremum(g, require_activation(b), a, largest=largest)
    if isinstance(b, Constant):
        a = broadcast(g, a, b.shape)
        if b.number is not None:
            if largest and b.number <= 0 and _is_not_negative(g, a):
                return a
            return g.apply(a, pick(X, b.number), integral=g.integer)
        return _add_constant(g, _excess(g, _add_constant(g, a, b, -1), largest=largest), b, 1)
    if (fused := g.fused_pair(a, b, pick)) is not None:
        return fused
    a, b = broadcast(g, a, b.shape), broadcast(g, b, a.shape)
    difference = add_all(g, [Addend(a), Addend(b, Fraction(-1))])
    return add_all(g, [Addend(b), Addend(_excess(g, difference, largest=largest))])


def _is_not_negative(g: Emitter, a: Activation) -> bool:
    """Whether an activation adds up squares, and perhaps more: such a sum has more digits than a table would keep."""
    affine = isinstance(a.pending, AffineMap) and a.pending.scale > 0 and a.pending.offset >= 0
    return affine and g.builder.adds_squares(a.value)


def _excess(g: Emitter, d: Activation, *, largest: bool) -> Activation:
    """The difference between the extremum of a and b, and b, where d = a - b: max(d, 0) or min(d, 0).

    It is exact where a table has an entry for every difference.
    """
    bounds = (d.value.tensor.lo, d.value.tensor.hi)
    if not isinstance(d.pending, AffineMap) or d.pending.offset or entries(bounds, 0) > g.precision.max_table_entries:
        return g.apply(d, functions.relu if largest else functions.minimum(X, 0))
    if largest == (d.pending.scale > 0):
        table = integer_table("relu", bounds, lambda i: np.maximum(i, 0))
    else:
        table = integer_table("negative part", bounds, lambda i: np.minimum(i, 0))
    value = g.builder.lookup(g.label, d.value, table, 0, d.value.frac_bits)
    ends = [max(end, 0.0) if largest else min(end, 0.0) for end in d.observed]
    return g.activation(value, d.pending, (ends[0], ends[1]), integral=d.integral)


def hadamard(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], str]:
    """How an Einsum multiplies two tensors element by element, broadcast.

    The operands are reshaped first: an axis along which an operand is repeated is removed from it.

    Returns:
        The shapes of both operands, and the subscripts.
    """
    out = np.broadcast_shapes(a, b)
    rank = len(out)

    def spanned(shape: tuple[int, ...]) -> list[int]:
        """The axes of the output along which an operand is not repeated."""
        return [i for i in range(rank) if i >= rank - len(shape) and shape[i - rank] == out[i]]

    axes_a = spanned(a)
    axes_b = [i for i in spanned(b) if out[i] > 1 or i not in axes_a]
    letters_a, letters_b = ("".join(string.ascii_lowercase[i] for i in axes) for axes in (axes_a, axes_b))
    shapes = tuple(out[i] for i in axes_a), tuple(out[i] for i in axes_b)
    return shapes, f"{letters_a},{letters_b}->{string.ascii_lowercase[:rank]}"


def reshape(g: Emitter, a: Activation, shape: tuple[int, ...]) -> Activation:
    """The same elements in another shape."""
    return a if a.shape == shape else g.reindex(a, Reshape(shape))


def concat(g: Emitter, operands: Sequence[Operand], axis: int) -> Activation:
    """Tensors one after the other along an axis, which is counted from the front."""
    handles = [
        g.activation(g.weight(x)) if isinstance(x, Constant) else g.as_operand(x, g.accumulator_bits) for x in operands
    ]
    rank = len(handles[0].shape)
    ends = list(accumulate(handle.shape[axis] for handle in handles))
    parts = []
    for handle, end in zip(handles, ends, strict=True):
        before, after = [0] * rank, [0] * rank
        before[axis], after[axis] = end - handle.shape[axis], ends[-1] - end
        steps = (Pad(tuple(before), tuple(after)),) if any(before) or any(after) else ()
        parts.append(Addend(handle, Fraction(1), steps))
    return add_all(g, parts)


def apply_each(
    g: Emitter, a: Activation, b: Constant, function: Callable[[Fraction], functions.Function]
) -> Activation:
    """To every element, apply the function that the constant's element at its place chooses; broadcast.

    Args:
        g: emits a lookup for each different number of the constant.
        a: the arguments.
        b: chooses the functions.
        function: the function for a number of the constant.

    Raises:
        UnsupportedOperatorError: the constant holds more than `MAX_FUNCTIONS` numbers.
    """
    a = broadcast(g, a, b.shape)
    if (number := b.published("operand")) is not None:
        return g.apply(a, function(number), integral=g.integer)
    choice = np.broadcast_to(b.reals, a.shape).ravel()
    numbers = np.unique(choice)
    if len(numbers) > MAX_FUNCTIONS:
        raise UnsupportedOperatorError(
            f"{b.name!r} holds {counted(len(numbers), 'number')}, each of which needs tables of its own; up to "
            f"{MAX_FUNCTIONS} are supported"
        )
    flat, places = reshape(g, a, (choice.size,)), [np.flatnonzero(choice == n) for n in numbers]
    parts = [
        g.apply(g.reindex(flat, Take(0, tuple(at.tolist()))), function(Fraction(float(n))), integral=g.integer)
        for n, at in zip(numbers, places, strict=True)
    ]
    back = Take(0, tuple(np.argsort(np.concatenate(places)).tolist()))
    return reshape(g, g.reindex(concat(g, parts, 0), back), a.shape)


def total(g: Emitter, a: Activation, axes: Sequence[int], *, keepdims: bool) -> Activation:
    """The sum over some axes, exact."""
    rank = len(a.shape)
    kept = [i for i in range(rank) if i not in axes]
    count = math.prod(a.shape[i] for i in axes)
    letters = string.ascii_lowercase[:rank]
    out = "".join(letters[i] for i in kept)
    # A sum alone needs no narrow operand, as long as a lookup can follow.
    width = max(g.operand_bits, g.accumulator_bits - count.bit_length())
    summed = g.einsum(f"{letters}->{out}", a, width=width)
    shape = tuple(1 if i in axes else a.shape[i] for i in range(rank))
    return reshape(g, summed, shape) if keepdims else summed
