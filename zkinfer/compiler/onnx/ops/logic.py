"""Comparisons, truth values, and choices between two tensors."""

import numpy as np

from zkinfer.compiler.lowering import arithmetic, comparison, masking
from zkinfer.compiler.lowering.activation import Activation, Constant, MaskedScores, Operand
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.onnx.registry import Handler, operator


def _comparison(relation: comparison.Relation) -> Handler:
    def handler(g: Emitter, A: Operand, B: Operand) -> Activation:
        return comparison.compare(g, A, B, relation)

    return handler


operator(13, name="Less")(_comparison("<"))
operator(12, 16, name="LessOrEqual")(_comparison("<="))
operator(13, name="Greater")(_comparison(">"))
operator(12, 16, name="GreaterOrEqual")(_comparison(">="))
operator(13, 19, name="Equal")(_comparison("=="))


@operator(1)
def Not(g: Emitter, X: Activation) -> Activation:
    return comparison.negated(g, X)


@operator(7)
def And(g: Emitter, A: Operand, B: Operand) -> Activation:
    return arithmetic.multiply(g, A, B)


@operator(7)
def Or(g: Emitter, A: Operand, B: Operand) -> Activation:
    return comparison.either(g, A, B)


@operator(7)
def Xor(g: Emitter, A: Operand, B: Operand) -> Activation:
    return comparison.differ(g, A, B)


@operator(9, 16)
def Where(
    g: Emitter, condition: Operand, X: Operand | MaskedScores, Y: Operand | MaskedScores
) -> Activation | MaskedScores:
    if (masked := masking.chosen(g, condition, X, Y)) is not None:
        return masked
    assert not isinstance(X, MaskedScores)
    assert not isinstance(Y, MaskedScores)
    return comparison.where(g, condition, X, Y)


@operator(9, 13, 20)
def IsNaN(g: Emitter, X: Activation) -> Constant:
    # Calibration refuses data on which the float model is not finite, and integers always are.
    return Constant(g.label, np.zeros(X.shape, dtype=np.bool_))


@operator(10, 20)
def IsInf(g: Emitter, X: Activation, *, detect_negative: int = 1, detect_positive: int = 1) -> Constant:
    return Constant(g.label, np.zeros(X.shape, dtype=np.bool_))
