"""Matrix products and convolutions: exact contractions with committed weights."""

import string
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import cast

import numpy as np

from zkinfer.circuit.steps import Expand, Pad, Reshape, Slice, Step, Transpose
from zkinfer.compiler.lowering import arithmetic
from zkinfer.compiler.lowering.activation import Activation, Constant, Operand
from zkinfer.compiler.lowering.arithmetic import hadamard, reshape
from zkinfer.compiler.lowering.channels import row_exponents
from zkinfer.compiler.lowering.emitter import Emitter, broadcast_steps
from zkinfer.compiler.lowering.linear import add_weight
from zkinfer.compiler.lowering.maxima import Window
from zkinfer.compiler.lowering.precision import weight_frac_bits
from zkinfer.compiler.lowering.quantizing import largest_along
from zkinfer.compiler.onnx.ops.windows import sliding_windows, windowed
from zkinfer.compiler.onnx.registry import operator
from zkinfer.errors import UnsupportedOperatorError
from zkinfer.typing import Array

_POSITIONS, _PLACES = "pqrs", "wxyz"
"""Letters for the positions of windows along each spatial axis, and for the places within a window."""


def _contract(g: Emitter, subscripts: str, a: Operand, b: Operand) -> Activation:
    """An Einsum of two operands, either of which may be a weight."""
    if isinstance(a, Constant):
        first, second = subscripts.partition("->")[0].split(",")
        out = subscripts.partition("->")[2]
        return _contract(g, f"{second},{first}->{out}", arithmetic.require_activation(b), a)
    if not isinstance(b, Constant):
        return g.einsum(subscripts, a, b)
    # Contracted axes come last: claims on weights with equally many inputs are then opened together, and a weight that
    # is an embedding elsewhere, as with tied embeddings, exists once.
    left, _, out = subscripts.partition("->")
    first, _, second = left.partition(",")
    kept = [c for c in second if c in out]
    order = [second.index(c) for c in (*kept, *(c for c in second if c not in out))]
    if isinstance(a, Activation) and a.channels is not None and (spread := g.spread_operand(a)) is not None:
        letter = first[a.channels.axis]
        if letter in second and letter not in out:
            shape = [-1 if c == letter else 1 for c in second]
            folded = b.reals * np.ldexp(1.0, -a.channels.exponents).reshape(shape)
            return _contract(g, subscripts, spread, Constant(b.name, folded))
    terms = f"{first},{''.join(second[i] for i in order)}->{out}"
    # A choice among inputs is not a sum, and a comparison may need all their digits.
    chosen = isinstance(a, Activation) and b.is_selection and g.builder.is_given(a.value)
    return _weighted(g, terms, a, b, b.numbers.transpose(order), g.accumulator_bits if chosen else None)


def _weighted(
    g: Emitter, subscripts: str, a: Activation, constant: Constant, array: Array, width: int | None = None
) -> Activation:
    """An Einsum of an activation and a weight.

    Rows of the weight that are much smaller than the largest are multiplied by powers of two, so that they keep as many
    digits as it has. The result is divided by these powers, exactly.

    Args:
        g: emits it.
        subscripts: as in `circuit.program.Einsum`.
        a: the activation.
        constant: names the weight.
        array: its contents; a row has all elements that are added up in one element of the result.
        width: see `Emitter.operand`.
    """
    left, _, out = subscripts.partition("->")
    letters = left.partition(",")[2]
    summed = tuple(i for i, c in enumerate(letters) if c not in out)
    bits, sizes = g.precision.weight_bits_of(constant.name), largest_along(array, summed)
    exponents = row_exponents(sizes, bits)
    if exponents is not None and constant.unit is None and constant.array.dtype.kind not in "iub":
        even_size = float(np.ldexp(sizes, exponents).max())
        powers = np.expand_dims(exponents, summed)
        weight = g.weight_at(constant, array, weight_frac_bits(even_size, bits), powers)
        kept = "".join(c for c in letters if c in out)
        rows = g.einsum(subscripts, a, weight, width=width)
        even = g.times_powers(rows, f"{out},{kept}->{out}", -exponents)
        if even is not None:
            return even
    weight, unit = g.scaled_weight(constant, array)
    return g.affine(g.einsum(subscripts, a, weight, width=width), unit)


def _biased(g: Emitter, a: Activation, bias: Operand | None, factor: float = 1.0, axis: int = -1) -> Activation:
    """`a + factor * bias`, the bias along one axis or broadcast by numpy's rules; a constant bias is a weight."""
    if bias is None:
        return a
    if isinstance(bias, Activation):
        return arithmetic.add(g, a, g.affine(bias, Fraction(factor)))
    steps: tuple[Step, ...] = broadcast_steps(bias.shape, a.shape)
    if axis != -1:
        steps = (Reshape(tuple(n if i == axis else 1 for i, n in enumerate(a.shape))), Expand(a.shape))
    return add_weight(g, a, bias, factor * bias.reals, steps) if bias.reals.any() else a


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
    # A vector is a matrix of one row on the left, of one column on the right, without that axis in the result.
    rows, columns = "x" * (len(A.shape) > 1), "z" * (len(B.shape) > 1)
    (batch_a, batch_b), batches = hadamard(A.shape[:-2], B.shape[:-2])
    left, _, out = batches.partition("->")
    first, _, second = left.partition(",")
    a, b = _shaped(g, A, batch_a + A.shape[-2:]), _shaped(g, B, batch_b + B.shape[-2:])
    return _contract(g, f"{first}{rows}y,{second}y{columns}->{out}{rows}{columns}", a, b)


def _shaped(g: Emitter, operand: Operand, shape: tuple[int, ...]) -> Operand:
    if isinstance(operand, Constant):
        return replace(operand, array=operand.array.reshape(shape))
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
    groups, weight = "", W.numbers
    if group > 1:
        groups = "g"
        x = reshape(g, x, (batch, group, channels, *spatial))
        weight = weight.reshape(group, filters // group, *W.shape[1:])
    subscripts = f"n{groups}c{windows},{groups}fc{places}->n{groups}f{positions}"
    y = _weighted(g, subscripts, x, W, weight)
    return _biased(g, reshape(g, y, (batch, filters, *spatial[::2])), B, axis=1)


@operator(11, 22)
def ConvTranspose(
    g: Emitter,
    X: Activation,
    W: Constant,
    B: Constant | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    output_padding: Sequence[int] | None = None,
    output_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Activation:
    channels, filters, *kernel = W.shape
    batch, _, *spatial = X.shape
    rank = len(kernel)
    # It is a convolution with the flipped kernel over the input, with zeros between its elements.
    x, along = g.as_operand(X), []
    for i, (n, size) in enumerate(zip(spatial, kernel, strict=True)):
        stride, dilation = (strides or [1] * rank)[i], (dilations or [1] * rank)[i]
        extra, reach = (output_padding or [0] * rank)[i], (size - 1) * dilation
        before, after = (pads or [0] * (2 * rank))[i], (pads or [0] * (2 * rank))[rank + i]
        whole = stride * (n - 1) + extra + reach + 1
        # As in onnxruntime, auto_pad adds no elements where the kernel is smaller than the stride.
        wanted = output_shape[i] if output_shape else min(n * stride, whole) if auto_pad.startswith("SAME") else None
        if wanted is not None:
            missing = whole - wanted
            smaller, larger = missing // 2, missing - missing // 2
            before, after = (smaller, larger) if auto_pad == "SAME_UPPER" else (larger, smaller)
        elif auto_pad == "VALID":
            before = after = 0
        x = _spread(g, x, i + 2, stride)
        x = _cut(g, x, i + 2, max(before - reach, 0), max(after - extra - reach, 0))
        along.append(Window(i + 2, size, 1, dilation, max(reach - before, 0), max(reach + extra - after, 0)))
    x = windowed(g, x, along)
    positions, places = _POSITIONS[:rank], _PLACES[:rank]
    windows = "".join(p + q for p, q in zip(positions, places, strict=True))
    x = reshape(g, x, (batch, group, channels // group, *x.shape[2:]))
    weight = np.flip(W.numbers, tuple(range(2, 2 + rank))).reshape(group, channels // group, *W.shape[1:])
    y = g.einsum(f"ngc{windows},gcf{places}->ngf{positions}", x, g.weight(W, weight))
    return _biased(g, reshape(g, y, (batch, group * filters, *y.shape[3:])), B, axis=1)


def _spread(g: Emitter, x: Activation, axis: int, stride: int) -> Activation:
    """The tensor with `stride - 1` zeros between the elements of an axis."""
    if stride == 1:
        return x
    shape, n = x.shape, x.shape[axis]
    after = [0] * (len(shape) + 1)
    after[axis + 1] = stride - 1
    return g.reindex(
        x,
        Reshape((*shape[: axis + 1], 1, *shape[axis + 1 :])),
        Pad((0,) * len(after), tuple(after)),
        Reshape((*shape[:axis], n * stride, *shape[axis + 1 :])),
        Slice(axis, 0, (n - 1) * stride + 1, 1),
    )


def _cut(g: Emitter, x: Activation, axis: int, before: int, after: int) -> Activation:
    """The tensor without some elements at both ends of an axis."""
    return g.reindex(x, Slice(axis, before, x.shape[axis] - before - after, 1)) if before or after else x


@operator(12)
def Einsum(g: Emitter, *Inputs: Operand, equation: str) -> Activation:
    if len(Inputs) > 2:
        raise UnsupportedOperatorError(f"it contracts {len(Inputs)} tensors; split it into contractions of two")
    left, _, out = explicit_subscripts(equation, [x.shape for x in Inputs]).partition("->")
    terms = left.split(",")
    sizes = {c: n for c, n in zip("".join(terms), (n for x in Inputs for n in x.shape), strict=True) if n > 1}
    distinct = [_distinct(g, x, term, sizes) for x, term in zip(Inputs, terms, strict=True)]
    subscripts = f"{','.join(letters for _, letters in distinct)}->{out}"
    if len(distinct) == 1:
        return g.einsum(subscripts, arithmetic.require_activation(distinct[0][0]))
    return _contract(g, subscripts, *(x for x, _ in distinct))


def _distinct(g: Emitter, x: Operand, letters: str, sizes: Mapping[str, int]) -> tuple[Operand, str]:
    """An operand of an Einsum without the axes that are broadcast, and with diagonals in place of equal letters.

    Args:
        g: emits the View.
        x: the operand.
        letters: one for each axis.
        sizes: of the letters that do not stand for axes of size 1 everywhere.
    """
    kept = [i for i, (c, n) in enumerate(zip(letters, x.shape, strict=True)) if n == sizes.get(c, 1)]
    x, letters = _shaped(g, x, tuple(x.shape[i] for i in kept)), "".join(letters[i] for i in kept)
    if isinstance(x, Constant):
        distinct, array = "".join(dict.fromkeys(letters)), cast("Array", x.array)
        return replace(x, array=np.einsum(f"{letters}->{distinct}", array)), distinct
    for c in dict.fromkeys(letters):
        while letters.count(c) > 1:
            first, second = [i for i, other in enumerate(letters) if other == c][:2]
            others, n = [i for i in range(len(letters)) if i not in (first, second)], x.shape[first]
            rest = tuple(x.shape[i] for i in others)
            # Element (i, i) of an n x n matrix is the one at i * (n + 1).
            x = g.reindex(
                x, Transpose((*others, first, second)), Reshape((*rest, n * n)), Slice(len(rest), 0, n, n + 1)
            )
            letters = "".join(letters[i] for i in others) + c
    return x, letters


def explicit_subscripts(equation: str, shapes: Sequence[tuple[int, ...]]) -> str:
    """An ONNX Einsum equation in lower-case letters, with an explicit result and without an ellipsis.

    Raises:
        UnsupportedOperatorError: it is for another number of tensors.
    """
    left, arrow, out = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(shapes):
        raise UnsupportedOperatorError(
            f"its equation {equation!r} is for {len(terms)} tensors, but it has {len(shapes)}"
        )
    hidden = [len(shape) - len(term.replace("...", "")) for term, shape in zip(terms, shapes, strict=True)]
    free = [c for c in string.ascii_lowercase if c not in equation.lower()]
    under = "".join(free[: max(hidden)])
    named = [c for c in dict.fromkeys(left) if c.isalpha()]
    if not arrow:
        out = "..." + "".join(sorted(c for c in named if left.count(c) == 1))
    names = dict(zip(named, [c for c in string.ascii_lowercase if c not in under], strict=False))

    def spelled(term: str, count: int) -> str:
        first, dots, last = term.partition("...")
        covered = under[len(under) - count :] if dots else ""
        return "".join(names[c] for c in first) + covered + "".join(names[c] for c in last)

    operands = [spelled(term, count) for term, count in zip(terms, hidden, strict=True)]
    return f"{','.join(operands)}->{spelled(out, max(hidden))}"
