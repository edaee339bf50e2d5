"""Scans and Loops of a model, before its layers are taken apart: what can be computed at once stays, as a Scan.

A Loop whose number of steps is known becomes a Scan. Out of the body goes what is the same at every step, and what
depends on constants and the number of the step alone. Then either the body is such that all steps can be computed at
once (`decompositions.loops`), or it is written out for every step. A Loop within such a body is settled in its turn.
"""

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir
from onnx_ir import Graph, Node, Value

from zkinfer.compiler.calibration.float_model import static_shape
from zkinfer.compiler.onnx import registry
from zkinfer.compiler.onnx.conversion import IR_VERSION
from zkinfer.compiler.onnx.decompositions.loops import obstacle
from zkinfer.compiler.onnx.repetition import (
    Read,
    Repetition,
    inner_graphs,
    repetition,
)
from zkinfer.compiler.onnx.shapes import inferred, without_shapes
from zkinfer.compiler.onnx.simplify import simplify
from zkinfer.compiler.onnx.taking_out import element_of, place_of, take_out
from zkinfer.counts import counted
from zkinfer.errors import CompileError, UnsupportedOperatorError

MAX_UNROLLED_NODES = 1 << 14
"""Nodes of a model with loops that are written out: compiling takes some milliseconds for each."""

_REPEATING = ("Loop", "Scan")

_SMALL = 64
"""Elements of a constant that may be the sizes of a tensor."""


def has_loops(model: onnx_ir.Model) -> bool:
    """Whether there is a Scan or Loop outside the bodies of others."""
    return any(_is_repeating(node) for node in model.graph)


def settle_loops(model: onnx_ir.Model) -> onnx_ir.Model:
    """The model with Scans alone whose steps can be computed at once, and Loops alone that are refused.

    Args:
        model: simplified; its constants are in the main graph. Changed in place.

    Raises:
        CompileError: a loop that has to be written out has too many nodes; the message names what prevents that its
            steps are computed at once.
    """
    changed = has_loops(model)
    while changed:
        # Of what was in a body, the shapes may have been unknown.
        model = inferred(model, corrected=True)
        changed = False
        for node in [node for node in model.graph if _is_repeating(node)]:
            given = [value for value in node.inputs if value is not None]
            given += [value for graph in inner_graphs(node) for value in _from_outside(graph)]
            if all(map(_is_known, given)):
                changed |= _settle(model.graph, node, model.opset_imports.get("", 0))
        if changed:
            simplify(model)
    return model


def _is_known(value: Value) -> bool:
    """Whether shape and type of a tensor are known, or it is a list."""
    if isinstance(value.type, onnx_ir.SequenceType):
        return True
    return value.shape is not None and value.shape.is_static() and value.dtype is not None


def refusal(node: Node) -> UnsupportedOperatorError | None:
    """Why a Scan or Loop is not supported; None of other nodes."""
    if not _is_repeating(node):
        return None
    try:
        repetition(node)
    except UnsupportedOperatorError as error:
        return error
    return UnsupportedOperatorError("what it reads has no fixed shape; export the model so that every shape is fixed")


def _is_repeating(node: Node) -> bool:
    return node.op_type in _REPEATING and node.domain in ("", "ai.onnx")


def _settle(graph: Graph, node: Node, opset: int) -> bool:
    """Replace a Scan or Loop, in place; whether there was something to replace."""
    try:
        found = repetition(node)
    except UnsupportedOperatorError:
        return False
    changed = bool(found.steps) and take_out(graph, found)
    _form_body(found)
    if node.op_type == "Loop" and not (found.steps and _keeps_shapes(found)):
        _write_out(graph, found, "the shapes of its states change", opset)
    elif node.op_type == "Loop" or changed:
        _replace(graph, found, [_scan(found)] if found.states or found.collects else [])
    elif (reason := obstacle(found, opset)) is not None:
        _write_out(graph, found, reason, opset)
    else:
        return False
    return True


def _form_body(found: Repetition) -> None:
    """Give the body the inputs and outputs of a Scan: each output the result of a node of its own."""
    body = found.body
    if not found.reads:
        numbers = found.constant("steps", np.arange(found.steps, dtype=np.int64))
        element = Value(name=f"{numbers.name}/element", type=numbers.type, shape=onnx_ir.Shape(()))
        found.reads.append(Read(numbers, element, 0, backward=False))
    body.inputs.clear()
    body.inputs.extend([*(state.before for state in found.states), *(read.element for read in found.reads)])
    results = [*(state.after for state in found.states), *(collected.element for collected in found.collects)]
    body.outputs.clear()
    made = {value for node in body for value in node.outputs}
    for place, value in enumerate(results):
        if value not in made or any(value is other for other in results[:place]):
            node = onnx_ir.node(
                "Identity", [value], outputs=[Value(name=f"{value.name}/result{place}", type=value.type)]
            )
            body.append(node)
            results[place] = node.outputs[0]
    body.outputs.extend(results)
    for state, value in zip(found.states, results, strict=False):
        state.after = value
    for collected, value in zip(found.collects, results[len(found.states) :], strict=True):
        collected.element = value


def _scan(found: Repetition) -> Node:
    """A Scan that does the same; its body is formed."""
    attributes = {
        "body": found.body,
        "num_scan_inputs": len(found.reads),
        "scan_input_axes": [read.axis for read in found.reads],
        "scan_input_directions": [int(read.backward) for read in found.reads],
    }
    if found.collects:
        attributes["scan_output_axes"] = [collected.axis for collected in found.collects]
        attributes["scan_output_directions"] = [int(collected.backward) for collected in found.collects]
    given = [*(state.initial for state in found.states), *(read.source for read in found.reads)]
    results = [Value(name=value.name, type=value.type) for value in _results(found)]
    return onnx_ir.node("Scan", given, attributes, name=found.node.name, outputs=results)


def _results(found: Repetition) -> list[Value]:
    return [*(state.final for state in found.states), *(collected.result for collected in found.collects)]


def _replace(graph: Graph, found: Repetition, nodes: Sequence[Node], results: Sequence[Value] | None = None) -> None:
    """Put nodes in the place of the loop; their results, or those of the only node, take the place of its own."""
    if results is None:
        results = [value for node in nodes for value in node.outputs]
    for constant in found.constants:
        while constant.name in graph.initializers:
            constant.name = f"{constant.name}/next"
        graph.register_initializer(constant)
    onnx_ir.convenience.replace_nodes_and_values(
        graph, found.node, [found.node, *found.joins], nodes, _results(found), results
    )


def _keeps_shapes(found: Repetition) -> bool:
    """Whether the states have at all steps the shapes that they have before the first; the body is formed."""
    graph = onnx_ir.serde.serialize_graph(found.body)
    known = [(state.before.name, state.initial) for state in found.states]
    known += [(value.name, value) for value in _from_outside(found.body)]
    types = {name: onnx_ir.serde.serialize_value(value).type for name, value in known}
    for read in found.reads:
        sizes = [size for axis, size in enumerate(static_shape(read.source)) if axis != read.axis]
        assert read.source.dtype is not None
        types[read.element.name] = onnx.helper.make_tensor_type_proto(int(read.source.dtype), sizes)
    del graph.input[:], graph.value_info[:]
    graph.input.extend(onnx.ValueInfoProto(name=name, type=kind) for name, kind in types.items())
    for value in _from_outside(found.body):
        if value.const_value is not None and value.const_value.size <= _SMALL:
            graph.initializer.append(onnx.numpy_helper.from_array(value.const_value.numpy(), value.name))
    assert found.node.graph is not None
    opsets = [onnx.helper.make_opsetid(*entry) for entry in found.node.graph.opset_imports.items()]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    known = onnx.shape_inference.infer_shapes(without_shapes(model), data_prop=True)
    after = [value.type.tensor_type.shape.dim for value in known.graph.output]
    return all(
        [dim.dim_value for dim in dims] == list(static_shape(state.initial))
        for state, dims in zip(found.states, after, strict=False)
    )


def _from_outside(graph: Graph) -> list[Value]:
    """The values that a graph, and those within it, read but do not make."""
    nodes = list(graph.all_nodes())
    own = {*graph.inputs, *(value for node in nodes for value in node.outputs)}
    own.update(value for node in nodes for inner in inner_graphs(node) for value in inner.inputs)
    read = [value for node in nodes for value in node.inputs if value is not None]
    read += [value for node in nodes for inner in inner_graphs(node) for value in inner.outputs]
    return list(dict.fromkeys(value for value in read if value not in own))


def _write_out(graph: Graph, found: Repetition, reason: Node | str, opset: int) -> None:
    """Put a copy of the body for every step in the place of the loop; the body is formed."""
    count = sum(1 for _ in graph.all_nodes()) + found.steps * sum(1 for _ in found.body.all_nodes())
    if count > MAX_UNROLLED_NODES:
        why = reason if isinstance(reason, str) else registry.described(reason, opset)
        raise CompileError(
            f"{registry.described(found.node, opset)}: its steps cannot be computed at once ({why}), and written out "
            f"the model has {counted(count, 'node')}; up to {MAX_UNROLLED_NODES:,} are compiled. Run fewer steps, or "
            "take that out of the body"
        )
    states = [state.initial for state in found.states]
    kept: list[list[Value]] = [[] for _ in found.collects]
    written: list[Node] = []
    name = found.node.outputs[0].name
    for step in range(found.steps):
        copy = found.body.clone(allow_outer_scope_values=True)
        given = list(states)
        for place, read in enumerate(found.reads):
            given.append(_element(found, read, step, f"{name}/{step}/read{place}", written))
        now = dict(zip(copy.inputs, given, strict=True))
        results = [now.get(value, value) for value in copy.outputs]
        copy.outputs.clear()
        for before, value in now.items():
            before.replace_all_uses_with(value)
        # Names of values within loops of the body too: ONNX's shape inference confuses values of one name.
        for node in copy.all_nodes():
            node.name = f"{name}/{step}/{node.name}"
            for value in (*node.outputs, *(value for inner in inner_graphs(node) for value in inner.inputs)):
                value.name = f"{name}/{step}/{value.name}" if value.name else ""
        nodes = list(copy)
        copy.remove(nodes)
        written += nodes
        states, collected = results[: len(states)], results[len(states) :]
        for values, value in zip(kept, collected, strict=True):
            values.append(value)
    ends = []
    for value in states:
        written.append(onnx_ir.node("Identity", [value]))
        ends.append(written[-1].outputs[0])
    for place, (collect, values) in enumerate(zip(found.collects, kept, strict=True)):
        ends.append(_joined(found, values[::-1] if collect.backward else values, collect.axis, place, written))
    _replace(graph, found, written, ends)


def _element(found: Repetition, read: Read, step: int, name: str, written: list[Node]) -> Value:
    """What a step reads of a sequence."""
    place = place_of(found, step, read.backward)
    if read.source.const_value is not None:
        return found.constant(f"{step}/{read.element.name}", element_of(found, read, step))
    index = found.constant(f"{step}/{read.element.name}/place", np.array(place))
    written.append(onnx_ir.node("Gather", [read.source, index], {"axis": read.axis}, name=name))
    written[-1].outputs[0].name = name
    return written[-1].outputs[0]


def _joined(found: Repetition, values: Sequence[Value], axis: int, place: int, written: list[Node]) -> Value:
    """Values of all steps, along a new axis."""
    if not values:
        # Nothing reads it.
        return found.constant(f"empty{place}", np.zeros(0, dtype=np.float32))
    where = found.constant(f"collected{place}/axis", np.array([axis]))
    rows = [onnx_ir.node("Unsqueeze", [value, where]) for value in values]
    written += rows
    written.append(onnx_ir.node("Concat", [row.outputs[0] for row in rows], {"axis": axis}))
    return written[-1].outputs[0]
