"""Grids of positions, and GridSample at computed ones, as products with the weights of all elements of an axis.

The weight of element i for a position p is a function of |p - i|, zero beyond a distance: max(0, 1 - |p - i|) for
linear interpolation. Of a rounded position that is 1 for the nearest element alone. Cubic interpolation reads two
elements on either side; those beyond an end stand for elements within, or for zeros.
"""

import math
import string
from collections.abc import Callable

import numpy as np
from onnx_ir import Value

from zkinfer.compiler.calibration.float_model import numpy_type, static_shape
from zkinfer.compiler.onnx.decomposition import decomposition
from zkinfer.compiler.onnx.ops.grid_sample import CUBIC, CUBIC_COEFFICIENT, NEAREST, elements_at
from zkinfer.compiler.onnx.subgraph import Subgraph, content_of

MAX_ELEMENTS = 1 << 22
"""Elements of the largest tensor that a computed grid may need."""


@decomposition(
    "GridSample",
    16,
    hint="at computed positions, supported are products of channels, places and elements of all axes but the last up "
    f"to {MAX_ELEMENTS}",
)
def grid_sample(s: Subgraph, x: Value, grid: Value) -> list[Value] | None:
    """A GridSample at computed positions; None of constant ones, and of large sizes."""
    mode, padding = s.text("mode", "linear"), s.text("padding_mode", "zeros")
    batch, channels, *sizes = static_shape(x)
    places = static_shape(grid)[1:-1]
    count = math.prod(places)
    largest = batch * count * max(channels * math.prod(sizes[:-1]), *sizes)
    if content_of(grid) is not None or largest > MAX_ELEMENTS:
        return None
    image, spatial = _extended(s, x, padding) if mode in CUBIC else x, string.ascii_lowercase[: len(sizes)]
    for i in reversed(range(len(sizes))):
        weights = _weights(s, grid, i, (batch, count, sizes[i]), mode=mode, padding=padding)
        before = spatial[: i + 1] + ("p" if i < len(sizes) - 1 else "")
        image = s.op(f"axis{i}", "Einsum", image, weights, equation=f"nz{before},np{spatial[i]}->nz{spatial[:i]}p")
    return [s.reshape("places", image, (batch, channels, *places))]


def _weights(s: Subgraph, grid: Value, axis: int, shape: tuple[int, int, int], *, mode: str, padding: str) -> Value:
    """For each place the weights of all elements of an axis: (batch, places, elements)."""
    batch, count, size = shape
    last = len(static_shape(grid)) - 1
    # Coordinates are in the order of the axes from the last one on.
    coordinate = static_shape(grid)[-1] - 1 - axis
    x = s.reshape(
        f"axis{axis}/x", s.slice(f"axis{axis}/part", grid, last, coordinate, coordinate + 1), (batch, count, 1)
    )
    aligned = bool(s.integer("align_corners", 0))

    def step(name: str, op: str, *operands: Value | float, **attributes: int) -> Value:
        given = (
            s.number(f"axis{axis}/{name}/{k}", operand, grid) if isinstance(operand, float) else operand
            for k, operand in enumerate(operands)
        )
        return s.op(f"axis{axis}/{name}", op, *given, **attributes)

    scaled = step("scaled", "Mul", x, (size - 1 if aligned else size) / 2)
    at = step("position", "Add", scaled, (size - 1) / 2)
    if mode in NEAREST:
        at = step("rounded", "Round", at)
    if padding == "reflection" and size > 1:
        # A triangle wave: the distance from the far end, folded at both ends.
        edge, length = (0.0, size - 1.0) if aligned else (0.5, float(size))
        way = step("way", "Abs", step("from_edge", "Add", at, edge))
        folded = step("folded", "Mod", way, 2 * length, fmod=1)
        back = step("back", "Abs", step("from_end", "Sub", folded, length))
        at = step("reflected", "Add", step("turned", "Neg", back), length - edge)
    reach = 2 if mode in CUBIC else 0
    if padding != "zeros":
        at = step("within", "Clip", at, -float(reach), size - 1.0 + reach)
    elements = s.constant(f"axis{axis}/elements", np.arange(-reach, size + reach, dtype=numpy_type(grid)))
    apart = step("apart", "Abs", step("difference", "Sub", at, elements))
    if mode in CUBIC:
        return _cubic(step, apart)
    return step("weights", "Relu", step("near", "Add", step("less", "Neg", apart), 1.0))


def _cubic(step: Callable[..., Value], apart: Value) -> Value:
    """The weights at distances: one cubic up to 1, another from there to 2; each is zero at 1, so that they add up."""
    a = CUBIC_COEFFICIENT
    near = step("near", "Clip", apart, 0.0, 1.0)
    falling = step("falling", "Add", step("slope", "Mul", near, a + 2), -(a + 3))
    inner = step("inner", "Mul", step("inner/square", "Mul", near, near), falling)
    far = step("far", "Clip", apart, 1.0, 2.0)
    left = step("left", "Add", far, -2.0)
    beyond = step("beyond", "Mul", step("past", "Add", far, -1.0), a)
    outer = step("outer", "Mul", step("outer/square", "Mul", left, left), beyond)
    return step("weights", "Add", step("both", "Add", inner, outer), 1.0)


def _extended(s: Subgraph, x: Value, padding: str) -> Value:
    """Each spatial axis with the two elements beyond either end that cubic interpolation may read."""
    sizes = static_shape(x)[2:]
    if padding == "zeros":
        before = [0, 0, *(2 for _ in sizes)]
        return s.op("extended", "Pad", x, s.sizes("extended/widths", before + before))
    aligned = bool(s.integer("align_corners", 0))
    for axis, size in enumerate(sizes, 2):
        index, _ = elements_at(np.arange(-2, size + 2), size, padding, align_corners=aligned)
        x = s.op(f"extended{axis}", "Gather", x, s.sizes(f"extended{axis}/elements", index.tolist()), axis=axis)
    return x


@decomposition("AffineGrid", 20, hint="supported are constant sizes")
def affine_grid(s: Subgraph, theta: Value, size: Value) -> list[Value] | None:
    """Where affine maps take the places of a regular grid; None if its size is computed."""
    sizes = content_of(size)
    if sizes is None:
        return None
    batch, _, *places = (int(n) for n in sizes)
    aligned = bool(s.integer("align_corners", 0))
    axes = []
    for n in places:
        steps = np.arange(n, dtype=np.float64)
        axes.append(2 * steps / max(n - 1, 1) - 1 if aligned else (2 * steps + 1) / n - 1)
    # Coordinates are in the order of the axes from the last one on, and a one moves them.
    found = [*reversed(np.meshgrid(*axes, indexing="ij")), np.ones(places)]
    regular = s.constant("regular", np.stack(found, axis=-1).reshape(-1, len(found)).astype(numpy_type(theta)))
    moved = s.op("moved", "MatMul", regular, s.transpose("maps", theta, (0, 2, 1)))
    return [s.reshape("grid", moved, (batch, *places, len(places)))]
