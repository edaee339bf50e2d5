"""Recurrences of a normalized model: all of their steps at once.

The values of a recurrence have an axis of time in front, and the operators between them work on all steps together. A
step reads the state that the step before has left. The states before all steps are results of a Scan, which computes
the same operators step by step. So the graph has no cycle, onnxruntime runs it, and every value of every step is
measured. The importer takes no notice of the body of the Scan: its results become the Delays of a region.

That both say the same is by construction: the body holds the operators of the graph once more. The importer finds what
a state is at the end of a step by a note that the Scan carries. Notes of a model that comes in are removed before.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import onnx_ir
from onnx_ir import Value
from onnx_ir.passes import common

from zkinfer.compiler.onnx.subgraph import Subgraph

_NEXT = "zkinfer.next"
"""The metadata entry of a Scan that lists what its states are at the end of a step, one name a line."""

States = Sequence[Value]


class Delayed(NamedTuple):
    """A state of a recurrence.

    Attributes:
        initial: before the first step, without an axis of time.
        before: before every step.
        after: the name of the value that it is after every step.
    """

    initial: Value
    before: Value
    after: str


def recurrence(
    s: Subgraph, name: str, initial: States, sequences: States, advance: Callable[[States, States], States]
) -> list[Value]:
    """The states after every step, with an axis of time in front.

    Args:
        s: gets the operators.
        name: of the recurrence, a part of the names of its operators.
        initial: the states before the first step, without an axis of time.
        sequences: what the steps read, time first; all of one type of elements or truth values, which are known.
        advance: from the states before every step, and what the steps read of each sequence, to the states after every
            step. The operators that it emits do not depend on how many steps there are, and on one step compute that.
    """
    before = [Value(name=f"{s.name}/{name}/before{k}", type=x.type) for k, x in enumerate(initial)]
    first = len(s.nodes)
    after = advance(before, sequences)
    # A decomposition of what computes a state would give it another name.
    after = [s.op(f"{name}/after{k}", "Identity", x) for k, x in enumerate(after)]
    body = _body(f"{s.name}/{name}", s.nodes[first:], before, after, sequences, s.sizes(f"{name}/time", [0]))
    ends = [Value(name=f"{s.name}/{name}/final{k}") for k in range(len(initial))]
    scan = onnx_ir.node(
        "Scan",
        [*initial, *sequences],
        {"body": body, "num_scan_inputs": len(sequences)},
        name=f"{s.name}/{name}",
        outputs=[*ends, *before],
        metadata_props={_NEXT: "\n".join(x.name or "" for x in after)},
    )
    s.nodes.insert(first, scan)
    return list(after)


def _body(
    name: str, nodes: Sequence[onnx_ir.Node], before: States, after: States, sequences: States, time: Value
) -> onnx_ir.Graph:
    """The operators on one step; the body gives the states after it, and the states before it as they were."""
    inputs, copies, at = list[Value](), list[onnx_ir.Node](), dict[Value, Value]()
    for x in (*before, *sequences):
        inputs.append(Value(name=f"{x.name}/element", type=x.type))
        copies.append(onnx_ir.node("Unsqueeze", [inputs[-1], time], outputs=[Value(name=f"{x.name}/step")]))
        at[x] = copies[-1].outputs[0]
    for node in nodes:
        results = [Value(name=f"{x.name}/step") for x in node.outputs]
        given = [x if x is None else at.get(x, x) for x in node.inputs]
        copies.append(
            onnx_ir.node(node.op_type, given, dict(node.attributes), name=f"{node.name}/step", outputs=results)
        )
        at.update(zip(node.outputs, results, strict=True))
    ends = [onnx_ir.node("Squeeze", [at[x], time], outputs=[Value(name=f"{x.name}/end")]) for x in after]
    kept = [onnx_ir.node("Identity", [x], outputs=[Value(name=f"{x.name}/kept")]) for x in inputs[: len(before)]]
    outputs = [node.outputs[0] for node in (*ends, *kept)]
    return onnx_ir.Graph(inputs, outputs, nodes=[*copies, *ends, *kept], name=f"{name}/body")


def delayed(node: onnx_ir.Node) -> list[Delayed]:
    """The states of the recurrence of which a node is the Scan; none for any other node."""
    names = node.metadata_props.get(_NEXT, "")
    states = []
    for k, name in enumerate(names.split("\n") if names else []):
        initial, before = node.inputs[k], node.outputs[-len(names.split("\n")) + k]
        assert initial is not None
        states.append(Delayed(initial, before, name))
    return states


def drop_unread(model: onnx_ir.Model) -> None:
    """Leave out every node of which nothing is read, in place; the state after a step is read by the next step."""
    graph = model.graph
    states = {state.after for node in graph for state in delayed(node)}
    kept = [value for node in graph for value in node.outputs if value.name in states and not value.is_graph_output()]
    graph.outputs.extend(kept)
    common.RemoveUnusedNodesPass()(model)
    for _ in kept:
        graph.outputs.pop()
