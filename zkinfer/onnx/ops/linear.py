"""Matrix products and convolutions: exact contractions with committed weights."""

from collections.abc import Sequence
from fractions import Fraction

from zkinfer.circuit.steps import Expand, Reshape, Step
from zkinfer.onnx.ops.windows import sliding_windows, windowed
from zkinfer.onnx.registry import operator
from zkinfer.quantize import arithmetic
from zkinfer.quantize.arithmetic import hadamard, reshape
from zkinfer.quantize.lazy import Activation, Constant, Emitter, Operand, broadcast_steps

_POSITIONS, _PLACES = "pqrs", "wxyz"
"""Letters for the positions of windows along each spatial axis, and for the places within them."""


def _contract(g: Emitter, subscripts: str, a: Operand, b: Operand) -> Activation:
    """An Einsum of two operands, either of which may be a weight."""
    if isinstance(a, Constant):
        first, second = subscripts.partition("->")[0].split(",")
        out = subscripts.partition("->")[2]
        return g.einsum(f"{second},{first}->{out}", arithmetic.require_activation(b), g.weight(a))
    return g.einsum(subscripts, a, g.weight(b) if isinstance(b, Constant) else b)


def _biased(g: Emitter, a: Activation, bias: Operand | None, factor: float = 1.0, axis: int = -1) -> Activation:
    """`a + factor * bias`, the bias along one axis or broadcast by numpy's rules; a constant bias is a weight."""
    if bias is None:
        return a
    if isinstance(bias, Activation):
        return arithmetic.add(g, a, g.affine(bias, Fraction(factor)))
    steps: tuple[Step, ...] = broadcast_steps(bias.shape, a.shape)
    if axis != -1:
        steps = (Reshape(tuple(n if i == axis else 1 for i, n in enumerate(a.shape))), Expand(a.shape))
    return g.add_constant(a, bias, factor * bias.reals, steps) if bias.reals.any() else a


@operator(13)
def Gemm(
    g: Emitter,
    A: Operand,
    B: Operand,
    C: Operand | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Activation:
    product = _contract(g, f"{'km' if transA else 'mk'},{'nk' if transB else 'kn'}->mn", A, B)
    return _biased(g, g.affine(product, Fraction(alpha)), C, beta)


@operator(13)
def MatMul(g: Emitter, A: Operand, B: Operand) -> Activation:
    # A vector is a matrix of one row on the left, of one column on the right, whose axis is then left out.
    rows, columns = "x" * (len(A.shape) > 1), "z" * (len(B.shape) > 1)
    (batch_a, batch_b), batches = hadamard(A.shape[:-2], B.shape[:-2])
    left, _, out = batches.partition("->")
    first, _, second = left.partition(",")
    a, b = _shaped(g, A, batch_a + A.shape[-2:]), _shaped(g, B, batch_b + B.shape[-2:])
    return _contract(g, f"{first}{rows}y,{second}y{columns}->{out}{rows}{columns}", a, b)


def _shaped(g: Emitter, operand: Operand, shape: tuple[int, ...]) -> Operand:
    if isinstance(operand, Constant):
        return Constant(operand.name, operand.array.reshape(shape))
    return reshape(g, operand, shape)


@operator(11, 22)
def Conv(
    g: Emitter,
    X: Activation,
    W: Constant,
    B: Constant | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Activation:
    filters, channels, *kernel = W.shape
    along = sliding_windows(X.shape, kernel, strides=strides, pads=pads, dilations=dilations, auto_pad=auto_pad)
    x = windowed(g, X, along)
    batch, _, *spatial = x.shape
    positions, places = _POSITIONS[: len(along)], _PLACES[: len(along)]
    windows = "".join(p + q for p, q in zip(positions, places, strict=True))
    groups, weight = "", W.reals
    if group > 1:
        groups = "g"
        x = reshape(g, x, (batch, group, channels, *spatial))
        weight = weight.reshape(group, filters // group, *W.shape[1:])
    subscripts = f"n{groups}c{windows},{groups}fc{places}->n{groups}f{positions}"
    y = g.einsum(subscripts, x, g.weight(W, weight))
    return _biased(g, reshape(g, y, (batch, filters, *spatial[::2])), B, axis=1)
