"""Replaces operators of a model by their decompositions."""

import onnx_ir

from zkinfer.compiler.onnx import decompositions
from zkinfer.compiler.onnx.decomposition import find_rule
from zkinfer.compiler.onnx.subgraph import Subgraph

__all__ = ["decompose", "decompositions"]


def decompose(model: onnx_ir.Model, public: set[str], *, foreign: bool = False) -> bool:
    """Replace operators by their decompositions, in place; shapes of the new values are not inferred.

    An operator of a form that its rule does not cover, or with an input of unknown shape, is not replaced.

    Args:
        model: one version of the standard operator set, functions inlined.
        public: gets the names of new constants that are not parameters.
        foreign: whether to replace those outside the standard domain alone.

    Returns:
        Whether an operator was replaced.
    """
    replaced = False
    opset = model.opset_imports.get("", 0)
    for node in list(model.graph):
        rule = find_rule(node, model.opset_imports.get(node.domain, 0))
        known = all(value is None or (value.shape is not None and value.dtype is not None) for value in node.inputs)
        sized = node.op_type == "Split" and (len(node.inputs) > 1 or "num_outputs" in node.attributes)
        if rule is None or not known or sized or (foreign and not node.domain):
            continue
        subgraph = Subgraph(node, opset)
        results = rule(subgraph, *node.inputs)
        if results is None or any(subgraph.uses(k) for k in range(len(results), len(node.outputs))):
            continue
        for constant in subgraph.constants:
            model.graph.register_initializer(constant)
        public.update(subgraph.public)
        pairs = [
            (old, new) for k, (old, new) in enumerate(zip(node.outputs, results, strict=False)) if subgraph.uses(k)
        ]
        onnx_ir.convenience.replace_nodes_and_values(
            model.graph, node, [node], subgraph.nodes, [old for old, _ in pairs], [new for _, new in pairs]
        )
        replaced = True
    return replaced
