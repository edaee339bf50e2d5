"""Tensors whose parts have powers of two of their own: inputs with features of very different sizes.

One format for such a tensor would leave the small features without digits. A power of two costs a proof nothing where
it can be part of a weight; elsewhere, an exact product with powers of two gives the tensor a common format.
"""

from collections.abc import Sequence

import numpy as np

from zkinfer.circuit.bounds import round_outward
from zkinfer.circuit.program import Scales
from zkinfer.compiler.lowering.activation import Activation, Constant, Scaled
from zkinfer.compiler.lowering.arithmetic import hadamard, reshape
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.lowering.precision import Format, Range, input_format
from zkinfer.typing import FloatArray, IntArray

UNEVEN = 1 << 10
"""How many times the range of one feature has to be that of another for an input to be scaled.

Pixels and words differ by less: there a feature that is small in the calibration data may be as large as all others in
the next sample."""

MAX_OUTPUT_BITS = 46
"""Bits of an output in the finest of its features' formats: it stays in the field, whatever the weights."""


def compact(exponents: IntArray) -> IntArray:
    """The exponents, with axes of size 1 in place of those along which they do not differ."""
    for axis in range(exponents.ndim):
        first = exponents.take([0], axis)
        if (exponents == first).all():
            exponents = first
    return exponents


def powers(exponents: IntArray) -> FloatArray:
    """Two to the power of the exponents; exact."""
    return np.ldexp(np.ones(exponents.shape), exponents)


def feature_formats(ranges: Sequence[Range], bits: int) -> list[Format]:
    """The format of each feature of an input that was observed in these ranges.

    A feature that is smaller than the largest keeps one bit of room: what its range is, is known less well than that
    of all features together. One that is always zero has the format of the largest.
    """
    whole = input_format(min(lo for lo, _ in ranges), max(hi for _, hi in ranges), bits)
    formats = []
    for lo, hi in ranges:
        own = input_format(2 * lo, 2 * hi, bits)
        formats.append(own if (lo or hi) and own.frac_bits > whole.frac_bits else whole)
    return formats


def is_uneven(ranges: Sequence[Range]) -> bool:
    """Whether features, those left aside that are always zero, are of such different sizes that units must differ."""
    sizes = [size for lo, hi in ranges if (size := max(-lo, hi, 0.0))]
    return bool(sizes) and max(sizes) >= UNEVEN * min(sizes)


def scaled_input(
    g: Emitter, label: str, shape: tuple[int, ...], axis: int, ranges: Sequence[Range], bits: int
) -> Activation | Scaled:
    """An input with a format for each feature.

    Args:
        g: emits it.
        label: its name.
        shape: its shape.
        axis: of the features, counted from the end.
        ranges: of each feature on calibration data.
        bits: width of the formats.
    """
    formats = feature_formats(ranges, bits)
    frac_bits = min(f.frac_bits for f in formats)
    lo, hi = round_outward((min(f.lo for f in formats), max(f.hi for f in formats)))
    exponents = np.array([f.frac_bits - frac_bits for f in formats])
    observed = min(lo for lo, _ in ranges), max(hi for _, hi in ranges)
    if not exponents.any():
        value = g.builder.input(label, shape, frac_bits, lo, hi)
        return g.named(g.activation(value), label, observed=observed)
    value = g.builder.input(label, shape, frac_bits, lo, hi, Scales(axis, tuple(exponents.tolist())))
    ends = np.ldexp(np.array(ranges), exponents[:, None])
    a = g.named(g.activation(value), label, observed=(float(ends.min()), float(ends.max())))
    places = [1] * len(shape)
    places[axis] = -1
    return Scaled(a, exponents.reshape(places), observed)


def common(g: Emitter, x: Scaled, width: int | None = None) -> Activation:
    """The tensor in one format: exact, except for parts that are too small to be seen beside the others.

    Args:
        g: emits the product.
        x: the tensor.
        width: of the product; `accumulator_bits` by default, which a lookup can follow.
    """
    least, most = int(x.exponents.min()), int(x.exponents.max())
    kept = min(most - least, max((width or g.accumulator_bits) - x.activation.value.bits, 0))
    (shape_x, shape_p), subscripts = hadamard(x.shape, x.exponents.shape)
    factors = Constant(f"{x.activation.label}/scales", powers(-x.exponents).reshape(shape_p))
    weight = g.weight_at(factors, factors.reals, least + kept)
    product = g.einsum(subscripts, reshape(g, x.activation, shape_x), weight, width=g.accumulator_bits)
    return g.named(product, x.activation.label, observed=x.observed)
