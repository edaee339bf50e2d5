"""What a Scan or a Loop repeats, and how often.

Both run a body a number of times. States go from one step to the next, sequences give each step an element, and of
some results of the body all steps are collected. A Scan says by the lengths of its sequences how many steps there are.
A Loop says it by a number, or by a condition, which may follow from constants, such as that of a counter.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir
from onnx_ir import Value

from zkinfer.compiler.calibration.float_model import open_session, static_shape
from zkinfer.compiler.onnx.blame import blame
from zkinfer.compiler.onnx.conversion import IR_VERSION
from zkinfer.counts import counted
from zkinfer.errors import CompileError, UnsupportedOperatorError
from zkinfer.typing import Array

MAX_STEPS = 1 << 16
"""Steps of a loop that are counted by following its condition."""


_GROWING = ("ConstantOfShape", "EyeLike", "Expand", "OneHot", "Pad", "Range", "Resize", "Tile")
"""Operators whose results may be large where what they read is small."""

MAX_KNOWN_ELEMENTS = 1 << 22
"""Elements that a step computes of constants."""


@dataclass
class Carried:
    """What a step leaves to the next.

    Attributes:
        initial: outside, before the first step.
        before, after: in the body.
        final: outside, after the last step.
    """

    initial: Value
    before: Value
    after: Value
    final: Value


@dataclass
class Read:
    """A sequence of which each step reads an element: `source` outside, `element` in the body."""

    source: Value
    element: Value
    axis: int
    backward: bool


@dataclass
class Collected:
    """A value of the body of which all steps are kept: `element` in the body, `result` outside."""

    element: Value
    result: Value
    axis: int
    backward: bool


@dataclass
class Repetition:
    """A Scan, or a Loop whose number of steps is known.

    Attributes:
        node: it.
        body: a copy of its body; the values that it reads from outside are the model's.
        steps: how often the body is run.
        states, reads, collects: see above; nothing else reaches into the body but values from outside.
        constants: new ones outside that `reads` and the body name.
        joins: nodes outside that only join lists of what the steps appended: `collects` has their results.
    """

    node: onnx_ir.Node
    body: onnx_ir.Graph
    steps: int
    states: list[Carried]
    reads: list[Read]
    collects: list[Collected]
    constants: list[Value]
    joins: list[onnx_ir.Node]

    def constant(self, name: str, array: Array) -> Value:
        """A new constant outside."""
        tensor = onnx_ir.tensor(np.array(array, order="C"), name=f"{self.node.outputs[0].name}/loop/{name}")
        value = Value(
            name=tensor.name,
            const_value=tensor,
            shape=onnx_ir.Shape(array.shape),
            type=onnx_ir.TensorType(tensor.dtype),
        )
        self.constants.append(value)
        return value

    def replace(self, old: Value, new: Value) -> None:
        """Let the body, and what is known of it here, read another value."""
        for place, output in enumerate(self.body.outputs):
            if output is old:
                self.body.outputs[place] = new
        old.replace_all_uses_with(new)
        for state in self.states:
            state.after = new if state.after is old else state.after
        for collected in self.collects:
            collected.element = new if collected.element is old else collected.element


def repetition(node: onnx_ir.Node) -> Repetition:
    """What a Scan or Loop repeats.

    Args:
        node: of operator set 13 or newer. The shapes of the sequences of a Scan are known.

    Raises:
        UnsupportedOperatorError: how often is not known before the model runs, or it is never, although results of
            every step are read.
    """
    found = _scan(node) if node.op_type == "Scan" else _loop(node)
    if not found.steps and any(c.result.uses() or c.result.is_graph_output() for c in found.collects):
        raise UnsupportedOperatorError(
            "it runs for no step, so that what it collects holds no elements. Leave it out of the model"
        )
    return found


def _scan(node: onnx_ir.Node) -> Repetition:
    body = node.attributes["body"].as_graph().clone(allow_outer_scope_values=True)
    count = node.attributes["num_scan_inputs"].as_int()
    first = len(node.inputs) - count
    collected = len(body.outputs) - first
    axes, backward, to_axes, reversed_to = (
        list(node.attributes[name].as_ints()) if name in node.attributes else [0] * size
        for name, size in (
            ("scan_input_axes", count),
            ("scan_input_directions", count),
            ("scan_output_axes", collected),
            ("scan_output_directions", collected),
        )
    )
    states = [Carried(_given(node, k), body.inputs[k], body.outputs[k], node.outputs[k]) for k in range(first)]
    reads = []
    for k in range(count):
        source = _given(node, first + k)
        assert source.shape is not None
        reads.append(Read(source, body.inputs[first + k], axes[k] % len(source.shape), bool(backward[k])))
    sizes = {static_shape(read.source)[read.axis] for read in reads}
    if len(sizes) != 1:
        raise UnsupportedOperatorError(f"its sequences have different lengths, {sorted(sizes)}")
    collects = [
        Collected(body.outputs[first + k], node.outputs[first + k], to_axes[k], bool(reversed_to[k]))
        for k in range(collected)
    ]
    return Repetition(node, body, sizes.pop(), states, reads, collects, [], [])


def _loop(node: onnx_ir.Node) -> Repetition:
    body = node.attributes["body"].as_graph().clone(allow_outer_scope_values=True)
    number, going, *carried = body.inputs
    after = body.outputs[1:]
    states = [Carried(_given(node, 2 + k), before, after[k], node.outputs[k]) for k, before in enumerate(carried)]
    collects = [Collected(*pair, 0, backward=False) for pair in zip(after, node.outputs, strict=True)][len(states) :]
    found = Repetition(node, body, 0, states, [], collects, [], [])
    for state in [state for state in states if isinstance(state.initial.type, onnx_ir.SequenceType)]:
        _collect_list(found, state)
    found.steps = _count(found)
    found.reads.append(
        Read(found.constant("numbers", np.arange(found.steps, dtype=np.int64)), number, 0, backward=False)
    )
    # A step is run only if the condition before it holds.
    found.replace(going, found.constant("true", np.array(True)))
    return found


def _collect_list(found: Repetition, state: Carried) -> None:
    """Collect what every step appends to a list, in place of the list.

    Raises:
        UnsupportedOperatorError: it is not empty at first, or used otherwise than to be stacked after the loop.
    """
    start, end = state.initial.producer(), state.after.producer()
    joins = [user for user, _ in state.final.uses()]
    appends = end is not None and end.op_type == "SequenceInsert" and end.inputs[0] is state.before
    empty = start is not None and start.op_type == "SequenceEmpty"
    stacked = all(
        join.op_type == "ConcatFromSequence" and join.attributes.get_int("new_axis", 0) == 1 for join in joins
    )
    once = len(state.before.uses()) == 1 and not state.after.uses() and not state.final.is_graph_output()
    if end is None or not (appends and empty and stacked and once) or any(end.inputs[2:]):
        raise UnsupportedOperatorError(
            f"its state {state.before.name!r} is a list. Supported are lists that are empty before the loop, that each "
            "step appends to, and that are stacked after it, as by torch.stack"
        )
    element = end.inputs[1]
    assert element is not None
    for join in joins:
        axis = join.attributes["axis"].as_int()
        found.collects.append(Collected(element, join.outputs[0], axis, backward=False))
    found.joins += joins
    found.states.remove(state)
    found.body.outputs.remove(state.after)
    found.body.remove(end)


def inner_graphs(node: onnx_ir.Node) -> list[onnx_ir.Graph]:
    """The graphs that a node holds."""
    found = []
    for attribute in node.attributes.values():
        if attribute.type is onnx_ir.AttributeType.GRAPH:
            found.append(attribute.as_graph())
        elif attribute.type is onnx_ir.AttributeType.GRAPHS:
            found += attribute.as_graphs()
    return found


def _given(node: onnx_ir.Node, place: int) -> Value:
    value = node.inputs[place]
    if value is None:
        raise UnsupportedOperatorError(f"its input {place} is missing")
    return value


def _count(loop: Repetition) -> int:
    """How many steps a Loop has."""
    advice = (
        "A circuit has a fixed number of steps: let the loop run as often as it may at most, and update a "
        "state with Where, only while its condition holds"
    )
    most, going = (*loop.node.inputs, None, None)[:2]
    if most is not None and most.const_value is None:
        raise UnsupportedOperatorError(f"how often it runs, {most.name!r}, depends on data. {advice}")
    if going is not None and going.const_value is None:
        raise UnsupportedOperatorError(f"its condition {going.name!r} depends on data. {advice}")
    limit = None if most is None or most.const_value is None else max(0, int(most.const_value.numpy().item()))
    if going is not None and going.const_value is not None and not going.const_value.numpy().item():
        return 0
    condition = origin(loop.body.outputs[0])
    endless = condition is loop.body.inputs[1]
    if condition.const_value is not None:
        if not condition.const_value.numpy().item():
            return 1 if limit is None else min(1, limit)
        endless = True
    if endless and limit is not None and limit <= MAX_STEPS:
        return limit
    if endless:
        raise UnsupportedOperatorError(f"it does not end within {MAX_STEPS} steps. {advice}")
    fixed = known_part(loop)
    if condition not in fixed.values:
        raise UnsupportedOperatorError(f"its condition {condition.name!r} depends on data. {advice}")
    number, going_on = loop.body.inputs[:2]
    for step, values in enumerate(
        fixed.steps([condition], ({number: np.array(n), going_on: np.array(True)} for n in range(MAX_STEPS)))
    ):
        if step == limit:
            return step
        if not values[condition].item():
            return step + 1
    raise UnsupportedOperatorError(f"it does not end within {MAX_STEPS} steps. {advice}")


def origin(value: Value) -> Value:
    """The value of which this is the Identity."""
    node = value.producer()
    while node is not None and node.op_type == "Identity" and node.inputs[0] is not None:
        value = node.inputs[0]
        node = value.producer()
    return value


@dataclass(frozen=True)
class KnownPart:
    """What a body computes of constants alone, step by step.

    Attributes:
        nodes: in order.
        states: those that do not depend on data.
        values: of the body that are known at every step: elements of constant sequences, those states, results of
            nodes.
        opsets: versions of the operator sets.
    """

    nodes: Sequence[onnx_ir.Node]
    states: Sequence[Carried]
    values: frozenset[Value]
    opsets: Mapping[str, int]

    def steps(
        self, wanted: Sequence[Value], elements: Iterable[Mapping[Value, Array]]
    ) -> Iterator[Mapping[Value, Array]]:
        """The values wanted at every step, and the states after it.

        Args:
            wanted: known ones.
            elements: for each step, what it reads.
        """
        now = {state.before: content(state.initial) for state in self.states}
        results = [value for node in self.nodes for value in node.outputs if value.name]
        session = None
        for read in elements:
            feeds = {**now, **read}
            with blame("what it computes of constants cannot be computed"):
                if session is None and results:
                    session = open_session(self._model(feeds, results), optimized=False)
                named = {value.name: array for value, array in feeds.items()}
                arrays = [] if session is None else session.run(None, named)
            if sum(np.size(array) for array in arrays) > MAX_KNOWN_ELEMENTS:
                raise CompileError(
                    f"a loop computes more than {counted(MAX_KNOWN_ELEMENTS, 'element')} of constants in a step. "
                    "Compute them before, and store them in the model"
                )
            known = {**feeds, **dict(zip(results, arrays, strict=True))}
            at = {value: known[value] if value in known else content(value) for value in wanted}
            now = {s.before: known[s.after] if s.after in known else content(s.after) for s in self.states}
            yield at | {state.after: now[state.before] for state in self.states}

    def _model(self, feeds: Mapping[Value, Array], results: Sequence[Value]) -> onnx.ModelProto:
        tensors = {x.name: x for node in self.nodes for x in node.inputs if x is not None and x.const_value is not None}
        inputs = [
            onnx.helper.make_tensor_value_info(
                value.name or "", onnx.helper.np_dtype_to_tensor_dtype(array.dtype), [None] * array.ndim
            )
            for value, array in feeds.items()
        ]
        graph = onnx.helper.make_graph(
            [onnx_ir.serde.serialize_node(node) for node in self.nodes],
            "constants",
            inputs,
            [onnx.helper.make_empty_tensor_value_info(value.name or "") for value in results],
            [onnx.numpy_helper.from_array(content(value), name) for name, value in tensors.items()],
        )
        opsets = [onnx.helper.make_opsetid(domain, number) for domain, number in self.opsets.items()]
        return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def content(value: Value) -> Array:
    """The elements of a constant."""
    assert value.const_value is not None
    return value.const_value.numpy()


def known_part(found: Repetition) -> KnownPart:
    """What of the body depends on constants, and on the number of the step, alone."""
    states = [state for state in found.states if state.initial.const_value is not None]
    taken = {state.before for state in found.states} | {
        read.element for read in found.reads if read.source.const_value is None
    }
    given = {value for value in found.body.inputs if value not in taken}
    while True:
        known, nodes = given | {state.before for state in states}, list[onnx_ir.Node]()
        for node in found.body:
            read = [value for value in node.inputs if value is not None]
            small = node.op_type not in _GROWING
            if read and small and not inner_graphs(node) and all(x in known or x.const_value is not None for x in read):
                nodes.append(node)
                known.update(node.outputs)
        kept = [state for state in states if state.after in known or state.after.const_value is not None]
        if len(kept) == len(states):
            assert found.node.graph is not None
            return KnownPart(nodes, states, frozenset(known), found.node.graph.opset_imports)
        states = kept
