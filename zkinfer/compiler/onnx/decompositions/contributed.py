"""Operators of onnxruntime (domain com.microsoft) that its optimizer and its quantization write, by their definitions.

Those that quantize activations dynamically are taken in their float meaning: weights are the quantized ones, and
activations are not rounded to the 8 bits that the data would choose.
"""

import numpy as np
from onnx_ir import Value

from zkinfer.compiler.calibration.float_model import numpy_type, static_shape
from zkinfer.compiler.lowering.masking import stand_in
from zkinfer.compiler.onnx.decomposition import decomposition
from zkinfer.compiler.onnx.subgraph import Subgraph, content_of

DOMAIN = "com.microsoft"


@decomposition("FusedMatMul", 1, domain=DOMAIN)
def fused_mat_mul(s: Subgraph, a: Value, b: Value) -> list[Value] | None:
    """alpha * A B, each of which may be transposed."""
    if s.integer("transBatchA", 0) or s.integer("transBatchB", 0):
        return None
    operands = []
    for name, x in (("A", a), ("B", b)):
        rank = len(static_shape(x))
        turned = s.integer(f"trans{name}", 0) and rank > 1
        order = [*range(rank - 2), rank - 1, rank - 2]
        operands.append(s.transpose(f"{name}/transposed", x, order) if turned else x)
    product, alpha = s.op("product", "MatMul", *operands), s.real("alpha", 1.0)
    return [product if alpha == 1 else _scaled(s, product, alpha, a)]


def _scaled(s: Subgraph, x: Value, factor: float, like: Value) -> Value:
    return s.op("scaled", "Mul", x, s.number("factor", factor, like))


def _gelu(s: Subgraph, x: Value, like: Value) -> Value:
    """x / 2 * (1 + erf(x / sqrt(2)))."""
    bent = s.op("error function", "Erf", s.op("over", "Mul", x, s.number("root", float(np.sqrt(0.5)), like)))
    share = s.op("share", "Add", bent, s.number("one", 1.0, like))
    return s.op("halved", "Mul", s.op("product", "Mul", x, share), s.number("half", 0.5, like))


@decomposition("Gelu", 1, domain=DOMAIN)
def gelu(s: Subgraph, x: Value) -> list[Value]:
    return [_gelu(s, x, x)]


@decomposition("BiasGelu", 1, domain=DOMAIN)
def bias_gelu(s: Subgraph, x: Value, bias: Value) -> list[Value]:
    return [_gelu(s, s.op("biased", "Add", x, bias), x)]


@decomposition("FastGelu", 1, domain=DOMAIN)
def fast_gelu(s: Subgraph, x: Value, bias: Value | None = None) -> list[Value]:
    """x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3)))."""
    like, x = x, x if bias is None else s.op("biased", "Add", x, bias)
    cube = s.op("cube", "Mul", s.op("square", "Mul", x, x), x)
    inner = s.op("inner", "Add", x, s.op("small", "Mul", cube, s.number("coefficient", 0.044715, like)))
    bent = s.op("bent", "Tanh", s.op("over", "Mul", inner, s.number("root", float(np.sqrt(2 / np.pi)), like)))
    share = s.op("share", "Add", bent, s.number("one", 1.0, like))
    return [s.op("halved", "Mul", s.op("product", "Mul", x, share), s.number("half", 0.5, like))]


@decomposition("QuickGelu", 1, domain=DOMAIN)
def quick_gelu(s: Subgraph, x: Value) -> list[Value]:
    """x * sigmoid(alpha * x)."""
    inner = s.op("inner", "Mul", x, s.number("alpha", s.real("alpha", 1.702), x))
    return [s.op("product", "Mul", x, s.op("share", "Sigmoid", inner))]


@decomposition("SkipLayerNormalization", 1, domain=DOMAIN)
def skip_layer_normalization(
    s: Subgraph, x: Value, skip: Value, gamma: Value, beta: Value | None = None, bias: Value | None = None
) -> list[Value]:
    """Layer normalization of a sum, and as the fourth output the sum."""
    total = _total(s, x, skip, bias)
    mean = s.reduce("mean", "ReduceMean", total, [len(static_shape(x)) - 1])
    y = _normal(s, s.op("centred", "Sub", total, mean), gamma, x)
    y = y if beta is None else s.op("shifted", "Add", y, beta)
    return [y, y, y, total] if not s.uses(1) and not s.uses(2) else [y]


@decomposition("SkipSimplifiedLayerNormalization", 1, domain=DOMAIN)
def skip_rms_normalization(s: Subgraph, x: Value, skip: Value, gamma: Value, bias: Value | None = None) -> list[Value]:
    """The same without the mean."""
    total = _total(s, x, skip, bias)
    y = _normal(s, total, gamma, x)
    return [y, y, y, total] if not s.uses(1) and not s.uses(2) else [y]


def _total(s: Subgraph, x: Value, skip: Value, bias: Value | None) -> Value:
    total = s.op("total", "Add", x, skip)
    return total if bias is None else s.op("biased", "Add", total, bias)


def _normal(s: Subgraph, x: Value, gamma: Value, like: Value) -> Value:
    """x over the root of its mean square along the last axis, times gamma."""
    power = s.reduce("power", "ReduceMean", s.op("squares", "Mul", x, x), [len(static_shape(like)) - 1])
    epsilon = s.number("epsilon", s.real("epsilon", 1e-12), like)
    return s.op(
        "product", "Mul", s.op("ratio", "Div", x, s.op("root", "Sqrt", s.op("raised", "Add", power, epsilon))), gamma
    )


@decomposition(
    "Attention", 1, domain=DOMAIN, hint="supported are heads of one size, without a past, and masks of one row a sample"
)
def attention(
    s: Subgraph, x: Value, weights: Value, bias: Value | None = None, *others: Value | None
) -> list[Value] | None:
    """Attention of a sequence to itself, with the weights of queries, keys and values side by side."""
    batch, length, _ = static_shape(x)
    heads, width = s.integer("num_heads", 1), static_shape(weights)[1] // 3
    mask, *rest = (*others, None)
    if "qkv_hidden_sizes" in s.node.attributes or any(value is not None for value in rest) or s.uses(1):
        return None
    if mask is not None and static_shape(mask) != (batch, length):
        return None
    projected = s.op("projected", "MatMul", x, weights)
    projected = projected if bias is None else s.op("projected/biased", "Add", projected, bias)
    split = s.reshape("projected/split", projected, (batch, length, 3, heads, width // heads))
    apart = s.transpose("projected/heads", split, (2, 0, 3, 1, 4))
    q, k, v = (
        s.reshape(f"part{i}/heads", s.slice(f"part{i}", apart, 0, i, i + 1), (batch, heads, length, width // heads))
        for i in range(3)
    )
    allowed = None
    if s.integer("unidirectional", 0):
        allowed = s.constant("causal", np.tri(length, dtype=bool)[None, None])
    if mask is not None:
        seen = s.op("seen", "Cast", s.reshape("mask/rows", mask, (batch, 1, 1, length)), to=9)
        allowed = seen if allowed is None else s.op("allowed", "And", seen, allowed)
    products = s.op("product", "MatMul", q, s.transpose("keys", k, (0, 1, 3, 2)))
    scores = s.op("scores", "Mul", products, s.number("scale", s.real("scale", 0.0) or (width // heads) ** -0.5, x))
    if allowed is not None:
        scores = s.op("masked", "Where", allowed, scores, s.number("low", float(stand_in(numpy_type(x))), x))
    rows = s.op("mixed", "MatMul", s.op("weights", "Softmax", scores, axis=-1), v)
    return [s.reshape("joined", s.transpose("rows", rows, (0, 2, 1, 3)), (batch, length, width))]


@decomposition("DynamicQuantizeMatMul", 1, domain=DOMAIN, hint="supported are constant weights")
def dynamic_quantize_mat_mul(
    s: Subgraph, a: Value, b: Value, scale: Value, zero_point: Value | None = None, bias: Value | None = None
) -> list[Value] | None:
    """A times the quantized matrix."""
    product = s.op("product", "MatMul", a, s.op("weights", "DequantizeLinear", b, scale, zero_point, axis=1))
    return [product if bias is None else s.op("biased", "Add", product, bias)]


@decomposition("DynamicQuantizeLSTM", 1, domain=DOMAIN, hint="supported are constant weights")
def dynamic_quantize_lstm(s: Subgraph, x: Value, w: Value, r: Value, *others: Value | None) -> list[Value] | None:
    """An LSTM with the quantized weights, which are stored transposed."""
    bias, lengths, h, c, peephole, w_scale, w_zero, r_scale, r_zero = (*others, *(None,) * 9)[:9]
    matrices = []
    for name, matrix, scale, zero in (("weights", w, w_scale, w_zero), ("recurrence", r, r_scale, r_zero)):
        contents = [None if value is None else content_of(value) for value in (matrix, scale, zero)]
        integers, factors, zeros = contents
        if integers is None or factors is None or (zero is not None and zeros is None):
            return None
        # One scale for each direction, or one for each column of it.
        spread = factors.reshape(len(integers), 1, -1)
        centred = integers.astype(np.float32) - (0 if zeros is None else zeros.reshape(len(integers), 1, -1))
        matrices.append(s.constant(name, np.ascontiguousarray((centred * spread).transpose(0, 2, 1), dtype=np.float32)))
    attributes = {name: attribute.value for name, attribute in s.node.attributes.items()}
    results = [Value(name=f"{s.node.outputs[0].name}/result{i}") for i in range(len(s.node.outputs))]
    s.layer("LSTM", [x, *matrices, bias, lengths, h, c, peephole], results, attributes)
    return results


def _real(s: Subgraph, step: str, x: Value, scale: Value, zero_point: Value | None) -> Value:
    return s.op(step, "DequantizeLinear", x, scale, zero_point)


@decomposition("QLinearAdd", 1, domain=DOMAIN)
def q_linear_add(s: Subgraph, *given: Value | None) -> list[Value] | None:
    return _binary(s, "Add", given)


@decomposition("QLinearMul", 1, domain=DOMAIN)
def q_linear_mul(s: Subgraph, *given: Value | None) -> list[Value] | None:
    return _binary(s, "Mul", given)


def _binary(s: Subgraph, op: str, given: tuple[Value | None, ...]) -> list[Value] | None:
    a, a_scale, a_zero, b, b_scale, b_zero, scale, zero = (*given, None)[:8]
    if a is None or a_scale is None or b is None or b_scale is None:
        return None
    y = s.op("result", op, _real(s, "left", a, a_scale, a_zero), _real(s, "right", b, b_scale, b_zero))
    return [s.op("quantized", "QuantizeLinear", y, scale, zero)]


@decomposition("QLinearSigmoid", 1, domain=DOMAIN)
def q_linear_sigmoid(s: Subgraph, x: Value, scale: Value, zero: Value | None, *out: Value | None) -> list[Value]:
    return [s.op("quantized", "QuantizeLinear", s.op("result", "Sigmoid", _real(s, "real", x, scale, zero)), *out)]


@decomposition("QLinearLeakyRelu", 1, domain=DOMAIN)
def q_linear_leaky_relu(s: Subgraph, x: Value, scale: Value, zero: Value | None, *out: Value | None) -> list[Value]:
    y = s.op("result", "LeakyRelu", _real(s, "real", x, scale, zero), alpha=s.real("alpha", 0.01))
    return [s.op("quantized", "QuantizeLinear", y, *out)]


@decomposition("QLinearGlobalAveragePool", 1, domain=DOMAIN)
def q_linear_global_average_pool(
    s: Subgraph, x: Value, scale: Value, zero: Value | None, *out: Value | None
) -> list[Value] | None:
    if s.integer("channels_last", 0):
        return None
    y = s.op("result", "GlobalAveragePool", _real(s, "real", x, scale, zero))
    return [s.op("quantized", "QuantizeLinear", y, *out)]


@decomposition("QLinearConcat", 1, domain=DOMAIN)
def q_linear_concat(s: Subgraph, scale: Value, zero: Value | None, *parts: Value) -> list[Value]:
    reals = [_real(s, f"part{i}", *parts[3 * i : 3 * i + 3]) for i in range(len(parts) // 3)]
    return [s.op("quantized", "QuantizeLinear", s.concat("joined", reals, s.integer("axis", 0)), scale, zero)]
