"""A functional on the boxes of a tensor: weights that are products of vectors, which neighbouring boxes share."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from zkinfer.errors import ShapeError
from zkinfer.protocol.field import modular
from zkinfer.protocol.field.modular import from_exts, to_exts
from zkinfer.protocol.field.params import DEGREE, P
from zkinfer.protocol.field.scalar import ZERO, Ext, ext_add, ext_inv, ext_mul
from zkinfer.protocol.reduction import factors as products
from zkinfer.protocol.reduction.boxes import Box, Cut
from zkinfer.protocol.reduction.functional import Functional
from zkinfer.protocol.sumcheck.params import Point
from zkinfer.typing import IntArray


@dataclass(frozen=True, eq=False)
class AxisWeights:
    """Weights along an axis of a box, or over all of its axes.

    Attributes:
        weights: canonical, shape (3, 2^k).
    """

    weights: IntArray

    @cached_property
    def variables(self) -> int:
        """There are 2^variables weights."""
        places: int = self.weights.shape[1]
        return places.bit_length() - 1

    @cached_property
    def as_point(self) -> tuple[Ext, Point] | None:
        """The s and z for which the weights are s * eq_table(z); see `as_point`."""
        return as_point(self.weights)

    @cached_property
    def first(self) -> Ext:
        """The first weight: the only one of an axis of one place."""
        return to_exts(self.weights[:, :1])[0]

    @cached_property
    def is_zero(self) -> bool:
        """Whether all weights are zero."""
        return products.is_zero(self.weights)


class Restriction:
    """A functional on the boxes of a tensor.

    Args:
        functional: on the tensor.
        cut: of the tensor.

    Raises:
        ShapeError: the cut is one of another shape.
    """

    def __init__(self, functional: Functional, cut: Cut) -> None:
        if cut.shape != functional.shape:
            raise ShapeError(f"the functional is one on tensors of shape {functional.shape}, the cut of {cut.shape}")
        self._functional = functional
        self._cut = cut
        self._factors = tuple(zip(products.spans(functional.factors), functional.factors, strict=True))
        self._split: dict[tuple[int, tuple[int, ...]], tuple[AxisWeights, ...] | None] = {}
        self._continued: dict[tuple[AxisWeights, int], AxisWeights] = {}

    def vectors(self, box: Box, *, extended: bool = False) -> tuple[AxisWeights, ...] | None:
        """The weights of a box as a product of one vector of 2^box.variables[i] entries for each axis, times the scale.

        None where they are no such product: `dense` gives the weights then.

        Args:
            box: one of the cut's.
            extended: what stands behind the tensor. Weights are zero there, but those of what is zero there may be
                anything: then a vector whose entries on the tensor are the first of a scaled eq table becomes the whole
                of it, so that cells with such weights can be opened by rows.
        """
        vectors: list[AxisWeights] = []
        for (first, end), factor in self._factors:
            key = first, box.starts[first:end] + box.variables[first:end]
            if key not in self._split:
                pieces = products.split(self._on_box(box, first, end, factor))
                product = all(piece.ndim == 2 for piece in pieces)
                self._split[key] = tuple(map(AxisWeights, pieces)) if product else None
            found = self._split[key]
            if found is None:
                return None
            vectors += found
        if extended:
            return tuple(self._whole(*part) for part in zip(vectors, self._cut.inside(box), strict=True))
        return tuple(vectors)

    def dense(self, box: Box) -> IntArray:
        """The weights of a box, the scale included: shape (3, 2^box.total), in the order of `cut.take`."""
        arrays = [self._on_box(box, first, end, factor) for (first, end), factor in self._factors]
        return products.outer([from_exts([self._functional.scale]), *arrays]).reshape(DEGREE, -1)

    def _on_box(self, box: Box, first: int, end: int, factor: IntArray) -> IntArray:
        """A factor over some axes, on the box's places of these."""
        taken = factor[(slice(None), *box.places[first:end])]
        behind = [(0, (1 << k) - n) for k, n in zip(box.variables[first:end], taken.shape[1:], strict=True)]
        return np.ascontiguousarray(np.pad(taken, [(0, 0), *behind]) if any(map(any, behind)) else taken)

    def _whole(self, vector: AxisWeights, places: int) -> AxisWeights:
        """A vector of which so many places are the tensor's, continued behind them."""
        if places == vector.weights.shape[1]:
            return vector
        if (vector, places) not in self._continued:
            self._continued[vector, places] = AxisWeights(_continued(vector.weights, places))
        return self._continued[vector, places]


def _continued(vector: IntArray, places: int) -> IntArray:
    """The scaled eq table whose first entries a vector has; the vector itself if there is none."""
    bits = (places - 1).bit_length()
    found = _point_of_first(vector, bits)
    if found is None:
        return vector
    scale, point = found
    longer = [ZERO] * (vector.shape[1].bit_length() - 1 - bits)
    table = modular.ext_mul(modular.eq_table([*longer, *point]), from_exts([scale]))
    return table if np.array_equal(table[:, :places], vector[:, :places]) else vector


def _point_of_first(vector: IntArray, bits: int) -> tuple[Ext, list[Ext]] | None:
    """The s and z for which s * eq_table(z), for a z of so many coordinates, has the same entries at 0 and at powers of
    two as the vector; None if one of them, or their sum, leaves this open.

    eq of an index with the bit j alone is eq of 0, times z_j / (1 - z_j).
    """
    first, *others = to_exts(vector[:, [0, *(1 << j for j in reversed(range(bits)))]])
    if first == ZERO:
        return None
    scale, point, inverse = first, list[Ext](), ext_inv(first)
    for entry in others:
        both = ext_add(first, entry)
        if both == ZERO:
            return None
        point.append(ext_mul(entry, ext_inv(both)))
        scale = ext_mul(scale, ext_mul(both, inverse))
    return scale, point


def as_point(vector: IntArray) -> tuple[Ext, Point] | None:
    """The s and z for which a vector of shape (3, 2^k) is s * eq_table(z), s not zero; None if there are none. Exact.

    The entries of an eq table sum to one, those whose index has a certain bit to that bit's coordinate.

    Raises:
        ShapeError: the length is not a power of two.
    """
    length = vector.shape[1]
    if length.bit_count() != 1:
        raise ShapeError(f"a multilinear polynomial has 2^k values, not {length}")
    scale, point = _point_of_first(vector, length.bit_length() - 1) or _point_of_sums(vector)
    if scale == ZERO:
        return None
    table = modular.ext_mul(modular.eq_table(point), from_exts([scale]))
    return (scale, tuple(point)) if np.array_equal(vector, table) else None


def _point_of_sums(vector: IntArray) -> tuple[Ext, list[Ext]]:
    """The only s and z for which a vector can be s * eq_table(z), also where its first entry is zero; s may be zero."""
    scale = to_exts(modular.sum_axis(vector, 1))[0]
    if scale == ZERO:
        return scale, []
    inverse = ext_inv(scale)
    point = []
    folded = vector
    while folded.shape[1] > 1:
        low, high = folded[:, : folded.shape[1] // 2], folded[:, folded.shape[1] // 2 :]
        point.append(ext_mul(inverse, to_exts(modular.sum_axis(high, 1))[0]))
        folded = (low + high) % P
    return scale, point
