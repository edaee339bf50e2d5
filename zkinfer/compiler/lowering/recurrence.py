"""The states of recurrences: of one format at all steps, from what is known before a step to what is known after it."""

from zkinfer.circuit.steps import Reshape
from zkinfer.compiler.lowering.activation import Activation, Constant, Operand
from zkinfer.compiler.lowering.affine import IDENTITY
from zkinfer.compiler.lowering.builder import ProgramValue
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.lowering.precision import Format, Range, activation_format


def begin(g: Emitter, name: str, initial: Operand, steps: int, observed: Range) -> Activation:
    """A state before every step, of shape (steps, ...).

    Args:
        g: emits the nodes.
        name: of the state after a step, which gives it its width.
        initial: the state before the first step, of shape (...).
        steps: how many there are.
        observed: range of the state before and after all steps on calibration data.
    """
    out = activation_format(*observed, g.precision.activation_bits_of(name))
    first = _first(g, initial, out)
    delay = g.builder.delay(g.label, first, steps, (out.lo, out.hi))
    return g.activation(delay, observed=observed)


def _first(g: Emitter, initial: Operand, out: Format) -> ProgramValue:
    """A state before the first step, in the format of all steps, with an axis of time."""
    shape = (1, *initial.shape)
    if isinstance(initial, Constant):
        if initial.number == 0:
            return g.builder.zeros(g.label, shape, out.frac_bits)
        return g.weight_at(initial, initial.reals.reshape(shape), out.frac_bits)
    moved = g.reindex(initial, Reshape(shape))
    value, (lo, hi) = moved.value, moved.value.interval
    if moved.pending == IDENTITY and value.frac_bits == out.frac_bits and out.lo <= lo and hi <= out.hi:
        return value
    return g.tabulated(g.resolved(moved) or moved, out)


def advance(g: Emitter, before: Activation, after: Activation) -> None:
    """Say what a state is after every step; it gets the format of the state before it.

    An operator within the step may have made it narrow already, in a format of its own.
    """
    out = activation_format(*after.observed, g.precision.activation_bits_of(after.label))
    narrow = g.narrow_forms.get(after.tensor)
    if narrow is None or narrow.frac_bits != out.frac_bits or narrow.tensor.lo < out.lo or narrow.tensor.hi > out.hi:
        narrow = g.narrow_forms[after.tensor] = g.tabulated(g.resolved(after) or after, out)
    within = g.builder.within(before.value, narrow)
    if within is not narrow:
        # What the model computes of states may come to nothing, as where a condition is always the same.
        narrow = g.tabulated(g.activation(within), out)
    g.builder.close(before.value, narrow)
