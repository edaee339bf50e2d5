"""Simplifying a model: constants are computed, batch normalization is folded, what is unused is removed."""

import math

import numpy as np
import onnx_ir
from onnx_ir.passes import common
from onnxscript import optimizer, rewriter

from zkinfer.compiler.calibration.float_model import static_shape
from zkinfer.compiler.onnx.blame import blame
from zkinfer.compiler.onnx.limits import require_short_range
from zkinfer.compiler.onnx.quiet import quiet
from zkinfer.compiler.onnx.recurrences import drop_unread

MAX_FOLDED_ELEMENTS = 1 << 26
"""Constants larger than this are not computed while the model is read."""

_SLOW_RULES = ("SlicesSplit",)
"""Rules that compare all pairs of nodes: this one writes two slices as one split, which are the same View."""

_ITERATIONS = 8

_MAX_CHOICES = 32
"""The fewest elements between which some version of numpy's `choose` cannot choose."""

_TAKEN_FOR_ZERO = 1e-8
"""The optimizer takes numbers up to this for zero."""

_KEPT = "zkinfer.kept"
"""The domain of nodes that a pass is to leave alone, while it runs."""

_REPEATING = ("Add", "Div", "Mul", "Sub")
"""Operators of two tensors that repeat the elements of one along the axes of the other."""

_WITH_WEIGHTS = ("Conv", "ConvTranspose", "Gemm")
"""The layers into which a batch normalization that follows is folded."""


def simplify(model: onnx_ir.Model) -> None:
    """Fold constants, rewrite, and remove unused nodes, in place, by onnxscript's passes."""
    names = [value.name for value in model.graph.outputs]
    # Constants that overflow here are found, and named, by the check of constants afterwards.
    with blame("the model cannot be simplified"), np.errstate(all="ignore"), quiet("onnxscript", "onnx_ir"):
        _unshare_batch_norm_inputs(model)
        small = [value for value in model.graph.initializers.values() if _is_taken_for_zero(value)]
        for value in small:
            _reshape(value, (1,))
        _optimize(model)
        for value in small:
            _reshape(value, ())
        _eliminate_identities(model)
        common.RemoveUnusedNodesPass()(model)
        # That pass drops trailing inputs that are left out; a Loop has two, and inference crashes where it has one.
        for node in model.graph.all_nodes():
            if node.op_type == "Loop" and len(node.inputs) < 2:
                node.resize_inputs(2)
        common.TopologicalSortPass()(model)
        common.OutputFixPass()(model)
        for value, name in zip(model.graph.outputs, names, strict=True):
            value.name = name
        common.NameFixPass()(model)


def _eliminate_identities(model: onnx_ir.Model) -> None:
    """What onnx_ir's pass does, in place, but for Identities by which a graph within a node gives a value from outside.

    The pass would make that value an output of the inner graph, which then has no node for its output.
    """
    kept = [
        node
        for node in model.graph.all_nodes()
        if node.op_type == "Identity" and node.outputs[0].is_graph_output() and _is_from_outside(node)
    ]
    for node in kept:
        node.domain = _KEPT
    common.IdentityEliminationPass()(model)
    for node in kept:
        node.domain = ""


def _is_from_outside(node: onnx_ir.Node) -> bool:
    source = node.inputs[0]
    producer = None if source is None else source.producer()
    return producer is not None and producer.graph is not node.graph


def _is_taken_for_zero(value: onnx_ir.Value) -> bool:
    """Whether the optimizer would leave an addend out: it takes a number as small as many an epsilon for zero.

    It does so with numbers alone, and not with tensors of one element, which add up to the same.
    """
    tensor = value.const_value
    if tensor is None or tensor.shape.rank() != 0 or not tensor.dtype.is_floating_point():
        return False
    if not 0 < abs(float(tensor.numpy())) <= _TAKEN_FOR_ZERO:
        return False
    others = [x for node, i in value.uses() for j, x in enumerate(node.inputs) if j != i]
    ranked = all(x is not None and x.shape is not None and x.shape.rank() > 0 for x in others)
    return ranked and all(node.op_type in ("Add", "Sub") for node, _ in value.uses())


def _reshape(value: onnx_ir.Value, shape: tuple[int, ...]) -> None:
    """Give a constant another shape, in place."""
    assert value.const_value is not None
    value.const_value = onnx_ir.tensor(value.const_value.numpy().reshape(shape), name=value.name)
    value.shape = onnx_ir.Shape(shape)


def _optimize(model: onnx_ir.Model) -> None:
    """What onnxscript's `optimize_ir` does, in place, without the rules that take time in the square of the nodes."""
    tidying = (
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedFunctionsPass(),  # type: ignore[no-untyped-call]
        common.RemoveUnusedOpsetsPass(),
    )
    rewriting = rewriter.RewritePass([rule for rule in rewriter._DEFAULT_REWRITE_RULES if rule.name not in _SLOW_RULES])
    common.InlinePass()(model)
    for _ in range(_ITERATIONS):
        changed = bool(optimizer.fold_constants(model, onnx_shape_inference=True, should_fold=_folds).modified)
        for step in (rewriting, *tidying):
            changed |= bool(step(model).modified)
        if not changed:
            break
    common.RemoveUnusedNodesPass()(model)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    common.LiftSubgraphInitializersToMainGraphPass()(model)
    common.DeduplicateInitializersPass()(model)
    common.CommonSubexpressionEliminationPass()(model)
    common.OutputFixPass()(model)
    common.NameFixPass()(model)


def _folds(node: onnx_ir.Node) -> bool | None:
    """Whether to compute a node of constants, which is not done where the result is large; None if its size is unknown.

    Quantized weights are not computed, so that their integers are kept; nor what the optimizer's evaluator fails on.
    """
    if node.op_type == "DequantizeLinear" or _overwhelms_reference(node):
        return False
    if node.op_type == "Range":
        _require_short(node)
    sizes = [math.prod(v.shape.numpy()) if v.shape is not None and v.shape.is_static() else None for v in node.outputs]
    if any(size is not None and size > MAX_FOLDED_ELEMENTS for size in sizes):
        return False
    return None if None in sizes else True


def _require_short(node: onnx_ir.Node) -> None:
    """Raises CompileError where a Range, whose ends may have been computed meanwhile, has too many elements."""
    tensors = [None if value is None else value.const_value for value in node.inputs]
    if len(tensors) == 3 and all(tensor is not None and tensor.size == 1 for tensor in tensors):
        start, limit, delta = (float(tensor.numpy().reshape(())) for tensor in tensors if tensor is not None)
        require_short_range(node.name or "", start, limit, delta)


def _overwhelms_reference(node: onnx_ir.Node) -> bool:
    """Whether it is a GatherElements along an axis that numpy's `choose` is too short for; the importer computes it."""
    if node.op_type != "GatherElements" or node.inputs[0] is None or node.inputs[0].shape is None:
        return False
    size = node.inputs[0].shape[node.attributes.get_int("axis", 0)]
    return not isinstance(size, int) or size >= _MAX_CHOICES


def drop_expansions(model: onnx_ir.Model) -> None:
    """Leave out every Expand whose readers would repeat its elements themselves, in place; shapes are known."""
    for node in list(model.graph):
        if node.op_type != "Expand" or node.outputs[0].is_graph_output():
            continue
        source, result = node.inputs[0], node.outputs[0]
        uses = list(result.uses())
        if source is None or not all(_repeats(source, user, index) for user, index in uses):
            continue
        for user, index in uses:
            user.replace_input_with(index, source)
    drop_unread(model)


def _repeats(source: onnx_ir.Value, user: onnx_ir.Node, index: int) -> bool:
    """Whether a node has the same result if its input is this smaller one, which it repeats by numpy's rules."""
    if user.op_type not in _REPEATING or user.domain not in ("", "ai.onnx"):
        return False
    expanded = user.inputs[index]
    others = [static_shape(value) for value in user.inputs if value is not expanded and value is not None]
    return np.broadcast_shapes(static_shape(source), *others) == static_shape(user.outputs[0])


def _unshare_batch_norm_inputs(model: onnx_ir.Model) -> None:
    """Give every layer before a BatchNormalization constants of its own, because shared ones prevent folding."""
    for node in model.graph:
        if node.op_type != "BatchNormalization" or (layer := _layer_before(node)) is None:
            continue
        for index, value in enumerate(layer.inputs):
            if value is None or value.const_value is None or len(value.uses()) == 1:
                continue
            copy = onnx_ir.Value(
                name=f"{value.name}/{layer.outputs[0].name}",
                shape=value.shape,
                type=value.type,
                const_value=value.const_value,
            )
            model.graph.register_initializer(copy)
            layer.replace_input_with(index, copy)


def _layer_before(batch_norm: onnx_ir.Node) -> onnx_ir.Node | None:
    """The layer into whose constant weights a BatchNormalization can be folded; None if there is none."""
    source = batch_norm.inputs[0]
    layer = source.producer() if source is not None else None
    if source is None or layer is None or layer.op_type not in _WITH_WEIGHTS or len(source.uses()) != 1:
        return None
    constants = [value for value in (*layer.inputs[1:], *batch_norm.inputs[1:]) if value is not None]
    return layer if all(value.const_value is not None for value in constants) and not source.is_graph_output() else None


def unfolded_batch_norms(model: onnx_ir.Model) -> list[onnx_ir.Node]:
    """The BatchNormalizations that could be folded into the layer before them, but are not."""
    return [n for n in model.graph if n.op_type == "BatchNormalization" and _layer_before(n) is not None]


def drop_empty(model: onnx_ir.Model) -> None:
    """Make a constant of every computed value without elements, in place, so that no element of it is computed."""
    found = False
    for node in list(model.graph):
        for value in node.outputs:
            sizes = value.shape.numpy() if value.shape is not None and value.shape.is_static() else ()
            if 0 not in sizes or value.dtype is None or not value.uses() or value.is_graph_output():
                continue
            tensor = onnx_ir.tensor(np.zeros(sizes, dtype=value.dtype.numpy()), name=f"{value.name}/empty")
            constant = onnx_ir.Value(
                name=tensor.name, shape=value.shape, type=onnx_ir.TensorType(tensor.dtype), const_value=tensor
            )
            model.graph.register_initializer(constant)
            value.replace_all_uses_with(constant)
            found = True
    if found:
        drop_unread(model)
