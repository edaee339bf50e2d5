"""Layers as the steps that the standard defines them by.

What happens within such a layer depends on the input, so every step has to be calibrated, and gets a Q-format, of its
own. A variance is the mean of squared differences, as in the standard's text, and not a difference of two means, which
would cancel.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir
from onnx_ir import Value

from zkinfer.compiler.calibration.reference import is_float
from zkinfer.compiler.onnx import attention, recurrence, transforms, trees
from zkinfer.compiler.onnx.ops.linear import explicit_subscripts
from zkinfer.compiler.onnx.subgraph import Subgraph, content_of, dtype_of, shape_of


def _centred(s: Subgraph, x: Value, mean: Value) -> Value:
    return s.op("centred", "Sub", x, mean)


def _root(s: Subgraph, x: Value, axes: Sequence[int], like: Value) -> Value:
    """The root of the mean square, with epsilon under it."""
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
    rank = len(shape_of(x))
    return list(range(s.integer("axis", -1) % rank, rank))


def _layer_normalization(s: Subgraph, x: Value, scale: Value, bias: Value | None = None) -> list[Value]:
    axes = _trailing_axes(s, x)
    mean = s.reduce("mean", "ReduceMean", x, axes)
    centred = _centred(s, x, mean)
    root = _root(s, centred, axes, x)
    y = _affine(s, s.op("scaled", "Div", centred, root), scale, bias)
    return [y, mean, s.op("inverse", "Reciprocal", root)] if s.uses(1) or s.uses(2) else [y]


def _rms_normalization(s: Subgraph, x: Value, scale: Value) -> list[Value]:
    return [_affine(s, _scaled(s, x, _trailing_axes(s, x), x), scale, None)]


def _per_channel(s: Subgraph, x: Value, scale: Value, bias: Value, shape: Sequence[int]) -> Value:
    sizes = [shape[1], *(1 for _ in shape[2:])]
    return _affine(s, x, s.reshape("scale", scale, sizes), s.reshape("bias", bias, sizes))


def _group_normalization(s: Subgraph, x: Value, scale: Value, bias: Value) -> list[Value]:
    shape = shape_of(x)
    grouped = s.reshape("grouped", x, [shape[0], s.integer("num_groups", 1), -1])
    centred = _centred(s, grouped, s.reduce("mean", "ReduceMean", grouped, [2]))
    flat = _scaled(s, centred, [2], x)
    return [_per_channel(s, s.reshape("ungrouped", flat, shape), scale, bias, shape)]


def _group_normalization_18(s: Subgraph, x: Value, scale: Value, bias: Value) -> list[Value] | None:
    """With one scale and one bias a group."""
    scales, biases = content_of(scale), content_of(bias)
    if scales is None or biases is None:
        return None
    each = shape_of(x)[1] // s.integer("num_groups", 1)
    channels = s.constant("scales", np.repeat(scales, each)), s.constant("biases", np.repeat(biases, each))
    return _group_normalization(s, x, *channels)


def _instance_normalization(s: Subgraph, x: Value, scale: Value, bias: Value) -> list[Value]:
    shape = shape_of(x)
    axes = list(range(2, len(shape)))
    centred = _centred(s, x, s.reduce("mean", "ReduceMean", x, axes))
    return [_per_channel(s, _scaled(s, centred, axes, x), scale, bias, shape)]


def _mean_variance_normalization(s: Subgraph, x: Value) -> list[Value]:
    axes = list(s.node.attributes["axes"].as_ints()) if "axes" in s.node.attributes else [0, 2, 3]
    centred = _centred(s, x, s.reduce("mean", "ReduceMean", x, axes))
    power = s.reduce("power", "ReduceMean", s.op("squares", "Mul", centred, centred), axes)
    return [s.op("scaled", "Div", centred, s.op("root", "Sqrt", power))]


def _norm(s: Subgraph, x: Value, axes: Sequence[int], p: int, *, keepdims: bool) -> Value:
    """The sum of absolute values, or the root of the sum of squares."""
    if p == 1:
        return s.reduce("norm", "ReduceSum", s.op("absolute", "Abs", x), axes, keepdims=keepdims)
    return s.op("norm", "Sqrt", s.reduce("power", "ReduceSum", s.op("squares", "Mul", x, x), axes, keepdims=keepdims))


def _lp_normalization(s: Subgraph, x: Value) -> list[Value]:
    return [s.op("scaled", "Div", x, _norm(s, x, [s.integer("axis", -1)], s.integer("p", 2), keepdims=True))]


def _reduced_axes(s: Subgraph, x: Value, axes: Value | None) -> list[int] | None:
    """The axes of a reduction, from its attribute or its input; None where they are computed, or there are none."""
    if axes is not None:
        content = content_of(axes)
        given = None if content is None else [int(a) for a in content.ravel()]
    else:
        given = list(s.node.attributes["axes"].as_ints()) if "axes" in s.node.attributes else []
    if given is None or (not given and s.integer("noop_with_empty_axes", 0)):
        return None
    return given or list(range(len(shape_of(x))))


def _reduce_norm(s: Subgraph, x: Value, axes: Value | None, p: int) -> list[Value] | None:
    reduced = _reduced_axes(s, x, axes)
    return None if reduced is None else [_norm(s, x, reduced, p, keepdims=bool(s.integer("keepdims", 1)))]


def _reduce_l1(s: Subgraph, x: Value, axes: Value | None = None) -> list[Value] | None:
    return _reduce_norm(s, x, axes, 1)


def _reduce_l2(s: Subgraph, x: Value, axes: Value | None = None) -> list[Value] | None:
    return _reduce_norm(s, x, axes, 2)


def _reduce_log_sum(s: Subgraph, x: Value, axes: Value | None = None) -> list[Value] | None:
    reduced = _reduced_axes(s, x, axes)
    if reduced is None:
        return None
    keepdims = bool(s.integer("keepdims", 1))
    return [s.op("logarithm", "Log", s.reduce("total", "ReduceSum", x, reduced, keepdims=keepdims))]


def _reduce_log_sum_exp(s: Subgraph, x: Value, axes: Value | None = None) -> list[Value] | None:
    """max + log(sum(exp(x - max))), which does not overflow."""
    reduced = _reduced_axes(s, x, axes)
    if reduced is None:
        return None
    most = s.reduce("largest", "ReduceMax", x, reduced)
    powers = s.op("powers", "Exp", s.op("below", "Sub", x, most))
    total = s.op("logarithm", "Log", s.reduce("total", "ReduceSum", powers, reduced))
    y = s.op("sum", "Add", most, total)
    if s.integer("keepdims", 1):
        return [y]
    rank = len(shape_of(x))
    dropped = {axis % rank for axis in reduced}
    return [s.reshape("result", y, [n for i, n in enumerate(shape_of(x)) if i not in dropped])]


def _equal_split(s: Subgraph, x: Value) -> list[Value]:
    """A Split without sizes: into as many equal parts as it has outputs."""
    axis = s.integer("axis", 0)
    each = shape_of(x)[axis] // len(s.node.outputs)
    return [s.slice(f"part{k}", x, axis, k * each, (k + 1) * each) for k in range(len(s.node.outputs))]


MAX_FACTORS = 64
"""How many factors of a product have a Q-format each."""


def _reduce_prod(s: Subgraph, x: Value, axes: Value | None = None) -> list[Value] | None:
    """A product of many, in rounds of products of two: each in a format of its own, as their sizes differ much."""
    reduced, shape = _reduced_axes(s, x, axes), shape_of(x)
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


def _cumulative_product(s: Subgraph, x: Value, axis: Value) -> list[Value] | None:
    """Products of the first elements, in rounds that double how many they are of (Hillis and Steele, 1986)."""
    content, shape = content_of(axis), shape_of(x)
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
        one = s.constant("one", np.ones([1 if i == at else m for i, m in enumerate(shape)], dtype=dtype_of(x)))
        y = s.concat("moved", [one, s.slice("but the last", y, at, 0, n - 1)], at) if n > 1 else one
    return [s.slice("result", y, at, -1, -n - 1, -1) if turned else y]


def _local_response_normalization(s: Subgraph, x: Value) -> list[Value]:
    """x / (bias + alpha / size * (sum of the squares of neighbouring channels)) ** beta."""
    shape, size = shape_of(x), s.integer("size", 1)
    ahead = np.arange(shape[1])[None, :] - np.arange(shape[1])[:, None]
    near = ((ahead >= -((size - 1) // 2)) & (ahead <= size // 2)).astype(dtype_of(x))
    squares = s.reshape("squares/flat", s.op("squares", "Mul", x, x), (shape[0], shape[1], -1))
    power = s.op("power", "MatMul", s.constant("neighbours", near), squares)
    share = s.op("share", "Mul", power, s.number("alpha", s.real("alpha", 1e-4) / size, x))
    base = s.op("base", "Add", share, s.number("bias", s.real("bias", 1.0), x))
    factor = s.op("factor", "Pow", base, s.number("beta", -s.real("beta", 0.75), x))
    return [s.op("scaled", "Mul", x, s.reshape("factor/shaped", factor, shape))]


def _lp_pool(s: Subgraph, x: Value) -> list[Value] | None:
    """Sums of absolute values over windows, or roots of sums of squares; None for other powers."""
    a, p, channels = s.node.attributes, s.integer("p", 2), shape_of(x)[1]
    if s.integer("ceil_mode", 0) or p not in (1, 2):
        return None
    powers = s.op("absolute", "Abs", x) if p == 1 else s.op("squares", "Mul", x, x)
    ones = s.constant("ones", np.ones((channels, 1, *a["kernel_shape"].as_ints()), dtype=dtype_of(x)))
    attributes = {name: a[name].value for name in ("auto_pad", "dilations", "pads", "strides") if name in a}
    sums = s.op("sums", "Conv", powers, ones, group=channels, **attributes)
    return [sums if p == 1 else s.op("root", "Sqrt", sums)]


def _column_to_image(s: Subgraph, x: Value, image: Value, block: Value) -> list[Value] | None:
    """A Col2Im: a transposed convolution in which each element of a block has a kernel of its own."""
    sizes, kernel = content_of(image), content_of(block)
    if sizes is None or kernel is None:
        return None
    batch, rows, _ = shape_of(x)
    size, rank = math.prod(kernel.tolist()), len(kernel)
    channels = rows // size
    listed = {"dilations": [1] * rank, "pads": [0] * (2 * rank), "strides": [1] * rank}
    given = {
        name: list(s.node.attributes[name].as_ints()) if name in s.node.attributes else d for name, d in listed.items()
    }
    reach = np.array(given["dilations"]) * (kernel - 1) + 1
    padded = sizes + np.array(given["pads"]).reshape(2, rank).sum(axis=0)
    counts, left = np.divmod(padded - reach, given["strides"])
    unit = np.tile(np.eye(size).reshape(size, 1, *kernel.tolist()), (channels, *(1 for _ in range(rank + 1))))
    blocks = s.reshape("blocks", x, (batch, rows, *(counts + 1).tolist()))
    spread = s.constant("places", unit.astype(dtype_of(x)))
    return [s.op("image", "ConvTranspose", blocks, spread, group=channels, output_padding=left.tolist(), **given)]


def _einsum(s: Subgraph, *operands: Value) -> list[Value] | None:
    """An Einsum of three tensors or more, from left to right."""
    if len(operands) < 3:
        return None
    equation = s.node.attributes["equation"].as_string()
    left, _, out = explicit_subscripts(equation, [shape_of(x) for x in operands]).partition("->")
    first, *waiting = left.split(",")
    result = operands[0]
    for i, (operand, term) in enumerate(zip(operands[1:], waiting, strict=True), 1):
        later = "".join(waiting[i:]) + out
        kept = "".join(c for c in dict.fromkeys(first + term) if c in later) if waiting[i:] else out
        result = s.op(f"contraction{i}", "Einsum", result, operand, equation=f"{first},{term}->{kept}")
        first = kept
    return [result]


def _power(s: Subgraph, x: Value, y: Value) -> list[Value] | None:
    """Of computed bases and exponents, exp(y * log(x)): the base has to be positive."""
    exponents = content_of(y)
    if not is_float(x) or content_of(x) is not None:
        return None
    if exponents is not None:
        # Unsigned ones are not known to onnxruntime.
        exact = s.constant("exponents", exponents.astype(dtype_of(x)))
        return [s.op("power", "Pow", x, exact)] if exponents.dtype.kind == "u" else None
    assert x.dtype is not None
    exponent = y if y.dtype == x.dtype else s.op("exponent", "Cast", y, to=int(x.dtype))
    return [s.op("power", "Exp", s.op("product", "Mul", exponent, s.op("logarithm of a positive base", "Log", x)))]


Rule = Callable[..., list[Value] | None]

_RULES: dict[tuple[str, int], Rule] = {
    ("Attention", 23): attention.attention,
    ("Col2Im", 18): _column_to_image,
    ("CumProd", 26): _cumulative_product,
    ("DFT", 17): transforms.dft,
    ("Einsum", 12): _einsum,
    ("GRU", 13): recurrence.gru,
    ("GroupNormalization", 21): _group_normalization,
    ("GroupNormalization", 18): _group_normalization_18,
    ("InstanceNormalization", 6): _instance_normalization,
    ("LRN", 13): _local_response_normalization,
    ("LSTM", 13): recurrence.lstm,
    ("LayerNormalization", 17): _layer_normalization,
    ("LpNormalization", 1): _lp_normalization,
    ("LpPool", 11): _lp_pool,
    ("MeanVarianceNormalization", 13): _mean_variance_normalization,
    ("Pow", 13): _power,
    ("RMSNormalization", 23): _rms_normalization,
    ("RNN", 13): recurrence.rnn,
    ("ReduceL1", 13): _reduce_l1,
    ("ReduceL2", 13): _reduce_l2,
    ("ReduceLogSum", 13): _reduce_log_sum,
    ("ReduceLogSumExp", 13): _reduce_log_sum_exp,
    ("ReduceProd", 13): _reduce_prod,
    ("RotaryEmbedding", 23): attention.rotary_embedding,
    ("STFT", 17): transforms.stft,
    ("Split", 13): _equal_split,
}
"""By operator and the first version of the operator set in which it has this meaning; the newest of them first."""


TREE_LAYERS: dict[str, Rule] = {
    "TreeEnsemble": trees.ensemble,
    "TreeEnsembleClassifier": trees.classifier,
    "TreeEnsembleRegressor": trees.regressor,
}
"""The same of the domain `trees.DOMAIN`, in all versions."""


def layers() -> tuple[tuple[str, int], ...]:
    """The operators that are replaced by steps, each with the operator set from which on it is."""
    return (*_RULES, *((name, 1) for name in TREE_LAYERS))


def decompose(model: onnx_ir.Model) -> bool:
    """Replace layers by their steps, in place; the shapes of the steps are left to be inferred.

    A layer of a form that its rule does not cover, or whose input has no known shape, stays as it is.

    Args:
        model: one version of the standard operator set, functions inlined.

    Returns:
        Whether a layer was replaced.
    """
    replaced = False
    opset = model.opset_imports.get("", 0)
    for node in list(model.graph):
        if node.domain == trees.DOMAIN:
            rule = TREE_LAYERS.get(node.op_type)
        else:
            rule = next((r for (op, since), r in _RULES.items() if op == node.op_type and opset >= since), None)
        known = all(value is None or (value.shape is not None and value.dtype is not None) for value in node.inputs)
        sized = node.op_type == "Split" and (len(node.inputs) > 1 or "num_outputs" in node.attributes)
        if rule is None or node.domain not in ("", trees.DOMAIN) or not known or sized:
            continue
        subgraph = Subgraph(node, opset)
        results = rule(subgraph, *node.inputs)
        if results is None or any(subgraph.uses(k) for k in range(len(results), len(node.outputs))):
            continue
        for constant in subgraph.constants:
            model.graph.register_initializer(constant)
        pairs = [
            (old, new) for k, (old, new) in enumerate(zip(node.outputs, results, strict=False)) if subgraph.uses(k)
        ]
        onnx_ir.convenience.replace_nodes_and_values(
            model.graph, node, [node], subgraph.nodes, [old for old, _ in pairs], [new for _, new in pairs]
        )
        replaced = True
    return replaced
