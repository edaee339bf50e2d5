"""What a loop need not do at every step: it is taken out of the body, to where it is done once.

That is what is the same at every step, what follows from constants and the number of the step alone, and the choice of
what a step reads at such places.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx_ir
from onnx_ir import Graph, Node, Value

from zkinfer.compiler.onnx.repetition import KnownPart, Read, Repetition, content, inner_graphs, known_part, origin
from zkinfer.compiler.onnx.simplify import MAX_FOLDED_ELEMENTS
from zkinfer.typing import Array


def take_out(graph: Graph, found: Repetition) -> bool:
    """Take out of a body what is the same at every step, and what follows from constants; whether there was any."""
    own, changed = _own(found), False
    for state in list(found.states):
        if origin(state.after) is state.before or state.after is state.initial:
            _pass_on(graph, found, state.initial, state.final)
            found.states.remove(state)
            found.replace(state.before, state.initial)
            changed = True
    for node in list(found.body):
        given = [value for value in node.inputs if value is not None]
        if given and own.isdisjoint(given) and not inner_graphs(node) and not _is_passed_on(found, node):
            found.body.remove(node)
            graph.insert_before(found.node, node)
            own.difference_update(node.outputs)
            changed = True
    changed |= _take_out_known(graph, found, known_part(found))
    return _read_at_known_places(graph, found) or changed


def _own(found: Repetition) -> set[Value]:
    """The values of the body that are not from outside."""
    return {*found.body.inputs, *(value for node in found.body for value in node.outputs)}


def _is_passed_on(found: Repetition, node: Node) -> bool:
    """Whether a node does nothing but give the body a result of its own."""
    return node.op_type == "Identity" and any(output is node.outputs[0] for output in found.body.outputs)


def _read_at_known_places(graph: Graph, found: Repetition) -> bool:
    """Make sequences of what steps read of a tensor at places that follow from constants; whether there were any."""
    places = {read.element: read for read in found.reads if read.source.const_value is not None}
    own, changed = _own(found) | set(places), False
    for node in list(found.body):
        data, index = (*node.inputs, None, None)[:2]
        if node.op_type == "Slice":
            made = _places_of_slice(found, node, places)
        elif node.op_type == "Gather" and index in places and index is not None:
            axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 0
            made = axis, np.stack([element_of(found, places[index], step) for step in range(found.steps)])
        else:
            made = None
        if made is None or data is None or data in own or data.shape is None:
            continue
        axis, where = made[0] % len(data.shape), found.constant(f"{node.outputs[0].name}/places", made[1])
        gathered = onnx_ir.node("Gather", [data, where], {"axis": axis}, name=f"{node.outputs[0].name}/sequence")
        gathered.outputs[0].name = gathered.name
        gathered.outputs[0].type = data.type
        sizes = [*data.shape[:axis], *made[1].shape, *data.shape[axis + 1 :]]
        gathered.outputs[0].shape = onnx_ir.Shape(sizes)
        graph.insert_before(found.node, gathered)
        element = Value(name=f"{node.outputs[0].name}/element", type=gathered.outputs[0].type)
        found.reads.append(Read(gathered.outputs[0], element, axis, backward=False))
        found.replace(node.outputs[0], element)
        found.body.remove(node)
        changed = True
    return changed


def _places_of_slice(
    found: Repetition, node: Node, places: Mapping[Value, Read]
) -> tuple[int, npt.NDArray[np.int64]] | None:
    """The axis and the places that each step slices, if they follow from constants and are as many at every step."""
    data, *given = node.inputs
    if data is None or data.shape is None or not any(value in places for value in given if value is not None):
        return None
    if any(value is not None and value not in places and value.const_value is None for value in given):
        return None
    slices = list[npt.NDArray[np.int64]]()
    axis = 0
    for step in range(found.steps):
        numbers = [
            None if x is None else element_of(found, places[x], step) if x in places else content(x) for x in given
        ]
        start, end, axes, stride = (None if x is None else x.ravel() for x in (*numbers, None, None)[:4])
        if start is None or end is None or start.size != 1:
            return None
        axis = 0 if axes is None else int(axes[0]) % len(data.shape)
        size = data.shape[axis]
        if not isinstance(size, int):
            return None
        if size * found.steps > MAX_FOLDED_ELEMENTS:
            return None
        slices.append(np.arange(size)[int(start[0]) : int(end[0]) : 1 if stride is None else int(stride[0])])
    return (axis, np.stack(slices)) if len({len(x) for x in slices}) == 1 and len(slices[0]) else None


def _take_out_known(graph: Graph, found: Repetition, part: KnownPart) -> bool:
    nodes = [node for node in part.nodes if not _is_passed_on(found, node)]
    outputs = [s.after for s in found.states if s not in part.states] + [c.element for c in found.collects]
    made = [state.before for state in part.states] + [value for node in nodes for value in node.outputs]
    wanted = [
        value
        for value in made
        if any(user not in nodes for user, _ in value.uses()) or any(value is output for output in outputs)
    ]
    if not made:
        return False
    elements = (_elements(found, step) for step in range(found.steps))
    arrays: dict[Value, list[Array]] = {value: [] for value in wanted}
    last: Mapping[Value, Array] = {}
    room = MAX_FOLDED_ELEMENTS
    for last in part.steps(wanted, elements):
        for value, seen in arrays.items():
            seen.append(last[value])
            room -= last[value].size
        if room < 0 or any(seen[0].shape != seen[-1].shape for seen in arrays.values()):
            return False
    for place, (value, seen) in enumerate(arrays.items()):
        if all(np.array_equal(array, seen[0]) for array in seen):
            found.replace(value, found.constant(f"known{place}", seen[0]))
            continue
        element = Value(name=f"{value.name}/element", type=value.type, shape=onnx_ir.Shape(seen[0].shape))
        element.type = onnx_ir.TensorType(onnx_ir.DataType.from_numpy(seen[0].dtype))
        found.reads.append(Read(found.constant(f"known{place}", np.stack(seen)), element, 0, backward=False))
        found.replace(value, element)
    for place, state in enumerate(part.states):
        _pass_on(graph, found, found.constant(f"last{place}", last[state.after]), state.final)
        found.states.remove(state)
    found.body.remove(nodes)
    return True


def _elements(found: Repetition, step: int) -> dict[Value, Array]:
    """What a step reads of sequences of constants."""
    return {read.element: element_of(found, read, step) for read in found.reads if read.source.const_value is not None}


def element_of(found: Repetition, read: Read, step: int) -> Array:
    """The element of a sequence of constants that a step reads."""
    assert read.source.const_value is not None
    return np.asarray(read.source.const_value.numpy().take(place_of(found, step, read.backward), axis=read.axis))


def place_of(found: Repetition, step: int, backward: bool) -> int:
    return found.steps - 1 - step if backward else step


def _pass_on(graph: Graph, found: Repetition, value: Value, old: Value) -> None:
    """Let what reads a result of the loop read a value from before it."""
    node = onnx_ir.node("Identity", [value], outputs=[Value(name=old.name, type=old.type)])
    graph.insert_before(found.node, node)
    old.replace_all_uses_with(node.outputs[0], replace_graph_outputs=True)
    old.name = f"{old.name}/loop"
