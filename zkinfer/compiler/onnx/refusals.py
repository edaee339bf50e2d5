"""What of a model is not supported, all of it at once and before anything is calibrated."""

import re
from collections.abc import Iterator, Sequence

import onnx_ir

from zkinfer.compiler.onnx import ops, registry
from zkinfer.compiler.onnx.decomposition import decompositions, shown
from zkinfer.compiler.onnx.loops import refusal
from zkinfer.compiler.onnx.recurrences import delayed
from zkinfer.errors import UnsupportedOperatorError, ZkinferError

__all__ = ["ops", "refusals", "require_none"]

MAX_SHOWN = 20
"""Refusals that a message lists."""

MAX_NAMES = 20
"""Names of nodes that are listed behind a refusal that they share."""

_OF_NODE = re.compile(r"node ('[^']*'|\"[^\"]*\") (.*)", re.DOTALL)
"""How refusals begin: the name of the node, which is all that differs where a model repeats what is refused."""


def refusals(model: onnx_ir.Model) -> Iterator[tuple[onnx_ir.Node, ZkinferError]]:
    """Every node of a normalized model that has no handler, or one that does not take such a node, with an error."""
    constant: set[onnx_ir.Value] = set(model.graph.initializers.values())
    for node in model.graph:
        if delayed(node):
            continue
        opset = model.opset_imports.get(node.domain, 0)
        try:
            _require_straight(node, opset)
            operator = registry.find_for(node, opset)
            if all(value is None or value in constant for value in node.inputs):
                constant.update(node.outputs)
                continue
        except UnsupportedOperatorError as error:
            yield node, error
            continue
        try:
            operator.require_fitting(node, constant)
        except UnsupportedOperatorError as error:
            yield node, UnsupportedOperatorError(f"{registry.described(node, opset)}: {error}")


def _require_straight(node: onnx_ir.Node, opset: int) -> None:
    """Check that a node is not control flow, and of the standard domain."""
    if any(a.type in (onnx_ir.AttributeType.GRAPH, onnx_ir.AttributeType.GRAPHS) for a in node.attributes.values()):
        reason = refusal(node) or (
            "a circuit is straight-line, and which branch is taken depends on data. Compute both branches, and choose "
            "between their results with Where"
        )
        raise UnsupportedOperatorError(f"{registry.described(node, opset)}: {reason}")
    if node.domain not in ("", "ai.onnx"):
        known = sorted(d.name for d in decompositions() if d.domain == node.domain)
        raise UnsupportedOperatorError(
            f"node {node.name!r} is {node.domain}.{node.op_type}, which is not supported"
            f" {registry.hints().get(shown(node.domain, node.op_type), '')}".rstrip()
            + f"; operators of that domain that are supported: {', '.join(known) or 'none'}"
        )


def require_none(errors: Sequence[ZkinferError]) -> None:
    """Raise what was refused as one error, of the class of the first, that lists all of it: once what nodes share."""
    if not errors:
        return
    if len(errors) == 1:
        raise errors[0]
    groups: dict[str, list[str]] = {}
    for error in map(str, errors):
        found = _OF_NODE.fullmatch(error)
        groups.setdefault(found[2] if found else error, []).append(found[1] if found else "")
    lines = [f"* {_shared(reason, names)}" for reason, names in list(groups.items())[:MAX_SHOWN]]
    more = sum(map(len, list(groups.values())[MAX_SHOWN:]))
    lines += [f"* and {more} more"] if more else []
    raise type(errors[0])(f"{len(errors)} nodes of the model are refused:\n" + "\n".join(lines)) from errors[0]


def _shared(reason: str, names: Sequence[str]) -> str:
    """A refusal of all nodes of these names."""
    first = f"node {names[0]} {reason}" if names[0] else reason
    if len(names) == 1:
        return first
    more = f", and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return f"{first} ({len(names)} such nodes: {', '.join(names[:MAX_NAMES])}{more})"
