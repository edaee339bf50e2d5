"""Scans: their body as operators on all steps at once, see `recurrences` and `lifting`.

Only the operators between the states before a step and the states after it are a recurrence. What reads no state is
computed for all steps before it, and what no state is computed from, after it. A state that does not depend on states
is a sequence, one step later.
"""

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir
from onnx_ir import Value

from zkinfer.circuit.steps import MAX_TENSOR_ELEMENTS
from zkinfer.compiler.calibration.float_model import is_float, static_shape
from zkinfer.compiler.onnx import registry
from zkinfer.compiler.onnx.decomposition import decomposition
from zkinfer.compiler.onnx.lifting import constant_in_time, lifted, needs_time
from zkinfer.compiler.onnx.recurrences import States, delayed, recurrence
from zkinfer.compiler.onnx.repetition import Carried, Repetition, inner_graphs, repetition
from zkinfer.compiler.onnx.subgraph import Subgraph
from zkinfer.errors import UnsupportedOperatorError


class Parts:
    """The nodes of a body by what they have to do with its states.

    Attributes:
        recurrent: states that depend on states.
        shifted: the others.
        free: nodes that depend on no recurrent state.
        inner: nodes through which recurrent states depend on each other.
        last: nodes that depend on recurrent states, and on which none depends.
    """

    def __init__(self, found: Repetition) -> None:
        self.recurrent = list(found.states)
        while True:
            depending = _depending(found, self.recurrent)
            kept = [state for state in self.recurrent if state.after in depending]
            if len(kept) == len(self.recurrent):
                break
            self.recurrent = kept
        self.shifted = [state for state in found.states if state not in self.recurrent]
        needed = {state.after for state in self.recurrent}
        for node in reversed(found.body):
            if not needed.isdisjoint(node.outputs):
                needed.update(value for value in node.inputs if value is not None)
        late = [node for node in found.body if not depending.isdisjoint(node.outputs)]
        self.free = [node for node in found.body if depending.isdisjoint(node.outputs)]
        self.inner = [node for node in late if not needed.isdisjoint(node.outputs)]
        self.last = [node for node in late if needed.isdisjoint(node.outputs)]


def _depending(found: Repetition, states: Sequence[Carried]) -> set[Value]:
    """The values of a body that depend on states of it."""
    depending = {state.before for state in states}
    for node in found.body:
        if not depending.isdisjoint(value for value in node.inputs if value is not None):
            depending.update(node.outputs)
    return depending


def obstacle(found: Repetition, opset: int) -> onnx_ir.Node | str | None:
    """Why the steps cannot be computed at once: a node of the body, or what else it is; None if they can.

    The shapes of the body's values are known.
    """
    if found.steps == 0:
        return "it has no step"
    parts = Parts(found)
    if parts.recurrent and found.steps == 1:
        return "it has one step"
    for state in found.states:
        known = state.initial.shape is not None and state.before.shape is not None and state.after.shape is not None
        if not known or not state.before.shape == state.after.shape == state.initial.shape:
            return f"the shape of {state.before.name!r} is not known, or changes"
    if any(not is_float(state.before) for state in parts.recurrent):
        return f"the state {parts.recurrent[0].before.name!r} does not hold floats"
    timed = _timed(found)
    for node in found.body:
        if inner_graphs(node) or lifted(node, timed, opset) is None:
            return node
        values = (*node.outputs, *(value for value in node.inputs if value in timed and value is not None))
        if any(found.steps * math.prod(static_shape(value)) > MAX_TENSOR_ELEMENTS for value in values if value.name):
            return node
    for node in parts.inner:
        if not (is_float(node.outputs[0]) or node.outputs[0].dtype is onnx_ir.DataType.BOOL):
            return node
    return None


def _timed(found: Repetition) -> set[Value]:
    """The values that have an axis of time."""
    timed = set[Value](found.body.inputs)
    for node in found.body:
        given = [value for value in node.inputs if value is not None]
        timed.update(node.outputs, needs_time(node))
        timed.update(value for value in given if not is_constant(value))
    return timed


def is_constant(value: Value) -> bool:
    """Whether a value of the model does not depend on its inputs; constants that are large are not folded."""
    if value.const_value is not None:
        return True
    node = value.producer()
    given = [] if node is None else [x for x in node.inputs if x is not None]
    return node is not None and bool(given) and not inner_graphs(node) and all(map(is_constant, given))


_HINT = "supported are numbers of steps that are known before the model runs, and bodies of supported operators"
registry.add_hint("Loop", f"in this form; {_HINT}")


@decomposition("Scan", 9, hint=_HINT)
def scan(s: Subgraph, *_: Value) -> list[Value] | None:
    """A Scan whose steps can be computed at once."""
    if delayed(s.node):
        return None
    try:
        found = repetition(s.node)
    except UnsupportedOperatorError:
        return None
    return None if obstacle(found, s.opset) is not None else _Steps(s, found).run()


class _Steps:
    """All steps of a Scan, under construction.

    Attributes:
        at: for values of the body, and values outside that it reads, what they are at all steps.
    """

    def __init__(self, s: Subgraph, found: Repetition) -> None:
        self.s, self.found, self.parts = s, found, Parts(found)
        self.at: dict[Value, Value] = {}
        self.timed = _timed(found)
        self.own = {*found.body.inputs, *(value for node in found.body for value in node.outputs)}
        s.constants += found.constants

    def run(self) -> list[Value]:
        """The results of the Scan."""
        s, found, parts = self.s, self.found, self.parts
        for read in found.reads:
            self.at[read.element] = self._sequence(read.element.name or "", read.source, read.axis, read.backward)
        self._shift()
        self._emit(parts.free)
        if parts.recurrent:
            self._recur()
        self._emit(parts.last)
        finals = []
        for k, state in enumerate(found.states):
            last = s.constant(f"final{k}/step", np.array(found.steps - 1))
            finals.append(s.op(f"final{k}", "Gather", self._all_steps(state.after), last, axis=0))
        return finals + [
            self._collected(f"collected{k}", c.element, c.axis, c.backward) for k, c in enumerate(found.collects)
        ]

    def _sequence(self, name: str, source: Value, axis: int, backward: bool) -> Value:
        """What the steps read of a sequence, time first, in their order."""
        s, rank = self.s, len(static_shape(source))
        if source.const_value is not None:
            content = np.moveaxis(source.const_value.numpy(), axis, 0)
            return s.constant(name, np.ascontiguousarray(content[::-1] if backward else content))
        x = source
        if axis:
            x = s.transpose(f"{name}/turned", x, [axis, *(k for k in range(rank) if k != axis)])
        x = self._turned(f"{name}/order", x) if backward else x
        x.type = source.type
        return x

    def _turned(self, name: str, x: Value) -> Value:
        steps = self.found.steps
        return self.s.slice(name, x, 0, steps - 1, -steps - 1, -1)

    def _collected(self, name: str, element: Value, axis: int, backward: bool) -> Value:
        x = self._all_steps(element)
        x = self._turned(f"{name}/order", x) if backward else x
        rank = len(static_shape(element)) + 1
        if axis % rank:
            order = list(range(1, rank))
            order.insert(axis % rank, 0)
            x = self.s.transpose(f"{name}/turned", x, order)
        # The result is renamed, and what a recurrence leaves after a step has to keep its name.
        return self.s.op(name, "Identity", x)

    def _all_steps(self, value: Value) -> Value:
        """A value with an axis of time."""
        if value not in self.at:
            self.at[value] = constant_in_time(self.s, f"{value.name}/all", value, self.found.steps)
        return self.at[value]

    def _emit(self, nodes: Sequence[onnx_ir.Node]) -> None:
        """What nodes are at all steps; states that depend on no state follow what they are one step later."""
        waiting = list(nodes)
        while waiting:
            ready = [node for node in waiting if self._is_ready(node)]
            for node in ready:
                self._node(node)
            self._shift()
            waiting = [node for node in waiting if node not in ready]

    def _is_ready(self, node: onnx_ir.Node) -> bool:
        return all(value not in self.own or value in self.at for value in node.inputs if value is not None)

    def _node(self, node: onnx_ir.Node) -> None:
        for value in node.inputs:
            if value in self.timed and value is not None:
                self._all_steps(value)
        emit = lifted(node, self.timed, self.s.opset)
        assert emit is not None
        self.at.update(zip(node.outputs, emit(self.s, self.at), strict=False))

    def _shift(self) -> None:
        """States that depend on no recurrent state, as far as what they are after a step is known."""
        s, steps = self.s, self.found.steps
        changed = True
        while changed:
            changed = False
            for k, state in enumerate(self.parts.shifted):
                if state.before in self.at or (state.after in self.own and state.after not in self.at):
                    continue
                name = f"shifted{k}"
                row = s.reshape(f"{name}/row", state.initial, (1, *static_shape(state.initial)))
                before = row
                if steps > 1:
                    rest = s.slice(f"{name}/rest", self._all_steps(state.after), 0, 0, steps - 1)
                    before = s.op(name, "Concat", row, rest, axis=0)
                before.type = state.initial.type
                self.at[state.before] = before
                changed = True

    def _recur(self) -> None:
        """The recurrence."""
        parts, given = self.parts, list[Value]()
        before = {state.before for state in parts.recurrent}
        made = before | {value for node in parts.inner for value in node.outputs}
        for node in parts.inner:
            for value in node.inputs:
                if value is not None and value in self.timed and value not in made:
                    given.append(self._all_steps(value))

        def advance(states: States, _: States) -> list[Value]:
            self.at.update({state.before: x for state, x in zip(parts.recurrent, states, strict=True)})
            for node in parts.inner:
                self._node(node)
            return [self.at[state.after] for state in parts.recurrent]

        # A Scan has a sequence at least: it says how many steps there are.
        sequences = list(dict.fromkeys(given)) or [self.at[self.found.reads[0].element]]
        initial = [state.initial for state in parts.recurrent]
        after = recurrence(self.s, "steps", initial, sequences, advance)
        self.at.update({state.after: x for state, x in zip(parts.recurrent, after, strict=True)})
