"""Recurrent layers, unrolled: one copy of the cell for every step of the sequence.

The contribution of the inputs to all gates is one matrix product over the whole sequence; only the contribution of the
state is computed step by step. Gate order, formulas and layouts are those of ONNX's LSTM, GRU and RNN.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnx_ir import Value

from zkinfer.compiler.calibration.float_model import numpy_type, static_shape
from zkinfer.compiler.onnx.decomposition import decomposition
from zkinfer.compiler.onnx.subgraph import Subgraph, content_of

Array = npt.NDArray[np.floating]

_PARAMETERS = {"LeakyRelu": (0.01, None), "ThresholdedRelu": (1.0, None), "Elu": (1.0, None), "HardSigmoid": (0.2, 0.5)}
_ACTIVATIONS = ("Relu", "Tanh", "Sigmoid", "Softsign", "Softplus", *_PARAMETERS)
"""Activations that are ONNX operators, and the defaults of those that take alpha, or alpha and beta."""


_STEP = re.compile(r"/step\d+(?=/)")


def step_independent(name: str) -> str:
    """The name of a tensor without the step of the sequence at which an unrolled layer computes it."""
    return _STEP.sub("", name)


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

    def recurrent(self, step: str, h: Value | None, first: int, last: int, *, bias: bool) -> Value | None:
        """`h @ weight.T` for some gates, plus their bias; None if that is zero."""
        rows = slice(first * self.hidden, last * self.hidden)
        value = None
        if h is not None:
            matrix = self.s.constant(f"{step}/weight", np.ascontiguousarray(self.weight[rows].T))
            value = self.s.op(f"{step}/recurrent", "MatMul", h, matrix)
        if not bias or not self.bias[rows].any():
            return value
        constant = self.s.constant(f"{step}/bias", self.bias[rows])
        return constant if value is None else self.s.op(f"{step}/biased", "Add", value, constant)

    def gate(self, step: str, gates: Value, k: int) -> Value:
        """Gate `k`, before its activation."""
        return self.s.slice(step, gates, -1, k * self.hidden, (k + 1) * self.hidden)

    def plus(self, step: str, a: Value, b: Value | None) -> Value:
        """a + b; None means that b is zero."""
        return a if b is None else self.s.op(step, "Add", a, b)

    def peeped(self, step: str, gate: Value, k: int, memory: Value | None) -> Value:
        """A gate of an LSTM, before its activation, plus the memory's contribution through peepholes."""
        if self.peepholes is None or memory is None:
            return gate
        seen = self.s.op(f"{step}/seen", "Mul", memory, self.s.constant(f"{step}/peephole", self.peepholes[k]))
        return self.s.op(f"{step}/peeped", "Add", gate, seen)


CellState = tuple[Value | None, ...]
CellStep = Callable[[_Cell, str, Value, CellState], tuple[Value, ...]]


def _lstm_step(cell: _Cell, at: str, x: Value, state: CellState) -> tuple[Value, ...]:
    s, (f, g, h) = cell.s, cell.activations
    hidden, memory = state
    gates = cell.plus(f"{at}/gates", x, cell.recurrent(at, hidden, 0, 4, bias=False))
    # In the standard's order: input, output, forget, cell; peepholes in another.
    i = f(f"{at}/input", cell.peeped(f"{at}/input", cell.gate(f"{at}/input/sum", gates, 0), 0, memory))
    new = g(f"{at}/candidate", cell.gate(f"{at}/candidate/sum", gates, 3))
    c = s.op(f"{at}/written", "Mul", i, new)
    if memory is not None:
        if s.integer("input_forget", 0):
            forget = s.op(f"{at}/forget", "Sub", s.number(f"{at}/one", 1.0, s.node.inputs[0] or x), i)
        else:
            seen = cell.peeped(f"{at}/forget", cell.gate(f"{at}/forget/sum", gates, 2), 2, memory)
            forget = f(f"{at}/forget", seen)
        c = s.op(f"{at}/memory", "Add", c, s.op(f"{at}/kept", "Mul", forget, memory))
    o = f(f"{at}/output", cell.peeped(f"{at}/output", cell.gate(f"{at}/output/sum", gates, 1), 1, c))
    return s.op(f"{at}/state", "Mul", o, h(f"{at}/read", c)), c


def _gru_step(cell: _Cell, at: str, x: Value, state: CellState) -> tuple[Value, ...]:
    s, (f, g) = cell.s, cell.activations
    (h,) = state
    both = s.slice(f"{at}/gates/input", x, -1, 0, 2 * cell.hidden)
    gates = cell.plus(f"{at}/gates", both, cell.recurrent(f"{at}/gates", h, 0, 2, bias=False))
    # In the standard's order: update, reset, hidden.
    z = f(f"{at}/update", cell.gate(f"{at}/update/sum", gates, 0))
    own = cell.gate(f"{at}/hidden/input", x, 2)
    past = cell.recurrent(f"{at}/hidden", h, 2, 3, bias=True) if s.integer("linear_before_reset", 0) else None
    if past is not None or h is not None:
        r = f(f"{at}/reset", cell.gate(f"{at}/reset/sum", gates, 1))
        if past is not None:
            past = s.op(f"{at}/hidden/reset", "Mul", r, past)
        elif h is not None:
            past = cell.recurrent(f"{at}/hidden", s.op(f"{at}/hidden/reset", "Mul", r, h), 2, 3, bias=False)
    new = g(f"{at}/candidate", cell.plus(f"{at}/candidate/sum", own, past))
    # (1 - z) * new + z * h = new + z * (h - new)
    if h is None:
        one = s.number(f"{at}/one", 1.0, s.node.inputs[0] or x)
        return (s.op(f"{at}/state", "Mul", s.op(f"{at}/kept", "Sub", one, z), new),)
    moved = s.op(f"{at}/moved", "Mul", z, s.op(f"{at}/difference", "Sub", h, new))
    return (s.op(f"{at}/state", "Add", new, moved),)


def _rnn_step(cell: _Cell, at: str, x: Value, state: CellState) -> tuple[Value, ...]:
    (f,) = cell.activations
    (h,) = state
    return (f(f"{at}/state", cell.plus(f"{at}/sum", x, cell.recurrent(at, h, 0, 1, bias=False))),)


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


_HINT = "supported are constant weights, and activations that are operators"


@decomposition("LSTM", 13, hint=_HINT)
def lstm(s: Subgraph, x: Value, w: Value, r: Value, b: Value | None = None, *rest: Value | None) -> list[Value] | None:
    """An LSTM, unrolled."""
    lengths, h, c, peepholes = (*rest, None, None, None, None)[:4]
    return _unrolled(s, _LSTM, x, (w, r, b, peepholes), lengths, (h, c))


@decomposition("GRU", 13, hint=_HINT)
def gru(s: Subgraph, x: Value, w: Value, r: Value, b: Value | None = None, *rest: Value | None) -> list[Value] | None:
    """A GRU, unrolled."""
    lengths, h = (*rest, None, None)[:2]
    return _unrolled(s, _GRU, x, (w, r, b, None), lengths, (h,))


@decomposition("RNN", 13, hint=_HINT)
def rnn(s: Subgraph, x: Value, w: Value, r: Value, b: Value | None = None, *rest: Value | None) -> list[Value] | None:
    """An Elman network, unrolled."""
    lengths, h = (*rest, None, None)[:2]
    return _unrolled(s, _RNN, x, (w, r, b, None), lengths, (h,))


def _unrolled(
    s: Subgraph,
    layer: _Layer,
    x: Value,
    parameters: tuple[Value, Value, Value | None, Value | None],
    lengths: Value | None,
    initial: CellState,
) -> list[Value] | None:
    """The outputs of the layer: all states, then the last of each; None if its form is not covered."""
    w, r, b, p = contents = [None if value is None else content_of(value) for value in parameters]
    batch_first = bool(s.integer("layout", 0))
    steps, batch = static_shape(x)[:2] if not batch_first else static_shape(x)[1::-1]
    computed = any(value is not None and content is None for value, content in zip(parameters, contents, strict=True))
    if w is None or r is None or computed:
        return None
    directions, hidden = r.shape[0], r.shape[2]
    chosen = _activations(s, layer, directions)
    if chosen is None:
        return None
    x = s.transpose("input", x, (1, 0, 2)) if batch_first else x
    bias = np.zeros((directions, 2 * layer.gates * hidden), dtype=numpy_type(x) if x.dtype else r.dtype)
    bias = bias if b is None else b
    nothing = None if lengths is None else s.constant("nothing", np.zeros((batch, hidden), dtype=bias.dtype))
    reverse = [False, True] if directions == 2 else [s.text("direction", "forward") == "reverse"]
    sequences, ends = [], []
    for d in range(directions):
        own, recurrent = np.split(bias[d], 2)
        # Only a GRU that is linear before the reset does not add the state's bias of the last gate to the inputs'.
        apart = np.zeros_like(recurrent)
        if layer is _GRU and s.integer("linear_before_reset", 0):
            apart[2 * hidden :] = recurrent[2 * hidden :]
        peepholes = None if p is None else p[d].reshape(3, hidden)
        cell = _Cell(s, f"direction{d}", hidden, r[d], apart, chosen[d], peepholes)
        weight = s.constant(f"{cell.name}/weight", np.ascontiguousarray(w[d].T))
        inputs = s.op(f"{cell.name}/product", "MatMul", x, weight)
        inputs = s.op(f"{cell.name}/inputs", "Add", inputs, s.constant(f"{cell.name}/bias", own + recurrent - apart))
        state: CellState = tuple(
            _initial(s, f"{cell.name}/initial{k}", h, d, batch_first) for k, h in enumerate(initial)
        )
        states: dict[int, Value] = {}
        for t in reversed(range(steps)) if reverse[d] else range(steps):
            at = f"{cell.name}/step{t}"
            now = s.op(f"{at}/inputs", "Gather", inputs, s.constant(f"{at}/index", np.array(t)), axis=0)
            new = layer.advance(cell, at, now, state)
            going = None if lengths is None else _going_on(s, f"{at}/going on", lengths, t)
            row = _either(s, f"{at}/shown", going, new[0], nothing, nothing)
            state = tuple(
                _either(s, f"{at}/held{k}", going, *pair, nothing)
                for k, pair in enumerate(zip(new, state, strict=True))
            )
            states[t] = s.op(f"{at}/row", "Unsqueeze", row or nothing, s.sizes(f"{at}/row/axes", [0, 1]))
        sequences.append(s.concat(f"{cell.name}/sequence", [states[t] for t in range(steps)], 0))
        ends.append(state)
    outputs = [s.concat("sequence", sequences, 1)]
    for k in range(layer.states):
        last = [end[k] or nothing for end in ends]
        rows = [s.op(f"last{k}/{d}", "Unsqueeze", h, s.sizes(f"last{k}/{d}/axes", [0])) for d, h in enumerate(last)]
        outputs.append(s.concat(f"last{k}", rows, 0))
    if batch_first:
        outputs = [s.transpose("sequence/batch", outputs[0], (2, 0, 1, 3))] + [
            s.transpose(f"last{k}/batch", last, (1, 0, 2)) for k, last in enumerate(outputs[1:])
        ]
    return outputs


def _going_on(s: Subgraph, step: str, lengths: Value, t: int) -> Value | None:
    """Which sequences have a step `t`, (batch, 1); None if all do."""
    content = content_of(lengths)
    if content is not None:
        going = content.reshape(-1, 1) > t
        return None if going.all() else s.constant(step, going)
    number = s.constant(f"{step}/number", np.array(t, dtype=numpy_type(lengths)))
    return s.op(step, "Less", number, s.reshape(f"{step}/lengths", lengths, (-1, 1)))


def _either(
    s: Subgraph, step: str, going: Value | None, new: Value, old: Value | None, nothing: Value | None
) -> Value | None:
    """The new state of sequences that have the step, and the old one, or zero, of the others."""
    if going is None:
        return new
    content = content_of(going)
    if content is not None and not content.any():
        return old
    return s.op(step, "Where", going, new, nothing if old is None else old)


def _initial(s: Subgraph, step: str, h: Value | None, direction: int, batch_first: bool) -> Value | None:
    """The initial state of a direction; None if it is zero."""
    content = None if h is None else content_of(h)
    if h is None or (content is not None and not content.any()):
        return None
    index = s.constant(f"{step}/direction", np.array(direction))
    return s.op(step, "Gather", h, index, axis=1 if batch_first else 0)


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
