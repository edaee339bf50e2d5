"""Normalization by statistics of the input.

A variance is the mean of squared differences, as in the standard's text, and not a difference of two means, which
would cancel.
"""

from collections.abc import Sequence

import numpy as np
from onnx_ir import Value

from zkinfer.compiler.calibration.float_model import numpy_type, static_shape
from zkinfer.compiler.onnx.decomposition import decomposition
from zkinfer.compiler.onnx.decompositions.reduction import norm
from zkinfer.compiler.onnx.subgraph import Subgraph, content_of


def _centred(s: Subgraph, x: Value, mean: Value) -> Value:
    return s.op("centred", "Sub", x, mean)


def _root(s: Subgraph, x: Value, axes: Sequence[int], like: Value) -> Value:
    """The root of the mean square plus epsilon."""
    power = s.reduce("power", "ReduceMean", s.op("squares", "Mul", x, x), axes)
    return s.op("root", "Sqrt", s.op("shifted", "Add", power, s.number("epsilon", s.real("epsilon", 1e-5), like)))


def _scaled(s: Subgraph, x: Value, axes: Sequence[int], like: Value) -> Value:
    """x divided by the root of its mean square."""
    return s.op("scaled", "Div", x, _root(s, x, axes, like))


def _affine(s: Subgraph, x: Value, scale: Value, bias: Value | None) -> Value:
    """x * scale + bias."""
    product = s.op("product", "Mul", x, scale)
    return product if bias is None else s.op("sum", "Add", product, bias)


def _trailing_axes(s: Subgraph, x: Value) -> list[int]:
    rank = len(static_shape(x))
    return list(range(s.integer("axis", -1) % rank, rank))


@decomposition("LayerNormalization", 17)
def layer_normalization(s: Subgraph, x: Value, scale: Value, bias: Value | None = None) -> list[Value]:
    axes = _trailing_axes(s, x)
    mean = s.reduce("mean", "ReduceMean", x, axes)
    centred = _centred(s, x, mean)
    root = _root(s, centred, axes, x)
    y = _affine(s, s.op("scaled", "Div", centred, root), scale, bias)
    return [y, mean, s.op("inverse", "Reciprocal", root)] if s.uses(1) or s.uses(2) else [y]


@decomposition("RMSNormalization", 23)
def rms_normalization(s: Subgraph, x: Value, scale: Value) -> list[Value]:
    return [_affine(s, _scaled(s, x, _trailing_axes(s, x), x), scale, None)]


def _per_channel(s: Subgraph, x: Value, scale: Value, bias: Value, shape: Sequence[int]) -> Value:
    sizes = [shape[1], *(1 for _ in shape[2:])]
    return _affine(s, x, s.reshape("scale", scale, sizes), s.reshape("bias", bias, sizes))


@decomposition("GroupNormalization", 21)
def group_normalization(s: Subgraph, x: Value, scale: Value, bias: Value) -> list[Value]:
    shape = static_shape(x)
    grouped = s.reshape("grouped", x, [shape[0], s.integer("num_groups", 1), -1])
    centred = _centred(s, grouped, s.reduce("mean", "ReduceMean", grouped, [2]))
    flat = _scaled(s, centred, [2], x)
    return [_per_channel(s, s.reshape("ungrouped", flat, shape), scale, bias, shape)]


@decomposition("GroupNormalization", 18, hint="supported are constant scales")
def group_normalization_18(s: Subgraph, x: Value, scale: Value, bias: Value) -> list[Value] | None:
    """As `group_normalization`, with one scale and one bias for each group."""
    scales, biases = content_of(scale), content_of(bias)
    if scales is None or biases is None:
        return None
    each = static_shape(x)[1] // s.integer("num_groups", 1)
    channels = s.constant("scales", np.repeat(scales, each)), s.constant("biases", np.repeat(biases, each))
    return group_normalization(s, x, *channels)


@decomposition("InstanceNormalization", 6)
def instance_normalization(s: Subgraph, x: Value, scale: Value, bias: Value) -> list[Value]:
    shape = static_shape(x)
    axes = list(range(2, len(shape)))
    centred = _centred(s, x, s.reduce("mean", "ReduceMean", x, axes))
    return [_per_channel(s, _scaled(s, centred, axes, x), scale, bias, shape)]


@decomposition("MeanVarianceNormalization", 13)
def mean_variance_normalization(s: Subgraph, x: Value) -> list[Value]:
    axes = list(s.node.attributes["axes"].as_ints()) if "axes" in s.node.attributes else [0, 2, 3]
    centred = _centred(s, x, s.reduce("mean", "ReduceMean", x, axes))
    power = s.reduce("power", "ReduceMean", s.op("squares", "Mul", centred, centred), axes)
    return [s.op("scaled", "Div", centred, s.op("root", "Sqrt", power))]


@decomposition("LpNormalization", 1)
def lp_normalization(s: Subgraph, x: Value) -> list[Value]:
    """x over its norm; a row of zeros stays one."""
    length = norm(s, x, [s.integer("axis", -1)], s.integer("p", 2), keepdims=True)
    least = s.number("least", float(np.finfo(numpy_type(x)).tiny), x)
    return [s.op("scaled", "Div", x, s.op("positive", "Max", length, least))]


@decomposition("LRN", 13)
def local_response_normalization(s: Subgraph, x: Value) -> list[Value]:
    """x / (bias + alpha / size * (sum of the squares of neighbouring channels)) ** beta."""
    shape, size = static_shape(x), s.integer("size", 1)
    ahead = np.arange(shape[1])[None, :] - np.arange(shape[1])[:, None]
    near = ((ahead >= -((size - 1) // 2)) & (ahead <= size // 2)).astype(numpy_type(x))
    squares = s.reshape("squares/flat", s.op("squares", "Mul", x, x), (shape[0], shape[1], -1))
    power = s.op("power", "MatMul", s.constant("neighbours", near), squares)
    share = s.op("share", "Mul", power, s.number("alpha", s.real("alpha", 1e-4) / size, x))
    base = s.op("base", "Add", share, s.number("bias", s.real("bias", 1.0), x))
    factor = s.op("factor", "Pow", base, s.number("beta", -s.real("beta", 0.75), x))
    return [s.op("scaled", "Mul", x, s.reshape("factor/shaped", factor, shape))]
