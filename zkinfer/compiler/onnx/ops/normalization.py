"""Normalization by constant statistics."""

import numpy as np

from zkinfer.circuit.steps import Expand, Reshape
from zkinfer.compiler.lowering.activation import Activation, Constant
from zkinfer.compiler.lowering.arithmetic import multiply_weight
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.lowering.linear import add_weight
from zkinfer.compiler.onnx.registry import operator
from zkinfer.errors import UnsupportedOperatorError


@operator(9, 14, 15)
def BatchNormalization(
    g: Emitter,
    X: Activation,
    scale: Constant,
    B: Constant,
    input_mean: Constant,
    input_var: Constant,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
) -> Activation:
    if training_mode:
        raise UnsupportedOperatorError("training_mode=1 is not supported; export the model in evaluation mode")
    factor = scale.reals / np.sqrt(input_var.reals + epsilon)
    shape = (-1, *(1 for _ in X.shape[2:]))
    scaled = multiply_weight(g, X, scale, factor.reshape(shape))
    offset = B.reals - input_mean.reals * factor
    axes = tuple(n if axis == 1 else 1 for axis, n in enumerate(X.shape))
    return add_weight(g, scaled, B, offset, (Reshape(axes), Expand(X.shape)))
