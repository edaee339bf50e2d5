"""Means, squares and what is divided by their sums: exact before anything is rounded.

Squares have twice the digits of a number, so that no format of a tensor holds those of large and of small rows. A sum
of squares is therefore an Einsum of a tensor with itself, exact in the field. A row less its mean is exact but for the
rounding of the mean, once, to a digit behind those of the row.

A row is divided by the root of its sum of squares with the same relative precision for rows of all sizes: see
`relative`. No result exceeds the root of the number of elements, whatever the row is, and that is proven: see
`zkinfer.circuit.product_bounds`.
"""

import math
import string
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import partial

from zkinfer.circuit.product_bounds import is_sum_of_squares
from zkinfer.circuit.program import Einsum
from zkinfer.circuit.steps import Expand, Reshape
from zkinfer.compiler.approx.expressions import ConstantFunction, Multiplication, Power
from zkinfer.compiler.approx.forms import HALF, Form, form_of
from zkinfer.compiler.approx.functions import Function, reciprocal
from zkinfer.compiler.lowering.activation import Activation, Operand
from zkinfer.compiler.lowering.affine import IDENTITY, AffineMap
from zkinfer.compiler.lowering.arithmetic import hadamard, reshape
from zkinfer.compiler.lowering.builder import ProgramValue, Summand
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.lowering.precision import Format, activation_format
from zkinfer.compiler.lowering.relative import FIELD_BITS, Relative
from zkinfer.compiler.lowering.tables import clamp, integer_table, least_shift
from zkinfer.errors import BoundsError
from zkinfer.typing import IntArray

MEAN_BITS = 4
"""How many digits behind those of a row its mean is rounded, at most: the row itself was rounded to its last digit."""

SHARE_BITS = 10
"""A share is clamped to what was observed if a table of it would have a step of more than 2^-10 of that."""


def squares_total(g: Emitter, a: Activation, axes: Sequence[int]) -> Activation | None:
    """The sum of an activation over some axes, exact, if the activation is a square; else None."""
    square = None if isinstance(a.pending, AffineMap) or not g.precision.relative else _square(a.pending)
    if square is None or not axes:
        return None
    factor, root = square
    form = form_of(root)
    affine = form is not None and form.is_affine
    base = g.activation(a.value, AffineMap(form.scale, form.shift)) if form and affine else g.fused(a, root)
    value, scale = _fitting(g, base, _square_bits(math.prod(a.shape[axis] for axis in axes)))
    letters = string.ascii_lowercase[: len(a.shape)]
    kept = "".join(c for i, c in enumerate(letters) if i not in axes)
    total = g.builder.einsum(g.label, f"{letters},{letters}->{kept}", value, value)
    return g.activation(total, AffineMap(factor * scale**2))


def _square_bits(count: int) -> int:
    """How many bits a number may have for so many squares of such to be added up."""
    return (FIELD_BITS - (count - 1).bit_length()) // 2


def _square(function: Function) -> tuple[Fraction, Function] | None:
    """The function as a factor and what is squared; None if it is not a square."""
    match function:
        case Power(base=base, exponent=2):
            return Fraction(1), base
        case Multiplication(left=ConstantFunction(constant=factor), right=rest):
            square = _square(rest)
            return None if square is None else (factor * square[0], square[1])
        case _:
            return None


def _fitting(g: Emitter, a: Activation, bits: int) -> tuple[ProgramValue, Fraction]:
    """An activation as a value of so many bits at most, for all that is public about weights, times a factor."""
    taken = g.as_it_is(a, bits)
    if taken is None or g.builder.public_bits(taken[0]) > bits:
        finer = _finer(g, a, bits)
        taken = g.operand(a, bits) if finer is None else (finer, Fraction(1))
    value, scale = taken
    if g.builder.public_bits(value) > bits:
        value, scale = g.narrow(a), Fraction(1)
    if value.bits > bits:
        frac_bits, lo, hi = g.format(a)
        dropped = max(-lo, hi).bit_length() - bits
        value, scale = g.tabulated(a, Format(frac_bits - dropped, -(-lo >> dropped), hi >> dropped)), Fraction(1)
    if isinstance(a.pending, AffineMap) and value is not a.value and scale == 1:
        g.roundings.setdefault(a.value.number, []).append((value, a.pending))
    return value, scale


def _finer(g: Emitter, a: Activation, bits: int) -> ProgramValue | None:
    """An activation in more bits than its format has, at most `bits`; None if no table has the entries for more.

    What is computed of it is rounded again, so that few bits would be lost twice. Finer ones cost the same lookup.
    """
    fine = min(bits, g.precision.max_table_entries.bit_length() - 1)
    if a.integral or fine <= g.precision.activation_bits_of(a.label):
        return None
    return g.tabulated(a, activation_format(*a.observed, fine))


def _readings(g: Emitter, a: Activation) -> Iterator[tuple[ProgramValue, AffineMap]]:
    """The values of which an activation is an affine function."""
    if isinstance(a.pending, AffineMap):
        yield a.value, a.pending
        yield from ((value, IDENTITY) for value, of in g.roundings.get(a.value.number, []) if of == a.pending)
    if a.tensor in g.narrow_forms:
        yield g.narrow_forms[a.tensor], IDENTITY
    if g.spread_forms.get(a.tensor) is not None:
        yield g.rounded(a), IDENTITY


def _summed(g: Emitter, total: ProgramValue, value: ProgramValue, *, squares: bool) -> tuple[int, ...] | None:
    """The axes over which a value, or its squares, are added up to the total; None if the total is something else."""
    node = g.builder.node(total)
    if not isinstance(node, Einsum) or set(node.operands) != {value.number}:
        return None
    if squares != is_sum_of_squares(node.subscripts, node.operands) or len(node.operands) != 1 + squares:
        return None
    letters, _, kept = node.subscripts.partition("->")
    own = letters.split(",")[0]
    return tuple(i for i, c in enumerate(own) if c not in kept) if _in_order(own, kept) else None


def _in_order(own: str, kept: str) -> bool:
    return "".join(c for c in own if c in kept) == kept


def _stands_for(shape: tuple[int, ...], of: tuple[int, ...], axes: Sequence[int]) -> bool:
    """Whether a tensor of a shape holds one element for each row along the axes of another, and is broadcast so."""
    padded = (1,) * (len(of) - len(shape)) + shape
    return padded == tuple(1 if i in axes else n for i, n in enumerate(of))


def less_mean(g: Emitter, a: Activation, b: Activation) -> Activation | None:
    """`a - b`, if b is the mean of a along some axes; else None."""
    if not g.precision.relative or not isinstance(b.pending, AffineMap):
        return None
    total = g.builder.reshaped(b.value)
    for value, pending in _readings(g, a):
        axes = _summed(g, total, value, squares=False)
        if axes is None or not axes or not _stands_for(b.shape, a.shape, axes):
            continue
        count = math.prod(a.shape[i] for i in axes)
        if b.pending == AffineMap(pending.scale / count, pending.offset):
            return _centred(g, _without_offset(g, a) or g.activation(value, AffineMap(pending.scale)), axes)
    return None


def _without_offset(g: Emitter, a: Activation) -> Activation | None:
    """The activation less what is added everywhere, and unrounded; None if something nonlinear is pending."""
    if not isinstance(a.pending, AffineMap):
        return None
    scale, offset = a.pending
    lo, hi = (end - float(offset) for end in a.observed)
    return g.activation(a.value, AffineMap(scale), (lo, hi))


def variance(g: Emitter, a: Activation, b: Activation) -> Activation | None:
    """`a - b`, if a is the mean of the squares of something, and b the square of its mean; else None.

    It is computed as the mean of the squares of differences, which is the same number and does not cancel.
    """
    if not g.precision.relative or not isinstance(a.pending, AffineMap) or isinstance(b.pending, AffineMap):
        return None
    form = form_of(b.pending)
    squares, total = g.builder.node(g.builder.reshaped(a.value)), g.builder.node(g.builder.reshaped(b.value))
    if form is None or form.exponent != 2 or not isinstance(squares, Einsum) or not isinstance(total, Einsum):
        return None
    value = g.builder.value(total.operands[0])
    axes = _summed(g, g.builder.reshaped(b.value), value, squares=False)
    if axes is None or axes != _summed(g, g.builder.reshaped(a.value), value, squares=True) or a.shape != b.shape:
        return None
    count = math.prod(value.shape[i] for i in axes)
    if a.pending.offset or form.shift or form.factor * form.scale**2 * count != a.pending.scale:
        return None
    centred = _centred(g, g.activation(value), axes)
    letters = string.ascii_lowercase[: len(value.shape)]
    kept = "".join(c for i, c in enumerate(letters) if i not in axes)
    power = g.builder.einsum(g.label, f"{letters},{letters}->{kept}", centred.value, centred.value)
    return reshape(g, g.activation(power, AffineMap(a.pending.scale)), a.shape)


def _centred(g: Emitter, a: Activation, axes: Sequence[int]) -> Activation:
    """An activation less its mean along some axes; a factor is pending at most."""
    count = math.prod(a.shape[i] for i in axes)
    bits = _square_bits(count)
    # A difference has one bit more.
    value, scale = _fitting(g, a, bits - 1)
    letters = string.ascii_lowercase[: len(a.shape)]
    kept = "".join(c for i, c in enumerate(letters) if i not in axes)
    total = g.builder.einsum(f"{g.label}/sum", f"{letters}->{kept}", value)
    mean = _divided(g, total, count, max(0, min(bits - 1 - value.bits, MEAN_BITS)))
    rows = tuple(1 if i in axes else n for i, n in enumerate(a.shape))
    centred = g.builder.combine(
        g.label, [Summand(value), Summand(mean, Fraction(-1), (Reshape(rows), Expand(a.shape)))]
    )
    return g.activation(centred, AffineMap(scale))


def _divided(g: Emitter, total: ProgramValue, count: int, extra_bits: int) -> ProgramValue:
    """An integer over a number, rounded to nearest so many digits behind those of the integer.

    The quotient of the first digits leaves a remainder, whose quotient is added.
    """
    left = g.builder.combine(f"{g.label}/sum", [Summand(total)], extra_bits=extra_bits)
    quotients = []
    while True:
        bounds = (left.tensor.lo, left.tensor.hi)
        shift = least_shift(bounds, g.precision.max_table_entries)
        half = 1 << (shift - 1) if shift else 0
        indices = (bounds[0] + half) >> shift, (bounds[1] + half) >> shift
        table = integer_table("quotient", indices, partial(_quotients, shift=shift, count=count))
        quotients.append(g.builder.lookup(f"{g.label}/mean", left, table, shift, left.frac_bits))
        if not shift:
            return g.builder.combine(f"{g.label}/mean", [Summand(q) for q in quotients])
        left = g.builder.combine(f"{g.label}/rest", [Summand(left), Summand(quotients[-1], Fraction(-count))])


def _quotients(indices: IntArray, shift: int, count: int) -> IntArray:
    return ((indices << (shift + 1)) + count) // (2 * count)


def quotient(g: Emitter, a: Operand, b: Operand) -> Activation | None:
    """`a / b`, if b needs the same relative precision for all sizes, or is one number for each row; else None."""
    if not isinstance(a, Activation) or not isinstance(b, Activation):
        return None
    return _scaled(g, a, b, reciprocal(b.function))


def product(g: Emitter, a: Operand, b: Operand) -> Activation | None:
    """`a * b`, if one of them is a reciprocal or inverse root with the same relative precision for all sizes."""
    if not isinstance(a, Activation) or not isinstance(b, Activation):
        return None
    found = None if isinstance(b.pending, AffineMap) else _scaled(g, a, b, b.pending)
    return found if found or isinstance(a.pending, AffineMap) else _scaled(g, b, a, a.pending)


def _scaled(g: Emitter, a: Activation, b: Activation, function: Function) -> Activation | None:
    """`a * function(value under b)`, if the function is such an inverse; else None."""
    form = form_of(function) if g.precision.relative and a.value is not b.value else None
    if form is None or form.logarithm or form.exponent not in (-HALF, -1):
        return None
    rows = g.builder.reshaped(b.value)
    for value, pending in _readings(g, a):
        # |c|^2 <= sum of squares of c; c <= sum of c, where none is negative.
        squares = form.exponent == -HALF
        axes = _summed(g, rows, value, squares=squares)
        if axes is None or pending.offset or not _stands_for(b.shape, a.shape, axes):
            continue
        if squares or value.interval[0] >= 0:
            shares, scale = share(g, value, rows, form)
            found = _observed_share(g, shares, scale * pending.scale)
            return _fine_share(g, found) if squares else found
    # One divisor for each row costs little, and serves rows that are quieter than all of calibration.
    is_of_rows = 2 * math.prod(b.shape) <= math.prod(a.shape)
    return _wide_quotient(g, a, b, form) if is_of_rows or g.is_wide(b.value, form) else None


def share(
    g: Emitter, value: ProgramValue, total: ProgramValue, form: Form, smallest: int = 1
) -> tuple[ProgramValue, Fraction]:
    """A value times a form of its own sum, or of the sum of its squares: a new value, and the factor to multiply it by.

    Args:
        g: emits the nodes.
        value: what is divided.
        total: the Einsum that adds up the value, which is not negative, or its squares.
        form: a reciprocal of the one, or an inverse root of the other.
        smallest: the total is at least this, or what is divided is 0.

    Raises:
        BoundsError: the total is too large for the field.
    """
    relative = Relative(g.builder, g.precision, g.label)
    node = g.builder.node(total)
    x = relative.positive(total, form, accurate=False)
    if x is None or not isinstance(node, Einsum):
        raise BoundsError(f"{g.label}: the sum of a row is too large; compile with fewer bits for activations")
    letters, _, kept = node.subscripts.partition("->")
    own = letters.split(",")[0]
    n = relative.normalized(x.value, smallest=smallest)
    mantissa, scale = relative.mantissa(n, x, form)
    size = relative.size(n, form)
    if size is not None and size.bits + mantissa.bits <= FIELD_BITS:
        factors = [g.builder.einsum(f"{g.label}/factor", f"{kept},{kept}->{kept}", size, mantissa)]
    else:
        factors = [f for f in (size, mantissa) if f is not None]
    for row in factors:
        value = g.builder.einsum(g.label, f"{own},{kept}->{own}", value, row)
    return value, scale


def _observed_share(g: Emitter, value: ProgramValue, scale: Fraction) -> Activation:
    """A share, clamped to what was observed if that makes it much finer: its proven range grows with the row."""
    if g.result is not None:
        least = max(map(abs, g.result)) * 2.0 ** -min(SHARE_BITS, g.precision.activation_bits - 1)
        shift = least_shift((value.tensor.lo, value.tensor.hi), g.precision.max_table_entries)
        if abs(float(scale)) * math.ldexp(1.0, shift - value.frac_bits) > least:
            ends = [end / float(scale) for end in g.result]
            clamped = clamp(g.builder, g.label, value, (min(ends), max(ends)), g.precision)
            value = value if clamped is None else clamped[0]
    return g.activation(value, AffineMap(scale))


def _fine_share(g: Emitter, a: Activation) -> Activation:
    """A share as it goes into the product with a learned scale, which follows all norms and is rounded again."""
    a = a if g.result is None else g.named(a, a.label, observed=g.result)
    fine = _finer(g, a, g.accumulator_bits - g.precision.weight_bits)
    return a if fine is None else g.activation(fine, observed=a.observed)


def _wide_quotient(g: Emitter, a: Activation, b: Activation, form: Form) -> Activation | None:
    """a times a form of the value under b, where nothing is known of how large it can be; None if that is too wide.

    The dividend is brought to the size of the result first, and saturates where the result is larger than was observed.
    """
    relative = Relative(g.builder, g.precision, g.label)
    x = relative.positive(b.value, form)
    if x is None:
        return None
    value, factor = g.operand(a)
    n = relative.normalized(
        x.value, max(0, (FIELD_BITS - 1 - g.builder.public_bits(value)) // relative.step_bits(form))
    )
    mantissa, scale = relative.mantissa(n, x, form)
    size = relative.size(n, form)
    (shape_a, shape_b), subscripts = hadamard(a.shape, b.shape)
    letters, out = subscripts.partition("->")[0].split(","), subscripts.partition("->")[2]
    value = reshape(g, g.activation(value), shape_a).value
    own = letters[0]
    for row in (size, mantissa):
        if row is None:
            continue
        if row is mantissa and g.builder.public_bits(value) + row.bits > FIELD_BITS:
            value = _saturated(g, value, factor * scale, FIELD_BITS - row.bits)
        row = reshape(g, g.activation(row), shape_b).value
        value, own = g.builder.einsum(g.label, f"{own},{letters[1]}->{out}", value, row), out
    return g.activation(value, AffineMap(factor * scale), g.result)


def _saturated(g: Emitter, value: ProgramValue, unit: Fraction, bits: int) -> ProgramValue:
    """A value of so many bits at most, in which no result as large as those observed saturates.

    The result is the value times the unit times a number from 1 to 16.
    """
    if g.result is not None:
        ends = [end / float(unit) for end in g.result]
        while g.builder.public_bits(value) > bits:
            clamped = clamp(g.builder, g.label, value, (min(ends), max(ends)), g.precision)
            if clamped is None:
                break
            value, _ = clamped
    return value if g.builder.public_bits(value) <= bits else _fitting(g, g.activation(value), bits)[0]
