"""What operators do with a tensor whose parts have powers of two of their own, without giving it a common format.

A rule changes the operands of an operator so that it computes with the tensor times its powers, and says which powers
its result then has. Weights and constants take the powers up, exactly.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import onnx_ir

from zkinfer.compiler.lowering import arithmetic
from zkinfer.compiler.lowering.activation import Activation, Constant, Scaled
from zkinfer.compiler.lowering.affine import IDENTITY
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.lowering.scaled import common, compact, powers
from zkinfer.compiler.onnx.constants import computed
from zkinfer.compiler.onnx.registry import Intermediate
from zkinfer.typing import FloatArray, IntArray

Operands = Sequence[Intermediate | Scaled | None]
Plain = Sequence[Intermediate | None]
Rescaled = tuple[Plain, tuple[IntArray, ...] | None]
"""An operator's new operands, and the exponents of each of its results; None where they have none."""

Rule = Callable[[onnx_ir.Node, int, Operands], Rescaled | None]


def _spread(x: Scaled) -> IntArray:
    """The exponent of every element."""
    return np.broadcast_to(x.exponents, x.shape)


def _moved(node: onnx_ir.Node, opset: int, operands: Operands) -> Rescaled | None:
    """Operators that only move elements: the exponents move alike."""
    if any(isinstance(x, Activation) for x in operands):
        return None
    places = [Constant(f"{i}", np.array(_spread(x))) if isinstance(x, Scaled) else x for i, x in enumerate(operands)]
    results = computed(node, opset, [x for x in places if isinstance(x, Constant)])
    plain = [x.activation if isinstance(x, Scaled) else x for x in operands]
    return (plain, tuple(compact(np.asarray(c.array, dtype=np.int64)) for c in results))


def _same(node: onnx_ir.Node, opset: int, operands: Operands) -> Rescaled | None:
    """Operators that commute with a multiplication by a positive number."""
    x = operands[0]
    assert isinstance(x, Scaled)
    return ([x.activation, *_plain(operands[1:])], (x.exponents,))


def _plain(operands: Operands) -> list[Intermediate | None]:
    return [x for x in operands if not isinstance(x, Scaled)]


def _concat(node: onnx_ir.Node, opset: int, operands: Operands) -> Rescaled | None:
    """Tensors side by side, each with the powers that bring it to the coarsest of their formats."""
    values = [x.activation if isinstance(x, Scaled) else x for x in operands]
    if not all(isinstance(x, Activation) and x.pending == IDENTITY and not x.integral for x in values):
        return None
    activations = [x for x in values if isinstance(x, Activation)]
    least = min(a.value.frac_bits for a in activations)
    if all(x is a and a.value.frac_bits == least for x, a in zip(operands, activations, strict=True)):
        return None
    parts: list[Scaled] = []
    for x, a in zip(operands, activations, strict=True):
        more = a.value.frac_bits - least
        own = x.exponents if isinstance(x, Scaled) else np.zeros([1] * len(a.shape), dtype=np.int64)
        parts.append(Scaled(replace(a, pending=IDENTITY._replace(scale=Fraction(2) ** more)), own + more, a.observed))
    return _moved(node, opset, parts)


def _multiplied(node: onnx_ir.Node, opset: int, operands: Operands) -> Rescaled | None:
    """A product with a constant, which takes the powers up; a single number leaves them."""
    x = next(x for x in operands if isinstance(x, Scaled))
    if sum(isinstance(other, Constant) for other in operands) != 1:
        return None
    divides = node.op_type == "Div"
    if divides and not isinstance(operands[0], Scaled):
        return None
    factors: list[Intermediate | None] = []
    uniform = False
    for other in operands:
        if not isinstance(other, Constant):
            factors.append(x.activation)
            continue
        uniform = other.uniform is not None
        factors.append(other if uniform else _times(other, powers(x.exponents if divides else -x.exponents)))
    return (factors, (x.exponents,) if uniform else None)


def _times(constant: Constant, factors: FloatArray) -> Constant:
    return Constant(constant.name, constant.reals * factors)


def _compared(node: onnx_ir.Node, opset: int, operands: Operands) -> Rescaled | None:
    """A comparison with constants: the thresholds take the powers up."""
    x, thresholds = operands
    if not isinstance(x, Scaled) or not isinstance(thresholds, Constant):
        return None
    return ([x.activation, _times(thresholds, powers(x.exponents))], None)


def _contracted(node: onnx_ir.Node, opset: int, operands: Operands) -> Rescaled | None:
    """A product with a weight, whose rows take the powers up; a choice of elements takes them along."""
    x, weight, *others = operands
    if not isinstance(x, Scaled) or not isinstance(weight, Constant) or x.exponents.size != x.exponents.shape[-1]:
        return None
    exponents = x.exponents.ravel()
    if node.op_type == "MatMul" and weight.is_selection and exponents.size == weight.shape[0]:
        chosen = exponents[weight.array.argmax(axis=0)]
        return ([x.activation, weight], (chosen.reshape(*(1 for _ in x.shape[1:]), -1),))
    transposed = [name for name in ("transA", "transB") if name in node.attributes and node.attributes[name].as_int()]
    if "transA" in transposed or len(weight.shape) < 2:
        return None
    rows = exponents if "transB" in transposed else exponents[:, None]
    return ([x.activation, _times(weight, powers(-rows)), *_plain(others)], None)


def _convolved(node: onnx_ir.Node, opset: int, operands: Operands) -> Rescaled | None:
    """A convolution, whose filters take the powers of the channels up."""
    x, weight, *others = operands
    grouped = "group" in node.attributes and node.attributes["group"].as_int() != 1
    if not isinstance(x, Scaled) or not isinstance(weight, Constant) or x.exponents.size != x.exponents.shape[1]:
        return None
    if grouped:
        return None
    filters = powers(-x.exponents.reshape(1, -1, *(1 for _ in x.shape[2:])))
    return ([x.activation, _times(weight, filters), *_plain(others)], None)


def _normalized(node: onnx_ir.Node, opset: int, operands: Operands) -> Rescaled | None:
    """A BatchNormalization, whose statistics take the powers up; its variance stays, because epsilon is added to it."""
    x, scale, bias, mean, var = operands
    if not isinstance(x, Scaled) or x.exponents.size != x.exponents.shape[1]:
        return None
    if not (isinstance(scale, Constant) and isinstance(mean, Constant)):
        return None
    exponents = x.exponents.ravel()
    statistics = _times(scale, powers(-exponents)), *_plain([bias]), _times(mean, powers(exponents)), *_plain([var])
    return [x.activation, *statistics], None


_MOVES = ("Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split", "Gather", "Expand", "Tile")

_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_MOVES, _moved),
    **dict.fromkeys(("Cast", "Identity", "Dropout", "Neg", "Relu", "LeakyRelu"), _same),
    "Concat": _concat,
    "Mul": _multiplied,
    "Div": _multiplied,
    "Less": _compared,
    "LessOrEqual": _compared,
    "Greater": _compared,
    "GreaterOrEqual": _compared,
    "MatMul": _contracted,
    "Gemm": _contracted,
    "Conv": _convolved,
    "BatchNormalization": _normalized,
}


def added(g: Emitter, node: onnx_ir.Node, operands: Operands) -> Scaled | None:
    """A sum or a difference of a scaled tensor and a constant; None of another node.

    The constant takes the powers up, and is not a mask however low it becomes.
    """
    if node.op_type not in ("Add", "Sub") or len(operands) != 2:
        return None
    scaled = [x for x in operands if isinstance(x, Scaled)]
    constants = [x for x in operands if isinstance(x, Constant)]
    if len(scaled) != 1 or len(constants) != 1:
        return None
    x, constant = scaled[0], _times(constants[0], powers(scaled[0].exponents))
    first, second = (x.activation, constant) if operands[0] is x else (constant, x.activation)
    return replace(x, activation=arithmetic.add(g, first, second, sign=-1 if node.op_type == "Sub" else 1))


def _is_given(g: Emitter, x: Intermediate | Scaled | None) -> bool:
    return isinstance(x, Activation) and g.builder.is_given(x.value)


def rescaled(g: Emitter, node: onnx_ir.Node, opset: int, operands: Operands) -> Rescaled:
    """The operands of a node without scales, and the exponents that its results have instead.

    Args:
        g: emits tensors in a common format, for nodes that need one.
        node: of the model.
        opset: of its domain.
        operands: its inputs.
    """
    rule = _RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    count = sum(isinstance(x, Scaled) for x in operands)
    # Sums that a model computed are rounded before they are put side by side, and then have formats much alike.
    side_by_side = rule is _concat and all(isinstance(x, Scaled) or _is_given(g, x) for x in operands)
    fits = (count == 1 or side_by_side) and not (node.op_type == "Cast" and g.integer)
    found = rule(node, opset, operands) if rule is not None and fits else None
    return found or ([common(g, x) if isinstance(x, Scaled) else x for x in operands], None)
