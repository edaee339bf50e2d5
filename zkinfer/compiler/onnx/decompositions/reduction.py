"""Reductions other than sums, means and maxima of the input itself."""

import math
from collections.abc import Sequence

import numpy as np
from onnx_ir import Value

from zkinfer.compiler.calibration.float_model import numpy_type, static_shape
from zkinfer.compiler.onnx.decomposition import decomposition
from zkinfer.compiler.onnx.subgraph import Subgraph, content_of
from zkinfer.counts import counted

MAX_FACTORS = 64
"""How many factors a product may have: each partial product has a Q-format of its own."""


def norm(s: Subgraph, x: Value, axes: Sequence[int], p: int, *, keepdims: bool) -> Value:
    """The sum of absolute values, or the root of the sum of squares."""
    if p == 1:
        return s.reduce("norm", "ReduceSum", s.op("absolute", "Abs", x), axes, keepdims=keepdims)
    return s.op("norm", "Sqrt", s.reduce("power", "ReduceSum", s.op("squares", "Mul", x, x), axes, keepdims=keepdims))


def _reduced_axes(s: Subgraph, x: Value, axes: Value | None) -> list[int] | None:
    """The axes of a reduction, from its attribute or its input; None if they are computed, or if there are none."""
    if axes is not None:
        content = content_of(axes)
        given = None if content is None else [int(a) for a in content.ravel()]
    else:
        given = list(s.node.attributes["axes"].as_ints()) if "axes" in s.node.attributes else []
    if given is None or (not given and s.integer("noop_with_empty_axes", 0)):
        return None
    return given or list(range(len(static_shape(x))))


def _reduce_norm(s: Subgraph, x: Value, axes: Value | None, p: int) -> list[Value] | None:
    reduced = _reduced_axes(s, x, axes)
    return None if reduced is None else [norm(s, x, reduced, p, keepdims=bool(s.integer("keepdims", 1)))]


@decomposition("ReduceL1", 13)
def reduce_l1(s: Subgraph, x: Value, axes: Value | None = None) -> list[Value] | None:
    return _reduce_norm(s, x, axes, 1)


@decomposition("ReduceL2", 13)
def reduce_l2(s: Subgraph, x: Value, axes: Value | None = None) -> list[Value] | None:
    return _reduce_norm(s, x, axes, 2)


@decomposition("ReduceLogSum", 13)
def reduce_log_sum(s: Subgraph, x: Value, axes: Value | None = None) -> list[Value] | None:
    reduced = _reduced_axes(s, x, axes)
    if reduced is None:
        return None
    keepdims = bool(s.integer("keepdims", 1))
    return [s.op("logarithm", "Log", s.reduce("total", "ReduceSum", x, reduced, keepdims=keepdims))]


@decomposition("ReduceLogSumExp", 13)
def reduce_log_sum_exp(s: Subgraph, x: Value, axes: Value | None = None) -> list[Value] | None:
    """max + log(sum(exp(x - max))), which cannot overflow."""
    reduced = _reduced_axes(s, x, axes)
    if reduced is None:
        return None
    most = s.reduce("largest", "ReduceMax", x, reduced)
    powers = s.op("powers", "Exp", s.op("below", "Sub", x, most))
    total = s.op("logarithm", "Log", s.reduce("total", "ReduceSum", powers, reduced))
    y = s.op("sum", "Add", most, total)
    if s.integer("keepdims", 1):
        return [y]
    rank = len(static_shape(x))
    dropped = {axis % rank for axis in reduced}
    return [s.reshape("result", y, [n for i, n in enumerate(static_shape(x)) if i not in dropped])]


@decomposition(
    "ReduceProd", 13, hint=f"supported are products of up to {counted(MAX_FACTORS, 'element')} along constant axes"
)
def reduce_prod(s: Subgraph, x: Value, axes: Value | None = None) -> list[Value] | None:
    """A product of many factors, in rounds of products of two, each with a format of its own: magnitudes differ."""
    reduced, shape = _reduced_axes(s, x, axes), static_shape(x)
    gone = sorted(axis % len(shape) for axis in reduced or ())
    count = math.prod(shape[i] for i in gone)
    if reduced is None or count > MAX_FACTORS:
        return None
    kept = [i for i in range(len(shape)) if i not in gone]
    rows = s.reshape("rows", s.transpose("moved", x, [*kept, *gone]), [*(shape[i] for i in kept), count])
    factors = [s.slice(f"factor{k}", rows, -1, k, k + 1) for k in range(count)]
    while len(factors) > 1:
        pairs = list(zip(factors[::2], factors[1::2], strict=False))
        products = [s.op(f"of{len(factors)}/{k}", "Mul", *pair) for k, pair in enumerate(pairs)]
        factors = products + factors[2 * len(pairs) :]
    keep = s.integer("keepdims", 1)
    left = [1 if i in gone else n for i, n in enumerate(shape) if keep or i not in gone]
    return [s.reshape("result", factors[0], left)]


@decomposition("CumProd", 26)
def cumulative_product(s: Subgraph, x: Value, axis: Value) -> list[Value] | None:
    """Products of the first elements; each round doubles the number of factors (Hillis and Steele, 1986)."""
    content, shape = content_of(axis), static_shape(x)
    if content is None:
        return None
    at = int(content.item()) % len(shape)
    n, turned = shape[at], bool(s.integer("reverse", 0))
    y = s.slice("turned", x, at, -1, -n - 1, -1) if turned else x
    done = 1
    while done < n:
        product = s.op(
            f"to{done}",
            "Mul",
            s.slice(f"to{done}/later", y, at, done, n),
            s.slice(f"to{done}/earlier", y, at, 0, n - done),
        )
        y, done = s.concat(f"of{2 * done}", [s.slice(f"to{done}/known", y, at, 0, done), product], at), 2 * done
    if s.integer("exclusive", 0):
        one = s.constant("one", np.ones([1 if i == at else m for i, m in enumerate(shape)], dtype=numpy_type(x)))
        y = s.concat("moved", [one, s.slice("but the last", y, at, 0, n - 1)], at) if n > 1 else one
    return [s.slice("result", y, at, -1, -n - 1, -1) if turned else y]
