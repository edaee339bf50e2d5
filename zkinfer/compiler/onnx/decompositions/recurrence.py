"""Recurrent layers: the cell as operators on all steps of the sequence at once, see `recurrences`.

The contribution of the inputs to all gates is one matrix product before the recurrence. Gate order, formulas and
layouts are those of ONNX's LSTM, GRU and RNN. Against the direction of time, the sequence is turned around before, and
what the layer gives afterwards.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir
from onnx_ir import Value

from zkinfer.compiler.calibration.float_model import numpy_type, static_shape
from zkinfer.compiler.onnx.decomposition import decomposition
from zkinfer.compiler.onnx.recurrences import States, recurrence
from zkinfer.compiler.onnx.subgraph import Subgraph, content_of

Array = npt.NDArray[np.floating]

_PARAMETERS = {"LeakyRelu": (0.01, None), "ThresholdedRelu": (1.0, None), "Elu": (1.0, None), "HardSigmoid": (0.2, 0.5)}
_ACTIVATIONS = ("Relu", "Tanh", "Sigmoid", "Softsign", "Softplus", *_PARAMETERS)
"""Activations that are ONNX operators, and the defaults of those that take alpha, or alpha and beta."""


@dataclass(frozen=True)
class _Cell:
    """One direction of a layer.

    Attributes:
        s: emits the operators.
        name: of the direction, a part of the names of its operators.
        hidden: size of the state.
        weight, bias: for the state's contribution to the gates: (gates * hidden, hidden) and (gates * hidden,).
        activations: of the direction, in the standard's order.
        peepholes: the memory's weights in the input, output and forget gates of an LSTM, (3, hidden); or None.
    """

    s: Subgraph
    name: str
    hidden: int
    weight: Array
    bias: Array
    activations: Sequence[Callable[[str, Value], Value]]
    peepholes: Array | None = None

    def recurrent(self, step: str, h: Value, first: int, last: int, *, bias: bool) -> Value:
        """`h @ weight.T` for some gates, plus their bias."""
        rows = slice(first * self.hidden, last * self.hidden)
        matrix = self.s.constant(f"{step}/weight", np.ascontiguousarray(self.weight[rows].T))
        value = self.s.op(f"{step}/recurrent", "MatMul", h, matrix)
        if not bias or not self.bias[rows].any():
            return value
        return self.s.op(f"{step}/biased", "Add", value, self.s.constant(f"{step}/bias", self.bias[rows]))

    def gate(self, step: str, gates: Value, k: int) -> Value:
        """Gate `k`, before its activation."""
        return self.s.slice(step, gates, -1, k * self.hidden, (k + 1) * self.hidden)

    def peeped(self, step: str, gate: Value, k: int, memory: Value) -> Value:
        """A gate of an LSTM, before its activation, plus the memory's contribution through peepholes."""
        if self.peepholes is None:
            return gate
        seen = self.s.op(f"{step}/seen", "Mul", memory, self.s.constant(f"{step}/peephole", self.peepholes[k]))
        return self.s.op(f"{step}/peeped", "Add", gate, seen)


CellStep = Callable[[_Cell, Value, States], tuple[Value, ...]]


def _lstm_step(cell: _Cell, x: Value, state: States) -> tuple[Value, ...]:
    s, at, (f, g, h) = cell.s, f"{cell.name}/step", cell.activations
    hidden, memory = state
    gates = s.op(f"{at}/gates", "Add", x, cell.recurrent(at, hidden, 0, 4, bias=False))
    # In the standard's order: input, output, forget, cell; peepholes in another.
    i = f(f"{at}/input", cell.peeped(f"{at}/input", cell.gate(f"{at}/input/sum", gates, 0), 0, memory))
    new = g(f"{at}/candidate", cell.gate(f"{at}/candidate/sum", gates, 3))
    if s.integer("input_forget", 0):
        forget = s.op(f"{at}/forget", "Sub", s.number(f"{at}/one", 1.0, s.node.inputs[0] or x), i)
    else:
        seen = cell.peeped(f"{at}/forget", cell.gate(f"{at}/forget/sum", gates, 2), 2, memory)
        forget = f(f"{at}/forget", seen)
    kept = s.op(f"{at}/kept", "Mul", forget, memory)
    c = s.op(f"{at}/memory", "Add", s.op(f"{at}/written", "Mul", i, new), kept)
    o = f(f"{at}/output", cell.peeped(f"{at}/output", cell.gate(f"{at}/output/sum", gates, 1), 1, c))
    return s.op(f"{at}/state", "Mul", o, h(f"{at}/read", c)), c


def _gru_step(cell: _Cell, x: Value, state: States) -> tuple[Value, ...]:
    s, at, (f, g) = cell.s, f"{cell.name}/step", cell.activations
    (h,) = state
    both = s.slice(f"{at}/gates/input", x, -1, 0, 2 * cell.hidden)
    gates = s.op(f"{at}/gates", "Add", both, cell.recurrent(f"{at}/gates", h, 0, 2, bias=False))
    # In the standard's order: update, reset, hidden.
    z = f(f"{at}/update", cell.gate(f"{at}/update/sum", gates, 0))
    r = f(f"{at}/reset", cell.gate(f"{at}/reset/sum", gates, 1))
    if s.integer("linear_before_reset", 0):
        past = s.op(f"{at}/hidden/reset", "Mul", r, cell.recurrent(f"{at}/hidden", h, 2, 3, bias=True))
    else:
        past = cell.recurrent(f"{at}/hidden", s.op(f"{at}/hidden/reset", "Mul", r, h), 2, 3, bias=False)
    own = cell.gate(f"{at}/hidden/input", x, 2)
    new = g(f"{at}/candidate", s.op(f"{at}/candidate/sum", "Add", own, past))
    # (1 - z) * new + z * h = new + z * (h - new)
    moved = s.op(f"{at}/moved", "Mul", z, s.op(f"{at}/difference", "Sub", h, new))
    return (s.op(f"{at}/state", "Add", new, moved),)


def _rnn_step(cell: _Cell, x: Value, state: States) -> tuple[Value, ...]:
    at, (f,), (h,) = f"{cell.name}/step", cell.activations, state
    return (f(f"{at}/state", cell.s.op(f"{at}/sum", "Add", x, cell.recurrent(at, h, 0, 1, bias=False))),)


@dataclass(frozen=True)
class _Layer:
    """The differences between the three layers.

    Attributes:
        gates: number of gates.
        activations: defaults for one direction.
        states: number of tensors that a step passes to the next.
        advance: computes one step.
    """

    gates: int
    activations: tuple[str, ...]
    states: int
    advance: CellStep


_LSTM = _Layer(4, ("Sigmoid", "Tanh", "Tanh"), 2, _lstm_step)
_GRU = _Layer(3, ("Sigmoid", "Tanh"), 1, _gru_step)
_RNN = _Layer(1, ("Tanh",), 1, _rnn_step)


_HINT = (
    "supported are constant weights, activations that are operators, and sequences that have a step; of sequences of "
    "length 0 alone the last states are the initial ones, so leave the layer out"
)


@decomposition("LSTM", 13, hint=_HINT)
def lstm(s: Subgraph, x: Value, w: Value, r: Value, b: Value | None = None, *rest: Value | None) -> list[Value] | None:
    """An LSTM."""
    lengths, h, c, peepholes = (*rest, None, None, None, None)[:4]
    return _layer(s, _LSTM, x, (w, r, b, peepholes), lengths, (h, c))


@decomposition("GRU", 13, hint=_HINT)
def gru(s: Subgraph, x: Value, w: Value, r: Value, b: Value | None = None, *rest: Value | None) -> list[Value] | None:
    """A GRU."""
    lengths, h = (*rest, None, None)[:2]
    return _layer(s, _GRU, x, (w, r, b, None), lengths, (h,))


@decomposition("RNN", 13, hint=_HINT)
def rnn(s: Subgraph, x: Value, w: Value, r: Value, b: Value | None = None, *rest: Value | None) -> list[Value] | None:
    """An Elman network."""
    lengths, h = (*rest, None, None)[:2]
    return _layer(s, _RNN, x, (w, r, b, None), lengths, (h,))


def _layer(
    s: Subgraph,
    layer: _Layer,
    x: Value,
    parameters: tuple[Value, Value, Value | None, Value | None],
    lengths: Value | None,
    initial: Sequence[Value | None],
) -> list[Value] | None:
    """The outputs of the layer: all states, then the last of each; None if its form is not covered."""
    w, r, b, p = contents = [None if value is None else content_of(value) for value in parameters]
    batch_first = bool(s.integer("layout", 0))
    steps, batch = static_shape(x)[:2] if not batch_first else static_shape(x)[1::-1]
    computed = any(value is not None and content is None for value, content in zip(parameters, contents, strict=True))
    counted = None if lengths is None else content_of(lengths)
    if w is None or r is None or computed or steps == 0 or (counted is not None and not counted.any()):
        return None
    directions, hidden = r.shape[0], r.shape[2]
    chosen = _activations(s, layer, directions)
    if chosen is None:
        return None
    dtype = numpy_type(x)
    x = s.transpose("input", x, (1, 0, 2)) if batch_first else x
    bias = np.zeros((directions, 2 * layer.gates * hidden), dtype=dtype) if b is None else b
    backward = [False, True] if directions == 2 else [s.text("direction", "forward") == "reverse"]
    sequences, ends = list[Value](), list[list[Value]]()
    for d in range(directions):
        own, recurrent = np.split(bias[d], 2)
        # Only a GRU that is linear before the reset does not add the state's bias of the last gate to the inputs'.
        apart = np.zeros_like(recurrent)
        if layer is _GRU and s.integer("linear_before_reset", 0):
            apart[2 * hidden :] = recurrent[2 * hidden :]
        peepholes = None if p is None else p[d].reshape(3, hidden)
        cell = _Cell(s, f"direction{d}", hidden, r[d], apart, chosen[d], peepholes)
        weight = s.constant(f"{cell.name}/weight", np.ascontiguousarray(w[d].T))
        turned = _turned(s, f"{cell.name}/turned", x, steps) if backward[d] else x
        inputs = s.op(f"{cell.name}/product", "MatMul", turned, weight)
        inputs = s.op(f"{cell.name}/inputs", "Add", inputs, s.constant(f"{cell.name}/bias", own + recurrent - apart))
        inputs.type = onnx_ir.TensorType(onnx_ir.DataType.from_numpy(dtype))
        states = [
            _initial(
                s, f"{cell.name}/initial{k}", h, d, np.zeros((batch, hidden), dtype=dtype), batch_first=batch_first
            )
            for k, h in enumerate(initial)
        ]
        going = None if lengths is None else _going_on(s, f"{cell.name}/going on", lengths, steps, backward=backward[d])
        shown, after = _steps(layer, cell, inputs, states, going, steps)
        shown = _turned(s, f"{cell.name}/shown/turned", shown, steps) if backward[d] else shown
        sequences.append(s.op(f"{cell.name}/shown/row", "Unsqueeze", shown, s.sizes(f"{cell.name}/shown/axes", [1])))
        ends.append([s.slice(f"{cell.name}/end{k}", x, 0, steps - 1, steps) for k, x in enumerate(after)])
    outputs = [s.concat("sequence", sequences, 1)]
    outputs += [s.concat(f"last{k}", [end[k] for end in ends], 0) for k in range(layer.states)]
    if batch_first:
        outputs = [s.transpose("sequence/batch", outputs[0], (2, 0, 1, 3))] + [
            s.transpose(f"last{k}/batch", last, (1, 0, 2)) for k, last in enumerate(outputs[1:])
        ]
    return outputs


def _steps(
    layer: _Layer, cell: _Cell, inputs: Value, initial: States, going: Value | None, steps: int
) -> tuple[Value, Sequence[Value]]:
    """What the layer shows of each step, and its states after each step, (steps, batch, hidden).

    Args:
        layer, cell: what a step is.
        inputs: contribution of the inputs to the gates, (steps, batch, gates * hidden).
        initial: states before the first step, (batch, hidden).
        going: which sequences have the step, (steps, batch, 1); None if all do. The others hold their states, and show
            zeros.
        steps: how many.
    """
    s, shown = cell.s, list[Value]()

    def advance(states: States, read: States) -> States:
        new = layer.advance(cell, read[0], states)
        shown.append(new[0])
        if len(read) == 1:
            return new
        pairs = enumerate(zip(new, states, strict=True))
        return [s.op(f"{cell.name}/held{k}", "Where", read[1], *pair) for k, pair in pairs]

    sequences = [inputs] if going is None else [inputs, going]
    if steps > 1:
        after = recurrence(s, cell.name, initial, sequences, advance)
    else:
        axis = s.sizes(f"{cell.name}/time", [0])
        rows = [s.op(f"{cell.name}/before{k}", "Unsqueeze", h, axis) for k, h in enumerate(initial)]
        after = list(advance(rows, sequences))
    if going is None:
        return after[0], after
    nothing = s.number(f"{cell.name}/nothing", 0.0, inputs)
    return s.op(f"{cell.name}/shown", "Where", going, shown[0], nothing), after


def _turned(s: Subgraph, step: str, x: Value, steps: int) -> Value:
    """The steps of a sequence in the other order."""
    return s.slice(step, x, 0, steps - 1, -steps - 1, -1)


def _going_on(s: Subgraph, step: str, lengths: Value, steps: int, *, backward: bool) -> Value | None:
    """Which sequences have which steps, in the order in which they are taken, (steps, batch, 1); None if all do."""
    content = content_of(lengths)
    numbers = np.arange(steps, dtype=numpy_type(lengths))[:: -1 if backward else 1].reshape(-1, 1, 1)
    if content is not None:
        going = content.reshape(-1, 1) > numbers
        return None if going.all() else s.constant(step, going)
    result = s.op(step, "Less", s.constant(f"{step}/number", numbers), s.reshape(f"{step}/lengths", lengths, (-1, 1)))
    result.type = onnx_ir.TensorType(onnx_ir.DataType.BOOL)
    return result


def _initial(s: Subgraph, step: str, h: Value | None, direction: int, zero: Array, *, batch_first: bool) -> Value:
    """The initial state of a direction, (batch, hidden)."""
    content = None if h is None else content_of(h)
    if h is None or (content is not None and not content.any()):
        value = s.constant(step, zero)
        s.public.append(value.name or "")
        return value
    index = s.constant(f"{step}/direction", np.array(direction))
    value = s.op(step, "Gather", h, index, axis=1 if batch_first else 0)
    value.type = h.type
    return value


def _activations(s: Subgraph, layer: _Layer, directions: int) -> list[list[Callable[[str, Value], Value]]] | None:
    """The activations of each direction; None if one is not an ONNX operator."""
    attributes = s.node.attributes
    names = list(attributes["activations"].as_strings()) if "activations" in attributes else []
    names = names or list(layer.activations) * directions
    alphas = list(attributes["activation_alpha"].as_floats()) if "activation_alpha" in attributes else []
    betas = list(attributes["activation_beta"].as_floats()) if "activation_beta" in attributes else []
    known = {name.lower(): name for name in _ACTIVATIONS}
    if any(name.lower() not in known for name in names):
        return None
    made = [_activation(s, known[name.lower()], alphas, betas) for name in names]
    per = len(layer.activations)
    return [made[d * per : (d + 1) * per] for d in range(directions)]


def _activation(s: Subgraph, op_type: str, alphas: list[float], betas: list[float]) -> Callable[[str, Value], Value]:
    """One activation, after clipping if the layer has it; removes its parameters from the front of the lists."""
    attributes = {}
    alpha, beta = _PARAMETERS.get(op_type, (None, None))
    if alpha is not None:
        attributes["alpha"] = alphas.pop(0) if alphas else alpha
    if beta is not None:
        attributes["beta"] = betas.pop(0) if betas else beta
    clip = s.real("clip", 0.0)

    def apply(step: str, x: Value) -> Value:
        if clip:
            like = s.node.inputs[0] or x
            bounds = s.number(f"{step}/lowest", -clip, like), s.number(f"{step}/highest", clip, like)
            x = s.op(f"{step}/clipped", "Clip", x, *bounds)
        return s.op(step, op_type, x, **attributes)

    return apply
