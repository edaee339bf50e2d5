"""Contractions of several tensors, powers of computed numbers, and splits into equal parts."""

from onnx_ir import Value

from zkinfer.compiler.calibration.float_model import is_float, numpy_type, static_shape
from zkinfer.compiler.onnx.decomposition import decomposition
from zkinfer.compiler.onnx.ops.linear import explicit_subscripts
from zkinfer.compiler.onnx.subgraph import Subgraph, content_of


@decomposition("Einsum", 12)
def einsum(s: Subgraph, *operands: Value) -> list[Value] | None:
    """An Einsum of three or more tensors, contracted from left to right."""
    if len(operands) < 3:
        return None
    equation = s.node.attributes["equation"].as_string()
    left, _, out = explicit_subscripts(equation, [static_shape(x) for x in operands]).partition("->")
    first, *waiting = left.split(",")
    result = operands[0]
    for i, (operand, term) in enumerate(zip(operands[1:], waiting, strict=True), 1):
        later = "".join(waiting[i:]) + out
        kept = "".join(c for c in dict.fromkeys(first + term) if c in later) if waiting[i:] else out
        result = s.op(f"contraction{i}", "Einsum", result, operand, equation=f"{first},{term}->{kept}")
        first = kept
    return [result]


@decomposition("Pow", 13)
def power(s: Subgraph, x: Value, y: Value) -> list[Value] | None:
    """A computed base to a computed exponent: exp(y * log(x)), for positive bases."""
    exponents = content_of(y)
    if not is_float(x) or content_of(x) is not None:
        return None
    if exponents is not None:
        # onnxruntime does not support unsigned exponents.
        exact = s.constant("exponents", exponents.astype(numpy_type(x)))
        return [s.op("power", "Pow", x, exact)] if exponents.dtype.kind == "u" else None
    assert x.dtype is not None
    exponent = y if y.dtype == x.dtype else s.op("exponent", "Cast", y, to=int(x.dtype))
    return [s.op("power", "Exp", s.op("product", "Mul", exponent, s.op("logarithm of a positive base", "Log", x)))]


@decomposition("Split", 13)
def equal_split(s: Subgraph, x: Value) -> list[Value]:
    """A Split without sizes: as many equal parts as it has outputs."""
    axis = s.integer("axis", 0)
    each = static_shape(x)[axis] // len(s.node.outputs)
    return [s.slice(f"part{k}", x, axis, k * each, (k + 1) * each) for k in range(len(s.node.outputs))]
